"""Frequent pairs of neighbouring words as tokens of their own, in the order of the text.

What a sum over words cannot tell ("not good" from "good, not ...") a network with one global state cannot either; a bag of
words with pairs is two points better on reviews than one without.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..json_record import read_record
from .encoded import EncodedTexts
from .vocabulary import UNKNOWN_ID

_FORMAT, _VERSION = "astromorphic-word-pairs", 1
# A pair that stands once in the training texts says nothing about another text.
_LEAST_COUNT = 2


@dataclass(frozen=True, eq=False)
class WordPairs:
    """Pair i, ``pairs[i]`` of int64 ``[n, 2]``, is token `n_words` + i.

    Padding and unknown words are in no pair, and words on the two sides of a seam (`EncodedTexts.seams`) are none.
    """

    n_words: int
    pairs: NDArray[np.int64]

    def __post_init__(self) -> None:
        codes = self._codes
        if self.pairs.ndim != 2 or self.pairs.shape[1:] != (2,) or len(np.unique(codes)) != len(codes):
            raise ModelError("pairs are [n, 2] word numbers, each pair once; count them again")
        if self.pairs.size and not UNKNOWN_ID < self.pairs.min() <= self.pairs.max() < self.n_words:
            raise ModelError(f"pairs are of words {UNKNOWN_ID + 1} to {self.n_words - 1}; count them again")

    @classmethod
    def count(cls, encoded: EncodedTexts, n_words: int, size: int) -> WordPairs:
        """The `size` most frequent pairs of `encoded`, which have to be the training texts; fewer if fewer stand there twice.

        Pairs of equal count come in the order of their words' numbers.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ModelError(f"pairs is {size!r}; expected a whole number of at least 1, or 0 for words alone")
        codes, there = _neighbours(encoded, n_words)
        values, counts = np.unique(codes[there], return_counts=True)
        often = counts >= _LEAST_COUNT
        values, counts = values[often], counts[often]
        kept = values[np.argsort(-counts, kind="stable")[:size]]
        return cls(n_words, np.stack([kept // n_words, kept % n_words], axis=1))

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        return self.pairs[:, 0] * self.n_words + self.pairs[:, 1]

    def insert(self, encoded: EncodedTexts) -> EncodedTexts:
        """The same texts with each known pair between its two words: at most 2 n - 1 tokens for n."""
        if not len(self):
            return encoded
        order = np.argsort(self._codes)
        codes, there = _neighbours(encoded, self.n_words)
        place = np.searchsorted(self._codes[order], codes).clip(max=len(order) - 1)
        there &= self._codes[order][place] == codes
        first = np.flatnonzero(there)
        tokens = np.concatenate([encoded.tokens, (order[place[first]] + self.n_words).astype(np.int32)])
        where = np.argsort(np.concatenate([2 * np.arange(len(encoded.tokens)), 2 * first + 1]), kind="stable")
        text = np.repeat(np.arange(len(encoded)), encoded.lengths)
        lengths = encoded.lengths + np.bincount(text[first], minlength=len(encoded))
        return EncodedTexts.from_lengths(tokens[where], lengths)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, whole or not at all."""
        from bridge.artifact import write_text

        record = {"format": _FORMAT, "version": _VERSION, "n_words": self.n_words, "pairs": self.pairs.tolist()}
        return write_text(path, json.dumps(record, separators=(",", ":")) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str], n_words: int | None = None) -> WordPairs:
        """Read what `save` wrote; ModelError if it is something else, or of another number of words than `n_words`."""
        kinds = {"n_words": int, "pairs": [(int, int)]}
        record = read_record(Path(path), "word pairs", _FORMAT, _VERSION, kinds, "train again")
        if n_words is not None and record["n_words"] != n_words:
            raise ModelError(
                f"{path} holds pairs of {record['n_words']:,} words and the vocabulary beside it has {n_words:,}; copy both "
                "from the run that they belong to, or train again"
            )
        return cls(record["n_words"], np.array(record["pairs"], dtype=np.int64).reshape(-1, 2))


def _neighbours(encoded: EncodedTexts, n_words: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each token but the last: the number of the pair with the next one, and whether both are words of one text."""
    tokens = encoded.tokens.astype(np.int64)
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < n_words:
        raise ModelError(f"texts have tokens up to {tokens.max()}; expected word numbers below {n_words}")
    there = (tokens[:-1] > UNKNOWN_ID) & (tokens[1:] > UNKNOWN_ID)
    there[encoded.offsets[1:-1] - 1] = False
    there[encoded.seams] = False
    return tokens[:-1] * n_words + tokens[1:], there
