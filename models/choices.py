"""Names chosen from a list: the one form of words for a name that is not in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .errors import ModelError


def choice(kind: str, value: object, choices: Iterable[str]) -> str:
    """`value` if it is one of `choices`; otherwise ModelError with the list and the nearest match."""
    known = list(choices)
    if isinstance(value, str) and value in known:
        return value
    raise ModelError(f"unknown {kind} {value!r:.60}: {did_you_mean(value, known)}choose from {', '.join(known)}")


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """The part of an error that names the nearest of `choices`, whatever the case, with a blank behind; "" if none is near."""
    if not isinstance(value, str):
        return ""
    known = {name.lower(): name for name in choices}
    near = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {known[near[0]]!r}? " if near else ""
