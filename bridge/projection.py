"""Exact profile of a curve family: for every value of the nonlinear parameter the linear ones are solved, not searched.

What is left is a one-dimensional problem in log(theta), scanned over its whole range and then refined. That gives the
global minimum, does not run away at a limit, and works on many curves (bootstrap replicates) at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .curves import Array, Family

_GRID = 240


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """Best linear parameters for given theta; every field has the shape of theta."""

    offset: Array
    scale: Array
    residual_sum: Array


@dataclass(frozen=True, eq=False)
class Projected:
    """Best parameters of each of r curves.

    theta, offset, scale, residual_sum : [r]; residual_sum is the (weighted) sum of squares.
    side : [r], -1 or +1 where theta sits at its lower or upper limit, else 0.
    """

    theta: Array
    offset: Array
    scale: Array
    residual_sum: Array
    side: NDArray[np.int64]


def solve_linear(family: Family, x: Array, y: Array, theta: Array, sigma: Array, rest: float) -> LinearSolution:
    """Least-squares offset and scale for given theta.

    x : rates [n]; y : curves [r, n]; theta : [r]; sigma : standard deviation of the points [n] (ones if unweighted);
    rest : the constant offset of families that do not fit one.
    """
    weight = sigma**-2
    shape = family.shape(x, theta[:, None])
    if family.offset == "free":
        # Centred sums: for a small exponent the shape is nearly constant and the plain normal equations lose all
        # digits.
        total = weight.sum()
        shape_mean = (shape @ weight / total)[:, None]
        y_mean = (y @ weight / total)[:, None]
    else:
        shape_mean = np.zeros((len(theta), 1))
        y_mean = np.full((len(theta), 1), rest)
    centred, target = shape - shape_mean, y - y_mean
    norm = (centred**2) @ weight
    scale = np.divide((centred * target) @ weight, norm, out=np.zeros_like(norm), where=norm > 0)
    residual_sum = ((target - scale[:, None] * centred) ** 2) @ weight
    return LinearSolution((y_mean - scale[:, None] * shape_mean)[:, 0], scale, residual_sum)


def project(family: Family, x: Array, y: Array, sigma: Array, rest: float, limits: tuple[float, float]) -> Projected:
    """Global least-squares fit of `family` to each row of `y` [r, n], theta within `limits`; shapes as in
    `solve_linear`."""
    from scipy.optimize.elementwise import find_minimum

    grid = np.linspace(np.log(limits[0]), np.log(limits[1]), _GRID)
    best = _scan(family, x, y, np.exp(grid), sigma, rest)

    def objective(log_theta: Array, row: Array) -> Array:
        return solve_linear(family, x, y[row.astype(int)], np.exp(log_theta), sigma, rest).residual_sum

    rows = np.arange(len(y))
    step = grid[1] - grid[0]
    # A minimum in the first or last interval of the grid is interior only if the objective falls when leaving the
    # limit.
    inner = np.clip(grid[best], grid[0] + 1e-6 * step, grid[-1] - 1e-6 * step)
    lower, upper = np.maximum(inner - step, grid[0]), np.minimum(inner + step, grid[-1])
    found = find_minimum(objective, (lower, inner, upper), args=(rows,), tolerances={"xatol": 1e-10})
    # An invalid bracket means that the grid point itself is the minimum to the precision of the data.
    side = np.where(found.success, 0, np.where(best == 0, -1, np.where(best == _GRID - 1, 1, 0)))
    theta = np.exp(np.where(found.success, found.x, grid[best]))
    theta = np.where(side < 0, limits[0], np.where(side > 0, limits[1], theta))
    solution = solve_linear(family, x, y, theta, sigma, rest)
    return Projected(theta, solution.offset, solution.scale, solution.residual_sum, side)


def _scan(family: Family, x: Array, y: Array, grid: Array, sigma: Array, rest: float) -> NDArray[np.intp]:
    """Index of the best grid value for each row of y [r]: one matrix product for all rows and all grid values."""
    shapes = family.shape(x, grid[:, None]) / sigma
    targets = (y - rest if family.offset == "rest" else y) / sigma
    if family.offset == "free":
        constant = (1 / sigma) / np.linalg.norm(1 / sigma)
        shapes = shapes - np.outer(shapes @ constant, constant)
        targets = targets - np.outer(targets @ constant, constant)
    norms = np.linalg.norm(shapes, axis=1, keepdims=True)
    directions = np.divide(shapes, norms, out=np.zeros_like(shapes), where=norms > 0)
    explained = (targets @ directions.T) ** 2
    return np.argmax(explained, axis=1)
