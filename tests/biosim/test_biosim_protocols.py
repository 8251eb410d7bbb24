"""Protocols and simulate(): the Dataset's shape and labels, and refusals of what cannot be run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import biosim
from biosim import Clock, Ensemble, ParameterError, SimulationError, parameter_set
from biosim.ensemble import PHASE_PERIOD, STATES, STATISTICS
from biosim.registry import UnknownName


@pytest.fixture(scope="module")
def traced():
    return biosim.simulate("rate_sweep", rates=[0.0, 5.0, 20.0], trials=2, duration=2.0, settle=1.0, record=0.5, seed=3)


def test_dataset_is_labelled(traced):
    assert set(STATISTICS) | set(STATES) | {"calcium_rest"} == set(traced.data_vars)
    for name, variable in traced.variables.items():
        for key in ("units", "long_name", *(() if name in traced.coords else ("symbol",))):
            assert isinstance(variable.attrs[key], str) and variable.attrs[key], (name, key)
    assert traced.calcium_mean.dims == ("input_rate", "trial")
    assert traced.calcium.dims == ("time", "input_rate", "trial")
    assert traced.ag.dims == ("time", "input_rate", "trial", "neuron")
    np.testing.assert_allclose(traced.time, [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(traced.input_rate, [0.0, 5.0, 20.0])
    assert traced.trial.dtype.kind == "i"
    assert traced.input_rate.attrs["units"] == "Hz"
    assert traced.calcium_mean.attrs["units"] == "uM"


def test_axes_are_in_order(traced):
    """Rates along the first axis: no 2-AG at 0 Hz, more at 20 than at 5."""
    ag = traced.ag_mean.mean("trial").values
    assert ag[0] == 0.0 < ag[1] < ag[2]
    # Trials have their own random numbers.
    assert (traced.ag[-1, 1:, 0] != traced.ag[-1, 1:, 1]).all()
    assert (traced.ag.sel(input_rate=20.0).isel(time=-1) > traced.ag.sel(input_rate=5.0).isel(time=-1)).all()
    # Neurons of a unit are different neurons.
    assert (traced.ag.isel(time=-1, neuron=0, input_rate=2) != traced.ag.isel(time=-1, neuron=1, input_rate=2)).any()


def test_provenance_says_how_it_was_made(traced):
    record = biosim.provenance(traced)
    assert record["engine"] == "numba" and record["seed"] == 3
    assert record["protocol"]["name"] == "rate_sweep"
    assert record["protocol"]["axes"]["input_rate"] == [0.0, 5.0, 20.0]
    assert record["protocol"]["clock_s"] == {
        "duration": 2.0,
        "settle": 1.0,
        "dt": 1e-3,
        "dt_astro": 1e-2,
        "record": 0.5,
    }
    assert record["parameters"] == json.loads(json.dumps(parameter_set("wade2012").to_records()))
    assert {"python", "numpy", "numba", "astromorphic"} <= set(record["versions"])
    assert len(record["digest"]) == 64


def test_digest_follows_what_was_asked():
    def digest(**changes):
        options = {"rates": [1.0], "trials": 1, "duration": 0.1, "settle": 0.0} | changes
        return biosim.provenance(biosim.simulate("rate_sweep", **options))["digest"]

    base = digest()
    assert digest() == base
    others = [
        digest(seed=1), digest(rates=[2.0]), digest(duration=0.2), digest(parameters="psu"),
        digest(parameters=parameter_set("wade2012").with_values(PR0=0.4)), digest(engine="reference", rates=[0.0]),
    ]  # fmt: skip
    assert len({base, *others}) == len(others) + 1


def test_same_seed_same_data():
    runs = [biosim.simulate("fig3", trials=2, duration=2.0, settle=1.0, seed=s) for s in (5, 5, 6)]
    assert runs[0].equals(runs[1])
    assert not runs[0].equals(runs[2])


def test_swept_parameter_becomes_an_axis():
    base = biosim.protocol("rate_sweep", rates=[5.0], trials=2, duration=2.0, settle=0.0)
    ds = biosim.simulate(biosim.swept(base, "IP3_rest", [0.1, 0.16, 0.3]))
    assert ds.calcium_mean.dims == ("input_rate", "trial", "IP3_rest")
    assert ds.IP3_rest.attrs["units"] == "uM"
    for ip3 in (0.1, 0.16, 0.3):
        rest = biosim.rest_state(ip3, parameter_set("wade2012"))[0]
        assert float(ds.calcium_rest.sel(IP3_rest=ip3)[0, 0]) == pytest.approx(rest, abs=1e-12)
    assert (ds.ip3_mean.diff("IP3_rest") > 0).all()


def test_engines_give_the_same_dataset():
    options = {
        "rates": [4.0, 9.0],
        "trials": 1,
        "duration": 3.0,
        "settle": 1.0,
        "input": "regular",
        "release": "expected",
    }
    runs = {}
    for engine in ("numba", "reference", "brian2"):
        engine_options = {"target": "numpy"} if engine == "brian2" else None
        runs[engine] = biosim.simulate(
            "rate_sweep", engine=engine, record=0.5, engine_options=engine_options, **options
        )
    for other in ("reference", "brian2"):
        assert runs[other].sizes == runs["numba"].sizes
        for name in runs["numba"].variables:
            np.testing.assert_allclose(runs[other][name], runs["numba"][name], rtol=1e-5, atol=1e-9, err_msg=name)


def test_progress_counts_units():
    seen = []
    biosim.simulate("fig3", trials=7, duration=0.1, settle=0.0, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (70, 70)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_lazy_names_do_not_hide_each_other():
    """A function and a submodule of one name would change places with the order of imports."""
    biosim.rest_state(0.16, parameter_set("psu"))
    for name in biosim.__all__:
        assert type(getattr(biosim, name)).__name__ != "module", name
    assert callable(biosim.fixed_points)
    assert set(dir(biosim)) == set(biosim.__all__) == set(biosim._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'simulat'"):
        biosim.simulat  # noqa: B018


# Refusals -------------------------------------------------------------------------------------------------------------

QUICK = {"trials": 1, "duration": 0.1, "settle": 0.0}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("fig4",), UnknownName, "unknown protocol 'fig4'.*did you mean 'fig3'"),
        (("self_repairs",), UnknownName, r"unknown protocol 'self_repairs'.*choose from .*fig3"),
        (("fig3", {"trails": 2}), UnknownName, "unknown option of protocol fig3 'trails'.*did you mean 'trials'"),
        (("fig3", {"engine": "numbas"}), UnknownName, "unknown engine 'numbas'.*did you mean 'numba'"),
        (("fig3", {"engine_options": {"thread": 1}}), UnknownName, "unknown option of engine numba 'thread'.*did you mean"),
        (("fig3", {"parameters": "wade2013"}), UnknownName, "did you mean 'wade2012'"),
        (("fig3", {"rates": [-1.0]}), SimulationError, "input rate = -1 Hz: expected a finite rate of at least 0"),
        (("fig3", {"rates": [math.nan]}), SimulationError, "input rate = nan Hz"),
        (("fig3", {"rates": [math.inf]}), SimulationError, "input rate = inf Hz"),
        (("fig3", {"rates": []}), SimulationError, "at least one number in Hz"),
        (("fig3", {"rates": "fast"}), SimulationError, "rates = 'fast': expected numbers in Hz"),
        (("fig3", {"rates": [1.0, 1.0]}), SimulationError, "a value occurs twice; give each once"),
        (("fig3", {"rates": [600.0]}), SimulationError, r"input rate = 600 Hz with dt = 0.001 s: .*at most 500 Hz; lower"),
        (("fig3", {"trials": 0}), SimulationError, "trials = 0: expected a whole number of at least 1"),
        (("fig3", {"trials": -3}), SimulationError, "trials = -3"),
        (("fig3", {"trials": 1.5}), SimulationError, "trials = 1.5"),
        (("fig3", {"trials": True}), SimulationError, "trials = True"),
        (("fig3", {"trials": "many"}), SimulationError, "trials = 'many'"),
        (("fig3", {"trials": math.nan}), SimulationError, "trials = nan"),
        (("fig3", {"settle": 0.1}), SimulationError, r"settle = 0.1 s: expected at least 0 and below the duration of 0.1 s"),
        (("fig3", {"settle": 9.0}), SimulationError, "settle = 9.0 s"),
        (("fig3", {"settle": math.nan}), SimulationError, "settle = nan s"),
        (("fig3", {"duration": 0.0}), SimulationError, "duration = 0.0 s: expected a finite time above 0"),
        (("fig3", {"duration": math.inf}), SimulationError, "duration = inf s"),
        (("fig3", {"duration": 0.105}), SimulationError, "duration = 0.105 s: expected a whole multiple of 0.01 s"),
        (("fig3", {"record": 0.015}), SimulationError, "record = 0.015 s: expected a whole multiple of 0.01 s"),
        (("fig3", {"record": 0.0}), SimulationError, "record = 0.0 s"),
        (("fig3", {"record": 0.2}), SimulationError, "record = 0.2 s: expected at most the duration of 0.1 s"),
        (("fig3", {"seed": -1}), SimulationError, "seed = -1: expected a whole number from 0"),
        (("fig3", {"seed": 1.5}), SimulationError, "seed = 1.5"),
        (("fig3", {"engine_options": {"threads": 0}}), SimulationError, "threads = 0: expected a whole number of at least 1"),
        (("rate_sweep", {"input": "Poisson"}), UnknownName, "unknown input 'Poisson'.*did you mean 'poisson'"),
        (("rate_sweep", {"release": "mean"}), UnknownName, r"unknown release 'mean': choose from bernoulli, expected"),
        (("rate_sweep", {"release": "expected"}), SimulationError, "release = 'expected' needs input = 'regular'"),
    ],
)  # fmt: skip
def test_refusals(arguments, error, message):
    name, options = arguments[0], arguments[1] if len(arguments) > 1 else {}
    with pytest.raises(error, match=message) as caught:
        biosim.simulate(name, **(QUICK | options))
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ip3": [0.0]}, "IP3_rest = 0.0 uM: expected a finite number, above 0"),
        ({"ip3": [math.nan]}, "IP3_rest = nan"),
        ({"ip3": []}, "at least one number in uM"),
        ({"trials": 3}, "unknown option of protocol constant_ip3 'trials'"),
    ],
)
def test_constant_ip3_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        biosim.simulate("constant_ip3", **options)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"dt_astro": 9e-3}, r"dt_astro = 0.009 s: expected an even multiple of dt = 0.001 s"),
        ({"dt_astro": 1e-3}, "even multiple"),
        ({"dt_astro": 2.5e-3}, "dt_astro = 0.0025 s: expected a whole multiple of 0.001 s"),
        ({"dt": 0.0}, "dt = 0.0 s: expected a finite time above 0"),
        ({"dt": math.nan}, "dt = nan s"),
        ({"dt_astro": -1.0}, "dt_astro = -1.0 s"),
    ],
)
def test_clock_refusals(times, message):
    with pytest.raises(SimulationError, match=message):
        Clock(1.0, **times)


def test_clock_counts():
    clock = Clock(3.0, 1.2, dt=5e-4, dt_astro=2e-2, record=0.3)
    assert (clock.ratio, clock.n_astro, clock.n_settle, clock.n_window, clock.record_every) == (40, 150, 60, 90, 15)
    np.testing.assert_allclose(clock.trace_times(), 0.3 * np.arange(1, 11))


def test_protocol_objects_and_options_do_not_mix():
    protocol = biosim.protocol("fig3", **QUICK)
    with pytest.raises(SimulationError, match="options are part of a Protocol object"):
        biosim.simulate(protocol, trials=2)
    with pytest.raises(SimulationError, match="options are part of a Protocol object"):
        biosim.simulate(protocol, "psu")


def test_sweeping_what_cannot_be_swept():
    base = biosim.protocol("fig3", **QUICK)
    with pytest.raises(SimulationError, match="n_synapses fixes the structure"):
        biosim.swept(base, "n_synapses", [1, 2])
    with pytest.raises(UnknownName, match="did you mean 'tau_AG'"):
        biosim.swept(base, "tau_ag", [1.0])
    with pytest.raises(ParameterError, match=r"PR0 = 2.0"):
        biosim.swept(base, "PR0", [0.1, 2.0])
    with pytest.raises(SimulationError, match="at least one number"):
        biosim.swept(base, "PR0", [])
    with pytest.raises(SimulationError, match="IP3_rest is already an axis of protocol constant_ip3"):
        biosim.swept(biosim.protocol("constant_ip3"), "IP3_rest", [0.1])
    # Half a start would be ignored without a word.
    with pytest.raises(SimulationError, match="Ca_init without h_init or the reverse"):
        biosim.simulate(biosim.swept(base, "Ca_init", [0.1, 0.2]))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rate": np.empty(0)}, SimulationError, "at least one"),
        ({"rate": np.ones((2, 2))}, SimulationError, r"rate has shape \(2, 2\)"),
        (
            {"overrides": {"PR0": np.ones(3)}},
            SimulationError,
            r"PR0 has shape \(3,\): expected one value per unit, \(2,\)",
        ),
        ({"overrides": {"PRO": np.ones(2)}}, UnknownName, "unknown parameter 'PRO'.*did you mean 'PR0'"),
        ({"overrides": {"PR0": np.array([0.5, math.nan])}}, ParameterError, "PR0 = nan"),
        ({"overrides": {"n_neurons": np.ones(2)}}, SimulationError, "n_neurons fixes the structure"),
        ({"input": "poison"}, UnknownName, "unknown input 'poison'.*did you mean 'poisson'"),
        ({"release": "expected"}, SimulationError, "needs input = 'regular'"),
        ({"first_unit": -1}, SimulationError, "first_unit = -1"),
    ],
)
def test_ensemble_refusals(changes, error, message):
    with pytest.raises(error, match=message):
        Ensemble(**({"parameters": parameter_set("psu"), "clock": Clock(1.0), "rate": np.ones(2)} | changes))


# Regular input --------------------------------------------------------------------------------------------------------


def test_regular_trains_are_regular_and_spread():
    parameters = parameter_set("wade2012").with_values(n_neurons=2, n_synapses=5)
    ensemble = Ensemble(parameters, Clock(10.0), np.array([4.0, 0.0]), input="regular")
    trains = ensemble.regular_spikes(0)
    for i, row in enumerate(trains):
        for j, steps in enumerate(row):
            assert set(np.diff(steps)) == {250}
            # The shift is the fraction (j + i/M)/N of a period.
            assert steps[0] == -(-250 * (10 - 2 * j - i) // 10)
            assert steps.size == 40
    assert not any(steps.size for row in ensemble.regular_spikes(1) for steps in row)
    together = replace(ensemble, spread=False).regular_spikes(0)
    assert all((steps == np.arange(250, 10_001, 250)).all() for row in together for steps in row)


def test_regular_phases_fit_in_64_bits_with_many_synapses():
    parameters = parameter_set("wade2012").with_values(n_neurons=4, n_synapses=10_000)
    phase = Ensemble(parameters, Clock(0.1), np.array([1.0]), input="regular").regular_phase()
    assert phase.min() == 0 and phase.max() < PHASE_PERIOD
    assert np.unique(phase).size == 40_000
