"""Fit of one curve family, with everything needed to judge it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from .checks import FitError, check_problem, check_rates, chosen_limits, random_generator, whole_number
from .curves import Array, Family, family_named
from .measure import Curve, expect_curve
from .optimiser import OptimiserError, Optimum, least_squares
from .profile import ProfileInterval, profile_interval
from .projection import Limits, Projected, project
from .weights import PointErrors, point_errors

if TYPE_CHECKING:
    from .resampling import Bootstrap

_MOST_STARTS = 1024


@dataclass(frozen=True)
class Estimate:
    """A fitted parameter.

    stderr, low, high : standard error and ends of the confidence interval, both from the covariance of the fit (see
        `fit` for what that assumes); None where there is none. A parameter at a limit has no standard error and a profile
        interval that is open on that side.
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
    limits : searched range of each shape parameter.
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
    limits: Limits
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

    @property
    def identifiable(self) -> bool:
        """Whether the data fix every parameter: none at a limit, derivatives independent, and all profile intervals
        closed. The notes say what is missing."""
        return (
            not self.at_bound
            and self.covariance is not None
            and all(interval.closed for interval in self.profiles.values())
        )

    @cached_property
    def profiles(self) -> Mapping[str, ProfileInterval]:
        """Profile-likelihood interval of every parameter at the `level` of the fit; computed when first asked for."""
        return {
            name: profile_interval(
                self.curve, self.family, name, level=self.level, weighted=self.weighted, limits=self.limits
            )
            for name in self.parameters
        }

    def predict(self, x: ArrayLike) -> Array:
        """Fitted curve (uM) at input rates `x` (Hz, any shape).

        Raises
        ------
        FitError
            A rate is negative, not a finite number, or above 1e9 Hz.
        """
        predicted: Array = self.family.evaluate(check_rates("predict", x), self.values, self.curve.resting_calcium)
        return predicted

    def records(self, bootstrap: Bootstrap | None = None) -> list[dict[str, str | float | None]]:
        """One row per parameter: plain values, ready for JSON or a table.

        Keys: parameter, unit, value, stderr, fit_low, fit_high (interval of the fit at its `level`), profile_low,
        profile_high (profile-likelihood interval at the same level; None where it is open), bootstrap_low,
        bootstrap_high (interval of `bootstrap` at its own `level`; None without one), at_bound ("lower",
        "upper" or None). None at one end of the fit's interval only: it is open there.

        Raises
        ------
        FitError
            `bootstrap` is of another family.
        """
        if bootstrap is not None and bootstrap.family.name != self.family.name:
            raise FitError(
                f"bootstrap is of family {bootstrap.family.name!r} and the fit of {self.family.name!r}; bootstrap this fit"
            )
        rows: list[dict[str, str | float | None]] = []
        for estimate in self.parameters.values():
            low, high = (None, None) if bootstrap is None else bootstrap.interval(estimate.name)
            rows.append(
                {
                    "parameter": estimate.name,
                    "unit": estimate.unit,
                    "value": estimate.value,
                    "stderr": estimate.stderr,
                    "fit_low": estimate.low,
                    "fit_high": estimate.high,
                    "profile_low": self.profiles[estimate.name].low,
                    "profile_high": self.profiles[estimate.name].high,
                    "bootstrap_low": low,
                    "bootstrap_high": high,
                    "at_bound": estimate.at_bound,
                }
            )
        return rows

    def report(self, bootstrap: Bootstrap | None = None) -> str:
        """The fit as plain text, with both intervals of each parameter (see `records`) if its `bootstrap` is given.

        Raises
        ------
        FitError
            `bootstrap` is of another family.
        """
        lines = [f"{self.family.name}: {self.family.equation}   ({self.curve.source or 'no source given'})"]
        for row in self.records(bootstrap):
            error = "no standard error" if row["stderr"] is None else f"+- {row['stderr']:.3g}"
            both = _interval(row["fit_low"], row["fit_high"])
            both = f"{both:24s} profile {_interval(row['profile_low'], row['profile_high'])}"
            if bootstrap is not None:
                both = f"{both:56s} bootstrap {_interval(row['bootstrap_low'], row['bootstrap_high'])}"
            unit = "" if row["unit"] == "1" else f" {row['unit']}"
            bound = f"  at its {row['at_bound']} limit" if row["at_bound"] else ""
            lines.append(f"  {row['parameter']:6s} {row['value']:12.6g} {error:18s} {both}{unit}{bound}")
        if bootstrap is not None:
            stuck = f", {bootstrap.at_bound:.1%} of them at a limit" if bootstrap.at_bound else ""
            lines.append(
                f"  intervals: {self.level:g} of the fit and its profile; "
                f"bootstrap {bootstrap.level:g} of {bootstrap.n_resamples} refits "
                f"with resampled {bootstrap.kind}{stuck}"
            )
        lines.append(
            f"  R2 {self.r_squared:.5f}   AICc {self.aicc:.2f}   RMSE {self.rmse:.3g} {self.curve.y_unit}   "
            f"{self.curve.n_points} points"
        )
        if not self.identifiable:
            open_ones = [name for name, interval in self.profiles.items() if not interval.closed]
            which = f": the interval of {', '.join(open_ones)} is open" if open_ones else ""
            lines.append(f"  not identifiable from this curve{which}")
        lines.extend(f"  note: {note}" for note in (*self.curve.notes, *self.notes))
        return "\n".join(lines)


