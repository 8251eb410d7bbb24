"""One sha256 for what a task gets: contents, labels and the cut into splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .kinds import LabelledImages, LabelledSequences, LabelledTexts, Splits


def digest_of(name: str, classes: tuple[str, ...], *parts: Any) -> str:
    """sha256 over the name, the classes and each part (of `kinds`, or bytes), with their lengths.

    It depends on the contents and their order only, so that the same reviews from one file or from 50,000 have one digest.
    """
    digest = hashlib.sha256()

    def add(data: bytes | memoryview) -> None:
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)

    for word in (name, *classes):
        add(word.encode("utf-8"))
    for part in parts:
        if isinstance(part, LabelledTexts):
            add(b"texts")
            add(part.labels.astype("<i8").tobytes())
            for text in part.texts:
                add(text.encode("utf-8", errors="surrogatepass"))
        elif isinstance(part, LabelledImages):
            add(b"images")
            add(part.labels.astype("<i8").tobytes())
            add(repr(part.images.shape).encode())
            images = np.ascontiguousarray(part.images)
            digest.update(images.reshape(-1).data)
        elif isinstance(part, LabelledSequences):
            add(b"sequences" if part.second is None else b"pairs")
            add(part.labels.astype("<i8").tobytes())
            for one in (part.sequences, *(() if part.second is None else (part.second,))):
                add(repr((one.vocab_size, one.shift, one.pad_id)).encode())
                add(one.offsets.astype("<i8").tobytes())
                digest.update(np.ascontiguousarray(one.values).data)
        else:
            add(b"bytes")
            add(part)
    return digest.hexdigest()


def with_digest(
    name: str, parts: Sequence[LabelledSequences], source: str, classes: tuple[str, ...]
) -> Splits[LabelledSequences]:
    """Train, validation and test parts, in this order, as one set with its digest."""
    train, validation, test = parts
    return Splits(name, train, validation, test, digest_of(name, classes, *parts), source, classes)
