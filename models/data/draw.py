"""Setting items aside for validation: by seed, with equal shares of the classes, copies on one side only."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .integers import check_seed


def balanced_draw(
    labels: NDArray[np.int64],
    count: int,
    seed: int,
    contents: Sequence[Hashable] | None = None,
    what: str = "validation",
) -> NDArray[np.bool_]:
    """A mask ``[n]`` of `count` items, each class with its share of `count`, drawn by `seed`.

    contents : what makes items copies of each other; copies are drawn together or not at all, and those that disagree
    about their label are never drawn. None: all items differ.
    Raises ModelError if `seed` is no whole number from 0, or `count` is negative or cannot be drawn with at least one item
    of each class left.
    """
    check_seed(seed)
    n = len(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    mask = np.zeros(n, dtype=np.bool_)
    if count == 0:
        return mask
    if not 0 < count <= n - len(classes):
        raise ModelError(
            f"{what} asks for {count} of {n} items; expected 0 to {n - len(classes)}, so that something is left to train on"
        )
    # Largest remainders: shares add up to count, and equal classes get shares that differ by one at most.
    exact = count * sizes / n
    quota = np.floor(exact).astype(np.int64)
    quota[np.argsort(-(exact - quota), kind="stable")[: count - int(quota.sum())]] += 1
    if (quota >= sizes).any():
        scarce = int(classes[np.argmax(quota >= sizes)])
        raise ModelError(
            f"{what} asks for {count} of {n} items and with them for every item of class {scarce}; ask for fewer"
        )
    groups: dict[Hashable, list[int]] = {}
    for index, content in enumerate(range(n) if contents is None else contents):
        groups.setdefault(content, []).append(index)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(groups))
    members = list(groups.values())
    left = dict(zip(classes.tolist(), quota.tolist(), strict=True))
    for position in order.tolist():
        group = members[position]
        own = {int(labels[index]) for index in group}
        label = int(labels[group[0]])
        if len(own) == 1 and len(group) <= left[label]:
            mask[group] = True
            left[label] -= len(group)
    if any(left.values()):
        raise ModelError(
            f"{what} asks for {count} items, but copies of the same item leave {sum(left.values())} places empty; "
            "ask for fewer, or remove the copies"
        )
    return mask


def number_of(share: float, n: int, what: str) -> int:
    """`share` as a number of items: a whole number as it is, a fraction below 1 of `n`."""
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < n:
        raise ModelError(
            f"{what} is {share!r}; expected a number of items from 0 to {n - 1}, or a fraction of them below 1"
        )
    if isinstance(share, float) and share != int(share):
        if share > 1:
            raise ModelError(f"{what} is {share!r}; expected a whole number of items, or a fraction below 1")
        return round(share * n)
    return int(share)
