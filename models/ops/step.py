"""The recurrent step: one token in, one output and a new state out. Used for decoding."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError
from .calcium import calcium_step
from .precision import without_autocast
from .reference import activate
from .response import Response
from .state import HebbianState, normalise, prepare


@without_autocast
def causal_step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    state: HebbianState,
    *,
    response: Response,
    scale: float,
    placement: str = "centred",
    code: Tensor | None = None,
    mask: Tensor | None = None,
    reading: str = "sum_then_power",
) -> tuple[Tensor, HebbianState]:
    """Advance by one token: query, key ``[batch, 1, heads, m]``, value ``[batch, 1, heads, d]``, mask ``[batch, 1]``.

    Returns the output ``[batch, 1, heads, d]`` and a new state; the given one is left alone, so that it can be forked.
    """
    if query.shape[1] != 1:
        raise ModelError(f"causal_step takes one token, got {query.shape[1]}; use causal_chunked for longer pieces")
    p = prepare(query, key, value, code, mask)
    hebbian = state.hebbian + p.kappa[:, 0, :, :, None] * p.v[:, 0, :, None, :]
    h = activate(hebbian, scale, placement)
    numerator = torch.matmul(p.q[:, 0, :, None, :], h).squeeze(-2)
    keep = None if p.keep is None else p.keep[:, 0]
    g, activation = calcium_step(p.k[:, 0], keep, state.activation, response, reading)
    out = normalise(numerator, p.q[:, 0], g, keep)
    return out[:, None], HebbianState(hebbian, activation)
