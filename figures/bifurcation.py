"""The bifurcation diagram of astrocyte calcium over constant IP3, for both parameter sets.

Fixed points, stable and unstable limit cycles, Hopf points, the oscillation window and the period; and, magnified, the
upper end of the window of wade2012, where the oscillation is hard to start and hard to stop: simulated with IP3 rising and
falling slowly, over the cycles of the diagram.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREY, ORANGE, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "bifurcation diagram: where calcium oscillates, how far and how fast"

SETS = ("wade2012", "psu")
# The set whose upper Hopf point is subcritical, and the distances (uM) around that point that are magnified.
MAGNIFIED, BELOW, ABOVE = "wade2012", 0.0030, 0.0026


def diagrams(progress: Callable[[int, int], None] | None = None) -> dict[str, xr.Dataset]:
    """`biosim.bifurcation` of both sets."""
    import biosim

    return {name: biosim.bifurcation(name, progress=progress) for name in SETS}


def staircase(
    diagram: xr.Dataset, quick: bool = False, progress: Callable[[int, int], None] | None = None
) -> xr.Dataset:
    """`biosim.hysteresis` around the subcritical Hopf point of the magnified set."""
    import biosim

    point = float(diagram.hopf_ip3.values[diagram.hopf_subcritical.values == 1][0])
    steps = np.linspace(point - BELOW, point + ABOVE, 15 if quick else 29)
    return biosim.hysteresis(MAGNIFIED, steps, settle=1000.0 if quick else 4000.0, window=60.0, progress=progress)


def tidy(datasets: dict[str, xr.Dataset], stairs: xr.Dataset | None = None) -> pd.DataFrame:
    """One row per point of a curve, by set: what, kind, ip3_um, calcium_min_um, calcium_max_um, calcium_mean_um, period_s.

    what : ``fixed point`` (kind: stable node, stable focus, saddle, ...), ``cycle`` (stable, unstable), ``event`` (kind as in
    `biosim.bifurcation_points`: the Hopf points and the ends of the windows), ``simulated`` (kind: IP3 up, IP3 down).
    """
    parts = []
    for name, dataset in datasets.items():
        parts += [_fixed_points(dataset), _cycles(dataset), _events(dataset)]
        for part in parts[-3:]:
            part.insert(0, "parameter_set", name)
    if stairs is not None:
        for direction in stairs.direction.values:
            one = stairs.sel(direction=direction)
            columns = {f"{q}_um": one[q].values for q in ("calcium_min", "calcium_max")}
            part = pd.DataFrame({"what": "simulated", "kind": f"IP3 {direction}", "ip3_um": one.ip3.values, **columns})
            part.insert(0, "parameter_set", MAGNIFIED)
            parts.append(part.assign(calcium_mean_um=np.nan, period_s=one.period.values))
    return pd.concat(parts, ignore_index=True)


def _fixed_points(dataset: xr.Dataset) -> pd.DataFrame:
    kinds = [kind.replace("_", " ") for kind in dataset.stability.attrs["flag_meanings"].split()]
    table = dataset[["fixed_point_calcium", "stability"]].to_dataframe().reset_index().dropna()
    calcium = table.fixed_point_calcium
    # By calcium: along the curve of fixed points, also where it folds.
    return pd.DataFrame(
        {
            "what": "fixed point", "kind": [kinds[i] for i in table.stability], "ip3_um": table.ip3,
            "calcium_min_um": calcium, "calcium_max_um": calcium, "calcium_mean_um": calcium, "period_s": np.nan,
        }
    ).sort_values("calcium_min_um")  # fmt: skip


def _cycles(dataset: xr.Dataset) -> pd.DataFrame:
    columns = ["cycle_calcium_min", "cycle_calcium_max", "cycle_calcium_mean", "cycle_period"]
    table = dataset[columns].to_dataframe().reset_index().sort_values(["cycle", "ip3"]).dropna()
    return pd.DataFrame(
        {
            "what": "cycle", "kind": table.cycle, "ip3_um": table.ip3, "calcium_min_um": table.cycle_calcium_min,
            "calcium_max_um": table.cycle_calcium_max, "calcium_mean_um": table.cycle_calcium_mean,
            "period_s": table.cycle_period,
        }
    )  # fmt: skip


def _events(dataset: xr.Dataset) -> pd.DataFrame:
    import biosim

    events = biosim.bifurcation_points(dataset)
    kind = events.event + np.where(events.by != "", ": " + events.by, "")
    table = events.drop(columns=["event", "by"]).assign(what="event", kind=kind, calcium_mean_um=np.nan)
    return table[["what", "kind", "ip3_um", "calcium_min_um", "calcium_max_um", "calcium_mean_um", "period_s"]]


def compute(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None, **_: Any
) -> pd.DataFrame:
    """Compute and return the figure's data (see `tidy`); nothing in it is random."""
    datasets = diagrams(progress)
    return tidy(datasets, staircase(datasets[MAGNIFIED], quick, progress))


