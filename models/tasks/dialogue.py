"""Dialogues: a language model learns what the assistant says, given all that was said before."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from ..data.batches import padded
from ..data.dialogues import Dialogue
from ..errors import ModelError
from ..language import EncodedText
from ..result import CausalityVerdict, EvaluationPolicy, SplitScore
from ..turns import Turns
from .base import Batches, Split
from .language import LanguageTask, Tokenizer

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..recipes import Recipe

# The label that the loss of the library leaves out.
IGNORED = -100


class Conversations:
    """Conversations as token numbers, and which of these the assistant says.

    ids, learned : per conversation ``[tokens]``, int64 and bool. n_bytes : of what the assistant says, its end marks included.
    """

    def __init__(self, dialogues: Sequence[Dialogue], turns: Turns, encode: Callable[[str], list[int]]) -> None:
        found = [turns.encoded(one, encode) for one in dialogues]
        self.ids = [np.asarray(ids, dtype=np.int64) for ids, _ in found]
        self.learned = [np.asarray(learned, dtype=np.bool_) for _, learned in found]
        self.n_bytes = sum(
            len(text.encode()) for one in dialogues for text, wanted in turns.pieces(one) if wanted
        )  # fmt: skip
        self.text = "".join(text for one in dialogues for text, _ in turns.pieces(one))

    @property
    def n_learned(self) -> int:
        """Tokens that the assistant says."""
        return int(sum(one.sum() for one in self.learned))

    def blocks(self, length: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """(ids, labels) of at most `length` tokens, each of one conversation.

        A longer conversation is cut, every block beginning with the last token of the one before, so that each token that the
        assistant says is predicted in exactly one block. Blocks without any are left out. Labels are `IGNORED` elsewhere.
        """
        found = []
        for ids, learned in zip(self.ids, self.learned, strict=True):
            labels = np.where(learned, ids, IGNORED)
            for start in range(0, max(len(ids) - 1, 1), length - 1):
                block, wanted = ids[start : start + length], labels[start : start + length].copy()
                wanted[0] = IGNORED  # predicted in the block before, or never: a conversation begins with the user
                if (wanted != IGNORED).any():
                    found.append((block, wanted))
        return found


class DialogueTask(LanguageTask):
    """Conversations in three splits. All scores are of what the assistant says, in nats and bits per byte of that."""

    def __init__(
        self, name: str, parts: dict[Split, Sequence[Dialogue]], turns: Turns, encode: Callable[[str], list[int]], *,
        digest: str, source: str, tokenizer: Tokenizer | None, location: str | None, options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.turns = turns
        self.conversations = {split: Conversations(part, turns, encode) for split, part in parts.items()}
        texts = [
            EncodedText(
                np.concatenate(one.ids), len(one.text.encode()), None, "bytes" if tokenizer is None else tokenizer.name
            )
            for one in self.conversations.values()
        ]
        super().__init__(
            name, *texts, digest=digest, source=source, tokenizer=tokenizer, location=location, options=options
        )

    def batches(self, config: AstromorphicConfig, recipe: Recipe, seed: int) -> DialogueBatches:
        blocks = self.conversations["train"].blocks(int(config.max_position_embeddings))
        per_epoch = -(-len(blocks) // recipe.batch_size)
        return DialogueBatches(blocks, recipe.batch_size, recipe.plan(per_epoch)[0], per_epoch, seed)

    def train_metrics(self, loss: float) -> dict[str, float]:
        return {}

    def point(self, model: PreTrainedModel, recipe: Recipe, split: Split = "validation") -> dict[str, float]:
        nats, count = self.nats(model, split, recipe.curve_bytes)
        return {"loss": nats / count}

    @torch.no_grad()
    def nats(self, model: PreTrainedModel, split: Split, most: int | None = None) -> tuple[float, int]:
        """Total nats, summed in float64, of what the assistant says in a split, and how many tokens that is.

        most : stop after the block in which so many tokens have been scored; None for all.
        """
        self.part(split)
        nats, count = 0.0, 0
        was_training = model.training
        model.eval()
        try:
            for ids, labels in self.conversations[split].blocks(int(model.config.max_position_embeddings)):
                wanted = torch.from_numpy(labels[1:])
                logits = model(input_ids=torch.from_numpy(ids)[None].to(model.device), use_cache=False).logits
                nats += float(
                    functional.cross_entropy(
                        logits[0, :-1].double().cpu(), wanted, ignore_index=IGNORED, reduction="sum"
                    )
                )
                count += int((wanted != IGNORED).sum())
                if most is not None and count >= most:
                    break
        finally:
            model.train(was_training)
        return nats, count

    def score(
        self,
        model: PreTrainedModel,
        split: Split,
        recipe: Recipe | None = None,
        *,
        verdict: CausalityVerdict | None = None,
        **how: Any,
    ) -> tuple[SplitScore, EvaluationPolicy]:
        """Blocks of the model's positions: no state is carried from one to the next. `how` is for texts and does nothing here."""
        part, context = self.conversations[split], int(model.config.max_position_embeddings)
        nats, count = self.nats(model, split, None if recipe is None else recipe.final_bytes)
        # In proportion where not all was scored.
        n_bytes = max(1, round(part.n_bytes * count / part.n_learned))
        units: dict[str, float] = {}
        if verdict is None or verdict.verdict == "causal":
            units = {"bits_per_byte": nats / (math.log(2.0) * n_bytes)}
            if nats / count < 700.0:
                units["perplexity_per_token"] = math.exp(nats / count)
        score = SplitScore(n=count, loss=nats / count, nats=nats, bytes=n_bytes, **units)  # type: ignore[arg-type]
        return score, EvaluationPolicy(
            bytes_scored=n_bytes, tokens_scored=count, context=context, stride=max(context - 1, 1)
        )

    def save(self, folder: Path) -> None:
        super().save(folder)
        self.turns.save(folder)


class DialogueBatches(Batches):
    """All blocks in an order of the seed, another in every epoch, padded on the right, where a causal model sees nothing."""

    def __init__(
        self,
        blocks: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
        batch_size: int,
        steps: int,
        steps_per_epoch: int,
        seed: int,
    ) -> None:
        if not blocks:
            raise ModelError(
                "no block of the conversations holds anything that the assistant says; raise max_position_embeddings"
            )
        self.blocks, self.batch_size, self.steps, self.seed = blocks, batch_size, steps, seed
        self.steps_per_epoch = steps_per_epoch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: Any) -> dict[str, Tensor]:
        epoch, step = divmod(int(index), self.steps_per_epoch)
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.blocks))
        chosen = [self.blocks[i] for i in order[step * self.batch_size : (step + 1) * self.batch_size]]
        ids, labels = (
            padded(rows, fill, step=1)[0] for rows, fill in zip(zip(*chosen, strict=True), (0, IGNORED), strict=True)
        )
        return {"input_ids": ids, "labels": labels}
