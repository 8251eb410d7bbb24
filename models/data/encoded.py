"""Many token sequences in two arrays: all tokens in a row, and where each sequence begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError

Keep = Literal["head", "head+tail"]


@dataclass(frozen=True)
class EncodedTexts:
    """`tokens` int32 ``[sum of lengths]``, `offsets` int64 ``[n + 1]``: text i is ``tokens[offsets[i]:offsets[i + 1]]``.

    seams : int64, places in `tokens` after which the middle of a text was left out; the two tokens there were no neighbours.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    seams: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def from_lengths(cls, tokens: ArrayLike, lengths: ArrayLike) -> EncodedTexts:
        """From all tokens in a row and the lengths ``[n]``; ModelError names the first text without a token."""
        sizes = np.asarray(lengths, dtype=np.int64)
        if (empty := np.flatnonzero(sizes == 0)).size:
            raise ModelError(
                f"text {empty[0]} (counted from 0) has no tokens; leave out empty texts before they are encoded"
            )
        offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
        np.cumsum(sizes, out=offsets[1:])
        flat = np.asarray(tokens, dtype=np.int32)
        if flat.shape != (offsets[-1],):
            raise ModelError(f"lengths add up to {offsets[-1]}, but there are {flat.size} tokens")
        return cls(flat, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int32]:
        if not 0 <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text ``[n]``."""
        return np.diff(self.offsets)

    def truncated(self, max_length: int, keep: Keep = "head") -> EncodedTexts:
        """At most `max_length` tokens of each text: the first, or with "head+tail" the first and the last half.

        An odd length gives the head one token more.
        """
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 1:
            raise ModelError(f"max_length is {max_length!r}; expected a whole number of at least 1")
        if keep not in ("head", "head+tail"):
            raise ModelError(f"keep is {keep!r}; expected 'head' or 'head+tail'")
        lengths = self.lengths
        tail = max_length // 2 if keep == "head+tail" else 0
        head = max_length - tail
        place = np.arange(len(self.tokens)) - np.repeat(self.offsets[:-1], lengths)
        length_here = np.repeat(lengths, lengths)
        kept = (length_here <= max_length) | (place < head) | (place >= length_here - tail)
        short = EncodedTexts.from_lengths(self.tokens[kept], np.minimum(lengths, max_length))
        places = np.flatnonzero(kept)
        apart = (np.diff(places) > 1) | np.isin(places[:-1], self.seams)
        # Between texts there is no seam but an end.
        apart[short.offsets[1:-1] - 1] = False
        return EncodedTexts(short.tokens, short.offsets, np.flatnonzero(apart))
