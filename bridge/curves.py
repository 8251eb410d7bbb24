"""The families of response curves, by identifier.

Every family has the form

    y(f) = offset + b shape(f; theta)

with one or two nonlinear shape parameters theta > 0 (exponents and rates in Hz), so that for a given theta the best
offset and b follow from linear least squares. The offset is zero, the resting calcium (a constant that is passed in),
or a free parameter c. Rates f enter as pure numbers in Hz, calcium and therefore b and c are in uM; a curve in other
units (epochs, percent) takes its own. The functions accept complex parameter values, so derivatives can be checked by
complex steps. Nothing but NumPy is imported here.

The monotone spline, which has no formula, is in `bridge.spline`.
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


class NoFormula(ValueError):
    """The monotone spline where a family with parameters is needed."""


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
    parameters : all fitted parameters; the order of Jacobian columns and covariances: c where the offset is free, b,
        then the shape parameters theta, of which there are one or two.
    offset : "none", "rest" (the resting calcium, passed as a constant) or "free" (the parameter c).
    shape : function (f, *theta) -> shape, broadcasting.
    shape_derivative : its derivative with respect to theta; a tuple of derivatives where there are two.
    limits : function of the rates f [n] giving the smallest and largest theta that is searched; a tuple of such pairs
        where there are two.
    """

    name: str
    equation: str
    description: str
    parameters: tuple[Parameter, ...]
    offset: Literal["none", "rest", "free"]
    shape: Callable[..., Any]
    shape_derivative: Callable[..., Any]
    limits: Callable[[Array], Any]

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of the parameters that enter linearly: ("b",) or ("c", "b")."""
        return ("c", "b") if self.offset == "free" else ("b",)

    @property
    def nonlinears(self) -> tuple[str, ...]:
        """Names of the shape parameters theta."""
        return self.parameter_names[len(self.linear) :]

    @property
    def nonlinear(self) -> str:
        """Name of the first shape parameter, the one a table shows."""
        return self.nonlinears[0]

    def bounds(self, x: Array) -> dict[str, tuple[float, float]]:
        """Searched range of each shape parameter for a curve at rates `x` [n]."""
        limits = self.limits(x)
        pairs = (limits,) if len(self.nonlinears) == 1 else limits
        return {name: (float(low), float(high)) for name, (low, high) in zip(self.nonlinears, pairs, strict=True)}

    def derivatives(self, f: Any, *theta: Any) -> tuple[Any, ...]:
        """Derivatives of the shape with respect to each theta, broadcasting as `shape` does."""
        found = self.shape_derivative(f, *theta)
        return found if isinstance(found, tuple) else (found,)

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
        scaled = values["b"] * self.shape(np.asarray(f), *(values[name] for name in self.nonlinears))
        if self.offset == "free":
            return values["c"] + scaled
        return self.fixed_offset(resting_calcium) + scaled

    def jacobian(self, f: Any, values: Mapping[str, Any]) -> Any:
        """Derivatives of the curve at rates `f` [n] with respect to the parameters, in their order: [n,
        n_parameters]."""
        f = np.asarray(f)
        theta = [values[name] for name in self.nonlinears]
        columns = [self.shape(f, *theta), *(values["b"] * slope for slope in self.derivatives(f, *theta))]
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


def _hill(f: Any, k: Any, n: Any) -> Any:
    ratio = (f / k) ** n
    return ratio / (1 + ratio)


def _hill_derivative(f: Any, k: Any, n: Any) -> tuple[Any, Any]:
    ratio = (f / k) ** n
    # s (1 - s), in a form whose parts stay representable however steep the curve is.
    slope = ratio / (1 + ratio) / (1 + ratio)
    logarithm = np.log(np.where(f > 0, f, 1.0) / k)
    return -n / k * slope, np.where(f > 0, slope * logarithm, 0.0)


def _saturating_exponential(f: Any, k: Any) -> Any:
    return -np.expm1(-f / k)


def _saturating_exponential_derivative(f: Any, k: Any) -> Any:
    return -f / k**2 * np.exp(-f / k)


def _exponent_limits(f: Array) -> tuple[float, float]:
    # At alpha = 0 the power is constant; 0.001 is already a logarithm to within 0.1 % over a decade.
    return 1e-3, 10.0


def _rate_limits(f: Array) -> tuple[float, float]:
    # Three decades beyond the measured rates: further out the curve is a straight line or a step for every purpose.
    return 1e-3 * float(np.min(f[f > 0])), 1e3 * float(np.max(f))


def _hill_limits(f: Array) -> tuple[tuple[float, float], tuple[float, float]]:
    # Two decades beyond the rates a Hill curve is a power law; above n = 10 it is a step, below 0.2 a logarithm.
    return (1e-2 * float(np.min(f[f > 0])), 1e2 * float(np.max(f))), (0.2, 10.0)


def _exponential_limits(f: Array) -> tuple[float, float]:
    # Below a tenth of the smallest rate the rise is over before the first point and the curve is flat to 5e-5.
    return 0.1 * float(np.min(f[f > 0])), 1e3 * float(np.max(f))


_C = Parameter("c", "uM", "calcium at zero input")
_B = Parameter("b", "uM", "scale of the rise")
_ALPHA = Parameter("alpha", "1", "exponent of the input rate")
_K = Parameter("k", "Hz", "rate at which the response bends")
_N = Parameter("n", "1", "Hill coefficient, the steepness on a logarithmic axis of rates")

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
            "hill",
            "y = c + b f^n / (f^n + k^n)",
            "cooperative saturation with half-rate k; n = 1 is the hyperbola, n > 1 a sigmoid",
            (_C, _B, _K, _N),
            "free",
            _hill,
            _hill_derivative,
            _hill_limits,
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
        Family(
            "saturating_exponential",
            "y = c + b (1 - exp(-f / k))",
            "saturation that is complete after a few k, as of a store that fills",
            (_C, _B, _K),
            "free",
            _saturating_exponential,
            _saturating_exponential_derivative,
            _exponential_limits,
        ),
    )
}


def family_named(name: str | Family) -> Family:
    """The family with identifier `name`; a `Family` is passed through, so that own families can be fitted.

    Raises
    ------
    UnknownName
        Listing the identifiers and the nearest match.
    NoFormula
        The monotone spline, which is not a family of this kind.
    """
    if isinstance(name, Family):
        return name
    if name == "monotone_spline":
        raise NoFormula(
            "family 'monotone_spline' has no formula and no parameters; use bridge.fit_spline or bridge.compare"
        )
    return FAMILIES[choose("curve family", name, FAMILIES)]
