"""Named choices with an error that lists them and guesses what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .messages import shown

# Characters of a list that a message of one line still holds.
MOST_LISTED = 400


class UnknownName(ValueError):
    """A name that is not among the choices."""


def choose(kind: str, name: object, choices: Iterable[str]) -> str:
    """Return `name` if it is one of `choices`; otherwise raise UnknownName with the list and the nearest match.

    Of a list too long for one line, the names nearest to `name` and how many others there are.

    Parameters
    ----------
    kind : what is being named ("protocol", "engine", ...), for the message.
    """
    known = list(choices)
    if isinstance(name, str) and name in known:
        return name
    # Symbols differ by case alone (tau_AG, tau_ag), and case is what is mistyped most.
    text = name if isinstance(name, str) else shown(name)
    near = [one for one in known if one.lower() == text.lower()]
    near = near or difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(known)
    if len(listed) > MOST_LISTED:
        # The nearest to what was written first; the sorting is stable, so that others stay in their order.
        nearest = sorted(known, key=lambda one: -difflib.SequenceMatcher(None, one.lower(), text.lower()).ratio())[:12]
        listed = f"{', '.join(nearest)} and {len(known) - len(nearest)} others"
    raise UnknownName(f"unknown {kind} {shown(name)}: {hint}choose from {listed}")
