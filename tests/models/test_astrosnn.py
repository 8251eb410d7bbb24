"""AstroSNN: parameter counts, forms, state, generation, saving, activity, energy, and that it remembers."""

from __future__ import annotations

import copy
import importlib.util
import json
import math

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

import bridge
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM, AstroSNNModel, AstroSNNState
from models.astrosnn.activity import activity
from models.astrosnn.energy import operations
from models.astrosnn.forms import spike_flips, verify_forms
from models.errors import ModelError
from models.evaluation import score_carried
from models.ops.decay import decay, spectrum

MODES = ["residual", "spike_in", "pure"]
CELLS = ["lif", "alif", "gru"]
OWN = ["amsu", "retention", "softmax"]
needs_cells = pytest.mark.skipif(
    importlib.util.find_spec("models.baselines") is None, reason="the recurrent cells are not in this installation"
)
MIXERS = [*OWN, *(pytest.param(name, marks=needs_cells) for name in CELLS)]
SIZE = {"vocab_size": 17, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "chunk_size": 5}


def tiny(seed=0, **settings):
    """In float64, where no spike hangs on the last digit."""
    torch.manual_seed(seed)
    return AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, **settings})).double().eval()


@pytest.fixture
def tokens():
    return torch.randint(0, 17, (2, 23), generator=torch.Generator().manual_seed(1))


# Sizes.


@pytest.mark.parametrize(
    ("name", "count", "printed"),
    [
        ("small", 92_469_760, 88.186),
        ("base", 321_296_384, 306.412),
        ("large", 768_268_800, 732.678),
        ("1b5", 1_515_175_936, 1444.984),
    ],
)
def test_the_parameter_counts_of_the_paper(name, count, printed):
    config = AstroSNNConfig.from_preset(name)
    with torch.device("meta"):
        model = AstroSNNForCausalLM(config)
    assert sum(p.numel() for p in model.parameters()) == config.num_parameters() == count
    assert round(count / 2**20, 3) == printed
    d, layers = config.hidden_size, config.num_hidden_layers
    assert count == 2 * 50304 * d + layers * (13 * d * d + 41 * d // 4) + 2 * d
    spike_in = AstroSNNConfig.from_preset(name, residual_mode="spike_in")
    assert spike_in.num_parameters() == count


def test_pure_has_four_matrices_and_a_head_norm_per_layer():
    one, two = (
        AstroSNNConfig(**{**SIZE, "num_hidden_layers": n}, residual_mode="pure").num_parameters() for n in (1, 2)
    )
    assert two - one == 4 * 16 * 16 + 16


# One pass, pieces, steps.


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("mode", MODES)
def test_one_pass_equals_steps_and_every_split(mixer, mode, tokens):
    model = tiny(mixer=mixer, residual_mode=mode)
    with torch.no_grad():
        whole = model(tokens).logits
        for size in (1, 7):
            state, parts = None, []
            for a in range(0, 23, size):
                out = model(tokens[:, a : a + size], past_key_values=state, use_cache=True)
                state = out.past_key_values
                parts.append(out.logits)
            assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-9)
        for cut in range(1, 23):
            first = model(tokens[:, :cut], use_cache=True)
            second = model(tokens[:, cut:], past_key_values=first.past_key_values)
            assert torch.allclose(torch.cat([first.logits, second.logits], 1), whole, atol=1e-9)


@pytest.mark.parametrize("mixer", MIXERS)
def test_a_padded_row_is_the_row_alone(mixer, tokens):
    model = tiny(mixer=mixer)
    alone = model(tokens[:1, :9], use_cache=True)
    for left, right in ((4, 0), (0, 4), (1, 3)):
        ids = torch.nn.functional.pad(tokens[:1, :9], (left, right), value=3)
        both = torch.cat([ids, tokens[1:, :13]])
        mask = torch.ones(2, 13, dtype=torch.long)
        mask[0, :left] = mask[0, 13 - right :] = 0
        out = model(both, attention_mask=mask, use_cache=True)
        assert torch.allclose(out.logits[0, left : 13 - right], alone.logits[0], atol=1e-9)
        assert out.past_key_values.positions.tolist() == [9, 13]
        next_one = model(tokens[:, 20:21], past_key_values=out.past_key_values).logits[0]
        assert torch.allclose(next_one, model(tokens[:1, 20:21], past_key_values=alone.past_key_values).logits[0])


