"""The compiled causal scan and the bidirectional form in pieces against the forms that read like the equations."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from models.errors import ModelError
from models.ops import fused_scan, normaliser, scan_kernel
from models.ops.bidirectional import bidirectional
from models.ops.chunked import causal_chunked, scan_method
from models.ops.features import feature_map
from models.ops.reference import causal_naive, encoder
from models.ops.response import Logarithm, Power
from models.ops.scan import hebbian_scan
from models.ops.state import HebbianState

PLACEMENTS = ["inside", "outside", "none", "centred"]
METHODS = ["fused", "torch"]


def run(form, inputs, mask=None, code=None, with_state=False, **settings):
    """Outputs, final state if there is one, and the gradients of a random functional of both for all leaves."""
    q, k, v, own, state = inputs.features()
    if with_state:
        settings["initial_state"] = state
    result = form(q, k, v, code=own if code is None else code(own), mask=mask, **settings)
    tensors = [result] if isinstance(result, torch.Tensor) else [result[0], *result[1]]
    g = torch.Generator().manual_seed(9)
    loss = sum((t * torch.randn(t.shape, generator=g, dtype=t.dtype)).sum() for t in tensors)
    return [*tensors, *torch.autograd.grad(loss, list(inputs), allow_unused=True)]


def assert_relative(one, other, tolerance=1e-12):
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape and a.dtype == b.dtype
            assert (a - b).abs().max() <= tolerance * b.abs().max()


def pieces_of(x, count):
    """Neither contiguous nor dense: every second number of a larger array."""
    wide = torch.zeros(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_causal_scan_equals_naive(method, placement, make_inputs):
    # Widths beside and across the kernel's lanes and tiles.
    for m, d, time in ((4, 3, 13), (17, 33, 21)):
        inputs = make_inputs(time=time, m=m, d=d)
        settings = {"response": Power(0.25), "scale": 0.3, "placement": placement, "with_state": True}
        mask = torch.ones(2, time, dtype=torch.bool)
        mask[0, :4] = mask[1, 9:] = False
        for hidden in (None, mask):
            expected = run(causal_naive, inputs, mask=hidden, **settings)
            for chunk in (1, 5, 64):
                found = run(causal_chunked, inputs, mask=hidden, chunk=chunk, method=method, **settings)
                assert_relative(found, expected)


@pytest.mark.parametrize("method", METHODS)
def test_no_token_and_one(method, make_inputs):
    q, k, v, code, state = make_inputs(time=1).features()
    settings = {"response": Power(0.25), "scale": 0.3, "initial_state": state}
    none = [x[:, :0] for x in (q, k, v)]
    out, final = causal_chunked(*none, code=code[:0], method=method, **settings)
    assert out.shape == (2, 0, 2, 3) and all(torch.equal(a, b) for a, b in zip(final, state, strict=True))
    (back,) = torch.autograd.grad(final.hebbian.sum(), state.hebbian)
    assert torch.equal(back, torch.ones_like(back))
    one, end = causal_chunked(q, k, v, code=code, method=method, **settings)
    expected, last = causal_naive(q, k, v, code=code, **settings)
    assert_relative([one, *end], [expected, *last])


def test_float32_scan_is_as_exact_as_float32_allows():
    """Against float64 with the same inputs: outputs and gradients to 3e-6 of the largest, also where the sigmoid is linear."""
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 300, 2, 20, generator=g) for _ in range(3))
    for scale in (1e-4, 1 / 300, 0.5):
        leaves = [x.requires_grad_() for x in (feature_map(q), feature_map(k), v.clone(), torch.zeros(1, 2, 20, 20))]
        wide = [x.detach().double().requires_grad_() for x in leaves]
        narrow, exact = (
            [o := fused_scan.fused_scan(*x, scale=scale, chunk=64)[0], *torch.autograd.grad(o.square().sum(), x)]
            for x in (leaves, wide)
        )
        assert_relative([x.double() for x in narrow], exact, 3e-6)


@pytest.mark.parametrize(("double", "ulps"), [(False, 8), (True, 4)])
def test_the_kernels_sigmoid(double, ulps):
    """tanh(h)/2 to a few units in the last place everywhere; NaN stays NaN, infinities are limits. Through one token's read."""
    dtype = torch.float64 if double else torch.float32
    h = np.concatenate([np.linspace(-25, 25, 5000), np.logspace(-30, 1, 3000), -np.logspace(-12, 0, 3000)])
    start = torch.tensor(h, dtype=dtype).view(1, 1, 1, -1)
    one, zero = torch.ones(1, 1, 1, 1, dtype=dtype), torch.zeros(1, 1, 1, h.size, dtype=dtype)
    found = fused_scan.fused_scan(one, one, zero, start, scale=2.0, chunk=1)[0].numpy().ravel()
    exact = np.tanh(start.numpy().ravel().astype(np.longdouble)) / 2
    assert np.abs((found - exact) / np.spacing(np.abs(exact).astype(found.dtype))).max() <= ulps
    special = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0], dtype=dtype).view(1, 1, 1, 4)
    limits = fused_scan.fused_scan(one, one, torch.zeros_like(special), special, scale=2.0, chunk=1)[0].ravel()
    assert limits[0].isnan() and limits[3] == 0
    assert torch.allclose(limits[1:3], torch.tensor([0.5, -0.5], dtype=dtype), atol=1e-7)


