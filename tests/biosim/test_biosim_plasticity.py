"""The plasticity network: closed forms, its energy, order and agreement of the engines, recall of patterns."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import biosim
from biosim import (
    LongTerm,
    PlasticityNetwork,
    SimulationError,
    associative_memory,
    cued_state,
    network_energy,
    network_trajectory,
)
from biosim.plasticity import energy as energy_module
from biosim.plasticity.functions import FUNCTIONS, value
from biosim.registry import UnknownName

N = 4


def symmetric_coupling(rng: np.random.Generator, strength: float = 0.05) -> np.ndarray:
    """T_ijkl = T_klij = T_jikl = T_ijlk, so that small asymmetries of s and p are not driven."""
    t = rng.normal(size=(N,) * 4)
    for axes in ((2, 3, 0, 1), (1, 0, 2, 3), (0, 1, 3, 2)):
        t = t + t.transpose(axes)
    return strength * t


def network(function: str = "tanh", **changes) -> PlasticityNetwork:
    """No constant is 1 and none equals another, so that a misplaced one shows."""
    rng = np.random.default_rng(3)
    c, d = rng.normal(size=(2, N, N))
    fields = {
        "coupling": symmetric_coupling(rng), "bias": rng.normal(size=N), "synapse_bias": c + c.T, "process_bias": d + d.T,
        "tau_x": 0.7, "tau_s": 1.3, "tau_p": 2.0, "leak_x": 0.8, "leak_s": 1.2, "leak_p": 0.9, "gain_x": 0.6, "gain_s": 0.4,
        "phi": function, "g": function, "psi": function, "steepness": 1.5,
    }  # fmt: skip
    return PlasticityNetwork(N, **(fields | changes))


def state(net: PlasticityNetwork, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    s, p = rng.normal(size=(2, N, N))
    return net.pack(rng.normal(size=N), s + s.T, p + p.T)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_the_derivative_of_its_lagrangian_and_does_not_fall(name):
    u, k, h = np.linspace(-3, 3, 41) + 0.0123, 1.7, 1e-6
    code, lagrangian = FUNCTIONS[name]
    np.testing.assert_allclose((lagrangian(u + h, k) - lagrangian(u - h, k)) / (2 * h), value(code, u, k), atol=1e-8)
    assert (np.diff(value(code, u, k)) >= 0).all()
    assert np.isfinite(value(code, np.array([-1e6, 1e6]), k)).all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_gradients_of_the_energy_are_the_equations(function):
    """dE/dphi = -tau_x dx/dt, dE/dg = -(w/2) tau_s ds/dt, dE/dpsi = -(v/2) tau_p dp/dt, by central differences."""
    net = network(function)
    y, h = state(net), 1e-6
    v = net.unpack(y)

    def slopes(name: str, states: np.ndarray) -> np.ndarray:
        f = net.activity(name, states + h) - net.activity(name, states - h)
        return f / (2 * h)

    flow = net.unpack(net.derivatives(y))
    w, both = net.gain_x, net.gain_x * net.gain_s
    for i in range(N):
        e = [network_energy(net, y + sign * h * np.eye(y.size)[i]) for sign in (1, -1)]
        wanted = -net.tau_x * flow["x"][i] * slopes("phi", v["x"])[i]
        assert (e[0] - e[1]) / (2 * h) == pytest.approx(wanted, abs=2e-8, rel=1e-6)
    # s and p are symmetric, so an entry changes together with its mirror image: twice the derivative off the diagonal.
    for name, function_name, factor, tau in (("s", "g", w, net.tau_s), ("p", "psi", both, net.tau_p)):
        for i, j in ((0, 0), (1, 1), (0, 1), (2, 3)):
            shift = np.zeros((N, N))
            shift[i, j] = shift[j, i] = h
            e = [network_energy(net, y + sign * net.pack(**{name: shift})) for sign in (1, -1)]
            once = -0.5 * factor * tau * flow[name][i, j] * slopes(function_name, v[name])[i, j]
            assert (e[0] - e[1]) / (2 * h) == pytest.approx(once * (1 if i == j else 2), abs=2e-8, rel=1e-6)


@pytest.mark.parametrize(("engine", "error"), [("reference", 1e-12), ("numba", 1e-10)])
@pytest.mark.parametrize("function", ["tanh", "rectified_tanh", "logistic"])
def test_the_energy_never_rises(function, engine, error):
    net = network(function)
    y = state(net)
    values = [network_energy(net, one) for one in (y, *network_trajectory(net, y, 1000, 0.02, every=5, engine=engine))]
    assert max(np.diff(values)) < error
    assert values[0] - values[-1] > 1


def test_without_symmetry_it_may_rise_and_energy_says_that_it_is_none(monkeypatch):
    t = np.random.default_rng(1).normal(size=(N,) * 4)
    net = network(coupling=t)
    y = state(net)
    with pytest.raises(SimulationError, match="coupling is not symmetric"):
        network_energy(net, y)
    with pytest.raises(SimulationError, match="s is not symmetric"):
        network_energy(network(), y + net.pack(s=np.triu(np.ones((N, N)), 1)))
    with pytest.raises(SimulationError, match="process_bias is not symmetric"):
        network_energy(network(process_bias=np.arange(N * N).reshape(N, N)), y)
    with pytest.raises(SimulationError, match="gain_x and gain_s"):
        network_energy(network(gain_x=-0.1), y)
    monkeypatch.setattr(energy_module, "_check", lambda *_: None)
    values = [network_energy(net, one) for one in network_trajectory(net, y, 1000, 0.02, every=5)]
    assert max(np.diff(values)) > 1e-4


@pytest.mark.parametrize("engine", ["reference", "numba"])
def test_a_linear_chain_has_its_closed_form(engine):
    """x = b (1 - e^-t) drives s = b^2 (1 - 2 t e^-t - e^-2t), and p^l of linear kappa follows s."""
    b = np.array([0.5, 2.0])
    net = PlasticityNetwork(
        2,
        bias=b,
        gain_x=0.0,
        gain_s=0.0,
        phi="linear",
        g="linear",
        psi="linear",
        long_term=LongTerm(1.0, kappa="linear"),
    )
    out = net.unpack(network_trajectory(net, net.pack(), 300, 0.01, every=100, engine=engine))
    for k, t in enumerate((1.0, 2.0, 3.0)):
        decay = math.exp(-t)
        np.testing.assert_allclose(out["x"][k], b * (1 - decay), rtol=1e-9)
        s = 1 - 2 * t * decay - decay**2
        np.testing.assert_allclose(out["s"][k], np.outer(b, b) * s, rtol=1e-7)
        # Integral of e^-(t-u) s(u).
        long_term = 1 - decay - t**2 * decay - decay * (1 - decay)
        np.testing.assert_allclose(out["long_term"][k], np.outer(b, b) * long_term, rtol=1e-6)
        # kappa of p is g(s) = s as well, with the same time constant.
        np.testing.assert_allclose(out["p"][k], out["long_term"][k], rtol=1e-12)


def test_input_runs_from_the_presynaptic_to_the_postsynaptic_neuron():
    """s[i, j] carries phi of neuron i to neuron j, and patterns or coupling carry psi[k, l] to p[i, j]."""
    net = PlasticityNetwork(2, phi="linear", g="linear", psi="linear", coupling=np.arange(16.0).reshape(2, 2, 2, 2))
    flow = net.unpack(net.derivatives(net.pack(x=[1.0, 0.0], s=[[0.0, 3.0], [5.0, 0.0]])))
    np.testing.assert_array_equal(flow["x"], [-1.0, 3.0])
    flow = net.unpack(net.derivatives(net.pack(p=[[0.0, 1.0], [0.0, 0.0]])))
    np.testing.assert_array_equal(flow["p"], [[1.0, 5.0 - 1.0], [9.0, 13.0]])


@pytest.mark.parametrize("long_term", [None, LongTerm(3.0, 0.7, "logistic")])
@pytest.mark.parametrize("form", ["coupling", "patterns", "none"])
def test_the_engines_agree_and_the_fast_one_has_order_four(form, long_term):
    rng = np.random.default_rng(0)
    forms = {"coupling": {}, "none": {"coupling": None},
             "patterns": {"coupling": None, "patterns": rng.choice([-1.0, 1.0], size=(3, N))}}  # fmt: skip
    net = network(phi="tanh", g="logistic", psi="tanh", long_term=long_term, **forms[form])
    y = state(net)
    errors = []
    for steps in (16, 32, 64):
        fast = network_trajectory(net, y, steps, 4.0 / steps, every=steps)
        truth = network_trajectory(net, y, steps, 4.0 / steps, every=steps, engine="reference")
        errors.append(np.abs(fast - truth).max())
    order = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (order > 3.7).all() and (order < 4.6).all(), order
    assert errors[-1] < 1e-5
    fast, truth = (
        network_trajectory(net, y, 2000, 0.002, every=2000, engine=engine) for engine in ("numba", "reference")
    )
    assert np.abs(fast - truth).max() < 1e-10


def test_a_memory_in_patterns_is_its_tensor():
    rng = np.random.default_rng(2)
    xi = rng.choice([-1.0, 1.0], size=(3, N))
    dense = np.einsum("mi,mj,mk,ml->ijkl", xi, xi, xi, xi) / N**3
    psi = rng.normal(size=(N, N))
    np.testing.assert_allclose(
        associative_memory(xi).spread(psi), PlasticityNetwork(N, coupling=dense).spread(psi), atol=1e-14
    )


@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_a_corrupted_pattern_is_recalled(leak):
    """10 % of the bits flipped; leak 0 as in the public code, and leaks 1."""
    rng = np.random.default_rng(7)
    patterns = rng.choice([-1.0, 1.0], size=(5, 60))
    cue = patterns[2].copy()
    cue[rng.permutation(60)[:6]] *= -1
    memory = associative_memory(patterns)
    start = cued_state(memory, cue)
    # s and p stand still at the start.
    assert np.abs(memory.derivatives(start)[60:]).max() < 1e-12
    leaky = replace(memory, leak_x=leak, leak_s=leak, leak_p=leak)
    states = network_trajectory(leaky, start, 200, 0.05, every=20)
    assert (np.sign(leaky.unpack(states)["x"][-1]) == patterns[2]).all()
    values = [network_energy(leaky, one) for one in (start, *states)]
    assert max(np.diff(values)) < 1e-9 * abs(values[-1])
    # What was never stored is not recalled: the network holds the corrupted bits, or goes elsewhere.
    other = associative_memory(np.delete(patterns, 2, axis=0))
    gone = network_trajectory(other, cued_state(other, cue), 200, 0.05, every=200)
    assert (np.sign(other.unpack(gone)["x"][-1]) != patterns[2]).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tau_x": 0}, "tau_x = 0"),
        ({"tau_s": math.nan}, "tau_s = nan"),
        ({"leak_p": -0.1}, "leak_p = -0.1"),
        ({"gain_s": "a"}, "gain_s = 'a'"),
        ({"steepness": True}, "steepness = True"),
        ({"bias": [1.0, 2.0]}, r"bias has shape \(2,\)"),
        ({"bias": [math.inf] * N}, "bias = .*finite"),
        ({"coupling": np.zeros((N * N, N * N))}, "coupling has shape"),
        ({"patterns": np.ones((2, N))}, "coupling and patterns"),
        ({"coupling": None, "patterns": np.ones((2, N + 1))}, "patterns has shape"),
        ({"long_term": 3.0}, "long_term = 3.0"),
        ({"long_term": LongTerm(0.0)}, "long_term tau = 0.0"),
    ],
)
def test_wrong_fields_are_refused(changes, words):
    with pytest.raises(SimulationError, match=words):
        network(**changes)


def test_wrong_names_sizes_and_steps_are_refused():
    with pytest.raises(UnknownName, match="'tanhh': did you mean 'tanh'"):
        network(phi="tanhh")
    with pytest.raises(SimulationError, match="n_neurons = 0"):
        PlasticityNetwork(0)
    with pytest.raises(SimulationError, match="shape"):
        PlasticityNetwork(10**6)
    with pytest.raises(SimulationError, match="rows of -1 and 1"):
        associative_memory([[0.5, 1.0]])
    with pytest.raises(SimulationError, match="cued_state needs"):
        cued_state(network(), np.ones(N))
    net = network()
    y = state(net)
    with pytest.raises(SimulationError, match=r"dt = 1 s: more than half of the shortest time constant, 0.7 s \(tau_x"):
        network_trajectory(net, y, 1, 1.0)
    for wrong in ({"steps": 0}, {"steps": 1.5}, {"every": 0}, {"every": 11}, {"dt": -1.0}, {"dt": math.nan}):
        with pytest.raises(SimulationError, match=next(iter(wrong))):
            network_trajectory(net, y, **({"steps": 10, "dt": 0.01} | wrong))
    with pytest.raises(SimulationError, match="state has shape"):
        network_trajectory(net, y[:-1], 1, 0.01)
    with pytest.raises(SimulationError, match="expected a PlasticityNetwork"):
        network_trajectory("net", y, 1, 0.01)
    with pytest.raises(SimulationError, match="brian2' has no plasticity network"):
        network_trajectory(net, y, 1, 0.01, engine="brian2")
    with pytest.raises(UnknownName, match="did you mean 'numba'"):
        network_trajectory(net, y, 1, 0.01, engine="numbo")


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_growth_without_bound_is_an_error_that_says_when(engine):
    net = PlasticityNetwork(N, bias=1.0, phi="relu", g="relu", psi="relu", gain_x=5.0)
    with pytest.raises(SimulationError, match=r"grew without bound before t = 50 s|stopped"), np.errstate(all="ignore"):
        network_trajectory(net, net.pack(), 5000, 0.01, every=5000, engine=engine)


SCRIPT = """
import biosim
from biosim.plasticity.numba_engine import source_stamp
net = biosim.PlasticityNetwork(2, bias=1.0, phi="tanh")
print(repr(float(biosim.network_trajectory(net, net.pack(), 50, 0.01, every=50)[0, 0])), source_stamp())
"""


@pytest.mark.slow
def test_an_edited_function_is_compiled_anew(tmp_path):
    package, cache = tmp_path / "source" / "biosim", tmp_path / "cache"
    shutil.copytree(Path(biosim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(cache)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def run() -> tuple[float, str, int]:
        out = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.split()
        return float(out[0]), out[1], len(list(cache.rglob("*.nbc")))

    first = run()
    assert first[2] >= 1
    assert run() == first
    source = package / "plasticity" / "functions.py"
    text = source.read_text()
    edited = text.replace("return np.tanh(k * u)", "return np.tanh(2 * k * u)", 1)
    assert edited != text
    source.write_text(edited)
    changed = run()
    assert abs(changed[0] - first[0]) > 1e-4 and changed[1] != first[1] and changed[2] > first[2]