def fit(
    curve: Curve,
    family: str | Family,
    *,
    weighted: bool = False,
    level: float = 0.95,
    n_starts: int = 8,
    seed: int = 0,
    limits: tuple[float, float] | Limits | None = None,
) -> Fit:
    """Least-squares fit of `family` to `curve`.

    The start is the global minimum of the exact profile; lmfit refines it and is also run from `n_starts` Sobol
    points (drawn with `seed`) as a check. A shape parameter that ends at a limit is held there: it then has no
    standard error and a one-sided profile interval, and the errors of the others are those given that value.

    Covariance, standard errors, intervals and information criteria assume that the family is right and that the errors
    of the points are independent, normal and, unless `weighted`, of equal size. They describe the parameters one by one;
    where those are correlated (offset and scale always are), use the covariance, not the intervals together.

    Parameters
    ----------
    family : identifier (see `bridge.curves.FAMILIES`) or a `Family`.
    weighted : weight the points by their standard error (errors of the parameters are then not scaled by the
        residuals): a given `sd` is taken as known, the spread between trials as estimated, see
        `bridge.weights`.
    level : confidence level of all intervals (Student t).
    limits : searched range of the shape parameter instead of the family's own; by name for those that differ, where
        the family has several.

    Raises
    ------
    UnknownName
        Unknown family.
    FitError
        Too few points, constant data, impossible level, limits, n_starts or seed, or derivatives that vanish.
    MissingRest, CurveError
        `curve` is no Curve, or the family needs the resting calcium, or weights need a spread, that it does not have.
    """
    chosen = family_named(family)
    curve = expect_curve(curve)
    check_problem(curve, chosen, level, limits)
    whole_number("n_starts", n_starts, 0, _MOST_STARTS)
    generator = random_generator(seed)
    rest = chosen.fixed_offset(curve.resting_calcium)
    errors = point_errors(curve) if weighted else None
    sigma = np.ones(curve.n_points) if errors is None else errors.sigma
    searched = chosen_limits(chosen, curve, limits)
    projected = project(chosen, curve.x, curve.y[None, :], sigma, rest, searched)
    problem = _Problem(chosen, curve, sigma, searched, errors)
    sides = {name: int(side) for name, side in zip(chosen.nonlinears, projected.side[0], strict=True) if side}
    try:
        best = problem.solve(_values(chosen, projected), fixed=tuple(sides))
        # With two shape parameters the other one may run to its limit once the first is free to move.
        for _ in chosen.nonlinears:
            reached = problem.at_limit(best)
            if not reached:
                break
            sides |= reached
            held = {name: searched[name][0 if side < 0 else 1] for name, side in sides.items()}
            best = problem.solve(best.values | held, fixed=tuple(sides))
    except OptimiserError as error:
        raise FitError(
            f"family {chosen.name!r} cannot be fitted to this curve: {error}; check the curve or choose another family"
        ) from None
    # Held at its limit the rest is linear and has one minimum: other starts could only creep towards the same limit.
    starts = [] if sides else problem.sobol_starts(n_starts, generator)
    others = [optimum for start in starts if (optimum := problem.try_to_solve(start)) is not None]
    # Two minima are the same if their residual sums agree to rounding, seen against the total variation of the data.
    slack = 1e-6 * best.residual_sum + 1e-12 * problem.total_sum
    better = min(others, key=lambda other: other.residual_sum, default=best)
    if better.residual_sum < best.residual_sum - slack and not problem.at_limit(better):
        best = better
    n_agreeing = sum(other.residual_sum <= best.residual_sum + slack for other in others)
    return problem.summary(best, sides, level, weighted, len(starts), n_agreeing)


def _interval(low: object, high: object) -> str:
    return f"[{'open' if low is None else format(low, '.4g')}, {'open' if high is None else format(high, '.4g')}]"


def _values(family: Family, projected: Projected) -> dict[str, float]:
    values = {"b": float(projected.scale[0])}
    values |= {name: float(theta) for name, theta in zip(family.nonlinears, projected.theta[0], strict=True)}
    return {"c": float(projected.offset[0]), **values} if family.offset == "free" else values


