"""One label per text: word numbers, cut to a length and padded, through the bidirectional layer. Metric: accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..astromorphic import AstromorphicForSequenceClassification
from ..data.batches import padded
from ..data.encoded import EncodedTexts
from ..data.pairs import WordPairs
from ..errors import ModelError
from .base import SPLITS, Split
from .classification import ClassificationTask
from .tokens import VOCABULARY_FILE

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..data.kinds import LabelledTexts, Splits
    from ..data.vocabulary import WordVocabulary
    from ..recipes import Recipe

PAIRS_FILE = "pairs.json"


class TextClassificationTask(ClassificationTask):
    """Labelled texts as numbers; of each at most `length` words are read, the first or (`keep` "head+tail") first and last.

    pairs : that many frequent pairs of neighbouring words of the training texts, or those given, are tokens as well, between
    their words (`WordPairs`); a text then has up to 2 `length` - 1 tokens. 0 for words alone.
    embeddings : vectors ``[vocabulary, width]`` that the token embedding starts from; None for random ones.
    Raises ModelError for a text that has no words.
    """

    kind = "text_classification"

    def __init__(
        self,
        splits: Splits[LabelledTexts],
        encoder: WordVocabulary,
        length: int,
        *,
        keep: str = "head",
        pairs: int | WordPairs = 0,
        embeddings: NDArray[np.float32] | None = None,
        location: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ModelError(f"length is {length!r}; expected a whole number of words of at least 1")
        self.name, self.digest, self.source, self.classes = splits.name, splits.digest, splits.source, splits.classes
        self.location, self.options = location, options or {}
        self.encoder, self.length, self.embeddings = encoder, length, embeddings
        self.tokenizer = f"words ({len(encoder):,}, {'lower case' if encoder.lower else 'cased'}, {encoder.split})"
        self.labels = {split: np.asarray(getattr(splits, split).labels, dtype=np.int64) for split in SPLITS}
        self.encoded = {split: self._encoded(split, getattr(splits, split).texts, keep) for split in SPLITS}
        if isinstance(pairs, WordPairs):
            self.pairs: WordPairs | None = pairs
        else:
            self.pairs = None if type(pairs) is int and pairs == 0 else self._counted(pairs)
        if self.pairs is not None:
            self.encoded = {split: self.pairs.insert(texts) for split, texts in self.encoded.items()}
            self.tokenizer += f" and {len(self.pairs):,} pairs"
        self._lengths = {split: self.encoded[split].lengths for split in SPLITS}
        self._longest = max(int(lengths.max()) for lengths in self._lengths.values())

    def _counted(self, size: int) -> WordPairs:
        return WordPairs.count(self.encoded["train"], len(self.encoder), size)

    @property
    def n_tokens(self) -> int:
        """Words and pairs."""
        return len(self.encoder) + (0 if self.pairs is None else len(self.pairs))

    def _encoded(self, split: Split, texts: tuple[str, ...], keep: Any) -> EncodedTexts:
        try:
            return self.encoder.encode_many(texts).truncated(self.length, keep)
        except ModelError as error:
            raise ModelError(f"{self.name}, {split}: {error}") from None

    def lengths(self, split: Split) -> NDArray[np.int64]:
        return self._lengths[split]

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "vocab_size": self.n_tokens,
            "max_position_embeddings": self.length if self.pairs is None else 2 * self.length - 1,
            "pad_token_id": self.encoder.pad_id,
        }
        if self.embeddings is not None:
            found["embedding_size"] = int(self.embeddings.shape[1])
        return super().settings() | found

    def check(self, config: AstromorphicConfig) -> None:
        super().check(config)
        if config.vocab_size < self.n_tokens:
            raise ModelError(
                f"vocab_size is {config.vocab_size}; expected at least {self.n_tokens}, the tokens of {self.tokenizer}; "
                "leave it out, or set the task's vocabulary"
            )
        if config.max_position_embeddings < self._longest:
            raise ModelError(
                f"max_position_embeddings is {config.max_position_embeddings} and texts of {self.name} have up to "
                f"{self._longest} tokens; set the task's length, which cuts them, instead"
            )
        config.check_memory(copies=4, network="sequence")

    def build(self, config: AstromorphicConfig) -> AstromorphicForSequenceClassification:
        model = AstromorphicForSequenceClassification(config)
        if self.embeddings is not None:
            vectors, weight = torch.from_numpy(self.embeddings), model.model.embed.weight.detach()
            if vectors.shape[1] == weight.shape[1]:
                # A network may have room for more words than there are; those keep their random vectors.
                vectors = torch.cat([vectors, weight[len(vectors) :]])
            model.load_embeddings(vectors)
        return model

    def load(self, folder: Path) -> AstromorphicForSequenceClassification:
        return AstromorphicForSequenceClassification.from_pretrained(folder)

    def batch(self, split: Split, items: NDArray[np.int64]) -> dict[str, Tensor]:
        encoded = self.encoded[split]
        return self._padded([encoded[int(i)] for i in items], self.labels[split][items])

    def training_batch(
        self, items: NDArray[np.int64], recipe: Recipe, generator: np.random.Generator
    ) -> dict[str, Tensor]:
        """As `batch`, without a share `word_dropout` of the words; those that stay close up. One word always stays."""
        if recipe.word_dropout == 0.0:
            return self.batch("train", items)
        encoded = self.encoded["train"]
        texts = [_thinned(encoded[int(i)], recipe.word_dropout, generator) for i in items]
        return self._padded(texts, self.labels["train"][items])

    def _padded(self, texts: list[NDArray[np.int32]], labels: NDArray[np.int64]) -> dict[str, Tensor]:
        ids, mask = padded(texts, self.encoder.pad_id, self._longest)
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.from_numpy(labels)}

    def save(self, folder: Path) -> None:
        self.encoder.save(folder / VOCABULARY_FILE)
        if self.pairs is not None:
            self.pairs.save(folder / PAIRS_FILE)


def _thinned(text: NDArray[np.int32], share: float, generator: np.random.Generator) -> NDArray[np.int32]:
    drawn = generator.random(len(text))
    keep = drawn >= share
    keep[drawn.argmax()] = True
    return text[keep]
