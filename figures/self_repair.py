"""Self-repair: a neuron recovers after part of its synapses fail, and how much follows from DSE alone.

Left: firing of both neurons when 70-80 % of the synapses of one fall silent (Wade et al. 2012; published MATLAB). Right: the
growth q of the release probability that remains, against the part z of it that stays, for the statistics of the published
MATLAB (80 synapses, 10 Hz, PR(0) unequal), with the published relation and the closed form q = (1 + a)/(1 + a z).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREEN, GREY, ORANGE, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

TITLE = "self-repair: firing and release probability after synapses fail"

SHARES = {"wade2012": 0.8, "psu": 0.7}
SWEPT = tuple(round(0.1 * tenth, 1) for tenth in range(3, 10))
FAULTY = 1


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """Both sets with one share (64 trials; 16 with `quick`), and the statistics over shares of 30-90 % (64; 8).

    With `quick` the synapses of the statistics are equal, which is faster.
    """
    import biosim

    found = {}
    for name, share in SHARES.items():
        found[name] = biosim.simulate(
            "self_repair", name, shares=[share], trials=16 if quick else 64, seed=seed, progress=progress
        )
    many = biosim.parameter_set("psu").with_values(n_synapses=80)
    found["statistics"] = biosim.simulate(
        "self_repair", many, shares=list(SWEPT), trials=8 if quick else 64, mean_PR0=[0.2, 0.6],
        scatter="none" if quick else "uniform", bin=25.0, seed=seed, progress=progress,
    )  # fmt: skip
    return found


def tidy(datasets: dict[str, xr.Dataset]) -> pd.DataFrame:
    """Two kinds of rows, told apart by `part`.

    ``course``: parameter_set, time_s (middle of a bin), neuron, firing_rate_hz and release_probability (healthy synapses),
    means over trials. ``statistics``: one row per trial with fault_share, z, q, a, q_closed_form, q_published.
    """
    parts = []
    for name in SHARES:
        data = datasets[name].isel(fault_share=0).mean("trial")
        time = (data.window_start.values + data.window_stop.values) / 2
        for neuron in data.neuron.values:
            one = data.sel(neuron=neuron)
            parts.append(
                pd.DataFrame(
                    {
                        "part": "course",
                        "parameter_set": name,
                        "time_s": time,
                        "neuron": neuron + 1,
                        "firing_rate_hz": one.window_firing_rate.values,
                        "release_probability": one.window_release_probability.values,
                    }
                )
            )
    columns = ["z", "q", "a", "q_closed_form", "q_published"]
    table = datasets["statistics"][columns].to_dataframe().reset_index()
    parts.append(table[["fault_share", "trial", *columns]].assign(part="statistics", parameter_set="psu, 80 synapses"))
    return pd.concat(parts, ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """Firing over time for both sets, release probability over time, and q against z."""
    from biosim.self_repair_measures import closed_form, published_relation

    course = data[data.part == "course"]
    statistics = data[data.part == "statistics"]
    with house_style():
        figure, axes = new_figure(8.6, 5.4, 2, 2)
        for panel, (name, part) in zip(axes[0], course.groupby("parameter_set", sort=False), strict=True):
            for neuron, colour, label in ((1, GREY, "neuron 1, all synapses work"), (2, BLUE, "neuron 2")):
                one = part[part.neuron == neuron]
                panel.plot(one.time_s, one.firing_rate_hz, color=colour, label=label)
            panel.axvline(200.0, color=RED, lw=1.0, ls="--")
            panel.annotate(
                f"{SHARES[str(name)]:.0%} of its synapses fail", (204.0, 0.04), xycoords=("data", "axes fraction"), color=RED,
                fontsize=8,
            )  # fmt: skip
            panel.set_ylim(bottom=0)
            panel.set_xlabel("time (s)")
            panel.set_ylabel("firing rate (Hz)")
            panel.set_title(str(name))
        axes[0, 0].legend(loc="upper right")
        panel = axes[1, 0]
        for (name, part), colour in zip(course.groupby("parameter_set", sort=False), (BLUE, ORANGE), strict=True):
            one = part[part.neuron == 2]
            panel.plot(one.time_s, one.release_probability, color=colour, label=str(name))
        panel.axvline(200.0, color=RED, lw=1.0, ls="--")
        panel.set_ylim(bottom=0)
        panel.set_xlabel("time (s)")
        panel.set_ylabel("PR of healthy synapses")
        panel.set_title("The synapses that are left release more")
        panel.legend(loc="upper left")
        panel = axes[1, 1]
        z = np.linspace(0.07, 0.75, 200)
        panel.plot(statistics.z, statistics.q, ".", color=GREEN, ms=3, alpha=0.5, label="simulated, one trial each")
        panel.plot(z, published_relation(z), color=PUBLISHED, lw=2.2, label="published, 1.03/(z + 0.04)")
        panel.plot(z, closed_form(z, 25.6), color=ORANGE, ls="--", label="closed form at PR(0) = 0.4")
        panel.set_xlabel("z, part of the release probability that stays")
        panel.set_ylabel("q, growth of what stays")
        panel.set_title("80 synapses, 10 Hz, mean PR(0) 0.2–0.6")
        panel.legend(loc="upper right")
    return figure
