"""Small files of our own in JSON: a format, its version, and exactly the keys of that version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ModelError


def read_record(
    file: Path, what: str, form: str, version: int, kinds: Mapping[str, Any], remedy: str
) -> dict[str, Any]:
    """The entries of `file` named in `kinds`; ModelError if it cannot be read or is something else.

    kinds : of every entry a type, ``[kind]`` for a list of any length, or ``(kind, kind)`` for a list of just these. Only bool
    takes True and False. what : the content by name, remedy : what to do about a wrong one, both for the error.
    """
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{what} {file} cannot be read ({error.strerror}); correct the path") from None
    except (ValueError, RecursionError):
        record = None
    wanted = {"format": str, "version": int, **kinds}
    if (
        not isinstance(record, dict)
        or set(record) != set(wanted)
        or (record["format"], record["version"]) != (form, version)
        or not all(_fits(record[name], kind) for name, kind in wanted.items())
    ):
        raise ModelError(f"{file} holds no {what} of version {version}; {remedy}")
    return {name: record[name] for name in kinds}


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, tuple):
        return isinstance(value, list) and len(value) == len(kind) and all(map(_fits, value, kind))
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(one, kind[0]) for one in value)
    return type(value) is kind