@pytest.mark.parametrize("form", ["masked", "serial"])
def test_the_form_is_a_matter_of_speed(form, tokens):
    chunked, other = tiny(), tiny(form=form)
    assert torch.allclose(chunked(tokens).logits, other(tokens).logits, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_verify_forms(mode):
    model = tiny(residual_mode=mode)
    report = model.verify_forms(length=61)
    assert report.agree and len(report.membrane) == 2 and report.tokens == 61
    assert all(type(x) is float for x in report.membrane)
    # It compares what this network computes: a form that is wrong is found.
    mixer = model.model.layers[1].mixer
    right = mixer.terms

    def wrong(a, positions, mask, state, form=None):
        terms, after = right(a, positions, mask, state, form)
        return (terms._replace(astrocyte=1.001 * terms.astrocyte) if form == "masked" else terms), after

    type(mixer).terms, kept = (lambda self, *x: wrong(*x) if self.decays else None), type(mixer).terms
    try:
        found = verify_forms(model.model, length=11)
    finally:
        type(mixer).terms = kept
    assert not found.agree


@pytest.mark.parametrize("form", ["masked", "chunked"])
@pytest.mark.parametrize("part", ["membrane", "state"])
def test_a_form_without_numbers_does_not_agree(form, part, monkeypatch):
    """A maximum that drops NaN would call it equal."""
    model = tiny()
    kind = type(model.model.layers[1].mixer)
    right = kind.terms

    def broken(self, a, positions, mask, state, form_=None):
        terms, after = right(self, a, positions, mask, state, form_)
        if form_ != form:
            return terms, after
        if part == "state":
            return terms, type(after)(*(x * torch.nan for x in after))
        return terms._replace(astrocyte=terms.astrocyte * torch.nan), after

    monkeypatch.setattr(kind, "terms", broken)
    report = model.verify_forms(length=11)
    assert not report.agree and any(math.isnan(x) for x in getattr(report, part))


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("mode", MODES)
def test_no_logit_depends_on_a_later_token(mixer, mode, tokens):
    model = tiny(mixer=mixer, residual_mode=mode)
    with torch.no_grad():
        before = model(tokens, use_cache=False).logits
        for t in (1, 5, 12, 22):
            changed = tokens.clone()
            changed[:, t:] = (changed[:, t:] + 1) % 17
            assert torch.equal(model(changed, use_cache=False).logits[:, :t], before[:, :t])
    embedded = model.get_input_embeddings()(tokens).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(
        model(inputs_embeds=embedded, use_cache=False).logits[:, 9].square().sum(), embedded
    )
    assert float(gradient[:, 10:].abs().max()) == 0.0
    # Untrained LIF cells without a norm before them lie outside of their surrogate's reach.
    assert float(gradient[:, :10].abs().max()) > 0.0 or (mode == "pure" and mixer in ("lif", "alif"))


# State.


def test_the_state_has_the_size_that_arithmetic_says_whatever_was_read(tokens):
    model = tiny(hidden_size=32, num_attention_heads=4).float()
    for length in (1, 23):
        state = model(tokens[:, :length], use_cache=True).past_key_values
        assert state.num_bytes() == 2 * 2 * 4 * (32 * 32 // 4 + 32)
        assert {x.dtype for layer in state.layers for x in layer} == {torch.float32}
    config = AstroSNNConfig.from_preset("1b5")
    with torch.device("meta"):
        largest = AstroSNNForCausalLM(config)
        state = AstroSNNState(
            [tuple(torch.zeros(1, *shape) for shape in layer.mixer.state_shapes(9)) for layer in largest.model.layers],
            torch.zeros(1),
        )
    assert state.num_bytes() == 24 * 4 * 526_336  # 2.1 MB per layer


@pytest.mark.parametrize(
    "other",
    [
        {"sigma": "tanh"},
        {"decay": "exp"},
        {"terms": "both", "tau_n": 3},
        {"residual_mode": "spike_in"},
        {"tau": [9.0, 9.0]},
    ],
)
def test_a_state_of_other_settings_is_refused_though_its_sizes_fit(tmp_path, tokens, other):
    state = tiny(**other)(tokens[:, :5], use_cache=True).past_key_values
    state.save(tmp_path / "state.safetensors")
    for given in (state, AstroSNNState.load(tmp_path / "state.safetensors"), state.select(torch.tensor([0, 1]))):
        with pytest.raises(ModelError, match="the state is of another model: its sizes are those of this one"):
            tiny()(tokens[:, 5:], past_key_values=given)
    # How it is computed is no part of it, and 2 is 2.0; a state without a digest is of an earlier version.
    serial = tiny(form="serial", tau_n=2, dropout=0.1, tau=tuple(tiny().config.time_constants))
    mine = tiny()(tokens[:, :5], use_cache=True).past_key_values
    assert serial(tokens[:, 5:], past_key_values=mine).logits.isfinite().all()
    state.settings = ""
    assert tiny()(tokens[:, 5:], past_key_values=state).logits.isfinite().all()


def test_a_prompt_without_rows_is_refused_by_generate(tokens):
    with pytest.raises(
        ModelError, match=r"the prompt is \(4,\); expected \[batch, time\], so ids\[None\] for one text"
    ):
        tiny().generate(tokens[0, :4], max_new_tokens=1)


@pytest.mark.parametrize("mode", ["residual", "spike_in", "pure"])
def test_sixteen_thousand_tokens_of_a_network_in_half_precision(mode):
    """States are float32 and nothing is NaN where weights and activations are bfloat16."""
    torch.manual_seed(0)
    model = AstroSNNForCausalLM(AstroSNNConfig(vocab_size=17, hidden_size=64, num_hidden_layers=2, residual_mode=mode))
    with torch.inference_mode():
        out = model.to(torch.bfloat16).eval()(torch.randint(0, 17, (1, 16_384)), use_cache=True)
    assert out.logits.dtype == torch.bfloat16 and bool(out.logits.isfinite().all())
    for layer in out.past_key_values.layers:
        assert all(x.dtype == torch.float32 and bool(x.isfinite().all()) for x in layer)


def test_a_state_is_saved_restored_forked_and_reordered(tmp_path, tokens):
    model = tiny()
    out = model(tokens[:, :10], use_cache=True)
    state = out.past_key_values
    before = [x.clone() for layer in state.layers for x in layer]
    expected = model(tokens[:, 10:], past_key_values=state, use_cache=True).logits
    state.save(tmp_path / "state.safetensors")
    again = AstroSNNState.load(tmp_path / "state.safetensors")
    assert again.seen == 10 and again.positions.tolist() == [10, 10]
    assert torch.equal(model(tokens[:, 10:], past_key_values=again).logits, expected)
    turned = state.select(torch.tensor([1, 0, 1]))
    found = model(tokens[[1, 0, 1]][:, 10:], past_key_values=turned).logits
    assert torch.allclose(found, expected[[1, 0, 1]], atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(before, (x for y in state.layers for x in y), strict=True))
    assert torch.equal(model(tokens[:, 10:], past_key_values=state).logits, expected)
    (tmp_path / "other").write_bytes(b"no state")
    with pytest.raises(ModelError, match="no saved state"):
        AstroSNNState.load(tmp_path / "other")


@pytest.mark.parametrize(
    "settings", [{"num_hidden_layers": 3}, {"hidden_size": 32}, {"num_attention_heads": 4}], ids=str
)
@pytest.mark.parametrize("mixer", MIXERS)
def test_a_state_of_another_model_is_refused(mixer, settings, tokens, tmp_path):
    if mixer in CELLS and "num_attention_heads" in settings:
        pytest.skip("a recurrent cell has no heads")
    state = tiny(mixer=mixer, **settings)(tokens, use_cache=True).past_key_values
    state.save(tmp_path / "state")
    for given in (state, AstroSNNState.load(tmp_path / "state")):
        with pytest.raises(ModelError, match="state is of another model") as raised:
            tiny(mixer=mixer)(tokens, past_key_values=given)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("mixer", MIXERS)
def test_every_mixer_states_the_shapes_of_its_state(mixer, tokens):
    model = tiny(mixer=mixer)
    state = model(tokens, use_cache=True).past_key_values
    for layer, block in zip(state.layers, model.model.layers, strict=True):
        assert [tuple(x.shape[1:]) for x in layer] == block.mixer.state_shapes(state.seen)
    with pytest.raises(ModelError, match="2 rows but the input has 1"):
        model(tokens[:1], past_key_values=state)
    other = tiny(mixer="retention" if mixer == "amsu" else "amsu")
    with pytest.raises(ModelError, match="state is of another model"):
        other(tokens, past_key_values=state)


def test_a_state_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path, tokens):
    state = tiny()(tokens, use_cache=True).past_key_values
    with pytest.raises(ValueError, match=r"cannot write .*missing") as raised:
        state.save(tmp_path / "missing" / "state")
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())
    state.save(tmp_path / "state")
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


