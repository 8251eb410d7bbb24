"""Whole random numbers that are the same on every machine and with every version of NumPy: SplitMix64, counted."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError
from ..settings import is_whole, shown

_GAMMA, _FIRST, _SECOND = (np.uint64(x) for x in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
LARGEST_SEED = 2**63 - 1


def stream_key(*words: object) -> int:
    """64 bits for a stream of its own, from words and numbers (a name, a seed, a split, a part)."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode("utf-8")).digest()[:8], "little")


def check_seed(seed: object, name: str = "seed") -> int:
    """`seed` as it is; ModelError, which calls it `name`, unless it is a whole number from 0."""
    if not (is_whole(seed) or isinstance(seed, np.integer)) or not 0 <= seed <= LARGEST_SEED:  # type: ignore[operator]
        raise ModelError(f"{name} is {shown(seed)}; expected a whole number from 0 to {LARGEST_SEED}")
    return seed  # type: ignore[return-value]


class IntegerStream:
    """Number i is SplitMix64 of ``key + (i + 1) * gamma`` (Steele, Lea, Flood 2014), as its author publishes it.

    Only additions, products, shifts and exclusive ors of 64-bit words: no floating point, nothing that a library may change.
    """

    def __init__(self, key: int) -> None:
        self._key, self._next = np.uint64(key), 0

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` words, uniform over 64 bits."""
        place = np.arange(self._next + 1, self._next + count + 1, dtype=np.uint64)
        self._next += count
        z = self._key + place * _GAMMA
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        return z ^ (z >> np.uint64(31))

    def below(self, limit: ArrayLike, count: int) -> NDArray[np.int64]:
        """The next `count` numbers from 0 to limit - 1 (one limit, or one for each, below 2**31).

        The upper half of a word times the limit, shifted back: no number is more likely than another by over limit / 2**32.
        """
        upper = self.words(count) >> np.uint64(32)
        return ((upper * np.asarray(limit, dtype=np.uint64)) >> np.uint64(32)).astype(np.int64)

    def happens(self, probability: float, count: int) -> NDArray[np.bool_]:
        """`count` answers, each true with this probability, to a part in 2**53."""
        return (self.words(count) >> np.uint64(11)) < np.uint64(round(probability * 2**53))

    def order(self, count: int) -> NDArray[np.int64]:
        """A permutation of 0 ... count - 1, by sorting the next `count` words."""
        return np.argsort(self.words(count), kind="stable").astype(np.int64)