@dataclass(frozen=True, eq=False)
class _Problem:
    """One curve, one family, one weighting."""

    family: Family
    curve: Curve
    sigma: Array
    limits: Limits
    errors: PointErrors | None = None

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
            self.limits,
            fixed,
        )

    def try_to_solve(self, start: dict[str, float]) -> Optimum | None:
        """The minimum reached from a random start; None where the curve is flat there and nothing can be reached."""
        try:
            return self.solve(start)
        except OptimiserError:
            return None

    def at_limit(self, optimum: Optimum) -> dict[str, int]:
        """Free shape parameters that the optimiser left at a limit, with the side, -1 or +1."""
        found = {}
        for name, limits in self.limits.items():
            if name in optimum.free:
                low, high = np.log(limits)
                share = (math.log(optimum.values[name]) - low) / (high - low)
                if not 1e-7 < share < 1 - 1e-7:
                    found[name] = -1 if share < 0.5 else 1
        return found

    def sobol_starts(self, n: int, generator: np.random.Generator) -> list[dict[str, float]]:
        """Starts spread over theta (logarithmically), offset and scale (over the range of the data)."""
        from scipy.stats import qmc

        if n == 0:
            return []
        names = self.family.nonlinears
        points = qmc.Sobol(d=len(names) + 2, rng=generator).random_base2(math.ceil(math.log2(n)))[:n]
        y, span = self.curve.y, float(np.ptp(self.curve.y))
        starts = []
        for *along, v, w in points:
            theta = {}
            for name, u in zip(names, along, strict=True):
                low, high = np.log(self.limits[name])
                theta[name] = math.exp(low + (high - low) * (0.02 + 0.96 * u))
            # The scale is drawn so that the curve rises by 0.1 to 3 times the range of the data, whatever theta is.
            shape = self.family.shape(self.curve.x, *theta.values())
            rise = span * 10 ** (-1 + 1.5 * v) / max(float(np.ptp(shape)), 1e-300)
            starts.append({"c": float(y.min() + (2 * w - 1) * span), "b": rise, **theta})
        return starts

    def summary(
        self, best: Optimum, sides: Mapping[str, int], level: float, weighted: bool, n_starts: int, n_agreeing: int
    ) -> Fit:
        from scipy.special import stdtrit

        n, p = self.curve.n_points, len(self.family.parameters)
        covariance = best.covariance
        # With known errors the estimates are normal; otherwise their variance is estimated on n - p degrees of freedom.
        freedoms = np.full(len(best.free), math.inf if weighted else float(n - p))
        if covariance is not None and self.errors is not None:
            columns = [self.family.parameter_names.index(name) for name in best.free]
            derivatives = self.family.jacobian(self.curve.x, best.values)[:, columns]
            covariance, freedoms = self.errors.covariance(derivatives, covariance)
        elif covariance is not None:
            covariance = covariance * best.residual_sum / (n - p)
        quantiles = stdtrit(freedoms, (1 + level) / 2)
        parameters: dict[str, Estimate] = {}
        for parameter in self.family.parameters:
            name, value = parameter.name, best.values[parameter.name]
            stderr: float | None = None
            low: float | None = None
            high: float | None = None
            if name not in best.free:
                interval = profile_interval(
                    self.curve, self.family, name, level=level, weighted=weighted, limits=self.limits
                )
                low, high = interval.low, interval.high
            elif covariance is not None:
                i = best.free.index(name)
                stderr = math.sqrt(covariance[i, i])
                half = float(quantiles[i]) * stderr
                low, high = value - half, value + half
            at_bound: Literal["lower", "upper"] | None = None
            if name in sides:
                at_bound = "lower" if sides[name] < 0 else "upper"
            unit = self.curve.unit_of(parameter.unit)
            parameters[name] = Estimate(name, unit, value, stderr, low, high, at_bound)

        residuals = self.residual(best.values)
        aic, aicc = information(best.residual_sum, n, p, weighted, self.total_sum)
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
        shapes = [parameters[name] for name in self.family.nonlinears]
        for theta in shapes:
            if theta.at_bound:
                unit = "" if theta.unit == "1" else f" {theta.unit}"
                notes.append(
                    f"{theta.name} runs to its {theta.at_bound} limit {theta.value:g}{unit}: not identifiable "
                    "from this curve; the other errors hold for that value only"
                )
        if n_starts and n_agreeing == 0:
            notes.append(f"none of {n_starts} random starts reached this minimum; the profile scan did")
        if covariance is None:
            notes.append("parameters are not identifiable: the derivatives are linearly dependent, no standard errors")
        for theta in shapes:
            if theta.stderr is not None and theta.stderr > abs(theta.value):
                notes.append(f"{theta.name} is poorly identified: its standard error exceeds its value")
        if correlation > 0.5:
            notes.append(
                f"neighbouring residuals correlate ({correlation:.2f}): systematic misfit or points that are not "
                "independent, intervals look sharper than they are"
            )
        return tuple(notes)


def information(residual_sum: float, n: int, p: float, weighted: bool, total_sum: float) -> tuple[float, float]:
    """AIC and AICc (Hurvich and Tsai 1989) of `p` parameters and `n` points, up to a constant of the data."""
    # Below the rounding of the data residual sums carry no information; the floor keeps a perfect fit finite.
    floored = max(residual_sum, n * np.finfo(float).eps ** 2 * total_sum)
    k = p if weighted else p + 1
    aic = (floored if weighted else n * math.log(floored / n)) + 2 * k
    return aic, aic + 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else math.inf


def _neighbour_correlation(residuals: Array) -> float:
    total = float(np.sum(residuals**2))
    return float(np.sum(residuals[1:] * residuals[:-1]) / total) if total > 0 else 0.0
