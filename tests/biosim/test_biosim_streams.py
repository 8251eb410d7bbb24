"""Random streams: known answers, and results that do not depend on threads, cuts or neighbours; the binomial draw."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
from scipy import stats

from biosim import Clock, Ensemble, SimulationError, parameter_set, run_ensemble
from biosim.engines import numba_engine
from biosim.engines.numba_engine import _terms
from biosim.processes.release import binomial_count, few_releases, release_probability
from biosim.streams import stream_states


def test_seeding_known_answer():
    states = stream_states(1, np.array([0]))
    assert states.shape == (4, 1)
    assert int(states[0, 0]) == 3018708184346319059


def _xoshiro(state: list[int], count: int) -> list[int]:
    """xoshiro256+ of Blackman and Vigna in Python integers."""
    mask = 2**64 - 1
    s0, s1, s2, s3 = state
    out = []
    for _ in range(count):
        out.append((s0 + s3) & mask)
        t = (s1 << 17) & mask
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = ((s3 << 45) | (s3 >> 19)) & mask
    return out


def test_generator_known_answers():
    assert _xoshiro([1, 2, 3, 4], 5) == [
        5, 211106232532999, 211106635186183, 9223759065350669058, 9250833439874351877,
    ]  # fmt: skip
    state = [int(word) for word in stream_states(1, np.array([0]))[:, 0]]
    uniforms = [(word >> 11) * 2.0**-53 for word in _xoshiro(state, 3)]
    assert uniforms == [0.82313134301252155, 0.80980655936601575, 0.57077698692949808]


def test_kernel_draws_the_documented_stream():
    """With one neuron of one synapse that relays every quantum, release happens exactly where uniform >= 1 - rate dt PR."""
    parameters = parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1, PR0=1.0, K_AG=0.0, t_ref=0.0)
    steps, p = 2000, 0.3
    unit, seed = 5, 42
    clock = Clock(2.0, record=0.01)
    ensemble = Ensemble(parameters, clock, np.array([300.0]), seed=seed, first_unit=unit)
    outcome = run_ensemble(ensemble, "numba")
    state = [int(word) for word in stream_states(seed, np.array([unit]))[:, 0]]
    uniforms = np.array([(word >> 11) * 2.0**-53 for word in _xoshiro(state, steps)])
    fired = uniforms >= 1 - p
    assert outcome.statistics["release_rate"][0] * 2.0 == pytest.approx(fired.sum())
    # 2-AG tells when: it is the sum of the jumps, each decayed since its step.
    decay = np.exp(-1e-3 * (steps - np.arange(1, steps + 1)) / 10.0)
    assert outcome.final["ag"][0, 0] == pytest.approx(0.8e-3 * decay[fired].sum(), rel=1e-12)


def test_streams_differ_between_units_and_seeds():
    states = np.concatenate([stream_states(seed, np.arange(50_000)) for seed in (0, 1)], axis=1)
    for word in states:
        assert np.unique(word).size == word.size


def _ensemble(units: slice, seed: int = 9, **values: object) -> Ensemble:
    rate = np.tile(np.linspace(1.0, 60.0, 50), 8)
    parameters = parameter_set("psu").with_values(Ca_th=0.1, **values)
    clock = Clock(4.0, 1.0, record=1.0)
    return Ensemble(parameters, clock, rate[units], seed=seed, first_unit=units.start)


def _assert_bitwise(one, other):
    for group in ("statistics", "final", "traces"):
        for name, values in getattr(one, group).items():
            np.testing.assert_array_equal(values, getattr(other, group)[name], err_msg=f"{group} {name}")


def _joined(*parts):
    joined = type(parts[0])(
        {k: np.concatenate([p.statistics[k] for p in parts]) for k in parts[0].statistics},
        {k: np.concatenate([p.final[k] for p in parts]) for k in parts[0].final},
        {k: np.concatenate([p.traces[k] for p in parts], axis=1) for k in parts[0].traces},
    )
    return joined


def test_bitwise_equal_for_any_threads_and_cut():
    whole = run_ensemble(_ensemble(slice(0, 400)), "numba", threads=1)
    assert whole.statistics["firing_rate"].std() > 1
    _assert_bitwise(whole, run_ensemble(_ensemble(slice(0, 400)), "numba", threads=2))
    parts = [run_ensemble(_ensemble(s), "numba", threads=2) for s in (slice(0, 137), slice(137, 400))]
    _assert_bitwise(whole, _joined(*parts))
    other = run_ensemble(_ensemble(slice(0, 400), seed=10), "numba")
    assert (other.statistics["release_rate"] != whole.statistics["release_rate"]).mean() > 0.9


def test_a_unit_does_not_depend_on_its_neighbours():
    """With many synapses the binomial draw is cut; where, must follow from the unit's own rate and not the fastest one."""
    slow = Ensemble(parameter_set("wade2012").with_values(n_synapses=60), Clock(3.0), np.full(8, 2.0), seed=1)
    mixed = Ensemble(slow.parameters, slow.clock, np.concatenate([slow.rate, np.full(5, 100.0)]), seed=1)
    assert len(set(_terms(60, mixed.rate * 1e-3))) > 1
    alone, together = run_ensemble(slow, "numba"), run_ensemble(mixed, "numba")
    for name, values in alone.statistics.items():
        np.testing.assert_array_equal(values, together.statistics[name][:8], err_msg=name)


# The release count from one uniform -----------------------------------------------------------------------------------

_compiled = numba.njit(error_model="numpy")(binomial_count)


@numba.njit(error_model="numpy")
def _histogram(u, p, n, terms):
    counts = np.zeros(n + 1, np.int64)
    for x in u:
        counts[int(_compiled(x, p, n, terms))] += 1
    return counts


