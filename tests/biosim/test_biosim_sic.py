"""Slow inward current: its two forms, and the neuron under a continuous current, against closed forms and other solvers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import biosim
from biosim import Clock, Ensemble, ParameterError, SimulationError, parameter_set, run_ensemble
from biosim.processes import lif, linear, sic

S9 = parameter_set("wade2012")
FORMS = ("instantaneous", "events")


# The current itself -----------------------------------------------------------------------------------------------------


def test_nadkarni_jung_value():
    """2.11 uA/cm^2 at 1 uF/cm^2 is 105.5 pA for the 50 pF of this neuron; at 0.4 uM, ln y = 5.314732."""
    assert sic.nadkarni_jung(0.4, 1.0, 0.19669) == pytest.approx(5.314732, abs=1e-6)
    capacitance = S9.tau_m / S9.R_m  # nF
    scale = 2.11 * capacitance / 1.0 * 1e3
    assert scale == pytest.approx(105.5)
    assert sic.nadkarni_jung(0.4, scale, 0.19669) == pytest.approx(560.7, abs=0.05)
    # The default depolarises by about the threshold; the raw value by 75 times as much.
    assert S9.R_m * sic.nadkarni_jung(0.4, S9.SIC_scale, S9.SIC_offset) == pytest.approx(S9.v_th, rel=0.02)


def test_nadkarni_jung_begins_continuously_one_nanomolar_above_the_offset():
    assert sic.nadkarni_jung(0.0, 1.4, 0.19669) == sic.nadkarni_jung(0.1976, 1.4, 0.19669) == 0.0
    assert 0.0 < sic.nadkarni_jung(0.19769 + 1e-9, 1.4, 0.19669) < 1e-5


@pytest.mark.parametrize(("rise", "decay"), [(0.06, 0.6), (0.1, 0.11), (1e-3, 2.0)])
def test_the_peak_of_a_transient(rise, decay):
    found = minimize_scalar(lambda t: math.exp(-t / rise) - math.exp(-t / decay), bounds=(0.0, 5 * decay), method="bounded",
                            options={"xatol": 1e-12})  # fmt: skip
    assert sic.event_peak(rise, decay) == pytest.approx(-found.fun, rel=1e-9)


# The neuron under a constant current: 10 pA, 7.7 of the closed forms ---------------------------------------------------


def _constant_current(dt: float, duration: float, current: float = 10.0, **values) -> tuple[Ensemble, int, float]:
    """Calcium held 100 nM above the offset, so a constant current (pA); with the number of spikes and the potential then."""
    fixed = {"r_C": 0.0, "r_L": 0.0, "v_ER": 0.0, "Ca_init": 0.1, "h_init": 0.5, "SIC_offset": 0.0, "dAG": 0.0}
    scale = current / math.log(100.0)
    parameters = S9.with_values(n_neurons=1, n_synapses=1, sic="instantaneous", SIC_scale=scale, **(fixed | values))
    p = parameters
    interval = lif.constant_current_interval(current, p.R_m, p.tau_m, p.v_th, p.t_ref)
    first = interval - p.t_ref
    spikes = math.floor((duration - first) / interval) + 1
    since = duration - first - (spikes - 1) * interval - p.t_ref
    assert 0.1 < since / interval < 0.9  # far enough from a spike that its time decides nothing but the phase
    wanted = p.R_m * current * -math.expm1(-since / p.tau_m)
    return Ensemble(parameters, Clock(duration, dt=dt, dt_astro=0.04), np.zeros(1)), spikes, wanted


@pytest.mark.parametrize(
    ("engine", "options", "tolerance"),
    [("numba", {}, 5e-4), ("brian2", {"target": "numpy"}, 5e-4), ("reference", {}, 1e-9)],
)
def test_interval_at_constant_current(closed, engine, options, tolerance):
    """The phase after 39 intervals of 85.177662 ms; on a grid of 1 ms each interval would last 86 ms."""
    assert closed["lif_constant_current_isi"]["isi_ms"] == pytest.approx(85.177662, abs=1e-6)
    ensemble, spikes, wanted = _constant_current(1e-3, 3.36)
    outcome = run_ensemble(ensemble, engine, **options)
    assert spikes == 39
    assert outcome.statistics["firing_rate"][0] * 3.36 == pytest.approx(spikes)
    assert outcome.final["sic"][0] == pytest.approx(10.0, abs=1e-12)
    assert outcome.final["voltage"][0, 0] == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize("t_ref", [0.0043, 0.005])
def test_interval_has_order_three_at_constant_current(t_ref):
    """Also with a refractory time that is no multiple of the step."""
    steps, errors = np.array([1e-3, 2e-3, 4e-3]), []
    for dt in steps:
        ensemble, spikes, wanted = _constant_current(dt, 4.0, current=40.0, t_ref=t_ref)
        outcome = run_ensemble(ensemble, "numba")
        assert outcome.statistics["firing_rate"][0] * 4.0 == pytest.approx(spikes)
        errors.append(abs(outcome.final["voltage"][0, 0] - wanted))
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] > 2.6, errors


def test_no_spike_below_rheobase():
    parameters = S9.with_values(
        n_neurons=1, n_synapses=1, sic="instantaneous", SIC_offset=0.0, SIC_scale=7.4999 / math.log(100.0), r_C=0.0, r_L=0.0,
        v_ER=0.0, Ca_init=0.1, h_init=0.5,
    )  # fmt: skip
    outcome = run_ensemble(Ensemble(parameters, Clock(2.0), np.zeros(1)), "numba")
    assert outcome.statistics["firing_rate"][0] == 0.0
    assert outcome.final["voltage"][0, 0] == pytest.approx(1.2 * 7.4999, rel=1e-12)


def test_quanta_and_current_share_the_refractory_time():
    """Every 4 ms a quantum of 133 mV fires the neuron; the current alone never does, and no quantum is lost or added."""
    parameters = S9.with_values(
        n_neurons=1, n_synapses=1, PR0=1.0, K_AG=0.0, sic="instantaneous", SIC_offset=0.0, SIC_scale=10.0 / math.log(100.0),
        r_C=0.0, r_L=0.0, v_ER=0.0, Ca_init=0.1, h_init=0.5, dAG=0.0,
    )  # fmt: skip
    outcome = run_ensemble(
        Ensemble(parameters, Clock(2.0), np.array([250.0]), input="regular", release="expected"), "numba"
    )
    assert outcome.statistics["firing_rate"][0] == pytest.approx(250.0)
    assert outcome.final["voltage"][0, 0] == 0.0


# Transients -----------------------------------------------------------------------------------------------------------


def _single_crossing(**values) -> Ensemble:
    ca, h = biosim.rest_state(0.16, S9)
    parameters = S9.with_values(n_neurons=2, n_synapses=3, sic="events", IP3_init=0.9, Ca_init=ca, h_init=h, **values)
    return Ensemble(parameters, Clock(6.0, record=0.01), np.zeros(1))


def test_one_transient_in_closed_form():
    """Peak A ln y of the threshold; the neuron's response is the convolution of both exponentials with its own decay."""
    ensemble = _single_crossing(SIC_scale=1.2)
    p = ensemble.parameters
    outcome = run_ensemble(ensemble, "numba")
    assert outcome.statistics["crossings"][0] == 1
    assert outcome.statistics["firing_rate"][0] == 0.0
    time, calcium = ensemble.clock.trace_times(), outcome.traces["calcium"][:, 0]
    at = int(np.flatnonzero(calcium >= p.Ca_th)[0])
    since = time[at:] - time[at]
    amplitude = 1.2 * math.log((p.Ca_th - p.SIC_offset) * 1e3) / sic.event_peak(p.tau_SIC_rise, p.tau_SIC_decay)
    wanted = amplitude * (np.exp(-since / p.tau_SIC_decay) - np.exp(-since / p.tau_SIC_rise))
    np.testing.assert_allclose(outcome.traces["sic"][at:, 0], wanted, rtol=0, atol=1e-12)
    assert wanted.max() == pytest.approx(1.2 * math.log(103.31), rel=1e-3)
    rise_to_v = p.R_m / p.tau_m * np.array([linear.transfer(t, p.tau_SIC_rise, p.tau_m, 1.0) for t in since])
    decay_to_v = p.R_m / p.tau_m * np.array([linear.transfer(t, p.tau_SIC_decay, p.tau_m, 1.0) for t in since])
    np.testing.assert_allclose(
        outcome.traces["voltage"][at:, 0, 1], amplitude * (decay_to_v - rise_to_v), rtol=0, atol=1e-11
    )


