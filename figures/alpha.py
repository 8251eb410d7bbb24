"""The honest answer about alpha: which exponent comes out under which treatment, and where 0.25 stands.

The published curve and three simulated ones; raw, above resting calcium, above a free level; over several ranges of rates,
numbers of synapses and gains; and the ranking of all curve families on the same curves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .style import BLUE, GREEN, GREY, ORANGE, PUBLISHED, RED, house_style, new_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bridge import Curve

TITLE = "which exponent alpha comes out under which treatment, and how the curve families rank"

PAPER_ALPHA = 0.25
PUBLISHED_CURVE = "published"
# Curves in the order of the panels: identifier -> what a reader is told.
SOURCES = {
    PUBLISHED_CURVE: "published Fig. 3, 1–10 Hz",
    "wade2012": "wade2012, 1–10 Hz",
    "wade2012_wide": "wade2012, 1–100 Hz",
    "few_synapses": "2 synapses, K_AG −1000, 1–100 Hz",
    "psu": "psu, 1–100 Hz",
}
_COLOURS = {
    PUBLISHED_CURVE: PUBLISHED, "wade2012": BLUE, "wade2012_wide": BLUE, "few_synapses": GREEN, "psu": RED,
}  # fmt: skip
TREATMENTS = {
    "nls_raw": "raw: b f^α, least squares",
    "loglog_raw": "raw, log-log line",
    "nls_above_rest": "above rest, least squares",
    "loglog_above_rest": "above rest, log-log line",
    "nls_offset": "above a free level c + b f^α",
}
# The two treatments that are followed through the other panels: the papers' reading, and the one that gives 0.25.
FOLLOWED = ("nls_raw", "loglog_above_rest")
RATES = tuple(float(rate) for rate in range(1, 11))
RANGES = ((1, 5), (5, 10), (1, 10), (2, 20), (1, 20), (1, 50), (10, 100), (1, 100))
SYNAPSES = (1, 2, 3, 5, 10, 20, 50)
FACTORS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
GAINS = {"r_IP3": "IP3 per 2-AG", "K_AG": "suppression of release"}


def simulate(
    quick: bool = False, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> dict[str, xr.Dataset]:
    """The curves behind the figure, 32 trials per rate (4 with `quick`, and fewer numbers of synapses).

    Keys: wade2012, wade2012_wide, few_synapses, psu; synapses/N; gain/NAME with NAME as an axis.
    """
    import biosim

    trials = 4 if quick else 32
    wide = np.unique(np.r_[np.geomspace(1, 100, 9 if quick else 17), 2.0, 5.0, 10.0, 20.0, 50.0])
    wade, psu = biosim.parameter_set("wade2012"), biosim.parameter_set("psu")
    # The setting with few synapses of the exploration over 1 to 100 Hz: smooth and decelerating, and nearest to 0.25.
    few = wade.with_values(n_neurons=1, n_synapses=2, K_AG=-1000.0, v_ER=0.8)
    plans = {
        "wade2012": biosim.protocol("fig3", wade, rates=RATES, trials=trials),
        "wade2012_wide": biosim.protocol("rate_sweep", wade, rates=wide, trials=trials),
        "few_synapses": biosim.protocol("rate_sweep", few, rates=wide, trials=trials),
        "psu": biosim.protocol("rate_sweep", psu, rates=wide, trials=trials),
    }
    for number in (2, 10) if quick else SYNAPSES:
        plans[f"synapses/{number}"] = biosim.protocol(
            "fig3", wade.with_values(n_synapses=number), rates=RATES, trials=trials
        )
    for name in GAINS:
        factors = (0.5, 1.0, 2.0) if quick else FACTORS
        base = biosim.protocol("fig3", wade, rates=RATES, trials=trials)
        plans[f"gain/{name}"] = biosim.swept(base, name, [factor * float(getattr(wade, name)) for factor in factors])
    total, done, found = sum(plan.n_units for plan in plans.values()), 0, {}
    for key, plan in plans.items():

        def advance(finished: int, _: int, before: int = done) -> None:
            if progress:
                progress(before + finished, total)

        found[key] = biosim.simulate(plan, seed=seed, progress=advance)
        done += plan.n_units
    return found


def tidy(datasets: dict[str, xr.Dataset], n_resamples: int = 1000) -> pd.DataFrame:
    """The figure's data, by `part`.

    ``curve``: input_rate_hz, calcium_um, calcium_um_sd, rest_um of each source.
    ``treatment``, ``rest`` (the published curve above the starting and resting levels of the sets), ``level``, ``range``,
    ``synapses``, ``gain``: one exponent per row: treatment, alpha, low and high (95 %
    bootstrap; empty where none was made), r_squared (in log space for log-log lines), at_limit; rest_um is the calcium level that
    is subtracted, rate_low_hz and rate_high_hz the range, n_synapses and gain (with factor) what was changed.
    ``ranking``: family, delta_aicc, weight, r_squared, cross_validated_um, shape (the first shape parameter), at_limit,
    identifiable.
    """
    import biosim
    import bridge

    wade = biosim.parameter_set("wade2012")
    rest = biosim.rest_state(wade.IP3_rest, wade)[0]
    curves = {PUBLISHED_CURVE: bridge.published("astromorphic_fig3").with_resting_calcium(rest)}
    curves |= {name: bridge.response_curve(datasets[name]) for name in SOURCES if name in datasets}
    parts = [_curve_rows(name, curve) for name, curve in curves.items()]
    rows: list[dict[str, Any]] = []
    for name, curve in curves.items():
        rows += _exponents("treatment", name, curve, TREATMENTS, n_resamples)
        rows += _ranking(name, curve)
    for name in (PUBLISHED_CURVE, "wade2012"):
        rows += _levels(name, curves[name])
    psu = biosim.parameter_set("psu")
    for level in (psu.Ca_init, rest, biosim.rest_state(psu.IP3_rest, psu)[0]):
        at = curves[PUBLISHED_CURVE].with_resting_calcium(float(level or 0.0))
        rows += _exponents("rest", PUBLISHED_CURVE, at, ("nls_above_rest", "loglog_above_rest"), n_resamples)
    for name in (PUBLISHED_CURVE, "wade2012_wide", "few_synapses"):
        for low, high in RANGES:
            part = _between(curves[name], low, high)
            if part is not None:
                rows += _exponents("range", name, part, FOLLOWED, n_resamples, rate_low_hz=low, rate_high_hz=high)
    for key, dataset in datasets.items():
        kind, _, what = key.partition("/")
        if kind == "synapses":
            curve = bridge.response_curve(dataset)
            rows += _exponents("synapses", "wade2012", curve, FOLLOWED, n_resamples, n_synapses=int(what))
        if kind == "gain":
            usual = float(getattr(wade, what))
            for value in dataset[what].values:
                curve = bridge.response_curve(dataset, select={what: float(value)})
                rows += _exponents(
                    "gain", "wade2012", curve, FOLLOWED, n_resamples, gain=what, factor=float(value) / usual
                )
    return pd.concat([*parts, pd.DataFrame.from_records(rows)], ignore_index=True)


def _curve_rows(name: str, curve: Curve) -> pd.DataFrame:
    sd = np.full(curve.n_points, np.nan) if curve.sd is None else curve.sd
    return pd.DataFrame(
        {
            "part": "curve",
            "source": name,
            "input_rate_hz": curve.x,
            "calcium_um": curve.y,
            "calcium_um_sd": sd,
            "rest_um": curve.resting_calcium,
        }
    )


def _exponents(
    part: str, source: str, curve: Curve, treatments: Any, n_resamples: int, **where: Any
) -> list[dict[str, Any]]:
    """One row per treatment that applies to the curve; one that does not (calcium below rest) has no exponent."""
    import bridge

    found = bridge.estimate_all(curve, list(treatments), n_resamples=n_resamples)
    place = {"rate_low_hz": float(curve.x[0]), "rate_high_hz": float(curve.x[-1])} | where
    rows = []
    for name in treatments:
        row = {"part": part, "source": source, "treatment": name, "rest_um": curve.resting_calcium} | place
        if name in found.skipped:
            rows.append(row | {"alpha": np.nan, "why_not": found.skipped[name]})
            continue
        one = found[name]
        rows.append(
            row
            | {
                "alpha": one.value,
                "low": one.low,
                "high": one.high,
                "r_squared": one.r_squared,
                "at_limit": one.at_bound,
            }
        )
    return rows


def _levels(source: str, curve: Curve) -> list[dict[str, Any]]:
    """Exponents above any subtracted level, from none to just below the lowest calcium."""
    rows: list[dict[str, Any]] = []
    lowest = float(curve.y.min())
    for level in lowest * np.r_[np.linspace(0, 0.9, 19), 0.925, 0.95, 0.97]:
        at = curve.with_resting_calcium(float(level))
        rows += _exponents("level", source, at, ("nls_above_rest", "loglog_above_rest"), 0)
    return rows


def _between(curve: Curve, low: float, high: float) -> Curve | None:
    """The curve over `low` to `high` Hz; None where it does not reach so far or has fewer than four points there."""
    import bridge

    chosen = (curve.x >= low * (1 - 1e-9)) & (curve.x <= high * (1 + 1e-9))
    if chosen.sum() < 4 or curve.x[chosen][0] > 1.02 * low or curve.x[chosen][-1] < 0.98 * high:
        return None
    return bridge.Curve(
        x=curve.x[chosen],
        y=curve.y[chosen],
        trials=None if curve.trials is None else curve.trials[chosen],
        resting_calcium=curve.resting_calcium,
        source=curve.source,
    )


def _ranking(source: str, curve: Curve) -> list[dict[str, Any]]:
    import bridge

    found = bridge.compare(curve, list(bridge.FAMILIES))
    return [
        {
            "part": "ranking",
            "source": source,
            "family": row["family"],
            "delta_aicc": row["delta_aicc"],
            "weight": row["weight"],
            "r_squared": row["r_squared"],
            "cross_validated_um": row["cross_validated"],
            "shape_parameter": row["shape_parameter"],
            "shape": row["shape_value"],
            "at_limit": row["at_bound"],
            "identifiable": found.fits[str(row["family"])].identifiable,
        }
        for row in found.records()
    ]


def compute(quick: bool = False, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Simulate and return the figure's data (see `tidy`)."""
    return tidy(simulate(quick=quick, seed=seed, **options), n_resamples=200 if quick else 1000)


