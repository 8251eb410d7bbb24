"""In which order examples are read: epochs of a seed, cut into batches of about equal length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# So many batches are drawn together and sorted by length inside: little padding, and batches that differ in every epoch.
POOL = 50


def epoch_batches(
    n: int, batch_size: int, seed: int, epoch: int, lengths: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Every number below `n` once, in batches of `batch_size` (the last drawn may be smaller), in the order of seed and epoch.

    With `lengths` ``[n]`` each pool of 50 random batches is sorted by length before it is cut, and the batches are shuffled.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(n)
    if lengths is None:
        return [order[i : i + batch_size] for i in range(0, n, batch_size)]
    pools = [order[i : i + POOL * batch_size] for i in range(0, n, POOL * batch_size)]
    pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
    batches = [pool[i : i + batch_size] for pool in pools for i in range(0, len(pool), batch_size)]
    return [batches[i] for i in random.permutation(len(batches))]