def test_per_synapse_is_as_often_as_there_are_synapses():
    """Equations 6-7 of arXiv 2312.10925 add the current inside the sum over synapses."""
    once = run_ensemble(_single_crossing(SIC_scale=0.4), "numba")
    often = run_ensemble(_single_crossing(SIC_scale=0.4, sic_per="synapse"), "numba")
    np.testing.assert_allclose(often.traces["sic"], 3 * once.traces["sic"], rtol=1e-14)
    np.testing.assert_allclose(often.traces["voltage"], 3 * once.traces["voltage"], rtol=1e-12)
    assert once.traces["voltage"].max() > 1.0


def test_below_the_threshold_of_the_current_nothing_happens():
    """The set wade2012 at 1 to 100 Hz keeps calcium below 0.19669 uM: both forms change no other quantity."""
    off = biosim.simulate("rate_sweep", rates=[2.0, 20.0], trials=1, duration=10.0, settle=0.0, seed=4)
    for form in FORMS:
        on = biosim.simulate(
            "rate_sweep", S9.with_values(sic=form), rates=[2.0, 20.0], trials=1, duration=10.0, settle=0.0, seed=4
        )
        assert float(off.calcium_max.max()) < 0.19
        for name in ("firing_rate", "release_rate", "calcium_mean", "ip3_mean"):
            np.testing.assert_allclose(on[name], off[name], rtol=1e-12, err_msg=name)


