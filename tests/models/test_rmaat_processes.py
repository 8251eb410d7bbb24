"""Replay in data-parallel training: two processes train the weights that one trains by full backpropagation."""

from __future__ import annotations

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from two_processes import in_two_processes

from models.rmaat import RMAATConfig, RMAATForSequenceClassification

STEPS, RATE = 3, 0.05


def small(way):
    torch.manual_seed(0)
    config = RMAATConfig(
        vocab_size=31, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, num_labels=3,
        max_position_embeddings=20, segment_length=5, num_memory_tokens=3, initializer_range=0.3, backpropagation=way,
    )  # fmt: skip
    return RMAATForSequenceClassification(config).train()


def trained(model, rows) -> list[torch.Tensor]:
    """Two batches are accumulated in every step; the first of them is not exchanged between processes."""
    g = torch.Generator().manual_seed(1)
    ids, labels = torch.randint(0, 31, (2, 8, 20), generator=g), torch.randint(0, 3, (2, 8), generator=g)
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        if isinstance(model, DistributedDataParallel):
            with model.no_sync():
                model(input_ids=ids[0, rows], labels=labels[0, rows]).loss.backward()
        else:
            model(input_ids=ids[0, rows], labels=labels[0, rows]).loss.backward()
        model(input_ids=ids[1, rows], labels=labels[1, rows]).loss.backward()
        optimiser.step()
    return [p.detach().clone() for p in model.parameters()]


def replayed(rank) -> list[torch.Tensor]:
    return trained(DistributedDataParallel(small("replay")), slice(4 * rank, 4 * rank + 4))


@pytest.mark.slow
def test_two_processes_replay_what_one_backpropagates(tmp_path):
    found = in_two_processes(replayed, tmp_path)
    one, start = trained(small("full"), slice(8)), [p.detach() for p in small("full").parameters()]
    for i, expected in enumerate(one):
        assert torch.equal(found[0][i], found[1][i])
        assert (found[0][i] - expected).abs().max() < 1e-5
    assert max(float((a - b).abs().max()) for a, b in zip(one, start, strict=True)) > 1e-2
