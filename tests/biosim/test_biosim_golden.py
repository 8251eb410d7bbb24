"""Li-Rinzel calcium and the closed forms of the chain against values from independent solvers, to the digits given."""

from __future__ import annotations

import math

import numpy as np
import pytest

import biosim
from biosim import Clock, Ensemble, parameter_set, run_ensemble
from biosim.processes import li_rinzel, lif, linear
from biosim.stability import jacobian

S9 = parameter_set("wade2012")


def test_the_golden_set_is_that_of_wade2012(golden):
    names = {key.split("_per_")[0].removesuffix("_uM").removesuffix("_1"): key for key in golden["parameter_set"]}
    for name in ("r_C", "r_L", "v_ER", "k_ER", "c0", "c1", "a2", "d1", "d2", "d3", "d5"):
        key = names.get(name) or names[f"{name}_uM"]
        assert getattr(S9, name) == golden["parameter_set"][key], name


def test_fixed_points_and_eigenvalues(golden):
    tolerance = golden["tolerances"]["fixed_points"]
    for row in golden["fixed_points"]:
        points = biosim.fixed_points(row["ip3_uM"], S9)
        assert len(points) == 1
        ca, h = points[0]
        assert ca == pytest.approx(row["ca_uM"], abs=tolerance["ca_uM_abs"])
        assert h == pytest.approx(row["h_1"], abs=tolerance["h_1_abs"])
        wanted = sorted(
            (complex(v["re_per_s"], v["im_per_s"]) for v in row["eigenvalues"]), key=lambda z: (z.real, z.imag)
        )
        np.testing.assert_allclose(
            biosim.eigenvalues(ca, h, row["ip3_uM"], S9), wanted, rtol=0, atol=tolerance["eigenvalue_per_s_abs"]
        )


def test_calcium_at_high_ip3(golden):
    for row in golden["high_ip3_fixed_point_calcium"]:
        assert biosim.rest_state(row["ip3_uM"], S9)[0] == pytest.approx(row["ca_uM"], abs=1e-9)


def test_hopf_points(golden):
    tolerance = golden["tolerances"]["hopf_points"]
    points = biosim.hopf_points(S9)
    assert len(points) == 2
    for point, row in zip(points, golden["hopf_points"], strict=True):
        assert point["ip3"] == pytest.approx(row["ip3_uM"], abs=tolerance["ip3_uM_abs"])
        assert point["calcium"] == pytest.approx(row["ca_uM"], abs=tolerance["ca_uM_abs"])
        assert point["h"] == pytest.approx(row["h_1"], abs=tolerance["h_1_abs"])
        assert point["omega"] == pytest.approx(row["omega_rad_per_s"], abs=tolerance["omega_rad_per_s_abs"])
        assert point["period"] == pytest.approx(row["period_2pi_over_omega_s"], abs=tolerance["period_s_abs"])


def test_three_fixed_points_with_high_pump_affinity():
    """k_ER = 0.05 uM, the frequency-modulated type, folds the branch: several fixed points, the middle one a saddle."""
    parameters = S9.with_values(k_ER=0.05)
    points = biosim.fixed_points(0.5, parameters)
    assert len(points) == 3
    saddle = biosim.eigenvalues(*points[1], 0.5, parameters)
    assert saddle[0].real < 0 < saddle[1].real
    for point in biosim.hopf_points(parameters):
        assert abs(np.trace(jacobian(point["calcium"], point["h"], point["ip3"], parameters))) < 1e-6


def test_jacobian_is_the_derivative():
    ca, h, ip3 = 0.21, 0.63, 0.47
    p = {name: getattr(S9, name) for name in ("r_C", "r_L", "v_ER", "k_ER", "c0", "c1", "a2", "d1", "d2", "d3", "d5")}
    step = 1e-6
    numeric = np.array(
        [
            np.subtract(li_rinzel.derivatives(ca + step, h, ip3, **p), li_rinzel.derivatives(ca - step, h, ip3, **p)),
            np.subtract(li_rinzel.derivatives(ca, h + step, ip3, **p), li_rinzel.derivatives(ca, h - step, ip3, **p)),
        ]
    ).T / (2 * step)
    np.testing.assert_allclose(jacobian(ca, h, ip3, S9), numeric, rtol=1e-8)


