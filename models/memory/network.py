"""Observations to actions through recurrent cells, at a number of parameters that is the same for all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..baselines import cell_class, make_cell
from ..baselines.cell import Cell
from ..environments.base import Environment
from ..errors import ModelError

# Two networks within this share of each other count as equally large.
TOLERANCE = 0.05


class Reading(NamedTuple):
    """What a network makes of observations: logits ``[batch, time, actions]``, value ``[batch, time]`` (the return that it
    expects, in units of the environment's `return_scale`), the state of every layer, activity ``[layers]``: mean output, a
    firing rate where the cell spikes (no gradient)."""

    logits: Tensor
    value: Tensor
    state: tuple[Any, ...]
    activity: Tensor


class MemoryNetwork(nn.Module):
    """encoder, cells one above the other, and a linear policy and value on the output of the last one.

    The same shell for every cell: no residual path, no norm and no feed-forward part, so that what is remembered is
    remembered in the cells.
    """

    def __init__(self, n_features: int, n_actions: int, cells: list[Cell]) -> None:
        super().__init__()
        width = cells[0].width
        self.encoder = nn.Linear(n_features, width)
        self.cells = nn.ModuleList(cells)
        self.policy = nn.Linear(width, n_actions)
        self.value = nn.Linear(width, 1)

    def forward(self, observations: Tensor, state: tuple[Any, ...] | None = None) -> Reading:
        """observations ``[batch, time, features]``; state as an earlier call gave it back, None at the start of episodes."""
        y = self.encoder(observations)
        before = (None,) * len(self.cells) if state is None else state
        after, activity = [], []
        for cell, one in zip(self.cells, before, strict=True):
            y, left = cell(y, one)
            after.append(left)
            activity.append(y.detach().mean())
        return Reading(self.policy(y), self.value(y)[..., 0], tuple(after), torch.stack(activity))


def build_network(model: str, environment: Environment, width: int, layers: int = 2, **cell: Any) -> MemoryNetwork:
    """An untrained network from torch's present random state; `cell`: settings of its cells. ModelError as `make_cell`."""
    cells = [make_cell(model, width, environment.n_steps, **cell) for _ in range(layers)]
    return MemoryNetwork(environment.n_features, environment.n_actions, cells)


def n_parameters(network: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(p.numel() for p in network.parameters())


def matched_width(model: str, environment: Environment, parameters: int, layers: int = 2, **cell: Any) -> int:
    """The width whose network comes closest to `parameters` (built without numbers in it).

    Raises ModelError if the closest is more than 5 % off: cells whose widths go in large steps, or a number too small.
    """
    step = cell_class(model).WIDTH_MULTIPLE

    def size(width: int) -> int:
        with torch.device("meta"):
            return n_parameters(build_network(model, environment, width, layers, **cell))

    low, high = 1, 2
    while size(high * step) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle * step) < parameters else (low, middle)
    width = min((low * step, high * step), key=lambda w: abs(size(w) - parameters))
    if abs(size(width) / parameters - 1.0) > TOLERANCE:
        raise ModelError(
            f"{model} has {size(low * step):,} parameters with width {low * step} and {size(high * step):,} with {high * step}; "
            f"neither is within 5 % of {parameters:,}; ask for one of these numbers, or set width"
        )
    return width
