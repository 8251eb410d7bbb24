"""Fits: known parameters come back, published numbers come back, and what the data do not hold is said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.registry import UnknownName
from bridge import FAMILIES, Curve, CurveError, FitError, fit, profile_interval
from bridge.curves import MissingRest

TRUE = {
    "power": {"b": 0.11, "alpha": 0.3},
    "power_offset": {"c": 0.05, "b": 0.04, "alpha": 0.45},
    "power_above_rest": {"b": 0.04, "alpha": 0.25},
    "hyperbola": {"c": 0.07, "b": 0.075, "k": 2.0},
    "hill": {"c": 0.07, "b": 0.075, "k": 3.0, "n": 1.6},
    "logarithm": {"c": 0.07, "b": 0.02, "k": 1.5},
    "saturating_exponential": {"c": 0.07, "b": 0.06, "k": 3.0},
}
X = np.geomspace(0.3, 30, 25)


def synthetic(name: str, noise: float, seed: int = 0) -> Curve:
    y = FAMILIES[name].evaluate(X, TRUE[name], 0.0722)
    return Curve(x=X, y=y + np.random.default_rng(seed).normal(0, noise, len(X)), resting_calcium=0.0722)


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_curves_give_back_their_parameters(name: str) -> None:
    fitted = fit(synthetic(name, 0.0), name)
    assert fitted.values == pytest.approx(TRUE[name], rel=1e-7)
    assert fitted.r_squared == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(fitted.predict(X), fitted.curve.y, rtol=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_noisy_curves_give_back_their_parameters_within_four_standard_errors(name: str) -> None:
    fitted = fit(synthetic(name, 5e-4, seed=11), name)
    for parameter, value in TRUE[name].items():
        estimate = fitted.parameters[parameter]
        assert estimate.stderr is not None and estimate.low is not None and estimate.high is not None
        assert abs(estimate.value - value) < 4 * estimate.stderr
        assert estimate.low < estimate.value < estimate.high
    assert fitted.n_agreeing >= fitted.n_starts // 2


@given(
    k=st.floats(0.2, 30), b=st.floats(0.01, 10), c=st.floats(-1, 1), scale=st.floats(0.1, 100), seed=st.integers(0, 99)
)
@settings(max_examples=25, deadline=None)
def test_fit_scales_with_the_units_of_both_axes(k: float, b: float, c: float, scale: float, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.01 * b, len(X))
    y = c + b * X / (X + k) + noise
    first = fit(Curve(x=X, y=y), "hyperbola", n_starts=0)
    second = fit(Curve(x=X * scale, y=3 * y), "hyperbola", n_starts=0)
    assert second.values["k"] == pytest.approx(scale * first.values["k"], rel=1e-4)
    assert second.r_squared == pytest.approx(first.r_squared, abs=1e-9)


def test_published_figure_3(fig3: Curve) -> None:
    power = fit(fig3, "power")
    assert power.values["alpha"] == pytest.approx(0.0527, abs=5e-5)
    assert power.values["b"] == pytest.approx(0.1177, abs=5e-5)
    assert power.r_squared == pytest.approx(0.963, abs=5e-4)
    hyperbola = fit(fig3, "hyperbola")
    assert hyperbola.values == pytest.approx({"c": 0.0918, "b": 0.0435, "k": 0.879}, abs=5e-4)
    assert hyperbola.r_squared == pytest.approx(0.9983, abs=5e-5)


@pytest.mark.parametrize(
    ("rest", "alpha", "r2"), [(0.071006, 0.119, 0.955), (0.0722, 0.122, 0.955), (0.0811, 0.146, 0.952)]
)
def test_published_figure_3_above_a_resting_level(fig3: Curve, rest: float, alpha: float, r2: float) -> None:
    fitted = fit(fig3.with_resting_calcium(rest), "power_above_rest")
    assert fitted.values["alpha"] == pytest.approx(alpha, abs=6e-4)
    assert fitted.r_squared == pytest.approx(r2, abs=6e-4)


def test_power_with_offset_runs_to_its_limit_on_the_published_figure(fig3: Curve) -> None:
    fitted = fit(fig3, "power_offset")
    alpha = fitted.parameters["alpha"]
    assert alpha.at_bound == "lower" and alpha.value == 1e-3
    assert alpha.stderr is None and alpha.low is None
    assert alpha.high is not None and 1e-3 < alpha.high < 0.02
    assert fitted.r_squared == pytest.approx(0.969, abs=1e-3)
    assert fitted.parameter_order == ("c", "b")
    assert all(fitted.parameters[name].stderr for name in ("c", "b"))
    assert fitted.covariance is not None and fitted.covariance.shape == (2, 2)
    assert any("not identifiable" in note for note in fitted.notes)
    assert "at its lower limit" in fitted.report() and "open" in fitted.report()


def test_reproduced_curve_is_a_hyperbola(seeds32: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    assert fitted.r_squared >= 0.9999
    assert fitted.values["k"] == pytest.approx(0.95, abs=0.005)


def test_smooth_digitised_points_are_not_taken_for_independent(fig3: Curve) -> None:
    fitted = fit(fig3, "hyperbola")
    assert fitted.residual_correlation > 0.9
    assert any("neighbouring residuals correlate" in note for note in fitted.notes)


def test_weights_are_the_standard_errors_of_the_points() -> None:
    rng = np.random.default_rng(4)
    y = 0.1 * X**0.3
    curve = Curve(x=X, y=y * rng.normal(1, 0.02, len(X)), sd=0.02 * y)
    weighted, design = fit(curve, "power", weighted=True), FAMILIES["power"]
    jacobian = design.jacobian(X, weighted.values) / curve.sd[:, None]  # type: ignore[index]
    # Known errors are not rescaled by the residuals: the covariance is that of the design alone.
    np.testing.assert_allclose(weighted.covariance, np.linalg.inv(jacobian.T @ jacobian), rtol=1e-6)
    gradient = jacobian.T @ ((curve.y - weighted.predict(X)) / curve.sd)
    assert np.all(np.abs(gradient) < 1e-6 * np.linalg.norm(jacobian, axis=0))


def test_information_criteria_against_their_definition(seeds32: Curve) -> None:
    fitted = fit(seeds32, "hyperbola")
    n, k = 10, 4  # three parameters and the variance of the points
    aic = n * np.log(fitted.residual_sum / n) + 2 * k
    assert fitted.aic == pytest.approx(aic)
    assert fitted.aicc == pytest.approx(aic + 2 * k * (k + 1) / (n - k - 1))


def test_intervals_use_student_t_unless_the_errors_are_known(seeds32: Curve) -> None:
    from scipy.stats import norm, t

    seeds32 = Curve(x=seeds32.x, y=seeds32.y, sd=seeds32.sd)
    for weighted, quantile in ((False, t.ppf(0.975, 7)), (True, norm.ppf(0.975))):
        k = fit(seeds32, "hyperbola", weighted=weighted).parameters["k"]
        assert k.stderr is not None and k.high is not None
        assert (k.high - k.value) / k.stderr == pytest.approx(quantile, rel=1e-9)


def test_covariance_against_finite_differences_of_the_residual_sum(seeds32: Curve) -> None:
    fitted = fit(seeds32, "power_above_rest")
    centre = np.array([fitted.values[name] for name in fitted.parameter_order])
    step = 1e-3 * centre

    def residual_sum(p: np.ndarray) -> float:
        model = FAMILIES["power_above_rest"].evaluate(
            seeds32.x, dict(zip(fitted.parameter_order, p, strict=True)), 0.0722
        )
        return float(np.sum((model - seeds32.y) ** 2))

    hessian = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            a, b = np.eye(2)[i] * step, np.eye(2)[j] * step
            hessian[i, j] = (
                residual_sum(centre + a + b) - residual_sum(centre + a - b)
                - residual_sum(centre - a + b) + residual_sum(centre - a - b)
            ) / (4 * step[i] * step[j])  # fmt: skip
    expected = np.linalg.inv(hessian / 2) * fitted.residual_sum / 8
    # The Hessian also holds second derivatives of the model, weighted by the residuals: small, not zero.
    np.testing.assert_allclose(np.diag(fitted.covariance), np.diag(expected), rtol=0.1)


@pytest.mark.parametrize("weighted", [False, True])
def test_profile_interval_ends_where_the_test_says(weighted: bool) -> None:
    from scipy.stats import chi2, f

    y = 0.07 + 0.075 * X / (X + 2)
    curve = Curve(x=X, y=y + np.random.default_rng(8).normal(0, 1e-3, len(X)), sd=np.full(len(X), 1e-3))
    interval = profile_interval(curve, "hyperbola", weighted=weighted)
    assert interval.low is not None and interval.high is not None
    assert interval.low < interval.value < interval.high
    best = fit(curve, "hyperbola", weighted=weighted)
    for end in (interval.low, interval.high):
        # Independently of the package: a straight-line fit in the transformed rate.
        slope, intercept = np.polyfit(X / (X + end), curve.y, 1)
        residual_sum = float(np.sum((curve.y - intercept - slope * X / (X + end)) ** 2))
        if weighted:
            assert residual_sum / 1e-6 - best.residual_sum == pytest.approx(chi2.ppf(0.95, 1), rel=1e-6)
        else:
            ratio = (residual_sum - best.residual_sum) / (best.residual_sum / (len(X) - 3))
            assert ratio == pytest.approx(f.ppf(0.95, 1, len(X) - 3), rel=1e-6)


def test_profile_of_a_straight_line_is_open_upwards() -> None:
    x = np.linspace(1, 10, 10)
    y = 0.1 + 0.01 * x + np.random.default_rng(2).normal(0, 2e-3, 10)
    interval = profile_interval(Curve(x=x, y=y), "hyperbola")
    assert interval.high is None and "open" in str(interval)


def test_straight_line_is_no_identifiable_hyperbola() -> None:
    x = np.linspace(1, 10, 10)
    fitted = fit(Curve(x=x, y=0.1 + 0.01 * x), "hyperbola")
    assert fitted.parameters["k"].at_bound == "upper"
    assert any("not identifiable" in note for note in fitted.notes)


def test_ill_posed_fits_are_refused_by_name(fig3: Curve) -> None:
    three = Curve(x=[1.0, 2, 3], y=[0.1, 0.12, 0.13])
    with pytest.raises(FitError, match="'hyperbola' has 3 parameters and the curve 3 points"):
        fit(three, "hyperbola")
    with pytest.raises(FitError, match="'hyperbola' has 3 parameters"):
        profile_interval(three, "hyperbola")
    with pytest.raises(FitError, match=r"constant \(0.1 uM\).*not identifiable"):
        fit(Curve(x=X, y=np.full(len(X), 0.1)), "power")
    with pytest.raises(CurveError, match="nan"):
        fit(Curve(x=[1.0, 2, 3, 4], y=[0.1, np.nan, 0.13, 0.14]), "power")
    with pytest.raises(CurveError, match="2 points"):
        fit(Curve(x=[1.0, 2], y=[0.1, 0.2]), "power")
    with pytest.raises(UnknownName, match="did you mean 'power_offset'"):
        fit(fig3, "power_ofset")
    with pytest.raises(MissingRest):
        fit(three, "power_above_rest")
    with pytest.raises(CurveError, match="no spread"):
        fit(fig3, "power", weighted=True)
    with pytest.raises(FitError, match="level is 95"):
        fit(fig3, "power", level=95)
    with pytest.raises(FitError, match="limits"):
        fit(fig3, "power", limits=(0.0, 1.0))
    with pytest.raises(FitError, match="rates must be finite"):
        fit(fig3, "power").predict([1.0, float("nan")])


def test_family_without_a_slope_is_refused() -> None:
    flat = dataclasses.replace(
        FAMILIES["power"], name="stuck", shape_derivative=lambda f, theta: np.zeros(np.broadcast(f, theta).shape)
    )
    with pytest.raises(
        FitError, match=r"family 'stuck' cannot be fitted to this curve: derivatives vanish .*choose another"
    ):
        fit(synthetic("power", 1e-4), flat)


def test_units_of_one_are_not_printed(fig3: Curve) -> None:
    text = fit(fig3, "power_offset").report()
    assert "alpha runs to its lower limit 0.001: not identifiable" in text and "] 1" not in text
    k = next(line for line in fit(fig3, "hyperbola").report().splitlines() if line.startswith("  k "))
    assert k.endswith("] Hz")


def test_own_limits_hold_the_parameter() -> None:
    curve = synthetic("power", 1e-4)
    fitted = fit(curve, "power", limits=(0.4, 2.0))
    assert fitted.values["alpha"] == 0.4 and fitted.parameters["alpha"].at_bound == "lower"
