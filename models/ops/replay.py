"""Recurrence over segments, and the ways of taking its gradient.

    m_in_1 = m_1,  m_in_t = r_{t-1} m'_t        (m'_{t+1}, total_t, each_t) = segment(t, m_in_t, x_t)

One segment reads what the segment before it has left in memory, scaled by a retention factor. Results are the last m', the sum
of all total_t and the row of all each_t.

`full` is backpropagation through time: every segment's graph is kept. `replay` keeps the memory at the boundaries alone and
works every segment but the last out again on the way back, with the random numbers and the autocast of the first time: astrocytic
memory replay backpropagation (AMRB, arXiv 2601.00426, App. D), which is the memory replay of Memformer (arXiv 2010.06891)
with a factor. Its gradients are those of `full`. `checkpoint` is the same by `torch.utils.checkpoint`, `truncated` lets no
gradient through memory, and `replay_as_printed` is the paper's Algorithm 1: line 13 seeds m' with the gradient of r m', so
the factor is missing on the way back and the gradient is wrong wherever r is not 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..choices import choice
from ..errors import ModelError

BACKPROPAGATION = ("replay", "full", "checkpoint", "truncated", "replay_as_printed")
_REPLAYED = ("replay", "replay_as_printed")


class SegmentOutput(NamedTuple):
    """What one segment gives: m' in the shape and dtype of the memory it was given, and what is read out of it.

    total : added up over segments. each : kept apart, one entry per segment. None where nothing is read out that way.
    """

    memory: Tensor
    total: Tensor | None = None
    each: Tensor | None = None


class Recurrence(NamedTuple):
    """m' of the last segment, the sum of all `total`, and all `each` stacked, ``[T, ...]``; None as for a segment."""

    memory: Tensor
    total: Tensor | None
    each: Tensor | None


Segment = Callable[..., SegmentOutput]
_RandomState = tuple[Tensor, Tensor | None]
Watch = Callable[[int, Tensor], None]


def recurrence(
    segment: Segment,
    memory: Tensor,
    inputs: Sequence[Tensor],
    *,
    factors: Tensor | None = None,
    shared: Sequence[Tensor] = (),
    parameters: Sequence[Tensor] = (),
    backpropagation: str = "replay",
    watch: Watch | None = None,
) -> Recurrence:
    """Run `segment` over `inputs`, differentiable by an ordinary ``backward``, with memory as `backpropagation` says.

    segment : ``segment(t, memory, x_t, *shared)`` with t from 0, a function of its arguments, of `parameters` and of torch's
        random numbers alone. It is called twice for every segment but the last where segments are replayed, so it must
        change nothing.
    memory : m_1, ``[batch, ...]``. inputs : x_1 ... x_T, floats (which may want a gradient) or token numbers.
    factors : r ``[T-1]`` or ``[T-1, batch]``; entry t scales what segment t hands on. None: all 1.
    shared : tensors that every segment reads and that may want a gradient, e.g. a position code worked out once.
    parameters : leaves that the segments use; replay gives a gradient to these and to no others. A segment that uses none
        needs none.
    watch : called on the way back as ``watch(t, gradient)`` with the loss's gradient with respect to m_in_t.

    Gradients of replay come back by one autograd node, so ``.grad`` accumulates as ever, `torch.autograd.grad` works, a
    graph that is kept can be gone through again, and hooks fire once, a parameter's own as those of data-parallel training.
    There are no second derivatives: a backward pass that makes a graph (``create_graph=True``) raises ModelError.

    Raises ModelError for an unknown way, no inputs, factors of another shape, or a replay whose last segment reaches a leaf
    that wants a gradient and is not named here.
    """
    way = choice("way of backpropagation", backpropagation, BACKPROPAGATION)
    if not inputs:
        raise ModelError("inputs are empty; expected at least one segment")
    n, batch = len(inputs) - 1, memory.shape[0]
    if factors is not None and tuple(factors.shape) not in ((n,), (n, batch)):
        raise ModelError(f"factors are {tuple(factors.shape)}; expected {(n,)} or {(n, batch)} for {n + 1} segments")
    if factors is None:
        factors = memory.new_ones(n)
    if not torch.is_grad_enabled():
        way, watch = "full", None
    if way in _REPLAYED and n:
        leaves = [p for p in parameters if p.requires_grad]
        plan = _Plan(segment, n, len(shared), way == "replay_as_printed", watch)
        before, total, each = _Replay.apply(plan, memory, factors, *inputs[:-1], *shared, *leaves)
        total, each = (None if x.numel() == 0 else x for x in (total, each))
        hand_on = _Printed.apply if plan.printed else _handed
        entering = hand_on(before, factors[n - 1])
        entering = _watched(entering, n, watch)
        last = segment(n, entering, inputs[n], *shared)
        _check_leaves(last, (entering, inputs[n], *shared), leaves)
        return Recurrence(last.memory, _added(total, last.total), _joined(each, last.each))
    total, rows, handed = None, [], memory
    for t, x in enumerate(inputs):
        entering = handed.detach() if way == "truncated" and t else handed
        entering = _watched(entering, t, watch)
        if way == "checkpoint" and t < n:
            out = checkpoint(segment, t, entering, x, *shared, use_reentrant=False)
        else:
            out = segment(t, entering, x, *shared)
        total = _added(total, out.total)
        rows += [] if out.each is None else [out.each]
        handed = out.memory if t == n else _handed(out.memory, factors[t])
    return Recurrence(handed, total, torch.stack(rows) if rows else None)


