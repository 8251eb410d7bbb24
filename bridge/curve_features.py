"""Three numbers of a response curve, for very many curves at once: exponent, half-rate and range of calcium.

They are those of `bridge.estimate_alpha` ("loglog_above_rest") and `bridge.fit` ("hyperbola"), which are the slow reference
beside them, without errors and intervals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checks import FitError
from .curves import FAMILIES, Array
from .projection import project

# A rise (uM) that is smaller is no response: calcium is not computed to more digits than this.
SMALLEST_RISE = 1e-6


@dataclass(frozen=True, eq=False)
class ResponseFeatures:
    """Features of r curves; every field is [r].

    exponent : slope of log(calcium - rest) on log(rate); NaN where calcium is not above rest, by
        more than 1e-6 uM, at some of these rates.
    half_rate : k (Hz) of the best hyperbola c + b f/(f + k); NaN where that falls (b <= 0) or the curve is constant.
    at_limit : -1 or +1 where k is the lower or upper limit of its search (the curve is a step, or a straight line), else 0.
    hyperbola_r_squared : how well that hyperbola fits.
    calcium_range : calcium at the highest rate minus that at the lowest, uM.
    """

    exponent: Array
    half_rate: Array
    at_limit: NDArray[np.int64]
    hyperbola_r_squared: Array
    calcium_range: Array


def response_features(rates: Array, calcium: Array, rest: Array, exponent_from: float = 0.0) -> ResponseFeatures:
    """Features of `calcium` [r, n] (uM) at `rates` [n] (Hz, increasing, above 0) with resting calcium `rest` [r] (uM).

    The exponent is over the rates of at least `exponent_from`, the others are over all. The half-rate is searched from a tenth
    of the lowest to ten times the highest rate: further out the curve is a step or a straight line.

    Raises
    ------
    FitError
        Shapes that do not go together, values that are not finite, fewer than four rates, or fewer than three for the exponent.
    """
    rates, calcium, rest = (np.asarray(values, dtype=np.float64) for values in (rates, calcium, rest))
    if rates.ndim != 1 or len(rates) < 4 or not rates[0] > 0 or not np.all(np.diff(rates) > 0):
        raise FitError(f"rates = {rates.tolist()}: expected at least four, above 0 Hz and increasing")
    if calcium.ndim != 2 or calcium.shape[1] != len(rates) or rest.shape != calcium.shape[:1]:
        raise FitError(
            f"calcium has shape {calcium.shape} and rest {rest.shape}: expected (r, {len(rates)}) and (r,) for {len(rates)} rates"
        )
    for name, values in (("calcium", calcium), ("rest", rest), ("rates", rates)):
        if not np.all(np.isfinite(values)):
            raise FitError(f"{name} has {np.sum(~np.isfinite(values))} values that are not finite; remove these curves")
    chosen = rates >= exponent_from
    if chosen.sum() < 3:
        raise FitError(
            f"exponent_from = {exponent_from:g} Hz leaves {chosen.sum()} of the rates {rates.tolist()}, expected three or more"
        )
    rise = calcium[:, chosen] - rest[:, None]
    log_rate = np.log(rates[chosen])
    centred = log_rate - log_rate.mean()
    rises = np.all(rise > SMALLEST_RISE, axis=1)
    slope = np.log(np.where(rise > 0, rise, 1.0)) @ centred / (centred @ centred)

    limits = {"k": (0.1 * float(rates[0]), 10.0 * float(rates[-1]))}
    found = project(FAMILIES["hyperbola"], rates, calcium, np.ones(len(rates)), 0.0, limits)
    total = np.sum((calcium - calcium.mean(axis=1, keepdims=True)) ** 2, axis=1)
    constant = np.ptp(calcium, axis=1) <= 1e-12 * np.max(np.abs(calcium), axis=1)
    r_squared = 1 - np.divide(found.residual_sum, total, out=np.ones_like(total), where=~constant)
    bends = ~constant & (found.scale > 0)
    return ResponseFeatures(
        exponent=np.where(rises, slope, np.nan),
        half_rate=np.where(bends, found.theta[:, 0], np.nan),
        at_limit=np.where(bends, found.side[:, 0], 0),
        hyperbola_r_squared=r_squared,
        calcium_range=calcium[:, -1] - calcium[:, 0],
    )
