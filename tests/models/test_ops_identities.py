"""Identities that any correct astromorphic attention fulfils (float64)."""

from __future__ import annotations

import pytest
import torch

from models.ops.chunked import causal_chunked
from models.ops.features import distance_matrix, feature_map, position_code
from models.ops.fused_scan import fused_scan
from models.ops.reference import causal_naive, encoder
from models.ops.response import Power
from models.ops.state import inverse_of_nonzero

QUARTER, LINEAR = Power(0.25), Power(1.0)


def close(a, b, tolerance=1e-12):
    assert (a - b).abs().max().item() <= tolerance


def test_without_sigmoid_code_and_compression_it_is_linear_attention(inputs):
    q, k, v, *_ = inputs.features()
    out = encoder(q, k, v, response=LINEAR, scale=1.0, placement="none")
    weights = torch.einsum("bihm,bjhm->bhij", q, k)
    weights = weights / weights.sum(-1, keepdim=True)
    close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    close(out, torch.einsum("bhij,bjhd->bihd", weights, v))


def test_causal_linear_attention_is_a_convex_mean_of_the_past(inputs):
    q, k, v, *_ = inputs.features()
    out, _ = causal_chunked(q, k, v, response=LINEAR, scale=1.0, placement="none", chunk=4)
    weights = torch.einsum("bihm,bjhm->bhij", q, k).tril()
    close(out, torch.einsum("bhij,bjhd->bihd", weights / weights.sum(-1, keepdim=True), v))


def test_kozachkov_is_the_scale_times_linear_attention(inputs):
    q, k, v, *_ = inputs.features()
    scaled = encoder(q, k, v, response=LINEAR, scale=1 / 640, placement="none")
    close(scaled, encoder(q, k, v, response=LINEAR, scale=1.0, placement="none") / 640, 1e-15)


def test_the_position_code_is_added_to_the_key_features(inputs):
    q, k, v, code, _ = inputs.features()
    separate = torch.einsum("bthm,bthd->bhmd", k, v) + torch.einsum("thm,bthd->bhmd", code, v)
    close(torch.einsum("bthm,bthd->bhmd", k + code, v), separate, 1e-12)
    g = LINEAR(k.sum(1, keepdim=True))
    expected = torch.einsum("bthm,bhmd->bthd", q, separate) / (q * g).sum(-1, keepdim=True)
    close(encoder(q, k, v, response=LINEAR, scale=1.0, placement="none", code=code), expected)


def test_sigma_inside_bounds_the_output(inputs):
    q, k, v, code, _ = inputs.features()
    for scale in (1e-3, 1.0, 50.0):
        out = encoder(q, k, v, response=QUARTER, scale=scale, placement="inside", code=code)
        top = (1 / QUARTER(k.sum(1, keepdim=True))).amax(-1, keepdim=True)
        assert (out >= 0).all() and (out <= top).all()


@pytest.mark.parametrize("scale", [1 / 13, 1 / 64000])
def test_linearised_sigmoid_is_within_the_cubic_bound(inputs, scale):
    q, k, v, code, _ = inputs.features()
    s = scale * torch.einsum("bthm,bthd->bhmd", k + code, v)
    c = (q * QUARTER(k.sum(1, keepdim=True))).sum(-1, keepdim=True)
    linearised = torch.einsum("bthm,bhmd->bthd", q, 0.5 + s / 4) / c
    exact = encoder(q, k, v, response=QUARTER, scale=scale, placement="inside", code=code)
    bound = s.abs().max() ** 3 / 48 * q.sum(-1, keepdim=True) / c
    assert ((exact - linearised).abs() <= bound + 1e-15).all()
    assert (exact - linearised).abs().max() > 0


@pytest.mark.parametrize("placement", ["inside", "outside", "none", "centred"])
def test_order_matters_only_through_the_position_code(inputs, placement):
    q, k, v, code, _ = inputs.features()
    order = torch.randperm(k.shape[1], generator=torch.Generator().manual_seed(1))
    settings = {"response": QUARTER, "scale": 0.2, "placement": placement}
    close(encoder(q, k, v, **settings), encoder(q, k[:, order], v[:, order], **settings))
    with_code = encoder(q, k, v, code=code, **settings)
    assert (with_code - encoder(q, k[:, order], v[:, order], code=code, **settings)).abs().max() > 1e-3


def test_the_query_position_never_enters(inputs):
    q, k, v, code, _ = inputs.features()
    same = q[:, :1].expand_as(q)
    out = encoder(same, k, v, response=QUARTER, scale=0.2, placement="inside", code=code)
    close(out, out[:, :1].expand_as(out), 1e-15)


