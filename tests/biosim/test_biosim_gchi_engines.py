"""The G-ChI astrocyte in the simulator: engines against each other and against SciPy alone, order of its steps, rest, rules.

One structure throughout (two neurons with three synapses, regular input, expected release), so that one kernel is compiled.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import biosim
from biosim import (
    Clock,
    Ensemble,
    Experiment,
    Faults,
    Jump,
    ParameterError,
    Schedule,
    SimulationError,
    Windows,
    gchi_rest,
    parameter_set,
    run_ensemble,
)
from biosim.gchi import GChIParameters, respond
from biosim.processes import gchi, li_rinzel
from biosim.stability import NAMES

STATES = {"calcium": "calcium", "h": "h", "ip3": "ip3", "gamma": "active_receptors", "glutamate": "cleft_glutamate"}
# Six synapses that spike together and release a sixth of a quantum each: one quantum per spike, as in the example.
TOGETHER = {"n_neurons": 2, "n_synapses": 3, "PR0": 1 / 6}
EXAMPLE = parameter_set("stimberg2018").with_values(**TOGETHER)
# A weak quantum, with which receptors follow the rate and calcium oscillates by itself.
WEAK = EXAMPLE.with_values(dY=0.5, Ca_th=0.25)


def _pulses(rates, clock: Clock, parameters=EXAMPLE, **overrides) -> Ensemble:
    rate = np.atleast_1d(np.asarray(rates, dtype=float))
    return Ensemble(parameters, clock, rate, overrides=overrides, input="regular", release="expected", spread=False)


def _alone(ensemble: Ensemble, unit: int = 0) -> dict[str, np.ndarray]:
    """The unit by `biosim.gchi.respond`, from the same state, at the samples and with pulses at the same times."""
    start = ensemble.initial_state()
    spikes = ensemble.regular_spikes(unit)[0][0] * ensemble.clock.dt
    state = (start["Ca"][unit], start["h"][unit], start["IP3"][unit], 0.0, 0.0)
    return respond(ensemble.clock.trace_times(), spikes, GChIParameters.of(ensemble.parameters), state)


# Receptors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("exposure", "loss"), [(0.2, 0.01), (5.0, 0.001), (0.0, 0.003), (1e-12, 1e-14), (800.0, 0.1)])
def test_receptors_under_constant_glutamate(exposure, loss):
    """One step is the exponential towards equilibrium, and its mean the integral of that exponential."""
    after, mean = gchi.receptor_step(0.3, exposure, loss)
    settled = exposure / (exposure + loss)
    assert after == pytest.approx(settled + (0.3 - settled) * math.exp(-exposure - loss), rel=1e-12)
    times = np.linspace(0.0, 1.0, 100_001)
    wanted = np.trapezoid(settled + (0.3 - settled) * np.exp(-(exposure + loss) * times), times)
    assert mean == pytest.approx(wanted, rel=1e-5)
    assert 0.0 <= after <= 1.0 and 0.0 <= mean <= 1.0


def test_receptors_under_decaying_glutamate_are_of_second_order():
    """One quantum decays from 500 uM; the equation by SciPy at constant calcium."""
    p = {name: getattr(EXAMPLE, name) for name in ("O_N", "Omega_N", "zeta", "K_KC")}
    truth = solve_ivp(
        lambda t, y: gchi.receptor_derivative(y, 500.0 * np.exp(-40.0 * t), 0.4, **p), (0.0, 0.2), [0.1],
        method="DOP853", rtol=1e-12, atol=1e-14,
    ).y[0, -1]  # fmt: skip
    errors = []
    for dt in (2e-3, 1e-3, 5e-4):
        gamma = 0.1
        for step in range(round(0.2 / dt)):
            exposure = p["O_N"] * 500.0 * math.exp(-40.0 * step * dt) * -math.expm1(-40.0 * dt) / 40.0
            gamma, _ = gchi.receptor_step(
                gamma, exposure, p["Omega_N"] * dt * (1 + p["zeta"] * 0.4 / (0.4 + p["K_KC"]))
            )
        errors.append(abs(gamma - truth))
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1) and errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def test_the_middle_share_keeps_the_integral():
    """Simpson's rule with it gives back the mean; of a cubic it is the middle value itself."""
    assert (0.2 + 4.0 * gchi.middle_share(0.2, 0.35, 0.9) + 0.9) / 6.0 == pytest.approx(0.35)
    cubic = np.polynomial.Polynomial([0.1, 0.3, -0.2, 0.4])
    assert gchi.middle_share(cubic(0.0), cubic.integ()(1.0), cubic(1.0)) == pytest.approx(cubic(0.5))


