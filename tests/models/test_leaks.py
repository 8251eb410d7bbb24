"""The seven leak tests pass decoders, random and trained, and each of 1 to 6 catches a model that sees the future."""

from __future__ import annotations

import pytest
import torch

from models.causality import prefix_difference
from models.data.batches import LanguageBlocks
from models.errors import ModelError
from models.leak_probes import random_token_probe, target_alignment
from models.leaks import leak_report

SIZE = {"vocab_size": 64, "hidden_size": 32, "max_position_embeddings": 12, "num_hidden_layers": 1}


@pytest.mark.parametrize("preset", ["tuned", "softmax", "paper_alg1"])
def test_decoders_pass_all_seven(tiny, preset, randomise):
    report = leak_report(randomise(tiny(preset=preset, **SIZE)), reevaluate=100, probe_steps=60)
    assert report.causal and report.failed == (), report.summary()
    assert [test.number for test in report.tests] == [1, 2, 3, 4, 5, 6, 7]
    assert report.reevaluation.tokens >= 100 and report.reevaluation.step_nats is not None


@pytest.mark.parametrize("mode", ["residual", "spike_in"])
def test_a_spiking_decoder_passes_all_seven(mode):
    from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM

    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "chunk_size": 4, "residual_mode": mode}
    model = AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, **sizes, "num_hidden_layers": 3})).eval()
    report = leak_report(model, reevaluate=300, probe_steps=60)
    assert report.failed == (), report.summary()


def test_a_network_with_spikes_is_scored_again_in_double_precision(monkeypatch):
    from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
    from models.language import autoregressive_reevaluation

    model = AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, "num_attention_heads": 2})).train()
    seen = []
    forward = AstroSNNForCausalLM.forward
    monkeypatch.setattr(
        AstroSNNForCausalLM,
        "forward",
        lambda self, *x, **y: seen.append(self.lm_head.weight.dtype) or forward(self, *x, **y),
    )
    again = autoregressive_reevaluation(
        model, torch.randint(0, 64, (30,), generator=torch.Generator().manual_seed(0)), 20
    )
    assert set(seen) == {torch.float64} and again.difference < 1e-12
    assert model.training and model.lm_head.weight.dtype == torch.float32


def test_the_global_state_fails_one_to_six(tiny, randomise):
    """Positive control: the literal eq. 18. Its targets are aligned all the same, which is what test 7 is about."""
    model = randomise(tiny(causal=False, norm_placement="pre", **SIZE))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = leak_report(model, reevaluate=100, probe_steps=150)
    assert report.failed == (1, 2, 3, 4, 5, 6), report.summary()
    # Every line says its number and what it is held against.
    lines = report.summary().splitlines()
    assert [line[:1] for line in lines] == list("1234567") and sum("LEAKS" in line for line in lines) == 6
    floor = report.probe.floor - 3 * report.probe.nats_se
    for line, limit in zip(
        lines, ("1e-06", "exactly 0", "at most", "1e-04", f"{floor:.4f}", "chance", "none allowed"), strict=True
    ):
        assert limit in line, line
    # It finds the very next token, and falls far below what nobody can know.
    assert report.probe.nats < 0.8 * report.probe.floor and report.probe.accuracy > 5 * report.probe.chance
    assert report.reevaluation.difference > 1e-3 and report.reevaluation.step_nats is None
    # The probe trains a copy.
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("causal", [True, False])
def test_a_trained_checkpoint_is_tested_as_well(tmp_path, causal):
    from models.astromorphic import AstromorphicForCausalLM
    from models.tasks import load_task
    from models.tasks.prepare import prepare
    from models.training import train

    changes = {"hidden_size": 64, "max_position_embeddings": 32, "causal": causal}
    task, config, recipe, _ = prepare("shakespeare", preset="quick", changes=changes)
    result = train(config, task, recipe, tmp_path, 0)
    model = AstromorphicForCausalLM.from_pretrained(tmp_path)
    text = load_task("shakespeare").validation.tensor()[:8000]
    report = leak_report(model, text, probe_steps=400)
    assert report.reevaluation.tokens >= 2000
    assert result.causality.verdict == ("causal" if causal else "leaks")
    assert report.failed == (() if causal else (1, 2, 3, 4, 5, 6)), report.summary()


