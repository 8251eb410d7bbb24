"""Curves from a CSV table whose header states the unit of every column, such as

    rate (Hz),calcium (uM),calcium_se (uM)

Nothing is guessed: a column without a unit, with an unknown one or with an unknown name is refused, and a unit that is
converted is recorded in the notes of the curve.
"""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biosim.messages import shown
from biosim.registry import UnknownName, choose

from .measure import Array, Curve, CurveError
from .units import STANDARD, normalised

# Name of a column -> what it holds. Trials are calcium_trial_1, calcium_trial_2, ...
_COLUMNS = {
    "rate": "rate",
    "input_rate": "rate",
    "calcium": "calcium",
    "calcium_se": "se",
    "calcium_sd": "sd",
    "n_trials": "count",
}
_TRIAL = re.compile(r"calcium_trial_\d+")
_HEADER = re.compile(r"\s*(?P<name>[^()\[\]]+?)\s*[(\[](?P<unit>[^()\[\]]*)[)\]]\s*")
_LARGEST_FILE = 10_000_000


@dataclass(frozen=True)
class _Column:
    """A column of the table: its name, what it holds, the factor on its values, and the note on a conversion."""

    name: str
    holds: str
    factor: float
    note: str | None


def read_curve(path: str | Path) -> Curve:
    """Curve from a CSV file (comma-separated, UTF-8; lines that start with # are comments).

    Columns, each with its unit in parentheses or brackets: `rate` or `input_rate`; `calcium`, the mean, or the trials
    `calcium_trial_1`, `calcium_trial_2`, ...; optionally `calcium_se`, the standard error of the mean, or `calcium_sd`, the
    standard deviation between trials, with their number in `n_trials (1)`. Rates are converted to Hz, calcium to uM. Rows
    have to be in order of the rate, each rate once.

    A standard error, or a standard deviation divided by the root of the number, is kept as the `sd` of the curve: it is
    what its points are weighted by. A standard deviation without a number counts as that of a single trial.

    Raises
    ------
    CurveError
        The file cannot be read or has no header; a column without unit, with an unknown unit or of an unknown name; a
        column that is missing or there twice; a cell that is empty or no finite number; rates that are negative,
        unsorted or repeated; all with the line. Fewer than three rows.
    """
    path = Path(path)
    text = _text(path)
    try:
        return _curve(text, path)
    except CurveError as error:
        raise CurveError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise CurveError(
                f"{path}: has {path.stat().st_size} bytes, expected a table of a curve of at most {_LARGEST_FILE}"
            )
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CurveError(
            f"{path}: no such file; name a CSV table with a header such as rate (Hz),calcium (uM)"
        ) from None
    except UnicodeDecodeError as error:
        raise CurveError(f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8") from None
    except OSError as error:
        raise CurveError(f"{path}: cannot be read ({error.strerror or error}); name a table that can") from None


def _curve(text: str, path: Path) -> Curve:
    rows = list(_rows(text))
    if not rows:
        raise CurveError("holds no table; expected a header such as rate (Hz),calcium (uM) and rows of numbers")
    columns = _columns(rows[0][1])
    lines, values = _numbers(columns, rows[1:])
    by_kind: dict[str, list[int]] = {}
    for index, column in enumerate(columns):
        by_kind.setdefault(column.holds, []).append(index)
    rates = values[:, by_kind["rate"][0]]
    _check_order(rates, lines)
    notes = [column.note for column in columns if column.note]
    trials = values[:, by_kind["trial"]] if "trial" in by_kind else None
    spread, note = _spread(by_kind, values, lines)
    if note:
        notes.append(note)
    return Curve(
        x=rates,
        y=values[:, by_kind["calcium"][0]] if trials is None else trials.mean(axis=1),
        sd=spread,
        trials=trials,
        y_name="calcium",
        source=f"table {path.name}",
        provenance={
            "file": path.name,
            "sha256": hashlib.sha256(text.encode("utf-8")).hexdigest(),
            "header": [cell.strip() for cell in rows[0][1]],
        },
        notes=tuple(notes),
    )


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of what is neither empty nor a comment."""
    for line, content in enumerate(text.splitlines(), start=1):
        if content.strip() and not content.lstrip().startswith("#"):
            try:
                (cells,) = csv.reader([content], strict=True)
            except (csv.Error, ValueError) as error:
                raise CurveError(f"line {line} is no row of a CSV table ({error}); correct it") from None
            yield line, cells


def _columns(header: Sequence[str]) -> list[_Column]:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise CurveError(
            f"header {shown(header[0])} is not separated by commas; save the table with commas and decimal points"
        )
    columns = [_column(cell) for cell in header]
    for holds in ("rate", "calcium", "se", "sd", "count"):
        same = [column.name for column in columns if column.holds == holds]
        if len(same) > 1:
            raise CurveError(f"columns {' and '.join(same)} hold the same; keep one")
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise CurveError(f"column {name!r} is there twice; keep one")
    kinds = {column.holds for column in columns}
    if "rate" not in kinds:
        raise CurveError(f"no column holds the rate, only {', '.join(names)}; add rate (Hz)")
    if ("calcium" in kinds) == ("trial" in kinds):
        found = "both the mean and trials" if "trial" in kinds else "neither the mean nor trials"
        raise CurveError(
            f"the table holds {found} of calcium; give calcium (uM) or calcium_trial_1 (uM), calcium_trial_2 (uM) ..."
        )
    spreads = [kind for kind in ("se", "sd", "trial") if kind in kinds]
    if len(spreads) > 1:
        raise CurveError("the spread is given twice; keep calcium_se, calcium_sd or the trials")
    if "count" in kinds and "sd" not in kinds:
        raise CurveError("n_trials belongs to calcium_sd, which is missing; add it or drop n_trials")
    return columns


def _column(cell: str) -> _Column:
    found = _HEADER.fullmatch(cell)
    if found is None:
        raise CurveError(
            f"column {shown(cell.strip())} has no unit; write it like rate (Hz), calcium (uM) or n_trials (1)"
        )
    name, unit = found["name"], normalised(found["unit"])
    holds = "trial" if _TRIAL.fullmatch(name) else None
    if holds is None:
        try:
            holds = _COLUMNS[choose("column", name, (*_COLUMNS, "calcium_trial_1"))]
        except UnknownName as error:
            raise CurveError(f"{error}") from None
    if holds == "count":
        if unit not in ("1", ""):
            raise CurveError(f"column {name!r} has the unit {found['unit']!r}, expected 1")
        return _Column(name, holds, 1.0, None)
    standard, factors = STANDARD["rate" if holds == "rate" else "concentration"]
    if unit not in factors:
        raise CurveError(
            f"column {name!r} has the unit {found['unit']!r}, expected {standard} or one that converts to it "
            f"({', '.join(factors)}); convert the column"
        )
    factor = factors[unit]
    note = None if unit == standard else f"{name} was given in {found['unit'].strip()}: times {factor:g} to {standard}"
    # 1/s and Hz are two names of one unit: nothing was converted.
    return _Column(name, holds, factor, note if factor != 1 else None)


def _numbers(columns: list[_Column], rows: list[tuple[int, list[str]]]) -> tuple[list[int], Array]:
    values = np.empty((len(rows), len(columns)))
    for i, (line, cells) in enumerate(rows):
        if len(cells) != len(columns):
            raise CurveError(f"line {line} has {len(cells)} cells, expected {len(columns)} as in the header")
        for j, (column, cell) in enumerate(zip(columns, cells, strict=True)):
            try:
                number = float(cell)
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                what = "is empty" if not cell.strip() else f"is {shown(cell.strip())}"
                raise CurveError(
                    f"line {line}: {column.name} {what}, expected a finite number; correct or remove the row"
                )
            values[i, j] = number * column.factor
    return [line for line, _ in rows], values


def _check_order(rates: Array, lines: list[int]) -> None:
    for i, rate in enumerate(rates):
        if rate < 0:
            raise CurveError(f"line {lines[i]}: rate is {rate:g} Hz, expected 0 or more; correct the rate")
        if i and rate == rates[i - 1]:
            raise CurveError(
                f"lines {lines[i - 1]} and {lines[i]} have the same rate {rate:g} Hz; average them, or give one row with "
                "calcium_trial_1, calcium_trial_2 ..."
            )
        if i and rate < rates[i - 1]:
            raise CurveError(f"line {lines[i]}: rate {rate:g} Hz follows {rates[i - 1]:g} Hz; sort the rows by rate")


def _spread(by_kind: dict[str, list[int]], values: Array, lines: list[int]) -> tuple[Array | None, str | None]:
    """Standard error of each mean, and what is said about it."""
    for kind in ("se", "sd"):
        if kind in by_kind:
            spread = values[:, by_kind[kind][0]]
            if np.any(spread < 0):
                i = int(np.argmax(spread < 0))
                raise CurveError(f"line {lines[i]}: calcium_{kind} is {spread[i]:g} uM, expected 0 or more; correct it")
            break
    else:
        return None, None
    if kind == "se":
        return spread, "points weigh by the given standard error"
    if "count" not in by_kind:
        return spread, "calcium_sd without n_trials: each point counts as a single trial"
    counts = values[:, by_kind["count"][0]]
    if np.any((counts < 1) | (counts != np.round(counts))):
        i = int(np.argmax((counts < 1) | (counts != np.round(counts))))
        raise CurveError(
            f"line {lines[i]}: n_trials is {counts[i]:g}, expected a whole number of 1 or more; correct it"
        )
    return spread / np.sqrt(counts), "points weigh by calcium_sd over the root of n_trials"
