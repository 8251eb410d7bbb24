"""Chosen processes together with kinds of input, and experiments in blocks: what either tests alone cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from biosim import Clock, Ensemble, Experiment, Faults, Jump, Schedule, Windows
from biosim.parameters import parameter_set
from biosim.simulation import run_ensemble

ENGINES = ("numba", "brian2", "reference")

# Every plan compiles kernels and Brian2 code of its own: two minutes in all.
pytestmark = pytest.mark.slow


def _ensemble(experiment: Experiment, rate: float = 20.0, duration: float = 4.0, **options: object) -> Ensemble:
    start = {"IP3_init": 0.5, "Ca_init": 0.25, "h_init": 0.7}
    parameters = parameter_set("wade2012").with_values(n_synapses=4, **{**start, **options})
    # The reference has no clock of the astrocyte: a short step keeps the moments of its events close to those of the others.
    clock = Clock(duration, dt_astro=2e-3, record=0.1)
    return Ensemble(parameters, clock, np.array([rate]), input="regular", release="expected", experiment=experiment)


def _agree(ensemble: Ensemble, rtol: float) -> None:
    if ensemble.parameters.gate != "none":
        assert run_ensemble(ensemble, "numba").traces["gate"].max() > 0.2
    pytest.importorskip("brian2")
    outcomes = {name: run_ensemble(ensemble, name) for name in ENGINES}
    exact, numba = outcomes["reference"], outcomes["numba"]
    for other, tolerance in (("brian2", 1e-9), ("reference", rtol)):
        found = outcomes[other]
        assert set(found.traces) == set(numba.traces) and set(found.windows) == set(numba.windows)
        for group in ("traces", "windows"):
            for name, values in getattr(numba, group).items():
                if name == "voltage" and other == "reference":
                    # A neuron that fires within a step of a sample is there before or after its reset.
                    continue
                # A pulse comes at the crossing there and at the end of its step here: a step of 2 ms of the 100 ms of decay.
                late = 10 if name in ("glutamate", "esp", "window_esp_mean") and other == "reference" else 1
                scale = np.abs(getattr(exact, group)[name]).max()
                np.testing.assert_allclose(
                    values,
                    getattr(found, group)[name],
                    rtol=0,
                    atol=late * tolerance * max(scale, 1e-9),
                    err_msg=f"{other} {name}",
                )


def test_a_gate_and_unequal_failing_synapses_multiply():
    """The gate holds back the same share of every synapse, whatever its own release probability."""
    PR0 = np.array([[[0.1, 0.4, 0.7, 0.9], [0.5, 0.5, 0.5, 0.5]]])
    experiment = Experiment(
        faults=Faults(2.0, 1, synapses=[0, 2]), PR0=PR0, windows=Windows(np.array([[0.0, 2.0], [2.0, 4.0]]))
    )
    _agree(_ensemble(experiment, gate="volman"), 2e-3)


@pytest.mark.parametrize("individual", [False, True])
def test_a_gate_thins_random_release_by_its_share(individual):
    """A gate at its level f leaves 1 - f of the quanta, in the binomial draw and in the draws synapse by synapse."""
    table = np.full((256, 2, 4), 0.5)
    experiment = Experiment(windows=Windows(np.array([[1.0, 4.0]])), PR0=table if individual else None)
    values = {"n_synapses": 4, "PR0": 0.5, "K_AG": -1e-9, "m_eSP": 0.0, "Ca_init": 0.3, "h_init": 0.7, "IP3_init": 0.5}
    rates = []
    for gate in ("none", "volman"):
        parameters = parameter_set("wade2012").with_values(gate=gate, **values)
        clock = Clock(4.0, record=0.05)
        outcome = run_ensemble(Ensemble(parameters, clock, np.full(256, 20.0), experiment=experiment), "numba")
        rates.append(outcome.windows["window_release_rate"].mean())
        share = outcome.traces["gate"][20:].mean() if gate != "none" else 0.0
    assert share > 0.2
    # 256 units, 2 neurons, 3 s at 40 quanta per second: 61,000 quanta, 0.4 %.
    assert rates[1] / rates[0] == pytest.approx(1 - share, rel=0.025)


@pytest.mark.parametrize("variable", ["AG", "IP3"])
def test_a_jump_under_a_slow_inward_current(variable):
    experiment = Experiment(
        jump=Jump(variable, 1.0, 0.05), windows=Windows(np.array([[0.0, 1.0], [1.0, 4.0]])),
        schedule=Schedule(np.array([0.0, 2.0]), np.array([1.0, 0.0])),
    )  # fmt: skip
    _agree(_ensemble(experiment, sic="events", SIC_scale=3.0, K_AG=-100.0), 1e-2)


def test_spikes_of_a_current_are_counted_in_their_window():
    """Spikes that the current causes without input are those of the whole run, in every engine."""
    experiment = Experiment(windows=Windows.every(1.0, 4.0))
    ensemble = _ensemble(experiment, rate=0.0, sic="instantaneous", SIC_scale=4.0)
    for engine in ("numba", "reference"):
        outcome = run_ensemble(ensemble, engine)
        total = outcome.windows["window_firing_rate"].mean()
        assert total > 10
        assert total == pytest.approx(outcome.statistics["firing_rate"][0], rel=1e-12)


def test_a_depressing_synapse_goes_with_jumps_and_windows():
    experiment = Experiment(jump=Jump("AG", 1.0, 1e-3), windows=Windows.every(2.0, 4.0))
    _agree(_ensemble(experiment, synapse="depressing"), 2e-3)


@pytest.mark.parametrize(
    ("name", "experiment"),
    [
        ("schedule", Experiment(schedule=Schedule(np.array([0.0, 1.0, 3.0]), np.array([1.0, 0.0, 2.0])))),
        ("faults", Experiment(faults=Faults(1.5, 0, share=0.5), windows=Windows.every(2.0, 4.0))),
        ("PR0 per synapse", Experiment(PR0=np.linspace(0.1, 0.9, 8).reshape(1, 2, 4))),
    ],
)
def test_a_depressing_synapse_goes_with_every_part_of_an_experiment(name, experiment):
    _agree(_ensemble(experiment, synapse="depressing"), 2e-3)


def test_a_schedule_of_random_input_thins_the_spikes_of_depressing_synapses():
    """<x> = 1/(1 + U r (tau_in + tau_rec)) at the rate of each piece; a factor of 0 lets the resources recover."""
    parameters = parameter_set("wade2012").with_values(
        synapse="depressing",
        n_neurons=1,
        n_synapses=4,
        PR0=0.5,
        K_AG=0.0,
        m_eSP=0.0,
        tau_in=0.01,
        tau_rec=0.2,
        A_se=1.0,
    )
    clock = Clock(30.0, record=0.1)
    schedule = Schedule(np.array([0.0, 10.0, 20.0]), np.array([1.0, 2.0, 0.0]))
    ensemble = Ensemble(parameters, clock, np.full(256, 10.0), seed=5, experiment=Experiment(schedule=schedule))
    resources = run_ensemble(ensemble, "numba").traces["resources"].mean(axis=(1, 2))
    time = clock.trace_times()
    for start, rate in ((0.0, 10.0), (10.0, 20.0)):
        piece = resources[(time > start + 2.0) & (time <= start + 10.0)].mean()
        assert piece == pytest.approx(1.0 / (1.0 + 0.5 * rate * 0.21), rel=0.02)
    assert resources[-1] == pytest.approx(1.0, abs=1e-9)