def alpha_of(data: pd.DataFrame, source: str, treatment: str, part: str = "treatment") -> float:
    """The exponent of one source under one treatment."""
    rows = data[(data.part == part) & (data.source == source) & (data.treatment == treatment)]
    return float(rows.alpha.iloc[0])


def level_for(data: pd.DataFrame, source: str, treatment: str, alpha: float = PAPER_ALPHA) -> float:
    """Calcium level (uM) whose subtraction makes the exponent `alpha`, interpolated; NaN where none does."""
    rows = data[(data.part == "level") & (data.source == source) & (data.treatment == treatment)].dropna(subset="alpha")
    rows = rows.sort_values("rest_um")
    level, found = rows.rest_um.to_numpy(float), rows.alpha.to_numpy(float)
    above = np.flatnonzero(found >= alpha)
    if not len(above) or above[0] == 0:
        return float("nan")
    i = above[0]
    share = (alpha - found[i - 1]) / (found[i] - found[i - 1])
    return float(level[i - 1] + share * (level[i] - level[i - 1]))


def _rests(data: pd.DataFrame) -> dict[str, float]:
    """Resting calcium (uM) of the simulated sets."""
    curves = data[data.part == "curve"]
    return {name: float(curves[curves.source == name].rest_um.iloc[0]) for name in ("wade2012", "psu")}


