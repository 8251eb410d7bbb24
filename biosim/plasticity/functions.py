"""The non-linearities by name, each with the Lagrangian whose derivative it is.

u is the state and k the steepness. All are non-decreasing, so that the Hessians of the Lagrangians have no negative
eigenvalue, which the energy needs. The values are written for numbers and arrays alike: the kernel compiles them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

TANH, RECTIFIED_TANH, LOGISTIC, RELU, LINEAR = range(5)


def value(code, u, k):
    """The non-linearity with number `code` at state `u`."""
    if code == TANH:
        return np.tanh(k * u)
    if code == RECTIFIED_TANH:
        return np.tanh(k * np.maximum(u, 0.0))
    if code == LOGISTIC:
        # 1/(1 + exp(-ku)), which cannot overflow in this form.
        return 0.5 + 0.5 * np.tanh(0.5 * k * u)
    if code == RELU:
        return k * np.maximum(u, 0.0)
    return k * u


def _log_cosh(u: Any) -> Any:
    return np.abs(u) + np.log1p(np.exp(-2.0 * np.abs(u))) - np.log(2.0)


class Function(NamedTuple):
    """A non-linearity: its number for `value`, and its Lagrangian L(u, k) with dL/du = value and a finite L(0)."""

    code: int
    lagrangian: Callable[[Any, float], Any]


FUNCTIONS = {
    "tanh": Function(TANH, lambda u, k: _log_cosh(k * u) / k),
    "rectified_tanh": Function(RECTIFIED_TANH, lambda u, k: _log_cosh(k * np.maximum(u, 0.0)) / k),
    "logistic": Function(LOGISTIC, lambda u, k: np.logaddexp(0.0, k * u) / k),
    "relu": Function(RELU, lambda u, k: 0.5 * k * np.maximum(u, 0.0) ** 2),
    "linear": Function(LINEAR, lambda u, k: 0.5 * k * u**2),
}
