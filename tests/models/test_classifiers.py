"""The classifiers of sequences and images: padding, permutation, identities between presets, files, and clear errors."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from models import (
    AstromorphicConfig,
    AstromorphicForCausalLM,
    AstromorphicForImageClassification,
    AstromorphicForSequenceClassification,
    ModelError,
)
from models.astromorphic.classification import classification_loss, pool
from models.astromorphic.layout import Layout
from models.astromorphic.modeling_astromorphic import AstromorphicBlock, AstromorphicMixer
from models.astromorphic.presets import PRESETS
from models.ops.features import distance_matrix, feature_map
from models.ops.reference import encoder
from models.ops.response import Power
from models.ops.scaling import per_valid_token
from models.ops.softmax import bidirectional_softmax, causal_softmax

SIZE = {
    "vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 20, "initializer_range": 0.3, "image_size": [8, 12], "num_labels": 3,
}  # fmt: skip
NETWORKS = {"sequence": AstromorphicForSequenceClassification, "image": AstromorphicForImageClassification}
LABELS = torch.tensor([0, 2, 1])


def build(network="sequence", preset="tuned", seed=0, **settings):
    torch.manual_seed(seed)
    return NETWORKS[network].from_preset(preset, **{**SIZE, **settings}).eval()


def moved(model, seed=3):
    """Every parameter away from its initial value, so that nothing is constant by accident."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=g))
    return model


def data(network="sequence", seed=5):
    g = torch.Generator().manual_seed(seed)
    if network == "image":
        return {"pixel_values": torch.randn(3, 3, 8, 12, generator=g)}
    return {"input_ids": torch.randint(1, 31, (3, 11), generator=g)}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_is_counted_and_survives_a_file(preset, network, tmp_path):
    model = moved(build(network, preset)).train()
    loss = model(**data(network), labels=LABELS).loss
    loss.backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert not dead and all(p.grad.isfinite().all() for p in model.parameters())
    assert model.config.num_parameters(network) == model.num_parameters()
    model.eval().save_pretrained(tmp_path)
    auto = AutoModelForSequenceClassification if network == "sequence" else AutoModelForImageClassification
    for loaded in (NETWORKS[network].from_pretrained(tmp_path), auto.from_pretrained(tmp_path)):
        mine, theirs = model.state_dict(), loaded.state_dict()
        assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
        assert not loaded.training and loaded.config.settings() == model.config.settings()
        assert torch.equal(loaded(**data(network)).logits, model(**data(network)).logits)


STEMS = [
    {"stem": "conv"},
    {"stem": "patch"},
    {"stem": "coatnet"},
    {"stem": "coatnet", "patch_size": 4, "stem_depth": 1},
]


@pytest.mark.parametrize("settings", [*STEMS, {"num_channels": 1}, {"stem_channels": 5}], ids=str)
def test_stems_are_counted_saved_and_make_the_right_grid(settings, tmp_path):
    model = moved(build("image", **settings))
    channels = settings.get("num_channels", 3)
    pixels = torch.randn(2, channels, 8, 12, generator=torch.Generator().manual_seed(0))
    patch = settings.get("patch_size", 2)
    assert model.model(pixels).last_hidden_state.shape == (2, 96 // patch**2, 16)
    with torch.device("meta"):
        assert model.config.num_parameters("image") == AstromorphicForImageClassification(model.config).num_parameters()
    model.train()(pixels).logits.sum().backward()  # moves the running statistics of normalisation
    model.eval().save_pretrained(tmp_path)
    loaded = AstromorphicForImageClassification.from_pretrained(tmp_path)
    mine, theirs = dict(model.named_buffers()), dict(loaded.named_buffers())
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)
    assert torch.equal(loaded(pixels).logits, model(pixels).logits)