def findings(data: pd.DataFrame) -> list[str]:
    """What the figure says, in sentences made from its numbers."""

    def a(source: str, treatment: str) -> str:
        return f"{alpha_of(data, source, treatment):.3f}"

    def between(part: str, treatment: str, **only: Any) -> str:
        rows = data[(data.part == part) & (data.treatment == treatment)]
        for column, value in only.items():
            rows = rows[rows[column] == value]
        return f"{rows.alpha.min():.2f} to {rows.alpha.max():.2f}"

    rests = _rests(data)
    needed = level_for(data, PUBLISHED_CURVE, "loglog_above_rest")
    sentences = [
        f"Published curve: {a(PUBLISHED_CURVE, 'nls_raw')} raw, {a(PUBLISHED_CURVE, 'loglog_above_rest')} above the rest of "
        f"wade2012. For 0.25 one must subtract {1e3 * needed:.1f} nM; the sets rest at "
        f"{1e3 * rests['wade2012']:.1f} and {1e3 * rests['psu']:.1f} nM.",
        f"Simulated curve (wade2012, 1–10 Hz): {a('wade2012', 'loglog_above_rest')} as the log-log line above rest, "
        f"{a('wade2012', 'nls_above_rest')} by least squares above rest, {a('wade2012', 'nls_raw')} raw.",
        f"Range: the same synapse gives {between('range', 'loglog_above_rest', source='wade2012_wide')} above rest, depending "
        "on the rates.",
        f"Synapses: {between('synapses', 'loglog_above_rest')} above rest. "
        f"Gain: {between('gain', 'loglog_above_rest')}.",
    ]
    ranked = data[data.part == "ranking"]
    powers = ranked[ranked.family.isin(["power", "power_above_rest"])]
    best = ranked[ranked.delta_aicc == 0].family.value_counts()
    sentences.append(
        f"Ranking: best is {' or '.join(_FAMILY_LABELS[str(name)] for name in best.index)}; a power law through zero or rest is "
        f"{powers.delta_aicc.min():.0f} to {powers.delta_aicc.max():.0f} AICc units behind."
    )
    free = ranked[ranked.family == "power_offset"]
    stuck = int((free.at_limit.astype(bool) | ~free.identifiable.astype(bool)).sum())
    sentences.append(
        f"With a free level the exponent is not identifiable on {stuck} of {len(free)} curves (it runs to 0, a logarithm): "
        "such a curve alone does not fix one."
    )
    return sentences


