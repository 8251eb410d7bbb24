"""The slow, obvious forms: the bidirectional encoder (eq. 8-17) and the causal recurrence, written like the equations.

Every other form in this package is tested against these, in outputs, final state and gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .calcium import calcium_of_all, calcium_step
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
    reading: str = "sum_then_power",
) -> Tensor:
    """Bidirectional attention: one global H and g for all queries (eq. 11, 14, 15-17). As a decoder it leaks the future.

    query, key: phi(q), phi(k) ``[batch, time, heads, m]``; value ``[batch, time, heads, d]``; code: W_astro^T
    ``[time, heads, m]`` or with a batch dimension; mask ``[batch, time]``; reading of the calcium as in
    `models.ops.calcium`. Returns ``[batch, time, heads, d]``.
    """
    p = prepare(query, key, value, code, mask)
    s = torch.einsum("bthm,bthd->bhmd", p.kappa, p.v)
    h = activate(s, scale, placement)
    g = calcium_of_all(p.k, p.keep, response, reading)
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
    reading: str = "sum_then_power",
) -> tuple[Tensor, HebbianState]:
    """The causal recurrence, one token at a time; shapes as in `encoder`, plus the state after the last token.

    S_t = S_{t-1} + kappa_t^T v_t,  H_t = act(S_t),  G_t = G_{t-1} + phi(k_t),  o_t = phi(q_t) H_t / (phi(q_t) .
    g(G_t)).
    """
    p = prepare(query, key, value, code, mask)
    batch, time, heads, m = p.q.shape
    state = initial_state or empty_state(
        batch, heads, m, p.v.shape[-1], dtype=p.q.dtype, device=p.q.device, reading=reading
    )
    s, big_g = state
    outputs = []
    for t in range(time):
        s = s + p.kappa[:, t, :, :, None] * p.v[:, t, :, None, :]
        h = activate(s, scale, placement)
        numerator = torch.einsum("bhm,bhmd->bhd", p.q[:, t], h)
        keep = None if p.keep is None else p.keep[:, t]
        g, big_g = calcium_step(p.k[:, t], keep, big_g, response, reading)
        outputs.append(normalise(numerator, p.q[:, t], g, keep))
    out = torch.stack(outputs, dim=1) if outputs else p.v[:, :0]
    return out, HebbianState(s, big_g)