def draw(data: pd.DataFrame) -> Figure:
    """Calcium above, period below: a column per set, and one for the magnified end of a window."""
    with house_style():
        figure, axes = new_figure(10.4, 5.8, 2, 3, sharex="col", height_ratios=[1.7, 1.0])
        for column, name in enumerate(SETS):
            part = data[data.parameter_set == name]
            _draw_diagram(axes[0, column], axes[1, column], part)
            low, high = _window(part)
            axes[0, column].set_title(f"{name}: {low:.4f} to {high:.4f} µM")
            axes[1, column].set_xlabel("constant IP3 (µM)")
        part = data[data.parameter_set == MAGNIFIED]
        _draw_diagram(axes[0, 2], axes[1, 2], part)
        _draw_staircase(axes[0, 2], axes[1, 2], part)
        for row, label in enumerate(("calcium (µM)", "period (s)")):
            axes[row, 0].set_ylabel(label)
            limits = [panel.get_ylim() for panel in axes[row, :2]]
            for panel in axes[row, :2]:
                panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        handles, labels = axes[0, 2].get_legend_handles_labels()
        # A curve is drawn in pieces, each with its label.
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=4)
    return figure


def _window(part: pd.DataFrame) -> tuple[float, float]:
    opens = part[part.kind.str.startswith("window opens")].ip3_um
    closes = part[part.kind.str.startswith("window closes")].ip3_um
    return float(opens.min()), float(closes.max())


def _draw_diagram(calcium: Axes, period: Axes, part: pd.DataFrame) -> None:
    events = part[part.what == "event"]
    opens = events[events.kind.str.startswith("window opens")].ip3_um
    closes = events[events.kind.str.startswith("window closes")].ip3_um
    for panel in (calcium, period):
        for low, high in zip(opens, closes, strict=True):
            panel.axvspan(low, high, color=BLUE, alpha=0.07, lw=0, label="oscillation window")
    fixed = part[part.what == "fixed point"]
    stable = fixed.kind.str.startswith("stable").to_numpy()
    for start, end in _runs(stable):
        # One point more, so that the pieces meet.
        piece = fixed.iloc[start : end + 1]
        style: dict[str, Any] = {"ls": "-", "label": "stable fixed point"}
        if not stable[start]:
            style = {"ls": (0, (4, 2)), "label": "unstable fixed point"}
        calcium.plot(piece.ip3_um, piece.calcium_min_um, color=PUBLISHED, lw=1.5, **style)
    for kind, colour, line in (("stable", BLUE, "-"), ("unstable", RED, (0, (3, 1.5)))):
        cycle = part[(part.what == "cycle") & (part.kind == kind)]
        calcium.plot(cycle.ip3_um, cycle.calcium_max_um, color=colour, ls=line, label=f"{kind} cycle, extremes")
        calcium.plot(cycle.ip3_um, cycle.calcium_min_um, color=colour, ls=line)
        period.plot(cycle.ip3_um, cycle.period_s, color=colour, ls=line)
    mean = part[(part.what == "cycle") & (part.kind == "stable")]
    calcium.plot(mean.ip3_um, mean.calcium_mean_um, color=BLUE, lw=1.0, ls=":", label="stable cycle, time-mean")
    for kind, face in (("supercritical", PUBLISHED), ("subcritical", "white")):
        points = events[events.kind == f"{kind} Hopf"]
        style = {"ls": "", "marker": "o", "ms": 6.5, "mfc": face, "mec": PUBLISHED, "zorder": 5}
        calcium.plot(points.ip3_um, points.calcium_min_um, label=f"{kind} Hopf point", **style)
        period.plot(points.ip3_um, points.period_s, **style)


def _draw_staircase(calcium: Axes, period: Axes, part: pd.DataFrame) -> None:
    """The magnified end: simulated extremes on the way up and down."""
    point = float(part[part.kind == "subcritical Hopf"].ip3_um.iloc[0])
    simulated = part[part.what == "simulated"]
    for kind, marker, colour in (("IP3 up", "^", ORANGE), ("IP3 down", "v", GREY)):
        one = simulated[simulated.kind == kind]
        style: dict[str, Any] = {"ls": "", "marker": marker, "ms": 4.5, "color": colour, "zorder": 4}
        calcium.plot(one.ip3_um, one.calcium_max_um, label=f"simulated, {kind}", **style)
        calcium.plot(one.ip3_um, one.calcium_min_um, **style)
        beating = one[one.calcium_max_um - one.calcium_min_um > 0.01]
        period.plot(beating.ip3_um, beating.period_s, **style)
    low, high = point - BELOW, point + ABOVE
    calcium.set_xlim(low, high)
    near = part[(part.what == "cycle") & part.ip3_um.between(low, high)]
    period.set_ylim(near.period_s.min() - 0.05, near.period_s.max() + 0.05)
    calcium.set_ylim(near.calcium_min_um.min() - 0.02, near.calcium_max_um.max() + 0.02)
    calcium.set_title(f"{MAGNIFIED}, upper end: two stable states")
    period.set_xlabel("constant IP3 (µM)")
    period.ticklabel_format(axis="x", useOffset=False)
    period.locator_params(axis="x", nbins=4)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Start and end of each run of equal values."""
    cuts = [0, *(np.flatnonzero(flags[1:] != flags[:-1]) + 1), flags.size]
    return [(int(a), int(b)) for a, b in itertools.pairwise(cuts)]
