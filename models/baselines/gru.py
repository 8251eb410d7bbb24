"""Gated recurrent units: the control line that does not spike."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .cell import Cell


class GRUState(NamedTuple):
    """hidden : ``[batch, width]``."""

    hidden: Tensor


class GRU(Cell):
    """`torch.nn.GRU` of one layer (Cho et al. 2014) behind the protocol; its output is real-valued, between -1 and 1."""

    SPIKING = False
    STATE = GRUState

    def __init__(self, width: int, length: int) -> None:
        super().__init__(width, length)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, x: Tensor, state: GRUState | None = None) -> tuple[Tensor, GRUState]:
        y, last = self.gru(x, None if state is None else state.hidden[None])
        return y, GRUState(last[0])
