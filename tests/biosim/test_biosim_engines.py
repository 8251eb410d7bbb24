"""The three engines against each other, events against the time step, and what Brian2 needs from its surroundings."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest

from biosim import Clock, Ensemble, SimulationError, parameter_set, run_ensemble
from biosim.engines import brian_engine

RULES = ("upward", "repeated", "latched", "continuous")
FORMS = ("ode", "algebraic")
CLOCK = Clock(8.0, 0.1, dt=2e-3, dt_astro=2e-2, record=0.1)


# Numba and Brian2: the same scheme ------------------------------------------------------------------------------------


@pytest.fixture
def numpy_target():
    import brian2

    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = "numpy"
    yield
    brian2.prefs.codegen.target = before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rule", RULES)
def test_numba_equals_brian2(releasing, difference, rule, form):
    ensemble = releasing(rule, form, CLOCK)
    numba = run_ensemble(ensemble, "numba")
    # The cases must be worth comparing: glutamate is released, e-SP acts, PR lies inside (0, 1), neurons fire.
    assert (numba.statistics["esp_mean"] > 0.01).all()
    assert numba.statistics["crossings"].min() >= 1
    assert np.isfinite(numba.statistics["crossing_period"]).any()
    pr = numba.traces["release_probability"]
    assert ((pr > 0.01) & (pr < 0.99)).any(axis=(0, 2)).all()
    brian = run_ensemble(ensemble, "brian2", target="numpy")
    worst = difference(numba, brian)
    assert max(worst.values()) < 1e-9, sorted(worst.items(), key=lambda item: -item[1])[:3]


def test_numba_equals_brian2_on_the_default_clock(releasing, difference):
    """1 ms and 10 ms, refractory time of two steps, release at coincident trains."""
    ensemble = releasing("upward", "ode", Clock(2.5, 0.5, record=0.1), spread=False)
    worst = difference(run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "brian2", target="numpy"))
    assert max(worst.values()) < 1e-9, worst


def test_brian2_order_of_execution(releasing, numpy_target):
    """Ties are broken by name in Brian2, so every object has its slot and order; another order is another scheme."""
    import brian2

    network = brian2.Network(brian_engine._Network(brian2, releasing("upward", "ode", CLOCK)).objects)
    network.run(0 * brian2.second, namespace={"n_settle": 0, "mmolar": brian2.mmolar})
    entries = [entry for entry in network.scheduling_summary().entries if "traces" not in entry.name]
    assert [(entry.name, entry.when) for entry in entries] == [
        ("biosim_astrocytes_start_minus2", "start"),
        ("biosim_calcium_start_minus1", "start"),
        ("biosim_calcium_stateupdater", "start"),
        ("biosim_calcium_start_1", "start"),
        ("biosim_astrocytes_start_2", "start"),
        ("biosim_neurons_start_3", "start"),
        ("biosim_astrocytes_stateupdater", "groups"),
        ("biosim_neurons_stateupdater", "groups"),
        ("biosim_neurons_groups_3", "groups"),
        ("biosim_input", "thresholds"),
        ("biosim_synapses_pre", "synapses"),
        ("biosim_neurons_spike_thresholder", "after_synapses"),
        ("biosim_neurons_spike_resetter", "resets"),
        ("biosim_endocannabinoid_pre", "after_resets"),
    ]
    # Within a slot no two objects of one clock share an order, so no name decides.
    keys = [(entry.when, entry.order, float(entry.dt)) for entry in entries]
    assert len(set(keys)) == len(keys)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"target": "cython"}, {"device": "cpp_standalone"}], ids=["cython", "standalone"])
def test_compiled_brian2_equals_numba(releasing, difference, options):
    ensemble = releasing("latched", "ode", CLOCK)
    worst = difference(run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "brian2", **options))
    assert max(worst.values()) < 1e-9, worst
    # The process must be left as it was: a second run, and one by another target, still work.
    assert max(difference(run_ensemble(ensemble, "brian2", **options), run_ensemble(ensemble, "numba")).values()) < 1e-9
    short = releasing("latched", "ode", Clock(0.1))
    assert max(difference(run_ensemble(short, "brian2", target="numpy"), run_ensemble(short, "numba")).values()) < 1e-9


def _standard_scores(one, other, shape):
    """Difference of the means over units in standard errors, and the standard error relative to the mean, per rate."""
    out = {}
    for name in (
        "firing_rate",
        "release_rate",
        "ag_mean",
        "ip3_mean",
        "calcium_mean",
        "release_probability_mean",
        "esp_mean",
    ):
        x, y = one.statistics[name].reshape(shape, -1), other.statistics[name].reshape(shape, -1)
        error = np.sqrt(x.var(axis=1) / x.shape[1] + y.var(axis=1) / y.shape[1])
        out[name] = (x.mean(axis=1) - y.mean(axis=1)) / error, error / np.abs(y.mean(axis=1))
    return out


def test_stochastic_means_agree_with_brian2():
    """Poisson input and Bernoulli release, e-SP included: a difference of 1 % in any mean would exceed three errors."""
    parameters = parameter_set("psu").with_values(Ca_th=0.09)

    def ensemble(trials: int, seed: int) -> Ensemble:
        rate = np.repeat([8.0, 16.0], trials)
        return Ensemble(parameters, Clock(10.0, dt=2e-3, dt_astro=2e-2), rate, seed=seed)

    brian = run_ensemble(ensemble(450, 11), "brian2", target="numpy")
    numba = run_ensemble(ensemble(6000, 12), "numba")
    for name, (score, relative_error) in _standard_scores(brian, numba, 2).items():
        assert (relative_error < 1 / 300).all(), (name, relative_error)
        assert (np.abs(score) < 3).all(), (name, score)


def test_random_release_at_regular_input_agrees_with_expected_release():
    """Bernoulli draws per spike: their mean number is the number of spikes times PR, here held constant."""
    parameters = parameter_set("psu").with_values(K_AG=0.0, m_eSP=0.0, n_neurons=1, n_synapses=3, PR0=0.3)
    clock, rate = Clock(20.0), np.full(400, 10.0)
    random = run_ensemble(Ensemble(parameters, clock, rate, input="regular", seed=5), "numba")
    expected = run_ensemble(Ensemble(parameters, clock, rate[:1], input="regular", release="expected"), "numba")
    mean = expected.statistics["release_rate"][0]
    assert mean == pytest.approx(3 * 10.0 * 0.3, rel=0.01)
    released = random.statistics["release_rate"] * 20.0
    spikes = round(mean * 20.0 / 0.3)
    assert released.mean() == pytest.approx(mean * 20.0, abs=3 * np.sqrt(spikes * 0.21 / 400))
    assert released.var() == pytest.approx(spikes * 0.21, rel=3 * np.sqrt(2 / 400))


# Numba and the reference engine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [True, False])
def test_numba_approaches_the_reference_without_release(difference, spread):
    """All neurons, synapses, 2-AG, DSE, IP3 and calcium; spikes fall between the astrocyte's steps."""
    parameters = parameter_set("wade2012").with_values(n_synapses=3)
    clock = Clock(12.0, 4.0, record=0.5)
    ensemble = Ensemble(
        parameters, clock, np.array([3.0, 10.0, 17.0]), input="regular", release="expected", spread=spread
    )
    worst = difference(run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "reference"))
    # A jump of 2-AG within a step of calcium leaves an error of the order of jump x step; everything else is exact.
    inexact = {name: worst.pop(name) for name in list(worst) if name.split()[1] in ("calcium", "h")}
    inexact |= {name: worst.pop(name) for name in list(worst) if "calcium" in name}
    assert max(worst.values()) < 1e-10, worst
    assert max(inexact.values()) < 1e-7, inexact


