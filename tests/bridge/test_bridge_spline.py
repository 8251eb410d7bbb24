"""The monotone spline: it rises, reaches data that rise, levels data that do not, and counts what it uses."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import Curve, CurveError, FitError, compare, cross_validated_error, fit, fit_spline
from bridge.cross_validation import leave_one_out_errors
from bridge.spline import _design, _knots

X = np.geomspace(0.3, 30, 40)


def test_basis_rises_from_zero_to_one_and_its_sum_is_linear_in_the_coefficients() -> None:
    design = _design(np.geomspace(0.3, 30, 500), _knots(X, 4), 0.3)
    assert design.shape == (500, 1 + 4 + 3)
    np.testing.assert_allclose(design[:, 0], 1.0, rtol=1e-14)
    assert np.all(np.diff(design, axis=0) >= -1e-14)
    np.testing.assert_allclose(design[0, 1:], 0, atol=1e-14)
    np.testing.assert_allclose(design[-1], 1, rtol=1e-14)


def test_spline_follows_a_curve_that_no_family_has() -> None:
    two_steps = 0.1 + 0.03 * X**6 / (X**6 + 1) + 0.05 * X**6 / (X**6 + 12.0**6)
    curve = Curve(x=X, y=two_steps + np.random.default_rng(3).normal(0, 5e-4, len(X)))
    spline = fit_spline(curve)
    fine = spline.predict(np.geomspace(0.3, 30, 2000))
    assert np.all(np.diff(fine) >= -1e-12)
    assert np.sqrt(np.mean((spline.predict(X) - two_steps) ** 2)) < 1e-3
    comparison = compare(curve)
    assert comparison.spline is not None and comparison.spline.aicc < comparison.best.aicc - 20
    assert comparison.spline_cross_validated is not None
    assert comparison.spline_cross_validated < min(comparison.cross_validated.values())


def test_spline_of_falling_data_is_their_mean() -> None:
    spline = fit_spline(Curve(x=X, y=1 - 0.02 * np.arange(40)))
    np.testing.assert_allclose(spline.predict(X), 0.61, rtol=1e-9)
    assert spline.n_parameters == 2  # the level, and the choice of knots
    assert spline.r_squared == pytest.approx(0, abs=1e-9)


def test_spline_matches_a_bounded_least_squares_solver() -> None:
    from scipy.optimize import lsq_linear

    sigma = np.where(X < 3, 1e-3, 3e-3)
    y = 0.1 + 0.05 * X / (X + 2) + np.random.default_rng(1).normal(0, sigma)
    spline = fit_spline(Curve(x=X, y=y, sd=sigma), weighted=True)
    design = _design(X, spline.knots, spline.rate_scale) / sigma[:, None]
    low = np.r_[-np.inf, np.zeros(design.shape[1] - 1)]
    other = lsq_linear(design, y / sigma, (low, np.inf), method="bvls", tol=1e-14)
    assert spline.residual_sum == pytest.approx(2 * other.cost, rel=1e-9)
    np.testing.assert_allclose(design @ spline.coefficients, design @ other.x, rtol=1e-6)


def test_levels_below_zero_and_zero_rates_are_reached() -> None:
    x = np.r_[0.0, X]
    y = -0.5 + 0.2 * x / (x + 2)
    spline = fit_spline(Curve(x=x, y=y))
    np.testing.assert_allclose(spline.predict(x), y, atol=1e-3)
    assert spline.predict(0.0) == pytest.approx(-0.5, abs=1e-3)
    # Beyond the data nothing is known, and nothing is made up.
    assert spline.predict(1e6) == spline.predict(30.0)


def test_effective_parameters_are_what_noise_takes_away() -> None:
    """Pure noise about a constant: the mean residual sum is n minus the degrees of freedom of the fit without the
    choice of knots, which Meyer and Woodroofe count as the coefficients above zero."""
    from bridge.spline import _with_knots

    found = []
    for seed in range(400):
        y = 1 + np.random.default_rng(seed).normal(0, 0.1, len(X))
        curve = Curve(x=X, y=y)
        spline = _with_knots(curve, np.ones(40), np.ones(40, dtype=bool), False, _knots(X, 4), False)
        # Covariance of fit and noise: the degrees of freedom by Efron's definition, and the number that is stated.
        found.append(((spline.predict(X) - 1) @ (y - 1) / 0.01, spline.n_parameters))
    by_definition, stated = np.mean(found, axis=0)
    assert stated == pytest.approx(by_definition, rel=0.12)


def test_leaving_one_out_is_refitting_without_it() -> None:
    y = 0.1 + 0.05 * X / (X + 2) + np.random.default_rng(1).normal(0, 1e-3, len(X))
    curve = Curve(x=X, y=y, resting_calcium=0.05)
    for fitted in (fit(curve, "hill"), fit(curve, "power_above_rest"), fit_spline(curve)):
        errors = leave_one_out_errors(fitted)
        for i in (0, 17, 39):
            kept = np.arange(40) != i
            shorter = Curve(x=X[kept], y=y[kept], resting_calcium=0.05)
            if hasattr(fitted, "family"):
                again = fit(shorter, fitted.family, limits=fitted.limits).predict(X[i])
            else:
                again = fit_spline(shorter).predict(X[i])
            assert errors[i] == pytest.approx(y[i] - again, rel=1e-6, abs=1e-12)
        assert cross_validated_error(fitted) == pytest.approx(np.sqrt(np.mean(errors**2)))


def test_cross_validation_of_a_linear_fit_is_the_press_statistic() -> None:
    """With the shape held, leaving out a point follows from its leverage: e / (1 - h)."""
    y = 0.1 * X**0.3 + np.random.default_rng(2).normal(0, 1e-3, len(X))
    sigma = np.linspace(1e-3, 2e-3, len(X))
    fitted = fit(Curve(x=X, y=y, sd=sigma), "power", weighted=True, limits=(0.3, 0.3 + 1e-8))
    shape = X ** fitted.values["alpha"] / sigma
    leverage = shape**2 / np.sum(shape**2)
    press = (y - fitted.predict(X)) / (1 - leverage)
    np.testing.assert_allclose(leave_one_out_errors(fitted), press, rtol=1e-5)
    weight = sigma**-2
    assert cross_validated_error(fitted) == pytest.approx(np.sqrt(np.sum(weight * press**2) / np.sum(weight)), rel=1e-5)


def test_what_no_spline_can_be_fitted_to() -> None:
    with pytest.raises(FitError, match="needs at least 4 points and the curve has 3"):
        fit_spline(Curve(x=[1.0, 2, 3], y=[0.1, 0.12, 0.13]))
    with pytest.raises(FitError, match=r"is constant .*a spline is not identifiable"):
        fit_spline(Curve(x=X, y=np.full(40, 0.1)))
    with pytest.raises(CurveError, match="no spread"):
        fit_spline(Curve(x=X, y=X), weighted=True)
    with pytest.raises(CurveError, match="expected a Curve, found list"):
        fit_spline([1.0])  # type: ignore[arg-type]
    with pytest.raises(FitError, match="only monotone_spline is to be ranked; name a family with a formula"):
        compare(Curve(x=X, y=X), "monotone_spline")
    skipped = compare(Curve(x=[1.0, 2, 3], y=[0.1, 0.12, 0.13])).skipped
    assert "at least 4 points" in skipped["monotone_spline"]
