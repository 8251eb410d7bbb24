"""A trained language model continues a text: which tokens its folder speaks of, and the text piece by piece as it is made."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from .errors import ModelError
from .result import RunResult
from .run_files import check_files
from .surroundings import quiet_library

if TYPE_CHECKING:
    from .astromorphic import AstromorphicForCausalLM
    from .data.subwords import GPT2Tokenizer, NeoXTokenizer
    from .data.vocabulary import WordVocabulary

Piece = Callable[[int], str]
CLASSIFIERS = ("AstromorphicForSequenceClassification", "AstromorphicForImageClassification")


class Codec(Protocol):
    """Text to token numbers and back. unit : what messages call the tokens. size : how many there are."""

    unit: str
    size: int
    never: tuple[int, ...]

    def encode(self, text: str) -> list[int]: ...

    def reader(self) -> Piece:
        """A function that takes one token after the other and returns what has become readable by it, perhaps ""."""
        ...


class ByteCodec:
    """UTF-8; bytes that are none come out as replacement characters."""

    unit, size = "bytes", 256
    never: tuple[int, ...] = ()

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8"))

    def reader(self) -> Piece:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return lambda token: decoder.decode(bytes([token]))


class WordCodec:
    """The words of `WordTokens`: between blanks, ``<eos>`` at every line end, rare ones ``<unk>``."""

    unit = "words"

    def __init__(self, vocabulary: WordVocabulary) -> None:
        self.vocabulary, self.size = vocabulary, len(vocabulary)
        self.never: tuple[int, ...] = (vocabulary.pad_id,)

    def encode(self, text: str) -> list[int]:
        from .data.plain_text import wikitext_words

        words = wikitext_words(text.encode("utf-8"))
        # The last line of a prompt goes on, unless the prompt ends it.
        return self.vocabulary.encode_words(words if text.endswith("\n") else words[:-1]).tolist()

    def unknown(self, text: str) -> list[str]:
        """The words of a text that the network does not know."""
        known = set(self.vocabulary.words)
        return [word for word in dict.fromkeys(text.split()) if word not in known]

    def reader(self) -> Piece:
        from .data.plain_text import END_OF_LINE

        before = ""

        def piece(token: int) -> str:
            nonlocal before
            word = self.vocabulary.words[token]
            text = "\n" if word == END_OF_LINE else word if before in ("", "\n") else f" {word}"
            before = text
            return text

        return piece


class SubwordCodec:
    """Byte pairs of GPT-2 or GPT-NeoX; a character that is spread over several tokens comes with the last of them."""

    unit = "tokens"
    never: tuple[int, ...] = ()

    def __init__(self, tokenizer: GPT2Tokenizer | NeoXTokenizer) -> None:
        self.tokenizer, self.size = tokenizer, int(tokenizer.vocab_size)

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text).tolist()

    def reader(self) -> Piece:
        held: list[int] = []

        def piece(token: int) -> str:
            held.append(token)
            text = self.tokenizer.decode(held)
            # A character has at most four bytes, and each is at least a token of its own.
            if text.endswith("�") and len(held) < 4:
                return ""
            held.clear()
            return text

        return piece


class Writer(NamedTuple):
    """A language model in evaluation mode and the codec of its tokens."""

    model: AstromorphicForCausalLM
    codec: Codec

    @property
    def positions(self) -> int:
        """Tokens that the model has room for, the prompt included."""
        return int(self.model.config.max_position_embeddings)

    @property
    def unlimited(self) -> bool:
        """Whether the model reads texts of any length."""
        return bool(getattr(self.model, "unlimited_positions", False))

    def continued(
        self, ids: Sequence[int], length: int, temperature: float, seed: int, show: Callable[[str], None] | None = None
    ) -> str:
        """The text of `ids` and of `length` more tokens, drawn at `temperature` (0: the likeliest) from `seed`.

        show : is called with every piece of the text, that of `ids` first, as soon as it is there.
        """
        never = [*self.codec.never, *range(self.codec.size, int(self.model.config.vocab_size))]
        how: dict[str, Any] = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        pieces = _Pieces(self.codec.reader(), show)
        torch.manual_seed(seed)
        with quiet_library(), torch.no_grad():
            self.model.generate(
                torch.tensor([list(ids)]), max_new_tokens=length, streamer=pieces, suppress_tokens=never or None, **how
            )
        return "".join(pieces.text)


class _Pieces(BaseStreamer):
    def __init__(self, read: Piece, show: Callable[[str], None] | None) -> None:
        self.read, self.show = read, show
        self.text: list[str] = []

    def put(self, value: Tensor) -> None:
        text = "".join(self.read(token) for token in value.flatten().tolist())
        self.text.append(text)
        if self.show is not None and text:
            self.show(text)

    def end(self) -> None:
        return


def open_writer(folder: str | os.PathLike[str], data: str | os.PathLike[str] | None = None) -> Writer:
    """The language model in `folder` and its tokens: named by run.json, else words if a vocabulary lies there, else bytes.

    data : folder with the tokenizer of GPT-2 or GPT-NeoX, for models of their tokens (default: that of the run, or as for
    `load_task`).
    Raises ModelError for classifiers, and for folders without a model or without its tokens.
    """
    from .decoders import load_decoder, type_in
    from .folder import check_folder

    place = Path(folder)
    record = RunResult.load(place / "run.json") if (place / "run.json").is_file() else None
    check_folder(place, type_in(place))
    named = json.loads((place / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    if (record is not None and record.kind != "language") or any(name in CLASSIFIERS for name in named):
        kind = next((name for name in named if name in CLASSIFIERS), "") if record is None else record.kind
        raise ModelError(f"{place} holds a classifier ({kind}), which makes no text; name a language model")
    if record is not None:
        check_files(record, place)
    codec = _codec(place, record, data)
    model = load_decoder(place).eval()
    if model.config.vocab_size < codec.size:
        raise ModelError(
            f"{place} has a vocab_size of {model.config.vocab_size}; expected at least {codec.size}, its {codec.unit}"
        )
    return Writer(model, codec)


def _codec(place: Path, record: RunResult | None, data: Any) -> Codec:
    from .tasks.tokens import SUBWORDS, VOCABULARY_FILE, subwords

    there = (place / VOCABULARY_FILE).is_file()
    tokens = ("words" if there else "bytes") if record is None else record.data.options.get("tokens", "bytes")
    if tokens == "words":
        from .data.vocabulary import WordVocabulary

        return WordCodec(WordVocabulary.load(place / VOCABULARY_FILE))
    if tokens in SUBWORDS:
        location = None if record is None else record.data.location
        trained_with = location if location is not None and Path(location).is_dir() else None
        return SubwordCodec(subwords(tokens, data if data is not None else trained_with))
    if tokens == "numbers":
        raise ModelError(
            f"{place} was trained on numbers of which no text is known; train with tokens=gpt2, neox or bytes to have one"
        )
    return ByteCodec()
