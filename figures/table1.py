"""Table I again: every variant and control at its own best learning rate, with its spread, beside the paper's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .paper_table1 import TABLE1
from .runs import NOT_A_LANGUAGE_MODEL, load_runs, seeds_and_rate, summary, table, with_spread
from .style import BLUE, GREY, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

TITLE = "Table I: all variants and controls from run folders, beside the paper's numbers"
FROM_RUNS = True

LABELS = {
    "astromorphic": "astromorphic (tuned)",
    "fitted": "astromorphic, fitted response",
    "paper_eq11": "paper, eq. 11 to the letter",
    "paper_eq18": "paper, eq. 18 to the letter",
    "paper_alg1": "paper, Algorithm 1",
    "kozachkov": "Kozachkov",
    "kozachkov_random_features": "Kozachkov, random features",
    "katharopoulos": "linear attention",
    "softmax": "softmax attention",
    "none": "attention off",
    "bag_of_embeddings": "mean of word vectors",
    "bag_of_words": "bag of words",
    "bag_of_words_binary": "bag of words, 0/1",
    "bag_of_words_bigrams": "bag of words and pairs",
    "bag_of_words_bigrams_binary": "bag of words and pairs, 0/1",
    "rmaat_layer": "RMAAT's layer",
    "eq18_global": "eq. 18, one global state",
}
# Without attention, and so without order.
CONTROLS = ("none", *(arm for arm in LABELS if arm.startswith("bag_of_")))


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """One row per task and arm, best first: `figures.runs.summary` with label, paper, paper_spread and paper_metric.

    The paper's number is in the unit `paper_metric`: accuracy, or perplexity per token, beside our column `perplexity`.
    runs : folder with run folders below it; RunsError without.
    """
    rows = summary(table(load_runs(runs, "table1")))
    rows["label"] = [LABELS.get(arm, arm) for arm in rows.arm]
    printed = [TABLE1.get(task, {}).get(arm) for task, arm in zip(rows.task, rows.arm, strict=True)]
    rows["paper"] = [None if p is None else p.value for p in printed]
    rows["paper_spread"] = [None if p is None else p.spread for p in printed]
    units = ["perplexity per token" if task == "wikitext2" else "accuracy (%)" for task in rows.task]
    rows["paper_metric"] = [None if p is None else unit for p, unit in zip(printed, units, strict=True)]
    # A number that is none of a language model stands apart from those that are.
    rows["order"] = -rows.better * rows.test
    return rows.sort_values(["task", "metric", "order"]).drop(columns="order").reset_index(drop=True)


def draw(data: pd.DataFrame) -> Figure:
    """One panel per task and metric: a dot with its spread per variant, the paper's number as an open diamond."""
    panels = list(data.groupby(["task", "metric"], sort=False))
    height = 1.0 + 0.32 * max(len(part) for _, part in panels)
    with house_style():
        figure, axes = new_figure(5.2 * len(panels), height, 1, len(panels), squeeze=False)
        for ax, ((task, metric), part) in zip(axes[0], panels, strict=True):
            _panel(ax, str(task), str(metric), part.reset_index(drop=True))
    return figure


def _panel(ax: Any, task: str, metric: str, part: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    y = np.arange(len(part))[::-1]
    colours = [RED if causal is False else GREY if arm in CONTROLS else BLUE
               for arm, causal in zip(part.arm, part.causal, strict=True)]  # fmt: skip
    ax.errorbar(part.test, y, xerr=part.test_sd.fillna(0.0), fmt="none", ecolor=GREY, lw=1.0, capsize=2)
    ax.scatter(part.test, y, c=colours, s=22, zorder=3)
    digits = 2 if metric.startswith("accuracy") else 3
    columns = (part.test, part.test_sd, part.seeds, part.learning_rate, part.perplexity, part.paper)
    for position, mean, sd, seeds, rate, perplexity, paper in zip(
        y, *(column.tolist() for column in columns), strict=True
    ):
        text = f"{with_spread(mean, sd, digits)}  ({seeds_and_rate(seeds, rate)})"
        if metric == "bits per byte" and not pd.isna(paper):
            text += f", perplexity {perplexity:.1f} (paper {paper:.1f})"
        ax.annotate(text, (1.01, position), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    known = part.paper.notna() & (part.metric == part.paper_metric)
    if known.any():
        at = y[known.to_numpy()]
        ax.scatter(part.paper[known], at, marker="D", facecolors="none", edgecolors=PUBLISHED, s=24, label="paper")
    for value in part.test[part.arm == "bag_of_words"]:
        ax.axvline(value, color=GREY, lw=0.8, ls=":", label="bag of words")
    if ax.get_legend_handles_labels()[0]:
        # Above the numbers: the title has the place above the panel.
        ax.legend(loc="lower left", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=7)
    ax.set_yticks(y, part.label)
    # Where there is no perplexity and there are no bits per byte, the number is a loss: see `figures.runs.table`.
    ax.set_xlabel(f"test loss, nats per token\n({metric})" if metric == NOT_A_LANGUAGE_MODEL else f"test {metric}")
    # Two numbers of a small spread would meet each other below the axis.
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.set_title(task)
    ax.grid(axis="y", lw=0.3)
