"""Fit of one curve family, with everything needed to judge it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .curves import Array, Family, family_named
from .measure import Curve
from .optimiser import OptimiserError, Optimum, least_squares
from .profile import profile_interval
from .projection import Projected, project


class FitError(ValueError):
    """A fit that the data cannot support."""


@dataclass(frozen=True)
class Estimate:
    """A fitted parameter.

    stderr, low, high : standard error and ends of the confidence interval; None where there is none. A parameter at a
        limit has no standard error and an interval that is open on that side.
    at_bound : "lower" or "upper" if the best value is a limit of the searched range, else None.
    """

    name: str
    unit: str
    value: float
    stderr: float | None
    low: float | None
    high: float | None
    at_bound: Literal["lower", "upper"] | None = None


@dataclass(frozen=True, eq=False)
class Fit:
    """A family fitted to a curve.

    parameters : estimates by name, in the order of the family.
    parameter_order, covariance : names and covariance matrix of the parameters that were free; None if it is singular.
    limits : searched range of the nonlinear parameter.
    r_squared : 1 - residual sum / total sum of squares about the mean (weighted if the fit is).
    aic, aicc : information criteria, up to a constant of the data. Unweighted, the unknown variance of the points
        counts as a parameter. aicc is infinite where the points are too few for it to exist.
    residual_sum, rmse : (weighted) sum of squares; root mean square residual in uM.
    residual_correlation : correlation of neighbouring residuals; near 1 the points are not independent observations and
        intervals and Akaike weights look sharper than they are.
    n_starts, n_agreeing : additional starts of the optimiser, and how many of them ended at the reported minimum.
    notes : what a reader of the numbers has to know.
    """

    family: Family
    curve: Curve
    parameters: Mapping[str, Estimate]
    parameter_order: tuple[str, ...]
    covariance: Array | None
    level: float
    weighted: bool
    limits: tuple[float, float]
    r_squared: float
    aic: float
    aicc: float
    residual_sum: float
    rmse: float
    residual_correlation: float
    n_starts: int
    n_agreeing: int
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, float]:
        return {name: estimate.value for name, estimate in self.parameters.items()}

    @property
    def at_bound(self) -> bool:
        return any(estimate.at_bound for estimate in self.parameters.values())

    def predict(self, x: ArrayLike) -> Array:
        """Fitted curve (uM) at input rates `x` (Hz, any shape).

        Raises
        ------
        FitError
            A rate is negative, NaN or infinite.
        """
        rates = np.asarray(x, dtype=np.float64)
        if not np.all(np.isfinite(rates) & (rates >= 0)):
            raise FitError("predict: rates must be finite and 0 Hz or more; correct them")
        predicted: Array = self.family.evaluate(rates, self.values, self.curve.resting_calcium)
        return predicted

    def report(self) -> str:
        """The fit as plain text."""
        lines = [f"{self.family.name}: {self.family.equation}   ({self.curve.source or 'no source given'})"]
        for estimate in self.parameters.values():
            error = "no standard error" if estimate.stderr is None else f"+- {estimate.stderr:.3g}"
            low = "open" if estimate.low is None else f"{estimate.low:.4g}"
            high = "open" if estimate.high is None else f"{estimate.high:.4g}"
            bound = f"  at its {estimate.at_bound} limit" if estimate.at_bound else ""
            lines.append(
                f"  {estimate.name:6s} {estimate.value:12.6g} {error:18s} [{low}, {high}] {estimate.unit}{bound}"
            )
        lines.append(
            f"  R2 {self.r_squared:.5f}   AICc {self.aicc:.2f}   RMSE {self.rmse:.3g} {self.curve.y_unit}   "
            f"{self.curve.n_points} points"
        )
        lines.extend(f"  note: {note}" for note in self.notes)
        return "\n".join(lines)


def fit(
    curve: Curve,
    family: str | Family,
    *,
    weighted: bool = False,
    level: float = 0.95,
    n_starts: int = 8,
    seed: int = 0,
    limits: tuple[float, float] | None = None,
) -> Fit:
    """Least-squares fit of `family` to `curve`.

    The start is the global minimum of the exact profile; lmfit refines it and is also run from `n_starts` Sobol
    points (drawn with `seed`) as a check. A nonlinear parameter that ends at a limit is held there: it then has no
    standard error and a one-sided profile interval, and the errors of the others are those given that value.

    Parameters
    ----------
    family : identifier (see `bridge.curves.FAMILIES`) or a `Family`.
    weighted : weight the points by their standard error, taken as known (errors are then not scaled by the residuals).
    level : confidence level of all intervals (Student t).
    limits : searched range of the nonlinear parameter instead of the family's own.

    Raises
    ------
    UnknownName
        Unknown family.
    FitError
        Too few points, constant data, impossible level or limits.
    MissingRest, CurveError
        The family needs the resting calcium, or weights need a spread, that the curve does not have.
    """
    chosen = family_named(family)
    _check(curve, chosen, level, limits)
    rest = chosen.fixed_offset(curve.resting_calcium)
    sigma = curve.standard_error() if weighted else np.ones(curve.n_points)
    searched = limits or chosen.limits(curve.x)
    projected = project(chosen, curve.x, curve.y[None, :], sigma, rest, searched)
    problem = _Problem(chosen, curve, sigma, searched)
    side = int(projected.side[0])
    best = problem.solve(_values(chosen, projected), fixed=(chosen.nonlinear,) if side else ())
    # Held at its limit the rest is linear and has one minimum: other starts could only creep towards the same limit.
    starts = [] if side else problem.sobol_starts(n_starts, seed)
    others = [optimum for start in starts if (optimum := problem.try_to_solve(start)) is not None]
    # Two minima are the same if their residual sums agree to rounding, seen against the total variation of the data.
    slack = 1e-6 * best.residual_sum + 1e-12 * problem.total_sum
    better = min(others, key=lambda other: other.residual_sum, default=best)
    if better.residual_sum < best.residual_sum - slack:
        best = better
    n_agreeing = sum(other.residual_sum <= best.residual_sum + slack for other in others)
    return problem.summary(best, side, level, weighted, len(starts), n_agreeing)


def _check(curve: Curve, family: Family, level: float, limits: tuple[float, float] | None) -> None:
    n_parameters = len(family.parameters)
    if curve.n_points <= n_parameters:
        raise FitError(
            f"family {family.name!r} has {n_parameters} parameters and the curve {curve.n_points} points, so "
            "nothing is left to judge the fit by; add points or choose a family with fewer parameters"
        )
    if np.ptp(curve.y) <= 1e-12 * np.max(np.abs(curve.y)):
        raise FitError(
            f"{curve.y_name} is constant ({curve.y[0]:g} {curve.y_unit}): the parameters of {family.name!r} are not "
            "identifiable; check the input rates and the variable"
        )
    if not 0 < level < 1:
        raise FitError(f"level is {level}, expected a number between 0 and 1 such as 0.95")
    if limits is not None and not (0 < limits[0] < limits[1] < math.inf):
        raise FitError(f"limits are {limits}, expected 0 < low < high")


def _values(family: Family, projected: Projected) -> dict[str, float]:
    values = {"b": float(projected.scale[0]), family.nonlinear: float(projected.theta[0])}
    return {"c": float(projected.offset[0]), **values} if family.offset == "free" else values


@dataclass(frozen=True, eq=False)
class _Problem:
    """One curve, one family, one weighting."""

    family: Family
    curve: Curve
    sigma: Array
    limits: tuple[float, float]

    @property
    def total_sum(self) -> float:
        """Weighted sum of squares about the weighted mean."""
        weight = self.sigma**-2
        mean = np.sum(weight * self.curve.y) / np.sum(weight)
        return float(np.sum(weight * (self.curve.y - mean) ** 2))

    def residual(self, values: Mapping[str, float]) -> Array:
        fitted = self.family.evaluate(self.curve.x, values, self.curve.resting_calcium)
        scaled: Array = (fitted - self.curve.y) / self.sigma
        return scaled

    def jacobian(self, values: Mapping[str, float]) -> Array:
        scaled: Array = self.family.jacobian(self.curve.x, values) / self.sigma[:, None]
        return scaled

    def solve(self, start: dict[str, float], fixed: tuple[str, ...] = ()) -> Optimum:
        return least_squares(
            self.residual,
            self.jacobian,
            {name: start[name] for name in self.family.parameter_names},
            {self.family.nonlinear: self.limits},
            fixed,
        )

    def try_to_solve(self, start: dict[str, float]) -> Optimum | None:
        """The minimum reached from a random start; None where the curve is flat there and nothing can be reached."""
        try:
            return self.solve(start)
        except OptimiserError:
            return None

    def sobol_starts(self, n: int, seed: int) -> list[dict[str, float]]:
        """Starts spread over theta (logarithmically), offset and scale (over the range of the data)."""
        from scipy.stats import qmc

        if n == 0:
            return []
        points = qmc.Sobol(d=3, rng=np.random.default_rng(seed)).random_base2(math.ceil(math.log2(n)))[:n]
        low, high = np.log(self.limits)
        y, span = self.curve.y, float(np.ptp(self.curve.y))
        starts = []
        for u, v, w in points:
            theta = math.exp(low + (high - low) * (0.02 + 0.96 * u))
            # The scale is drawn so that the curve rises by 0.1 to 3 times the range of the data, whatever theta is.
            shape = self.family.shape(self.curve.x, theta)
            rise = span * 10 ** (-1 + 1.5 * v) / max(float(np.ptp(shape)), 1e-300)
            starts.append({"c": float(y.min() + (2 * w - 1) * span), "b": rise, self.family.nonlinear: theta})
        return starts

    def summary(self, best: Optimum, side: int, level: float, weighted: bool, n_starts: int, n_agreeing: int) -> Fit:
        from scipy.special import stdtrit

        n, p = self.curve.n_points, len(self.family.parameters)
        scale = 1.0 if weighted else best.residual_sum / (n - p)
        covariance = None if best.covariance is None else best.covariance * scale
        # With known errors the estimates are normal; otherwise their variance is estimated on n - p degrees of freedom.
        quantile = float(stdtrit(math.inf if weighted else n - p, (1 + level) / 2))
        parameters: dict[str, Estimate] = {}
        for parameter in self.family.parameters:
            name, value = parameter.name, best.values[parameter.name]
            stderr: float | None = None
            low: float | None = None
            high: float | None = None
            if name not in best.free:
                interval = profile_interval(self.curve, self.family, level=level, weighted=weighted, limits=self.limits)
                low, high = interval.low, interval.high
            elif covariance is not None:
                i = best.free.index(name)
                stderr = math.sqrt(covariance[i, i])
                low, high = value - quantile * stderr, value + quantile * stderr
            at_bound: Literal["lower", "upper"] | None = None
            if name == self.family.nonlinear and side:
                at_bound = "lower" if side < 0 else "upper"
            parameters[name] = Estimate(name, parameter.unit, value, stderr, low, high, at_bound)

        residuals = self.residual(best.values)
        aic, aicc = _information(best.residual_sum, n, p, weighted, self.total_sum)
        correlation = _neighbour_correlation(residuals)
        return Fit(
            family=self.family,
            curve=self.curve,
            parameters=parameters,
            parameter_order=best.free,
            covariance=covariance,
            level=level,
            weighted=weighted,
            limits=self.limits,
            r_squared=1 - best.residual_sum / self.total_sum,
            aic=aic,
            aicc=aicc,
            residual_sum=best.residual_sum,
            rmse=float(np.sqrt(np.mean((residuals * self.sigma) ** 2))),
            residual_correlation=correlation,
            n_starts=n_starts,
            n_agreeing=n_agreeing,
            notes=self._notes(parameters, covariance, correlation, n_starts, n_agreeing),
        )

    def _notes(
        self,
        parameters: Mapping[str, Estimate],
        covariance: Array | None,
        correlation: float,
        n_starts: int,
        n_agreeing: int,
    ) -> tuple[str, ...]:
        notes = []
        theta = parameters[self.family.nonlinear]
        if theta.at_bound:
            notes.append(
                f"{theta.name} runs to its {theta.at_bound} limit {theta.value:g} {theta.unit}: not identifiable "
                "from this curve; the other errors hold for that value only"
            )
        elif n_starts and n_agreeing == 0:
            notes.append(f"none of {n_starts} random starts reached this minimum; the profile scan did")
        if covariance is None:
            notes.append("parameters are not identifiable: the derivatives are linearly dependent, no standard errors")
        elif theta.stderr is not None and theta.stderr > abs(theta.value):
            notes.append(f"{theta.name} is poorly identified: its standard error exceeds its value")
        if correlation > 0.5:
            notes.append(
                f"neighbouring residuals correlate ({correlation:.2f}): systematic misfit or points that are not "
                "independent, intervals look sharper than they are"
            )
        return tuple(notes)


def _information(residual_sum: float, n: int, p: int, weighted: bool, total_sum: float) -> tuple[float, float]:
    """AIC and AICc (Hurvich and Tsai 1989) up to a constant of the data."""
    # Below the rounding of the data residual sums carry no information; the floor keeps a perfect fit finite.
    floored = max(residual_sum, n * np.finfo(float).eps ** 2 * total_sum)
    k = p if weighted else p + 1
    aic = (floored if weighted else n * math.log(floored / n)) + 2 * k
    return aic, aic + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf


def _neighbour_correlation(residuals: Array) -> float:
    total = float(np.sum(residuals**2))
    return float(np.sum(residuals[1:] * residuals[:-1]) / total) if total > 0 else 0.0
