"""Nonlinear least squares by lmfit, with the settings that reach full precision.

The defaults of lmfit stop early and can end in a wrong minimum on certified data (NIST StRD, BoxBOD and MGH09); the
settings here, with an analytic Jacobian, reach at least six certified digits. `nan_policy="propagate"` lets a trial
step that overflows be shortened, where the default would end the fit with an exception.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .curves import Array

Bounds = tuple[float, float]


class OptimiserError(ValueError):
    """A start from which the optimiser cannot move: the derivatives there vanish or overflow."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """A least-squares solution.

    values : all parameters; free : names of those that were varied, in the order of `covariance`.
    covariance : [n_free, n_free], inverse of J^T J, not scaled by the residuals; None if J^T J is singular.
    residual_sum : sum of squared residuals.
    """

    values: dict[str, float]
    free: tuple[str, ...]
    covariance: Array | None
    residual_sum: float


def least_squares(
    residual: Callable[[dict[str, float]], Array],
    jacobian: Callable[[dict[str, float]], Array],
    start: Mapping[str, float],
    bounds: Mapping[str, Bounds] | None = None,
    fixed: tuple[str, ...] = (),
    max_evaluations: int = 2000,
) -> Optimum:
    """Minimise the sum of squares of `residual(values)` [n] from `start`.

    jacobian : derivatives of the residual with respect to all parameters of `start`, in that order, [n, n_parameters].
    bounds : (low, high) by name, for those parameters that have them; fixed : names that keep their starting value.

    Raises
    ------
    OptimiserError
        The derivatives with respect to a free parameter are all zero, or not finite, at the start.
    """
    import lmfit

    names = tuple(start)
    free = tuple(name for name in names if name not in fixed)
    columns = [names.index(name) for name in free]
    parameters = lmfit.Parameters()
    for name, value in start.items():
        low, high = (bounds or {}).get(name, (-np.inf, np.inf))
        parameters.add(name, value=value, vary=name in free, min=low, max=high)

    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        norms = np.linalg.norm(jacobian(dict(start))[:, columns], axis=0)
        if not np.all(np.isfinite(norms) & (norms > 0)):
            raise OptimiserError(f"derivatives vanish or overflow at the start {dict(start)}")
        result = lmfit.minimize(
            lambda p: residual(p.valuesdict()),
            parameters,
            method="least_squares",
            jac=lambda p: jacobian(p.valuesdict())[:, columns],
            x_scale="jac",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
            max_nfev=max_evaluations,
            nan_policy="propagate",
            scale_covar=False,
        )
    values = {name: float(value) for name, value in result.params.valuesdict().items()}
    return Optimum(
        values, free, inverse_normal_matrix(jacobian(values)[:, columns]), float(np.sum(residual(values) ** 2))
    )


def inverse_normal_matrix(jacobian: Array) -> Array | None:
    """(J^T J)^-1 through scaled singular values, or None where the columns are linearly dependent."""
    scale = np.linalg.norm(jacobian, axis=0)
    if not np.all(np.isfinite(scale)) or np.any(scale == 0):
        return None
    _, singular, vectors = np.linalg.svd(jacobian / scale, full_matrices=False)
    if singular[-1] < singular[0] * 1e-13:
        return None
    half = vectors.T / singular
    inverse: Array = half @ half.T / np.outer(scale, scale)
    return inverse
