"""The spike: 1 where the membrane reaches the threshold, with a surrogate for its derivative (AstroSNN, eq. 7 and Table 4).

There is no reset: the membrane of an AM-SU is a linear function of the past, which is what lets all tokens be computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import ModelError


def _triangle(x: Tensor, alpha: float) -> Tensor:
    return (alpha - alpha * alpha * x.abs()).clamp_min(0.0)


def _triangle_as_printed(x: Tensor, alpha: float) -> Tensor:
    return torch.where(x.abs() <= 1.0 / alpha, alpha + alpha * alpha * x.abs(), 0.0)


def _atan(x: Tensor, alpha: float) -> Tensor:
    return 0.5 * alpha / (1.0 + (0.5 * math.pi * alpha * x).square())


def _fast_sigmoid(x: Tensor, alpha: float) -> Tensor:
    return 0.5 * alpha / (1.0 + alpha * x.abs()).square()


# All have area 1 for every alpha, as the derivative of a step must, but for the triangle as printed, whose area is 3.
SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "triangle": _triangle,
    "triangle_as_printed": _triangle_as_printed,
    "atan": _atan,
    "fast_sigmoid": _fast_sigmoid,
}


def surrogate(x: Tensor, kind: str = "triangle", alpha: float = 2.0) -> Tensor:
    """What stands for the derivative of a spike at the distance `x` from the threshold, same shape.

    triangle : max(0, alpha - alpha^2 |x|), Table 4 of AstroSNN (arXiv 2312.07625) with its sign repaired.
    triangle_as_printed : alpha + alpha^2 |x| for |x| <= 1/alpha, which is smallest at the threshold and jumps at the edge.
    atan : alpha/2 / (1 + (pi alpha x/2)^2); fast_sigmoid : alpha/2 / (1 + alpha |x|)^2.

    Raises ModelError for another kind or an alpha that is not above 0.
    """
    check_surrogate(kind, alpha)
    return SURROGATES[kind](x, alpha)


def check_surrogate(kind: str, alpha: float) -> None:
    """ModelError unless `kind` names a surrogate and alpha is a finite number above 0."""
    if not isinstance(kind, str) or kind not in SURROGATES:
        raise ModelError(f"surrogate is {kind!r:.60}; expected one of {', '.join(SURROGATES)}")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0.0 < alpha < math.inf:
        raise ModelError(f"alpha is {alpha!r:.60}; expected a finite number above 0, the sharpness of the surrogate")


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.kind, ctx.alpha = kind, alpha
        # NaN is no silence: it stays visible.
        return torch.where(x.isnan(), x, (x >= 0.0).to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        return gradients[0] * surrogate(x, ctx.kind, ctx.alpha), None, None


def spike(x: Tensor, kind: str = "triangle", alpha: float = 2.0, *, threshold: float = 0.0) -> Tensor:
    """1.0 where x >= threshold, else 0.0, in the shape and dtype of `x`; a membrane exactly at the threshold fires (eq. 7).

    The gradient is `surrogate` at x - threshold. alpha = 2 is the habit of the paper's laboratory (BrainCog's QGateGrad);
    the paper names none. ModelError as `surrogate`.
    """
    check_surrogate(kind, alpha)
    return _Spike.apply(x if threshold == 0.0 else x - threshold, kind, float(alpha))  # type: ignore[no-any-return]
