"""Retention factors of a segment-recurrent memory from the long-term curve p^l (RMAAT, arXiv 2601.00426, section 3.3).

With dp_t = p^l(t tau_cycle) - p^l((t-1) tau_cycle), the gain of the t-th of T stimulation cycles, two rules are printed:

    cycles       r(t, T) = dp_t / sum_{i=1..T} dp_i            camera-ready version; the default
    saturation   r(t, T) = dp_t / (p^l(infinity) - p^l(0))     first version: the capacity at saturation is 1

Only the first depends on T, as the paper's Fig. 4 does. A leaky integrator of a drive that repeats with the cycle approaches
its saturation geometrically, whence the closed form

    r(t, T) = exp(-a (t-1)) (1 - exp(-a)) / (1 - exp(-a T)),    a = gamma^l tau_cycle / tau_p^l,

which is 1/T for a = 0.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np

from ..checks import numbers, real, whole
from ..ensemble import Array, SimulationError
from ..messages import shown
from ..registry import choose

Rule = Literal["cycles", "saturation"]
MOST_CYCLES = 10**6


def retention_factors(
    curve: Any, total: int | None = None, *, rule: Rule = "cycles", start: float = 0.0, saturation: float | None = None
) -> Array:
    """r(t, T) for t = 1 to T, [T], from a long-term curve.

    Parameters
    ----------
    curve : p^l at the end of each cycle, [n]: ``long_term_mean`` of the protocol ``stp_cycles``. The first T cycles of a
        longer run are a run of T cycles, so one curve serves every T.
    total : T, from 1 to n; default n.
    rule : ``cycles`` or ``saturation`` (see the module).
    start : p^l before the first cycle.
    saturation : p^l(infinity) for the rule saturation; default `saturation_level` of the whole curve.

    Raises
    ------
    SimulationError, UnknownName
        The curve is no row of finite numbers, `total` is beyond it, or it does not rise at all (nothing to divide by).
    """
    values = _curve(curve)
    choose("rule of retention", rule, get_args(Rule))
    cycles = whole("total", values.size if total is None else total, 1, values.size, SimulationError)
    before = _finite("start", start)
    gains = np.diff(values[:cycles], prepend=before)
    if rule == "cycles":
        capacity = float(values[cycles - 1] - before)
    else:
        capacity = (
            saturation_level(values, before) if saturation is None else _finite("saturation", saturation)
        ) - before
    if not capacity > 0:
        raise SimulationError(
            f"curve = {shown(values.tolist())}: rises by {capacity:g} in all, so there is nothing to take fractions of; "
            "expected a long-term curve that rises"
        )
    return np.asarray(gains / capacity)


def saturation_level(curve: Any, start: float = 0.0) -> float:
    """Where a curve that approaches its end geometrically is going, by Aitken's rule on its last three points.

    Raises
    ------
    SimulationError
        There are fewer than two cycles, or the last gains do not shrink.
    """
    values = np.concatenate([[_finite("start", start)], _curve(curve)])
    if values.size < 3:
        raise SimulationError(f"curve = {shown(values[1:].tolist())}: expected at least two cycles to see it saturate")
    before, last = np.diff(values[-3:])
    if last == 0:
        return float(values[-1])
    if not 0 <= last / before < 1:
        raise SimulationError(
            f"curve: its last gains are {before:g} and {last:g}, which do not shrink; simulate more cycles, or give saturation"
        )
    return float(values[-1] + last * last / (before - last))


def geometric_retention(total: int, decay: float) -> Array:
    """The closed form of r(t, T) for t = 1 to T, [T]; `decay` is a, at least 0, and 0 gives 1/T.

    Raises
    ------
    SimulationError
        `total` is no whole number of at least 1 or `decay` no number of at least 0.
    """
    cycles = whole("total", total, 1, MOST_CYCLES, SimulationError)
    a = real("decay", decay, "1", SimulationError)
    if not 0 <= a <= 700:
        raise SimulationError(f"decay = {shown(decay)}: expected a number from 0 to 700")
    if a == 0:
        return np.full(cycles, 1.0 / cycles)
    # expm1 keeps the digits for small a.
    return np.exp(-a * np.arange(cycles)) * math.expm1(-a) / math.expm1(-a * cycles)


def decay_per_cycle(cycle: float, tau_pl: float, leak_pl: float = 1.0) -> float:
    """a = gamma^l tau_cycle / tau_p^l of the closed form; times in s."""
    values = [real(name, given, "1", SimulationError) for name, given in
              (("cycle", cycle), ("tau_pl", tau_pl), ("leak_pl", leak_pl))]  # fmt: skip
    if not (all(math.isfinite(v) and v >= 0 for v in values) and values[1] > 0):
        raise SimulationError(
            f"cycle = {shown(cycle)}, tau_pl = {shown(tau_pl)}, leak_pl = {shown(leak_pl)}: expected finite numbers of at "
            "least 0, and tau_pl above 0"
        )
    return values[2] * values[0] / values[1]


def _curve(curve: Any) -> Array:
    # A DataArray carries coordinates that a check of numbers does not know.
    values = numbers("curve", getattr(curve, "values", curve), "1", SimulationError)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise SimulationError(f"curve = {shown(curve)}: expected finite numbers in a row, one per cycle")
    return values


def _finite(name: str, given: Any) -> float:
    number = real(name, given, "1", SimulationError)
    if not math.isfinite(number):
        raise SimulationError(f"{name} = {shown(given)}: expected a finite number")
    return number
