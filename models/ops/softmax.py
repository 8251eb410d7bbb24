"""The softmax control: scaled dot-product attention with a growing cache of keys and values."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .linear import finite, poison_after


class SoftmaxState(NamedTuple):
    """Everything seen: keys ``[batch, seen, heads, m]``, values ``[batch, seen, heads, d]``, valid ``[batch, seen]``.

    `valid` is False at padding.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor


def causal_softmax(
    query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None, initial_state: SoftmaxState | None = None
) -> tuple[Tensor, SoftmaxState]:
    """softmax(q k^T / sqrt(m)) v over the past and the token itself, ``[batch, time, heads, d]``, and the grown cache.

    Query, key ``[batch, time, heads, m]`` without feature map; mask ``[batch, time]``, True for real tokens.
    """
    batch, time = query.shape[:2]
    valid = torch.ones(batch, time, dtype=torch.bool, device=query.device) if mask is None else mask.bool()
    if mask is not None:  # replaced, not multiplied: 0 * NaN is NaN
        drop = ~mask.bool()[:, :, None, None]
        key, value = key.masked_fill(drop, 0.0), value.masked_fill(drop, 0.0)
    keys, values = key, value
    if initial_state is not None:
        keys = torch.cat([initial_state.keys, key], dim=1)
        values = torch.cat([initial_state.values, value], dim=1)
        valid = torch.cat([initial_state.valid, valid], dim=1)
    seen = keys.shape[1] - time
    poison = poison_after(keys, values)[:, seen:]
    q, k, v = (x.transpose(1, 2) for x in (query, finite(keys), finite(values)))
    if mask is None and initial_state is None:
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        row = torch.arange(seen, seen + time, device=query.device)[:, None]
        column = torch.arange(seen + time, device=query.device)[None, :]
        # A padded query still sees itself: a row without any key would be NaN, also in the gradient.
        allowed = (column <= row) & valid[:, None, None, :] | (column == row)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    out = out.transpose(1, 2) + poison.to(out.dtype)
    if mask is not None:
        out = out.masked_fill(~mask.bool()[:, :, None, None], 0.0)
    return out, SoftmaxState(keys, values, valid)


def bidirectional_softmax(query: Tensor, key: Tensor, value: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(m)) v over all real tokens, ``[batch, time, heads, d]``; rows of masked queries are zero.

    Query, key ``[batch, time, heads, m]`` without feature map; mask ``[batch, time]``, True for real tokens.
    """
    if mask is None:
        q, k, v = (x.transpose(1, 2) for x in (query, key, value))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    drop = ~mask.bool()[:, :, None, None]
    # Replaced, not only left out: a weight of zero times a NaN in the padding would be NaN.
    q, k, v = (x.masked_fill(drop, 0.0).transpose(1, 2) for x in (query, key, value))
    allowed = mask.bool()
    # A row of nothing but padding would be a softmax over nothing, which is NaN, also in the gradient.
    allowed = (allowed | ~allowed.any(dim=1, keepdim=True))[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed).transpose(1, 2).masked_fill(drop, 0.0)
