"""All limit cycles of Li-Rinzel calcium at constant IP3, stable and unstable, by its return map.

The return map takes the distance a from a fixed point, on the half line h = h*, Ca > Ca*, to the distance after one turn
(see `engines.return_map`). A limit cycle around that fixed point is a zero of the growth per turn, log(P(a)/a). The whole half
line is looked through, so that a cycle needs no first guess, and the unstable ones, which no simulation shows, are found like
the stable ones. Every cycle surrounds a fixed point that is no saddle (Poincare's index), so it is enough to look around those.
What can be missed: cycles that pass the fixed point at less than 1e-4 of the distance to the empty store (about 0.0002 uM), and
pairs of cycles so close to each other that the growth between both is flat on a grid of 48 distances.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar

from .checks import real
from .ensemble import Array
from .fixed_point_curve import check_dependence
from .messages import shown
from .parameters import ParameterError
from .processes import li_rinzel
from .stability import NAMES, fixed_points, jacobian

# Steps of the return map, at most this long and at most this share of the fastest time constant.
STEP, SHARE = 0.01, 0.25
# The smallest distance from the fixed point that is looked at, in units of the largest, and the number of distances. Nearer,
# the growth per turn beside a Hopf point is that of the step's error.
NEAREST, DISTANCES = 1e-4, 48
LONGEST = 500.0
# A turn of more steps than this would take seconds.
MOST_STEPS = 10_000_000

Turn = Callable[[float], Array]


@dataclass(frozen=True)
class LimitCycle:
    """A closed orbit: period (s), extremes and time-mean of calcium (uM), extremes of h, and the Floquet multiplier.

    The multiplier is the factor by which a small deviation from the cycle has changed after one turn; `stable` below 1.
    """

    ip3: float
    period: float
    calcium_min: float
    calcium_max: float
    calcium_mean: float
    h_min: float
    h_max: float
    multiplier: float

    @property
    def stable(self) -> bool:
        return self.multiplier < 1.0

    @property
    def amplitude(self) -> float:
        """Calcium from trough to peak, uM."""
        return self.calcium_max - self.calcium_min


def limit_cycles(ip3: float, parameters: Any, *, longest: float = LONGEST, dt: float | None = None) -> list[LimitCycle]:
    """The limit cycles at constant `ip3` (uM), by increasing amplitude.

    Parameters
    ----------
    parameters : a parameter set, or any mapping with the Li-Rinzel constants.
    longest : cycles of a longer period (s) are not found; periods grow without bound at saddle-nodes and homoclinic orbits.
    dt : Runge-Kutta step in s; default 0.01 s, less if the constants make calcium faster.

    Raises
    ------
    ParameterError
        `ip3`, `longest` or `dt` lies outside its range, or calcium does not depend on IP3.
    """
    p = check_dependence(parameters)
    dt = step_for(p, dt)
    longest = check_longest(longest, dt)
    found: list[LimitCycle] = []
    for ca, h in fixed_points(ip3, p):
        if np.linalg.det(jacobian(ca, h, ip3, p)) < 0:
            continue
        turn = _turn(ca, h, ip3, p, dt, longest)
        here = [_cycle(turn(distance), ip3) for distance in _closed(turn, ca, p)]
        # A cycle around three fixed points is found from both that are no saddles.
        found += [cycle for cycle in here if not any(_same(cycle, other) for other in found)]
    return sorted(found, key=lambda cycle: cycle.amplitude)


def step_for(p: dict[str, float], dt: float | None = None) -> float:
    """The step in s for the constants `p`: `dt` if it is fine enough, else ParameterError; None chooses."""
    top = p["c0"] / (1.0 + p["c1"])
    # Calcium near the pump's affinity and the receptors' own, where the slopes of the right-hand side are greatest.
    ca, h, ip3 = np.meshgrid(np.geomspace(1e-3 * top, top, 60), np.linspace(0.0, 1.0, 11), [0.1, 1.0, 10.0])
    rates = jacobian(ca, h, ip3, p)
    fastest = float(max(np.abs(rates[0, 0]).max(), np.abs(rates[1, 1]).max()))
    largest = min(STEP, SHARE / fastest)
    if dt is None:
        return largest
    value = real("dt", dt, "s", ParameterError)
    if not 1e-6 <= value <= 2 * SHARE / fastest:
        raise ParameterError(
            f"dt = {shown(dt)} s: expected 1e-06 to {2 * SHARE / fastest:.3g} s, as calcium changes at up to {fastest:.3g} 1/s"
        )
    return value


def check_longest(longest: float, dt: float) -> float:
    """`longest` (s) as a float, or ParameterError unless it is from 1 to 1e6 s and longer than ten steps."""
    value = real("longest", longest, "s", ParameterError)
    if not max(1.0, 10 * dt) <= value <= 1e6:
        raise ParameterError(f"longest = {shown(longest)} s: expected a period from {max(1.0, 10 * dt):g} to 1e+06 s")
    if value > MOST_STEPS * dt:
        raise ParameterError(
            f"longest = {shown(longest)} s: more than {MOST_STEPS:.0e} steps of {dt:.3g} s a turn, which these constants need; "
            f"lower longest to at most {MOST_STEPS * dt:.3g} s"
        )
    return value


def _turn(ca: float, h: float, ip3: float, p: dict[str, float], dt: float, longest: float) -> Turn:
    """One turn around the fixed point (ca, h) from a distance in calcium (uM), as `engines.return_map.TURN`."""
    from .engines import return_map
    from .engines.numba_engine import source_stamp

    kernel = return_map.compiled(source_stamp())
    values = np.array([p[name] for name in NAMES])

    def turn(distance: float) -> Array:
        out = np.empty(len(return_map.TURN))
        kernel(ca + distance, h, ca, ip3, values, dt, longest, out)
        return out

    return turn


def _closed(turn: Turn, ca: float, p: dict[str, float]) -> list[float]:
    """Distances from the fixed point at which an orbit closes after one turn."""
    span = p["c0"] / (1.0 + p["c1"]) - ca

    def growth(log_distance: float) -> float:
        distance = math.exp(log_distance)
        after = float(turn(distance)[0]) - ca
        return math.log(after / distance) if after > 0 else math.nan

    # The last distance is that of the empty store, beyond which nothing comes from.
    grid = np.log(np.geomspace(NEAREST * span, span, DISTANCES))
    values = np.array([growth(x) for x in grid])
    brackets = [(grid[i], grid[i + 1]) for i in range(grid.size - 1) if values[i] * values[i + 1] < 0]
    brackets += _hidden(growth, grid, values)
    zeros = [_zero(growth, *bracket) for bracket in brackets]
    return [math.exp(zero) for zero in zeros if zero is not None]


def _zero(growth: Callable[[float], float], left: float, right: float) -> float | None:
    """The zero of `growth` between two points of opposite sign; None where it jumps over zero.

    The return map jumps, or is not defined at all, where an orbit ends at a fixed point, so that its neighbours pass on
    different sides of it.
    """
    try:
        zero, result = brentq(growth, left, right, xtol=1e-13, rtol=1e-14, full_output=True)
    except ValueError:
        return None
    return float(zero) if result.converged and abs(growth(zero)) < 1e-6 else None


def _hidden(growth: Callable[[float], float], grid: Array, values: Array) -> list[tuple[float, float]]:
    """Brackets of pairs of zeros between the grid's points: around extremes that come close to zero from one side."""
    out = []
    for i in range(1, grid.size - 1):
        left, here, right = values[i - 1 : i + 2]
        sign = np.sign(here)
        if not (sign * left > 0 and sign * right > 0 and abs(here) <= min(abs(left), abs(right))):
            continue

        def towards_zero(x: float, sign: float = float(sign)) -> float:
            value = sign * growth(x)
            return value if math.isfinite(value) else math.inf

        best = minimize_scalar(
            towards_zero, bounds=(grid[i - 1], grid[i + 1]), method="bounded", options={"xatol": 1e-9}
        )
        if best.fun < 0:
            out += [(grid[i - 1], float(best.x)), (float(best.x), grid[i + 1])]
    return out


