"""The batch of a step shared out over processes: rows in their order, and the weight by which the shares make up the whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .errors import ModelError
from .processes import Processes
from .recipes import Recipe
from .tasks.base import Batches

# What a share of a batch of labelled examples says of itself, beside inputs and labels.
WEIGHT = "weight_of_share"
# torch's cross entropy leaves out labels of this value.
_IGNORED = -100


class Shares(Batches):
    """The rows of every batch that one process reads: ``[n r/P, n (r+1)/P)`` of n, so that no row is read twice.

    A gradient averaged over P processes is that of the whole batch if each mean loss counts by P times its share of the rows,
    which `WEIGHT` says. A language model's loss is a sum over the tokens of all processes already and has no need of it. The
    last batch of an epoch may have fewer rows than there are processes; who has none reads one that does not count.
    """

    def __init__(self, batches: Batches, processes: Processes, *, language: bool) -> None:
        self.batches, self.processes, self.language = batches, processes, language
        self.steps_per_epoch = batches.steps_per_epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: Any) -> dict[str, Tensor]:
        batch = self.batches[index]
        count, rank = self.processes.count, self.processes.rank
        rows = len(batch["labels"])
        first, end = rows * rank // count, rows * (rank + 1) // count
        share = {name: tensor[first : max(end, first + 1)] for name, tensor in batch.items()}
        if not self.language:
            return {**share, WEIGHT: torch.tensor(count * (end - first) / rows)}
        if end == first:
            share["labels"] = torch.full_like(share["labels"], _IGNORED)
        return share


def check_shares(recipe: Recipe, processes: Processes) -> None:
    """ModelError for a batch that the processes cannot share evenly, and for shards of one process."""
    if recipe.batch_size % processes.count:
        raise ModelError(
            f"recipe {recipe.name}: batch_size is {recipe.batch_size} and there are {processes.count} processes; expected a "
            "multiple of their number"
        )
    if recipe.sharding != "none" and processes.count == 1:
        raise ModelError(
            f"recipe {recipe.name}: sharding is {recipe.sharding!r} and there is one process; start with torchrun "
            "--nproc-per-node N -m astromorphic train ..., or set sharding=none"
        )
