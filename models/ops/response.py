"""The calcium response g(G): how strongly accumulated presynaptic activation G divides the attention output.

Every response rises from g(0) = 0 through g(1) = 1. Eq. 14 of the paper is the power family; the others are curves that
the neuron-astrocyte simulation may prefer. A response is an immutable object, called on a tensor and injected into
the operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True)
class Hill:
    """g = G**n (1 + kappa**n) / (G**n + kappa**n): half of its ceiling at G = kappa, as steep there as n says.

    Computed as a logistic function of log G, which cannot overflow; the activation is clamped from below, as in `Power`.
    """

    kappa: float
    n: float
    family: ClassVar[str] = "hill"

    def __post_init__(self) -> None:
        _check_positive(self.family, "kappa", self.kappa)
        _check_positive(self.family, "n", self.n)
        if not abs(self.n * math.log10(self.kappa)) <= 30:
            raise ModelError(
                f"response hill: kappa is {self.kappa!r} and n {self.n!r}; expected kappa**n between 1e-30 and 1e30"
            )

    def __call__(self, activation: Tensor) -> Tensor:
        share = torch.sigmoid(self.n * (activation.clamp_min(ACTIVATION_FLOOR).log() - math.log(self.kappa)))
        raised = share * (1.0 + self.kappa**self.n)
        return torch.where(activation != 0, raised, torch.zeros_like(raised))

    def at(self, activation: float) -> float:
        if activation == 0:
            return 0.0
        exponent = min(max(self.n * math.log(self.kappa / activation), -700.0), 700.0)
        return (1.0 + self.kappa**self.n) / (1.0 + math.exp(exponent))


@dataclass(frozen=True)
class SaturatingExponential:
    """g = (1 - exp(-G / kappa)) / (1 - exp(-1 / kappa)): saturation that is complete after a few kappa."""

    kappa: float
    family: ClassVar[str] = "saturating_exponential"

    def __post_init__(self) -> None:
        _check_positive(self.family, "kappa", self.kappa)

    def __call__(self, activation: Tensor) -> Tensor:
        return torch.expm1(-activation / self.kappa) / math.expm1(-1.0 / self.kappa)

    def at(self, activation: float) -> float:
        return math.expm1(-activation / self.kappa) / math.expm1(-1.0 / self.kappa)


AnyResponse = Power | Hyperbola | Hill | Logarithm | SaturatingExponential

# By identifier: the class, and the names of its parameters.
FAMILIES: Mapping[str, tuple[Callable[..., AnyResponse], tuple[str, ...]]] = {
    "power": (Power, ("alpha",)),
    "hyperbola": (Hyperbola, ("kappa",)),
    "hill": (Hill, ("kappa", "n")),
    "logarithm": (Logarithm, ("kappa",)),
    "saturating_exponential": (SaturatingExponential, ("kappa",)),
}


def make_response(family: str, parameters: Mapping[str, float]) -> AnyResponse:
    """The response object of a family and its parameters (`alpha` for power, `kappa` and for hill also `n` for the others).

    Raises ValueError for an unknown family, a missing or foreign parameter, or a value that is not finite and positive.
    """
    if family not in FAMILIES:
        raise ModelError(f"response family is {family!r}; expected one of {', '.join(FAMILIES)}")
    constructor, names = FAMILIES[family]
    if set(parameters) != set(names):
        raise ModelError(f"response {family} has parameters {sorted(parameters)}; expected exactly {list(names)}")
    return constructor(**parameters)