# Arguments.


def test_hidden_states_are_those_of_the_layers(tokens):
    model = tiny()
    seen = []
    for layer in model.model.layers:
        layer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    out = model(tokens, output_hidden_states=True)
    assert len(out.hidden_states) == 3 and all(torch.equal(a, b) for a, b in zip(seen, out.hidden_states, strict=False))
    assert torch.equal(model.lm_head(out.hidden_states[-1]), out.logits)
    assert model(tokens).hidden_states is None
    plain = model(tokens, return_dict=False, use_cache=False)
    assert type(plain) is tuple and torch.equal(plain[0], out.logits)
    assert type(model.model(tokens, return_dict=False)) is tuple


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"attention_maks": 1}, "no argument 'attention_maks'; did you mean 'attention_mask'"),
        ({"position_ids": 1}, "positions are counted over the real tokens"),
        ({"output_attentions": True}, "there is no attention matrix"),
        ({"labels": torch.zeros(2, 23, dtype=torch.long), "logits_to_keep": 1}, "the loss needs all logits"),
        ({"attention_mask": torch.ones(23)}, r"attention_mask is \(23,\); expected \(2, 23\), 1 for real"),
        ({"attention_mask": torch.full((2, 23), 2.0)}, "attention_mask has values other than 0 and 1"),
        ({"attention_mask": torch.ones(1, 23)}, r"attention_mask is \(1, 23\); expected"),
        ({"attention_mask": torch.ones(2, 1, 23, 23)}, r"attention_mask is \(2, 1, 23, 23\); expected"),
        ({"attention_mask": torch.ones(2, 22)}, r"attention_mask is \(2, 22\); expected \(2, 23\), 1 for real"),
    ],
    ids=lambda x: x if isinstance(x, str) else ",".join(x),
)
def test_arguments_that_cannot_be_followed_are_refused(given, message, tokens):
    with pytest.raises(ModelError, match=message) as raised:
        tiny()(tokens, **given)
    assert "\n" not in str(raised.value)
    if not {"labels", "output_attentions"} & set(given):
        with pytest.raises(ModelError, match=message):
            tiny().model(tokens, **given)


