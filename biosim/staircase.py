"""Hysteresis by simulation: IP3 goes up and down a staircase, and each step starts where the one before ended.

The slow and obvious counterpart of `bifurcation_diagram`: an engine runs until transients have gone, and what is left is
the stable fixed point or cycle that this history leads to. Where two coexist, the ways up and down differ. Close to a
bifurcation transients outlast any settling time, so the jumps come a little late.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .ensemble import Array, Clock, Ensemble, Outcome, Progress, SimulationError
from .parameters import TripartiteParameters, check_value, parameter_set
from .protocols.arguments import points
from .registry import choose
from .simulation import ENGINES, run_ensemble, versions
from .stability import rest_state
from .storage import SCHEMA_VERSION

if TYPE_CHECKING:
    import xarray as xr

DIRECTIONS = ("up", "down")
# Below this, uM, what is left is rounding, not an oscillation.
FLAT = 1e-6

# name: (unit, symbol, long name)
VARIABLES = {
    "calcium_min": ("uM", "min Ca", "smallest calcium"),
    "calcium_max": ("uM", "max Ca", "greatest calcium"),
    "period": ("s", "T", "mean time between upward crossings of the mid level; missing without oscillation"),
}


def hysteresis(
    parameters: TripartiteParameters | str = "wade2012",
    ip3: Sequence[float] | Array | None = None,
    *,
    settle: float = 600.0,
    window: float = 120.0,
    engine: str = "numba",
    progress: Progress | None = None,
) -> xr.Dataset:
    """Calcium on a staircase of constant IP3, up and down.

    Parameters
    ----------
    parameters : parameter set or its name.
    ip3 : the steps in uM, each once; sorted. Default: 61 from 0.2 to 0.8.
    settle, window : at every step, seconds that are discarded and seconds that are then measured.
    engine : ``numba``, ``brian2`` or ``reference``.
    progress : called with (finished, all) steps.

    Returns
    -------
    Dataset with dimensions ``direction`` (``up``, ``down``) and ``ip3``: calcium_min, calcium_max, period.

    Raises
    ------
    SimulationError, ParameterError, UnknownName
        One line with the name, the value and the remedy.
    """
    choose("engine", engine, ENGINES)
    start = parameters if isinstance(parameters, TripartiteParameters) else parameter_set(parameters)
    if start.gchi:
        raise SimulationError(
            "astrocyte = 'gchi': hysteresis holds IP3, which is a state of the G-ChI astrocyte; use astrocyte = li_rinzel, "
            "whose calcium is the same"
        )
    steps = np.linspace(0.2, 0.8, 61) if ip3 is None else np.sort(points("ip3", ip3, "uM"))
    for value in steps:
        check_value("IP3_rest", float(value))
    # No input: neurons rest, and only calcium moves. Their clock is as coarse as calcium's allows.
    settling = Clock(settle, dt=0.005)
    measuring = Clock(window, dt=0.005)
    alone = start.with_values(
        n_neurons=1, n_synapses=1, release_rule="upward", IP3_init=None, Ca_init=None, h_init=None
    )
    way = np.stack([steps, steps[::-1]])
    found = {name: np.full(way.shape, np.nan) for name in VARIABLES}
    # Beside the fixed point, from which nothing would ever leave.
    state = np.array([rest_state(float(x), alone) for x in way[:, 0]]).T * np.array([[1.001], [1.0]])
    for i in range(steps.size):
        values = {"IP3_rest": way[:, i]}
        state = _state(_run(alone, settling, values, state, engine))
        first = _run(alone, measuring, values, state, engine)
        low, high = first.statistics["calcium_min"], first.statistics["calcium_max"]
        # The level to count crossings of is known only now.
        second = _run(alone, measuring, values | {"Ca_th": 0.5 * (low + high)}, state, engine)
        state = _state(second)
        found["calcium_min"][:, i], found["calcium_max"][:, i] = low, high
        found["period"][:, i] = np.where(high - low > FLAT, second.statistics["crossing_period"], np.nan)
        if progress:
            progress(i + 1, steps.size)
    for array in found.values():
        array[1] = array[1, ::-1]
    return _dataset(start, steps, found, settling, measuring, engine)


def _run(
    parameters: TripartiteParameters, clock: Clock, values: dict[str, Array], state: Array, engine: str
) -> Outcome:
    """Both ways, each with its IP3, from `state` [calcium and h, way]."""
    start = {"Ca_init": state[0], "h_init": state[1]}
    return run_ensemble(Ensemble(parameters, clock, np.zeros(2), overrides=values | start), engine)


def _state(outcome: Outcome) -> Array:
    return np.stack([outcome.final["calcium"], outcome.final["h"]])


def _dataset(
    parameters: TripartiteParameters,
    steps: Array,
    found: dict[str, Array],
    settling: Clock,
    measuring: Clock,
    engine: str,
) -> xr.Dataset:
    import xarray as xr

    record: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "protocol": {
            "name": "hysteresis",
            "description": "Li-Rinzel calcium on a staircase of constant IP3, up and down",
            "ip3": [float(x) for x in steps],
            "settle_s": settling.duration,
            "window_s": measuring.duration,
            "dt_astro_s": measuring.dt_astro,
        },
        "parameter_set": parameters.name,
        "parameters": parameters.to_records(),
        "engine": engine,
        "engine_notes": {},
        "seed": 0,
        "versions": versions(engine),
    }
    content = {key: record[key] for key in ("schema", "protocol", "parameters", "engine")}
    record["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    variables = {
        name: (("direction", "ip3"), found[name], {"units": unit, "symbol": symbol, "long_name": long_name})
        for name, (unit, symbol, long_name) in VARIABLES.items()
    }
    return xr.Dataset(
        variables,
        coords={
            "direction": (("direction",), list(DIRECTIONS), {"units": "1", "long_name": "whether IP3 rises or falls"}),
            "ip3": (("ip3",), steps, {"units": "uM", "long_name": "constant IP3"}),
        },
        attrs={
            "title": "hysteresis: Li-Rinzel calcium on a staircase of IP3",
            "Conventions": "CF-1.11",
            "provenance": json.dumps(record, sort_keys=True, allow_nan=False),
        },
    )