def _steps(p: float, n: int) -> np.ndarray:
    """The distribution function that `binomial_count` inverts: where, in u, the count goes from k to k + 1."""
    edges = []
    for k in range(n):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            if binomial_count(middle, p, n, n) > k:
                high = middle
            else:
                low = middle
        edges.append(high)
    return np.array(edges)


@pytest.mark.parametrize("n", [1, 10])
@pytest.mark.parametrize("p", [1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5])
def test_binomial_distribution_function(n, p):
    np.testing.assert_allclose(_steps(p, n), stats.binom.cdf(np.arange(n), n, p), rtol=0, atol=1e-14)


def test_binomial_edges():
    assert binomial_count(0.999999, 0.0, 10, 10) == 0
    assert binomial_count(0.0, 0.5, 10, 10) == 0
    assert binomial_count(1 - 2.0**-53, 0.5, 10, 10) == 10


@pytest.mark.parametrize("p", [0.001, 0.01, 0.1, 0.5])
def test_binomial_chi_square(p):
    n, draws = 10, 2_000_000
    counts = _histogram(np.random.default_rng(2024).random(draws), p, n, n)
    expected = draws * stats.binom.pmf(np.arange(n + 1), n, p)
    # Cells with few expected counts are joined.
    keep = expected >= 10
    observed = np.append(counts[keep], counts[~keep].sum())
    wanted = np.append(expected[keep], expected[~keep].sum())
    if wanted[-1] < 10:
        observed, wanted = np.append(observed[:-2], observed[-2:].sum()), np.append(wanted[:-2], wanted[-2:].sum())
    assert stats.chisquare(observed, wanted * draws / wanted.sum()).pvalue > 0.001


@pytest.mark.parametrize("n", [1, 5, 10, 16, 60, 400])
def test_bias_of_the_cut(n):
    """The mean lost by stopping at `terms` releases, summed exactly, stays below 1e-10 per draw at every input rate."""
    for p in (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.5):
        terms = int(_terms(n, np.array([p]))[0])
        assert terms <= n
        k = np.arange(terms + 1, n + 1)
        assert ((k - terms) * stats.binom.pmf(k, n, p)).sum() < 1e-10


def test_the_cut_loses_no_release_at_high_rates():
    """100 Hz at 2 ms: p = 0.2 per synapse, a cut at five would lose half a percent."""
    parameters = parameter_set("wade2012").with_values(PR0=1.0, K_AG=0.0, n_neurons=1, m_eSP=0.0)
    outcome = run_ensemble(Ensemble(parameters, Clock(20.0, dt=2e-3, dt_astro=2e-2), np.full(64, 100.0)), "numba")
    # 64 units x 1e4 steps x 10 synapses, standard deviation sqrt(p (1 - p)) each
    error = math.sqrt(0.2 * 0.8 / (64 * 1e4 * 10)) * 10 / 2e-3
    assert outcome.statistics["release_rate"].mean() == pytest.approx(1000.0, abs=4 * error)


def test_too_many_simultaneous_inputs_are_refused():
    """(1 - p)^n must not underflow: it would silently turn into a release by every synapse."""
    parameters = parameter_set("wade2012").with_values(n_synapses=5000)
    with pytest.raises(SimulationError, match="n_synapses = 5000 with 1000 input spikes per neuron and step"):
        run_ensemble(Ensemble(parameters, Clock(0.1), np.array([200.0])), "numba")


def test_release_probability_is_clipped_after_the_sum():
    assert release_probability(0.01, 0.0, 0.5, -4000.0) == pytest.approx(0.3)
    assert release_probability(0.05, 0.0, 0.5, -4000.0) == 0.0
    assert release_probability(0.0, 182.0, 0.5, -4000.0) == 1.0
    # -200 % and +150 % make -50 %; clipping DSE alone first would give more than PR0.
    assert release_probability(0.05, 150.0, 0.5, -4000.0) == pytest.approx(0.25)


def test_parts_give_the_bytes_of_the_whole(monkeypatch):
    """An ensemble larger than one part is run in several; nothing changes, and progress counts all units."""
    rate = np.linspace(1.0, 60.0, 100)
    values = {"Ca_th": np.linspace(0.1, 0.3, 100)}
    ensemble = Ensemble(parameter_set("psu"), Clock(5.0), rate, overrides=values, seed=3, first_unit=7)
    whole = run_ensemble(ensemble, "numba")
    monkeypatch.setattr(numba_engine, "PART", 40)
    seen = []
    parts = run_ensemble(ensemble, "numba", progress=lambda done, total: seen.append((done, total)))
    for group in ("statistics", "final"):
        for name, array in getattr(whole, group).items():
            np.testing.assert_array_equal(array, getattr(parts, group)[name], err_msg=name)
    assert seen == sorted(seen) and seen[-1] == (100, 100)
    assert parts.notes["unit_steps"] == whole.notes["unit_steps"]


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("p", [0.0, 1e-4, 0.01, 0.1, 0.5])
def test_few_releases_is_the_binomial_count_up_to_two(n, p):
    """The short form gives the same count up to 2 and refers everything above to the long one."""
    uniforms = np.random.default_rng(1).random(2000)
    # Random, for at the edges themselves the two may differ by rounding; and some close to 1, where counts are large.
    for u in np.concatenate([uniforms, 1.0 - uniforms * 1e-4, 1.0 - uniforms * 1e-8]):
        count, few = binomial_count(u, p, n, n), few_releases(u, p, n)
        assert few == (count if count <= 2 else np.inf), (u, count)
