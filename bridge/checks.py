"""Checks of the arguments that fits, resampling and estimators share, and the error they raise.

They stand in front of NumPy, SciPy and lmfit, whose own errors name neither the argument nor the remedy.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .curves import Array, Family
from .measure import LARGEST_RATE, Curve, numbers

FEWEST_RESAMPLES = 20
MOST_RESAMPLES = 100_000
# Squares and products of shapes and derivatives have to stay representable; a double ends at 1e308.
_LARGEST_SHAPE = 1e100

Name = TypeVar("Name")


class FitError(ValueError):
    """A fit that the data cannot support, or that is asked for with impossible settings."""


def check_level(level: float) -> None:
    """Refuse a confidence level that is not between 0 and 1."""
    if not (_is_real(level) and 0 < level < 1):
        raise FitError(f"level is {reprlib.repr(level)}, expected a number between 0 and 1 such as 0.95")


def check_count(name: str, value: int, low: int, high: int) -> None:
    """Refuse a `value` that is not a whole number from `low` to `high`."""
    if not (_is_whole(value) and low <= value <= high):
        raise FitError(f"{name} is {reprlib.repr(value)}, expected a whole number from {low} to {high}")


def check_resamples(n: int, *, none_allowed: bool = False) -> None:
    """Refuse a number of bootstrap resamples too small for quantiles or too large for the memory."""
    if _is_whole(n) and (FEWEST_RESAMPLES <= n <= MOST_RESAMPLES or (none_allowed and n == 0)):
        return
    none = "0 for none, or " if none_allowed else ""
    raise FitError(
        f"n_resamples (--bootstraps on the command line) is {reprlib.repr(n)}, expected {none}at least "
        f"{FEWEST_RESAMPLES} and at most {MOST_RESAMPLES}; take 1000 for a 95 % interval"
    )


def random_generator(rng: np.random.Generator | int) -> np.random.Generator:
    """`rng` itself if it is a generator, otherwise one made from it as a seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    if not (_is_whole(rng) and rng >= 0):
        raise FitError(
            f"seed is {reprlib.repr(rng)}, expected a whole number of 0 or more or, in Python, a NumPy generator"
        )
    return np.random.default_rng(int(rng))


def several(what: str, names: Iterable[Name] | str) -> list[Name | str]:
    """`names` as a list; a single string is one name, not its letters."""
    if isinstance(names, str):
        return [names]
    try:
        return list(names)
    except TypeError:
        raise FitError(f"{what} is {reprlib.repr(names)}, expected a name or a list of names") from None


def check_rates(what: str, x: ArrayLike) -> Array:
    """Rates (Hz, any shape) at which a fitted curve can be evaluated."""
    try:
        rates = numbers(what, x)
    except ValueError as error:
        raise FitError(str(error)) from None
    if not np.all((rates >= 0) & (rates <= LARGEST_RATE)):
        raise FitError(f"{what}: rates must be finite, 0 Hz or more and at most {LARGEST_RATE:g} Hz; correct them")
    return rates


def check_varies(curve: Curve, wanted: str) -> None:
    """Refuse a constant curve; `wanted` says in words what could not be identified from it."""
    if np.ptp(curve.y) <= 1e-12 * np.max(np.abs(curve.y)):
        raise FitError(
            f"{curve.y_name} is constant ({curve.y[0]:g} {curve.y_unit}), so {wanted} not identifiable; check the "
            "input rates and the variable"
        )


def check_problem(curve: Curve, family: Family, level: float, limits: tuple[float, float] | None) -> None:
    """Refuse a fit of `family` to `curve` that is ill-posed or whose settings are impossible."""
    n_parameters = len(family.parameters)
    if curve.n_points <= n_parameters:
        raise FitError(
            f"family {family.name!r} has {n_parameters} parameters and the curve {curve.n_points} points, so "
            "nothing is left to judge the fit by; add points or choose a family with fewer parameters"
        )
    check_varies(curve, f"the parameters of {family.name!r} are")
    check_level(level)
    if limits is not None:
        _check_limits(curve, family, limits)


def _check_limits(curve: Curve, family: Family, limits: tuple[float, float]) -> None:
    expected = f"expected (low, high) with 0 < low < high for {family.nonlinear}"
    if not (isinstance(limits, tuple | list) and len(limits) == 2 and all(_is_real(limit) for limit in limits)):
        raise FitError(f"limits are {reprlib.repr(limits)}, {expected}")
    low, high = limits
    if not 0 < low < high < math.inf:
        raise FitError(f"limits are {reprlib.repr(limits)}, {expected}")
    # lmfit takes limits this close for one number.
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        raise FitError(f"limits are {limits}, which differ too little to search between them; widen them")
    with np.errstate(all="ignore"):
        for limit in (low, high):
            for values in (family.shape(curve.x, limit), family.shape_derivative(curve.x, limit)):
                if not np.all(np.abs(values) < _LARGEST_SHAPE):
                    raise FitError(
                        f"limits are {limits}: at {family.nonlinear} = {limit:g} the family {family.name!r} overflows "
                        "on these rates; narrow them"
                    )


def _is_real(value: object) -> bool:
    # Numbers beyond the range of a double cannot be computed with either.
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
