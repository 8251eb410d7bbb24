"""Language modelling: predict the next token of a text. Metric: nats, told as bits per byte and perplexities."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..data.batches import LanguageBlocks
from ..data.vocabulary import UNKNOWN_ID
from ..decoders import decoder_class, load_decoder
from ..errors import ModelError
from ..evaluation import carried_state_difference, score_tokens
from ..language import EncodedText, evaluate_lm
from ..result import CausalityVerdict, EvaluationPolicy, SplitScore
from .base import SPLITS, Batches, Split, Task

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..recipes import Recipe


class Tokenizer(Protocol):
    """What turns text into token numbers and is kept beside the weights."""

    name: str

    def __len__(self) -> int: ...

    def encode_text(self, text: bytes) -> EncodedText:
        """A whole text as token numbers."""
        ...

    def save(self, folder: Path) -> None:
        """Write what is needed to encode again into a run folder."""
        ...


class LanguageTask(Task):
    """A text in three splits, as token numbers.

    tokenizer : None for bytes, whose vocabulary is every value from 0 to 255.
    """

    kind = "language"

    def __init__(
        self,
        name: str,
        train: EncodedText,
        validation: EncodedText,
        test: EncodedText,
        *,
        digest: str,
        source: str,
        tokenizer: Tokenizer | None = None,
        location: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.name, self.digest, self.source, self.location = name, digest, source, location
        self.train, self.validation, self.test = train, validation, test
        self.encoder = tokenizer
        self.tokenizer = "bytes" if tokenizer is None else tokenizer.name
        self.options = options or {}

    @property
    def vocabulary(self) -> int:
        """Different tokens that there can be."""
        return 256 if self.encoder is None else len(self.encoder)

    @property
    def n_train(self) -> int:
        return len(self.train)

    def settings(self) -> dict[str, Any]:
        return {"vocab_size": self.vocabulary}

    def check(self, config: AstromorphicConfig) -> None:
        if config.vocab_size < self.vocabulary:
            what = "one for every byte value" if self.encoder is None else f"the tokens of {self.tokenizer}"
            raise ModelError(f"vocab_size is {config.vocab_size}; expected at least {self.vocabulary}, {what}")
        length = config.max_position_embeddings
        shortest = min(len(part) for part in (self.train, self.validation, self.test))
        if not 2 <= length <= shortest:
            if not len(self.train):
                raise ModelError(f"{self.name} was loaded without its training part; it can be scored, not trained on")
            raise ModelError(
                f"max_position_embeddings is {length}; expected 2 to {shortest} to train on {self.name}: a block predicts "
                "tokens from earlier ones, and every split must hold one"
            )
        config.check_memory(copies=4)

    def build(self, config: AstromorphicConfig) -> PreTrainedModel:
        return decoder_class(config.model_type)(config)  # type: ignore[no-any-return]

    def load(self, folder: Path) -> PreTrainedModel:
        return load_decoder(folder)  # type: ignore[no-any-return]

    def batches(self, config: AstromorphicConfig, recipe: Recipe, seed: int) -> Batches:
        length = config.max_position_embeddings
        per_epoch = -(-len(self.train) // (recipe.batch_size * length))
        steps = recipe.plan(per_epoch)[0]
        blocks = LanguageBlocks(self.train.ids, length, steps * recipe.batch_size, seed, self.vocabulary)
        return TokenBatches(blocks, recipe.batch_size, per_epoch)

    def tokens_per_step(self, config: AstromorphicConfig, recipe: Recipe) -> int:
        return recipe.batch_size * int(config.max_position_embeddings)

    def train_metrics(self, loss: float) -> dict[str, float]:
        ratio = self.train.tokens_per_byte
        return {} if ratio is None else {"train_bits_per_byte": loss / math.log(2.0) * ratio}

    def point(self, model: PreTrainedModel, recipe: Recipe, split: Split = "validation") -> dict[str, float]:
        part = self.part(split)
        # The beginning first: a part may be a memory map of any size.
        tokens = torch.from_numpy(np.asarray(part.ids[: recipe.curve_bytes]).astype(np.int64))
        nats, _, _ = score_tokens(model, tokens)
        found = {"loss": nats / len(tokens)}
        ratio = part.tokens_per_byte
        if model.config.causal and ratio is not None:  # else the loss is no code length of the text
            found["bits_per_byte"] = nats / (math.log(2.0) * len(tokens)) * ratio
        return found

    def part(self, split: Split) -> EncodedText:
        """A split by its name; ModelError for another name."""
        if split not in SPLITS:
            raise ModelError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    def score(
        self,
        model: PreTrainedModel,
        split: Split,
        recipe: Recipe | None = None,
        *,
        verdict: CausalityVerdict | None = None,
        **how: Any,
    ) -> tuple[SplitScore, EvaluationPolicy]:
        part = self.part(split)
        reevaluate = how.pop("reevaluate", 0)
        if recipe is not None:
            part = self.beginning(part, recipe.final_bytes)
            reevaluate = recipe.reevaluated_tokens if split == "validation" else 0
        found = evaluate_lm(model, part, verdict=verdict, reevaluate=reevaluate, **how)
        policy = found.policy
        if recipe is not None and split == "validation" and model.config.causal and self.encoder is None:
            context = int(model.config.max_position_embeddings)
            carried = carried_state_difference(model, np.asarray(part.ids[:context])) if len(part) > 1 else None
            policy = policy.model_copy(update={"carried_state_max_difference": carried})
        return found.record(), policy

    def beginning(self, part: EncodedText, tokens: int | None) -> EncodedText:
        """The first tokens of a split, with bytes and words counted exactly for bytes and in proportion otherwise.

        `unknown` goes by the tokens <unk> among them, rounded up: a text keeps its bits per byte only where none is lost.
        """
        if tokens is None or tokens >= len(part):
            return part
        if self.encoder is None:
            return EncodedText.of_bytes(np.asarray(part.ids[:tokens]).tobytes())
        share = tokens / len(part)
        n_bytes, n_words = (None if n is None else max(1, round(n * share)) for n in (part.n_bytes, part.n_words))
        unknown = part.unknown
        if unknown:
            # Some of them may be words that the text itself writes so.
            there, in_all = (int((np.asarray(ids) == UNKNOWN_ID).sum()) for ids in (part.ids[:tokens], part.ids))
            unknown = -(-unknown * there // in_all)
        return EncodedText(part.ids[:tokens], n_bytes, n_words, part.tokenizer, unknown)

    def save(self, folder: Path) -> None:
        if self.encoder is not None:
            self.encoder.save(folder)


class TokenBatches(Batches):
    """Blocks in batches; the network itself shifts the labels by one token."""

    def __init__(self, blocks: LanguageBlocks, batch_size: int, steps_per_epoch: int) -> None:
        self.blocks, self.batch_size, self.steps_per_epoch = blocks, batch_size, steps_per_epoch

    def __len__(self) -> int:
        return len(self.blocks) // self.batch_size

    def __getitem__(self, index: Any) -> dict[str, Tensor]:
        first = int(index) * self.batch_size
        blocks = [self.blocks[i] for i in range(first, first + self.batch_size)]
        return {name: torch.stack([block[name] for block in blocks]) for name in ("input_ids", "labels")}