@pytest.mark.parametrize(
    "values", [{"v_ER": 0.0}, {"r_L": 0.0, "r_C": 0.0}, {"r_L": 0.0}], ids=["no pump", "no influx", "no leak"]
)
def test_fixed_points_at_the_edges_of_the_ranges(values):
    parameters = S9.with_values(**values)
    ca, h = biosim.rest_state(0.3, parameters)
    rates = li_rinzel.derivatives(ca, h, 0.3, **{n: getattr(parameters, n) for n in biosim.stability.NAMES})
    np.testing.assert_allclose(rates, 0.0, atol=1e-12)
    assert np.isfinite(jacobian(ca, h, 0.3, parameters)).all()


# Limit cycles ---------------------------------------------------------------------------------------------------------


def _cycle(time: np.ndarray, ca: np.ndarray, h: np.ndarray) -> dict[str, float]:
    """Period, extremes and mean over whole periods, crossings of the mid level interpolated."""
    level = (ca.min() + ca.max()) / 2
    up = np.flatnonzero((ca[:-1] < level) & (ca[1:] >= level))
    crossing = time[up] + (level - ca[up]) / (ca[up + 1] - ca[up]) * (time[up + 1] - time[up])
    integral = np.concatenate([[0.0], np.cumsum((ca[1:] + ca[:-1]) / 2 * np.diff(time))])
    first, last = np.interp(crossing[[0, -1]], time, integral)
    return {
        "period_s": float(np.diff(crossing).mean()),
        "ca_min_uM": ca.min(),
        "ca_max_uM": ca.max(),
        "h_min_1": h.min(),
        "h_max_1": h.max(),
        "ca_mean_uM": (last - first) / (crossing[-1] - crossing[0]),
    }


def _assert_cycle(found, row, golden):
    tolerance = golden["tolerances"]["limit_cycles"]
    for name, value in found.items():
        key = "period_s_abs" if name == "period_s" else "h_1_abs" if name.startswith("h") else "ca_uM_abs"
        assert value == pytest.approx(row[name], abs=tolerance[key]), name


def test_limit_cycles_numba(golden):
    rows = golden["limit_cycles"]
    ds = biosim.simulate("constant_ip3", ip3=[row["ip3_uM"] for row in rows], record=0.01)
    late = ds.sel(time=slice(360.0, None))
    for row in rows:
        one = late.sel(IP3_rest=row["ip3_uM"])
        _assert_cycle(_cycle(one.time.values, one.calcium.values, one.h.values), row, golden)
        # The engine's own statistics, without traces.
        assert float(one.crossing_period) == pytest.approx(row["period_s"], abs=1e-4)
        assert float(one.calcium_min) == pytest.approx(row["ca_min_uM"], abs=1e-5)
        assert float(one.calcium_max) == pytest.approx(row["ca_max_uM"], abs=1e-5)


def test_limit_cycle_reference(golden):
    row = golden["limit_cycles"][1]
    parameters = S9.with_values(n_neurons=1, n_synapses=1, IP3_rest=row["ip3_uM"], Ca_init=0.1, h_init=0.7)
    clock = Clock(600.0, 360.0, record=0.01)
    outcome = run_ensemble(Ensemble(parameters, clock, np.array([0.0])), "reference")
    late = clock.trace_times() > 360.0
    found = _cycle(clock.trace_times()[late], outcome.traces["calcium"][late, 0], outcome.traces["h"][late, 0])
    _assert_cycle(found, row, golden)


