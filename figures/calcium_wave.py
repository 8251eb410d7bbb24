"""A calcium wave among astrocytes coupled by gap junctions: how far a rise of IP3 in one of them reaches.

Top: calcium of a chain in space and time, with the linear and with the threshold form of the coupling. Bottom: when the
astrocytes of a grid become active, as a graph; and the reach along the chain against the strength of the coupling, from rest
and near the oscillation window. The astrocyte is that of Li and Rinzel, which makes no new IP3 when calcium rises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from .style import BLUE, GREY, ORANGE, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "gap junctions: calcium waves among coupled astrocytes"

FORMS = ("linear", "threshold")
# Length of the chain, side of the grid, jump of IP3 (uM) of the one in the middle, and when (s).
CHAIN, SIDE, SIZE, AT = 31, 11, 10.0, 5.0
# The jump on the grid, where there are more neighbours to fill.
GRID_SIZE = 20.0
# The strength shown (linear 1/s, threshold uM/s), and those of the reach.
STRENGTH = 2.0
STRENGTHS = (0.03, 0.09, 0.3, 0.9, 2.0)
# Resting IP3 (uM) of the set, and below the window of oscillations, which begins at 0.3545.
RESTS = (0.16, 0.34)


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """Chain, grid and strengths for both forms, without input to the synapses; coarser in time with `quick`."""
    import biosim

    start = biosim.parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1)
    common: dict[str, Any] = {"sizes": [SIZE], "at": AT, "duration": 25.0, "sampling": 0.2 if quick else 0.1}
    middle, side = CHAIN // 2, SIDE // 2
    found = {}
    for form in FORMS:
        common["form"] = form
        chain = {"topology": "chain", "n_astrocytes": CHAIN, "stimulated": [middle], **common}
        found[f"chain {form}"] = biosim.simulate(
            "calcium_wave", start, strengths=[STRENGTH], seed=seed, progress=progress, **chain
        )
        plan = biosim.protocol("calcium_wave", start, strengths=[0.0, *STRENGTHS], **chain)
        found[f"reach {form}"] = biosim.simulate(biosim.swept(plan, "IP3_rest", RESTS), seed=seed, progress=progress)
    found["grid"] = biosim.simulate(
        "calcium_wave", start, topology="grid", rows=SIDE, columns=SIDE, stimulated=[side * SIDE + side],
        strengths=[STRENGTH], seed=seed, progress=progress, **(common | {"form": "linear", "sizes": [GRID_SIZE]}),
    )  # fmt: skip
    return found


def tidy(datasets: dict[str, xr.Dataset]) -> pd.DataFrame:
    """Rows of four kinds, told apart by `part`.

    ``chain``: form, astrocyte, time_s (from the stimulus), calcium_um. ``active``: form, astrocyte, activation_time_s along the
    chain. ``grid``: astrocyte, row, column, distance, activation_time_s. ``reach``: form, strength, ip3_rest_um, n_active,
    front_distance, front_speed_per_s.
    """
    parts = []
    for form in FORMS:
        chain = datasets[f"chain {form}"].squeeze(["coupling_strength", "stimulus", "trial"])
        table = chain.calcium.isel(time=chain.time >= AT - 2.0).to_dataframe().reset_index()
        parts.append(
            pd.DataFrame(
                {
                    "part": "chain", "form": form, "astrocyte": table.astrocyte, "time_s": table.time - AT,
                    "calcium_um": table.calcium,
                }
            )
        )  # fmt: skip
        active = pd.DataFrame({"astrocyte": chain.astrocyte, "activation_time_s": chain.activation_time})
        parts.append(active.assign(part="active", form=form))
        reach = datasets[f"reach {form}"].squeeze(["stimulus", "trial"])
        table = reach[["n_active", "front_distance", "front_speed"]].to_dataframe().reset_index()
        parts.append(
            pd.DataFrame(
                {
                    "part": "reach", "form": form, "strength": table.coupling_strength, "ip3_rest_um": table.IP3_rest,
                    "n_active": table.n_active, "front_distance": table.front_distance, "front_speed_per_s": table.front_speed,
                }
            )
        )  # fmt: skip
    grid = datasets["grid"].squeeze(["coupling_strength", "stimulus", "trial"])
    parts.append(
        pd.DataFrame(
            {
                "part": "grid", "form": "linear", "astrocyte": grid.astrocyte, "row": grid.astrocyte // SIDE,
                "column": grid.astrocyte % SIDE, "distance": grid.distance, "activation_time_s": grid.activation_time,
            }
        )
    )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """Two rasters of calcium in space and time, the activation times of a grid, and the reach against the strength."""
    with house_style():
        figure, axes = new_figure(8.6, 6.2, 2, 2)
        top = data[data.part == "chain"].calcium_um.max()
        for panel, form in zip(axes[0], FORMS, strict=True):
            unit = "per s" if form == "linear" else "µM/s"
            image = _raster(panel, data[data.form == form], top)
            panel.set_title(f"{form.capitalize()} coupling, F = {STRENGTH:g} {unit}")
        figure.colorbar(image, ax=axes[0], label="calcium (µM)", pad=0.01)
        _grid(figure, axes[1, 0], data[data.part == "grid"])
        _reach(axes[1, 1], data[data.part == "reach"])
    return figure


def _raster(panel: Axes, part: pd.DataFrame, top: float) -> Any:
    table = part[part.part == "chain"].pivot(index="astrocyte", columns="time_s", values="calcium_um")
    middle = CHAIN // 2
    image = panel.pcolormesh(
        table.columns, table.index - middle, table.to_numpy(), vmin=0.0, vmax=top, cmap="viridis", rasterized=True
    )
    active = part[part.part == "active"].dropna(subset=["activation_time_s"])
    panel.plot(active.activation_time_s, active.astrocyte - middle, ".", color="white", ms=4)
    panel.set_xlabel("time from the jump of IP3 (s)")
    panel.set_ylabel("astrocyte, from the stimulated one")
    return image


def _grid(figure: Figure, panel: Axes, part: pd.DataFrame) -> None:
    for axis, other in (("row", "column"), ("column", "row")):
        for _, line in part.sort_values(axis).groupby(other):
            panel.plot(line.column, line.row, color=GREY, lw=0.8, zorder=1)
    silent = part[part.activation_time_s.isna()]
    panel.scatter(silent.column, silent.row, s=42, color="white", edgecolors=GREY, linewidths=0.8, zorder=2)
    active = part.dropna(subset=["activation_time_s"])
    points = panel.scatter(
        active.column, active.row, c=active.activation_time_s, s=64, cmap="plasma", edgecolors=PUBLISHED, linewidths=0.6,
        zorder=3,
    )  # fmt: skip
    figure.colorbar(points, ax=panel, label="active after (s); white: never", pad=0.01)
    panel.set_aspect("equal")
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_title(f"Grid, linear, jump of {GRID_SIZE:g} µM")


def _reach(panel: Axes, part: pd.DataFrame) -> None:
    alone = part[part.strength == 0]
    for (form, rest), line in part[part.strength > 0].groupby(["form", "ip3_rest_um"], sort=False):
        colour = BLUE if form == "linear" else ORANGE
        style: dict[str, Any] = {"ls": "-", "marker": "o"} if rest == RESTS[0] else {"ls": "--", "marker": "s"}
        panel.plot(line.strength, line.front_distance, color=colour, ms=4, label=f"{form}, IP3* = {rest:g} µM", **style)
    panel.axhline(float(alone.front_distance.max()), color=RED, lw=1.0, ls=":", label="without coupling")
    panel.set_xscale("log")
    panel.set_ylim(bottom=-0.5)
    panel.set_xlabel("strength F (linear: 1/s, threshold: µM/s)")
    panel.set_ylabel("reach (astrocytes)")
    panel.set_title(f"Reach along a chain, jump of {SIZE:g} µM")
    panel.legend(loc="upper left")
