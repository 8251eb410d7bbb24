"""One label per long sequence of tokens, or per pair of them: ListOps, bytes, pixels. Metric: accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.batches import padded
from ..errors import ModelError
from ..folder import stated_type
from .base import SPLITS, Split
from .classification import ClassificationTask
from .networks import network_for

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..astromorphic import AstromorphicConfig
    from ..data.kinds import LabelledSequences, Splits
    from ..data.sequences import TokenSequences

# Tokens that are scored together.
_TOKENS = 2**18


class SequenceClassificationTask(ClassificationTask):
    """Labelled sequences of token numbers, padded on the right to the longest of their batch.

    Batches hold ``input_ids`` and ``attention_mask`` int64 ``[batch, time]`` (mask 1 for tokens, 0 for padding) and ``labels``
    int64 ``[batch]``; where examples are pairs, also ``second_input_ids`` and ``second_attention_mask`` of the other text, with a
    time of its own. `paired` says whether they are.
    """

    kind = "sequence_classification"

    def __init__(
        self,
        splits: Splits[LabelledSequences],
        *,
        location: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.digest, self.source, self.classes = splits.name, splits.digest, splits.source, splits.classes
        self.location, self.options = location, options or {}
        parts: dict[Split, LabelledSequences] = {split: getattr(splits, split) for split in SPLITS}
        self.sequences = {split: part.sequences for split, part in parts.items()}
        self.second = {split: part.second for split, part in parts.items() if part.second is not None}
        self.labels = {split: np.asarray(part.labels, dtype=np.int64) for split, part in parts.items()}
        self._lengths = {split: self._longer(split) for split in SPLITS}
        one = self.sequences["train"]
        self.vocab_size, self.length, self.pad_id = one.vocab_size, one.limit, one.pad_id
        self.tokenizer = f"tokens ({self.vocab_size})"
        self.evaluation_batch = max(1, min(128, _TOKENS // self.length))

    def _longer(self, split: Split) -> NDArray[np.int64]:
        lengths = self.sequences[split].lengths
        return np.maximum(lengths, self.second[split].lengths) if split in self.second else lengths

    @property
    def paired(self) -> bool:
        """Whether an example is a pair of sequences."""
        return bool(self.second)

    def lengths(self, split: Split) -> NDArray[np.int64] | None:
        return None if self.pad_id is None else self._lengths[split]

    def settings(self) -> dict[str, Any]:
        return super().settings() | {
            "vocab_size": self.vocab_size, "max_position_embeddings": self.length, "pad_token_id": self.pad_id,
        }  # fmt: skip

    def check(self, config: AstromorphicConfig) -> None:
        network_for(config.model_type, self.name, self.paired)
        super().check(config)
        if config.vocab_size < self.vocab_size:
            raise ModelError(
                f"vocab_size is {config.vocab_size}; expected at least {self.vocab_size}, the tokens of {self.name}; leave it out"
            )
        longest = max(int(lengths.max()) for lengths in self._lengths.values())
        if config.max_position_embeddings < longest:
            raise ModelError(
                f"max_position_embeddings is {config.max_position_embeddings} and sequences of {self.name} have up to {longest} "
                "tokens; leave it out, or shorten the data (length, max_length)"
            )
        config.check_memory(copies=4, network="retrieval" if self.paired else "sequence")

    def build(self, config: AstromorphicConfig) -> PreTrainedModel:
        return network_for(config.model_type, self.name, self.paired)(config)

    def load(self, folder: Path) -> PreTrainedModel:
        return network_for(str(stated_type(folder)), self.name, self.paired).from_pretrained(folder)

    def batch(self, split: Split, items: NDArray[np.int64]) -> dict[str, Tensor]:
        ids, mask = self._padded(self.sequences[split], items)
        batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.from_numpy(self.labels[split][items])}
        if split in self.second:
            batch["second_input_ids"], batch["second_attention_mask"] = self._padded(self.second[split], items)
        return batch

    def _padded(self, sequences: TokenSequences, items: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        return padded([sequences[int(i)] for i in items], self.pad_id or 0, self.length)