def test_oscillation_lives_between_the_hopf_points_and_the_fold(golden):
    """Supercritical below; above, the cycle outlives the Hopf point up to a fold."""
    low, high = golden["hopf_points"]
    ip3 = [low["ip3_uM"] - 0.02, low["ip3_uM"] + 0.01, high["cycle_gone_at_ip3_uM"] + 0.03]
    ds = biosim.simulate("constant_ip3", ip3=ip3, duration=1200.0, settle=960.0)
    amplitude = (ds.calcium_max - ds.calcium_min).values
    assert amplitude[0] < 1e-5
    assert amplitude[1] > 0.05
    assert amplitude[2] < 1e-5
    np.testing.assert_array_equal(ds.crossings.values[[0, 2]] > 0, amplitude[[0, 2]] > 1e-6)
    assert float(ds.calcium_mean[0]) == pytest.approx(biosim.rest_state(ip3[0], S9)[0], abs=1e-6)
    assert float(ds.calcium_mean[2]) == pytest.approx(biosim.rest_state(ip3[2], S9)[0], abs=1e-6)


# Transient A: smooth --------------------------------------------------------------------------------------------------


def transient_a(dt_astro: float, duration: float = 200.0, record: float = 10.0) -> Ensemble:
    parameters = S9.with_values(n_neurons=1, n_synapses=1, IP3_rest=0.45, IP3_init=0.16)
    return Ensemble(parameters, Clock(duration, dt_astro=dt_astro, record=record), np.array([0.0]))


@pytest.mark.parametrize(
    ("engine", "dt_astro", "tolerance"), [("reference", 0.01, 1e-8), ("numba", 0.01, 2e-9), ("numba", 0.05, 1e-6)]
)
def test_transient_a(golden, engine, dt_astro, tolerance):
    samples = golden["transient_A"]["samples"]
    ensemble = transient_a(dt_astro)
    start = ensemble.initial_state()
    assert start["Ca"][0] == pytest.approx(golden["transient_A"]["initial_ca_uM"], abs=1e-12)
    assert start["h"][0] == pytest.approx(golden["transient_A"]["initial_h_1"], abs=1e-11)
    outcome = run_ensemble(ensemble, engine)
    index = [round(sample["t_s"] / 10.0) - 1 for sample in samples]
    for name, key in (("calcium", "ca_uM"), ("h", "h_1"), ("ip3", "ip3_uM")):
        wanted = [sample[key] for sample in samples]
        limit = max(tolerance, 2e-9) if name != "ip3" else 1e-9
        np.testing.assert_allclose(outcome.traces[name][index, 0], wanted, rtol=0, atol=limit, err_msg=name)


def test_calcium_step_has_order_four():
    """Slope of the error in dt_astro on transient A; IP3 frozen over the step would give a slope of one."""
    truth = run_ensemble(transient_a(0.2, 60.0), "reference")
    steps = np.array([0.05, 0.1, 0.2])
    errors = [
        np.abs(run_ensemble(transient_a(step, 60.0), "numba").traces["calcium"] - truth.traces["calcium"]).max()
        for step in steps
    ]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(steps))
    np.testing.assert_allclose(slopes, 4.0, atol=0.3)


# Transient B: the chain of events -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "dt_astro", "tolerance"), [("reference", 0.01, 1e-8), ("numba", 0.01, 1e-8), ("numba", 0.05, 1e-6)]
)
def test_transient_b(golden, relay, engine, dt_astro, tolerance):
    b = golden["transient_B"]
    outcome = run_ensemble(relay(10.0, Clock(200.0, dt_astro=dt_astro, record=1.0)), engine)
    assert outcome.statistics["firing_rate"][0] == pytest.approx(10.0, abs=1e-12)
    for sample in b["samples"]:
        at = round(sample["t_s"]) - 1
        trace = {name: values[at, 0] for name, values in outcome.traces.items()}
        # The golden values stand just before the spike, the samples just after it.
        assert trace["ag"][0] - b["ag_jump_uM"] == pytest.approx(sample["ag_uM"], abs=2e-9)
        assert trace["ip3"] == pytest.approx(sample["ip3_uM"], abs=1e-8)
        assert trace["calcium"] == pytest.approx(sample["ca_uM"], abs=tolerance)
        assert trace["h"] == pytest.approx(sample["h_1"], abs=tolerance)


