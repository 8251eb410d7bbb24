"""The neuron term: u_t = lambda u_{t-1} + I_t per channel, without a reset (AstroSNN, eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .decay import decay_matrix, powers
from .precision import state_dtype, widen, without_autocast

CHUNK = 16


def _start(state: Tensor | None, current: Tensor) -> Tensor:
    if state is not None:
        return widen(state)
    return current.new_zeros(current.shape[0], current.shape[2], dtype=state_dtype(current.dtype))


@without_autocast
def leaky_serial(current: Tensor, leak: float, *, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """u ``[batch, time, model]`` of the current ``[batch, time, model]``, and u after the last token ``[batch, model]``."""
    u, x = _start(state, current), widen(current)
    outputs = []
    for t in range(x.shape[1]):
        u = leak * u + x[:, t]
        outputs.append(u)
    return (torch.stack(outputs, dim=1) if outputs else x), u


@without_autocast
def leaky_masked(current: Tensor, leak: float, *, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """U = M^n I, all tokens at once (eq. 9); arguments and results of `leaky_serial`."""
    start, x = _start(state, current), widen(current)
    time = x.shape[1]
    if not time:
        return x, start
    out = decay_matrix([leak], time, x.dtype, x.device)[0] @ x
    out = out + powers([leak], torch.arange(1, time + 1, device=x.device), x.dtype)[0][:, None] * start[:, None]
    return out, out[:, -1]


@without_autocast
def leaky_chunked(current: Tensor, leak: float, *, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Arguments and results of `leaky_serial`, in time and memory linear in the number of tokens.

    Sums within chunks are products with one small matrix. What is carried from chunk to chunk is the same recurrence with the
    decay lambda^16 and a sixteenth of the steps, so it is done by this function itself. The current must be finite.
    """
    start, x = _start(state, current), widen(current)
    batch, time, width = x.shape
    if time <= CHUNK:
        return leaky_masked(x, leak, state=start)
    count = -(-time // CHUNK)
    inside = F.pad(x, (0, 0, 0, count * CHUNK - time)).view(batch, count, CHUNK, width)
    inside = decay_matrix([leak], CHUNK, x.dtype, x.device)[0] @ inside
    after, _ = leaky_chunked(inside[:, :-1, -1], leak**CHUNK, state=start)
    before = torch.cat([start[:, None], after], dim=1)
    rise = powers([leak], torch.arange(1, CHUNK + 1, device=x.device), x.dtype)[0]
    out = torch.addcmul(inside, rise[:, None], before[:, :, None]).view(batch, count * CHUNK, width)[:, :time]
    return out, out[:, -1]
