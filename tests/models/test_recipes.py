"""Recipes: every value that no training can use is named before a run begins."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from models.astromorphic import AstromorphicConfig
from models.errors import ModelError
from models.recipes import RECIPES, Recipe
from models.tasks.presets import PRESETS

SMOKE = RECIPES["smoke"]
NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("name", ["steps", "batch_size", "evaluate_every", "curve_bytes", "save_every", "final_bytes"])
@pytest.mark.parametrize(
    "value",
    [0, -3, True, 2.0, NAN, "4", 2**31, 10**5000],
    ids=["zero", "negative", "bool", "float", "nan", "text", "large", "unprintable"],
)
def test_counts_are_whole_numbers_above_zero(name, value):
    with pytest.raises(
        ModelError, match=rf"^recipe smoke: {name} is .* 2147483647|^recipe smoke: {name} is .* at least 1$"
    ):
        replace(SMOKE, **{name: value})


@pytest.mark.parametrize("name", ["learning_rate", "gradient_clip", "weight_decay", "beta2"])
@pytest.mark.parametrize("value", [-1e-3, True, NAN, INFINITE, "0.1", None, 10**400, 1e39], ids=lambda v: f"{v!r:.8}")
def test_numbers_are_finite_and_in_range(name, value):
    with pytest.raises(ModelError, match=rf"^recipe smoke: {name} is .*; expected a"):
        replace(SMOKE, **{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a finite number above 0"),
        ({"gradient_clip": 0}, "gradient_clip is 0; expected a finite number above 0"),
        ({"beta2": 1.0}, "beta2 is 1.0; expected a number of at least 0 and below 1"),
        ({"warmup_steps": 21}, "warmup_steps is 21; expected 0 to steps = 20"),
        ({"warmup_steps": -1}, "warmup_steps is -1"),
        ({"warmup_steps": True}, "warmup_steps is True"),
        ({"warmup_steps": 1.5}, "warmup_steps is 1.5"),
        ({"warmup_steps": NAN}, "warmup_steps is nan"),
        ({"save_every": 15}, "save_every is 15; expected a multiple of evaluate_every = 10"),
        (
            {"steps": 2**20, "batch_size": 2**20},
            "steps is 1048576 and batch_size 1048576; expected at most 2147483647 blocks",
        ),
        ({"name": 5}, "recipe name is 5"),
        ({"name": ""}, "recipe name is ''"),
    ],
)
def test_other_faults_are_named(change, message):
    with pytest.raises(ModelError, match=message):
        replace(SMOKE, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"weight_decay": 0},
        {"beta2": 0.0},
        {"final_bytes": None},
        {"warmup_steps": 0},
        {"warmup_steps": 20},
        {"learning_rate": 1},
    ],
    ids=str,
)
def test_the_edges_are_allowed(change):
    assert asdict(replace(SMOKE, **change)) == {**asdict(SMOKE), **change}


@pytest.mark.parametrize(
    ("task", "network", "learning_rate", "batch", "epochs", "width", "heads", "layers", "tokens", "factor"),
    [
        ("imdb", "sequence", 1e-5, 64, 120, 128, 4, 1, 400, 500),
        ("cifar10", "image", 1e-3, 32, 250, 256, 8, 8, 256, 500),
        ("wikitext2", "causal_lm", 1e-5, 24, 50, 768, 6, 1, 512, 100),
    ],
)
def test_the_papers_recipes_are_its_tables(
    task, network, learning_rate, batch, epochs, width, heads, layers, tokens, factor
):
    """Tables S1 to S3: rate, batch, epochs, model size, heads, layers, length (patches of 2 x 2), m = 500 D or 100 D, alpha."""
    preset = PRESETS[task]["paper"]
    recipe = preset.recipe
    assert (recipe.learning_rate, recipe.batch_size, recipe.epochs, recipe.steps) == (
        learning_rate,
        batch,
        epochs,
        None,
    )
    assert (recipe.schedule, recipe.warmup_steps, recipe.label_smoothing, recipe.mixup) == ("constant", 0, 0.0, 0.0)
    data = {"image_size": 32} if network == "image" else {}
    if "length" in preset.data:
        data["max_position_embeddings"] = preset.data["length"]
    config = AstromorphicConfig.from_preset("paper_eq11", network=network, **{**preset.model, **data})
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (width, heads, layers)
    rows, columns = config.patch_grid if network == "image" else (1, config.max_position_embeddings)
    assert rows * columns == tokens
    assert config.hebbian_scale == pytest.approx(1 / (factor * width), rel=1e-12)
    assert config.response == {"family": "power", "parameters": {"alpha": 0.25}}


def test_resolving():
    assert Recipe.resolve("smoke") is SMOKE and Recipe.resolve(SMOKE) is SMOKE
    assert Recipe.resolve(asdict(SMOKE)) == SMOKE
    for wrong in (5, None, ["smoke"]):
        with pytest.raises(ModelError, match=r"recipe is .*; expected one of smoke, quick, default, or a mapping"):
            Recipe.resolve(wrong)
    for keys, first in ((("zoom", "rate"), "'rate'"), (("rate", 5), "5")):
        with pytest.raises(ModelError, match=f"recipe has no setting {first}; it has name, steps"):
            Recipe.resolve({**asdict(SMOKE), **dict.fromkeys(keys, 1)})
    with pytest.raises(ModelError, match="recipe lacks steps, learning_rate; give them a value"):
        Recipe.resolve({"name": "mine", "batch_size": 4, "warmup_steps": 1})
