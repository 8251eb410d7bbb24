"""A conversation with a language model that was fine-tuned on dialogues; its state goes on from turn to turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .continuation import WordCodec, Writer, open_writer
from .errors import ModelError
from .turns import Turns


class Chat:
    """One conversation. What was said is in the state alone: no turn is read twice, and memory grows only if the state does.

    temperature : 0 for the likeliest token. seed : of what is drawn.
    """

    def __init__(self, writer: Writer, turns: Turns, *, temperature: float = 0.8, seed: int = 0) -> None:
        if isinstance(writer.codec, WordCodec):
            raise ModelError("the model reads words, which have no marks for turns; train it on bytes, gpt2 or neox")
        self.writer, self.turns, self.temperature = writer, turns, temperature
        self.generator = torch.Generator().manual_seed(seed)
        self.state: Any = None
        self.seen = 0

    @torch.no_grad()
    def reply(self, text: str, length: int = 512, show: Callable[[str], None] | None = None) -> str:
        """What the assistant says to `text`, at most `length` tokens; it is then the user's turn, whoever ended the reply.

        show : gets the reply piece by piece. Raises ModelError for a text without a token, and where the model's positions end.
        """
        if not text.strip():
            raise ModelError("the turn is empty; say something")
        encode, turns = self.writer.codec.encode, self.turns
        logits = self._read(
            [token for piece, _ in turns.pieces([("user", text)]) for token in encode(piece)] + encode(turns.assistant)
        )
        end, read = encode(turns.assistant_end), self.writer.codec.reader()
        new: list[int] = []
        pieces: list[str] = []

        def tell(tokens: list[int]) -> None:
            for token in tokens:
                pieces.append(read(token))
                if show is not None and pieces[-1]:
                    show(pieces[-1])

        while len(new) < length and new[-len(end) :] != end:
            token = self._drawn(logits)
            new.append(token)
            # The last tokens are held back while they may be the beginning of the end mark.
            held = next((n for n in range(min(len(end), len(new)), 0, -1) if new[-n:] == end[:n]), 0)
            tell(new[len(pieces) : len(new) - held])
            logits = self._read([token])
        if new[-len(end) :] != end:
            tell(new[len(pieces) :])
            # Cut off: the mark is put in, so that the conversation keeps its form.
            self._read(end)
        return "".join(pieces)

    def _read(self, ids: list[int]) -> torch.Tensor:
        model = self.writer.model
        self.seen += len(ids)
        if not self.writer.unlimited and self.seen > self.writer.positions:
            raise ModelError(
                f"the conversation has filled the {self.writer.positions} positions of the model; begin anew"
            )
        out = model(input_ids=torch.tensor([ids], device=model.device), past_key_values=self.state, use_cache=True)
        self.state = out.past_key_values
        return out.logits[0, -1].float().cpu()[: self.writer.codec.size]  # type: ignore[no-any-return]

    def _drawn(self, logits: torch.Tensor) -> int:
        if not self.temperature:
            return int(logits.argmax())
        chances = (logits.double() / self.temperature).softmax(-1)
        return int(torch.multinomial(chances, 1, generator=self.generator))


def open_chat(folder: str | os.PathLike[str], data: Any = None, *, temperature: float = 0.8, seed: int = 0) -> Chat:
    """A conversation with the model in `folder`, in the form that it was trained with (turns.json).

    data : as for `open_writer`. Raises ModelError for a model that has learned no conversations, and as `open_writer` does.
    """
    writer = open_writer(folder, data)
    return Chat(writer, Turns.load(Path(folder)), temperature=temperature, seed=seed)