@pytest.mark.parametrize("placement", ["inside", "outside", "none", "centred"])
def test_causal_output_is_the_encoder_on_the_prefix(inputs, placement):
    q, k, v, _, _ = inputs.features()
    matrix = torch.randn(2, 4, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    code = position_code(matrix)
    settings = {"response": QUARTER, "scale": 0.2, "placement": placement}
    out, _ = causal_chunked(q, k, v, code=code[:13], chunk=5, **settings)
    for t in (0, 4, 5, 12):
        prefix = encoder(q[:, : t + 1], k[:, : t + 1], v[:, : t + 1], code=code[: t + 1], **settings)
        close(out[:, t], prefix[:, -1])


def test_a_code_evaluated_at_the_current_length_would_change_old_tokens():
    matrix = torch.randn(2, 4, 20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole, short = position_code(matrix), position_code(matrix[..., :10])
    assert (whole[:10] - short).abs().max() > 1e-3


def test_scaling_the_query_features_changes_nothing(inputs):
    q, k, v, code, _ = inputs.features()
    settings = {"response": QUARTER, "scale": 0.2, "placement": "centred", "code": code}
    close(causal_chunked(q, k, v, **settings)[0], causal_chunked(7.5 * q, k, v, **settings)[0])


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_scaling_keys_against_values_scales_by_c_to_minus_alpha(inputs, alpha):
    q, k, v, *_ = inputs.features()
    settings = {"response": Power(alpha), "scale": 0.2, "placement": "inside"}
    plain, scaled = encoder(q, k, v, **settings), encoder(q, 3.0 * k, v / 3.0, **settings)
    close(scaled, plain * 3.0**-alpha)


def test_small_scale_limit_of_sigma_inside(inputs):
    q, k, v, *_ = inputs.features()
    out = encoder(q, k, v, response=QUARTER, scale=1e-14, placement="inside")
    c = (q * QUARTER(k.sum(1, keepdim=True))).sum(-1, keepdim=True)
    close(out, (0.5 * q.sum(-1, keepdim=True) / c).expand_as(out))


def test_small_alpha_limit_is_a_weighted_mean_of_the_rows_of_h(inputs):
    q, k, v, *_ = inputs.features()
    out = encoder(q, k, v, response=Power(1e-13), scale=0.2, placement="inside")
    h = torch.sigmoid(0.2 * torch.einsum("bthm,bthd->bhmd", k, v))
    close(out, torch.einsum("bthm,bhmd->bthd", q / q.sum(-1, keepdim=True), h), 1e-11)


def test_centred_is_twice_inside_minus_one_before_the_division(inputs):
    q, k, v, *_ = inputs.features()
    c = (q * QUARTER(k.cumsum(1))).sum(-1, keepdim=True)
    inside, _ = causal_naive(q, k, v, response=QUARTER, scale=0.3, placement="inside")
    centred, _ = causal_naive(q, k, v, response=QUARTER, scale=0.3, placement="centred")
    close(centred, 2 * inside - q.sum(-1, keepdim=True) / c)


def test_heads_are_independent(inputs):
    q, k, v, code, _ = inputs.features()
    settings = {"response": QUARTER, "scale": 0.3, "placement": "centred"}
    together, _ = causal_chunked(q, k, v, code=code, **settings)
    for h in range(q.shape[2]):
        one = slice(h, h + 1)
        alone, _ = causal_chunked(q[:, :, one], k[:, :, one], v[:, :, one], code=code[:, one], **settings)
        close(together[:, :, one], alone, 1e-13)


def test_distances():
    norm = distance_matrix(5, "absnorm")
    assert norm[0, 4] == 1.0 and norm[2, 2] == 0.0 and norm[1, 3] == 0.5
    decaying = distance_matrix(5, "exp", decay=0.5)
    assert decaying[1, 1] == 1.0 and torch.isclose(decaying[0, 2], torch.tensor(-1.0).exp())
    assert torch.equal(distance_matrix(1, "absnorm"), torch.zeros(1, 1))
    with pytest.raises(ValueError, match=r"distance is 'row'; expected one of absnorm, exp"):
        distance_matrix(5, "row")


def test_position_code_is_the_printed_formula():
    m = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = distance_matrix(7, "absnorm", dtype=torch.float64)
    for h in range(2):
        a = m[h].T @ (m[h] @ p @ m[h].T)
        close(position_code(m)[:, h], feature_map(a))


def test_feature_map_stays_wide():
    x = torch.tensor([-20.0, 0.0, 3.0])
    assert feature_map(x.half()).dtype == torch.float32
    assert feature_map(x.double()).dtype == torch.float64
    assert (feature_map(x) > 0).all() and feature_map(x)[1] == 1.0
    with torch.autocast("cpu", torch.bfloat16):
        assert feature_map(x).dtype == torch.float32


def test_feature_map_has_the_derivatives_of_its_two_branches():
    x = torch.tensor([-30.0, -1.5, -1e-3, 0.0, 1e-3, 2.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(feature_map(x).sum(), x, create_graph=True)
    close(gradient, torch.where(x > 0, 1.0, x.exp()))
    (second,) = torch.autograd.grad(gradient.sum(), x)
    close(second[:3], x[:3].exp())
    assert (second[4:] == 0.0).all()
    smooth = x.detach()[[0, 1, 2, 4, 5]].requires_grad_()  # the second derivative jumps at 0
    assert torch.autograd.gradcheck(feature_map, smooth, eps=1e-8) and torch.autograd.gradgradcheck(feature_map, smooth)


def test_feature_map_passes_nan_on():
    x = torch.tensor([torch.nan, 1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(feature_map(x).sum(), x)
    assert feature_map(x)[0].isnan() and gradient[0].isnan() and gradient[1] == 1.0


def reversed_scan(q, kappa, v, d_out, scale):
    """Section 3.3 of the derivation as printed: forwards to the last state, then backwards without any stored state."""
    s = torch.einsum("bthm,bthd->bhmd", kappa, v)
    carry = torch.zeros_like(s)
    gradients = []
    for t in reversed(range(q.shape[1])):
        z = torch.sigmoid(scale * s)
        d_q = torch.einsum("bhd,bhmd->bhm", d_out[:, t], z)
        carry = carry + scale * torch.einsum("bhm,bhd->bhmd", q[:, t], d_out[:, t]) * z * (1 - z)
        d_kappa = torch.einsum("bhd,bhmd->bhm", v[:, t], carry)
        gradients.append((d_q, d_kappa, torch.einsum("bhm,bhmd->bhd", kappa[:, t], carry)))
        s = s - kappa[:, t, :, :, None] * v[:, t, :, None, :]
    return s, [torch.stack(g[::-1], 1) for g in zip(*gradients, strict=True)]


@pytest.mark.parametrize("method", ["fused", "torch"])
def test_reversing_the_state_gives_the_gradients(inputs, method):
    q, k, v, code, _ = (x.detach() if isinstance(x, torch.Tensor) else x for x in inputs.features())
    kappa = k + code
    weight = torch.randn(v.shape, generator=torch.Generator().manual_seed(4), dtype=v.dtype)
    share = (q * QUARTER(k.cumsum(1))).sum(-1, keepdim=True).reciprocal()
    start, expected = reversed_scan(q * share, kappa, v, weight, 0.3)
    close(start, torch.zeros_like(start))
    # The division by C belongs to q here, so its gradient is compared through the code and the values.
    leaves = [code.clone().requires_grad_(), v.clone().requires_grad_()]
    out, _ = causal_chunked(
        q, k, leaves[1], code=leaves[0], response=QUARTER, scale=0.3, placement="inside", method=method
    )
    d_code, d_v = torch.autograd.grad(out, leaves, weight)
    close(d_code, expected[1].sum(0))
    close(d_v, expected[2])


def test_a_reversed_float32_state_drifts_and_the_scans_does_not():
    """After 512 tokens back the state should be 0; the compiled backward pass begins anew from a stored one in every chunk."""
    g = torch.Generator().manual_seed(0)
    q, k, v, weight = (torch.randn(1, 512, 1, 64, generator=g) for _ in range(4))
    q, k = feature_map(q) / 64, feature_map(k)
    exact, expected = reversed_scan(*(x.double() for x in (q, k, v, weight)), 1 / 64)
    drifted, _ = reversed_scan(q, k, v, weight, 1 / 64)
    assert exact.abs().max() < 1e-12 and 0 < drifted.abs().max() <= 2e-4
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    out, _ = fused_scan(*leaves, torch.zeros(1, 1, 64, 64), scale=1 / 64, chunk=64)
    # The kernel's sigmoid is less a half, which the gradient with respect to q sees and no other.
    expected[0] = expected[0] - 0.5 * weight.double().sum(-1, keepdim=True)
    for found, one in zip(torch.autograd.grad(out, leaves, weight), expected, strict=True):
        close(found, one, 1e-5 * one.abs().max().item())


def test_the_inverse_of_a_subnormal_normaliser_is_not_infinite():
    c = torch.tensor([2.0, 0.0, 1e-39, -1e-39, torch.nan], requires_grad=True)
    share = inverse_of_nonzero(c)
    assert share[:4].tolist() == [0.5, 0.0, 0.0, 0.0] and share[4].isnan()
    share[:4].sum().backward()
    assert c.grad[:4].tolist() == [-0.25, 0.0, 0.0, 0.0]