def draw(data: pd.DataFrame) -> Figure:
    """Eight panels: curves, treatments, subtracted level, range, synapses, gain, ranking, and what comes out in words."""
    with house_style():
        figure, axes = new_figure(15.5, 8.2, 2, 4)
        _draw_curves(axes[0, 0], data[data.part == "curve"])
        _draw_treatments(axes[0, 1], data[data.part == "treatment"])
        _draw_levels(axes[0, 2], data)
        _draw_ranges(axes[0, 3], data[data.part == "range"])
        _draw_synapses(axes[1, 0], data[data.part == "synapses"])
        _draw_gain(axes[1, 1], data[data.part == "gain"])
        _draw_ranking(axes[1, 2], data[data.part == "ranking"])
        _draw_findings(axes[1, 3], findings(data))
        figure.suptitle(
            "Where does alpha = 0.25 come from? From one treatment of one range of rates; none of the curves is a power law",
            fontsize=12, fontweight="bold", x=0.01, ha="left",
        )  # fmt: skip
    return figure


def _draw_curves(axes: Axes, rows: pd.DataFrame) -> None:
    for source in (PUBLISHED_CURVE, "wade2012_wide", "few_synapses", "psu"):
        part = rows[rows.source == source]
        rise = 1e3 * (part.calcium_um - part.rest_um)
        style: dict[str, Any] = {"lw": 2.4} if source == PUBLISHED_CURVE else {"marker": "o", "ms": 3, "lw": 1.2}
        axes.plot(part.input_rate_hz, rise, color=_COLOURS[source], label=SOURCES[source], **style)
    f = np.array([1.0, 100.0])
    axes.plot(f, 17 * f**PAPER_ALPHA, "--", color=ORANGE, lw=1.6, label="b f^0.25")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("input rate per synapse (Hz)")
    axes.set_ylabel("calcium above rest (nM)")
    axes.set_title("A  A power law would be straight")
    axes.legend(fontsize=7.6, loc="upper left", handlelength=1.5)
    axes.set_ylim(9, 9000)


def _mark_paper(axes: Axes, vertical: bool = False) -> None:
    (axes.axvline if vertical else axes.axhline)(PAPER_ALPHA, color=ORANGE, lw=1.6, ls="--", zorder=0)


