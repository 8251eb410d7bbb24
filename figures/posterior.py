"""Which biology makes the published curve: the posterior of four parameters given Fig. 3, and what it predicts.

Pair plot of the samples with the values of wade2012, and the published points inside the band that the posterior predicts.
The prior is uniform within 50 % of wade2012; the error of a point is stated, not measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREY, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bridge import Coverage, Posterior

TITLE = "which biology makes the published curve: posterior of four parameters (needs sbi, extra 'inference')"
NEEDS = ("sbi", "inference")

FREE = ("v_ER", "k_ER", "r_C", "K_AG")
RATES = tuple(float(rate) for rate in range(1, 11))
# The published line has no errors. Its points are off a smooth hyperbola by 0.2 nM (1 nM at 10 Hz), repeats of the simulation
# by 0.2 to 0.7 nM, and its axis is read as uM.
ERROR_UM = 1e-3
_LABELS = {
    "v_ER": "v_ER (µM/s)\npump strength",
    "k_ER": "k_ER (µM)\npump affinity",
    "r_C": "r_C (1/s)\nstore release",
    "K_AG": "K_AG (%/µM)\nsuppression",
}


def infer(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[Posterior, Coverage]:
    """`bridge.infer` on the published curve from 18,432 curves (3072 short ones with `quick`), and its network's coverage."""
    import bridge
    from bridge.neural_posterior import expect_sbi

    expect_sbi()
    n, m = (1024, 128) if quick else (6144, 512)
    duration, settle = (150.0, 50.0) if quick else (300.0, 100.0)
    total = (3 * n + m) * len(RATES)

    def part(before: int) -> Callable[[int, int], None]:
        return lambda done, _: progress(before + done, total) if progress else None

    simulations = bridge.simulate_curves(
        "wade2012", FREE, rates=RATES, n=n, duration=duration, settle=settle, seed=seed, progress=part(0)
    )
    network = bridge.train_posterior(simulations, np.full(len(RATES), ERROR_UM), seed)
    curve = bridge.published("astromorphic_fig3")
    seen = bridge.observe(curve, RATES, ERROR_UM)
    network = bridge.focused(network, seen.calcium, n=n, seed=seed, progress=part(n * len(RATES)))
    found = bridge.infer(
        curve, FREE, rates=RATES, error=ERROR_UM, seed=seed, network=network,
        n_predictive=200 if quick else 400, progress=part(2 * n * len(RATES)),
    )  # fmt: skip
    return found, bridge.coverage(network, n=m, seed=seed + 1, progress=part(3 * n * len(RATES)))


