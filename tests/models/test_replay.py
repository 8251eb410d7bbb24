"""Replay backpropagation against backpropagation through time: gradients, random numbers, memory, and autograd's demands."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from models.errors import ModelError
from models.ops import replay
from models.ops.dropout import Dropout
from models.ops.replay import BACKPROPAGATION, SegmentOutput, recurrence

BATCH, MEMORY, WIDTH, TOKENS = 2, 3, 4, 5
EXACT = ("replay", "checkpoint")


class Toy(nn.Module):
    """Memory and tokens through a mixing layer with dropout; a head for all segments or one for each."""

    def __init__(self, segments, shared_head=True):
        super().__init__()
        g = torch.Generator().manual_seed(1)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.across = nn.Parameter(torch.empty(MEMORY + TOKENS, MEMORY + TOKENS))
        self.scale = nn.Parameter(torch.empty(WIDTH))
        self.dropout = Dropout(0.25)
        self.initial = nn.Parameter(torch.empty(MEMORY, WIDTH))
        self.heads = nn.ModuleList([nn.Linear(WIDTH, 2) for _ in range(1 if shared_head else segments)])
        self.unused = nn.Parameter(torch.ones(1))
        self.double()
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(0.5 * torch.randn(p.shape, generator=g, dtype=torch.float64))

    def segment(self, t, memory, x, code):
        h = torch.cat([memory, x], dim=1)
        h = torch.tanh(self.mix(self.dropout(self.across @ h)) + h + code)
        h = nn.functional.layer_norm(h, (WIDTH,), self.scale)
        new, tokens = h[:, :MEMORY], h[:, MEMORY:]
        return SegmentOutput(new, tokens.sum(1), new.mean(1) + tokens.mean(1))

    def loss(self, out, kind):
        """At the last memory, at the pooled read-out, or at every segment."""
        if kind == "last":
            return self.heads[0](out.memory.mean(1)).square().sum()
        if kind == "pool":
            return (self.heads[0](out.total / 7) + self.heads[0](out.memory.mean(1))).square().sum()
        each = [self.heads[t % len(self.heads)](row) for t, row in enumerate(out.each)]
        return sum((1 + t) * e.square().sum() for t, e in enumerate(each))


def tensors(segments, seed=0):
    g = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(BATCH, TOKENS, WIDTH, generator=g, dtype=torch.float64) for _ in range(segments)]
    code = torch.randn(WIDTH, generator=g, dtype=torch.float64)
    factors = torch.rand(segments - 1, BATCH, generator=g, dtype=torch.float64) * 0.6 + 0.2
    return inputs, code, factors


def run(way, segments, loss="last", shared_head=True, watch=None, seed=7):
    """Value, and the gradient of everything that may want one, by name."""
    toy = Toy(segments, shared_head)
    inputs, code, factors = tensors(segments)
    for x in (*inputs, code, factors):
        x.requires_grad_()
    torch.manual_seed(seed)
    out = recurrence(
        toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
        parameters=list(toy.parameters()), backpropagation=way, watch=watch,
    )  # fmt: skip
    value = toy.loss(out, loss)
    value.backward()
    found = {name: p.grad for name, p in toy.named_parameters()}
    found |= {"code": code.grad, "factors": factors.grad} | {f"x{t}": x.grad for t, x in enumerate(inputs)}
    return value.detach(), found, torch.get_rng_state()


def difference(ours, other):
    """Largest difference over all gradients, over the largest of each."""
    assert {k for k, v in ours.items() if v is None} == {k for k, v in other.items() if v is None}
    return max(float((ours[k] - v).abs().max() / v.abs().max().clamp_min(1e-30)) for k, v in other.items()
               if v is not None and v.numel())  # fmt: skip


@pytest.mark.parametrize("shared_head", [True, False])
@pytest.mark.parametrize("loss", ["last", "pool", "each"])
@pytest.mark.parametrize("segments", [1, 2, 5, 16])
def test_replay_is_backpropagation_through_time(segments, loss, shared_head):
    """With dropout on, for all parameters, the initial memory, the factors, the inputs; the printed algorithm fails the same."""
    value, full, state = run("full", segments, loss, shared_head)
    assert full["initial"].abs().max() > 0 and full["unused"] is None
    for way in EXACT:
        same, gradients, after = run(way, segments, loss, shared_head)
        assert torch.equal(same, value)
        assert difference(gradients, full) < 1e-10
        assert torch.equal(after, state)  # replaying leaves the generator where it was
    if segments > 1:
        same, printed, _ = run("replay_as_printed", segments, loss, shared_head)
        assert torch.equal(same, value)  # forward it is the same
        assert printed["factors"] is None or not printed["factors"].any()
        wrong = {k: v for k, v in printed.items() if k != "factors"}
        right = {k: v for k, v in full.items() if k != "factors"}
        assert difference(wrong, right) > 1e-2


def test_the_printed_gradient_is_too_large_by_the_factors():
    """With the loss at the end the gradient of m_1 lacks r_1 ... r_{T-1}; only for r = 1 is it right."""
    segments = 5
    toy = Toy(segments)
    inputs, code, _ = tensors(segments)

    def initial(way, r):
        torch.manual_seed(0)
        out = recurrence(
            toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=torch.full((segments - 1,), r).double(),
            shared=[code], parameters=list(toy.parameters()), backpropagation=way,
        )  # fmt: skip
        return torch.autograd.grad(toy.loss(out, "last"), toy.initial)[0]

    assert torch.allclose(initial("replay_as_printed", 0.5) * 0.5 ** (segments - 1), initial("full", 0.5), rtol=1e-12)
    assert torch.allclose(initial("replay_as_printed", 1.0), initial("full", 1.0), rtol=1e-12)


def test_truncation_gives_the_initial_memory_nothing():
    _, full, _ = run("full", 3, "each")
    _, cut, _ = run("truncated", 3, "each")
    assert not torch.allclose(cut["mix.weight"], full["mix.weight"])
    _, last, _ = run("truncated", 3, "last")
    assert last["initial"] is None and last["x0"] is None and last["x2"] is not None


def test_a_graph_can_be_gone_through_again_and_gradients_accumulate():
    toy = Toy(4)
    inputs, code, factors = tensors(4)
    torch.manual_seed(3)

    def out():
        return recurrence(
            toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
            parameters=list(toy.parameters()), backpropagation="replay",
        )  # fmt: skip

    first = out()
    losses = {kind: toy.loss(first, kind) for kind in ("last", "each")}
    leaves = [toy.initial, toy.mix.weight, toy.across]
    separate = [torch.autograd.grad(losses[k], leaves, retain_graph=True) for k in ("last", "each")]
    together = torch.autograd.grad(losses["last"] + losses["each"], leaves, retain_graph=True)
    for a, b, both in zip(*separate, together, strict=True):
        assert torch.allclose(a + b, both, rtol=1e-12, atol=1e-14)
    losses["last"].backward(retain_graph=True)
    losses["last"].backward()
    assert torch.allclose(toy.initial.grad, 2 * separate[0][0], rtol=1e-12)
    with torch.no_grad():
        value = toy.loss(out(), "last")
    assert not value.requires_grad


def test_a_weight_changed_before_the_way_back_is_refused():
    toy = Toy(3)
    inputs, code, factors = tensors(3)
    out = recurrence(
        toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
        parameters=list(toy.parameters()),
    )  # fmt: skip
    with torch.no_grad():
        toy.mix.bias.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        toy.loss(out, "last").backward()


@pytest.mark.parametrize("inside", [True, False])
def test_autocast_of_the_first_pass_is_that_of_the_replay(inside):
    """Backward outside autocast, or inside it, where a cast made without a graph must not be taken again."""
    found = {}
    for way in ("full", "replay"):
        toy = Toy(4).float()
        computed = []
        toy.mix.register_forward_hook(lambda module, given, out, into=computed: into.append(out.dtype))
        inputs, code, factors = tensors(4)
        torch.manual_seed(2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = recurrence(
                toy.segment, toy.initial.expand(BATCH, -1, -1), [x.float() for x in inputs], factors=factors.float(),
                shared=[code.float()], parameters=list(toy.parameters()), backpropagation=way,
            )  # fmt: skip
            loss = toy.loss(out, "pool")
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        found[way] = {n: p.grad for n, p in toy.named_parameters()}
        # Four segments, and three again on the way back: in the precision of the first time.
        assert computed == [torch.bfloat16] * (7 if way == "replay" else 4)
    assert found["full"]["mix.weight"].abs().max() > 0
    # Gradients of one weight are summed in bfloat16 within a graph and in float32 over segments.
    assert difference(found["replay"], found["full"]) < 0.05


def saved_bytes(way, segments, loss="last"):
    """Bytes of what autograd keeps for the way back, each storage once, without parameters and inputs."""
    toy = Toy(segments)
    inputs, code, factors = tensors(segments)
    own = {t.untyped_storage().data_ptr() for t in (*toy.parameters(), *inputs, code, factors)}
    kept = {}

    def pack(t):
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = recurrence(
            toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
            parameters=list(toy.parameters()), backpropagation=way,
        )  # fmt: skip
        value = toy.loss(out, loss)
    assert value.requires_grad
    return sum(n for n, _ in kept.values())


@pytest.mark.parametrize("loss", ["last", "pool"])
def test_replay_keeps_the_memory_at_the_boundaries_and_nothing_else(loss):
    at = {t: saved_bytes("replay", t, loss) for t in (3, 4, 8, 16)}
    for a, b in pairwise(at):
        assert at[b] - at[a] == (b - a) * BATCH * MEMORY * WIDTH * 8
    full = {t: saved_bytes("full", t, loss) for t in (4, 16)}
    assert (full[16] - full[4]) / 12 > 5 * BATCH * MEMORY * WIDTH * 8


def test_the_gradient_of_the_memory_path_is_watched_alike():
    seen = {way: {} for way in ("full", "replay", "checkpoint")}
    for way, found in seen.items():
        run(way, 5, "last", watch=lambda t, gradient, found=found: found.update({t: gradient.clone()}))
    assert set(seen["full"]) == set(range(5))
    for t, gradient in seen["full"].items():
        assert torch.allclose(seen["replay"][t], gradient, rtol=1e-12, atol=1e-18)
        assert torch.allclose(seen["checkpoint"][t], gradient, rtol=1e-12, atol=1e-18)


def test_errors_name_what_is_wrong():
    toy = Toy(2)
    inputs, code, _ = tensors(2)
    memory = toy.initial.expand(BATCH, -1, -1)
    with pytest.raises(ModelError, match="unknown way of backpropagation 'replays': did you mean 'replay'"):
        recurrence(toy.segment, memory, inputs, shared=[code], backpropagation="replays")
    with pytest.raises(ModelError, match="inputs are empty"):
        recurrence(toy.segment, memory, [], shared=[code])
    with pytest.raises(ModelError, match=r"factors are \(3,\); expected \(1,\) or \(1, 2\) for 2 segments"):
        recurrence(toy.segment, memory, inputs, factors=torch.ones(3), shared=[code])
    assert set(EXACT) < set(BACKPROPAGATION)


@pytest.mark.parametrize("hook", [lambda g: 0.1 * g, lambda g: g.clamp(-1e-3, 1e-3)], ids=["scaled", "clipped"])
def test_hooks_of_parameters_fire_once_on_the_whole_gradient(hook):
    """Also for a parameter that all segments and the loss share, and twice through one graph."""
    found, calls, after = {}, {}, {}
    for way in ("full", "replay"):
        toy = Toy(4)
        inputs, code, factors = tensors(4)
        counted = []
        for p in (toy.across, toy.mix.weight, toy.heads[0].weight):
            p.register_hook(lambda g, counted=counted: (counted.append(1), hook(g))[1])
        late = []
        toy.scale.register_post_accumulate_grad_hook(lambda p, late=late: late.append(p.grad.clone()))
        torch.manual_seed(3)
        out = recurrence(
            toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
            parameters=list(toy.parameters()), backpropagation=way,
        )  # fmt: skip
        loss = toy.loss(out, "each") + toy.across.square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        found[way], calls[way], after[way] = {n: p.grad for n, p in toy.named_parameters()}, len(counted), len(late)
    assert difference(found["replay"], found["full"]) < 1e-10
    assert calls["replay"] == calls["full"] == 6 and after["replay"] == after["full"] == 2


def test_a_hook_can_be_removed_after_a_replay():
    toy = Toy(3)
    inputs, code, factors = tensors(3)
    calls = []
    handle = toy.across.register_hook(lambda g: calls.append(1))

    def backward():
        recurrence(
            toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
            parameters=list(toy.parameters()),
        ).memory.sum().backward()  # fmt: skip

    backward()
    handle.remove()
    backward()
    assert len(calls) == 1


def test_second_derivatives_are_refused():
    toy = Toy(3)
    inputs, code, factors = tensors(3)
    memory = toy.initial.expand(BATCH, -1, -1)
    out = recurrence(toy.segment, memory, inputs, factors=factors, shared=[code], parameters=list(toy.parameters()))
    loss = toy.loss(out, "last")
    with pytest.raises(ModelError, match=r"no second derivatives .* take backpropagation 'full'"):
        torch.autograd.grad(loss, toy.across, create_graph=True)


def test_a_leaf_that_is_not_named_is_refused_and_a_segment_without_parameters_needs_none():
    toy = Toy(3)
    inputs, code, factors = tensors(3)
    memory = toy.initial.expand(BATCH, -1, -1)
    for given in ([], [p for p in toy.parameters() if p is not toy.across]):
        with pytest.raises(
            ModelError, match=rf"is not among the {len(given)} parameters given.*pass it in parameters="
        ):
            recurrence(toy.segment, memory, inputs, factors=factors, shared=[code], parameters=given)
    with torch.no_grad():
        recurrence(toy.segment, memory, inputs, factors=factors, shared=[code])

    def plain(t, memory, x, code):
        return SegmentOutput(torch.tanh(memory + x.mean(1, keepdim=True) * code))

    found = {}
    for way in ("full", "replay"):
        leaves = [x.clone().requires_grad_() for x in (*inputs, code, factors, toy.initial.detach())]
        out = recurrence(
            plain, leaves[-1].expand(BATCH, -1, -1), leaves[:3], factors=leaves[4], shared=[leaves[3]],
            backpropagation=way,
        )  # fmt: skip
        found[way] = torch.autograd.grad(out.memory.square().sum(), leaves)
    for a, b in zip(found["replay"], found["full"], strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dropped", [True, False])
def test_states_of_the_generator_are_kept_where_numbers_are_drawn(dropped, monkeypatch):
    """Each takes 5 kB; a segment that draws nothing needs none."""
    plans = []
    monkeypatch.setattr(replay, "_Plan", lambda *a, make=replay._Plan: plans.append(make(*a)) or plans[-1])
    toy = Toy(4).train(dropped)
    inputs, code, factors = tensors(4)
    recurrence(
        toy.segment, toy.initial.expand(BATCH, -1, -1), inputs, factors=factors, shared=[code],
        parameters=list(toy.parameters()),
    )  # fmt: skip
    assert [state is not None for state in plans[0].random] == [dropped] * 3
