"""Readings and controls of AstroSNN side by side: bits per byte with the spread of seeds, firing rate, operations per token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .runs import RunsError, load_runs, seeds_and_rate, summary, table, with_spread
from .style import BLUE, GREY, ORANGE, house_style, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from models import RunResult

TITLE = "AstroSNN: its readings and controls from run folders, with firing rates and operations per token"
FROM_RUNS = True

LABELS = {
    "amsu": "AM-SU, σ = identity",
    "softmax": "softmax attention",
    "retention": "retention (RetNet)",
    "gru": "GRU",
    "lif": "LIF",
    "alif": "ALIF",
    "spike_in": "residual mode spike_in",
    "pure": "residual mode pure",
    "decay_literal": "decay 1/τ, as printed",
    "decay_exp": "decay exp(−1/τ)",
    "no_astrocyte": "neuron term alone",
    "no_neuron": "astrocyte term alone",
    "no_head_norm": "no norm of the heads",
    "no_rope": "no rotation",
    "rope_quarter": "a quarter rotates",
    "one_tau": "τ = 128 in all heads",
    "tau_simulated": "τ of the simulated astrocyte",
    "surrogate_as_printed": "surrogate as printed",
    "no_out_proj": "no W_o",
    "heads_4": "4 heads",
    **{f"sigma_{name}": f"σ = {name}" for name in ("gelu", "silu", "tanh", "relu", "sigmoid")},
    **{f"alpha_{value}": f"surrogate's α = {value}" for value in ("1", "0.5")},
}
CONTROLS = ("softmax", "retention", "gru", "lif", "alif")

# AstroSNN (arXiv 2312.07625), Table 1, bits per character of all of enwik8. The GPT-2 rows are zero-shot, not trained on it.
PRINTED = {
    "AstroSNN small (88M)": 1.142, "AstroSNN base (306M)": 0.994, "AstroSNN large (732M)": 0.987, "SpikeGPT (45M)": 1.283,
    "Transformer (38M)": 1.14, "stacked LSTM": 1.67, "GPT-2 small (117M), zero-shot": 1.16,
    "GPT-2 medium (345M), zero-shot": 1.01, "GPT-2 large (762M), zero-shot": 0.97,
}  # fmt: skip


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """One row per task and arm, best first, and the paper's numbers below those of enwik8.

    source : "measured" or "printed"; the printed ones are of all of enwik8, 25 times the text that the study reads, and of far
    larger networks: context, no comparison. Columns of `figures.runs.summary`, label, difference (to the arm "amsu" of the same
    task, test), sigmas (that difference in standard errors of the two means; NaN with one seed), firing_rate (of the mixers,
    mean over layers and seeds), lowest_rate and highest_rate (of a layer), ac and mac (accumulates and multiply-accumulates
    per token), nanojoules and dense_nanojoules per token: counts of `models.astrosnn.energy` from the measured rates, for AM-SU
    alone.

    runs : folder with runs of networks of the type astrosnn; RunsError without.
    """
    found = [run for run in load_runs(runs, "spiking_table") if "residual_mode" in run.config]
    if not found:
        raise RunsError(
            f"--runs {runs} holds no run of astrosnn; make some with astromorphic study enwik8_astrosnn --out DIR"
        )
    rows = summary(table(found))
    rows["label"] = [LABELS.get(arm, arm) for arm in rows.arm]
    rows["source"] = "measured"
    chosen = [
        [run for run in found if (run.task, run.arm, run.recipe.get("learning_rate")) == key]
        for key in zip(rows.task, rows.arm, rows.learning_rate, strict=True)
    ]
    rows = pd.concat([rows, pd.DataFrame([_spikes(one) for one in chosen])], axis=1)
    rows = _compared(rows)
    rows["order"] = -rows.better * rows.test
    rows = rows.sort_values(["task", "metric", "order"]).drop(columns="order")
    printed = [
        {"task": task, "arm": name, "label": name, "source": "printed", "metric": "bits per byte", "test": value}
        for task in dict.fromkeys(rows.task)
        if str(task).startswith("enwik8")
        for name, value in PRINTED.items()
    ]
    return pd.concat([rows, pd.DataFrame(printed)], ignore_index=True) if printed else rows.reset_index(drop=True)


def _spikes(runs: Sequence[RunResult]) -> dict[str, float]:
    """Firing rates and counts per token, means over the runs; NaN where nothing spikes."""
    rates = [[layer["mixer"] for layer in run.activity.rates] for run in runs if run.activity is not None]
    counts = [count for run in runs if (count := _operations(run)) is not None]
    nothing = float("nan")
    found = {
        "firing_rate": float(np.mean(rates)) if rates else nothing,
        "lowest_rate": float(np.min(rates)) if rates else nothing,
        "highest_rate": float(np.max(rates)) if rates else nothing,
    }
    for i, name in enumerate(("ac", "mac", "nanojoules", "dense_nanojoules")):
        found[name] = float(np.mean([count[i] for count in counts])) if counts else nothing
    return found


def _operations(run: RunResult) -> tuple[float, float, float, float] | None:
    if run.activity is None or run.config["mixer"] != "amsu":
        return None
    from models.astrosnn import AstroSNNConfig
    from models.astrosnn.energy import operations

    count = operations(AstroSNNConfig(**run.config), run.activity.rates)
    return sum(count.ac.values()), sum(count.mac.values()), 1e-3 * count.picojoules, 1e-3 * count.dense


def _compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Test score minus that of the AM-SU of the same task, and how many standard errors that is."""
    base = rows[rows.arm == "amsu"].set_index("task")
    reference = rows.task.map(base.test)
    variance = rows.test_sd**2 / rows.seeds
    error = np.sqrt(variance + rows.task.map(base.test_sd**2 / base.seeds))
    rows["difference"] = rows.test - reference
    rows["sigmas"] = (rows.difference / error).where((error > 0) & (rows.arm != "amsu"))
    return rows


