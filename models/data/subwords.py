"""The byte-pair encodings of GPT-2 and GPT-NeoX."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .places import data_folder
from .reading import Reader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GPT2_SIZE = 50_257
# 50,254 of the encoding, and 23 added: end of text (0), padding (1), runs of blanks (50,254 to 50,276).
NEOX_SIZE = 50_277
# Below the data folder: as fetched, as kept beside other tokenizers, and under the names of transformers.
_GPT2_FILES = (
    ("gpt2", "encoder.json", "vocab.bpe"),
    ("tokenizers", "gpt2_encoder.json", "gpt2_vocab.bpe"),
    ("tokenizers", "vocab.json", "merges.txt"),
    ("tokenizers", "encoder.json", "vocab.bpe"),
    (".", "vocab.json", "merges.txt"),
    (".", "encoder.json", "vocab.bpe"),
)
# The same, and the name it has in transformers.
_NEOX_FILES = ("neox/20B_tokenizer.json", "tokenizers/20B_tokenizer.json", "20B_tokenizer.json", "neox/tokenizer.json")
_NEOX_CHECK = "Hello world, astrocytes!", [12092, 1533, 13, 35622, 2]


class GPT2Tokenizer:
    """GPT-2's byte-pair encoding from two local files, through the library `tokenizers`; nothing is fetched.

    vocabulary : its JSON file. merges : the text file of merges.
    Raises ModelError if they cannot be read, do not fit together or are not GPT-2's 50,257 entries.
    """

    vocab_size = GPT2_SIZE
    end_of_text = 50_256

    def __init__(self, vocabulary: Path, merges: Path) -> None:
        reader = Reader(vocabulary.parent)
        try:
            entries = json.loads(reader.text(vocabulary))
        except json.JSONDecodeError as error:
            raise ModelError(f"{vocabulary} is no JSON ({error}); fetch or copy it again") from None
        if not isinstance(entries, dict) or sorted(entries.values()) != list(range(GPT2_SIZE)):
            raise ModelError(
                f"{vocabulary} does not number {GPT2_SIZE:,} entries from 0; expected the vocabulary of GPT-2"
            )
        lines = reader.text(merges).split("\n")
        pairs: list[tuple[str, str]] = []
        wrong = None
        for line in lines:
            if not line or line.startswith("#version"):
                continue
            first, _, second = line.partition(" ")
            if wrong is None and (not second or first + second not in entries):
                wrong = len(pairs)
            pairs.append((first, second))
        if wrong is not None or len(pairs) != 50_000:
            found = f"{len(pairs):,} merges" if wrong is None else f"merge {wrong} is {' '.join(pairs[wrong])!r}"
            raise ModelError(f"{merges}: {found}; expected 50,000 pairs that make entries of {vocabulary.name}")
        self._entries, self._pairs = entries, pairs

    @classmethod
    def find(cls, folder: Path | str | None = None) -> GPT2Tokenizer:
        """From the data folder (see `data_folder`): what `astromorphic data fetch gpt2` brings, or tokenizers/."""
        root = data_folder(folder)
        for inside, vocabulary, merges in _GPT2_FILES:
            place = root / inside
            if (place / vocabulary).is_file() and (place / merges).is_file():
                return cls(place / vocabulary, place / merges)
        raise ModelError(
            f"the GPT-2 tokenizer is not in {root}; run `astromorphic data fetch gpt2`, or put vocab.json and merges.txt into "
            f"{root / 'tokenizers'}"
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        tokenizer = Tokenizer(models.BPE(vocab=self._entries, merges=self._pairs))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def library_tokenizer(self) -> Tokenizer:
        """As the library `tokenizers` has it."""
        return self._tokenizer

    def encode(self, text: str | bytes) -> NDArray[np.int32]:
        """Tokens of one text, which may be a whole corpus."""
        return np.asarray(self._tokenizer.encode(_as_text(text, "GPT-2")).ids, dtype=np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        return str(self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=False))

    @cached_property
    def spellings(self) -> list[bytes | None]:
        """Of every token, see `spellings`."""
        return spellings(self._tokenizer, marks=[self.end_of_text])


class NeoXTokenizer:
    """The tokenizer of GPT-NeoX-20B from its one local file; nothing is fetched.

    It normalises text to NFC first, so that decoding gives back the characters but not always the bytes: sizes of a text are
    those of the original. Raises ModelError for a file that cannot be read or is not that tokenizer.
    """

    vocab_size = NEOX_SIZE
    end_of_text = 0

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer as LibraryTokenizer

        text = Reader(file.parent).text(file)
        try:
            self._tokenizer: Tokenizer = LibraryTokenizer.from_str(text)
        except Exception as error:  # the library raises bare Exception
            reason = " ".join(str(error).split())[:120]
            raise ModelError(f"{file} is no tokenizer ({reason}); fetch or copy it again") from None
        size = self._tokenizer.get_vocab_size(with_added_tokens=True)
        words, expected = _NEOX_CHECK
        found = self.encode(words).tolist()
        if size != NEOX_SIZE or found != expected or self.decode(expected) != words:
            raise ModelError(
                f"{file} has {size:,} entries and makes {found} of {words!r}; expected the {NEOX_SIZE:,} of GPT-NeoX-20B and "
                f"{expected}; fetch or copy it again"
            )

    @classmethod
    def find(cls, folder: Path | str | None = None) -> NeoXTokenizer:
        """From the data folder (see `data_folder`): what `astromorphic data fetch neox` brings, or tokenizers/."""
        file = cls.file(folder)
        if file is None:
            raise ModelError(
                f"the GPT-NeoX tokenizer is not in {data_folder(folder)}; run `astromorphic data fetch neox`, put "
                "20B_tokenizer.json into its folder tokenizers, or set tokens=bytes"
            )
        return cls(file)

    @staticmethod
    def file(folder: Path | str | None = None) -> Path | None:
        """Where the file lies, if it is there."""
        root = data_folder(folder)
        return next((root / name for name in _NEOX_FILES if (root / name).is_file()), None)

    def library_tokenizer(self) -> Tokenizer:
        """As the library `tokenizers` has it."""
        return self._tokenizer

    def encode(self, text: str | bytes) -> NDArray[np.int32]:
        """Tokens of one text, which may be a whole corpus; nothing is put before or behind it."""
        ids = self._tokenizer.encode(_as_text(text, "GPT-NeoX"), add_special_tokens=False).ids
        return np.asarray(ids, dtype=np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        return str(self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=False))

    @cached_property
    def spellings(self) -> list[bytes | None]:
        """Of every token, see `spellings`."""
        return spellings(self._tokenizer)


def spellings(tokenizer: Tokenizer, marks: Iterable[int] = ()) -> list[bytes | None]:
    """Per token of a byte-level encoding the bytes of text that it stands for; None for a mark, which stands for no text.

    marks : tokens that are marks although the encoding takes them for text. Others are what it calls special: the end of a
    text, padding. Added runs of blanks are text.
    """
    added, kept = tokenizer.get_added_tokens_decoder(), set(marks)
    found: list[bytes | None] = [None] * tokenizer.get_vocab_size(with_added_tokens=True)
    for written, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if number in kept:
            continue
        if number not in added:
            found[number] = bytes(_BYTE_OF[character] for character in written)
        elif not added[number].special:
            found[number] = written.encode("utf-8")
    return found


def _byte_alphabet() -> dict[str, int]:
    """Byte-level encodings write a byte as its own character where that can be seen, and the others as U+0100 onward."""
    seen = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in seen]
    return {**{chr(byte): byte for byte in seen}, **{chr(0x100 + i): byte for i, byte in enumerate(others)}}


_BYTE_OF = _byte_alphabet()


def _as_text(text: str | bytes, whose: str) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"byte {error.start} of the text is not UTF-8; {whose}'s encoding wants text") from None
