"""Recipes of AstroSNN's sizes, networks of equal parameters, and the schedule of the paper."""

from __future__ import annotations

import pytest
import torch

from models.astrosnn import AstroSNNConfig
from models.astrosnn.matching import match_parameters
from models.astrosnn.presets import PRESETS as SIZES
from models.errors import ModelError
from models.tasks.prepare import prepare
from models.tasks.presets import task_preset

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 16}


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("the quick brown fox jumps over the lazy dog. " * 600)
    return str(file)


@pytest.mark.parametrize(
    ("name", "count", "tokens"),
    [("small", 92_469_760, 320_000), ("base", 321_296_384, 160_000), ("large", 768_268_800, 80_000),
     ("1b5", 1_515_175_936, 64_000)],
)  # fmt: skip
def test_the_papers_sizes_have_its_parameters_and_its_tokens_per_batch(name, count, tokens):
    preset = task_preset("wikitext103", name, "astrosnn")
    config = AstroSNNConfig(**preset.model)
    assert config.num_parameters() == count
    assert config.settings() == AstroSNNConfig(**SIZES[name], max_position_embeddings=1000).settings()
    recipe = preset.recipe
    assert recipe.batch_size * config.max_position_embeddings == tokens
    assert (recipe.steps, recipe.learning_rate, recipe.warmup_steps, recipe.beta2) == (600_000, 2.5e-4, 1000, 0.98)
    assert task_preset("enwik8", name, "astrosnn").recipe == recipe
    with pytest.raises(ModelError, match="unknown preset"):
        task_preset("wikitext103", name)  # of no other model


def test_the_papers_schedule_ends_at_6e_5(text, tmp_path):
    from models.trainer import BestWeights, LearningCurve, make_trainer

    ready = prepare(text, "astrosnn", changes={**TINY, "steps": 200, "warmup_steps": 20, "schedule": "cosine_to_0.24",
                                              "learning_rate": 2.5e-4})  # fmt: skip
    model = ready.task.build(ready.config)
    batches = ready.task.batches(ready.config, ready.recipe, 0)
    curve = LearningCurve(ready.task, ready.recipe, BestWeights(tmp_path), None)
    trainer = make_trainer(model, batches, ready.recipe, tmp_path, 0, curve, "cpu")
    trainer.create_optimizer_and_scheduler(200)
    rates = [trainer.optimizer.param_groups[0]["lr"]]
    for _ in range(200):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        rates.append(trainer.optimizer.param_groups[0]["lr"])
    assert max(rates) == rates[20] == pytest.approx(2.5e-4)
    assert rates[-1] == pytest.approx(6e-5) and rates[110] == pytest.approx(0.5 * (2.5e-4 + 6e-5))


def test_a_preset_of_all_models_gives_a_spiking_network_its_sizes_alone(text):
    smoke, tuned = (prepare(text, "astrosnn", preset) for preset in ("smoke", "tuned"))
    # Heads of its own; those of the smoke recipe belong to another kind of layer.
    assert smoke.config.num_attention_heads == 8 and smoke.config.hidden_size == 128
    assert (
        tuned.config.num_hidden_layers == 4 and tuned.config.num_parameters() == 923_008
    )  # 4 (13 d^2 + 10.25 d) + 2 256 d + 2 d
    padded = prepare(text, "astrosnn", "small", changes={"tokens": "bytes", **TINY})
    assert padded.config.vocab_size == 50304
    assert (
        prepare(text, "astrosnn", "small", changes={"tokens": "bytes", "vocab_size": 256, **TINY}).config.vocab_size
        == 256
    )


@pytest.mark.parametrize("mixer", ["softmax", "gru", "lif"])
def test_feed_forward_parts_make_up_for_what_a_mixer_lacks(mixer):
    target = AstroSNNConfig(**TINY).num_parameters()
    config = AstroSNNConfig(**TINY, mixer=mixer, dropout=0.25)
    found = match_parameters(config, target)
    assert config.num_parameters() != target
    counts = {
        size: AstroSNNConfig(**{**found.settings(), "intermediate_size": size}).num_parameters()
        for size in (found.intermediate_size - 1, found.intermediate_size, found.intermediate_size + 1)
    }
    # No neighbour is nearer, and nothing else has changed.
    assert min(counts, key=lambda size: abs(counts[size] - target)) == found.intermediate_size
    assert {**found.settings(), "intermediate_size": 64} == config.settings()


def test_the_block_without_feed_forward_part_gets_wider_in_steps_of_two_per_head_or_says_that_it_cannot():
    wide = {**TINY, "hidden_size": 128, "intermediate_size": 512}
    found = match_parameters(AstroSNNConfig(**wide, residual_mode="pure"), AstroSNNConfig(**wide).num_parameters())
    assert found.hidden_size == 224 and found.hidden_size % 16 == 0
    small = AstroSNNConfig(**TINY, residual_mode="pure")
    with pytest.raises(ModelError, match=r"no hidden_size gives .* 27,000 parameters within 5 %: 32 gives"):
        match_parameters(small, 27_000)
    assert match_parameters(small, small.num_parameters()).settings() == small.settings()


def test_a_network_of_one_term_has_that_term_alone():
    from models.astrosnn import AstroSNNForCausalLM
    from models.astrosnn.energy import operations

    both = AstroSNNConfig(vocab_size=11, **{**TINY, "num_hidden_layers": 1}, num_attention_heads=4)
    ids = torch.randint(0, 11, (2, 9), generator=torch.Generator().manual_seed(0))
    terms = {}
    for name in ("both", "astrocyte", "neuron"):
        torch.manual_seed(0)
        model = AstroSNNForCausalLM(AstroSNNConfig(**{**both.settings(), "terms": name})).eval()
        if name == "both":
            weights = model.state_dict()
        else:
            model.load_state_dict({key: weights[key] for key in model.state_dict()})
        layer = model.model.layers[0]
        a = layer.mixer_input(model.model.embed(ids))
        found, _ = layer.mixer.terms(a, torch.arange(9), None, None)
        terms[name] = found
        whole = model(ids, use_cache=False).logits
        first = model(ids[:, :4], use_cache=True)
        rest = model(ids[:, 4:], past_key_values=first.past_key_values, use_cache=True)
        assert torch.allclose(torch.cat([first.logits, rest.logits], dim=1), whole, atol=1e-4)
        rates = [{"mixer": 0.5}]
        parts = operations(model.config, rates).mac
        assert ("astrocyte" in parts) == (name != "neuron") and ("neuron" in parts) == (name != "astrocyte")
    assert torch.equal(terms["astrocyte"].astrocyte, terms["both"].astrocyte)
    assert torch.equal(terms["neuron"].neuron, terms["both"].neuron)
    assert not terms["astrocyte"].neuron.any() and not terms["neuron"].astrocyte.any()
    assert terms["both"].astrocyte.any() and terms["both"].neuron.any()
    without = AstroSNNConfig(**{**both.settings(), "terms": "neuron"})
    # Three matrices and the norm of the heads less.
    assert both.num_parameters() - without.num_parameters() == 3 * 32 * 32 + 2 * 8
