"""What backpropagation through segments costs: memory and time against their number, replayed, checkpointed, in full.

Measured by `astromorphic benchmark memory --json FILE`; this draws its rows. `--runs` names the file, or a folder with a file
memory.json in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from .runs import RunsError, benchmark_rows
from .style import BLUE, GREY, ORANGE, house_style, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

TITLE = (
    "memory and time of replay, checkpoints and full backpropagation against the number of segments, from a benchmark"
)
FROM_RUNS = True

BENCHMARK = "memory"
WAYS = {
    "full": ("full (BPTT)", GREY),
    "checkpoint": ("checkpoint at every segment", ORANGE),
    "replay": ("replay (AMRB)", BLUE),
}
PANELS = {"peak memory": "peak memory (MB)", "kept by autograd": "kept by autograd (MB)", "CPU time": "CPU time (ms)"}
_ROW = re.compile(rf"({'|'.join(PANELS)}), ({'|'.join(WAYS)}), (\d+) segments?")


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """Rows of panel ("peak memory", "kept by autograd", "CPU time"), way, segments and value, in MB or ms.

    runs : the benchmark's file or its folder; RunsError without, or for a file that holds no such rows.
    """
    found = [
        (_ROW.fullmatch(str(row.get("name"))), float(row["value"]))
        for row in benchmark_rows(runs, "memory", BENCHMARK)
        if row["unit"] in ("MB", "ms")
    ]
    rows = [
        {"panel": match[1], "way": match[2], "segments": int(match[3]), "value": value}
        for match, value in found
        if match
    ]
    if not rows:
        raise RunsError(
            f"--runs {runs}: the record holds no memory or time by segments; measure again with astromorphic benchmark "
            f"{BENCHMARK} --json FILE"
        )
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame) -> Figure:
    """Three panels: peak memory of the process, what autograd keeps, CPU time of a pass."""
    with house_style():
        figure, axes = new_figure(9.6, 3.1, 1, 3)
        for ax, (panel, words) in zip(axes, PANELS.items(), strict=True):
            for way, (label, colour) in WAYS.items():
                part = data[(data.panel == panel) & (data.way == way)].sort_values("segments")
                line = ax.plot(part.segments, part.value, color=colour, marker="o", ms=3.5, lw=1.4, label=label)[0]
                if way == "checkpoint":
                    # It lies on the line of replay in two of the panels.
                    line.set(linestyle="--", zorder=3)
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            low, high = ax.get_ylim()
            ticks = sorted(set(data.segments))
            ax.set_xticks(ticks, [str(t) for t in ticks])
            rungs = [n for n in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if low <= n <= high]
            ax.set_yticks(rungs, [f"{n:,}" for n in rungs])
            ax.minorticks_off()
            ax.set_xlabel("segments")
            ax.set_title(words)
        axes[0].legend(fontsize=7.5)
    return figure
