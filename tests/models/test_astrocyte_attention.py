"""Astrocyte attention by random features: the estimate is right on average and as m grows, and all forms are one operator."""

import math

import pytest
import torch
from torch import Tensor

from models import ModelError
from models.ops.astrocyte_attention import astrocyte_attention, astrocyte_attention_naive, astrocyte_step
from models.ops.random_features import RANDOM_FEATURES, draw_weights, random_features
from models.ops.softmax import bidirectional_softmax, causal_softmax


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def qkv(time: int = 21, batch: int = 3, heads: int = 2, d: int = 4, scale: float = 0.7, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, time, heads, d, generator=g, dtype=torch.float64) for _ in range(3))
    return scale * q, scale * k, v


# The response (its features alone: test_random_features)


def response_error(m: int, draws: int = 150) -> float:
    """Root mean square of C/normaliser - 1, over draws and tokens."""
    q, k, _ = qkv(time=8, batch=1, heads=1, d=8, scale=0.3, seed=3)
    true = torch.einsum("bthd,bshd->bts", q, k).exp().sum(-1)
    errors = []
    for seed in range(draws):
        weight, phase = (x.double() for x in draw_weights(1, m, 8, seed=seed))
        a, b = (random_features(x, weight, phase)[:, :, 0] for x in (q, k))
        errors.append(((a * b.sum(1, keepdim=True)).sum(-1) / true - 1).square())
    return float(torch.stack(errors).mean().sqrt())


def test_the_relative_error_falls_as_one_over_the_root_of_m():
    counts = torch.tensor([16.0, 64.0, 256.0, 1024.0])
    errors = torch.tensor([response_error(int(m)) for m in counts])
    x, y = counts.log(), errors.log()
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    assert slope == pytest.approx(-0.5, abs=0.05)


# The operator


