"""Long Range Arena: every arm at its own best learning rate, with its spread, above the paper's Table 1 and other families.

Made from run folders of `astromorphic study listops_memory` and its kin, or of any run on a task of the arena. A reduced task is
another task: what is published of the full one stands under it for context, and no line joins the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .paper_lra import published
from .runs import RunsError, load_runs, seeds_and_rate, summary, table, with_spread
from .style import BLUE, GREEN, GREY, ORANGE, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from models import RunResult

TITLE = "Long Range Arena: attention x memory with seeds, from run folders, beside published results"
FROM_RUNS = True

MIXERS = {"softmax": (ORANGE, "softmax"), "linear": (GREEN, "linear"), "astromorphic": (BLUE, "astromorphic"),
          "none": (GREY, "attention off")}  # fmt: skip
MEMORIES = {
    "whole": "whole sequence", "segments": "segments alone", "empty": "memory, r = 0", "memory": "memory, r = 1",
    "simulated": "memory, simulated r",
}  # fmt: skip
# Options of the data with which a task is that of the arena; anything else is of another size.
_FULL: dict[str, dict[str, Any]] = {
    "listops": {"min_length": 500, "max_length": 2000, "max_depth": 10, "max_args": 10, "operator_probability": 0.25,
                "form": "tokens", "length": 2048, "train": 96_000},
    "lra_text": {"length": 4096}, "lra_retrieval": {"length": 4000}, "lra_image": {"size": 32, "subset": "whole"},
    "pathfinder": {"level": "hard"},
}  # fmt: skip


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """One row per arm and per published number: task, data (its name with its size), source ("ours", "paper", "other families"),
    name, label, size ("full" or "reduced"), accuracy and sd (per cent, over seeds), seeds, learning_rate, parameters, majority
    (per cent of the test part, for naming the commonest class of the training part), and of networks in segments segments (T) and
    retention.

    runs : folder with run folders below it; RunsError without, or without one of a sequence with a label.
    """
    chosen = [run for run in load_runs(runs, "lra") if run.kind == "sequence_classification"]
    if not chosen:
        raise RunsError(
            f"--runs {runs} holds no run of a long sequence with a label; make runs with astromorphic study listops_memory"
        )
    majority, sizes = {}, {}
    segmented: dict[tuple[str, str], dict[str, Any]] = {}
    for run in chosen:
        segmented[run.task, run.arm] = _segments(run.config)
        share = run.scores["test"].majority
        majority[run.task] = None if share is None else 100.0 * share
        sizes[run.task] = size_of(run)
    rows: list[dict[str, Any]] = []
    one: Any
    for one in summary(table(chosen)).itertuples():
        rows.append(
            {"task": family(one.task), "data": one.task, "source": "ours", "name": one.arm, "label": label(one.arm),
             "size": sizes[one.task], "accuracy": one.test, "sd": one.test_sd, "seeds": one.seeds,
             "learning_rate": one.learning_rate, "parameters": one.parameters, "majority": majority[one.task],
             **segmented[one.task, one.arm]}
        )  # fmt: skip
    for source, task, name, value in published():
        rows.append({"task": task, "source": source, "name": name, "label": name, "size": "full", "accuracy": value})
    return pd.DataFrame(rows).astype({"segments": "Int64"}) if any(segmented.values()) else pd.DataFrame(rows)


def _segments(config: Mapping[str, Any]) -> dict[str, Any]:
    """T and the schedule of a network in segments; nothing of another."""
    if "num_memory_tokens" not in config:
        return {}
    length = config["segment_length"] or config["max_position_embeddings"]
    schedule = config["retention"] if config["num_memory_tokens"] else "no memory"
    return {"segments": -(-config["max_position_embeddings"] // length), "retention": schedule}


def family(task: str) -> str:
    """The arena's task that a run's data are of; their own name where they are of none."""
    fitting = [name for name in _FULL if task == name or task.startswith(f"{name}_")]
    ours = task.startswith("pathfinder_like")
    return task if ours or not fitting else max(fitting, key=len)


def size_of(run: RunResult) -> str:
    """ "full" if the data are those of the arena, "reduced" if any option or the share of them used says otherwise."""
    wanted = _FULL.get(family(run.task))
    given = run.data.options
    if wanted is None or any(given.get(name, value) not in (value, None) for name, value in wanted.items()):
        return "reduced"
    return "reduced" if run.recipe.get("train_items") or run.recipe.get("evaluate_items") else "full"


def label(arm: str) -> str:
    """An arm of the studies in words."""
    mixer, _, memory = arm.partition("_")
    return f"{MIXERS[mixer][1]}, {MEMORIES[memory]}" if mixer in MIXERS and memory in MEMORIES else arm


def draw(data: pd.DataFrame) -> Figure:
    """One panel per data set of ours: arms with their spread, the majority, and below them what is published of the task."""
    ours = data[data.source == "ours"]
    names = list(dict.fromkeys(ours.data))
    parts = [_panel_rows(data, ours[ours.data == name]) for name in names]
    height = 1.1 + 0.2 * max(len(part) for part in parts)
    with house_style():
        figure, axes = new_figure(5.6 * len(names), height, 1, len(names), squeeze=False)
        for ax, name, part in zip(axes[0], names, parts, strict=True):
            _panel(ax, name, part)
    return figure


def _order(arm: str) -> tuple[int, int, str]:
    mixer, _, memory = arm.partition("_")
    places = [
        list(MIXERS).index(mixer) if mixer in MIXERS else -1,
        list(MEMORIES).index(memory) if memory in MEMORIES else -1,
    ]
    return places[0], places[1], arm


def _panel_rows(data: pd.DataFrame, mine: pd.DataFrame) -> pd.DataFrame:
    mine = mine.iloc[sorted(range(len(mine)), key=lambda i: _order(mine.name.iloc[i]))]
    context = data[(data.source != "ours") & (data.task == mine.task.iloc[0])]
    return pd.concat([mine, context], ignore_index=True)


def _panel(ax: Any, name: str, part: pd.DataFrame) -> None:
    gap = (part.source != part.source.shift()).cumsum().to_numpy() - 1
    y = -(np.arange(len(part)) + 0.8 * gap)
    mine = (part.source == "ours").to_numpy()
    colours = [MIXERS.get(str(arm).partition("_")[0], (RED, ""))[0] for arm in part.name[mine]]
    sd = part.sd[mine].astype(float).fillna(0.0)
    ax.errorbar(part.accuracy[mine], y[mine], xerr=sd, fmt="none", ecolor=GREY, lw=1.0, capsize=2)
    ax.scatter(part.accuracy[mine], y[mine], c=colours, s=20, zorder=3)
    for source, marker in (("paper", "D"), ("other families", "s")):
        there = (part.source == source).to_numpy()
        ax.scatter(part.accuracy[there], y[there], marker=marker, facecolors="none", edgecolors=PUBLISHED, s=20)
    majority = part.majority[mine].astype(float).iloc[0]
    if not np.isnan(majority):
        # Of the task as it is here; that of the full one is another.
        ax.vlines(majority, y[mine].min() - 0.4, y[mine].max() + 0.4, color=GREY, lw=0.9, ls=":")
    one: Any
    for place, one in zip(y, part.itertuples(), strict=True):
        text = f"{one.accuracy:.1f}"
        if one.source == "ours":
            text = f"{with_spread(one.accuracy, one.sd, 1)}  ({seeds_and_rate(one.seeds, one.learning_rate)})"
        ax.annotate(text, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    for source in dict.fromkeys(part.source):
        first = int(np.flatnonzero((part.source == source).to_numpy())[0])
        here = f"here, {part['size'].iloc[0]} size; the commonest class (dotted) {majority:.1f}"
        head = {"ours": here, "paper": "paper's Table 1, full size"}.get(str(source), "other families, full size")
        ax.annotate(
            head, (0.01, y[first] + 0.8), xycoords=("axes fraction", "data"), fontsize=7, color=GREY, va="center"
        )
    ax.set_yticks(y, part.label, fontsize=7.5)
    ax.set_ylim(y.min() - 0.7, 1.3)
    ax.set_xlim(0, 100)
    ax.set_xlabel("test accuracy (%)")
    ax.set_title(name)
    ax.grid(axis="y", lw=0.3)
