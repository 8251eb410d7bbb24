"""Batches: texts padded to one length, and blocks drawn from a stream of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import ModelError

Item = dict[str, Any]


# With every length a shape of its own, a process grew from 1.6 GB to 5 GB within an epoch of IMDB; with steps of 32 it stays.
LENGTH_STEP = 32


def padded(
    texts: Sequence[NDArray[Any]], pad_id: int, limit: int | None = None, step: int = LENGTH_STEP
) -> tuple[Tensor, Tensor]:
    """``input_ids`` and ``attention_mask`` int64 ``[batch, time]``, padded on the right; the mask is 1 for tokens.

    texts : token numbers ``[length]`` each. time is the longest length, rounded up to a multiple of `step` (few shapes for caches
    of kernels and compiled code), but not above `limit`, which is no shorter than any text.
    """
    if step < 1:
        raise ModelError(f"step is {step!r}; expected at least 1")
    longest = max(map(len, texts))
    time = -(-longest // step) * step
    if limit is not None:
        time = max(longest, min(time, limit))
    ids = torch.full((len(texts), time), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(texts), time), dtype=torch.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.from_numpy(text)
        mask[row, : len(text)] = 1
    return ids, mask


class LanguageBlocks(Dataset[Item]):
    """`count` blocks of `length` tokens, drawn uniformly from `tokens` ``[n]`` by one explicit seed.

    Item i is always the same block, so that a resumed run reads the same data. ``labels`` are the ``input_ids``; the
    network shifts them. A memory map is read block by block, never whole, and each token has to be below `vocabulary`, if
    given; ModelError names the first that is not.
    """

    def __init__(self, tokens: NDArray[Any], length: int, count: int, seed: int, vocabulary: int | None = None) -> None:
        if len(tokens) < length:
            raise ModelError(f"the text has {len(tokens)} tokens; expected at least one block of {length}")
        generator = torch.Generator().manual_seed(seed)
        self.offsets = torch.randint(0, len(tokens) - length + 1, (count,), generator=generator)
        self.mapped: NDArray[Any] | None = tokens if isinstance(tokens, np.memmap) else None
        if self.mapped is None:
            # The smallest type that torch can index with later; bytes stay bytes.
            kept = np.uint8 if tokens.dtype == np.uint8 else np.int32
            self.tokens = torch.from_numpy(np.array(tokens, dtype=kept))
        self.length, self.vocabulary = length, vocabulary

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, index: Any) -> Item:
        start = int(self.offsets[index])
        if self.mapped is None:
            block = self.tokens[start : start + self.length].long()
        else:
            block = torch.from_numpy(np.array(self.mapped[start : start + self.length], dtype=np.int64))
            low, high = int(block.min()), int(block.max())
            if low < 0 or (self.vocabulary is not None and high >= self.vocabulary):
                raise ModelError(
                    f"tokens {start:,} to {start + self.length:,} of the file hold the number {low if low < 0 else high}; "
                    f"expected 0 to {'...' if self.vocabulary is None else self.vocabulary - 1}, the vocabulary"
                )
        return {"input_ids": block, "labels": block}
