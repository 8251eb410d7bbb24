"""The astrocyte-modulated spiking unit (AM-SU; AstroSNN, arXiv 2312.07625, eq. 1 to 9) in three forms with the same results.

Per head, with q and k after the rotation and c = 1/sqrt(width of a head):

    S_t = gamma S_{t-1} + c k_t v_t^T       o_t = S_t^T q_t           astrocyte, one gamma per head
    u_t = lambda u_{t-1} + R sigma(x_t)                               neuron, per channel
    s_t = [norm(o_t) + u_t >= v_th]                                   spike, without a reset

The forms give o and u; `membrane` adds them up and `spike` makes spikes. States go in and come out as values, so that one can be
kept, forked, reordered, and a sequence cut anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .chunked_retention import CHUNK, retention_chunked
from .kernels import BACKENDS, kernel_for, retention_kernel
from .leaky import leaky_chunked, leaky_masked, leaky_serial
from .linear import finite, poison_after
from .precision import state_dtype, widen, without_autocast
from .retention import retention_masked, retention_serial
from .rows import rows_alone

FORMS = ("chunked", "masked", "serial")
TERMS = ("both", "astrocyte", "neuron")
SIGMAS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "silu": F.silu,
    "gelu": F.gelu,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
}


class AMSUState(NamedTuple):
    """After some tokens; its size does not depend on their number.

    astrocyte : S ``[batch, heads, m, d]``; neuron : u ``[batch, heads * d]``. Both start at 0, in float32 or better.
    """

    astrocyte: Tensor
    neuron: Tensor


class AMSUTerms(NamedTuple):
    """The astrocyte's o and the neuron's u of every token, both ``[batch, time, heads, d]``, in float32 or better."""

    astrocyte: Tensor
    neuron: Tensor


def empty_amsu_state(
    batch: int, heads: int, m: int, d: int, *, dtype: torch.dtype, device: torch.device | str | None = None
) -> AMSUState:
    """S_0 = 0 and u_0 = 0."""
    wide = state_dtype(dtype)
    return AMSUState(
        torch.zeros(batch, heads, m, d, dtype=wide, device=device),
        torch.zeros(batch, heads * d, dtype=wide, device=device),
    )


def input_current(x: Tensor, sigma: str = "identity") -> Tensor:
    """I = sigma(x) (eq. 1), any shape. The paper does not say what sigma is. ModelError for a name that is none."""
    if sigma not in SIGMAS:
        raise ModelError(f"sigma is {sigma!r}; expected one of {', '.join(SIGMAS)}")
    return SIGMAS[sigma](x)


def membrane(
    terms: AMSUTerms, weight: Tensor | None = None, bias: Tensor | None = None, *, norm: bool = True, eps: float = 1e-5
) -> Tensor:
    """norm(o) + u, ``[batch, time, heads, d]``: what is compared with the threshold.

    norm : each head's o by its own layer norm, with one weight and one bias ``[d]`` for all heads, as the parameter count of
    the paper has them. Without it o grows with the time constant, to 4 times the size of its inputs at tau = 32 and 16 times at
    512, and u is noise beside it.
    """
    o, u = terms
    if norm:
        weight, bias = (None if x is None else x.to(o.dtype) for x in (weight, bias))
        o = F.layer_norm(o, (o.shape[-1],), weight, bias, eps)
    return o + u


def _neuron_chunked(current: Tensor, leak: float, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """`leaky_chunked`, in which a current that is not finite shows from its own token on and nowhere before."""
    if current.device.type == "cpu" and not torch.compiler.is_compiling():
        out, last = leaky_chunked(current, leak, state=state)
        if bool(torch.isfinite(last).all()):
            return out, last
    poison = poison_after(current)[:, :, 0].to(state_dtype(current.dtype))
    out, last = leaky_chunked(finite(current), leak, state=state)
    return out + poison, last + (poison[:, -1] if poison.shape[1] else 0.0)


def _whole(
    form: str, q: Tensor, k: Tensor, v: Tensor, current: Tensor, decays: Sequence[float], leak: float, state: AMSUState | None,
    scale: float | None, chunk: int, backend: str = "torch",
) -> tuple[AMSUTerms, AMSUState]:  # fmt: skip
    s, u = (None, None) if state is None else state
    if form == "serial":
        o, s = retention_serial(q, k, v, decays, state=s, scale=scale)
        n, u = leaky_serial(current, leak, state=u)
    elif form == "masked":
        o, s = retention_masked(q, k, v, decays, state=s, scale=scale)
        n, u = leaky_masked(current, leak, state=u)
    else:
        if kernel_for(backend, q, v) == "fla":
            o, s = retention_kernel(q, k, v, decays, state=s, scale=scale)
        else:
            o, s = retention_chunked(q, k, v, decays, state=s, scale=scale, chunk=chunk)
        n, u = _neuron_chunked(current, leak, u)
    return AMSUTerms(o, n.view(o.shape)), AMSUState(s, u)


def _check(
    form: str, query: Tensor, value: Tensor, current: Tensor, mask: Tensor | None, state: AMSUState | None
) -> None:
    if form not in FORMS:
        raise ModelError(f"form is {form!r}; expected one of {', '.join(FORMS)}")
    batch, time = query.shape[:2]
    width = value.shape[2] * value.shape[3]
    if tuple(current.shape) != (batch, time, width):
        raise ModelError(
            f"current is {tuple(current.shape)}; expected [batch, time, heads * d] = {(batch, time, width)}"
        )
    if state is not None and tuple(state.neuron.shape) != (batch, width):
        raise ModelError(
            f"the neuron's state is {tuple(state.neuron.shape)}; expected [batch, heads * d] = {(batch, width)}"
        )
    if mask is not None and tuple(mask.shape) != (batch, time):
        raise ModelError(f"mask is {tuple(mask.shape)}; expected [batch, time] = {(batch, time)}, True for real tokens")


@without_autocast
def amsu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    current: Tensor,
    *,
    decays: Sequence[float],
    leak: float,
    state: AMSUState | None = None,
    mask: Tensor | None = None,
    scale: float | None = None,
    form: str = "chunked",
    chunk: int = CHUNK,
    backend: str = "torch",
) -> tuple[AMSUTerms, AMSUState]:
    """o and u of all tokens and the state after the last.

    query, key ``[batch, time, heads, m]`` after the rotation, value ``[batch, time, heads, d]``, current R sigma(x)
    ``[batch, time, heads * d]``; decays : gamma per head; leak : lambda; mask ``[batch, time]``, True for real tokens: at the
    others nothing is written and nothing decays, and o and u are 0. form : "chunked" (linear in time and memory), "masked"
    (eq. 9, quadratic) or "serial" (eq. 4 to 6, token by token).
    All three are differentiable in all tensors and agree to rounding. backend : "torch", "fla" (`models.ops.kernels`; the chunked
    form alone, on a GPU) or "auto", fla where it can be had.
    """
    _check(form, query, value, current, mask, state)
    if backend not in BACKENDS:
        raise ModelError(f"backend is {backend!r}; expected one of {', '.join(BACKENDS)}")

    def run(tokens: list[Tensor], before: AMSUState | None) -> tuple[list[Tensor], AMSUState]:
        q, k, v, x = tokens
        terms, after = _whole(form, q, k, v, x, decays, leak, before, scale, chunk, backend)
        return list(terms), after

    (o, u), after = rows_alone(run, [query, key, value, current], state, mask)
    return AMSUTerms(o, u), after


@without_autocast
def amsu_step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    current: Tensor,
    state: AMSUState,
    *,
    decays: Sequence[float],
    leak: float,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[AMSUTerms, AMSUState]:
    """One token, for decoding: shapes as in `amsu` with time 1. The given state is left alone, so that it can be forked."""
    if query.shape[1] != 1:
        raise ModelError(f"amsu_step takes one token, got {query.shape[1]}; use amsu for longer pieces")
    _check("serial", query, value, current, mask, state)
    if mask is not None:  # replaced, not multiplied: 0 * NaN is NaN
        drop = ~mask.bool()
        query, key, value = (x.masked_fill(drop[:, :, None, None], 0.0) for x in (query, key, value))
        current = current.masked_fill(drop[:, :, None], 0.0)
    terms, after = _whole("serial", query, key, value, current, decays, leak, state, scale, 1)
    if mask is None:
        return terms, after
    keep = mask.bool()[:, 0]
    s = torch.where(keep[:, None, None, None], after.astrocyte, widen(state.astrocyte))
    u = torch.where(keep[:, None], after.neuron, widen(state.neuron))
    return AMSUTerms(*(x * keep[:, None, None, None] for x in terms)), AMSUState(s, u)
