"""Bootstrap and comparison."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from biosim.registry import UnknownName
from bridge import FAMILIES, Curve, Fit, FitError, bootstrap, compare, fit
from bridge.resampling import resample_residuals, resample_trials

X = np.geomspace(0.5, 20, 12)


def test_bootstrap_is_reproducible_by_seed_and_by_generator(seeds32: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    first, again = (bootstrap(fitted, n_resamples=50, rng=3) for _ in range(2))
    other = bootstrap(fitted, n_resamples=50, rng=np.random.default_rng(3))
    for name in ("c", "b", "k"):
        np.testing.assert_array_equal(first.samples[name], again.samples[name])
        np.testing.assert_array_equal(first.samples[name], other.samples[name])
    assert not np.array_equal(first.samples["k"], bootstrap(fitted, n_resamples=50, rng=4).samples["k"])


def test_resampled_means_vary_like_the_mean_of_the_trials() -> None:
    trials = np.random.default_rng(0).normal(1.0, 0.1, size=(3, 4))
    means = resample_trials(Curve.from_trials([1.0, 2, 3], trials), 40000, np.random.default_rng(1))
    np.testing.assert_allclose(means.mean(axis=0), trials.mean(axis=1), atol=2e-3)
    np.testing.assert_allclose(means.std(axis=0), trials.std(axis=1, ddof=1) / 2, rtol=0.02)


def test_bootstrap_over_trials_spreads_like_independent_experiments() -> None:
    true = {"c": 0.07, "b": 0.075, "k": 2.0}
    clean = FAMILIES["hyperbola"].evaluate(X, true)

    def experiment(seed: int) -> Curve:
        return Curve.from_trials(X, clean[:, None] + np.random.default_rng(seed).normal(0, 2e-3, size=(len(X), 8)))

    refits = [fit(experiment(seed), "hyperbola", n_starts=0).values["k"] for seed in range(100, 180)]
    spreads = [np.std(bootstrap(fit(experiment(s), "hyperbola"), n_resamples=300).samples["k"]) for s in range(6)]
    # The spread of 80 refits is known to 8 %, that of one bootstrap with 8 trials varies more: hence the mean of six.
    assert np.mean(spreads) == pytest.approx(np.std(refits, ddof=1), rel=0.3)


def test_bootstrap_over_residuals_agrees_with_the_standard_error() -> None:
    y = 0.1 * X**0.3 + np.random.default_rng(6).normal(0, 1e-3, len(X))
    fitted = fit(Curve(x=X, y=y), "power")
    resampled = bootstrap(fitted, n_resamples=2000)
    assert resampled.kind == "residuals"
    assert np.std(resampled.samples["alpha"]) == pytest.approx(fitted.parameters["alpha"].stderr, rel=0.06)
    low, high = resampled.interval("alpha")
    assert low < fitted.values["alpha"] < high
    lower, upper = resampled.band(X)
    assert np.all(lower < fitted.predict(X)) and np.all(fitted.predict(X) < upper)


def test_resampled_residuals_have_the_variance_of_the_errors() -> None:
    residuals = np.array([1.0, -2.0, 0.5, 0.5])
    drawn = resample_residuals(residuals, freedom=2, n_resamples=50000, generator=np.random.default_rng(2))
    assert np.mean(drawn) == pytest.approx(0, abs=0.02)
    assert np.var(drawn) == pytest.approx(np.sum(residuals**2) / 2, rel=0.02)


def test_each_bootstrap_refit_is_a_least_squares_fit(seeds32: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    samples = bootstrap(fitted, n_resamples=20, rng=9).samples
    means = resample_trials(seeds32, 20, np.random.default_rng(9))
    for i in range(20):
        refit = fit(Curve(x=seeds32.x, y=means[i]), "hyperbola", n_starts=0)
        assert {name: samples[name][i] for name in samples} == pytest.approx(refit.values, rel=1e-6)


def test_bootstrap_says_how_often_it_ran_to_a_limit(fig3: Curve) -> None:
    assert bootstrap(fit(fig3, "power_offset"), n_resamples=100).at_bound > 0.2
    assert bootstrap(fit(fig3, "hyperbola"), n_resamples=100).at_bound == 0


def test_too_few_resamples_are_refused(fig3: Curve) -> None:
    fitted = fit(fig3, "power")
    for n in (5, 0, -1, 10**6, 20.5, math.nan, True, "a", None):
        with pytest.raises(
            FitError, match=r"n_resamples \(--bootstraps .*\) is .*, expected at least 20 and at most 100000"
        ):
            bootstrap(fitted, n_resamples=n)  # type: ignore[arg-type]


def test_report_and_records_show_both_intervals(seeds32: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    sampled = bootstrap(fitted, n_resamples=60, level=0.9)
    rows = fitted.records(sampled)
    assert [row["parameter"] for row in rows] == ["c", "b", "k"]
    for row in rows:
        estimate = fitted.parameters[str(row["parameter"])]
        assert (row["value"], row["unit"], row["stderr"]) == (estimate.value, estimate.unit, estimate.stderr)
        assert (row["fit_low"], row["fit_high"], row["at_bound"]) == (estimate.low, estimate.high, None)
        low, high = np.quantile(sampled.samples[estimate.name], [0.05, 0.95])
        assert (row["bootstrap_low"], row["bootstrap_high"]) == pytest.approx((low, high))
    assert json.loads(json.dumps(rows)) == rows
    text, low_k, high_k = fitted.report(bootstrap=sampled), *sampled.interval("k")
    line = next(line for line in text.splitlines() if line.startswith("  k "))
    k = fitted.parameters["k"]
    assert f"[{k.low:.4g}, {k.high:.4g}]" in line and f"bootstrap [{low_k:.4g}, {high_k:.4g}] Hz" in line
    assert "0.95 of the fit and its profile; bootstrap 0.9 of 60 refits with resampled trials" in text
    # Without a bootstrap nothing is said about one.
    assert "bootstrap" not in fitted.report()
    assert all(row["bootstrap_low"] is None and row["bootstrap_high"] is None for row in fitted.records())


def test_report_says_how_many_refits_ran_to_a_limit(fig3: Curve) -> None:
    fitted = fit(fig3, "power_offset")
    sampled = bootstrap(fitted, n_resamples=100)
    assert f"{sampled.at_bound:.1%} of them at a limit" in fitted.report(sampled)
    row = next(row for row in fitted.records(sampled) if row["parameter"] == "alpha")
    assert row["at_bound"] == "lower" and row["fit_low"] is None and row["bootstrap_low"] == 1e-3


def test_bootstrap_of_another_family_is_refused(seeds32: Curve) -> None:
    other = bootstrap(fit(seeds32, "power"), n_resamples=20)
    for method in (fit(seeds32, "hyperbola").report, fit(seeds32, "hyperbola").records):
        with pytest.raises(
            FitError, match=r"bootstrap is of family 'power' and the fit of 'hyperbola'; bootstrap this"
        ):
            method(other)
    with pytest.raises(UnknownName, match=r"unknown parameter of family 'power' 'k': .*choose from b, alpha"):
        other.interval("k")
    with pytest.raises(FitError, match="band: rates must be finite"):
        other.band([1.0, np.inf])
    with pytest.raises(FitError, match="expected a Fit, found Comparison"):
        bootstrap(compare(seeds32, "power"))  # type: ignore[arg-type]


def test_correlated_errors_make_the_residual_bootstrap_too_sure() -> None:
    """What the docstring warns of: neighbours that err alike are counted as independent."""
    x = np.linspace(1, 10, 60)
    kernel = np.exp(-0.5 * (np.arange(-15, 16) / 5) ** 2)

    def refit(seed: int) -> Fit:
        white = np.random.default_rng(seed).normal(size=len(x) + 30)
        smooth = np.convolve(white, kernel / np.linalg.norm(kernel), mode="valid")
        return fit(Curve(x=x, y=0.1 * x**0.3 + 1e-3 * smooth), "power", n_starts=0)

    refits = [refit(seed) for seed in range(40)]
    true_spread = np.std([fitted.values["alpha"] for fitted in refits], ddof=1)
    believed = np.mean([np.std(bootstrap(fitted, n_resamples=100).samples["alpha"]) for fitted in refits])
    assert believed < 0.6 * true_spread
    # Every one of them says so.
    assert all(any("neighbouring residuals correlate" in note for note in fitted.notes) for fitted in refits)


def test_kind_of_bootstrap_can_be_chosen(seeds32: Curve, fig3: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    assert bootstrap(fitted, n_resamples=20).kind == bootstrap(fitted, n_resamples=20, kind="trials").kind == "trials"
    residuals = bootstrap(fitted, n_resamples=400, kind="residuals")
    assert residuals.kind == "residuals"
    # Over residuals the misfit is part of the errors, as in the standard error; over trials it is not.
    assert np.std(residuals.samples["k"]) == pytest.approx(fitted.parameters["k"].stderr, rel=0.15)
    with pytest.raises(FitError, match="0 trials, expected at least 2 to resample"):
        bootstrap(fit(fig3, "power"), n_resamples=20, kind="trials")
    with pytest.raises(UnknownName, match="unknown kind of bootstrap 'trial': did you mean 'trials'"):
        bootstrap(fitted, n_resamples=20, kind="trial")  # type: ignore[arg-type]


def test_single_trial_falls_back_to_residuals() -> None:
    y = 0.1 * X**0.3 + np.random.default_rng(6).normal(0, 1e-3, len(X))
    assert bootstrap(fit(Curve.from_trials(X, y[:, None]), "power"), n_resamples=20).kind == "residuals"


def test_comparison_takes_the_hyperbola(fig3: Curve, seeds32: Curve) -> None:
    for curve in (fig3, seeds32):
        comparison = compare(curve)
        # Hill, which contains it, is not better by as much as its further parameter costs.
        assert comparison.best.family.name == "hyperbola"
        assert set(list(comparison.fits)[:2]) == {"hyperbola", "hill"}
        assert abs(comparison.fits["hill"].aicc - comparison.fits["hyperbola"].aicc) < 2
        low, high = (getattr(comparison.fits["hill"].profiles["n"], side) for side in ("low", "high"))
        assert low < 1.1 < high
        assert set(comparison.fits) == set(FAMILIES)
        assert sum(comparison.weights.values()) == pytest.approx(1)
        table = comparison.table()
        assert list(table.index) == list(comparison.fits)
        assert table["aicc"].is_monotonic_increasing
        assert table.loc["power_offset", "at_bound"]
        text = comparison.text()
        assert "at its lower limit" in text and "effective parameters" in text
        assert "taken: hyperbola, the simplest within 2 of the lowest AICc" in text


def test_best_is_the_simplest_of_those_with_equal_support(seeds32: Curve) -> None:
    comparison = compare(seeds32, ["hill", "hyperbola", "power"])
    assert [row["family"] for row in comparison.records()] == ["hill", "hyperbola", "power"]
    assert comparison.best.family.name == "hyperbola"
    assert compare(seeds32, ["hill", "power"]).best.family.name == "hill"


def test_cross_validation_sees_what_the_criterion_does_not(seeds32: Curve) -> None:
    """Ten points: Hill has the lower AICc and predicts points it has not seen worse than the hyperbola."""
    comparison = compare(seeds32)
    assert comparison.fits["hill"].aicc < comparison.fits["hyperbola"].aicc
    assert comparison.cross_validated["hill"] > 1.5 * comparison.cross_validated["hyperbola"]
    assert "CV uM" in comparison.text()


@pytest.mark.parametrize(
    "name", ["power", "hyperbola", "logarithm", "power_above_rest", "hill", "saturating_exponential"]
)
def test_comparison_finds_the_family_that_made_the_curve(name: str) -> None:
    family = FAMILIES[name]
    values = {"c": 0.05, "b": 0.06, family.nonlinear: 0.35 if family.nonlinear == "alpha" else 1.5, "n": 2.0}
    x = np.geomspace(0.2, 60, 30)
    y = family.evaluate(x, values, 0.0722) + np.random.default_rng(7).normal(0, 2e-4, len(x))
    assert compare(Curve(x=x, y=y, resting_calcium=0.0722)).best.family.name == name


def test_akaike_weights_follow_from_the_differences(fig3: Curve) -> None:
    comparison = compare(fig3, ["power", "logarithm", "power_offset"])
    a, b = comparison.fits["power_offset"], comparison.fits["logarithm"]
    ratio = comparison.weights["logarithm"] / comparison.weights["power_offset"]
    assert ratio == pytest.approx(math.exp((a.aicc - b.aicc) / 2))


def test_families_that_do_not_apply_are_skipped_with_the_reason() -> None:
    comparison = compare(Curve(x=[1.0, 2, 3], y=[0.1, 0.12, 0.13]))
    assert list(comparison.fits) == ["power"]
    assert "resting calcium" in comparison.skipped["power_above_rest"]
    assert "3 parameters and the curve 3 points" in comparison.skipped["hyperbola"]
    assert "skipped" in comparison.text()
    with pytest.raises(FitError, match=r"no family could be fitted: .* constant"):
        compare(Curve(x=[1.0, 2, 3, 4, 5], y=[0.1] * 5))
