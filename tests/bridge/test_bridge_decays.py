"""Sums of exponentials: known constants come back, errors cover, and what is not identifiable is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import FitError, fit_decays

TIME = np.geomspace(0.05, 100.0, 80)


@pytest.mark.parametrize(
    ("constants", "amplitudes"),
    [((10.0,), (3.0,)), ((10.0, 7.0), (3.0, -3.0)), ((40.0, 0.1), (1.4, -1.4)), ((12.0, 0.3), (1e-6, 2e-6))],
)
def test_exact_constants_come_back(constants: tuple[float, ...], amplitudes: tuple[float, ...]) -> None:
    y = sum(a * np.exp(-TIME / tau) for a, tau in zip(amplitudes, constants, strict=True))
    fitted = fit_decays(TIME, y, len(constants))
    assert fitted.constants == pytest.approx(constants, rel=1e-7)
    assert fitted.amplitudes == pytest.approx(amplitudes, rel=1e-5)
    np.testing.assert_allclose(fitted.predict(TIME), y, atol=1e-9 * np.abs(y).max())
    assert all(error < 1e-6 * tau for error, tau in zip(fitted.stderr, constants, strict=True))


def test_held_constants_stay_and_free_the_one_behind_them() -> None:
    # Three constants so close together can be told apart only if two of them are known.
    y = 1.36 * np.exp(-TIME / 10) - 1.17 * np.exp(-TIME / 7) - 0.2 * np.exp(-TIME / 11.6)
    fitted = fit_decays(TIME, y, held=(10.0, 7.0))
    assert fitted.constants == pytest.approx((11.6,), rel=1e-6)
    assert fitted.held == (10.0, 7.0) and fitted.amplitudes == pytest.approx((-0.2, 1.36, -1.17), rel=1e-4)


def test_standard_errors_cover_the_truth_under_noise() -> None:
    rng = np.random.default_rng(5)
    t = np.linspace(0.5, 40, 60)
    inside = 0
    for _ in range(120):
        fitted = fit_decays(t, 2 * np.exp(-t / 8) + 0.04 * rng.standard_normal(t.size))
        inside += abs(fitted.constants[0] - 8) < 1.96 * fitted.stderr[0]
    # 95 % of 120 is 114, with a standard deviation of 2.4.
    assert inside >= 106


def test_a_shape_that_is_not_quite_exponential_has_a_larger_error() -> None:
    exact = fit_decays(TIME, np.exp(-TIME / 10))
    bent = fit_decays(TIME, np.exp(-TIME / 10) + 0.01 * np.exp(-TIME / 5))
    assert bent.stderr[0] > 1e3 * exact.stderr[0]
    # A tenth of the bias is seen; two constants so close together look like one between them.
    assert 0.1 * abs(bent.constants[0] - 10) < bent.stderr[0]


@pytest.mark.parametrize(
    ("time", "values", "n", "message"),
    [
        (TIME, np.zeros(80), 1, "zero throughout, so it has no time constant; give a larger impulse"),
        (TIME[:3], np.exp(-TIME[:3]), 1, "has 3 points, expected at least 4"),
        (TIME, np.ones(80), 1, "not identifiable"),
        (TIME, np.sin(TIME), 1, "not identifiable"),
        (TIME, np.exp(-TIME / 20) - 0.6 * np.exp(-TIME / 2), 1, "not identifiable, 1 exponentials miss it by .*%"),
        (TIME[:40], np.exp(-TIME[:40] / 500), 1, "not identifiable, time constant .* from a record of"),
        (TIME, np.exp(-TIME / 10), 2, "not identifiable"),
        (TIME, TIME * np.exp(-TIME / 10), 2, "not identifiable"),
        (TIME[::-1], np.exp(-TIME), 1, "time has to increase"),
        (TIME, np.full(80, np.nan), 1, "not finite"),
        (TIME, np.ones(79), 1, "two rows of one length"),
        (TIME, np.ones(80), 3, "n_constants = 3: expected"),
    ],
)
def test_what_fixes_no_constant_is_refused(time: np.ndarray, values: np.ndarray, n: int, message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit_decays(time, values, n)


def test_held_constants_are_checked() -> None:
    with pytest.raises(FitError, match=r"held = \[-1.0\]: expected time constants above 0 s"):
        fit_decays(TIME, np.exp(-TIME), held=[-1.0])
