"""The Hebbian scale 1/N_valid of the encoder: one number per row of the batch, where the operators take one for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .precision import widen, without_autocast


def valid_tokens(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Number of real tokens of every row, at least 1, ``[batch]``, in the dtype of `tokens` ``[batch, time, ...]``."""
    batch, time = tokens.shape[:2]
    if mask is None:
        return tokens.new_full((batch,), float(max(time, 1)))
    return mask.sum(dim=1).clamp_min(1).to(tokens.dtype)


@without_autocast
def per_valid_token(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    form: Callable[..., Tensor],
    placement: str,
    mask: Tensor | None,
    **settings: Any,
) -> Tensor:
    """The bidirectional `form` with s = 1/N_valid of each row, so that padding changes nothing.

    S = sum kappa^T v is linear in the values, so v/N_valid and s = 1 give sigma(s S), s S and tanh(s S / 2); with the
    sigmoid inside the scale ("outside") the output is divided instead.
    """
    value = widen(value)
    share = valid_tokens(value, mask).reciprocal()[:, None, None, None]
    if placement == "outside":
        return form(query, key, value, scale=1.0, placement=placement, mask=mask, **settings) * share
    return form(query, key, value * share, scale=1.0, placement=placement, mask=mask, **settings)