# Closed forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_one_2ag_jump_to_ip3(closed, relay, engine):
    form = closed["one_2AG_jump_to_IP3"]
    clock = Clock(35.0, record=0.01)
    outcome = run_ensemble(relay(0.05, clock), engine)  # a single spike, at 20 s
    time, ip3 = clock.trace_times() - 20.0, outcome.traces["ip3"][:, 0]
    assert outcome.statistics["firing_rate"][0] * 35.0 == pytest.approx(1.0)
    at = {round(t, 6): value for t, value in zip(time, ip3, strict=True)}
    assert at[1.0] == pytest.approx(form["ip3_at_1s_uM"], abs=1e-9)
    assert at[10.0] == pytest.approx(form["ip3_at_10s_uM"], abs=1e-9)
    assert ip3.max() == pytest.approx(form["ip3_peak_uM"], abs=1e-9)
    assert time[ip3.argmax()] == pytest.approx(form["peak_time_s"], abs=0.01)


def test_periodic_2ag(closed, relay):
    outcome = run_ensemble(relay(10.0, Clock(400.0)), "numba")
    before = outcome.final["ag"][0, 0] - 0.8e-3
    assert before == pytest.approx(closed["ag_periodic_before_spike"]["ag_uM"], abs=1e-11)


def test_lif_closed_forms(closed):
    form = closed["lif_constant_current_isi"]
    p = S9
    interval = lif.constant_current_interval(form["inputs"]["current_pA"], p.R_m, p.tau_m, p.v_th, p.t_ref)
    assert interval * 1e3 == pytest.approx(form["isi_ms"], abs=1e-6)
    assert 1 / interval == pytest.approx(form["rate_Hz"], abs=1e-6)
    rheobase = closed["lif_rheobase"]["current_pA"]
    assert math.isinf(lif.constant_current_interval(rheobase, p.R_m, p.tau_m, p.v_th, p.t_ref))
    assert lif.constant_current_interval(rheobase * 1.001, p.R_m, p.tau_m, p.v_th, p.t_ref) < 1.0
    jump = lif.quantum_jump(p.quantum, p.R_m, p.tau_m)
    assert jump == pytest.approx(closed["lif_one_quantum"]["impulse_or_euler_1ms_mV"], abs=1e-9)


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_small_quanta_are_integrated(relay, engine):
    """Jumps J every 10 ms add up to J (1 - q^k)/(1 - q), q = exp(-10/60): the third of 4 mV passes 9 mV, not the second."""
    jump = 4.0
    charge = jump * S9.tau_m / S9.R_m
    clock = Clock(3.0, record=0.01)
    outcome = run_ensemble(relay(100.0, clock, quantum=charge), engine)
    q = math.exp(-0.01 / S9.tau_m)
    assert jump * (1 + q) < S9.v_th < jump * (1 + q + q * q)
    wanted = np.tile([jump, jump * (1 + q), 0.0], 100)
    np.testing.assert_allclose(outcome.traces["voltage"][:, 0, 0], wanted, rtol=0, atol=1e-9)
    assert outcome.statistics["firing_rate"][0] == pytest.approx(100.0 / 3, rel=1e-12)


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_refractory_time_drops_input(relay, engine):
    """At 250 Hz, every 4 ms, a refractory time of 10 ms lets every third spike through: 8 ms is too early, 12 ms not."""
    outcome = run_ensemble(relay(250.0, Clock(1.2), t_ref=0.010), engine)
    assert outcome.statistics["firing_rate"][0] * 1.2 == pytest.approx(100.0)
    assert outcome.statistics["release_rate"][0] * 1.2 == pytest.approx(300.0)


