"""Many sets of biological parameters at many rates: ranges around a set, and one ensemble with all of them as units.

Every unit has random streams of its own, so two sets differ by noise as well; long windows (and trials) average it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from biosim.checks import plain_number
from biosim.messages import shown
from biosim.registry import choose

from .checks import check_ranges, several
from .curves import Array

if TYPE_CHECKING:
    from biosim import Clock, TripartiteParameters

_INITIAL = ("IP3_init", "Ca_init", "h_init")


@dataclass(frozen=True, eq=False)
class SetResponses:
    """Calcium of n sets at r rates in t trials, over the measuring window.

    mean, least, most : calcium, uM, [n, r, t]. crossings : upward crossings of the release threshold, [n, r, t].
    rest : calcium of each set without input, uM, [n].
    """

    mean: Array
    least: Array
    most: Array
    crossings: Array
    rest: Array


def simulate_sets(
    start: TripartiteParameters,
    columns: Mapping[str, Array],
    rates: Array,
    clock: Clock,
    *,
    trials: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SetResponses:
    """Simulate the sets `start` with the values `columns` (name -> [n]) at `rates` [r] (Hz), each from its own rest, in one call.

    Raises
    ------
    ParameterError, SimulationError
        What biosim refuses: a value outside what the parameter may be, rates, too little memory.
    """
    import biosim

    n_sets = len(next(iter(columns.values())))
    rest, h = _resting_state(start, columns, n_sets)
    initial = {
        "IP3_init": columns.get("IP3_rest", np.full(n_sets, start.IP3_rest)),
        "Ca_init": rest,
        "h_init": h,
    }
    units_per_set = len(rates) * trials
    ensemble = biosim.Ensemble(
        start,
        clock,
        np.tile(np.repeat(rates, trials), n_sets),
        overrides={name: np.repeat(column, units_per_set) for name, column in (dict(columns) | initial).items()},
        seed=seed,
    )
    statistics = biosim.run_ensemble(ensemble, progress=progress).statistics
    mean, least, most, crossings = (
        statistics[key].reshape(n_sets, len(rates), trials)
        for key in ("calcium_mean", "calcium_min", "calcium_max", "crossings")
    )
    return SetResponses(mean, least, most, crossings, rest)


def ranges_around(
    start: TripartiteParameters,
    names: Iterable[str] | str,
    spread: float,
    given: Mapping[str, tuple[float, float]] | None,
    error: type[ValueError],
) -> dict[str, tuple[float, float]]:
    """Range of each named parameter, checked against what it may be: the share `spread` to both sides, or as in `given`."""
    from biosim.ensemble import numeric_names
    from biosim.parameters import check_value

    number = plain_number(spread)
    if number is None or not 0 < number < 1:
        raise error(f"spread = {shown(spread)}: expected a share between 0 and 1, such as 0.2 for +-20 %")
    known = [name for name in numeric_names() if name not in _INITIAL]
    asked = [choose("parameter", str(name), known) for name in several("names", names)]
    twice = next((name for name in asked if asked.count(name) > 1), None)
    if twice:
        raise error(f"names has {twice!r} twice; name each parameter once")
    found = {}
    for name in asked:
        value = float(getattr(start, name))
        if value == 0 and name not in (given or {}):
            raise error(f"{name} is 0 in the set {start.name}, so a share of it is no range; give one in ranges")
        found[name] = (value - number * abs(value), value + number * abs(value))
    if given is not None:
        for name, pair in check_ranges(given, error).items():
            found[choose("parameter", name, known)] = pair
    for name, pair in check_ranges(found, error).items():
        for limit in pair:
            check_value(name, limit)
    return found


def _resting_state(start: TripartiteParameters, columns: Mapping[str, Array], n_sets: int) -> tuple[Array, Array]:
    """Calcium (uM) and h at the fixed point of resting IP3, [n_sets] each, solved once per distinct set of constants."""
    import biosim
    from biosim.stability import NAMES

    names = ("IP3_rest", *NAMES)
    table = np.stack([columns.get(name, np.full(n_sets, float(getattr(start, name)))) for name in names], axis=1)
    distinct, where = np.unique(table, axis=0, return_inverse=True)
    rest = np.array([biosim.rest_state(row[0], dict(zip(NAMES, row[1:], strict=True))) for row in distinct])
    calcium, h = rest[where.ravel()].T
    return np.ascontiguousarray(calcium), np.ascontiguousarray(h)
