"""The chunked, scanned and stepwise forms against the naive recurrence: outputs, final state and all gradients (float64)."""

from __future__ import annotations

import pytest
import torch

from models.ops.chunked import causal_chunked
from models.ops.features import feature_map
from models.ops.reference import causal_naive, encoder
from models.ops.response import Hyperbola, Logarithm, Power
from models.ops.scan import hebbian_scan
from models.ops.state import HebbianState, empty_state
from models.ops.step import causal_step

PLACEMENTS = ["inside", "outside", "none", "centred"]
RESPONSES = [Power(0.25), Power(1.0), Hyperbola(5.0), Logarithm(2.0)]


def run(form, inputs, mask=None, **settings):
    """Outputs, final state and the gradients of a random functional of both, with respect to all leaves."""
    q, k, v, code, state = inputs.features()
    out, final = form(q, k, v, code=code, mask=mask, initial_state=state, **settings)
    g = torch.Generator().manual_seed(9)
    tensors = (out, *final)
    loss = sum((t * torch.randn(t.shape, generator=g, dtype=t.dtype)).sum() for t in tensors)
    return [*tensors, *torch.autograd.grad(loss, list(inputs))]


def assert_same(one, other, tolerance=1e-10):
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max().item() <= tolerance


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("response", RESPONSES, ids=repr)
def test_chunked_and_step_equal_naive(placement, response, make_inputs, stepwise):
    settings = {"response": response, "scale": 0.3, "placement": placement}
    inputs = make_inputs(time=13)
    expected = run(causal_naive, inputs, **settings)
    assert_same(run(stepwise, inputs, **settings), expected)
    for chunk in (1, 4, 13, 64):
        assert_same(run(causal_chunked, inputs, chunk=chunk, **settings), expected)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("time", [1, 2, 7, 33])
def test_ragged_lengths(placement, time, make_inputs):
    settings = {"response": Power(0.25), "scale": 0.1, "placement": placement}
    inputs = make_inputs(time=time, m=3, d=5, seed=time)
    expected = run(causal_naive, inputs, **settings)
    for chunk in (None, 5, 8):
        assert_same(run(causal_chunked, inputs, chunk=chunk, **settings), expected)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_masked_forms_agree(placement, make_inputs, stepwise):
    inputs = make_inputs(time=9)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, :4] = False
    mask[1, 6:] = False
    settings = {"response": Power(0.25), "scale": 0.3, "placement": placement, "mask": mask}
    expected = run(causal_naive, inputs, **settings)
    assert_same(run(causal_chunked, inputs, chunk=4, **settings), expected)
    assert_same(run(stepwise, inputs, **settings), expected)
    assert expected[0][0, :4].abs().max() == 0


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_state_splits_the_sequence_anywhere(placement, make_inputs):
    q, k, v, code, start = make_inputs(time=11).features()
    settings = {"response": Power(0.25), "scale": 0.3, "placement": placement}
    whole, final = causal_chunked(q, k, v, code=code, initial_state=start, **settings)
    for cut in (1, 5, 10):
        a, mid = causal_chunked(q[:, :cut], k[:, :cut], v[:, :cut], code=code[:cut], initial_state=start, **settings)
        b, end = causal_chunked(q[:, cut:], k[:, cut:], v[:, cut:], code=code[cut:], initial_state=mid, **settings)
        assert_same([whole, *final], [torch.cat([a, b], 1), *end], 1e-12)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradcheck(placement, make_inputs):
    leaves = make_inputs(time=5, batch=1, heads=2, m=2, d=2, seed=3)

    def f(q, k, v, code, s0, g0):
        state = HebbianState(s0, feature_map(g0))
        out, final = causal_chunked(
            feature_map(q), feature_map(k), v, code=feature_map(code), initial_state=state, response=Power(0.25), scale=0.7,
            placement=placement, chunk=2,
        )  # fmt: skip
        return (out, *final)

    assert torch.autograd.gradcheck(f, tuple(leaves), atol=1e-8)


