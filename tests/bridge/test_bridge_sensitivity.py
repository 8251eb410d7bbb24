"""Features of many curves against the fits they stand for, and the sensitivity of the simulated synapse."""

from __future__ import annotations

import numpy as np
import pytest

import biosim
from biosim.registry import UnknownName
from bridge import Curve, FitError, SensitivityError, estimate_alpha, fit, response_features, sobol
from bridge.sensitivity import RATES

REST = 0.0722
NO_ESP = biosim.parameter_set("wade2012").with_values(m_eSP=0.0)
SHORT = {"n": 16, "duration": 30.0, "settle": 10.0}


def curves(n, seed=0):
    """Saturating curves with noise, above rest."""
    random = np.random.default_rng(seed)
    f = np.array(RATES)
    k, b, c = random.uniform(0.3, 8, (n, 1)), random.uniform(0.02, 0.4, (n, 1)), random.uniform(0.075, 0.1, (n, 1))
    return f, c + b * f / (f + k) + random.normal(0, 2e-4, (n, len(f)))


def test_features_are_those_of_the_fits():
    """The slow reference, one curve at a time: bridge.fit and bridge.estimate_alpha."""
    f, y = curves(12)
    found = response_features(f, y, np.full(12, REST), exponent_from=1.0)
    for i, row in enumerate(y):
        curve = Curve(x=f, y=row, resting_calcium=REST)
        limits = {"k": (0.1 * f[0], 10 * f[-1])}
        reference = fit(curve, "hyperbola", limits=limits)
        assert found.half_rate[i] == pytest.approx(reference.values["k"], rel=1e-5)
        assert found.hyperbola_r_squared[i] == pytest.approx(reference.r_squared, abs=1e-9)
        upper = Curve(x=f[f >= 1], y=row[f >= 1], resting_calcium=REST)
        alpha = estimate_alpha(upper, "loglog_above_rest", n_resamples=0).value
        assert found.exponent[i] == pytest.approx(alpha, rel=1e-12)
        assert found.calcium_range[i] == row[-1] - row[0]
    assert not found.at_limit.any()


