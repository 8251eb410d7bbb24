"""Fig. 4 again: learning curves with and without the non-linearity and the position code, the paper's digitised curves behind.

Our four variants stand twice: with the gain that each has by itself, and with every token's branch brought to the same
root mean square (`branch_norm`), because the paper's ablation changes the gain of the branch as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from models.result import MATCHED

from .runs import RunsError, at_best_rate, load_runs, table
from .style import BLUE, GREEN, GREY, ORANGE, house_style, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from models import RunResult

TITLE = "Fig. 4: learning curves with and without non-linearity and position code, from run folders"
FROM_RUNS = True

VARIANTS = {
    "nonlinearity_and_position": ("non-linearity and position", BLUE),
    "nonlinearity_only": ("non-linearity only", GREEN),
    "position_only": ("position only", ORANGE),
    "neither": ("neither", GREY),
}
TASKS = {"imdb": "IMDB", "cifar10": "CIFAR-10"}
THRESHOLD = 85.0  # per cent, the paper's measure of learning speed


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """Curves: task, source ("paper", "own gain", "equal gain"), variant, learning_rate, seed, epoch, split, accuracy_percent,
    best_rate (whether the variant's runs at this rate are the best on validation; the drawing shows these).

    runs : folder with run folders of the ablation's arms; RunsError without. Curves are of test accuracy where the runs
    have it (`test_curve=true`), as in the paper's figure, else of validation accuracy; `split` says which.
    """
    chosen = [run for run in load_runs(runs, "fig4") if run.arm.removesuffix(MATCHED) in VARIANTS]
    if not chosen:
        raise RunsError(
            f"--runs {runs} holds no run of the arms {', '.join(VARIANTS)}; make them with a study of the ablation"
        )
    best = at_best_rate(table(chosen))
    picked = set(zip(best.task, best.arm, best.learning_rate, strict=True))
    rows = [*_curves(chosen, picked)]
    for task in dict.fromkeys(run.task for run in chosen):
        rows += _paper(task)
    return pd.DataFrame(rows)


def _curves(runs: Sequence[RunResult], picked: set[tuple[str, str, float]]) -> list[dict[str, Any]]:
    rows = []
    for run in runs:
        tested = all(point.test_accuracy is not None for point in run.learning_curve)
        for point in run.learning_curve:
            accuracy = point.test_accuracy if tested else point.validation_accuracy
            if accuracy is None or point.epoch is None:
                continue
            rows.append(
                {
                    "task": run.task, "source": "equal gain" if run.arm.endswith(MATCHED) else "own gain",
                    "variant": run.arm.removesuffix(MATCHED), "learning_rate": run.recipe["learning_rate"], "seed": run.seed,
                    "epoch": point.epoch, "split": "test" if tested else "validation", "accuracy_percent": 100.0 * accuracy,
                    "best_rate": (run.task, run.arm, run.recipe["learning_rate"]) in picked,
                }
            )  # fmt: skip
    return rows


def _paper(task: str) -> list[dict[str, Any]]:
    import bridge

    if task not in TASKS:
        return []
    rows = []
    for variant in VARIANTS:
        curve = bridge.published(f"astromorphic_fig4_{task}_{variant}")
        for epoch, accuracy in zip(curve.x, curve.y, strict=True):
            rows.append(
                {
                    "task": task, "source": "paper", "variant": variant, "learning_rate": None, "seed": None,
                    "epoch": float(epoch), "split": "test", "accuracy_percent": float(accuracy),
                    "best_rate": True,
                }
            )  # fmt: skip
    return rows


def epochs_to(data: pd.DataFrame, threshold: float = THRESHOLD) -> pd.DataFrame:
    """First epoch of every curve at or above `threshold` per cent, NaN where it never is.

    One row per task, source, variant, learning_rate and seed, from the data of `compute`.
    """
    keys = ["task", "source", "variant", "learning_rate", "seed"]
    reached = data[data.accuracy_percent >= threshold].groupby(keys, dropna=False).epoch.min()
    curves = data.groupby(keys, dropna=False).size().index
    return reached.reindex(curves).rename("epochs").reset_index()


def draw(data: pd.DataFrame) -> Figure:
    """One row per task: the paper's curves, ours, and ours at equal gain; mean over seeds at each variant's best rate."""
    tasks = list(dict.fromkeys(data.task))
    columns = [source for source in ("paper", "own gain", "equal gain") if source in set(data.source)]
    with house_style():
        figure, axes = new_figure(
            3.5 * len(columns), 0.4 + 2.9 * len(tasks), len(tasks), len(columns), squeeze=False, sharey="row"
        )
        for row, task in zip(axes, tasks, strict=True):
            for ax, source in zip(row, columns, strict=True):
                part = data[(data.task == task) & (data.source == source)]
                _panel(ax, part, source)
                ax.set_title(f"{TASKS.get(task, task)}: {'the paper' if source == 'paper' else 'ours, ' + source}")
            row[0].set_ylabel("accuracy (%)")
        axes[0][0].legend(loc="lower right", fontsize=7.5)
    return figure


def _panel(ax: Any, part: pd.DataFrame, source: str) -> None:
    for variant, (label, colour) in VARIANTS.items():
        one = part[part.variant == variant]
        if one.empty:
            continue
        if source != "paper":
            one = one[one.best_rate]
            for _, curve in one.groupby("seed"):
                ax.plot(curve.epoch, curve.accuracy_percent, color=colour, lw=0.7, alpha=0.5)
            mean = one.groupby("epoch").accuracy_percent.mean()
            label = f"{label} (lr {one.learning_rate.iloc[0]:g})"
            ax.plot(mean.index, mean.values, color=colour, label=label)
        else:
            ax.plot(one.epoch, one.accuracy_percent, color=colour, label=label)
    ax.axhline(THRESHOLD, color=GREY, lw=0.8, ls=":")
    ax.set_xlabel("epoch")
    if source != "paper" and not part.empty and set(part.split) == {"validation"}:
        ax.set_xlabel("epoch (validation accuracy)")
