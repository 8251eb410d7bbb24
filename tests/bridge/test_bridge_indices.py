"""Sobol indices of functions whose indices are known, and everything that must be refused."""

from __future__ import annotations

import numpy as np
import pytest

from biosim.registry import UnknownName
from bridge.indices import DUMMY, Sensitivity, SensitivityError, sobol_indices

RANGES = {"x1": (-np.pi, np.pi), "x2": (-np.pi, np.pi), "x3": (-np.pi, np.pi)}
A, B = 7.0, 0.1


def ishigami(x):
    """Ishigami and Homma 1990."""
    return {"y": np.sin(x[:, 0]) + A * np.sin(x[:, 1]) ** 2 + B * x[:, 2] ** 4 * np.sin(x[:, 0])}


def closed_form():
    """First-order and total indices of the Ishigami function, by integration."""
    first = np.array([0.5 * (1 + B * np.pi**4 / 5) ** 2, A**2 / 8, 0.0])
    both = B**2 * np.pi**8 * (1 / 18 - 1 / 50)
    variance = first.sum() + both
    return first / variance, (first + np.array([both, 0, both])) / variance


def test_ishigami_has_its_known_indices():
    found = sobol_indices(ishigami, RANGES, n=8192, seed=3)["y"]
    first, total = closed_form()
    np.testing.assert_allclose(first, [0.3139, 0.4424, 0.0], atol=5e-5)
    np.testing.assert_allclose(total, [0.5576, 0.4424, 0.2437], atol=5e-5)
    np.testing.assert_allclose(found.first[:3], first, atol=0.01)
    np.testing.assert_allclose(found.total[:3], total, atol=0.01)
    # The intervals are honest: they hold the truth, and the estimates lie within twice their size of it.
    assert np.all(np.abs(found.first[:3] - first) < found.first_half_width[:3])
    assert np.all(np.abs(found.total[:3] - total) < found.total_half_width[:3])
    assert np.all(found.total_half_width[:3] < 0.05)
    assert found.mean == pytest.approx(A / 2, abs=0.01)
    assert found.sd**2 == pytest.approx(0.5 + A**2 / 8 + B * np.pi**4 / 5 + B**2 * np.pi**8 / 18, rel=0.01)


def test_a_sum_has_no_interaction_and_shares_by_variance():
    found = sobol_indices(lambda x: {"y": x @ [1.0, 2.0, 3.0]}, {name: (0.0, 1.0) for name in "abc"}, n=2048)["y"]
    np.testing.assert_allclose(found.first[:3], np.array([1, 4, 9]) / 14, atol=0.01)
    np.testing.assert_allclose(found.total[:3], np.array([1, 4, 9]) / 14, atol=0.01)


def test_dummy_and_dead_inputs_are_exactly_zero_without_noise():
    found = sobol_indices(ishigami, {**RANGES, "dead": (5.0, 6.0)}, n=256)["y"]
    assert found.floor == 0 and found.total[3] == 0 and found.first[3] == 0


def test_the_dummy_measures_the_share_of_noise():
    """Independent noise of variance v beside a signal of variance 1/12 belongs to every total index with v/(v + 1/12)."""
    noise = np.random.default_rng(5)
    sd = 0.1

    def noisy(x):
        return {"y": x[:, 0] + sd * noise.normal(size=len(x))}

    share = sd**2 / (sd**2 + 1 / 12)
    found = sobol_indices(noisy, {"a": (0.0, 1.0), "dead": (0.0, 1.0)}, n=4096)["y"]
    assert found.floor == pytest.approx(share, rel=0.1)
    assert found.total[1] == pytest.approx(share, rel=0.1)
    assert found.first[0] == pytest.approx(1 - share, abs=0.03)


def test_convergence_compares_with_the_first_half_of_the_same_sequence():
    """The halves are what the same seed gives for half as many base samples."""
    full, half = (sobol_indices(ishigami, RANGES, n=n, seed=4) for n in (512, 256))
    np.testing.assert_array_equal(full.halves["y"].total, half["y"].total)
    np.testing.assert_array_equal(full.halves["y"].first, half["y"].first)
    assert full.convergence("y") == np.max(np.abs(full["y"].total - half["y"].total)) > 0


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    def everything(seed):
        found = sobol_indices(ishigami, RANGES, n=64, seed=seed)["y"]
        return np.concatenate([found.first, found.first_half_width, found.total, found.total_half_width])

    for seed in (0, 7):
        np.testing.assert_array_equal(everything(seed), everything(seed))
    assert not np.array_equal(everything(0), everything(7))


def test_the_function_is_called_once_with_values_inside_the_ranges():
    calls = []

    def recorded(x):
        calls.append(x)
        return {"y": x[:, 0]}

    sobol_indices(recorded, {"a": (2.0, 3.0), "b": (-2.0, -1.0)}, n=32)
    ((x),) = calls
    assert x.shape == (32 * 5, 2)
    assert np.all((x > [2, -2]) & (x < [3, -1]))


