"""CIFAR-10, from the binary batches of the original archive or from the packed planes with labels.npz."""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..choices import choice
from ..errors import ModelError
from .digest import digest_of
from .draw import balanced_draw, number_of
from .kinds import LabelledImages, Splits
from .reading import Reader
from .sets import SETS

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Of the 50,000 training images scaled to 0..1; the published ones.
MEAN = (0.49139968, 0.48215841, 0.44653091)
STD = (0.24703223, 0.24348513, 0.26158784)
_SIDE, _BATCH = 32, 10_000
_RECORD = 1 + 3 * _SIDE * _SIDE
Images = NDArray[np.uint8]
# images [n, 32, 32, 3], labels [n]
Part = tuple[Images, NDArray[np.int64]]


def load_cifar10(
    folder: Path, validation: float = 0.1, seed: int = 0, subset: Literal["whole", "small"] = "whole"
) -> Splits[LabelledImages]:
    """Images uint8 ``[n, 32, 32, 3]`` (red, green, blue) and labels 0 to 9.

    folder : the data folder. validation : images (or share: 5,000 of all 50,000) taken from train, equal numbers of each class,
    by `seed`.
    subset : "whole", or "small", a class-balanced 2,000 and 1,000 images where ``small_2k_1k.npz`` is there.
    The two layouts have the images in different orders, and so other digests.
    Raises ModelError if files are missing, damaged or of another size; the pickled "python version" is refused.
    """
    choice("subset", subset, ("whole", "small"))
    train, test = _small(folder) if subset == "small" else _whole(folder)
    held = balanced_draw(train[1], number_of(validation, len(train[1]), "validation"), seed)
    parts = (
        LabelledImages(train[0][~held], train[1][~held]),
        LabelledImages(train[0][held], train[1][held]),
        LabelledImages(*test),
    )
    name = "cifar10" if subset == "whole" else "cifar10_small"
    source = f"{SETS['cifar10'].citation}; {SETS['cifar10'].licence}"
    return Splits(name, *parts, digest_of(name, CLASSES, *parts), source, CLASSES)


def _whole(folder: Path) -> tuple[Part, Part]:
    own = folder / "cifar10"
    for place in (own, folder):
        if (place / "labels.npz").is_file() and (place / "test.d2.xz").is_file():
            return _planes(Reader(place))
    inside = (folder.parent,) if folder.name == "cifar-10-batches-bin" else ()
    for place in (own, folder, *inside):
        batches = place / "cifar-10-batches-bin"
        if batches.is_dir():
            reader = Reader(place, SETS["cifar10"].known)
            parts = [_binary(reader, batches / f"data_batch_{i}.bin") for i in range(1, 6)]
            train = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
            return train, _binary(reader, batches / "test_batch.bin")
    for place in (own, folder):
        if (place / "cifar-10-batches-py").is_dir():
            raise ModelError(
                f"{place / 'cifar-10-batches-py'} is the python version of CIFAR-10, made of pickles, which can run any code; "
                "get the binary version: `astromorphic data fetch cifar10`"
            )
    raise ModelError(
        f"cifar10: neither cifar-10-batches-bin nor test.d2.xz with labels.npz is in {own}; run "
        "`astromorphic data fetch cifar10`, or name the folder that holds it (--data, ASTROMORPHIC_DATA)"
    )


def _binary(reader: Reader, file: Path) -> Part:
    raw = np.frombuffer(reader.bytes(file), dtype=np.uint8)
    if not len(raw) or len(raw) % _RECORD:
        raise ModelError(
            f"{file} has {len(raw):,} bytes; expected a multiple of {_RECORD:,} (a label and 32 x 32 x 3 values): "
            "images of another size, or a file cut short"
        )
    records = raw.reshape(-1, _RECORD)
    images = records[:, 1:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), _checked_labels(records[:, 0], file)


def _planes(reader: Reader) -> tuple[Part, Part]:
    file = reader.folder / "labels.npz"
    labels = read_npz(reader, file, ("y_train", "y_test"))
    y_train, y_test = (_checked_labels(labels[name], file) for name in ("y_train", "y_test"))
    parts = [undo_differences(reader, reader.folder / f"train_{i}_of_5.d2.xz") for i in range(1, 6)]
    test = undo_differences(reader, reader.folder / "test.d2.xz")
    train = np.concatenate(parts)
    for images, own, name in ((train, y_train, "y_train"), (test, y_test, "y_test")):
        if len(images) != len(own):
            raise ModelError(
                f"{file}: {name} has {len(own):,} labels for {len(images):,} images; copy the folder again"
            )
    return (train, y_train), (test, y_test)


def undo_differences(reader: Reader, file: Path) -> Images:
    """Images ``[10000, 32, 32, 3]`` from planes that were differenced down and across, with green taken off red and blue."""
    raw = np.frombuffer(reader.bytes(file), dtype=np.uint8)
    if len(raw) != 3 * _BATCH * _SIDE * _SIDE:
        raise ModelError(
            f"{file} unpacks to {len(raw):,} bytes; expected {3 * _BATCH * _SIDE * _SIDE:,} (10,000 images of 32 x 32 x 3)"
        )
    planes = raw.reshape(3, _BATCH, _SIDE, _SIDE)
    # Sums of uint8 wrap around at 256, as the differences did.
    images = np.moveaxis(planes.cumsum(axis=2, dtype=np.uint8).cumsum(axis=3, dtype=np.uint8), 0, -1).copy()
    images[..., 0] += images[..., 1]
    images[..., 2] += images[..., 1]
    return images


def _small(folder: Path) -> tuple[Part, Part]:
    place = folder / "cifar10" if (folder / "cifar10").is_dir() else folder
    file = place / "small_2k_1k.npz"
    if not file.is_file():
        raise ModelError(f"cifar10: the small subset {file} is not there; take subset='whole'")
    found = read_npz(Reader(place), file, ("x_train", "y_train", "x_test", "y_test"))
    parts = []
    for name in ("train", "test"):
        images, labels = found[f"x_{name}"], _checked_labels(found[f"y_{name}"], file)
        if images.dtype != np.uint8 or images.shape != (len(labels), _SIDE, _SIDE, 3):
            raise ModelError(
                f"{file}: x_{name} is {images.dtype} {list(images.shape)}; expected uint8 [{len(labels)}, 32, 32, 3]"
            )
        parts.append((images, labels))
    return parts[0], parts[1]


def _checked_labels(labels: NDArray[Any], file: Path) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise ModelError(f"{file}: labels are {labels.dtype} {list(labels.shape)}; expected whole numbers in one row")
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if len(wrong):
        raise ModelError(f"{file}: image {wrong[0]} has label {labels[wrong[0]]}; expected 0 to 9")
    return labels.astype(np.int64)


def read_npz(reader: Reader, file: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays `names` of an npz file; ModelError if one is missing, pickled or damaged."""
    data = reader.packed_bytes(file)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except KeyError:
        raise ModelError(f"{file} lacks one of {', '.join(names)}; copy it again") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise ModelError(f"{file} cannot be read as npz without pickles ({error}); copy it again") from None
