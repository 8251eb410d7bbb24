"""Delayed recall: a bit in the first segment, asked for in the last. What a retention schedule does to a memory, without a task.

A text is noise but for two tokens: a mark that says 0 or 1 somewhere in its first segment, and a question at its very end. The
answer is read from the final memory alone, so a network that answers has carried the bit through every segment between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError
from .configuration_rmaat import RMAATConfig
from .memory_path import memory_path_gradient
from .modeling_rmaat import RMAATForSequenceClassification

QUESTION, ZERO, ONE, NOISE = 0, 1, 2, 3
SIZE: dict[str, Any] = {
    "vocab_size": 16, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
    "segment_length": 8, "num_memory_tokens": 4, "num_labels": 2, "readout": "memory", "initializer_range": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class Recall:
    """accuracy : share of right answers on texts not trained on; 0.5 is guessing, with a standard error of 0.5/sqrt(n).

    path_before, path_after : |d (p . m'_{T+1}) / d m_2|, of the memory that holds the bit, before and after training.
    losses : in nats, mean over each tenth of the steps. factors : r(1, T) ... r(T, T) after training.
    """

    retention: str
    segments: int
    seed: int
    accuracy: float
    path_before: float
    path_after: float
    losses: list[float]
    factors: list[float]


def recall_batch(
    rows: int, segments: int, length: int, vocabulary: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Texts ``[rows, segments * length]`` and their bits ``[rows]``, drawn from `generator` alone."""
    ids = torch.randint(NOISE, vocabulary, (rows, segments * length), generator=generator)
    bits = torch.randint(0, 2, (rows,), generator=generator)
    # In a text of one segment the last place belongs to the question.
    where = torch.randint(0, length - 1, (rows,), generator=generator)
    ids[torch.arange(rows), where] = ZERO + bits
    ids[:, -1] = QUESTION
    return ids, bits


def delayed_recall(
    retention: str,
    segments: int,
    *,
    seed: int = 0,
    steps: int = 300,
    batch: int = 32,
    rate: float = 3e-3,
    tests: int = 512,
    **settings: Any,
) -> Recall:
    """Train a small network on delayed recall and ask it about texts it has not seen.

    retention : a schedule of `models.rmaat.retention`. settings : of `RMAATConfig`, over a network of width 32 with 4 memory
        tokens and segments of 8. AdamW at `rate` with a linear fall to 0, gradients clipped at norm 1.

    Raises ModelError for fewer than 2 segments, which hand nothing on, sizes that hold no text of this kind, or as `RMAATConfig`.
    """
    fields = {**SIZE, **settings}
    # A segment holds the mark beside the question; a vocabulary holds two marks, the question and something to be noise.
    for name, value, least in (
        ("segments", segments, 2), ("segment_length", fields["segment_length"], 2),
        ("vocab_size", fields["vocab_size"], NOISE + 1), ("steps", steps, 1), ("batch", batch, 1), ("tests", tests, 1),
    ):  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ModelError(f"{name} is {value!r}; expected a whole number of at least {least}")
    config = RMAATConfig(
        **{**fields, "retention": retention, "max_position_embeddings": segments * fields["segment_length"]}
    )
    sizes = (segments, config.length_of_segment, config.vocab_size)
    unseen = recall_batch(tests, *sizes, torch.Generator().manual_seed(2 * seed + 1))
    draw = torch.Generator().manual_seed(2 * seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RMAATForSequenceClassification(config)
        before = memory_path_gradient(model, unseen[0][:8])[1]
        model.train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
        losses = []
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 20) * (1.0 - step / steps)
            ids, bits = recall_batch(batch, *sizes, draw)
            loss = model(ids, labels=bits).loss
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
        model.eval()
        after = memory_path_gradient(model, unseen[0][:8])[1]
        with torch.no_grad():
            right = (model(unseen[0]).logits.argmax(-1) == unseen[1]).double().mean()
    tenth = max(1, steps // 10)
    means = [sum(losses[i : i + tenth]) / len(losses[i : i + tenth]) for i in range(0, steps, tenth)]
    factors = [float(r) for r in model.model.retention(segments).detach()]
    return Recall(retention, segments, seed, float(right), before, after, means, factors)