def test_a_code_that_depends_on_the_length_is_seen_by_prefixes(tiny, randomise):
    assert prefix_difference(randomise(tiny()), length=16).difference < 1e-4
    assert prefix_difference(randomise(tiny(causal=False)), length=16).difference > 1e-3
    with pytest.raises(ModelError, match="length is 1"):
        prefix_difference(tiny(), length=1)


def test_targets_that_are_not_the_next_token_are_seen(tiny, randomise):
    model = randomise(tiny())
    text = torch.arange(200) * 7 % 31
    rows = torch.stack([text[0:20], text[33:53]])
    fine = target_alignment(model, {"input_ids": rows, "labels": rows}, text)
    assert fine.aligned and fine.loss_difference < 1e-5
    assert fine.tied_weights is (model.lm_head.weight is model.model.embed.weight)
    # Labels that are shifted already would be shifted twice.
    twice = target_alignment(model, {"input_ids": rows, "labels": rows.roll(-1, 1)}, text)
    assert not twice.aligned and twice.misplaced > 0 and twice.loss_difference > 1e-4
    # A block put together from two places of the text: its middle target follows nothing.
    torn = torch.cat([text[0:10], text[111:121]])[None]
    assert target_alignment(model, {"input_ids": torn, "labels": torn}, text).misplaced == 1


@pytest.mark.parametrize(
    ("fault", "misplaced"),
    [
        (lambda ids, labels: (ids[:-1], labels[:-1]), None),
        # Shifted by the source and again by the network: every target is the token after the next.
        (lambda ids, labels: (ids[:-1], labels[1:]), 4),
        # One token late at a seam: the blocks stand nowhere in the text.
        (lambda ids, labels: (ids.roll(1), labels.roll(1)), 4),
    ],
)
def test_blocks_that_training_would_read_wrongly_are_caught(tiny, randomise, monkeypatch, fault, misplaced):
    """Positive control of test 7: the report looks at the blocks that training reads, not at its own."""
    read = LanguageBlocks.__getitem__

    def wrong(self, index):
        item = read(self, index)
        ids, labels = fault(item["input_ids"], item["labels"])
        return {"input_ids": ids, "labels": labels}

    monkeypatch.setattr(LanguageBlocks, "__getitem__", wrong)
    report = leak_report(randomise(tiny(**SIZE)), reevaluate=10, probe_steps=1)
    assert report.failed == (() if misplaced is None else (7,)), report.summary()
    assert report.alignment.misplaced >= (misplaced or 0) and (report.alignment.misplaced > 0) == bool(misplaced)


def test_dropout_at_evaluation_and_rows_that_see_each_other_are_seen(tiny, monkeypatch, randomise):
    model = randomise(tiny(dropout=0.5))
    rows = torch.randint(0, 31, (3, 20), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": rows, "labels": rows}
    assert target_alignment(model.train(), batch).aligned and model.training
    head = model.lm_head.forward
    monkeypatch.setattr(model.lm_head, "forward", lambda x: head(torch.nn.functional.dropout(x, 0.5, training=True)))
    assert not target_alignment(model, batch).repeats
    monkeypatch.setattr(model.lm_head, "forward", lambda x: head(x + x.mean(dim=0, keepdim=True)))
    found = target_alignment(model, batch)
    assert found.row_difference > 1e-3 and not found.aligned


def test_probe_sizes_are_checked(tiny):
    with pytest.raises(ModelError, match="vocabulary is 64; expected 2 to 31"):
        random_token_probe(tiny(), vocabulary=64)
    with pytest.raises(ModelError, match="length is 1; expected at least 2"):
        random_token_probe(tiny(max_position_embeddings=1), vocabulary=8)
