"""Seeds of the random streams: one xoshiro256+ generator per unit and purpose.

A stream is a function of (seed, unit, purpose) alone, so results depend neither on threads nor on how an ensemble is cut.
The four words of state come from the SplitMix64 finaliser, which is injective, hence no two units start alike.
Generators: Blackman and Vigna 2018 (xoshiro256+), Steele, Lea and Flood 2014 (SplitMix64).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STREAM = np.uint64(0xD1342543DE82EF95)

PURPOSES = {"release": 0, "calcium": 1, "PR0": 2}


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stream_states(seed: int, units: NDArray[np.int64], purpose: str = "release") -> NDArray[np.uint64]:
    """Initial xoshiro256+ states, shape [4, n_units], of the streams of `units` (indices in the whole study)."""
    with np.errstate(over="ignore"):
        stream = units.astype(np.uint64) + np.uint64(PURPOSES[purpose]) * np.uint64(2**40)
        z = _mix(np.array([seed], dtype=np.uint64) + _GOLDEN) ^ (stream * _STREAM + _GOLDEN)
        return np.stack([_mix(z + np.uint64(k) * _GOLDEN) for k in range(1, 5)])