def test_float32_scan_does_not_drift():
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 512, 2, 16, generator=g) for _ in range(3))
    start = torch.zeros(1, 2, 16, 16)
    leaves = [
        feature_map(q).requires_grad_(),
        feature_map(k).requires_grad_(),
        v.requires_grad_(),
        start.requires_grad_(),
    ]
    wide = [x.detach().double().requires_grad_() for x in leaves]
    grads = [torch.autograd.grad(hebbian_scan(*x, scale=1 / 512, chunk=8)[0].square().sum(), x) for x in (leaves, wide)]
    for narrow, exact in zip(*grads, strict=True):
        assert (narrow - exact).abs().max() <= 1e-4 * exact.abs().max()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_half_precision_inputs_keep_a_wide_state(placement, make_inputs):
    q, k, v, code, _ = (x if isinstance(x, HebbianState) else x.detach() for x in make_inputs(time=40).features())
    exact, _ = causal_chunked(q, k, v, code=code, response=Power(0.25), scale=0.1, placement=placement)
    with torch.autocast("cpu", torch.bfloat16):
        half, state = causal_chunked(
            q.bfloat16(),
            k.bfloat16(),
            v.bfloat16(),
            code=code.bfloat16(),
            response=Power(0.25),
            scale=0.1,
            placement=placement,
        )
    assert state.hebbian.dtype == state.activation.dtype == torch.float32
    assert (half - exact).abs().max() <= 0.03 * exact.abs().max()
    long = torch.ones(1, 3000, 1, 1, dtype=torch.bfloat16)
    _, state = causal_chunked(long, long, long, response=Power(1.0), scale=1e-4, placement=placement)
    assert state.activation.item() == 3000.0  # bfloat16 would stop at 256


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_padding_changes_neither_outputs_nor_state(placement, make_inputs):
    q, k, v, code, _ = make_inputs(time=8).features()
    settings = {"response": Power(0.25), "scale": 0.3, "placement": placement}
    plain, final = causal_chunked(q, k, v, code=code, **settings)
    junk = [torch.full_like(x[:, :3], float("nan")) for x in (q, k, v)]
    mask = torch.cat([torch.ones(2, 8), torch.zeros(2, 3)], 1).bool()
    padded = [torch.cat(pair, 1) for pair in zip((q, k, v), junk, strict=True)]
    out, state = causal_chunked(*padded, code=torch.cat([code, code[:3]]), mask=mask, **settings)
    assert_same([plain, *final], [out[:, :8], *state], 1e-13)
    e = encoder(q, k, v, code=code, **settings)
    assert_same([e], [encoder(*padded, code=torch.cat([code, code[:3]]), mask=mask, **settings)[:, :8]], 1e-13)


def test_all_masked_gives_zero_and_finite_gradients(make_inputs):
    inputs = make_inputs(time=4)
    q, k, v, code, _ = inputs.features()
    mask = torch.zeros(2, 4, dtype=torch.bool)
    for placement in PLACEMENTS:
        out, _ = causal_chunked(q, k, v, code=code, mask=mask, response=Power(0.25), scale=1.0, placement=placement)
        assert out.abs().max() == 0
        grads = torch.autograd.grad(out.sum(), [inputs.q, inputs.k, inputs.v], retain_graph=True, allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in grads)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_nan_stays_out_of_the_past_and_is_not_hidden(placement, make_inputs):
    q, k, v, code, _ = (x.detach() if isinstance(x, torch.Tensor) else x for x in make_inputs(time=10).features())
    settings = {"code": code, "response": Power(0.25), "scale": 0.3, "placement": placement, "chunk": 4}
    clean, _ = causal_chunked(q, k, v, **settings)
    for which in range(3):
        dirty = [x.clone() for x in (q, k, v)]
        dirty[which][:, 5] = float("nan")
        out, _ = causal_chunked(*dirty, **settings)
        assert torch.equal(out[:, :5], clean[:, :5])
        assert out[:, 5].isnan().any()
        if which:
            assert out[:, 6:].isnan().any(-1).all()


def test_batch_rows_are_independent(make_inputs):
    q, k, v, code, _ = make_inputs(time=9, batch=3).features()
    together, _ = causal_chunked(q, k, v, code=code, response=Power(0.25), scale=0.3)
    alone, _ = causal_chunked(q[1:2], k[1:2], v[1:2], code=code, response=Power(0.25), scale=0.3)
    assert (together[1:2] - alone).abs().max() <= 1e-14


def test_step_leaves_its_state_alone(make_inputs):
    q, k, v, code, state = make_inputs(time=1).features()
    before = [x.clone() for x in state]
    causal_step(q, k, v, state, response=Power(0.25), scale=0.3, code=code)
    assert all(torch.equal(a, b) for a, b in zip(before, state, strict=True))


def test_wrong_arguments_are_named(make_inputs):
    q, k, v, _, state = make_inputs(time=3).features()
    good = {"response": Power(0.25), "scale": 0.3}
    with pytest.raises(ValueError, match=r"sigmoid placement is 'within'; expected one of inside"):
        causal_chunked(q, k, v, placement="within", **good)
    with pytest.raises(ValueError, match="chunk is 0"):
        causal_chunked(q, k, v, chunk=0, **good)
    with pytest.raises(ValueError, match="causal_step takes one token, got 3"):
        causal_step(q, k, v, state, **good)
    with pytest.raises(ValueError, match=r"mask is \(2, 4\)"):
        causal_chunked(q, k, v, mask=torch.ones(2, 4), **good)
    with pytest.raises(ValueError, match=r"must be \[batch, time, heads, dim\]"):
        causal_chunked(q, k[:, :2], v, **good)
    assert empty_state(1, 2, 3, 4, dtype=torch.bfloat16).hebbian.dtype == torch.float32