@pytest.mark.parametrize("stem", ["conv", "patch"])
def test_tokens_are_the_patches_row_by_row(stem):
    """A change of pixels inside one patch moves its token, and through the convolution at most the eight around it."""
    model = build("image", stem=stem)
    base = torch.zeros(1, 3, 8, 12)
    for row, column in ((0, 0), (1, 4), (3, 5)):
        pixels = base.clone()
        pixels[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = 3.0
        change = (model.model.stem(pixels) - model.model.stem(base)).norm(dim=-1)[0]
        moved_rows, moved_columns = (change.view(4, 6) > 0).nonzero(as_tuple=True)
        assert change[6 * row + column] > 0
        reach = 0 if stem == "patch" else 1
        assert (moved_rows - row).abs().max() <= reach and (moved_columns - column).abs().max() <= reach


def test_grid_distances_are_of_rows_and_columns():
    p = distance_matrix(6, "grid", grid=(2, 3))
    assert p[0, 0] == 0 and p[0, 5] == 1 and torch.equal(p, p.T)
    assert p[0, 2] == 0.5 and p[0, 3] == 0.5 and p[0, 1] == 0.25 and p[1, 5] == 0.75
    # One row is the normalised distance along a line, with half the weight of two directions.
    assert torch.equal(distance_matrix(5, "grid", grid=(1, 5)), 0.5 * distance_matrix(5, "absnorm"))
    signed, raw = distance_matrix(4, "signed"), distance_matrix(4, "raw")
    assert torch.equal(signed, -signed.T) and torch.equal(signed.abs(), distance_matrix(4, "absnorm"))
    assert torch.equal(distance_matrix(6, "clipped", clip=2), distance_matrix(6, "raw").clamp(max=2)) and raw[0, 3] == 3
    with pytest.raises(ModelError, match="grid is 2 x 2; expected 6 patches"):
        distance_matrix(6, "grid", grid=(2, 2))
    with pytest.raises(
        ModelError, match='distance is "grid", the rows and columns of an image; use "absnorm" for text'
    ):
        build(distance="grid")
    with pytest.raises(ModelError, match='use "absnorm" for text'):
        AstromorphicForCausalLM(AstromorphicConfig(distance="grid"))


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("preset", ["tuned", "paper_eq18", "softmax", "kozachkov_random_features", "none"])
def test_padding_changes_no_output_and_no_gradient(preset, pooling):
    model = moved(build(preset=preset, pooling=pooling))
    ids = data()["input_ids"]

    def run(ids, mask):
        model.zero_grad()
        out = model(ids, attention_mask=mask, labels=LABELS)
        out.loss.backward()
        return out.logits.detach(), [p.grad.clone() for p in model.parameters()]

    logits, gradients = run(ids, None)
    filler = torch.full((3, 5), 7)
    for left, right in ((0, 5), (5, 0), (2, 3)):
        padded = torch.cat([filler[:, :left], ids, filler[:, :right]], 1)
        mask = torch.cat([torch.zeros(3, left), torch.ones(3, 11), torch.zeros(3, right)], 1)
        other, theirs = run(padded, mask)
        assert (other - logits).abs().max() < 2e-6 * logits.abs().max().clamp_min(1)
        for a, b in zip(gradients, theirs, strict=True):
            assert (a - b).abs().max() < 1e-5 * a.abs().max() + 1e-6


def test_rows_of_their_own_lengths_equal_rows_alone():
    model = moved(build())
    ids = data()["input_ids"]
    lengths = (11, 4, 1)
    mask = torch.arange(11)[None] < torch.tensor(lengths)[:, None]
    together = model(ids, attention_mask=mask.long()).logits
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, :length]).logits
        assert (together[row] - alone[0]).abs().max() < 2e-6
    # The pad token stands for the mask where it is named.
    named = moved(build(pad_token_id=0))
    assert torch.equal(named(ids.masked_fill(~mask, 0)).logits, named(ids.masked_fill(~mask, 0), mask.long()).logits)
    assert (named(ids.masked_fill(~mask, 0)).logits - together).abs().max() < 2e-6


@pytest.mark.parametrize("preset", PRESETS)
def test_rows_of_padding_alone_and_nan_in_the_padding_reach_nothing(preset):
    model = moved(build(preset=preset))
    x = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 7)
    mask[1] = 0
    mask[2, 4:] = 0
    x[mask == 0] = float("nan")
    out = model(inputs_embeds=x, attention_mask=mask, labels=LABELS)
    assert torch.allclose(out.logits[1], model.classifier.bias)
    assert (out.logits[2] - model(inputs_embeds=x[2:, :4]).logits[0]).abs().max() < 2e-6
    out.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_only_the_position_code_sees_the_order():
    """I6: without a code the layer is a bag of tokens; with one it is not; position embeddings are off."""
    ids = data()["input_ids"]
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    for code, same in ((False, True), (True, False)):
        model = moved(build(position_code=code, position_embeddings=False)).double()
        change = (model(ids).logits - model(ids[:, order]).logits).abs().max()
        assert (change < 1e-12) if same else (change > 1e-4)
    # The query's own position does not enter: one query, two places, one output.
    mixer = moved(build(position_embeddings=False)).model.layers[0].mixer
    x = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(2))
    x[:, 3] = x[:, 0]
    out = mixer(x, torch.arange(4), None, None)[0]
    assert torch.allclose(out[:, 0], out[:, 3], atol=1e-7)


