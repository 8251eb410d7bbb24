"""AstroSNN's Figure 4 under a fair protocol: prefill, decoding and memory of an AM-SU layer and a GPT-2 layer against length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .runs import RunsError, benchmark_rows
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, house_style, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "inference of an AM-SU layer and a GPT-2 layer against length, from the benchmark spiking"
FROM_RUNS = True
RECORD = "spiking"
_REMEDY = f"measure again with astromorphic benchmark {RECORD} --json FILE"

COLOURS = {
    "AM-SU, chunked": BLUE, "AM-SU, masked": SKY, "AM-SU, serial": PURPLE, "RetNet": GREEN, "GPT-2": ORANGE,
    "GPT-2, no cache": RED,
}  # fmt: skip
_PANELS = (
    ("prefill", "prefill (batch 1)", "CPU time, ms"),
    ("decode", "one more token (batch 1)", "CPU time, ms"),
    ("throughput, batch 8", "decoding, batch 8", "tokens per CPU second"),
    ("peak memory", "memory of a prefill and state", "MB"),
)
_COLUMNS = ["what", "arm", "tokens", "value", "unit", "low", "high", "repeats"]


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """One row per quantity, arm and length: what, arm, tokens, value, unit, low and high (quartiles), repeats.

    runs : the JSON file of `astromorphic benchmark spiking`, or a folder with it as spiking.json; RunsError without.
    """
    rows = [row for row in benchmark_rows(runs, "efficiency", RECORD) if "arm" in row]
    try:
        found = [_row(row) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise RunsError(f"--runs {runs}: a row of inference is damaged ({error!r}); {_REMEDY}") from None
    if not found:
        raise RunsError(f"--runs {runs}: the record has no rows of inference; {_REMEDY}")
    return pd.DataFrame(found, columns=_COLUMNS)


def _row(row: dict[str, Any]) -> list[Any]:
    low, high = row.get("quartiles", (row["value"], row["value"]))
    return [
        row["what"],
        row["arm"],
        int(row["tokens"]),
        float(row["value"]),
        row["unit"],
        low,
        high,
        row.get("repeats"),
    ]


def draw(data: pd.DataFrame) -> Figure:
    """Four panels: prefill, decoding at batch 1, throughput at batch 8, and memory with the bytes of the state (dashed)."""
    with house_style():
        figure, axes = new_figure(9.6, 6.8, 2, 2)
        for ax, (what, title, label) in zip(axes.flat, _PANELS, strict=True):
            _lines(ax, data[data.what == what], "-")
            ax.set(title=title, ylabel=label, xlabel="prompt, tokens" if what == "prefill" else "context, tokens")
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
        _lines(axes[1, 1], data[data.what == "state"], "--", " (state)")
        axes[1, 1].set_xlabel("prompt, tokens")
        for ax in axes.flat:
            if ax.get_legend_handles_labels()[1]:
                ax.legend(fontsize=7)
    return figure


def _lines(ax: Axes, part: pd.DataFrame, style: str, more: str = "") -> None:
    for arm, one in part.groupby("arm", sort=False):
        line = one.sort_values("tokens")
        colour = COLOURS.get(str(arm), GREY)
        ax.plot(line.tokens, line.value, style, color=colour, marker="o", ms=3, lw=1.4, label=f"{arm}{more}")
        ax.fill_between(
            line.tokens.to_numpy(), line.low.to_numpy(float), line.high.to_numpy(float), color=colour, alpha=0.2, lw=0
        )
