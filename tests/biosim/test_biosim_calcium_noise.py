"""Noise of the IP3 receptors: its stream, its variance against the linearised process, and its order of convergence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import expm, solve_continuous_lyapunov, solve_discrete_lyapunov

from biosim import Clock, Ensemble, SimulationError, parameter_set, rest_state, run_ensemble
from biosim.processes import calcium_noise, li_rinzel
from biosim.stability import constants, jacobian
from biosim.streams import stream_states

S9 = parameter_set("wade2012")
NOISY = S9.with_values(n_neurons=1, n_synapses=1, calcium_noise="langevin", K_AG=0.0, m_eSP=0.0)


def test_normal_numbers():
    u = np.random.default_rng(1).random((20_000, 2))
    values = [calcium_noise.normal(a, b) for a, b in u]
    assert stats.kstest(values, "norm").pvalue > 0.01
    assert calcium_noise.normal(1 - 2.0**-53, 0.0) == pytest.approx(math.sqrt(2 * 53 * math.log(2)))


def test_intensity_is_that_of_opening_and_closing():
    """alpha (1 - h) - beta h is dh/dt; the intensity has the sum in its place."""
    p = constants(S9)
    ca, h, ip3 = 0.21, 0.63, 0.47
    beta = p["a2"] * ca
    dh = li_rinzel.derivatives(ca, h, ip3, **p)[1]
    found = calcium_noise.intensity(ca, h, ip3, p["a2"], p["d1"], p["d2"], p["d3"])
    assert found == pytest.approx(dh + 2 * beta * h, rel=1e-13)


def test_no_noise_gives_the_deterministic_run():
    """To rounding: with the noise off another kernel takes the units of low rate. Spikes and releases are the same."""
    parameters = parameter_set("psu").with_values(Ca_th=0.1, noise_scale=0.0)
    clock, rate = Clock(6.0, 1.0, record=0.5), np.linspace(1.0, 40.0, 33)
    silent = run_ensemble(Ensemble(parameters.with_values(calcium_noise="langevin"), clock, rate, seed=2), "numba")
    off = run_ensemble(Ensemble(parameters, clock, rate, seed=2), "numba")
    for group in ("statistics", "final", "traces"):
        for name, values in getattr(off, group).items():
            found = getattr(silent, group)[name]
            np.testing.assert_allclose(found, values, rtol=1e-11, atol=1e-13, err_msg=name)
            if name in ("firing_rate", "release_rate", "crossings"):
                np.testing.assert_array_equal(found, values, err_msg=name)


def test_kick_of_the_first_step_and_a_stream_of_its_own():
    """The kick is drawn from the stream named calcium; release draws what it draws without noise."""

    def run(scale: float):
        p = NOISY.with_values(Ca_init=0.2, h_init=0.6, noise_scale=scale)
        return run_ensemble(Ensemble(p, Clock(0.01), np.array([300.0, 300.0]), seed=6, first_unit=4), "numba")

    noisy, still = run(1.0), run(0.0)
    mask = 2**64 - 1
    for unit in (0, 1):
        s = [int(word) for word in stream_states(6, np.array([4 + unit]), "calcium")[:, 0]]
        uniforms = []
        for _ in range(2):
            uniforms.append((((s[0] + s[3]) & mask) >> 11) * 2.0**-53)
            t = (s[1] << 17) & mask
            s[2] ^= s[0]
            s[3] ^= s[1]
            s[1] ^= s[2]
            s[0] ^= s[3]
            s[2] ^= t
            s[3] = ((s[3] << 45) | (s[3] >> 19)) & mask
        strength = calcium_noise.intensity(0.2, 0.6, 0.16, S9.a2, S9.d1, S9.d2, S9.d3)
        kick = math.sqrt(0.01 / 20.0 * strength) * calcium_noise.normal(*uniforms)
        assert noisy.final["h"][unit] - still.final["h"][unit] == pytest.approx(kick, rel=1e-12)
    np.testing.assert_array_equal(noisy.statistics["release_rate"], still.statistics["release_rate"])
    assert noisy.statistics["release_rate"].sum() > 0


def test_stationary_variance_of_the_linearised_process():
    """At constant IP3 with many receptors: the covariance of dX = J X dt + B dW, from the Lyapunov equation."""
    ip3, receptors = 0.3, 1e7
    ca, h = rest_state(ip3, S9)
    J = jacobian(ca, h, ip3, S9)
    strength = calcium_noise.intensity(ca, h, ip3, S9.a2, S9.d1, S9.d2, S9.d3) / receptors
    Q = np.diag([0.0, strength])
    wanted = solve_continuous_lyapunov(J, -Q)
    clock = Clock(220.0, dt=5e-3, dt_astro=1e-2, record=0.5)
    parameters = NOISY.with_values(N_IP3R=receptors, IP3_rest=ip3)
    outcome = run_ensemble(Ensemble(parameters, clock, np.zeros(512), seed=8), "numba")
    late = clock.trace_times() > 30.0
    for name, index, centre in (("calcium", 0, ca), ("h", 1, h)):
        per_unit = ((outcome.traces[name][late] - centre) ** 2).mean(axis=0)
        error = per_unit.std() / math.sqrt(per_unit.size)
        assert error < 0.015 * wanted[index, index]
        assert per_unit.mean() == pytest.approx(wanted[index, index], abs=4 * error), name
    # The variance of the scheme itself, exact deterministic step plus kick, approaches it with order one.
    bias = [solve_discrete_lyapunov(expm(J * dt), Q * dt)[1, 1] / wanted[1, 1] - 1.0 for dt in (0.01, 0.02)]
    assert abs(bias[0]) < 0.005
    assert bias[1] / bias[0] == pytest.approx(2.0, rel=0.05)


def test_paths_converge():
    """The same Brownian paths at three steps, twenty receptors: at least order one half, seen on calcium and h."""
    p, ip3, receptors, paths, duration = constants(S9), 0.45, 20.0, 200, 8.0
    finest = 0.0025
    rng = np.random.default_rng(3)
    dw = rng.normal(scale=math.sqrt(finest), size=(round(duration / finest), paths))

    def end(dt: float) -> np.ndarray:
        x = np.tile([[0.2], [0.65]], (1, paths))
        group = round(dt / finest)
        for step in dw.reshape(-1, group, paths).sum(axis=1):
            strength = calcium_noise.intensity(x[0], x[1], ip3, p["a2"], p["d1"], p["d2"], p["d3"]) / receptors

            def f(y: np.ndarray) -> np.ndarray:
                return np.array(li_rinzel.derivatives(y[0], y[1], ip3, **p))

            a = f(x)
            b = f(x + dt / 2 * a)
            c = f(x + dt / 2 * b)
            x = x + dt / 6 * (a + 2 * b + 2 * c + f(x + dt * c))
            x[1] = np.clip(x[1] + np.sqrt(strength) * step, 0.0, 1.0)
        return x

    truth = end(finest)
    steps = np.array([0.02, 0.08, 0.32])
    errors = np.array([np.abs(end(dt) - truth).mean(axis=1) for dt in steps])
    for index in (0, 1):
        slope = np.polyfit(np.log(steps), np.log(errors[:, index]), 1)[0]
        assert 0.45 < slope < 1.4, (index, slope)


def test_brian2_without_noise_and_with():
    """Equal to rounding at scale zero; with noise the spread of calcium between units agrees within its error."""
    clock = Clock(6.0, dt=1e-2, dt_astro=2e-2)

    def spread(engine: str, scale: float, units: int, **options):
        parameters = NOISY.with_values(noise_scale=scale, IP3_rest=0.3)
        return run_ensemble(Ensemble(parameters, clock, np.zeros(units), seed=4), engine, **options).final

    still = spread("brian2", 0.0, 3, target="numpy")
    for name, values in spread("numba", 0.0, 3).items():
        np.testing.assert_allclose(still[name], values, rtol=1e-9, atol=1e-14, err_msg=name)
    one, other = spread("brian2", 1.0, 3000, target="numpy"), spread("numba", 1.0, 12000)
    for name in ("calcium", "h"):
        error = math.sqrt(other[name].var() / 3000)
        assert one[name].mean() == pytest.approx(other[name].mean(), abs=4 * error)
        assert one[name].std() == pytest.approx(other[name].std(), rel=0.08)


def test_the_reference_is_deterministic():
    with pytest.raises(SimulationError, match="calcium_noise = 'langevin': use none"):
        run_ensemble(Ensemble(NOISY, Clock(1.0), np.zeros(1)), "reference")
