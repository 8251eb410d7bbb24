"""The causal operator for training and prefill: exact, in bounded memory, any length and any chunk."""

from __future__ import annotations

from torch import Tensor

from ..errors import ModelError
from .calcium import calcium_over_time
from .linear import causal_linear
from .precision import without_autocast
from .response import Response
from .scan import hebbian_scan
from .state import HebbianState, check_placement, empty_state, normalise, prepare

SCAN_CHUNK = 8
LINEAR_CHUNK = 32


@without_autocast
def causal_chunked(
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
    chunk: int | None = None,
    reading: str = "sum_then_power",
) -> tuple[Tensor, HebbianState]:
    """`causal_naive` computed in chunks; same arguments, results, final state and gradients.

    Without a sigmoid ("none") the chunks are matrix products. With one, the sigmoid acts on the running sum and a
    scan is needed; inside, outside and centred all follow from the centred sum: sigma = 1/2 + (sigma - 1/2). `chunk`
    is a matter of memory and speed only.
    """
    check_placement(placement)
    if chunk is not None and chunk < 1:
        raise ModelError(f"chunk is {chunk}; expected at least 1 token")
    p = prepare(query, key, value, code, mask)
    batch, _, heads, m = p.q.shape
    state = initial_state or empty_state(
        batch, heads, m, p.v.shape[-1], dtype=p.q.dtype, device=p.q.device, reading=reading
    )
    start = state.hebbian
    if placement == "none":
        numerator, final = causal_linear(p.q, p.kappa, p.v, start, chunk=chunk or LINEAR_CHUNK)
        numerator = scale * numerator
    else:
        inner = 1.0 if placement == "outside" else scale
        centred, final = hebbian_scan(p.q, p.kappa, p.v, start, scale=inner, chunk=chunk or SCAN_CHUNK)
        if placement == "centred":
            numerator = 2.0 * centred
        else:
            numerator = centred + 0.5 * p.q.sum(-1, keepdim=True)
            numerator = scale * numerator if placement == "outside" else numerator
    g, last = calcium_over_time(p.k, p.keep, state.activation, response, reading)
    return normalise(numerator, p.q, g, p.keep), HebbianState(final, last)