def test_records_name_every_input_and_mark_what_stands_above_the_noise():
    found = sobol_indices(ishigami, {**RANGES, "dead": (0.0, 1.0)}, n=1024, units={"x1": "s", "y": "uM"})
    rows = {row["input"]: row for row in found.records()}
    assert list(rows) == ["x1", "x2", "x3", "dead", DUMMY]
    assert [rows[name]["above_floor"] for name in rows] == [True, True, True, False, False]
    assert rows["x1"]["input_unit"] == "s" and rows["x1"]["output_unit"] == "uM" and rows["dead"]["input_unit"] == "1"
    assert found.table().shape[0] == 5
    text = found.text()
    assert "noise floor 0.000" in text and "acts on nothing" in text and "from 512 to 1024 base samples" in text


def sometimes(x, bad):
    return {"fine": x[:, 0], "broken": np.where(bad, np.nan, x[:, 1])}


def test_a_value_that_is_not_finite_is_refused_with_its_number_and_place():
    """SALib itself would return indices of exactly 0."""
    from SALib.analyze import sobol as analyser

    problem = {"num_vars": 2, "names": ["a", "b"], "bounds": [[0, 1]] * 2}
    with np.errstate(all="ignore"):
        silent = analyser.analyze(problem, np.r_[np.nan, np.arange(255.0)], calc_second_order=False, seed=1)
    assert np.all(silent["S1"] == 0)
    with pytest.raises(
        SensitivityError, match=r"output broken is not a finite number for \d+ of 320 sets, in \d+ of 64"
    ) as e:
        sobol_indices(lambda x: sometimes(x, x[:, 0] > 0.9), {"a": (0, 1), "b": (0, 1)}, n=64)
    assert "first nan at a = 0.9" in str(e.value) and "\n" not in str(e.value)
    with pytest.raises(SensitivityError, match="first inf at"):
        sobol_indices(lambda x: {"y": np.where(np.arange(len(x)) == 9, np.inf, x[:, 0])}, {"a": (0, 1)}, n=16)


def test_a_few_base_samples_may_be_dropped_and_that_is_said():
    def function(x):
        return sometimes(x, (x[:, 0] > 0.99))

    ranges = {"a": (0.0, 1.0), "b": (0.0, 1.0)}
    found = sobol_indices(function, ranges, n=1024, unfit="drop")
    assert found["fine"].n_dropped == 0 and found["fine"].n == 1024
    dropped = found["broken"].n_dropped
    assert 0 < dropped < 0.05 * 1024 and found["broken"].n == 1024 - dropped
    assert any(note.startswith(f"broken: {dropped} of 1024 base samples are left out") for note in found.notes)
    assert found["broken"].first[1] == pytest.approx(1, abs=0.02)
    with pytest.raises(SensitivityError, match="more than 5% of the base samples; narrow the ranges"):
        sobol_indices(lambda x: sometimes(x, x[:, 0] > 0.5), ranges, n=64, unfit="drop")


def test_an_output_that_does_not_vary_is_refused():
    with pytest.raises(SensitivityError, match=r"output y does not vary over these ranges \(2 for every set\)"):
        sobol_indices(lambda x: {"y": np.full(len(x), 2.0)}, {"a": (0, 1)}, n=16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 100}, "n = 100: expected a power of two, .* take 64 or 128"),
        ({"n": 8}, "n = 8: expected a whole number from 16"),
        ({"n": 64.0}, "n = 64.0: expected a whole number"),
        ({"level": 1.0}, "level = 1.0: expected a number between 0 and 1"),
        ({"n_resamples": 1}, "n_resamples = 1: expected a whole number from 20"),
        ({"seed": -1}, "seed = -1: expected a whole number"),
    ],
)
def test_impossible_settings_are_refused_before_the_function_is_called(settings, message):
    def never(x):
        raise AssertionError("called")

    with pytest.raises(SensitivityError, match=message):
        sobol_indices(never, {"a": (0.0, 1.0)}, **settings)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "ranges = {}: expected a mapping"),
        ({"a": (1.0, 1.0)}, r"range of a = \(1.0, 1.0\): expected \(low, high\), finite, with low < high"),
        ({"a": (0.0, np.inf)}, "range of a"),
        ({"a": 3}, "range of a = 3"),
        ({DUMMY: (0.0, 1.0)}, "expected a name other than 'dummy'"),
    ],
)
def test_impossible_ranges_are_refused(ranges, message):
    with pytest.raises(SensitivityError, match=message):
        sobol_indices(ishigami, ranges, n=16)


def test_outputs_of_another_shape_and_unknown_names_are_refused():
    with pytest.raises(SensitivityError, match=r"output y has shape \(2,\): expected one value per set, \(64,\)"):
        sobol_indices(lambda x: {"y": [1.0, 2.0]}, {"a": (0, 1)}, n=16)
    with pytest.raises(UnknownName, match="treatment of sets without a value"):
        sobol_indices(ishigami, RANGES, n=16, unfit="ignore")  # type: ignore[arg-type]
    found = sobol_indices(ishigami, RANGES, n=16)
    assert isinstance(found, Sensitivity)
    with pytest.raises(UnknownName, match="output"):
        found["z"]
