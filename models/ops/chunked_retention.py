"""`retention` chunk by chunk, with its own backward pass: linear in time, and next to nothing kept for the gradient.

Within a chunk of C tokens all products are matrices; S enters and leaves it (r = 0 ... n-1 counts its tokens):

    o_r = gamma^{r+1} S^T q_r + c sum_{j<=r} gamma^{r-j} (q_r . k_j) v_j
    S  <- gamma^n S + c sum_j gamma^{n-1-j} k_j v_j^T

Only the state before every eighth chunk is kept. The backward pass takes these spans from the last to the first, computes the
states inside one again, forwards (reversing the recurrence would divide by gamma), and walks through its chunks from the last to
the first with the gradient of S. Tokens are loaded a chunk at a time into buffers that stay in the nearest cache, and widened
there, so that sums are in float32 or better whatever the inputs are.

Registered as operators of torch, so that a compiled model calls them as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError
from .decay import decay_matrix, powers
from .linear import finite, poison_after
from .pages import roomy
from .precision import state_dtype, without_autocast
from .retention import check_shapes, default_scale, start_of

CHUNK = 64
SPAN = 8
# Numbers in a buffer of one chunk; about ten of them are at work at a time.
IN_CACHE = 32768


class _Tables(NamedTuple):
    """Powers of the decays for a chunk of n tokens, for all rows (batch and heads) of a group."""

    within: Tensor  # c gamma^{r-j}, [rows, n, n]
    read: Tensor  # gamma^{r+1}, [rows, n, 1]
    write: Tensor  # c gamma^{n-1-j}, [rows, n, 1]
    whole: Tensor  # gamma^n, [rows, 1, 1]


def _tables(decays: Sequence[float], batch: int, n: int, scale: float, like: Tensor) -> _Tables:
    steps = torch.arange(n, device=like.device)
    one = (
        scale * decay_matrix(decays, n, like.dtype, like.device),
        powers(decays, steps + 1, like.dtype)[..., None],
        scale * powers(decays, n - 1 - steps, like.dtype)[..., None],
        powers(decays, torch.tensor(n, device=like.device), like.dtype)[:, None, None],
    )
    return _Tables(*(x.repeat(batch, 1, 1) for x in one))


class _Group:
    """Some rows of the batch, as many as keep the buffers in the cache, and their chunks."""

    def __init__(
        self, rows: slice, batch: int, heads: int, time: int, chunk: int, decays: Sequence[float], scale: float, like: Tensor
    ) -> None:  # fmt: skip
        self.rows, self.batch, self.heads, self.like = rows, batch, heads, like
        self.count = batch * heads
        self.bounds = [(a, min(a + chunk, time)) for a in range(0, time, chunk)]
        sizes = sorted({b - a for a, b in self.bounds})
        self.tables = {n: _tables(decays, batch, n, scale, like) for n in sizes}
        self._buffers: dict[tuple[str, int, int], Tensor] = {}

    def buffer(self, name: str, n: int, width: int) -> Tensor:
        """``[rows, n, width]``, the same memory at every call."""
        key = (name, n, width)
        if key not in self._buffers:
            self._buffers[key] = self.like.new_empty(self.count, n, width)
        return self._buffers[key]

    def load(self, name: str, x: Tensor, a: int, b: int) -> Tensor:
        """Tokens a ... b-1 of x ``[batch, time, heads, width]`` as ``[rows, tokens, width]``."""
        into = self.buffer(name, b - a, x.shape[-1])
        into.view(self.batch, self.heads, b - a, -1).copy_(x[self.rows, a:b].transpose(1, 2))
        return into

    def store(self, into: Tensor, x: Tensor, a: int, b: int) -> None:
        """The reverse of `load`."""
        into[self.rows, a:b].copy_(x.view(self.batch, self.heads, b - a, -1).transpose(1, 2))

    def advance(self, state: Tensor, k: Tensor, v: Tensor, out: Tensor) -> None:
        """The state after a chunk into `out`, which may be `state` itself."""
        n = k.shape[1]
        table = self.tables[n]
        written = torch.mul(k, table.write, out=self.buffer("x", n, k.shape[-1]))
        torch.mul(state, table.whole, out=out)
        out.baddbmm_(written.transpose(1, 2), v)


def _groups(q: Tensor, v: Tensor, decays: Sequence[float], scale: float, chunk: int, like: Tensor) -> Iterator[_Group]:
    batch, time, heads, m = q.shape
    numbers = heads * min(chunk, max(time, 1)) * max(m, v.shape[-1])
    together = max(1, IN_CACHE // max(numbers, 1)) if q.device.type == "cpu" else max(batch, 1)
    for first in range(0, batch, together):
        last = min(first + together, batch)
        yield _Group(slice(first, last), last - first, heads, time, chunk, decays, scale, like)


@torch.library.custom_op("astromorphic::retention", mutates_args=())
def _retention(
    q: Tensor, k: Tensor, v: Tensor, start: Tensor, decays: list[float], scale: float, chunk: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    batch, time, heads, m = q.shape
    d = v.shape[-1]
    out = roomy(start, batch, time, heads, d)
    final = start.clone(memory_format=torch.contiguous_format)
    kept = roomy(start, _spans(time, chunk) if keep else 0, batch, heads, m, d)
    for group in _groups(q, v, decays, scale, chunk, start):
        s = final[group.rows].view(group.count, m, d)
        for i, (a, b) in enumerate(group.bounds):
            if keep and i % SPAN == 0:
                kept[i // SPAN, group.rows].view(s.shape).copy_(s)
            n = b - a
            table = group.tables[n]
            q_c, k_c, v_c = (group.load(name, x, a, b) for name, x in (("q", q), ("k", k), ("v", v)))
            scores = torch.bmm(q_c, k_c.transpose(1, 2), out=group.buffer("scores", n, n)).tril_().mul_(table.within)
            o = torch.bmm(scores, v_c, out=group.buffer("o", n, d))
            o.baddbmm_(torch.mul(q_c, table.read, out=group.buffer("x", n, m)), s)
            group.store(out, o, a, b)
            group.advance(s, k_c, v_c, out=s)
    return out, final, kept


def _spans(time: int, chunk: int) -> int:
    return -(-time // (chunk * SPAN))


@_retention.register_fake
def _shapes(
    q: Tensor, k: Tensor, v: Tensor, start: Tensor, decays: list[float], scale: float, chunk: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    batch, time, heads, m = q.shape
    d = v.shape[-1]
    spans = _spans(time, chunk) if keep else 0
    return (
        start.new_empty(batch, time, heads, d),
        start.new_empty(batch, heads, m, d),
        start.new_empty(spans, batch, heads, m, d),
    )


@torch.library.custom_op("astromorphic::retention_backward", mutates_args=())
def _retention_backward(
    q: Tensor, k: Tensor, v: Tensor, kept: Tensor, d_out: Tensor, d_final: Tensor, decays: list[float], scale: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    m, d = q.shape[3], v.shape[3]
    d_q, d_k, d_v = (roomy(x, *x.shape) for x in (q, k, v))
    d_start = d_final.clone(memory_format=torch.contiguous_format)
    for group in _groups(q, v, decays, scale, chunk, d_final):
        d_s = d_start[group.rows].view(group.count, m, d)  # the gradient of the state after the chunk
        states = d_final.new_empty(min(SPAN, max(len(group.bounds), 1)), group.count, m, d)
        for span in reversed(range(kept.shape[0])):
            bounds = group.bounds[span * SPAN : (span + 1) * SPAN]
            states[0].copy_(kept[span, group.rows].view(group.count, m, d))
            for i, (a, b) in enumerate(bounds[:-1]):
                group.advance(states[i], group.load("k", k, a, b), group.load("v", v, a, b), out=states[i + 1])
            for s, (a, b) in reversed(list(zip(states, bounds, strict=False))):
                n = b - a
                table = group.tables[n]
                names = (("q", q), ("k", k), ("v", v), ("g", d_out))
                q_c, k_c, v_c, g = (group.load(name, x, a, b) for name, x in names)
                scores = (
                    torch.bmm(q_c, k_c.transpose(1, 2), out=group.buffer("scores", n, n)).tril_().mul_(table.within)
                )
                d_scores = (
                    torch.bmm(g, v_c.transpose(1, 2), out=group.buffer("d_scores", n, n)).tril_().mul_(table.within)
                )

                flow = torch.bmm(d_scores, k_c, out=group.buffer("dm", n, m))
                flow.baddbmm_(torch.mul(g, table.read, out=group.buffer("xd", n, d)), s.transpose(1, 2))
                group.store(d_q, flow, a, b)

                flow = torch.bmm(d_scores.transpose(1, 2), q_c, out=group.buffer("dm", n, m))
                flow.baddbmm_(torch.mul(v_c, table.write, out=group.buffer("xd", n, d)), d_s.transpose(1, 2))
                group.store(d_k, flow, a, b)

                flow = torch.bmm(scores.transpose(1, 2), g, out=group.buffer("dd", n, d))
                flow.baddbmm_(torch.mul(k_c, table.write, out=group.buffer("x", n, m)), d_s)
                group.store(d_v, flow, a, b)

                read = torch.mul(q_c, table.read, out=group.buffer("x", n, m))
                d_s.mul_(table.whole).baddbmm_(read.transpose(1, 2), g)
    return d_q, d_k, d_v, d_start


@_retention_backward.register_fake
def _gradient_shapes(
    q: Tensor, k: Tensor, v: Tensor, kept: Tensor, d_out: Tensor, d_final: Tensor, decays: list[float], scale: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape), d_final.new_empty(d_final.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, _, ctx.decays, ctx.scale, ctx.chunk, _ = inputs
    ctx.save_for_backward(q, k, v, output[2])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_out: Tensor | None, d_final: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    q, k, v, kept = ctx.saved_tensors
    batch, time, heads, m = q.shape
    d_out = kept.new_zeros(batch, time, heads, v.shape[-1]) if d_out is None else d_out
    d_final = kept.new_zeros(batch, heads, m, v.shape[-1]) if d_final is None else d_final
    gradients = _retention_backward(q, k, v, kept, d_out, d_final, ctx.decays, ctx.scale, ctx.chunk)
    return (*gradients, None, None, None, None)


_retention.register_autograd(_differentiate, setup_context=_remember)


def _run(
    q: Tensor, k: Tensor, v: Tensor, start: Tensor, decays: list[float], scale: float, chunk: int
) -> tuple[Tensor, Tensor]:
    keep = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, start))
    out, final, _ = _retention(q, k, v, start, decays, scale, chunk, keep)
    return out, final


@without_autocast
def retention_chunked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    decays: Sequence[float],
    *,
    state: Tensor | None = None,
    scale: float | None = None,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """`retention.retention_serial` in time and memory linear in the number of tokens; same arguments, results and gradients.

    chunk : tokens per chunk, a matter of speed only; any length of a sequence will do. Differentiable once, in query, key,
    value and state. A token that is not finite shows from its own position on and nowhere before.
    """
    check_shapes(query, key, value, decays, state)
    if chunk < 1:
        raise ModelError(f"chunk is {chunk}; expected at least 1 token")
    c, start = default_scale(query, scale), start_of(state, query, value)
    wide = state_dtype(torch.promote_types(query.dtype, start.dtype))
    start, gammas = start.to(wide), [float(gamma) for gamma in decays]
    if query.device.type == "cpu" and not torch.compiler.is_compiling():
        out, final = _run(query, key, value, start, gammas, c, chunk)
        # What is not finite stays in the state, so that the state alone needs a look.
        if bool(torch.isfinite(final).all()):
            return out, final
    # Products over a whole chunk meet 0 * NaN = NaN and would carry a bad token into the past.
    poison = poison_after(key, value).to(wide)
    out, final = _run(query, finite(key), finite(value), start, gammas, c, chunk)
    return out + poison, final + (poison[:, -1:] if poison.shape[1] else 0.0)
