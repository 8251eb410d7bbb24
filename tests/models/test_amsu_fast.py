"""What makes long sequences cheap: memory used again, the neuron and the spikes in blocks, and the kernels of another package."""

from __future__ import annotations

import gc
import importlib.util
import sys

import pytest
import torch

from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.errors import ModelError
from models.ops import firing, pages
from models.ops.amsu import AMSUTerms, amsu, membrane
from models.ops.decay import decay, spectrum
from models.ops.firing import fire
from models.ops.kernels import kernel_for, retention_kernel
from models.ops.leaky import leaky_chunked, leaky_serial
from models.ops.retention import retention_serial
from models.ops.spike import SURROGATES, spike

DECAYS = [decay(tau) for tau in spectrum(8)]


def leaf(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_(True)


@pytest.mark.parametrize("time", [17, 255, 256, 257, 700])
@pytest.mark.parametrize("leak", [0.0, 0.5, 0.99])
def test_the_neuron_in_blocks_is_the_recurrence_with_its_gradients(time, leak):
    x, s, w, end = leaf(2, time, 3, seed=0), leaf(2, 3, seed=1), leaf(2, time, 3, seed=2), leaf(2, 3, seed=3)
    found = []
    for function in (leaky_serial, leaky_chunked):
        u, last = function(x, leak, state=s)
        found.append([u, last, *torch.autograd.grad((u * w).sum() + (last * end).sum(), (x, s))])
    assert all(float((a - b).detach().abs().max()) < 1e-10 for a, b in zip(*found, strict=True))


def test_gradcheck_of_the_neuron_through_a_whole_block():
    x, s = leaf(1, 259, 1, seed=0), leaf(1, 1, seed=1)
    assert torch.autograd.gradcheck(lambda x, s: leaky_chunked(x, 0.9, state=s), (x, s))


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("kind", SURROGATES)
def test_firing_in_blocks_is_the_spike_of_the_membrane_with_its_gradients(norm, kind, monkeypatch):
    monkeypatch.setattr(firing, "IN_CACHE", 2 * 4 * 6 * 7)  # seven tokens at a time
    o, u, weight, bias = leaf(2, 40, 4, 6, seed=0), leaf(2, 40, 4, 6, seed=1), leaf(6, seed=2), leaf(6, seed=3)
    d_out = leaf(2, 40, 4, 6, seed=4).detach()
    settings = {"kind": kind, "alpha": 0.7, "threshold": 0.3}
    terms = AMSUTerms(o, u)
    found = []
    for s in (
        spike(membrane(terms, weight, bias, norm=norm), **settings),
        fire(terms, weight, bias, norm=norm, **settings),
    ):
        found.append([s, *torch.autograd.grad(s, (o, u, weight, bias), d_out, allow_unused=True)])
    assert torch.equal(found[0][0], found[1][0]) and 0.1 < float(found[0][0].detach().mean()) < 0.9
    for a, b in zip(*found, strict=True):
        assert (a is None and float(b.abs().max()) == 0.0) or float((a - b).detach().abs().max()) < 1e-10
    with pytest.raises(ModelError, match="'square'"):
        fire(terms, kind="square")


def test_a_membrane_that_is_no_number_is_seen():
    u = torch.zeros(1, 3, 1, 2)
    u[0, 1] = float("nan")
    s = fire(AMSUTerms(torch.zeros_like(u), u), norm=False)
    assert s[0, 0].tolist() == [[1.0, 1.0]] and bool(s[0, 1].isnan().all())


@pytest.fixture
def nothing_idle():
    pages.release()
    yield
    pages.release()


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is used again on Linux alone")


@needs_linux
def test_memory_is_used_again_only_when_no_tensor_is_left_on_it(nothing_idle):
    like = torch.empty(0)
    first = pages.roomy(like, 3, 2**20)
    first.fill_(1.0)
    address, part = first.data_ptr(), first[1, 5:7]
    del first
    gc.collect()
    assert pages.idle_bytes() == 0  # a view is still there
    other = pages.roomy(like, 3, 2**20).fill_(2.0)
    assert other.data_ptr() != address and part.tolist() == [1.0, 1.0]
    del part
    gc.collect()
    assert pages.idle_bytes() == 3 * 2**22
    again = pages.roomy(like.double(), 3 * 2**19)
    assert again.data_ptr() == address and again.dtype == torch.float64 and pages.idle_bytes() == 0
    assert other.eq(2.0).all()


@needs_linux
def test_idle_memory_has_a_limit_and_small_arrays_are_torchs_own(nothing_idle, monkeypatch):
    monkeypatch.setattr(pages, "KEPT", 2**23)
    arrays = [pages.roomy(torch.empty(0), 2**20) for _ in range(4)]
    small = pages.roomy(torch.empty(0), 2**19)
    del small
    gc.collect()
    assert pages.idle_bytes() == 0
    del arrays
    gc.collect()
    assert pages.idle_bytes() == 2**23


@needs_linux
def test_a_second_pass_takes_no_new_memory(nothing_idle):
    """A whole unit of 4096 tokens, forward and backward: what the first pass freed serves the second."""
    q, k, v = (leaf(1, 4096, 8, 64, seed=i, dtype=torch.float32) for i in range(3))
    x = leaf(1, 4096, 512, seed=3, dtype=torch.float32)

    def work():
        terms, _ = amsu(q, k, v, x, decays=DECAYS, leak=0.5)
        torch.autograd.grad(fire(terms).sum(), (q, k, v, x))

    sizes = []
    for _ in range(3):
        work()
        gc.collect()
        sizes.append(pages.idle_bytes())
    # o, u, spikes, their slopes, and at most six gradients, of 8 MB each.
    assert sizes[0] == sizes[1] == sizes[2] and 6 * 2**23 <= sizes[0] <= 10 * 2**23


def naive(q, k, v, g_gamma, scale, initial_state, output_final_state):
    """fla's plain recurrence behind the arguments of its kernel; read from its file, since the package wants triton."""
    spec = importlib.util.find_spec("fla")
    if spec is None or importlib.util.find_spec("einops") is None:
        pytest.skip("flash-linear-attention is not installed")
    path = f"{spec.submodule_search_locations[0]}/ops/simple_gla/naive.py"
    of_file = importlib.util.spec_from_file_location("fla_naive", path)
    module = importlib.util.module_from_spec(of_file)
    of_file.loader.exec_module(module)
    g = g_gamma.expand(*q.shape[:3])
    return module.naive_recurrent_simple_gla(q, k, v, g, scale, initial_state, output_final_state)


@pytest.mark.parametrize("started", [False, True])
def test_flas_plain_recurrence_agrees_with_ours(started):
    q, k, v = (leaf(2, 203, 8, 16, seed=i, dtype=torch.float32).detach() for i in range(3))
    state = leaf(2, 8, 16, 16, seed=3, dtype=torch.float32).detach() if started else None
    theirs = retention_kernel(q, k, v, DECAYS, state=state, function=naive)
    ours = retention_serial(q, k, v, DECAYS, state=state)
    for a, b in zip(theirs, ours, strict=True):
        assert a.dtype == torch.float32 and float((a - b).abs().max()) < 5e-5


def test_the_kernel_is_asked_for_our_decays_and_scale():
    q = leaf(1, 5, 2, 16, seed=0, dtype=torch.bfloat16).detach()
    asked = {}

    def kernel(q, k, v, **given):
        asked.update(given)
        return v, given["initial_state"]

    state = leaf(1, 2, 16, 16, seed=1, dtype=torch.float32).detach()
    out, last = retention_kernel(q, q, q, [0.5, 0.0], state=state, function=kernel)
    assert asked["g_gamma"].exp().tolist() == pytest.approx([0.5, 0.0], abs=1e-30)
    assert asked["scale"] == 0.25 and asked["output_final_state"]
    # Its state lacks the factor that ours has.
    assert torch.equal(asked["initial_state"], 4.0 * state) and torch.equal(last, state)
    assert out.dtype == last.dtype == torch.float32


def test_fla_without_a_gpu_is_one_clear_error_and_auto_is_torch():
    q = torch.zeros(1, 3, 2, 16)
    assert kernel_for("auto", q, q) == kernel_for("torch", q, q) == "torch"
    with pytest.raises(ModelError, match=r"backend is 'fla' .* on cpu, .*pip install 'astromorphic\[gpu\]'"):
        kernel_for("fla", q, q)
    settings = {"vocab_size": 5, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = AstroSNNForCausalLM(AstroSNNConfig(**settings, backend="fla"))
    with pytest.raises(ModelError, match="backend is 'fla'"):
        model(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ModelError, match="backend is 'cuda'"):
        AstroSNNConfig(**settings, backend="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: fla's kernels are not compared")
@pytest.mark.skipif(importlib.util.find_spec("fla") is None, reason="flash-linear-attention is not installed")
@pytest.mark.parametrize("width", [64, 128, 192])
def test_flas_kernel_agrees_with_ours_on_a_gpu(width):
    tensors = [leaf(2, 203, 8, width, seed=i, dtype=torch.float32).detach().cuda() for i in range(4)]
    found = []
    for function in (retention_kernel, retention_serial):
        q, k, v = (x.clone().requires_grad_() for x in tensors[:3])
        out, last = function(q, k, v, DECAYS)
        found.append([out, last, *torch.autograd.grad((out * tensors[3]).sum(), (q, k, v))])
    for a, b in zip(*found, strict=True):
        # Products on a GPU may be in TF32.
        assert float((a - b).abs().max()) < 5e-3 * float(b.abs().max())
