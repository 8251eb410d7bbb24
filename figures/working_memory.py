"""Working memory (Figure 3 of the AstroSNN paper): error and regret against the length of the chain, one line per cell.

Made from run folders of `astromorphic study working_memory` and its kin. Lines are medians over seeds, bands their quartiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .runs import RunsError, remedy, runs_folder
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "working memory: error and regret against the length of bsuite's chains, from run folders"
FROM_RUNS = True

# Learning rates are tuned at this length alone and then frozen.
TUNED_AT = 30
# So many lengths are named one by one below the axis; more are on a plain logarithmic one.
_MOST_TICKS = 10
COLOURS = {"lif": ORANGE, "lif_tau2": SKY, "alif": GREEN, "gru": GREY, "amsu": BLUE, "amsu_literal": RED}
_OTHERS = (PURPLE, "#8c6d31", "#222222")
LABELS = {
    "lif": "LIF, learned τ",
    "lif_tau2": "LIF, τ = 2 fixed",
    "lif_recurrent": "LIF, recurrent",
    "alif": "ALIF",
    "alif_feedforward": "ALIF, not recurrent",
    "gru": "GRU",
    "amsu": "AM-SU",
    "amsu_literal": "AM-SU, decay 1/τ as printed",
    "amsu_one_tau": "AM-SU, one τ",
    "amsu_astrocyte": "AM-SU, astrocyte alone",
    "amsu_neuron": "AM-SU, neuron alone",
}
_TITLES = {
    "memory_chain": "memory chain",
    "umbrella_chain": "umbrella chain (no memory task)",
    "umbrella_hidden": "hidden umbrella (not bsuite's)",
}


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """One row per run, at the learning rate of its model: environment, method, model, length, seed, learning_rate, parameters,
    episodes, error (test, 0 to 1), regret_per_episode (while learning; 1 for guessing), total_regret, solved,
    episodes_to_criterion, activity_start_min, activity_start_max.

    runs : folder with run folders below it; RunsError without. Where a model has runs at several rates, its rate is that with
    the lowest mean validation error at length 30, or at the length nearest to it, and no test score plays a part; equal
    means: less regret while learning, then the lower rate. A run that lies below the folder twice counts once.
    """
    from models.memory import MemoryRun
    from models.memory.record import RECORD_FILE

    root = runs_folder(runs, "working_memory", "working_memory")
    found = [MemoryRun.load(file) for file in sorted(root.rglob(RECORD_FILE))]
    if not found:
        raise RunsError(f"--runs {root} holds no {RECORD_FILE}; {remedy('working_memory')}")
    _check_comparable(found, root)
    rows = pd.DataFrame([_row(run) for run in found])
    rows = rows.drop_duplicates([*_LINE, "length", "learning_rate", "seed"])
    return _at_tuned_rate(rows).drop(columns="validation").reset_index(drop=True)


_LINE = ["environment", "method", "model"]


def _row(run: Any) -> dict[str, Any]:
    return {
        "environment": run.environment, "method": run.method, "model": run.model, "length": run.length, "seed": run.seed,
        "learning_rate": run.settings["learning_rate"], "parameters": run.n_parameters, "episodes": run.episodes,
        "validation": run.validation.error, "error": run.test.error, "regret_per_episode": run.total_regret / run.episodes,
        "total_regret": run.total_regret, "solved": run.solved, "episodes_to_criterion": run.episodes_to_criterion,
        "activity_start_min": min(run.activity_start), "activity_start_max": max(run.activity_start),
    }  # fmt: skip


def _check_comparable(runs: list[Any], root: Path) -> None:
    """RunsError if runs of one line differ in more than length, rate and seed: a line through them would be of nothing."""
    first: dict[tuple[str, ...], dict[str, Any]] = {}
    for run in runs:
        kept = {k: v for k, v in run.settings.items() if k not in ("length", "learning_rate")}
        there = first.setdefault((run.environment, run.method, run.model), kept)
        if there != kept:
            name = next(k for k in sorted({*there, *kept}) if there.get(k) != kept.get(k))
            raise RunsError(
                f"--runs {root}: runs of {run.model} in {run.environment} differ in {name}: {there.get(name)!r} and "
                f"{kept.get(name)!r}; name a folder that holds one of them"
            )


def _at_tuned_rate(rows: pd.DataFrame) -> pd.DataFrame:
    kept = []
    for _, part in rows.groupby(_LINE, sort=False):
        lengths = part.loc[
            part.groupby("length").learning_rate.transform("nunique") == part.learning_rate.nunique(), "length"
        ]
        among = lengths if len(lengths) else part.length
        at = min(set(among), key=lambda n: (abs(n - TUNED_AT), n))
        means = part[part.length == at].groupby("learning_rate")[["validation", "regret_per_episode"]].mean()
        order = means.reset_index().sort_values(["validation", "regret_per_episode", "learning_rate"])
        kept.append(part[part.learning_rate == order.learning_rate.iloc[0]])
    return pd.concat(kept)


def scores(data: pd.DataFrame) -> pd.DataFrame:
    """bsuite's score per line and seed, 0 to 1: environment, method, model, seed, score, settings, bsuite.

    `bsuite` is true where the runs have exactly its lengths and episodes and learned by reward; only then is the number
    bsuite's. `settings` counts the lengths.
    """
    from models.environments.scores import bsuite_score, is_bsuite

    rows = []
    for key, part in data.groupby([*_LINE, "seed"], sort=False):
        environment, method, model, seed = key  # type: ignore[misc]
        regret = {
            int(n): (float(r), int(e)) for n, r, e in zip(part.length, part.total_regret, part.episodes, strict=True)
        }
        genuine = is_bsuite(regret) and method != "supervised" and environment != "umbrella_hidden"
        rows.append(
            {"environment": environment, "method": method, "model": model, "seed": seed, "settings": len(regret),
             "score": bsuite_score(str(environment), regret), "bsuite": genuine}
        )  # fmt: skip
    return pd.DataFrame(rows)


def as_text(data: pd.DataFrame) -> str:
    """A table: median error and regret over seeds per line and length, and the score of the line."""
    lines = [
        f"{'model':18s}{'length':>7s}{'seeds':>6s}{'error':>8s}{'quartiles':>16s}{'regret':>8s}{'criterion':>11s}{'parameters':>12s}"
    ]
    marks = scores(data)
    for (environment, method), block in data.groupby(["environment", "method"], sort=False):
        lines.append(f"{environment}, {method}: error of the likeliest action, regret per episode while learning")
        for model, part in block.groupby("model", sort=False):
            for length, one in part.groupby("length"):
                low, high = one.error.quantile(0.25), one.error.quantile(0.75)
                met = one.episodes_to_criterion.dropna()
                when = f"{met.median():,.0f}" if len(met) == len(one) else f"{len(met)}/{len(one)}"
                lines.append(
                    f"  {model:16s}{length:7d}{len(one):6d}{one.error.median():8.3f}{f'{low:.3f} {high:.3f}':>16s}"
                    f"{one.regret_per_episode.median():8.3f}{when:>11s}{one.parameters.iloc[0]:12,d}"
                )
            mark = marks[(marks.environment == environment) & (marks.method == method) & (marks.model == model)]
            name = (
                "bsuite score"
                if bool(mark.bsuite.all())
                else f"solved by bsuite's rule, of {mark.settings.max()} lengths"
            )
            lines.append(f"  {model:16s}{name}: {mark.score.mean():.3f}")
    return "\n".join(lines)


def draw(data: pd.DataFrame) -> Figure:
    """One row per environment and method: error of the trained network, and regret per episode while it learned."""
    blocks = list(data.groupby(["environment", "method"], sort=False))
    with house_style():
        figure, axes = new_figure(9.6, 0.5 + 3.1 * len(blocks), len(blocks), 2, squeeze=False)
        for (left, right), ((environment, method), block) in zip(axes, blocks, strict=True):
            for model, colour in _coloured(block):
                part = block[block.model == model]
                label = f"{LABELS.get(model, model)} ({part.parameters.iloc[0]:,})"
                _line(left, part, "error", colour, label)
                _line(right, part, "regret_per_episode", colour, label)
            seeds = block.groupby(["model", "length"]).seed.nunique()
            count = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
            left.set_title(f"{_TITLES.get(str(environment), environment)}, {method}, {count} seeds")
            right.set_title("while learning")
            left.set_ylabel("error, likeliest action")
            right.set_ylabel("regret per episode")
            left.axhline(0.5, color=GREY, lw=0.8, ls=":")
            right.axhline(1.0, color=GREY, lw=0.8, ls=":")
            for ax, top in ((left, 1.0), (right, 2.0)):
                ax.set_xscale("log")
                lengths = sorted(block.length.unique())
                if len(lengths) <= _MOST_TICKS:
                    ax.set_xticks(lengths, [f"{n:,}" for n in lengths])
                    ax.minorticks_off()
                ax.set_ylim(-0.02 * top, 1.02 * top if block[["error"]].to_numpy().max() > 0.6 else 0.62 * top)
                ax.set_xlabel("length of the chain, steps")
            left.legend(fontsize=7)
    return figure


def _coloured(block: pd.DataFrame) -> Iterator[tuple[str, str]]:
    spare = 0
    for model in dict.fromkeys(block.model):
        if model in COLOURS:
            yield model, COLOURS[model]
        else:
            yield model, _OTHERS[spare % len(_OTHERS)]
            spare += 1


def _line(ax: Axes, part: pd.DataFrame, column: str, colour: str, label: str) -> None:
    grouped = part.groupby("length")[column]
    middle, low, high = grouped.median(), grouped.quantile(0.25), grouped.quantile(0.75)
    ax.plot(middle.index, middle.to_numpy(), color=colour, marker="o", ms=3, lw=1.4, label=label)
    ax.fill_between(middle.index.to_numpy(), low.to_numpy(), high.to_numpy(), color=colour, alpha=0.2, lw=0)
