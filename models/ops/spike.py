"""The spike: a threshold forward, a surrogate for its derivative backward."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError

SURROGATES = ("triangle", "triangle_as_printed")


def spike(x: Tensor, kind: str = "triangle", alpha: float = 2.0) -> Tensor:
    """1 where x >= 0, else 0 (a membrane of exactly 0 fires), in the shape and dtype of `x`.

    The derivative is replaced on |x| <= 1/alpha and 0 elsewhere. "triangle": alpha - alpha² |x|, of area 1 for every alpha
    (Bohte 2011; quadratic gate of BrainCog, whose alpha is 2). "triangle_as_printed": alpha + alpha² |x|, Table 4 of the
    AstroSNN paper to the letter: a slip of the sign, of area 3, smallest at the threshold and with a jump at the edges.

    Raises ModelError for another kind, or an alpha that is not finite and above 0.
    """
    if kind not in SURROGATES:
        raise ModelError(f"surrogate is {kind!r:.60}; expected one of {', '.join(SURROGATES)}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < math.inf:
        raise ModelError(f"surrogate alpha is {alpha!r:.60}; expected a finite number above 0")
    out: Tensor = _Spike.apply(x, -1.0 if kind == "triangle" else 1.0, float(alpha))  # type: ignore[no-untyped-call]
    return out


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sign: float, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.sign, ctx.alpha = sign, alpha
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        size = x.abs()
        slope = (ctx.alpha + ctx.sign * ctx.alpha**2 * size) * (size <= 1.0 / ctx.alpha)
        return grads[0] * slope, None, None
