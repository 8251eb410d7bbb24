"""The kernel for quantal synapses alone against the general one, which is its reference: same streams, hence the same spikes."""

from __future__ import annotations

import numpy as np
import pytest

from biosim import Clock, Ensemble, parameter_set, run_ensemble
from biosim.engines import quantal_kernel
from biosim.processes import li_rinzel
from biosim.processes.release import binomial_count, few_releases, two_at_most, up_to_two


def _by_both(ensemble, monkeypatch):
    """(outcome of the quantal kernel for all units that it takes, outcome of the general one for all)."""
    ours = run_ensemble(ensemble, "numba", threads=1)
    with monkeypatch.context() as patch:
        patch.setattr(quantal_kernel, "suited", lambda e: np.zeros(e.n_units, dtype=np.bool_))
        return ours, run_ensemble(ensemble, "numba", threads=1)


def _spread(n: int) -> dict[str, np.ndarray]:
    """Values that make `n` units cross the threshold at different times, with refractory times of 0 to 4 steps."""
    generator = np.random.default_rng(5)
    low_high = {
        "Ca_th": (0.1, 0.3),
        "K_AG": (-4000.0, 0.0),
        "IP3_init": (0.1, 0.7),
        "PR0": (0.1, 1.0),
        "a2": (0.2, 1.0),
        "tau_Glu": (0.05, 0.2),
        "tau_AG": (5.0, 12.0),
    }
    return {name: generator.uniform(*bounds, n) for name, bounds in low_high.items()} | {
        "t_ref": generator.choice([0.0, 0.001, 0.002, 0.004], n),
        # Quanta that fire the neuron alone, and quanta of which it takes several.
        "quantum": generator.choice([0.25, 6.65], n),
    }


# Neurons, synapses, neuron steps per astrocyte step: pieces of 5, 3, 1, 4 and 1 steps.
@pytest.mark.parametrize(
    ("rule", "form", "neurons", "synapses", "ratio"),
    [
        ("continuous", "ode", 1, 10, 10),
        ("upward", "ode", 3, 7, 6),
        ("latched", "algebraic", 2, 1, 2),
        pytest.param("repeated", "ode", 2, 2, 8, marks=pytest.mark.slow),
        pytest.param("continuous", "algebraic", 1, 60, 14, marks=pytest.mark.slow),
        pytest.param("upward", "algebraic", 2, 10, 10, marks=pytest.mark.slow),
    ],
)
def test_both_kernels_agree(rule, form, neurons, synapses, ratio, difference, monkeypatch):
    """75 units, which is a whole block and a part of one; rates up to where counts above two come in most pieces."""
    n = 75
    parameters = parameter_set("psu").with_values(
        n_neurons=neurons, n_synapses=synapses, release_rule=rule, esp_form=form, r_Glu=0.1,
        m_eSP=55_000.0 if form == "ode" else 3000.0,
    )  # fmt: skip
    # The last units are beyond what this kernel takes where there are many synapses.
    rate = np.append(np.linspace(0.0, 90.0 * min(10 / synapses, 1.0), n - 3), np.full(3, 95.0))
    ensemble = Ensemble(
        parameters, Clock(9.0, 3.0, dt_astro=ratio * 1e-3, record=ratio * 0.025), rate, overrides=_spread(n), seed=3
    )
    taken = quantal_kernel.suited(ensemble)
    assert taken[:40].all() and (taken.all() or synapses > 2)
    ours, general = _by_both(ensemble, monkeypatch)
    assert general.statistics["crossings"].max() >= 1 and general.statistics["esp_mean"].max() > 0.01
    for name in ("firing_rate", "release_rate", "crossings"):
        np.testing.assert_array_equal(ours.statistics[name], general.statistics[name], err_msg=name)
    worst = difference(ours, general)
    assert max(worst.values()) < 2e-12, sorted(worst.items(), key=lambda item: -item[1])[:3]


def test_threads_and_cuts_do_not_matter():
    rate = np.linspace(1.0, 50.0, 150)
    make = lambda part: Ensemble(parameter_set("wade2012"), Clock(3.0), rate[part], seed=2, first_unit=part.start or 0)  # noqa: E731
    whole = run_ensemble(make(slice(0, 150)), "numba", threads=1)
    for other in (
        [run_ensemble(make(slice(0, 150)), "numba", threads=2)],
        [run_ensemble(make(part), "numba", threads=1) for part in (slice(0, 71), slice(71, 72), slice(72, 150))],
    ):
        for name, values in whole.statistics.items():
            joined = np.concatenate([outcome.statistics[name] for outcome in other])
            np.testing.assert_array_equal(values, joined, err_msg=name)


def test_only_what_the_kernel_has_is_sent_to_it():
    clock, rate = Clock(0.1), np.array([10.0, 100.0])
    assert quantal_kernel.suited(Ensemble(parameter_set("wade2012"), clock, rate)).tolist() == [True, False]
    for values in (
        {"sic": "events"},
        {"synapse": "depressing"},
        {"calcium_noise": "langevin"},
        {"ip3_source": "spikes"},
    ):
        assert not quantal_kernel.suited(Ensemble(parameter_set("wade2012").with_values(**values), clock, rate)).any()
    regular = Ensemble(parameter_set("wade2012"), clock, rate, input="regular")
    assert not quantal_kernel.suited(regular).any()


def test_blocks_keep_all_threads_busy():
    assert quantal_kernel.block_size(1000, 2) == 64
    assert quantal_kernel.block_size(100, 2) == 56
    assert quantal_kernel.block_size(3, 2) == 8
    for ratio, steps in ((2, 1), (10, 5), (14, 1), (100, 5), (12, 3), (8, 4)):
        assert quantal_kernel.longest_piece(ratio) == steps


@pytest.mark.parametrize("n", [1, 2, 3, 10, 60])
@pytest.mark.parametrize("p", [0.0, 1e-3, 0.05, 0.3])
def test_short_forms_of_the_binomial_count(n, p):
    """Below the bound the two-term form is the count; a `u` above it may mean three or more, and none below does."""
    bound = two_at_most(p, n)
    for u in np.random.default_rng(3).random(2000):
        if u < bound:
            assert up_to_two(u, p, n) == few_releases(u, p, n) == binomial_count(u, p, n, n)
    if n > 2:
        q = 1.0 - p
        exact = sum(q ** (n - k) * p**k * c for k, c in ((0, 1), (1, n), (2, n * (n - 1) / 2)))
        assert exact - 1e-13 < bound < exact
    else:
        assert bound > 1.0


def test_calcium_with_one_division_per_stage():
    generator = np.random.default_rng(1)
    for _ in range(200):
        ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5 = generator.uniform(0.05, 2.0, 14)
        opening, binding = li_rinzel.channel(ip3, r_C, a2, d1, d2, d3)
        ours = li_rinzel.derivatives_at(ca, h, opening, binding, r_L, v_ER, k_ER, c0, c1, a2, d5)
        wanted = li_rinzel.derivatives(ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
        np.testing.assert_allclose(ours, wanted, rtol=1e-13, atol=1e-14)
