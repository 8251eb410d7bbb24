"""What an error message says of a value."""

from __future__ import annotations

import math

_LONGEST = 80


def shown(value: object) -> str:
    """`value` for a message: one line of at most 80 characters, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        # Python refuses to print integers of more than 4300 digits, and nobody wants to read 300.
        return f"a {'negative ' if value < 0 else ''}whole number of about {int(value.bit_length() * math.log10(2))} digits"
    try:
        text = " ".join(repr(value).split())
    except Exception:
        # A list may hold such an integer, and objects of other libraries may not be printable.
        text = f"an object of type {type(value).__name__}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
