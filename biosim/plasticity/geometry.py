"""Where the synapses lie, and how strongly neighbouring astrocyte processes are coupled.

    T_ijkl = strength exp(-scale |r_ij - r_kl|) / norm,     T_ijij = 0

RMAAT (arXiv 2601.00426) says of T that it falls with the distance between synapses; the exponential is that of its position
code, the rest is chosen here. norm is the mean over synapses of the sum of all exponentials that a synapse receives
("mean"), so that the strength means the same for any number of synapses and T stays symmetric; or each synapse's own sum
("rows"), which makes every synapse receive alike and so removes what distance does to a uniformly driven network; or 1.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from .. import memory
from ..checks import numbers
from ..ensemble import Array, SimulationError
from ..messages import shown
from ..registry import choose
from .parameters import Norm, PlasticityParameters

GEOMETRIES = ("grid", "line", "equal", "custom")


def distances(geometry: str, n_neurons: int, positions: Any = None) -> Array:
    """Distances between all synapses, [N^2, N^2], in the unit of the positions.

    Parameters
    ----------
    geometry : ``grid`` (synapse ij at the point (i, j)), ``line`` (one after the other, i N + j), ``equal`` (any two synapses
        at distance 1) or ``custom``.
    positions : of the geometry custom: [N^2] points of a line or [N^2, D], synapse ij in row i N + j.

    Raises
    ------
    SimulationError, UnknownName
        The geometry is unknown, positions are missing, superfluous or of a wrong shape, or they do not fit in memory.
    """
    choose("geometry", geometry, GEOMETRIES)
    n = n_neurons**2
    memory.require(
        32.0 * float(n) ** 2,
        f"n_neurons = {n_neurons}: the coupling of {n} synapses",
        "lower n_neurons",
        SimulationError,
    )
    if (positions is None) == (geometry == "custom"):
        raise SimulationError(
            f"positions = {shown(positions)} with geometry = {geometry!r}: give both geometry = 'custom' and positions, or "
            "neither"
        )
    if geometry == "equal":
        return np.ones((n, n)) - np.eye(n)
    index = np.arange(n, dtype=np.float64)
    if geometry == "grid":
        points = np.stack([index // n_neurons, index % n_neurons], axis=1)
    elif geometry == "line":
        points = index[:, None]
    else:
        points = custom_points(positions, n_neurons)
    total = np.zeros((n, n))
    for axis in points.T:
        total += (axis[:, None] - axis[None, :]) ** 2
    return np.sqrt(total)


def custom_points(positions: Any, n_neurons: int) -> Array:
    """`positions` as an array [N^2, D], or SimulationError."""
    points = numbers("positions", positions, "1", SimulationError)
    points = points[:, None] if points.ndim == 1 else points
    n = n_neurons**2
    if points.ndim != 2 or points.shape[0] != n or points.shape[1] == 0:
        raise SimulationError(
            f"positions = {shown(positions)}: expected {n} points, one for each of {n_neurons} x {n_neurons} synapses"
        )
    if not (np.isfinite(points).all() and np.abs(points).max() <= 1e9):
        raise SimulationError(f"positions = {shown(positions)}: expected finite coordinates of at most 1e9")
    return points


def coupling(distance: Array, parameters: PlasticityParameters) -> Array:
    """T as [N^2, N^2] from distances of that shape."""
    kernel = np.exp(-parameters.coupling_scale * distance)
    np.fill_diagonal(kernel, 0.0)
    sums = kernel.sum(axis=1)
    choose("coupling_norm", parameters.coupling_norm, get_args(Norm))
    if parameters.coupling_norm == "mean":
        norm: Any = sums.mean()
    elif parameters.coupling_norm == "rows":
        norm = sums[:, None]
    else:
        norm = 1.0
    # A single synapse, or synapses out of each other's reach, receive nothing.
    return np.divide(parameters.coupling_strength * kernel, norm, out=np.zeros_like(kernel), where=norm > 0)
