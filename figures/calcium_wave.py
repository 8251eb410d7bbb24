"""A calcium wave among astrocytes coupled by gap junctions: how far a rise of IP3 in one of them reaches.

Top: calcium of a chain of G-ChI astrocytes in space and time, with the linear and with the threshold form of the coupling: they
make new IP3 where calcium rises, and with a threshold a neighbour fills up before it passes IP3 on. Bottom: when the astrocytes
of a grid become active, as a graph; and the reach along a chain against the strength of the coupling. There the astrocyte is
also that of Li and Rinzel, which makes no new IP3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from .style import BLUE, GREY, ORANGE, PUBLISHED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "gap junctions: calcium waves among coupled astrocytes"

FORMS = ("linear", "threshold")
# Length of the chain, side of the grid, jump of IP3 (uM) of the one in the middle, and when (s).
CHAIN, SIDE, SIZE, AT = 31, 11, 10.0, 5.0
# The astrocytes: name, parameter set, and how long they are watched (s). The waves of the second take minutes.
SETS = {"Li-Rinzel": ("wade2012", 25.0), "G-ChI": ("stimberg2018_ring", 600.0)}
# The jump on the grid, where there are more neighbours to fill.
GRID_SIZE = 20.0
# The strengths shown on the chains (linear 1/s, threshold uM/s), that of the grid, and those of the reach.
SHOWN = {"linear": 0.3, "threshold": 0.3}
STRENGTH = 2.0
STRENGTHS = (0.03, 0.09, 0.2, 0.3, 0.5, 0.9, 2.0)


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """Chains of both astrocytes at all strengths for both forms, and a grid, without input; coarser in time with `quick`."""
    import biosim

    middle, side = CHAIN // 2, SIDE // 2
    common: dict[str, Any] = {"at": AT, "seed": seed, "progress": progress}
    found = {}
    for astrocyte, (name, duration) in SETS.items():
        start = biosim.parameter_set(name).with_values(n_neurons=1, n_synapses=1)
        sampling = duration / (60 if quick else 300)
        for form in FORMS:
            found[f"{astrocyte} {form}"] = biosim.simulate(
                "calcium_wave", start, topology="chain", n_astrocytes=CHAIN, stimulated=[middle], form=form, sizes=[SIZE],
                strengths=[0.0, *STRENGTHS], duration=duration, sampling=round(max(sampling, 0.1), 1), **common,
            )  # fmt: skip
    start = biosim.parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1)
    found["grid"] = biosim.simulate(
        "calcium_wave", start, topology="grid", rows=SIDE, columns=SIDE, stimulated=[side * SIDE + side], form="linear",
        sizes=[GRID_SIZE], strengths=[STRENGTH], duration=25.0, sampling=0.2 if quick else 0.1, **common,
    )  # fmt: skip
    return found


def tidy(datasets: dict[str, xr.Dataset]) -> pd.DataFrame:
    """Rows of four kinds, told apart by `part`.

    ``chain``: form, astrocyte, time_s (from the stimulus), calcium_um, of G-ChI astrocytes. ``active``: form, astrocyte,
    activation_time_s along that chain. ``grid``: astrocyte, row, column, distance, activation_time_s, of Li-Rinzel astrocytes.
    ``reach``: model, form, strength, n_active, front_distance, front_speed_per_s.
    """
    parts = []
    for form in FORMS:
        chain = datasets[f"G-ChI {form}"].squeeze(["stimulus", "trial"]).sel(coupling_strength=SHOWN[form])
        table = chain.calcium.to_dataframe().reset_index()
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
        for model in SETS:
            reach = datasets[f"{model} {form}"].squeeze(["stimulus", "trial"])
            table = reach[["n_active", "front_distance", "front_speed"]].to_dataframe().reset_index()
            parts.append(
                pd.DataFrame(
                    {
                        "part": "reach", "model": model, "form": form, "strength": table.coupling_strength,
                        "n_active": table.n_active, "front_distance": table.front_distance,
                        "front_speed_per_s": table.front_speed,
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
            panel.set_title(f"G-ChI, {form} coupling, F = {SHOWN[form]:g} {unit}")
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
    panel.set_title(f"Li–Rinzel, grid, linear, F = {STRENGTH:g} per s")


def _reach(panel: Axes, part: pd.DataFrame) -> None:
    for (model, form), line in part[part.strength > 0].groupby(["model", "form"], sort=False):
        colour = BLUE if form == "linear" else ORANGE
        style: dict[str, Any] = {"ls": "-", "marker": "o"} if model == "G-ChI" else {"ls": "--", "marker": "s"}
        panel.plot(line.strength, line.front_distance, color=colour, ms=4, label=f"{model}, {form}", **style)
    panel.axhline(CHAIN // 2, color=GREY, lw=1.0, ls=":", label="end of the chain")
    panel.set_xscale("log")
    panel.set_ylim(bottom=-0.5)
    panel.set_xlabel("strength F (linear: 1/s, threshold: µM/s)")
    panel.set_ylabel("reach (astrocytes)")
    panel.set_title(f"Reach along a chain, jump of {SIZE:g} µM")
    panel.legend(loc="upper left", fontsize="small")
