"""Figure 3 of "Delving Deeper Into Astromorphic Transformers" (arXiv 2312.10925): astrocyte calcium against input rate.

The published curve, digitised, with the simulated one over it: time-mean calcium of the set wade2012 at 1 to 10 Hz, mean
and standard deviation over trials, nothing tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, PUBLISHED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TITLE = "astrocyte calcium against input rate, simulated and published"


def simulate(quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> xr.Dataset:
    """The protocol behind the figure: 32 trials per rate, 8 with `quick`."""
    import biosim

    return biosim.simulate("fig3", trials=8 if quick else 32, seed=seed, progress=progress)


def tidy(dataset: xr.Dataset) -> pd.DataFrame:
    """One row per rate: input_rate_hz, calcium_um_mean, calcium_um_sd (between trials), published_calcium.

    The published curve, on an axis without a unit, is read as uM and interpolated at the simulated rates; outside its range
    of 1 to 10 Hz the column is empty.
    """
    import bridge

    curve = bridge.response_curve(dataset)
    published = bridge.published("astromorphic_fig3")
    at = np.interp(curve.x, published.x, published.y, left=np.nan, right=np.nan)
    spread = np.full(curve.n_points, np.nan) if curve.sd is None else curve.sd
    return pd.DataFrame(
        {
            "input_rate_hz": curve.x,
            "calcium_um_mean": curve.y,
            "calcium_um_sd": spread,
            "published_calcium": at,
        }
    )


def rmse(data: pd.DataFrame) -> float:
    """Root mean square difference (uM) between simulated and published calcium, over the rates both have."""
    difference = (data.calcium_um_mean - data.published_calcium).dropna()
    return float(np.sqrt(np.mean(difference**2)))


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """The figure, from the data of `compute`."""
    import bridge

    published = bridge.published("astromorphic_fig3")
    with house_style():
        figure, axes = new_figure(5.2, 3.4)
        axes.plot(published.x, published.y, color=PUBLISHED, lw=2.2, label="published (Fig. 3, digitised)")
        axes.errorbar(
            data.input_rate_hz, data.calcium_um_mean, yerr=data.calcium_um_sd, color=BLUE, fmt="o-", ms=4.5, lw=1.4,
            capsize=2.5, label="simulated, mean and SD over trials",
        )  # fmt: skip
        axes.set_xlabel("input rate per synapse (Hz)")
        axes.set_ylabel("time-mean calcium (µM)")
        axes.set_title("Astrocyte calcium saturates with input rate")
        axes.text(
            0.98, 0.06, f"RMSE {rmse(data):.4f} µM, nothing tuned", transform=axes.transAxes, ha="right", color=BLUE
        )
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.12))
    return figure
