"""Tiny Shakespeare at byte level: predict the next of 256 byte values. Metric: bits per byte.

The text is in the public domain; the 1,115,394 bytes are the "tiny Shakespeare" selection distributed with char-rnn,
shipped in this package as tinyshakespeare.txt.xz and checked by hash on every load. Split by byte position: the first
90 % train, the next 5 % validation, the last 5 % test.
"""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import dataclass
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..language import EncodedText
from .language import LanguageTask

RAW_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SOURCE = "Tiny Shakespeare (char-rnn), part of this package; public domain"


@dataclass(frozen=True)
class ByteText:
    """Three splits of one text as uint8 ``[bytes]``, and the sha256 of the whole."""

    name: str
    train: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    test: NDArray[np.uint8]
    digest: str

    @classmethod
    def from_bytes(cls, name: str, raw: bytes) -> ByteText:
        """Split 90/5/5 by byte position."""
        data = np.frombuffer(raw, dtype=np.uint8)
        first, second = len(data) * 90 // 100, len(data) * 95 // 100
        return cls(name, data[:first], data[first:second], data[second:], hashlib.sha256(raw).hexdigest())


def load() -> ByteText:
    """The shipped text; ValueError if the file is missing or its content is not the one this version was built with."""
    packed = resources.files(__package__) / "data" / "tinyshakespeare.txt.xz"
    try:
        raw = lzma.decompress(packed.read_bytes())
    except (FileNotFoundError, lzma.LZMAError) as error:
        raise ModelError(f"tiny Shakespeare data {packed} cannot be read ({error}); reinstall astromorphic") from None
    found = hashlib.sha256(raw).hexdigest()
    if found != RAW_SHA256:
        raise ModelError(
            f"tiny Shakespeare data {packed} has sha256 {found[:16]}..., expected {RAW_SHA256[:16]}...; reinstall astromorphic"
        )
    return ByteText.from_bytes("shakespeare", raw)


def language_task(text: ByteText, name: str | None = None, source: str = "") -> LanguageTask:
    """A text in three splits as a task of bytes."""
    parts = [EncodedText.of_bytes(part.tobytes()) for part in (text.train, text.validation, text.test)]
    return LanguageTask(name or text.name, *parts, digest=text.digest, source=source)
