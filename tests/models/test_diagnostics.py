"""Diagnostics: the numbers at initialisation that the documentation states, and what each of them must see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models import (
    AstromorphicConfig,
    AstromorphicForImageClassification,
    AstromorphicForSequenceClassification,
    diagnose,
)
from models.astromorphic.layout import Layout
from models.astromorphic.modeling_astromorphic import AstromorphicMixer
from models.diagnostics import mixer_diagnostics
from models.errors import ModelError
from models.ops.random_features import draw_weights

# Tokens, width, heads, then per scale s: content with the sigmoid inside, outside, and without one (docs/deviations.md).
SETUPS = {
    "imdb": (400, 128, 4, {1 / 32: (2.7e-2, 1.6e-3, 1.6e-1), 1 / 400: (3.1e-3, 1.3e-4, 1.2e-2),
                           1 / 64000: (1.5e-4, 8.1e-7, 7.8e-5)}),
    "cifar10": (256, 256, 8, {1 / 32: (3.2e-2, 2.6e-3, 1.5e-1), 1 / 256: (4.7e-3, 3.2e-4, 1.9e-2),
                              1 / 128000: (1.6e-4, 6.4e-7, 3.7e-5)}),
}  # fmt: skip


def mixer_at_start(length, width, heads, **settings):
    """As stated there: PyTorch's own initialisation of linear layers, M of N(0, 1/N), alpha 1/4, P_rel = |i-j|/(N-1)."""
    config = AstromorphicConfig(
        hidden_size=width, num_attention_heads=heads, max_position_embeddings=length, learnable_gain=False, **settings
    )
    torch.manual_seed(0)
    mixer = AstromorphicMixer(config, Layout(length, bidirectional=True))
    nn.init.normal_(mixer.position_matrix, std=length**-0.5)
    return mixer


def at_start(length, width, heads, batch=4, **settings):
    mixer = mixer_at_start(length, width, heads, **settings)
    x = torch.randn(batch, length, width, generator=torch.Generator().manual_seed(1))
    keep = torch.ones(batch, length, dtype=torch.bool)
    return mixer_diagnostics(mixer, x, torch.arange(length), keep, x)


def mean(values):
    return sum(values) / len(values)


def rms(values):
    return math.sqrt(mean([v * v for v in values]))


@pytest.mark.parametrize("setup", SETUPS)
def test_the_branch_at_initialisation_is_as_alive_as_stated(setup):
    length, width, heads, rows = SETUPS[setup]
    for scale, expected in rows.items():
        found = [
            at_start(length, width, heads, hebbian_scale=scale, sigmoid_placement=placement)
            for placement in ("inside", "outside", "none")
        ]
        for one, content in zip(found, expected, strict=True):
            assert rms(one.content) == pytest.approx(content, rel=0.2)
        assert mean(found[0].output_mean) == pytest.approx(0.115, rel=0.1)
    # At the paper's scale the argument of the sigmoid is a few 1e-4, and nothing is saturated.
    dead = at_start(length, width, heads, hebbian_scale=scale, sigmoid_placement="inside")
    assert 2e-4 < rms(dead.argument_rms) < 8e-4 and dead.saturated == [0.0] * heads
    assert dead.residual_rms == pytest.approx(1.0, rel=0.01)


def test_readings_and_exponents_are_gains_first():
    """A4 and A14: at s = 1/N the output's mean over two orders of magnitude, by the reading of g or by alpha alone."""
    shared = {"batch": 2, "hebbian_scale": 1 / 400, "sigmoid_placement": "inside"}
    sizes = {"sum_then_power": 1.1e-1, "power_then_sum": 1.3e-3, "scalar": 5.2e-4, "running": 3.4e-4}
    for reading, size in sizes.items():
        one = at_start(400, 128, 4, calcium_reading=reading, **shared)
        assert mean(one.output_mean) == pytest.approx(size, rel=0.1)
    for alpha, size in {1.0: 1.2e-3, 0.5: 2.4e-2, 0.25: 1.1e-1}.items():
        response = {"family": "power", "parameters": {"alpha": alpha}}
        assert mean(at_start(400, 128, 4, response=response, **shared).output_mean) == pytest.approx(size, rel=0.1)


def test_raw_distances_saturate_the_sigmoid_even_at_the_printed_scale():
    """The reason for the normalised default: M of N(0, 1) with raw distances, against clipped and normalised ones."""
    share = {}
    for distance in ("raw", "clipped", "absnorm"):
        mixer = mixer_at_start(400, 128, 4, hebbian_scale=1 / 64000, sigmoid_placement="inside", distance=distance)
        nn.init.normal_(mixer.position_matrix)
        x = torch.randn(2, 400, 128, generator=torch.Generator().manual_seed(1))
        one = mixer_diagnostics(mixer, x, torch.arange(400), torch.ones(2, 400, dtype=torch.bool), x)
        share[distance] = (rms(one.argument_rms), mean(one.saturated))
    assert share["raw"] == (pytest.approx(59, rel=0.1), pytest.approx(0.87, abs=0.03))
    assert share["clipped"] == (pytest.approx(5.5, rel=0.1), pytest.approx(0.18, abs=0.03))
    assert share["absnorm"][0] < 0.3 and share["absnorm"][1] == 0


