"""The calcium response g(G): how strongly accumulated presynaptic activation G divides the attention output.

Every response rises from g(0) = 0 through g(1) = 1. Eq. 14 of the paper is the power family; the others are curves that
the neuron-astrocyte simulation may prefer. A response is an immutable object, called on a tensor and injected into
the operators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from ..errors import ModelError

# d(G**a)/dG = a G**(a-1) explodes as G -> 0, and the first token of a decoder can have G = phi(k_1) near 0.
ACTIVATION_FLOOR = 1e-6


class Response(Protocol):
    """g(G), elementwise, for G >= 0 in units of activation (one unit: a summed phi(k) of 1)."""

    family: ClassVar[str]

    def __call__(self, activation: Tensor) -> Tensor:
        """g of every entry, same shape and dtype, exactly 0 where the activation is 0; the gradient is finite everywhere."""
        ...

    def at(self, activation: float) -> float:
        """g at one number, without tensors."""
        ...


def _check_positive(family: str, name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ModelError(f"response {family}: {name} is {value!r}; expected a finite number above 0")


@dataclass(frozen=True)
class Power:
    """g = G**alpha (eq. 14). The activation is clamped from below inside the power, so gradients stay finite."""

    alpha: float
    family: ClassVar[str] = "power"

    def __post_init__(self) -> None:
        _check_positive(self.family, "alpha", self.alpha)

    def __call__(self, activation: Tensor) -> Tensor:
        if self.alpha == 1.0:
            return activation
        raised = activation.clamp_min(ACTIVATION_FLOOR) ** self.alpha
        # x != 0 rather than x > 0: NaN must stay NaN.
        return torch.where(activation != 0, raised, torch.zeros_like(raised))

    def at(self, activation: float) -> float:
        return float(activation**self.alpha)


@dataclass(frozen=True)
class Hyperbola:
    """g = G (1 + kappa) / (G + kappa): linear at first, saturating at 1 + kappa; half of that at G = kappa."""

    kappa: float
    family: ClassVar[str] = "hyperbola"

    def __post_init__(self) -> None:
        _check_positive(self.family, "kappa", self.kappa)

    def __call__(self, activation: Tensor) -> Tensor:
        return activation * (1.0 + self.kappa) / (activation + self.kappa)

    def at(self, activation: float) -> float:
        return activation * (1.0 + self.kappa) / (activation + self.kappa)


@dataclass(frozen=True)
class Logarithm:
    """g = log(1 + G/kappa) / log(1 + 1/kappa)."""

    kappa: float
    family: ClassVar[str] = "logarithm"

    def __post_init__(self) -> None:
        _check_positive(self.family, "kappa", self.kappa)

    def __call__(self, activation: Tensor) -> Tensor:
        return torch.log1p(activation / self.kappa) / math.log1p(1.0 / self.kappa)

    def at(self, activation: float) -> float:
        return math.log1p(activation / self.kappa) / math.log1p(1.0 / self.kappa)


FAMILIES: Mapping[str, tuple[type[Power] | type[Hyperbola] | type[Logarithm], str]] = {
    "power": (Power, "alpha"),
    "hyperbola": (Hyperbola, "kappa"),
    "logarithm": (Logarithm, "kappa"),
}


def make_response(family: str, parameters: Mapping[str, float]) -> Power | Hyperbola | Logarithm:
    """The response object of a family and its one parameter (`alpha` for power, `kappa` for the others).

    Raises ValueError for an unknown family, a missing or foreign parameter, or a value that is not finite and positive.
    """
    if family not in FAMILIES:
        raise ModelError(f"response family is {family!r}; expected one of {', '.join(FAMILIES)}")
    constructor, name = FAMILIES[family]
    if set(parameters) != {name}:
        raise ModelError(f"response {family} has parameters {sorted(parameters)}; expected exactly [{name!r}]")
    return constructor(parameters[name])
