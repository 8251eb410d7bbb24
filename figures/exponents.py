"""Does the exponent matter? Score and learning speed against alpha and the response family, at own and at equal gain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from models.result import MATCHED

from .runs import RunsError, at_best_rate, load_runs, table
from .style import BLUE, GREEN, GREY, ORANGE, house_style, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from models import RunResult

TITLE = "score and learning speed against the exponent alpha and the response family, from run folders"
FROM_RUNS = True

_ALPHA = re.compile(r"alpha_(\d+(?:\.\d+)?)")
_FAMILY = re.compile(r"family_(\w+)")


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """One row per run: task, gain ("own", "equal"), alpha or family, seed, learning_rate, metric, test, speed, step.

    runs : folder with run folders of the arms ``alpha_A``, ``family_F`` and ``none`` and of the same with ``_matched``;
    RunsError without. `speed` is the score on validation at the first point of the learning curve, after `step`
    steps: how far the same number of steps has brought the network.
    """
    found = load_runs(runs, "exponents")
    chosen = [run for run in found if _kind(run.arm)[0] or run.arm == "none"]
    if not any(_kind(run.arm)[0] for run in chosen):
        raise RunsError(f"--runs {runs} holds no run of the arms alpha_A or family_F; make them with a study of alpha")
    speeds = {(run.task, run.arm, run.seed, run.recipe["learning_rate"]): _speed(run) for run in chosen}
    rows = at_best_rate(table(chosen))
    found_speeds = [speeds[key] for key in zip(rows.task, rows.arm, rows.seed, rows.learning_rate, strict=True)]
    rows["speed"], rows["step"] = zip(*found_speeds, strict=True)
    rows["gain"] = ["equal" if arm.endswith(MATCHED) else "own" for arm in rows.arm]
    rows["alpha"] = [_kind(arm)[1] for arm in rows.arm]
    rows["family"] = [_kind(arm)[2] for arm in rows.arm]
    return rows


def _kind(arm: str) -> tuple[bool, float | None, str | None]:
    name = arm.removesuffix(MATCHED)
    alpha, family = _ALPHA.fullmatch(name), _FAMILY.fullmatch(name)
    return (
        bool(alpha or family),
        float(alpha[1]) if alpha else None,
        family[1] if family else None,
    )


def _speed(run: RunResult) -> tuple[float, int]:
    if not run.learning_curve:
        return float("nan"), 0
    first = run.learning_curve[0]
    value = first.validation_accuracy if run.kind != "language" else first.validation_bits_per_byte
    if value is None:
        return float("nan"), first.step
    return (100.0 * value if run.kind != "language" else value), first.step


def draw(data: pd.DataFrame) -> Figure:
    """Per task: test score, and the score at the first point of the curve, against alpha; families at the right."""
    tasks = list(dict.fromkeys(data.task))
    with house_style():
        figure, axes = new_figure(8.6, 0.4 + 2.8 * len(tasks), len(tasks), 2, squeeze=False)
        for row, task in zip(axes, tasks, strict=True):
            part = data[data.task == task]
            families = sorted(set(part.family.dropna()))
            metric, step = str(part.metric.iloc[0]), "/".join(f"{n:,}" for n in sorted(set(part.step)))
            for ax, column, words in zip(
                row, ("test", "speed"), ("test", f"validation after {step} steps"), strict=True
            ):
                _panel(ax, part, column, families)
                ax.set_ylabel(metric)
                ax.set_title(words)
            row[0].set_title(f"{task}: test")
        axes[0][0].legend(fontsize=7.5)
    return figure


def _panel(ax: Any, part: pd.DataFrame, column: str, families: list[str]) -> None:
    off = part[part.arm == "none"][column]
    if len(off):
        ax.axhspan(off.min(), off.max(), color=GREY, alpha=0.25, lw=0)
        ax.axhline(off.mean(), color=GREY, lw=1.0, label="attention off")
    places = {family: 1.22 + 0.26 * i for i, family in enumerate(families)}
    for gain, colour, shift in (("own", BLUE, -0.012), ("equal", ORANGE, 0.012)):
        one = part[(part.gain == gain) & part.alpha.notna()].groupby("alpha")[column].agg(["mean", "std"])
        if len(one):
            ax.errorbar(one.index + shift, one["mean"], yerr=one["std"].fillna(0.0), color=colour, marker="o", ms=3.5, lw=1.2,
                        capsize=2, label=f"G^alpha, {gain} gain")  # fmt: skip
        kinds = part[(part.gain == gain) & part.family.notna()].groupby("family")[column].agg(["mean", "std"])
        for i, (family, row) in enumerate(kinds.iterrows()):
            label = f"families, {gain} gain" if i == 0 else None
            ax.errorbar(places[str(family)] + shift, row["mean"], yerr=np.nan_to_num(row["std"]), marker="s", ms=4, capsize=2,
                        color=GREEN if gain == "own" else colour, label=label)  # fmt: skip
    alphas = sorted({0.25, 0.5, 0.75, 1.0, *part.alpha.dropna()})
    ticks = [*alphas, *places.values()]
    ax.set_xticks(ticks, [*[f"{alpha:g}" for alpha in alphas], *[f.replace("_", "\n") for f in places]], fontsize=7)
    ax.set_xlabel("exponent alpha, and other families")
