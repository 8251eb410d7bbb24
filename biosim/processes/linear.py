"""Exact steps of the linear processes: a decay, and a decay that drives another one.

For x' = -x/tau_x and y' = -y/tau_y + k x the solution after a time dt is
    x <- x exp(-dt/tau_x),   y <- y exp(-dt/tau_y) + x k (exp(-dt/tau_x) - exp(-dt/tau_y)) / (1/tau_y - 1/tau_x).
2-AG drives IP3 and astrocytic glutamate drives e-SP in this way. Arrays broadcast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def decay(dt: float, tau: ArrayLike) -> NDArray[np.float64]:
    """exp(-dt/tau): what is left of a quantity after `dt` (s) with time constant `tau` (s)."""
    return np.exp(-dt / np.asarray(tau, dtype=np.float64))


def transfer(dt: float, tau_x: ArrayLike, tau_y: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
    """Amount of y gained in `dt` per unit of x at the start (see the module's equation), for any pair of time constants.

    Written with expm1 so that equal or nearly equal time constants give the limit k dt exp(-dt/tau) without cancellation.
    """
    rate_x = 1.0 / np.asarray(tau_x, dtype=np.float64)
    rate_y = 1.0 / np.asarray(tau_y, dtype=np.float64)
    difference = (rate_x - rate_y) * dt
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        fraction = np.where(difference == 0.0, 1.0, -np.expm1(-difference) / difference)
        gain = np.exp(-dt * rate_y) * fraction
        # Far apart the two factors are zero and infinite; what is left then is the slower decay alone.
        slower = np.exp(-dt * np.minimum(rate_x, rate_y)) / np.abs(difference)
    return np.asarray(k, dtype=np.float64) * dt * np.where(np.abs(difference) > 100.0, slower, gain)
