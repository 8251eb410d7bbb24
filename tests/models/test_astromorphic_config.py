"""The configuration: names every fault, survives a round trip, and comes from macro parameters."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models import AstromorphicConfig, AstromorphicForCausalLM
from models.arms import main_arms
from models.astromorphic import configuration_astromorphic
from models.astromorphic.layout import Layout
from models.astromorphic.presets import PRESETS
from models.errors import ModelError
from models.ops.response import Hyperbola, Power

MACRO = Path(__file__).parents[2] / "bridge" / "presets" / "fig3_published_hyperbola.json"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hiden_size": 64}, "no setting 'hiden_size'; did you mean 'hidden_size'"),
        ({"temperature": 0.5}, "no setting 'temperature'"),
        ({"hidden_size": "64"}, "hidden_size is '64'; expected a whole number of at least 1"),
        ({"hidden_size": 64.0}, "hidden_size is 64.0"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"vocab_size": 0}, "vocab_size is 0"),
        ({"hidden_size": 66}, "hidden_size is 66; expected a multiple of num_attention_heads = 4"),
        ({"hidden_dim": 0}, "hidden_dim is 0"),
        ({"hebbian_scale": -1.0}, "hebbian_scale is -1.0; expected a finite number above 0"),
        ({"branch_gain": float("nan")}, "branch_gain is nan"),
        ({"branch_gain": float("inf")}, "branch_gain is inf"),
        ({"branch_gain": "2"}, "branch_gain is '2'"),
        ({"dropout": 1.0}, "dropout is 1.0; expected a finite number at least 0 and below 1"),
        ({"mixer": "attention"}, "mixer is 'attention'; expected one of astromorphic, softmax"),
        ({"sigmoid_placement": "center"}, "sigmoid_placement is 'center'; expected one of inside"),
        (
            {"hebbian_scale": "width"},
            "hebbian_scale is 'width'; expected a finite number above 0, None or 'head_width'",
        ),
        ({"calcium_reading": "sum"}, "calcium_reading is 'sum'; expected one of sum_then_power"),
        ({"feature_map": "relu"}, "feature_map is 'relu'; expected one of elu, exponential"),
        ({"feature_seed": -1}, "feature_seed is -1; expected a whole number from 0"),
        ({"feature_clip": 0}, "feature_clip is 0; expected a finite number above 0"),
        (
            {"feature_map": "cosine", "response": {"family": "hyperbola", "parameters": {"kappa": 1.0}}},
            'feature_map is "cosine", whose sums may be negative',
        ),
        ({"distance_clip": 0}, "distance_clip is 0; expected a whole number of at least 1"),
        ({"embedding_size": 0}, "embedding_size is 0; expected None or a whole number of at least 1"),
        ({"dropout_placement": "sum"}, "dropout_placement is 'sum'; expected one of branch, residual"),
        (
            {"dropout_placement": "residual", "norm_placement": "pre"},
            'dropout_placement is "residual" and norm_placement',
        ),
        ({"stochastic_depth": 1.0}, "stochastic_depth is 1.0; expected a finite number at least 0 and below 1"),
        ({"pooling": "max"}, "pooling is 'max'; expected one of mean, first, last"),
        ({"stem": "cnn"}, "stem is 'cnn'; expected one of conv, patch, coatnet"),
        ({"image_size": 0}, "image_size is 0; expected pixels, one whole number"),
        ({"image_size": [32, 32, 3]}, r"image_size is \[32, 32, 3\]; expected pixels"),
        ({"image_size": 33}, "image_size is 33; expected multiples of patch_size = 2"),
        ({"num_labels": 0}, "num_labels is 0; expected a whole number of at least 1"),
        ({"branch_norm": 1}, "branch_norm is 1; expected True or False"),
        ({"distance": "row"}, "distance is 'row'"),
        ({"norm_placement": "mid"}, "norm_placement is 'mid'; expected one of post, pre"),
        ({"position_code": 1}, "position_code is 1; expected True or False"),
        ({"causal": False, "mixer": "softmax"}, "causal=False is the literal eq. 18"),
        ({"macro_digest": 5}, "macro_digest is 5"),
        ({"response": {"family": "power"}}, "response is {'family': 'power'}; expected"),
        ({"response": {"family": "power", "parameters": {"kappa": 1.0}}}, r"expected exactly \['alpha'\]"),
        ({"response": {"family": "power", "parameters": {"alpha": float("nan")}}}, "alpha is nan"),
        ({"position_matrix_std": 0.0}, "position_matrix_std is 0.0"),
        (
            {"hidden_size": 10**400},
            r"hidden_size is 10+\.\.\. \(401 characters\); expected a whole number of at most 2147483647",
        ),
        (
            {"max_position_embeddings": 2**31},
            "max_position_embeddings is 2147483648; expected a whole number of at most",
        ),
        ({"hebbian_scale": 10**400}, r"hebbian_scale is 10+\.\.\. .* above 0 and below 3\.40282e\+38"),
        ({"hebbian_scale": 10**5000}, "hebbian_scale is a number of type int with too many digits to print"),
        ({"branch_gain": 1e39}, r"branch_gain is 1e\+39; expected a finite number above 0 and below 3\.4"),
        ({"dropout": 10**400}, "dropout is 10.*at least 0 and below"),
        ({"position_matrix_std": -(10**400)}, "position_matrix_std is -10"),
        ({"mixer": ["softmax"]}, r"mixer is \['softmax'\]; expected one of"),
        ({"distance": None}, "distance is None; expected one of"),
        ({"pad_token_id": 256}, "pad_token_id is 256; expected None or a whole number from 0 to 255"),
        ({"eos_token_id": "x"}, "eos_token_id is 'x'"),
        ({"bos_token_id": True}, "bos_token_id is True"),
        ({"dtype": "float17"}, "dtype is 'float17'; expected the name of a torch dtype"),
        ({"response": 5}, "response is 5; expected"),
        ({"response": {"family": ["power"], "parameters": {"alpha": 1.0}}}, r"response is {'family': \['power'\]"),
        ({"response": {"family": "power", "parameters": {1: 2.0, "alpha": 1.0}}}, "response is .*by name"),
        ({"response": {"family": "power", "parameters": [0.25]}}, "response is .*by name"),
        (
            {"response": {"family": "powr", "parameters": {"alpha": 1.0}}},
            "response family is 'powr'; expected one of power",
        ),
        (
            {"response": {"family": "power", "parameters": {"alpha": "1"}}},
            "response power: alpha is '1'; expected a finite",
        ),
        ({"response": {"family": "power", "parameters": {"alpha": None}}}, "response power: alpha is None"),
        ({"response": {"family": "power", "parameters": {"alpha": True}}}, "response power: alpha is True"),
        ({"response": {"family": "hyperbola", "parameters": {"kappa": 10**400}}}, "response hyperbola: kappa is 10"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else next(iter(value)),
)
def test_faults_are_named(settings, message):
    for make in (AstromorphicConfig, lambda **s: AstromorphicConfig.from_preset("tuned", **s)):
        with pytest.raises(ModelError, match=message) as caught:
            make(**settings)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads is 0; expected a whole number of at least 1"),
        ({"num_attention_heads": None}, "num_attention_heads is None"),
        ({"hidden_size": "x"}, "hidden_size is 'x'; expected a whole number"),
        ({"hidden_size": 10**400}, "hidden_size is 10"),
        ({"hidden_dim": "x"}, "hidden_dim is 'x'; expected a whole number"),
        ({"hidden_dim": 0}, "hidden_dim is 0"),
        (
            {"hidden_size": 4, "num_attention_heads": 8},
            "hidden_size is 4; expected a multiple of num_attention_heads = 8",
        ),
    ],
    ids=lambda value: f"{value!r:.40}",
)
@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_name_sizes_that_are_no_sizes(preset, settings, message):
    """Some presets work their scale out from the sizes, before the constructor could check them."""
    with pytest.raises(ModelError, match=message):
        AstromorphicConfig.from_preset(preset, **settings)
    with pytest.raises(ModelError, match=message):
        AstromorphicConfig.from_macro(MACRO, **settings)


@pytest.mark.parametrize("name", [5, None, ["tuned"], "", "Tuned"])
def test_names_that_are_no_presets(name):
    with pytest.raises(ModelError, match=r"preset is .*; (did you mean .tuned.. )?expected one of tuned, paper_eq11"):
        AstromorphicConfig.from_preset(name)


@pytest.mark.parametrize("macro", [None, 5, {"response": 1}])
def test_what_is_no_macro(macro):
    with pytest.raises(ModelError, match=r"macro is .*; expected the path of a macro\.json or a MacroParameters"):
        AstromorphicConfig.from_macro(macro)


SHAPES = [
    {"norm_placement": "pre"}, {"norm_placement": "pre", "second_norm": False}, {"second_norm": False},
    {"embedding_norm": True}, {"position_code": False}, {"position_embeddings": False}, {"tie_word_embeddings": False},
    {"hidden_dim": 5}, {"learnable_gain": True, "out_proj": False},
]  # fmt: skip


@pytest.mark.parametrize("settings", SHAPES, ids=str)
@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_number_of_parameters_is_that_of_the_network(preset, settings):
    config = AstromorphicConfig.from_preset(preset, **{"hidden_size": 24, "num_hidden_layers": 3, **settings})
    with torch.device("meta"):
        assert config.num_parameters() == AstromorphicForCausalLM(config).num_parameters()


def test_memory_is_checked_with_the_copies_that_training_holds(monkeypatch):
    config = AstromorphicConfig(position_code=False)
    n_bytes = 4 * config.num_parameters()
    monkeypatch.setattr(configuration_astromorphic, "available_memory", lambda: 3 * n_bytes)
    config.check_memory(3)
    with pytest.raises(ModelError, match=f"the network has {config.num_parameters():,} parameters and needs"):
        config.check_memory(copies=4)
    # The distances between all pairs of positions take memory of their own.
    long = AstromorphicConfig(max_position_embeddings=4096)
    monkeypatch.setattr(
        configuration_astromorphic, "available_memory", lambda: 4 * (long.num_parameters() + 4096**2) - 1
    )
    with pytest.raises(ModelError, match="max_position_embeddings = 4096"):
        long.check_memory()


def test_derived_defaults():
    config = AstromorphicConfig(hidden_size=96, num_attention_heads=3, max_position_embeddings=200)
    assert config.hidden_dim == config.head_width == 32
    assert config.scale_for(Layout(200)) == 1 / 200
    assert config.response == {"family": "power", "parameters": {"alpha": 0.25}}
    scaled = AstromorphicConfig.from_preset("rmaat", hidden_size=96, num_attention_heads=3)
    assert scaled.hebbian_scale == 1 / 32
    assert AstromorphicConfig.from_preset("paper_eq11", hidden_size=96, num_attention_heads=3).hebbian_scale == 1 / 9600


def test_dictionary_and_file_round_trip(tmp_path):
    for name in PRESETS:
        config = AstromorphicConfig.from_preset(name, hebbian_scale=3e-17, macro_digest="ab" * 32)
        assert AstromorphicConfig(**config.settings()).settings() == config.settings()
        assert AstromorphicConfig.from_dict(config.to_dict()).settings() == config.settings()
        config.save_pretrained(tmp_path / name)
        assert AstromorphicConfig.from_pretrained(tmp_path / name).settings() == config.settings()


def test_edited_config_file_is_checked(tmp_path):
    AstromorphicConfig().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"hidden_dim"', '"hidden_dims"'))
    with pytest.raises(ValueError, match="no setting 'hidden_dims'; did you mean 'hidden_dim'"):
        AstromorphicConfig.from_pretrained(tmp_path)


def test_from_macro_file_and_object():
    from bridge.artifact import MacroParameters

    macro = MacroParameters.load(MACRO)
    config = AstromorphicConfig.from_macro(MACRO, hidden_size=64)
    assert config.settings() == AstromorphicConfig.from_macro(macro, hidden_size=64).settings()
    assert config.response["family"] == macro.response_function().family == "hyperbola"
    assert config.macro_digest == macro.digest
    mine, theirs = Hyperbola(**config.response["parameters"]), macro.response_function()
    assert all(abs(mine.at(x) - theirs(x)) < 1e-12 * (1 + x) for x in (0.0, 0.5, 30.0, 250.0))


def test_from_macro_needs_only_the_response_and_the_digest(monkeypatch):
    fake = types.ModuleType("bridge.artifact")
    fake.MacroParameters = type("MacroParameters", (), {})
    monkeypatch.setitem(sys.modules, "bridge.artifact", fake)
    spec = SimpleNamespace(family="logarithm", parameters={"kappa": 2})
    config = AstromorphicConfig.from_macro(SimpleNamespace(response_function=lambda: spec, digest="d" * 64))
    assert config.response == {"family": "logarithm", "parameters": {"kappa": 2.0}} and config.macro_digest == "d" * 64


def test_main_arms_differ_in_shape_and_not_in_gain():
    arms = main_arms(MACRO, context=64, activation=32.0)
    assert list(arms) == ["fitted", "alpha025", "alpha1_matched", "none"]
    kappa = arms["fitted"].response["parameters"]["kappa"]
    gains = {
        "fitted": arms["fitted"].branch_gain / Hyperbola(kappa).at(32.0),
        "alpha025": arms["alpha025"].branch_gain / Power(0.25).at(32.0),
        "alpha1_matched": arms["alpha1_matched"].branch_gain / Power(1.0).at(32.0),
    }
    assert max(gains.values()) - min(gains.values()) < 1e-12
    assert arms["alpha025"].branch_gain == 1.0
    assert arms["none"].mixer == "none"
    different = {"response", "branch_gain", "macro_digest"}
    base = arms["alpha025"].settings()
    for name in ("fitted", "alpha1_matched"):
        assert {k for k, v in arms[name].settings().items() if v != base[k]} <= different
