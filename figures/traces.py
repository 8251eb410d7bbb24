"""Traces of one simulated run: calcium, IP3, 2-AG and release probability from the first input on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, ORANGE, RED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TITLE = "traces of one run: calcium, IP3, 2-AG, release probability"

# Both named sets at one rate: in wade2012 the direct feedback keeps calcium below the threshold of glutamate release, in
# psu it does not, and e-SP sets in.
SETS = ("wade2012", "psu")
RATE_HZ = 5.0


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """One run per parameter set at 5 Hz, 200 s (100 s with `quick`), sampled every 0.1 s."""
    import biosim

    duration = 100.0 if quick else 200.0
    return {
        name: biosim.simulate(
            "rate_sweep", name, rates=[RATE_HZ], trials=1, duration=duration, settle=0.5 * duration, record=0.1, seed=seed,
            progress=progress,
        )
        for name in SETS
    }  # fmt: skip


def tidy(datasets: dict[str, xr.Dataset]) -> pd.DataFrame:
    """One row per set and time: calcium_um, ip3_um, ag_um and release_probability (means over neurons), esp_percent."""
    parts = []
    for name, dataset in datasets.items():
        one = dataset.isel(input_rate=0, trial=0)
        parts.append(
            pd.DataFrame(
                {
                    "parameter_set": name,
                    "time_s": one.time.values,
                    "calcium_um": one.calcium.values,
                    "ip3_um": one.ip3.values,
                    "ag_um": one.ag.mean("neuron").values,
                    "release_probability": one.release_probability.mean("neuron").values,
                    "esp_percent": one.esp.values,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """Four panels over time, one line per parameter set."""
    panels = (
        ("calcium_um", "calcium (µM)"),
        ("ip3_um", "IP3 (µM)"),
        ("ag_um", "2-AG per neuron (µM)"),
        ("release_probability", "release probability"),
    )
    colours = dict(zip(SETS, (BLUE, ORANGE), strict=True))
    with house_style():
        figure, axes = new_figure(8.2, 4.6, 2, 2, sharex=True)
        for panel, (column, label) in zip(np.ravel(axes), panels, strict=True):
            for name, part in data.groupby("parameter_set", sort=False):
                panel.plot(part.time_s, part[column], color=colours[str(name)], lw=1.3, label=str(name))
            panel.set_ylabel(label)
            if column == "calcium_um":
                panel.axhline(0.3, color=RED, lw=1.0, ls="--")
                panel.annotate(
                    "glutamate release", (data.time_s.max(), 0.3), ha="right", va="bottom", color=RED, fontsize=8
                )
        axes[0, 1].legend(loc="center right")
        for panel in axes[1]:
            panel.set_xlabel("time (s)")
        figure.suptitle(f"One run at {RATE_HZ:g} Hz per synapse, both parameter sets", x=0.01, ha="left", weight="bold")
    return figure