def mixer_of(preset, seed=0, positions=9, **settings):
    torch.manual_seed(seed)
    config = AstromorphicConfig.from_preset(preset, **{**SIZE, "max_position_embeddings": positions, **settings})
    model = AstromorphicForSequenceClassification(config)
    return moved(model).model.layers[0].mixer.double()


def test_the_ladder_of_presets():
    """eq. 18 -> Algorithm 1 -> Kozachkov = s x linear attention -> Katharopoulos -> softmax in expectation."""
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    at = torch.arange(9)
    shared = {"out_proj": False, "learnable_gain": False}

    def run(mixer, weights=None):
        if weights is not None:
            own = mixer.state_dict()
            mixer.load_state_dict({k: weights.get(k, own[k]) for k in own})
        return mixer(x, at, None, None)[0]

    linear = mixer_of("katharopoulos", **shared)
    weights = linear.state_dict()
    base = run(linear)
    # Dropping the sigmoid, the code and the power from Algorithm 1 leaves s times linear attention.
    plain = {"response": {"family": "power", "parameters": {"alpha": 1.0}}, "position_code": False, **shared}
    for name, settings in (
        ("paper_alg1", plain),
        ("paper_eq18", {**plain, "sigmoid_placement": "none"}),
        ("kozachkov", shared),
    ):
        scaled = run(mixer_of(name, hebbian_scale=0.01, **settings), weights)
        assert (scaled - 0.01 * base).abs().max() < 1e-15
    # Linear attention is a mean of the values with weights phi(q) phi(k)^T.
    q, k, v = linear.project(x)
    a = torch.einsum("bthm,buhm->bhtu", feature_map(q), feature_map(k))
    a = a / a.sum(-1, keepdim=True)
    assert (torch.einsum("bhtu,buhd->bthd", a, v).flatten(2) - base).abs().max() < 1e-14
    # Random neurons: the error against softmax attention falls with their number.
    exact = run(mixer_of("softmax", **shared), {k: 0.3 * w for k, w in weights.items()})
    error = []
    for m in (64, 4096):
        mixer = mixer_of("kozachkov_random_features", hidden_dim=m, **shared)
        error.append((run(mixer, {k: 0.3 * w for k, w in weights.items()}) - exact).square().mean().sqrt().item())
    assert error[1] < 0.3 * error[0] and error[1] < 0.05 * exact.std()
    # The sigmoid inside with a vanishing scale gives half the sum of phi(q) over C, whatever the values.
    dead = mixer_of("paper_eq11", hebbian_scale=1e-14, position_code=False)
    q, k, v = dead.project(x)
    c = torch.einsum("bthm,bhm->bth", feature_map(q), feature_map(k).sum(1) ** 0.25)
    assert ((0.5 * feature_map(q).sum(-1) / c)[..., None].expand_as(v).flatten(2) - run(dead)).abs().max() < 1e-12
    # none: the branch is zero.
    assert AstromorphicForSequenceClassification.from_preset("none", **SIZE).model.layers[0].mixer is None


def test_scales_of_the_presets():
    for network, number in (("causal_lm", 100), ("sequence", 500), ("image", 500)):
        for name in ("paper_eq11", "paper_eq18", "paper_alg1", "kozachkov"):
            config = AstromorphicConfig.from_preset(name, network=network, hidden_size=32)
            assert config.hebbian_scale == 1 / (number * 32)
            assert (config.distance == "grid") == (network == "image" and name != "kozachkov")
    with pytest.raises(ModelError, match="network is 'text'; expected one of causal_lm, sequence, image"):
        AstromorphicConfig.from_preset("tuned", network="text")
    assert AstromorphicConfig.from_preset("tuned").scale_for(Layout(50)) == 1 / 50
    assert AstromorphicConfig.from_preset("tuned").scale_for(Layout(50, bidirectional=True)) is None


