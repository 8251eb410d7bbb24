"""Numbers from outside, refused with one clear line unless they are what they should be.

Each function takes the error class to raise, so that parameters, simulations and files keep their own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .messages import shown


def plain_number(value: Any) -> int | float | None:
    """`value` as a Python number; None for what is none: text, truth values, complex numbers, arrays of several numbers.

    An integer stays one, however long. Numpy's dates and durations are no numbers here.
    """
    if hasattr(value, "dimensions"):
        return None
    if isinstance(value, (np.generic, np.ndarray)):
        if value.dtype.kind not in "iuf" or value.size != 1:
            return None
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value


def as_float(number: int | float) -> float:
    """`number` as a float; infinite where an integer is too long for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def real(name: str, value: Any, unit: str, error: type[ValueError]) -> float:
    """`value` as a float, possibly infinite or NaN; raise `error` where it is not one plain number."""
    number = plain_number(value)
    if number is None:
        kind = ", not a quantity" if hasattr(value, "dimensions") else ""
        raise error(f"{name} = {shown(value)}: expected one number{_in(unit)}{kind}")
    return as_float(number)


def whole(name: str, value: Any, low: int, high: int | None, error: type[ValueError]) -> int:
    """`value` as an int from `low` to `high` (None: no end); raise `error` otherwise. 2.0 and True are no whole numbers."""
    number = plain_number(value)
    if not isinstance(number, int) or number < low or (high is not None and number > high):
        limits = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise error(f"{name} = {shown(value)}: expected a whole number {limits}")
    return number


def numbers(name: str, values: Any, unit: str, error: type[ValueError]) -> NDArray[np.float64]:
    """`values` as an array of floats of the same shape; raise `error` where one is no plain number."""
    quantity = hasattr(values, "dimensions") or (
        isinstance(values, (list, tuple)) and any(hasattr(value, "dimensions") for value in values)
    )
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        array = np.empty(0, dtype=object)
    # Truth values among numbers become numbers without a word.
    truth = isinstance(values, (list, tuple)) and any(isinstance(value, (bool, np.bool_)) for value in values)
    if quantity or truth or array.dtype.kind not in "iuf":
        kind = ", not quantities" if quantity else ""
        raise error(f"{name} = {shown(values)}: expected numbers{_in(unit)}{kind}")
    return np.asarray(array, dtype=np.float64)


def _in(unit: str) -> str:
    return "" if unit == "1" else f" in {unit}"