def test_what_the_library_passes_on_is_taken(tokens):
    model = tiny()
    loss = model(tokens, labels=tokens, num_items_in_batch=2 * 22, cache_position=None).loss
    assert float(loss.detach()) == pytest.approx(float(model(tokens, labels=tokens).loss.detach()))


# Generation.


def generated(model, ids, **how):
    torch.manual_seed(5)
    # Without a mask the library takes every 0 of the prompt for padding.
    if how.get("past_key_values") is None:
        how.setdefault("attention_mask", torch.ones_like(ids))
    return model.generate(ids, max_new_tokens=6, pad_token_id=0, **how)


@pytest.mark.parametrize(
    "how",
    [
        {"do_sample": False},
        {"do_sample": True},
        {"do_sample": True, "num_return_sequences": 3},
        {"do_sample": False, "num_beams": 3},
        {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("mixer", ["amsu", "softmax"])
def test_generation_with_the_state_equals_generation_without(mixer, how, tokens):
    model = tiny(mixer=mixer)
    assert torch.equal(generated(model, tokens, **how), generated(model, tokens, use_cache=False, **how))


def test_generation_from_padded_rows_from_pieces_and_beyond_the_training_length(tokens):
    model = tiny(max_position_embeddings=8)
    alone = generated(model, tokens[:1, :9], do_sample=False)[0, 9:]
    mask = torch.ones(2, 23, dtype=torch.long)
    mask[0, :14] = 0
    padded = torch.cat([torch.nn.functional.pad(tokens[:1, :9], (14, 0)), tokens[1:]])
    assert torch.equal(generated(model, padded, attention_mask=mask, do_sample=False)[0, 23:], alone)
    pieces = generated(model, tokens[:1, :9], do_sample=False, prefill_chunk_size=4)
    assert torch.equal(pieces[0, 9:], alone)


@pytest.mark.parametrize("mixer", ["amsu", "retention", "softmax"])
def test_a_text_beyond_the_training_length_is_scored_with_its_state_carried(mixer):
    model = tiny(mixer=mixer, max_position_embeddings=8)
    ids = torch.randint(0, model.config.vocab_size, (45,), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0, :-1]
    expected = float(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum")) + math.log(
        model.config.vocab_size
    )
    for piece in (1, 7, 64):
        assert score_carried(model, ids, piece=piece) == pytest.approx(expected, rel=1e-9)


def test_continuing_from_a_state(tokens):
    model = tiny()
    whole = generated(model, tokens, do_sample=False)
    state = model(tokens[:, :20], use_cache=True).past_key_values
    new = tokens[:, 20:]
    mask = torch.ones(2, 23, dtype=torch.long)
    found = generated(model, new, do_sample=False, past_key_values=state, attention_mask=mask)
    assert torch.equal(found[:, 3:], whole[:, 23:])
    with pytest.raises(ModelError, match="pass the whole sequence"):
        generated(model, new, do_sample=False, past_key_values=state)


def test_an_empty_prompt_and_an_unknown_token_are_refused(tokens):
    model = tiny()
    with pytest.raises(ModelError, match="prompt has no tokens"):
        model.generate(tokens[:, :0], max_new_tokens=2)
    with pytest.raises(ModelError, match="expected 0 to 16"):
        model(tokens + 3)


# Saving and loading.


@pytest.mark.parametrize("mixer", MIXERS)
def test_saving_and_loading(mixer, tmp_path, tokens):
    model = tiny(mixer=mixer).float()
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    for kind in (AstroSNNForCausalLM, AutoModelForCausalLM):
        again = kind.from_pretrained(tmp_path)
        assert type(again) is AstroSNNForCausalLM and not again.training
        assert torch.equal(again(tokens).logits, model(tokens).logits)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), AstroSNNConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path), AstroSNNModel)
    assert AstroSNNConfig(**model.config.settings()).settings() == model.config.settings()
    assert model.loss_type == "ForCausalLM"


