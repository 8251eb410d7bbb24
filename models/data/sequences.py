"""Many sequences of small token numbers: one byte each, in a row, with where each begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError


def check_length(length: object) -> int:
    """`length` as it is; ModelError unless it is a whole number of at least 1."""
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ModelError(f"length is {length!r}; expected a whole number of tokens of at least 1")
    return length


def cut_in_words(cut: int, count: int, length: int) -> str:
    """What a record says behind the source of sequences of which `cut` of `count` were longer than `length`; "" if none was."""
    return f"; {100 * cut / count:.1f} % are cut at {length:,} tokens" if cut else ""


@dataclass(frozen=True)
class TokenSequences:
    """Sequence i holds the tokens ``values[offsets[i]:offsets[i + 1]] + shift``.

    values : uint8 ``[tokens]``; offsets : int64 ``[n + 1]``. vocab_size : tokens are below it. limit : the most tokens a
    sequence may have. pad_id : the number that is no token of any sequence; None where all sequences are equally long.
    """

    values: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    vocab_size: int
    limit: int
    shift: int = 0
    pad_id: int | None = 0

    @classmethod
    def of_bytes(cls, texts: Iterable[bytes], limit: int) -> TokenSequences:
        """The first `limit` bytes of each text as byte + 1, with 0 for padding: 257 numbers. ModelError for an empty one."""
        check_length(limit)
        kept = [text[:limit] for text in texts]
        if b"" in kept:
            raise ModelError(f"text {kept.index(b'')} (counted from 0) is empty; leave out empty texts")
        lengths = [len(text) for text in kept]
        return cls.from_lengths(np.frombuffer(b"".join(kept), dtype=np.uint8), lengths, 257, limit, shift=1)

    @classmethod
    def from_lengths(
        cls, values: NDArray[np.uint8], lengths: ArrayLike, vocab_size: int, limit: int, *, shift: int = 0
    ) -> TokenSequences:
        """From all values in a row and the lengths ``[n]``."""
        offsets = np.zeros(len(np.atleast_1d(lengths)) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        assert len(values) == offsets[-1]
        return cls(values, offsets, vocab_size, limit, shift)

    @classmethod
    def of_pixels(cls, images: NDArray[np.uint8]) -> TokenSequences:
        """Grey images ``[n, height, width]``, row by row; every value from 0 to 255 is a token, and there is no padding."""
        n, size = len(images), int(np.prod(images.shape[1:]))
        offsets = np.arange(n + 1, dtype=np.int64) * size
        return cls(np.ascontiguousarray(images).reshape(-1), offsets, 256, size, pad_id=None)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        return self.values[self.offsets[index] : self.offsets[index + 1]].astype(np.int64) + self.shift

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sequence ``[n]``."""
        return np.diff(self.offsets)