@pytest.mark.parametrize("placement", ["inside", "outside", "none", "centred"])
def test_a_scale_per_row_is_the_scale_of_that_row(placement, make_inputs):
    q, k, v, code, _ = make_inputs(time=6).features()
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    settings = {"response": Power(0.25), "placement": placement, "code": code}
    rows = per_valid_token(q, k, v, form=encoder, mask=mask, **settings)
    for row, count in enumerate((6, 2)):
        one = slice(row, row + 1)
        alone = encoder(q[one], k[one], v[one], scale=1 / count, mask=mask[one], **settings)
        assert (rows[one] - alone).abs().max() < 1e-14


def test_heads_do_not_mix_before_the_output_projection():
    mixer = mixer_of("tuned", out_proj=False)
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, k, v = mixer.project(x)
    code = mixer.code_at(torch.arange(9))
    pieces = [
        per_valid_token(
            feature_map(q[:, :, h : h + 1]), feature_map(k[:, :, h : h + 1]), v[:, :, h : h + 1], form=encoder, mask=None,
            response=Power(0.25), placement="centred", code=code[:, h : h + 1],
        ) * mixer.gain[h]
        for h in range(2)
    ]  # fmt: skip
    assert (torch.cat(pieces, 2).flatten(2) - mixer(x, torch.arange(9), None, None)[0]).abs().max() < 1e-15


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("tuned", {}), ("tuned", {"branch_norm": True}), ("tuned", {"calcium_reading": "running"}), ("paper_eq18", {}),
        ("kozachkov_random_features", {}), ("softmax", {}),
    ],
    ids=str,
)  # fmt: skip
def test_gradcheck(preset, settings):
    size = {"hidden_size": 4, "num_hidden_layers": 1, "intermediate_size": 4, "max_position_embeddings": 4}
    model = moved(build(preset=preset, **{**size, **settings})).double()
    x = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert torch.autograd.gradcheck(lambda e: model(inputs_embeds=e, attention_mask=mask).logits, (x,), atol=1e-7)
    weights = [p for n, p in model.named_parameters() if "mixer" in n and p.numel() <= 16]

    def loss(*values):
        named = dict(zip([n for n, p in model.named_parameters() if any(p is w for w in weights)], values, strict=True))
        kwargs = {"inputs_embeds": x.detach(), "attention_mask": mask}
        return torch.func.functional_call(model, named, (), kwargs).logits

    assert torch.autograd.gradcheck(loss, tuple(weights), atol=1e-7)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("preset", ["tuned", "paper_eq11", "softmax", "kozachkov_random_features"])
def test_bfloat16_stays_near_float32(preset, network):
    """Weights and activations have 8 bits; sums, powers and the loss are float32: 3 % of the spread of the logits."""
    model = build(network, preset, hidden_size=64, intermediate_size=64)
    exact = model(**data(network), labels=LABELS)
    inputs = data(network)
    half = build(network, preset, hidden_size=64, intermediate_size=64).bfloat16()
    if network == "image":
        inputs = {"pixel_values": inputs["pixel_values"].bfloat16()}
    found = half(**inputs, labels=LABELS)
    assert found.loss.dtype == torch.float32 and found.logits.dtype == torch.bfloat16
    assert (found.logits - exact.logits).abs().max() < 0.03 * exact.logits.abs().max()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(**data(network), labels=LABELS)
    assert (mixed.logits - exact.logits).abs().max() < 0.03 * exact.logits.abs().max()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("preset", ["tuned", "kozachkov_random_features"])
def test_two_builds_with_one_seed_are_equal(preset, network):
    one, two, other = (build(network, preset, seed=s, stem="coatnet").state_dict() for s in (7, 7, 8))
    assert all(torch.equal(one[k], two[k]) for k in one) and all(v.isfinite().all() for v in one.values())
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])
    if preset == "kozachkov_random_features":
        names = [k for k in one if k.endswith("features.weight")]
        # The neurons belong to the configuration and to their layer, not to the seed of the run.
        assert len(names) == 2 and not torch.equal(one[names[0]], one[names[1]])
        assert all(torch.equal(one[k], other[k]) for k in names)
        drawn = build(network, preset, feature_seed=1).state_dict()
        assert not torch.equal(drawn[names[0]], one[names[0]])


