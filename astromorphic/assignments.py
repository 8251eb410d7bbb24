"""`--set NAME=VALUE` on the command line: single values, lists (1,2,5) and ranges (LOW:HIGH:COUNT)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

# A sweep over a longer list is a mistake of the keyboard, and the list itself would fill the memory.
MOST_VALUES = 100_000


# Lists of these hold names, as they are written, and whole numbers; all others numbers, for sweeps.
_OF_NAMES, _OF_WHOLE = ("classes",), ("image_size",)
# Of these "none" is one of the choices; of all others it is no value at all. A test compares with the settings themselves.
_WITH_NONE = (
    "augment", "calcium_noise", "coupling_norm", "distance", "gate", "memory_positions", "mixer", "scatter", "sharding", "sic",
    "sigmoid_placement",
)  # fmt: skip


class AssignmentError(ValueError):
    """A NAME=VALUE that cannot be read."""


def parse_assignments(items: Iterable[str]) -> dict[str, object]:
    """NAME -> str, int, float, bool, None, or a list of floats, in the order given; a name may occur once.

    Lists of `classes` hold their names as they are written, those of `image_size` whole numbers.

    Numbers may be infinite or NaN; whoever receives them knows the range.

    Raises
    ------
    AssignmentError
        There is no name or value, a name occurs twice, a list holds something that is no number or holds nothing, or a
        range is not LOW:HIGH:COUNT with finite ends and 2 to 100000 values.
    """
    parsed: dict[str, object] = {}
    for item in items:
        name, separator, value = item.partition("=")
        name, value = name.strip(), value.strip()
        if not separator or not name or not value:
            raise AssignmentError(f"--set {item}: expected NAME=VALUE, as in --set K_AG=-1000")
        if name in parsed:
            raise AssignmentError(f"--set {name}: given twice; give a list instead, as in --set {name}=1,2")
        parsed[name] = _value(name, value)
    return parsed


def _value(name: str, text: str) -> object:
    # An expression for words may hold commas and colons.
    if text.startswith("regex:"):
        return text
    if "," in text:
        return _list(name, text)
    if ":" in text:
        return _range(name, text)
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if name in _WITH_NONE and text.lower() == "none":
        return "none"
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _list(name: str, text: str) -> list[Any]:
    parts = text.split(",")
    # One comma at the end makes a list of one value.
    if not parts[-1].strip():
        parts.pop()
    if not parts or not all(part.strip() for part in parts):
        wanted, example = ("name", "a,b") if name in _OF_NAMES else ("number", "1,2")
        raise AssignmentError(
            f"--set {name}={text}: expected a {wanted} on each side of a comma, as in --set {name}={example}"
        )
    if name in _OF_NAMES:
        return [part.strip() for part in parts]
    return [(_whole if name in _OF_WHOLE else _number)(name, part) for part in parts]


def whole_list(name: str, value: object, least: int) -> list[int]:
    """A whole number, or a list of them as lists of the command line hold them (floats), each once; AssignmentError otherwise."""
    given: list[Any] = value if isinstance(value, list) else [value]
    # Floats beyond count no ones, and infinity has no whole part.
    if any(
        isinstance(n, bool) or not isinstance(n, int | float) or not least <= n < 2**53 or n != int(n) for n in given
    ):
        raise AssignmentError(f"--set {name}={value}: expected whole numbers of at least {least}, with commas between")
    return list(dict.fromkeys(int(n) for n in given))


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise AssignmentError(f"--set {name}: {text.strip()!r} is not a whole number") from None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AssignmentError(f"--set {name}: {text.strip()!r} is not a number") from None


def _range(name: str, text: str) -> list[float]:
    parts = text.split(":")
    digits = parts[2].strip() if len(parts) == 3 else ""
    # As a float, since Python reads no integers of more than 4300 digits.
    count = float(digits) if digits.isdecimal() else 0.0
    if count < 2:
        raise AssignmentError(f"--set {name}={text}: expected LOW:HIGH:COUNT with a count of at least 2, as in 1:10:10")
    if count > MOST_VALUES:
        raise AssignmentError(f"--set {name}={text}: a range has at most {MOST_VALUES} values; lower the count")
    low, high = _number(name, parts[0]), _number(name, parts[1])
    if not math.isfinite(high - low):
        raise AssignmentError(f"--set {name}={text}: expected finite numbers from LOW to HIGH, as in 1:10:10")
    return [low + (high - low) * i / (count - 1) for i in range(int(count))]
