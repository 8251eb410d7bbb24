"""The Large Movie Review Dataset, from the folders of the original archive or from two files of JSON lines.

Both give the same reviews in the same order (number, then label), and so the same splits and digest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import ModelError
from .digest import digest_of
from .draw import balanced_draw, number_of
from .integers import check_seed
from .kinds import LabelledTexts, Splits
from .reading import Reader, decode, find
from .sets import SETS

CLASSES = ("negative", "positive")
_FOLDERS = ("neg", "pos")
_NAME = re.compile(r"(\d+)_(\d+)\.txt")
# number, label, text
Row = tuple[int, int, str]


def load_imdb(folder: Path, validation: float = 2_500, seed: int = 0) -> Splits[LabelledTexts]:
    """25,000 reviews in train and validation together, 25,000 in test.

    folder : the data folder. validation : reviews (or share) taken from train, half of each class, by `seed`; copies of a
    review stay on one side. Test is read and never cut.
    Raises ModelError if the files are not there, damaged, or not what the layout says.
    """
    check_seed(seed)
    train, test = (_read_part(folder, part) for part in ("train", "test"))
    labels = np.array([label for _, label, _ in train], dtype=np.int64)
    texts = [text for _, _, text in train]
    count = number_of(validation, len(texts), "validation")
    held = balanced_draw(labels, count, seed, texts)
    parts = (
        LabelledTexts(tuple(text for text, out in zip(texts, held, strict=True) if not out), labels[~held]),
        LabelledTexts(tuple(text for text, out in zip(texts, held, strict=True) if out), labels[held]),
        LabelledTexts(tuple(text for _, _, text in test), np.array([label for _, label, _ in test], dtype=np.int64)),
    )
    source = f"{SETS['imdb'].citation}; {SETS['imdb'].licence}"
    return Splits("imdb", *parts, digest_of("imdb", CLASSES, *parts), source, CLASSES)


def _read_part(folder: Path, part: str) -> list[Row]:
    own = folder / "imdb"
    for place in (own, folder):
        if (file := find(place, f"{part}.jsonl")) is not None:
            return sorted(_json_rows(Reader(place), file), key=lambda row: row[:2])
    for place, inside in ((own, "aclImdb/"), (folder, "aclImdb/"), (folder, "")):
        if (place / inside / part / "pos").is_dir():
            return sorted(_text_rows(Reader(place), place, f"{inside}{part}"), key=lambda row: row[:2])
    raise ModelError(
        f"imdb: neither {part}.jsonl nor aclImdb/{part} is in {own}; run `astromorphic data fetch imdb`, or name the folder "
        "that holds it (--data, ASTROMORPHIC_DATA)"
    )


def _json_rows(reader: Reader, file: Path) -> Iterator[Row]:
    for number, line in enumerate(reader.text(file).split("\n"), 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            index, label, text = row["id"], row["label"], row["text"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ModelError(f"{file}, line {number}: expected an object with id, label and text") from None
        if type(index) is not int or label not in (0, 1) or not isinstance(text, str) or not text.strip():
            raise ModelError(
                f"{file}, line {number}: id {index!r}, label {label!r}; expected a number, 0 or 1, and a text that is not empty"
            )
        yield index, int(label), text


def _text_rows(reader: Reader, place: Path, part: str) -> Iterator[Row]:
    for label, name in enumerate(_FOLDERS):
        inside = place / part / name
        # With a manifest, its list counts: a file that was lost is noticed.
        files = [path for path in reader.recorded if path.parent == inside] or list(inside.glob("*.txt"))
        if not files:
            raise ModelError(f"imdb: {inside} holds no reviews; fetch or copy it again")
        for path in files:
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise ModelError(f"imdb: {path} is not named NUMBER_RATING.txt; remove it from the folder")
            text = decode(reader.packed_bytes(path), path)
            if not text.strip():
                raise ModelError(f"imdb: {path} is empty; fetch or copy it again")
            yield int(match[1]), label, text
