"""Conversations of a user and an assistant: MOSS's files, one JSON object per line (fnlp/moss-003-sft-data)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ModelError
from .digest import digest_of
from .draw import number_of
from .integers import check_seed
from .kinds import Splits
from .reading import Reader

ROLES = ("user", "assistant")
# MOSS writes who speaks and the end of a turn into its texts; the marks of this package are added anew when they are read.
_SPEAKERS = {"Human": "user", "MOSS": "assistant"}
_MARKS = re.compile(r"^\s*(?:<\|(?:Human|MOSS)\|>|\[(?:Human|MOSS)\])\s*:\s?|\s*<eo[hma]>\s*$")


class Turn(NamedTuple):
    """What one of the two says. role : "user" or "assistant"."""

    role: str
    text: str


Dialogue = tuple[Turn, ...]


def load_dialogues(
    path: Path, *, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> Splits[tuple[Dialogue, ...]]:
    """Whole conversations in three parts, drawn by `seed`; validation, test : how many, or which share.

    A line is {"chat": {"turn_1": {"Human": ..., "MOSS": ...}, ...}} (moss-003-sft-data; other entries of a turn, such as its
    inner thoughts, are left out) or {"messages": [{"role": "user", "content": ...}, ...]}.

    Raises ModelError, naming file and line: what is no JSON or neither of the two, roles that are unknown or do not alternate
    from the user to the assistant, empty turns, and files with too few conversations for three parts.
    """
    check_seed(seed)
    lines = Reader(path.parent, own=True).text(path).splitlines()
    found = [_dialogue(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    counts = [number_of(share, len(found), what) for share, what in ((test, "test"), (validation, "validation"))]
    if min(counts) < 1 or sum(counts) >= len(found):
        raise ModelError(
            f"{path} has {len(found)} conversations, of which {counts[1]} are for validation and {counts[0]} for the test; "
            "expected at least one in each part and one to train on"
        )
    order = np.random.default_rng(seed).permutation(len(found))
    cut = (counts[0], sum(counts))
    parts = [tuple(found[i] for i in sorted(chosen)) for chosen in np.split(order, cut)]
    final, held, train = parts
    digest = digest_of(path.name, (), *(_as_bytes(part) for part in (train, held, final)))
    return Splits(path.name, train, held, final, digest, f"the file {path.name}; its licence is the user's to know")


def _as_bytes(part: Sequence[Dialogue]) -> bytes:
    return json.dumps(part).encode()


def _dialogue(line: str, where: str) -> Dialogue:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where} is no JSON ({error}); expected one conversation per line") from None
    turns = _turns(record)
    if not turns:
        raise ModelError(
            f'{where} holds no conversation; expected {{"chat": {{"turn_1": {{"Human": ..., "MOSS": ...}}}}}} or '
            '{"messages": [{"role": ..., "content": ...}]}'
        )
    for i, (role, text) in enumerate(turns):
        if role != ROLES[i % 2]:
            raise ModelError(f"{where}: turn {i + 1} is of {role!r:.40}; expected {ROLES[i % 2]!r}, by turns")
        if not isinstance(text, str) or not _said(text):
            raise ModelError(f"{where}: turn {i + 1} is empty or no text; remove the conversation or fill it in")
    if len(turns) < 2:
        raise ModelError(f"{where}: the assistant says nothing; expected at least one turn of each")
    return tuple(Turn(role, _said(text)) for role, text in turns)


def _said(text: str) -> str:
    return _MARKS.sub("", text).strip()


def _turns(record: Any) -> list[tuple[Any, Any]]:
    if not isinstance(record, dict):
        return []
    chat, messages = record.get("chat"), record.get("messages")
    if isinstance(chat, dict) and all(isinstance(turn, dict) for turn in chat.values()):
        # turn_10 comes after turn_9.
        ordered = sorted(
            chat, key=lambda name: int(name.rpartition("_")[2]) if name.rpartition("_")[2].isdigit() else 0
        )
        return [(_SPEAKERS[who], chat[name][who]) for name in ordered for who in _SPEAKERS if who in chat[name]]
    if isinstance(messages, list) and all(isinstance(one, dict) for one in messages):
        return [(one.get("role"), one.get("content")) for one in messages]
    return []
