"""The same training in another process, and in several: what decides the weights is the seed, not where it runs.

What data-parallel training (`tests/models/test_launched.py`) asks of a network: its loss adds up over parts of a batch, and its
dropout is drawn from the generator of the process and from nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel
from two_processes import in_two_processes

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from models.recipes import Recipe
from models.training import run_job

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(
    "processes", steps=4, batch_size=2, learning_rate=1e-2, warmup_steps=1, evaluate_every=2, save_every=2,
    curve_bytes=64, final_bytes=64,
)  # fmt: skip
SIZE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 16, "initializer_range": 0.3,
}  # fmt: skip


def job(out, seed=5) -> dict:
    """Dropout is on, so that the random numbers of every step take part."""
    config = AstromorphicConfig.from_preset("tuned", **SIZE, dropout=0.2)
    return {"config": config.settings(), "recipe": asdict(RECIPE), "out_dir": str(out), "seed": seed}


CHILD = "import json, sys; from models.training import run_job; run_job(json.loads(sys.argv[1]))"


def test_another_process_trains_the_same_weights(tmp_path):
    """A fresh interpreter, where hashes are salted differently and nothing has drawn a random number, against this one."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "7"}
    arguments = [sys.executable, "-c", CHILD, json.dumps(job(tmp_path / "there"))]
    child = subprocess.Popen(arguments, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    torch.rand(3)
    here = run_job(job(tmp_path / "here"))
    other = run_job(job(tmp_path / "other", seed=6))
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    there = json.loads((tmp_path / "there" / "run.json").read_text())
    assert there["weights_digest"] == here["weights_digest"] != other["weights_digest"]
    assert there["learning_curve"] == here["learning_curve"]
    assert there["scores"] == here["scores"]


def batch() -> torch.Tensor:
    return torch.randint(0, 31, (8, 16), generator=torch.Generator().manual_seed(1))


def small(**settings) -> AstromorphicForCausalLM:
    torch.manual_seed(0)
    return AstromorphicForCausalLM(AstromorphicConfig.from_preset("tuned", **{**SIZE, "vocab_size": 31, **settings}))


def gradients(model, rows, **settings) -> list[torch.Tensor]:
    model.zero_grad()
    model(rows, labels=rows, **settings).loss.backward()
    return [p.grad.clone() for p in model.parameters()]


def test_gradients_of_parts_add_up_to_that_of_the_batch():
    """Averaged over equal parts, as data-parallel training does, and summed over unequal ones, as accumulation does."""
    model, rows = small(), batch()
    whole = gradients(model, rows)
    halves = [gradients(model, rows[:4]), gradients(model, rows[4:])]
    predicted = torch.tensor(rows[:, 1:].numel())
    uneven = [gradients(model, part, num_items_in_batch=predicted) for part in (rows[:3], rows[3:])]
    for i, expected in enumerate(whole):
        tolerance = 1e-6 + 1e-5 * expected.abs().max()
        assert ((halves[0][i] + halves[1][i]) / 2 - expected).abs().max() < tolerance
        assert (uneven[0][i] + uneven[1][i] - expected).abs().max() < tolerance
        assert expected.abs().max() > 0


def test_dropout_is_drawn_from_the_generator_of_the_process():
    """So processes that seed themselves apart drop different units, and a process that restores its state the same."""
    model, rows = small(dropout=0.5).train(), batch()

    def logits(seed):
        torch.manual_seed(seed)
        return model(rows).logits

    assert torch.equal(logits(3), logits(3))
    assert not torch.equal(logits(3), logits(4))
    # Every row drops units of its own.
    same = rows[:1].expand(4, -1)
    torch.manual_seed(3)
    out = model(same).logits
    assert all(not torch.equal(out[0], out[i]) for i in range(1, 4))
    model.eval()
    assert torch.equal(logits(3), logits(4))


STEPS, RATE = 3, 0.05


def train_plainly(model, rows) -> list[torch.Tensor]:
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        model(input_ids=rows, labels=rows).loss.backward()
        optimiser.step()
    return [p.detach().clone() for p in model.parameters()]


def trained_in_part(rank) -> dict:
    weights = train_plainly(DistributedDataParallel(small()), batch()[4 * rank : 4 * rank + 4])
    model = small(dropout=0.5).train()
    torch.manual_seed(100 + rank)  # as every rank must: with one seed for all, the masks would repeat
    return {"weights": weights, "dropped": model(batch()[:1]).logits.detach()}


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one(tmp_path):
    """Data-parallel over two processes, 4 rows each, against one process with all 8; without dropout."""
    found = in_two_processes(trained_in_part, tmp_path)
    start, one = [p.detach().clone() for p in small().parameters()], train_plainly(small(), batch())
    for i, expected in enumerate(one):
        assert torch.equal(found[0]["weights"][i], found[1]["weights"][i])
        assert (found[0]["weights"][i] - expected).abs().max() < 1e-5
    assert max(float((a - b).abs().max()) for a, b in zip(one, start, strict=True)) > 1e-2
    assert not torch.equal(found[0]["dropped"], found[1]["dropped"])
