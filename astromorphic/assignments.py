"""`--set NAME=VALUE` on the command line: single values, lists (1,2,5) and ranges (LOW:HIGH:COUNT)."""

from __future__ import annotations

from collections.abc import Iterable


class AssignmentError(ValueError):
    """A NAME=VALUE that cannot be read."""


def parse_assignments(items: Iterable[str]) -> dict[str, object]:
    """NAME -> str, int, float, bool, None, or a list of floats, in the order given; a name may occur once."""
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
    if "," in text:
        return [_number(name, part) for part in text.split(",") if part.strip()]
    if ":" in text:
        return _range(name, text)
    words: dict[str, object] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AssignmentError(f"--set {name}: {text.strip()!r} is not a number") from None


def _range(name: str, text: str) -> list[float]:
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].strip().isdigit() or int(parts[2]) < 2:
        raise AssignmentError(f"--set {name}={text}: expected LOW:HIGH:COUNT with a count of at least 2, as in 1:10:10")
    low, high, count = _number(name, parts[0]), _number(name, parts[1]), int(parts[2])
    return [low + (high - low) * i / (count - 1) for i in range(count)]
