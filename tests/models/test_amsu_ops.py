"""The AM-SU: its three forms against each other, its decays, its spike and its rotation."""

from __future__ import annotations

import math

import pytest
import torch

from models.errors import ModelError
from models.ops import chunked_retention
from models.ops.amsu import (
    FORMS,
    SIGMAS,
    AMSUState,
    AMSUTerms,
    amsu,
    amsu_step,
    empty_amsu_state,
    input_current,
    membrane,
)
from models.ops.chunked_retention import retention_chunked
from models.ops.decay import READINGS, decay, decay_matrix, spectrum
from models.ops.leaky import leaky_chunked, leaky_serial
from models.ops.retention import retention_masked, retention_serial
from models.ops.rotary import rotary
from models.ops.spike import SURROGATES, spike, surrogate

DECAYS = [decay(tau) for tau in spectrum(8)]


def leaf(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype).requires_grad_(True)


def make(time, batch=2, heads=8, m=4, d=3, dtype=torch.float64):
    """q, k, v, current and both states."""
    shapes = [(batch, time, heads, m)] * 2 + [(batch, time, heads, d), (batch, time, heads * d)]
    return [leaf(*s, seed=i, dtype=dtype) for i, s in enumerate([*shapes, (batch, heads, m, d), (batch, heads * d)])]


def run(inputs, form, mask=None, **settings):
    """Membrane before the spike, final state, and gradients of a random functional of all of them for all leaves."""
    *tokens, s, u = inputs
    terms, state = amsu(*tokens, decays=DECAYS, leak=0.5, state=AMSUState(s, u), mask=mask, form=form, **settings)
    results = [membrane(terms), terms.astrocyte, *state]
    loss = sum((x * leaf(*x.shape, seed=50 + i).detach()).sum() for i, x in enumerate(results))
    return [*results, *torch.autograd.grad(loss, inputs)]


def assert_same(one, other, tolerance=1e-10):
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        assert float((a - b).detach().abs().max()) <= tolerance


@pytest.mark.parametrize("masked", [False, True])
def test_the_three_forms_agree_on_ragged_chunks_with_gradients(masked):
    inputs = make(time=53)
    mask = None
    if masked:
        mask = torch.rand(2, 53, generator=torch.Generator().manual_seed(1)) > 0.3
    expected = run(inputs, "serial", mask)
    assert_same(run(inputs, "masked", mask), expected)
    # Chunks that divide the length and that do not, more than one span of kept states, and a chunk longer than the sequence.
    for chunk in (1, 3, 16, 53, 64):
        assert_same(run(inputs, "chunked", mask, chunk=chunk), expected)


def test_two_hundred_and_three_tokens_as_in_the_reference():
    inputs = make(time=203, m=8, d=8)
    assert_same(run(inputs, "chunked", chunk=16), run(inputs, "serial"))


@pytest.mark.parametrize("form", FORMS)
def test_a_sequence_may_be_cut_anywhere(form):
    *tokens, s, u = (x.detach() for x in make(time=19))
    settings = {"decays": DECAYS, "leak": 0.5, "chunk": 4}
    whole, last = amsu(*tokens, state=AMSUState(s, u), form="serial", **settings)
    for cut in range(20):
        first, state = amsu(*(x[:, :cut] for x in tokens), state=AMSUState(s, u), form=form, **settings)
        second, end = amsu(*(x[:, cut:] for x in tokens), state=state, form=form, **settings)
        joined = [torch.cat(parts, dim=1) for parts in zip(first, second, strict=True)]
        assert_same([*joined, *end], [*whole, *last])


def test_steps_equal_one_pass_and_leave_the_state_alone():
    *tokens, s, u = (x.detach() for x in make(time=9))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, :4] = mask[1, 7:] = False
    start = AMSUState(s, u)
    expected, last = amsu(*tokens, decays=DECAYS, leak=0.5, state=start, mask=mask)
    copies = [x.clone() for x in start]
    state, outputs = start, []
    for t in range(9):
        now = slice(t, t + 1)
        terms, state = amsu_step(*(x[:, now] for x in tokens), state, decays=DECAYS, leak=0.5, mask=mask[:, now])
        outputs.append(terms)
    assert_same([*(torch.cat(x, dim=1) for x in zip(*outputs, strict=True)), *state], [*expected, *last])
    assert all(torch.equal(a, b) for a, b in zip(start, copies, strict=True))