@pytest.mark.parametrize("which", ["kappa", "v", "q"])
def test_a_bad_token_stays_out_of_the_past_also_in_gradients(which):
    g = torch.Generator().manual_seed(0)
    q, k, v = (torch.rand(1, 30, 2, 5, generator=g) for _ in range(3))
    start = torch.zeros(1, 2, 5, 5)
    clean = fused_scan.fused_scan(q, k, v, start, scale=0.1, chunk=8)[0]
    dirty = {"q": q.clone(), "kappa": k.clone(), "v": v.clone()}
    for bad in (float("nan"), float("inf"), 1e30):
        dirty[which][:, 17] = bad
        leaves = [x.clone().requires_grad_() for x in dirty.values()]
        out, _ = fused_scan.fused_scan(*leaves, start, scale=0.1, chunk=8)
        assert torch.equal(out[:, :17], clean[:, :17])
        expected = torch.autograd.grad(
            fused_scan.fused_scan(*leaves, start, scale=0.1, chunk=8)[0][:, :17].sum(), leaves[0], retain_graph=True
        )[0]
        # All outputs count: what a query before the bad token receives is still what it received without it.
        (found,) = torch.autograd.grad(out.sum(), leaves[0])
        assert torch.equal(found[:, :17], expected[:, :17]) and found[:, :17].isfinite().all()


def test_any_strides_give_the_same(make_inputs):
    q, k, v, code, state = (
        x.detach() if isinstance(x, torch.Tensor) else HebbianState(*(y.detach() for y in x))
        for x in make_inputs(time=11).features()
    )
    settings = {"response": Power(0.25), "scale": 0.3, "method": "fused"}
    dense = causal_chunked(q, k, v, code=code, initial_state=state, **settings)[0]
    odd = [pieces_of(x, 2) for x in (q, k, v)]
    assert not any(x.is_contiguous() for x in odd)
    wide = HebbianState(pieces_of(state.hebbian, 2), pieces_of(state.activation, 2))
    assert torch.equal(causal_chunked(*odd, code=pieces_of(code, 2), initial_state=wide, **settings)[0], dense)
    same = q[:, :1].expand_as(q)
    assert torch.equal(
        causal_chunked(same, k, v, **settings)[0], causal_chunked(same.contiguous(), k, v, **settings)[0]
    )
    leaf = v.clone().requires_grad_()
    gradients = [
        torch.autograd.grad(causal_chunked(q, k, leaf, **settings)[0], leaf, x)[0]
        for x in (torch.ones_like(v), torch.ones(1, dtype=v.dtype).expand_as(v))
    ]
    assert torch.equal(*gradients)