def test_two_networks_of_one_seed_are_equal_and_the_first_loss_is_that_of_chance(tokens):
    one, two = tiny(), tiny()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert float(one(tokens, labels=tokens).loss.detach()) == pytest.approx(math.log(17), abs=0.05)
    assert torch.equal(tiny(tie_word_embeddings=True).lm_head.weight, tiny(tie_word_embeddings=True).model.embed.weight)


@pytest.mark.parametrize("mode", ["residual", "spike_in"])
def test_the_stream_starts_with_one_size_at_any_depth(mode, tokens):
    """What layers add starts smaller the more of them there are; at full size it would grow with the root of the depth."""
    sizes = []
    for depth in (3, 24):
        model = tiny(hidden_size=64, num_hidden_layers=depth, residual_mode=mode)
        stream = []
        model.model.final_norm.register_forward_pre_hook(lambda module, given, into=stream: into.append(given[0]))
        embedded = model.model(tokens, output_hidden_states=True).hidden_states[0]
        sizes.append(float((stream[0] - embedded).detach().std()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.3)


def test_dropout_is_of_the_embedding_and_of_both_branches_and_of_training_alone(tokens):
    plain, dropped = tiny(), tiny(dropout=0.5)
    assert torch.equal(plain(tokens).logits, dropped(tokens).logits)
    seen = []
    for module in dropped.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda m, given, out: seen.append(float((out == 0).double().mean())))
    first, second = dropped.train()(tokens).logits, dropped(tokens).logits
    assert not torch.equal(first, second)
    assert len(seen) == 2 * (1 + 2 * 2) and all(0.3 < share < 0.7 for share in seen)


