"""Pathfinder32 and Path-X of the Long Range Arena: grey images from the release's folder, with the labels of its lists.

The release holds ``curv_contour_length_14/imgs/FOLDER/sample_N.png`` and ``curv_contour_length_14/metadata/K.npy``; these
lists are text whatever their suffix says, a line for each image: folder, file, number, label, and settings of its generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..choices import choice
from ..errors import ModelError
from .digest import with_digest
from .integers import IntegerStream, check_seed, stream_key
from .kinds import LabelledSequences, Splits
from .sequences import TokenSequences
from .sets import SETS

CLASSES = ("apart", "connected")
LEVELS = {"easy": "curv_baseline", "intermediate": "curv_contour_length_9", "hard": "curv_contour_length_14"}
# Files without content that are no images; Pathfinder32 is known to have one.
_MOST_EMPTY = 10


@dataclass(frozen=True)
class _Listed:
    file: Path
    label: int


def load_pathfinder(
    folder: Path, seed: int = 0, level: Literal["easy", "intermediate", "hard"] = "hard", images: int | None = None
) -> Splits[LabelledSequences]:
    """1,024 tokens from 0 to 255 an image, row by row, in 80, 10 and 10 % by `seed`.

    folder : the data folder; ``pathfinder32`` lies in it, in ``pathfinder``, or as the release unpacks. level : the arena's task
    is "hard". images : only so many, drawn by `seed`; None for all 200,000. Empty files are left out.
    Raises ModelError if lists or images are missing, damaged or of another size.
    """
    return _load(folder, "pathfinder", "pathfinder32", 32, seed, level, images)


def load_path_x(
    folder: Path, seed: int = 0, level: Literal["easy", "intermediate", "hard"] = "hard", images: int | None = None
) -> Splits[LabelledSequences]:
    """As `load_pathfinder`, from ``pathfinder128``: 16,384 tokens an image, so that all 200,000 take 3.3 GB."""
    return _load(folder, "path_x", "pathfinder128", 128, seed, level, images)


def _load(
    folder: Path, name: str, inside: str, size: int, seed: int, level: str, images: int | None
) -> Splits[LabelledSequences]:
    choice("level", level, LEVELS)
    check_seed(seed)
    if images is not None and (isinstance(images, bool) or not isinstance(images, int) or images < 10):
        raise ModelError(f"images is {images!r}; expected a whole number of at least 10, or None for all")
    place = _place(folder, name, inside) / LEVELS[level]
    listed = _listed(place, name)
    order = IntegerStream(stream_key(name, seed)).order(len(listed))[:images]
    pixels = np.stack([_grey(listed[i].file, size) for i in order.tolist()])
    labels = np.array([listed[i].label for i in order.tolist()], dtype=np.int64)
    first, second = len(order) * 80 // 100, len(order) * 90 // 100
    parts = tuple(
        LabelledSequences(TokenSequences.of_pixels(pixels[cut]), labels[cut])
        for cut in (slice(first), slice(first, second), slice(second, None))
    )
    whole = name if level == "hard" else f"{name}_{level}"
    source = f"{SETS[name].citation}; {SETS[name].licence}"
    return with_digest(whole, parts, source, CLASSES)


def _place(folder: Path, name: str, inside: str) -> Path:
    places = [folder / name, folder, folder / "lra_release", folder / "lra_release" / "lra_release"]
    for place in places:
        if (place / inside).is_dir():
            return place / inside
    raise ModelError(
        f"{name}: {inside} is not in {places[0]}; unpack lra_release.gz of google-research/long-range-arena there, or name the "
        "folder that holds it (--data, ASTROMORPHIC_DATA)"
    )


def _listed(place: Path, name: str) -> list[_Listed]:
    lists = sorted((place / "metadata").glob("*.npy"), key=lambda path: (len(path.stem), path.stem))
    if not lists:
        raise ModelError(f"{name}: {place / 'metadata'} holds no lists of images; unpack the release again")
    found, empty = [], 0
    for file in lists:
        try:
            lines = file.read_bytes().decode("ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            raise ModelError(f"{file} is not the text of the release's lists; unpack the release again") from None
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if len(fields) < 4 or fields[3] not in ("0", "1") or ".." in f"{fields[0]}/{fields[1]}".split("/"):
                raise ModelError(
                    f"{file}, line {number}: {line[:60]!r}; expected folder, file, number and the label 0 or 1"
                )
            image = place / fields[0] / fields[1]
            try:
                size = image.stat().st_size
            except OSError:
                raise ModelError(f"{file}, line {number}: {image} is not there; unpack the release again") from None
            if size == 0:
                empty += 1
                if empty > _MOST_EMPTY:
                    raise ModelError(f"{name}: {image} is the {empty}th empty image; unpack the release again")
                continue
            found.append(_Listed(image, int(fields[3])))
    if len(found) < 10:
        raise ModelError(f"{name}: {place} lists {len(found)} images; expected at least 10, so that each part has one")
    return found


def _grey(file: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:
            if image.size != (size, size):
                raise ModelError(f"{file} has {image.size[0]} x {image.size[1]} pixels; expected {size} x {size}")
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except (OSError, SyntaxError) as error:
        raise ModelError(f"{file} cannot be read as PNG ({error}); unpack the release again") from None
