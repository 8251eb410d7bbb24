"""Checks of the arguments that fits, resampling and estimators share, and the error they raise.

They stand in front of NumPy, SciPy and lmfit, whose own errors name neither the argument nor the remedy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from biosim.checks import as_float, plain_number, whole
from biosim.messages import shown
from biosim.registry import choose

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
    number = plain_number(level)
    if number is None or not 0 < number < 1:
        raise FitError(f"level is {shown(level)}, expected a number between 0 and 1 such as 0.95")


def whole_number(name: str, value: int, low: int, high: int) -> int:
    """`value`, refused if it is not a whole number from `low` to `high`."""
    return whole(name, value, low, high, FitError)


def check_resamples(n: int, *, none_allowed: bool = False) -> None:
    """Refuse a number of bootstrap resamples too small for quantiles or too large for the memory."""
    number = plain_number(n)
    if isinstance(number, int) and (FEWEST_RESAMPLES <= number <= MOST_RESAMPLES or (none_allowed and number == 0)):
        return
    none = "0 for none, or " if none_allowed else ""
    raise FitError(
        f"n_resamples (--bootstraps on the command line) is {shown(n)}, expected {none}at least "
        f"{FEWEST_RESAMPLES} and at most {MOST_RESAMPLES}; take 1000 for a 95 % interval"
    )


def random_generator(rng: np.random.Generator | int) -> np.random.Generator:
    """`rng` itself if it is a generator, otherwise one made from it as a seed."""
    if isinstance(rng, np.random.Generator):
        return rng
    seed = plain_number(rng)
    if not isinstance(seed, int) or seed < 0:
        raise FitError(f"seed is {shown(rng)}, expected a whole number of 0 or more or, in Python, a NumPy generator")
    return np.random.default_rng(seed)


def several(what: str, names: Iterable[Name] | str) -> list[Name | str]:
    """`names` as a list; a single string is one name, not its letters."""
    if isinstance(names, str):
        return [names]
    try:
        return list(names)
    except TypeError:
        raise FitError(f"{what} is {shown(names)}, expected a name or a list of names") from None


def check_ranges(ranges: Mapping[str, tuple[float, float]], error: type[ValueError]) -> dict[str, tuple[float, float]]:
    """`ranges` as floats; refused unless each is (low, high) with finite low < high and there is at least one."""
    if not isinstance(ranges, Mapping) or not ranges:
        raise error(f"ranges = {shown(ranges)}: expected a mapping of names to (low, high), at least one")
    checked = {}
    for name, pair in ranges.items():
        found = [plain_number(limit) for limit in pair] if isinstance(pair, (tuple, list)) and len(pair) == 2 else []
        low, high = (as_float(v) for v in found if v is not None) if found and None not in found else (np.nan, np.nan)
        if not isinstance(name, str):
            raise error(f"input {shown(name)}: expected a name in text")
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise error(f"range of {name} = {shown(pair)}: expected (low, high), finite, with low < high")
        checked[name] = (low, high)
    return checked


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


def check_problem(
    curve: Curve,
    family: Family,
    level: float,
    limits: tuple[float, float] | Mapping[str, tuple[float, float]] | None,
) -> None:
    """Refuse a fit of `family` to `curve` that is ill-posed or whose settings are impossible."""
    n_parameters = len(family.parameters)
    if curve.n_points <= n_parameters:
        raise FitError(
            f"family {family.name!r} has {n_parameters} parameters and the curve {curve.n_points} points, so "
            "nothing is left to judge the fit by; add points or choose a family with fewer parameters"
        )
    check_varies(curve, f"the parameters of {family.name!r} are")
    check_level(level)
    chosen_limits(family, curve, limits)


def chosen_limits(
    family: Family, curve: Curve, limits: tuple[float, float] | Mapping[str, tuple[float, float]] | None
) -> dict[str, tuple[float, float]]:
    """Range of each shape parameter: those of the family on this curve, replaced by `limits` where they are given."""
    own = family.bounds(curve.x)
    if limits is None:
        return own
    if not isinstance(limits, Mapping):
        if len(own) > 1:
            raise FitError(
                f"limits are {shown(limits)}, expected a mapping of names to (low, high), as family {family.name!r} has "
                f"the shape parameters {', '.join(own)}"
            )
        limits = {family.nonlinear: limits}
    for name, pair in limits.items():
        choose(f"shape parameter of family {family.name!r}", name, own)
        own[name] = _checked_limits(family, name, pair)
    given = " and ".join(f"{name} = {own[name]}" for name in limits)
    for corner in product(*own.values()):
        with np.errstate(all="ignore"):
            for values in (family.shape(curve.x, *corner), *family.derivatives(curve.x, *corner)):
                if not np.all(np.abs(values) < _LARGEST_SHAPE):
                    at = ", ".join(f"{name} = {value:g}" for name, value in zip(own, corner, strict=True))
                    raise FitError(
                        f"limits are {given}: at {at} the family {family.name!r} overflows on these rates; narrow them"
                    )
    return own


def _checked_limits(family: Family, name: str, limits: object) -> tuple[float, float]:
    expected = f"expected (low, high) with 0 < low < high for {name}"
    pair = limits if isinstance(limits, tuple | list) and len(limits) == 2 else ()
    found = [plain_number(limit) for limit in pair]
    low, high = (
        (as_float(number) for number in found if number is not None)
        if len(found) == 2 and None not in found
        else (
            math.nan,
            math.nan,
        )
    )
    if not 0 < low < high < math.inf:
        raise FitError(f"limits are {shown(limits)}, {expected}")
    # lmfit takes limits this close for one number.
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        raise FitError(f"limits are {shown(limits)}, which differ too little to search between them; widen them")
    return low, high