def test_batch_rows_are_independent():
    for network in NETWORKS:
        model, inputs = moved(build(network)), data(network)
        together = model(**inputs).logits
        alone = torch.cat([model(**{k: v[i : i + 1] for k, v in inputs.items()}).logits for i in range(3)])
        assert (together - alone).abs().max() < 2e-6


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["tuned", "paper_eq18", "kozachkov_random_features", "softmax"])
@pytest.mark.parametrize("network", NETWORKS)
def test_compiling_changes_nothing(network, preset):
    model, inputs = moved(build(network, preset)), data(network)
    if network == "sequence":
        inputs["attention_mask"] = (torch.arange(11) < torch.tensor([[11], [5], [0]])).long()
    plain = model(**inputs, labels=LABELS)
    expected = torch.autograd.grad(plain.loss, list(model.parameters()), allow_unused=True)
    compiled = torch.compile(model)(**inputs, labels=LABELS)
    assert (compiled.logits - plain.logits).abs().max() < 1e-5 * plain.logits.abs().max()
    found = torch.autograd.grad(compiled.loss, list(model.parameters()), allow_unused=True)
    for a, b in zip(expected, found, strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a - b).abs().max() < 1e-4 * a.abs().max() + 1e-6


def test_pooling_and_loss_are_their_formulas():
    x = torch.arange(24.0).view(2, 4, 3)
    mask = torch.tensor([[False, True, True, False], [True, False, False, False]])
    assert torch.equal(pool(x, mask, "mean"), torch.stack([x[0, 1:3].mean(0), x[1, 0]]))
    assert torch.equal(pool(x, mask, "first"), torch.stack([x[0, 1], x[1, 0]]))
    assert torch.equal(pool(x, mask, "last"), torch.stack([x[0, 2], x[1, 0]]))
    assert torch.equal(pool(x, None, "last"), x[:, 3]) and torch.equal(pool(x, None, "first"), x[:, 0])
    assert pool(x, torch.zeros(2, 4, dtype=torch.bool), "last").abs().max() == 0
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    hard = classification_loss(logits, LABELS, None)
    assert torch.equal(hard, F.cross_entropy(logits, LABELS))
    assert torch.allclose(classification_loss(logits, F.one_hot(LABELS, 3).float(), None), hard)
    share = torch.tensor([[0.25, 0.75, 0.0]]).expand(3, 3)
    assert torch.allclose(classification_loss(logits, share, None), -(share * logits.log_softmax(-1)).sum(-1).mean())
    assert classification_loss(logits.bfloat16(), LABELS, None).dtype == torch.float32
    model = build(problem_type="multi_label_classification")
    several = torch.tensor([[1.0, 0, 1]]).expand(3, 3)
    out = model(**data(), labels=several)
    assert torch.allclose(out.loss, F.binary_cross_entropy_with_logits(out.logits, several))
    model = build(problem_type="regression", num_labels=1)
    out = model(**data(), labels=torch.tensor([0.5, 1.0, 2.0]))
    assert torch.allclose(out.loss, F.mse_loss(out.logits[:, 0], torch.tensor([0.5, 1.0, 2.0])))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_the_output_layer_reads_what_pooling_says(network, pooling):
    """Of images after a GELU, as in the paper; with dropout of its own while training."""
    model, inputs = moved(build(network, pooling=pooling, classifier_dropout=0.5)), data(network)
    mask = None
    if network == "sequence":
        mask = torch.arange(11) < torch.tensor([[11], [6], [2]])
        inputs["attention_mask"] = mask.long()
    hidden = model.model(**inputs).last_hidden_state
    read = pool(F.gelu(hidden) if network == "image" else hidden, mask, pooling)
    expected = read @ model.classifier.weight.T + model.classifier.bias
    assert (model(**inputs).logits - expected).abs().max() < 1e-5
    seen = []
    model.train().classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    torch.manual_seed(0)
    for _ in range(20):
        model(**inputs)
    read_on = torch.stack(seen)
    # 960 draws: 5 standard errors are 0.08. What stays is scaled up.
    assert abs((read_on == 0).float().mean().item() - 0.5) < 0.08
    assert torch.allclose(read_on, torch.where(read_on == 0, 0.0, 2.0 * read), atol=1e-5)