def _draw_treatments(axes: Axes, rows: pd.DataFrame) -> None:
    shifts = np.linspace(0.28, -0.28, len(SOURCES))
    places = {name: len(TREATMENTS) - 1 - i for i, name in enumerate(TREATMENTS)}
    for source, shift in zip(SOURCES, shifts, strict=True):
        part = rows[(rows.source == source) & rows.alpha.notna()]
        y = part.treatment.map(places) + shift
        hollow = source == "wade2012_wide"
        stuck = part.at_limit.astype(bool)
        errors = np.clip(np.stack([part.alpha - part.low, part.high - part.alpha]).astype(float), 0, None)
        axes.errorbar(
            part.alpha, y, xerr=errors, fmt="o", ms=4.5, lw=1.1, color=_COLOURS[source],
            mfc="white" if hollow else _COLOURS[source],
        )  # fmt: skip
        axes.plot(part.alpha[stuck], y[stuck], "<", ms=6, color=_COLOURS[source])
    _mark_paper(axes, vertical=True)
    axes.set_yticks(list(places.values()), list(TREATMENTS.values()), fontsize=8)
    axes.set_xlabel("exponent α (95 % bootstrap)")
    axes.set_xlim(-0.02, None)
    axes.set_ylim(-0.5, len(TREATMENTS) - 0.3)
    axes.set_title("B  Treatment (colours as in A)")
    axes.text(
        0.98, 0.03, "hollow: wade2012 over 1–100 Hz\n◄: at its limit, 0", transform=axes.transAxes, ha="right", fontsize=8,
    )  # fmt: skip


def _draw_levels(axes: Axes, data: pd.DataFrame) -> None:
    rows = data[data.part == "level"]
    for source in (PUBLISHED_CURVE, "wade2012"):
        for treatment, style in (("loglog_above_rest", "-"), ("nls_above_rest", ":")):
            part = rows[(rows.source == source) & (rows.treatment == treatment)]
            kind = "log-log line" if style == "-" else "least squares"
            label = f"{'published' if source == PUBLISHED_CURVE else 'wade2012'}, {kind}"
            axes.plot(1e3 * part.rest_um, part.alpha, style, color=_COLOURS[source], label=label)
        level = level_for(data, source, "loglog_above_rest")
        if np.isfinite(level):
            axes.plot([1e3 * level], [PAPER_ALPHA], "o", color=_COLOURS[source], ms=6)
            axes.annotate(
                f"{1e3 * level:.1f} nM", (1e3 * level, PAPER_ALPHA), (4, -12), textcoords="offset points", fontsize=8,
                color=_COLOURS[source],
            )  # fmt: skip
    rests = _rests(data)
    for rest in rests.values():
        axes.axvline(1e3 * rest, color=GREY, lw=1)
    text = "\n".join(f"{name} {1e3 * rest:.1f} nM" for name, rest in rests.items())
    axes.text(
        1e3 * min(rests.values()) - 1.5,
        0.49,
        f"grey: resting calcium\n{text}",
        ha="right",
        va="top",
        fontsize=8,
        color=GREY,
    )
    _mark_paper(axes)
    axes.set_ylim(0, 0.5)
    axes.set_xlabel("calcium level that is subtracted (nM)")
    axes.set_ylabel("exponent α, 1–10 Hz")
    axes.set_title("C  Subtracted level")
    axes.legend(fontsize=7.6, loc="upper left", bbox_to_anchor=(0.0, 0.82))


def _followed(
    axes: Axes, x: Any, part: pd.DataFrame, treatment: str, colour: str, label: str | None, **style: Any
) -> None:
    filled = treatment == "loglog_above_rest"
    errors = np.clip(np.stack([part.alpha - part.low, part.high - part.alpha]).astype(float), 0, None)
    axes.errorbar(
        x, part.alpha, yerr=errors, fmt="o" if filled else "s", ms=5, color=colour, mfc=colour if filled else "white", lw=1.2,
        label=label, **style,
    )  # fmt: skip


_SHORT = {"nls_raw": "raw, least squares", "loglog_above_rest": "above rest, log-log"}


def _draw_ranges(axes: Axes, rows: pd.DataFrame) -> None:
    names = [f"{low}–{high}" for low, high in RANGES]
    shifts = {PUBLISHED_CURVE: -0.2, "wade2012_wide": 0.0, "few_synapses": 0.2}
    for source, shift in shifts.items():
        for treatment in FOLLOWED:
            part = rows[(rows.source == source) & (rows.treatment == treatment)]
            x = [
                names.index(f"{low:g}–{high:g}") + shift
                for low, high in zip(part.rate_low_hz, part.rate_high_hz, strict=True)
            ]
            _followed(
                axes,
                x,
                part,
                treatment,
                _COLOURS[source],
                _SHORT[treatment] if source == "wade2012_wide" else None,
                ls="",
            )
    _mark_paper(axes)
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=45)
    axes.set_ylim(0, 1.3)
    axes.set_xlabel("range of rates (Hz)")
    axes.set_ylabel("exponent α")
    axes.set_title("D  Range of rates (colours as in A)")
    axes.legend(fontsize=8, loc="upper right", handlelength=1)


