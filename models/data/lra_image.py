"""Image of the Long Range Arena: CIFAR-10 in grey, pixel by pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .cifar10 import load_cifar10
from .digest import with_digest
from .kinds import LabelledImages, LabelledSequences, Splits
from .sequences import TokenSequences

# Pixels on a side; the first is the arena's.
SIZES = (32, 16, 8)


def load_lra_image(
    folder: Path, validation: float = 0.1, seed: int = 0, subset: Literal["whole", "small"] = "whole", size: int = 32
) -> Splits[LabelledSequences]:
    """1,024 tokens a picture, row by row, each a grey value from 0 to 255; no augmentation.

    Options and errors as `load_cifar10`: 45,000, 5,000 and 10,000 pictures, or fewer with `subset` "small". size : pixels on a
    side, 16 or 8 in place of the arena's 32: means over squares, cut to whole numbers; the name of the data then says so.
    """
    if size not in SIZES or isinstance(size, bool):
        raise ModelError(f"size is {size!r}; expected one of {', '.join(map(str, SIZES))} pixels on a side")
    splits = load_cifar10(folder, validation, seed, subset)
    parts = tuple(_pixels(part, size) for part in (splits.train, splits.validation, splits.test))
    name = splits.name.replace("cifar10", "lra_image") + ("" if size == SIZES[0] else f"_{size}x{size}")
    return with_digest(name, parts, splits.source, splits.classes)


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey values ``[n, height, width]`` of colours ``[n, height, width, 3]`` as tf.image.rgb_to_grayscale gives them.

    That is 0.2989 red + 0.5870 green + 0.1140 blue of values scaled to 0..1, times 255.5, cut to a whole number. Here in whole
    numbers, 255.5 / 255 = 511 / 510: exact, where float32 may fall on either side of a step.
    """
    weighted = images.astype(np.uint64) @ np.array([2989, 5870, 1140], dtype=np.uint64)
    return (weighted * np.uint64(511) // np.uint64(5_100_000)).astype(np.uint8)


def smaller(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Grey images ``[n, size, size]`` from ``[n, side, side]``: whole part of the mean over squares; size divides side."""
    n, side = images.shape[:2]
    block = side // size
    squares = images.reshape(n, size, block, size, block).sum(axis=(2, 4), dtype=np.uint64)
    return (squares // np.uint64(block * block)).astype(np.uint8)


def _pixels(part: LabelledImages, size: int) -> LabelledSequences:
    # In pieces: eight bytes a value of 45,000 pictures at once would be a gigabyte.
    pieces = [smaller(grey(part.images[start : start + 1000]), size) for start in range(0, len(part), 1000)]
    values = np.concatenate(pieces) if pieces else np.zeros((0, size, size), dtype=np.uint8)
    return LabelledSequences(TokenSequences.of_pixels(values), part.labels)
