"""The state that generation carries: one object, passed as `past_key_values`, never changed in place by the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..carried_state import CarriedState
from ..ops.softmax import SoftmaxState
from ..ops.state import HebbianState, ScaledState

LayerState = HebbianState | ScaledState | SoftmaxState | None


class PositionCode(NamedTuple):
    """W_astro^T ``[N_max, heads, m]`` of one layer and a copy of the matrix M that it belongs to (eq. 12)."""

    code: Tensor
    matrix: Tensor

    def belongs_to(self, matrix: Tensor) -> bool:
        """By value, which no way of changing a weight, a dtype or a device can get around."""
        mine = self.matrix
        return mine.device == matrix.device and mine.dtype == matrix.dtype and torch.equal(mine, matrix)


@dataclass
class AstromorphicState(CarriedState):
    """State after `seen` columns of input.

    layers: per layer a `HebbianState` or `ScaledState` (constant size), a `SoftmaxState` (grows; the softmax control) or None
    (the control without attention). positions: real tokens seen per row, ``[batch]``; it is smaller than `seen` where a
    row was padded on the left. codes: per layer the position code, handed on because working all N_max of them out again
    would be 15 to 30 % of a step with 64 to 128 positions and 90 % with 1024; empty or None where there is none to keep.
    """

    layers: list[LayerState]
    codes: list[PositionCode | None] = field(default_factory=list)

    @classmethod
    def empty(cls, num_layers: int, batch: int, device: torch.device | str | None = None) -> AstromorphicState:
        """The state before any token; layers create their own zeros."""
        return cls([None] * num_layers, torch.zeros(batch, dtype=torch.long, device=device), 0)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the rows `beam_idx` (beam search)."""
        self.layers = [_select(layer, beam_idx) for layer in self.layers]
        self.positions = self.positions.index_select(0, beam_idx.to(self.positions.device))


def _select(layer: LayerState, rows: Tensor) -> LayerState:
    if layer is None:
        return None
    return type(layer)(*(t.index_select(0, rows.to(t.device)) for t in layer))  # type: ignore[arg-type]
