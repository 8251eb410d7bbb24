"""The numbers of every task's recipes, in one place: budget, network and preparation of the data.

`paper` is Tables S1 to S3 to the letter, `tuned` is ours, `smoke` shows within seconds that everything works. What the
tables leave open is a choice: weight decay 0.01 and beta2 0.999 (the defaults of AdamW), a constant rate, no clipping, dropout
0.1, feed-forward layers of 4 D, the last epoch's weights. Readings of the layer are presets of the model, not of the task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ..choices import did_you_mean
from ..errors import ModelError
from ..recipes import RECIPES, Recipe
from .preset import TaskPreset
from .sequence_presets import SEQUENCE_PRESETS
from .spiking_presets import SPIKING_PRESETS

# The library clips by a largest norm only; this one is never reached.
NO_CLIP = 1e9


_EPOCHS: dict[str, Any] = {"steps": None, "evaluate_every": None, "save_every": None}
_PAPER: dict[str, Any] = {
    "warmup_steps": 0, "weight_decay": 0.01, "beta2": 0.999, "gradient_clip": NO_CLIP, "schedule": "constant", **_EPOCHS,
}  # fmt: skip

# As `models.arms.MAIN_SIZE`, whose comment says why.
_SHAKESPEARE = {
    "hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "hidden_dim": 16, "intermediate_size": 512,
    "norm_placement": "pre", "initializer_range": 0.1, "query_key_init": 3.0, "max_position_embeddings": 64,
}  # fmt: skip
# Minutes per run on one core.
_BYTES = {**_SHAKESPEARE, "num_hidden_layers": 2, "hidden_dim": 32, "max_position_embeddings": 256}
_LANGUAGE = Recipe(
    "tuned", steps=3000, batch_size=8, learning_rate=3e-3, warmup_steps=150, evaluate_every=300, save_every=300,
    curve_bytes=32768,
)  # fmt: skip
_LANGUAGE_SMOKE = Recipe(
    "smoke", steps=20, batch_size=4, learning_rate=1e-2, warmup_steps=2, evaluate_every=10, curve_bytes=512, final_bytes=1024,
    save_every=10,
)  # fmt: skip

# Of weights that know the language already (`--from`), hence the small steps.
_DIALOGUE = Recipe(
    "tuned", epochs=3, batch_size=16, learning_rate=3e-4, warmup_steps=0, weight_decay=0.1, curve_bytes=32768, **_EPOCHS,
)  # fmt: skip

_IMDB_SIZE = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 512}
# A verdict often stands at the end of a review.
_IMDB_WORDS = {"vocabulary": 20_000, "lower_case": True, "length": 400, "keep": "head+tail"}
_CIFAR_SIZE = {
    "hidden_size": 256,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "intermediate_size": 1024,
    "patch_size": 2,
}
_WIKITEXT_SIZE = {"hidden_size": 768, "num_hidden_layers": 1, "num_attention_heads": 6, "intermediate_size": 3072,
                  "max_position_embeddings": 512}  # fmt: skip
_WIKITEXT_SMOKE = TaskPreset(
    _LANGUAGE_SMOKE,
    {**_SHAKESPEARE, "hidden_size": 32, "hidden_dim": 8, "intermediate_size": 64},
    {"tokens": "words", "vocabulary": 2_000},
)

# One classification smoke run: a few hundred examples, a tiny network, seconds.
_CLASSIFIER_SMOKE = Recipe(
    "smoke", epochs=2, batch_size=16, learning_rate=3e-3, warmup_steps=2, train_items=256, evaluate_items=128,
    select="accuracy", **_EPOCHS,
)  # fmt: skip

PRESETS: Mapping[str, Mapping[str, TaskPreset]] = MappingProxyType(
    {
        **SEQUENCE_PRESETS,
        "shakespeare": {
            **{name: TaskPreset(recipe, _SHAKESPEARE) for name, recipe in RECIPES.items()},
            "tuned": TaskPreset(RECIPES["default"], _SHAKESPEARE),
        },
        "imdb": {
            "paper": TaskPreset(
                Recipe("paper", epochs=120, batch_size=64, learning_rate=1e-5, **_PAPER),
                {**_IMDB_SIZE, "dropout": 0.1},
                # GloVe 840B is cased, 300 numbers a word.
                {
                    "vocabulary": 100_000,
                    "lower_case": False,
                    "length": 400,
                    "embeddings": "glove_if_there",
                    "validation": 2_500,
                },
            ),
            "tuned": TaskPreset(
                Recipe(
                    "tuned",
                    epochs=5,
                    batch_size=64,
                    learning_rate=1e-3,
                    warmup_steps=100,
                    weight_decay=0.3,
                    beta2=0.999,
                    word_dropout=0.5,
                    label_smoothing=0.1,
                    mixed_precision="bf16",
                    select="accuracy",
                    **_EPOCHS,
                ),
                {**_IMDB_SIZE, "dropout": 0.3, "classifier_dropout": 0.3},
                {**_IMDB_WORDS, "length": 800, "pairs": 60_000, "validation": 2_500},
            ),
            "smoke": TaskPreset(
                _CLASSIFIER_SMOKE,
                {**_IMDB_SIZE, "hidden_size": 32, "intermediate_size": 64},
                {"vocabulary": 2_000, "lower_case": True, "length": 64, "validation": 2_500},
            ),
        },
        "cifar10": {
            "paper": TaskPreset(
                Recipe("paper", epochs=250, batch_size=32, learning_rate=1e-3, **_PAPER),
                {**_CIFAR_SIZE, "dropout": 0.1},
                {"augment": "crop_flip", "validation": 0.1},
            ),
            "tuned": TaskPreset(
                Recipe(
                    "tuned",
                    epochs=100,
                    batch_size=128,
                    learning_rate=1e-3,
                    warmup_steps=1000,
                    weight_decay=0.05,
                    beta2=0.999,
                    label_smoothing=0.1,
                    mixup=0.8,
                    mixed_precision="bf16",
                    select="accuracy",
                    **_EPOCHS,
                ),
                {**_CIFAR_SIZE, "norm_placement": "pre", "stem": "coatnet", "stochastic_depth": 0.1},
                {"augment": "randaugment", "validation": 0.1},
            ),
            "smoke": TaskPreset(
                _CLASSIFIER_SMOKE,
                {
                    **_CIFAR_SIZE,
                    "hidden_size": 32,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "intermediate_size": 64,
                    "patch_size": 4,
                },
                {"augment": "none", "validation": 0.1},
            ),
        },
        "wikitext2": {
            "paper": TaskPreset(
                Recipe("paper", epochs=50, batch_size=24, learning_rate=1e-5, curve_bytes=65536, **_PAPER),
                {**_WIKITEXT_SIZE, "dropout": 0.1},
                {"tokens": "gpt2"},
            ),
            "tuned": TaskPreset(
                Recipe(
                    "tuned",
                    epochs=30,
                    batch_size=24,
                    learning_rate=1e-3,
                    warmup_steps=200,
                    weight_decay=0.1,
                    select="loss",
                    curve_bytes=65536,
                    mixed_precision="bf16",
                    **_EPOCHS,
                ),
                {**_WIKITEXT_SIZE, "norm_placement": "pre", "dropout": 0.3},
                {"tokens": "gpt2"},
            ),
            "smoke": _WIKITEXT_SMOKE,
        },
        "wikitext103": {
            "tuned": TaskPreset(
                Recipe(
                    "tuned",
                    epochs=1,
                    batch_size=24,
                    learning_rate=1e-3,
                    warmup_steps=1000,
                    weight_decay=0.1,
                    curve_bytes=65536,
                    mixed_precision="bf16",
                    **_EPOCHS,
                ),
                {**_WIKITEXT_SIZE, "norm_placement": "pre", "dropout": 0.1},
                {"tokens": "neox_if_there"},
            ),
            "smoke": _WIKITEXT_SMOKE,
        },
        "enwik8": {
            "tuned": TaskPreset(_LANGUAGE, _BYTES),
            "smoke": TaskPreset(_LANGUAGE_SMOKE, _SHAKESPEARE),
        },
        "text_file": {
            "tuned": TaskPreset(_LANGUAGE, _BYTES, {"tokens": "bytes"}),
            "smoke": TaskPreset(_LANGUAGE_SMOKE, _SHAKESPEARE, {"tokens": "bytes"}),
        },
        "token_file": {
            "tuned": TaskPreset(_LANGUAGE, _BYTES),
            "smoke": TaskPreset(_LANGUAGE_SMOKE, _SHAKESPEARE),
        },
        "dialogue": {
            "tuned": TaskPreset(_DIALOGUE, _BYTES),
            "smoke": TaskPreset(replace(_DIALOGUE, name="smoke", epochs=1, batch_size=4), _SHAKESPEARE),
        },
        "table": {
            "tuned": TaskPreset(
                Recipe(
                    "tuned",
                    epochs=10,
                    batch_size=32,
                    learning_rate=1e-3,
                    warmup_steps=50,
                    weight_decay=0.01,
                    beta2=0.999,
                    select="accuracy",
                    **_EPOCHS,
                ),
                {**_IMDB_SIZE, "dropout": 0.2},
                _IMDB_WORDS,
            ),
            "smoke": TaskPreset(
                _CLASSIFIER_SMOKE,
                {**_IMDB_SIZE, "hidden_size": 32, "intermediate_size": 64},
                {"vocabulary": 2_000, "lower_case": True, "length": 64},
            ),
        },
    }
)
# The spiking language model; its controls are its setting `mixer`.
SPIKING = "astrosnn"
# What a task's preset says of a network's size, whatever the network.
SIZES = ("hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings", "dropout")
# Data of the hub have the recipes of what they are like.
_LIKE = {"hub_text": "text_file", "hub_table": "table", "hub_images": "cifar10"}


def task_preset(family: str, name: str, model: str | None = None) -> TaskPreset:
    """A preset by the kind of data (a task's name, "text_file", "table" or "token_file") and its name.

    model : "astrosnn" has presets of its own, which come before those of all models. Where there is none, the sizes of those
    hold, and what else they say of a network is left out. Raises ModelError with the names there are and the nearest match.
    """
    known = dict(PRESETS[_LIKE.get(family, family)])
    if model == SPIKING:
        known = {key: replace(one, model=_sizes(one.model)) for key, one in known.items()}
        known |= SPIKING_PRESETS.get(_LIKE.get(family, family), {})
    if name not in known:
        raise ModelError(
            f"unknown preset {name!r} of {family}: {did_you_mean(name, known)}choose from {', '.join(known)}"
        )
    found = known[name]
    # How many images or texts are set aside is a matter of each data set.
    return replace(found, data={k: v for k, v in found.data.items() if k != "validation"}) if family in _LIKE else found


def _sizes(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in SIZES if name in settings}