# Engines ----------------------------------------------------------------------------------------------------------------


def _different(rates, clock: Clock) -> Ensemble:
    """Three units that differ in rate and constants, with 2-AG and e-SP acting back, and the mean over synapses."""
    parameters = parameter_set("wade2012").with_values(
        astrocyte="gchi", n_synapses=3, cleft="mean", K_AG=-1000.0, Ca_th=0.2
    )
    overrides = {
        "O_beta": np.array([5.0, 1.0, 0.4]), "zeta": np.array([10.0, 0.0, 20.0]), "Omega_c": np.array([40.0, 20.0, 90.0]),
    }  # fmt: skip
    return Ensemble(parameters, clock, np.array(rates), overrides=overrides, input="regular", release="expected")


def test_the_engine_is_the_astrocyte_alone():
    """A spike every 2.013 s on the default clock: each falls elsewhere in the step of calcium."""
    ensemble = _pulses(1 / 2.013, Clock(30.0, record=0.1))
    outcome, alone = run_ensemble(ensemble, "numba"), _alone(ensemble)
    assert alone["calcium"].max() > 0.6 and alone["ip3"].max() > 2.0 and alone["gamma"].max() > 0.9
    for name, state in STATES.items():
        error = np.abs(outcome.traces[state][:, 0] - alone[name]).max() / np.abs(alone[name]).max()
        assert error < 2e-4, name
        mean = outcome.traces[state][:, 0].mean()
        assert mean == pytest.approx(alone[name].mean(), rel=1e-4), name


def test_numba_equals_the_reference():
    """What is left is the error of the steps."""
    ensemble = _different([0.0, 3.0, 20.0], Clock(6.0, 1.0, record=0.25))
    numba, truth = run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "reference")
    assert truth.statistics["esp_mean"].max() > 0.1 and truth.traces["active_receptors"][-1].max() > 0.3
    for state in STATES.values():
        scale = np.abs(truth.traces[state]).max()
        np.testing.assert_allclose(numba.traces[state], truth.traces[state], rtol=0, atol=5e-4 * scale, err_msg=state)
    for name in ("calcium_mean", "ip3_mean"):
        np.testing.assert_allclose(numba.statistics[name], truth.statistics[name], rtol=1e-4)


def test_numba_equals_brian2(difference):
    """The same scheme, to rounding."""
    pytest.importorskip("brian2")
    ensemble = _different([0.4, 3.0, 20.0], Clock(4.0, 0.1, dt=2e-3, dt_astro=2e-2, record=0.1))
    worst = difference(run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "brian2", target="numpy"))
    assert max(worst.values()) < 1e-9, sorted(worst.items(), key=lambda item: -item[1])[:3]


