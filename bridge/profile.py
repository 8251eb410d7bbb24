"""Profile-likelihood intervals, by an own scan that also works at a limit and for parameters that are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from biosim.registry import choose

from .checks import check_problem, chosen_limits
from .curves import Array, Family, family_named
from .measure import Curve, expect_curve
from .optimiser import inverse_normal_matrix
from .projection import Held, Limits, Projected, project
from .weights import PointErrors, point_errors

# Points of the profile over the range of a shape parameter, and on each side of a linear one.
_GRID = 400
_GRID_BOTH = 120
_GRID_LINEAR = 60


@dataclass(frozen=True, eq=False)
class ProfileInterval:
    """Values of one parameter that the data do not reject.

    low, high : ends of the interval; None where it is open, that is, not closed within the limits that were searched.
    limits : the searched range. grid, residual_sum : the profile itself [m], for drawing. threshold : residual sum at
        the ends.
    """

    family: str
    parameter: str
    unit: str
    value: float
    low: float | None
    high: float | None
    level: float
    limits: tuple[float, float]
    threshold: float
    grid: Array
    residual_sum: Array

    @property
    def closed(self) -> bool:
        """Whether the interval has both ends."""
        return self.low is not None and self.high is not None

    def __str__(self) -> str:
        low = "open" if self.low is None else f"{self.low:.4g}"
        high = "open" if self.high is None else f"{self.high:.4g}"
        return f"{self.parameter} = {self.value:.4g} [{low}, {high}] {self.unit}"


def profile_interval(
    curve: Curve,
    family: str | Family,
    parameter: str | None = None,
    *,
    level: float = 0.95,
    weighted: bool = False,
    limits: tuple[float, float] | Limits | None = None,
) -> ProfileInterval:
    """Interval of one parameter of `family` (its first shape parameter if None) at confidence `level`.

    The residual sum as a function of that parameter, all others refitted, is compared with its minimum: F test with the
    residual variance, or, if `weighted`, the chi-square test with the known spread of the points. Where that is
    estimated from trials, the chi-square distance is scaled by the variance of the parameter that the trials give over the
    one that the weights suppose (see `bridge.weights`; Rotnitzky and Jewell 1990, Biometrika 77:485). All assume
    independent normal errors, of equal size unless `weighted`. A shape parameter is searched within its limits, a linear
    one up to a million times its scale on both sides.

    Raises
    ------
    UnknownName
        Unknown family or parameter.
    FitError
        Too few points, constant data, impossible level or limits.
    MissingRest, CurveError
        `curve` is no Curve, or the family needs the resting calcium, or weights need a spread, that it does not have.
    """
    from scipy.optimize import brentq
    from scipy.special import fdtri

    chosen = family_named(family)
    name = chosen.nonlinear if parameter is None else parameter
    choose(f"parameter of family {chosen.name!r}", name, chosen.parameter_names)
    curve = expect_curve(curve)
    check_problem(curve, chosen, level, limits)
    rest = chosen.fixed_offset(curve.resting_calcium)
    errors = point_errors(curve) if weighted else None
    sigma = np.ones(curve.n_points) if errors is None else errors.sigma
    searched = chosen_limits(chosen, curve, limits)
    n_parameters = len(chosen.parameters)
    freedom = curve.n_points - n_parameters
    best = project(chosen, curve.x, curve.y[None, :], sigma, rest, searched)
    minimum = float(best.residual_sum[0])
    if errors is not None:
        threshold = minimum + _distance(chosen, curve, best, errors, name, level)
    else:
        threshold = minimum * (1 + float(fdtri(1, freedom, level)) / freedom)
    is_shape = name in chosen.nonlinears

    def value_at(position: Any) -> Any:
        """The parameter; shape parameters are searched on a logarithmic axis."""
        return np.exp(position) if is_shape else position

    def refitted(position: Array) -> Projected:
        """The best fits with the parameter held at positions [m]."""
        values = value_at(position)
        held = Held(theta={name: values}) if is_shape else Held(offset=values) if name == "c" else Held(scale=values)
        y = np.broadcast_to(curve.y, (len(values), curve.n_points))
        return project(chosen, curve.x, y, sigma, rest, searched, held)

    def excess(position: float) -> float:
        return float(refitted(np.array([position])).residual_sum[0]) - threshold

    if is_shape:
        centre = float(np.log(best.theta[0, chosen.nonlinears.index(name)]))
        low, high = (float(v) for v in np.log(searched[name]))
        span = 1.0
        grid = np.linspace(low, high, _GRID if len(chosen.nonlinears) == 1 else _GRID_BOTH)
    else:
        centre = float((best.offset if name == "c" else best.scale)[0])
        scale = max(abs(centre), float(np.ptp(curve.y)))
        steps = scale * np.geomspace(1e-6, 1e6, _GRID_LINEAR)
        grid = np.concatenate([centre - steps[::-1], centre + steps])
        low, high = float(grid[0]), float(grid[-1])
        span = scale
    profile = refitted(grid).residual_sum - threshold

    def end(outwards: Array, beyond: Array) -> float | None:
        """Where the profile first exceeds the threshold on the way outwards; None where it never does."""
        if excess(centre) >= 0:
            # A perfect fit: the threshold is the rounding of the minimum itself, and so is the interval.
            return float(value_at(centre))
        above = np.flatnonzero(beyond > 0)
        if not len(above):
            return None
        first = int(above[0])
        found = brentq(excess, outwards[first - 1] if first else centre, outwards[first], xtol=1e-12 * span)
        # Where a shape parameter has run to its limit, it is the limit that ends the interval and not the data.
        return None if np.any(refitted(np.array([found])).side) else float(value_at(found))

    left, right = grid < centre, grid > centre
    return ProfileInterval(
        family=chosen.name,
        parameter=name,
        unit=curve.unit_of(chosen.unit(name)),
        value=float(value_at(centre)),
        low=end(grid[left][::-1], profile[left][::-1]),
        high=end(grid[right], profile[right]),
        level=level,
        limits=(float(value_at(low)), float(value_at(high))),
        threshold=threshold,
        grid=value_at(grid),
        residual_sum=profile + threshold,
    )


def _distance(family: Family, curve: Curve, best: Projected, errors: PointErrors, name: str, level: float) -> float:
    """How far above its minimum the weighted residual sum of a profile may rise."""
    from scipy.special import stdtrit

    thetas = {key: float(best.theta[0, j]) for j, key in enumerate(family.nonlinears)}
    values = {"c": float(best.offset[0]), "b": float(best.scale[0]), **thetas}
    free = [
        key for key in family.parameter_names if key not in thetas or not best.side[0, family.nonlinears.index(key)]
    ]
    ratio, freedom = 1.0, np.inf
    if errors.spread is not None and name in free:
        columns = [family.parameter_names.index(key) for key in free]
        jacobian = family.jacobian(curve.x, values)[:, columns]
        inverse = inverse_normal_matrix(jacobian / errors.sigma[:, None])
        if inverse is not None:
            i = free.index(name)
            covariance, freedoms = errors.covariance(jacobian, inverse)
            ratio, freedom = float(covariance[i, i] / inverse[i, i]), float(freedoms[i])
    return ratio * float(stdtrit(freedom, (1 + level) / 2)) ** 2
