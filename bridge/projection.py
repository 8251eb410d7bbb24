"""Exact profile of a curve family: for every value of the shape parameters the linear ones are solved, not searched.

What is left is a problem in log(theta) of one or two dimensions, scanned over its whole range and then refined. That
gives the global minimum, does not run away at a limit, and works on many curves (bootstrap replicates, curves with one
point left out, values of a profiled parameter) at once. The slow reference beside it is `bridge.optimiser`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .curves import Array, Family

_GRID = 240
# Two shape parameters: points along the rate and along the Hill coefficient.
_GRIDS = 96, 20
_MOST_STEPS = 80
# Elements of one array in a scan, to bound the memory.
_CHUNK = 4_000_000

Limits = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Held:
    """Parameters that each of r curves has to keep.

    offset, scale : [r], or None where they are free. theta : name of a shape parameter -> [r].
    """

    offset: Array | None = None
    scale: Array | None = None
    theta: Mapping[str, Array] | None = None


_NOTHING = Held()


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """Best linear parameters for given theta; every field is [r]."""

    offset: Array
    scale: Array
    residual_sum: Array


@dataclass(frozen=True, eq=False)
class Projected:
    """Best parameters of each of r curves.

    offset, scale, residual_sum : [r]; residual_sum is the (weighted) sum of squares. theta : [r, q].
    side : [r, q], -1 or +1 where theta sits at its lower or upper limit, else 0.
    """

    theta: Array
    offset: Array
    scale: Array
    residual_sum: Array
    side: NDArray[np.int64]


def solve_linear(
    family: Family, x: Array, y: Array, theta: Array, sigma: Array, rest: float, held: Held = _NOTHING
) -> LinearSolution:
    """Least-squares offset and scale for given theta.

    x : rates [n]; y : curves [r, n]; theta : [r, q]; sigma : standard deviation of the points [n] (ones if unweighted)
    or of each curve's points [r, n], infinite for a point that is left out; rest : the constant offset of families that
    do not fit one.
    """
    weight = sigma**-2
    shape = family.shape(x, *(theta[:, [j]] for j in range(theta.shape[1])))
    offset_is_free = family.offset == "free" and held.offset is None
    if offset_is_free:
        # Centred sums: for a small exponent the shape is nearly constant and the plain normal equations lose all
        # digits.
        total = weight.sum(axis=-1)
        shape_mean = (_sum(shape, weight) / total)[:, None]
        y_mean = (_sum(y, weight) / total)[:, None]
    else:
        shape_mean = np.zeros((len(theta), 1))
        y_mean = np.full((len(theta), 1), rest) if held.offset is None else held.offset[:, None]
    centred, target = shape - shape_mean, y - y_mean
    if held.scale is None:
        norm = _sum(centred**2, weight)
        scale = np.divide(_sum(centred * target, weight), norm, out=np.zeros_like(norm), where=norm > 0)
    else:
        scale = held.scale
    residual_sum = _sum((target - scale[:, None] * centred) ** 2, weight)
    return LinearSolution((y_mean - scale[:, None] * shape_mean)[:, 0], scale, residual_sum)


def project(
    family: Family, x: Array, y: Array, sigma: Array, rest: float, limits: Limits, held: Held = _NOTHING
) -> Projected:
    """Global least-squares fit of `family` to each row of `y` [r, n], theta within `limits`; shapes as in
    `solve_linear`."""
    names = family.nonlinears
    fixed = held.theta or {}
    free = [j for j, name in enumerate(names) if name not in fixed]
    theta = np.empty((len(y), len(names)))
    for j, name in enumerate(names):
        if name in fixed:
            theta[:, j] = fixed[name]
    side = np.zeros(theta.shape, dtype=np.int64)
    if free:
        grids = [
            np.linspace(np.log(limits[names[j]][0]), np.log(limits[names[j]][1]), size)
            for j, size in zip(free, (_GRID,) if len(free) == 1 else _GRIDS, strict=True)
        ]
        best = _scan(family, x, y, grids, free, theta, sigma, rest, held)
        refine = _refine_one if len(free) == 1 else _refine_two
        refine(family, x, y, grids, best, free, theta, side, sigma, rest, limits, held)
    solution = solve_linear(family, x, y, theta, sigma, rest, held)
    return Projected(theta, solution.offset, solution.scale, solution.residual_sum, side)


def _sum(values: Array, weight: Array) -> Array:
    """Weighted sums of the rows of `values` [r, n]."""
    total: Array = values @ weight if weight.ndim == 1 else (values * weight).sum(axis=-1)
    return total


def _scan(
    family: Family,
    x: Array,
    y: Array,
    grids: list[Array],
    free: list[int],
    theta: Array,
    sigma: Array,
    rest: float,
    held: Held,
) -> NDArray[np.intp]:
    """Index of the best point of the (product) grid for each row of y [r]: sums over points as matrix products."""
    points = np.stack([axis.ravel() for axis in np.meshgrid(*(np.exp(grid) for grid in grids), indexing="ij")], axis=-1)
    offset_is_free = family.offset == "free" and held.offset is None
    weight = np.broadcast_to(sigma**-2, y.shape)
    total = weight.sum(axis=1, keepdims=True)
    target = y - (rest if held.offset is None and family.offset == "rest" else 0.0)
    if held.offset is not None:
        target = y - held.offset[:, None]
    if offset_is_free:
        target = target - (target * weight).sum(axis=1, keepdims=True) / total
    shared = len(free) == theta.shape[1]
    rows = max(1, _CHUNK // (len(points) * (1 if shared else len(x))))
    best = np.empty(len(y), dtype=np.intp)
    shapes: Array = np.empty(0)
    for first in range(0, len(y), rows):
        part = slice(first, first + rows)
        w, t = weight[part], target[part]
        if shared:
            if first == 0:
                shapes = family.shape(x, *(points[:, [j]] for j in range(points.shape[1])))
                if offset_is_free:
                    shapes = shapes - (shapes @ weight[0] / total[0])[:, None]
            one, two, cross = w @ shapes.T, w @ (shapes**2).T, (w * t) @ shapes.T
        else:
            columns = [
                points[None, :, [free.index(j)]] if j in free else theta[part, j][:, None, None]
                for j in range(theta.shape[1])
            ]
            shapes = family.shape(x, *columns)
            if offset_is_free:
                shapes = shapes - np.einsum("rgn,rn->rg", shapes, w)[:, :, None] / total[part][:, :, None]
            one = np.einsum("rgn,rn->rg", shapes, w)
            two = np.einsum("rgn,rn->rg", shapes**2, w)
            cross = np.einsum("rgn,rn->rg", shapes, w * t)
        # The target is centred; the shapes are so up to the difference between the weights of the rows.
        norm = two - one**2 / total[part] if offset_is_free else two
        if held.scale is None:
            usable = norm > 1e-14 * np.maximum(two, 1e-300)
            explained = np.divide(cross**2, norm, out=np.zeros_like(norm), where=usable)
        else:
            scale = held.scale[part][:, None]
            explained = 2 * scale * cross - scale**2 * norm
        best[part] = np.argmax(explained, axis=1)
    return best


def _refine_one(
    family: Family,
    x: Array,
    y: Array,
    grids: list[Array],
    best: NDArray[np.intp],
    free: list[int],
    theta: Array,
    side: NDArray[np.int64],
    sigma: Array,
    rest: float,
    limits: Limits,
    held: Held,
) -> None:
    """Minimise over the one free column of `theta`; `theta` and `side` are filled in place."""
    from scipy.optimize.elementwise import find_minimum

    (grid,), (j,) = grids, free

    def objective(log_theta: Array, row: Array) -> Array:
        at = row.astype(int)
        tried = theta[at].copy()
        tried[:, j] = np.exp(log_theta)
        sub = Held(
            None if held.offset is None else held.offset[at], None if held.scale is None else held.scale[at], None
        )
        errors = sigma if sigma.ndim == 1 else sigma[at]
        return solve_linear(family, x, y[at], tried, errors, rest, sub).residual_sum

    theta[:, j] = np.exp(grid[best])
    rows = np.arange(len(y))
    step = grid[1] - grid[0]
    # A minimum in the first or last interval of the grid is interior only if the objective falls when leaving the
    # limit.
    inner = np.clip(grid[best], grid[0] + 1e-6 * step, grid[-1] - 1e-6 * step)
    lower, upper = np.maximum(inner - step, grid[0]), np.minimum(inner + step, grid[-1])
    found = find_minimum(objective, (lower, inner, upper), args=(rows,), tolerances={"xatol": 1e-10})
    # An invalid bracket means that the grid point itself is the minimum to the precision of the data.
    at = np.where(found.success, 0, np.where(best == 0, -1, np.where(best == len(grid) - 1, 1, 0)))
    value = np.exp(np.where(found.success, found.x, grid[best]))
    low, high = limits[family.nonlinears[j]]
    theta[:, j] = np.where(at < 0, low, np.where(at > 0, high, value))
    side[:, j] = at


def _refine_two(
    family: Family,
    x: Array,
    y: Array,
    grids: list[Array],
    best: NDArray[np.intp],
    free: list[int],
    theta: Array,
    side: NDArray[np.int64],
    sigma: Array,
    rest: float,
    limits: Limits,
    held: Held,
) -> None:
    """Minimise over two shape parameters by damped Gauss-Newton steps in log(theta), all rows at once, in place.

    The linear parameters are solved anew at each step (variable projection with the simplification of Kaufman 1975).
    """
    low = np.array([grid[0] for grid in grids])
    high = np.array([grid[-1] for grid in grids])
    indices = np.unravel_index(best, [len(grid) for grid in grids])
    at = np.stack([grid[index] for grid, index in zip(grids, indices, strict=True)], axis=-1)
    offset_is_free = family.offset == "free" and held.offset is None
    weight = np.broadcast_to(sigma**-2, y.shape)

    def part(rows: NDArray[np.intp]) -> tuple[Array, Held]:
        return (sigma if sigma.ndim == 1 else sigma[rows]), Held(
            None if held.offset is None else held.offset[rows], None if held.scale is None else held.scale[rows]
        )

    def steps(rows: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        """Residual sum [m], gradient [m, 2] and normal matrix [m, 2, 2] in log(theta)."""
        values = np.exp(at[rows])
        errors, sub = part(rows)
        found = solve_linear(family, x, y[rows], values, errors, rest, sub)
        columns = [values[:, [j]] for j in range(2)]
        shape = family.shape(x, *columns)
        w = weight[rows]
        residual = y[rows] - found.offset[:, None] - found.scale[:, None] * shape
        total = w.sum(axis=1, keepdims=True)
        if offset_is_free:
            shape = shape - (shape * w).sum(axis=1, keepdims=True) / total
        slopes = []
        for column, slope in zip(columns, family.derivatives(x, *columns), strict=True):
            slope = found.scale[:, None] * slope * column
            if offset_is_free:
                slope = slope - (slope * w).sum(axis=1, keepdims=True) / total
            if held.scale is None:
                norm = (shape**2 * w).sum(axis=1, keepdims=True)
                share = (slope * shape * w).sum(axis=1, keepdims=True)
                slope = slope - shape * np.divide(share, norm, out=np.zeros_like(norm), where=norm > 0)
            slopes.append(slope)
        jacobian = np.stack(slopes, axis=-1)
        gradient = np.einsum("rnj,rn->rj", jacobian, w * residual)
        normal = np.einsum("rni,rn,rnj->rij", jacobian, w, jacobian)
        return found.residual_sum, gradient, normal

    active = np.arange(len(y))
    damping = np.full(len(y), 1e-3)
    for _ in range(_MOST_STEPS):
        residual_sum, gradient, normal = steps(active)
        stuck = ((at[active] <= low) & (gradient < 0)) | ((at[active] >= high) & (gradient > 0))
        gradient = np.where(stuck, 0.0, gradient)
        diagonal = np.einsum("rii->ri", normal).copy()
        scale = np.where(stuck, 1.0, np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300))
        off = np.where(stuck.any(axis=1), 0.0, normal[:, 0, 1] / np.sqrt(scale[:, 0] * scale[:, 1]))
        g = gradient / np.sqrt(scale)
        a = 1 + damping[active]
        determinant = np.maximum(a**2 - off**2, 1e-300)
        move = np.stack([a * g[:, 0] - off * g[:, 1], a * g[:, 1] - off * g[:, 0]], axis=-1)
        move = np.clip(move / determinant[:, None] / np.sqrt(scale), -1.0, 1.0)
        before = at[active]
        after = np.clip(before + move, low, high)
        at[active] = after
        errors, sub = part(active)
        tried = solve_linear(family, x, y[active], np.exp(after), errors, rest, sub).residual_sum
        better = tried <= residual_sum
        at[active] = np.where(better[:, None], after, before)
        damping[active] = np.where(better, damping[active] * 0.2, damping[active] * 8)
        size = np.abs(after - before).max(axis=1)
        done = (better & (size < 1e-10)) | (damping[active] > 1e12)
        done |= better & (residual_sum - tried <= 1e-15 * residual_sum) & (size < 1e-6)
        active = active[~done]
        if not len(active):
            break
    for column, j in enumerate(free):
        lower, upper = limits[family.nonlinears[j]]
        side[:, j] = np.where(at[:, column] <= low[column], -1, np.where(at[:, column] >= high[column], 1, 0))
        theta[:, j] = np.where(side[:, j] < 0, lower, np.where(side[:, j] > 0, upper, np.exp(at[:, column])))
