"""The record of a downloaded folder: sha256 and size of each file, and what they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .sets import NamedSet

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
_FORMAT, _VERSION = "astromorphic-data", 1
_CHUNK = 2**20
Progress = Callable[[int, int], None]


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file; ModelError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_CHUNK):
                digest.update(part)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); fetch or copy it again") from None
    return digest.hexdigest()


def describe(folder: Path, name: str, sources: list[dict[str, Any]]) -> str:
    """The text of the manifest of all files below `folder`."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    record = {"format": _FORMAT, "version": _VERSION, "set": name, "sources": sources, "files": files}
    return json.dumps(record, indent=1) + "\n"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of `folder`, None where there is none; ModelError if it is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        good = (
            record["format"] == _FORMAT
            and record["version"] == _VERSION
            and all(
                isinstance(one["sha256"], str) and not name.startswith("/") and ".." not in name.split("/")
                for name, one in record["files"].items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise ModelError(f"{path} is not a manifest of version {_VERSION}; remove {folder} and fetch the data again")
    return dict(record)


def recorded_hashes(folder: Path) -> dict[Path, str]:
    """sha256 by path for the files of `folder` that have a record: manifest.json, else SHA256SUMS there or one up."""
    record = read_manifest(folder)
    if record is not None:
        return {folder / name: one["sha256"] for name, one in record["files"].items()}
    for place in (folder, folder.parent):
        if (sums := place / SUMS).is_file():
            return {path: digest for path, digest in _sums(sums).items() if path.is_relative_to(folder)}
    return {}


def _sums(path: Path) -> dict[Path, str]:
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        digest, _, name = line.partition(" ")
        name = name.lstrip(" *")
        if not line.strip():
            continue
        if len(digest) != 64 or not name:
            raise ModelError(f"{path}, line {number}: expected a sha256 and a file name, as sha256sum writes them")
        found[path.parent / name] = digest.lower()
    return found


def verify(folder: Path, one: NamedSet, progress: Progress | None = None) -> int:
    """Compare every file of `folder` that has a record with it; the number of files that were compared.

    ModelError names the first file that is missing, or damaged, or a folder about which nothing is on record.
    """
    known: Mapping[Path, str] = {
        **{folder / name: digest for name, digest in one.known.items() if (folder / name).is_file()},
        **recorded_hashes(folder),
    }
    if not known:
        raise ModelError(
            f"{folder} has no {MANIFEST} and no {SUMS}, so that nothing in it can be checked; "
            f"write one with sha256sum, or fetch {one.name} into another folder"
        )
    for done, (path, expected) in enumerate(sorted(known.items()), 1):
        if not path.is_file():
            raise ModelError(f"{path} is missing; {_again(one)}")
        found = sha256_of(path)
        if found != expected:
            raise ModelError(f"{path} has sha256 {found[:16]}..., expected {expected[:16]}...: damaged; {_again(one)}")
        if progress is not None:
            progress(done, len(known))
    return len(known)


def _again(one: NamedSet) -> str:
    return f"run `astromorphic data fetch {one.name}` again, or copy the file again"
