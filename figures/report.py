"""The report of a whole run: one HTML file that needs no other, readable in two minutes.

Every measured number is made from the run's own data; what disagrees with the paper is said as it is.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import fig3, learning, responses, traces
from .output import data_uri
from .style import ARM_COLOURS, ARM_LABELS, GREY

if TYPE_CHECKING:
    import xarray as xr

    from bridge import AlphaEstimate, AlphaEstimates, Comparison, MacroParameters
    from models import RunResult

# Log-log regression above rest is the one simple estimator that gives the paper's 0.25 for the simulated curve.
PAPER_ALPHA = 0.25


@dataclass(frozen=True)
class RunData:
    """What a run of the pipeline leaves behind and the report shows.

    fig3, traces : Datasets of the simulations; comparison, alphas : fits of the simulated curve; published_comparison : the
    same families on the published curve; published_alpha : the default estimator on it; parameters : one row per parameter of
    the best fit with its intervals (see `Fit.records`); runs : one record per arm and seed; reference_activation : where the
    arms' gains are equal; settings, timings : what was asked for and how long each stage took (s); kept : what each stage
    took over from an earlier start.
    """

    fig3: xr.Dataset
    traces: dict[str, xr.Dataset]
    macro: MacroParameters
    comparison: Comparison
    published_comparison: Comparison
    alphas: AlphaEstimates
    published_alpha: AlphaEstimate
    parameters: list[dict[str, Any]]
    runs: Sequence[RunResult]
    reference_activation: float
    context: int
    settings: dict[str, Any]
    timings: dict[str, float]
    kept: dict[str, list[str]]


@dataclass(frozen=True)
class ArmSummary:
    """Bits per byte of one arm over its seeds."""

    arm: str
    label: str
    colour: str
    seeds: tuple[int, ...]
    test: tuple[float, ...]
    validation: tuple[float, ...]
    n_parameters: int
    verdicts: tuple[str, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.test)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return statistics.stdev(self.test) if len(self.test) > 1 else None


@dataclass(frozen=True)
class Pair:
    """Difference in test bits per byte between two arms, seed by seed (negative: the first is better)."""

    first: str
    second: str
    differences: tuple[float, ...] = field(default=())

    @property
    def mean(self) -> float:
        return statistics.fmean(self.differences)

    @property
    def consistent(self) -> bool:
        """Whether all seeds agree about the sign."""
        return all(d < 0 for d in self.differences) or all(d > 0 for d in self.differences)

    @property
    def sentence(self) -> str:
        subject = self.first[0].upper() + self.first[1:]
        size = f"{abs(self.mean):.3f} bits per byte {'better' if self.mean < 0 else 'worse'} than {self.second}"
        listed = ", ".join(f"{d:+.3f}".replace("-", "\N{MINUS SIGN}") for d in self.differences)
        if len(self.differences) == 1:
            return f"{subject}: {size}, in one seed, which says nothing about spread"
        n = len(self.differences)
        agree = (
            f"all {n} seeds agree on the sign, as {n} seeds do by chance once in {2 ** (n - 1)}"
            if self.consistent
            else "the seeds disagree on the sign"
        )
        return f"{subject}: {size} on average (per seed {listed}; {agree})"


def summarise(runs: Sequence[RunResult]) -> list[ArmSummary]:
    """One summary per arm, in the order the arms first occur."""
    arms: dict[str, list[RunResult]] = {}
    for run in runs:
        arms.setdefault(run.arm, []).append(run)
    return [
        ArmSummary(
            arm=arm,
            label=ARM_LABELS.get(arm, arm),
            colour=ARM_COLOURS.get(arm, GREY),
            seeds=tuple(run.seed for run in group),
            test=tuple(run.test_bits_per_byte for run in group),
            validation=tuple(run.validation_bits_per_byte for run in group),
            n_parameters=group[0].n_parameters,
            verdicts=tuple(run.causality.verdict for run in group if run.causality),
        )
        for arm, group in arms.items()
    ]


def pairs(summaries: Sequence[ArmSummary]) -> list[Pair]:
    """The comparisons the run is about: every response against alpha = 0.25 and against no attention."""
    by_arm = {summary.arm: summary for summary in summaries}
    wanted = (("fitted", "alpha025"), ("alpha1_matched", "alpha025"), ("fitted", "none"), ("alpha025", "none"))
    out = []
    for first, second in wanted:
        if first in by_arm and second in by_arm:
            a, b = (dict(zip(by_arm[arm].seeds, by_arm[arm].test, strict=True)) for arm in (first, second))
            common = sorted(a.keys() & b.keys())
            if common:
                differences = tuple(a[s] - b[s] for s in common)
                out.append(Pair(by_arm[first].label, by_arm[second].label, differences))
    return out


def draw(data: RunData) -> dict[str, str]:
    """The figures of the report as data addresses, by name."""
    table = fig3.tidy(data.fig3)
    end = 2.0 * data.reference_activation
    return {
        "fig3": data_uri(fig3.draw(table)),
        "traces": data_uri(traces.draw(traces.tidy(data.traces))),
        "responses": data_uri(responses.draw(responses.tidy(data.macro, data.reference_activation, end))),
        "learning": data_uri(learning.draw(learning.tidy(data.runs))),
    }


def write(data: RunData, path: str | Path, drawn: dict[str, str] | None = None) -> Path:
    """Render the report to `path`, whole or not at all; `drawn` are the figures of `draw`, if they are made already."""
    from biosim.atomic import write_text

    return write_text(path, render(data, drawn))


def render(data: RunData, drawn: dict[str, str] | None = None) -> str:
    """The report as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("figures", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["micro"] = lambda unit: unit.replace("uM", "µM")
    environment.filters["zip"] = lambda a, b: list(zip(a, b, strict=True))
    return environment.get_template("report.html").render(figures=drawn or draw(data), **_context(data))


def _context(data: RunData) -> dict[str, Any]:
    from biosim import provenance

    table = fig3.tidy(data.fig3)
    summaries = summarise(data.runs)
    best = data.comparison.best
    alpha = data.macro.alpha
    rmse = fig3.rmse(table)
    both = table.dropna()
    simulated = provenance(data.fig3)
    first = data.runs[0] if data.runs else None
    ranking = data.comparison.records()
    return {
        "rmse": rmse,
        "rise": float(both.calcium_um_mean.iloc[-1] - both.calcium_um_mean.iloc[0]),
        "published_rise": float(both.published_calcium.iloc[-1] - both.published_calcium.iloc[0]),
        "constant_rmse": float(both.published_calcium.std(ddof=0)),
        "largest_esp": float(data.fig3.esp_mean.max()),
        "trials": int(data.fig3.sizes["trial"]),
        "table": table.to_dict("records"),
        "alpha": alpha,
        "paper_alpha": PAPER_ALPHA,
        "ranking": [
            row
            | {
                "shape": _shape(data.comparison, str(row["family"])),
                "published_r2": _published_r2(data, str(row["family"])),
            }
            for row in ranking
        ],
        "best": best,
        "hyperbola": data.comparison.fits.get("hyperbola"),
        "power": data.comparison.fits.get("power_above_rest"),
        "alphas": data.alphas.records(),
        "alphas_skipped": dict(data.alphas.skipped),
        "alpha_range": _range(estimate.value for estimate in data.alphas.estimates.values()),
        "published_alpha": data.published_alpha,
        "fit_parameters": data.parameters,
        "sets": [_set_summary(name, dataset) for name, dataset in data.traces.items()],
        "operating_points": _operating_points(data.runs),
        "gains": _gains(data.runs),
        "fitted_from_Hz": _lowest_rate(data),
        "rate_per_activation": data.macro.activation.rate_per_activation_Hz,
        "extrapolated": _extrapolated_bytes(data),
        "estimator_descriptions": _estimators(),
        "summaries": summaries,
        "pairs": pairs(summaries),
        "causal": all(v == "causal" for s in summaries for v in s.verdicts),
        "largest_change": max(
            (run.causality.max_logit_change for run in data.runs if run.causality), default=float("nan")
        ),
        "largest_mismatch": max(
            (run.causality.chunked_vs_step for run in data.runs if run.causality), default=float("nan")
        ),
        "positions": len(first.causality.checked_positions) if first and first.causality else 0,
        "first": first,
        "macro": data.macro,
        "macro_digest": data.macro.digest,
        "reference_activation": data.reference_activation,
        "context": data.context,
        "settings": data.settings,
        "timings": data.timings,
        "kept": data.kept,
        "resumed": [
            f"{run.arm}-seed{run.seed} at step {run.resumed_from_step}"
            for run in data.runs
            if run.resumed_from_step is not None
        ],
        "simulated": simulated,
        "parameters": simulated["parameters"],
        "config": json.dumps(first.config, indent=2, sort_keys=True) if first else "",
    }


def _shape(comparison: Comparison, family: str) -> str:
    fit = comparison.fits[family]
    estimate = fit.parameters[fit.family.nonlinear]
    unit = "" if estimate.unit == "1" else f" {estimate.unit}"
    bound = f" (at its {estimate.at_bound} limit)" if estimate.at_bound else ""
    low = "open" if estimate.low is None else f"{estimate.low:.3g}"
    high = "open" if estimate.high is None else f"{estimate.high:.3g}"
    return f"{estimate.name} = {estimate.value:.4g}{unit} [{low}, {high}]{bound}"


def _range(values: Iterable[float]) -> tuple[float, float]:
    listed = list(values)
    return min(listed), max(listed)


def _span(values: Iterable[float]) -> str:
    low, high = (f"{value:.0f}" for value in _range(values))
    return low if low == high else f"{low} to {high}"


def _set_summary(name: str, dataset: xr.Dataset) -> dict[str, Any]:
    """What one trace did about the threshold of glutamate release."""
    from biosim import provenance

    parameters = provenance(dataset)["parameters"]
    calcium = dataset.calcium.values.ravel()
    threshold = float(parameters["Ca_th"]["value"])
    return {
        "name": name,
        "peak": float(calcium.max()),
        "threshold": threshold,
        "releases": bool(calcium.max() > threshold),
        "esp": float(dataset.esp.max()),
        "K_AG": f"{parameters['K_AG']['value']:g} {parameters['K_AG']['unit']}",
    }


def _operating_points(runs: Sequence[RunResult]) -> dict[str, Any] | None:
    """How far the activation moved from where gains were matched, over all runs that have one."""
    points = [run.operating_point for run in runs if run.operating_point is not None]
    if not points:
        return None
    return {
        "tokens": points[0].tokens,
        "start": _span(point.activation_start for point in points),
        "end": _span(point.activation_end for point in points),
    }


def _gains(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Range of the learned gains per arm."""
    arms: dict[str, list[float]] = {}
    for run in runs:
        if run.operating_point is not None and run.operating_point.gains is not None:
            heads = [abs(gain) for layer in run.operating_point.gains for gain in layer]
            arms.setdefault(run.arm, []).extend(heads)
    return [
        {"label": ARM_LABELS.get(arm, arm), "mean": statistics.fmean(g), "low": min(g), "high": max(g)}
        for arm, g in arms.items()
    ]


def _lowest_rate(data: RunData) -> float:
    return float(data.fig3.input_rate.min())


def _extrapolated_bytes(data: RunData) -> int:
    """How many bytes from the start of a context lie, on average at the start of training, below the lowest fitted rate."""
    lowest = _lowest_rate(data) / data.macro.activation.rate_per_activation_Hz
    per_byte = data.reference_activation / max(data.context // 2, 1)
    return min(data.context, math.ceil(lowest / per_byte) - 1)


def _published_r2(data: RunData, family: str) -> float | None:
    fit = data.published_comparison.fits.get(family)
    return None if fit is None else fit.r_squared


def _estimators() -> dict[str, str]:
    from bridge import ALPHA_ESTIMATORS

    return {name: estimator.description for name, estimator in ALPHA_ESTIMATORS.items()}
