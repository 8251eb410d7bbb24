"""One precision rule for all operators: compute in float32 or better, whatever the input dtype or autocast says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums over time are kept: float32 for half precision inputs, the input's own otherwise."""
    return torch.promote_types(dtype, torch.float32)


def widen(x: Tensor) -> Tensor:
    """`x` in float32 or better."""
    return x.to(state_dtype(x.dtype))


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` with autocast off: a running sum of thousands of terms, then an exponent, needs float32.

    The device is taken from the first positional argument, which must be a tensor.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        first = args[0]
        if not isinstance(first, Tensor):
            raise TypeError(f"{function.__name__} expects a tensor first, got {type(first).__name__}")
        with torch.autocast(device_type=first.device.type, enabled=False):
            return function(*args, **kwargs)

    return wrapper
