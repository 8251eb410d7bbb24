"""The causal operator for training and prefill: exact, in bounded memory, any length and any chunk."""

from __future__ import annotations

from torch import Tensor

from ..errors import ModelError
from .calcium import calcium_over_time
from .fused_scan import CHUNK as FUSED_CHUNK
from .fused_scan import available, fused_scan
from .linear import causal_linear
from .normaliser import causal_normaliser
from .precision import without_autocast
from .response import Response
from .scan import hebbian_scan
from .state import HebbianState, check_placement, divide, empty_state, prepare

SCAN_CHUNK = 8
LINEAR_CHUNK = 32
METHODS = ("auto", "fused", "torch")


def scan_method(method: str, *tensors: Tensor) -> str:
    """Which scan `causal_chunked` takes for tensors like these, "fused" or "torch".

    "auto" is the compiled kernel where it can run (see `fused_scan.available`) and torch operations elsewhere.
    """
    if method not in METHODS:
        raise ModelError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    possible = available(*tensors)
    if method == "fused" and not possible:
        kinds = ", ".join(sorted({f"{x.dtype} on {x.device.type}".removeprefix("torch.") for x in tensors}))
        raise ModelError(
            f"method 'fused' cannot take {kinds}; it needs numba and tensors of one dtype on the CPU; choose 'auto'"
        )
    return "fused" if possible and method != "torch" else "torch"


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
    method: str = "auto",
) -> tuple[Tensor, HebbianState]:
    """`causal_naive` computed in chunks; same arguments, results, final state and gradients.

    Without a sigmoid ("none") the chunks are matrix products. With one, the sigmoid acts on the running sum and a
    scan is needed; inside, outside and centred all follow from the centred sum: sigma = 1/2 + (sigma - 1/2). `chunk`
    and `method` (see `scan_method`) are matters of memory and speed only; both scans agree to rounding.
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
    chosen = scan_method(method, p.q, p.kappa, p.v, *state)
    if placement == "none":
        numerator, final = causal_linear(p.q, p.kappa, p.v, start, chunk=chunk or LINEAR_CHUNK)
        numerator = scale * numerator
    else:
        inner = 1.0 if placement == "outside" else scale
        scan, usual = (fused_scan, FUSED_CHUNK) if chosen == "fused" else (hebbian_scan, SCAN_CHUNK)
        centred, final = scan(p.q, p.kappa, p.v, start, scale=inner, chunk=chunk or usual)
        if placement == "centred":
            numerator = 2.0 * centred
        else:
            numerator = centred + 0.5 * p.q.sum(-1, keepdim=True)
            numerator = scale * numerator if placement == "outside" else numerator
    if reading == "sum_then_power":
        c, last = causal_normaliser(p.q, p.k, state.activation, response, compiled=chosen == "fused")
    else:
        g, last = calcium_over_time(p.k, p.keep, state.activation, response, reading)
        c = (p.q * g).sum(-1, keepdim=True)
    return divide(numerator, c, p.keep), HebbianState(final, last)