def test_the_retention_block_is_retnets_by_hand(tokens):
    """Decays 1 - 2^(-5-head), keys and queries that turn, the norm of the heads, and the swish gate: token by token."""
    model = tiny(mixer="retention", num_attention_heads=4)
    mixer = model.model.layers[0].mixer
    torch.nn.init.normal_(mixer.head_norm.weight)
    torch.nn.init.normal_(mixer.head_norm.bias)
    a = torch.randn(1, 23, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    angle = torch.arange(23).double()[:, None] * 10000.0 ** (-torch.arange(2).double() / 2)

    def turned(x):
        first, second = x[..., :2], x[..., 2:]
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    q, k, v = (f(a[0]).view(23, 4, 4) for f in (mixer.query, mixer.key, mixer.value))
    q, k = turned(q), turned(k)
    gamma = torch.tensor([31 / 32, 63 / 64, 127 / 128, 255 / 256], dtype=torch.float64)[:, None, None]
    s, rows = torch.zeros(4, 4, 4, dtype=torch.float64), []
    for t in range(23):
        s = gamma * s + k[t][:, :, None] * v[t][:, None, :] / 2.0
        o = (q[t][:, None, :] @ s)[:, 0]
        rows.append(torch.nn.functional.layer_norm(o, (4,), mixer.head_norm.weight, mixer.head_norm.bias).flatten())
    expected = torch.nn.functional.silu(mixer.gate(a[0])) * torch.stack(rows)
    found = mixer(a, torch.arange(23), None, None).out[0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@needs_cells
@pytest.mark.parametrize("mixer", ["lif", "alif"])
def test_a_cell_in_the_shell_keeps_its_own_start(mixer):
    """Its biases hold half of the units near the threshold; the library's start would silence a stack of spikes alone."""
    torch.manual_seed(0)
    model = AstroSNNForCausalLM(
        AstroSNNConfig(**{**SIZE, "num_hidden_layers": 6, "residual_mode": "pure"}, mixer=mixer)
    )
    rates = [layer.rates["mixer"] for layer in activity(model, torch.randint(0, 17, (4, 60)))]
    assert all(0.02 < rate < 0.98 for rate in rates), rates


def test_a_pickle_a_foreign_and_a_damaged_folder_are_refused(tmp_path):
    model = tiny().float()
    model.save_pretrained(tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").rename(tmp_path / "a" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle"):
        AstroSNNForCausalLM.from_pretrained(tmp_path / "a")
    model.save_pretrained(tmp_path / "b")
    text = json.loads((tmp_path / "b" / "config.json").read_text())
    (tmp_path / "b" / "config.json").write_text(json.dumps({**text, "hidden_size": 32}))
    with pytest.raises(ModelError, match="does not fit the configuration"):
        AstroSNNForCausalLM.from_pretrained(tmp_path / "b")
    (tmp_path / "b" / "config.json").write_text(json.dumps({**text, "model_type": "gpt2"}))
    with pytest.raises(ModelError, match="'gpt2', expected 'astrosnn'"):
        AstroSNNForCausalLM.from_pretrained(tmp_path / "b")


# Time constants.


def test_the_published_spectrum_is_the_default_and_the_macro_file_gives_the_same(tmp_path):
    published = AstroSNNConfig()
    assert published.time_constants == spectrum(8) and published.leak == 0.5
    macro = bridge.preset("paper_astrosnn")
    config = AstroSNNConfig.from_macro(macro)
    assert config.time_constants == pytest.approx(spectrum(8)) and config.tau_n == 2.0
    assert config.macro_digest == macro.digest
    model = AstroSNNForCausalLM(AstroSNNConfig.from_macro(macro, **SIZE))
    assert model.config.time_constants == pytest.approx([32.0, 512.0])
    model.save_pretrained(tmp_path)
    again = AstroSNNForCausalLM.from_pretrained(tmp_path)
    assert again.config.macro.digest == macro.digest
    assert again.model.layers[0].mixer.decays == pytest.approx([decay(32), decay(512)])


def test_time_constants_of_the_biology_reach_the_layers():
    macro = bridge.preset("simulated")
    if macro.time_constants is None:
        pytest.skip("the simulated preset has no time constants")
    config = AstroSNNConfig.from_macro(macro, **SIZE)
    expected = macro.section("time_constants").spectrum(2)
    assert tiny(**{"tau": config.tau, "tau_n": config.tau_n}).model.layers[1].mixer.decays == [
        decay(t) for t in expected
    ]


def test_a_macro_file_of_which_nothing_is_used_is_not_claimed(tmp_path):
    from models.tasks.prepare import prepare

    macro = bridge.preset("paper_astrosnn")
    for settings, message in (
        ({"mixer": "gru"}, "mixer is 'gru', which uses no time constants of the macro file"),
        ({"tau": [2.0, 3.0], "tau_n": 3.0}, "nothing of the macro file is used"),
    ):
        with pytest.raises(ModelError, match=message):
            AstroSNNConfig.from_macro(macro, **{**SIZE, **settings})
    assert AstroSNNConfig.from_macro(macro, **SIZE, tau=[2.0, 3.0]).macro_digest == macro.digest
    # What a configuration says of itself makes it again.
    first = AstroSNNConfig.from_macro(macro, **SIZE)
    assert AstroSNNConfig.from_macro(macro, **first.settings()).settings() == first.settings()
    file = tmp_path / "text.txt"
    file.write_text("An astrocyte listens. " * 200)
    with pytest.raises(ModelError, match="mixer is 'gru'"):
        prepare(str(file), "astrosnn", "smoke", macro=macro, changes={"mixer": "gru", "max_position_embeddings": 16})


def test_there_is_one_network_of_a_configuration():
    with pytest.raises(ModelError, match="network 'sequence'"):
        AstroSNNConfig.from_preset("tiny", network="sequence")
    with pytest.raises(ModelError, match="network 'sequence'"):
        AstroSNNConfig.from_macro(bridge.preset("paper_astrosnn"), network="sequence")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"tau": [32.0]}, "one per head"),
        ({"tau": 32}, "tau is 32; expected None or 2 time constants in steps, one per head, with commas between"),
        ({"tau": [32.0, 0.5]}, "tau of head 2 is 0.5"),
        ({"hidden_size": 15}, "multiple of num_attention_heads"),
        ({"sigma": "softplus"}, "sigma is 'softplus'"),
        ({"residual_mode": "post"}, "residual_mode is 'post'"),
        ({"mixer": "lstm"}, "mixer is 'lstm'"),
        ({"decay": "inverse"}, "decay is 'inverse'"),
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"rope_fraction": 1.5}, "rope_fraction is 1.5"),
        ({"chunk_size": 0}, "chunk_size is 0"),
        ({"tau_m": 3.0}, "did you mean 'tau_n'"),
        ({"head_norm": 1}, "head_norm is 1"),
    ],
    ids=str,
)
def test_refused_settings(settings, word):
    with pytest.raises(ModelError) as raised:
        AstroSNNConfig(**{**SIZE, **settings})
    assert word in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"sigma": "identity"}, {"decay": "exp"}, {"decay": "literal_inverse"}, {"tau": [2.0, 9.0]}, {"tau_n": 7.0},
        {"resistance": 0.5}, {"threshold": 0.5}, {"head_norm": False}, {"rope_fraction": 0.25}, {"rope_base": 100.0},
        {"out_proj": False}, {"layer_norm_eps": 0.1}, {"residual_mode": "spike_in"},
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_changes_what_is_computed(settings, tokens):
    before = tiny()
    after = AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, **settings})).double().eval()
    after.load_state_dict(before.state_dict(), strict=False)
    assert not torch.equal(before(tokens).logits, after(tokens).logits)


