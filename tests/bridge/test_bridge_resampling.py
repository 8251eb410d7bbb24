"""Bootstrap and comparison."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.special import ndtri, stdtrit

from biosim.registry import UnknownName
from bridge import FAMILIES, Curve, Fit, FitError, bootstrap, compare, fit
from bridge.resampling import resample_residuals, resample_trials, stretched_interval
from bridge.weights import effective_freedom, point_errors

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


@pytest.mark.parametrize("freedom", [1.0, 2.0, 9.0, 30.5, math.inf])
def test_stretched_percentiles_of_normal_samples_end_at_students_t(freedom: float) -> None:
    samples = 5 + 2 * ndtri((np.arange(20_000) + 0.5) / 20_000)
    for level in (0.5, 0.95):
        half = 2 * stdtrit(freedom, (1 + level) / 2)
        low, high = stretched_interval(samples, level, freedom)
        assert (5 - low, high - 5) == pytest.approx((half, half), rel=2e-3)


def test_stretched_percentiles_keep_the_skew_and_hold_the_level_with_known_spread() -> None:
    samples = np.exp(np.random.default_rng(0).normal(size=20_000))
    low, high = stretched_interval(samples, 0.9, math.inf)
    assert np.mean((samples > low) & (samples < high)) == pytest.approx(0.9, abs=1e-3)
    wide_low, wide_high = stretched_interval(samples, 0.9, 5.0)
    middle = np.median(samples)
    assert (wide_high - middle) / (middle - wide_low) == pytest.approx((high - middle) / (middle - low))


def test_shape_parameters_are_stretched_within_their_limits(seeds32: Curve) -> None:
    few = Curve(x=seeds32.x[:5], y=seeds32.y[:5] + 2e-3 * np.array([1, -1, 1, -1, 1]))
    fitted = fit(few, "hyperbola")
    low, high = bootstrap(fitted, n_resamples=200).interval("k")
    assert fitted.limits["k"][0] <= low < high <= fitted.limits["k"][1]


def test_degrees_of_freedom_of_an_interval() -> None:
    y = 0.1 * X**0.3 + np.random.default_rng(6).normal(0, 1e-3, len(X))
    assert bootstrap(fit(Curve(x=X, y=y), "power"), n_resamples=20).freedoms == {"b": 10.0, "alpha": 10.0}
    same = np.array([1.0, -1.0, 0.5, -0.5, 0.0])
    equal = Curve.from_trials(X, (0.1 * X**0.3)[:, None] + 1e-3 * same)
    # All parameters depend on several points of one variance: between the freedom of one point and that of all.
    freedoms = bootstrap(fit(equal, "hyperbola"), n_resamples=20).freedoms
    assert all(4 < freedom < 4 * len(X) for freedom in freedoms.values())
    for parts, expected in (([1.0, 1, 1], 12.0), ([1.0, 0, 0], 4.0), ([0.0, 0, 0], 4.0), ([2.0, 1, 0], 4 * 9 / 5)):
        assert effective_freedom(np.array(parts), 4.0) == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_degrees_of_freedom_follow_from_what_a_point_moves(weighted: bool) -> None:
    clean = FAMILIES["hyperbola"].evaluate(X, {"c": 0.07, "b": 0.075, "k": 2.0})
    trials = clean[:, None] + np.geomspace(1e-5, 1e-3, len(X))[:, None] * np.random.default_rng(0).normal(size=(12, 5))
    curve = Curve.from_trials(X, trials)
    fitted = fit(curve, "hyperbola", weighted=weighted)
    assert curve.sd is not None
    sigma = point_errors(curve).sigma if weighted else np.ones(12)
    start = np.array([fitted.values[name] for name in ("c", "b", "k")])
    moved = []
    for i in range(12):
        y = curve.y + 1e-7 * (np.arange(12) == i)
        again = fit(Curve(x=X, y=y, sd=sigma), "hyperbola", weighted=True, n_starts=0).values
        moved.append((np.array([again[name] for name in ("c", "b", "k")]) - start) / 1e-7)
    parts = (np.array(moved) * curve.sd[:, None]) ** 2
    expected = 4 * parts.sum(axis=0) ** 2 / (parts**2).sum(axis=0)
    sampled = bootstrap(fitted, n_resamples=20)
    assert list(sampled.freedoms.values()) == pytest.approx(list(expected), rel=0.01)


def test_the_band_at_no_rate_is_the_interval_of_the_level() -> None:
    clean = FAMILIES["hyperbola"].evaluate(X, {"c": 0.07, "b": 0.075, "k": 2.0})
    trials = clean[:, None] + 2e-4 * np.random.default_rng(0).normal(size=(12, 4))
    sampled = bootstrap(fit(Curve.from_trials(X, trials), "hyperbola"), n_resamples=200)
    low, high = sampled.band([0.0])
    assert (low[0], high[0]) == pytest.approx(sampled.interval("c"))


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
        assert (row["bootstrap_low"], row["bootstrap_high"]) == sampled.interval(estimate.name)
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