def _draw_synapses(axes: Axes, rows: pd.DataFrame) -> None:
    for treatment in FOLLOWED:
        part = rows[rows.treatment == treatment].sort_values("n_synapses")
        _followed(axes, part.n_synapses, part, treatment, BLUE, _SHORT[treatment], ls="-")
    _mark_paper(axes)
    axes.set_xscale("log")
    values = sorted({int(n) for n in rows.n_synapses})
    axes.set_xticks(values, [str(n) for n in values])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, None)
    axes.set_xlabel("synapses per neuron (wade2012: 10)")
    axes.set_ylabel("exponent α, 1–10 Hz")
    axes.set_title("E  Number of synapses")
    axes.legend(fontsize=8)


def _draw_gain(axes: Axes, rows: pd.DataFrame) -> None:
    for (name, meaning), colour in zip(GAINS.items(), (BLUE, GREEN), strict=True):
        for treatment in FOLLOWED:
            part = rows[(rows.gain == name) & (rows.treatment == treatment)].sort_values("factor")
            label = f"{name} ({meaning}): {'above rest' if treatment != 'nls_raw' else 'raw'}"
            _followed(axes, part.factor, part, treatment, colour, label, ls="-")
    _mark_paper(axes)
    axes.set_xscale("log")
    values = sorted({float(f) for f in rows.factor})
    axes.set_xticks(values, [f"{f:g}" for f in values], fontsize=8)
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1.35 * float(rows.alpha.max()))
    axes.set_xlabel("factor on the parameter (wade2012: 1)")
    axes.set_ylabel("exponent α, 1–10 Hz")
    axes.set_title("F  Gain")
    axes.legend(fontsize=7.4, loc="upper right")


_FAMILY_LABELS = {
    "hyperbola": "hyperbola", "hill": "Hill", "saturating_exponential": "saturating exp.", "logarithm": "logarithm",
    "power_offset": "power, free level", "power_above_rest": "power above rest", "power": "power",
}  # fmt: skip


def _draw_ranking(axes: Axes, rows: pd.DataFrame) -> None:
    """Table: how far each family lies behind the best one (AICc), and its R2."""
    sources = list(SOURCES)
    for i, family in enumerate(_FAMILY_LABELS):
        for j, source in enumerate(sources):
            cell = rows[(rows.source == source) & (rows.family == family)]
            if cell.empty:
                text, shade = "–", 0.0
            else:
                behind, r2 = float(cell.delta_aicc.iloc[0]), float(cell.r_squared.iloc[0])
                text = f"{'best' if behind == 0 else f'{behind:.0f}' if behind >= 10 else f'{behind:.1f}'}\n{r2:.4f}"
                shade = 0.75 if behind < 2 else 0.35 if behind < 10 else 0.0
                if bool(cell.at_limit.iloc[0]):
                    text += " ◄"
            if shade:
                axes.axvspan(
                    j - 0.5, j + 0.5, ymin=1 - (i + 1) / len(_FAMILY_LABELS), ymax=1 - i / len(_FAMILY_LABELS),
                    color=GREEN, alpha=0.45 * shade, lw=0,
                )  # fmt: skip
            axes.text(j, i, text, ha="center", va="center", fontsize=7.6)
    axes.set_xlim(-0.5, len(sources) - 0.5)
    axes.set_ylim(len(_FAMILY_LABELS) - 0.5, -0.5)
    axes.set_xticks(
        range(len(sources)), ["publ.\n1–10", "wade\n1–10", "wade\n1–100", "2 syn.\n1–100", "psu\n1–100"], fontsize=7.8
    )
    axes.set_yticks(range(len(_FAMILY_LABELS)), list(_FAMILY_LABELS.values()), fontsize=8.2)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title("G  Families: AICc behind the best; R²")


def _draw_findings(axes: Axes, sentences: list[str]) -> None:
    import textwrap

    axes.axis("off")
    axes.set_title("H  What comes out")
    text = "\n\n".join("\n".join(textwrap.wrap(sentence, 52)) for sentence in sentences)
    axes.text(0.0, 1.0, text, transform=axes.transAxes, va="top", fontsize=8.4, linespacing=1.25)