def test_threads_change_nothing(monkeypatch, make_inputs):
    """One and two threads of torch, and four callers at once: the same bits."""
    inputs = make_inputs(time=40, batch=3, m=18, d=7)
    settings = {"response": Power(0.25), "scale": 0.3, "method": "fused"}
    alone = run(causal_chunked, inputs, **settings)
    monkeypatch.setattr(fused_scan, "WORTH_A_THREAD", 1)
    before = torch.get_num_threads()
    results = []
    try:
        torch.set_num_threads(2)
        results.append(run(causal_chunked, inputs, **settings))
        callers = [
            threading.Thread(target=lambda: results.append(run(causal_chunked, inputs, **settings))) for _ in range(4)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    finally:
        torch.set_num_threads(before)
    assert len(results) == 5
    for result in results:
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(result, alone, strict=True))


def test_an_error_in_a_helper_thread_is_raised(monkeypatch):
    monkeypatch.setattr(fused_scan, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)

    def fail(first, last):
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        fused_scan._share(fail, (), 8, 100)


def test_the_scan_is_chosen_by_what_the_tensors_are():
    narrow, wide = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
    assert scan_method("auto", narrow, narrow) == "fused" and scan_method("torch", narrow) == "torch"
    assert scan_method("auto", narrow, wide) == scan_method("auto", narrow.to("meta")) == "torch"
    with pytest.raises(ModelError, match=r"method 'fused' cannot take float32 on meta; it needs numba"):
        scan_method("fused", narrow.to("meta"))
    with pytest.raises(ModelError, match=r"method is 'triton'; expected one of auto, fused, torch"):
        scan_method("triton", narrow)


def test_without_numba_torch_does_it(monkeypatch, make_inputs):
    monkeypatch.setattr(fused_scan, "_numba_is_here", lambda: False)
    assert scan_method("auto", torch.zeros(1)) == "torch"


def test_second_derivatives_are_refused_not_wrong(make_inputs):
    q, k, v, *_ = make_inputs(time=3).features()
    out, _ = causal_chunked(q, k, v, response=Power(0.25), scale=0.3, method="fused")
    (first,) = torch.autograd.grad(out.sum(), v, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), q)


@pytest.mark.parametrize("response", [Power(0.25), Power(1.0), Logarithm(2.0)], ids=repr)
@pytest.mark.parametrize("compiled", [True, False])
def test_normaliser_in_pieces_equals_the_whole(monkeypatch, response, compiled, make_inputs):
    inputs = make_inputs(time=23)
    q, k, *_, state = inputs.features()
    leaves = [inputs.q, inputs.k, inputs.activation]
    whole = k.cumsum(1) + state.activation[:, None]
    expected = [(q * response(whole)).sum(-1, keepdim=True), whole[:, -1]]
    for piece in (1, 40, 10**6):
        monkeypatch.setattr(normaliser, "PIECE", piece)
        found = normaliser.causal_normaliser(q, k, state.activation, response, compiled=compiled)
        assert_relative(found, expected)
        weights = [torch.linspace(1, 2, x.numel(), dtype=x.dtype).view(x.shape) for x in expected]
        gradients = [torch.autograd.grad(x, leaves, weights, retain_graph=True) for x in (found, expected)]
        assert_relative(*gradients)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("piece", [8, 10**6])
def test_bidirectional_equals_encoder(monkeypatch, placement, piece, make_inputs):
    monkeypatch.setattr(normaliser, "PIECE", piece)
    settings = {"response": Power(0.25), "scale": 0.3, "placement": placement}
    for time in (1, 13):
        inputs = make_inputs(time=time)
        mask = torch.rand(2, time, generator=torch.Generator().manual_seed(3)) > 0.4
        for hidden in (None, mask):
            for code in (None, lambda w: w * torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)):
                pair = [run(form, inputs, mask=hidden, code=code, **settings) for form in (bidirectional, encoder)]
                assert_relative(*pair)


