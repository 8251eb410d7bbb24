"""The astrocyte term: S_t = gamma S_{t-1} + c k_t v_t^T, o_t = S_t^T q_t, gamma one number per head (AstroSNN, eq. 5, 6, 9).

The same recurrence as RetNet's retention (Sun et al. 2023), with other decays. Here are the two forms that read like the
equations; `chunked_retention` is the fast one. c = `scale`, 1/sqrt(width of a head) by default: the paper prints 1/sqrt(N),
and with heads the inner products run over one head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ModelError
from .decay import decay_matrix, powers
from .precision import state_dtype, widen, without_autocast


def default_scale(query: Tensor, scale: float | None) -> float:
    """c, by default one over the root of the width of a query."""
    return float(query.shape[-1] ** -0.5 if scale is None else scale)


def check_shapes(query: Tensor, key: Tensor, value: Tensor, decays: Sequence[float], state: Tensor | None) -> None:
    """ModelError unless query, key ``[batch, time, heads, m]``, value ``[batch, time, heads, d]`` and the state fit together."""
    if query.dim() != 4 or key.shape != query.shape or value.shape[:3] != query.shape[:3]:
        raise ModelError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)} must be "
            "[batch, time, heads, dim] with query and key equal; see models.ops for the layout"
        )
    batch, _, heads, m = query.shape
    if len(decays) != heads or not all(0.0 <= gamma <= 1.0 for gamma in decays):
        raise ModelError(f"decays are {list(decays)}; expected {heads} numbers from 0 to 1, one per head")
    expected = (batch, heads, m, value.shape[-1])
    if state is not None and tuple(state.shape) != expected:
        raise ModelError(f"the astrocyte's state is {tuple(state.shape)}; expected [batch, heads, m, d] = {expected}")


def start_of(state: Tensor | None, query: Tensor, value: Tensor) -> Tensor:
    """`state`, or zeros ``[batch, heads, m, d]``, in float32 or better."""
    batch, _, heads, m = query.shape
    if state is not None:
        return widen(state)
    return value.new_zeros(batch, heads, m, value.shape[-1], dtype=state_dtype(value.dtype))


@without_autocast
def retention_serial(
    query: Tensor, key: Tensor, value: Tensor, decays: Sequence[float], *, state: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Token by token, as printed: o ``[batch, time, heads, d]`` and S after the last token ``[batch, heads, m, d]``.

    query, key ``[batch, time, heads, m]`` after the rotation, value ``[batch, time, heads, d]``; decays ``[heads]``. The
    current token has weight gamma^0 = 1. The reference of the other forms; results in float32 or better.
    """
    check_shapes(query, key, value, decays, state)
    c, s = default_scale(query, scale), start_of(state, query, value)
    q, k, v = widen(query), widen(key), widen(value)
    gamma = torch.tensor(list(decays), dtype=s.dtype, device=s.device)[:, None, None]
    outputs = []
    for t in range(q.shape[1]):
        s = gamma * s + c * k[:, t, :, :, None] * v[:, t, :, None, :]
        outputs.append(torch.einsum("bhm,bhmd->bhd", q[:, t], s))
    return (torch.stack(outputs, dim=1) if outputs else v[:, :0]), s


@without_autocast
def retention_masked(
    query: Tensor, key: Tensor, value: Tensor, decays: Sequence[float], *, state: Tensor | None = None, scale: float | None = None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """All tokens at once with the matrix of decays: O = c (Q K^T * M) V (eq. 9). Arguments and results of `retention_serial`.

    Memory and work are quadratic in time.
    """
    check_shapes(query, key, value, decays, state)
    c, start = default_scale(query, scale), start_of(state, query, value)
    q, k, v = (widen(x).transpose(1, 2) for x in (query, key, value))
    time = q.shape[2]
    steps = torch.arange(time, device=q.device)
    matrix = decay_matrix(decays, time, start.dtype, q.device)
    since, until = (powers(decays, n, start.dtype)[..., None] for n in (steps + 1, time - 1 - steps))
    # The future goes before the product: 0 times what overflowed there is NaN.
    out = ((c * (q @ k.transpose(-1, -2))).tril() * matrix) @ v + since * (q @ start)
    whole = powers(decays, torch.tensor(time, device=q.device), start.dtype)[:, None, None]
    return out.transpose(1, 2), whole * start + (c * until * k).transpose(-1, -2) @ v
