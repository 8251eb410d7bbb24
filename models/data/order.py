"""In which order texts are read: by chance and by seed, with texts of similar length in one batch.

An epoch's order follows from the seed and its number alone, so that an interrupted run goes on with exactly the texts that it
would have had.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError
from .integers import check_seed


def epoch_order(lengths: ArrayLike, batch_size: int, seed: int, epoch: int = 0, *, pool: int = 50) -> NDArray[np.int64]:
    """Indices ``[n]`` of one epoch, batch after batch.

    All texts are shuffled and cut into pools of `pool` batches; within a pool they are sorted by length and cut into
    batches, which are shuffled over the whole epoch. pool = 1 is plain shuffling. A last batch that is not full comes last,
    so that batches stay whole.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("pool", pool, 1),
        ("epoch", epoch, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ModelError(f"{name} is {value!r}; expected a whole number of at least {least}")
    check_seed(seed)
    if sizes.ndim != 1 or not len(sizes):
        raise ModelError(f"lengths have shape {list(sizes.shape)}; expected one number per text, and at least one text")
    generator = np.random.default_rng([seed, epoch])
    shuffled = generator.permutation(len(sizes))
    # Those of the batch that is not full are drawn by chance, not by length.
    full = len(sizes) // batch_size * batch_size
    body, rest = shuffled[:full], shuffled[full:]
    step = batch_size * pool
    pools = [body[start : start + step] for start in range(0, full, step)]
    batches = np.concatenate([one[np.argsort(sizes[one], kind="stable")] for one in pools]) if pools else body
    batches = batches.reshape(-1, batch_size)
    batches = batches[generator.permutation(len(batches))].reshape(-1)
    return np.concatenate([batches, rest])


def padding_share(lengths: ArrayLike, order: ArrayLike, batch_size: int) -> float:
    """The share of positions that are padding if `order` is cut into batches, each as long as its longest text."""
    sizes = np.asarray(lengths, dtype=np.int64)[np.asarray(order, dtype=np.int64)]
    starts = np.arange(0, len(sizes), batch_size)
    longest = np.maximum.reduceat(sizes, starts)
    rows = np.minimum(batch_size, len(sizes) - starts)
    return float(1.0 - sizes.sum() / (longest * rows).sum())
