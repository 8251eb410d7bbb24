"""The recurrent step: one token in, one output and a new state out. Used for decoding."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError
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
) -> tuple[Tensor, HebbianState]:
    """Advance by one token: query, key ``[batch, 1, heads, m]``, value ``[batch, 1, heads, d]``, mask ``[batch, 1]``.

    Returns the output ``[batch, 1, heads, d]`` and a new state; the given one is left alone, so that it can be forked.
    """
    if query.shape[1] != 1:
        raise ModelError(f"causal_step takes one token, got {query.shape[1]}; use causal_chunked for longer pieces")
    p = prepare(query, key, value, code, mask)
    hebbian = state.hebbian + p.kappa[:, 0, :, :, None] * p.v[:, 0, :, None, :]
    activation = state.activation + p.k[:, 0]
    h = activate(hebbian, scale, placement)
    numerator = torch.matmul(p.q[:, 0, :, None, :], h).squeeze(-2)
    keep = None if p.keep is None else p.keep[:, 0]
    out = normalise(numerator, p.q[:, 0], response(activation), keep)
    return out[:, None], HebbianState(hebbian, activation)
