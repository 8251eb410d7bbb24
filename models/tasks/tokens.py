"""How the text of a language task becomes tokens: bytes, words of the training text, or the byte pairs of GPT-2 or GPT-NeoX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..data.plain_text import count_words, wikitext_words
from ..data.vocabulary import UNKNOWN_ID, WordVocabulary
from ..errors import ModelError
from ..language import EncodedText

if TYPE_CHECKING:
    from ..data.subwords import GPT2Tokenizer, NeoXTokenizer

VOCABULARY_FILE = "vocabulary.json"
TOKENS = ("bytes", "words", "gpt2", "neox")
SUBWORDS = ("gpt2", "neox")
# GPT-NeoX's where its file is there, bytes otherwise.
NEOX_IF_THERE = "neox_if_there"


class WordTokens:
    """The words of each line and <eos> at its end, as word-level scores of WikiText count; rare ones are <unk>."""

    def __init__(self, vocabulary: WordVocabulary) -> None:
        self.vocabulary = vocabulary
        self.name = f"words ({len(vocabulary):,})"

    @classmethod
    def of(cls, text: bytes, size: int | None = None) -> WordTokens:
        """The words of the training text, the `size` most frequent of them (<pad> and <unk> included)."""
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 3):
            raise ModelError(f"vocabulary is {size!r}; expected None for all words, or a whole number of at least 3")
        found = WordVocabulary.from_words(wikitext_words(text))
        return cls(WordVocabulary(found.words[:size], found.counts[:size], found.lower, found.split))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode_text(self, text: bytes) -> EncodedText:
        words = wikitext_words(text)
        ids = self.vocabulary.encode_words(words)
        unknown = sum(word not in self._known for word in words) if (ids == UNKNOWN_ID).any() else 0
        return EncodedText(ids, len(text), len(words), self.name, unknown)

    @property
    def _known(self) -> set[str]:
        # The texts of WikiText hold <unk> themselves; that is the word they have there.
        if not hasattr(self, "_words"):
            self._words = set(self.vocabulary.words)
        return self._words

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / VOCABULARY_FILE)


class SubwordTokens:
    """The byte pairs of GPT-2 or GPT-NeoX; nothing is kept in the run folder, as the encoding is always the same."""

    def __init__(self, name: str, tokenizer: GPT2Tokenizer | NeoXTokenizer) -> None:
        self.name, self.tokenizer = name, tokenizer

    def __len__(self) -> int:
        return int(self.tokenizer.vocab_size)

    def encode_text(self, text: bytes) -> EncodedText:
        return EncodedText(self.tokenizer.encode(text), len(text), count_words(text), self.name)

    def save(self, folder: Path) -> None:
        return


class NumberedTokens:
    """Numbers below `size` that `name` made; with `text` it says what they stand for.

    Raises ModelError in place of encoding a text where it is not known how.
    """

    def __init__(self, name: str, size: int, tokenizer: GPT2Tokenizer | NeoXTokenizer | None = None) -> None:
        self.name, self.size, self.tokenizer = name, size, tokenizer

    def __len__(self) -> int:
        return self.size

    def encode_text(self, text: bytes) -> EncodedText:
        raise ModelError(f"what made these numbers ({self.name}) cannot encode a text here; give numbers")

    def of_numbers(self, ids: NDArray[Any], *, decoded: bool) -> EncodedText:
        """`ids` ``[n]``, mapped or not; with `decoded` bytes and words are counted, which reads them all.

        Marks, such as the end of a document, are tokens to predict that have no bytes and part words. Characters that a cut of
        the file has halved count with the bytes that are there.
        Raises ModelError for a number outside of the vocabulary among those that are read.
        """
        if not decoded:
            return EncodedText(ids, None, None, self.name)
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= self.size:
            raise ModelError(
                f"the file holds the number {low if low < 0 else high}; expected 0 to {self.size - 1} ({self.name}): set "
                "vocabulary, or tokens, to what the numbers were made with"
            )
        if self.tokenizer is not None:
            spelled = [self.tokenizer.spellings[i] for i in np.asarray(ids).tolist()]
            # A blank for a mark, which is no byte of the text.
            text = b"".join(b" " if one is None else one for one in spelled)
            return EncodedText(ids, len(text) - spelled.count(None), count_words(text), self.name)
        if self.name == "bytes":
            text = np.asarray(ids).astype(np.uint8).tobytes()
        else:
            return EncodedText(ids, None, None, self.name)
        return EncodedText(ids, len(text), count_words(text), self.name)

    def save(self, folder: Path) -> None:
        return


def known_tokens(kind: str, vocabulary: int | None, folder: Any = None) -> NumberedTokens:
    """What made the numbers of a file: "gpt2", "neox", "bytes", or "numbers" below `vocabulary`, of which no more is known."""
    if kind == "numbers":
        if isinstance(vocabulary, bool) or not isinstance(vocabulary, int) or vocabulary < 2:
            raise ModelError(
                f"vocabulary is {vocabulary!r}; expected how many different tokens there are, such as vocabulary=50304, or what "
                "made them with tokens=gpt2, neox or bytes"
            )
        return NumberedTokens("numbers", vocabulary)
    if kind not in (*SUBWORDS, "bytes"):
        raise ModelError(
            f"tokens is {kind!r}; expected what made the file: {', '.join((*SUBWORDS, 'bytes'))}, or numbers"
        )
    if vocabulary is not None:
        raise ModelError(
            f"vocabulary is {vocabulary!r} and tokens {kind!r}, which have a fixed number; leave one of them"
        )
    if kind == "bytes":
        return NumberedTokens("bytes", 256)
    tokenizer = subwords(kind, folder)
    return NumberedTokens(kind, int(tokenizer.vocab_size), tokenizer)


def subwords(kind: str, folder: Any = None) -> GPT2Tokenizer | NeoXTokenizer:
    """The tokenizer "gpt2" or "neox" of a data folder."""
    from ..data.subwords import GPT2Tokenizer, NeoXTokenizer

    return GPT2Tokenizer.find(folder) if kind == "gpt2" else NeoXTokenizer.find(folder)


def resolved(kind: str, folder: Any = None) -> str:
    """`kind`, with "neox_if_there" as what it comes to in this data folder."""
    if kind != NEOX_IF_THERE:
        return kind
    from ..data.subwords import NeoXTokenizer

    return "bytes" if NeoXTokenizer.file(folder) is None else "neox"


def whole_characters(raw: bytes, name: str) -> bytes:
    """`raw` without the parts of characters that a cut by position left at its ends; ModelError if it is no UTF-8."""
    start = next((i for i in range(min(4, len(raw))) if raw[i] & 0xC0 != 0x80), 0)
    for end in range(len(raw), max(start, len(raw) - 4), -1):
        try:
            raw[start:end].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return raw[start:end]
    raise ModelError(f"{name} is not UTF-8; expected text for words and byte pairs, or set tokens=bytes")


def make_tokens(
    kind: str, train: bytes, size: int | None, folder: Any = None, saved: Path | None = None
) -> WordTokens | SubwordTokens | None:
    """The tokens named `kind` ("bytes" is None); words are those of `train`, or of a run folder `saved`."""
    if kind not in TOKENS:
        raise ModelError(f"tokens is {kind!r}; expected one of {', '.join((*TOKENS, NEOX_IF_THERE))}")
    if kind != "words" and size is not None:
        raise ModelError(f"vocabulary is {size!r} and tokens {kind!r}, which have a fixed number; set tokens=words")
    if kind == "words":
        return WordTokens.of(train, size) if saved is None else WordTokens(WordVocabulary.load(saved / VOCABULARY_FILE))
    return SubwordTokens(kind, subwords(kind, folder)) if kind in SUBWORDS else None
