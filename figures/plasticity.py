"""The plasticity network over its stimulation cycles: short-term processes, long-term curve, retention factors, distance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TITLE = "plasticity network: stimulation cycles, long-term curve, retention factors"

# The cycles that the paper's figure shows, and the numbers of segments for which it gives factors.
SHOWN = 6
TOTALS = (2, 4, 6, 8)
SYNAPSES = {"centre": (1, 1), "edge": (0, 1), "corner": (0, 0)}
GEOMETRIES = ("equal", "line", "grid")


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """One run of 3 x 3 neurons per geometry: 8 cycles on the grid with traces every 0.5 s (1 s with `quick`), 2 elsewhere."""
    import biosim

    dt = 0.1 if quick else 0.02
    runs = {}
    for done, geometry in enumerate(GEOMETRIES):
        grid = geometry == "grid"
        runs[geometry] = biosim.simulate(
            "stp_cycles", geometry=geometry, n_cycles=max(TOTALS) if grid else 2, dt=dt, seed=seed,
            record=(1.0 if quick else 0.5) if grid else None,
        )  # fmt: skip
        if progress:
            progress(done + 1, len(GEOMETRIES))
    return runs


def tidy(runs: dict[str, xr.Dataset]) -> pd.DataFrame:
    """One row per point: panel, series, x and y. Panels and their x, y:

    short_term (time in s, p^s of one synapse), long_term_trace and long_term_curve (time in s, mean p^l), saturation (0 and
    the level), stimulation (start and end of the input in a cycle, s), retention and closed_form (segment t, r(t, T); the
    series is T), distance (synapse 1 to 9, p^s at the end of the second stimulation; the series is the geometry).
    """
    import biosim

    grid = runs["grid"]
    record = biosim.provenance(grid)
    plan, parameters = record["protocol"], record["parameters"]
    early = grid.sel(time=slice(None, SHOWN * plan["cycle_s"] + 1e-9))
    rows: list[tuple[str, str, Any, Any]] = []
    for series, (pre, post) in SYNAPSES.items():
        rows.append(("short_term", series, early.time.values, early.short_term_trace.values[:, pre, post]))
    curve = grid.long_term_mean.values
    rows.append(("long_term_trace", "mean", early.time.values, early.long_term_trace.mean(("pre", "post")).values))
    rows.append(("long_term_curve", "mean", grid.cycle_end.values[:SHOWN], curve[:SHOWN]))
    rows.append(("saturation", "mean", [0.0], [biosim.saturation_level(curve)]))
    starts = grid.cycle_end.values[:SHOWN] - plan["cycle_s"]
    rows.append(("stimulation", "input", starts, starts + plan["duty"] * plan["cycle_s"]))
    decay = biosim.decay_per_cycle(plan["cycle_s"], parameters["tau_pl"]["value"], parameters["leak_pl"]["value"])
    for total in TOTALS:
        segments = np.arange(1, total + 1)
        rows.append(("retention", str(total), segments, biosim.retention_factors(curve, total)))
        rows.append(("closed_form", str(total), segments, biosim.geometric_retention(total, decay)))
    for geometry in GEOMETRIES:
        values = runs[geometry].short_term.values[1].ravel()
        rows.append(("distance", geometry, np.arange(1, values.size + 1), values))
    parts = [pd.DataFrame({"panel": panel, "series": series, "x": x, "y": y}) for panel, series, x, y in rows]
    return pd.concat(parts, ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """Four panels: short-term processes, long-term curve, retention factors, effect of the geometry."""
    with house_style():
        figure, axes = new_figure(8.6, 5.6, 2, 2)
        (short, long), (retention, distance) = axes
        stimulated = data[data.panel == "stimulation"]
        for panel in (short, long):
            for start, end in zip(stimulated.x, stimulated.y, strict=True):
                panel.axvspan(start, end, color="#f1f1f1", lw=0)
            panel.grid(axis="x", visible=False)
            panel.set_xlim(0, data[data.panel == "short_term"].x.max())
            panel.set_xlabel("time (s); input shaded")
        for (name, part), colour in zip(_series(data, "short_term"), (BLUE, GREEN, ORANGE), strict=True):
            short.plot(part.x, part.y, color=colour, lw=1.4, label=name)
        short.set_ylim(0, 1.32 * data[data.panel == "short_term"].y.max())
        short.set_ylabel("short-term process pˢ")
        short.legend(loc="upper right", ncols=3, title="synapse of the 3 × 3 grid", title_fontsize=8.5)
        short.set_title("Short-term processes follow the input")

        level = float(data[data.panel == "saturation"].y.iloc[0])
        trace, curve = (data[data.panel == name] for name in ("long_term_trace", "long_term_curve"))
        long.axhline(level, color=GREY, lw=1.0, ls="--")
        long.annotate("where the ends of cycles go", (6, level), va="bottom", color=GREY, fontsize=8.5)
        long.plot(trace.x, trace.y, color=BLUE, lw=1.4)
        long.plot(curve.x, curve.y, "o", color=BLUE, ms=5, clip_on=False, label="end of a cycle", zorder=3)
        long.set_ylim(0, 1.15 * max(level, trace.y.max()))
        long.set_ylabel("long-term process pˡ (mean)")
        long.legend(loc="lower right")
        long.set_title("Long-term processes add up and saturate")

        for (name, part), colour in zip(_series(data, "retention"), (BLUE, ORANGE, GREEN, PURPLE), strict=True):
            closed = data[(data.panel == "closed_form") & (data.series == name)]
            retention.plot(closed.x, closed.y, color=colour, lw=1.1)
            retention.plot(part.x, part.y, "o", color=colour, ms=4.5, label=name)
        retention.set_ylim(bottom=0)
        retention.set_xticks(range(1, max(TOTALS) + 1))
        retention.set_xlabel("segment t")
        retention.set_ylabel("retention factor r(t, T)")
        retention.legend(title="segments T", title_fontsize=8.5)
        retention.set_title("Share of each cycle (lines: closed form)")

        for (name, part), colour, style in zip(
            _series(data, "distance"), (GREY, ORANGE, BLUE), ("--", "-", "-"), strict=True
        ):
            distance.plot(part.x, part.y, color=colour, ls=style, marker="o", ms=4, lw=1.2, label=_LABELS[name])
        distance.set_xticks(range(1, 10))
        values = data[data.panel == "distance"].y
        distance.set_ylim(values.min() - 0.3 * np.ptp(values), values.max() + 0.12 * np.ptp(values))
        distance.set_xlabel("synapse")
        distance.set_ylabel("pˢ after stimulation")
        distance.legend(loc="lower center", ncols=3)
        distance.set_title("Distance tells synapses apart")
    return figure


_LABELS = {"equal": "equal distances", "line": "line", "grid": "grid"}


def _series(data: pd.DataFrame, panel: str) -> list[tuple[str, pd.DataFrame]]:
    return [(str(name), part) for name, part in data[data.panel == panel].groupby("series", sort=False)]
