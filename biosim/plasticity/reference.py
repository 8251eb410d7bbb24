"""Engine ``reference`` of the plasticity network: the equations as arrays, integrated by SciPy's DOP853."""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from ..ensemble import Array, SimulationError
from .network import PlasticityNetwork

TOLERANCE = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-13}


def advance(
    network: PlasticityNetwork, state: Array, bias: Array, first: int, steps: int, dt: float, every: int
) -> tuple[Array, Array]:
    """As `numba_engine.advance`; `dt` is here no more than the unit in which times are given."""
    sampled = np.arange(first // every + 1, (first + steps) // every + 1) * every if every else np.empty(0, np.int64)
    # Steps, not seconds, make the times, so that a sample at the very end lies within the span.
    times = np.append(sampled - first, steps) * dt
    solution = solve_ivp(
        lambda t, y: network.derivatives(y, bias), (0.0, times[-1]), state, t_eval=np.unique(times), **TOLERANCE
    )
    if not solution.success:
        raise SimulationError(f"engine 'reference' stopped: {solution.message}; check the parameters")
    states = np.transpose(solution.y)
    return states[-1].copy(), states[: sampled.size].copy()