def _same(one: LimitCycle, other: LimitCycle) -> bool:
    return math.isclose(one.calcium_max, other.calcium_max, rel_tol=1e-6) and math.isclose(
        one.calcium_min, other.calcium_min, rel_tol=1e-6
    )


def _cycle(turn: Array, ip3: float) -> LimitCycle:
    _, period, low, high, h_low, h_high, mean, divergence = (float(value) for value in turn)
    return LimitCycle(ip3, period, low, high, mean, h_low, h_high, math.exp(divergence))


def turn_by_scipy(distance: float, ca: float, h: float, ip3: float, parameters: Any, longest: float = LONGEST) -> float:
    """The return map by SciPy (DOP853 with an event), slow and obvious: distance after one turn, uM; NaN without a return."""
    p = check_dependence(parameters)
    rates = partial(li_rinzel.derivatives, ip3=ip3, **p)

    def section(t: float, y: Array) -> float:
        # Out of reach for the first moments, in which the orbit leaves the section, and on the side Ca < Ca*.
        return float(y[1] - h) if y[0] > ca and t > 1e-3 else 1.0

    section.direction, section.terminal = -1.0, True  # type: ignore[attr-defined]

    def leave(t: float, y: Array) -> float:
        return float(y[0] - ca)

    leave.terminal, leave.direction = True, -1.0  # type: ignore[attr-defined]
    accuracy: dict[str, Any] = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}
    half = solve_ivp(lambda t, y: rates(*y), (0.0, longest), [ca + distance, h], events=leave, **accuracy)
    if not half.t_events[0].size:
        return math.nan
    whole = solve_ivp(lambda t, y: rates(*y), (0.0, longest), half.y_events[0][0], events=section, **accuracy)
    return float(whole.y_events[0][0][0] - ca) if whole.t_events[0].size else math.nan