@pytest.mark.parametrize(
    ("parameters", "rates", "low", "high"),
    [(WEAK, [2.0, 3.7, 5.3], 1.95, 2.05), (EXAMPLE, [0.497, 0.563, 0.81], 1.7, 2.7)],
)
def test_order_of_the_step_of_calcium(parameters, rates, low, high):
    """Second order, since receptors see calcium along a straight line. With strong quanta, whose kinks fall anywhere in a

    step, errors scatter around that order. Neurons take steps of 0.25 ms, so that nothing else errs.
    """
    errors = []
    for dt_astro in (0.01, 0.02, 0.04):
        ensemble = _pulses(rates, Clock(12.0, dt=2.5e-4, dt_astro=dt_astro, record=0.4), parameters)
        outcome = run_ensemble(ensemble, "numba")
        units = [_alone(ensemble, unit) for unit in range(len(rates))]
        errors.append(
            [
                math.sqrt(
                    np.mean([(outcome.traces[STATES[name]][:, u] - one[name]) ** 2 for u, one in enumerate(units)])
                )
                for name in ("calcium", "h", "ip3", "gamma")
            ]
        )
    order = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert ((-order > low) & (-order < high)).all(), -order


# What must hold ---------------------------------------------------------------------------------------------------------


def test_sum_rules():
    """Under far too much glutamate, weak clearance and a coarse step, shares stay shares and concentrations positive."""
    clock = Clock(10.0, dt=1e-3, dt_astro=5e-2, record=0.05)
    ensemble = _pulses(
        [0.0, 0.3, 100.0, 100.0], clock, dY=np.array([500.0, 1e6, 500.0, 1e6]), Omega_c=np.array([40.0, 1.0, 40.0, 1.0])
    )
    traces = run_ensemble(ensemble, "numba").traces
    gamma, ip3 = traces["active_receptors"], traces["ip3"]
    assert gamma.min() == 0.0 and gamma.max() <= 1.0 and gamma[-1, 2:].min() > 0.97
    assert ip3.min() > 0.0 and traces["calcium"].min() > 0.0
    # IP3 cannot exceed what full production and the weakest degradation allow.
    assert ip3.max() < (EXAMPLE.O_beta + EXAMPLE.O_delta) / EXAMPLE.Omega_5P
    assert (traces["cleft_glutamate"] >= 0).all()


def test_glutamate_in_the_cleft_in_closed_form():
    """A geometric series of quanta, that of all neurons in one pool; a mean over synapses is a quantum divided by six."""
    clock = Clock(4.0, record=0.1)
    summed = run_ensemble(_pulses(10.0, clock), "numba").traces["cleft_glutamate"][:, 0]
    # Every sample shows the pulse that falls on it.
    count = np.arange(1, clock.trace_times().size + 1)
    q = math.exp(-40.0 * 0.1)
    np.testing.assert_allclose(summed, 500.0 * (1 - q**count) / (1 - q), rtol=1e-10)
    mean = run_ensemble(_pulses(10.0, clock, EXAMPLE.with_values(cleft="mean")), "numba").traces["cleft_glutamate"]
    np.testing.assert_allclose(mean[:, 0] * 6, summed, rtol=1e-12)


def test_oscillations_are_faster_at_higher_rates():
    """A weak quantum: silence at 0.5 Hz, then an oscillation whose period falls with the rate of input."""
    s = run_ensemble(_pulses([0.5, 2.0, 5.0, 10.0], Clock(300.0, 150.0), WEAK), "numba").statistics
    assert s["crossings"][0] == 0 and (s["crossings"][1:] > 10).all()
    assert (np.diff(s["crossing_period"][1:]) < -0.5).all()
    assert (np.diff(s["calcium_mean"]) > 0).all()
    np.testing.assert_allclose(s["crossing_period"][1:], [10.2, 7.2, 6.0], atol=0.2)


def test_strong_quanta_drive_calcium_one_by_one():
    """The example's quantum at 0.05 and 0.2 Hz: one peak of calcium per spike."""
    ensemble = _pulses([0.05, 0.2], Clock(400.0, 200.0), EXAMPLE.with_values(Ca_th=0.4))
    period = run_ensemble(ensemble, "numba").statistics["crossing_period"]
    np.testing.assert_allclose(period, [20.0, 5.0], rtol=1e-3)


# Rest -------------------------------------------------------------------------------------------------------------------

