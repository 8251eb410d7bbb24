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


class PadBatch:
    """Collate function: pads on the right to the longest text of the batch.

    Gives ``input_ids`` and ``attention_mask`` int64 ``[batch, longest]`` (mask 1 for tokens, 0 for padding) and ``labels``
    int64 ``[batch]``. multiple : lengths are rounded up to it (fewer shapes for compiled code and caches of kernels), but
    not above `limit`, if given.
    """

    def __init__(self, pad_id: int, multiple: int = 1, limit: int | None = None) -> None:
        if multiple < 1:
            raise ModelError(f"multiple is {multiple!r}; expected at least 1")
        self.pad_id, self.multiple, self.limit = pad_id, multiple, limit

    def __call__(self, items: Sequence[Item]) -> dict[str, Tensor]:
        lengths = [len(item["input_ids"]) for item in items]
        longest = -(-max(lengths) // self.multiple) * self.multiple
        if self.limit is not None:
            longest = max(max(lengths), min(longest, self.limit))
        ids = torch.full((len(items), longest), self.pad_id, dtype=torch.int64)
        mask = torch.zeros((len(items), longest), dtype=torch.int64)
        for row, (item, length) in enumerate(zip(items, lengths, strict=True)):
            ids[row, :length] = item["input_ids"]
            mask[row, :length] = 1
        batch = {"input_ids": ids, "attention_mask": mask}
        if "labels" in items[0]:
            batch["labels"] = torch.stack([torch.as_tensor(item["labels"]) for item in items])
        return batch


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
