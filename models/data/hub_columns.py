"""From the columns of a data set of the hub to labelled texts, labelled images or plain text, in three splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..choices import choice
from ..errors import ModelError
from .digest import digest_of
from .draw import balanced_draw, number_of
from .hub import PREFIX, Opened
from .kinds import LabelledImages, LabelledTexts, Splits
from .plain_text import by_position
from .tables import LABEL_COLUMNS, TEXT_COLUMNS

KINDS = ("text_classification", "image_classification", "language")
IMAGE_COLUMNS = ("image", "img", "images")
# MNIST and others say so in full.
_LABELS = (*LABEL_COLUMNS, "fine_label")
_VALIDATION, _TEST = ("validation", "valid", "val", "dev"), ("test",)


class Columns(NamedTuple):
    """What is read: `content` is the column of texts or images; label is None for plain text."""

    kind: str
    content: str
    label: str | None


class Parts(NamedTuple):
    """Which splits are read and what is drawn from train; see `load_hub`."""

    train: str
    validation: str | None
    test: str | None
    validation_share: float | None
    test_share: float | None
    seed: int


def columns_of(
    found: Opened,
    name: str,
    kind: str | None = None,
    text: str | None = None,
    label: str | None = None,
    image: str | None = None,
) -> Columns:
    """The columns to read: those named, or those of a usual name and a fitting type; ModelError says what there is."""
    if kind is not None:
        choice("kind", kind, KINDS)
    if text is not None and image is not None:
        raise ModelError(f"{name}: text_column is {text!r} and image_column {image!r}; give one of them")
    pictures = [one for one, feature in found.features.items() if _type(feature) == "Image"]
    strings = [one for one, feature in found.features.items() if _dtype(feature) in ("string", "large_string")]
    whole = [one for one, feature in found.features.items() if _is_label(feature)]
    if kind is None:
        images = image is not None or (text is None and bool(pictures))
        labelled = label is not None or len(_usual(whole, _LABELS) or _classes(found)) > 0
        kind = "image_classification" if images else "text_classification" if labelled else "language"
    if kind == "image_classification":
        content = _one(found, name, image, pictures, IMAGE_COLUMNS, "image")
    else:
        content = _one(found, name, text, strings, TEXT_COLUMNS, "text")
    if kind == "language":
        if label is not None:
            raise ModelError(f"{name}: label_column is {label!r} and plain text has no labels; leave it out")
        return Columns(kind, content, None)
    others = [one for one in whole if one != content]
    named = _usual(others, _LABELS) or [one for one in _classes(found) if one in others]
    return Columns(kind, content, _one(found, name, label, others, _LABELS, "label", named))


def _type(feature: Any) -> str:
    return type(feature).__name__


def _dtype(feature: Any) -> str:
    return str(getattr(feature, "dtype", "")) if _type(feature) in ("Value", "ClassLabel") else ""


def _is_label(feature: Any) -> bool:
    return _type(feature) == "ClassLabel" or _dtype(feature).startswith(
        ("int", "uint", "bool", "string", "large_string")
    )


def _classes(found: Opened) -> list[str]:
    return [one for one, feature in found.features.items() if _type(feature) == "ClassLabel"]


def _usual(columns: Sequence[str], usual: Sequence[str]) -> list[str]:
    return [one for one in columns if one.lower() in usual]


def _one(
    found: Opened, name: str, wanted: str | None, fitting: list[str], usual: Sequence[str], what: str, named: Any = None
) -> str:
    listed = ", ".join(
        f"{one} ({_dtype(feature) or _type(feature)})" for one, feature in list(found.features.items())[:12]
    )
    if wanted is not None:
        if wanted not in found.features:
            raise ModelError(f"{name}: there is no {what} column {wanted!r}; columns are {listed}")
        if wanted not in fitting:
            raise ModelError(f"{name}: column {wanted!r} is no {what}; columns are {listed}")
        return wanted
    named = named if named is not None else _usual(fitting, usual)
    chosen = named or (fitting if what != "label" else [])
    if len(chosen) != 1:
        problem = "none fits" if not chosen else f"{' and '.join(chosen[:4])} fit"
        raise ModelError(
            f"{name}: which column is the {what}? {problem}; columns are {listed}; name it with {what}_column= (and the task as "
            f"hub_table, hub_images or hub_text with {name} as data)"
        )
    return chosen[0]


def splits_of(found: Opened, name: str, columns: Columns, parts: Parts) -> Splits[Any]:
    """Read the parts and draw those that are not there; ModelError names split and row of what cannot be used."""
    train = _part(found, name, parts.train, "train_split")
    # Where the labels of the test part are kept back, "validation" may be named as the test.
    held = _named_or_usual(
        found, name, parts.validation, parts.validation_share, _others(_VALIDATION, train, parts.test), "validation"
    )
    test = _named_or_usual(found, name, parts.test, parts.test_share, _others(_TEST, train, held), "test")
    if len({train, held, test} - {None}) != 3 - (held is None) - (test is None):
        raise ModelError(f"{name}: two of the parts are the same split; parts are {', '.join(found.splits)}")
    called, source = _called(found), _source(found)
    if columns.kind == "language":
        made = _plain(found, name, columns, parts, (train, held, test), called, source)
        return Splits(called, *made, digest_of(called, (), *made), source, revision=found.revision)
    read = {one: _read(found, name, columns, one) for one in (train, held, test) if one is not None}
    classes = _class_names(found, name, columns, read[train][1])
    numbered = {one: (content, _numbers(name, one, labels, classes, found.features[str(columns.label)]))
                for one, (content, labels) in read.items()}  # fmt: skip
    content, labels = numbered[train]
    rest = np.ones(len(labels), dtype=np.bool_)
    drawn: dict[str, tuple[Any, NDArray[np.int64]]] = {}
    # Two streams of one seed, as for a table of the user's.
    for what, split, share, seed in (
        ("test", test, parts.test_share, parts.seed),
        ("validation", held, parts.validation_share, parts.seed + 1),
    ):
        if split is not None:
            drawn[what] = numbered[split]
            continue
        kept = np.flatnonzero(rest)
        count = number_of(0.1 if share is None else share, len(kept), what)
        if count < 1:
            raise ModelError(f"{name}: the {what} part would be empty; ask for at least one item with {what}=")
        keys = [_key(content[i]) for i in kept]
        taken = kept[balanced_draw(labels[kept], count, seed, keys, f"{name}: {what}")]
        rest[taken] = False
        drawn[what] = _rows(content, taken), labels[taken]
    kept = np.flatnonzero(rest)
    three = ((_rows(content, kept), labels[kept]), drawn["validation"], drawn["test"])
    if columns.kind == "image_classification":
        a, b, c = (LabelledImages(pixels, own) for pixels, own in three)
        shapes = {part.images.shape[1:] for part in (a, b, c)}
        if len(shapes) != 1:
            raise ModelError(
                f"{name}: images are {sorted(shapes)} in different splits; expected one size and number of channels"
            )
        return Splits(called, a, b, c, digest_of(called, classes, a, b, c), source, classes, found.revision)
    d, e, f = (LabelledTexts(tuple(own), numbers) for own, numbers in three)
    return Splits(called, d, e, f, digest_of(called, classes, d, e, f), source, classes, found.revision)


def _called(found: Opened) -> str:
    """Without the place on the disk, so that the digest does not depend on it."""
    address = found.address
    repository = address.repository.rstrip("/").rpartition("/")[2] if address.local else address.repository
    return PREFIX + repository + ("" if address.config is None else f"/{address.config}")


def _source(found: Opened) -> str:
    if found.address.local:
        return f"the folder {_called(found).removeprefix(PREFIX)}; its licence is the user's to know"
    at = "" if found.revision is None else f" at commit {found.revision}"
    return f"Hugging Face hub, {found.address.repository}{at}; licence: {found.licence}"


def _part(found: Opened, name: str, split: str, option: str) -> str:
    if split not in found.splits:
        raise ModelError(
            f"{name}: there is no split {split!r}; expected one of {', '.join(found.splits)}: set {option}"
        )
    return split


def _others(usual: Sequence[str], *taken: str | None) -> list[str]:
    return [one for one in usual if one not in taken]


def _named_or_usual(
    found: Opened, name: str, split: str | None, share: float | None, usual: Sequence[str], what: str
) -> str | None:
    """The split to read for a part; None where it is to be drawn from train."""
    if split is not None:
        if share is not None:
            raise ModelError(f"{name}: {what}_split is {split!r} and {what} is {share!r}; give one of them")
        return _part(found, name, split, f"{what}_split")
    if share is not None:
        return None
    return next((one for one in usual if one in found.splits), None)


def _read(found: Opened, name: str, columns: Columns, split: str) -> tuple[Any, list[Any]]:
    """Texts or images of a split, and the labels as they stand there."""
    rows = found.splits[split]
    labels = list(rows[columns.label])
    content = (
        _pictures(name, split, rows, columns.content)
        if columns.kind == "image_classification"
        else list(rows[columns.content])
    )
    if not len(labels):
        raise ModelError(f"{name}: split {split} is empty")
    if columns.kind != "image_classification":
        for number, text in enumerate(content):
            if not isinstance(text, str) or not text.strip():
                raise ModelError(
                    f"{name}, {split}, row {number}: the text is empty; choose another text_column or split"
                )
    return content, labels


def _pictures(name: str, split: str, rows: Any, column: str) -> NDArray[np.uint8]:
    """Images ``[n, height, width, channels]``: grey ones have one channel, all others are made red, green, blue."""
    made = []
    for number, picture in enumerate(rows[column]):
        if picture is None:
            raise ModelError(f"{name}, {split}, row {number}: there is no image; choose another image_column or split")
        grey = picture.mode in ("L", "1")
        pixels = np.asarray(picture.convert("L" if grey else "RGB"), dtype=np.uint8)
        made.append(pixels[:, :, None] if grey else pixels)
        if made[-1].shape != made[0].shape:
            raise ModelError(
                f"{name}, {split}, row {number}: the image is {list(made[-1].shape)} and the first {list(made[0].shape)}; "
                "expected one size and number of channels: cut or scale the images first"
            )
    return np.stack(made) if made else np.zeros((0, 1, 1, 1), dtype=np.uint8)


def _class_names(found: Opened, name: str, columns: Columns, labels: list[Any]) -> tuple[str, ...]:
    feature = found.features[str(columns.label)]
    if _type(feature) == "ClassLabel":
        names = tuple(str(one) for one in feature.names)
    else:
        known = {one for one in labels if one is not None}
        names = tuple(str(one) for one in sorted(known))
    if len(names) < 2:
        raise ModelError(f"{name}: column {columns.label!r} has the classes {names!r}; expected at least two")
    # A column of identifiers or of texts is no column of classes.
    if len(names) > max(len(labels) // 2, 2):
        raise ModelError(
            f"{name}: column {columns.label!r} has {len(names)} classes in {len(labels)} rows; name it with label_column="
        )
    return names


def _numbers(name: str, split: str, labels: list[Any], classes: tuple[str, ...], feature: Any) -> NDArray[np.int64]:
    if _type(feature) == "ClassLabel":
        index: dict[Any, int] = {number: number for number in range(len(classes))}
    else:
        index = {one: number for number, one in enumerate(classes)}
        labels = [None if one is None else str(one) for one in labels]
    numbers = np.empty(len(labels), dtype=np.int64)
    for row, label in enumerate(labels):
        if label not in index:
            hidden = (
                "; the labels of this split are not given out: name another with "
                if label in (-1, None, "-1")
                else "; see "
            )
            raise ModelError(
                f"{name}, {split}, row {row}: label {label!r} is none of {', '.join(classes[:12])}{hidden}train_split, "
                "validation_split or test_split"
            )
        numbers[row] = index[label]
    return numbers


def _key(content: Any) -> Any:
    """What makes two items copies of each other."""
    return content if isinstance(content, str) else content.tobytes()


def _rows(content: Any, kept: NDArray[np.int64]) -> Any:
    return content[kept] if isinstance(content, np.ndarray) else [content[i] for i in kept]


def _plain(
    found: Opened,
    name: str,
    columns: Columns,
    parts: Parts,
    splits: tuple[str, str | None, str | None],
    called: str,
    source: str,
) -> tuple[bytes, bytes, bytes]:
    def text(split: str) -> bytes:
        rows = found.splits[split][columns.content]
        # A row ends its line, whether it says so or not; WikiText's do.
        raw = "".join(row if row.endswith("\n") else f"{row}\n" for row in (one or "" for one in rows)).encode("utf-8")
        if not raw.strip():
            raise ModelError(f"{name}: split {split} has no text in column {columns.content!r}; choose another")
        return raw

    train, held, test = splits
    raw = text(train)
    first = _share(name, "validation", held, parts.validation_share)
    second = _share(name, "test", test, parts.test_share)
    if first + second >= 1:
        raise ModelError(f"{name}: validation and test take {first + second:g} of the text; expected less than 1")
    if held is None and test is None:
        # In whole numbers: 1 - 0.05 - 0.05 is a little less than 0.9.
        parts_of = [round(1e9 * share) for share in (1 - first - second, first, second)]
        cut = by_position(raw, called, source, (parts_of[0], parts_of[1], parts_of[2]))
        return cut.train, cut.validation, cut.test
    end = round(len(raw) * (1 - first - second))
    if not raw[:end] or (first + second and not raw[end:]):
        raise ModelError(f"{name}: split {train} has {len(raw)} bytes, too few to be cut; give a longer text")
    return raw[:end], raw[end:] if held is None else text(held), raw[end:] if test is None else text(test)


def _share(name: str, what: str, split: str | None, share: float | None) -> float:
    """Of the training text; 0 where the part is a split of its own."""
    if split is not None:
        return 0.0
    share = 0.05 if share is None else share
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ModelError(f"{name}: {what} is {share!r}; expected a share of the text between 0 and 1")
    return float(share)
