"""What the whole synapse does: conservation, mean-field relations, and the published Fig. 3."""

from __future__ import annotations

import numpy as np
import pytest

import biosim
from biosim import Clock, Ensemble, parameter_set, run_ensemble
from biosim.processes.endocannabinoid import dse, steady_firing_rate

# Time-mean calcium (uM) at 1..10 Hz, set wade2012: 32 seeds of an independent implementation; and the published curve.
CALCIUM = np.array([0.1072, 0.1195, 0.1256, 0.1293, 0.1318, 0.1335, 0.1347, 0.1357, 0.1365, 0.1371])
FIRING = np.array([1.92, 2.38, 2.58, 2.70, 2.78, 2.83, 2.87, 2.90, 2.92, 2.94])
RELEASE = np.array([0.192, 0.120, 0.087, 0.068, 0.056, 0.047, 0.041, 0.036, 0.033, 0.030])
DSE = np.array([-61.6, -76.1, -82.6, -86.3, -88.8, -90.6, -91.8, -92.7, -93.5, -94.1])
IP3 = np.array([0.2677, 0.2932, 0.3045, 0.3111, 0.3155, 0.3185, 0.3206, 0.3223, 0.3236, 0.3247])
PUBLISHED = np.array([0.11513, 0.12211, 0.12530, 0.12754, 0.12880, 0.12982, 0.13055, 0.13083, 0.13113, 0.13245])


@pytest.fixture(scope="module")
def fig3():
    return biosim.simulate("fig3", trials=48, seed=1)


def test_fig3_acceptance(fig3):
    mean = fig3.calcium_mean.mean("trial").values
    np.testing.assert_allclose(mean, CALCIUM, rtol=0, atol=0.002)
    assert (np.diff(mean) > 0).all()
    assert mean[-1] - mean[-2] < mean[1] - mean[0]
    assert np.sqrt(np.mean((mean - PUBLISHED) ** 2)) <= 0.006
    assert not fig3.esp_mean.values.any()
    assert float(fig3.calcium_max.max()) < 0.3
    assert float(fig3.calcium_rest) == pytest.approx(0.0722217837, abs=1e-9)


def test_fig3_secondary_columns(fig3):
    """The other rows of the same table, to its digits plus the error of the trials."""
    mean = fig3.mean("trial")
    np.testing.assert_allclose(mean.firing_rate, FIRING, rtol=0.01)
    np.testing.assert_allclose(mean.release_probability_mean, RELEASE, rtol=0.02)
    np.testing.assert_allclose(mean.dse_mean, DSE, rtol=0, atol=0.5)
    np.testing.assert_allclose(mean.ip3_mean, IP3, rtol=0, atol=0.0012)
    # Seeds differ, by as much as the reference's seeds do.
    assert (fig3.calcium_mean.std("trial").values > 5e-5).all()
    assert (fig3.calcium_mean.std("trial").values < 2e-3).all()


def test_mean_field_of_fig3(fig3):
    p = parameter_set("wade2012")
    rate = fig3.input_rate.values
    predicted = steady_firing_rate(rate, p.n_synapses, p.PR0, p.K_AG, p.dAG, p.tau_AG)
    np.testing.assert_allclose(fig3.firing_rate.mean("trial"), predicted, rtol=0.02)
    gain = p.r_IP3 * p.tau_IP3 * p.dAG * p.tau_AG
    assert gain == pytest.approx(0.028)
    rise = fig3.ip3_mean.mean("trial") - p.IP3_rest
    np.testing.assert_allclose(rise, gain * p.n_neurons * fig3.firing_rate.mean("trial"), rtol=0.02)


def test_mean_field_constants(closed):
    form = closed["mean_field"]
    for k, name in ((-1000.0, "ceiling_K1000_Hz"), (-4000.0, "ceiling_K4000_Hz")):
        assert steady_firing_rate(1e9, 10, 0.5, k, 0.8e-3, 10.0) == pytest.approx(form[name], rel=1e-6)
    assert steady_firing_rate(0.625, 10, 0.5, -4000.0, 0.8e-3, 10.0) == pytest.approx(form["ceiling_K4000_Hz"] / 2)
    assert dse(0.025, -4000.0) == -100.0


