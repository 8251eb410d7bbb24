"""The four readings of the calcium: closed forms, one result from all forms, and the size that each gives the branch."""

from __future__ import annotations

import pytest
import torch

from models.errors import ModelError
from models.ops.calcium import READINGS, calcium_of_all, calcium_over_time, calcium_width
from models.ops.chunked import causal_chunked
from models.ops.features import feature_map
from models.ops.reference import causal_naive, encoder
from models.ops.response import Hill, Hyperbola, Logarithm, Power, SaturatingExponential
from models.ops.state import HebbianState, empty_state

FAMILIES = [Power(0.25), Hyperbola(5.0), Hill(2.0, 1.5), Logarithm(2.0), SaturatingExponential(3.0)]


def calcium_by_hand(k, response, reading):
    """g after all tokens of k [time, m], written as the table's formulas."""
    if reading == "sum_then_power":
        return response(sum(k))
    if reading == "power_then_sum":
        return sum(response(row) for row in k)
    if reading == "scalar":
        return sum(response(row.sum()) for row in k).expand(k.shape[1])
    return sum(response(sum(k[: t + 1])) for t in range(len(k)))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("response", FAMILIES, ids=repr)
def test_every_reading_is_its_formula(reading, response):
    k = feature_map(torch.randn(2, 7, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    empty = torch.zeros(2, 3, calcium_width(4, reading), dtype=torch.float64)
    over_time, last = calcium_over_time(k, None, empty, response, reading)
    whole = calcium_of_all(k, None, response, reading)
    for b in range(2):
        for h in range(3):
            for t in range(7):
                expected = calcium_by_hand(k[b, : t + 1, h], response, reading)
                assert torch.allclose(over_time[b, t, h], expected, rtol=1e-12, atol=0)
            assert torch.allclose(whole[b, 0, h], expected, rtol=1e-12, atol=0)
    assert last.shape == empty.shape


def test_sizes_are_those_stated_for_imdb():
    """400 tokens of phi near 1, 32 neurons: 4.5, 400, 950 and 1,430."""
    k = torch.ones(1, 400, 1, 32, dtype=torch.float64)
    size = {reading: calcium_of_all(k, None, Power(0.25), reading).mean().item() for reading in READINGS}
    expected = {"sum_then_power": 4.47, "power_then_sum": 400.0, "scalar": 951.4, "running": 1432.5}
    assert size == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("placement", ["centred", "none"])
@pytest.mark.parametrize("reading", READINGS)
def test_naive_chunked_and_step_agree(reading, placement, masked, make_inputs, stepwise):
    inputs = make_inputs(time=9)
    mask = None
    if masked:
        mask = torch.ones(2, 9, dtype=torch.bool)
        mask[0, :3] = mask[1, 4:6] = mask[1, 8:] = False
    settings = {"response": Power(0.25), "scale": 0.3, "placement": placement, "reading": reading, "mask": mask}

    def run(form, **more):
        q, k, v, code, state = inputs.features()
        if reading == "running":
            state = HebbianState(state.hebbian, torch.cat([state.activation, state.activation**2], -1))
        out, final = form(q, k, v, code=code, initial_state=state, **settings, **more)
        g = torch.Generator().manual_seed(9)
        loss = sum((t * torch.randn(t.shape, generator=g, dtype=t.dtype)).sum() for t in (out, *final))
        return [out, *final, *torch.autograd.grad(loss, list(inputs))]

    expected = run(causal_naive)
    for other in (run(stepwise), run(causal_chunked, chunk=4), run(causal_chunked)):
        for a, b in zip(other, expected, strict=True):
            assert (a - b).abs().max() <= 1e-10
    # Causal at the last token = encoder, from an empty state.
    q, k, v, code, _ = inputs.features()
    causal, _ = causal_chunked(q, k, v, code=code, **settings)
    whole = encoder(q, k, v, code=code, **settings)
    assert (causal[:, 8] - whole[:, 8])[0 if masked else slice(None)].abs().max() < 1e-12


@pytest.mark.parametrize("reading", READINGS)
def test_padding_adds_no_calcium(reading, make_inputs):
    q, k, v, code, _ = make_inputs(time=6).features()
    settings = {"response": Power(0.25), "scale": 0.3, "reading": reading}
    plain = encoder(q, k, v, code=code, **settings)
    for at in (0, 3, 6):
        junk = [torch.cat([x[:, :at], torch.full_like(x[:, :2], float("nan")), x[:, at:]], 1) for x in (q, k, v)]
        mask = torch.ones(2, 8, dtype=torch.bool)
        mask[:, at : at + 2] = False
        wide = torch.cat([code[:at], code[:2], code[at:]])
        assert (encoder(*junk, code=wide, mask=mask, **settings)[mask].view_as(plain) - plain).abs().max() < 1e-14


def test_linear_response_gives_three_readings_one_direction():
    """With g = G the powers and the sums commute: readings i and ii are equal."""
    k = feature_map(torch.randn(1, 5, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    one, two, three = (calcium_of_all(k, None, Power(1.0), r) for r in READINGS[:3])
    assert torch.allclose(one, two) and torch.allclose(three, one.sum(-1, keepdim=True).expand_as(one))


def test_an_unknown_reading_and_the_width_of_the_state():
    x = torch.ones(1, 2, 1, 3)
    for form in (encoder, causal_chunked):
        with pytest.raises(
            ModelError, match="calcium reading is 'sum'; expected one of sum_then_power, power_then_sum"
        ):
            form(x, x, x, response=Power(0.25), scale=1.0, reading="sum")
    assert empty_state(1, 2, 3, 4, dtype=torch.float32, reading="running").activation.shape == (1, 2, 6)
