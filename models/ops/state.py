"""What a causal layer remembers, and the masks and guards that all forms of the operator share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError
from .calcium import calcium_width
from .precision import state_dtype, widen

PLACEMENTS = ("inside", "outside", "none", "centred")


class HebbianState(NamedTuple):
    """State after some tokens: constant in their number.

    hebbian: S = sum of kappa^T v, ``[batch, heads, m, d]``; activation: G = sum of phi(k), ``[batch, heads, m]``, or what
    another reading of the calcium carries (`models.ops.calcium`). Both start at 0.
    """

    hebbian: Tensor
    activation: Tensor


class ScaledState(NamedTuple):
    """S and G of random features, both times e^-offset: alone they leave the range of floats (`models.ops.astrocyte_attention`).

    hebbian ``[batch, heads, m, d]``, activation ``[batch, heads, m]``; offset ``[batch, heads, 1]``: the largest exponent of all
    keys so far, and far below any of them before the first.
    """

    hebbian: Tensor
    activation: Tensor
    offset: Tensor


def empty_state(
    batch: int,
    heads: int,
    m: int,
    d: int,
    *,
    dtype: torch.dtype,
    device: torch.device | str | None = None,
    reading: str = "sum_then_power",
) -> HebbianState:
    """S_0 = 0 and G_0 = 0, in float32 or better."""
    wide = state_dtype(dtype)
    return HebbianState(
        torch.zeros(batch, heads, m, d, dtype=wide, device=device),
        torch.zeros(batch, heads, calcium_width(m, reading), dtype=wide, device=device),
    )


class Prepared(NamedTuple):
    """Inputs after widening and masking: q and k are phi(q), phi(k); kappa = phi(k) + w, all ``[batch, time, heads, m]``."""

    q: Tensor
    k: Tensor
    kappa: Tensor
    v: Tensor
    keep: Tensor | None


def check_inputs(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
    """Raise ValueError unless the shapes are those of one sequence of queries, keys and values and its mask."""
    if query.dim() != 4 or key.shape != query.shape or value.shape[:3] != query.shape[:3]:
        raise ModelError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)} must be "
            "[batch, time, heads, dim] with query and key equal; see models.ops for the layout"
        )
    if mask is not None and mask.shape != query.shape[:2]:
        raise ModelError(
            f"mask is {tuple(mask.shape)}; expected [batch, time] = {tuple(query.shape[:2])}, True for real tokens"
        )


def prepare(query: Tensor, key: Tensor, value: Tensor, code: Tensor | None, mask: Tensor | None) -> Prepared:
    """Widen, form kappa = phi(k) + w and blank masked tokens, so that they change neither S nor G.

    `mask` is ``[batch, time]``, True for real tokens. Masked entries are replaced, not multiplied, because 0 * NaN is
    NaN.
    """
    check_inputs(query, key, value, mask)
    q, k, v = widen(query), widen(key), widen(value)
    kappa = k if code is None else k + widen(code)
    if mask is None:
        return Prepared(q, k, kappa, v, None)
    keep = mask.bool()[:, :, None, None]
    drop = ~keep
    return Prepared(q, k.masked_fill(drop, 0.0), kappa.masked_fill(drop, 0.0), v.masked_fill(drop, 0.0), keep)


def inverse_of_nonzero(normaliser: Tensor) -> Tensor:
    """P = 1/C on the non-zero entries and 0 elsewhere (the paper's "mask" at eq. 17); the gradient is finite."""
    # The inverse of a subnormal number is infinite; NaN passes.
    nonzero = ~(normaliser.abs() < torch.finfo(normaliser.dtype).tiny)
    return torch.where(nonzero, 1.0 / torch.where(nonzero, normaliser, 1.0), 0.0)


def normalise(numerator: Tensor, q: Tensor, response: Tensor, keep: Tensor | None) -> Tensor:
    """diag(P) numerator with C = phi(q) . g; rows of masked queries are zero. ``[batch, time, heads, d]``."""
    return divide(numerator, (q * response).sum(-1, keepdim=True), keep)


def divide(numerator: Tensor, normaliser: Tensor, keep: Tensor | None) -> Tensor:
    """diag(1/C) numerator, zero where C is 0 and in the rows of masked queries; C ``[..., 1]``."""
    out = numerator * inverse_of_nonzero(normaliser)
    return out if keep is None else out.masked_fill(~keep, 0.0)


def check_placement(placement: str) -> None:
    """Raise ValueError unless `placement` names one of the readings of the sigmoid."""
    if placement not in PLACEMENTS:
        raise ModelError(f"sigmoid placement is {placement!r}; expected one of {', '.join(PLACEMENTS)}")
