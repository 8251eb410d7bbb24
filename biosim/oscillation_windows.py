"""The oscillation windows: ranges of IP3 in which calcium has a stable limit cycle, and by what they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from .cycles import LimitCycle
from .ensemble import Array
from .fixed_point_curve import HopfPoint, SaddleNode

EdgeKind = Literal[
    "supercritical Hopf", "fold of cycles", "saddle-node on the cycle", "homoclinic or canard", "end of the range"
]
EDGE_KINDS = get_args(EdgeKind)

# Distances from special points (uM) at which cycles are looked for, so that no narrow window and no narrow bistable
# range slips between the points of a regular grid.
OFFSETS = np.array([1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3])
# Edges that are no Hopf points are found to this accuracy, uM.
ACCURACY = 1e-10

Cycles = Callable[[float], list[LimitCycle]]


@dataclass(frozen=True)
class Edge:
    """Where a window ends: IP3 (uM), by what, and period (s) and extremes of calcium (uM) of the stable cycle there.

    At a supercritical Hopf point the cycle shrinks to the fixed point and its period is 2 pi / omega; at a fold of cycles it
    meets an unstable one; at a saddle-node on the cycle its period grows without bound. Where neither is the case, it ends
    with full amplitude at a homoclinic orbit, or by a canard: along the unstable part of the slow curve dCa/dt = 0 orbits
    part exponentially, and all that happens lies closer together than numbers can tell. Period and extremes are those of the
    last cycle found.
    """

    ip3: float
    kind: EdgeKind
    period: float
    calcium_min: float
    calcium_max: float


@dataclass(frozen=True)
class Window:
    """A range of IP3 with a stable limit cycle."""

    low: Edge
    high: Edge


def windows(
    cycles: Cycles, low: float, high: float, hopf: list[HopfPoint], folds: list[SaddleNode], points: Array
) -> list[Window]:
    """The windows in [low, high] (uM).

    Parameters
    ----------
    cycles : all limit cycles at a given IP3, as `limit_cycles` returns them.
    hopf, folds : the special points in the range, as `special_points` returns them.
    points : IP3 at which to look, besides the neighbourhoods of the special points.
    """
    grid = scan_points(low, high, hopf, folds, points)
    alive = np.array([_stable(cycles, x) is not None for x in grid])
    edges: list[Edge] = []
    if alive[0]:
        edges.append(_cut(cycles, float(grid[0])))
    for i in np.flatnonzero(alive[:-1] != alive[1:]):
        inside, outside = (grid[i], grid[i + 1]) if alive[i] else (grid[i + 1], grid[i])
        edges.append(_edge(cycles, float(inside), float(outside), hopf, folds))
    if alive[-1]:
        edges.append(_cut(cycles, float(grid[-1])))
    return [Window(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]


def scan_points(low: float, high: float, hopf: list[HopfPoint], folds: list[SaddleNode], points: Array) -> Array:
    """`points` and the neighbourhoods of all special points, increasing, within [low, high]."""
    parts = [np.array([low, high]), np.asarray(points, dtype=np.float64)]
    for x in special_ip3(hopf, folds):
        parts += [x - OFFSETS, x + OFFSETS]
    grid = np.unique(np.concatenate(parts))
    return grid[(grid >= low) & (grid <= high)]


def special_ip3(hopf: list[HopfPoint], folds: list[SaddleNode]) -> list[float]:
    """IP3 of all special points, increasing."""
    return sorted([point.ip3 for point in hopf] + [point.ip3 for point in folds])


def _stable(cycles: Cycles, ip3: float) -> LimitCycle | None:
    """The widest stable cycle."""
    return max((cycle for cycle in cycles(ip3) if cycle.stable), key=lambda cycle: cycle.amplitude, default=None)


def _cut(cycles: Cycles, ip3: float) -> Edge:
    cycle = _stable(cycles, ip3)
    assert cycle is not None
    return Edge(ip3, "end of the range", cycle.period, cycle.calcium_min, cycle.calcium_max)


def _edge(cycles: Cycles, inside: float, outside: float, hopf: list[HopfPoint], folds: list[SaddleNode]) -> Edge:
    """The edge between IP3 with and without a stable cycle."""
    for point in hopf:
        # The smallest cycles are not looked for, so the first one seen may be a little way in.
        nearest, farthest = min(inside, outside) - OFFSETS[1], max(inside, outside) + OFFSETS[1]
        if point.criticality == "supercritical" and nearest <= point.ip3 <= farthest:
            return Edge(point.ip3, "supercritical Hopf", point.period, point.calcium, point.calcium)
    while abs(outside - inside) > ACCURACY:
        middle = 0.5 * (inside + outside)
        if _stable(cycles, middle) is None:
            outside = middle
        else:
            inside = middle
    last = _stable(cycles, inside)
    assert last is not None
    return Edge(inside, _ending(cycles, last, folds), last.period, last.calcium_min, last.calcium_max)


def _ending(cycles: Cycles, last: LimitCycle, folds: list[SaddleNode]) -> EdgeKind:
    """By what the cycle `last`, the last one found, ends."""
    for other in cycles(last.ip3):
        # Near a fold both differ by the square root of the distance to it.
        if not other.stable and abs(other.amplitude - last.amplitude) < 0.01 * last.amplitude:
            return "fold of cycles"
    if any(abs(point.ip3 - last.ip3) < 1e-4 for point in folds):
        return "saddle-node on the cycle"
    return "homoclinic or canard"
