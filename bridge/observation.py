"""What an inference is told: calcium at some rates, and how far each point may be off.

The noise model is one line: observed = simulated + independent normal errors with the stated standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from biosim.checks import numbers
from biosim.messages import shown

from .curves import Array
from .measure import Curve, CurveError, expect_curve

FEWEST_POINTS, MOST_POINTS = 3, 24


class InferenceError(ValueError):
    """Parameters that cannot be inferred: impossible settings, or an observation that the simulations do not contain."""


@dataclass(frozen=True, eq=False)
class Observation:
    """Points of a curve with their errors.

    rates : Hz, [r]. calcium : uM, [r]. error : standard deviation of the observation error, uM, [r].
    error_is : where the errors come from, in words. source : where the curve comes from.
    """

    rates: Array
    calcium: Array
    error: Array
    error_is: str
    source: str


def observe(curve: Curve, rates: Sequence[float] | Array | None = None, error: ArrayLike | None = None) -> Observation:
    """The points of `curve` that are to be explained, with their errors.

    Parameters
    ----------
    rates : Hz; between two points of the curve the straight line between them is read. None: the points of the curve, if
        these are at most 24; a digitised line has more, which are not independent, and wants the rates named.
    error : standard deviation of each point, uM, one number or one per rate. None: the curve's own standard errors.

    Raises
    ------
    InferenceError
        Units other than Hz and uM, too many points or too few, rates outside the curve, an error that is missing or not above 0.
    """
    curve = expect_curve(curve)
    if (curve.x_unit, curve.y_unit) != ("Hz", "uM"):
        raise InferenceError(
            f"curve has units ({curve.x_unit}, {curve.y_unit}), expected (Hz, uM), which the simulation gives; convert it"
        )
    at = _rates(curve, rates)
    if error is None:
        try:
            deviation = np.interp(at, curve.x, curve.standard_error())
        except CurveError as reason:
            raise InferenceError(f"{reason}; or state the error of a point in uM, such as error=0.001") from None
        error_is = "standard errors of the curve"
    else:
        given = numbers("error", error, "uM", InferenceError)
        if given.shape not in ((), (1,), at.shape) or not np.all(np.isfinite(given) & (given > 0)):
            raise InferenceError(
                f"error = {shown(error)}: expected a standard deviation in uM above 0, one number or one per rate ({len(at)})"
            )
        deviation = np.broadcast_to(given, at.shape).astype(np.float64)
        error_is = "stated, not measured"
    return Observation(at, np.interp(at, curve.x, curve.y), deviation, error_is, curve.source)


def _rates(curve: Curve, rates: Sequence[float] | Array | None) -> Array:
    if rates is None:
        if curve.n_points > MOST_POINTS:
            raise InferenceError(
                f"curve has {curve.n_points} points, as a digitised line has, which are not independent; name up to "
                f"{MOST_POINTS} rates at which it is read, such as rates=[1, 2, 5, 10]"
            )
        return curve.x
    at = numbers("rates", rates, "Hz", InferenceError)
    if at.ndim != 1 or not FEWEST_POINTS <= at.size <= MOST_POINTS or not np.all(np.diff(at) > 0):
        raise InferenceError(
            f"rates = {shown(at.tolist())}: expected {FEWEST_POINTS} to {MOST_POINTS} rates in Hz, increasing"
        )
    if at[0] < curve.x[0] * (1 - 1e-9) or at[-1] > curve.x[-1] * (1 + 1e-9):
        raise InferenceError(
            f"rates = {at[0]:g} to {at[-1]:g} Hz: the curve covers {curve.x[0]:g} to {curve.x[-1]:g} Hz; name rates within it"
        )
    return at