def test_the_code_of_an_image_is_that_of_its_rows_and_columns():
    """8 x 12 pixels are 4 x 6 patches; P_rel written out, and W_astro^T = phi(M^T M P_rel M^T)."""
    places = [(row, column) for row in range(4) for column in range(6)]
    relative = torch.tensor([[0.5 * (abs(a - c) / 3 + abs(b - d) / 5) for c, d in places] for a, b in places])
    mixer = moved(build("image")).model.layers[1].mixer
    matrix = mixer.position_matrix
    expected = feature_map(matrix.mT @ (matrix @ relative @ matrix.mT)).transpose(0, 1)
    assert mixer.distance == "grid" and torch.allclose(mixer.code_at(torch.arange(24)), expected, rtol=1e-4, atol=1e-5)


def test_embeddings_of_another_width_frozen_or_not(tmp_path):
    vectors = torch.randn(31, 6, generator=torch.Generator().manual_seed(0))
    for trains in (True, False):
        model = build(embedding_size=6, train_embeddings=trains)
        model.load_embeddings(vectors)
        assert torch.equal(model.model.embed.weight, vectors)
        assert model.config.num_parameters("sequence") == model.num_parameters()
        model.train()(**data(), labels=LABELS).loss.backward()
        assert (model.model.embed.weight.grad is not None) == trains
        assert model.model.embed_projection.weight.grad.abs().max() > 0
        model.save_pretrained(tmp_path / str(trains))
        loaded = AstromorphicForSequenceClassification.from_pretrained(tmp_path / str(trains))
        assert loaded.model.embed.weight.requires_grad == trains and torch.equal(loaded.model.embed.weight, vectors)
    with pytest.raises(
        ModelError, match=r"vectors are \(30, 6\); expected \(31, 6\): set vocab_size and embedding_size"
    ):
        model.load_embeddings(vectors[:30])
    with pytest.raises(ModelError, match="vectors hold NaN"):
        model.load_embeddings(vectors / 0 * 0)
    with pytest.raises(ModelError, match="embedding_size is 6 and tie_word_embeddings True"):
        AstromorphicForCausalLM(AstromorphicConfig(embedding_size=6))


def test_dropout_on_the_sum_and_layers_left_out():
    torch.manual_seed(0)
    x = torch.randn(4, 5, 16)
    at = torch.arange(5)

    def block(index=1, **settings):
        torch.manual_seed(0)
        config = AstromorphicConfig(**{**SIZE, **settings})
        made = AstromorphicBlock(config, Layout(20, bidirectional=True), index)
        if made.mixer is not None and made.mixer.position_matrix is not None:
            nn.init.normal_(made.mixer.position_matrix)
        return made

    # On the sum, the residual is dropped as well: before the norm some entries are exactly 0 for any branch.
    seen = []
    for placement in ("branch", "residual"):
        made = block(dropout=0.5, dropout_placement=placement, mixer="none").train()
        made.mixer_norm.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0] == 0).float().mean().item()))
        made(x, at, None, None)
    assert seen[0] == 0.0 and 0.35 < seen[1] < 0.65
    # Left out: never in the first layer or outside training; otherwise whole samples, the rest scaled up.
    made = block(stochastic_depth=0.5, mixer="none")
    branch = torch.ones(4000, 1, 1)
    made.train()
    added = made._add(torch.zeros_like(branch), branch)
    assert set(added.unique().tolist()) == {0.0, 2.0} and abs(added.mean().item() - 1) < 0.1
    assert torch.equal(made.eval()._add(torch.zeros_like(branch), branch), branch)
    first = block(index=0, stochastic_depth=0.5).train()
    assert torch.equal(first._add(torch.zeros_like(branch), branch), branch)
    assert block(index=0, stochastic_depth=0.5, num_hidden_layers=1).left_out == 0.5


def test_normalised_branches_have_one_size():
    """A14: whatever the response does to the gain, a normalised branch has rms 1 per token and head."""
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for settings in ({"response": {"family": "power", "parameters": {"alpha": a}}} for a in (0.25, 1.0)):
        for name in ("tuned", "paper_eq18"):
            mixer = mixer_of(name, branch_norm=True, out_proj=False, learnable_gain=False, **settings)
            out = mixer(x, torch.arange(9), None, None)[0].view(2, 9, 2, 8)
            assert (out.square().mean(-1) - 1).abs().max() < 1e-3


