"""A prompt as tokens with a readable label each, and which of them a named part of it is."""

from __future__ import annotations

from typing import NamedTuple

from ...continuation import Codec, WordCodec
from ...errors import ModelError

# Characters that would not show.
_SHOWN = {" ": "␣", "\n": "↵", "\t": "⇥"}


class Prompt(NamedTuple):
    """ids and labels of the tokens; subject : places of those that belong to the named part, counted from 0."""

    ids: tuple[int, ...]
    labels: tuple[str, ...]
    subject: tuple[int, ...]


def read_prompt(codec: Codec, text: str, subject: str | None = None) -> Prompt:
    """`text` as the tokens of a model; without a subject all tokens but the last are it.

    A subject that occurs several times is the first of them; a token that is partly in it is all in it. Raises ModelError for a
    prompt of fewer than two tokens and for a subject that is empty or not in the prompt.
    """
    if not text:
        raise ModelError("the prompt is empty; give at least two tokens to look at")
    ids = codec.encode(text)
    if len(ids) < 2:
        raise ModelError(
            f"the prompt {text!r:.60} has {len(ids)} of the model's {codec.unit}; expected at least two, one to disturb and one "
            "to answer from"
        )
    labels = tuple(token_label(codec, token) for token in ids)
    if subject is None:
        return Prompt(tuple(ids), labels, tuple(range(len(ids) - 1)))
    start = text.find(subject) if subject else -1
    if start < 0:
        raise ModelError(
            f"the subject {subject!r:.60} is not in the prompt {text!r:.60}; give a part of it, letter by letter"
        )
    end = start + len(subject)
    if isinstance(codec, WordCodec):
        # Parts of words are no tokens.
        while start and not text[start - 1].isspace():
            start -= 1
        while end < len(text) and not text[end].isspace():
            end += 1
    before = _common(codec.encode(text[:start]), ids)
    after = _common(codec.encode(text[end:])[::-1], ids[::-1])
    places = tuple(range(before, len(ids) - after))
    if not places:
        raise ModelError(f"the subject {subject!r:.60} holds none of the model's {codec.unit}; name more of the prompt")
    return Prompt(tuple(ids), labels, places)


def token_label(codec: Codec, token: int) -> str:
    """The text of one token with blanks made visible; the numbers of bytes that are no character of their own."""
    text = codec.reader()(token)
    if not text or "\ufffd" in text:
        return f"{token:02x}" if codec.size == 256 else f"#{token}"
    return "".join(_SHOWN.get(c, c if c.isprintable() else f"{ord(c):02x}") for c in text)


def _common(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
