"""sum_m q_t (sigma(s S_t) - 1/2) for a running Hebbian sum S_t, in bounded memory, with its own backward pass.

The sigmoid acts on the running sum, so no re-association removes the N m d sigmoids; what can be saved is memory and
bookkeeping. Only the state at every chunk boundary is stored; inside a chunk the backward pass recomputes it
(exactly, so there is no drift as with a reversed recurrence) and accumulates, from the last token to the first:

    Y_t = sigma(s S_t) - 1/2      dq_t = do_t Y_t^T      A_t = A_{t+1} + s q_t^T do_t (1/4 - Y_t^2)
    dkappa_t = v_t A_t^T          dv_t = kappa_t A_t
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def _centred_sigmoid_(x: Tensor) -> Tensor:
    """sigma(x) - 1/2 in place.

    On the CPU torch's sigmoid is about seven times faster than its tanh; on a GPU tanh is one instruction.
    """
    if x.device.type == "cpu":
        return x.sigmoid_().sub_(0.5)
    return x.mul_(0.5).tanh_().mul_(0.5)


def _running_sums(kappa: Tensor, v: Tensor, start: Tensor, out: Tensor) -> Tensor:
    """S_t for the tokens of one chunk, into `out` ``[c, rows, m, d]``, from `start` ``[rows, m, d]``."""
    torch.mul(kappa.unsqueeze(-1), v.unsqueeze(-2), out=out)
    out[0].add_(start)
    if out.device.type == "cpu":
        tokens = out.unbind(0)
        for before, now in pairwise(tokens):
            now.add_(before)
        return out
    return out.cumsum_(dim=0)


class _HebbianScan(torch.autograd.Function):
    """Time first, batch and heads flattened: q, kappa ``[T, rows, m]``, v ``[T, rows, d]``, start ``[rows, m, d]``."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, kappa: Tensor, v: Tensor, start: Tensor, scale: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        time, rows, m = q.shape
        d = v.shape[-1]
        out = v.new_empty(time, rows, d)
        carry = start
        carries = []
        buffer = v.new_empty(min(chunk, time), rows, m, d)
        for a in range(0, time, chunk):
            b = min(a + chunk, time)
            carries.append(carry)
            s = _running_sums(kappa[a:b], v[a:b], carry, buffer[: b - a])
            carry = s[-1].clone()
            y = _centred_sigmoid_(s.mul_(scale))
            torch.matmul(q[a:b].unsqueeze(-2), y, out=out[a:b].unsqueeze(-2))
        ctx.save_for_backward(q, kappa, v, *carries)
        ctx.scale, ctx.chunk = scale, chunk
        return out, carry if carries else start.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_final: Tensor) -> tuple[Tensor | None, ...]:
        q, kappa, v, *carries = ctx.saved_tensors
        with torch.autocast(device_type=q.device.type, enabled=False):
            return _scan_backward(q, kappa, v, carries, ctx.scale, ctx.chunk, d_out.contiguous(), d_final)


def _scan_backward(
    q: Tensor, kappa: Tensor, v: Tensor, carries: list[Tensor], scale: float, chunk: int, d_out: Tensor, d_final: Tensor
) -> tuple[Tensor | None, ...]:
    time, rows, m = q.shape
    d = v.shape[-1]
    d_q, d_kappa, d_v = torch.empty_like(q), torch.empty_like(kappa), torch.empty_like(v)
    carry = d_final.clone()  # A after the last token
    width = min(chunk, time)
    y_buffer, u_buffer = v.new_empty(width, rows, m, d), v.new_empty(width, rows, m, d)
    minus_quarter = v.new_tensor(-0.25)
    # Products are written row times matrix: matrix times column is several times slower in batched CPU kernels.
    for index in reversed(range(len(carries))):
        a = index * chunk
        b = min(a + chunk, time)
        y = _centred_sigmoid_(_running_sums(kappa[a:b], v[a:b], carries[index], y_buffer[: b - a]).mul_(scale))
        torch.matmul(d_out[a:b].unsqueeze(-2), y.transpose(-1, -2), out=d_q[a:b].unsqueeze(-2))
        u = torch.mul(q[a:b].unsqueeze(-1), d_out[a:b].mul(-scale).unsqueeze(-2), out=u_buffer[: b - a])
        u.mul_(torch.addcmul(minus_quarter, y, y, out=y))  # -s q do * (Y^2 - 1/4)
        u[-1].add_(carry)
        for later, now in pairwise(reversed(u.unbind(0))):
            now.add_(later)
        torch.matmul(v[a:b].unsqueeze(-2), u.transpose(-1, -2), out=d_kappa[a:b].unsqueeze(-2))
        torch.matmul(kappa[a:b].unsqueeze(-2), u, out=d_v[a:b].unsqueeze(-2))
        carry = u[0].clone()
    return d_q, d_kappa, d_v, carry, None, None


def hebbian_scan(
    q: Tensor, kappa: Tensor, v: Tensor, start: Tensor, *, scale: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """sum_m q_t (sigma(scale S_t) - 1/2) ``[batch, time, heads, d]`` and the final S ``[batch, heads, m, d]``.

    q, kappa ``[batch, time, heads, m]``, v ``[batch, time, heads, d]``, start S_0 ``[batch, heads, m, d]``;
    differentiable once in all four.
    Memory: chunk x batch x heads x m x d at work and time/chunk states kept for the backward pass.
    """
    batch, time, heads, m = q.shape
    d = v.shape[-1]

    def time_first(x: Tensor) -> Tensor:
        return x.transpose(0, 1).reshape(time, batch * heads, x.shape[-1]).contiguous()

    out, final = _HebbianScan.apply(
        time_first(q), time_first(kappa), time_first(v), start.reshape(batch * heads, m, d).contiguous(), scale, chunk
    )
    return out.view(time, batch, heads, d).transpose(0, 1), final.view(batch, heads, m, d)
