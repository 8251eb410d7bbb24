"""Bootstrap of a fit: over trials where there are trials, over residuals where there are none.

A spread that is itself estimated from few points or trials is too small as often as too large, and percentiles of the
resamples, like normal quantiles, leave that out: of 12 points they hold the truth in 91 instead of 95 % of all cases. They
are therefore stretched from the median by the ratio of Student's t to the normal quantile, with the degrees of freedom that
each estimate has. Where the resamples are normal that is the expanded percentile interval (Hesterberg 2015, American
Statistician 69:371), which takes percentiles further out instead; those of few trials end before that, as four trials have 35
different means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from biosim.registry import choose

from .checks import FitError, check_level, check_rates, check_resamples, random_generator
from .curves import Array, Family
from .fitting import Fit
from .measure import Curve
from .projection import project
from .weights import effective_freedom, point_errors

Kind = Literal["trials", "residuals"]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Refits of resampled curves.

    kind : what was drawn with replacement, and with it what is assumed.
        "trials": single trials, anew at each rate. Assumes that trials are independent, also between rates (those of a
        simulation have a random stream each); the spread may differ from rate to rate. The family may be wrong: its
        misfit is then the same in every refit and not part of the intervals.
        "residuals": residuals of the fit (no trials). Assumes a correct family and errors that are independent between
        points and equally distributed, or, in a weighted fit, so after division by their standard error. Neighbouring
        residuals of a digitised line or a systematic misfit break this, and the intervals come out too narrow;
        `Fit.residual_correlation` and the notes of the fit show it.
    samples : parameter name -> [n_resamples]. Rows belong together: the parameters of one refit are correlated, and
        intervals of single parameters do not combine to a region.
    at_bound : share of refits with a shape parameter at a limit.
    freedom : behind the spread of each estimate.
    """

    fitted: Fit
    kind: Kind
    samples: Mapping[str, Array]
    at_bound: float
    level: float
    freedom: Freedom

    @property
    def family(self) -> Family:
        return self.fitted.family

    @property
    def n_resamples(self) -> int:
        return len(self.samples["b"])

    @property
    def freedoms(self) -> dict[str, float]:
        """Degrees of freedom of each parameter; of one at its limit, which nothing moves, the fewest there can be."""
        free = self.fitted.parameter_order
        found = dict.fromkeys(self.samples, self.freedom.fewest)
        return found | dict(zip(free, map(float, self.freedom.of(np.eye(len(free)))), strict=True))

    def interval(self, parameter: str) -> tuple[float, float]:
        """Stretched percentile interval of one parameter at `level`.

        Raises
        ------
        UnknownName
            Not a parameter of the family.
        """
        choose(f"parameter of family {self.family.name!r}", parameter, self.samples)
        limits = self.fitted.limits.get(parameter)
        samples, freedom = self.samples[parameter], self.freedoms[parameter]
        if limits is None:
            return stretched_interval(samples, self.level, freedom)
        # Shapes are searched by their logarithm within limits, so that is also how they are stretched.
        low, high = np.exp(stretched_interval(np.log(samples), self.level, freedom))
        return max(float(low), limits[0]), min(float(high), limits[1])

    def band(self, x: ArrayLike) -> tuple[Array, Array]:
        """Pointwise stretched percentile band of the fitted curve at rates `x` [n] (Hz): low [n], high [n] in uM.

        Raises
        ------
        FitError
            A rate is negative, not a finite number, or above 1e9 Hz.
        """
        rates = np.atleast_1d(check_rates("band", x))
        columns = {name: values[:, None] for name, values in self.samples.items()}
        curves = self.family.evaluate(rates, columns, self.fitted.curve.resting_calcium)
        freedoms = self.freedom.of(_derivatives(self.fitted, rates))
        ends = [stretched_interval(c, self.level, f) for c, f in zip(curves.T, freedoms, strict=True)]
        low, high = np.array(ends).T
        return low, high


def stretched_interval(samples: Array, level: float, freedom: float) -> tuple[float, float]:
    """Percentile interval of `samples` [n], stretched from their median as Student's t with `freedom` is from the normal."""
    from scipy.special import ndtri, stdtrit

    tail = (1 - level) / 2
    # Of n resamples n + 1 gaps are equally likely to hold the truth; NumPy's default cuts the tails short by one.
    middle, low, high = np.quantile(samples, [0.5, tail, 1 - tail], method="weibull")
    stretch = float(stdtrit(freedom, tail) / ndtri(tail)) if tail < 0.5 else 1.0
    return float(middle + stretch * (low - middle)), float(middle + stretch * (high - middle))


@dataclass(frozen=True, eq=False)
class Freedom:
    """Degrees of freedom behind the spread of estimates.

    fewest : points minus parameters, or trials minus 1. sensitivity : derivative of each of p free parameters by each
    point, [p, n]; variances : of the points, each estimated with `fewest` degrees of freedom, [n]; None where the points
    have one variance in common, so that `fewest` holds for every estimate.
    """

    fewest: float
    sensitivity: Array
    variances: Array | None

    def of(self, derivatives: Array) -> Array:
        """Degrees of freedom of quantities with `derivatives` [..., p] by the free parameters: [...] (Satterthwaite)."""
        if self.variances is None:
            return np.full(derivatives.shape[:-1], self.fewest)
        return effective_freedom((derivatives @ self.sensitivity) ** 2 * self.variances, self.fewest)


