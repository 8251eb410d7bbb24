"""What the Numba engine prepares for units that are coupled: groups of whole copies of the graph, and their memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ensemble import Array, Ensemble
from ..gap_junctions import GapJunctions
from . import experiment_arrays
from .experiment_arrays import WINDOW_NEURON_ROWS, WINDOW_UNIT_ROWS

# Units that one task advances in lockstep at least: few lanes then stay empty where a copy is smaller than a block.
GROUP = 256


def memory_needed(ensemble: Ensemble, rows: int, lanes: int) -> float:
    """Bytes of the graph and of the memory that is kept between the steps, by the shapes below."""
    coupling = ensemble.coupling
    if coupling is None:
        return 0.0
    m, synapses = ensemble.parameters.n_neurons, ensemble.parameters.n_neurons * ensemble.parameters.n_synapses
    per_unit = 8 * (rows + 2 * synapses + 10 + 2 * m + WINDOW_UNIT_ROWS + WINDOW_NEURON_ROWS * m)
    # A copy smaller than a block takes a whole one where it is alone.
    units = max(ensemble.n_units, lanes)
    return 60.0 * coupling.n_edges + 60.0 * coupling.n_astrocytes + units * per_unit


def groups(coupling: GapJunctions, copies: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """`copies` in groups of at least `GROUP` units where there are as many; no result depends on the cut."""
    each = -(-GROUP // coupling.n_astrocytes)
    return [copies[first : first + each] for first in range(0, copies.size, each)]


def units_of(coupling: GapJunctions, copies: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the units of `copies`."""
    n = coupling.n_astrocytes
    return np.asarray((copies[:, None] * n + np.arange(n)).ravel(), dtype=np.int64)


def of_busiest(coupling: GapJunctions, probability: Array) -> Array:
    """The greatest value in each copy, for all of its units [n_units]: one kernel for a copy, whatever other copies do."""
    n = coupling.n_astrocytes
    return np.repeat(probability.reshape(-1, n).max(axis=1), n)


def kept(ensemble: Ensemble, n_units: int, rows: int) -> Any:
    """Memory for `n_units` units, with `rows` rows of lanes in each block."""
    from .numba_kernels import LANES, Kept

    p = ensemble.parameters
    m, n, blocks = p.n_neurons, p.n_synapses, -(-n_units // LANES)
    individual = experiment_arrays.flags(ensemble)["individual"]
    size = blocks * rows * LANES
    memory = np.empty(size + 8)
    # Every block begins at a cache line.
    start = (-(memory.ctypes.data // 8)) % 8
    return Kept(
        rows=memory[start : start + size].reshape(blocks, rows * LANES),
        above=np.empty((blocks, LANES), np.bool_),
        latched=np.empty((blocks, LANES), np.bool_),
        phase=np.empty((blocks, m * n, LANES), np.int64),
        inc=np.empty((blocks, LANES), np.int64),
        base=np.empty((blocks, m * n if individual else 1, LANES)),
        working=np.empty((blocks, m, LANES), np.int64),
        cursor=np.empty((blocks, m), np.int64),
        w_unit=np.empty((blocks, WINDOW_UNIT_ROWS, LANES)),
        w_neuron=np.empty((blocks, WINDOW_NEURON_ROWS, m, LANES)),
        counters=np.zeros((blocks, 3), np.int64),
    )


def graph(ensemble: Ensemble, copies: NDArray[np.int64], experiment: experiment_arrays.Arrays) -> Any:
    """The graph for a group of copies. The jump of IP3 belongs to it, since it comes before the exchange of its step."""
    from .coupled_kernels import Graph

    coupling = ensemble.coupling
    assert coupling is not None
    n = coupling.n_astrocytes
    return Graph(
        first=np.asarray(copies * n, dtype=np.int64),
        strength=coupling.strengths(ensemble.n_units // n),
        a=np.ascontiguousarray(coupling.edges[:, 0]),
        b=np.ascontiguousarray(coupling.edges[:, 1]),
        theta=float(coupling.theta),
        scale=float(coupling.scale),
        n_astrocytes=n,
        jump_step=int(experiment.jump_step[0]) if experiment.jump_ip3.size else -1,
        jump_ip3=experiment.jump_ip3,
    )
