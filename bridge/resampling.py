"""Bootstrap of a fit: over trials where there are trials, over residuals where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .curves import Array, Family
from .fitting import Fit, FitError
from .measure import Curve
from .projection import project

Kind = Literal["trials", "residuals"]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Refits of resampled curves.

    kind : "trials" (trials drawn with replacement at each rate) or "residuals" (no trials: residuals of the fit drawn
        with replacement, which assumes independent errors and a correct family).
    samples : parameter name -> [n_resamples]. at_bound : share of refits whose nonlinear parameter sits at a limit.
    """

    family: Family
    kind: Kind
    samples: Mapping[str, Array]
    at_bound: float
    level: float
    resting_calcium: float | None = None

    @property
    def n_resamples(self) -> int:
        return len(self.samples["b"])

    def interval(self, parameter: str) -> tuple[float, float]:
        """Percentile interval of one parameter at `level`."""
        return percentile_interval(self.samples[parameter], self.level)

    def band(self, x: ArrayLike) -> tuple[Array, Array]:
        """Pointwise percentile band of the fitted curve at rates `x` [n] (Hz): low [n], high [n] in uM."""
        columns = {name: values[:, None] for name, values in self.samples.items()}
        curves = self.family.evaluate(np.asarray(x, dtype=np.float64), columns, self.resting_calcium)
        tail = (1 - self.level) / 2
        low, high = np.quantile(curves, [tail, 1 - tail], axis=0)
        return low, high


def percentile_interval(samples: Array, level: float) -> tuple[float, float]:
    """Central interval that holds the share `level` of `samples` [n]."""
    if not 0 < level < 1:
        raise FitError(f"level is {level}, expected a number between 0 and 1 such as 0.95")
    tail = (1 - level) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap(
    fitted: Fit, *, n_resamples: int = 1000, rng: np.random.Generator | int = 0, level: float = 0.95
) -> Bootstrap:
    """Bootstrap the fit `fitted`, with its own weighting.

    rng : a NumPy generator, which is advanced, or a seed.

    Raises
    ------
    FitError
        Fewer than 20 resamples: their quantiles mean nothing.
    """
    if n_resamples < 20:
        raise FitError(f"n_resamples is {n_resamples}, expected at least 20 (1000 for a 95 % interval)")
    curve, family = fitted.curve, fitted.family
    generator = np.random.default_rng(rng)
    sigma = curve.standard_error() if fitted.weighted else np.ones(curve.n_points)
    kind: Kind
    if curve.n_trials > 1:
        kind, y = "trials", resample_trials(curve, n_resamples, generator)
    else:
        freedom = curve.n_points - len(family.parameters)
        model = fitted.predict(curve.x)
        drawn = resample_residuals((curve.y - model) / sigma, freedom, n_resamples, generator)
        kind, y = "residuals", model + drawn * sigma
    rest = family.fixed_offset(curve.resting_calcium)
    found = project(family, curve.x, y, sigma, rest, fitted.limits)
    samples = {"b": found.scale, family.nonlinear: found.theta}
    if family.offset == "free":
        samples["c"] = found.offset
    return Bootstrap(
        family=family,
        kind=kind,
        samples={name: samples[name] for name in family.parameter_names},
        at_bound=float(np.mean(found.side != 0)),
        level=level,
        resting_calcium=curve.resting_calcium,
    )


def resample_trials(curve: Curve, n_resamples: int, generator: np.random.Generator) -> Array:
    """Mean curves [n_resamples, n] of trials drawn with replacement, independently at each rate.

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
    """Residuals [n] drawn with replacement: [n_resamples, n], centred and rescaled to the `freedom` left by the fit."""
    n = len(residuals)
    centred = (residuals - residuals.mean()) * np.sqrt(n / max(freedom, 1))
    drawn: Array = centred[generator.integers(n, size=(n_resamples, n))]
    return drawn
