"""Parameters on the whole real line: the logit of their place within the range, where a uniform prior is logistic.

No density that is learned or proposed there can leave the prior, so that nothing has to be rejected afterwards.
"""

from __future__ import annotations

import numpy as np

from .curves import Array


def to_line(values: Array, low: Array, high: Array) -> Array:
    """log(u/(1 - u)) of the share u of the range, shape kept; the ends themselves are moved inside by rounding."""
    share = np.clip((values - low) / (high - low), 1e-12, 1 - 1e-12)
    return np.asarray(np.log(share) - np.log1p(-share), dtype=np.float64)


def from_line(line: Array, low: Array, high: Array) -> Array:
    """Values within the range."""
    return np.asarray(low + (high - low) / (1 + np.exp(-np.clip(line, -500, 500))), dtype=np.float64)


def log_prior(line: Array) -> Array:
    """Log density of the uniform prior on the line, [..., d] -> [...]: a standard logistic per parameter."""
    size = np.abs(line)
    return np.asarray(-np.sum(size + 2 * np.log1p(np.exp(-size)), axis=-1), dtype=np.float64)
