"""Bag of words: how often each term stands in a text, and a linear classifier on that. What order and attention have to beat.

Terms are runs of 1 to `ngrams` neighbouring words; those in `min_count` training texts or more are kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from .data.vocabulary import prepared, splitter
from .errors import ModelError
from .json_record import read_record

WEIGHTINGS = ("tfidf", "binary", "counts")
TERMS_FILE = "terms.json"
# The second is there only while the first is being written.
WEIGHTS_FILES = (WEIGHTS_FILE, _PARTIAL) = ("model.safetensors", ".model.safetensors.partial")
_LARGEST_NGRAM = 3
_FORMAT, _VERSION = "astromorphic-terms", 1


@dataclass(frozen=True)
class Terms:
    """The terms of the training texts, in alphabetical order, and how texts become rows of numbers.

    texts_with : training texts that hold each term. n_texts : training texts. weighting : what a term counts, before every
    row is divided by its length: "counts", how often it is there; "binary", 1 if it is; "tfidf", how often times
    ``ln((1 + n_texts) / (1 + texts_with)) + 1`` (the smoothed form of scikit-learn). lower, split : as for `WordVocabulary`.
    """

    terms: tuple[str, ...]
    texts_with: tuple[int, ...]
    n_texts: int
    ngrams: int = 1
    weighting: str = "tfidf"
    lower: bool = True
    split: str = "words"

    def __post_init__(self) -> None:
        check_terms(self.ngrams, self.weighting, 1, self.lower)
        if len(self.terms) != len(self.texts_with) or len(set(self.terms)) != len(self.terms):
            raise ModelError(f"{len(self.texts_with)} counts for {len(set(self.terms))} terms; expected one for each")

    @classmethod
    def build(
        cls,
        texts: Sequence[str],
        *,
        ngrams: int = 1,
        weighting: str = "tfidf",
        min_count: int = 2,
        lower: bool = True,
        split: str = "words",
    ) -> Terms:
        """From `texts`, which have to be those of the training part; ModelError if no term is in `min_count` of them."""
        check_terms(ngrams, weighting, min_count, lower)
        cut = _cutter(ngrams, lower, split)
        counted: Counter[str] = Counter()
        for text in texts:
            counted.update(set(cut(text)))
        kept = sorted(term for term, n in counted.items() if n >= min_count)
        if not kept:
            raise ModelError(f"no term is in {min_count} training texts; lower min_count or give more texts")
        return cls(tuple(kept), tuple(counted[term] for term in kept), len(texts), ngrams, weighting, lower, split)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {term: number for number, term in enumerate(self.terms)}

    @property
    def inverse_frequency(self) -> NDArray[np.float64]:
        """The factor of each term, ``[terms]``; 1 unless `weighting` is "tfidf"."""
        if self.weighting != "tfidf":
            return np.ones(len(self.terms))
        return np.log((1.0 + self.n_texts) / (1.0 + np.asarray(self.texts_with, dtype=np.float64))) + 1.0

    def features(self, texts: Iterable[str]) -> sparse.csr_array:
        """One row of length 1 per text, ``[texts, terms]``; a text without a known term is a row of zeros."""
        cut, index = _cutter(self.ngrams, self.lower, self.split), self._index
        columns: list[NDArray[np.int32]] = []
        values: list[NDArray[np.float64]] = []
        ends = [0]
        factor = self.inverse_frequency
        for text in texts:
            counted = Counter(number for term in cut(text) if (number := index.get(term)) is not None)
            column = np.array(sorted(counted), dtype=np.int32)
            value = factor[column]
            if self.weighting != "binary":
                value = value * np.array([counted[int(one)] for one in column], dtype=np.float64)
            columns.append(column)
            values.append(value / np.sqrt((value**2).sum()) if len(value) else value)
            ends.append(ends[-1] + len(column))
        shape = (len(ends) - 1, len(self.terms))
        if shape[0] == 0:
            return sparse.csr_array(shape, dtype=np.float64)
        return sparse.csr_array((np.concatenate(values), np.concatenate(columns), np.array(ends)), shape=shape)


@dataclass(frozen=True)
class BagOfWords:
    """A fitted classifier: logits ``features @ weight + bias``. weight ``[terms, classes]``, bias ``[classes]``."""

    terms: Terms
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.weight.shape != (len(self.terms.terms), len(self.bias)):
            raise ModelError(
                f"weights are {list(self.weight.shape)} and biases {list(self.bias.shape)}; expected "
                f"[{len(self.terms.terms)}, classes] and [classes]"
            )

    def logits(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """``[texts, classes]``; unknown terms count nothing."""
        return np.asarray(self.terms.features(texts) @ self.weight) + self.bias

    @property
    def n_parameters(self) -> int:
        return int(self.weight.size + self.bias.size)

    def digest(self) -> str:
        """sha256 over names, shapes, types and bytes of the weights."""
        digest = hashlib.sha256()
        for name, values in (("bias", self.bias), ("weight", self.weight)):
            digest.update(f"{name} {values.shape} {values.dtype}\n".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write terms.json and model.safetensors, each whole or not at all."""
        from safetensors.numpy import save

        from bridge.artifact import write_text

        place = Path(folder)
        kept = self.terms
        record = {
            "format": _FORMAT, "version": _VERSION, "ngrams": kept.ngrams, "weighting": kept.weighting, "lower": kept.lower,
            "split": kept.split, "n_texts": kept.n_texts, "terms": kept.terms, "texts_with": kept.texts_with,
        }  # fmt: skip
        write_text(place / TERMS_FILE, json.dumps(record, ensure_ascii=False) + "\n")
        weights = {"weight": np.ascontiguousarray(self.weight), "bias": np.ascontiguousarray(self.bias)}
        (place / _PARTIAL).write_bytes(save(weights))
        os.replace(place / _PARTIAL, place / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> BagOfWords:
        """Read what `save` wrote; ModelError if a file is missing, damaged or something else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        place = Path(folder)
        terms = _read_terms(place / TERMS_FILE)
        try:
            found = load_file(place / WEIGHTS_FILE)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{place / WEIGHTS_FILE} cannot be read ({error}); train again") from None
        if set(found) != {"weight", "bias"} or found["weight"].ndim != 2 or found["bias"].ndim != 1:
            raise ModelError(
                f"{place / WEIGHTS_FILE} holds {', '.join(sorted(found))}; expected weight and bias of a bag"
            )
        return cls(terms, found["weight"], found["bias"])


def _read_terms(file: Path) -> Terms:
    kinds = {
        "ngrams": int, "weighting": str, "lower": bool, "split": str, "n_texts": int, "terms": [str], "texts_with": [int],
    }  # fmt: skip
    record = read_record(file, "terms", _FORMAT, _VERSION, kinds, "train again")
    splitter(record["split"])
    return Terms(**{**record, "terms": tuple(record["terms"]), "texts_with": tuple(record["texts_with"])})


def check_terms(ngrams: Any, weighting: Any, min_count: Any, lower: Any) -> None:
    """ModelError for settings that no bag of words has."""
    if isinstance(ngrams, bool) or not isinstance(ngrams, int) or not 1 <= ngrams <= _LARGEST_NGRAM:
        raise ModelError(f"ngrams is {ngrams!r}; expected 1 (words), 2 (and pairs) or {_LARGEST_NGRAM}")
    if weighting not in WEIGHTINGS:
        raise ModelError(f"weighting is {weighting!r}; expected one of {', '.join(WEIGHTINGS)}")
    if isinstance(min_count, bool) or not isinstance(min_count, int) or min_count < 1:
        raise ModelError(f"min_count is {min_count!r}; expected a whole number of at least 1")
    if not isinstance(lower, bool):
        raise ModelError(f"lower_case is {lower!r}; expected True or False")


def _cutter(ngrams: int, lower: bool, split: str) -> Callable[[str], list[str]]:
    words_of = splitter(split)

    def cut(text: str) -> list[str]:
        words = words_of(prepared(text, lower))
        found = list(words)
        for n in range(2, ngrams + 1):
            found += [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
        return found

    return cut