def test_numba_equals_the_reference_where_spikes_meet_the_steps(difference, relay):
    ensemble = relay(10.0, Clock(15.0, 5.0, record=0.5), Ca_th=5.0)
    worst = difference(run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "reference"))
    assert max(worst.values()) < 1e-8, worst


@pytest.mark.parametrize("rule", ["upward", "continuous"])
def test_release_times_are_first_order_in_the_astrocyte_step(rule):
    """Release is detected at the end of a step, on average half a step late: the error of e-SP falls with dt_astro."""
    parameters = parameter_set("psu").with_values(n_neurons=1, n_synapses=1, release_rule=rule, r_Glu=0.1, IP3_init=0.7)
    threshold = np.linspace(0.12, 0.3, 12)

    def esp(engine: str, dt_astro: float) -> np.ndarray:
        clock = Clock(4.8, dt_astro=dt_astro, record=0.48)
        ensemble = Ensemble(
            parameters, clock, np.full(12, 10.0), overrides={"Ca_th": threshold}, input="regular", release="expected"
        )
        return run_ensemble(ensemble, engine).final["esp"]

    truth = esp("reference", 0.01)
    assert (truth > 1.0).all()
    steps = np.array([0.008, 0.02, 0.048])
    errors = np.array([np.abs(esp("numba", step) - truth).mean() for step in steps])
    # Half a step late; an exponential with slope of at most the peak rate m_eSP dGlu / tau_eSP.
    assert errors[-1] < 0.1 * truth.mean()
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 0.7 < slope < 1.4, (errors, slope)


