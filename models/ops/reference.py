"""The slow, obvious forms: the bidirectional encoder (eq. 8-17) and the causal recurrence, written like the equations.

Every other form in this package is tested against these, in outputs, final state and gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import without_autocast
from .response import Response
from .state import HebbianState, check_placement, empty_state, normalise, prepare


def activate(hebbian: Tensor, scale: float, placement: str) -> Tensor:
    """H from the Hebbian sum S, any shape.

    inside: sigma(sS) (eq. 11); outside: s sigma(S) (eq. 18); none: sS (Algorithm 1); centred: 2 sigma(sS) - 1 =
    tanh(sS/2).
    """
    check_placement(placement)
    if placement == "inside":
        return torch.sigmoid(scale * hebbian)
    if placement == "outside":
        return scale * torch.sigmoid(hebbian)
    if placement == "centred":
        return torch.tanh(0.5 * scale * hebbian)
    return scale * hebbian


@without_autocast
def encoder(
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
    """Bidirectional attention: one global H and g for all queries (eq. 11, 14, 15-17). As a decoder it leaks the future.

    query, key: phi(q), phi(k) ``[batch, time, heads, m]``; value ``[batch, time, heads, d]``; code: W_astro^T
    ``[time, heads, m]`` or with a batch dimension; mask ``[batch, time]``. Returns ``[batch, time, heads, d]``.
    """
    p = prepare(query, key, value, code, mask)
    s = torch.einsum("bthm,bthd->bhmd", p.kappa, p.v)
    h = activate(s, scale, placement)
    g = response(p.k.sum(dim=1, keepdim=True))
    return normalise(torch.einsum("bthm,bhmd->bthd", p.q, h), p.q, g, p.keep)


@without_autocast
def causal_naive(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    response: Response,
    scale: float,
    placement: str = "centred",
    code: Tensor | None = None,
    mask: Tensor | None = None,
    initial_state: HebbianState | None = None,
) -> tuple[Tensor, HebbianState]:
    """The causal recurrence, one token at a time; shapes as in `encoder`, plus the state after the last token.

    S_t = S_{t-1} + kappa_t^T v_t,  H_t = act(S_t),  G_t = G_{t-1} + phi(k_t),  o_t = phi(q_t) H_t / (phi(q_t) .
    g(G_t)).
    """
    p = prepare(query, key, value, code, mask)
    batch, time, heads, m = p.q.shape
    state = initial_state or empty_state(batch, heads, m, p.v.shape[-1], dtype=p.q.dtype, device=p.q.device)
    s, big_g = state
    outputs = []
    for t in range(time):
        s = s + p.kappa[:, t, :, :, None] * p.v[:, t, :, None, :]
        big_g = big_g + p.k[:, t]
        h = activate(s, scale, placement)
        numerator = torch.einsum("bhm,bhmd->bhd", p.q[:, t], h)
        keep = None if p.keep is None else p.keep[:, t]
        outputs.append(normalise(numerator, p.q[:, t], response(big_g), keep))
    out = torch.stack(outputs, dim=1) if outputs else p.v[:, :0]
    return out, HebbianState(s, big_g)
