"""Images in the manner of Pathfinder: are the two markers joined by a dashed contour? A generator of our own.

Each image has two long contours of dashes and several short ones. With probability one half the markers stand at the two
ends of one long contour, else at one end of each; both pairs of places and all the rest of the image are drawn before that
is decided, and contours are drawn until there are two pairs alike: in the distance between the places, and in how far the point
between them is from the middle of the image, both within 3/32 of its side. Neither where the markers stand nor what else
is in the image tells the label. It is neither Pathfinder nor Pathfinder32: sizes are alike, the drawing is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .digest import with_digest
from .integers import IntegerStream, check_seed, stream_key
from .kinds import LabelledSequences, Splits
from .sequences import TokenSequences

CLASSES = ("apart", "connected")


def load_pathfinder_like(
    train: int = 160_000,
    validation: int = 20_000,
    test: int = 20_000,
    seed: int = 0,
    size: int = 32,
    dashes: int = 14,
    distractors: int = 5,
    distractor_dashes: int = 4,
) -> Splits[LabelledSequences]:
    """Grey images of size x size pixels as tokens 0 to 255, row by row; the same bytes from the same seed everywhere.

    dashes : of each of the two long contours. distractors : short contours of `distractor_dashes`; one that finds no room is
    left out. Image i of a part depends on the seed, the part and i alone, so that smaller parts begin larger ones.
    Raises ModelError for numbers out of range, and for contours that do not fit into the image.
    """
    check_seed(seed)
    for name, value, low, high in (
        ("size", size, 16, 256), ("dashes", dashes, 2, 250), ("distractors", distractors, 0, 250),
        ("distractor_dashes", distractor_dashes, 1, 250), ("train", train, 1, 10**8), ("validation", validation, 1, 10**8),
        ("test", test, 1, 10**8),
    ):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ModelError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
    parts = []
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        keys = IntegerStream(stream_key("pathfinder_like", seed, split)).words(count)
        images, labels = drawn(keys, size, dashes, distractors, distractor_dashes)
        parts.append(LabelledSequences(TokenSequences.of_pixels(images), labels))
    name = "pathfinder_like" if size == 32 else f"pathfinder_like_{size}"
    return with_digest(name, parts, "generated here", CLASSES)


def drawn(
    keys: NDArray[np.uint64], size: int, dashes: int, distractors: int, distractor_dashes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 ``[n, size, size]`` and labels ``[n]``, one for each key."""
    from .contours import draw_many

    images = np.zeros((len(keys), size, size), dtype=np.uint8)
    labels = np.zeros(len(keys), dtype=np.int64)
    if draw_many(images, keys, dashes, distractors, distractor_dashes, labels) < len(keys):
        raise ModelError(
            f"dashes is {dashes} and two contours of so many do not fit into {size} x {size} pixels; lower dashes or raise size"
        )
    return images, labels
