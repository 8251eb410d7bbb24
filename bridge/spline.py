"""The monotone spline: the best curve that only has to rise, a yardstick for the families.

A sum of I-splines (Ramsay 1988, Stat. Sci. 3:425), each rising from 0 to 1 over a few neighbouring knots, above a free
level, with coefficients that are not negative. It is linear in its coefficients and has no formula and no parameter that
a network could take, so it is fitted and ranked beside the families but never written to a macro file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .checks import FitError, check_rates, check_varies
from .curves import Array
from .measure import Curve, expect_curve
from .weights import point_errors

MONOTONE_SPLINE = "monotone_spline"

# Quadratic M-splines, hence I-splines with two continuous derivatives.
_DEGREE = 3
# Interior knots that are tried, as far as the points allow.
_INTERIOR = (0, 1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True, eq=False)
class SplineFit:
    """A monotone spline fitted to a curve.

    knots : [m] breakpoints on the axis of ln(1 + f / f_1), f_1 the smallest rate above zero; rate_scale : f_1.
    coefficients : [1 + m + 1], the level at the lowest rate and the rise of each I-spline (0 or more), in the unit of
        the response.
    n_parameters : effective number: the level, the coefficients above zero (each that is held at zero costs nothing,
        Meyer and Woodroofe 2000, Ann. Stat. 28:1083), and one for the number of knots where that was chosen.
    aicc, residual_sum, r_squared, rmse, weighted : as in `Fit`.
    """

    curve: Curve
    knots: Array
    rate_scale: float
    coefficients: Array
    n_parameters: float
    weighted: bool
    r_squared: float
    aicc: float
    residual_sum: float
    rmse: float

    def predict(self, x: ArrayLike) -> Array:
        """Fitted curve at input rates `x` (any shape), constant beyond the measured ones.

        Raises
        ------
        FitError
            A rate is negative, not a finite number, or above 1e9 Hz.
        """
        rates = check_rates("predict", x)
        design = _design(rates.ravel(), self.knots, self.rate_scale)
        predicted: Array = (design @ self.coefficients).reshape(rates.shape)
        return predicted


def fit_spline(curve: Curve, *, weighted: bool = False) -> SplineFit:
    """Monotone spline through `curve`, its number of knots chosen by AICc.

    weighted : as in `bridge.fit`.

    Raises
    ------
    FitError
        A constant curve, or too few points (fewer than 4) for anything to be left to judge the spline by.
    CurveError
        `curve` is no Curve, or has no spread to weight it by.
    """
    curve = expect_curve(curve)
    check_varies(curve, "a spline is")
    if curve.n_points < 4:
        raise FitError(f"a monotone spline needs at least 4 points and the curve has {curve.n_points}; add points")
    sigma = point_errors(curve).sigma if weighted else np.ones(curve.n_points)
    return _best(curve, sigma, np.ones(curve.n_points, dtype=bool), weighted)


def left_out_errors(curve: Curve, sigma: Array, weighted: bool) -> Array:
    """Errors [n] of predicting each point from a spline through the others, knots chosen anew each time."""
    errors = np.empty(curve.n_points)
    for i in range(curve.n_points):
        kept = np.arange(curve.n_points) != i
        errors[i] = curve.y[i] - _best(curve, sigma, kept, weighted).predict(curve.x[i])
    return errors


def _best(curve: Curve, sigma: Array, kept: Array, weighted: bool) -> SplineFit:
    x, n = curve.x[kept], int(np.sum(kept))
    candidates = [m for m in _INTERIOR if m == 0 or m + _DEGREE + 2 < n]
    fits = [_with_knots(curve, sigma, kept, weighted, _knots(x, m), len(candidates) > 1) for m in candidates]
    return min(fits, key=lambda found: (found.aicc, found.n_parameters))


def _with_knots(
    curve: Curve, sigma: Array, kept: Array, weighted: bool, knots: Array, knots_were_chosen: bool
) -> SplineFit:
    from scipy.optimize import nnls

    from .fitting import information

    x, y, errors = curve.x[kept], curve.y[kept], sigma[kept]
    scale = _rate_scale(x)
    design = _design(x, knots, scale) / errors[:, None]
    # A level below zero is allowed: it enters twice, with both signs. Data and design are scaled for the tolerance.
    height = float(np.max(np.abs(y / errors)))
    solution, _ = nnls(np.hstack([design, -design[:, :1]]), y / errors / height, maxiter=50 * design.shape[1])
    coefficients = solution[:-1] * height
    coefficients[0] -= solution[-1] * height
    residuals = y / errors - design @ coefficients
    residual_sum = float(residuals @ residuals)
    weight = errors**-2
    total = float(np.sum(weight * (y - np.sum(weight * y) / np.sum(weight)) ** 2))
    n_parameters = 1.0 + float(np.sum(coefficients[1:] > 0)) + float(knots_were_chosen)
    _, aicc = information(residual_sum, len(y), n_parameters, weighted, total)
    return SplineFit(
        curve=curve,
        knots=knots,
        rate_scale=scale,
        coefficients=coefficients,
        n_parameters=n_parameters,
        weighted=weighted,
        r_squared=1 - residual_sum / total if total > 0 else 0.0,
        aicc=aicc,
        residual_sum=residual_sum,
        rmse=math.sqrt(float(np.mean((residuals * errors) ** 2))),
    )


def _rate_scale(x: Array) -> float:
    return float(x[x > 0][0])


def _knots(x: Array, interior: int) -> Array:
    """Breakpoints [interior + 2] at quantiles of the rates on their axis."""
    at = np.log1p(x / _rate_scale(x))
    knots: Array = np.quantile(at, np.linspace(0, 1, interior + 2))
    return knots


def _design(x: Array, knots: Array, scale: float) -> Array:
    """Level and I-splines at rates `x` [n]: [n, 1 + knots + 1]."""
    from scipy.interpolate import BSpline

    at = np.clip(np.log1p(x / scale), knots[0], knots[-1])
    # An I-spline is the sum of all B-splines of one degree more from its own on.
    padded = np.concatenate([np.full(_DEGREE, knots[0]), knots, np.full(_DEGREE, knots[-1])])
    basis = BSpline.design_matrix(at, padded, _DEGREE).toarray()
    rises: Array = np.cumsum(basis[:, ::-1], axis=1)[:, ::-1]
    return rises
