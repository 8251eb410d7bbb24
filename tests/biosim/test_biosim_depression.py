"""Depressing synapse, the astrocyte's gate, and the other sources of IP3, against closed forms and the other engines."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from biosim import Clock, Ensemble, Experiment, ParameterError, SpikeTrains, parameter_set, run_ensemble
from biosim.processes import depression, linear

# No 2-AG and no e-SP: the release probability stays at PR0. Ten synapses of one neuron that coincide or not.
PLAIN = {"K_AG": 0.0, "m_eSP": 0.0, "n_neurons": 1, "n_synapses": 1, "PR0": 0.5, "synapse": "depressing", "Ca_th": 5.0}


def _regular(rate: float, clock: Clock, **values) -> Ensemble:
    parameters = parameter_set("wade2012").with_values(**(PLAIN | values))
    return Ensemble(parameters, clock, np.array([rate]), input="regular", release="expected")


# The synapse ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize(("rate", "tau_in", "tau_rec"), [(10.0, 0.003, 0.8), (25.0, 0.05, 0.05)])
def test_steady_state_under_a_regular_train(engine, rate, tau_in, tau_rec):
    """Just after a spike x is (1 - U) times its value before, and y has lost what an interval takes and gained U x."""
    ensemble = _regular(rate, Clock(12.0), tau_in=tau_in, tau_rec=tau_rec, A_se=1.0)
    outcome = run_ensemble(ensemble, engine)
    x = depression.steady_resources(rate, 0.5, tau_in, tau_rec)
    assert 0.05 < x < 0.7
    y = 0.5 * x / (1.0 - math.exp(-1.0 / (rate * tau_in)))
    assert outcome.final["resources"][0, 0] == pytest.approx(0.5 * x, rel=1e-6)
    assert outcome.final["transmitter"][0, 0] == pytest.approx(y, rel=1e-6)


def test_the_closed_form_is_the_fixed_point_of_the_map():
    """The equations of x and y from spike to spike by SciPy, with no closed form."""
    rate, U, tau_in, tau_rec = 20.0, 0.4, 0.004, 0.3
    x, y = 1.0, 0.0
    for _ in range(30):
        before = x
        start = [x - U * x, y + U * x]
        end = solve_ivp(
            lambda t, s: [(1.0 - s[0] - s[1]) / tau_rec, -s[1] / tau_in], (0.0, 1.0 / rate), start, method="DOP853",
            rtol=1e-10, atol=1e-13,
        )  # fmt: skip
        x, y = end.y[:, -1]
    assert depression.steady_resources(rate, U, tau_in, tau_rec) == pytest.approx(before, rel=1e-6)


def test_mean_under_poisson_input():
    """d<x>/dt = 0 needs no approximation, for x is independent of the next spike."""
    parameters = parameter_set("wade2012").with_values(**(PLAIN | {"n_synapses": 5, "A_se": 1.0}))
    clock = Clock(40.0, record=0.2)
    outcome = run_ensemble(Ensemble(parameters, clock, np.full(96, 8.0), seed=5), "numba")
    late = clock.trace_times() > 5.0
    per_unit = outcome.traces["resources"][late].mean(axis=(0, 2))
    error = per_unit.std() / math.sqrt(per_unit.size)
    wanted = depression.mean_resources(8.0, 0.5, parameters.tau_in, parameters.tau_rec)
    assert error < 0.005 * wanted
    assert per_unit.mean() == pytest.approx(wanted, abs=4 * error)
    transmitter = outcome.traces["transmitter"][late].mean(axis=(0, 2))
    wanted = 5 * 0.5 * wanted * 8.0 * parameters.tau_in
    # A sample at the end of a step has the spikes of that step undecayed: (1 + dt/(2 tau_in)) too high.
    high = 1e-3 / parameters.tau_in / -math.expm1(-1e-3 / parameters.tau_in)
    assert transmitter.mean() == pytest.approx(wanted * high, abs=4 * transmitter.std() / math.sqrt(96))


def test_one_postsynaptic_potential():
    """A decay of 3 ms that drives one of 60 ms; the peak of 250 pA x 0.5 stays below the threshold."""
    clock = Clock(0.6, record=0.01)
    outcome = run_ensemble(_regular(2.0, clock), "numba")  # a single spike, at 0.5 s
    p = _regular(2.0, clock).parameters
    since = clock.trace_times() - 0.5
    gain = p.A_se * 0.5 * p.R_m / p.tau_m
    wanted = [linear.transfer(t, p.tau_in, p.tau_m, gain) if t > 1e-9 else 0.0 for t in since]
    assert 6.0 < max(wanted) < 9.0
    np.testing.assert_allclose(outcome.traces["voltage"][:, 0, 0], wanted, rtol=0, atol=1e-10)


def test_every_synapse_has_resources_of_its_own():
    """Two synapses in turn: each is as depressed as at its own rate, not as one at twice the rate."""
    outcome = run_ensemble(_regular(10.0, Clock(12.0), n_synapses=2, A_se=1.0), "numba")
    x = depression.steady_resources(10.0, 0.5, 0.003, 0.8)
    p = 0.05  # the second spikes half an interval after the first
    w_plus, y_plus = 1.0 - 0.5 * x, 0.5 * x / -math.expm1(-0.1 / 0.003)
    other = w_plus * math.exp(-p / 0.8) + y_plus * linear.transfer(p, 0.003, 0.8, 1 / 0.8)
    assert outcome.final["resources"][0, 0] == pytest.approx((0.5 * x + 1.0 - float(other)) / 2, rel=1e-6)


# The gate ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_gate_while_calcium_is_above(engine):
    """f rises to kappa/(kappa + 1/tau) and takes its share of every released quantum."""
    values = {"synapse": "quantum", "gate": "volman", "Ca_th": 1e-3, "kappa_f": 0.5, "tau_f": 4.0}
    clock = Clock(6.0, record=0.1)
    outcome = run_ensemble(_regular(10.0, clock, **values), engine)
    f = 0.5 / 0.75 * -np.expm1(-0.75 * clock.trace_times())
    np.testing.assert_allclose(outcome.traces["gate"][:, 0], f, rtol=0, atol=1e-11)
    # The spikes fall on the samples.
    assert outcome.statistics["release_rate"][0] * 6.0 == pytest.approx((0.5 * (1.0 - f)).sum(), rel=1e-10)


def test_gate_opens_again():
    """Calcium passes its threshold for a while: then f decays with tau_f alone."""
    values = {"synapse": "quantum", "gate": "volman", "Ca_th": 0.3, "IP3_init": 0.9}
    clock = Clock(20.0, record=0.01)
    outcome = run_ensemble(_regular(0.0, clock, **values), "numba")
    above, f = outcome.traces["calcium"][:, 0] >= 0.3, outcome.traces["gate"][:, 0]
    assert above.any() and not above[-1]
    last = int(np.flatnonzero(above)[-1])
    decay = np.exp(-(clock.trace_times()[last + 1 :] - clock.trace_times()[last + 1]) / 4.0)
    np.testing.assert_allclose(f[last + 1 :], f[last + 1] * decay, rtol=1e-11)
    assert f[last] > 0.3


# Sources of IP3 ---------------------------------------------------------------------------------------------------------


def test_ip3_from_transmitter_in_closed_form():
    """Periodic: each interval adds what its transmitter delivers, and the rest decays by exp(-T/tau)."""
    values = {"ip3_source": "glutamate", "tau_IP3": 0.5, "r_IP3_y": 0.7, "A_se": 1.0}
    outcome = run_ensemble(_regular(10.0, Clock(16.0), **values), "numba")
    y = 0.5 * depression.steady_resources(10.0, 0.5, 0.003, 0.8) / -math.expm1(-0.1 / 0.003)
    delivered = y * float(linear.transfer(0.1, 0.003, 0.5, 0.7))
    assert outcome.final["ip3"][0] == pytest.approx(0.16 + delivered / -math.expm1(-0.1 / 0.5), rel=1e-9)
    assert outcome.final["ip3"][0] > 0.161


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_ip3_from_spikes(engine):
    """A neuron that fires every 0.1 s: a geometric series of jumps."""
    values = {"synapse": "quantum", "ip3_source": "spikes", "dIP3": 0.02, "PR0": 1.0}
    outcome = run_ensemble(_regular(10.0, Clock(8.0), **values), engine)
    q = math.exp(-0.1 / 7.0)
    assert outcome.statistics["firing_rate"][0] == pytest.approx(10.0)
    assert outcome.final["ip3"][0] == pytest.approx(0.16 + 0.02 * (1 - q**80) / (1 - q), rel=1e-10)


# Engines --------------------------------------------------------------------------------------------------------------

CASES = [
    {"synapse": "depressing", "A_se": 900.0, "sic": "events", "gate": "volman", "ip3_source": "glutamate"},
    {"synapse": "depressing", "A_se": 900.0},
    {"ip3_source": "spikes", "gate": "volman"},
]


@pytest.mark.parametrize("values", CASES)
def test_numba_equals_brian2(releasing, difference, values):
    base = releasing("upward", "ode", Clock(4.0, 0.1, dt=2e-3, dt_astro=2e-2, record=0.1))
    ensemble = Ensemble(
        base.parameters.with_values(**values), base.clock, base.rate, overrides=base.overrides, input="regular",
        release="expected",
    )  # fmt: skip
    numba = run_ensemble(ensemble, "numba")
    assert numba.statistics["firing_rate"][1:].min() > 0.2
    worst = difference(numba, run_ensemble(ensemble, "brian2", target="numpy"))
    assert max(worst.values()) < 1e-9, sorted(worst.items(), key=lambda item: -item[1])[:3]


@pytest.mark.parametrize("values", CASES)
def test_numba_approaches_the_reference(values):
    """What is exact agrees to the precision of spike times; what happens at the astrocyte's clock to its step of 2 ms."""
    parameters = parameter_set("psu").with_values(
        release_rule="upward", n_synapses=2, IP3_init=0.7, Ca_th=0.2, PR0=0.5, **values
    )
    clock = Clock(2.4, 0.4, dt_astro=2e-3, record=0.2)
    ensemble = Ensemble(parameters, clock, np.array([0.0, 10.0]), input="regular", release="expected")
    numba, truth = run_ensemble(ensemble, "numba"), run_ensemble(ensemble, "reference")
    assert truth.statistics["firing_rate"][1] > 0.2
    np.testing.assert_allclose(numba.statistics["firing_rate"], truth.statistics["firing_rate"], rtol=1e-12)
    tolerance = {
        "resources": 1e-4,
        "transmitter": 1e-4,
        "gate": 1e-3,
        "ip3": 1e-5,
        "calcium": 5e-5,
        "sic": 1e-2,
        "ag": 1e-6,
    }
    for name, limit in tolerance.items():
        if name in truth.traces:
            np.testing.assert_allclose(numba.traces[name], truth.traces[name], rtol=0, atol=limit, err_msg=name)


