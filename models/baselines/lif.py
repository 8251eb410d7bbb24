"""Leaky integrate-and-fire units with a soft reset, with or without recurrent spikes."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..ops.spike import check_surrogate, spike
from ..settings import check_choice, check_number
from .cell import Cell, TimeConstants, check_switch

GAINS = ("one", "leak")
# Thresholds per step.
_TONIC = 0.3


class LIFState(NamedTuple):
    """membrane, spikes : ``[batch, width]``, float32; spikes are those of the last step, 0 or 1."""

    membrane: Tensor
    spikes: Tensor


class LIF(Cell):
    """u_t = lambda u_{t-1} + g I_t - theta z_{t-1}; z_t = 1 where u_t >= theta; I_t = W x_t + b + V z_{t-1}.

    The reset is soft: a spike takes theta off the membrane. lambda = exp(-1/tau) per unit. gain : "one", g = 1, the input of
    the AstroSNN paper; "leak", g = 1 - lambda, with which units of long tau are silent unless weights grow. tau : where time
    constants start, log-uniform between two values, in steps. V is there only if `recurrent`. The surrogate acts on
    (u - theta)/theta.

    Source: soft reset and time constants as in Yin et al. 2021 (arXiv 2103.12593), whose threshold adapts: see `ALIF`.
    """

    STATE: ClassVar[Any] = LIFState
    SETTINGS: ClassVar[tuple[str, ...]] = (
        "tau",
        "learn_tau",
        "decay",
        "recurrent",
        "threshold",
        "gain",
        "surrogate",
        "alpha",
    )

    def __init__(
        self,
        width: int,
        length: int,
        *,
        tau: tuple[float, float] = (20.0, 20.0),
        learn_tau: bool = True,
        decay: str = "exp",
        recurrent: bool = False,
        threshold: float = 1.0,
        gain: str = "one",
        surrogate: str = "triangle",
        alpha: float = 1.0,
    ) -> None:
        super().__init__(width, length)
        check_choice("gain", gain, GAINS)
        check_number("threshold", threshold, low=1e-6, high=1e6, closed_high=True)
        check_switch("recurrent", recurrent)
        check_surrogate(surrogate, alpha)
        self.threshold, self.gain, self.surrogate, self.alpha = float(threshold), gain, surrogate, float(alpha)
        self.input = nn.Linear(width, width)
        self.recurrent = nn.Linear(width, width, bias=False) if recurrent else None
        self.tau = TimeConstants(width, tau, learn_tau, decay)
        with torch.no_grad():
            self.input.bias.copy_(self.tonic(self.tau()))

    def tonic(self, leak: Tensor) -> Tensor:
        """Initial biases: what just holds a membrane at the threshold against its leak, and up to 0.3 thresholds more or less.

        Half of the units then fire by themselves, at up to about 0.3 spikes per step, whatever their time constants are: no
        layer is silent, and none fires all the time.
        """
        drive = self.threshold * ((1.0 - leak) + _TONIC * (2.0 * torch.rand(self.width) - 1.0))
        return drive if self.gain == "one" else drive / (1.0 - leak)

    def forward(self, x: Tensor, state: LIFState | None = None) -> tuple[Tensor, LIFState]:
        leak = self.tau()
        drive = self.drive(x, leak)
        u, z = start(drive, 2) if state is None else state
        spikes = []
        for t in range(x.shape[1]):
            u = leak * u + self.fed_back(drive[:, t], z, leak) - self.threshold * z
            z = self.fire(u, self.threshold)
            spikes.append(z)
        return torch.stack(spikes, dim=1), LIFState(u, z)

    def drive(self, x: Tensor, leak: Tensor) -> Tensor:
        """Input from outside, all steps at once ``[batch, time, width]``, float32 or better."""
        outside: Tensor = self.input(x)
        return outside if self.gain == "one" else (1.0 - leak) * outside

    def fed_back(self, drive: Tensor, z: Tensor, leak: Tensor) -> Tensor:
        """Input of one step with the spikes of the step before."""
        if self.recurrent is None:
            return drive
        inside: Tensor = self.recurrent(z)
        return drive + (inside if self.gain == "one" else (1.0 - leak) * inside)

    def fire(self, u: Tensor, threshold: Tensor | float) -> Tensor:
        """Spikes; in units of the resting threshold the surrogate has the same reach whatever that is."""
        return spike((u - threshold) / self.threshold, self.surrogate, self.alpha)


def start(drive: Tensor, count: int) -> Any:
    """`count` zero tensors ``[batch, width]``: units at rest that have not fired."""
    return tuple(torch.zeros_like(drive[:, 0]) for _ in range(count))
