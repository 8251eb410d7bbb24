"""Curve families: derivatives, identities between them, and the exact solution of the linear parameters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biosim.registry import UnknownName
from bridge import FAMILIES, family_named
from bridge.curves import MissingRest, NoFormula
from bridge.projection import Held, project, solve_linear

POSITIVE = st.floats(0.05, 8.0)
ANY = st.floats(-3.0, 3.0)
X = np.array([0.3, 1.0, 2.5, 7.0, 40.0])


@pytest.mark.parametrize("name", FAMILIES)
@given(theta=POSITIVE, n=st.floats(0.2, 6.0), b=ANY, c=ANY)
@settings(max_examples=30, deadline=None)
def test_jacobian_agrees_with_complex_steps(name: str, theta: float, n: float, b: float, c: float) -> None:
    family = FAMILIES[name]
    values = {"c": c, "b": b, family.nonlinear: theta, "n": n}
    jacobian = family.jacobian(X, values)
    assert jacobian.shape == (len(X), len(family.parameters))
    for column, parameter in enumerate(family.parameter_names):
        shifted = dict(values) | {parameter: values[parameter] + 1e-60j}
        derivative = family.evaluate(X, shifted, resting_calcium=0.07).imag / 1e-60
        np.testing.assert_allclose(jacobian[:, column], derivative, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", FAMILIES)
def test_values_and_derivatives_are_finite_at_zero_input(name: str) -> None:
    family = FAMILIES[name]
    values = {"c": 0.1, "b": 0.5, family.nonlinear: 0.3, "n": 0.7}
    at_rest = {"none": 0.0, "rest": 0.07, "free": 0.1}[family.offset]
    assert family.evaluate(0.0, values, resting_calcium=0.07) == pytest.approx(at_rest)
    assert np.all(np.isfinite(family.jacobian(np.array([0.0, 1.0]), values)))


def test_families_against_numbers_worked_out_by_hand() -> None:
    values = {"c": 0.1, "b": 0.5, "alpha": 0.5, "k": 4.0, "n": 2.0}
    expected = {
        "power": 1.0,  # 0.5 * sqrt(4)
        "power_offset": 1.1,
        "power_above_rest": 1.07,
        "hyperbola": 0.1 + 0.25,
        "hill": 0.1 + 0.25,
        "logarithm": 0.1 + 0.5 * np.log(2),
        "saturating_exponential": 0.1 + 0.5 * (1 - np.exp(-1)),
    }
    assert set(expected) == set(FAMILIES)
    for name, value in expected.items():
        assert FAMILIES[name].evaluate(4.0, values, resting_calcium=0.07) == pytest.approx(value, rel=1e-14)
    assert FAMILIES["hill"].evaluate(8.0, values) == pytest.approx(0.1 + 0.5 * 0.8)


def test_hill_contains_the_hyperbola_and_ends_in_a_step() -> None:
    values = {"c": 0.1, "b": 0.5, "k": 2.0}
    hyperbola = FAMILIES["hyperbola"].evaluate(X, values)
    np.testing.assert_allclose(FAMILIES["hill"].evaluate(X, values | {"n": 1.0}), hyperbola, rtol=1e-14)
    steep = FAMILIES["hill"].evaluate(np.array([1e-9, 1.0, 4.0, 1e9]), {"c": 0.0, "b": 1.0, "k": 2.0, "n": 30.0})
    np.testing.assert_allclose(steep, [0, 0, 1, 1], atol=1e-8)


def test_the_spline_is_no_family_with_parameters() -> None:
    with pytest.raises(NoFormula, match=r"'monotone_spline' has no formula .*use bridge.fit_spline or bridge.compare"):
        family_named("monotone_spline")


def test_unknown_family_lists_choices_and_nearest() -> None:
    with pytest.raises(
        UnknownName, match=r"'hyperbla': did you mean 'hyperbola'\? choose from power, .*hill, logarithm"
    ):
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
    theta = np.array([[0.4, 1.3], [1.7, 0.8]])[:, : len(family.nonlinears)]
    found = solve_linear(family, X, y, theta, sigma, rest=0.2 if family.offset == "rest" else 0.0)
    for row in range(2):
        shape = family.shape(X, *theta[row])
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
    limits = family.bounds(x)
    found = project(family, x, y, np.ones(12), 0.0, limits)
    axes = [np.geomspace(*limits[name], 3000 if len(limits) == 1 else 150) for name in family.nonlinears]
    for theta in itertools.product(*axes):
        other = solve_linear(family, x, y, np.tile(theta, (20, 1)), np.ones(12), 0.0)
        assert np.all(found.residual_sum <= other.residual_sum * (1 + 1e-9))


@pytest.mark.parametrize("name", FAMILIES)
def test_projection_of_curves_with_a_point_left_out_is_that_of_the_shorter_curves(name: str) -> None:
    """Rows with weights of their own, one of them infinite in error, against fits of the remaining points."""
    family = FAMILIES[name]
    x = np.linspace(1, 20, 9)
    y = 0.1 + 0.05 * x / (x + 3) + np.random.default_rng(6).normal(0, 1e-3, 9)
    sigma = np.linspace(0.5, 2, 9)
    limits = family.bounds(x)
    rows = project(family, x, np.tile(y, (9, 1)), np.where(np.eye(9, dtype=bool), np.inf, sigma), 0.0, limits)
    for i in range(9):
        kept = np.arange(9) != i
        single = project(family, x[kept], y[None, kept], sigma[kept], 0.0, limits)
        assert rows.residual_sum[i] == pytest.approx(single.residual_sum[0], rel=1e-9)


@pytest.mark.parametrize("name", ["hyperbola", "hill"])
def test_projection_with_parameters_held(name: str) -> None:
    """Each parameter held in turn at the value of the free optimum gives that optimum back, and elsewhere a worse one."""
    family = FAMILIES[name]
    x = np.geomspace(0.3, 30, 15)
    y = 0.1 + 0.05 * x**1.5 / (x**1.5 + 3**1.5) + np.random.default_rng(6).normal(0, 5e-4, 15)
    limits = family.bounds(x)
    free = project(family, x, y[None], np.ones(15), 0.0, limits)
    best = {"c": free.offset[0], "b": free.scale[0]} | dict(zip(family.nonlinears, free.theta[0], strict=True))
    for parameter, value in best.items():
        values = value * np.array([1.0, 0.9, 1.1])
        held = (
            Held(offset=values)
            if parameter == "c"
            else Held(scale=values)
            if parameter == "b"
            else Held(theta={parameter: values})
        )
        found = project(family, x, np.tile(y, (3, 1)), np.ones(15), 0.0, limits, held)
        assert found.residual_sum[0] == pytest.approx(free.residual_sum[0], rel=1e-8)
        assert np.all(found.residual_sum[1:] > free.residual_sum[0] * (1 + 1e-6))
        kept = {"c": found.offset, "b": found.scale} | dict(zip(family.nonlinears, found.theta.T, strict=True))
        np.testing.assert_allclose(kept[parameter], values, rtol=1e-14)