def test_mean_field_with_weak_suppression():
    """K_AG = -1000, three synapses, no e-SP, one neuron: the other end of the relation."""
    p = parameter_set("psu").with_values(n_neurons=1, n_synapses=3, m_eSP=0.0)
    rate = np.repeat([1.0, 3.0, 10.0], 160)
    outcome = run_ensemble(Ensemble(p, Clock(200.0, 100.0), rate, seed=2), "numba")
    firing = outcome.statistics["firing_rate"].reshape(3, 160).mean(axis=1)
    predicted = steady_firing_rate(np.array([1.0, 3.0, 10.0]), 3, p.PR0, p.K_AG, p.dAG, p.tau_AG)
    np.testing.assert_allclose(firing, predicted, rtol=0.02)


def test_2ag_is_conserved():
    """d AG/dt = -AG/tau + dAG x spikes: the integral of 2-AG is tau x (released - stored), to the sampling of 10 ms."""
    p = parameter_set("wade2012")
    ensemble = Ensemble(p, Clock(80.0, 40.0, record=40.0), np.array([1.0, 5.0, 50.0]), seed=3)
    outcome = run_ensemble(ensemble, "numba")
    start, end = outcome.traces["ag"].mean(axis=2)
    released = outcome.statistics["firing_rate"] * 40.0 * p.dAG
    integral = p.tau_AG * (released - (end - start))
    np.testing.assert_allclose(outcome.statistics["ag_mean"] * 40.0, integral, rtol=1.5e-3)
    np.testing.assert_allclose(outcome.final["ag"].mean(axis=1), end, rtol=0, atol=0)


def test_2ag_in_steady_state(fig3):
    p = parameter_set("wade2012")
    mean = fig3.mean("trial")
    np.testing.assert_allclose(mean.ag_mean, mean.firing_rate * p.dAG * p.tau_AG, rtol=0.01)
    np.testing.assert_allclose(mean.dse_mean, p.K_AG * mean.ag_mean, rtol=1e-12)
    # Quanta that leave are spikes times PR, whatever the correlation in time: checked to the mean field's 2 %.
    released = p.n_synapses * mean.input_rate * mean.release_probability_mean
    np.testing.assert_allclose(mean.release_rate, released, rtol=0.02)
    assert (mean.firing_rate <= mean.release_rate).all()


def test_suppression_is_bounded():
    """Without e-SP release stops at DSE = -100 %; a spike just before that overshoots by one jump of 2-AG at most."""
    p = parameter_set("wade2012")
    ensemble = Ensemble(p, Clock(60.0, 30.0, record=0.01), np.full(4, 300.0), seed=6)
    outcome = run_ensemble(ensemble, "numba")
    suppression = p.K_AG * outcome.traces["ag"]
    assert suppression.min() < -95.0
    assert suppression.min() >= -100.0 + p.K_AG * p.dAG
    assert (outcome.statistics["dse_mean"] > -100.0 + p.K_AG * p.dAG / 2).all()
    # IP3 <= IP3* + r_IP3 tau_IP3 M 100/|K_AG| = 0.335 uM, plus half a jump of 2-AG.
    assert (outcome.statistics["ip3_mean"] < 0.335 + 0.5 * 7.0 * 2 * p.dAG / 2).all()
    pr = outcome.traces["release_probability"]
    assert pr.min() >= 0.0 and pr.max() <= 1.0
    assert not outcome.statistics["crossings"].any()


def test_neurons_add_up_in_ip3_and_not_in_suppression():
    """The same trains to one or three neurons: three times the rise of IP3, the same 2-AG."""
    clock, rate = Clock(20.0, record=1.0), np.array([5.0])
    runs = []
    for m in (1, 3):
        p = parameter_set("wade2012").with_values(n_neurons=m, n_synapses=1, m_eSP=0.0)
        runs.append(run_ensemble(Ensemble(p, clock, rate, input="regular", release="expected", spread=False), "numba"))
    for i in range(3):
        np.testing.assert_array_equal(runs[1].traces["ag"][..., i], runs[0].traces["ag"][..., 0])
    np.testing.assert_allclose(runs[1].traces["ip3"] - 0.16, 3 * (runs[0].traces["ip3"] - 0.16), rtol=1e-9)


