"""Arguments that are no numbers, out of range or of another type: each refused by the package, not by what lies beneath."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from biosim.registry import UnknownName
from bridge import (
    FAMILIES,
    Curve,
    CurveError,
    FitError,
    bootstrap,
    compare,
    estimate_all,
    estimate_alpha,
    fit,
    profile_interval,
    trial_spread,
)
from bridge.curves import MissingRest

X = np.array([1.0, 2, 3, 4, 5, 6])
Y = np.array([0.1, 0.12, 0.13, 0.135, 0.138, 0.14])
CURVE = Curve(x=X, y=Y, sd=np.full(6, 1e-3), resting_calcium=0.01)
NO_NUMBERS: list[Any] = [math.nan, math.inf, -1, "a", [1], 10**400, None, 1e308, True, object()]


def each_level(level: Any) -> list[Callable[[], object]]:
    return [
        lambda: fit(CURVE, "power", level=level),
        lambda: profile_interval(CURVE, "power", level=level),
        lambda: compare(CURVE, level=level),
        lambda: bootstrap(fit(CURVE, "power"), level=level),
        lambda: estimate_alpha(CURVE, level=level),
        lambda: estimate_all(CURVE, level=level),
    ]


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 1, 95], ids=lambda v: repr(v)[:12])
def test_level(value: Any) -> None:
    for call in each_level(value):
        with pytest.raises(FitError, match=r"level is .*, expected a number between 0 and 1") as caught:
            call()
        assert len(str(caught.value)) < 150


@pytest.mark.parametrize("value", [v for v in NO_NUMBERS if v != 10**400] + [2.5], ids=lambda v: repr(v)[:12])
def test_seed(value: Any) -> None:
    fitted = fit(CURVE, "power")
    for call in (
        lambda: fit(CURVE, "power", seed=value),
        lambda: compare(CURVE, seed=value),
        lambda: bootstrap(fitted, rng=value),
        lambda: estimate_alpha(CURVE, rng=value),
        lambda: estimate_all(CURVE, seed=value),
    ):
        with pytest.raises(FitError, match=r"seed is .*, expected a whole number of 0 or more"):
            call()


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda v: repr(v)[:12])
def test_counts(value: Any) -> None:
    with pytest.raises(FitError, match=r"n_starts = .*: expected a whole number from 0 to 1024"):
        fit(CURVE, "power", n_starts=value)
    with pytest.raises(FitError, match=r"n_resamples .* is .*, expected 0 for none, or at least 20"):
        estimate_alpha(CURVE, n_resamples=value)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        *[
            ((0.1, value), "expected .low, high. with 0 < low < high for alpha")
            for value in (-1, "a", math.nan, math.inf)
        ],
        *[
            (value, "expected .low, high. with")
            for value in (3.0, (1.0,), (2.0, 1.0), "ab", (0.0, 1.0), (0.1, 10**400))
        ],
        ((0.1, 1e308), r"at alpha = 1e\+308 the family 'power' overflows on these rates; narrow them"),
        ((0.5, 0.5 + 1e-12), "differ too little to search between them; widen"),
        ((1e-15, 1e-14), "differ too little"),
    ],
)
def test_limits(limits: Any, message: str) -> None:
    for function in (fit, profile_interval):
        with pytest.raises(FitError, match=message):
            function(CURVE, "power", limits=limits)  # type: ignore[operator]


@pytest.mark.parametrize("value", [3, None, "power", [1.0], X])
def test_what_is_no_curve(value: Any) -> None:
    for call in (
        lambda: fit(value, "power"),
        lambda: profile_interval(value, "power"),
        lambda: compare(value),
        lambda: estimate_alpha(value),
        lambda: estimate_all(value),
        lambda: trial_spread(value),
    ):
        with pytest.raises(CurveError, match=r"expected a Curve, found .*; make one with bridge"):
            call()


@pytest.mark.parametrize("value", [3, None, ["power"], math.nan])
def test_names(value: Any) -> None:
    with pytest.raises(UnknownName, match="choose from power"):
        fit(CURVE, value)
    with pytest.raises(UnknownName, match="choose from loglog_above_rest"):
        estimate_alpha(CURVE, value)
    with pytest.raises(UnknownName):
        compare(CURVE, [value])


def test_lists_of_names() -> None:
    assert list(compare(CURVE, "power").fits) == list(compare(CURVE, [FAMILIES["power"]]).fits) == ["power"]
    with pytest.raises(FitError, match="families is 3, expected a name or a list of names"):
        compare(CURVE, 3)  # type: ignore[arg-type]
    with pytest.raises(FitError, match="estimators is 3, expected a name or a list of names"):
        estimate_all(CURVE, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["a", [math.nan], [math.inf], [-1.0], [1e308], [None], [10**400], [1j]])
def test_rates_of_a_prediction(value: Any) -> None:
    with pytest.raises(FitError, match="predict"):
        fit(CURVE, "power").predict(value)


def test_constant_curves_are_refused_by_every_analysis() -> None:
    for level in (0.0, 0.1):
        flat = Curve(x=X, y=np.full(6, level), resting_calcium=0.0)
        for call in (
            lambda: fit(flat, "power"),  # noqa: B023
            lambda: profile_interval(flat, "hyperbola"),  # noqa: B023
            lambda: compare(flat),  # noqa: B023
            lambda: estimate_alpha(flat),  # noqa: B023
            lambda: estimate_all(flat),  # noqa: B023
        ):
            with pytest.raises(FitError, match=r"is constant .*not identifiable; check the input rates"):
                call()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X * 1e-9, Y),
        (X * 1e8, Y),
        ([0, 1e-9, 1e-3, 1, 1e5, 1e9], Y),
        (X, Y * 2e-26),
        (X, Y * 7e30),
        (X, -Y),
        (X, Y[::-1]),
        (X, [1e30, 1e-30, 0, 0, 0, -1e30]),
        (X, [1, -1, 1, -1, 1, -1]),
        (X, [1, 2, 3, 3, 2, 1]),
        (X, [1, 1, 1, 1, 1, 1 + 3e-12]),
    ],
    ids=[
        "low rates",
        "high rates",
        "wide",
        "tiny",
        "huge",
        "negative",
        "falling",
        "spike",
        "alternating",
        "hump",
        "flat",
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_every_curve_that_is_accepted_is_computed_without_overflow(family: str, x: Any, y: Any, weighted: bool) -> None:
    """The magnitudes a Curve admits are those the fits can compute with: a result of finite numbers and no warning."""
    scale = float(np.max(np.abs(y)))
    curve = Curve(x=x, y=y, sd=np.full(6, 1e-3 * scale), resting_calcium=0.05 * scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit(curve, family, weighted=weighted, n_starts=2)
        numbers = [*fitted.values.values(), fitted.r_squared, fitted.rmse, fitted.residual_sum, fitted.aic]
        numbers += [e.stderr for e in fitted.parameters.values() if e.stderr is not None]
        assert np.all(np.isfinite(numbers))
        interval = profile_interval(curve, family, weighted=weighted)
        assert (interval.low or 0) <= interval.value <= (interval.high or math.inf)
        low, high = bootstrap(fitted, n_resamples=20).band(curve.x)
        assert np.all(np.isfinite(low)) and np.all(low <= high)


@pytest.mark.parametrize("family", FAMILIES)
def test_profile_of_a_perfect_fit_has_no_width(family: str) -> None:
    theta = FAMILIES[family].nonlinear
    # The exponential with a small k is over before the first points: nothing is left to identify k by.
    lowest = 0.4 if family == "saturating_exponential" else 0.1
    for value in np.linspace(lowest, 2.5, 12):
        y = FAMILIES[family].evaluate(X, {"c": 0.3, "b": 0.2, theta: value, "n": 1.4}, 0.01)
        interval = profile_interval(Curve(x=X, y=y, resting_calcium=0.01), family)
        assert interval.low == pytest.approx(value, rel=1e-4) and interval.high == pytest.approx(value, rel=1e-4)


def test_unknown_rest_is_refused_with_a_remedy_for_both_ways_of_use() -> None:
    with pytest.raises(MissingRest, match=r"--resting-calcium or, in Python, curve\.with_resting_calcium"):
        fit(Curve(x=X, y=Y), "power_above_rest")