RESTING = {
    "example 2": EXAMPLE,
    "wade2012": parameter_set("wade2012").with_values(astrocyte="gchi"),
    "strong PLC delta": EXAMPLE.with_values(O_delta=1.2, K_delta=0.1, Omega_5P=0.05, K_D=0.7),
    "no PLC delta": EXAMPLE.with_values(O_delta=0.0),
    "no kinase": EXAMPLE.with_values(O_3K=0.0, Omega_5P=1e-3),
}


@pytest.mark.parametrize("name", RESTING)
def test_at_rest_nothing_moves(name):
    p = RESTING[name]
    for ca, h, ip3 in gchi_rest.fixed_points(p):
        assert 0 < ca < p.c0 and 0 < h < 1 and ip3 >= 0
        rates = li_rinzel.derivatives(ca, h, ip3, **{n: getattr(p, n) for n in NAMES})
        rest = {n: getattr(p, n) for n in gchi_rest.NAMES}
        np.testing.assert_allclose(
            [*rates, gchi.ip3_derivative(ip3, ca, 0.0, O_beta=p.O_beta, **rest)], 0.0, atol=1e-12
        )


def test_an_ensemble_starts_at_rest_and_stays_there():
    """Also where the constants are swept; and the Dataset's resting calcium is that one."""
    clock = Clock(20.0, record=10.0)
    ensemble = _pulses(np.zeros(3), clock, O_delta=np.array([0.05, 0.2, 0.4]), c0=np.array([2.0, 2.0, 1.8]))
    start, outcome = ensemble.initial_state(), run_ensemble(ensemble, "numba")
    assert np.unique(start["IP3"]).size == 3
    for name, values in (("calcium", start["Ca"]), ("h", start["h"]), ("ip3", start["IP3"])):
        np.testing.assert_allclose(outcome.final[name], values, rtol=1e-11, err_msg=name)
    plan = biosim.protocol(
        "rate_sweep", EXAMPLE, rates=[0.0], trials=1, duration=1.0, settle=0.5, input="regular", release="expected"
    )
    dataset = biosim.simulate(biosim.swept(plan, "O_delta", [0.05, 0.2]), record=0.5)
    np.testing.assert_allclose(dataset.calcium_rest.values.ravel(), start["Ca"][:2], rtol=1e-12)
    np.testing.assert_allclose(dataset.calcium_mean.values.ravel(), start["Ca"][:2], rtol=1e-10)
    for name, unit in (("active_receptors", "1"), ("cleft_glutamate", "uM")):
        assert dataset[name].attrs["units"] == unit and dataset[name].dims == dataset.ip3.dims
        assert (dataset[name] == 0).all()


def test_a_given_start_is_taken():
    given = EXAMPLE.with_values(Ca_init=0.1, h_init=0.9, IP3_init=0.4)
    start = _pulses(1.0, Clock(1.0), given).initial_state()
    assert (start["Ca"][0], start["h"][0], start["IP3"][0]) == (0.1, 0.9, 0.4)
    # Calcium at rest for the IP3 that was given, or IP3 at rest beside the calcium that was given.
    start = _pulses(1.0, Clock(1.0), EXAMPLE.with_values(IP3_init=0.3)).initial_state()
    assert (start["Ca"][0], start["h"][0]) == biosim.rest_state(0.3, EXAMPLE)
    start = _pulses(1.0, Clock(1.0), EXAMPLE.with_values(Ca_init=0.1, h_init=0.9)).initial_state()
    assert start["IP3"][0] == gchi_rest.rest_state(EXAMPLE)[2]


# Parameters and refusals ------------------------------------------------------------------------------------------------


def test_the_set_has_the_values_of_the_example():
    alone, of = GChIParameters(), GChIParameters.of(parameter_set("stimberg2018"))
    assert alone == of
    records = parameter_set("stimberg2018").to_records()
    for name in (*NAMES, "O_beta", "O_N", "Omega_N", "zeta", "K_KC", "O_delta", "Omega_5P", "O_3K", "Omega_c", "dY"):
        assert records[name]["status"] == "published" and "Stimberg" in records[name]["source"], name


