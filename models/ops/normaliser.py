"""C_t = phi(q_t) . g(G_t) for all tokens, without keeping g(G_t): the causal normaliser in bounded memory.

G_t and g(G_t) are as large as the keys, and autograd would keep several arrays of that size. Here they exist for one piece
of time; only G before each piece is stored, and the backward pass computes the piece again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .fused_scan import running_sum
from .response import Response

# Numbers of one array in a piece: a few of them fit into the cache of a core.
PIECE = 262_144


def pieces(x: Tensor) -> Iterator[slice]:
    """The time axis of ``[batch, time, heads, .]`` cut into equal pieces of about `PIECE` numbers."""
    batch, time, heads, width = x.shape
    count = max(1, round(batch * time * heads * width / PIECE))
    size = max(1, -(-time // count))
    for start in range(0, time, size):
        yield slice(start, min(start + size, time))


class _Normaliser(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, start: Tensor, response: Response, compiled: bool
    ) -> tuple[Tensor, Tensor]:
        c = q.new_empty(*q.shape[:3], 1)
        carry, carries = start, []
        for now in pieces(q):
            carries.append(carry)
            activation = running_sum(k[:, now], carry, compiled=compiled)
            carry = activation[:, -1].clone()
            torch.sum(q[:, now] * response(activation), -1, keepdim=True, out=c[:, now])
        ctx.save_for_backward(q, k, *carries)
        ctx.response, ctx.compiled = response, compiled
        return c, carry.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_c: Tensor, d_last: Tensor) -> tuple[Tensor | None, ...]:
        q, k, *carries = ctx.saved_tensors
        d_q, d_k = torch.empty_like(q), torch.empty_like(k)
        carry = d_last
        for now, before in reversed(list(zip(pieces(q), carries, strict=True))):
            activation = running_sum(k[:, now], before, compiled=ctx.compiled).requires_grad_()
            with torch.enable_grad():
                g = ctx.response(activation)
            torch.mul(d_c[:, now], g.detach(), out=d_q[:, now])
            (slope,) = torch.autograd.grad(g, activation, d_c[:, now] * q[:, now])
            d_k[:, now] = running_sum(slope, carry, compiled=ctx.compiled, reverse=True)
            carry = d_k[:, now][:, 0].clone()
        return d_q, d_k, carry, None, None


def causal_normaliser(
    q: Tensor, k: Tensor, start: Tensor, response: Response, *, compiled: bool = False
) -> tuple[Tensor, Tensor]:
    """C ``[batch, time, heads, 1]`` and G after the last token ``[batch, heads, m]``; differentiable once.

    q, k: phi(q), phi(k) ``[batch, time, heads, m]``; start: G before the first token. `compiled`: sum by the kernel of
    `scan_kernel`, for tensors that `fused_scan.available` accepts.
    """
    if torch.compiler.is_compiling():  # the compiler does its own fusing, and cannot enter the function above
        activation = k.cumsum(dim=1) + start[:, None]
        last = activation[:, -1] if activation.shape[1] else start
        return (q * response(activation)).sum(-1, keepdim=True), last
    c, last = _Normaliser.apply(q, k, start, response, compiled)
    return c, last
