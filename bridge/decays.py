"""Time constants of a response that decays as a sum of exponentials.

    y(t) = sum_k A_k exp(-t / tau_k)

A single first-order process after a jump is one term; a cascade of two (2-AG drives IP3) is two terms of opposite sign, one
for the rise and one for the decay. Constants that are known already, those of the process that drives this one, can be held.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from biosim.messages import shown

from .checks import FitError, whole_number
from .curves import Array
from .measure import numbers
from .optimiser import OptimiserError, Optimum, least_squares

MOST_CONSTANTS = 2
# A sum of exponentials that misses by more than this share of the peak, in one direction for a while, is another shape.
_LARGEST_MISFIT = 0.02
_CORRELATED = 0.5
# Closer to each other, two exponentials are t exp(-t/tau) to the digits of any data.
_APART = 1.02
_GRID = 14


@dataclass(frozen=True, eq=False)
class DecayFit:
    """Exponentials fitted to a response.

    constants : time constants that were free, the slowest first, s; stderr : their standard errors, s.
    held : constants that were given, s. amplitudes : of `constants`, then of `held`, in the unit of the response.
    misfit : root mean square residual over the greatest absolute value.
    """

    constants: tuple[float, ...]
    stderr: tuple[float, ...]
    held: tuple[float, ...]
    amplitudes: tuple[float, ...]
    misfit: float

    def predict(self, time: ArrayLike) -> Array:
        """The fitted response at `time` (s, any shape) after the first point's zero of time."""
        t = numbers("time", time)
        taus = (*self.constants, *self.held)
        total: Array = np.sum(
            [a * np.exp(-t / tau) for a, tau in zip(self.amplitudes, taus, strict=True)], axis=0, dtype=np.float64
        )
        return total


