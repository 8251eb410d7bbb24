"""Curves that cannot tell: each gets a named error or is said to be not identifiable, never a number that looks good."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import (
    FAMILIES,
    Curve,
    CurveError,
    FitError,
    MacroError,
    bootstrap,
    estimate_alpha,
    fit,
    macro_from_fit,
    profile_interval,
    published,
)

X = np.linspace(1, 10, 10)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        ([1.0, 2.0], [0.1, 0.2], CurveError, "2 points, expected at least 3"),
        (X, np.full(10, 0.1), FitError, r"is constant \(0.1 uM\), so .* not identifiable"),
        (X, np.where(X == 3, np.nan, X), CurveError, r"nan at position \(2,\), expected finite numbers"),
        (X - 3, X, CurveError, "negative value -2 Hz, expected 0 or more"),
        (X[::-1], X, CurveError, "is not increasing: 10 is followed by 9 Hz; sort"),
        (np.round(X / 2), X, CurveError, "Hz twice; average repeated rates or pass them as trials"),
        (X[:4], X[:4], FitError, "'hill' has 4 parameters and the curve 4 points"),
    ],
)
def test_named_errors(x: np.ndarray, y: np.ndarray, error: type[ValueError], message: str) -> None:
    with pytest.raises(error, match=message):
        fit(Curve(x=x, y=y), "hill")


def straight(slope: float = 0.01, noise: float = 2e-3) -> Curve:
    return Curve(x=X, y=0.1 + slope * X + np.random.default_rng(2).normal(0, noise, 10), resting_calcium=0.05)


@pytest.mark.parametrize("family", ["hyperbola", "saturating_exponential", "hill", "logarithm"])
def test_a_straight_line_does_not_tell_where_it_bends(family: str) -> None:
    fitted = fit(straight(noise=5e-3), family)
    assert not fitted.identifiable
    assert fitted.profiles["k"].high is None
    # A scale that only a limit of the search holds back is open as well, however small its standard error.
    assert fitted.profiles["b"].high is None
    assert "not identifiable from this curve" in fitted.report()


@pytest.mark.parametrize("seed", range(5))
def test_noise_identifies_no_shape(seed: int) -> None:
    """Level without a trend: whatever minimum is found, its interval is open."""
    noise = Curve(x=X, y=0.1 + np.random.default_rng(seed).normal(0, 1e-3, 10))
    for family in ("hyperbola", "hill", "saturating_exponential", "logarithm", "power_offset"):
        assert not fit(noise, family).identifiable


def test_a_step_does_not_tell_its_steepness() -> None:
    fitted = fit(Curve(x=X, y=np.where(X > 5.5, 0.2, 0.1)), "hill")
    n = fitted.parameters["n"]
    assert n.at_bound == "upper" and n.stderr is None and n.high is None
    assert not fitted.identifiable and any("n runs to its upper limit 10: not identifiable" in s for s in fitted.notes)


def test_one_point_too_few_leaves_no_ranking_and_says_so() -> None:
    """As many points as parameters and one more: there is a residual, but no AICc."""
    fitted = fit(Curve(x=X[:4], y=[0.1, 0.13, 0.14, 0.146]), "hyperbola")
    assert np.isinf(fitted.aicc)


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(CurveError, match="no spread between trials"):
        fit(straight(), "hyperbola", weighted=True)
    repeated = Curve.from_trials(X, np.repeat((0.1 + 0.01 * X)[:, None] ** 2, 3, axis=1))
    with pytest.raises(CurveError, match="would be an infinite weight"):
        fit(Curve(x=X, y=repeated.y, sd=np.zeros(10)), "hyperbola", weighted=True)


@pytest.mark.parametrize("name", ["astromorphic_fig4_imdb_neither", "astromorphic_fig4_cifar10_neither"])
def test_units_that_no_network_takes_stay_out_of_the_macro_file(name: str) -> None:
    curve = published(name)
    fitted = fit(curve, "hyperbola")
    assert fitted.parameters["b"].unit == "%" and fitted.parameters["k"].unit == "1"
    with pytest.raises(
        MacroError, match="curve has the units '1' and '%', expected a response in 'uM' against a rate in"
    ):
        macro_from_fit(fitted, estimate_alpha(published("astromorphic_fig3"), n_resamples=0))


def test_a_limit_is_reported_with_the_errors_of_the_others(fig3: Curve) -> None:
    """At the limit the fit is linear in the others: their errors are those of a straight-line fit with it held."""
    fitted = fit(fig3, "logarithm")
    k = fitted.parameters["k"]
    assert k.at_bound == "lower" and k.stderr is None and k.low is None and k.high is not None
    shape = np.log1p(fig3.x / k.value)
    _, covariance = np.polyfit(shape, fig3.y, 1, cov=True)
    # The held parameter still counts: the data chose it.
    covariance = covariance * (fig3.n_points - 2) / (fig3.n_points - 3)
    assert fitted.parameters["b"].stderr == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-6)
    assert fitted.parameters["c"].stderr == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-6)
    assert bootstrap(fitted, n_resamples=50).at_bound > 0.2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("weighted", [False, True])
def test_profile_of_every_parameter_ends_where_refits_say(family: str, weighted: bool) -> None:
    """The other parameters refitted by the optimiser, an implementation of its own, at both ends of each interval."""
    from scipy.optimize import least_squares
    from scipy.stats import chi2, f

    x = np.geomspace(0.3, 30, 14)
    true = {"c": 0.07, "b": 0.08, "alpha": 0.4, "k": 2.0, "n": 1.4}
    sigma = np.full(14, 4e-4)
    y = FAMILIES[family].evaluate(x, true, 0.05) + np.random.default_rng(3).normal(0, sigma)
    curve = Curve(x=x, y=y, sd=sigma, resting_calcium=0.05)
    best = fit(curve, family, weighted=weighted)
    names = FAMILIES[family].parameter_names
    for name in names:
        interval = profile_interval(curve, family, name, weighted=weighted)
        assert interval.value == pytest.approx(best.values[name], rel=1e-4)
        assert interval.low is not None and interval.high is not None
        for end in (interval.low, interval.high):
            others = [other for other in names if other != name]

            def residual(p: np.ndarray) -> np.ndarray:
                values = dict(zip(others, p, strict=True)) | {name: end}  # noqa: B023
                return (FAMILIES[family].evaluate(x, values, 0.05) - y) / sigma

            refit = least_squares(residual, [best.values[other] for other in others], x_scale="jac", xtol=1e-13)
            excess = 2 * refit.cost - np.sum(residual_of(best, sigma) ** 2)
            freedom = 14 - len(names)
            expected = (
                chi2.ppf(0.95, 1)
                if weighted
                else f.ppf(0.95, 1, freedom) * np.sum(residual_of(best, sigma) ** 2) / freedom
            )
            assert excess == pytest.approx(expected, rel=1e-4)


def residual_of(fitted: object, sigma: np.ndarray) -> np.ndarray:
    return (fitted.predict(fitted.curve.x) - fitted.curve.y) / sigma  # type: ignore[attr-defined]
