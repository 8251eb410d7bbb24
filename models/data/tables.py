"""A user's own labelled texts: CSV with a header, or one JSON object per line."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..settings import is_whole
from .digest import digest_of
from .draw import balanced_draw, number_of
from .integers import check_seed
from .kinds import LabelledTexts, Splits
from .reading import Reader, unpacked_suffix

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
TEXT_COLUMNS = ("text", "review", "sentence", "content", "document", "comment", "message")
LABEL_COLUMNS = ("label", "labels", "class", "category", "sentiment", "target", "y")
_SEPARATORS = (",", ";", "\t", "|")
# number of the line or row for messages, text, label as written
Row = tuple[int, str, str]


def load_table(
    path: Path,
    *,
    validation: float = 0.1,
    test: float | Path = 0.1,
    seed: int = 0,
    text: str | None = None,
    label: str | None = None,
    separator: str | None = None,
    classes: Sequence[str] | None = None,
) -> Splits[LabelledTexts]:
    """Texts and labels of one file, or of one file for training and one for the test.

    validation, test : items or shares, drawn by `seed` with equal shares of the classes, copies of a text on one side;
    `test` may name a second file instead; `Splits.test_seen` counts its texts that stand in the first as well. text, label :
    the columns; without them the usual names are looked for. separator : of a CSV; without it the one of , ; tab | that cuts
    the header. classes : names of the labels in the order of their numbers; a label is one of them or its number. Without it
    the labels found are sorted, numbers by size.

    Raises ModelError, naming file and line: bytes that are not UTF-8, no such column, empty texts, missing or unknown
    labels, one class only, a class with too few texts to be in every part, a second file that is the first.
    """
    check_seed(seed)
    named = _checked(separator, classes)
    if not isinstance(test, (int, float, str, os.PathLike)):
        raise ModelError(f"test is {test!r}; expected a number of texts, a share of them, or the path of a second file")
    rows = _rows(path, text, label, separator)
    other = None if isinstance(test, (int, float)) else Path(test).expanduser()
    known = _found_classes(rows, path) if named is None else named
    labels = _numbered(rows, known, path)
    for number, name in enumerate(known):
        if (size := int((labels == number).sum())) < 3:
            raise ModelError(
                f"{path}: class {name!r} has {size} texts; expected at least 3, one for each part: is {label or 'this'} "
                "the column of the labels? Else drop or merge the class"
            )
    texts = [row[1] for row in rows]
    held_out = np.zeros(len(rows), dtype=np.bool_)
    seen: int | None = None
    if other is None:
        assert isinstance(test, (int, float))
        count = _needed(number_of(test, len(rows), "test"), "test", path)
        held_out = balanced_draw(labels, count, seed, texts, f"{path}: test")
        final = LabelledTexts(_chosen(texts, held_out), labels[held_out])
    else:
        test_rows = _rows(other, text, label, separator)
        if other.resolve() == path.resolve() or test_rows == rows:
            raise ModelError(
                f"test is {other}, the same texts as {path}: what is trained on is no test; name another file, or a share"
            )
        there = set(texts)
        seen = sum(row[1] in there for row in test_rows)
        final = LabelledTexts(tuple(row[1] for row in test_rows), _numbered(test_rows, known, other))
    kept = np.flatnonzero(~held_out)
    rest = [texts[i] for i in kept]
    count = _needed(number_of(validation, len(rest), "validation"), "validation", path)
    # Another stream than the draw of the test part, from the same seed.
    mask = balanced_draw(labels[kept], count, seed + 1, rest, f"{path}: validation")
    parts = (
        LabelledTexts(_chosen(rest, ~mask), labels[kept][~mask]),
        LabelledTexts(_chosen(rest, mask), labels[kept][mask]),
        final,
    )
    name = path.name
    return Splits(name, *parts, digest_of(name, known, *parts), _source(name), known, test_seen=seen)


def load_whole_table(
    path: Path,
    classes: Sequence[str],
    *,
    text: str | None = None,
    label: str | None = None,
    separator: str | None = None,
) -> Splits[LabelledTexts]:
    """All texts of a file as every part, for a network that exists: nothing is drawn, and any number of texts will do.

    classes : those that the network knows, in the order of their numbers. The rest as for `load_table`.
    Raises ModelError as `load_table` does for a damaged file, and for a label that is none of the classes.
    """
    known = _checked(separator, classes)
    assert known is not None
    rows = _rows(path, text, label, separator)
    whole = LabelledTexts(tuple(row[1] for row in rows), _numbered(rows, known, path))
    return Splits(path.name, whole, whole, whole, digest_of(path.name, known, whole), _source(path.name), known)


def _source(name: str) -> str:
    return f"the file {name}; its licence is the user's to know"


def _checked(separator: Any, classes: Any) -> tuple[str, ...] | None:
    """The classes as names; ModelError for what is no separator and no list of classes."""
    if separator is not None and (not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n'):
        raise ModelError(f"separator is {separator!r}; expected one character, and none of quotes and line ends")
    if classes is None:
        return None
    listed = isinstance(classes, (list, tuple)) and all(isinstance(one, str) or is_whole(one) for one in classes)
    known = tuple(str(one).strip() for one in classes) if listed else ()
    if len(set(known)) != len(known) or len(known) < 2 or not all(known):
        raise ModelError(
            f"classes is {classes!r}; expected at least two different names, as in classes=negative,positive"
        )
    return known


def _needed(count: int, what: str, path: Path) -> int:
    if count < 1:
        raise ModelError(f"{path}: the {what} part would be empty; ask for at least one item or give a longer file")
    return count


def _chosen(texts: Sequence[str], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(text for text, taken in zip(texts, mask, strict=True) if taken)


def _rows(path: Path, text: str | None, label: str | None, separator: str | None) -> list[Row]:
    """All rows with their text and label, checked."""
    content = Reader(path.parent, own=True).text(path)
    if not content.strip():
        raise ModelError(f"{path} is empty; expected texts with labels")
    if unpacked_suffix(path) in (".jsonl", ".ndjson"):
        records: Iterator[tuple[int, Any, Any]] = _json_records(path, content, text, label)
        place = "line"
    else:
        records, place = _csv_records(path, content, text, label, separator), "row"
    rows = []
    for number, written, found in records:
        if not isinstance(written, str) or not written.strip():
            raise ModelError(f"{path}, {place} {number}: the text is empty; remove the {place} or fill it in")
        if isinstance(found, float) and found == int(found) if _is_finite(found) else False:
            found = int(found)
        if found is None or isinstance(found, (dict, list, float)) or not str(found).strip():
            raise ModelError(
                f"{path}, {place} {number}: the label is {'missing' if found in (None, '') else repr(found)}; expected a name "
                "or a whole number"
            )
        rows.append((number, written, str(found).strip()))
    if not rows:
        raise ModelError(f"{path} has a header and no rows; expected texts with labels")
    return rows


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and np.isfinite(value)


def _csv_records(
    path: Path, content: str, text: str | None, label: str | None, separator: str | None
) -> Iterator[tuple[int, str | None, str | None]]:
    header = content.split("\n", 1)[0]
    if separator is None:
        tab = unpacked_suffix(path) == ".tsv"
        separator = "\t" if tab else max(_SEPARATORS, key=lambda one: (header.count(one), -_SEPARATORS.index(one)))
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    limit = csv.field_size_limit(len(content) + 1)
    try:
        names = [name.strip() for name in next(reader)]
        columns = (
            _column(path, names, text, TEXT_COLUMNS, "text", separator),
            _column(path, names, label, LABEL_COLUMNS, "label", separator),
        )
        for number, fields in enumerate(reader, 2):
            if not fields:
                continue
            if len(fields) != len(names):
                raise ModelError(
                    f"{path}, row {number}: {len(fields)} fields, the header has {len(names)}; put texts that hold "
                    f"{separator!r} in quotes, or name another separator"
                )
            yield number, fields[columns[0]], fields[columns[1]]
    except csv.Error as error:
        raise ModelError(f"{path}, line {reader.line_num}: {error}; correct the quotes around the texts") from None
    finally:
        csv.field_size_limit(limit)


def _json_records(path: Path, content: str, text: str | None, label: str | None) -> Iterator[tuple[int, Any, Any]]:
    columns: tuple[str, str] | None = None
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            raise ModelError(f"{path}, line {number}: nested too deeply; expected one flat object per line") from None
        except ValueError as error:
            raise ModelError(f"{path}, line {number}: no JSON ({error}); expected one object per line") from None
        if not isinstance(record, dict):
            raise ModelError(f"{path}, line {number}: {type(record).__name__}; expected one object per line")
        if columns is None:
            names = list(record)
            columns = (
                names[_column(path, names, text, TEXT_COLUMNS, "text", None)],
                names[_column(path, names, label, LABEL_COLUMNS, "label", None)],
            )
        yield number, record.get(columns[0]), record.get(columns[1])


def _column(
    path: Path, names: Sequence[str], wanted: str | None, usual: Sequence[str], what: str, separator: str | None
) -> int:
    """Where the column of the texts or labels stands; found by its usual names if none was given."""
    listed = ", ".join(map(repr, names[:12])) + (", ..." if len(names) > 12 else "")
    note = "" if separator is None else f" (separator {separator!r}; name another one if that is wrong)"
    if wanted is not None:
        if names.count(wanted) != 1:
            raise ModelError(
                f"{path}: the {what} column {wanted!r} is there {names.count(wanted)} times; columns are {listed}{note}"
            )
        return list(names).index(wanted)
    lower = [name.lower() for name in names]
    found = [i for i, name in enumerate(lower) if name in usual]
    if len(found) != 1:
        problem = "no column has a usual name" if not found else "several columns have usual names"
        raise ModelError(
            f"{path}: which column is the {what}? {problem}; columns are {listed}; name it with {what}={note}"
        )
    return found[0]


def _whole(label: str) -> int | None:
    try:
        return int(label)
    except ValueError:
        return None


def _found_classes(rows: Sequence[Row], path: Path) -> tuple[str, ...]:
    found = {row[2] for row in rows}
    if len(found) < 2:
        raise ModelError(f"{path}: every label is {next(iter(found))!r}; expected at least two classes")
    if all(_whole(label) is not None for label in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def _numbered(rows: Sequence[Row], classes: tuple[str, ...], path: Path) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(classes)}
    # Numbers stand for classes only where no class is itself named by one.
    if all(_whole(name) is None for name in classes):
        index.update({str(number): number for number in range(len(classes))})
    labels = np.empty(len(rows), dtype=np.int64)
    for i, (number, _, label) in enumerate(rows):
        if label not in index:
            listed = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
            raise ModelError(
                f"{path}, {'line' if unpacked_suffix(path) in ('.jsonl', '.ndjson') else 'row'} {number}: label {label!r} is "
                f"out of range; expected one of {listed} or 0 to {len(classes) - 1}"
            )
        labels[i] = index[label]
    return labels