def bootstrap(
    fitted: Fit,
    *,
    n_resamples: int = 1000,
    rng: np.random.Generator | int = 0,
    level: float = 0.95,
    kind: Kind | None = None,
) -> Bootstrap:
    """Bootstrap the fit `fitted`, with its own weighting, over `kind`: "trials", "residuals", or None for trials if its
    curve has at least two and residuals otherwise.

    What the two assume is told by `Bootstrap`. The weights of a weighted fit are kept, not estimated again.

    rng : a NumPy generator, which is advanced, or a seed.

    Raises
    ------
    UnknownName
        `kind` is neither of the two.
    FitError
        "trials" without at least two of them, fewer than 20 resamples (their quantiles mean nothing) or more than
        100 000, an impossible level or seed, or
        `fitted` is no Fit.
    """
    if not isinstance(fitted, Fit):
        raise FitError(f"expected a Fit, found {type(fitted).__name__}; make one with bridge.fit(curve, family)")
    check_resamples(n_resamples)
    check_level(level)
    curve, family = fitted.curve, fitted.family
    generator = random_generator(rng)
    sigma = point_errors(curve).sigma if fitted.weighted else np.ones(curve.n_points)
    if kind is None:
        kind = "trials" if curve.n_trials > 1 else "residuals"
    choose("kind of bootstrap", kind, ("trials", "residuals"))
    if kind == "trials":
        y = resample_trials(curve, n_resamples, generator)
    else:
        freedom = curve.n_points - len(family.parameters)
        model = fitted.predict(curve.x)
        drawn = resample_residuals((curve.y - model) / sigma, freedom, n_resamples, generator)
        y = model + drawn * sigma
    rest = family.fixed_offset(curve.resting_calcium)
    found = project(family, curve.x, y, sigma, rest, fitted.limits)
    samples = {"b": found.scale} | {name: found.theta[:, j] for j, name in enumerate(family.nonlinears)}
    if family.offset == "free":
        samples["c"] = found.offset
    return Bootstrap(
        fitted=fitted,
        kind=kind,
        samples={name: samples[name] for name in family.parameter_names},
        at_bound=float(np.mean(np.any(found.side != 0, axis=1))),
        level=level,
        freedom=_freedom(fitted, sigma, kind),
    )


def _freedom(fitted: Fit, sigma: Array, kind: Kind) -> Freedom:
    """What stands behind the estimates of a fit with point errors `sigma` [n]."""
    curve = fitted.curve
    slopes = _derivatives(fitted, curve.x) / sigma[:, None]
    sensitivity = np.linalg.pinv(slopes) / sigma
    if kind == "residuals":
        return Freedom(float(curve.n_points - len(fitted.parameters)), sensitivity, None)
    return Freedom(float(curve.n_trials - 1), sensitivity, trial_variances(curve))


def _derivatives(fitted: Fit, x: Array) -> Array:
    """Of the fitted curve at rates `x` [n] by the free parameters, [n, p]."""
    columns = [fitted.family.parameter_names.index(name) for name in fitted.parameter_order]
    found: Array = fitted.family.jacobian(x, fitted.values)[:, columns]
    return found


def trial_variances(curve: Curve) -> Array:
    """Variance of the mean of the trials at each rate, [n]."""
    assert curve.trials is not None
    found: Array = curve.trials.var(axis=1, ddof=1) / curve.n_trials
    return found


def resample_trials(curve: Curve, n_resamples: int, generator: np.random.Generator) -> Array:
    """Mean curves [n_resamples, n] of trials drawn with replacement, independently at each rate.

    The same trial number at two rates is taken for two unrelated trials, so a noise common to a whole trial is lost.
    The mean of resampled trials varies too little by the factor (n_trials - 1) / n_trials in variance, much for the few
    trials of a simulation; the deviations are rescaled so that their variance is sd**2 / n_trials.
    """
    if curve.trials is None or curve.n_trials < 2:
        raise FitError(f"curve has {curve.n_trials} trials, expected at least 2 to resample; simulate more trials")
    n_trials = curve.n_trials
    correction = np.sqrt(n_trials / (n_trials - 1))
    means = np.empty((n_resamples, curve.n_points))
    for i, row in enumerate(curve.trials):
        drawn = row[generator.integers(n_trials, size=(n_resamples, n_trials))].mean(axis=1)
        means[:, i] = curve.y[i] + correction * (drawn - curve.y[i])
    return means


def resample_residuals(residuals: Array, freedom: int, n_resamples: int, generator: np.random.Generator) -> Array:
    """Residuals [n] drawn with replacement: [n_resamples, n], centred and rescaled to the `freedom` left by the fit.

    Every point may get the residual of any other, independently of its neighbours.
    """
    n = len(residuals)
    centred = (residuals - residuals.mean()) * np.sqrt(n / max(freedom, 1))
    drawn: Array = centred[generator.integers(n, size=(n_resamples, n))]
    return drawn
