"""The calcium response as an injected function."""

from __future__ import annotations

import math

import pytest
import torch

from models.arms import matched_gain
from models.ops.response import Hill, Hyperbola, Logarithm, Power, SaturatingExponential, make_response

ALL = [Power(0.25), Power(1.0), Power(2.0), Hyperbola(24.0), Logarithm(3.0), Hill(24.0, 0.8), Hill(20.0, 1.7)]
ALL.append(SaturatingExponential(30.0))


@pytest.mark.parametrize("g", ALL, ids=repr)
def test_normalised_and_rising(g):
    x = torch.tensor([0.0, 1.0, 2.0, 50.0, 400.0], dtype=torch.float64)
    y = g(x)
    assert y[0] == 0.0
    assert math.isclose(y[1], 1.0, rel_tol=1e-12)
    assert (y.diff() > 0).all()
    assert all(math.isclose(a, g.at(float(b)), rel_tol=1e-12) for a, b in zip(y, x, strict=True))


@pytest.mark.parametrize("g", ALL, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_near_zero_and_right_elsewhere(g, dtype):
    x = torch.tensor([0.0, 1e-30, 1e-7, 1e-3], dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(g(x).sum(), x)
    assert gradient.isfinite().all()
    y = torch.tensor([0.02, 1.0, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(g, y)


@pytest.mark.parametrize("g", ALL, ids=repr)
def test_nan_is_not_hidden(g):
    assert g(torch.tensor([float("nan")])).isnan().all()


def test_hyperbola_saturates_and_is_half_way_at_kappa():
    assert math.isclose(Hyperbola(24.0).at(24.0), 25.0 / 2)
    assert math.isclose(Hyperbola(24.0).at(1e12), 25.0, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("hil", {"n": 1.0}, "response family is 'hil'; expected one of power, hyperbola, hill, logarithm, saturating"),
        ("hill", {"n": 1.0}, r"parameters \['n'\]; expected exactly \['kappa', 'n'\]"),
        ("hill", {"kappa": 1.0, "n": -1.0}, "n is -1.0; expected a finite number above 0"),
        ("hill", {"kappa": 1e20, "n": 2.0}, r"expected kappa\*\*n between 1e-30 and 1e30"),
        ("power", {"kappa": 1.0}, r"parameters \['kappa'\]; expected exactly \['alpha'\]"),
        ("power", {"alpha": 1.0, "kappa": 1.0}, "expected exactly"),
        ("power", {"alpha": 0.0}, "alpha is 0.0; expected a finite number above 0"),
        ("hyperbola", {"kappa": float("nan")}, "kappa is nan"),
        ("logarithm", {"kappa": float("inf")}, "kappa is inf"),
        ("power", {"alpha": True}, "alpha is True"),
        ("power", {"alpha": "0.25"}, "alpha is '0.25'"),
    ],
)
def test_bad_responses_are_named(family, parameters, message):
    with pytest.raises(ValueError, match=message):
        make_response(family, parameters)


@pytest.mark.parametrize("g", ALL, ids=repr)
def test_matched_gain_equalises_the_branch_at_the_reference(g):
    reference = Power(0.25)
    gain = matched_gain(g, reference, 32.0)
    assert math.isclose(gain / g.at(32.0), 1.0 / reference.at(32.0), rel_tol=1e-12)
    with pytest.raises(ValueError, match="activation is 0"):
        matched_gain(g, reference, 0)