def test_padding_changes_nothing_for_the_other_tokens():
    """A padded row equals the row alone; what stands in the padding does not matter."""
    *tokens, s, u = (x.detach() for x in make(time=11, batch=1))
    alone, last = amsu(*tokens, decays=DECAYS, leak=0.5, state=AMSUState(s, u))
    for left, right in ((5, 0), (0, 5), (2, 3)):
        padded = [torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (left, right), value=math.nan) for x in tokens]
        mask = torch.zeros(1, 16, dtype=torch.bool)
        mask[:, left : 16 - right] = True
        terms, end = amsu(*padded, decays=DECAYS, leak=0.5, state=AMSUState(s, u), mask=mask)
        assert_same([*(x[:, left : 16 - right] for x in terms), *end], [*alone, *last])
        assert all(float(x.masked_fill(mask[:, :, None, None], 0.0).abs().max()) == 0.0 for x in terms)


def test_gradcheck_of_the_membrane():
    inputs = make(time=7, batch=1, heads=2, m=2, d=3)

    def function(q, k, v, current, s, u):
        terms, state = amsu(q, k, v, current, decays=[0.9, 0.5], leak=0.5, state=AMSUState(s, u), chunk=3)
        return membrane(terms), *state

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("form", FORMS)
def test_no_output_depends_on_a_later_token(form):
    *tokens, s, u = (x.detach() for x in make(time=20))
    settings = {"decays": DECAYS, "leak": 0.5, "state": AMSUState(s, u), "form": form, "chunk": 8}
    before, _ = amsu(*tokens, **settings)
    for t in (1, 7, 8, 19):
        changed = [torch.cat([x[:, :t], x[:, t:] + 1.0], dim=1) for x in tokens]
        after, _ = amsu(*changed, **settings)
        assert all(torch.equal(a[:, :t], b[:, :t]) for a, b in zip(before, after, strict=True))
        assert all(bool((a[:, t] != b[:, t]).any()) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", [1, 2, 3], ids=["key", "value", "current"])
def test_a_bad_token_shows_from_its_own_position_on_and_nowhere_before(bad, which):
    *tokens, s, u = (x.detach() for x in make(time=20))
    tokens[which] = tokens[which].clone()
    tokens[which][1, 9] = bad
    terms, state = amsu(*tokens, decays=DECAYS, leak=0.5, state=AMSUState(s, u), chunk=8)
    touched = terms.neuron if which == 3 else terms.astrocyte
    assert bool(touched[1, :9].isfinite().all()) and not bool(touched[1, 9:].isfinite().any())
    assert bool(touched[0].isfinite().all())
    assert not bool(state[which == 3][1].isfinite().all())
    spikes = spike(membrane(terms))
    assert bool(spikes[1, 9:].isnan().all()) and not bool(spikes[1, :9].isnan().any())


def test_no_token_at_all():
    *tokens, s, u = make(time=0)
    for form in FORMS:
        terms, state = amsu(*tokens, decays=DECAYS, leak=0.5, state=AMSUState(s, u), form=form)
        assert terms.astrocyte.shape == terms.neuron.shape == (2, 0, 8, 3)
        assert_same(state, [s, u], tolerance=0.0)


def test_sixteen_thousand_tokens_in_half_precision():
    """States are float32, nothing is NaN, and the end agrees with float64 on the same (rounded) inputs."""
    half = [x.detach().to(torch.bfloat16) for x in make(time=16384, batch=1, heads=8, m=8, d=8)[:4]]
    terms, state = amsu(*half, decays=DECAYS, leak=0.5)
    assert {x.dtype for x in (*terms, *state)} == {torch.float32}
    assert bool(membrane(terms).isfinite().all())
    wide, end = amsu(*(x.double() for x in half), decays=DECAYS, leak=0.5)
    for a, b in zip((*terms, *state), (*wide, *end), strict=True):
        assert float((a - b).abs().max()) < 2e-5 * float(b.abs().max())
    gradient = [x.requires_grad_(True) for x in half]
    terms, _ = amsu(*gradient, decays=DECAYS, leak=0.5)
    for g in torch.autograd.grad(membrane(terms).square().sum(), gradient):
        assert g.dtype == torch.bfloat16 and bool(g.isfinite().all())


def test_the_same_results_under_autocast():
    q, k, v, current = (x.detach().float() for x in make(time=30)[:4])
    plain, _ = amsu(q, k, v, current, decays=DECAYS, leak=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast, _ = amsu(q, k, v, current, decays=DECAYS, leak=0.5)
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


def test_rows_are_computed_alike_in_groups(monkeypatch):
    """Batches too large for the cache go through in groups: the same bits."""
    q, k, v = make(time=40, batch=5)[:3]

    def results():
        out, state = retention_chunked(q, k, v, DECAYS, chunk=8)
        return [out, state, *torch.autograd.grad(out.square().sum(), (q, k, v))]

    together = results()
    monkeypatch.setattr(chunked_retention, "IN_CACHE", 8 * 8 * 4 * 2)
    assert_same(results(), together, tolerance=1e-13)


def test_memory_kept_for_the_backward_pass_is_an_eighth_of_an_input():
    """At 64 x 64 states and chunks of 64 tokens one state per eight chunks."""
    q, k, v = make(time=2048, batch=1, heads=1, m=64, d=64, dtype=torch.float32)[:3]
    out, _ = retention_chunked(q, k, v, DECAYS[:1])
    saved = out.grad_fn.saved_tensors
    kept = [x for x in saved if all(x.data_ptr() != y.data_ptr() for y in (q, k, v))]
    assert sum(x.numel() for x in kept) * 8 == q.numel()


def test_operators_are_registered_as_torch_wants_them():
    q, k, v = make(time=10, heads=2)[:3]
    start = torch.zeros(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    arguments = (q, k, v, start, [0.9, 0.5], 0.5, 4, True)
    # The gradient is taken with respect to the first two results alone, as `_run` uses them.
    torch.library.opcheck(chunked_retention._retention, arguments, test_utils=("test_schema", "test_faketensor"))


# Decays.


def test_the_table_of_decays():
    assert spectrum(8) == pytest.approx([32, 47.552, 70.662, 105.003, 156.034, 231.865, 344.550, 512], abs=1e-3)
    expected = [0.96875, 0.978970, 0.985848, 0.990476, 0.993591, 0.995687, 0.997098, 0.998047]
    assert pytest.approx(expected, abs=1e-6) == DECAYS
    half_lives = [math.log(0.5) / math.log(gamma) for gamma in (DECAYS[0], DECAYS[-1])]
    assert half_lives == pytest.approx([21.8, 354.5], abs=0.1)
    assert [decay(32, "exp"), decay(512, "exp")] == pytest.approx([0.969233, 0.998049], abs=1e-6)
    assert [decay(32, "literal_inverse"), decay(512, "literal_inverse")] == pytest.approx([0.03125, 0.001953], abs=1e-6)
    # At tau = 2 the printed reading and ours are one, and the third is not.
    assert [decay(2, reading) for reading in READINGS] == pytest.approx([0.5, math.exp(-0.5), 0.5])
    assert spectrum(1) == [128.0]


def test_decay_matrix_is_finite_where_a_product_of_powers_is_not():
    m = decay_matrix([DECAYS[0], 0.0], 3000, torch.float32)
    assert bool(m.isfinite().all()) and float(m[0].triu(1).abs().max()) == 0.0
    assert m[0, 2999, 2990].item() == pytest.approx(DECAYS[0] ** 9, rel=1e-6)
    assert torch.equal(m[1], torch.eye(3000))


@pytest.mark.parametrize("reading", READINGS)
def test_what_a_memory_is_worth_after_thirty_tokens(reading):
    """One key and value at the start, noise in between, the same key asked at the end: how often its sign comes back."""
    gammas = [decay(tau, reading) for tau in spectrum(8)]
    g = torch.Generator().manual_seed(0)
    k, v = (torch.randn(100, 31, 8, 32, generator=g, dtype=torch.float64) / 6 for _ in range(2))
    bit = torch.sign(torch.randn(100, generator=g, dtype=torch.float64))
    pattern = v[:1, 0].clone()
    v[:, 0] = bit[:, None, None] * pattern
    q = k[:, :1].expand_as(k)
    o, _ = amsu(q, k, v, torch.zeros(100, 31, 256, dtype=torch.float64), decays=gammas, leak=0.5)[0]
    read = (o[:, -1] * pattern).sum((1, 2))
    right = float((torch.sign(read) == bit).double().mean())
    if reading == "literal_inverse":
        assert right < 0.6  # chance is one half
    else:
        assert right > 0.95


def test_the_neuron_forgets_as_its_leak_says():
    x = torch.zeros(1, 100, 1, dtype=torch.float64)
    x[0, 0] = 1.0
    u, last = leaky_chunked(x, 0.5)
    assert torch.equal(u[0, :, 0], 0.5 ** torch.arange(100, dtype=torch.float64))
    assert float(last) == 0.5**99
    one = torch.randn(2, 1000, 3, dtype=torch.float64)
    assert_same(leaky_chunked(one, 0.99), leaky_serial(one, 0.99))


# The spike.


@pytest.mark.parametrize("kind", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 7.0])
def test_area_and_shape_of_the_surrogate(kind, alpha):
    # In y with x = tan(y): the tails of two of them are long.
    y = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000 * math.pi - math.pi / 2
    x = torch.tan(y)
    area = float((surrogate(x, kind, alpha) / torch.cos(y).square()).mean()) * math.pi
    assert area == pytest.approx(3.0 if kind == "triangle_as_printed" else 1.0, rel=2e-3)
    near = surrogate(torch.tensor([0.0, 0.5 / alpha], dtype=torch.float64), kind, alpha)
    assert bool(near[0] > near[1]) == (kind != "triangle_as_printed")
    if kind.startswith("triangle"):
        edge = torch.tensor([1.001, -1.001], dtype=torch.float64) / alpha
        assert float(near[0]) == alpha and float(surrogate(edge, kind, alpha).abs().max()) == 0.0


def test_a_spike_is_binary_fires_at_the_threshold_and_has_the_gradient_of_the_surrogate():
    x = torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 0.3, math.inf, -math.inf], requires_grad=True)
    s = spike(x, "triangle", 1.0)
    assert s.tolist() == [0, 0, 1, 1, 1, 1, 0]
    (gradient,) = torch.autograd.grad(s.sum(), x)
    assert gradient.tolist() == pytest.approx([0.0, 1.0, 1.0, 1.0, 0.7, 0.0, 0.0], abs=1e-5)
    assert spike(torch.tensor([0.4, 0.5]), threshold=0.5).tolist() == [0, 1]