def test_the_source_of_ip3_follows_the_astrocyte():
    chosen = parameter_set("wade2012").with_values(astrocyte="gchi")
    assert chosen.ip3_source == "receptors" and chosen.to_records()["ip3_source"]["status"] == "derived"
    assert chosen.with_values(astrocyte="li_rinzel").ip3_source == "ag"
    for astrocyte, source, remedy in (
        ("gchi", "ag", "ip3_source = receptors"),
        ("li_rinzel", "receptors", "astrocyte = gchi"),
    ):
        with pytest.raises(
            ParameterError, match=f"ip3_source = '{source}' with astrocyte = '{astrocyte}'.*set {remedy}"
        ):
            parameter_set("wade2012").with_values(astrocyte=astrocyte, ip3_source=source)
    # A source that was chosen is not changed behind anyone's back.
    with pytest.raises(ParameterError, match="ip3_source = 'spikes' with astrocyte = 'gchi'"):
        parameter_set("wade2012").with_values(ip3_source="spikes").with_values(astrocyte="gchi")


def test_what_holds_ip3_is_refused():
    with pytest.raises(SimulationError, match=r"protocol constant_ip3 holds IP3.*use astrocyte = li_rinzel"):
        biosim.protocol("constant_ip3", "stimberg2018")
    with pytest.raises(SimulationError, match=r"hysteresis holds IP3.*use astrocyte = li_rinzel"):
        biosim.hysteresis("stimberg2018", [0.3])
    with pytest.raises(SimulationError, match=r"stimulus = 'AG' with astrocyte = 'gchi'.*stimulus = IP3 or burst"):
        biosim.protocol("impulse_response", "stimberg2018")
    # The remedy works, and calcium with IP3 held is defined for this set too.
    assert biosim.protocol("constant_ip3", parameter_set("stimberg2018").with_values(astrocyte="li_rinzel")).n_units
    assert biosim.limit_cycles(0.5, parameter_set("stimberg2018"))


@pytest.mark.parametrize("name", ["IP3_rest", "tau_IP3", "r_IP3", "r_IP3_y", "dIP3"])
def test_what_has_no_effect_cannot_be_swept(name):
    with pytest.raises(
        SimulationError, match=f"{name} with astrocyte = 'gchi': without effect.*use astrocyte = li_rinzel"
    ):
        _pulses(1.0, Clock(1.0), **{name: np.array([0.5])})


def test_structure_cannot_be_swept():
    plan = biosim.protocol("rate_sweep", "stimberg2018")
    for name in ("astrocyte", "cleft"):
        with pytest.raises(SimulationError, match=f"{name} fixes the structure"):
            biosim.swept(plan, name, [0.0])
    with pytest.raises(ParameterError, match="astrocyte = 'chi': expected one of li_rinzel, gchi"):
        EXAMPLE.with_values(astrocyte="chi")
    with pytest.raises(ParameterError, match=r"Omega_5P = 0.*expected a finite number, above 0"):
        EXAMPLE.with_values(Omega_5P=0)


# With other processes and experiments: kernels and Brian2 code of their own ----------------------------------------------

