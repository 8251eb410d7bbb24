"""`reference.encoder` for long sequences: two passes over the tokens, in pieces that stay in the cache.

Writing (eq. 8-11, 14) and reading (eq. 15-17) are operators with backward passes of their own. What is as long as the
sequence is touched piece by piece; kappa, the undivided output and their gradients exist for one piece at a time. H and g are
small and are left to autograd, so any response works:

    write: S = sum_t kappa_t^T v_t, G = sum_t phi(k_t)    dkappa_t = v_t dS^T, dv_t = kappa_t dS, dphi(k_t) = dkappa_t + dG
    read:  P_t = 1 / (q_t . g), o_t = P_t q_t H           dq_t = P_t (do_t H^T - (do_t . o_t) g)
                                                          dH = sum_t q_t^T P_t do_t, dg = -sum_t P_t (do_t . o_t) q_t
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .normaliser import pieces
from .precision import widen, without_autocast
from .reference import activate
from .response import Response
from .state import check_inputs, check_placement, inverse_of_nonzero


def _rows(x: Tensor) -> Tensor:
    """``[batch, time, heads, .]`` as one matrix per head, a view."""
    return x.transpose(1, 2)


def _kept(x: Tensor, keep: Tensor | None) -> Tensor:
    """`x` with masked tokens replaced by 0; keep ``[batch, time]``."""
    return x if keep is None else x.masked_fill(~keep[:, :, None, None], 0.0)


def _piece_of_write(
    key: Tensor, value: Tensor, code: Tensor | None, keep: Tensor | None, now: slice
) -> tuple[Tensor, Tensor, Tensor]:
    k, v, mask = key[:, now], value[:, now], None if keep is None else keep[:, now]
    kappa = k if code is None else k + code[..., now, :, :]
    return _kept(k, mask), k if kappa is k and mask is None else _kept(kappa, mask), _kept(v, mask)


@torch.library.custom_op("astromorphic::encoder_write", mutates_args=())
def _write(key: Tensor, value: Tensor, code: Tensor | None, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    hebbian, activation = _write_shapes(key, value, code, keep)
    hebbian.zero_()
    activation.zero_()
    for now in pieces(key):
        k, kappa, v = _piece_of_write(key, value, code, keep, now)
        hebbian += _rows(kappa).transpose(-1, -2) @ _rows(v)
        activation += k.sum(dim=1)
    return hebbian, activation


@_write.register_fake
def _write_shapes(key: Tensor, value: Tensor, code: Tensor | None, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    batch, _, heads, m = key.shape
    return key.new_empty(batch, heads, m, value.shape[-1]), key.new_empty(batch, heads, m)


@torch.library.custom_op("astromorphic::encoder_write_backward", mutates_args=())
def _write_backward(
    key: Tensor, value: Tensor, code: Tensor | None, keep: Tensor | None, d_hebbian: Tensor, d_activation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_key, d_value, d_code = _write_gradients(key, value, code, keep, d_hebbian, d_activation)
    for now in pieces(key):
        _, kappa, v = _piece_of_write(key, value, code, keep, now)
        mask = None if keep is None else keep[:, now]
        d_kappa = _kept(_rows(_rows(v) @ d_hebbian.transpose(-1, -2)), mask)
        torch.add(d_kappa, d_activation[:, None], out=d_key[:, now])
        if mask is not None:
            d_key[:, now].masked_fill_(~mask[:, :, None, None], 0.0)
        if code is not None:
            d_code[..., now, :, :] = d_kappa if code.dim() == 4 else d_kappa.sum(dim=0)
        d_value[:, now] = _kept(_rows(_rows(kappa) @ d_hebbian), mask)
    return d_key, d_value, d_code


@_write_backward.register_fake
def _write_gradients(
    key: Tensor, value: Tensor, code: Tensor | None, keep: Tensor | None, d_hebbian: Tensor, d_activation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_code = key.new_empty(0) if code is None else code.new_empty(code.shape)
    return key.new_empty(key.shape), value.new_empty(value.shape), d_code


def _remember_write(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate_write(ctx: Any, d_hebbian: Tensor, d_activation: Tensor) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors  # asked for once: a checkpoint works them out again each time
    d_key, d_value, d_code = _write_backward(*saved, d_hebbian, d_activation)
    return d_key, d_value, None if saved[2] is None else d_code, None


_write.register_autograd(_differentiate_write, setup_context=_remember_write)


@torch.library.custom_op("astromorphic::encoder_read", mutates_args=())
def _read(query: Tensor, h: Tensor, g: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    out, share = _read_shapes(query, h, g, keep)
    for now in pieces(query):
        mask = None if keep is None else keep[:, now]
        q = _kept(query[:, now], mask)
        # Products with a single column are slower as matrix products than as sums.
        share[:, now] = inverse_of_nonzero((q * g[:, None]).sum(-1, keepdim=True))
        torch.mul(_rows(_rows(q) @ h), share[:, now], out=out[:, now])
    return out, share


@_read.register_fake
def _read_shapes(query: Tensor, h: Tensor, g: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    return query.new_empty(*query.shape[:3], h.shape[-1]), query.new_empty(*query.shape[:3], 1)


@torch.library.custom_op("astromorphic::encoder_read_backward", mutates_args=())
def _read_backward(
    query: Tensor, h: Tensor, g: Tensor, keep: Tensor | None, out: Tensor, share: Tensor, d_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    d_query, d_h, d_g = _read_gradients(query, h, g, keep, out, share, d_out)
    d_h.zero_()
    d_g.zero_()
    for now in pieces(query):
        mask = None if keep is None else keep[:, now]
        q, d = _kept(query[:, now], mask), _kept(d_out[:, now], mask)
        d_c = (d * out[:, now]).sum(-1, keepdim=True).mul_(share[:, now]).neg_()
        d = _rows(d * share[:, now])
        torch.addcmul(_rows(d @ h.transpose(-1, -2)), d_c, g[:, None], out=d_query[:, now])
        d_h += _rows(q).transpose(-1, -2) @ d
        d_g += (q * d_c).sum(dim=1)
    return d_query, d_h, d_g


@_read_backward.register_fake
def _read_gradients(
    query: Tensor, h: Tensor, g: Tensor, keep: Tensor | None, out: Tensor, share: Tensor, d_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return query.new_empty(query.shape), h.new_empty(h.shape), g.new_empty(g.shape)


def _remember_read(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)
    ctx.set_materialize_grads(False)


def _differentiate_read(ctx: Any, d_out: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    saved = ctx.saved_tensors
    gradients = _read_backward(*saved, torch.zeros_like(saved[4]) if d_out is None else d_out)
    return (*gradients, None)


_read.register_autograd(_differentiate_read, setup_context=_remember_read)


@without_autocast
def bidirectional(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    response: Response,
    scale: float,
    placement: str = "centred",
    code: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """`reference.encoder` with the same arguments and results to rounding; differentiable once."""
    check_placement(placement)
    check_inputs(query, key, value, mask)
    keep = None if mask is None else mask.bool()
    hebbian, activation = _write(widen(key), widen(value), None if code is None else widen(code), keep)
    h = activate(hebbian, scale, placement)
    out: Tensor = _read(widen(query), h, response(activation), keep)[0]
    return out
