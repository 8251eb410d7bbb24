"""Plain text for language models: WikiText-2 and -103, enwik8, Tiny Shakespeare, and any file of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ..choices import choice
from ..errors import ModelError
from .digest import digest_of
from .kinds import Splits
from .reading import Reader, find
from .sets import SETS

END_OF_LINE = "<eos>"


def by_position(raw: bytes, name: str, source: str, split: tuple[float, float, float] = (90, 5, 5)) -> Splits[bytes]:
    """`raw` cut by byte position into train, validation and test, in this order and in the proportions of `split`.

    Raises ModelError if a part would be empty or the proportions are not three positive numbers.
    """
    if len(split) != 3 or not all(isinstance(part, (int, float)) and part > 0 for part in split):
        raise ModelError(f"split is {split!r}; expected three positive numbers, such as (90, 5, 5)")
    total = sum(split)
    # Whole proportions cut by whole numbers, as `ByteText.from_bytes` does.
    first, second = (int(len(raw) * part // total) for part in (split[0], split[0] + split[1]))
    parts = raw[:first], raw[first:second], raw[second:]
    if not all(parts):
        raise ModelError(f"{name} has {len(raw)} bytes, too few to be cut as {split}; give a longer text")
    return Splits(name, *parts, digest_of(name, (), *parts), source)


def load_wikitext2(
    folder: Path, version: Literal["words", "raw"] = "words", train: Literal["whole", "raw_head"] = "whole"
) -> Splits[bytes]:
    """WikiText-2 as the bytes of its files.

    version : "words" has rare words replaced by ``<unk>`` (`wikitext_words` cuts it into the 245,569 scored units of the
    test part), "raw" has not. train : "raw_head" takes the first megabyte of the raw train text where only that is there;
    the name says so, as no number from it compares with a published one.
    """
    choice("version", version, ("words", "raw"))
    choice("train", train, ("whole", "raw_head"))
    kind, inside = ("tokens", "wikitext-2") if version == "words" else ("raw", "wikitext-2-raw")
    place, reader = _place(folder, "wikitext2")
    head = find(place, "train_head_raw_1MB.txt")
    parts: list[bytes] = []
    name = "wikitext2" if version == "words" else "wikitext2_raw"
    for part in ("train", "valid", "test"):
        file = find(place, f"{inside}/wiki.{part}.{kind}", f"wiki.{part}.{kind}")
        if part == "train" and train == "raw_head":
            file, name = head, f"{name}_raw_head_train"
        if file is None:
            remedy = "run `astromorphic data fetch wikitext2`"
            if part == "train" and head is not None and train == "whole":
                remedy += f", or train on the first megabyte of the raw text with train='raw_head' ({head.name})"
            missing = "train_head_raw_1MB.txt" if train == "raw_head" and part == "train" else f"wiki.{part}.{kind}"
            raise ModelError(f"wikitext2: {missing} is not in {place}; {remedy}")
        parts.append(reader.bytes(file))
    source = f"{SETS['wikitext2'].citation}; {SETS['wikitext2'].licence}"
    return Splits(name, parts[0], parts[1], parts[2], digest_of(name, (), *parts), source)


def load_wikitext103(
    folder: Path, version: Literal["words", "raw"] = "words", train: Literal["whole", "absent"] = "whole"
) -> Splits[bytes]:
    """WikiText-103 as the bytes of its files; versions as of WikiText-2.

    train : "absent" leaves the training part empty, for the evaluation of a model that exists.
    """
    choice("version", version, ("words", "raw"))
    choice("train", train, ("whole", "absent"))
    kind, inside = ("tokens", "wikitext-103") if version == "words" else ("raw", "wikitext-103-raw")
    place, reader = _place(folder, "wikitext103")
    parts: list[bytes] = []
    for part in ("train", "valid", "test"):
        if part == "train" and train == "absent":
            parts.append(b"")
            continue
        file = find(place, f"{inside}/wiki.{part}.{kind}", f"wiki.{part}.{kind}")
        if file is None:
            remedy = "run `astromorphic data fetch wikitext103`"
            if part == "train" and find(place, f"{inside}/wiki.test.{kind}", f"wiki.test.{kind}") is not None:
                remedy += (
                    ", or score a model that exists with train=absent (`astromorphic evaluate DIR --task wikitext103`)"
                )
            raise ModelError(f"wikitext103: wiki.{part}.{kind} is not in {place}; {remedy}")
        parts.append(reader.bytes(file))
    name = "wikitext103" if version == "words" else "wikitext103_raw"
    source = f"{SETS['wikitext103'].citation}; {SETS['wikitext103'].licence}"
    return Splits(name, parts[0], parts[1], parts[2], digest_of(name, (), *parts), source)


def wikitext_words(raw: bytes) -> list[str]:
    """The scored units of a word-level file: the words of each line, then ``<eos>``, empty lines included."""
    return [word for line in _lines(raw.decode("utf-8")) for word in (*line.split(), END_OF_LINE)]


def count_words(text: bytes) -> int:
    """How many `wikitext_words` a text has, one for each line end included; bytes that are no UTF-8 count as letters."""
    return sum(len(line.split()) + 1 for line in _lines(text.decode("utf-8", errors="replace")))


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def load_enwik8(folder: Path, n_bytes: int | None = None) -> Splits[bytes]:
    """The first `n_bytes` of enwik8 (None: all of what is there), cut 90/5/5 by position as usual."""
    place, reader = _place(folder, "enwik8", SETS["enwik8"].known)
    file = find(place, "enwik8", "enwik8_first_4MB")
    if file is None:
        raise ModelError(f"enwik8: {place / 'enwik8'} is not there; run `astromorphic data fetch enwik8`")
    raw = reader.bytes(file)
    if n_bytes is not None:
        if isinstance(n_bytes, bool) or not isinstance(n_bytes, int) or not 0 < n_bytes <= len(raw):
            raise ModelError(f"n_bytes is {n_bytes!r}; expected 1 to the {len(raw):,} bytes of {file}")
        raw = raw[:n_bytes]
    name = "enwik8" if len(raw) == 10**8 else f"enwik8_first_{len(raw)}"
    return by_position(raw, name, f"{SETS['enwik8'].citation}; {SETS['enwik8'].licence}")


def load_shakespeare() -> Splits[bytes]:
    """Tiny Shakespeare as it is shipped, cut 90/5/5 by position."""
    from ..tasks.shakespeare import load

    text = load()
    parts = text.train.tobytes(), text.validation.tobytes(), text.test.tobytes()
    return Splits("shakespeare", *parts, digest_of("shakespeare", (), *parts), SETS["shakespeare"].licence)


def load_text_file(path: Path, split: tuple[float, float, float] = (90, 5, 5)) -> Splits[bytes]:
    """Any file as bytes, unpacked if its suffix says so, cut by position."""
    raw = Reader(path.parent, own=True).bytes(path)
    if not raw:
        raise ModelError(f"{path} is empty; expected a text")
    return by_position(raw, path.name, f"the file {path.name}; its licence is the user's to know", split)


def _place(folder: Path, name: str, known: Mapping[str, str] | None = None) -> tuple[Path, Reader]:
    place = folder / name if (folder / name).is_dir() else folder
    return place, Reader(place, known)