def fit_decays(
    time: ArrayLike, values: ArrayLike, n_constants: int = 1, *, held: Sequence[float] = (), what: str = "response"
) -> DecayFit:
    """Fit `n_constants` free time constants to `values` [n] above the resting level at `time` [n] (s, from 0 or later).

    The standard error is that of least squares, enlarged where the same fit without the last third of the time, or without
    the first third of the points, gives constants that lie further apart than chance would have them: the shape is then not
    quite a sum of exponentials, as in a response that is only nearly linear.

    Raises
    ------
    FitError
        Not numbers in rows of one length, times that do not increase, too few points, a response that is zero, that does not
        have this shape, or that does not fix the constants: "not identifiable", with the reason.
    """
    t, y, known = _checked(time, values, n_constants, held, what)
    fitted = _fit(t, y, n_constants, known, what)
    stderr = fitted.stderr
    # Densely sampled starts count by their points, long tails by their time.
    for kept in (t <= t[0] + (t[-1] - t[0]) * 2 / 3, np.arange(t.size) >= t.size // 3):
        try:
            part = _fit(t[kept], y[kept], n_constants, known, what, near=fitted)
        except FitError:
            # This part of the record does not fix the constants; with the rest, it does.
            continue
        stderr = tuple(
            # The difference of the two fits has, without misfit, the variance part - all.
            max(error, math.sqrt(se**2 + max((tau - other) ** 2 - max(part_se**2 - se**2, 0.0), 0.0)))
            for error, tau, se, other, part_se in zip(
                stderr, fitted.constants, fitted.stderr, part.constants, part.stderr, strict=True
            )
        )
    return DecayFit(fitted.constants, stderr, fitted.held, fitted.amplitudes, fitted.misfit)


def _checked(
    time: ArrayLike, values: ArrayLike, n_constants: int, held: Sequence[float], what: str
) -> tuple[Array, Array, tuple[float, ...]]:
    n = whole_number("n_constants", n_constants, 1, MOST_CONSTANTS)
    t, y = numbers("time", time), numbers(what, values)
    if t.ndim != 1 or t.shape != y.shape:
        raise FitError(f"{what}: time has shape {t.shape} and values {y.shape}, expected two rows of one length")
    if not (np.isfinite(t).all() and np.isfinite(y).all()):
        raise FitError(f"{what}: holds values that are not finite; remove those points")
    if np.any(np.diff(t) <= 0) or (t.size and t[0] < 0):
        raise FitError(f"{what}: time has to increase from 0 or later; sort the points")
    known = tuple(float(v) for v in np.atleast_1d(numbers("held", held if len(held) else np.empty(0))))
    if not all(math.isfinite(tau) and tau > 0 for tau in known):
        raise FitError(f"held = {shown(list(held))}: expected time constants above 0 s")
    fewest = 2 * n + len(known) + 2
    if t.size < fewest:
        raise FitError(f"{what}: has {t.size} points, expected at least {fewest} for {n} time constants; record more")
    if not np.abs(y).max() > 0:
        raise FitError(f"{what}: is zero throughout, so it has no time constant; give a larger impulse")
    return t, y, known


def _fit(t: Array, y: Array, n: int, held: tuple[float, ...], what: str, near: DecayFit | None = None) -> DecayFit:
    """`near` is a fit to more of the same points, from which to start."""
    scale = float(np.abs(y).max())
    fewest = 2 * n + len(held) + 2
    if t.size < fewest or scale == 0:
        raise FitError(f"{what}: not identifiable, too few points")
    span = float(t[-1] - t[0])
    best: Optimum | None = None
    for start in _starts(t, y / scale, n, held) if near is None else [_start(t, y / scale, near.constants, held)]:
        try:
            found = _refine(t, y / scale, start, held)
        except OptimiserError:
            continue
        if best is None or found.residual_sum < best.residual_sum:
            best = found
    if best is None:
        raise FitError(f"{what}: not identifiable, no exponential decay fits it")
    names = [f"log_tau{i}" for i in range(n)]
    constants = [math.exp(best.values[name]) for name in names]
    residual = _residual(best.values, t, y / scale, n, held)
    misfit = float(np.sqrt(np.mean(residual**2)))
    correlation = _neighbours(residual)
    if misfit > _LARGEST_MISFIT and correlation > _CORRELATED:
        raise FitError(
            f"{what}: not identifiable, {n + len(held)} exponentials miss it by {100 * misfit:.1f} % of its peak and "
            "systematically; the response is not linear, give a smaller impulse"
        )
    # Below rounding, residuals say nothing about errors.
    freedom = t.size - (2 * n + len(held))
    variance = max(best.residual_sum / freedom, np.finfo(float).eps ** 2)
    if best.covariance is None:
        raise FitError(f"{what}: not identifiable, its points do not tell {n} time constants apart")
    errors = [
        tau * math.sqrt(variance * best.covariance[best.free.index(name), best.free.index(name)])
        for tau, name in zip(constants, names, strict=True)
    ]
    every = sorted([*constants, *held])
    for low, high in itertools.pairwise(every):
        if high < _APART * low:
            raise FitError(
                f"{what}: not identifiable, two time constants fall together at {high:.4g} s; fit fewer of them"
            )
    for tau, error in zip(constants, errors, strict=True):
        if not error < 0.5 * tau:
            raise FitError(f"{what}: not identifiable, time constant {tau:.4g} s has the standard error {error:.2g} s")
        if tau > 3 * span:
            raise FitError(
                f"{what}: not identifiable, time constant {tau:.4g} s from a record of {span:.4g} s; record longer"
            )
    order = sorted(range(n), key=lambda i: -constants[i])
    amplitudes = [best.values[f"a{i}"] * scale for i in (*order, *range(n, n + len(held)))]
    return DecayFit(
        tuple(constants[i] for i in order), tuple(errors[i] for i in order), held, tuple(amplitudes), misfit
    )


def _starts(t: Array, y: Array, n: int, held: tuple[float, ...]) -> list[dict[str, float]]:
    """The two best points of a grid of time constants, each with its best amplitudes."""
    step = float(np.diff(t).min())
    grid = np.geomspace(max(step, 1e-4 * (t[-1] - t[0])) / 2, 2 * (t[-1] - t[0]), _GRID * n)
    found = []
    for taus in itertools.combinations(grid, n):
        basis = np.exp(-t[:, None] / np.array([*taus, *held]))
        amplitudes, *_ = np.linalg.lstsq(basis, y, rcond=None)
        found.append((float(np.sum((y - basis @ amplitudes) ** 2)), taus))
    found.sort()
    return [_start(t, y, taus, held) for _, taus in found[:2]]


def _start(t: Array, y: Array, taus: tuple[float, ...], held: tuple[float, ...]) -> dict[str, float]:
    """Time constants with the amplitudes that suit them best."""
    amplitudes, *_ = np.linalg.lstsq(np.exp(-t[:, None] / np.array([*taus, *held])), y, rcond=None)
    shapes = {f"log_tau{i}": math.log(tau) for i, tau in enumerate(taus)}
    return shapes | {f"a{i}": float(a) for i, a in enumerate(amplitudes)}


def _refine(t: Array, y: Array, start: dict[str, float], held: tuple[float, ...]) -> Optimum:
    n = sum(name.startswith("log_tau") for name in start)
    limit = math.log(1e3 * (t[-1] - t[0]))
    bounds = {f"log_tau{i}": (-30.0, limit) for i in range(n)}

    def jacobian(values: dict[str, float]) -> Array:
        taus = [math.exp(values[f"log_tau{i}"]) for i in range(n)]
        basis = [np.exp(-t / tau) for tau in (*taus, *held)]
        slopes = [values[f"a{i}"] * basis[i] * t / taus[i] for i in range(n)]
        columns: Array = np.stack([*slopes, *basis], axis=1)
        return columns

    return least_squares(lambda values: _residual(values, t, y, n, held), jacobian, start, bounds)


def _residual(values: dict[str, float], t: Array, y: Array, n: int, held: tuple[float, ...]) -> Array:
    taus = [*(math.exp(values[f"log_tau{i}"]) for i in range(n)), *held]
    model = np.zeros_like(t)
    for i, tau in enumerate(taus):
        model += values[f"a{i}"] * np.exp(-t / tau)
    return model - y


def _neighbours(residual: Array) -> float:
    total = float(residual @ residual)
    return float(residual[1:] @ residual[:-1]) / total if total > 0 else 0.0
