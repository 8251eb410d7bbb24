"""From the two terms of an AM-SU to its spikes in one go: what `membrane` and `spike` do one after the other.

What lies between the terms and the spikes is there for some tokens at a time only. For the backward pass the surrogate's values
are kept, in place of the membrane and the neuron's term.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .amsu import AMSUTerms
from .pages import roomy
from .precision import without_autocast
from .spike import check_surrogate, surrogate

# Numbers in the membranes of one block: 512 KB in float32.
IN_CACHE = 2**17


def _blocks(o: Tensor) -> list[slice]:
    tokens = max(1, IN_CACHE // max(1, o[:, :1].numel()))
    return [slice(a, a + tokens) for a in range(0, o.shape[1], tokens)]


@torch.library.custom_op("astromorphic::fire", mutates_args=())
def _fire(
    o: Tensor, u: Tensor, weight: Tensor | None, bias: Tensor | None, norm: bool, eps: float, threshold: float, kind: str,
    alpha: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    out, slope = roomy(o, *o.shape), roomy(o, *_kept(o.shape, keep))
    mean, inverse = (o.new_empty(_kept((*o.shape[:-1], 1), keep and norm)) for _ in range(2))
    for block in _blocks(o):
        m = o[:, block]
        if norm:
            m, *statistics = torch.native_layer_norm(m, [o.shape[-1]], weight, bias, eps)
            if keep:
                for into, part in zip((mean, inverse), statistics, strict=True):
                    into[:, block] = part
        m = m + u[:, block]
        if threshold != 0.0:
            m -= threshold
        if keep:
            slope[:, block] = surrogate(m, kind, alpha)
        # NaN is no silence: it stays visible.
        out[:, block] = torch.where(m.isnan(), m, (m >= 0.0).to(m.dtype))
    return out, slope, mean, inverse


def _kept(shape: Sequence[int], keep: bool) -> list[int]:
    return list(shape) if keep else [0] * len(shape)


@_fire.register_fake
def _shapes(
    o: Tensor, u: Tensor, weight: Tensor | None, bias: Tensor | None, norm: bool, eps: float, threshold: float, kind: str,
    alpha: float, keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    mean, inverse = (o.new_empty(_kept((*o.shape[:-1], 1), keep and norm)) for _ in range(2))
    return o.new_empty(o.shape), o.new_empty(_kept(o.shape, keep)), mean, inverse


@torch.library.custom_op("astromorphic::fire_backward", mutates_args=())
def _fire_backward(
    d_out: Tensor, o: Tensor, slope: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, bias: Tensor | None, norm: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    d_o, d_u = roomy(o, *o.shape), roomy(o, *o.shape)
    d_weight, d_bias = (o.new_zeros(o.shape[-1]) for _ in range(2))
    wanted = [True, weight is not None, bias is not None]
    for block in _blocks(o):
        flow = torch.mul(d_out[:, block], slope[:, block], out=d_u[:, block])
        if not norm:
            d_o[:, block] = flow
            continue
        before, *of_norm = torch.ops.aten.native_layer_norm_backward(
            flow,
            o[:, block],
            [o.shape[-1]],
            mean[:, block].contiguous(),
            inverse[:, block].contiguous(),
            weight,
            bias,
            wanted,
        )
        d_o[:, block] = before
        for total, part in zip((d_weight, d_bias), of_norm, strict=True):
            if part is not None:
                total += part
    return d_o, d_u, d_weight, d_bias


@_fire_backward.register_fake
def _gradient_shapes(
    d_out: Tensor, o: Tensor, slope: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor | None, bias: Tensor | None, norm: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    of_norm = o.new_empty(o.shape[-1])
    return o.new_empty(o.shape), o.new_empty(o.shape), of_norm, torch.empty_like(of_norm)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    o, _, weight, bias, ctx.norm, *_ = inputs
    ctx.save_for_backward(o, weight, bias, *output[1:])
    ctx.set_materialize_grads(False)  # of what is kept there are none


def _differentiate(ctx: Any, d_out: Tensor, *_: Tensor) -> tuple[Any, ...]:
    o, weight, bias, *statistics = ctx.saved_tensors
    d_o, d_u, d_weight, d_bias = _fire_backward(d_out, o, *statistics, weight, bias, ctx.norm)
    return d_o, d_u, None if weight is None else d_weight, None if bias is None else d_bias, *[None] * 6


_fire.register_autograd(_differentiate, setup_context=_remember)


def fire(
    terms: AMSUTerms, weight: Tensor | None = None, bias: Tensor | None = None, *, norm: bool = True, eps: float = 1e-5,
    threshold: float = 0.0, kind: str = "triangle", alpha: float = 2.0,
) -> Tensor:  # fmt: skip
    """spike(membrane(terms, weight, bias, norm=norm, eps=eps), kind, alpha, threshold=threshold): the same numbers and gradients.

    ``[batch, time, heads, d]`` of 0.0 and 1.0 in the dtype of the terms. Differentiable once, in both terms, weight and bias.
    Raises ModelError as `spike`.
    """
    check_surrogate(kind, alpha)
    return _fired(terms.astrocyte, terms.neuron, weight, bias, norm, eps, float(threshold), kind, float(alpha))


@without_autocast
def _fired(o: Tensor, u: Tensor, weight: Tensor | None, bias: Tensor | None, *settings: Any) -> Tensor:
    weight, bias = (None if x is None else x.to(o.dtype) for x in (weight, bias))
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (o, u, weight, bias))
    return _fire(o, u, weight, bias, *settings, keep)[0]  # type: ignore[no-any-return]
