"""A look inside: maps that give the membrane back, spikes of the real pass, and what tracing must do by its definition."""

from __future__ import annotations

import pytest
import torch

from models import AstromorphicConfig, AstromorphicForCausalLM
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.astrosnn.activity import activity
from models.astrosnn.inspection import Tracing, mixing_maps, raster, reach, trace
from models.errors import ModelError
from models.ops.spike import spike

MODES = ["residual", "spike_in", "pure"]
SIZE = {"vocab_size": 17, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "chunk_size": 5}
TIME = 12


def tiny(seed=0, **settings):
    torch.manual_seed(seed)
    return AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, **settings})).eval()


@pytest.fixture
def tokens():
    return torch.randint(0, 17, (1, TIME), generator=torch.Generator().manual_seed(1))


def seen_by_mixers(model, tokens):
    """The real pass: what every mixer read and gave."""
    found = []
    handles = [
        layer.mixer.register_forward_hook(lambda m, args, out: found.append((m, args, out.out)))
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(tokens, use_cache=False)
    for handle in handles:
        handle.remove()
    return found


def set_norms(model):
    """Norms that do something: as they start, a wrong weight or bias would not show."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "head_norm" in name:
                p.add_(0.5 * torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name))))


# Maps.


@pytest.mark.parametrize("terms", ["astrocyte", "neuron"])
@pytest.mark.parametrize("mode", MODES)
def test_a_term_alone_is_a_map_of_it_alone(mode, terms, tokens):
    model = tiny(residual_mode=mode, terms=terms)
    set_norms(model)
    for m, (mixer, args, _) in zip(mixing_maps(model, tokens), seen_by_mixers(model, tokens), strict=True):
        with torch.no_grad():
            membrane = mixer.membrane(mixer.terms(*args)[0])
        assert torch.allclose(m.output(), membrane, atol=1e-5, rtol=1e-5)
        assert bool(m.weights.any()) is (terms == "astrocyte") and (m.neuron is None) is (terms == "astrocyte")
        assert m.influence().shape == m.weights.shape


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reading", ["one_minus_inv", "exp", "literal_inverse"])
@pytest.mark.parametrize("norm", [True, False])
def test_weights_times_values_are_the_membrane_of_the_real_pass(mode, reading, norm, tokens):
    model = tiny(
        residual_mode=mode, decay=reading, head_norm=norm, sigma="gelu", resistance=0.7, threshold=0.1, tau_n=3
    )
    set_norms(model)
    rows = torch.cat([tokens, tokens.flip(1)])
    maps = mixing_maps(model, rows)
    assert [m.layer for m in maps] == [1, 2, 3]
    for m, (mixer, args, spikes) in zip(maps, seen_by_mixers(model, rows), strict=True):
        with torch.no_grad():
            terms, _ = mixer.terms(*args)
            membrane = mixer.membrane(terms)
        assert torch.allclose(m.output(), membrane, atol=1e-5, rtol=1e-5)
        sure = (membrane - 0.1).abs() > 1e-4
        assert torch.equal(spike(m.output(), threshold=0.1)[sure], spikes[sure])
        assert m.weights.triu(1).abs().max() == 0 and m.neuron.triu(1).abs().max() == 0


@pytest.mark.parametrize("mixer", ["softmax", "retention"])
def test_maps_of_softmax_and_retention_give_their_outputs(mixer, tokens):
    model = tiny(mixer=mixer)
    set_norms(model)
    for m, (module, args, out) in zip(mixing_maps(model, tokens), seen_by_mixers(model, tokens), strict=True):
        gate = torch.nn.functional.silu(module.gate(args[0])) if mixer == "retention" else 1.0
        assert torch.allclose(gate * m.output(), out, atol=1e-5)
        assert m.weights.triu(1).abs().max() == 0
        if mixer == "softmax":
            assert torch.allclose(m.weights.sum(-1), torch.ones(1, 2, TIME), atol=1e-6)
        with pytest.raises(ModelError, match="no neuron term"):
            m.influence(astrocyte=False)


def test_influence_is_the_length_of_what_a_token_adds(tokens):
    m = mixing_maps(tiny(), tokens, layers=[2])[0]
    assert m.layer == 2
    added = m.weights[..., None] * m.values.transpose(1, 2)[:, :, None]
    leak = m.neuron[..., None] * m.currents.transpose(1, 2)[:, :, None]
    assert torch.allclose(m.influence(), (added + leak).norm(dim=-1), atol=1e-5)
    assert torch.allclose(m.influence(astrocyte=False), leak.norm(dim=-1), atol=1e-6)


def test_reach_is_the_mean_distance():
    """Of lambda^n over an endless past it is lambda/(1 - lambda); of a map with one lag, that lag."""
    steps = torch.arange(400)
    lag = steps[:, None] - steps
    assert reach((lag == 7).double()) == 7
    leak = torch.where(lag >= 0, 0.5 ** lag.clamp_min(0).double(), 0.0)
    assert reach(leak[-1:] * torch.ones(400, 1).double() * (steps[:, None] == 399)) == pytest.approx(1.0)


def test_maps_see_no_later_token(tokens):
    model = tiny()
    other = tokens.clone()
    other[0, 8] = (other[0, 8] + 1) % 17
    for one, two in zip(mixing_maps(model, tokens), mixing_maps(model, other), strict=True):
        assert torch.equal(one.weights[:, :, :8], two.weights[:, :, :8])
        assert not torch.equal(one.weights[:, :, 8], two.weights[:, :, 8])


@pytest.mark.parametrize("mixer", ["lif", "alif", "gru"])
def test_cells_have_no_map(mixer, tokens):
    with pytest.raises(ModelError, match=f"'{mixer}'.*without weights between tokens"):
        mixing_maps(tiny(mixer=mixer), tokens)


def test_wrong_requests_are_refused_by_name(tokens, monkeypatch):
    model = tiny()
    for layer in (0, 4, "1"):
        with pytest.raises(ModelError, match="from 1 to 3"):
            mixing_maps(model, tokens, layers=[layer])
    with pytest.raises(ModelError, match="at least one token"):
        mixing_maps(model, tokens[:, :0])
    monkeypatch.setattr("models.astrosnn.inspection.maps.available_memory", lambda: 1000)
    with pytest.raises(ModelError, match="GiB are free; give a shorter text"):
        mixing_maps(model, tokens)


# Rasters.


@pytest.mark.parametrize("mixer", ["amsu", "lif", "alif"])
def test_rasters_are_the_spikes_of_the_pass(mixer, tokens):
    model = tiny(mixer=mixer)
    found = raster(model, tokens)
    assert found.spikes.shape == (3, TIME, 16)
    with torch.no_grad():
        whole = model(tokens, output_spikes=True).spikes
    for layer, one in enumerate(whole):
        assert torch.equal(found.spikes[layer].float(), one["mixer"][0])
    assert torch.allclose(found.by_token().mean(1), found.by_layer())
    assert found.by_layer().tolist() == pytest.approx([a.rates["mixer"] for a in activity(model, tokens)])


def test_what_does_not_spike_has_no_raster(tokens):
    with pytest.raises(ModelError, match="nothing is binary"):
        raster(tiny(mixer="gru"), tokens)
    with pytest.raises(ModelError, match=r"'mixer'.*input, feed_forward are binary"):
        raster(tiny(mixer="softmax", residual_mode="spike_in"), tokens)
    assert raster(tiny(mixer="softmax", residual_mode="spike_in"), tokens, "input").spikes.any()
    with pytest.raises(ModelError, match="one row"):
        raster(tiny(), tokens.repeat(2, 1))


# Tracing.


def traced(model, tokens, seed=3, **how):
    how = {"subject": [4, 5], "noise": 3.0, "draws": 4, **how}
    return Tracing(model, tokens, generator=torch.Generator().manual_seed(seed), **how)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mixer", ["amsu", "softmax", "retention", "gru"])
def test_putting_everything_back_is_the_clean_run(mode, mixer, tokens):
    run = traced(tiny(mixer=mixer, residual_mode=mode), tokens)
    assert (run.corrupted - run.clean).abs().max() > 1e-9
    clean = pytest.approx(run.clean, abs=1e-12)
    everything = range(TIME)
    # The noise itself taken away.
    assert run.restored("hidden", 0, [4, 5]).tolist() == [clean] * 4
    for layer in (1, 2, 3):
        assert run.restored("hidden", layer, everything).tolist() == [clean] * 4
    # Nothing but the last hidden state enters the answer.
    assert run.restored("hidden", 3, [TIME - 1]).tolist() == [clean] * 4
    if mode == "pure":
        assert torch.allclose(run.restored("mixer", 2, [7]), run.restored("hidden", 2, [7]), atol=1e-12)


@pytest.mark.parametrize("mixer", ["amsu", "softmax", "retention", "lif", "alif", "gru"])
@pytest.mark.parametrize("restore", ["hidden", "mixer", "state"])
def test_what_cannot_change_anything_does_not(mixer, restore, tokens):
    """Before the noise all is clean already; after the place of the answer nothing is asked."""
    run = traced(tiny(mixer=mixer), tokens, position=9)
    found = run.trace(restore)
    assert found.layers == ((0, 1, 2, 3) if restore == "hidden" else (1, 2, 3))
    change = (found.restored - found.corrupted[:, None, None]).abs()
    assert change[:, :, :4].max() < 1e-12 and change[:, :, 10:].max() < 1e-12
    if restore == "state":  # what is carried past the place of the answer
        assert change[:, :, 9].max() < 1e-12
    assert change[:, -2, 4:9].max() > 1e-9
    assert found.mean().shape == found.standard_error().shape == (len(found.layers), TIME)


def test_a_state_put_back_is_what_a_clean_prefix_leaves(tokens):
    """By hand in a one-layer network: the mixer reads the clean text up to t and the corrupted one afterwards."""
    model = tiny(num_hidden_layers=1)
    run = traced(model, tokens)
    layer, wide = run.model.model.layers[0], run.model
    for t in (4, 5, 8):
        probabilities = []
        for row in run.corrupted_embeddings:
            seam = torch.cat([run.embeddings[0, : t + 1], row[t + 1 :]])[None]
            spikes = layer.mixer(layer.mixer_input(seam), torch.arange(TIME), None, None).out
            # The stream beside the mixer stays corrupted.
            y = row[None] + layer.output(spikes)
            z = y + layer.down(layer.activation(layer.up(layer.feed_forward_norm(y))))
            logits = wide.lm_head(wide.model.final_norm(z))
            probabilities.append(logits[0, -1].softmax(-1)[run.answer].item())
        assert run.restored("state", 1, [t]).tolist() == pytest.approx(probabilities, abs=1e-12)


def test_no_noise_is_the_clean_run_and_noise_is_of_the_stated_size(tokens):
    model = tiny()
    quiet = traced(model, tokens, noise=0.0).trace("state")
    assert torch.allclose(quiet.corrupted, torch.tensor(quiet.clean, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(quiet.restored, torch.tensor(quiet.clean, dtype=torch.float64), atol=1e-12)
    run = traced(model, tokens, draws=400, noise=2.0)
    noise = run.corrupted_embeddings - run.embeddings
    with torch.no_grad():
        spread = model.model.embed(tokens).double().std(correction=0)
    assert float(noise[:, [4, 5]].std()) == pytest.approx(2.0 * float(spread), rel=0.02)
    untouched = [t for t in range(TIME) if t not in (4, 5)]
    assert noise[:, untouched].abs().max() == 0


def test_a_trace_is_of_its_generator_and_leaves_the_model_alone(tokens):
    model = tiny().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    one, two, other = (
        trace(model, tokens, [4], generator=torch.Generator().manual_seed(seed), draws=3) for seed in (0, 0, 1)
    )
    assert torch.equal(one.restored, two.restored) and not torch.equal(one.corrupted, other.corrupted)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    with torch.no_grad():
        probabilities = model.eval().double()(tokens).logits[0, -1].softmax(-1)
    assert one.clean == pytest.approx(float(probabilities.max()), abs=1e-12)
    assert one.answer == int(probabilities.argmax())
    assert one.standard_error()[1, 4] == pytest.approx(float(one.restored[:, 1, 4].std() / 3**0.5))


def test_many_rows_are_traced_in_parts(tokens, monkeypatch):
    whole = traced(tiny(), tokens).trace("hidden")
    monkeypatch.setattr("models.astrosnn.inspection.tracing._LARGEST", 5 * TIME * 16)
    assert torch.allclose(traced(tiny(), tokens).trace("hidden").restored, whole.restored, atol=1e-12)


def test_the_astromorphic_decoder_is_traced_by_its_hidden_states(tokens):
    torch.manual_seed(0)
    model = AstromorphicForCausalLM(
        AstromorphicConfig.from_preset(
            "tuned", vocab_size=17, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=TIME,
        )
    ).eval()  # fmt: skip
    run = traced(model, tokens)
    assert run.restored("hidden", 2, [TIME - 1]).tolist() == [pytest.approx(run.clean, abs=1e-12)] * 4
    change = (run.trace().restored - run.corrupted[:, None, None]).abs()
    assert change[:, :, :4].max() < 1e-12 < 1e-9 < change[:, 1, 4:].max()
    with pytest.raises(ModelError, match="'astromorphic'; expected 'hidden'"):
        run.trace("state")
    with pytest.raises(ModelError, match="'astromorphic'; maps"):
        mixing_maps(model, tokens)
    with pytest.raises(ModelError, match="has no spikes"):
        raster(model, tokens)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"subject": []}, "subject is"),
        ({"subject": [TIME]}, "from 0 to 11"),
        ({"subject": [2, 2]}, "different tokens"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"draws": 0}, "draws is 0"),
        ({"position": TIME}, "position is 12"),
        ({"answer": 17}, "answer is 17"),
    ],
)
def test_wrong_settings_of_a_trace_are_refused_by_name(how, message, tokens):
    with pytest.raises(ModelError, match=message):
        traced(tiny(), tokens, **how)


def test_wrong_restorations_are_refused_by_name(tokens):
    run = traced(tiny(), tokens)
    with pytest.raises(ModelError, match="restore is 'spikes'; expected one of hidden, mixer, state"):
        run.trace("spikes")
    for restore, layer in (("hidden", 4), ("state", 0)):
        with pytest.raises(ModelError, match="layer is"):
            run.trace(restore, layers=[layer])
    with pytest.raises(ModelError, match="put back at one token"):
        run.restored("state", 1, [3, 4])
    with pytest.raises(ModelError, match="tokens are"):
        run.restored("hidden", 1, [TIME])
