"""What the points of a curve weigh: their standard errors, from the spread between trials.

A spread estimated from few trials varies so much itself that its inverse square makes poor weights and intervals that
are too narrow. The spreads of all rates are therefore drawn towards their common level, by as much as the data say
that they are alike (empirical Bayes, Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3), and what stays uncertain widens
the errors of the parameters (Meier 1953, Biometrics 9:59).
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

    sigma : [n], in the unit of the response. freedom : degrees of freedom behind each of them; infinite where they are
    given and taken as known.
    """

    sigma: Array
    freedom: float

    def inflation(self, n_parameters: int) -> float:
        """Factor on the variance of fitted parameters for weights that are estimated themselves; 1 for known errors."""
        if math.isinf(self.freedom):
            return 1.0
        return 1 + 4 / self.freedom * max(1 - n_parameters / len(self.sigma), 0.0)


def point_errors(curve: Curve) -> PointErrors:
    """Standard errors that weight the points of `curve`.

    Trials: the spread of each rate, moderated by that of the others, over the root of their number. No trials: `sd`
    as it is given, taken as known.

    Raises
    ------
    CurveError
        The curve has no spread, or a spread of zero at some rate.
    """
    raw = curve.standard_error()
    freedom = curve.n_trials - 1
    if freedom < 1:
        return PointErrors(raw, math.inf)
    prior_variance, prior_freedom = _prior(raw**2, freedom)
    if math.isinf(prior_freedom):
        return PointErrors(np.full(len(raw), math.sqrt(prior_variance)), float(freedom * len(raw)))
    total = prior_freedom + freedom
    variance = (prior_freedom * prior_variance + freedom * raw**2) / total
    return PointErrors(np.sqrt(variance), total)


def _prior(variance: Array, freedom: int) -> tuple[float, float]:
    """Common variance, and the degrees of freedom it is worth, from sample variances [n] of `freedom` each."""
    from scipy.optimize import brentq
    from scipy.special import polygamma, psi

    log_variance = np.log(variance) - psi(freedom / 2) + math.log(freedom / 2)
    # Spread of the log variances beyond what chi-square alone makes.
    excess = float(np.var(log_variance, ddof=1) - polygamma(1, freedom / 2))
    smallest = float(polygamma(1, 5e5))
    if excess <= smallest:
        return float(np.mean(variance)), math.inf
    half = float(brentq(lambda d: float(polygamma(1, d)) - excess, 1e-8, 5e5))
    return float(math.exp(np.mean(log_variance) + psi(half) - math.log(half))), 2 * half
