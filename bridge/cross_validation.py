"""Leave-one-out cross-validation: how well a family predicts a rate that it was not fitted to."""

from __future__ import annotations

import numpy as np

from .curves import Array
from .fitting import Fit
from .projection import project
from .spline import SplineFit, left_out_errors
from .weights import point_errors


def leave_one_out_errors(fitted: Fit | SplineFit) -> Array:
    """Each point minus the prediction of the same family fitted to all the others, in the unit of the response: [n].

    The first and the last point are predicted beyond the range of the others. Where neighbouring points err alike, as
    on a digitised line, they give each other away and the errors are too small.
    """
    curve = fitted.curve
    n = curve.n_points
    sigma = point_errors(curve).sigma if fitted.weighted else np.ones(n)
    if isinstance(fitted, SplineFit):
        return left_out_errors(curve, sigma, fitted.weighted)
    # An infinite error takes a point out of its row.
    errors = np.where(np.eye(n, dtype=bool), np.inf, sigma)
    y = np.broadcast_to(curve.y, (n, n))
    rest = fitted.family.fixed_offset(curve.resting_calcium)
    found = project(fitted.family, curve.x, y, errors, rest, fitted.limits)
    shape = fitted.family.shape(curve.x, *found.theta.T)
    left_out: Array = curve.y - (found.offset + found.scale * shape)
    return left_out


def cross_validated_error(fitted: Fit | SplineFit) -> float:
    """Root mean square of `leave_one_out_errors` (in the unit of the response), weighted if the fit is."""
    curve = fitted.curve
    weight = point_errors(curve).sigma ** -2 if fitted.weighted else np.ones(curve.n_points)
    return float(np.sqrt(np.sum(weight * leave_one_out_errors(fitted) ** 2) / np.sum(weight)))
