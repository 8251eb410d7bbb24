"""Checks of single settings of a configuration, and how a value is shown in an error."""

from __future__ import annotations

import math
from collections.abc import Collection

from .errors import ModelError

# Past these a size does not fit torch's indices, and a factor is infinite in float32.
LARGEST_COUNT = 2**31 - 1
LARGEST_FACTOR = 3.4028234e38

# What the library itself writes into config.json or passes on, beyond the declared fields.
LIBRARY_KEYS = frozenset(
    {
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "_name_or_path",
        "attn_implementation",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "torch_dtype",
        "transformers_version",
    }
)


def shown(value: object) -> str:
    """The value in an error message: on one line, cut short, and whatever Python itself refuses to print by its type."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of thousands of digits
        return f"a number of type {type(value).__name__} with too many digits to print"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


def is_whole(value: object) -> bool:
    """Whether this is a whole number, which True is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_count(name: str, value: object) -> None:
    """ModelError unless `value` is a whole number of at least 1 that fits torch's indices."""
    if not is_whole(value) or not 1 <= value <= LARGEST_COUNT:  # type: ignore[operator]
        too_large = is_whole(value) and value > LARGEST_COUNT  # type: ignore[operator]
        expected = f"at most {LARGEST_COUNT}" if too_large else "at least 1"
        raise ModelError(f"{name} is {shown(value)}; expected a whole number of {expected}")


def check_number(
    name: str, value: object, *, low: float, high: float = LARGEST_FACTOR, open_low: bool = False, closed_high: bool = False
) -> None:  # fmt: skip
    """ModelError unless `value` is a finite number from `low` (or above it) to below `high` (or to it)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared, not passed to math.isfinite, which cannot take an integer beyond float; NaN fails every comparison.
    fits = number and low <= value <= high  # type: ignore[operator]
    if not fits or (open_low and value == low) or (not closed_high and value == high):
        span = f"above {low:g}" if open_low else f"at least {low:g}"
        bound = "at most" if closed_high else "below"
        ceiling = f" and {bound} {high:g}" if high < LARGEST_FACTOR or (number and value != math.inf) else ""
        raise ModelError(f"{name} is {shown(value)}; expected a finite number {span}{ceiling}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """ModelError unless `value` is one of the names."""
    if not isinstance(value, str) or value not in choices:
        raise ModelError(f"{name} is {shown(value)}; expected one of {', '.join(choices)}")