def _handed(memory: Tensor, factor: Tensor) -> Tensor:
    """r m' for one factor or one per row, in the dtype of the memory."""
    return memory * factor.to(memory.dtype).reshape(*factor.shape, *[1] * (memory.dim() - 1))


class _Printed(torch.autograd.Function):
    """r m' whose gradient lacks r: line 13 of the paper's Algorithm 1."""

    @staticmethod
    def forward(ctx: Any, memory: Tensor, factor: Tensor) -> Tensor:
        return _handed(memory, factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _watched(memory: Tensor, t: int, watch: Watch | None) -> Tensor:
    if watch is None or not memory.requires_grad:
        return memory
    seen = memory.view_as(memory)
    seen.register_hook(lambda gradient: watch(t, gradient))
    return seen


def _added(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    return more if total is None else total if more is None else total + more


def _joined(rows: Tensor | None, last: Tensor | None) -> Tensor | None:
    return None if rows is None or last is None else torch.cat([rows, last[None]])


def _check_leaves(out: SegmentOutput, given: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
    """Raise ModelError if the graph of a segment ends, beside what it was given, in a leaf that replay would forget.

    It is the last segment's graph, the only one there is before the way back.
    """
    if torch.compiler.is_compiling():
        return
    seen = {x.grad_fn for x in given if x.grad_fn is not None}
    known = {id(x) for x in (*given, *parameters)}
    waiting = [x.grad_fn for x in out if x is not None and x.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::AccumulateGrad" and id(leaf := node.variable) not in known:  # type: ignore[attr-defined]
            raise ModelError(
                f"the segments use a leaf {tuple(leaf.shape)} that wants a gradient and is not among the {len(parameters)} "
                "parameters given, so a replay would lose its gradient; pass it in parameters=, or take backpropagation "
                "'checkpoint' or 'full'"
            )
        waiting += [before for before, _ in node.next_functions if before is not None]


@dataclass
class _Plan:
    """What a replay needs beside tensors: filled in by the first pass, read by every backward pass."""

    segment: Segment
    n: int
    n_shared: int
    printed: bool
    watch: Watch | None
    random: list[_RandomState | None] = field(default_factory=list)
    autocast: list[dict[str, Any]] = field(default_factory=list)

    def parted(self, tensors: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:
        """Inputs, shared tensors and parameters."""
        a, b = self.n, self.n + self.n_shared
        return tensors[:a], tensors[a:b], tensors[b:]


class _Replay(torch.autograd.Function):
    """The first T-1 segments without a graph; the way back replays them one at a time, from the last to the first."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, memory: Tensor, factors: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, shared, _ = plan.parted(tensors)
        plan.autocast = _autocast_of(memory.device)
        boundaries, each, total = [memory], [], None
        with _autocast(plan.autocast):
            for t, x in enumerate(inputs):
                entering = memory if t == 0 else _handed(boundaries[t], factors[t - 1])
                state = _random_state(memory.device)
                out = plan.segment(t, entering, x, *shared)
                # 5 kB of the CPU's generator, which a segment without dropout need not keep.
                plan.random.append(None if _undrawn_since(state, memory.device) else state)
                boundaries.append(_alone(out.memory))
                total = _added(total, out.total)
                if out.each is not None:
                    each.append(out.each)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        # The parameters too, although they take no memory: autograd then refuses a weight that was changed in between.
        ctx.save_for_backward(factors, *boundaries[:-1], *tensors)
        nothing = memory.new_zeros(0)
        return boundaries[-1], nothing if total is None else total, torch.stack(each) if each else nothing

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        # Not once_differentiable: its error comes only where the seeds want a gradient, which those of a loss do not.
        if torch.is_grad_enabled():
            raise ModelError(
                "a replay has no second derivatives and this backward pass makes a graph (create_graph=True); leave that out, or "
                "take backpropagation 'full'"
            )
        plan: _Plan = ctx.plan
        memory_gradient, total_gradient, each_gradient = gradients
        factors, *rest = ctx.saved_tensors
        boundaries, tensors = rest[: plan.n], rest[plan.n :]
        inputs, shared, parameters = plan.parted(tensors)
        wants_inputs, wants_shared, wants_parameters = plan.parted(ctx.needs_input_grad[3:])
        factor_gradient = torch.zeros_like(factors) if ctx.needs_input_grad[2] and not plan.printed else None
        input_gradients: list[Tensor | None] = [None] * plan.n
        sums = [_Sum() for _ in (*shared, *parameters)]
        with _outer_random_state_kept(boundaries[0].device), _without_hooks(parameters):
            for t in reversed(range(plan.n)):
                entering = boundaries[0] if t == 0 else _handed(boundaries[t], factors[t - 1])
                entering = entering.detach().requires_grad_(t > 0 or ctx.needs_input_grad[1])
                x = _leaf(inputs[t], wants_inputs[t])
                every = [_leaf(s, w) for s, w in zip(shared, wants_shared, strict=True)]
                if (state := plan.random[t]) is not None:
                    _restore_random_state(state, entering.device)
                with torch.enable_grad(), _autocast(plan.autocast):
                    out = plan.segment(t, entering, x, *every)
                seeds = [
                    memory_gradient, None if out.total is None else total_gradient,
                    None if out.each is None or each_gradient is None else each_gradient[t],
                ]  # fmt: skip
                memory_gradient, input_gradients[t], *found = _gradients(
                    out, seeds, [entering, x, *every, *parameters], [entering.requires_grad, x.requires_grad,
                                                                     *wants_shared, *wants_parameters]
                )  # fmt: skip
                for total, gradient in zip(sums, found, strict=True):
                    total.add(gradient)
                if memory_gradient is not None:
                    if plan.watch is not None:
                        plan.watch(t, memory_gradient)
                    if t and factor_gradient is not None:
                        product = memory_gradient * boundaries[t]
                        kept = product.flatten(1).sum(1) if factors.dim() == 2 else product.sum()
                        factor_gradient[t - 1] = kept
                    if t and not plan.printed:
                        memory_gradient = _handed(memory_gradient, factors[t - 1])
        # What segment T-1 handed on was scaled outside, where autograd has the gradient of the last factor.
        return None, memory_gradient, factor_gradient, *input_gradients, *(total.value for total in sums)


def _alone(memory: Tensor) -> Tensor:
    """The memory in a storage of its own: as a part of the segment's tokens it would keep all of them."""
    whole = memory.untyped_storage().nbytes() == memory.numel() * memory.element_size()
    return memory if whole else memory.clone(memory_format=torch.contiguous_format)


class _Sum:
    """A sum of gradients that never writes into a tensor of autograd's own."""

    def __init__(self) -> None:
        self.value: Tensor | None = None
        self.owned = False

    def add(self, gradient: Tensor | None) -> None:
        if gradient is None:
            return
        if self.value is None:
            self.value = gradient
        elif self.owned:
            self.value += gradient
        else:
            self.value, self.owned = self.value + gradient, True


def _leaf(x: Tensor, wanted: bool) -> Tensor:
    return x.detach().requires_grad_() if wanted else x.detach()


def _gradients(
    outputs: Sequence[Tensor | None], seeds: Sequence[Tensor | None], sources: list[Tensor], wanted: list[bool]
) -> list[Tensor | None]:
    """Gradients of all outputs together, one per source; None where there is none."""
    pairs = [
        (out, seed)
        for out, seed in zip(outputs, seeds, strict=True)
        if out is not None and seed is not None and out.requires_grad
    ]
    chosen = [source for source, want in zip(sources, wanted, strict=True) if want]
    if not pairs or not chosen:
        return [None] * len(sources)
    found = iter(torch.autograd.grad([o for o, _ in pairs], chosen, [s for _, s in pairs], allow_unused=True))
    return [next(found) if want else None for want in wanted]


@contextmanager
def _without_hooks(parameters: Sequence[Tensor]) -> Iterator[None]:
    """The hooks of parameters set aside: autograd calls them for every gradient that it is asked for, here one per segment, and
    once more where the sum of all arrives outside, which is where they belong."""
    hooked = [(p, hooks) for p in parameters if (hooks := p._backward_hooks)]
    for p, _ in hooked:
        p._backward_hooks = None
    try:
        yield
    finally:
        for p, hooks in hooked:
            p._backward_hooks = hooks


def _random_state(device: torch.device) -> _RandomState:
    """State of the CPU's generator and, elsewhere, of the device's."""
    other = None if device.type in ("cpu", "meta") else getattr(torch, device.type).get_rng_state(device)
    return torch.get_rng_state(), other


def _undrawn_since(state: _RandomState, device: torch.device) -> bool:
    """Whether no random number was drawn since."""
    now = _random_state(device)
    same = [torch.equal(a, b) for a, b in zip(now, state, strict=True) if a is not None and b is not None]
    return all(same)


def _restore_random_state(state: _RandomState, device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        getattr(torch, device.type).set_rng_state(state[1], device)


@contextmanager
def _outer_random_state_kept(device: torch.device) -> Iterator[None]:
    state = _random_state(device)
    try:
        yield
    finally:
        _restore_random_state(state, device)


def _autocast_of(device: torch.device) -> list[dict[str, Any]]:
    """The settings of autocast now, for the CPU and for the device."""
    return [
        {"device_type": kind, "enabled": torch.is_autocast_enabled(kind), "dtype": torch.get_autocast_dtype(kind)}
        for kind in sorted({"cpu", device.type})
        if torch.amp.is_autocast_available(kind)
    ]


@contextmanager
def _autocast(settings: list[dict[str, Any]]) -> Iterator[None]:
    """These settings, without autocast's memory of weights: one cast while no graph was made would cut the replay's graph."""
    with ExitStack() as stack:
        for one in settings:
            stack.enter_context(torch.autocast(**one, cache_enabled=False))
        yield
