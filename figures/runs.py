"""Run folders as tables: every run.json below a folder, one row per run, and the learning rate that validation picks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from models import RunResult


class RunsError(ValueError):
    """A folder without the runs that a figure is made from."""


def load_runs(folder: str | Path | None, figure: str, task: str | None = None) -> list[RunResult]:
    """The records of all runs below `folder`, in the order of their paths; with `task`, only those of that task.

    Raises
    ------
    RunsError
        No folder was named, or none of its runs is of the task; the message names the command that makes them.
    ModelError
        A record is damaged.
    """
    from models import RunResult

    remedy = "make runs with astromorphic study NAME --out DIR and name the folder with --runs DIR"
    if folder is None:
        raise RunsError(f"figure {figure} is made from trained models; {remedy}")
    root = Path(folder)
    if not root.is_dir():
        raise RunsError(f"--runs {root} is no folder; {remedy}")
    runs = [RunResult.load(file) for file in sorted(root.rglob("run.json"))]
    chosen = [run for run in runs if task is None or run.task == task]
    if not chosen:
        found = ", ".join(sorted({run.task for run in runs})) or "no run.json at all"
        raise RunsError(f"--runs {root} holds no run of {task or 'any task'} (found: {found}); {remedy}")
    return chosen


def table(runs: Sequence[RunResult]) -> pd.DataFrame:
    """One row per run: task, arm, seed, learning_rate, parameters, metric, better, validation, test, chosen_epoch, causal.

    metric : "accuracy (%)" for a classifier, "bits per byte" for a language model; `better` is +1 where more is better,
    -1 where less is. A model that sees the future has no such number: its rows hold its loss in nats per token under the
    metric "not a language model".
    """
    rows = []
    for run in runs:
        validation, test = run.scores["validation"], run.scores["test"]
        if run.kind != "language":
            metric, better = "accuracy (%)", 1
            values = [None if s.accuracy is None else 100.0 * s.accuracy for s in (validation, test)]
        elif test.bits_per_byte is not None:
            metric, better, values = "bits per byte", -1, [validation.bits_per_byte, test.bits_per_byte]
        else:
            metric, better, values = "not a language model", -1, [validation.loss, test.loss]
        rows.append(
            {
                "task": run.task, "arm": run.arm, "seed": run.seed, "learning_rate": run.recipe["learning_rate"],
                "parameters": run.n_parameters, "metric": metric, "better": better, "validation": values[0],
                "test": values[1], "chosen_epoch": run.chosen_epoch,
                "causal": None if run.causality is None else run.causality.verdict == "causal",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def at_best_rate(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of every task and arm at the learning rate with the best mean validation score.

    Test scores play no part in the choice. Equal means: the lower rate.
    """
    keys = ["task", "arm", "metric", "better", "learning_rate"]
    means = rows.groupby(keys).agg(validation=("validation", "mean")).reset_index()
    means["score"] = means.validation * means.better
    means = means.sort_values(["score", "learning_rate"], ascending=[False, True])
    best = means.drop_duplicates(["task", "arm", "metric"])[["task", "arm", "metric", "learning_rate"]]
    return rows.merge(best, on=["task", "arm", "metric", "learning_rate"])


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, one row per task and arm, at its best learning rate.

    The deviation is that of a sample (n - 1) and NaN for a single seed.
    """
    best = at_best_rate(rows)
    grouped = best.groupby(["task", "arm", "metric", "better", "learning_rate"], as_index=False, sort=False)
    return grouped.agg(
        seeds=("seed", "nunique"), parameters=("parameters", "first"), validation=("validation", "mean"), test=("test", "mean"),
        test_sd=("test", "std"), chosen_epoch=("chosen_epoch", "mean"), causal=("causal", "first"),
    )  # fmt: skip
