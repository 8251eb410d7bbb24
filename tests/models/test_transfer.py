"""Weight transfer: random features take the place of attention in every kind of model, with its weights untouched."""

import copy
import math

import pytest
import torch
from torch import Tensor
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaModel,
    ViTConfig,
    ViTForImageClassification,
)

from models import ModelError, astrocyte_response, bits_per_byte, transferred
from models.astromorphic import (
    AstromorphicConfig,
    AstromorphicForCausalLM,
    AstromorphicForImageClassification,
    AstromorphicForSequenceClassification,
)
from models.transfer.inputs import attention_inputs

WIDTH = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
LIBRARY = {
    "vit": (ViTForImageClassification, ViTConfig, {"image_size": 12, "patch_size": 4}),
    "albert": (
        AlbertForSequenceClassification, AlbertConfig,
        {"vocab_size": 31, "embedding_size": 8, "max_position_embeddings": 24, "pad_token_id": 0},
    ),
    "bert": (BertModel, BertConfig, {"vocab_size": 31, "max_position_embeddings": 24, "pad_token_id": 0}),
    "gpt2": (
        GPT2LMHeadModel, GPT2Config,
        {"vocab_size": 31, "n_positions": 24, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0},
    ),
}  # fmt: skip
OURS = {
    "causal_lm": AstromorphicForCausalLM,
    "sequence": AstromorphicForSequenceClassification,
    "image": AstromorphicForImageClassification,
}
KINDS = [*LIBRARY, *OURS]
IMAGES = ("vit", "image")


def build(kind: str, **settings):
    """A small model of the kind, with attention that the output depends on; eager dropout off."""
    torch.manual_seed(4)
    if kind in OURS:
        sizes = {**WIDTH, "vocab_size": 31, "max_position_embeddings": 24, "image_size": 8}
        sizes |= {"initializer_range": 0.5, "norm_placement": "pre"}
        config = AstromorphicConfig.from_preset("softmax", network=kind, **{**sizes, **settings})
        model = OURS[kind](config).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name.endswith(("query.weight", "key.weight")):
                    p.mul_(0.4)
        return model
    cls, config, sizes = LIBRARY[kind]
    model = cls(config(**{**WIDTH, **sizes, **settings})).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.12 * torch.randn(p.shape)) if p.dim() > 1 else None
    return model


def inputs(kind: str, batch: int = 2) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(8)
    if kind in IMAGES:
        side = 12 if kind == "vit" else 8
        return {"pixel_values": torch.randn(batch, 3, side, side, generator=g)}
    return {"input_ids": torch.randint(1, 31, (batch, 12), generator=g)}


@torch.no_grad()
def output(model, given: dict[str, Tensor]) -> Tensor:
    out = model(**given)
    return out.logits if hasattr(out, "logits") else out.last_hidden_state


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


# The models


@pytest.mark.parametrize("kind", KINDS)
def test_a_transferred_model_approaches_the_softmax_model(kind):
    model, given = build(kind), inputs(kind)
    soft = output(model, given)
    few, many = (
        sum(distance(output(transferred(model, m, seed=s), given), soft) for s in range(2)) / 2 for m in (32, 4096)
    )
    assert many < 0.25 * few
    assert many < 0.03