def test_bidirectional_gradcheck_and_padding(make_inputs):
    leaves = make_inputs(time=5, batch=2, heads=2, m=2, d=2, seed=3)[:4]
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()

    def f(q, k, v, code):
        return bidirectional(
            feature_map(q), feature_map(k), v, code=feature_map(code), mask=mask, response=Power(0.25), scale=0.7
        )

    assert torch.autograd.gradcheck(f, leaves, atol=1e-8)
    q, k, v, _ = (x.detach().clone().requires_grad_() for x in leaves)
    with torch.no_grad():
        for x in (q, k, v):
            x[1, 3:] = float("nan")
    out = bidirectional(q, k, v, response=Power(0.25), scale=0.7, mask=mask)
    gradients = torch.autograd.grad(out.square().sum(), (q, k, v))
    assert out[1, 3:].abs().max() == 0 and all(g.isfinite().all() for g in gradients)
    with pytest.raises(ModelError, match=r"mask is \(2, 4\)"):
        bidirectional(q, k, v, response=Power(0.25), scale=0.7, mask=mask[:, :4])
    half = bidirectional(*(x.detach().bfloat16() for x in leaves[:3]), response=Power(1.0), scale=0.1, placement="none")
    assert half.dtype == torch.float32


def test_the_kernel_forms_are_the_torch_scan(make_inputs):
    """The two scans alone, without the division: the second reference."""
    q, k, v, code, state = make_inputs(time=20, m=5, d=6).features()
    pair = [scan(q, k + code, v, state.hebbian, scale=0.4, chunk=7) for scan in (fused_scan.fused_scan, hebbian_scan)]
    assert_relative(*pair)


SPAWNED = """
import multiprocessing
import torch
from models.ops.fused_scan import fused_scan

def task(seed):
    g = torch.Generator().manual_seed(seed)
    q, k, v = (torch.rand(1, 16, 2, 4, generator=g) for _ in range(3))
    return float(fused_scan(q, k, v, torch.zeros(1, 2, 4, 4), scale=0.1, chunk=8)[0].sum())

if __name__ == "__main__":
    for kind in ("spawn", "fork"):
        expected = [task(s) for s in (1, 2)]
        with multiprocessing.get_context(kind).Pool(2) as pool:
            assert pool.map(task, (1, 2)) == expected
    print("same")
"""


@pytest.mark.slow
def test_spawned_and_forked_processes_agree(tmp_path):
    (tmp_path / "script.py").write_text(SPAWNED)
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "same", done.stderr[-500:]


@pytest.mark.slow
@pytest.mark.parametrize("causal", [True, False])
def test_compiled_model_gives_the_same(causal, tiny, tokens):
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler")
    q, k, v = (torch.randn(2, 20, 2, 4, generator=torch.Generator().manual_seed(s)) for s in range(3))

    def branch(q, k, v):
        q, k = feature_map(q), feature_map(k)
        settings = {"response": Power(0.25), "scale": 0.1}
        return causal_chunked(q, k, v, **settings)[0] if causal else bidirectional(q, k, v, **settings)

    results = []
    for form in (branch, torch.compile(branch, fullgraph=True)):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out = form(*leaves)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    assert_relative(*results, 1e-5)
    if causal:
        model, results = tiny(), []
        for form in (model, torch.compile(model)):
            out = form(tokens, labels=tokens)
            results.append([out.logits, out.loss, *torch.autograd.grad(out.loss, list(model.parameters()))])
        assert_relative(results[1], results[0], 1e-4)


def test_lanes_fit_the_width():
    assert [scan_kernel.lanes_for(n) for n in (1, 16, 17, 64)] == [16, 16, 32, 32]
