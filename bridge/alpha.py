"""Estimators of the equivalent exponent alpha of a response curve.

None of the curves that the synapse produces is a power law, so "the exponent" depends on how it is estimated, and it
measures gain rather than an exponent of the biology. The estimators therefore stand side by side, each with its
goodness of fit. The one that returns about 0.25 for the simulated curve, the log-log regression of the rise above
resting calcium, is the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from biosim.registry import choose

from .checks import FitError, check_level, check_resamples, check_varies, random_generator, several
from .curves import Array, family_named
from .fitting import fit
from .measure import Curve, expect_curve
from .resampling import Kind, bootstrap, resample_residuals, resample_trials, stretched_interval, trial_variances
from .weights import effective_freedom

if TYPE_CHECKING:
    import pandas as pd


class AlphaError(FitError):
    """An exponent that this estimator cannot read from this curve."""


@dataclass(frozen=True)
class AlphaEstimator:
    """One way to read an exponent off a curve.

    method : "loglog" (linear regression of log y on log f) or "nls" (nonlinear least squares of y).
    family : the power-law family it assumes; for "loglog" it only says whether resting calcium is subtracted.
    """

    name: str
    description: str
    method: Literal["loglog", "nls"]
    family: str


ALPHA_ESTIMATORS: dict[str, AlphaEstimator] = {
    estimator.name: estimator
    for estimator in (
        AlphaEstimator(
            "loglog_above_rest",
            "slope of log(Ca - C_rest) on log f: relative errors of the rise above rest count equally",
            "loglog",
            "power_above_rest",
        ),
        AlphaEstimator(
            "nls_above_rest",
            "least squares of Ca = C_rest + b f^alpha: absolute errors count equally",
            "nls",
            "power_above_rest",
        ),
        AlphaEstimator("loglog_raw", "slope of log Ca on log f, nothing subtracted", "loglog", "power"),
        AlphaEstimator("nls_raw", "least squares of Ca = b f^alpha, nothing subtracted", "nls", "power"),
        AlphaEstimator(
            "nls_offset",
            "least squares of Ca = c + b f^alpha with a free level c; often not identifiable",
            "nls",
            "power_offset",
        ),
    )
}
DEFAULT_ESTIMATOR = "loglog_above_rest"


@dataclass(frozen=True)
class AlphaEstimate:
    """An exponent with its uncertainty.

    stderr : standard error of the regression or fit; None for an exponent at its limit.
    r_squared : goodness of fit, in log space for "loglog" estimators and of calcium itself for "nls".
    low, high, level : bootstrap interval (stretched percentiles, see `bridge.resampling`); None if no bootstrap was asked for.
    bootstrap : what was resampled, "trials" or "residuals". n_resamples : resamples behind the interval; n_failed :
        resamples without a positive rise, left out of it.
    """

    estimator: str
    value: float
    stderr: float | None
    r_squared: float
    at_bound: bool
    low: float | None = None
    high: float | None = None
    level: float | None = None
    bootstrap: Kind | None = None
    n_resamples: int = 0
    n_failed: int = 0

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.4f}, {self.high:.4f}]"
        bound = " at its limit" if self.at_bound else ""
        return f"{self.estimator}: alpha = {self.value:.4f}{interval}{bound}, R2 {self.r_squared:.3f}"


@dataclass(frozen=True)
class AlphaEstimates:
    """All estimators applied to one curve; `skipped` holds those that do not apply, with the reason."""

    estimates: Mapping[str, AlphaEstimate]
    skipped: Mapping[str, str]

    def __getitem__(self, name: str) -> AlphaEstimate:
        if name in self.skipped:
            raise AlphaError(self.skipped[name])
        return self.estimates[choose("alpha estimator", name, self.estimates)]

    def records(self) -> list[dict[str, object]]:
        """One row per estimator: plain values, ready for JSON or a table."""
        return [dict(vars(estimate)) for estimate in self.estimates.values()]

    def table(self) -> pd.DataFrame:
        """One row per estimator."""
        import pandas as pd

        return pd.DataFrame.from_records(self.records()).set_index("estimator")

    def text(self) -> str:
        lines = [str(estimate) for estimate in self.estimates.values()]
        lines.extend(f"{name}: skipped, {reason}" for name, reason in self.skipped.items())
        return "\n".join(lines)


def estimate_alpha(
    curve: Curve,
    estimator: str = DEFAULT_ESTIMATOR,
    *,
    n_resamples: int = 1000,
    rng: np.random.Generator | int = 0,
    level: float = 0.95,
) -> AlphaEstimate:
    """Equivalent exponent of `curve` by one estimator, with a bootstrap interval (none if `n_resamples` is 0).

    Trials are resampled at each rate if the curve has at least two, residuals of the fit (for log-log estimators those of
    the logarithms) otherwise; the estimate says which, and `Bootstrap` what each assumes: trials independent between
    rates, or residuals independent between points and alike. The interval over trials is that of the noise between them;
    `stderr` also holds the misfit of the power law. The curves are no power laws, so neighbouring residuals correlate,
    and both `stderr` and an interval over residuals are too narrow to that extent.

    rng : a NumPy generator, which is advanced, or a seed.

    Raises
    ------
    UnknownName
        Unknown estimator.
    CurveError
        `curve` is no Curve.
    AlphaError
        The estimator needs the resting calcium and the curve has none, a rate is 0 for a log-log estimator, or
        calcium does not rise above the subtracted level somewhere.
    FitError
        The curve is constant or too short for a least-squares fit; an impossible level, seed or number of resamples
        (1 to 19, above 100 000). AlphaError is a FitError too.
    """
    chosen = ALPHA_ESTIMATORS[choose("alpha estimator", estimator, ALPHA_ESTIMATORS)]
    curve = expect_curve(curve)
    check_resamples(n_resamples, none_allowed=True)
    check_level(level)
    generator = random_generator(rng)
    _check(curve, chosen)
    method = _loglog if chosen.method == "loglog" else _nls
    return method(curve, chosen, n_resamples, generator, level)


def estimate_all(
    curve: Curve,
    estimators: Iterable[str] | str | None = None,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> AlphaEstimates:
    """All estimators (or those named) side by side, each bootstrapped from the same `seed`.

    Estimators that do not apply to the curve are listed as skipped, with the reason. No intervals if `n_resamples` is 0.

    Raises
    ------
    UnknownName
        Unknown estimator.
    CurveError
        `curve` is no Curve.
    FitError
        An impossible level, seed or number of resamples, or a constant curve, which no estimator can use.
    """
    curve = expect_curve(curve)
    check_resamples(n_resamples, none_allowed=True)
    check_level(level)
    random_generator(seed)
    check_varies(curve, "the exponent is")
    asked = several("estimators", ALPHA_ESTIMATORS if estimators is None else estimators)
    names = [choose("alpha estimator", name, ALPHA_ESTIMATORS) for name in asked]
    estimates: dict[str, AlphaEstimate] = {}
    skipped: dict[str, str] = {}
    for name in names:
        try:
            estimates[name] = estimate_alpha(curve, name, n_resamples=n_resamples, rng=seed, level=level)
        except FitError as error:
            skipped[name] = str(error)
    return AlphaEstimates(estimates, skipped)


@dataclass(frozen=True, eq=False)
class TrialSpread:
    """The exponent of each single trial, taken as a curve of its own.

    values : [n_usable]; mean and sd over them; n_failed : trials without a positive rise, left out.
    """

    estimator: str
    values: Array
    mean: float
    sd: float
    n_failed: int


def trial_spread(curve: Curve, estimator: str = DEFAULT_ESTIMATOR) -> TrialSpread:
    """Spread of alpha between trials (seeds): what one experiment would report instead of the mean of many.

    Raises
    ------
    AlphaError
        Fewer than two trials, or fewer than two from which the exponent can be estimated.
    """
    choose("alpha estimator", estimator, ALPHA_ESTIMATORS)
    curve = expect_curve(curve)
    if curve.trials is None or curve.n_trials < 2:
        raise AlphaError(f"curve has {curve.n_trials} trials, expected at least 2; simulate more trials per rate")
    values = []
    for column in curve.trials.T:
        single = Curve(x=curve.x, y=column, resting_calcium=curve.resting_calcium, source=curve.source)
        try:
            values.append(estimate_alpha(single, estimator, n_resamples=0).value)
        except FitError:
            continue
    if len(values) < 2:
        raise AlphaError(
            f"{estimator}: {len(values)} of {curve.n_trials} trials rise above the subtracted calcium level, at "
            "least 2 are needed; use an estimator on raw calcium"
        )
    array = np.array(values)
    return TrialSpread(estimator, array, float(array.mean()), float(array.std(ddof=1)), curve.n_trials - len(values))


def _check(curve: Curve, estimator: AlphaEstimator) -> None:
    """Refuse, by name, a curve the estimator cannot be applied to."""
    subtracts = estimator.family == "power_above_rest"
    if subtracts and curve.resting_calcium is None:
        raise AlphaError(
            f"{estimator.name} needs the resting calcium and the curve has none; give it (--resting-calcium or, in "
            "Python, curve.with_resting_calcium(value in uM)) or use another estimator (--estimator loglog_raw)"
        )
    check_varies(curve, "the exponent is")
    if estimator.method == "loglog" and curve.x[0] == 0:
        raise AlphaError(f"{estimator.name}: the rate 0 {curve.x_unit} has no logarithm; leave that point out")
    level = _subtracted_level(curve, estimator)
    if (subtracts or estimator.method == "loglog") and np.any(curve.y <= level):
        i = int(np.argmax(curve.y <= level))
        what = f"resting calcium {level:g}" if subtracts else "zero"
        raise AlphaError(
            f"{estimator.name}: {curve.y_name} {curve.y[i]:g} {curve.y_unit} at {curve.x[i]:g} {curve.x_unit} is "
            f"not above {what}; correct the resting calcium, leave the point out or use another estimator (--estimator "
            f"{'loglog_raw' if subtracts else 'nls_offset'})"
        )


def _subtracted_level(curve: Curve, estimator: AlphaEstimator) -> float:
    """Calcium (uM) that is subtracted before the logarithm."""
    return family_named(estimator.family).fixed_offset(curve.resting_calcium)


def _loglog(
    curve: Curve, estimator: AlphaEstimator, n_resamples: int, generator: np.random.Generator, level: float
) -> AlphaEstimate:
    """Slope of the log-log regression, with the interval of the slopes of those resampled curves that rise."""
    subtracted = _subtracted_level(curve, estimator)
    log_f = np.log(curve.x)
    centred = log_f - log_f.mean()
    norm = np.sum(centred**2)
    rise = curve.y - subtracted
    log_y = np.log(rise)
    slope = float(centred @ log_y / norm)
    fitted = log_y.mean() + slope * centred
    residuals = log_y - fitted
    freedom = float(curve.n_points - 2)
    residual_sum = float(np.sum(residuals**2))
    total = float(np.sum((log_y - log_y.mean()) ** 2))
    point = AlphaEstimate(
        estimator=estimator.name,
        value=slope,
        stderr=float(np.sqrt(residual_sum / freedom / norm)),
        r_squared=1 - residual_sum / total,
        at_bound=False,
    )
    if not n_resamples:
        return point
    if curve.n_trials > 1:
        resampled = resample_trials(curve, n_resamples, generator) - subtracted
        resampled = resampled[np.all(resampled > 0, axis=1)]
        if len(resampled) < max(20, n_resamples // 2):
            raise AlphaError(
                f"{estimator.name}: only {len(resampled)} of {n_resamples} bootstrap resamples rise above the subtracted "
                "calcium level (at least 20 and half of them are needed); add trials or use an estimator on raw calcium "
                "(--estimator loglog_raw)"
            )
        slopes = np.log(resampled) @ centred / norm
        parts = (centred / rise / norm) ** 2 * trial_variances(curve)
        freedom = float(effective_freedom(parts, curve.n_trials - 1))
    else:
        drawn = resample_residuals(residuals, curve.n_points - 2, n_resamples, generator)
        slopes = (fitted + drawn) @ centred / norm
    ends = stretched_interval(slopes, level, freedom)
    return _with_interval(point, curve, ends, level, len(slopes), n_resamples)


def _nls(
    curve: Curve, estimator: AlphaEstimator, n_resamples: int, generator: np.random.Generator, level: float
) -> AlphaEstimate:
    """Exponent of the least-squares fit, with its bootstrap interval."""
    fitted = fit(curve, estimator.family)
    exponent = fitted.parameters["alpha"]
    point = AlphaEstimate(
        estimator=estimator.name,
        value=exponent.value,
        stderr=exponent.stderr,
        r_squared=fitted.r_squared,
        at_bound=exponent.at_bound is not None,
    )
    if not n_resamples:
        return point
    sampled = bootstrap(fitted, n_resamples=n_resamples, rng=generator, level=level)
    return _with_interval(point, curve, sampled.interval("alpha"), level, n_resamples, n_resamples)


def _with_interval(
    point: AlphaEstimate, curve: Curve, ends: tuple[float, float], level: float, n_usable: int, n_resamples: int
) -> AlphaEstimate:
    return replace(
        point,
        low=ends[0],
        high=ends[1],
        level=level,
        bootstrap="trials" if curve.n_trials > 1 else "residuals",
        n_resamples=n_usable,
        n_failed=n_resamples - n_usable,
    )