COMBINED = {
    "depressing": ({"synapse": "depressing", "gate": "volman", "A_se": 900.0}, None),
    "current": (
        {"sic": "events", "gate": "volman", "SIC_scale": 3.0},
        Experiment(jump=Jump("IP3", 1.0, 0.3), windows=Windows.every(1.0, 3.0)),
    ),
    "faults": (
        {"esp_form": "algebraic", "m_eSP": 100.0},
        Experiment(
            faults=Faults(1.5, 1, share=0.7), jump=Jump("AG", 1.0, 1e-3), windows=Windows.every(1.0, 3.0),
            schedule=Schedule(np.array([0.0, 2.0]), np.array([1.0, 0.5])),
        ),
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", COMBINED)
def test_with_other_processes_engines_agree(name):
    pytest.importorskip("brian2")
    values, experiment = COMBINED[name]
    parameters = parameter_set("wade2012").with_values(
        astrocyte="gchi", n_synapses=3, cleft="mean", dY=20.0, Ca_th=0.2, K_AG=-100.0, IP3_init=0.5, **values
    )
    clock = Clock(3.0, dt_astro=2e-3, record=0.1)
    ensemble = Ensemble(parameters, clock, np.array([20.0]), input="regular", release="expected", experiment=experiment)
    numba = run_ensemble(ensemble, "numba")
    assert numba.traces["active_receptors"].max() > 0.05
    for engine, tolerance, options in (("brian2", 1e-9, {"target": "numpy"}), ("reference", 2e-3, {})):
        other = run_ensemble(ensemble, engine, **options)
        assert set(other.traces) == set(numba.traces) and set(other.windows) == set(numba.windows)
        # A spike beside a sample, which a current causes, is there before or after it: one jump of 2-AG, in the reference.
        for state in (*STATES.values(), *(("ag", "release_probability") if engine == "brian2" else ())):
            scale = np.abs(numba.traces[state]).max()
            np.testing.assert_allclose(
                numba.traces[state], other.traces[state], rtol=0, atol=tolerance * max(scale, 1e-9), err_msg=f"{engine} {state}"
            )  # fmt: skip
        for window, found in other.windows.items():
            scale = max(np.abs(found).max(), 1e-9)
            # e-SP follows pulses that come at the end of a step here and at the crossing there.
            late = 10 if window == "window_esp_mean" else 1
            np.testing.assert_allclose(
                numba.windows[window], found, rtol=0, atol=late * tolerance * scale, err_msg=window
            )


@pytest.mark.slow
def test_random_release_agrees_with_brian2():
    """Poisson input and Bernoulli release: means over units within four standard errors, which are below 3 %."""
    pytest.importorskip("brian2")
    parameters = parameter_set("stimberg2018").with_values(n_neurons=2, n_synapses=3, PR0=0.5, dY=2.0)

    def means(units: int, engine: str, **options):
        clock = Clock(10.0, 2.0, dt=2e-3, dt_astro=2e-2, record=0.5)
        outcome = run_ensemble(Ensemble(parameters, clock, np.full(units, 2.0), seed=4), engine, **options)
        values = {
            "ip3": outcome.statistics["ip3_mean"],
            "receptors": outcome.traces["active_receptors"][4:].mean(axis=0),
        }
        return {name: (x.mean(), x.std() / math.sqrt(units)) for name, x in values.items()}

    one, other = means(4000, "numba"), means(600, "brian2", target="numpy")
    for name, (mean, error) in one.items():
        together = math.hypot(error, other[name][1])
        assert together < 0.03 * mean
        assert mean == pytest.approx(other[name][0], abs=4 * together), name


@pytest.mark.slow
def test_receptor_noise_acts_on_the_gchi_astrocyte():
    """Its size is that of the sets; without it the same run is the deterministic one."""
    clock = Clock(20.0, 5.0)
    quiet = run_ensemble(_pulses(np.full(200, 2.0), clock, WEAK), "numba").statistics["calcium_mean"]
    noisy = WEAK.with_values(calcium_noise="langevin")
    loud = run_ensemble(_pulses(np.full(200, 2.0), clock, noisy), "numba").statistics["calcium_mean"]
    none = run_ensemble(_pulses(np.full(200, 2.0), clock, noisy.with_values(noise_scale=0.0)), "numba")
    assert np.ptp(quiet) == 0.0 and loud.std() > 0.005
    np.testing.assert_allclose(none.statistics["calcium_mean"], quiet, rtol=1e-12)