def test_statistics_are_those_of_the_traces():
    """Every statistic of the window, from a trace sampled at each astrocyte step."""
    p = parameter_set("psu").with_values(Ca_th=0.2, release_rule="repeated")
    clock = Clock(30.0, 5.0, record=0.01)
    outcome = run_ensemble(Ensemble(p, clock, np.array([1.0, 8.0]), seed=8), "numba")
    late = clock.trace_times() > 5.0 + 1e-9
    s = outcome.statistics
    t = {name: values[late] for name, values in outcome.traces.items()}
    np.testing.assert_allclose(s["calcium_mean"], t["calcium"].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(s["calcium_sd"], t["calcium"].std(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(s["calcium_min"], t["calcium"].min(axis=0))
    np.testing.assert_array_equal(s["calcium_max"], t["calcium"].max(axis=0))
    np.testing.assert_allclose(s["ip3_mean"], t["ip3"].mean(axis=0), rtol=1e-12)
    # Glutamate decays from the value after one sample to that before the next pulse; e-SP is continuous.
    first = int(np.flatnonzero(late)[0])
    glutamate, esp = (outcome.traces[name][first - 1 : -1] for name in ("glutamate", "esp"))
    between = 0.5 * (glutamate + glutamate * np.exp(-0.01 / p.tau_Glu))
    np.testing.assert_allclose(s["glutamate_mean"], between.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(s["esp_mean"], 0.5 * (esp + t["esp"]).mean(axis=0), rtol=1e-12)
    assert s["glutamate_mean"][1] > 1e-3
    np.testing.assert_allclose(s["ag_mean"], t["ag"].mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(s["release_probability_mean"], t["release_probability"].mean(axis=(0, 2)), rtol=1e-12)
    start = outcome.traces["calcium"][~late][-1:]
    calcium = np.concatenate([start, t["calcium"]])
    crossings = ((calcium[1:] >= 0.2) & (calcium[:-1] < 0.2)).sum(axis=0)
    np.testing.assert_array_equal(s["crossings"], crossings)


@pytest.mark.parametrize("rule", ["upward", "repeated", "latched"])
def test_release_rules(rule):
    """Pulses read off the glutamate trace: when each rule releases, with the period's remainder kept."""
    p = parameter_set("wade2012").with_values(
        n_neurons=1, n_synapses=1, IP3_rest=0.5, release_rule=rule, release_period=0.301, Ca_init=0.1, h_init=0.7
    )
    clock = Clock(60.0, record=0.01)
    outcome = run_ensemble(Ensemble(p, clock, np.zeros(1)), "numba")
    time, glu, ca = clock.trace_times(), outcome.traces["glutamate"][:, 0], outcome.traces["calcium"][:, 0]
    kept = np.concatenate([[0.0], glu[:-1]]) * np.exp(-0.01 / p.tau_Glu)
    jump = glu - kept
    pulses = time[jump > 0.5 * p.dGlu]
    np.testing.assert_allclose(jump[jump > 0.5 * p.dGlu], p.dGlu, rtol=1e-9)
    above = ca >= p.Ca_th
    rising = time[above & ~np.concatenate([[False], above[:-1]])]
    assert rising.size == outcome.statistics["crossings"][0] >= 4
    if rule == "upward":
        np.testing.assert_array_equal(pulses, rising)
    elif rule == "latched":
        count = np.arange(1, pulses.size + 1)
        np.testing.assert_allclose(pulses, rising[0] + 0.301 * count, rtol=0, atol=0.0051)
        assert pulses[-1] > 60.0 - 0.32
    else:
        assert set(np.round(rising, 6)) <= set(np.round(pulses, 6))
        assert above[np.round(pulses / 0.01).astype(int) - 1].all()
        for first, last in zip(rising, np.append(rising[1:], 61.0), strict=True):
            inside = pulses[(pulses >= first - 1e-9) & (pulses < last - 1e-9)]
            np.testing.assert_allclose(inside, first + 0.301 * np.arange(inside.size), rtol=0, atol=0.0051)
            assert inside.size >= 3
