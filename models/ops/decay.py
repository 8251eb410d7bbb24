"""From time constants to decays per step, and the powers of a decay that chunks need (AstroSNN, eq. 4, 5 and 9)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ModelError

READINGS = ("one_minus_inv", "exp", "literal_inverse")
# "Exponentially distributed between 32 and 512", one per head (AstroSNN, section 5.1).
SHORTEST, LONGEST = 32.0, 512.0


def decay(tau: float, reading: str = "one_minus_inv") -> float:
    """What is left after one step of a quantity whose time constant is `tau` steps.

    one_minus_inv : 1 - 1/tau, the Euler step of the leak and the schedule of a widespread RetNet variant; ours.
    exp : exp(-1/tau). literal_inverse : 1/tau as printed, with which a larger tau forgets faster; it is here to show that.

    Raises ModelError for another reading or a tau below 1 step.
    """
    if reading not in READINGS:
        raise ModelError(f"decay is {reading!r}; expected one of {', '.join(READINGS)}")
    if not 1.0 <= tau < math.inf:
        raise ModelError(f"tau is {tau!r} steps; expected a finite number of at least 1")
    if reading == "exp":
        return math.exp(-1.0 / tau)
    return 1.0 / tau if reading == "literal_inverse" else 1.0 - 1.0 / tau


def spectrum(heads: int, shortest: float = SHORTEST, longest: float = LONGEST) -> list[float]:
    """`heads` time constants in steps, equal in ratio from the shortest to the longest; one head takes the geometric mean.

    Raises ModelError unless heads >= 1 and 1 <= shortest <= longest.
    """
    if heads < 1:
        raise ModelError(f"heads is {heads}; expected at least 1")
    if not 1.0 <= shortest <= longest < math.inf:
        raise ModelError(f"time constants run from {shortest} to {longest} steps; expected 1 <= shortest <= longest")
    if heads == 1:
        return [math.sqrt(shortest * longest)]
    inner = [shortest * (longest / shortest) ** (i / (heads - 1)) for i in range(heads - 1)]
    return [*inner, longest]


def powers(decays: Sequence[float], exponents: Tensor, dtype: torch.dtype) -> Tensor:
    """decays ``[heads]`` to whole exponents ``[...]`` >= 0, worked out in float64: ``[heads, ...]`` in `dtype`.

    Always of differences of positions, never as gamma^i * gamma^-j, which overflows after a few hundred tokens.
    """
    base = torch.tensor(list(decays), dtype=torch.float64, device=exponents.device)
    return (base.view(-1, *[1] * exponents.dim()) ** exponents.double()).to(dtype)


def decay_matrix(decays: Sequence[float], time: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """M_ij = gamma^(i-j) for i >= j, else 0 (eq. 9 with the sign of its exponent as in eq. 5): ``[heads, time, time]``."""
    steps = torch.arange(time, device=device)
    # Differences are cut off at 0 before the power: a decay of nearly 0 to a negative power is infinite, and 0 * inf is NaN.
    return powers(decays, steps, dtype)[:, (steps[:, None] - steps).clamp_min(0)].tril()
