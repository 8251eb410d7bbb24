"""Which biology moves the macro parameters: Sobol indices of the exponent, the half-rate and the range of calcium.

Every parameter of the set wade2012 varies by 20 % to both sides, independently of the others. The first-order index is the
share of an output's variance that a parameter makes alone, the total index its share with all interactions; the grey band
is the total index of a dummy parameter on which nothing depends, that is, of noise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREY, ORANGE, RED, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bridge import Sensitivity

TITLE = "which biology moves alpha, the half-rate and the range of calcium (Sobol indices)"

SPREAD = 0.2
PAPER_ALPHA = 0.25
_LABELS = {
    "PR0": "PR(0)  release probability",
    "dAG": "dAG  2-AG per spike",
    "tau_AG": "τ_AG  decay of 2-AG",
    "K_AG": "K_AG  suppression of release",
    "r_IP3": "r_IP3  IP3 per 2-AG",
    "tau_IP3": "τ_IP3  decay of IP3",
    "IP3_rest": "IP3*  resting IP3",
    "r_C": "r_C  release from the store",
    "r_L": "r_L  leak from the store",
    "v_ER": "v_ER  strength of the pump",
    "k_ER": "k_ER  affinity of the pump",
    "d5": "d5  activation by calcium",
    "Ca_th": "Ca_th  glutamate threshold",
    "m_eSP": "m_eSP  strength of e-SP",
    "dummy": "dummy  acts on nothing",
}
_PANELS = {
    "alpha": ("Exponent alpha", "log-log above rest, 1–10 Hz"),
    "log_half_rate": ("Half-rate", "of the hyperbola, logarithm"),
    "calcium_range": ("Range of calcium", "10 Hz minus 0.25 Hz"),
}


def simulate(quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Sensitivity:
    """`bridge.sobol` with 1024 base samples of 300 s; 64 of 150 s with `quick`."""
    import bridge

    few = {"n": 64, "duration": 150.0, "settle": 50.0} if quick else {}
    # At these ranges a set without an exponent would be a rare accident; that it is left out would be said in the notes.
    return bridge.sobol("wade2012", spread=SPREAD, seed=seed, unfit="drop", progress=progress, **few)  # type: ignore[arg-type]


def tidy(found: Sensitivity) -> pd.DataFrame:
    """One row per output and input: the columns of `Sensitivity.table`, and of each output its n and quantiles over the range.

    Columns q05, q50, q95 (half-rate: in Hz, not its logarithm), n (base samples), n_dropped, notes.
    """
    table = found.table()
    for name, quantile in (("q05", 0), ("q50", 2), ("q95", 4)):
        values = {
            output: float(np.exp(one.quantiles[quantile]) if output == "log_half_rate" else one.quantiles[quantile])
            for output, one in found.outputs.items()
        }
        table[name] = table.output.map(values)
    table["n"] = table.output.map({output: one.n for output, one in found.outputs.items()})
    table["n_dropped"] = table.output.map({output: one.n_dropped for output, one in found.outputs.items()})
    table["notes"] = " | ".join(found.notes)
    return table


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """One panel per output, parameters in the order of their greatest total index."""
    order = data.groupby("input").ST.max().drop("dummy").sort_values().index.tolist()
    order = ["dummy", *order]
    with house_style():
        figure, axes = new_figure(11.0, 6.0, 1, len(_PANELS), sharey=True)
        for panel, output in zip(axes, _PANELS, strict=True):
            _panel(panel, data[data.output == output].set_index("input").loc[order], output)
        axes[0].set_yticks(range(len(order)), [_LABELS.get(name, name) for name in order])
        axes[0].tick_params(axis="y", length=0)
        handles, labels = axes[-1].get_legend_handles_labels()
        axes[-1].legend(handles, labels, loc="lower right")
        n, dropped = int(data.n.max()), int(data.n_dropped.max())
        left_out = f" (up to {dropped} left out)" if dropped else ""
        figure.suptitle(
            f"Which biology moves the macro parameters: {len(order) - 1} parameters of wade2012 vary by ±{SPREAD:.0%}, "
            f"{n} base samples{left_out}",
            fontsize=11, fontweight="bold", x=0.01, ha="left",
        )  # fmt: skip
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, output: str) -> None:
    title, what = _PANELS[output]
    y = np.arange(len(rows))
    noise = rows.loc[["dummy"]]
    floor = float((noise.ST + noise.ST_half_width).iloc[0])
    axes.axvspan(0, floor, color=GREY, alpha=0.22, lw=0, label="noise: dummy's total, upper end")
    axes.errorbar(
        rows.ST, y + 0.13, xerr=rows.ST_half_width, fmt="o", color=BLUE, ms=5, capsize=2.5, lw=1.3,
        label="total ST, with interactions",
    )  # fmt: skip
    axes.errorbar(
        rows.S1, y - 0.17, xerr=rows.S1_half_width, fmt="s", color=ORANGE, ms=4, capsize=2.5, lw=1.3,
        label="first-order S1, alone",
    )  # fmt: skip
    axes.plot(rows.ST_at_half_n, y + 0.13, "|", color=RED, ms=9, mew=1.4, label="ST from half the samples")
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_xlim(min(-0.05, float((rows.S1 - rows.S1_half_width).min()) - 0.01), None)
    axes.set_xlabel("share of the variance (95 % intervals)")
    low, middle, high = (float(rows[name].iloc[0]) for name in ("q05", "q50", "q95"))
    unit = {"alpha": "", "log_half_rate": " Hz", "calcium_range": " µM"}[output]
    axes.set_title(title, pad=32)
    axes.text(
        0.0, 1.015, f"{what}\nmedian {middle:.3g}{unit}; 5–95 %: {low:.3g} to {high:.3g}{unit}",
        transform=axes.transAxes, fontsize=8.8, va="bottom",
    )  # fmt: skip
