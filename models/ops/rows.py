"""Padding in a recurrence whose state decays: the distance between two tokens is a count of real ones, so rows differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def rows_alone(
    run: Callable[[list[Tensor], Any], tuple[list[Tensor], Any]], tokens: list[Tensor], state: Any, mask: Tensor | None
) -> tuple[list[Tensor], Any]:
    """run(tokens, state) on the real tokens of every row alone, where a mask hides any; otherwise on the whole batch.

    tokens : tensors ``[batch, time, ...]``; state : a tuple of tensors ``[batch, ...]`` or None; mask ``[batch, time]``, True for
    real tokens. `run` gives tensors ``[batch, time, ...]`` and a state. Results are 0 at masked tokens, whose content is never
    read, and a row's state is that after its last real token.
    """
    if mask is None or bool(mask.all()):
        return run(tokens, state)
    batch, time = mask.shape
    outputs: list[list[Tensor]] = []
    states: list[Any] = []
    for row in range(batch):
        real = mask[row].nonzero()[:, 0]
        before = None if state is None else like(state, [x[row : row + 1] for x in state])
        found, after = run([x[row : row + 1, real] for x in tokens], before)
        outputs.append([y.new_zeros(time, *y.shape[2:]).index_put((real,), y[0]) for y in found])
        states.append(after)
    joined = [torch.stack(parts) for parts in zip(*outputs, strict=True)]
    return joined, like(states[0], [torch.cat(parts) for parts in zip(*states, strict=True)])


def like(state: Any, tensors: list[Tensor]) -> Any:
    """The same kind of named tuple, or a plain one."""
    return type(state)(*tensors) if hasattr(state, "_fields") else tuple(tensors)