def draw(data: pd.DataFrame) -> Figure:
    """One panel per task and metric: the score with its spread, and at the right firing rate and energy per token."""
    measured = data[data.source == "measured"]
    panels = list(measured.groupby(["task", "metric"], sort=False))
    height = 1.2 + 0.3 * max(len(part) for _, part in panels)
    with house_style():
        figure, axes = new_figure(7.0 * len(panels), height, 1, len(panels), squeeze=False)
        for ax, ((task, metric), part) in zip(axes[0], panels, strict=True):
            _panel(ax, str(task), str(metric), part.reset_index(drop=True))
    return figure


def _panel(ax: Any, task: str, metric: str, part: pd.DataFrame) -> None:
    y = np.arange(len(part))[::-1]
    colours = [ORANGE if arm == "amsu" else GREY if arm in CONTROLS else BLUE for arm in part.arm]
    ax.errorbar(part.test, y, xerr=part.test_sd.fillna(0.0), fmt="none", ecolor=GREY, lw=1.0, capsize=2)
    ax.scatter(part.test, y, c=colours, s=22, zorder=3)
    for base in part.test[part.arm == "amsu"]:
        ax.axvline(base, color=ORANGE, lw=0.8, ls=":")
    rows: Any = part.itertuples()
    for position, row in zip(y, rows, strict=True):
        text = f"{with_spread(row.test, row.test_sd, 3)} ({seeds_and_rate(row.seeds, row.learning_rate)})"
        if not np.isnan(row.firing_rate):
            text += f", rate {row.firing_rate:.2f}"
        if not np.isnan(row.nanojoules):
            text += f", {row.nanojoules:,.0f} of {row.dense_nanojoules:,.0f} nJ"
        ax.annotate(text, (1.01, position), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    ax.set_yticks(y, part.label)
    ax.set_xlabel(f"test {metric}")
    ax.set_title(task)
    ax.grid(axis="y", lw=0.3)
