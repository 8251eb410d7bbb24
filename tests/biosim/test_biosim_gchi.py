"""The G-ChI astrocyte against Brian2 with equations of its own, and against what the terms must do alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from biosim import ParameterError
from biosim.gchi import GChIParameters, derivatives, respond
from biosim.processes import gchi

SPIKES = [2.0, 4.0, 6.0, 8.0]
TIMES = np.arange(0.1, 10.05, 0.1)

EQUATIONS = """
dY/dt = -40*hertz*Y : 1
dG/dt = (0.3*Y*(1 - G) - 0.5*(1 + 10*C/(C + 0.5))*G)*hertz : 1
dI/dt = (5*G + 0.2/(1 + I/1.5)*C**2/(C**2 + 0.3**2) - 4.5*C**4/(C**4 + 0.5**4)*I/(I + 1) - 0.1*I)*hertz : 1
dC/dt = ((6*(I/(I + 0.13)*C/(C + 0.08)*h)**3 + 0.1)*(2 - 1.18*C) - 0.9*C**2/(C**2 + 0.1**2))*hertz : 1
dh/dt = (Q/(Q + C) - h)*0.2*(Q + C)*hertz : 1
Q = 1.05*(I + 0.13)/(I + 0.9434) : 1
"""


def test_example_2_of_stimberg_2018_by_brian2():
    """Regular spikes at 0.5 Hz, concentrations in uM; Runge-Kutta steps of 0.5 ms."""
    brian2 = pytest.importorskip("brian2")
    before, random = brian2.prefs.codegen.target, np.random.get_state()
    brian2.prefs.codegen.target = "numpy"
    try:
        dt = 0.5 * brian2.ms
        astro = brian2.NeuronGroup(1, EQUATIONS, method="rk4", dt=dt, name="gchi_astro")
        astro.h = 0.9
        # A spike at tick k acts before the step that begins there; samples are taken before it.
        source = brian2.SpikeGeneratorGroup(1, [0] * 4, np.array(SPIKES) * brian2.second, dt=dt, name="gchi_source")
        synapse = brian2.Synapses(source, astro, on_pre="Y_post += 500", dt=dt, name="gchi_synapse")
        synapse.connect()
        monitor = brian2.StateMonitor(astro, ["C", "h", "I", "G"], record=True, dt=100 * brian2.ms, name="gchi_monitor")
        network = brian2.Network(astro, source, synapse, monitor)
        network.run(10.0005 * brian2.second)
        found = {name: np.asarray(getattr(monitor, name))[0, 1:101] for name in ("C", "h", "I", "G")}
    finally:
        brian2.prefs.codegen.target = before
        np.random.set_state(random)
    # In Brian2 the pulse comes at the end of the step that begins with the spike: half a millisecond later.
    ours = respond(TIMES, np.array(SPIKES) + 0.5e-3)
    assert ours["calcium"].max() > 0.5 and ours["gamma"].max() > 0.5
    for name, brian in (("calcium", "C"), ("h", "h"), ("ip3", "I"), ("gamma", "G")):
        np.testing.assert_allclose(ours[name], found[brian], rtol=0, atol=1e-8, err_msg=name)


def test_degradation_alone():
    """Without production and with little 3-kinase, IP3 decays by 5-phosphatase."""
    p = GChIParameters(O_beta=1e-9, O_delta=1e-9, O_3K=1e-9)
    ip3 = respond([1.0, 5.0, 20.0], parameters=p, start=(0.1, 0.8, 0.7, 0.0, 0.0))["ip3"]
    np.testing.assert_allclose(ip3, 0.7 * np.exp(-0.1 * np.array([1.0, 5.0, 20.0])), rtol=1e-6)


def test_receptors_at_constant_glutamate_and_calcium():
    """Equilibrium of the paper of 2009: Gamma = Y/(Y + K_N (1 + zeta Ca/(Ca + K_KC))), K_N = Omega_N/O_N."""
    p = GChIParameters()
    y, ca = 3.0, 0.2
    gamma = y / (y + p.Omega_N / p.O_N * (1 + p.zeta * ca / (ca + p.K_KC)))
    assert gchi.receptor_derivative(gamma, y, ca, p.O_N, p.Omega_N, p.zeta, p.K_KC) == pytest.approx(0.0, abs=1e-15)


def test_half_values_of_every_term():
    base = {"O_beta": 0.0, "O_delta": 0.0, "kappa_delta": 1.5, "K_delta": 0.3, "O_3K": 0.0, "K_D": 0.5, "K_3K": 1.0,
            "Omega_5P": 0.0}  # fmt: skip
    assert gchi.ip3_derivative(0.7, 0.1, 0.3, **(base | {"O_beta": 2.0})) == pytest.approx(0.6)
    assert gchi.ip3_derivative(1.5, 0.3, 0.0, **(base | {"O_delta": 0.2})) == pytest.approx(0.05)
    assert gchi.ip3_derivative(1.0, 0.5, 0.0, **(base | {"O_3K": 4.0})) == pytest.approx(-1.0)
    assert gchi.ip3_derivative(0.7, 0.1, 0.0, **(base | {"Omega_5P": 0.1})) == pytest.approx(-0.07)


def test_without_spikes_it_comes_to_rest():
    state = respond([600.0])
    y = np.array([state[name][0] for name in ("calcium", "h", "ip3", "gamma", "glutamate")])
    rates = derivatives(y, {name: getattr(GChIParameters(), name) for name in GChIParameters.__dataclass_fields__})
    np.testing.assert_allclose(rates, 0.0, atol=1e-9)


def test_refusals():
    with pytest.raises(ParameterError, match=r"O_beta = -1 uM/s: expected 1e-09 to 1e\+09"):
        GChIParameters(O_beta=-1.0)
    with pytest.raises(ParameterError, match="times: expected at least one finite time"):
        respond([2.0, 1.0])
    with pytest.raises(ParameterError, match="spikes: expected finite times above 0 s"):
        respond([1.0], [math.nan])