@pytest.mark.parametrize("kind", RANDOM_FEATURES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_the_chunked_form_is_the_equations(kind, causal, chunk):
    q, k, v = qkv()
    weight, phase = draw_weights(2, 12, 4, seed=1)
    mask = torch.arange(21) < torch.tensor([21, 9, 15])[:, None]
    mask[2, :6] = False  # a row that starts with padding
    settings = {"kind": kind, "causal": causal, "mask": mask}
    leaves = [x.clone().requires_grad_(True) for x in (q, k, v)]
    others = [x.clone().requires_grad_(True) for x in (q, k, v)]
    found, _ = astrocyte_attention(*leaves, weight.double(), phase.double(), chunk=chunk, **settings)
    wanted = astrocyte_attention_naive(*others, weight.double(), phase.double(), **settings)
    torch.testing.assert_close(found[mask], wanted[mask], rtol=1e-9, atol=1e-9)
    found[mask].square().sum().backward()
    wanted[mask].square().sum().backward()
    for one, other in zip(leaves, others, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-7, atol=1e-7 * float(other.grad.abs().max()))


@pytest.mark.parametrize("causal", [False, True])
def test_it_approaches_softmax_attention(causal):
    q, k, v = qkv(scale=0.3)
    factor = 4**0.25  # softmax attention divides by sqrt(d) itself
    soft = causal_softmax(factor * q, factor * k, v)[0] if causal else bidirectional_softmax(factor * q, factor * k, v)
    errors = [
        distance(
            astrocyte_attention(q, k, v, *(x.double() for x in draw_weights(2, m, 4, seed=0)), causal=causal)[0], soft
        )
        for m in (100, 10_000)
    ]
    assert errors[1] < 0.03
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.parametrize("kind", ["exponential", "cosine"])
@pytest.mark.parametrize("causal", [False, True])
def test_norms_beyond_the_range_of_floats_change_nothing(kind, causal):
    """exp(|k|^2/2) is e^200 here: float32 overflows at e^88, float64 does not."""
    q, k, v = qkv(scale=1.0)
    q, k = (20.0 * x / x.norm(dim=-1, keepdim=True) for x in (q, k))
    weight, phase = draw_weights(2, 64, 4, seed=2)
    naive = astrocyte_attention_naive(q, k, v, weight.double(), phase.double(), kind=kind, causal=causal)
    half = [x.float() for x in (q, k, v)]
    found, _ = astrocyte_attention(*half, weight, phase, kind=kind, causal=causal)
    assert found.isfinite().all()
    if kind == "exponential":  # the cosine's normaliser is a difference of large numbers, where rounding shows
        torch.testing.assert_close(found.double(), naive, rtol=5e-3, atol=5e-3)
    double, _ = astrocyte_attention(q, k, v, weight.double(), phase.double(), kind=kind, causal=causal)
    torch.testing.assert_close(double, naive, rtol=1e-6, atol=1e-6)


def steps(q, k, v, weight, phase, **settings) -> tuple[Tensor, object]:
    """The first token alone, then one after the other from the state."""
    mask = settings.pop("mask", None)
    out, state = [], None
    for t in range(q.shape[1]):
        given = [x[:, t : t + 1] for x in (q, k, v)]
        settings["mask"] = None if mask is None else mask[:, t : t + 1]
        if state is None:
            one, state = astrocyte_attention(*given, weight, phase, causal=True, **settings)
        else:
            one, state = astrocyte_step(*given, weight, phase, state, **settings)
        out.append(one)
    return torch.cat(out, 1), state


@pytest.mark.parametrize("norm", [5.0, 15.0, 40.0])
def test_keys_of_any_norm_give_the_closed_form_in_one_pass_and_step_by_step(norm):
    """Weights exp(log sum_j exp(w_j q_t + w_j k_s - |k_s|^2/2)) in float64; float32 in the operator, where e^-800 is 0."""
    q, k, v = qkv()
    k = norm * k / k.norm(dim=-1, keepdim=True)
    weight, phase = draw_weights(2, 32, 4, seed=2)
    w = weight.double()
    a, b = (torch.einsum("bthd,hmd->bhtm", x, w) for x in (q, k))
    scores = (a[:, :, :, None] + b[:, :, None]).logsumexp(-1) - 0.5 * k.square().sum(-1).transpose(1, 2)[:, :, None]
    later = torch.ones(21, 21, dtype=torch.bool).triu(1)
    narrow = [x.float() for x in (q, k, v)]
    for causal in (True, False):
        shares = scores.masked_fill(later, -math.inf).softmax(-1) if causal else scores.softmax(-1)
        wanted = torch.einsum("bhts,bshd->bthd", shares, v)
        found, _ = astrocyte_attention(*narrow, weight, phase, causal=causal, chunk=8)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-3)
        if causal:
            torch.testing.assert_close(steps(*narrow, weight, phase)[0].double(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", RANDOM_FEATURES)
@pytest.mark.parametrize("norm", [5.0, 15.0, 40.0])
def test_one_pass_pieces_and_steps_agree_at_any_norm(kind, norm):
    """Queries as long as the keys, padding on either side; e^800 is beyond float64 too."""
    q, k, v = qkv()
    q, k = (norm * x / x.norm(dim=-1, keepdim=True) for x in (q, k))
    weight, phase = (x.double() for x in draw_weights(2, 32, 4, seed=2))
    mask = torch.arange(21) < torch.tensor([21, 9, 15])[:, None]
    mask[2, :6] = False
    settings = {"kind": kind, "mask": mask}
    whole, end = astrocyte_attention(q, k, v, weight, phase, causal=True, chunk=8, **settings)
    alone, last = steps(q, k, v, weight, phase, **settings)
    pieces, state = [], None
    for a, b in ((0, 4), (4, 5), (5, 21)):
        settings["mask"] = mask[:, a:b]
        given = [x[:, a:b] for x in (q, k, v)]
        one, state = astrocyte_attention(*given, weight, phase, causal=True, initial_state=state, **settings)
        pieces.append(one)
    assert whole.isfinite().all() and whole[mask].abs().amax(-1).gt(0).float().mean() > 0.9
    for other in (alone, torch.cat(pieces, 1)):
        torch.testing.assert_close(other[mask], whole[mask], rtol=1e-6, atol=1e-6 * float(whole[mask].abs().max()))
    for other in (last, state):
        for x, y in zip(other, end, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-9)


def test_the_first_norms_that_are_too_long_are_far_away():
    q, k, v = (x.float() for x in qkv())
    for kind in RANDOM_FEATURES:
        given = (1e17 * q, 1e17 * k, v, *draw_weights(2, 8, 4, seed=1))
        found, state = astrocyte_attention(*given, kind=kind, causal=True)
        assert all(x.isfinite().all() for x in (found, *state, steps(*given, kind=kind)[0]))


def test_states_that_do_not_belong_to_the_operator():
    q, k, v = qkv()
    given = (q, k, v, *(x.double() for x in draw_weights(2, 8, 4, seed=1)))
    _, state = astrocyte_attention(*given, causal=True)
    with pytest.raises(ModelError, match="astrocyte_step takes one token, got 21"):
        astrocyte_step(*given, state)
    with pytest.raises(ModelError, match=r"initial_state is of \(2, 2, 8, 4\); expected .* \(3, 2, 8, 4\)"):
        astrocyte_attention(*given, causal=True, initial_state=type(state)(*(x[:2] for x in state)))


def test_a_bad_token_does_not_reach_the_past():
    q, k, v = qkv()
    weight, phase = (x.double() for x in draw_weights(2, 8, 4, seed=1))
    clean, _ = astrocyte_attention(q, k, v, weight, phase, causal=True, chunk=8)
    k[0, 5], v[1, 9] = math.nan, math.inf
    found, _ = astrocyte_attention(q, k, v, weight, phase, causal=True, chunk=8)
    torch.testing.assert_close(found[0, :5], clean[0, :5], rtol=0, atol=0)
    torch.testing.assert_close(found[1, :9], clean[1, :9], rtol=0, atol=0)
    assert not found[0, 5:].isfinite().any()
    by_steps, state = steps(q, k, v, weight, phase)
    torch.testing.assert_close(by_steps[0, :5], clean[0, :5])
    assert not by_steps[0, 5:].isfinite().any() and not by_steps[1, 9:].isfinite().any()
    after, _ = astrocyte_attention(*(x[:, :3] for x in qkv()), weight, phase, causal=True, initial_state=state)
    assert not after[:2].isfinite().any() and after[2].isfinite().all()
