"""The shapes in which data reach a task, each with its three splits, a digest and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from .sequences import TokenSequences

T = TypeVar("T")


@dataclass(frozen=True)
class LabelledTexts:
    """`texts` and `labels` int64 ``[n]``, numbers of the classes from 0."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class LabelledImages:
    """`images` uint8 ``[n, height, width, channels]`` and `labels` int64 ``[n]``."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class LabelledSequences:
    """`sequences` of token numbers and `labels` int64 ``[n]``; `second` holds the other text where an example is a pair."""

    sequences: TokenSequences
    labels: NDArray[np.int64]
    second: TokenSequences | None = None

    def __len__(self) -> int:
        return len(self.sequences)


@dataclass(frozen=True)
class Splits(Generic[T]):
    """Train, validation and test parts of one data set.

    name : what run records call it. digest : sha256 over everything that was read, the cut into splits included.
    source : where the files came from, with the licence as stated there. classes : names of the labels, empty for plain
    text. revision : commit of the hub that was read, None for anything else. test_seen : where the test part is a file of
    its own, how many of its texts stand in the training file as well. `T` is `LabelledTexts`, `LabelledImages`,
    `LabelledSequences`, or bytes for plain text.
    """

    name: str
    train: T
    validation: T
    test: T
    digest: str
    source: str
    classes: tuple[str, ...] = ()
    revision: str | None = None
    test_seen: int | None = None
