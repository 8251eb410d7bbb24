"""Estimators of the equivalent exponent, against the numbers of the published and the reproduced curve."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri, stdtrit

from biosim.registry import UnknownName
from bridge import (
    ALPHA_ESTIMATORS,
    DEFAULT_ESTIMATOR,
    AlphaError,
    Curve,
    FitError,
    estimate_all,
    estimate_alpha,
    trial_spread,
)

X = np.geomspace(1, 100, 15)


@pytest.mark.parametrize(
    ("estimator", "value", "r2"),
    [
        ("loglog_above_rest", 0.254, 0.94),
        ("nls_above_rest", 0.231, 0.94),
        ("loglog_raw", 0.103, 0.96),
        ("nls_raw", 0.100, 0.96),
    ],
)
def test_reproduced_curve(seeds32: Curve, estimator: str, value: float, r2: float) -> None:
    estimate = estimate_alpha(seeds32, estimator)
    assert estimate.value == pytest.approx(value, abs=5e-4)
    assert estimate.r_squared == pytest.approx(r2, abs=5e-3)
    assert estimate.bootstrap == "trials" and estimate.n_resamples == 1000
    assert estimate.low is not None and estimate.high is not None
    assert estimate.low < estimate.value < estimate.high
    # Averaging 32 seeds leaves little noise: the standard error of the regression is misfit, not noise.
    assert estimate.stderr is not None and estimate.high - estimate.low < estimate.stderr


@pytest.mark.parametrize(
    ("estimator", "value"),
    [("loglog_raw", 0.0534), ("nls_raw", 0.0527), ("nls_above_rest", 0.122), ("loglog_above_rest", 0.1263)],
)
def test_published_curve(fig3: Curve, estimator: str, value: float) -> None:
    estimate = estimate_alpha(fig3, estimator)
    assert estimate.value == pytest.approx(value, abs=6e-4)
    assert estimate.bootstrap == "residuals"


def test_default_is_the_regression_above_rest(seeds32: Curve) -> None:
    assert DEFAULT_ESTIMATOR == "loglog_above_rest"
    assert estimate_alpha(seeds32, n_resamples=0).value == pytest.approx(0.254, abs=5e-4)


@pytest.mark.parametrize("estimator", ALPHA_ESTIMATORS)
def test_exact_power_law_gives_its_exponent_whatever_the_estimator(estimator: str) -> None:
    rest = 0.0 if "raw" in estimator else 0.05
    curve = Curve(x=X, y=rest + 0.1 * X**0.25, resting_calcium=rest)
    estimate = estimate_alpha(curve, estimator, n_resamples=0)
    assert estimate.value == pytest.approx(0.25, rel=1e-7)
    assert (estimate.low, estimate.high, estimate.level, estimate.bootstrap) == (None, None, None, None)


def test_loglog_standard_error_against_scipy(seeds32: Curve) -> None:
    from scipy.stats import linregress

    expected = linregress(np.log(seeds32.x), np.log(seeds32.y - 0.0722))
    estimate = estimate_alpha(seeds32, n_resamples=0)
    assert estimate.value == pytest.approx(expected.slope)
    assert estimate.stderr == pytest.approx(expected.stderr)
    assert estimate.r_squared == pytest.approx(expected.rvalue**2)


def test_all_estimators_side_by_side(seeds32: Curve) -> None:
    estimates = estimate_all(seeds32, n_resamples=100)
    assert list(estimates.estimates) == list(ALPHA_ESTIMATORS) and not estimates.skipped
    table = estimates.table()
    assert table.loc["nls_offset", "at_bound"]
    assert list(table.index) == list(ALPHA_ESTIMATORS)
    assert estimates["nls_raw"].value == table.loc["nls_raw", "value"]
    assert "at its limit" in estimates.text()


def test_bootstrap_is_reproducible(seeds32: Curve) -> None:
    first, again, other = (estimate_alpha(seeds32, rng=seed) for seed in (5, 5, 6))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_interval_over_residuals_is_that_of_the_regression() -> None:
    """A straight line in the logarithms: the exact interval is slope +- t with n - 2 degrees of freedom times its error."""
    rng = np.random.default_rng(4)
    for n, tolerance in ((200, 0.05), (8, 0.15)):
        x = np.geomspace(1, 100, n)
        estimate = estimate_alpha(Curve(x=x, y=0.1 * x**0.25 * np.exp(rng.normal(0, 0.02, n))), "loglog_raw")
        assert estimate.low is not None and estimate.high is not None and estimate.stderr is not None
        half = stdtrit(n - 2, 0.975) * estimate.stderr
        assert (estimate.high - estimate.low) / 2 == pytest.approx(half, rel=tolerance)


def test_interval_over_trials_is_students_where_one_point_counts() -> None:
    """Only the spread of the last point is not small: the freedom is that of its four trials."""
    spread = np.where(X[-1] == X, 1e-3, 1e-7)
    trials = (0.1 * X**0.25)[:, None] + spread[:, None] * np.array([1.2, -0.9, 0.5, -0.8])
    one = estimate_alpha(Curve.from_trials(X, trials), "loglog_raw", n_resamples=20_000)
    centred = np.log(X) - np.log(X).mean()
    sd = centred[-1] / np.sum(centred**2) / trials[-1].mean() * trials[-1].std(ddof=1) / 2
    assert one.low is not None and one.high is not None
    # Of four trials there are 35 different resamples, so the percentiles are coarse.
    assert (one.high - one.low) / 2 == pytest.approx(stdtrit(3, 0.975) * sd, rel=0.2)
    assert (one.high - one.low) / 2 > 1.25 * ndtri(0.975) * sd


def test_spread_between_trials(seeds32: Curve) -> None:
    spread = trial_spread(seeds32)
    assert len(spread.values) == 32 and spread.n_failed == 0
    assert spread.mean == pytest.approx(0.254, abs=0.002)
    # One trial varies sqrt(32) times as much as the mean of 32, which the bootstrap interval (4 sd wide) measures.
    estimate = estimate_alpha(seeds32)
    assert estimate.low is not None and estimate.high is not None
    assert spread.sd == pytest.approx((estimate.high - estimate.low) / 3.92 * np.sqrt(32), rel=0.35)


def test_curves_an_exponent_cannot_be_read_from() -> None:
    y = 0.05 + 0.1 * X**0.25
    curve = Curve(x=X, y=y)
    with pytest.raises(AlphaError, match="loglog_above_rest needs the resting calcium"):
        estimate_alpha(curve)
    with pytest.raises(AlphaError, match=r"0\.15 uM at 1 Hz is not above resting calcium 0\.2; .*loglog_raw"):
        estimate_alpha(curve.with_resting_calcium(0.2))
    with pytest.raises(AlphaError, match="rate 0 Hz has no logarithm"):
        estimate_alpha(Curve(x=[0.0, 1, 2, 3], y=[0.1, 0.2, 0.3, 0.35]), "loglog_raw")
    with pytest.raises(AlphaError, match="is not above zero"):
        estimate_alpha(Curve(x=[1.0, 2, 3], y=[-0.1, 0.2, 0.3]), "loglog_raw")
    for estimator in ("nls_raw", "loglog_raw"):
        with pytest.raises(FitError, match=r"constant \(0.1 uM\), so the exponent is not identifiable"):
            estimate_alpha(Curve(x=X, y=np.full(15, 0.1)), estimator)
    with pytest.raises(FitError, match="level is 95"):
        estimate_alpha(curve, "loglog_raw", level=95)
    with pytest.raises(FitError, match="3 parameters"):
        estimate_alpha(Curve(x=[1.0, 2, 3], y=[0.1, 0.2, 0.25]), "nls_offset")
    with pytest.raises(UnknownName, match="did you mean 'loglog_raw'"):
        estimate_alpha(curve, "loglog_row")
    with pytest.raises(AlphaError, match="0 trials, expected at least 2"):
        trial_spread(curve)


def test_all_estimators_keep_going_without_a_resting_level() -> None:
    y = 0.05 + 0.1 * X**0.25 + np.random.default_rng(0).normal(0, 1e-3, 15)
    estimates = estimate_all(Curve(x=X, y=y), n_resamples=50)
    assert list(estimates.estimates) == ["loglog_raw", "nls_raw", "nls_offset"]
    assert "resting calcium" in estimates.skipped["nls_above_rest"]
    with pytest.raises(AlphaError, match="resting calcium"):
        estimates["nls_above_rest"]


def test_no_resamples_give_all_estimates_without_intervals(seeds32: Curve) -> None:
    plain, sampled = (estimate_all(seeds32, n_resamples=n) for n in (0, 20))
    assert list(plain.estimates) == list(ALPHA_ESTIMATORS) and not plain.skipped
    for name, estimate in plain.estimates.items():
        assert (estimate.low, estimate.high, estimate.level, estimate.bootstrap) == (None, None, None, None)
        assert estimate.n_resamples == 0
        assert (estimate.value, estimate.stderr) == (sampled[name].value, sampled[name].stderr)
    assert "[" not in plain.text()
    assert plain.records()[0]["low"] is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"n_resamples": 7},
            r"n_resamples \(--bootstraps on the command line\) is 7, expected 0 for none, or at least 20",
        ),
        ({"level": 95}, "level is 95"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_settings_are_refused_and_not_listed_as_skipped(
    seeds32: Curve, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(FitError, match=message):
        estimate_all(seeds32, **settings)  # type: ignore[arg-type]


def test_one_estimator_may_be_named_alone(seeds32: Curve) -> None:
    assert list(estimate_all(seeds32, "nls_raw", n_resamples=0).estimates) == ["nls_raw"]


def test_remedies_hold_on_the_command_line_and_in_python() -> None:
    curve = Curve(x=X, y=0.05 + 0.1 * X**0.25)
    with pytest.raises(
        AlphaError, match=r"--resting-calcium or, in Python, curve\.with_resting.*--estimator loglog_raw"
    ):
        estimate_alpha(curve)
    with pytest.raises(AlphaError, match="--estimator loglog_raw"):
        estimate_alpha(curve.with_resting_calcium(0.2))


def test_noise_larger_than_the_rise_is_reported_not_hidden() -> None:
    rise = np.array([0.001, 0.02, 0.03, 0.04])
    trials = 0.07 + rise[:, None] + np.random.default_rng(3).normal(0, [[0.004], [1e-3], [1e-3], [1e-3]], size=(4, 6))
    trials[0] += 0.0712 - trials[0].mean()
    curve = Curve.from_trials([1.0, 2, 3, 4], trials, resting_calcium=0.07)
    estimate = estimate_alpha(curve)
    assert estimate.n_failed > 50 and estimate.n_failed + estimate.n_resamples == 1000
    assert estimate.low is not None and np.isfinite(estimate.low)
