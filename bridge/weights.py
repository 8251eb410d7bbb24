"""What the points of a curve weigh: their standard errors, from the spread between trials.

A spread estimated from few trials varies so much itself that its inverse square makes poor weights, and intervals that
are too narrow, since a point that happens to scatter little seems sure. The points are therefore weighted by a trend
of the spread along the rate, to which all rates contribute. The errors of the parameters do not rely on the trend being
right: they follow from the spread of each rate as it is (White 1980, Econometrica 48:817), with the degrees of freedom
of such a sum (Satterthwaite 1946, Biometrics Bull. 2:110).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .curves import Array
from .measure import Curve


@dataclass(frozen=True, eq=False)
class PointErrors:
    """Standard errors of the points of a curve.

    sigma : [n], what the points are weighted by, in the unit of the response.
    spread : [n], the standard error of each point by itself; None where `sigma` is given and taken as known.
    freedom : degrees of freedom behind each of `spread`; infinite where `sigma` is known.
    """

    sigma: Array
    spread: Array | None = None
    freedom: float = math.inf

    def covariance(self, jacobian: Array, inverse: Array) -> tuple[Array, Array]:
        """Covariance of fitted parameters [p, p], and the degrees of freedom of each variance [p].

        jacobian : derivatives of the curve [n, p], not weighted; inverse : (J^T W J)^-1 with the weights 1 / sigma^2.
        """
        if self.spread is None:
            return inverse, np.full(len(inverse), math.inf)
        influence = inverse @ (jacobian / self.sigma[:, None] ** 2).T
        parts = (influence * self.spread) ** 2
        covariance: Array = (influence * self.spread**2) @ influence.T
        return covariance, effective_freedom(parts, self.freedom)


def effective_freedom(parts: Array, freedom: float) -> Array:
    """Degrees of freedom of sums of variances that are each estimated from `freedom` (Satterthwaite 1946): [..., n] -> [...].

    parts : what each point contributes to the variance of an estimate: its derivative by the point, squared, times the
        variance of the point. `freedom` itself, the least it can be, where nothing contributes.
    """
    total, squares = parts.sum(axis=-1), np.sum(parts**2, axis=-1)
    found: Array = freedom * np.divide(total**2, squares, out=np.ones_like(total), where=squares > 0)
    return found


def point_errors(curve: Curve) -> PointErrors:
    """Standard errors that weight the points of `curve`.

    Trials: the trend of their spread along the rate, over the root of their number. No trials: `sd` as it is given, taken
    as known.

    Raises
    ------
    CurveError
        The curve has no spread, or a spread of zero at some rate.
    """
    raw = curve.standard_error()
    freedom = curve.n_trials - 1
    if freedom < 1:
        return PointErrors(raw)
    return PointErrors(_trend(curve.x, raw, freedom), raw, freedom)


def _trend(x: Array, spread: Array, freedom: int) -> Array:
    """The power of the rate that `spread` [n] follows: a straight line through its logarithm, [n]."""
    from scipy.special import psi

    # The axis is linear below the smallest rate, so that a rate of 0 has its place.
    along = np.log1p(x / x[x > 0][0])
    centred = along - along.mean()
    # The mean logarithm of a variance with few degrees of freedom lies below that of the variance it estimates.
    log_variance = 2 * np.log(spread) - psi(freedom / 2) + math.log(freedom / 2)
    slope = float(centred @ log_variance / (centred @ centred))
    trend: Array = np.exp(0.5 * (log_variance.mean() + slope * centred))
    return trend