def test_one_glutamate_pulse(closed, relay):
    form = closed["esp_one_glu_pulse"]
    clock = Clock(30.0, record=0.01)
    # Strong IP3 from the start lifts calcium once over the threshold.
    ca, h = biosim.rest_state(0.16, S9)
    outcome = run_ensemble(relay(0.0, clock, IP3_init=0.9, Ca_init=ca, h_init=h), "numba")
    assert outcome.statistics["crossings"][0] == 1
    glu, esp = outcome.traces["glutamate"][:, 0], outcome.traces["esp"][:, 0]
    at = int(np.flatnonzero(glu)[0])
    assert glu[at] == form["inputs"]["glu_jump_uM"]
    assert esp[at] == 0.0
    time = clock.trace_times()[at:] - clock.trace_times()[at]
    scale = S9.m_eSP * S9.dGlu / S9.tau_eSP / (1 / S9.tau_Glu - 1 / S9.tau_eSP)
    wanted = scale * (np.exp(-time / S9.tau_eSP) - np.exp(-time / S9.tau_Glu))
    np.testing.assert_allclose(esp[at:], wanted, rtol=0, atol=1e-11)
    assert esp.max() == pytest.approx(form["peak_percent"], abs=1e-6)
    assert time[esp[at:].argmax()] == pytest.approx(form["peak_time_s"], abs=0.01)


def test_esp_at_constant_glutamate(closed, relay):
    form = closed["esp_constant_glu"]
    tau = 1e-6  # glutamate follows its source at once
    values = {"release_rule": "continuous", "tau_Glu": tau, "r_Glu": 1 / 300 / tau, "Ca_th": 1e-4}
    outcome = run_ensemble(relay(0.0, Clock(40.0), **values), "numba")
    assert outcome.final["glutamate"][0] == pytest.approx(1 / 300, rel=1e-12)
    assert outcome.final["esp"][0] == pytest.approx(form["esp_at_40s_percent"], abs=1e-5)


@pytest.mark.parametrize(("period", "key"), [(0.300, "period_0p300_s_percent"), (0.301, "period_0p301_s_percent")])
def test_latched_release_gives_the_mean_esp_of_its_period(closed, period, key):
    """The period of 301 ms is no multiple of the astrocyte's step of 10 ms; the mean must be that of the exact period."""
    parameters = parameter_set("psu").with_values(release_period=period)
    clock = Clock(900.0, 600.0)
    ensemble = Ensemble(parameters, clock, np.array([20.0]), seed=3)
    outcome = run_ensemble(ensemble, "numba")
    assert outcome.statistics["esp_mean"][0] == pytest.approx(closed["esp_mean_periodic_glu"][key], abs=0.02)
    assert outcome.statistics["glutamate_mean"][0] == pytest.approx(S9.dGlu * S9.tau_Glu / period, rel=2e-3)


@pytest.mark.parametrize(
    ("tau_x", "tau_y"), [(10.0, 7.0), (0.1, 40.0), (7.0, 7.0), (7.0, 7.0 * (1 + 1e-9)), (3.0, 3.001)]
)
def test_linear_steps_against_scipy(tau_x, tau_y):
    """exp of the matrix of x' = -x/tau_x, y' = -y/tau_y + k x, with equal and nearly equal time constants."""
    from scipy.linalg import expm

    k = 0.5
    for dt in (1e-3, 0.37, 4.0):
        exact = expm(np.array([[-1 / tau_x, 0.0], [k, -1 / tau_y]]) * dt)
        assert float(linear.decay(dt, tau_x)) == pytest.approx(exact[0, 0], rel=1e-13)
        assert float(linear.decay(dt, tau_y)) == pytest.approx(exact[1, 1], rel=1e-13)
        assert float(linear.transfer(dt, tau_x, tau_y, k)) == pytest.approx(exact[1, 0], rel=1e-12)