def test_the_argument_after_every_token_of_a_decoder(tiny, tokens):
    model = tiny(sigmoid_placement="inside", hebbian_scale=0.5)
    layers = diagnose(model, input_ids=tokens)
    assert [one.layer for one in layers] == [0, 1]
    mixer = model.model.layers[0].mixer
    with torch.no_grad():
        x = model.model.embed(tokens) + model.model.embed_positions(torch.arange(20))
        q, k, v = mixer.project(x)
        kappa = mixer.feature_maps(q, k)[1] + mixer.code_at(torch.arange(20))
        s = (kappa[..., None] * v[..., None, :]).cumsum(1) * 0.5
    assert layers[0].argument_rms == pytest.approx(s.square().mean((0, 1, 3, 4)).sqrt().tolist(), rel=1e-4)
    out = diagnose(model, input_ids=tokens, level=0.1)[0].saturated
    assert out == pytest.approx((s.abs() > 0.1).float().mean((0, 1, 3, 4)).tolist(), rel=1e-3)


@pytest.mark.parametrize("kind", ["exponential", "cosine"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_argument_of_random_features_is_that_of_their_equation(kind, bidirectional):
    """s S with S = sum phi(k)^T v and phi written out; factors that leave the output alone would show here."""
    config = AstromorphicConfig.from_preset(
        "kozachkov_random_features", hidden_size=16, num_attention_heads=2, hidden_dim=12, max_position_embeddings=9,
        feature_map=kind, hebbian_scale=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    mixer = AstromorphicMixer(config, Layout(9, bidirectional=bidirectional))
    weight, phase = draw_weights(2, 12, 8, seed=1)
    mixer.features.weight.copy_(weight)
    mixer.features.phase.copy_(phase)
    x = 3.0 * torch.randn(3, 9, 16)
    found = mixer_diagnostics(mixer, x, torch.arange(9), torch.ones(3, 9, dtype=torch.bool), x)
    with torch.no_grad():
        _, k, v = mixer.project(x)
        k = k * 8**-0.25
        wk, half = torch.einsum("bthd,hmd->bthm", k, weight), k.square().sum(-1, keepdim=True) / 2
        phi = (wk - half).exp() * 12**-0.5 if kind == "exponential" else (wk + phase).cos() * half.exp() * 6**-0.5
        s = 0.3 * (phi[..., None] * v[..., None, :])
        s = s.sum(1, keepdim=True) if bidirectional else s.cumsum(1)
    assert found.argument_rms == pytest.approx(s.square().mean((0, 1, 3, 4)).sqrt().tolist(), rel=1e-4)
    assert found.saturated is None


@pytest.mark.parametrize("preset", ["tuned", "softmax", "katharopoulos"])
def test_padding_changes_no_number(preset, tiny_size, randomise):
    torch.manual_seed(0)
    model = randomise(AstromorphicForSequenceClassification.from_preset(preset, **tiny_size)).train()
    ids = torch.randint(1, 31, (3, 9), generator=torch.Generator().manual_seed(2))
    padded = torch.cat([ids, torch.zeros(3, 4, dtype=torch.long)], 1)
    mask = (padded > 0).long()
    plain, other = diagnose(model, input_ids=ids), diagnose(model, input_ids=padded, attention_mask=mask)
    assert model.training
    for a, b in zip(plain, other, strict=True):
        assert (a.argument_rms is None) == (preset == "softmax")
        for name in ("output_rms", "output_mean", "content", "output_gain"):
            assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-4, abs=1e-7), name
        assert a.branch_to_residual == pytest.approx(b.branch_to_residual, rel=1e-4)


def test_content_is_what_depends_on_keys_and_values(tiny_size, randomise):
    """Equal samples lend nothing; a branch without attention has no diagnostics; one sample has no partner."""
    torch.manual_seed(0)
    model = randomise(AstromorphicForSequenceClassification.from_preset("tuned", **tiny_size))
    same = torch.randint(1, 31, (1, 9)).expand(4, 9)
    for one in diagnose(model, input_ids=same):
        assert max(one.content) < 1e-6 < min(one.output_rms)
        assert one.gain == pytest.approx(model.model.layers[one.layer].mixer.gain.tolist())
    assert diagnose(model, input_ids=same[:1])[0].content is None
    image = AstromorphicForImageClassification.from_preset("paper_eq11", **{**tiny_size, "image_size": 8})
    one = diagnose(image, pixel_values=torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)))[1]
    assert one.layer == 1 and one.gain is None and 0 < max(one.content) < 0.1 * min(one.output_mean)
    assert diagnose(AstromorphicForSequenceClassification.from_preset("none", **tiny_size), input_ids=same) == []
    with pytest.raises(ModelError, match="model is Linear"):
        diagnose(nn.Linear(2, 2))
