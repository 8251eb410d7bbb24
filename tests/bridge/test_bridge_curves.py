"""Curve families: derivatives, identities between them, and the exact solution of the linear parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.registry import UnknownName
from bridge import FAMILIES, family_named
from bridge.curves import MissingRest
from bridge.projection import project, solve_linear

POSITIVE = st.floats(0.05, 8.0)
ANY = st.floats(-3.0, 3.0)
X = np.array([0.3, 1.0, 2.5, 7.0, 40.0])


@pytest.mark.parametrize("name", FAMILIES)
@given(theta=POSITIVE, b=ANY, c=ANY)
@settings(max_examples=30, deadline=None)
def test_jacobian_agrees_with_complex_steps(name: str, theta: float, b: float, c: float) -> None:
    family = FAMILIES[name]
    values = {"c": c, "b": b, family.nonlinear: theta}
    jacobian = family.jacobian(X, values)
    assert jacobian.shape == (len(X), len(family.parameters))
    for column, parameter in enumerate(family.parameter_names):
        shifted = dict(values) | {parameter: values[parameter] + 1e-60j}
        derivative = family.evaluate(X, shifted, resting_calcium=0.07).imag / 1e-60
        np.testing.assert_allclose(jacobian[:, column], derivative, rtol=1e-10, atol=1e-200)


@pytest.mark.parametrize("name", FAMILIES)
def test_values_and_derivatives_are_finite_at_zero_input(name: str) -> None:
    family = FAMILIES[name]
    values = {"c": 0.1, "b": 0.5, family.nonlinear: 0.3}
    at_rest = {"none": 0.0, "rest": 0.07, "free": 0.1}[family.offset]
    assert family.evaluate(0.0, values, resting_calcium=0.07) == pytest.approx(at_rest)
    assert np.all(np.isfinite(family.jacobian(np.array([0.0, 1.0]), values)))


def test_families_against_numbers_worked_out_by_hand() -> None:
    values = {"c": 0.1, "b": 0.5, "alpha": 0.5, "k": 4.0}
    expected = {
        "power": 1.0,  # 0.5 * sqrt(4)
        "power_offset": 1.1,
        "power_above_rest": 1.07,
        "hyperbola": 0.1 + 0.25,
        "logarithm": 0.1 + 0.5 * np.log(2),
    }
    assert set(expected) == set(FAMILIES)
    for name, value in expected.items():
        assert FAMILIES[name].evaluate(4.0, values, resting_calcium=0.07) == pytest.approx(value, rel=1e-14)


def test_unknown_family_lists_choices_and_nearest() -> None:
    with pytest.raises(UnknownName, match=r"'hyperbla': did you mean 'hyperbola'\? choose from power, .*logarithm"):
        family_named("hyperbla")


def test_family_above_rest_without_rest_is_refused_by_name() -> None:
    with pytest.raises(MissingRest, match=r"power_above_rest.*with_resting_calcium"):
        FAMILIES["power_above_rest"].evaluate(1.0, {"b": 1.0, "alpha": 0.5})


@pytest.mark.parametrize("name", FAMILIES)
def test_linear_parameters_solve_the_normal_equations(name: str) -> None:
    family = FAMILIES[name]
    rng = np.random.default_rng(3)
    y = rng.normal(1, 0.3, size=(2, len(X)))
    sigma = rng.uniform(0.5, 2.0, size=len(X))
    theta = np.array([0.4, 1.7])
    found = solve_linear(family, X, y, theta, sigma, rest=0.2 if family.offset == "rest" else 0.0)
    for row in range(2):
        shape = family.shape(X, theta[row])
        columns = [np.ones_like(X), shape] if family.offset == "free" else [shape]
        target = y[row] - (0.2 if family.offset == "rest" else 0.0)
        design = np.stack(columns, axis=1) / sigma[:, None]
        solution, residual, *_ = np.linalg.lstsq(design, target / sigma, rcond=None)
        assert found.scale[row] == pytest.approx(solution[-1], rel=1e-10)
        assert found.residual_sum[row] == pytest.approx(residual[0], rel=1e-10)
        if family.offset == "free":
            assert found.offset[row] == pytest.approx(solution[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_projection_is_the_minimum_over_a_fine_grid(name: str) -> None:
    family = FAMILIES[name]
    rng = np.random.default_rng(5)
    x = np.linspace(1, 20, 12)
    y = 0.1 + 0.05 * x / (x + 3) + rng.normal(0, 1e-3, size=(20, 12))
    limits = family.limits(x)
    found = project(family, x, y, np.ones(12), 0.0, limits)
    for theta in np.geomspace(*limits, 3000):
        other = solve_linear(family, x, y, np.full(20, theta), np.ones(12), 0.0)
        assert np.all(found.residual_sum <= other.residual_sum * (1 + 1e-9))
