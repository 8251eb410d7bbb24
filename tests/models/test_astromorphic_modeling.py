"""The Hugging Face contract: state, generation, saving, loading, initialisation."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM, AstromorphicModel, AstromorphicState
from models.astromorphic.presets import PRESETS
from models.errors import ModelError

CAUSAL = list(PRESETS)
SETTINGS = {"do_sample": False, "pad_token_id": 0}


@pytest.mark.parametrize("preset", CAUSAL)
def test_full_pass_equals_step_by_step_and_pieces(tiny, tokens, preset, randomise):
    model = randomise(tiny(preset=preset))
    whole = model(tokens).logits
    for size in (1, 7):
        state, parts = None, []
        for a in range(0, tokens.shape[1], size):
            out = model(tokens[:, a : a + size], past_key_values=state, use_cache=True)
            state = out.past_key_values
            parts.append(out.logits)
        assert (torch.cat(parts, 1) - whole).abs().max() < 2e-5 * whole.abs().max()
        assert state.get_seq_length() == tokens.shape[1]


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ({"norm_placement": "pre"}, {}),
        ({"second_norm": False}, {}),
        ({"embedding_norm": True}, {}),
        ({"distance": "exp"}, {}),
        ({"distance_decay": 0.3}, {"distance": "exp"}),
        ({"position_code": False}, {}),
        ({"position_embeddings": False}, {}),
        ({"tie_word_embeddings": False}, {}),
        ({"hidden_dim": 3}, {}),
        ({"hidden_dim": 12}, {}),
        ({"out_proj": False}, {}),
        ({"learnable_gain": False}, {}),
        ({"branch_gain": 2.0}, {}),
        ({"hebbian_scale": 0.5}, {}),
        ({"sigmoid_placement": "inside"}, {}),
        ({"response": {"family": "hyperbola", "parameters": {"kappa": 5.0}}}, {}),
        ({"response": {"family": "logarithm", "parameters": {"kappa": 5.0}}}, {}),
        ({"layer_norm_eps": 0.1}, {}),
        ({"calcium_reading": "power_then_sum"}, {}),
        ({"calcium_reading": "scalar"}, {}),
        ({"calcium_reading": "running"}, {}),
        ({"calcium_reading": "running", "response": {"family": "hyperbola", "parameters": {"kappa": 5.0}}}, {}),
        ({"distance": "raw", "position_matrix_std": 0.02}, {}),
        ({"distance": "signed"}, {}),
        ({"distance": "clipped"}, {}),
        ({"distance_clip": 3}, {"distance": "clipped"}),
        ({"distance": "none"}, {}),
        ({"share_position_matrix": True}, {}),
        ({"branch_norm": True}, {}),
        ({"hebbian_scale": "head_width"}, {}),
        ({"feature_map": "exponential"}, {"hidden_dim": 12}),
        ({"feature_map": "truncated"}, {"hidden_dim": 12, "feature_map": "exponential"}),
        ({"feature_clip": 0.5}, {"hidden_dim": 12, "feature_map": "truncated"}),
        ({"feature_map": "positive_cosine"}, {"hidden_dim": 12, "feature_map": "exponential"}),
        ({"orthogonal_features": True}, {"hidden_dim": 12, "feature_map": "positive_cosine"}),
        ({"feature_seed": 1}, {"hidden_dim": 12, "feature_map": "positive_cosine"}),
        ({"embedding_size": 5}, {"tie_word_embeddings": False}),
    ],
    ids=str,
)
def test_every_setting_acts_and_keeps_steps_and_files_equal(tiny, tokens, tmp_path, settings, base, randomise):
    model = randomise(tiny(**{**base, **settings}))
    whole, state, parts = model(tokens).logits, None, []
    for t in range(tokens.shape[1]):
        out = model(tokens[:, t : t + 1], past_key_values=state, use_cache=True)
        state = out.past_key_values
        parts.append(out.logits)
    assert (torch.cat(parts, 1) - whole).abs().max() < 2e-5 * whole.abs().max()
    model.save_pretrained(tmp_path)
    loaded = AstromorphicForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(tokens).logits, whole)
    # The setting changes which weights there are, all of them in use, or, with the same weights, what is computed from them.
    without = tiny(**base)
    mine, theirs = stored_shapes(model), stored_shapes(without)
    if mine == theirs:
        # Drawn neurons are no weights: they are left as the other setting draws them.
        assert not without.load_state_dict(dict(model.named_parameters()), strict=False).unexpected_keys
        assert (without(tokens).logits - whole).abs().max() > 1e-3 * whole.abs().max()
    else:
        assert settings.keys() <= STRUCTURAL
        whole.square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


STRUCTURAL = {
    "norm_placement", "second_norm", "embedding_norm", "position_code", "position_embeddings", "tie_word_embeddings",
    "hidden_dim", "out_proj", "learnable_gain", "share_position_matrix", "embedding_size", "feature_map",
}  # fmt: skip


def stored_shapes(model):
    """Name and shape of every parameter that is a tensor of its own (a tied head is not)."""
    return {name: p.shape for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    "settings",
    [{}, {"second_norm": False}, {"norm_placement": "pre"}, {"norm_placement": "pre", "embedding_norm": True}],
    ids=str,
)
def test_the_decoder_is_its_equations(tiny, tokens, settings, randomise):
    """Around the mixer: Y = LN(A(X) + X), LN(FFN(Y) + Y) as in Algorithm 1, one norm less as in eq. 18, or the pre-norm order."""
    functional = torch.nn.functional
    model = randomise(tiny(**settings)).double()
    body, at = model.model, torch.arange(tokens.shape[1])

    def norm(layer, x):
        return functional.layer_norm(x, x.shape[-1:], layer.weight, layer.bias, layer.eps)

    x = body.embed.weight[tokens] + body.embed_positions.weight[at]
    if "embedding_norm" in settings:
        x = norm(body.embedding_norm, x)
    for block in body.layers:

        def ffn(y, block=block):
            return block.down(functional.gelu(block.up(y)))

        if "norm_placement" in settings:
            y = x + block.mixer(norm(block.mixer_norm, x), at, None, None)[0]
            x = y + ffn(norm(block.feed_forward_norm, y))
        else:
            y = norm(block.mixer_norm, x + block.mixer(x, at, None, None)[0])
            x = y + ffn(y) if "second_norm" in settings else norm(block.feed_forward_norm, y + ffn(y))
    if "norm_placement" in settings:
        x = norm(body.final_norm, x)
    assert (model(tokens).logits - x @ body.embed.weight.T).abs().max() < 1e-12


@pytest.mark.parametrize("preset", ["tuned", "paper_alg1", "softmax", "katharopoulos"])
@pytest.mark.parametrize(
    "mode",
    [
        {"do_sample": False},
        {"do_sample": True},
        {"do_sample": True, "num_return_sequences": 3},
        {"num_beams": 3, "num_return_sequences": 2},
        {"num_beams": 3, "do_sample": True},
    ],
    ids=["greedy", "sampling", "sampling3", "beams", "beam sampling"],
)
def test_cached_generation_equals_uncached(tiny, tokens, preset, mode, randomise):
    model = randomise(tiny(preset=preset))
    outputs = []
    for cached in (True, False):
        torch.manual_seed(4)
        outputs.append(model.generate(tokens, max_new_tokens=12, use_cache=cached, **{**SETTINGS, **mode}))
    assert torch.equal(*outputs)
    assert outputs[0].shape[1] == tokens.shape[1] + 12


def argmax_loop(model, ids, new):
    """Greedy decoding without any state: the whole prefix again for every token."""
    for _ in range(new):
        ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    return ids


# These initial weights do not fall into repeating one token, which even a lost state would repeat.
LIVELY = 6


@pytest.mark.parametrize("preset", CAUSAL)
def test_greedy_generation_is_the_argmax_loop_over_whole_prefixes(tiny, tokens, preset, randomise):
    model = randomise(tiny(LIVELY, preset=preset))
    expected = argmax_loop(model, tokens, 20)
    assert torch.equal(model.generate(tokens, max_new_tokens=20, **SETTINGS), expected)
    # A state that forgets the prompt would give other tokens, so the comparison can fail.
    assert not torch.equal(argmax_loop(model, tokens[:, -1:], 20)[:, 1:], expected[:, 20:])


@pytest.mark.parametrize("preset", ["tuned", "rmaat", "softmax", "none"])
def test_left_padded_greedy_batch_is_the_argmax_loop_of_single_rows(tiny, tokens, preset, randomise):
    model = randomise(tiny(LIVELY, preset=preset))
    mask = torch.zeros_like(tokens)
    lengths = (20, 11, 3)
    for row, n in enumerate(lengths):
        mask[row, -n:] = 1
    together = model.generate(tokens * mask, attention_mask=mask, max_new_tokens=20, **SETTINGS)
    for row, n in enumerate(lengths):
        assert torch.equal(together[row, -n - 20 :], argmax_loop(model, tokens[row : row + 1, -n:], 20)[0])


@pytest.mark.parametrize("preset", ["tuned", "paper_eq18", "rmaat", "softmax"])
@pytest.mark.parametrize("mode", [{}, {"num_beams": 3}, {"prefill_chunk_size": 4}], ids=["greedy", "beams", "prefill"])
def test_left_padded_rows_equal_rows_alone(tiny, tokens, preset, mode, randomise):
    model = randomise(tiny(preset=preset))
    lengths = (20, 13, 6)
    mask = torch.zeros_like(tokens)
    for row, n in enumerate(lengths):
        mask[row, -n:] = 1
    together = model.generate(tokens * mask, attention_mask=mask, max_new_tokens=8, **{**SETTINGS, **mode})
    for row, n in enumerate(lengths):
        alone = model.generate(tokens[row : row + 1, -n:], max_new_tokens=8, **{**SETTINGS, **mode})
        assert torch.equal(together[row, 20:], alone[0, n:])


def test_left_and_right_padding_leave_logits_of_real_tokens(tiny, tokens, randomise):
    for preset in ("tuned", "softmax"):
        model = randomise(tiny(preset=preset))
        plain = model(tokens[:, :9]).logits
        padding = tokens[:, 9:15]
        ones, zeros = torch.ones(3, 9), torch.zeros(3, 6)
        left = model(torch.cat([padding, tokens[:, :9]], 1), attention_mask=torch.cat([zeros, ones], 1)).logits[:, 6:]
        right = model(torch.cat([tokens[:, :9], padding], 1), attention_mask=torch.cat([ones, zeros], 1)).logits[:, :9]
        for padded in (left, right):
            assert (padded - plain).abs().max() < 2e-5 * plain.abs().max()


def test_chunked_prefill_equals_plain(tiny, tokens, randomise):
    for preset in ("tuned", "softmax", "none"):
        model = randomise(tiny(preset=preset))
        plain = model.generate(tokens, max_new_tokens=8, **SETTINGS)
        assert torch.equal(plain, model.generate(tokens, max_new_tokens=8, prefill_chunk_size=3, **SETTINGS))


def test_continuation_both_ways_and_forking(tiny, tokens, randomise):
    model = randomise(tiny())
    expected = model.generate(tokens, max_new_tokens=16, **SETTINGS)
    first = model.generate(tokens, max_new_tokens=8, return_dict_in_generate=True, **SETTINGS)
    state, so_far = first.past_key_values, first.sequences
    new = so_far[:, state.seen :]
    mask = torch.ones_like(so_far)
    for _ in range(2):  # the state is not spoiled by the first continuation
        whole = model.generate(
            so_far, attention_mask=mask, past_key_values=copy.copy(state), max_new_tokens=8, **SETTINGS
        )
        assert torch.equal(whole, expected)
        short = model.generate(new, attention_mask=mask, past_key_values=copy.copy(state), max_new_tokens=8, **SETTINGS)
        assert torch.equal(short[:, 1:], expected[:, so_far.shape[1] :])


def test_continuing_without_a_mask_raises(tiny, tokens):
    model = tiny()
    state = model(tokens[:, :5], use_cache=True).past_key_values
    for ids in (tokens[:, 5:7], tokens[:, 5:15]):
        with pytest.raises(
            ValueError, match=r"from a state of 5 tokens with .* no attention_mask: pass the whole sequence"
        ):
            model.generate(ids, past_key_values=state, max_new_tokens=2)
    with pytest.raises(ValueError, match="an attention_mask of 6 columns"):
        model.generate(tokens[:, 5:7], attention_mask=torch.ones(3, 6), past_key_values=state, max_new_tokens=2)


def test_embeddings_as_input_give_the_same(tiny, tokens, randomise):
    model = randomise(tiny())
    assert torch.equal(model(inputs_embeds=model.get_input_embeddings()(tokens)).logits, model(tokens).logits)
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()


def test_assisted_decoding_is_refused(tiny, tokens):
    with pytest.raises(ValueError, match=r"[Ss]tateful"):
        tiny().generate(tokens[:1], assistant_model=tiny(), max_new_tokens=3)


@pytest.mark.parametrize("preset", ["tuned", "rmaat", "katharopoulos", "none"])
def test_state_size_is_constant_in_length(tiny, tokens, preset):
    model = tiny(preset=preset)
    sizes = {model(tokens[:, :n], use_cache=True).past_key_values.num_bytes() for n in (1, 5, 20)}
    assert len(sizes) == 1


def test_softmax_state_grows(tiny, tokens):
    model = tiny(preset="softmax")
    sizes = [model(tokens[:, :n], use_cache=True).past_key_values.num_bytes() for n in (1, 5, 20)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_state_stays_wide_under_bfloat16_weights(tiny, tokens):
    model = tiny().bfloat16()
    out = model(tokens, use_cache=True)
    assert out.logits.dtype == torch.bfloat16
    assert {t.dtype for layer in out.past_key_values.layers for t in layer} == {torch.float32}


@pytest.mark.parametrize("seed", [2, 3, 6])
def test_bfloat16_generation_chooses_what_whole_prefixes_choose(tiny, tokens, seed, randomise):
    """Up to ties: the two forms round differently, and bfloat16 keeps 8 bits of a logit."""
    model = randomise(tiny(seed)).bfloat16()
    for row in model.generate(tokens, max_new_tokens=12, **SETTINGS):
        logits = model(row[None], use_cache=False).logits[0, 19:-1].float()
        chosen, best = logits.gather(-1, row[20:, None])[:, 0], logits.max(-1).values
        assert (best - chosen).max() <= 2**-6 * logits.abs().max()
        # Another token would not pass for a tie.
        assert (best - logits.topk(2).values[:, 1]).median() > 2**-6 * logits.abs().max()


def count_codes(monkeypatch):
    from models.astromorphic import modeling_astromorphic as modeling

    calls, real = [], modeling.position_code
    monkeypatch.setattr(modeling, "position_code", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
    return calls


def test_position_codes_are_worked_out_once_per_sequence(tiny, tokens, monkeypatch, randomise):
    """The state hands them on; a code is worked out once per layer, and never stored in the weights."""
    model = randomise(tiny())
    keys = set(model.state_dict())
    expected = argmax_loop(model, tokens, 10)
    calls = count_codes(monkeypatch)
    assert torch.equal(model.generate(tokens, max_new_tokens=10, **SETTINGS), expected)
    assert len(calls) == 2
    model.generate(tokens, max_new_tokens=3, **SETTINGS)
    assert len(calls) == 4 and set(model.state_dict()) == keys


def change_in_place(model):
    with torch.no_grad():
        model.model.layers[1].mixer.position_matrix.mul_(1.5)


def change_behind_the_version_counter(model):
    model.model.layers[1].mixer.position_matrix.data.mul_(1.5)


def change_by_loading(model):
    content = {k: v * 1.5 if k.endswith("1.mixer.position_matrix") else v for k, v in model.state_dict().items()}
    model.load_state_dict(content)


def change_the_parameter(model):
    mixer = model.model.layers[1].mixer
    mixer.position_matrix = torch.nn.Parameter(mixer.position_matrix.detach() * 1.5)


@pytest.mark.parametrize(
    "change", [change_in_place, change_behind_the_version_counter, change_by_loading, change_the_parameter]
)
def test_a_changed_position_matrix_is_seen_in_the_middle_of_a_sequence(tiny, tokens, change, randomise):
    """The step after the change equals the one from the same state without any code handed on."""
    with torch.no_grad():
        model = randomise(tiny())
        state = model(tokens[:, :9], use_cache=True).past_key_values
        bare = AstromorphicState(state.layers, state.positions, state.seen)
        before = model(tokens[:, 9:10], past_key_values=state, use_cache=True).logits
        change(model)
        after = model(tokens[:, 9:10], past_key_values=state, use_cache=True).logits
        assert torch.equal(after, model(tokens[:, 9:10], past_key_values=bare, use_cache=True).logits)
        assert not torch.equal(after, before)


def test_a_moved_model_works_its_position_codes_out_again(tiny, tokens, monkeypatch, randomise):
    with torch.no_grad():
        model = randomise(tiny())
        state = model(tokens[:, :9], use_cache=True).past_key_values
        calls = count_codes(monkeypatch)
        model.double()(tokens[:, 9:10], past_key_values=state, use_cache=True)
        assert len(calls) == 2


def test_gradients_through_the_position_code_do_not_depend_on_what_was_handed_on(tiny, tokens, randomise):
    """Training on from a state made without gradients: the code of this piece is differentiated, twice if need be."""
    model = randomise(tiny())
    with torch.no_grad():
        state = model(tokens[:, :9], use_cache=True).past_key_values
    bare = AstromorphicState(state.layers, state.positions, state.seen)
    gradients = []
    for given in (state, bare, state):
        model.zero_grad()
        out = model(tokens[:, 9:], past_key_values=given, use_cache=True)
        (out.logits**2).mean().backward()
        gradients.append(model.model.layers[0].mixer.position_matrix.grad.clone())
        assert not any(torch.is_tensor(c) and c.requires_grad for code in out.past_key_values.codes for c in code or ())
    assert gradients[0].abs().max() > 0
    assert torch.equal(gradients[0], gradients[1]) and torch.equal(gradients[0], gradients[2])


def test_wrong_state_is_refused(tiny, tokens):
    model = tiny()
    state = model(tokens, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="the state has 3 rows but the input has 1"):
        model(tokens[:1], past_key_values=state)
    with pytest.raises(TypeError, match="past_key_values is tuple; expected the AstromorphicState"):
        model(tokens, past_key_values=())
    with pytest.raises(
        ValueError, match=r"attention_mask is \(3, 7\); expected \(3, 2\) \(these tokens\) or \(3, 22\)"
    ):
        model(tokens[:, :2], past_key_values=state, attention_mask=torch.ones(3, 7))
    with pytest.raises(ValueError, match=r"attention_mask is \(3, 7\); expected \(3, 20\), 1 for"):
        model(tokens, attention_mask=torch.ones(3, 7))


def test_running_past_the_tables_is_a_clear_error(tiny, tokens):
    model = tiny(max_position_embeddings=20)
    state = model(tokens, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="reaches 21 tokens but max_position_embeddings is 20; shorten it"):
        model(tokens[:, :1], past_key_values=state)
    padded = torch.cat([tokens, tokens[:, :4]], 1)
    mask = torch.ones_like(padded)
    mask[:, :4] = 0
    assert model(padded, attention_mask=mask).logits.shape[1] == 24  # padding takes no position


def test_batch_rows_are_independent(tiny, tokens, randomise):
    model = randomise(tiny())
    assert (model(tokens).logits[1:2] - model(tokens[1:2]).logits).abs().max() < 1e-5


def test_two_builds_with_one_seed_are_equal(tiny):
    for preset in CAUSAL:
        one, two, other = (tiny(seed=s, preset=preset).state_dict() for s in (7, 7, 8))
        assert all(torch.equal(one[k], two[k]) for k in one)
        assert all(v.isfinite().all() for v in one.values())
        assert not torch.equal(one["model.embed.weight"], other["model.embed.weight"])


def test_initial_values_are_the_documented_ones(tiny):
    model = tiny(hidden_size=64, max_position_embeddings=100, branch_gain=3.0)
    mixer = model.model.layers[0].mixer
    assert torch.equal(mixer.gain, torch.ones(2))
    assert abs(mixer.position_matrix.std().item() * 10 - 1) < 0.1
    assert abs(mixer.query.weight.std().item() * 8 - 1) < 0.1
    assert mixer.branch_gain == 3.0
    sharp = tiny(hidden_size=64, query_key_init=3.0, initializer_range=0.1).model
    for projection in (sharp.layers[1].mixer.query, sharp.layers[1].mixer.key):
        assert abs(projection.weight.std().item() * 8 / 3 - 1) < 0.1
    assert abs(sharp.layers[1].mixer.value.weight.std().item() * 8 - 1) < 0.1
    assert abs(sharp.embed.weight.std().item() * 10 - 1) < 0.1


def test_save_and_load_is_bit_equal_and_tied(tiny, tokens, tmp_path, randomise):
    for preset in CAUSAL:
        model = randomise(tiny(preset=preset))
        model.save_pretrained(tmp_path / preset)
        assert not list((tmp_path / preset).glob("*.bin"))
        loaded = AstromorphicForCausalLM.from_pretrained(tmp_path / preset)
        mine, theirs = model.state_dict(), loaded.state_dict()
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
        mine, theirs = dict(model.named_buffers()), dict(loaded.named_buffers())
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
        assert loaded.lm_head.weight is loaded.model.embed.weight and not loaded.training
        assert torch.equal(loaded(tokens).logits, model(tokens).logits)


def test_bfloat16_checkpoint_comes_back_as_bfloat16(tiny, tokens, tmp_path, randomise):
    model = randomise(tiny()).bfloat16()
    model.save_pretrained(tmp_path)
    loaded = AstromorphicForCausalLM.from_pretrained(tmp_path)
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)


def test_auto_classes_know_the_model(tiny, tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), AstromorphicConfig)
    assert isinstance(AutoModelForCausalLM.from_pretrained(tmp_path), AstromorphicForCausalLM)
    assert isinstance(AutoModel.from_config(model.config), AstromorphicModel)


class Planted:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_planted_pickle_is_refused(tiny, tmp_path):
    tiny().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(ModelError, match=r"holds no model\.safetensors but pytorch_model\.bin, a pickle"):
        AstromorphicForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="use_safetensors is False; pickles could run code and are never loaded"):
        AstromorphicForCausalLM.from_pretrained(tmp_path, use_safetensors=False)


@pytest.mark.parametrize(
    ("change", "message"), [({"num_hidden_layers": 3}, "missing keys"), ({"num_hidden_layers": 1}, "unexpected keys")]
)
def test_mismatched_config_raises_unless_opted_in(tiny, tmp_path, change, message, tiny_size):
    tiny().save_pretrained(tmp_path)
    config = AstromorphicConfig(**{**tiny_size, **change})
    with pytest.raises(ValueError, match=message):
        AstromorphicForCausalLM.from_pretrained(tmp_path, config=config)
    loaded = AstromorphicForCausalLM.from_pretrained(tmp_path, config=config, allow_mismatch=True)
    assert len(loaded.model.layers) == change["num_hidden_layers"]
    assert all(p.isfinite().all() for p in loaded.parameters())


def test_other_width_raises(tiny, tmp_path, tiny_size):
    tiny().save_pretrained(tmp_path)
    config = AstromorphicConfig(**{**tiny_size, "hidden_size": 32})
    for settings in ({}, {"ignore_mismatched_sizes": True}):
        with pytest.raises(ModelError, match=r"mismatched keys: .*embed.* is \[31, 16\] instead of \[31, 32\]"):
            AstromorphicForCausalLM.from_pretrained(tmp_path, config=config, **settings)
    with pytest.raises(ModelError, match="cannot be loaded"):
        AstromorphicForCausalLM.from_pretrained(tmp_path, config=config, ignore_mismatched_sizes=False)


def test_initialisation_leaves_loaded_parameters_alone(tiny, tmp_path, randomise):
    from safetensors.torch import load_file, save_file

    model = randomise(tiny())
    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.layers.0.mixer.gain"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = AstromorphicForCausalLM.from_pretrained(tmp_path, allow_mismatch=True)
    mixer = loaded.model.layers[0].mixer
    assert torch.equal(mixer.gain, torch.ones(2))
    assert torch.equal(mixer.position_matrix, model.model.layers[0].mixer.position_matrix)


def test_loss_is_the_causal_mean_in_nats(tiny, tokens, randomise):
    model = randomise(tiny())
    assert model.loss_type == "ForCausalLM"
    logits = model(tokens).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.reshape(-1, 31), tokens[:, 1:].reshape(-1))
    assert torch.isclose(model(tokens, labels=tokens).loss, expected)


def test_every_preset_trains_every_parameter(tiny, tokens, randomise):
    for preset in PRESETS:
        model = randomise(tiny(preset=preset)).train()
        model(tokens, labels=tokens).loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters()), preset
        still = [n for n, p in model.named_parameters() if p.grad.abs().max() == 0]
        assert not still, (preset, still)


def test_presets_are_the_documented_ladder(tiny, tokens):
    """Kozachkov at scale 1 is linear attention; without the mixer nothing but position embeddings sees the order."""
    linear, kozachkov = tiny(preset="katharopoulos"), tiny(preset="kozachkov", hebbian_scale=1.0)
    assert torch.equal(linear(tokens).logits, kozachkov(tokens).logits)
    dead = tiny(preset="none", position_embeddings=False)
    same = torch.full((1, 6), 4)
    assert (dead(same).logits - dead(same).logits[:, :1]).abs().max() < 1e-6
    with pytest.raises(ValueError, match=r"preset is 'softmx'.*did you mean 'softmax'"):
        AstromorphicConfig.from_preset("softmx")


def test_branch_gain_is_the_gain_of_the_branch(tiny):
    one, three = tiny(), tiny(branch_gain=3.0)
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    positions = torch.arange(5)
    bias = one.model.layers[0].mixer.output.bias
    a, b = (m.model.layers[0].mixer(x, positions, None, None)[0] - bias for m in (one, three))
    assert torch.allclose(3 * a, b, atol=1e-6)


def test_num_parameters_on_meta_takes_no_memory():
    with torch.device("meta"):
        model = AstromorphicForCausalLM(
            AstromorphicConfig(hidden_size=4096, num_hidden_layers=8, intermediate_size=16384)
        )
    assert model.num_parameters() > 1e9


def test_empty_state_reorders():
    state = AstromorphicState.empty(2, 3)
    state.reorder_cache(torch.tensor([2, 2]))
    assert state.batch_size == 2 and state.layers == [None, None]


def test_saved_config_is_plain_json(tiny, tmp_path):
    tiny().save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["model_type"] == "astromorphic" and content["response"]["parameters"] == {"alpha": 0.25}


def test_cosine_features_beyond_float32_are_refused_where_no_shift_is_possible(tiny, tokens):
    """With a sigmoid the sums have to be what they are; exp(|k|^2/2) of keys of norm 40 is not a number in float32."""
    model = tiny(feature_map="cosine", hidden_dim=12)
    assert model(tokens).logits.isfinite().all()
    with torch.no_grad():
        model.model.layers[0].mixer.key.bias.fill_(40.0)
    with pytest.raises(ModelError, match=r"a key has norm \d+.*expected at most 13.*use \"exponential\"") as caught:
        model(tokens)
    assert "\n" not in str(caught.value)
    with torch.no_grad():
        model.model.layers[0].mixer.key.bias.fill_(float("nan"))
    assert model(tokens).logits.isnan().all()  # what is not a number already is no matter of its norm


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_every_mixer_starts_from_the_queries_and_keys_it_is_told(preset):
    size = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "max_position_embeddings": 16}
    config = AstromorphicConfig.from_preset(preset, **size, query_key_init=3.0)
    torch.manual_seed(0)
    for layer in AstromorphicForCausalLM(config).model.layers:
        for projection in (layer.mixer.query, layer.mixer.key):
            # 4,096 numbers know their spread to 1.1 %.
            assert projection.weight.std().item() == pytest.approx(3.0 / 8.0, rel=0.06)
        assert layer.mixer.value.weight.std().item() == pytest.approx(1.0 / 8.0, rel=0.06)


@pytest.mark.parametrize("shape", [(9,), (1, 9), (3, 8), (9, 3), (3, 1, 9), (3, 9, 1), ()])
@pytest.mark.parametrize("causal", [True, False])
def test_a_mask_of_another_shape_is_refused(tiny, shape, causal):
    """One row for all rows is not spread over them without a word."""
    model = tiny(causal=causal)
    ids = torch.zeros(3, 9, dtype=torch.long)
    with pytest.raises(
        ModelError, match=r"attention_mask is .*; expected \(3, 9\), 1 for real tokens and 0 for padding"
    ):
        model(ids, attention_mask=torch.ones(shape))
    assert model(ids, attention_mask=torch.ones(3, 9)).logits.shape[:2] == (3, 9)