def test_firing_rates_of_sigma_at_a_threshold_of_zero():
    """x ~ N(0, 1), lambda 1/2, a unit normal astrocyte term (measured elsewhere: .50 .50 .63 .67 .74 .84)."""
    g = torch.Generator().manual_seed(3)
    x = torch.randn(64, 400, 16, generator=g)
    o = torch.randn(64, 400, 16, generator=g)
    expected = {"identity": 0.50, "tanh": 0.50, "silu": 0.63, "gelu": 0.67, "relu": 0.74, "sigmoid": 0.84}
    for name in SIGMAS:
        u, _ = leaky_chunked(input_current(x, name), 0.5)
        assert float(spike(o + u)[:, 20:].mean()) == pytest.approx(expected[name], abs=0.02)
        if name in ("relu", "sigmoid"):  # the neuron alone is never silent
            assert float(spike(u).mean()) == 1.0


def test_the_head_norm_is_one_layer_norm_of_the_width_of_a_head():
    o, u = torch.randn(2, 3, 8, 4) * 100.0, torch.randn(2, 3, 8, 4)
    weight, bias = torch.randn(4), torch.randn(4)
    found = membrane(AMSUTerms(o, u), weight, bias) - u
    expected = (o - o.mean(-1, keepdim=True)) / (o.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt() * weight + bias
    assert torch.allclose(found, expected, atol=1e-4)
    assert torch.equal(membrane(AMSUTerms(o, u), norm=False), o + u)


# Rotary positions.


def test_rotated_products_depend_on_the_distance_alone():
    q, k = leaf(1, 1, 1, 8, seed=1).detach(), leaf(1, 1, 1, 8, seed=2).detach()

    def product(i, j):
        return float((rotary(q, torch.tensor([i])) * rotary(k, torch.tensor([j]))).sum())

    assert product(7, 3) == pytest.approx(product(20004, 20000), abs=1e-10)
    assert abs(product(7, 3) - product(7, 4)) > 1e-3
    turned = rotary(q.expand(1, 5, 1, 8), torch.arange(5))
    assert torch.allclose(turned.norm(dim=-1), q.norm(dim=-1).expand(1, 5, 1))
    assert torch.equal(turned[:, 0], q[:, 0])


def test_positions_beyond_half_precision_turn_like_any_others():
    """bfloat16 has no 257: angles worked out in the dtype of the keys would turn neighbours alike, and nothing would be NaN."""
    x = leaf(1, 1, 1, 8, seed=1).detach().expand(1, 40, 1, 8)
    positions = torch.arange(16_344, 16_384)
    exact, half = rotary(x, positions), rotary(x.bfloat16(), positions)
    assert half.dtype == torch.bfloat16 and float((half - exact).abs().max()) < 0.01 * float(x.abs().max())
    assert float((exact[:, 1:] - exact[:, :-1]).abs().amax((0, 2, 3)).min()) > 0.1


def test_a_quarter_of_a_head_turns():
    x = torch.randn(2, 6, 3, 16)
    turned = rotary(x, torch.arange(6), fraction=0.25)
    assert torch.equal(turned[..., 4:], x[..., 4:]) and not torch.equal(turned[:, 1:, :, :4], x[:, 1:, :, :4])
    assert rotary(x, torch.arange(6), fraction=0.0) is x
    rows = rotary(x, torch.stack([torch.arange(6), torch.arange(6) + 3]), fraction=0.25)
    assert torch.equal(rows[0], turned[0]) and not torch.equal(rows[1], turned[1])


# Refusals.


def test_every_refusal_is_one_line_that_names_the_fault():
    q, k, v, current, s, u = (x.detach() for x in make(time=4))
    good = {"decays": DECAYS, "leak": 0.5}
    for call, word in (
        (lambda: amsu(q, k, v, current, **good, form="fast"), "form is 'fast'"),
        (lambda: amsu(q, k, v, current[..., :-1], **good), "current is (2, 4, 23)"),
        (lambda: amsu(q, k, v, current, decays=DECAYS[:3], leak=0.5), "decays"),
        (lambda: amsu(q, k[:, :3], v, current, **good), "key (2, 3, 8, 4)"),
        (lambda: amsu(q, k, v, current, **good, state=AMSUState(s[:1], u)), "state is (1, 8, 4, 3)"),
        (lambda: amsu(q, k, v, current, **good, state=AMSUState(s, u[:, 1:])), "neuron's state is (2, 23)"),
        (lambda: amsu(q, k, v, current, **good, mask=torch.ones(2, 3)), "mask is (2, 3)"),
        (lambda: amsu(q, k, v, current, **good, chunk=0), "chunk is 0"),
        (lambda: amsu_step(q, k, v, current, empty_amsu_state(2, 8, 4, 3, dtype=q.dtype), **good), "got 4"),
        (lambda: decay(0.5), "tau is 0.5"),
        (lambda: decay(32, "inverse"), "'inverse'"),
        (lambda: spectrum(0), "heads is 0"),
        (lambda: spectrum(8, 512, 32), "512"),
        (lambda: spike(q, "square"), "'square'"),
        (lambda: spike(q, alpha=0.0), "alpha is 0.0"),
        (lambda: input_current(q, "sigma"), "'sigma'"),
    ):
        with pytest.raises(ModelError) as raised:
            call()
        assert word in str(raised.value) and "\n" not in str(raised.value)


def test_serial_is_the_printed_recurrence_with_the_repaired_read():
    """H_t = gamma H_{t-1} + k v^T / sqrt(d), read as H^T q, by hand for three tokens."""
    q, k, v = (x.detach() for x in make(time=3, batch=1, heads=1, m=2, d=2)[:3])
    o, _ = retention_serial(q, k, v, [0.5])
    rows = [x[0, :, 0] for x in (q, k, v)]
    for t in range(3):
        expected = sum(0.5 ** (t - j) * (rows[0][t] @ rows[1][j]) * rows[2][j] / math.sqrt(2.0) for j in range(t + 1))
        assert torch.allclose(o[0, t, 0], expected)


@pytest.mark.parametrize("form", [retention_masked, retention_chunked])
def test_a_later_token_that_overflows_leaves_the_past_alone(form):
    """Finite, but its products are not: 0 times them would be NaN in all earlier rows."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 6, 2, 4, generator=generator) for _ in range(3))
    q[:, 1], k[:, -1] = 1e30, 1e30
    expected, _ = retention_serial(q, k, v, [0.9, 0.5])
    found, _ = form(q, k, v, [0.9, 0.5])
    assert bool(found[:, :-1].isfinite().all()) and torch.allclose(
        found[:, :-1], expected[:, :-1], rtol=1e-5, atol=1e-5
    )
