"""The report of a whole run: one HTML file that needs no other, readable in two minutes.

Every measured number is made from the run's own data; what disagrees with the paper is said as it is.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import fig3, learning, responses, traces
from .output import data_uri
from .style import ARM_COLOURS, ARM_LABELS, GREY

if TYPE_CHECKING:
    import xarray as xr

    from bridge import AlphaEstimates, Comparison, MacroParameters
    from models import RunResult

# Log-log regression above rest is the one simple estimator that gives the paper's 0.25 for the simulated curve.
PAPER_ALPHA = 0.25


@dataclass(frozen=True)
class RunData:
    """What a run of the pipeline leaves behind and the report shows.

    fig3, traces : Datasets of the simulations; comparison, alphas : fits of the simulated curve; published_comparison : the
    same families on the published curve; runs : one record per arm and seed; reference_activation : where the arms' gains
    are equal; settings, timings : what was asked for and how long each stage took (s).
    """

    fig3: xr.Dataset
    traces: dict[str, xr.Dataset]
    macro: MacroParameters
    comparison: Comparison
    published_comparison: Comparison
    alphas: AlphaEstimates
    runs: Sequence[RunResult]
    reference_activation: float
    context: int
    settings: dict[str, Any]
    timings: dict[str, float]
    reused: tuple[str, ...] = ()


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
        agree = "all seeds agree on the sign" if self.consistent else "the seeds disagree on the sign"
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
            verdicts=tuple(run.causality.verdict for run in group),
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


def write(data: RunData, path: str | Path) -> Path:
    """Render the report to `path`, whole or not at all."""
    from biosim.atomic import write_text

    return write_text(path, render(data))


def render(data: RunData) -> str:
    """The report as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("figures", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["zip"] = lambda a, b: list(zip(a, b, strict=True))
    return environment.get_template("report.html").render(**_context(data))


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
        "figures": {
            "fig3": data_uri(fig3.draw(table)),
            "traces": data_uri(traces.draw(traces.tidy(data.traces))),
            "responses": data_uri(
                responses.draw(responses.tidy(data.macro, data.reference_activation, float(data.context)))
            ),
            "learning": data_uri(learning.draw(learning.tidy(data.runs))),
        },
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
        "estimator_descriptions": _estimators(),
        "summaries": summaries,
        "pairs": pairs(summaries),
        "causal": all(v == "causal" for s in summaries for v in s.verdicts),
        "largest_change": max((run.causality.max_logit_change for run in data.runs), default=float("nan")),
        "largest_mismatch": max((run.causality.chunked_vs_step for run in data.runs), default=float("nan")),
        "positions": len(first.causality.checked_positions) if first else 0,
        "first": first,
        "macro": data.macro,
        "macro_digest": data.macro.digest,
        "reference_activation": data.reference_activation,
        "context": data.context,
        "settings": data.settings,
        "timings": data.timings,
        "reused": data.reused,
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


def _published_r2(data: RunData, family: str) -> float | None:
    fit = data.published_comparison.fits.get(family)
    return None if fit is None else fit.r_squared


def _estimators() -> dict[str, str]:
    from bridge import ALPHA_ESTIMATORS

    return {name: estimator.description for name, estimator in ALPHA_ESTIMATORS.items()}
