"""Learning curves of runs: validation bits per byte against tokens seen, one line per arm, seeds thin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from .style import ARM_COLOURS, ARM_LABELS, GREY, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from models import RunResult


def tidy(runs: Sequence[RunResult]) -> pd.DataFrame:
    """One row per run and evaluation: arm, seed, step, tokens, validation_bits_per_byte."""
    rows = []
    for run in runs:
        for point in run.learning_curve:
            rows.append(
                {
                    "arm": run.arm,
                    "seed": run.seed,
                    "step": point.step,
                    "tokens": point.tokens,
                    "validation_bits_per_byte": point.validation_bits_per_byte,
                }
            )
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame) -> Figure:
    """The figure, from the data of `tidy`."""
    with house_style():
        figure, axes = new_figure(5.6, 3.6)
        for arm, part in data.groupby("arm", sort=False):
            colour = ARM_COLOURS.get(str(arm), GREY)
            for _, one in part.groupby("seed"):
                axes.plot(one.tokens / 1e3, one.validation_bits_per_byte, color=colour, lw=0.7, alpha=0.5)
            mean = part.groupby("tokens").validation_bits_per_byte.mean()
            axes.plot(mean.index / 1e3, mean.values, color=colour, label=ARM_LABELS.get(str(arm), str(arm)))
        axes.set_xlabel("bytes of text seen in training (thousands)")
        axes.set_ylabel("bits per byte, validation")
        axes.set_title("Learning curves, same budget and seeds")
        axes.legend()
    return figure
