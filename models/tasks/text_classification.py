"""One label per text: word numbers, cut to a length and padded, through the bidirectional layer. Metric: accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..astromorphic import AstromorphicForSequenceClassification
from ..errors import ModelError
from .base import SPLITS, Split
from .classification import ClassificationTask

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..data.kinds import LabelledTexts, Splits


class TextEncoder(Protocol):
    """What turns a text into word numbers and is kept beside the weights."""

    name: str
    pad_id: int

    def __len__(self) -> int: ...

    def encode(self, text: str) -> Any:
        """Word numbers ``[words]``, whole numbers below len(self)."""
        ...

    def save(self, folder: Path) -> None:
        """Write what is needed to encode again into a run folder."""
        ...


class TextClassificationTask(ClassificationTask):
    """Labelled texts as numbers; of each the first `length` words are read.

    embeddings : vectors ``[vocabulary, width]`` that the token embedding starts from; None for random ones.
    Raises ModelError for a text that has no words.
    """

    kind = "text_classification"

    def __init__(
        self,
        splits: Splits[LabelledTexts],
        encoder: TextEncoder,
        length: int,
        *,
        embeddings: NDArray[np.float32] | None = None,
        location: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise ModelError(f"length is {length!r}; expected a whole number of words of at least 1")
        self.name, self.digest, self.source, self.classes = splits.name, splits.digest, splits.source, splits.classes
        self.location, self.options = location, options or {}
        self.encoder, self.length, self.tokenizer, self.embeddings = encoder, length, encoder.name, embeddings
        self.labels = {split: np.asarray(getattr(splits, split).labels, dtype=np.int64) for split in SPLITS}
        self.ids = {split: self._numbers(split, getattr(splits, split).texts) for split in SPLITS}
        self._lengths = {split: np.array([len(ids) for ids in self.ids[split]], dtype=np.int64) for split in SPLITS}

    def _numbers(self, split: Split, texts: tuple[str, ...]) -> list[NDArray[np.int32]]:
        found = [np.asarray(self.encoder.encode(text)[: self.length], dtype=np.int32) for text in texts]
        for i, ids in enumerate(found):
            if not len(ids):
                raise ModelError(
                    f"{self.name}: {split} text {i} is {texts[i]!r:.40} and has no words; remove it or give it a text"
                )
        return found

    def lengths(self, split: Split) -> NDArray[np.int64]:
        return self._lengths[split]

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "vocab_size": len(self.encoder),
            "max_position_embeddings": self.length,
            "pad_token_id": self.encoder.pad_id,
        }
        if self.embeddings is not None:
            found["embedding_size"] = int(self.embeddings.shape[1])
        return super().settings() | found

    def check(self, config: AstromorphicConfig) -> None:
        super().check(config)
        if config.vocab_size < len(self.encoder):
            raise ModelError(
                f"vocab_size is {config.vocab_size}; expected at least {len(self.encoder)}, the words of {self.tokenizer}; "
                "leave it out, or set the task's vocabulary"
            )
        longest = max(int(lengths.max()) for lengths in self._lengths.values())
        if config.max_position_embeddings < longest:
            raise ModelError(
                f"max_position_embeddings is {config.max_position_embeddings} and texts of {self.name} have up to {longest} "
                "words; set the task's length, which cuts them, instead"
            )
        config.check_memory(copies=4, network="sequence")

    def build(self, config: AstromorphicConfig) -> AstromorphicForSequenceClassification:
        model = AstromorphicForSequenceClassification(config)
        if self.embeddings is not None:
            weight = model.get_input_embeddings().weight
            if tuple(weight.shape[1:]) != self.embeddings.shape[1:]:
                raise ModelError(
                    f"embedding_size is {weight.shape[1]}; the pretrained vectors have {self.embeddings.shape[1]} numbers"
                )
            with torch.no_grad():
                weight[: len(self.embeddings)] = torch.from_numpy(self.embeddings)
        return model

    def load(self, folder: Path) -> AstromorphicForSequenceClassification:
        return AstromorphicForSequenceClassification.from_pretrained(folder)

    def batch(self, split: Split, items: NDArray[np.int64]) -> dict[str, Tensor]:
        rows = [self.ids[split][i] for i in items]
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), self.encoder.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        return {
            "input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(self.labels[split][items]),
        }  # fmt: skip

    def save(self, folder: Path) -> None:
        self.encoder.save(folder)