def tidy(found: Posterior, calibrated: Coverage) -> pd.DataFrame:
    """The figure's data, by `part`.

    ``sample``: one column per parameter. ``parameter``: parameter, unit, usual (of wade2012), low and high of the prior,
    mean, sd, q2.5 to q97.5, narrowing (middle 95 % over the prior's), coverage50, coverage95, p_ranks.
    ``correlation``: parameter, other, correlation. ``curve``: input_rate_hz, calcium_um (published), error_um, and
    low_um, median_um, high_um (predicted).
    ``check``: share_inside, width, rms_um, worst, worst_rate_hz, prior_distance, prior_largest, n_coverage, n_simulations,
    effective_draws (of the weighted draws behind the samples; below 400 the samples are the network's own).
    """
    samples = pd.DataFrame(found.samples, columns=list(found.names)).assign(part="sample")
    rows = []
    for j, row in enumerate(found.records()):
        rows.append(
            row
            | {
                "part": "parameter",
                "coverage50": calibrated.share[0, j],
                "coverage95": calibrated.share[1, j],
                "p_ranks": calibrated.p_value[j],
            }
        )
    for i, name in enumerate(found.names):
        for j, other in enumerate(found.names):
            rows.append(
                {"part": "correlation", "parameter": name, "other": other, "correlation": found.correlation[i, j]}
            )
    after, before = found.after, found.before
    curve = pd.DataFrame(
        {
            "part": "curve", "input_rate_hz": after.rates, "calcium_um": found.observation.calcium,
            "error_um": found.observation.error, "low_um": after.low, "median_um": after.median, "high_um": after.high,
        }
    )  # fmt: skip
    check = {
        "part": "check", "share_inside": after.share_inside, "width": after.width, "rms_um": after.rms, "worst": after.worst,
        "worst_rate_hz": after.worst_rate, "prior_distance": before.distance, "prior_largest": before.largest,
        "n_coverage": calibrated.n, "n_simulations": found.settings["posterior"]["n_simulations"],
        "effective_draws": found.settings["posterior"]["effective_draws"],
    }  # fmt: skip
    return pd.concat([samples, pd.DataFrame.from_records(rows), curve, pd.DataFrame([check])], ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate, infer and return the figure's data (see `tidy`)."""
    return tidy(*infer(quick=quick, seed=seed, **options))


def draw(data: pd.DataFrame) -> Figure:
    """Pair plot (lower triangle), marginals, and the posterior predictive band with the findings in the free corner."""
    rows = data[data.part == "parameter"].set_index("parameter")
    names = list(rows.index)
    samples = data[data.part == "sample"]
    d = len(names)
    with house_style():
        figure, _ = new_figure(12.5, 8.6)
        figure.clear()
        figure.set_layout_engine("none")
        grid = figure.add_gridspec(d, d, left=0.085, right=0.985, top=0.915, bottom=0.09, hspace=0.10, wspace=0.10)
        for i, down in enumerate(names):
            for j, across in enumerate(names[: i + 1]):
                axes = figure.add_subplot(grid[i, j])
                if i == j:
                    _marginal(axes, samples[down].to_numpy(float), rows.loc[down])
                else:
                    _pair(axes, samples[across].to_numpy(float), samples[down].to_numpy(float))
                    axes.plot(rows.usual[across], rows.usual[down], "+", color=RED, ms=11, mew=2.2)
                    axes.set_ylim(rows.low[down], rows.high[down])
                axes.set_xlim(rows.low[across], rows.high[across])
                axes.locator_params(axis="both", nbins=4)
                if i == d - 1:
                    axes.set_xlabel(_LABELS[across])
                else:
                    axes.tick_params(labelbottom=False)
                if j == 0 and i > 0:
                    axes.set_ylabel(_LABELS[down])
                elif i != j:
                    axes.tick_params(labelleft=False)
        corner = grid[0:2, 2:4].subgridspec(1, 1)
        _band(figure.add_subplot(corner[0]), data[data.part == "curve"], data[data.part == "check"].iloc[0])
        _words(figure.add_subplot(grid[2, 3]), data)
        figure.suptitle(
            "Which biology makes the published curve? A ridge of parameter sets does; only combinations are identified",
            fontsize=12, fontweight="bold", x=0.01, ha="left",
        )  # fmt: skip
    return figure


def _marginal(axes: Axes, samples: np.ndarray[Any, Any], row: pd.Series[Any]) -> None:
    low, high = float(row["low"]), float(row["high"])
    axes.hist(samples, bins=30, range=(low, high), density=True, color=BLUE, alpha=0.75)
    axes.axhline(1 / (high - low), color=GREY, lw=1.2, ls="--")
    axes.axvline(float(row["usual"]), color=RED, lw=2)
    axes.set_yticks([])
    values = [f"{row[key]:{'.4g' if abs(row[key]) > 1000 else '.3g'}}" for key in ("q50", "q2.5", "q97.5")]
    axes.set_title("{} [{}, {}]".format(*values), fontsize=8.8, pad=3)


def _pair(axes: Axes, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    axes.plot(x, y, ".", color=BLUE, ms=1.6, alpha=0.25, rasterized=True)
    axes.text(0.04, 0.94, f"r = {np.corrcoef(x, y)[0, 1]:+.2f}", transform=axes.transAxes, va="top", fontsize=8.8)


def _band(axes: Axes, rows: pd.DataFrame, check: pd.Series[Any]) -> None:
    box = axes.get_position()
    axes.set_position((box.x0 + 0.035, box.y0 + 0.055, box.width - 0.035, box.height - 0.055))
    rate = rows.input_rate_hz
    axes.fill_between(
        rate, 1e3 * rows.low_um, 1e3 * rows.high_um, color=BLUE, alpha=0.25, lw=0, label="posterior predictive, 95 %"
    )
    axes.plot(rate, 1e3 * rows.median_um, color=BLUE, lw=1.5, label="its median")
    axes.errorbar(
        rate, 1e3 * rows.calcium_um, yerr=1e3 * rows.error_um, fmt="o", color=PUBLISHED, ms=4, capsize=2, lw=1,
        label="published Fig. 3, with the stated error",
    )  # fmt: skip
    axes.plot([], [], color=RED, lw=2, label="wade2012 (left and below)")
    axes.plot([], [], color=GREY, lw=1.2, ls="--", label="prior (left and below)")
    axes.set_xlabel("input rate (Hz)")
    axes.set_ylabel("mean calcium (nM)")
    axes.legend(loc="lower right", fontsize=8.8)
    axes.set_title(
        f"{check.share_inside:.0%} of the points inside; the band is {check.width:.1f} times the errors alone",
        fontsize=9,
        loc="left",
    )


def findings(data: pd.DataFrame) -> list[str]:
    """What the figure says, in lines made from its numbers."""
    from bridge.importance import FEWEST_EFFECTIVE

    rows = data[data.part == "parameter"].set_index("parameter")
    check = data[data.part == "check"].iloc[0]
    pairs = data[(data.part == "correlation") & (data.parameter != data.other)].copy()
    strongest = pairs.iloc[int(np.argmax(pairs.correlation.astype(float).abs()))]
    inside = [name for name in rows.index if rows["q2.5"][name] <= rows.usual[name] <= rows["q97.5"][name]]
    left = ", ".join(f"{name} {rows.narrowing[name]:.0%}" for name in rows.index)
    n = int(check.n_coverage)
    fifty, most = rows.coverage50.astype(float), rows.coverage95.astype(float)
    worth = float(check.effective_draws)
    made = "Weighted draws" if worth >= FEWEST_EFFECTIVE else "Not weighted, too few"
    return [
        f"{made}: {worth:,.0f} effective.",
        f"Share of the prior's width that is left: {left}.",
        f"Strongest: {strongest.parameter} with {strongest.other}, r = {strongest.correlation:+.2f}.",
        f"wade2012 is inside the single 95 % intervals of {', '.join(inside) or 'none'}.",
        f"Network alone, {n} known sets: 50 % intervals hold {fifty.min():.0%}–{fifty.max():.0%}, "
        f"95 % {most.min():.0%}–{most.max():.0%}.",
    ]


def _words(axes: Axes, data: pd.DataFrame) -> None:
    import textwrap

    axes.axis("off")
    text = "\n".join("\n".join(textwrap.wrap(line, 40)) for line in findings(data))
    axes.text(0.02, 0.98, text, transform=axes.transAxes, va="top", fontsize=8.8, color=PUBLISHED, linespacing=1.35)