@pytest.mark.parametrize("kind", ["gpt2", "albert", "causal_lm", "sequence"])
def test_balanced_keys_need_fewer_neurons(kind):
    """What all keys share moves no attention weight; here it is a bias that makes them several times as long."""
    model, given = build(kind), inputs(kind)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("key.bias", "c_attn.bias")):
                part = p[16:32] if name.endswith("c_attn.bias") else p
                part.add_(2.0 * torch.randn(16, generator=torch.Generator().manual_seed(1)))
    soft = output(model, given)
    assert distance(soft, output(build(kind), given)) < 1e-4
    plain, balanced = (
        sum(distance(output(transferred(model, 256, seed=s, balance_on=x), given), soft) for s in range(2)) / 2
        for x in (None, given)
    )
    assert balanced < 0.5 * plain
    exact = transferred(model, 8192, balance_on=given)
    assert distance(output(exact, given), soft) < 0.03
    lengths = [astrocyte_response(model, given, 0, 0, 8, balance_on=x).key_norm.mean() for x in (None, given)]
    assert lengths[1] < 0.5 * lengths[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_untouched_and_the_draw_repeats(kind):
    model, given = build(kind), inputs(kind)
    weights, config, before = copy.deepcopy(model.state_dict()), model.config.to_dict(), output(model, given)
    random_state = torch.get_rng_state()
    one, same, other = (transferred(model, 16, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), random_state)
    results = [output(x, given) for x in (one, same, other)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    with torch.no_grad():
        for p in one.parameters():
            p.zero_()
    assert torch.equal(output(model, given), before)
    assert model.config.to_dict() == config
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("kind", ["causal_lm", "gpt2"])
def test_a_transferred_decoder_is_causal(kind):
    network, given = transferred(build(kind), 64), inputs(kind)
    before = output(network, given)
    given["input_ids"][:, 7] = (given["input_ids"][:, 7] + 3) % 31
    after = output(network, given)
    assert torch.equal(after[:, :7], before[:, :7])
    assert not torch.isclose(after[:, 7:], before[:, 7:]).all(-1).any()


@pytest.mark.parametrize("kind", ["albert", "bert", "vit", "sequence"])
def test_a_transferred_encoder_looks_both_ways(kind):
    network, given = transferred(build(kind), 64), inputs(kind)
    ids = next(iter(given.values()))
    before = network(**given, output_hidden_states=True) if kind != "sequence" else None
    first = before.hidden_states[-1][:, 0] if before else output(network, given)
    if kind == "vit":
        ids[..., -1, -1] += 3.0
    else:
        ids[:, -1] = (ids[:, -1] + 3) % 31
    after = network(**given, output_hidden_states=True).hidden_states[-1][:, 0] if before else output(network, given)
    assert not torch.isclose(after, first).all()


@pytest.mark.parametrize(
    ("kind", "side"),
    [
        ("albert", "right"),
        *((kind, side) for kind in ("bert", "gpt2", "causal_lm", "sequence") for side in ("right", "left")),
    ],
)
def test_padding_changes_nothing(kind, side):
    network = transferred(build(kind), 64)
    ids = inputs(kind)["input_ids"]
    alone = output(network, {"input_ids": ids})
    padding = torch.randint(1, 31, (2, 5), generator=torch.Generator().manual_seed(2))
    parts = [ids, padding] if side == "right" else [padding, ids]
    real = [torch.ones_like(ids), torch.zeros_like(padding)]
    given = {"input_ids": torch.cat(parts, 1), "attention_mask": torch.cat(real if side == "right" else real[::-1], 1)}
    if kind in LIBRARY and side == "left":  # these do not count positions over real tokens by themselves
        given["position_ids"] = (given["attention_mask"].cumsum(1) - 1).clamp_min(0)
    padded = output(network, given)
    if padded.dim() == 3:
        padded = padded[given["attention_mask"].bool()].view_as(alone)
    torch.testing.assert_close(padded, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "causal_lm"])
def test_only_the_named_layers_are_replaced(kind):
    model, given = build(kind), inputs(kind)
    whole, first, second = (output(transferred(model, 32, layers=x), given) for x in (None, [0], [1]))
    both = output(transferred(model, 32, layers=[0, 1]), given)
    assert torch.equal(both, whole)
    soft = output(model, given)
    assert all(distance(x, y) > 1e-3 for x, y in ((first, soft), (second, soft), (first, whole), (second, whole)))


def test_every_layer_draws_its_own_neurons_as_a_network_of_ours_does():
    network = transferred(build("causal_lm"), 40, seed=3)
    first, second = (block.mixer.features for block in network.model.layers)
    assert not torch.equal(first.weight, second.weight) and not torch.equal(first.phase, second.phase)
    ours = AstromorphicForCausalLM(network.config)
    for block, drawn in zip(ours.model.layers, (first, second), strict=True):
        assert torch.equal(block.mixer.features.weight, drawn.weight)
        assert torch.equal(block.mixer.features.phase, drawn.phase)


@pytest.mark.parametrize("kind", list(OURS))
def test_a_transferred_network_of_ours_is_saved_and_loaded(kind, tmp_path):
    network, given = transferred(build(kind), 40, features="cosine", orthogonal=False, seed=5), inputs(kind)
    network.save_pretrained(tmp_path)
    loaded = OURS[kind].from_pretrained(tmp_path).eval()
    assert loaded.config.mixer == "kozachkov" and loaded.config.hidden_dim == 40
    torch.testing.assert_close(output(loaded, given), output(network, given), rtol=1e-4, atol=1e-5)


def with_key_norms(model, given, norm: float):
    """The model with keys whose mean norm, with their factor d^(-1/4), is `norm` in every layer."""
    with torch.no_grad():
        for i, block in enumerate(model.model.layers):
            factor = norm / float(attention_inputs(model, given)[i].key.norm(dim=-1).mean())
            block.mixer.key.weight.mul_(factor)
            block.mixer.key.bias.mul_(factor)
    return model


@pytest.mark.parametrize("features", ["exponential", "cosine"])
@pytest.mark.parametrize("norm", [5.0, 15.0, 40.0])
def test_long_keys_are_the_same_in_memory_after_loading_and_in_a_continuation(norm, features, tmp_path):
    given = inputs("causal_lm")
    model = with_key_norms(build("causal_lm"), given, norm)
    assert float(attention_inputs(model, given)[1].key.norm(dim=-1).mean()) == pytest.approx(norm, rel=1e-3)
    network = transferred(model, 40, features=features).double()
    network.save_pretrained(tmp_path)
    loaded = AstromorphicForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    ids = given["input_ids"]
    with torch.no_grad():
        whole = network(ids).logits
        assert whole.isfinite().all()
        torch.testing.assert_close(loaded(ids).logits, whole, rtol=1e-5, atol=1e-5)
        for net in (network, loaded):
            state, found = None, []
            for t in range(ids.shape[1]):
                after = net(ids[:, t : t + 1], past_key_values=state, use_cache=True)
                state = after.past_key_values
                found.append(after.logits)
            torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-5, atol=1e-5)
            first = net(ids[:, :5], use_cache=True).past_key_values
            rest = net(ids[:, 5:], past_key_values=first).logits
            torch.testing.assert_close(rest, whole[:, 5:], rtol=1e-5, atol=1e-5)
        if features == "exponential":  # the cosine's normaliser is a difference of large numbers, where rounding shows
            narrow = copy.deepcopy(loaded).float()
            state = narrow(ids[:, :-1], use_cache=True).past_key_values
            last = narrow(ids[:, -1:], past_key_values=state).logits
            torch.testing.assert_close(last.double(), whole[:, -1:], rtol=1e-3, atol=1e-3)
        assert torch.equal(loaded.generate(ids, max_new_tokens=4, do_sample=False),
                           network.generate(ids, max_new_tokens=4, do_sample=False, use_cache=False))  # fmt: skip


