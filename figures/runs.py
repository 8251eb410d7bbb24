"""Run folders as tables: every run.json below a folder, one row per run, and the learning rate that validation picks."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from models import RunResult


# The metric of a network for language that sees what it is to predict.
NOT_A_LANGUAGE_MODEL = "not a language model"


class RunsError(ValueError):
    """A folder without the runs that a figure is made from."""


def remedy(study: str = "NAME") -> str:
    """What to do about missing runs."""
    return f"make runs with astromorphic study {study} --out DIR and name the folder with --runs DIR"


def runs_folder(folder: str | Path | None, figure: str, study: str = "NAME") -> Path:
    """The folder whose runs `figure` is made from; RunsError, with the study that makes them, if none is named or it is none."""
    if folder is None:
        raise RunsError(f"figure {figure} is made from trained models; {remedy(study)}")
    root = Path(folder)
    if not root.is_dir():
        raise RunsError(f"--runs {root} is no folder; {remedy(study)}")
    return root


def benchmark_rows(runs: str | Path | None, figure: str, benchmark: str) -> list[dict[str, Any]]:
    """The numbers in a benchmark's JSON file, or BENCHMARK.json of the folder that is named; RunsError for another."""
    makes = f"make it with astromorphic benchmark {benchmark} --json FILE and name it with --runs FILE"
    if runs is None:
        raise RunsError(f"figure {figure} is made from a benchmark's record; {makes}")
    file = Path(runs) / f"{benchmark}.json" if Path(runs).is_dir() else Path(runs)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise RunsError(f"--runs {runs}: {file} is no record of the benchmark {benchmark} ({why}); {makes}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"value", "unit"} <= row.keys() for row in rows):
        raise RunsError(f"--runs {runs}: {file} is no record of the benchmark {benchmark}; {makes}")
    # The command that made the record is a row as well.
    return [row for row in rows if isinstance(row["value"], int | float)]


def load_runs(folder: str | Path | None, figure: str, task: str | None = None) -> list[RunResult]:
    """The records of all runs below `folder`, in the order of their paths; with `task`, only those of that task.

    A part of a data set counts as its task: ``enwik8_first_4000000`` is a run of ``enwik8``.

    Raises
    ------
    RunsError
        No folder was named, or none of its runs is of the task; the message names the command that makes them.
    ModelError
        A record is damaged.
    """
    from models import RunResult

    root = runs_folder(folder, figure)
    runs = [RunResult.load(file) for file in sorted(root.rglob("run.json"))]
    chosen = [run for run in runs if task is None or task in (run.task, run.family)]
    if not chosen:
        found = ", ".join(sorted({run.task for run in runs})) or "no run.json at all"
        raise RunsError(f"--runs {root} holds no run of {task or 'any task'} (found: {found}); {remedy()}")
    return chosen


def table(runs: Sequence[RunResult]) -> pd.DataFrame:
    """One row per run: task, arm, seed, learning_rate, parameters, metric, better, validation, test, perplexity,
    chosen_epoch, causal.

    metric : "accuracy (%)" for a classifier, "bits per byte" for a language model, "perplexity per token" for one whose
    tokens do not give the text back; `better` is +1 where more is better, -1 where less is. A model that sees the future
    has no such number: its rows hold its loss in nats per token under the metric "not a language model". perplexity : per
    token, on the test split. learning_rate : NaN for what has none, a bag of words. A run that lies below the folder twice
    counts once.

    Raises RunsError if runs of one task and arm differ in more than learning rate and seed: a mean over them would be of
    nothing.
    """
    rows = []
    for run in _comparable(runs):
        validation, test = run.scores["validation"], run.scores["test"]
        if run.kind != "language":
            metric, better = "accuracy (%)", 1
            values = [None if s.accuracy is None else 100.0 * s.accuracy for s in (validation, test)]
        elif None not in (bits := [validation.bits_per_byte, test.bits_per_byte]):
            metric, better, values = "bits per byte", -1, bits
        elif None not in (units := [validation.perplexity_per_token, test.perplexity_per_token]):
            metric, better, values = "perplexity per token", -1, units
        else:
            metric, better, values = NOT_A_LANGUAGE_MODEL, -1, [validation.loss, test.loss]
        rows.append(
            {
                "task": run.task, "arm": run.arm, "seed": run.seed, "learning_rate": run.recipe.get("learning_rate"),
                "parameters": run.n_parameters, "metric": metric, "better": better, "validation": values[0],
                "test": values[1], "perplexity": test.perplexity_per_token, "chosen_epoch": run.chosen_epoch,
                "causal": None if run.causality is None else run.causality.verdict == "causal",
            }
        )  # fmt: skip
    found = pd.DataFrame(rows)
    return found.assign(learning_rate=pd.to_numeric(found.learning_rate))


def _comparable(runs: Sequence[RunResult]) -> list[RunResult]:
    kept: dict[tuple[Any, ...], RunResult] = {}
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        recipe = {name: value for name, value in run.recipe.items() if name not in ("name", "learning_rate")}
        settings = {**recipe, **run.config, "data": run.data_digest}
        there = first.setdefault((run.task, run.arm), settings)
        if there != settings:
            name = next(name for name in sorted({*there, *settings}) if there.get(name) != settings.get(name))
            raise RunsError(
                f"runs of {run.task}, {run.arm} differ in more than learning rate and seed: {name} is {there.get(name)!r} and "
                f"{settings.get(name)!r}; name with --runs a folder that holds one of them"
            )
        kept.setdefault((run.task, run.arm, run.recipe.get("learning_rate"), run.seed), run)
    return list(kept.values())


def at_best_rate(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of every task and arm at the learning rate with the best mean validation score.

    Where the rates of an arm have unequal numbers of seeds, only those with the most seeds compete: one lucky seed of a rate
    that was tried once is no better rate. Test scores play no part in the choice. Equal means: the lower rate.
    """
    keys = ["task", "arm", "metric", "better", "learning_rate"]
    means = (
        rows.groupby(keys, dropna=False).agg(validation=("validation", "mean"), seeds=("seed", "nunique")).reset_index()
    )
    means = means[means.seeds == means.groupby(["task", "arm", "metric"]).seeds.transform("max")]
    means["score"] = means.validation * means.better
    means = means.sort_values(["score", "learning_rate"], ascending=[False, True])
    best = means.drop_duplicates(["task", "arm", "metric"])[["task", "arm", "metric", "learning_rate"]]
    return rows.merge(best, on=["task", "arm", "metric", "learning_rate"])


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, one row per task and arm, at its best learning rate.

    The deviation is that of a sample (n - 1) and NaN for a single seed.
    """
    best = at_best_rate(rows)
    keys = ["task", "arm", "metric", "better", "learning_rate"]
    grouped = best.groupby(keys, as_index=False, sort=False, dropna=False)
    return grouped.agg(
        seeds=("seed", "nunique"), parameters=("parameters", "first"), validation=("validation", "mean"), test=("test", "mean"),
        test_sd=("test", "std"), perplexity=("perplexity", _mean), chosen_epoch=("chosen_epoch", "mean"),
        causal=("causal", "first"),
    )  # fmt: skip


def _mean(values: pd.Series) -> float:
    """NaN where there are no numbers at all."""
    return float(pd.to_numeric(values).mean())


def with_spread(mean: float, deviation: float, digits: int) -> str:
    """A mean and, where there are several seeds, its deviation."""
    return f"{mean:.{digits}f}" + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def seeds_and_rate(seeds: int, rate: float) -> str:
    """What a number comes from; what has no learning rate has no seed either."""
    return "one fit" if math.isnan(rate) else f"{int(seeds)} seed{'s' if seeds > 1 else ''}, lr {rate:g}"
