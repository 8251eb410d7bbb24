"""The byte-pair encoding of GPT-2."""

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
# Below the data folder: as fetched, as kept beside other tokenizers, and under the names of transformers.
_GPT2_FILES = (
    ("gpt2", "encoder.json", "vocab.bpe"),
    ("tokenizers", "gpt2_encoder.json", "gpt2_vocab.bpe"),
    ("tokenizers", "vocab.json", "merges.txt"),
    ("tokenizers", "encoder.json", "vocab.bpe"),
    (".", "vocab.json", "merges.txt"),
    (".", "encoder.json", "vocab.bpe"),
)


class GPT2Tokenizer:
    """GPT-2's byte-pair encoding from two local files, through the library `tokenizers`; nothing is fetched.

    vocabulary : its JSON file. merges : the text file of merges.
    Raises ModelError if they cannot be read, do not fit together or are not GPT-2's 50,257 entries.
    """

    vocab_size = GPT2_SIZE

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

    def encode(self, text: str | bytes) -> NDArray[np.int32]:
        """Tokens of one text, which may be a whole corpus."""
        return np.asarray(self._tokenizer.encode(_as_text(text)).ids, dtype=np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        return str(self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=False))


def _as_text(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"byte {error.start} of the text is not UTF-8; GPT-2's encoding wants text") from None
