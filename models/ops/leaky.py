"""The neuron term: u_t = lambda u_{t-1} + I_t per channel, without a reset (AstroSNN, eq. 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .decay import decay_matrix, powers
from .pages import roomy
from .precision import state_dtype, widen, without_autocast

CHUNK = 16
# Tokens that are worked on together: a multiple of a chunk's square, small enough for the cache.
BLOCK = CHUNK * CHUNK


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


class _Blocks:
    """The recurrence through one block of tokens after the other, forwards or backwards in time.

    Sums within chunks of 16 tokens are products with one small matrix. What is carried from chunk to chunk of a block is the
    same recurrence with the decay lambda^16, hence another small matrix.
    """

    def __init__(self, leak: float, like: Tensor, backwards: bool) -> None:
        self.leak, self.backwards = leak, backwards
        inside = decay_matrix([leak], CHUNK, like.dtype, like.device)[0]
        between = decay_matrix([leak**CHUNK], CHUNK, like.dtype, like.device)[0]
        steps = torch.arange(1, CHUNK + 1, device=like.device)
        rise, late = (powers([x], steps, like.dtype)[0][:, None] for x in (leak, leak**CHUNK))
        if backwards:
            inside, between, rise, late = inside.T, between.T, rise.flip(0), late.flip(0)
        self.inside, self.between, self.rise, self.late = inside, between, rise, late

    def through(self, x: Tensor, out: Tensor, state: Tensor) -> Tensor:
        """u of all tokens of x ``[batch, time, model]`` into `out`, from `state` ``[batch, model]`` on; the state at the end."""
        time = x.shape[1]
        whole = time - time % BLOCK
        ragged = [slice(whole, time)] if whole < time else []
        blocks = [slice(a, a + BLOCK) for a in range(0, whole, BLOCK)] + ragged
        for block in reversed(blocks) if self.backwards else blocks:
            step = self._block if block.stop - block.start == BLOCK else self._short
            state = step(x[:, block].to(out.dtype), out[:, block], state)
        return state

    def _block(self, x: Tensor, out: Tensor, state: Tensor) -> Tensor:
        batch, _, width = x.shape
        sums = self.inside @ x.reshape(batch, CHUNK, CHUNK, width)
        end, far = (0, 0) if self.backwards else (-1, -1)
        after = torch.addcmul(self.between @ sums[:, :, end], self.late, state[:, None])
        before = [after[:, 1:], state[:, None]] if self.backwards else [state[:, None], after[:, :-1]]
        sums.addcmul_(self.rise, torch.cat(before, dim=1)[:, :, None])
        out.copy_(sums.view(batch, BLOCK, width))
        return after[:, far]

    def _short(self, x: Tensor, out: Tensor, state: Tensor) -> Tensor:
        """Less than a block, chunk by chunk."""
        starts = range(0, x.shape[1], CHUNK)
        for a in reversed(starts) if self.backwards else starts:
            n = min(CHUNK, x.shape[1] - a)
            # Of the rise towards the end of a chunk the last n rows, of that from its beginning the first.
            rise = self.rise[CHUNK - n :] if self.backwards else self.rise[:n]
            u = torch.addcmul(self.inside[:n, :n] @ x[:, a : a + n], rise, state[:, None])
            out[:, a : a + n].copy_(u)
            state = u[:, 0] if self.backwards else u[:, -1]
        return state


@torch.library.custom_op("astromorphic::leaky", mutates_args=())
def _leaky(current: Tensor, start: Tensor, leak: float) -> tuple[Tensor, Tensor]:
    out = roomy(start, *current.shape)
    return out, _Blocks(leak, start, False).through(current, out, start).clone()


@_leaky.register_fake
def _shapes(current: Tensor, start: Tensor, leak: float) -> tuple[Tensor, Tensor]:
    return start.new_empty(current.shape), start.new_empty(start.shape)


@torch.library.custom_op("astromorphic::leaky_backward", mutates_args=())
def _leaky_backward(d_out: Tensor, d_last: Tensor, leak: float) -> tuple[Tensor, Tensor]:
    d_current = roomy(d_last, *d_out.shape)
    if not d_out.shape[1]:
        return d_current, d_last.clone()
    # The last u is its own result and the last of `out`: its gradient is the sum of theirs.
    d_current[:, -1] = d_out[:, -1] + d_last
    blocks = _Blocks(leak, d_last, True)
    blocks.through(d_out[:, :-1], d_current[:, :-1], d_current[:, -1].clone())
    return d_current, leak * d_current[:, 0]


@_leaky_backward.register_fake
def _gradient_shapes(d_out: Tensor, d_last: Tensor, leak: float) -> tuple[Tensor, Tensor]:
    return d_last.new_empty(d_out.shape), d_last.new_empty(d_last.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    current, _, ctx.leak = inputs
    ctx.dtype = current.dtype


def _differentiate(ctx: Any, d_out: Tensor, d_last: Tensor) -> tuple[Any, ...]:
    d_current, d_start = _leaky_backward(d_out, d_last, ctx.leak)
    return d_current.to(ctx.dtype), d_start, None


_leaky.register_autograd(_differentiate, setup_context=_remember)


@without_autocast
def leaky_chunked(current: Tensor, leak: float, *, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Arguments and results of `leaky_serial`, in time and memory linear in the number of tokens.

    Nothing is kept for the backward pass, which is the same recurrence from the last token to the first. Differentiable once.
    The current must be finite.
    """
    start = _start(state, current)
    if current.shape[1] <= CHUNK:
        return leaky_masked(current.to(start.dtype), leak, state=start)
    return _leaky(current, start.to(state_dtype(torch.promote_types(current.dtype, start.dtype))), leak)  # type: ignore[no-any-return]