@pytest.mark.parametrize("norm", [5.0, 15.0, 40.0])
def test_long_keys_of_a_classifier_are_the_same_after_loading(norm, tmp_path):
    given = inputs("sequence")
    network = transferred(with_key_norms(build("sequence"), given, norm), 40, features="cosine")
    network.save_pretrained(tmp_path)
    loaded = AstromorphicForSequenceClassification.from_pretrained(tmp_path).eval()
    found = output(loaded, given)
    assert found.isfinite().all()
    torch.testing.assert_close(found, output(network, given), rtol=1e-4, atol=1e-5)


def test_a_network_replaced_in_part_is_not_loaded_as_something_else(tmp_path):
    transferred(build("causal_lm"), 16, layers=[1]).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"does not fit the configuration.*features"):
        AstromorphicForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["gpt2", "vit"])
def test_a_model_of_the_library_is_transferred_again_after_loading(kind, tmp_path):
    """W is drawn and no weight of the model: the folder holds the softmax model, and the seed gives the network back."""
    model, given = build(kind), inputs(kind)
    network = transferred(model, 32, seed=3)
    network.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    assert torch.equal(output(loaded, given), output(model, given))
    assert torch.equal(output(transferred(loaded, 32, seed=3), given), output(network, given))


def test_a_transferred_decoder_of_ours_generates_with_a_constant_state():
    network, ids = transferred(build("causal_lm"), 64), inputs("causal_lm")["input_ids"][:, :6]
    settings = {"max_new_tokens": 8, "do_sample": False}
    with_state = network.generate(ids, use_cache=True, **settings)
    assert torch.equal(with_state, network.generate(ids, use_cache=False, **settings))
    state = network(ids, use_cache=True).past_key_values
    assert state.layers[0].hebbian.shape == (2, 2, 64, 8)
    whole = network(ids).logits
    pieces = network(ids[:, 3:], past_key_values=network(ids[:, :3], use_cache=True).past_key_values).logits
    torch.testing.assert_close(pieces, whole[:, 3:], rtol=1e-4, atol=1e-5)