def test_the_surrogate_changes_the_gradient_alone(tokens):
    found = []
    for settings in ({}, {"alpha": 1.0}, {"surrogate": "atan"}, {"surrogate": "triangle_as_printed"}):
        model = tiny(**settings)
        out = model(tokens, labels=tokens)
        out.loss.backward()
        found.append((out.logits.detach(), model.model.layers[0].mixer.query.weight.grad))
    assert all(torch.equal(found[0][0], logits) for logits, _ in found[1:])
    assert all(not torch.equal(found[0][1], gradient) for _, gradient in found[1:])


# Activity, energy.


@pytest.mark.parametrize("mode", MODES)
def test_no_layer_is_dead_or_saturated_at_depth_24(mode):
    torch.manual_seed(0)
    model = AstroSNNForCausalLM.from_preset("tiny", num_hidden_layers=24, hidden_size=64, residual_mode=mode)
    ids = torch.randint(0, 256, (2, 128))
    mask = torch.ones_like(ids)
    mask[1, :30] = 0
    layers = activity(model, ids, mask)
    assert len(layers) == 24
    for layer in layers:
        assert all(0.02 < rate < 0.98 for rate in layer.rates.values())
        assert set(layer.rates) == ({"input", "mixer", "feed_forward"} if mode == "spike_in" else {"mixer"})
        tokens = int(mask.sum())
        assert layer.counts["mixer"] == round(layer.rates["mixer"] * tokens * 64)
        assert layer.silent + layer.saturated < 0.9


@pytest.mark.parametrize("mode", MODES)
def test_spikes_are_binary_where_the_mode_says_so(mode, tokens):
    model = tiny(residual_mode=mode)
    seen = {}
    for name, module in model.model.layers[1].named_modules():
        if name in ("mixer.input", "output", "up", "mixer.query", "down"):
            module.register_forward_pre_hook(lambda m, x, name=name: seen.__setitem__(name, x[0].detach()))
    model(tokens)

    def binary(x):
        return set(x.unique().tolist()) <= {0.0, 1.0}

    expected = {
        "residual": {"output"},
        "spike_in": {"mixer.input", "output", "up"},
        "pure": {"mixer.input"},
    }[mode]
    assert {name for name, x in seen.items() if binary(x)} == expected


def test_spikes_that_flip_in_half_precision(tokens):
    flips = spike_flips(tiny(), tokens)
    assert len(flips) == 2 and all(0.0 < x < 0.3 for x in flips)
    assert spike_flips(tiny(), tokens, torch.float32) == [0.0, 0.0]
    with pytest.raises(ModelError, match="no spikes"):
        spike_flips(tiny(mixer="softmax"), tokens)


