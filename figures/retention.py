"""What each segment hands on, r(t, T), and what becomes of a memory that is scaled by it: delayed recall, with seeds.

The factors come from the macro preset `simulated`, beside the closed form and the controls. Recall and the gradient through
memory are from run folders of `astromorphic study recall`; without any, the factors stand alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .recall import recall_rows
from .style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, house_style, new_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "retention factors r(t, T), delayed recall and the gradient through memory (recall from run folders)"
FROM_RUNS = True

SCHEDULES = {
    "ones": ("r = 1", GREY), "learned": ("learned, free", GREEN), "learned_shares": ("learned shares", SKY),
    "uniform": ("1/T", ORANGE), "simulated": ("simulated", BLUE), "geometric": ("closed form", PURPLE),
    "reversed": ("reversed", RED),
}  # fmt: skip
SHOWN = (2, 4, 8)
MACRO = "simulated"
_CLOSED = "closed form, a = "
# Of a normal distribution: 95 % lie within so many standard errors.
_WIDTH = 1.96


def compute(quick: bool = False, seed: int = 0, runs: str | Path | None = None, **_: Any) -> pd.DataFrame:
    """Rows of panel, series, segments (T), x, y, low, high and seed.

    panel "factors" (x: t, y: r(t, T); series "simulated", "reversed", "uniform", "closed form, a = " and its number, and
    "fit to all cycles" with its 95 % interval in low and high), and, with `runs`, "accuracy" (y: share of right answers),
    "path_before" and "path_after" (y: gradient of the final memory by the one that holds the bit), one row per run, x: T.
    """
    rows = _factors()
    if runs is not None:
        for one in recall_rows(runs).itertuples():
            for panel in ("accuracy", "path_before", "path_after"):
                rows.append(
                    {"panel": panel, "series": one.retention, "segments": one.segments, "x": one.segments,
                     "y": getattr(one, panel), "seed": one.seed}
                )  # fmt: skip
    columns = ["panel", "series", "segments", "x", "y", "low", "high", "seed"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _factors() -> list[dict[str, Any]]:
    import bridge
    from biosim import geometric_retention

    found = bridge.preset(MACRO).section("retention")
    a, error = found.decay_all_cycles, found.stderr_all_cycles
    rows: list[dict[str, Any]] = []
    for total in SHOWN:
        shares = np.asarray(found.factors(total))
        ends = [geometric_retention(total, a + sign * _WIDTH * error) for sign in (-1, 1)]
        curves: dict[str, tuple[Any, Any, Any]] = {
            "simulated": (shares, None, None), "reversed": (shares[::-1], None, None),
            f"{_CLOSED}{found.closed_form:.3g}": (geometric_retention(total, found.closed_form), None, None),
            "fit to all cycles": (geometric_retention(total, a), np.minimum(*ends), np.maximum(*ends)),
            "uniform": (np.full(total, 1.0 / total), None, None),
        }  # fmt: skip
        for series, (y, low, high) in curves.items():
            for t in range(total):
                interval = {} if low is None else {"low": float(low[t]), "high": float(high[t])}
                rows.append(
                    {"panel": "factors", "series": series, "segments": total, "x": t + 1, "y": float(y[t])} | interval
                )
    return rows


def draw(data: pd.DataFrame) -> Figure:
    """Above, the factors for T = 2, 4, 8; below, recall and the gradient through memory before and after training."""
    recalled = bool((data.panel == "accuracy").any())
    with house_style():
        figure, axes = new_figure(9.6, 5.8 if recalled else 3.0, 2 if recalled else 1, 3, squeeze=False)
        for ax, total in zip(axes[0], SHOWN, strict=True):
            _factor_panel(ax, data[(data.panel == "factors") & (data.segments == total)], total)
        axes[0][0].set_ylabel("r(t, T)")
        axes[0][-1].legend(fontsize=7, title=f"shares of preset {MACRO}", title_fontsize=7)
        if recalled:
            _accuracy_panel(axes[1][0], data[data.panel == "accuracy"])
            for ax, panel in zip(axes[1][1:], ("path_before", "path_after"), strict=True):
                _path_panel(ax, data[data.panel == panel], panel)
            both = [ax.get_ylim() for ax in axes[1][1:]]
            for ax in axes[1][1:]:
                ax.set_ylim(min(low for low, _ in both), max(high for _, high in both))
            # The paths have the colours of the panel beside them; the legend has a place of its own below.
            handles, labels = axes[1][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7.5)
    return figure


def _factor_panel(ax: Axes, part: pd.DataFrame, total: int) -> None:
    by = {name: one for name, one in part.groupby("series", sort=False)}
    fit = by["fit to all cycles"]
    ax.fill_between(fit.x, fit.low, fit.high, color=SKY, alpha=0.5, lw=0, label="fit to all cycles, 95 %")
    for name, one in by.items():
        if str(name).startswith(_CLOSED):
            ax.plot(one.x, one.y, color=PURPLE, lw=1.2, label=name)
    ax.plot(by["simulated"].x, by["simulated"].y, "o", color=BLUE, ms=5, label="simulated")
    ax.plot(by["reversed"].x, by["reversed"].y, "x", color=RED, ms=4, label="reversed")
    ax.plot(by["uniform"].x, by["uniform"].y, color=ORANGE, lw=1.0, ls="--", label="1/T")
    ax.set_ylim(0, 0.7)
    ax.set_xticks(range(1, total + 1))
    ax.set_xlabel("segment t")
    ax.set_title(f"T = {total}")


def _series(part: pd.DataFrame) -> list[tuple[int, str, pd.DataFrame]]:
    """Schedules in the order of the legend, with a number to shift each a little, so that none hides another."""
    there = [name for name in SCHEDULES if name in set(part.series)]
    return [(i, name, part[part.series == name]) for i, name in enumerate(there)]


def _log_ticks(ax: Axes, part: pd.DataFrame) -> None:
    totals = sorted(set(part.x.astype(int)))
    ax.set_xscale("log", base=2)
    ax.set_xticks(totals, [str(t) for t in totals])
    ax.minorticks_off()
    ax.set_xlabel("segments T")


def _accuracy_panel(ax: Axes, part: pd.DataFrame) -> None:
    series = _series(part)
    for i, name, one in series:
        words, colour = SCHEDULES[name]
        shift = 2.0 ** (0.05 * (i - (len(series) - 1) / 2))
        ax.plot(one.x * shift, one.y, "o", color=colour, ms=2.5, alpha=0.6)
        mean = one.groupby("x").y.mean()
        ax.plot(mean.index * shift, mean.to_numpy(), color=colour, lw=1.3, label=words)
    ax.axhline(0.5, color=GREY, lw=0.8, ls=":")
    _log_ticks(ax, part)
    ax.set_ylim(0.4, 1.03)
    ax.set_ylabel("right answers")
    seeds = part.groupby(["series", "x"]).seed.nunique()
    count = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    ax.set_title(f"delayed recall, {count} seed{'' if count == '1' else 's'}")


def _path_panel(ax: Axes, part: pd.DataFrame, panel: str) -> None:
    # A path that is cut altogether has no place on a logarithmic axis.
    for _, name, one in _series(part[part.y > 0]):
        middle = one.groupby("x").y.median()
        ax.plot(middle.index, middle.to_numpy(), color=SCHEDULES[name][1], marker="o", ms=3, lw=1.3)
    ax.set_yscale("log")
    _log_ticks(ax, part)
    ax.set_ylabel("gradient through memory")
    ax.set_title({"path_before": "before training", "path_after": "after training"}[panel])