def test_an_exact_power_and_an_exact_hyperbola_give_their_own_numbers():
    f = np.array(RATES)
    powers = REST + 0.03 * f ** np.array([[0.1], [0.25], [1.3]])
    np.testing.assert_allclose(response_features(f, powers, np.full(3, REST)).exponent, [0.1, 0.25, 1.3], rtol=1e-10)
    k = np.array([[0.1], [1.0], [20.0]])
    found = response_features(f, 0.07 + 0.1 * f / (f + k), np.full(3, 0.01))
    np.testing.assert_allclose(found.half_rate, k[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found.hyperbola_r_squared, 1, atol=1e-12)


def test_curves_without_an_exponent_or_a_half_rate_say_so():
    f = np.array(RATES)
    y = np.stack([0.2 - 0.01 * f, np.full(len(f), 0.1), 0.05 + 0.03 * f, 0.1 + 0.01 * f])
    found = response_features(f, y, np.array([0.01, 0.05, 0.1, 0.05]), exponent_from=1.0)
    # Falling, constant, below rest at the lowest rates, a straight line.
    np.testing.assert_array_equal(np.isnan(found.half_rate), [True, True, False, False])
    np.testing.assert_array_equal(np.isnan(found.exponent), [False, False, True, False])
    np.testing.assert_array_equal(found.at_limit, [0, 0, 1, 1])
    assert found.half_rate[3] == pytest.approx(10 * f[-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": [1.0, 2.0, 2.0, 3.0]}, "expected at least four, above 0 Hz and increasing"),
        ({"calcium": np.ones((2, 3))}, r"calcium has shape \(2, 3\)"),
        ({"rest": np.array([np.nan, 0.1])}, "rest has 1 values that are not finite"),
        ({"exponent_from": 9.0}, "exponent_from = 9 Hz leaves 0 of the rates"),
    ],
)
def test_features_of_unusable_curves_are_refused(change, message):
    given = {"rates": [1.0, 2.0, 3.0, 4.0], "calcium": np.ones((2, 4)), "rest": np.zeros(2)} | change
    with pytest.raises(FitError, match=message):
        response_features(**given)


def test_the_same_seed_gives_the_same_bits_and_another_others():
    """Random numbers belong to (seed, unit): the whole study is repeatable, with its noise."""
    one, same, other = (sobol("wade2012", ["K_AG", "v_ER"], seed=seed, **SHORT) for seed in (3, 3, 4))
    for output in one.outputs:
        np.testing.assert_array_equal(one[output].total, same[output].total)
        np.testing.assert_array_equal(one[output].first_half_width, same[output].first_half_width)
        assert not np.array_equal(one[output].total, other[output].total)
    assert one.notes == same.notes


def test_all_sets_and_rates_are_one_ensemble_of_one_call(monkeypatch):
    seen = []
    run = biosim.run_ensemble

    def recorded(ensemble, *args, **options):
        seen.append(ensemble)
        return run(ensemble, *args, **options)

    monkeypatch.setattr("biosim.run_ensemble", recorded, raising=False)
    sobol("wade2012", ["K_AG", "IP3_rest"], trials=2, **SHORT)
    (ensemble,) = seen
    assert ensemble.n_units == 16 * 5 * len(RATES) * 2
    np.testing.assert_array_equal(ensemble.rate[: 2 * len(RATES)], np.repeat(RATES, 2))
    # Every set starts at its own fixed point.
    ip3, calcium = ensemble.values("IP3_rest"), ensemble.values("Ca_init")
    i = int(np.argmax(ip3))
    assert calcium[i] == biosim.rest_state(ip3[i], ensemble.parameters)[0]
    np.testing.assert_array_equal(ensemble.values("IP3_init"), ip3)
    # One value per set: the units of a set differ in rate and trial alone.
    assert np.all(np.ptp(ensemble.values("K_AG").reshape(80, -1), axis=1) == 0)


def test_what_cannot_act_is_in_the_noise_and_what_does_stands_out():
    """Far below the release threshold m_eSP is dead, and the pump's strength owns the range of calcium."""
    start = biosim.parameter_set("wade2012").with_values(Ca_th=5.0)
    found = sobol(start, ["v_ER", "m_eSP"], n=64, duration=60.0, settle=30.0)
    rows = {(row["output"], row["input"]): row for row in found.records()}
    assert rows["calcium_range", "v_ER"]["above_floor"] and rows["calcium_range", "v_ER"]["S1"] > 0.8
    assert rows["calcium_range", "m_eSP"]["ST"] < 0.15
    for output in found.outputs:
        assert not rows[output, "m_eSP"]["above_floor"]
        dead, dummy = rows[output, "m_eSP"], rows[output, "dummy"]
        assert dead["ST"] == pytest.approx(dummy["ST"], abs=2 * (dead["ST_half_width"] + dummy["ST_half_width"]))
    assert 0 < found["calcium_range"].floor < 0.1
    assert "release glutamate" in found.notes[0] and ", and 0.0% release" in found.notes[0]


def test_more_trials_lower_the_noise_floor():
    floors = [
        sobol("wade2012", ["v_ER"], trials=trials, n=32, duration=30.0, settle=10.0)["calcium_range"].floor
        for trials in (1, 8)
    ]
    assert floors[1] < 0.5 * floors[0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"names": ["K_AQ"]}, UnknownName, "K_AG"),
        ({"names": ["n_synapses"]}, UnknownName, "n_synapses"),
        ({"names": ["Ca_init"]}, UnknownName, "Ca_init"),
        ({"names": ["K_AG", "K_AG"]}, SensitivityError, "names has 'K_AG' twice"),
        ({"spread": 1.5}, SensitivityError, r"spread = 1.5: expected a share between 0 and 1"),
        ({"parameters": NO_ESP, "names": ["m_eSP"]}, SensitivityError, r"m_eSP is 0 in the set .* give one in ranges"),
        ({"names": ["PR0"], "ranges": {"PR0": (0.5, 1.5)}}, biosim.ParameterError, "PR0 = 1.5"),
        ({"ranges": {"PR0": (0.5, 0.4)}}, SensitivityError, "range of PR0"),
        ({"rates": [1.0, 2.0, 3.0]}, SensitivityError, "rates = .*expected at least four"),
        ({"rates": [0.0, 1.0, 2.0, 3.0]}, SensitivityError, "above 0 and increasing"),
        ({"exponent_from": 8.0}, SensitivityError, "leaves at least three"),
        ({"n": 1000}, SensitivityError, "power of two"),
        ({"trials": 0}, SensitivityError, "trials = 0"),
        ({"settle": 500.0}, biosim.SimulationError, "settle"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(arguments, error, message, monkeypatch):
    def never(*_, **__):
        raise AssertionError("ran")

    monkeypatch.setattr("biosim.run_ensemble", never, raising=False)
    with pytest.raises(error, match=message):
        sobol(**arguments)


def test_sets_without_an_exponent_are_refused_by_number_and_place():
    """IP3 drive near zero: within noise calcium does not rise above rest, and no exponent is made up."""
    with pytest.raises(SensitivityError, match=r"output alpha is not a finite number for \d+ of 64 sets.* at r_IP3 = "):
        sobol("wade2012", ["r_IP3"], ranges={"r_IP3": (0.0, 1e-6)}, **SHORT)
