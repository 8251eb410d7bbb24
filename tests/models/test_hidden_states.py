"""`output_hidden_states` and `output_attentions`, in the call and in the configuration, in the library's convention."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.astromorphic import (
    AstromorphicConfig,
    AstromorphicForCausalLM,
    AstromorphicForImageClassification,
    AstromorphicForSequenceClassification,
)
from models.astromorphic.modeling_astromorphic import AstromorphicBlock
from models.errors import ModelError

NETWORKS = [AstromorphicForCausalLM, AstromorphicForSequenceClassification, AstromorphicForImageClassification]


def build(cls, size, preset="tuned", **settings):
    torch.manual_seed(0)
    sizes = {**size, "image_size": 8, "num_hidden_layers": 3}
    return cls(AstromorphicConfig.from_preset(preset, network=cls.network, **{**sizes, **settings})).eval()


def given(cls) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(1)
    if cls is AstromorphicForImageClassification:
        return {"pixel_values": torch.randn(2, 3, 8, 8, generator=g)}
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return {"input_ids": torch.randint(1, 31, (2, 9), generator=g), "attention_mask": mask}


@pytest.mark.parametrize("cls", NETWORKS)
@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("preset", ["tuned", "softmax", "none"])
def test_hidden_states_are_what_goes_into_every_layer_and_comes_out(cls, norm, preset, tiny_size):
    model, inputs = build(cls, tiny_size, preset, norm_placement=norm), given(cls)
    seen = []
    for block in (m for m in model.modules() if isinstance(m, AstromorphicBlock)):
        block.register_forward_hook(lambda _, before, after: seen.append((before[0], after[0])))
    with torch.no_grad():
        plain = model(**inputs)
        seen.clear()
        full = model(**inputs, output_hidden_states=True)
        base = model.model(**inputs, output_hidden_states=True)
        # As for the library's own models: once as a setting, and the call has the last word.
        model.config.output_hidden_states = True
        assert model(**inputs, output_hidden_states=False).hidden_states is None
        by_config = model(**inputs)
        last = base.last_hidden_state if norm == "post" else model.model.final_norm(seen[2][1])
    assert plain.hidden_states is None and torch.equal(plain.logits, full.logits)
    states = full.hidden_states
    assert isinstance(states, tuple) and len(states) == 4
    for state, (before, _) in zip(states[:3], seen[:3], strict=True):
        assert torch.equal(state, before)
    for state, (_, after) in zip(states[1:3], seen[:2], strict=True):
        assert torch.equal(state, after)
    assert torch.equal(states[3], last) and torch.equal(base.hidden_states[3], base.last_hidden_state)
    assert (norm == "post") == torch.equal(states[3], seen[2][1])
    assert all(torch.equal(x, y) for x, y in zip(states, by_config.hidden_states, strict=True))
    if cls is AstromorphicForCausalLM:
        torch.testing.assert_close(model.lm_head(states[3]), full.logits)
    assert not torch.equal(states[0], states[1])


def test_the_setting_is_saved_and_generation_collects_the_states(tiny_size, tmp_path):
    model = build(AstromorphicForCausalLM, tiny_size)
    model.config.output_hidden_states = True
    model.save_pretrained(tmp_path)
    loaded = AstromorphicForCausalLM.from_pretrained(tmp_path).eval()
    ids = given(AstromorphicForCausalLM)["input_ids"][:, :4]
    assert len(loaded(ids).hidden_states) == 4
    found = loaded.generate(
        ids, max_new_tokens=3, do_sample=False, return_dict_in_generate=True, output_hidden_states=True
    )
    assert [one[0].shape[1] for one in found.hidden_states] == [4, 1, 1]
    whole = loaded(found.sequences[:, :-1]).hidden_states
    for layer in range(4):
        pieces = torch.cat([one[layer] for one in found.hidden_states], 1)
        torch.testing.assert_close(pieces, whole[layer], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", NETWORKS)
def test_attention_matrices_are_refused_before_any_work(cls, tiny_size):
    model, inputs = build(cls, tiny_size), given(cls)
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    with pytest.raises(ModelError, match="output_attentions is True, but there is no attention matrix") as caught:
        model(**inputs, output_attentions=True)
    assert "\n" not in str(caught.value) and not seen
    assert model(**inputs, output_attentions=False).attentions is None
    model = build(cls, tiny_size, output_attentions=True)
    with pytest.raises(ModelError, match="there is no attention matrix"):
        model(**inputs)