def test_generate_of_a_transferred_gpt2_reads_the_whole_text():
    network, ids = transferred(build("gpt2"), 64), inputs("gpt2")["input_ids"][:, :4]
    found = network.generate(ids, max_new_tokens=5, do_sample=False)
    for n in range(4, 9):
        assert torch.equal(output(network, {"input_ids": found[:, :n]})[:, -1].argmax(-1), found[:, n])
    with pytest.raises(ModelError, match="use_cache=False"):
        network.generate(ids, max_new_tokens=3, do_sample=False, use_cache=True)


@pytest.mark.parametrize("settings", [{"scale_attn_weights": False}, {"scale_attn_by_inverse_layer_idx": True}])
def test_the_scaling_of_the_model_is_kept(settings):
    """GPT-2 may have no factor d^(-1/2), or another one in every layer."""
    model, given = build("gpt2", **settings), inputs("gpt2")
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_attn.weight.mul_(0.6)
    assert distance(output(transferred(model, 16384), given), output(model, given)) < 0.05


# The response


@pytest.mark.parametrize("kind", ["causal_lm", "sequence", "gpt2", "albert", "vit"])
def test_the_response_stands_for_the_normaliser(kind):
    model, given = build(kind), inputs(kind)
    if kind not in IMAGES:
        given["attention_mask"] = torch.ones_like(given["input_ids"])
        given["attention_mask"][1, 8:] = 0
    few, many = (astrocyte_response(model, given, 1, 1, m) for m in (100, 40_000))
    assert torch.equal(few.normaliser, many.normaliser)
    error = [(x.response / x.normaliser - 1)[x.valid].abs().max() for x in (few, many)]
    assert error[1] < 0.1 and error[1] < 0.5 * error[0]
    if kind not in IMAGES:
        assert many.valid.tolist() == given["attention_mask"].bool().tolist()


