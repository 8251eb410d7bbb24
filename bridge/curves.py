"""The families of response curves, by identifier.

Every family has the form

    y(f) = offset + b shape(f; theta)

with one nonlinear parameter theta > 0 (an exponent or a rate in Hz), so that for a given theta the best offset and b
follow from linear least squares. The offset is zero, the resting calcium (a constant that is passed in), or a free
parameter c. Rates f enter as pure numbers in Hz, calcium and therefore b and c are in uM. The functions accept
complex parameter values, so derivatives can be checked by complex steps. Nothing but NumPy is imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from biosim.registry import choose

Array = NDArray[np.float64]


class MissingRest(ValueError):
    """A family above the resting calcium meets a curve whose resting calcium is not known."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of a family: its name, its unit ("1" if it has none) and its meaning."""

    name: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Family:
    """A curve family y(f) = offset + b shape(f; theta).

    Attributes
    ----------
    name : identifier in the registry.
    equation : the curve in plain text, f in Hz, y in uM.
    description : what the family says about the synapse.
    parameters : all fitted parameters; the order of Jacobian columns and covariances. The last one is theta.
    offset : "none", "rest" (the resting calcium, passed as a constant) or "free" (the parameter c).
    shape : function (f, theta) -> shape, broadcasting.
    shape_derivative : its derivative with respect to theta.
    limits : function of the rates f [n] giving the smallest and largest theta that is searched.
    """

    name: str
    equation: str
    description: str
    parameters: tuple[Parameter, ...]
    offset: Literal["none", "rest", "free"]
    shape: Callable[[Any, Any], Any]
    shape_derivative: Callable[[Any, Any], Any]
    limits: Callable[[Array], tuple[float, float]]

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def nonlinear(self) -> str:
        """Name of the nonlinear parameter theta."""
        return self.parameters[-1].name

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the parameters that enter linearly: ("b",) or ("c", "b")."""
        return self.parameter_names[:-1]

    def unit(self, parameter: str) -> str:
        choose(f"parameter of family {self.name!r}", parameter, self.parameter_names)
        return next(p.unit for p in self.parameters if p.name == parameter)

    def evaluate(self, f: Any, values: Mapping[str, Any], resting_calcium: float | None = None) -> Any:
        """Curve at rates `f` (Hz, any shape); returns uM. `resting_calcium` (uM) only for families above rest.

        Raises
        ------
        MissingRest
            The family needs the resting calcium and none was given.
        """
        scaled = values["b"] * self.shape(np.asarray(f), values[self.nonlinear])
        if self.offset == "free":
            return values["c"] + scaled
        return self.fixed_offset(resting_calcium) + scaled

    def jacobian(self, f: Any, values: Mapping[str, Any]) -> Any:
        """Derivatives of the curve at rates `f` [n] with respect to the parameters, in their order: [n,
        n_parameters]."""
        f = np.asarray(f)
        theta = values[self.nonlinear]
        columns = [self.shape(f, theta), values["b"] * self.shape_derivative(f, theta)]
        if self.offset == "free":
            columns.insert(0, np.ones_like(columns[0]))
        return np.stack(columns, axis=-1)

    def fixed_offset(self, resting_calcium: float | None) -> float:
        """The constant that is not fitted (uM): the resting calcium for families above rest, else 0."""
        if self.offset != "rest":
            return 0.0
        if resting_calcium is None:
            raise MissingRest(
                f"family {self.name!r} needs the resting calcium and the curve has none; "
                "give it (--resting-calcium or, in Python, curve.with_resting_calcium(value in uM))"
            )
        return resting_calcium


def _power(f: Any, alpha: Any) -> Any:
    return f**alpha


def _power_derivative(f: Any, alpha: Any) -> Any:
    # f**alpha log f tends to 0 with f for every alpha > 0.
    return np.where(f > 0, f**alpha * np.log(np.where(f > 0, f, 1.0)), 0.0)


def _hyperbola(f: Any, k: Any) -> Any:
    return f / (f + k)


def _hyperbola_derivative(f: Any, k: Any) -> Any:
    return -f / (f + k) ** 2


def _logarithm(f: Any, k: Any) -> Any:
    return np.log1p(f / k)


def _logarithm_derivative(f: Any, k: Any) -> Any:
    return -f / (k * (k + f))


def _exponent_limits(f: Array) -> tuple[float, float]:
    # At alpha = 0 the power is constant; 0.001 is already a logarithm to within 0.1 % over a decade.
    return 1e-3, 10.0


def _rate_limits(f: Array) -> tuple[float, float]:
    # Three decades beyond the measured rates: further out the curve is a straight line or a step for every purpose.
    return 1e-3 * float(np.min(f[f > 0])), 1e3 * float(np.max(f))


_C = Parameter("c", "uM", "calcium at zero input")
_B = Parameter("b", "uM", "scale of the rise")
_ALPHA = Parameter("alpha", "1", "exponent of the input rate")
_K = Parameter("k", "Hz", "rate at which the response bends")

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "power",
            "y = b f^alpha",
            "power law through the origin, the reading of the astromorphic-transformer papers",
            (_B, _ALPHA),
            "none",
            _power,
            _power_derivative,
            _exponent_limits,
        ),
        Family(
            "power_offset",
            "y = c + b f^alpha",
            "power law above a fitted calcium level",
            (_C, _B, _ALPHA),
            "free",
            _power,
            _power_derivative,
            _exponent_limits,
        ),
        Family(
            "power_above_rest",
            "y = C_rest + b f^alpha",
            "power law above the resting calcium, which is a known constant",
            (_B, _ALPHA),
            "rest",
            _power,
            _power_derivative,
            _exponent_limits,
        ),
        Family(
            "hyperbola",
            "y = c + b f / (f + k)",
            "saturation with half-rate k, as depression and retrograde suppression predict",
            (_C, _B, _K),
            "free",
            _hyperbola,
            _hyperbola_derivative,
            _rate_limits,
        ),
        Family(
            "logarithm",
            "y = c + b ln(1 + f / k)",
            "decelerating rise without saturation, linear below k",
            (_C, _B, _K),
            "free",
            _logarithm,
            _logarithm_derivative,
            _rate_limits,
        ),
    )
}


def family_named(name: str | Family) -> Family:
    """The family with identifier `name`; a `Family` is passed through, so that own families can be fitted.

    Raises
    ------
    UnknownName
        Listing the identifiers and the nearest match.
    """
    if isinstance(name, Family):
        return name
    return FAMILIES[choose("curve family", name, FAMILIES)]