def test_streams_do_not_depend_on_the_cut():
    parameters = parameter_set("psu").with_values(synapse="depressing", ip3_source="glutamate")

    def run(units: slice, threads: int):
        rate = np.linspace(1.0, 40.0, 80)[units]
        ensemble = Ensemble(parameters, Clock(2.0, record=0.5), rate, seed=3, first_unit=units.start)
        return run_ensemble(ensemble, "numba", threads=threads)

    whole, head, tail = run(slice(0, 80), 2), run(slice(0, 37), 1), run(slice(37, 80), 1)
    for name, values in whole.traces.items():
        np.testing.assert_array_equal(
            values, np.concatenate([head.traces[name], tail.traces[name]], axis=1), err_msg=name
        )


def test_refusals():
    with pytest.raises(
        ParameterError, match="ip3_source = 'glutamate' needs the transmitter of synapse = 'depressing'"
    ):
        parameter_set("wade2012").with_values(ip3_source="glutamate")
    with pytest.raises(ParameterError, match="gate = 'volmann': expected one of none, volman"):
        parameter_set("wade2012").with_values(gate="volmann")


def test_a_depressing_synapse_under_given_spikes():
    """The map of Tsodyks and Markram from spike to spike, of a train that is not regular, and the same in Brian2."""
    times = [0.1, 0.13, 0.2, 0.5, 0.52, 0.9]
    U, tau_in, tau_rec = 0.4, 0.01, 0.3
    parameters = parameter_set("wade2012").with_values(
        synapse="depressing",
        n_neurons=1,
        n_synapses=2,
        PR0=U,
        K_AG=0.0,
        m_eSP=0.0,
        tau_in=tau_in,
        tau_rec=tau_rec,
        A_se=1.0,
    )
    trains = SpikeTrains.from_times({(0, 1): times}, 1, 2, 1e-3)
    ensemble = Ensemble(
        parameters, Clock(1.0), np.zeros(1), input="spikes", release="expected", experiment=Experiment(spikes=trains)
    )
    lost, active, now = 0.0, 0.0, 0.0
    for time in [*times, 1.0]:
        # 1 - x = z + y: y decays, z recovers and is fed by y.
        step = time - now
        rest = active * np.exp(-step / tau_in)
        inactive = lost - active
        inactive = inactive * np.exp(-step / tau_rec) + active * (
            np.exp(-step / tau_rec) - np.exp(-step / tau_in)
        ) / tau_in / (1.0 / tau_in - 1.0 / tau_rec)
        lost, active, now = rest + inactive, rest, time
        if time < 1.0:
            freed = U * (1.0 - lost)
            lost, active = lost + freed, active + freed
    for engine in ("numba", "reference", "brian2"):
        options = {"target": "numpy"} if engine == "brian2" else {}
        if engine == "brian2":
            pytest.importorskip("brian2", reason="needs Brian2: pip install 'astromorphic[brian]'")
        final = run_ensemble(ensemble, engine, **options).final
        # The mean over two synapses, of which one never received a spike.
        assert final["resources"][0, 0] == pytest.approx(1.0 - lost / 2, rel=1e-7), engine
        assert final["transmitter"][0, 0] == pytest.approx(active, rel=1e-6), engine
