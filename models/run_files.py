"""What lies beside the weights of a run and makes tokens of texts, tied to its record by digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelError

if TYPE_CHECKING:
    from .result import RunResult


def file_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """sha256 of the named files of `folder`."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(names)}


def check_files(record: RunResult, folder: Path) -> None:
    """ModelError unless the files beside the record are those it was written with; older records name none."""
    for name, digest in record.data.files.items():
        if not (folder / name).is_file():
            raise ModelError(
                f"{folder / name} is not there, without which the run cannot read texts; copy the whole folder"
            )
        if (found := file_digests(folder, [name])[name]) != digest:
            raise ModelError(
                f"{folder / name} is not the file of this run (digest {found[:12]}..., expected {digest[:12]}...): the numbers "
                "of its words may be others; copy the whole folder of the run, or train again"
            )
