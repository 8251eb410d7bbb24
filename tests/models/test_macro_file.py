"""The macro file on its way into a network: the section it needs, the checkpoint that carries it, the digest that guards it."""

from __future__ import annotations

import json

import pytest
import torch

from bridge import preset
from bridge.artifact import MacroError, MacroParameters
from models import AstromorphicConfig, AstromorphicForCausalLM
from models.errors import ModelError

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def macro() -> MacroParameters:
    return preset("simulated")


@pytest.fixture
def folder(tmp_path, macro):
    torch.manual_seed(0)
    AstromorphicForCausalLM(AstromorphicConfig.from_macro(macro, **SMALL)).save_pretrained(tmp_path)
    return tmp_path


def test_the_wrong_kind_and_a_missing_section_are_refused_by_name(macro):
    with pytest.raises(MacroError, match=r"'Retention of RMAAT: .*' has no section 'response' \(it has retention\)"):
        AstromorphicConfig.from_macro(preset("paper_rmaat"))
    with pytest.raises(
        ModelError, match=r"macro is a Retention; expected the path of a macro\.json or a MacroParameters"
    ):
        AstromorphicConfig.from_macro(macro.retention)
    with pytest.raises(MacroError, match="has no section 'distance'"):
        AstromorphicConfig.from_macro(preset("paper_alpha025"), use_distance=True)


def test_the_section_distance_is_taken_when_asked_for(macro):
    assert AstromorphicConfig.from_macro(macro).distance == "absnorm"
    config = AstromorphicConfig.from_macro(macro, use_distance=True)
    assert config.distance == "exp" and config.distance_decay == macro.distance.scale
    with pytest.raises(ModelError, match="use_distance is True and distance_decay is given"):
        AstromorphicConfig.from_macro(macro, use_distance=True, distance_decay=0.1)


def test_a_checkpoint_carries_the_file(folder, macro):
    assert MacroParameters.load(folder / "macro.json") == macro
    config = AstromorphicConfig.from_pretrained(folder)
    assert config.macro == macro and config.macro_digest == macro.digest
    assert "_macro_text" not in json.loads((folder / "config.json").read_text())
    again = AstromorphicForCausalLM.from_pretrained(folder, macro=folder / "macro.json")
    assert again.config.macro == macro
    again.save_pretrained(folder / "second")
    assert (folder / "second" / "macro.json").read_bytes() == (folder / "macro.json").read_bytes()


def test_without_a_macro_file_nothing_is_written_or_asked_for(tmp_path):
    AstromorphicConfig(**SMALL).save_pretrained(tmp_path)
    assert not (tmp_path / "macro.json").exists()
    assert AstromorphicConfig.from_pretrained(tmp_path).macro is None
    with pytest.raises(ModelError, match="was made with no macro file at all"):
        AstromorphicConfig.from_pretrained(tmp_path, macro=preset("paper_alpha025"))


def test_an_older_checkpoint_without_the_file_still_loads(folder, macro):
    (folder / "macro.json").unlink()
    model = AstromorphicForCausalLM.from_pretrained(folder)
    assert model.config.macro is None and model.config.macro_digest == macro.digest
    assert AstromorphicForCausalLM.from_pretrained(folder, macro=macro).config.macro == macro


def test_another_digest_is_refused_unless_told_otherwise(folder):
    other = preset("paper_alpha025")
    for load in (AstromorphicConfig.from_pretrained, AstromorphicForCausalLM.from_pretrained):
        with pytest.raises(ModelError, match=r"the macro file given has digest .*pass replace_macro=True"):
            load(folder, macro=other)
    model = AstromorphicForCausalLM.from_pretrained(folder, macro=other, replace_macro=True)
    assert model.config.response == {"family": "power", "parameters": {"alpha": 0.25}}
    assert model.config.macro == other and model.config.macro_digest == other.digest
    with pytest.raises(ModelError, match="config and macro are given"):
        AstromorphicForCausalLM.from_pretrained(folder, config=AstromorphicConfig(**SMALL), macro=other)


def test_a_file_exchanged_in_the_checkpoint_is_noticed(folder):
    preset("paper_alpha025").save(folder / "macro.json")
    with pytest.raises(ModelError, match=r"macro\.json has digest .*, and the checkpoint was made with digest"):
        AstromorphicForCausalLM.from_pretrained(folder)
    replaced = AstromorphicForCausalLM.from_pretrained(folder, replace_macro=True)
    assert replaced.config.response["family"] == "power"
    (folder / "macro.json").write_text("{")
    with pytest.raises(ModelError, match=r"macro\.json: not complete JSON"):
        AstromorphicForCausalLM.from_pretrained(folder)


def test_drawn_parameters_change_what_a_trained_network_computes(folder, macro):
    ids = torch.arange(12)[None]
    outputs = [AstromorphicForCausalLM.from_pretrained(folder).eval()(ids).logits]
    for drawn in macro.sample(2, seed=3):
        model = AstromorphicForCausalLM.from_pretrained(folder, macro=drawn, replace_macro=True).eval()
        assert model.config.response["parameters"]["kappa"] == drawn.response_function().parameters["kappa"]
        outputs.append(model(ids).logits)
    assert all(0 < (one - outputs[0]).abs().max() < 0.5 for one in outputs[1:])
    assert not torch.equal(outputs[1], outputs[2])


def test_a_configuration_carries_no_file_but_its_own(macro):
    config = AstromorphicConfig(**AstromorphicConfig.from_macro(macro, **SMALL).settings())
    assert config.macro is None
    config.carry(macro)
    assert config.macro == macro
    with pytest.raises(ModelError, match="this configuration came from"):
        config.carry(preset("paper_alpha025"))
