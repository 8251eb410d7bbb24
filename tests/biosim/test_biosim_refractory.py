"""Random input and the refractory time: the dead time of a counter, although input acts at the ends of steps."""

from __future__ import annotations

import numpy as np
import pytest

import biosim

RATE, SYNAPSES, DT = 10.0, 10, 1e-3


def relay(t_ref: float, units: int = 600, **experiment: object) -> biosim.Ensemble:
    """Units whose neuron fires at every quantum outside the refractory time, at 100 quanta/s."""
    parameters = biosim.parameter_set("wade2012").with_values(
        n_neurons=1, n_synapses=SYNAPSES, K_AG=0.0, PR0=1.0, m_eSP=0.0, t_ref=t_ref
    )
    extra = biosim.Experiment(**experiment) if experiment else None
    return biosim.Ensemble(parameters, biosim.Clock(40.0), np.full(units, RATE), seed=3, experiment=extra)


def expected_rate(t_ref: float) -> float:
    """1/(mean steps until a quantum comes + steps lost after that of the spike), Hz."""
    at_least_one = 1.0 - (1.0 - RATE * DT) ** SYNAPSES
    return 1.0 / (DT / at_least_one + t_ref - 0.5 * DT)


@pytest.mark.parametrize("t_ref", [0.5e-3, 2e-3, 2.3e-3, 10e-3])
def test_rate_with_a_dead_time(t_ref):
    rate = biosim.run_ensemble(relay(t_ref), "numba").statistics["firing_rate"]
    error = rate.std(ddof=1) / np.sqrt(rate.size)
    assert abs(rate.mean() - expected_rate(t_ref)) < 4 * error
    # The formula for continuous time, with the share of a step of 0.1 quanta as its error: half a step less would show 4 %.
    poisson = RATE * SYNAPSES / (1 + RATE * SYNAPSES * t_ref)
    assert abs(rate.mean() / poisson - 1) < 0.006


def test_the_same_in_brian2():
    pytest.importorskip("brian2", reason="needs Brian2: pip install 'astromorphic[brian]'")
    rate = biosim.run_ensemble(relay(2e-3, units=100), "brian2", target="numpy").statistics["firing_rate"]
    error = rate.std(ddof=1) / np.sqrt(rate.size)
    assert error < 0.002 * rate.mean()
    assert abs(rate.mean() - expected_rate(2e-3)) < 4 * error


def test_the_same_in_the_other_programs_of_the_kernel():
    """Unequal synapses and a schedule draw their numbers elsewhere."""
    units = 300
    ensembles = {
        "unequal synapses": relay(2e-3, units, PR0=np.full((units, 1, SYNAPSES), 1.0)),
        "schedule": relay(2e-3, units, schedule=biosim.Schedule(starts=[0.0, 10.0], factors=[1.0, 1.0])),
    }
    for name, ensemble in ensembles.items():
        rate = biosim.run_ensemble(ensemble, "numba").statistics["firing_rate"]
        error = rate.std(ddof=1) / np.sqrt(rate.size)
        assert abs(rate.mean() - expected_rate(2e-3)) < 4 * error, name


def test_regular_input_keeps_whole_steps():
    """Trains on the grid have no place inside a step: at 250 Hz and 10 ms every third spike comes through."""
    parameters = biosim.parameter_set("wade2012").with_values(
        n_neurons=1, n_synapses=1, K_AG=0.0, PR0=1.0, m_eSP=0.0, t_ref=10e-3
    )
    ensemble = biosim.Ensemble(parameters, biosim.Clock(12.0), np.array([250.0]), input="regular", release="expected")
    assert biosim.run_ensemble(ensemble, "numba").statistics["firing_rate"][0] == pytest.approx(250 / 3, abs=0.1)