def test_operations_by_hand():
    config = AstroSNNConfig(**SIZE)
    d, f, v = 16, 64, 17
    found = operations(config, [{"mixer": 0.25}, {"mixer": 0.5}])
    assert found.ac == {"W_o": 0.75 * d * d}
    macs = 2 * (4 * d * d + 3 * d * 8 + 2 * d + 4 * d + 2 * d * f) + d * v
    assert sum(found.mac.values()) == macs
    assert found.picojoules == pytest.approx(0.9 * 0.75 * d * d + 4.6 * macs)
    assert found.dense == pytest.approx(4.6 * (macs + 2 * d * d))
    binary = operations(
        AstroSNNConfig(**SIZE, residual_mode="spike_in"), [{"mixer": 0.0, "input": 1.0, "feed_forward": 0.5}] * 2
    )
    assert binary.ac == {"W_x": 2.0 * d * d, "W_o": 0.0, "feed-forward": 1.0 * d * f}
    pure = operations(AstroSNNConfig(**SIZE, residual_mode="pure"), [{"mixer": 0.25}, {"mixer": 0.5}])
    assert pure.ac == {"W_x": 0.25 * d * d}
    with pytest.raises(ModelError, match="rate of 'mixer' in layer 1"):
        operations(config, [{}, {}])


# Learning.


def test_one_batch_is_learned_by_heart_in_fifty_steps(tokens):
    torch.manual_seed(0)
    model = AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, "hidden_size": 64}))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(50):
        loss = model(tokens, labels=tokens).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3  # from 2.83


def recall(reading, steps=100, length=30, seed=0):
    """Train to name at the end the symbol of the start; the share that is right at the end."""
    torch.manual_seed(seed)
    config = AstroSNNConfig(
        vocab_size=8,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        decay=reading,
        rope_fraction=0.0,
        alpha=1.0,
    )
    model = AstroSNNForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        bit = torch.randint(0, 2, (32,))
        ids = torch.cat([bit[:, None], torch.randint(2, 6, (32, length - 1)), torch.full((32, 1), 6)], dim=1)
        logits = model(ids, logits_to_keep=1, use_cache=False).logits[:, 0]
        loss = torch.nn.functional.cross_entropy(logits, bit)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bit = torch.randint(0, 2, (400,))
    ids = torch.cat([bit[:, None], torch.randint(2, 6, (400, length - 1)), torch.full((400, 1), 6)], dim=1)
    with torch.no_grad():
        found = model(ids, logits_to_keep=1, use_cache=False).logits[:, 0].argmax(-1)
    return float((found == bit).float().mean())


def test_recall_over_thirty_tokens_needs_the_repaired_decay():
    assert recall("one_minus_inv") > 0.95
    assert recall("literal_inverse") < 0.65  # chance is one half


def test_gradients_reach_every_parameter(tokens):
    for mode in MODES:
        model = tiny(residual_mode=mode)
        model(tokens, labels=tokens).loss.backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
        assert missing == []


def test_half_precision_weights_keep_states_in_float32(tokens):
    model = copy.deepcopy(tiny()).to(torch.bfloat16)
    out = model(tokens, use_cache=True)
    assert out.logits.dtype == torch.bfloat16 and bool(out.logits.isfinite().all())
    assert {x.dtype for layer in out.past_key_values.layers for x in layer} == {torch.float32}


# From the command line's side.


def test_training_evaluation_and_generation_by_name(tmp_path):
    from models.continuation import open_writer
    from models.scoring import open_run
    from models.tasks.prepare import prepare
    from models.training import train

    file = tmp_path / "text.txt"
    file.write_text("An astrocyte listens to many synapses and answers slowly. " * 60)
    changes = {"hidden_size": 16, "steps": 4, "evaluate_every": 2, "max_position_embeddings": 16, "final_bytes": 64}
    task, config, recipe, _ = prepare(str(file), "astrosnn", "smoke", changes=changes)
    assert isinstance(config, AstroSNNConfig) and config.hidden_size == 16 and config.vocab_size == 256
    result = train(config, task, recipe, tmp_path / "run", 0, "astrosnn")
    assert result.causality.verdict == "causal" and result.causality.chunked_vs_step < 1e-9
    _, _, model, same = open_run(tmp_path / "run")
    assert isinstance(model, AstroSNNForCausalLM) and same
    assert isinstance(open_writer(tmp_path / "run").model, AstroSNNForCausalLM)
    table = tmp_path / "table.csv"
    table.write_text("text,label\n" + "a,good\nb,bad\n" * 20)
    with pytest.raises(ModelError, match="a language model, and the task is text_classification"):
        prepare(str(table), "astrosnn", "smoke")
    macro = bridge.preset("paper_astrosnn")
    _, config, _, _ = prepare(str(file), "astrosnn", "smoke", macro=macro, changes=changes, loaded=task)
    assert config.macro_digest == macro.digest and config.time_constants == pytest.approx(spectrum(8))