# Events are jumps -----------------------------------------------------------------------------------------------------


def test_deterministic_chain_does_not_depend_on_dt(relay):
    """Spikes at multiples of 20 ms and exact updates: dt of 0.5, 1 and 2 ms differ in rounding alone."""
    runs = [
        run_ensemble(relay(12.5, Clock(20.0, 10.0, dt=dt, dt_astro=0.04, record=1.0)), "numba")
        for dt in (5e-4, 1e-3, 2e-3)
    ]
    for other in runs[1:]:
        for name in ("ag", "ip3", "calcium", "h", "glutamate", "esp", "release_probability"):
            np.testing.assert_allclose(other.traces[name], runs[0].traces[name], rtol=1e-10, atol=1e-13, err_msg=name)
        assert other.statistics["firing_rate"] == runs[0].statistics["firing_rate"]


def test_firing_rate_does_not_depend_on_dt():
    """An impulse written as a rate for one step would change the rate in proportion to dt; jumps change it by 0.3 %."""
    parameters = parameter_set("wade2012")
    rates = []
    for dt in (5e-4, 1e-3, 2e-3):
        ensemble = Ensemble(parameters, Clock(200.0, 100.0, dt=dt, dt_astro=0.02), np.full(64, 5.0), seed=4)
        outcome = run_ensemble(ensemble, "numba").statistics
        rates.append((outcome["firing_rate"].mean(), outcome["ip3_mean"].mean(), outcome["calcium_mean"].mean()))
    np.testing.assert_allclose(rates, np.tile(rates[1], (3, 1)), rtol=0.005)


