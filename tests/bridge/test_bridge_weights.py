"""Weights from the spread between trials: the trend along the rate, and errors that do not rely on it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bridge import Curve, fit, profile_interval
from bridge.weights import PointErrors, point_errors

X = np.geomspace(0.3, 30, 12)


def test_given_errors_are_taken_as_known() -> None:
    sd = np.linspace(1, 2, 12)
    errors = point_errors(Curve(x=X, y=X, sd=sd))
    np.testing.assert_array_equal(errors.sigma, sd)
    assert errors.spread is None and math.isinf(errors.freedom)
    inverse = np.diag([1.0, 2.0])
    covariance, freedom = errors.covariance(np.ones((12, 2)), inverse)
    assert covariance is inverse and np.all(np.isinf(freedom))


def test_trend_is_that_of_the_spread() -> None:
    # Spread of a power of the axis, many trials: weights and spread agree, at every rate.
    axis = 1 + X / X[0]
    sigma = 0.01 * axis**0.7
    trials = 1 + sigma[:, None] * np.random.default_rng(0).normal(size=(12, 4000))
    curve = Curve.from_trials(X, trials)
    np.testing.assert_allclose(point_errors(curve).sigma, sigma / math.sqrt(4000), rtol=0.02)


def test_trend_of_few_trials_is_not_biased() -> None:
    """The mean logarithm of a variance of two degrees of freedom lies 0.58 below that of the variance."""
    found = [
        point_errors(Curve.from_trials(X, np.random.default_rng(seed).normal(1, 0.1, size=(12, 3)))).sigma
        for seed in range(400)
    ]
    assert np.exp(np.mean(np.log(found))) == pytest.approx(0.1 / math.sqrt(3), rel=0.02)


def test_errors_follow_the_spread_whatever_the_weights() -> None:
    """Covariance of the estimates over many experiments, with weights that are wrong on purpose."""
    design = np.stack([np.ones(12), np.log(X)], axis=1)
    spread, sigma = np.where(X < 3, 0.1, 0.5), np.linspace(0.2, 0.4, 12)
    inverse = np.linalg.inv((design / sigma[:, None] ** 2).T @ design)
    covariance, freedom = PointErrors(sigma, spread, 7.0).covariance(design, inverse)
    noise = np.random.default_rng(0).normal(size=(40000, 12)) * spread
    estimates = noise @ (design / sigma[:, None] ** 2) @ inverse
    np.testing.assert_allclose(np.cov(estimates.T), covariance, rtol=0.03)
    # Between the freedom of one point and that of all together.
    assert np.all((freedom > 7) & (freedom < 7 * 12))


def test_freedom_of_equal_parts_is_their_sum() -> None:
    errors = PointErrors(np.ones(12), np.full(12, 0.3), 4.0)
    covariance, freedom = errors.covariance(np.ones((12, 1)), np.array([[1 / 12]]))
    assert freedom == pytest.approx([48.0])
    assert covariance == pytest.approx(np.array([[0.09 / 12]]))


def test_profile_and_standard_error_agree_where_the_curve_is_nearly_linear() -> None:
    clean = 0.1 + 0.05 * X / (X + 2)
    trials = clean[:, None] + np.where(X < 3, 2e-4, 6e-4)[:, None] * np.random.default_rng(5).normal(size=(12, 6))
    curve = Curve.from_trials(X, trials)
    fitted = fit(curve, "hyperbola", weighted=True)
    for name, estimate in fitted.parameters.items():
        interval = profile_interval(curve, "hyperbola", name, weighted=True)
        assert interval.low == pytest.approx(estimate.low, rel=0.02)
        assert interval.high == pytest.approx(estimate.high, rel=0.02)
