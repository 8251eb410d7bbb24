"""Compiled: units whose astrocytes exchange IP3 through gap junctions, all advanced together by one astrocyte step.

Strang's splitting: half a step of the exchange alone, a step of the units alone, half a step of the exchange. Release of
glutamate, statistics and traces follow the second half, so that they see IP3 with an error of second order. The exchange
takes one classical Runge-Kutta step of order 4 per half step: its error is far below that of the splitting.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np

from ..processes import gap_junction
from . import numba_kernels
from .numba_kernels import HEAD, LANES, OPTIONS, TAIL

_flux = numba.njit(inline="always", **OPTIONS)(gap_junction.flux)


class Graph(NamedTuple):
    """Copies of one graph. Units of a copy follow each other, in the order of the astrocytes."""

    first: Any  # [copies], first unit of each copy to advance
    strength: Any  # [all copies]
    a: Any  # [edges]
    b: Any
    theta: float
    scale: float
    n_astrocytes: int
    jump_step: int
    jump_ip3: Any  # [units], a jump of IP3 before the exchange of a step; empty without one


@numba.njit(**OPTIONS)
def fluxes(ip3, a, b, form, strength, theta, scale, out):
    """What each astrocyte gains, uM/s, into `out` [astrocytes]."""
    out[:] = 0.0
    for edge in range(a.size):
        passed = _flux(form, ip3[a[edge]] - ip3[b[edge]], strength, theta, scale)
        out[a[edge]] += passed
        out[b[edge]] -= passed


@numba.njit(**OPTIONS)
def exchange(ip3, a, b, form, strength, theta, scale, dt, stage, rate, total):
    """IP3 [astrocytes] after `dt` of exchange alone, in place; `stage`, `rate` and `total` [astrocytes] are for its work."""
    if strength == 0.0:
        return
    for turn in range(4):
        if turn == 0:
            stage[:] = ip3
            total[:] = 0.0
        else:
            part = dt if turn == 3 else 0.5 * dt
            for i in range(ip3.size):
                stage[i] = ip3[i] + part * rate[i]
        fluxes(stage, a, b, form, strength, theta, scale, rate)
        weight = dt / 3.0 if turn == 1 or turn == 2 else dt / 6.0
        for i in range(ip3.size):
            total[i] += weight * rate[i]
    for i in range(ip3.size):
        ip3[i] += total[i]


# Stands in the kernel below for the one that advances a block.
run_block: Any = None


@functools.cache
def kernel(stamp: str, form: int, cache: bool = True, **structure: Any) -> Callable[..., None]:
    """Compile (or load) the kernel of coupled units for one structure; `structure` as in `numba_kernels.kernel`.

    Its arguments are those of that kernel up to `x`, where `units` are all units of the copies in `graph.first`, then `kept`
    with a place for every block of lanes, and `graph`.
    """
    run = numba_kernels.kernel(stamp=stamp, cache=cache, paused=True, **structure)
    # Part of the key of the disk cache, in place of `run`, whose own key is another in every process.
    identity = f"{stamp} {form} {sorted(structure.items())}"

    def drive(coef, ref_steps, rng, noise_rng, phase0, increment, Ca, h, IP3, Glu, eSP, v, AG, ratio, n_astro, n_settle,
              record_every, dt_astro, stats, traces, extra, units, stop, x, kept, graph):  # fmt: skip
        if identity == "":
            return
        n = graph.n_astrocytes
        work = np.empty((3, n))
        n_blocks = (units.size + LANES - 1) // LANES
        for step in range(n_astro):
            if stop[0] != 0:
                return
            if step == graph.jump_step:
                for u in units:
                    IP3[u] += graph.jump_ip3[u]
            for stage in (HEAD, TAIL):
                for first in graph.first:
                    exchange(
                        IP3[first : first + n], graph.a, graph.b, form, graph.strength[first // n], graph.theta, graph.scale,
                        0.5 * dt_astro, work[0], work[1], work[2],
                    )  # fmt: skip
                for block in range(n_blocks):
                    run_block(
                        coef, ref_steps, rng, noise_rng, phase0, increment, Ca, h, IP3, Glu, eSP, v, AG, ratio, n_astro,
                        n_settle, record_every, dt_astro, stats, traces, extra,
                        units[block * LANES : min((block + 1) * LANES, units.size)], stop, x, kept, block, step, step + 1, stage,
                    )  # fmt: skip

    # As a global name, not in the closure, for the same reason.
    own = FunctionType(drive.__code__, {**globals(), "run_block": run}, "drive", None, drive.__closure__)
    return numba.njit(nogil=True, cache=cache, **OPTIONS)(own)  # type: ignore[no-any-return]
