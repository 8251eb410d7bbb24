"""Leak tests that need no threshold of their own: what training can find in random tokens, and whether targets are aligned.

Random tokens cannot be predicted. A copy of the network is trained on them for a moment; whatever it then predicts better
than chance, it has seen. `models.causality` holds the tests by perturbation, gradient and step, `models.language` the
re-evaluation prefix by prefix.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from .errors import ModelError
from .surroundings import own_random_state

# Of the loss, nats per token, and of logits.
ALIGNMENT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class RandomTokenProbe:
    """A network trained on uniform random tokens, scored on tokens it has not seen.

    nats : per token, mean over `tokens` tokens, with its standard error; floor : ln(vocabulary), what nobody can go below.
    accuracy : share of tokens that come out on top; chance : 1 / vocabulary.
    """

    tokens: int
    nats: float
    nats_se: float
    floor: float
    accuracy: float
    chance: float

    @property
    def below_floor(self) -> bool:
        """The random-token floor: nats more than 3 standard errors below ln(vocabulary)."""
        return self.nats < self.floor - 3.0 * self.nats_se

    @property
    def copies(self) -> bool:
        """The shifted-copy probe: accuracy more than 3 standard errors above chance."""
        return self.accuracy > self.highest_by_chance

    @property
    def highest_by_chance(self) -> float:
        """Chance and 3 standard errors of a share of `tokens` tokens."""
        return self.chance + 3.0 * math.sqrt(self.chance * (1.0 - self.chance) / self.tokens)

    @property
    def leaks(self) -> bool:
        """Whether either finds the future."""
        return self.below_floor or self.copies


def random_token_probe(
    model: PreTrainedModel,
    *,
    vocabulary: int = 64,
    length: int = 8,
    steps: int = 150,
    batch_size: int = 32,
    learning_rate: float = 1e-2,
    held_out: int = 256,
    seed: int = 0,
) -> RandomTokenProbe:
    """Train a copy of `model`, random or trained, to predict x_(t+1) in independent uniform tokens; score new ones.

    The tokens are the first `vocabulary` of the model's, in blocks of `length` (at most its positions); `held_out` blocks
    are scored. A network that looks ahead by one token has found the target in its input, and goes below the floor within some
    hundred steps; more `steps` give a weak leak more time. The model itself is left as it is.

    Raises ModelError for sizes that the model does not have.
    """
    limit, known = int(model.config.max_position_embeddings), int(model.config.vocab_size)
    if not 2 <= vocabulary <= known:
        raise ModelError(f"vocabulary is {vocabulary}; expected 2 to {known}, the tokens of the model")
    length = min(length, limit)
    if length < 2:
        raise ModelError(f"length is {length}; expected at least 2 tokens to have a future")
    generator = torch.Generator().manual_seed(seed)

    def blocks(count: int) -> Tensor:
        return torch.randint(0, vocabulary, (count, length), generator=generator).to(model.device)

    with own_random_state(seed), torch.enable_grad():
        probe = copy.deepcopy(model).train()
        optimiser = torch.optim.AdamW(probe.parameters(), lr=learning_rate, weight_decay=0.0)
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
            ids = blocks(batch_size)
            loss = _losses(probe, ids).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(probe.parameters(), 1.0)
            optimiser.step()
    probe.eval()
    nats, right = [], 0
    with torch.no_grad():
        for ids in blocks(held_out).split(64):
            logits = probe(input_ids=ids, use_cache=False).logits[:, :-1].double()
            nats.append(functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"))
            right += int((logits.argmax(-1) == ids[:, 1:]).sum())
    found = torch.cat(nats)
    return RandomTokenProbe(
        tokens=len(found),
        nats=float(found.mean()),
        nats_se=float(found.std() / math.sqrt(len(found))),
        floor=math.log(vocabulary),
        accuracy=right / len(found),
        chance=1.0 / vocabulary,
    )


def _losses(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Nats of every token after the first ``[batch * (length - 1)]``, shifted here."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none")


@dataclass(frozen=True)
class Alignment:
    """Whether the loss that is trained scores token t + 1 from the tokens up to t, in every row, and in evaluation mode.

    loss_difference : between the network's own loss and the one shifted by hand, nats per token. row_difference : largest
    change of a row's logits when the other rows of the batch are replaced. repeats : two passes in evaluation mode are
    equal (no dropout). misplaced : blocks that do not stand in the text where they should. tied_weights : the output layer
    is the token embedding.
    """

    loss_difference: float
    row_difference: float
    repeats: bool
    misplaced: int
    tied_weights: bool

    @property
    def aligned(self) -> bool:
        """All of it holds, to rounding error."""
        equal = self.loss_difference <= ALIGNMENT_TOLERANCE and self.row_difference <= ALIGNMENT_TOLERANCE
        return equal and self.repeats and not self.misplaced


@torch.no_grad()
def target_alignment(model: PreTrainedModel, batch: dict[str, Tensor], text: Any = None) -> Alignment:
    """Check a training batch (`input_ids`, `labels` ``[batch, time]``) and the loss that the network makes of it.

    text : token numbers ``[tokens]`` that the blocks are cut from; each block must stand there as it is, so that the target of
    each position, the last one of a block included, is the token that follows in the text.
    """
    ids, labels = batch["input_ids"].to(model.device), batch["labels"].to(model.device)
    was_training = model.training
    model.eval()
    try:
        out = model(input_ids=ids, labels=labels, use_cache=False)
        again = model(input_ids=ids, use_cache=False).logits
        own = functional.cross_entropy(out.logits[:, :-1].flatten(0, 1).double(), ids[:, 1:].flatten())
        other = ids.clone()
        other[1:] = (other[1:] + 1) % int(model.config.vocab_size)
        alone = model(input_ids=other, use_cache=False).logits[0]
        difference = float((alone - out.logits[0]).abs().max())
    finally:
        model.train(was_training)
    misplaced = 0
    if text is not None:
        # As characters, so that a block is looked for as a whole.
        whole = "".join(map(chr, torch.as_tensor(text).tolist()))
        misplaced = sum("".join(map(chr, row)) not in whole for row in labels.tolist())
    shifted_away = int((ids != labels).sum())
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    return Alignment(
        loss_difference=abs(float(out.loss) - float(own)),
        row_difference=difference,
        repeats=bool(torch.equal(again, out.logits)),
        misplaced=misplaced + shifted_away,
        tied_weights=head is not None and embedding is not None and head.weight is embedding.weight,
    )
