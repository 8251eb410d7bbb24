"""Profile-likelihood interval of the nonlinear parameter, by an own scan that also works at a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .checks import check_problem
from .curves import Array, Family, family_named
from .measure import Curve, expect_curve
from .projection import project, solve_linear

_GRID = 400


@dataclass(frozen=True, eq=False)
class ProfileInterval:
    """Values of the nonlinear parameter that the data do not reject.

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

    def __str__(self) -> str:
        low = "open" if self.low is None else f"{self.low:.4g}"
        high = "open" if self.high is None else f"{self.high:.4g}"
        return f"{self.parameter} = {self.value:.4g} [{low}, {high}] {self.unit}"


def profile_interval(
    curve: Curve,
    family: str | Family,
    *,
    level: float = 0.95,
    weighted: bool = False,
    limits: tuple[float, float] | None = None,
) -> ProfileInterval:
    """Interval of the nonlinear parameter of `family` at confidence `level`.

    The residual sum as a function of that parameter, all others refitted, is compared with its minimum: F test with the
    residual variance, or, if `weighted`, the chi-square test with the known spread of the points. Both tests assume
    independent normal errors, of equal size unless `weighted`.

    Raises
    ------
    UnknownName
        Unknown family.
    FitError
        Too few points, constant data, impossible level or limits.
    MissingRest, CurveError
        `curve` is no Curve, or the family needs the resting calcium, or weights need a spread, that it does not have.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri, fdtri

    chosen = family_named(family)
    curve = expect_curve(curve)
    check_problem(curve, chosen, level, limits)
    rest = chosen.fixed_offset(curve.resting_calcium)
    sigma = curve.standard_error() if weighted else np.ones(curve.n_points)
    searched = limits or chosen.limits(curve.x)
    y = curve.y[None, :]
    freedom = curve.n_points - len(chosen.parameters)
    best = project(chosen, curve.x, y, sigma, rest, searched)
    minimum, log_best = float(best.residual_sum[0]), float(np.log(best.theta[0]))
    if weighted:
        threshold = minimum + float(chdtri(1, 1 - level))
    else:
        threshold = minimum * (1 + float(fdtri(1, freedom, level)) / freedom)

    def excess(log_theta: float) -> float:
        theta = np.array([np.exp(log_theta)])
        return float(solve_linear(chosen, curve.x, y, theta, sigma, rest).residual_sum[0]) - threshold

    grid = np.linspace(np.log(searched[0]), np.log(searched[1]), _GRID)
    profile = np.array([excess(point) for point in grid])

    def end(outwards: Array) -> float | None:
        inside = log_best
        if excess(inside) >= 0:
            # A perfect fit: the threshold is the rounding of the minimum itself, and so is the interval.
            return float(best.theta[0])
        for point in outwards:
            if excess(point) > 0:
                return float(np.exp(brentq(excess, inside, point, xtol=1e-12)))
            inside = point
        return None

    return ProfileInterval(
        family=chosen.name,
        parameter=chosen.nonlinear,
        unit=chosen.unit(chosen.nonlinear),
        value=float(best.theta[0]),
        low=end(grid[grid < log_best][::-1]),
        high=end(grid[grid > log_best]),
        level=level,
        limits=searched,
        threshold=threshold,
        grid=np.exp(grid),
        residual_sum=profile + threshold,
    )
