"""Adaptive LIF: every spike raises the unit's threshold, which falls back slowly. That slow threshold is its memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError
from .cell import TimeConstants
from .lif import LIF, start


class ALIFState(NamedTuple):
    """membrane, spikes, adaptation : ``[batch, width]``, float32; spikes are those of the last step, 0 or 1."""

    membrane: Tensor
    spikes: Tensor
    adaptation: Tensor


class ALIF(LIF):
    """`LIF` with eta_t = rho eta_{t-1} + (1 - rho) z_{t-1} and theta_t = threshold + beta eta_t in place of theta.

    rho = exp(-1/tau_adapt) per unit, learned as tau is. tau_adapt : where it starts, log-uniform between two values; None for
    20 to twice the length of the sequences (at least 20), the order that the task asks for. beta 1.8 (Bellec et al. 2018); Yin
    et al. use 0.184 for speech with a threshold of 1.6. `recurrent` as its authors have it. With beta = 0 this is `LIF`.

    Source: Yin, Corradi, Bohte 2021 (arXiv 2103.12593) and its repository byin-cwi/Efficient-spiking-networks.
    """

    STATE = ALIFState
    SETTINGS = (*LIF.SETTINGS, "beta", "tau_adapt")

    def __init__(
        self,
        width: int,
        length: int,
        *,
        beta: float = 1.8,
        tau_adapt: tuple[float, float] | None = None,
        learn_tau: bool = True,
        recurrent: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(width, length, learn_tau=learn_tau, recurrent=recurrent, **settings)
        if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta <= 1e6:
            raise ModelError(f"beta is {beta!r:.60}; expected a number from 0 to 1e+06")
        self.beta = float(beta)
        self.tau_adapt = TimeConstants(width, tau_adapt or (20.0, max(20.0, 2.0 * length)), learn_tau)

    def forward(self, x: Tensor, state: ALIFState | None = None) -> tuple[Tensor, ALIFState]:  # type: ignore[override]
        leak, slow = self.tau(), self.tau_adapt()
        drive = self.drive(x, leak)
        u, z, eta = start(drive, 3) if state is None else state
        spikes = []
        for t in range(x.shape[1]):
            eta = slow * eta + (1.0 - slow) * z
            threshold = self.threshold + self.beta * eta
            u = leak * u + self.fed_back(drive[:, t], z, leak) - threshold * z
            z = self.fire(u, threshold)
            spikes.append(z)
        return torch.stack(spikes, dim=1), ALIFState(u, z, eta)
