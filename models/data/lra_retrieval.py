"""Retrieval of the Long Range Arena: does one paper of the ACL Anthology Network cite the other? From the release's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ModelError
from .digest import with_digest
from .kinds import LabelledSequences, Splits
from .reading import PACKED, Reader, find
from .sequences import TokenSequences, check_length
from .sets import SETS

CLASSES = ("unrelated", "cited")
_PLACES = ("lra_retrieval", "", "tsv_data", "lra_release/tsv_data", "lra_release/lra_release/tsv_data")
_FILES = {"train": "new_aan_pairs.train.tsv", "validation": "new_aan_pairs.eval.tsv", "test": "new_aan_pairs.test.tsv"}


def load_lra_retrieval(folder: Path, length: int = 4000) -> Splits[LabelledSequences]:
    """Pairs of texts as byte + 1, 0 for padding (257 numbers), of each text the first `length` bytes.

    folder : the data folder; the three files of the release lie in it, in ``lra_retrieval``, or as the release unpacks. Their
    columns are label, two ids and two texts, cut at tabs, without quotes and without a header; 147,086, 18,090 and 17,437 pairs.
    Raises ModelError if a file is not there, or a row does not have these columns, naming file and line.
    """
    check_length(length)
    for place in _PLACES:
        if find(folder / place, _FILES["train"]) is not None:
            break
    else:
        raise ModelError(
            f"lra_retrieval: {_FILES['train']} is not in {folder / 'lra_retrieval'}; unpack lra_release.gz of "
            "google-research/long-range-arena there, or name the folder that holds it (--data, ASTROMORPHIC_DATA)"
        )
    reader = Reader(folder / place)
    parts = tuple(_part(reader, name, length) for name in _FILES.values())
    source = f"{SETS['lra_retrieval'].citation}; {SETS['lra_retrieval'].licence}"
    return with_digest("lra_retrieval", parts, source, CLASSES)


def _part(reader: Reader, name: str, length: int) -> LabelledSequences:
    file = find(reader.folder, name)
    if file is None:
        raise ModelError(f"lra_retrieval: {reader.folder / name} is not there; copy the folder of the release again")
    labels, first, second = [], [], []
    for number, line in _lines(reader, file):
        fields = line.split(b"\t")
        if len(fields) != 5:
            raise ModelError(
                f"{file}, line {number}: {len(fields)} columns; expected label, id1, id2, text1, text2 with tabs between"
            )
        if fields[0] not in (b"0", b"1", b"0.0", b"1.0"):
            raise ModelError(f"{file}, line {number}: the label is {fields[0][:20]!r}; expected 0 or 1")
        if not fields[3] or not fields[4]:
            raise ModelError(f"{file}, line {number}: a text is empty; copy the file again")
        labels.append(int(fields[0][:1]))
        first.append(fields[3][:length])
        second.append(fields[4][:length])
    if not labels:
        raise ModelError(f"{file} is empty; copy it again")
    return LabelledSequences(
        TokenSequences.of_bytes(first, length),
        np.array(labels, dtype=np.int64),
        TokenSequences.of_bytes(second, length),
    )


def _lines(reader: Reader, file: Path) -> Iterator[tuple[int, bytes]]:
    # The training file has gigabytes: where nothing is on record to compare it with, it is read line by line.
    if file.suffix in PACKED or file in reader.recorded:
        lines = iter(reader.bytes(file).split(b"\n"))
    else:
        lines = _streamed(file)
    for number, line in enumerate(lines, 1):
        if line := line.rstrip(b"\r\n"):
            yield number, line


def _streamed(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            yield from opened
    except OSError as error:
        raise ModelError(f"{file} cannot be read ({error.strerror}); copy it again") from None
