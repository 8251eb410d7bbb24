"""Statistics that every engine derives in the same way."""

from __future__ import annotations

import numpy as np

from ..ensemble import Array


def crossing_period(count: Array, first: Array, last: Array) -> Array:
    """Mean time between threshold crossings, s, from their number and the first and last time; NaN below two."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count >= 2, (last - first) / (count - 1), np.nan)