@pytest.mark.parametrize("kind", ["gpt2", "albert"])
def test_the_normaliser_is_that_of_the_attention(kind):
    """exp(score) / C are the attention weights that the library computes by itself, with the scores of the projections."""
    model, given = build(kind, attn_implementation="eager"), inputs(kind)
    gpt2 = kind == "gpt2"
    attention = (
        model.transformer.h[1].attn if gpt2 else model.albert.encoder.albert_layer_groups[0].albert_layers[0].attention
    )
    projections = [attention.c_attn] if kind == "gpt2" else [attention.query, attention.key]
    seen: dict[int, Tensor] = {}
    for i, projection in enumerate(projections):
        projection.register_forward_hook(lambda _, __, out, i=i: seen.__setitem__(i, out))  # the last call stays
    weights = model(**given, output_attentions=True).attentions[1][:, 1]
    q, k = seen[0].split(16, -1)[:2] if kind == "gpt2" else (seen[0], seen[1])
    scores = (q[..., 8:] @ k[..., 8:].transpose(1, 2)) * 8**-0.5  # the second head
    found = astrocyte_response(model, given, 1, 1, 8)
    expected = scores.double().exp() / found.normaliser[:, :, None]
    torch.testing.assert_close(expected.tril() if kind == "gpt2" else expected, weights.double(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.query_norm, (q[..., 8:] * 8**-0.25).norm(dim=-1).double(), rtol=1e-5, atol=1e-7)


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_neurons": 0}, "hidden_neurons is 0"),
        ({"hidden_neurons": 2.5}, "hidden_neurons is 2.5"),
        ({"hidden_neurons": 10**12}, "lower hidden_neurons"),
        ({"features": "performer"}, "features is 'performer'; expected one of exponential"),
        ({"orthogonal": 1}, "orthogonal is 1"),
        ({"seed": -1}, "seed is -1"),
        ({"clip": math.nan}, "clip is nan"),
        ({"layers": [2]}, "layers is \\[2\\]; expected different whole numbers from 0 to 1"),
        ({"layers": []}, "layers is \\[\\]"),
        ({"layers": [0, 0]}, "layers is \\[0, 0\\]"),
    ],
)
@pytest.mark.parametrize("kind", ["causal_lm", "gpt2"])
def test_settings_that_cannot_be_used(kind, settings, message):
    with pytest.raises(ModelError, match=message) as caught:
        transferred(build(kind), **{"hidden_neurons": 8, **settings})
    assert "\n" not in str(caught.value)


def test_models_that_cannot_be_transferred():
    small = {
        "vocab_size": 31,
        "num_key_value_heads": 1,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    cases = {
        "type 'llama'; expected": LlamaModel(LlamaConfig(**WIDTH, **small)),
        "cross attention": build("gpt2", add_cross_attention=True),
        "mixer is 'linear'": AstromorphicForCausalLM(AstromorphicConfig.from_preset("katharopoulos", **WIDTH)),
        "mixer is 'kozachkov'": transferred(build("causal_lm"), 8),
        "already": transferred(build("vit"), 8),
        "hidden_dim is 12": build("causal_lm", hidden_dim=12),
        "model is Linear": torch.nn.Linear(2, 2),
    }
    for message, model in cases.items():
        with pytest.raises(ModelError, match=message):
            transferred(model, 8)
    with pytest.raises(ModelError, match="layer is 2"):
        astrocyte_response(build("vit"), inputs("vit"), 2, 0, 8)
    with pytest.raises(ModelError, match="head is 2"):
        astrocyte_response(build("vit"), inputs("vit"), 0, 2, 8)


def test_calls_that_random_features_cannot_answer():
    network, given = transferred(build("gpt2"), 8), inputs("gpt2")
    past = build("gpt2")(**given, use_cache=True).past_key_values
    with pytest.raises(ModelError, match="use_cache=False"):
        network(given["input_ids"][:, :1], past_key_values=past)
    packed = torch.cat([torch.arange(5), torch.arange(7)]).repeat(2, 1)
    with pytest.raises(ModelError, match="single pairs of tokens"):
        network(**given, position_ids=packed)
    with pytest.raises(ModelError, match="attention mask is"):
        network(**given, attention_mask=torch.zeros(2, 1, 12, 12))
    with pytest.raises(ModelError, match="relative position bias"):
        from models.transfer.library import neuron_astrocyte_attention

        q = torch.zeros(2, 2, 12, 8)
        bias = torch.zeros(1, 2, 12, 12)
        neuron_astrocyte_attention(network.transformer.h[0].attn, q, q, q, None, position_bias=bias)


def test_bits_per_byte_of_a_transferred_model():
    """The loss of a decoder whose queries and keys are short is met to a few thousandths by a thousand neurons."""
    model = build("causal_lm", vocab_size=256)
    with torch.no_grad():
        for block in model.model.layers:
            block.mixer.query.weight.mul_(0.5)
            block.mixer.key.weight.mul_(0.5)
    text = bytes(range(40, 120)) * 2
    soft = bits_per_byte(model, text).bits_per_byte
    assert bits_per_byte(transferred(model, 1024), text).bits_per_byte == pytest.approx(soft, rel=5e-3)
