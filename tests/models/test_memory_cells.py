"""The recurrent cells: their equations by hand, any cut of a sequence, causality, gradients, and that none is born silent."""

from __future__ import annotations

import math

import pytest
import torch

from models.baselines import CELLS, cell_class, make_cell
from models.baselines.cell import TimeConstants
from models.environments import make_environment
from models.errors import ModelError
from models.memory.network import build_network, matched_width, n_parameters
from models.ops.spike import spike

WIDTH = 16


def there(name):
    """The cell's class; visibly skipped where the operators that it needs are not."""
    try:
        return cell_class(name)
    except ModelError as error:
        pytest.skip(str(error))


def made(name, width=WIDTH, length=30, seed=0, **settings):
    there(name)
    torch.manual_seed(seed)
    return make_cell(name, width, length, **settings).double()


def inputs(time=23, batch=3, width=WIDTH, seed=1):
    return torch.randn(batch, time, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_may_be_cut_anywhere(name):
    cell, x = made(name), inputs()
    whole, last = cell(x)
    assert whole.shape == x.shape
    for cut in (1, 7, 22):
        first, state = cell(x[:, :cut])
        second, after = cell(x[:, cut:], state)
        assert torch.equal(torch.cat([first, second], dim=1), whole) or not cell.SPIKING
        torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=1e-10)
        for one, other in zip(after, last, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_what_comes_later_changes_nothing_before(name):
    cell, x = made(name), inputs()
    other = x.clone()
    other[:, 12:] += 5.0
    assert torch.equal(cell(x)[0][:, :12], cell(other)[0][:, :12])
    assert not torch.equal(cell(x)[0][:, 12:], cell(other)[0][:, 12:])


@pytest.mark.parametrize("name", CELLS)
def test_the_output_is_spikes_and_every_parameter_learns(name):
    cell, x = made(name), inputs()
    y, _ = cell(x)
    values = set(y.unique().tolist())
    assert (values == {0.0, 1.0}) is cell.SPIKING
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (y * weight).sum().backward()
    # Without its astrocyte AM-SU has matrices that nothing reads.
    idle = (
        {"query.weight", "key.weight", "value.weight", "norm_weight", "norm_bias"} if name == "amsu_neuron" else set()
    )
    for key, parameter in cell.named_parameters():
        assert (parameter.grad is None or not bool(parameter.grad.any())) is (key in idle), key


def test_lif_by_hand():
    """One unit with tau from lambda = 1/2 and unit weights: 0.6, 0.9, 1.05 fires, then theta comes off."""
    cell = made("lif_tau2", width=1)
    with torch.no_grad():
        cell.input.weight.fill_(1.0)
        cell.input.bias.zero_()
    x = torch.tensor([0.6, 0.6, 0.6, 0.6, 2.4, 0.0], dtype=torch.float64)[None, :, None]
    membrane, spikes, u, z = [], [], 0.0, 0.0
    for value in x.flatten().tolist():
        u = 0.5 * u + value - z
        z = float(u >= 1.0)
        membrane.append(u)
        spikes.append(z)
    assert spikes == [0, 0, 1, 0, 1, 0]
    y, state = cell(x)
    assert y.flatten().tolist() == spikes and state.membrane.item() == pytest.approx(membrane[-1], abs=1e-6)
    # With the gain (1 - lambda) the same input does not reach the threshold.
    weak = made("lif_tau2", width=1, gain="leak")
    weak.load_state_dict(cell.state_dict())
    assert float(weak(x)[0][:, :4].detach().sum()) == 0.0


def test_alif_raises_its_threshold_by_hand():
    cell = made("alif_feedforward", width=1, tau=(4.0, 4.0), tau_adapt=(10.0, 10.0), beta=1.8)
    with torch.no_grad():
        cell.input.weight.fill_(1.0)
        cell.input.bias.zero_()
    x = torch.full((1, 40, 1), 0.9, dtype=torch.float64)
    leak, slow = math.exp(-1 / 4), math.exp(-1 / 10)
    u = z = eta = 0.0
    spikes = []
    for value in x.flatten().tolist():
        eta = slow * eta + (1 - slow) * z
        theta = 1.0 + 1.8 * eta
        u = leak * u + value - theta * z
        z = float(u >= theta)
        spikes.append(z)
    y, state = cell(x)
    assert y.flatten().tolist() == spikes and 0 < sum(spikes) < 40
    assert float(state.adaptation.detach()) == pytest.approx(eta, rel=1e-6)
    assert sum(spikes) < float(made_like(cell, beta=0.0)(x)[0].detach().sum())


def made_like(cell, **settings):
    other = make_cell("alif_feedforward", 1, 30, tau=(4.0, 4.0), tau_adapt=(10.0, 10.0), **settings).double()
    other.load_state_dict(cell.state_dict())
    return other


def test_alif_without_adaptation_is_lif():
    lif, alif = made("lif_recurrent"), made("alif", beta=0.0)
    alif.load_state_dict(lif.state_dict(), strict=False)
    x = 3.0 * inputs()
    assert torch.equal(alif(x)[0], lif(x)[0]) and 0 < float(lif(x)[0].mean()) < 1


def test_the_memory_of_a_leaky_unit_fades_with_its_time_constant():
    """d u_t / d x_0 = lambda^t for a unit that does not fire: the closed form behind all comparisons of length."""
    cell = made("lif", width=1, tau=(20.0, 20.0))
    with torch.no_grad():
        cell.input.weight.fill_(1.0)
        cell.input.bias.zero_()
    # Below -theta the surrogate is zero, so that nothing but the leak carries the gradient.
    x = torch.full((1, 50, 1), -1.0, dtype=torch.float64, requires_grad=True)
    _, state = cell(x)
    state.membrane.sum().backward()
    expected = [math.exp(-(49 - t) / 20) for t in range(50)]
    assert x.grad[0, :, 0].tolist() == pytest.approx(expected, rel=1e-6)


def test_time_constants_start_where_they_are_told_and_stay_in_range():
    torch.manual_seed(0)
    spread = TimeConstants(4000, (20.0, 2000.0), True)
    tau = spread.log_tau.exp()
    assert float(tau.min()) >= 20.0 and float(tau.max()) <= 2000.0
    # Log-uniform: a third of the units in each factor of the cube root.
    third = float((tau < 20.0 * 100 ** (1 / 3)).float().mean())
    assert third == pytest.approx(1 / 3, abs=0.03)
    with torch.no_grad():
        spread.log_tau[:2] = torch.tensor([-2.0, 12.0])
    factor = spread()
    assert float(factor.min()) >= 0.0 and float(factor.max()) < 1.0
    fixed = TimeConstants(3, (2.0, 2.0), False, "one_minus_inv")
    torch.testing.assert_close(fixed(), torch.full((3,), 0.5), rtol=0, atol=1e-6)
    assert list(fixed.parameters()) == []
    # The slow threshold of ALIF is of the order of the task, and not below 20 steps.
    long, short = made("alif", length=1500).tau_adapt.log_tau.exp(), made("alif", length=2).tau_adapt.log_tau.exp()
    assert float(long.max()) > 500 and float(long.max()) <= 3000.1 and float(short.max()) == pytest.approx(20.0)


@pytest.mark.parametrize("name", [n for n in CELLS if n != "gru"])
@pytest.mark.parametrize(
    ("environment", "length"), [("memory_chain", 10), ("memory_chain", 100), ("umbrella_chain", 30)]
)
def test_no_layer_is_silent_or_saturated_at_the_start(name, environment, length):
    there(name)
    rules = make_environment(environment, length)
    for seed in range(2):
        torch.manual_seed(seed)
        network = build_network(name, rules, 64, layers=3)
        g = torch.Generator().manual_seed(seed)
        if environment == "memory_chain":
            seen = rules.episodes(16, g).observations
        else:
            state, first = rules.reset(16, g)
            sights = [first]
            for _ in range(length - 1):
                state, out = rules.step(state, torch.zeros(16, dtype=torch.long), g)
                sights.append(out.observation)
            seen = torch.stack(sights, dim=1)
        rates = network(seen).activity
        assert bool(((rates > 0.02) & (rates < 0.98)).all()), rates


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("environment", ["memory_chain", "umbrella_chain"])
def test_networks_are_equally_large(name, environment):
    there(name)
    rules = make_environment(environment, 10)
    width = matched_width(name, rules, 33_000)
    network = build_network(name, rules, width)
    assert abs(n_parameters(network) / 33_000 - 1) <= 0.05
    features = rules.n_features
    per_layer = {
        "lif": width * width + 2 * width,
        "lif_tau2": width * width + width,
        "lif_recurrent": 2 * width * width + 2 * width,
        "alif": 2 * width * width + 3 * width,
        "alif_feedforward": width * width + 3 * width,
        "gru": 6 * width * width + 6 * width,
    }.get(name, 4 * width * width + width // 4)
    assert n_parameters(network) == (features + 1) * width + 2 * per_layer + 3 * (width + 1)


def test_the_unit_of_the_paper_has_width_64_at_the_default_size():
    there("amsu")
    rules = make_environment("memory_chain", 10)
    assert matched_width("amsu", rules, 33_000) == 64
    assert n_parameters(build_network("amsu", rules, 64)) == 33_251


def test_amsu_is_the_serial_unit_written_out():
    """Eq. 1 to 9 step by step, with their slips repaired, beside the chunked cell; q, k, v are of x_t = W_x s_t (eq. 9)."""
    cell, x = made("amsu", seed=4), inputs(time=70)
    torch.nn.init.normal_(cell.norm_weight)
    torch.nn.init.normal_(cell.norm_bias)
    heads, d = 8, WIDTH // 8
    tau = [32.0 * 16 ** (i / 7) for i in range(8)]
    gamma = torch.tensor([1 - 1 / t for t in tau], dtype=torch.float64)[:, None, None]
    s = torch.zeros(3, heads, d, d, dtype=torch.float64)
    u = torch.zeros(3, WIDTH, dtype=torch.float64)
    spikes = []
    for t in range(70):
        x_t = cell.input(x[:, t])
        q, k, v = (f(x_t).view(3, heads, d) for f in (cell.query, cell.key, cell.value))
        s = gamma * s + k[..., :, None] * v[..., None, :] / math.sqrt(d)
        o = (s * q[..., :, None]).sum(dim=-2)
        u = 0.5 * u + x_t
        normed = torch.nn.functional.layer_norm(o, (d,), cell.norm_weight, cell.norm_bias)
        spikes.append((normed.reshape(3, WIDTH) + u >= 0).double())
    y, state = cell(x)
    assert torch.equal(y, torch.stack(spikes, dim=1)) and 0.2 < float(y.mean()) < 0.8
    torch.testing.assert_close(state.astrocyte, s, rtol=0, atol=1e-10)
    torch.testing.assert_close(state.neuron, u, rtol=0, atol=1e-10)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_the_surrogate_has_area_one_and_the_printed_one_three(alpha):
    for kind, area, at_zero in (("triangle", 1.0, alpha), ("triangle_as_printed", 3.0, alpha)):
        x = torch.linspace(-3, 3, 60_001, dtype=torch.float64, requires_grad=True)
        y = spike(x, kind, alpha)
        y.sum().backward()
        assert float(x.grad.sum()) * 1e-4 == pytest.approx(area, abs=1e-3)
        middle = 30_000
        assert float(x.grad[middle]) == pytest.approx(at_zero, rel=1e-4)
        assert (float(x.grad[middle + 1000]) < at_zero) is (kind == "triangle")
    assert torch.equal(spike(torch.tensor([-1e-9, 0.0, 1e-9])), torch.tensor([0.0, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_cell("lfi", 8, 10), "did you mean 'lif'"),
        (lambda: make_cell("gru", 8, 10, tau=(1.0, 2.0)), "cell gru has no setting 'tau'; it has none"),
        (lambda: make_cell("lif", 0, 10), "width is 0"),
        (lambda: make_cell("lif", 8, 10, tau=(5.0, 2.0)), "time constants are"),
        (lambda: make_cell("lif", 8, 10, gain="two"), "gain is 'two'; expected one of one, leak"),
        (lambda: make_cell("lif", 8, 10, threshold=0.0), "threshold is 0.0"),
        (lambda: make_cell("lif", 8, 10, decay="one_minus_inv"), "needs fixed time constants"),
        (lambda: make_cell("alif", 8, 10, beta=-1.0), "beta is -1.0"),
        (lambda: make_cell("lif", 8, 10, surrogate="square"), "surrogate is 'square'"),
        (lambda: make_cell("lif", 8, 10, alpha=0.0), "alpha is 0.0"),
        (lambda: matched_width("gru", make_environment("memory_chain", 3), 22), "within 5 %"),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_refused_by_name(call, words):
    with pytest.raises(ModelError, match=words):
        call()
