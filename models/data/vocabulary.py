"""Words as numbers: a vocabulary made from the training texts alone."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..choices import choice
from ..errors import ModelError
from ..json_record import read_record
from .encoded import EncodedTexts

PAD, UNKNOWN = "<pad>", "<unk>"
PAD_ID, UNKNOWN_ID = 0, 1
_FORMAT, _VERSION = "astromorphic-vocabulary", 1
# Line breaks of web pages, which the reviews are full of, are no words.
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Text in which an expression that may match nothing does so somewhere.
_PROBE = "It isn't 1,000.5 words -- but a_few!\n\tÄ 好"
_EXPRESSIONS = {
    # As in the Penn Treebank, and so in GloVe: do n't, it 's; a number with its point; every other sign by itself.
    "words": r"\w+?(?=n['’]t\b)|n['’]t\b|['’](?:s|m|d|re|ve|ll)\b|\d+(?:[.,]\d+)+|\w+|[^\w\s]",
    # Letters, digits and apostrophes; punctuation is dropped.
    "plain": r"[\w']+",
    "blanks": r"\S+",
}


def splitter(split: str) -> Callable[[str], list[str]]:
    """The function that cuts a text into words: "words" (with punctuation), "plain" (without), "blanks", or "regex:..."."""
    if split.startswith("regex:"):
        try:
            pattern = re.compile(split.removeprefix("regex:"))
        except re.error as error:
            raise ModelError(f"split {split!r} is no regular expression ({error}); correct it") from None
        if pattern.groups:
            raise ModelError(f"split {split!r} has groups; write (?:...) for those that are not what to keep")
        if pattern.fullmatch("") or "" in pattern.findall(_PROBE):
            raise ModelError(f"split {split!r} matches the empty text, which is no word; write + in place of *")
    else:
        pattern = re.compile(_EXPRESSIONS[choice("split", split, _EXPRESSIONS)], re.IGNORECASE)
    return pattern.findall


@dataclass(frozen=True)
class WordVocabulary:
    """Words by number, ``<pad>`` = 0 and ``<unk>`` = 1 first, then by falling count.

    words : all entries. counts : how often each stood in the training texts (0 for the first two). lower, split : how a
    text is made into words, see `splitter`.
    """

    words: tuple[str, ...]
    counts: tuple[int, ...]
    lower: bool = True
    split: str = "words"

    def __post_init__(self) -> None:
        if self.words[:2] != (PAD, UNKNOWN) or len(set(self.words)) != len(self.words):
            raise ModelError(f"a vocabulary begins with {PAD} and {UNKNOWN} and has each word once; build it again")
        if len(self.counts) != len(self.words):
            raise ModelError(f"{len(self.counts)} counts for {len(self.words)} words; build the vocabulary again")

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        size: int | None = None,
        min_count: int = 1,
        lower: bool = True,
        split: str = "words",
    ) -> WordVocabulary:
        """From `texts`, which have to be those of the training part.

        size : most entries, the first two included. min_count : words that are rarer become ``<unk>``. Words of equal count
        come in alphabetical order, so that the result does not depend on the order of the texts.
        """
        if size is not None and size < 3:
            raise ModelError(f"size is {size!r}; expected at least 3: {PAD}, {UNKNOWN} and a word")
        if min_count < 1:
            raise ModelError(f"min_count is {min_count!r}; expected at least 1")
        cut = splitter(split)
        counted: Counter[str] = Counter()
        for text in texts:
            counted.update(cut(prepared(text, lower)))
        for special in (PAD, UNKNOWN):
            counted.pop(special, None)
        kept = sorted(((-n, word) for word, n in counted.items() if n >= min_count))
        kept = kept if size is None else kept[: size - 2]
        if not kept:
            raise ModelError(f"no word is there {min_count} times; lower min_count or give more texts")
        return cls((PAD, UNKNOWN, *(word for _, word in kept)), (0, 0, *(-n for n, _ in kept)), lower, split)

    @classmethod
    def from_words(cls, words: Iterable[str]) -> WordVocabulary:
        """From words that are cut already, such as those of `wikitext_words`; case and all of them are kept."""
        counted = Counter(words)
        for special in (PAD, UNKNOWN):
            counted.pop(special, None)
        kept = sorted((-n, word) for word, n in counted.items())
        return cls((PAD, UNKNOWN, *(w for _, w in kept)), (0, 0, *(-n for n, _ in kept)), False, "blanks")

    def __len__(self) -> int:
        return len(self.words)

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    @property
    def pad_id(self) -> int:
        return PAD_ID

    @cached_property
    def _index(self) -> dict[str, int]:
        # What stands for padding must not come out of a text.
        return {word: number for number, word in enumerate(self.words) if number != PAD_ID}

    def encode_words(self, words: Sequence[str]) -> NDArray[np.int32]:
        """Numbers ``[n]`` of words that are cut already."""
        index = self._index
        return np.fromiter((index.get(word, UNKNOWN_ID) for word in words), dtype=np.int32, count=len(words))

    def encode_many(self, texts: Iterable[str]) -> EncodedTexts:
        """Every text cut and numbered; ModelError for a text without a word."""
        cut, index = splitter(self.split), self._index
        lengths, parts = [], []
        for text in texts:
            words = cut(prepared(text, self.lower))
            lengths.append(len(words))
            parts.append([index.get(word, UNKNOWN_ID) for word in words])
        total = sum(lengths)
        tokens = np.fromiter(chain.from_iterable(parts), dtype=np.int32, count=total)
        return EncodedTexts.from_lengths(tokens, lengths)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Numbers of one text; ModelError if it has no word."""
        return self.encode_many([text]).tokens

    def decode(self, tokens: Iterable[int]) -> str:
        """The words with blanks between them."""
        return " ".join(self.words[token] for token in tokens)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as JSON, whole or not at all."""
        from bridge.artifact import write_text

        record = {
            "format": _FORMAT, "version": _VERSION, "lower": self.lower, "split": self.split, "words": self.words,
            "counts": self.counts,
        }  # fmt: skip
        return write_text(path, json.dumps(record, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WordVocabulary:
        """Read what `save` wrote; ModelError if it is something else."""
        kinds = {"lower": bool, "split": str, "words": [str], "counts": [int]}
        remedy = "build it again from the training texts"
        record = read_record(Path(path), "vocabulary", _FORMAT, _VERSION, kinds, remedy)
        splitter(record["split"])
        return cls(tuple(record["words"]), tuple(record["counts"]), record["lower"], record["split"])


def prepared(text: str, lower: bool) -> str:
    """A text ready to be cut into words: line breaks of web pages are blanks, and letters small if asked for."""
    text = _BREAK.sub(" ", text)
    return text.lower() if lower else text
