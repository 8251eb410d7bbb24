"""Brian2 with the G-ChI astrocyte of Stimberg et al. 2018 (De Pitta et al. 2009), written here from the equations.

Calcium is that of Li and Rinzel, in other constants than ours and in the form with h_inf and tau_h. Three questions: does the
calcium of biosim, put into the loop of receptors and IP3, move as Brian2's; does the whole astrocyte of the simulator; and are
the cycles that Brian2 shows at constant IP3 those of the return map, for both affinities of the pump. Skipped where Brian2 is
not installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import biosim
from biosim import parameter_set
from biosim.processes import li_rinzel
from biosim.stability import constants

b2: Any = pytest.importorskip("brian2", reason="Brian2 is not installed: pip install astromorphic[brian]")

# Constants of example 2 of Stimberg et al. 2018; example 6 has k_ER = 0.05 uM.
EXAMPLE_2 = parameter_set("wade2012").with_values(r_L=0.1, c1=0.18, d2=1.05, d5=0.08)
EXAMPLE_6 = EXAMPLE_2.with_values(k_ER=0.05)
# Receptors and IP3 of example 2, in uM and s: binding and unbinding of the agonist, inhibition by PKC; production by PLC beta
# and PLC delta; degradation by 3-kinase and 5-phosphatase.
LOOP = {
    "O_N": 0.3, "Omega_N": 0.5, "K_KC": 0.5, "zeta": 10.0, "O_beta": 5.0, "O_delta": 0.2, "kappa_delta": 1.5,
    "K_delta": 0.3, "O_3K": 4.5, "K_D": 0.5, "K_3K": 1.0, "Omega_5P": 0.1,
}  # fmt: skip
# Glutamate in the cleft: 500 uM per presynaptic spike, cleared at 40 1/s; a spike every 2 s.
DOSE, CLEARANCE, INTERVAL = 500.0, 40.0, 2.0

CALCIUM = """
dC/dt = release + leak - uptake : 1
dh/dt = (h_inf - h)/tau_h : 1
gradient = c0 - (1 + c1)*C : 1
release = r_C*(I/(I + d1)*C/(C + d5)*h)**3*gradient/second : Hz
leak = r_L*gradient/second : Hz
uptake = v_ER*C**2/(C**2 + k_ER**2)/second : Hz
Q2 = d2*(I + d1)/(I + d3) : 1
h_inf = Q2/(Q2 + C) : 1
tau_h = 1/(a2*(Q2 + C))*second : second
"""
PRODUCTION = """
dG/dt = (O_N*Y*(1 - G) - Omega_N*(1 + zeta*C/(C + K_KC))*G)/second : 1
dI/dt = (O_beta*G + O_delta/(1 + I/kappa_delta)*C**2/(C**2 + K_delta**2)
         - O_3K*C**4/(C**4 + K_D**4)*I/(I + K_3K) - Omega_5P*I)/second : 1
