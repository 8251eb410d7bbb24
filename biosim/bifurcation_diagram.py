"""The bifurcation diagram of Li-Rinzel calcium over constant IP3, as a labelled Dataset.

Fixed points and where their stability changes (`fixed_point_curve`, `lyapunov`), limit cycles (`cycles`), oscillation windows
(`oscillation_windows`). Nothing is simulated until it settles, so nothing depends on a transient or on where it started;
`staircase.hysteresis` shows the same by simulation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .checks import numbers
from .cycles import LONGEST, LimitCycle, check_longest, limit_cycles, step_for
from .ensemble import Array, Progress
from .fixed_point_curve import HopfPoint, SaddleNode, check_dependence, special_points
from .messages import shown
from .oscillation_windows import EDGE_KINDS, Window, special_ip3, windows
from .parameters import LARGEST, ParameterError, TripartiteParameters, check_value, parameter_set
from .simulation import versions
from .stability import eigenvalues, fixed_points
from .storage import SCHEMA_VERSION

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

# Values of `stability`; 0 where there is no fixed point.
STABILITIES = ("none", "stable_node", "stable_focus", "saddle", "unstable_focus", "unstable_node")

# The default range of IP3 reaches beyond the special points by this share of their distance, and has this many points.
MARGIN, POINTS = 0.35, 121
# Points of the range of given values at which cycles are looked for in addition.
LOOKED_AT = 31
# Without special points, and the highest IP3 to which the range is widened to find the end of the oscillation, uM.
PLAIN_RANGE, WIDEST = (0.05, 3.0), 20.0

# name: (unit, symbol, long name)
FIXED_POINT = {
    "fixed_point_calcium": ("uM", "Ca*", "calcium at the fixed points, by increasing calcium"),
    "fixed_point_h": ("1", "h*", "fraction of IP3 receptors not inactivated at the fixed points"),
}
CYCLE = {
    "cycle_calcium_min": ("uM", "min Ca", "smallest calcium on the limit cycle"),
    "cycle_calcium_max": ("uM", "max Ca", "greatest calcium on the limit cycle"),
    "cycle_calcium_mean": ("uM", "<Ca>", "time-mean calcium on the limit cycle"),
    "cycle_h_min": ("1", "min h", "smallest h on the limit cycle"),
    "cycle_h_max": ("1", "max h", "greatest h on the limit cycle"),
    "cycle_period": ("s", "T", "period of the limit cycle"),
    "cycle_multiplier": ("1", "rho", "Floquet multiplier of the limit cycle; stable below 1"),
}
HOPF = {
    "hopf_ip3": ("uM", "IP3_H", "IP3 at the Hopf points"),
    "hopf_calcium": ("uM", "Ca_H", "calcium at the Hopf points"),
    "hopf_h": ("1", "h_H", "h at the Hopf points"),
    "hopf_omega": ("rad/s", "omega", "angular frequency at the Hopf points"),
    "hopf_period": ("s", "2 pi/omega", "period of a vanishing oscillation at the Hopf points"),
    "hopf_growth_slope": ("1/(s uM)", "d Re(lambda)/d IP3", "rise of the real part of the eigenvalues with IP3"),
    "hopf_lyapunov": ("1/(s uM^2)", "l_1", "first Lyapunov coefficient, referred to the amplitude of calcium"),
}
SADDLE_NODE = {
    "saddle_node_ip3": ("uM", "IP3_SN", "IP3 at which two fixed points meet"),
    "saddle_node_calcium": ("uM", "Ca_SN", "calcium at which two fixed points meet"),
    "saddle_node_h": ("1", "h_SN", "h at which two fixed points meet"),
}
WINDOW = {
    "window_ip3": ("uM", "IP3", "ends of the ranges of IP3 with a stable limit cycle"),
    "window_period": ("s", "T", "period of the stable cycle at the ends of the window"),
    "window_calcium_min": ("uM", "min Ca", "smallest calcium at the ends of the window"),
    "window_calcium_max": ("uM", "max Ca", "greatest calcium at the ends of the window"),
}


def bifurcation(
    parameters: TripartiteParameters | str = "wade2012",
    ip3: Sequence[float] | Array | None = None,
    *,
    longest: float = LONGEST,
    dt: float | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """The bifurcation diagram of calcium at constant IP3: fixed points, Hopf points, saddle-nodes, cycles, windows.

    Parameters
    ----------
    parameters : parameter set or its name; its Li-Rinzel constants are used. Of a G-ChI set too this is calcium with IP3 held.
    ip3 : constant IP3 in uM, at least one value, each once; sorted. Default: a range around everything that happens, denser
        beside Hopf points, saddle-nodes and ends of windows, where branches are steep. Special points and windows are those
        from the smallest to the greatest value.
    longest : limit cycles of a longer period (s) are not found.
    dt : Runge-Kutta step of the return map in s; default 0.01 s or less.
    progress : called with (finished, all) values of IP3.

    Returns
    -------
    Dataset with dimensions ``ip3``; ``fixed_point`` (by increasing calcium, missing beyond their number); ``eigenvalue``;
    ``cycle`` (``stable``: the widest stable one, ``unstable``, and where there are several of a kind ``stable 2``, ...);
    ``hopf``; ``saddle_node``; ``window`` and ``edge`` (``low``, ``high``). `save` and `load` keep it.

    Raises
    ------
    ParameterError, UnknownName
        One line with the name, the value and the remedy.
    """
    chosen = parameters if isinstance(parameters, TripartiteParameters) else parameter_set(parameters)
    p = check_dependence(chosen)
    dt = step_for(p, dt)
    longest = check_longest(longest, dt)
    given = None if ip3 is None else _points(ip3)

    known: dict[float, list[LimitCycle]] = {}

    def cycles(x: float) -> list[LimitCycle]:
        x = float(x)
        if x not in known:
            known[x] = limit_cycles(x, p, longest=longest, dt=dt)
        return known[x]

    low, high = (given[0], given[-1]) if given is not None else _range(p, cycles)
    hopf, folds = special_points(p, low, high)
    # Where to look for windows: a grid of our own beside the points that were asked for.
    regular = np.linspace(low, high, POINTS) if given is None else np.union1d(given, np.linspace(low, high, LOOKED_AT))
    found = windows(cycles, low, high, hopf, folds, regular)
    grid = given if given is not None else _refined(regular, hopf, folds, found)
    for done, x in enumerate(grid):
        cycles(x)
        if progress:
            progress(done + 1, grid.size)
    return _dataset(chosen, p, grid, [cycles(x) for x in grid], hopf, folds, found, given is None, longest, dt)


def _points(ip3: Any) -> Array:
    values = np.atleast_1d(numbers("ip3", ip3, "uM", ParameterError))
    if values.ndim != 1 or values.size == 0:
        raise ParameterError(f"ip3 = {shown(ip3)}: expected at least one number in uM, in a plain list")
    for value in values:
        if not 0.0 < value <= LARGEST:
            raise ParameterError(f"ip3 = {value:g} uM: expected a concentration above 0 and up to {LARGEST:g} uM")
        check_value("IP3_rest", float(value))
    if np.unique(values).size != values.size:
        raise ParameterError(f"ip3 = {shown(values.tolist())}: a value occurs twice; give each once")
    return np.sort(values)


def _range(p: dict[str, float], cycles: Callable[[float], list[LimitCycle]]) -> tuple[float, float]:
    """Around all Hopf points and saddle-nodes, and on until the oscillation has ended."""
    hopf, folds = special_points(p, 1e-3, WIDEST)
    places = special_ip3(hopf, folds)
    if not places:
        return PLAIN_RANGE
    span = max(max(places) - min(places), 0.2 * max(places))
    low, high = max(min(places) - MARGIN * span, 0.1 * min(places)), max(places) + MARGIN * span
    while cycles(high) and high < WIDEST:
        high += 0.5 * span
    return low, high


def _refined(regular: Array, hopf: list[HopfPoint], folds: list[SaddleNode], found: list[Window]) -> Array:
    """`regular` and more points beside all that is steep: at distances that fall by powers of two."""
    step = regular[1] - regular[0]
    near = 4 * step * 0.5 ** np.arange(16)
    special = special_ip3(hopf, folds) + [edge.ip3 for w in found for edge in (w.low, w.high)]
    parts = [regular, np.array(special)]
    for x in special:
        parts += [x - near, x + near]
    # A cycle lives up to its edge, which may lie close beyond a Hopf point.
    for one, other in zip(sorted(special), sorted(special)[1:], strict=False):
        if other - one < 8 * step:
            parts.append(np.linspace(one, other, 17))
    grid = np.unique(np.concatenate(parts))
    grid = grid[(grid >= regular[0]) & (grid <= regular[-1])]
    return grid[np.concatenate([[True], np.diff(grid) > 1e-9])]


def stability_name(values: NDArray[np.complex128]) -> str:
    """The kind of a fixed point, one of STABILITIES, from its two eigenvalues."""
    if values[0].imag == 0 and values[0].real < 0 < values[1].real:
        return "saddle"
    side = "stable" if values.real.max() < 0 else "unstable"
    return f"{side}_{'focus' if values[0].imag else 'node'}"


def _slots(rows: list[list[LimitCycle]]) -> tuple[list[str], list[list[LimitCycle | None]]]:
    """Labels of the dimension ``cycle``, and the cycles of each IP3 in that order: stable and unstable, the widest first."""
    counts = {True: 1, False: 1}
    sorted_rows = []
    for row in rows:
        parts = {kind: [c for c in reversed(row) if c.stable is kind] for kind in (True, False)}
        counts = {kind: max(counts[kind], len(parts[kind])) for kind in counts}
        sorted_rows.append(parts)
    order = sorted((number, not kind) for kind, count in counts.items() for number in range(count))
    labels = [("unstable" if flag else "stable") + (f" {number + 1}" if number else "") for number, flag in order]
    table: list[list[LimitCycle | None]] = []
    for parts in sorted_rows:
        table.append([parts[not flag][n] if n < len(parts[not flag]) else None for n, flag in order])
    return labels, table


def _dataset(
    parameters: TripartiteParameters, p: dict[str, float], grid: Array, rows: list[list[LimitCycle]], hopf: list[HopfPoint],
    folds: list[SaddleNode], found: list[Window], automatic: bool, longest: float, dt: float,
) -> xr.Dataset:  # fmt: skip
    import xarray as xr

    points = [fixed_points(float(x), p) for x in grid]
    shape = (grid.size, max(len(one) for one in points))
    calcium, h = np.full(shape, np.nan), np.full(shape, np.nan)
    real, imaginary = np.full((*shape, 2), np.nan), np.full((*shape, 2), np.nan)
    stability = np.zeros(shape, dtype=np.int8)
    for i, one in enumerate(points):
        for j, point in enumerate(one):
            calcium[i, j], h[i, j] = point
            pair = eigenvalues(*point, float(grid[i]), p)
            real[i, j], imaginary[i, j] = pair.real, pair.imag
            stability[i, j] = STABILITIES.index(stability_name(pair))

    def attributes(unit: str, symbol: str, long_name: str, **more: Any) -> dict[str, Any]:
        return {"units": unit, "symbol": symbol, "long_name": long_name, **more}

    where = ("ip3", "fixed_point")
    variables: dict[str, Any] = {
        "fixed_point_calcium": (where, calcium, attributes(*FIXED_POINT["fixed_point_calcium"])),
        "fixed_point_h": (where, h, attributes(*FIXED_POINT["fixed_point_h"])),
        "eigenvalue_real": ((*where, "eigenvalue"), real, attributes("1/s", "Re(lambda)", "real part of the eigenvalues")),
        "eigenvalue_imag": (
            (*where, "eigenvalue"), imaginary, attributes("1/s", "Im(lambda)", "imaginary part of the eigenvalues"),
        ),
        "stability": (
            where, stability,
            attributes("1", "-", "kind of the fixed points", flag_values=np.arange(len(STABILITIES), dtype=np.int8),
                       flag_meanings=" ".join(STABILITIES)),
        ),
    }  # fmt: skip
    labels, table = _slots(rows)
    for name, meta in CYCLE.items():
        field = name.removeprefix("cycle_")
        column = np.array([[np.nan if c is None else getattr(c, field) for c in row] for row in table])
        variables[name] = (("ip3", "cycle"), column, attributes(*meta))
    for name, meta in HOPF.items():
        column = np.array([getattr(point, name.removeprefix("hopf_")) for point in hopf], dtype=np.float64)
        variables[name] = (("hopf",), column, attributes(*meta))
    variables["hopf_subcritical"] = (
        ("hopf",), np.array([point.criticality == "subcritical" for point in hopf], dtype=np.int8),
        attributes("1", "-", "type of the Hopf points", flag_values=np.array([0, 1], dtype=np.int8),
                   flag_meanings="supercritical subcritical"),
    )  # fmt: skip
    for name, meta in SADDLE_NODE.items():
        column = np.array([getattr(point, name.removeprefix("saddle_node_")) for point in folds], dtype=np.float64)
        variables[name] = (("saddle_node",), column, attributes(*meta))
    ends = [[window.low, window.high] for window in found]
    for name, meta in WINDOW.items():
        column = np.array(
            [[getattr(edge, name.removeprefix("window_")) for edge in both] for both in ends], dtype=np.float64
        )
        variables[name] = (("window", "edge"), column.reshape(-1, 2), attributes(*meta))
    kinds = [[EDGE_KINDS.index(edge.kind) for edge in both] for both in ends]
    variables["window_edge"] = (
        ("window", "edge"), np.array(kinds, dtype=np.int8).reshape(-1, 2),
        attributes("1", "-", "by what the window ends", flag_values=np.arange(len(EDGE_KINDS), dtype=np.int8),
                   flag_meanings=" ".join(kind.replace(" ", "_") for kind in EDGE_KINDS)),
    )  # fmt: skip
    record = {
        "schema": SCHEMA_VERSION,
        "protocol": {
            "name": "bifurcation",
            "description": "fixed points and limit cycles of Li-Rinzel calcium at constant IP3",
            "ip3": [float(x) for x in grid],
            "ip3_chosen": "automatic" if automatic else "by the user",
            "longest_s": longest,
            "dt_s": dt,
        },
        "parameter_set": parameters.name,
        "parameters": parameters.to_records(),
        "engine": "numba",
        "engine_notes": {"method": "return map, Runge-Kutta of fourth order"},
        "seed": 0,
        "versions": versions("numba"),
    }
    content = {key: record[key] for key in ("schema", "protocol", "parameters", "engine")}
    record["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return xr.Dataset(
        variables,
        coords={
            "ip3": (("ip3",), grid, {"units": "uM", "long_name": "constant IP3"}),
            "cycle": (("cycle",), labels, {"units": "1", "long_name": "limit cycle, the widest of its kind first"}),
            "edge": (("edge",), ["low", "high"], {"units": "1", "long_name": "end of the window"}),
        },
        attrs={
            "title": "bifurcation: Li-Rinzel calcium at constant IP3",
            "Conventions": "CF-1.11",
            "provenance": json.dumps(record, sort_keys=True, allow_nan=False),
        },
    )


def bifurcation_points(dataset: xr.Dataset) -> pd.DataFrame:
    """What happens where, one row per event by increasing IP3, from a Dataset of `bifurcation`.

    Columns: ip3_um; event (``supercritical Hopf``, ``subcritical Hopf``, ``saddle-node``, ``window opens``, ``window
    closes``); by (what ends the window, empty otherwise); calcium_min_um and calcium_max_um (equal at a fixed point) and
    period_s, of the cycle that is born or ends there (missing at a saddle-node).
    """
    import pandas as pd

    rows: list[tuple[float, str, str, float, float, float]] = []
    for i in range(dataset.sizes["hopf"]):
        one = dataset.isel(hopf=i)
        kind = "subcritical" if int(one.hopf_subcritical) else "supercritical"
        calcium = float(one.hopf_calcium)
        rows.append((float(one.hopf_ip3), f"{kind} Hopf", "", calcium, calcium, float(one.hopf_period)))
    for i in range(dataset.sizes["saddle_node"]):
        one = dataset.isel(saddle_node=i)
        calcium = float(one.saddle_node_calcium)
        rows.append((float(one.saddle_node_ip3), "saddle-node", "", calcium, calcium, float("nan")))
    for i in range(dataset.sizes["window"]):
        for edge, event in (("low", "window opens"), ("high", "window closes")):
            one = dataset.isel(window=i).sel(edge=edge)
            low, high = float(one.window_calcium_min), float(one.window_calcium_max)
            by = EDGE_KINDS[int(one.window_edge)]
            rows.append((float(one.window_ip3), event, by, low, high, float(one.window_period)))
    columns = ["ip3_um", "event", "by", "calcium_min_um", "calcium_max_um", "period_s"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["ip3_um", "event"], ignore_index=True)