def test_softmax_ignores_padding_as_a_softmax_over_the_rest_does():
    q, k, v = (torch.randn(2, 6, 2, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mask = torch.tensor([[True] * 6, [False] * 2 + [True] * 3 + [False]])
    junk = [torch.where(mask[:, :, None, None], x, torch.nan) for x in (q, k, v)]
    out = bidirectional_softmax(*junk, mask=mask)
    alone = bidirectional_softmax(*(x[1:, 2:5] for x in (q, k, v)))
    assert (out[1, 2:5] - alone[0]).abs().max() < 1e-6 and out[1, :2].abs().max() == 0
    scores = torch.einsum("bthd,buhd->bhtu", q, k) / 2
    assert (torch.einsum("bhtu,buhd->bthd", scores.softmax(-1), v)[0] - out[0]).abs().max() < 1e-6


def test_nan_in_the_padding_reaches_no_token_of_the_causal_control_either():
    q, k, v = (torch.randn(1, 6, 2, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    mask = torch.tensor([[False] * 2 + [True] * 4])
    junk = [torch.where(mask[:, :, None, None], x, torch.nan) for x in (q, k, v)]
    out, state = causal_softmax(*junk, mask=mask)
    alone, _ = causal_softmax(*(x[:, 2:] for x in (q, k, v)))
    assert (out[:, 2:] - alone).abs().max() < 1e-6 and out[:, :2].abs().max() == 0
    later, _ = causal_softmax(q[:, -1:], k[:, -1:], v[:, -1:], mask=mask[:, -1:], initial_state=state)
    assert later.isfinite().all()


def test_a_single_class_and_accumulated_batches(tmp_path):
    with pytest.raises(ModelError, match="loss of a single class is always 0"):
        build(num_labels=1)(**data(), labels=torch.zeros(3, dtype=torch.long))
    items = [{"input_ids": row, "labels": label} for row, label in zip(*[*data().values(), LABELS], strict=True)]
    after = []
    for size, together in ((3, 1), (1, 3)):
        model = build()
        arguments = TrainingArguments(
            str(tmp_path), max_steps=1, per_device_train_batch_size=size, gradient_accumulation_steps=together, optim="sgd",
            learning_rate=0.1, max_grad_norm=1e9, use_cpu=True, report_to="none", disable_tqdm=True, save_strategy="no",
            train_sampling_strategy="sequential", lr_scheduler_type="constant",
        )  # fmt: skip
        Trainer(model, arguments, train_dataset=items).train()
        after.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert (after[0] - after[1]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("network", "change", "message"),
    [
        ("sequence", {"labels": torch.tensor([0, 3, 1])}, r"labels run from 0 to 3; expected 0 to 2: count the classes"),
        ("sequence", {"labels": torch.tensor([0, -1, 1])}, r"labels run from -1 to 1; expected 0 to 2"),
        ("sequence", {"labels": torch.tensor([0, 1])}, r"labels are \(2,\) of torch.int64; expected whole numbers \(3,\)"),
        ("sequence", {"labels": torch.tensor([0.0, 1, 2])}, r"labels are \(3,\) of torch.float32; expected whole numbers"),
        ("sequence", {"attention_mask": torch.ones(3, 10)}, r"attention_mask is \(3, 10\); expected \(3, 11\)"),
        ("sequence", {"attention_mask": torch.ones(3, 11, 11)}, r"attention_mask is \(3, 11, 11\)"),
        ("sequence", {"input_ids": torch.full((3, 11), 31)}, r"input_ids run from 31 to 31; expected 0 to 30: the tokenizer"),
        ("sequence", {"input_ids": torch.zeros(3, 11)}, r"input_ids are \(3, 11\) of torch.float32; expected whole numbers"),
        ("sequence", {"input_ids": torch.zeros(11, dtype=torch.long)}, r"input_ids are \(11,\)"),
        ("sequence", {"input_ids": torch.zeros(3, 0, dtype=torch.long)}, "the sequence has no tokens"),
        ("sequence", {"input_ids": torch.zeros(3, 21, dtype=torch.long)}, "reaches 21 tokens but max_position_embeddings is 20"),
        ("sequence", {"input_ids": None, "inputs_embeds": torch.zeros(3, 4, 5)}, r"inputs_embeds are \(3, 4, 5\) of .* 16\]"),
        ("sequence", {"input_ids": None}, "exactly one of input_ids and inputs_embeds"),
        ("image", {"pixel_values": torch.zeros(3, 3, 32, 32)}, r"are \(3, 3, 32, 32\); expected \[batch, 3, 8, 12\]"),
        ("image", {"pixel_values": torch.zeros(3, 8, 12, 3)}, "move the channels to the second place"),
        ("image", {"pixel_values": torch.zeros(3, 3, 8, 12, dtype=torch.uint8)}, "torch.uint8; expected floating point"),
        ("image", {"labels": torch.tensor([0, 1, 10])}, "labels run from 0 to 10"),
        ("image", {"labels": torch.zeros(3, 4)}, r"labels are \(3, 4\) of torch.float32"),
    ],
)  # fmt: skip
def test_faults_of_the_input_are_named(network, change, message):
    model = build(network)
    with pytest.raises(ModelError, match=message) as caught:
        model(**{**data(network), **change})
    assert "\n" not in str(caught.value)


def test_the_decoder_names_a_vocabulary_that_does_not_fit(tiny, tokens):
    with pytest.raises(ModelError, match=r"input_ids run from .* to 300; expected 0 to 30"):
        tiny()(torch.cat([tokens, torch.full((3, 1), 300)], 1))


def test_a_decoder_lends_its_body_to_a_classifier_only_on_purpose(tiny, tokens, tmp_path):
    decoder = moved(tiny())
    decoder.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="missing keys: classifier"):
        AstromorphicForSequenceClassification.from_pretrained(tmp_path)
    model = AstromorphicForSequenceClassification.from_pretrained(tmp_path, allow_mismatch=True, num_labels=4)
    body = decoder.model.state_dict()
    assert all(torch.equal(body[k], v) for k, v in model.model.state_dict().items())
    assert model(tokens).logits.shape == (3, 4) and model.model.layers[0].mixer.layout.bidirectional


def test_macro_parameters_reach_the_classifiers_and_their_files(tmp_path):
    from bridge.artifact import MacroParameters

    file = __file__.split("tests")[0] + "bridge/presets/fig3_published_hyperbola.json"
    for network, cls in NETWORKS.items():
        model = cls.from_macro(file, **SIZE)
        assert model.config.response["family"] == "hyperbola"
        assert model.config.distance == ("grid" if network == "image" else "absnorm")
        model.save_pretrained(tmp_path / network)
        assert MacroParameters.load(str(tmp_path / network / "macro.json")).digest == model.config.macro_digest
        loaded = cls.from_pretrained(tmp_path / network)
        assert loaded.config.macro.digest == model.config.macro_digest
    with pytest.raises(ModelError, match="does not fit the configuration"):
        AstromorphicForImageClassification.from_pretrained(tmp_path / "sequence")


def test_a_mixer_and_its_layout_share_no_state_between_forwards():
    """Two passes in eval mode give the same bits, and training mode without dropout as well."""
    model = moved(build("image"))
    first, second = model(**data("image")).logits, model(**data("image")).logits
    assert torch.equal(first, second) and torch.equal(model.train()(**data("image")).logits, first)
    assert isinstance(model.model.layers[0].mixer, AstromorphicMixer)


LEARN = {"tuned": True, "paper_eq11": True, "paper_alg1": True, "rmaat": True, "katharopoulos": False, "softmax": False,
         "none": False}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("preset", LEARN)
def test_the_position_code_alone_teaches_the_order(preset):
    """Which of two marks comes first, without position embeddings: every layer without a code stays at chance."""

    def batch(count, generator):
        ids = torch.randint(3, 20, (count, 16), generator=generator)
        places = torch.rand(count, 16, generator=generator).argsort(1)[:, :2]
        ids.scatter_(1, places[:, :1], 1).scatter_(1, places[:, 1:], 2)
        return ids, (places[:, 0] < places[:, 1]).long()

    size = {"vocab_size": 20, "hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64, "num_labels": 2}
    settings = {**size, "num_attention_heads": 4, "max_position_embeddings": 16, "position_embeddings": False}
    model = build(preset=preset, **settings).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(1)
    for _ in range(300):
        ids, labels = batch(64, generator)
        optimiser.zero_grad()
        model(ids, labels=labels).loss.backward()
        optimiser.step()
    ids, labels = batch(2000, torch.Generator().manual_seed(2))
    right = (model.eval()(ids).logits.argmax(-1) == labels).float().mean().item()
    assert right > 0.95 if LEARN[preset] else abs(right - 0.5) < 0.05