dY/dt = -CLEARANCE*Y/second : 1
"""


@pytest.fixture(autouse=True)
def _plain_brian() -> Iterator[None]:
    """Without compilation, which would take longer than the runs; other tests find the preferences as they were."""
    before, b2.prefs.codegen.target = b2.prefs.codegen.target, "numpy"
    b2.start_scope()
    yield
    b2.prefs.codegen.target = before


def run_brian(
    equations: str, names: dict[str, Any], start: dict[str, Any], duration: float, dt: float, pulses: bool = False
):
    """All state variables of a group, one unit per value of the initial states, sampled at every step from 0 on."""
    size = max(np.size(value) for value in start.values())
    group = b2.NeuronGroup(size, equations, method="rk4", dt=dt * b2.second, namespace=names)
    for name, value in start.items():
        setattr(group, name, value)
    if pulses:
        group.run_regularly(f"Y += {DOSE}", dt=INTERVAL * b2.second)
    monitor = b2.StateMonitor(group, list(start), record=True, dt=dt * b2.second)
    b2.Network(group, monitor).run(duration * b2.second)
    return np.asarray(monitor.t / b2.second), {name: np.asarray(getattr(monitor, name)) for name in start}


def test_calcium_in_the_loop_of_receptors_and_ip3():
    """20 s of the deterministic astrocyte of example 2: our calcium, integrated by SciPy, against Brian2."""
    p = constants(EXAMPLE_2)
    loop = LOOP
    names = p | loop | {"CLEARANCE": CLEARANCE}
    start = {"C": 0.0, "h": 0.9, "I": 0.0, "G": 0.0, "Y": 0.0}
    time, brian = run_brian(CALCIUM + PRODUCTION, names, start, 20.0, 2e-3, pulses=True)

    def rates(t: float, y: np.ndarray) -> list[float]:
        ca, h, ip3, bound = y
        glutamate = level * np.exp(-CLEARANCE * (t - since))
        dca, dh = li_rinzel.derivatives(ca, h, ip3, **p)
        kinase = loop["O_3K"] * ca**4 / (ca**4 + loop["K_D"] ** 4) * ip3 / (ip3 + loop["K_3K"])
        phospholipase = loop["O_delta"] / (1 + ip3 / loop["kappa_delta"]) * ca**2 / (ca**2 + loop["K_delta"] ** 2)
        dip3 = loop["O_beta"] * bound + phospholipase - kinase - loop["Omega_5P"] * ip3
        unbinding = loop["Omega_N"] * (1 + loop["zeta"] * ca / (ca + loop["K_KC"])) * bound
        return [dca, dh, dip3, loop["O_N"] * glutamate * (1 - bound) - unbinding]

    state, level = np.array([0.0, 0.9, 0.0, 0.0]), 0.0
    parts = []
    for since in np.arange(0.0, 20.0, INTERVAL):
        level = level * np.exp(-CLEARANCE * INTERVAL) + DOSE
        at = time[(time >= since - 1e-9) & (time < since + INTERVAL - 1e-9)]
        points = np.clip(at, since, since + INTERVAL)
        solution = solve_ivp(
            rates, (since, since + INTERVAL), state, t_eval=np.append(points, since + INTERVAL), method="LSODA",
            rtol=1e-10, atol=1e-13,
        )  # fmt: skip
        parts.append(solution.y[:, :-1])
        state = solution.y[:, -1]
    ours = np.concatenate(parts, axis=1)
    assert ours.shape[1] == time.size
    # Calcium rises and falls, IP3 builds up, receptors answer each spike.
    assert ours[0].max() > 1.0 and np.ptp(ours[0][time > 10]) > 0.1 and ours[2].max() > 0.5
    # Binding at up to 150 1/s is what the step of 2 ms resolves least.
    for name, row, tolerance in (("C", 0, 2e-5), ("h", 1, 2e-5), ("I", 2, 2e-5), ("G", 3, 5e-5)):
        np.testing.assert_allclose(brian[name][0], ours[row], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("engine", "tolerance"), [("reference", 4e-5), ("numba", 3e-4)])
def test_the_astrocyte_of_the_simulator(engine, tolerance):
    """Example 2 as the set stimberg2018 with given spikes, from the example's start, against these equations in Brian2.

    A pulse comes at the end of a Brian2 step that begins with a spike, and at its time in the simulator. The numba engine
    takes steps of 10 ms for calcium and IP3.
    """
    step, times = 0.5e-3, np.array([0.5, 2.5, 4.503, 6.507, 8.5, 9.2])
    names = constants(EXAMPLE_2) | LOOP | {"CLEARANCE": CLEARANCE}
    group = b2.NeuronGroup(1, CALCIUM + PRODUCTION, method="rk4", dt=step * b2.second, namespace=names)
    group.h = 0.9
    source = b2.SpikeGeneratorGroup(1, np.zeros(times.size, int), (times - step) * b2.second, dt=step * b2.second)
    synapse = b2.Synapses(source, group, on_pre=f"Y_post += {DOSE}", dt=step * b2.second)
    synapse.connect()
    monitor = b2.StateMonitor(group, ["C", "h", "I", "G"], record=True, dt=0.1 * b2.second)
    b2.Network(group, source, synapse, monitor).run(12.0005 * b2.second)
    # The smallest concentration that a set takes stands for the example's zero.
    parameters = parameter_set("stimberg2018").with_values(Ca_init=1e-9, IP3_init=1e-9, h_init=0.9)
    trains = biosim.SpikeTrains.from_times([times], 1, 1, 1e-3)
    ensemble = biosim.Ensemble(
        parameters, biosim.Clock(12.0, record=0.1), np.zeros(1), input="spikes", release="expected",
        experiment=biosim.Experiment(spikes=trains),
    )  # fmt: skip
    traces = biosim.run_ensemble(ensemble, engine).traces
    assert traces["calcium"].max() > 0.9 and traces["ip3"].max() > 2.0
    for name, variable in (("calcium", "C"), ("h", "h"), ("ip3", "I"), ("active_receptors", "G")):
        brian = np.asarray(getattr(monitor, variable))[0, 1:121]
        np.testing.assert_allclose(traces[name][:, 0], brian, rtol=0, atol=tolerance * brian.max(), err_msg=name)


def test_limit_cycles_at_constant_ip3():
    """Late oscillations of Brian2 against the return map, with the pump's affinity of example 2 and of example 6."""
    cases = [(EXAMPLE_2, 0.45), (EXAMPLE_2, 0.6), (EXAMPLE_6, 0.6), (EXAMPLE_6, 0.9)]
    names = {name: value for name, value in constants(EXAMPLE_2).items() if name != "k_ER"}
    start = {
        "C": 0.1, "h": 0.7, "I": np.array([ip3 for _, ip3 in cases]), "k_ER": np.array([one.k_ER for one, _ in cases]),
    }  # fmt: skip
    time, brian = run_brian(CALCIUM + "I : 1\nk_ER : 1\n", names, start, 160.0, 1e-2)
    at = time[time > 90.0]
    for unit, (parameters, ip3) in enumerate(cases):
        cycle = biosim.limit_cycles(ip3, parameters)[-1]
        assert cycle.stable
        ca = brian["C"][unit][time > 90.0]
        level = (ca.min() + ca.max()) / 2
        up = np.flatnonzero((ca[:-1] < level) & (ca[1:] >= level))
        crossings = at[up] + (level - ca[up]) / (ca[up + 1] - ca[up]) * (at[up + 1] - at[up])
        assert np.diff(crossings).mean() == pytest.approx(cycle.period, abs=1e-3)
        assert ca.min() == pytest.approx(cycle.calcium_min, abs=1e-5)
        assert ca.max() == pytest.approx(cycle.calcium_max, abs=1e-4)
