"""Interpolated Kneser-Ney n-grams over token numbers: the floor that a language model has to beat.

Chen and Goodman 1999, with one discount per order, D = n1 / (n1 + 2 n2). Order 1 is the unigram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

Ids = NDArray[np.int64]


class KneserNey:
    """P(w | the last order - 1 tokens), estimated from one stream of token numbers.

    The highest order counts n-grams; lower ones count the different tokens that an n-gram was seen after; the lowest is
    interpolated with 1 / `vocab_size`. So every distribution sums to 1 and no probability is 0.

        P(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) P(w | h without its first token)

    with c(h) the sum and N(h) the number of different w of c(h w) > 0; after an unseen h, P(w | shorter h) as it is.

    Raises ModelError for tokens outside 0 .. vocab_size - 1, fewer tokens than `order`, or an order that needs numbers
    beyond 64 bits.
    """

    def __init__(self, ids: Any, vocab_size: int, order: int = 3) -> None:
        if not 1 <= order <= 5:
            raise ModelError(f"order is {order!r}; expected 1 (unigram) to 5")
        if vocab_size < 1 or vocab_size**order >= 2**63:
            raise ModelError(
                f"vocab_size is {vocab_size} and order {order}; expected n-grams to be numbered in 63 bits"
            )
        self.vocab_size, self.order = int(vocab_size), int(order)
        stream = self._checked(ids)
        if len(stream) < order:
            raise ModelError(
                f"the text has {len(stream)} tokens; expected at least {order} for n-grams of order {order}"
            )
        self.levels: list[_Level] = []
        grams, counts = np.unique(self._numbered(stream, order), return_counts=True)
        for n in range(order, 0, -1):
            self.levels.append(_Level(grams, counts.astype(np.float64), self.vocab_size))
            # The order below counts in how many different tokens each shorter n-gram was preceded by.
            grams, counts = np.unique(grams % self.vocab_size ** (n - 1), return_counts=True)

    def _checked(self, ids: Any) -> Ids:
        stream = np.asarray(ids)
        if stream.ndim != 1 or not (np.issubdtype(stream.dtype, np.integer) or not len(stream)):
            raise ModelError(
                f"the text is {stream.dtype} of shape {stream.shape}; expected whole token numbers [tokens]"
            )
        stream = stream.astype(np.int64)
        if len(stream) and not (stream.min() >= 0 and stream.max() < self.vocab_size):
            wrong = stream[(stream < 0) | (stream >= self.vocab_size)][0]
            raise ModelError(f"the text holds the token {wrong}; expected 0 to {self.vocab_size - 1}")
        return stream

    def _numbered(self, stream: Ids, n: int) -> Ids:
        """Every run of n tokens as one number; its last token is the lowest digit."""
        total = np.zeros(len(stream) - n + 1, dtype=np.int64)
        for i in range(n):
            total = total * self.vocab_size + stream[i : len(stream) - n + 1 + i]
        return total

    def probabilities(self, context: Any) -> NDArray[np.float64]:
        """P(w | context) for every w, ``[vocab_size]``; only the last order - 1 tokens count."""
        history = self._checked(context)[-(self.order - 1) :] if self.order > 1 else np.empty(0, np.int64)
        words = np.arange(self.vocab_size, dtype=np.int64)
        found = np.full(self.vocab_size, 1.0 / self.vocab_size)
        for n in range(1, len(history) + 2):
            number = 0
            for token in history[len(history) - n + 1 :]:
                number = number * self.vocab_size + int(token)
            found = self.levels[self.order - n].mixed(number * self.vocab_size + words, found)
        return found

    def token_probabilities(self, ids: Any) -> NDArray[np.float64]:
        """P of each token after the first, given all before it, ``[tokens - 1]``; the same as `probabilities`, all at once."""
        stream = self._checked(ids)
        found = np.full(max(len(stream) - 1, 0), 1.0 / self.vocab_size)
        for n in range(1, min(self.order, len(stream)) + 1):
            # The second token has a context of one token only, and so on; they keep what the lower order gave them.
            first = max(n - 2, 0)
            grams = self._numbered(stream, n) if n > 1 else stream[1:]
            found[first:] = self.levels[self.order - n].mixed(grams, found[first:])
        return found


class _Level:
    """Counts of one order, and what discounting leaves for the order below."""

    def __init__(self, grams: Ids, counts: NDArray[np.float64], vocab_size: int) -> None:
        self.grams, self.counts, self.vocab_size = grams, counts, vocab_size
        once, twice = float((counts == 1).sum()), float((counts == 2).sum())
        # Without singletons or pairs the estimate is 0 or 1; some mass must go down, and some stay.
        self.discount = once / (once + 2.0 * twice) if once and twice else 0.5
        self.histories, first = np.unique(grams // vocab_size, return_index=True)
        self.totals = np.add.reduceat(counts, first)
        self.kinds = np.diff(np.append(first, len(grams))).astype(np.float64)

    def mixed(self, grams: Ids, lower: NDArray[np.float64]) -> NDArray[np.float64]:
        count = np.where(*_looked_up(self.grams, grams, self.counts), 0.0)
        seen, total = _looked_up(self.histories, grams // self.vocab_size, self.totals)
        kinds = _looked_up(self.histories, grams // self.vocab_size, self.kinds)[1]
        total = np.where(seen, total, 1.0)
        mixed = np.maximum(count - self.discount, 0.0) / total + self.discount * kinds / total * lower
        return np.where(seen, mixed, lower)


def _looked_up(keys: Ids, wanted: Ids, values: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[at] == wanted, values[at]