# Engines --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "per"), [("instantaneous", "neuron"), ("events", "synapse")])
def test_numba_equals_brian2(releasing, difference, form, per):
    """Units whose neurons fire by quanta, by the current, and by both."""
    base = releasing("upward", "ode", Clock(5.0, 0.1, dt=2e-3, dt_astro=2e-2, record=0.1))
    parameters = base.parameters.with_values(sic=form, sic_per=per, SIC_scale=2.5)
    ensemble = Ensemble(
        parameters, base.clock, base.rate, overrides=base.overrides, input="regular", release="expected"
    )
    numba = run_ensemble(ensemble, "numba")
    assert numba.statistics["firing_rate"][0] > 0.0  # no input: the current alone
    brian = run_ensemble(ensemble, "brian2", target="numpy")
    worst = difference(numba, brian)
    assert max(worst.values()) < 1e-9, sorted(worst.items(), key=lambda item: -item[1])[:3]


@pytest.mark.parametrize("form", FORMS)
def test_numba_approaches_the_reference(form):
    """The current is held over a step of calcium, or starts at the end of one: an error of first order in dt_astro."""
    parameters = parameter_set("psu").with_values(
        release_rule="upward", n_synapses=1, n_neurons=1, sic=form, SIC_scale=3.0, IP3_init=0.7, Ca_th=0.2
    )

    def voltage(engine: str, dt_astro: float) -> np.ndarray:
        clock = Clock(2.4, dt_astro=dt_astro, record=0.24)
        # A threshold out of reach compares potentials, not the numbers of spikes.
        ensemble = Ensemble(parameters, clock, np.zeros(1), overrides={"v_th": np.array([1e3])})
        return run_ensemble(ensemble, engine).traces["voltage"]

    truth = voltage("reference", 0.01)
    assert truth.max() > 3.0
    steps = np.array([0.004, 0.016, 0.048])
    errors = [np.abs(voltage("numba", step) - truth).max() for step in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 0.6 < slope < 1.6, (errors, slope)
    assert errors[0] < 0.02 * truth.max()


def test_spikes_by_the_current_agree_with_the_reference():
    parameters = parameter_set("psu").with_values(
        release_rule="upward", n_synapses=1, n_neurons=1, sic="instantaneous", SIC_scale=3.0, IP3_init=0.7
    )
    clock = Clock(4.8, 0.96, dt_astro=2e-3, record=0.48)
    ensemble = Ensemble(parameters, clock, np.array([0.0, 4.0]), input="regular", release="expected")
    numba, truth = run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "reference")
    assert truth.statistics["firing_rate"].min() > 20.0
    np.testing.assert_allclose(numba.statistics["firing_rate"], truth.statistics["firing_rate"], atol=0.3)
    np.testing.assert_allclose(numba.traces["calcium"], truth.traces["calcium"], atol=1e-3)


# Surroundings ---------------------------------------------------------------------------------------------------------


def test_the_current_is_a_variable_of_the_dataset():
    ds = biosim.simulate(
        "rate_sweep", S9.with_values(sic="events"), rates=[1.0], trials=2, duration=1.0, settle=0.0, record=0.5
    )
    assert ds.sic.dims == ("time", "input_rate", "trial") and ds.sic.attrs["units"] == "pA"
    assert "sic" not in biosim.simulate("rate_sweep", rates=[1.0], trials=2, duration=1.0, settle=0.0, record=0.5)


def test_refusals():
    with pytest.raises(ParameterError, match=r"tau_SIC_rise = 0\.6 s: expected less than tau_SIC_decay = 0\.6 s"):
        S9.with_values(tau_SIC_rise=0.6)
    on = S9.with_values(sic="events")
    with pytest.raises(SimulationError, match=r"t_ref = 0.0005 s \(unit 1\) with a continuous current: .* at least dt"):
        Ensemble(on, Clock(1.0), np.ones(2), overrides={"t_ref": np.array([0.002, 0.0005])})
    with pytest.raises(SimulationError, match=r"tau_SIC_rise = 0.7 s \(unit 0\): expected less than tau_SIC_decay"):
        Ensemble(on, Clock(1.0), np.ones(1), overrides={"tau_SIC_rise": np.array([0.7])})
    with pytest.raises(SimulationError, match="sic = 'events': protocol constant_ip3 holds IP3"):
        biosim.protocol("constant_ip3", on)
    with pytest.raises(ParameterError, match="sic = 'event': expected one of none, instantaneous, events"):
        S9.with_values(sic="event")
