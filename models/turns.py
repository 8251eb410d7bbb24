"""How a conversation is written for a language model: marks around every turn, kept in the model's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ModelError

TURNS_FILE = "turns.json"


@dataclass(frozen=True)
class Turns:
    """What stands before and after what each says. The assistant's end mark is the sign to stop."""

    user: str = "<|Human|>: "
    user_end: str = "<eoh>\n"
    assistant: str = "<|MOSS|>: "
    assistant_end: str = "<eom>\n"

    def pieces(self, dialogue: Iterable[tuple[str, str]]) -> list[tuple[str, bool]]:
        """The text in pieces, and which are to be learned: what the assistant says and the mark that ends it."""
        found: list[tuple[str, bool]] = []
        for role, text in dialogue:
            if role == "user":
                found.append((f"{self.user}{text}{self.user_end}", False))
            else:
                found += [(self.assistant, False), (text, True), (self.assistant_end, True)]
        return found

    def encoded(
        self, dialogue: Iterable[tuple[str, str]], encode: Callable[[str], list[int]]
    ) -> tuple[list[int], list[bool]]:
        """Token numbers and, for each, whether it is to be learned. Pieces are encoded one by one, as they are when chatting."""
        ids: list[int] = []
        learned: list[bool] = []
        for text, wanted in self.pieces(dialogue):
            new = encode(text)
            ids += new
            learned += [wanted] * len(new)
        return ids, learned

    def save(self, folder: Path) -> None:
        """Write turns.json."""
        from bridge.artifact import write_text

        write_text(folder / TURNS_FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Turns:
        """Read turns.json. ModelError if it is missing (the model has learned no conversations) or damaged."""
        file = folder / TURNS_FILE
        if not file.is_file():
            raise ModelError(
                f"{folder} has learned no conversations ({TURNS_FILE} is missing); fine-tune it: astromorphic train dialogue "
                f"--data FILE.jsonl --from {folder} --out DIR"
            )
        try:
            found = cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ModelError(f"{file} is damaged ({error}); train again") from None
        if not all(isinstance(mark, str) and mark for mark in asdict(found).values()):
            raise ModelError(f"{file} is damaged: its marks are {asdict(found)!r:.120}; expected four texts")
        return found