# Rest -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "brian2", "reference"])
def test_rest_is_a_fixed_point(engine):
    parameters = parameter_set("wade2012")
    ensemble = Ensemble(parameters, Clock(3.0, 1.0), np.zeros(2))
    start = ensemble.initial_state()
    options = {"target": "numpy"} if engine == "brian2" else {}
    outcome = run_ensemble(ensemble, engine, **options)
    np.testing.assert_allclose(outcome.final["calcium"], start["Ca"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(outcome.final["h"], start["h"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(outcome.final["ip3"], 0.16, rtol=0, atol=1e-12)
    for name in ("ag", "glutamate", "esp", "voltage"):
        assert not outcome.final[name].any(), name
    for name in ("firing_rate", "release_rate", "crossings", "calcium_sd"):
        assert outcome.statistics[name] == pytest.approx(0.0, abs=1e-8), name
    np.testing.assert_array_equal(outcome.final["release_probability"], 0.5)


# Refusals and surroundings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"input": "poisson"}, {"input": "regular", "release": "bernoulli"}])
def test_reference_refuses_randomness(settings):
    ensemble = Ensemble(parameter_set("wade2012"), Clock(1.0), np.array([1.0]), **settings)
    with pytest.raises(SimulationError, match="deterministic"):
        run_ensemble(ensemble, "reference")


@pytest.mark.parametrize("rule", ["latched", "repeated"])
def test_reference_refuses_periodic_release(releasing, rule):
    with pytest.raises(SimulationError, match=f"upward and continuous, not '{rule}'"):
        run_ensemble(releasing(rule, "ode", CLOCK), "reference")


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


def test_without_a_compiler_auto_names_the_slower_target(no_compiler, releasing, difference):
    ensemble = releasing("upward", "ode", Clock(0.1))
    with pytest.warns(RuntimeWarning, match="numpy target, which is slower than cython"):
        outcome = run_ensemble(ensemble, "brian2")
    assert outcome.notes["target"] == "numpy"
    assert max(difference(outcome, run_ensemble(ensemble, "numba")).values()) < 1e-9


@pytest.mark.parametrize("options", [{"target": "cython"}, {"device": "cpp_standalone"}])
def test_without_a_compiler_compiled_targets_are_refused(no_compiler, releasing, options):
    with pytest.raises(SimulationError, match=r"needs a C\+\+ compiler and none is on the path: install one, or use"):
        run_ensemble(releasing("upward", "ode", Clock(0.1)), "brian2", **options)


def test_without_a_compiler_numpy_is_silent(no_compiler, releasing):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        run_ensemble(releasing("upward", "ode", Clock(0.1)), "brian2", target="numpy")


def test_an_empty_cxx_means_the_default_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "")
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert brian_engine._choose_target("runtime", "auto") == "cython"


def test_missing_brian2_is_explained(monkeypatch, releasing):
    monkeypatch.setitem(sys.modules, "brian2", None)
    with pytest.raises(
        SimulationError, match=r"engine 'brian2' is not available .* pip install 'astromorphic\[brian\]'"
    ):
        run_ensemble(releasing("upward", "ode", CLOCK), "brian2")


def test_brian2_refuses_equal_time_constants(relay):
    with pytest.raises(SimulationError, match="tau_AG = 7 s and tau_IP3 = 7 s are too close"):
        run_ensemble(relay(10.0, Clock(0.1), tau_AG=7.0), "brian2", target="numpy")
    with pytest.raises(SimulationError, match="tau_Glu = 40 s and tau_eSP = 40 s"):
        run_ensemble(relay(10.0, Clock(0.1), tau_Glu=40.0), "brian2", target="numpy")


def test_brian2_leaves_the_process_as_it_was(releasing):
    import brian2

    np.random.seed(7)
    wanted = np.random.random()
    np.random.seed(7)
    before = brian2.prefs.codegen.target
    run_ensemble(releasing("upward", "ode", Clock(0.1)), "brian2", target="numpy")
    assert np.random.random() == wanted
    assert brian2.prefs.codegen.target == before


@pytest.mark.parametrize("engine", ["numba", "brian2"])
def test_a_step_too_large_is_an_error_and_no_nan(engine):
    """Runge-Kutta at 2 s is unstable with a fast pump; the outcome must be refused, not returned."""
    parameters = parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1, Ca_init=1.0, h_init=0.9, v_ER=50.0)
    ensemble = Ensemble(parameters, Clock(20.0, dt=0.1, dt_astro=2.0), np.zeros(1))
    options = {"target": "numpy"} if engine == "brian2" else {}
    with pytest.raises(SimulationError, match="lower dt_astro"):
        run_ensemble(ensemble, engine, **options)
