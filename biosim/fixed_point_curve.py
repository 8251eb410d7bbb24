"""All fixed points of Li-Rinzel calcium at once: IP3 as a function of calcium, and where stability changes along it.

At a fixed point h = Q2/(Q2 + Ca), and then m h = d2 IP3 / (d2 (IP3 + d1) + Ca (IP3 + d3)) with m = IP3/(IP3 + d1).
The calcium balance asks for one value of m h at every calcium,

    G(Ca) = ((J_pump/(c0 - (1 + c1) Ca) - r_L) / r_C)^(1/3) (Ca + d5)/Ca,

and m h = G has one solution, IP3 = G (d1 d2 + Ca d3) / (d2 - G (d2 + Ca)). So the fixed points form curves without
branching, also where they fold and several calcium levels share one IP3; nothing is followed and nothing can be missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq

from .ensemble import Array
from .lyapunov import first_lyapunov_coefficient
from .parameters import ParameterError
from .processes import li_rinzel
from .stability import constants, jacobian, rest_state

Criticality = Literal["supercritical", "subcritical"]

# Points on the curve between which changes of sign are looked for.
SAMPLES = 20_000


@dataclass(frozen=True)
class HopfPoint:
    """A fixed point with a pair of imaginary eigenvalues.

    ip3, calcium (uM), h; omega (rad/s) and period (s) of the oscillation that is born; growth_slope: derivative of the real
    part of the eigenvalues with respect to IP3, 1/(s uM), along the curve of fixed points; lyapunov: first Lyapunov
    coefficient referred to calcium, 1/(s uM^2): the amplitude A of a small oscillation of calcium obeys
    dA/dt = growth A + lyapunov A^3. `supercritical` (a stable cycle is born) where it is negative, else `subcritical`.
    """

    ip3: float
    calcium: float
    h: float
    omega: float
    growth_slope: float
    lyapunov: float

    @property
    def period(self) -> float:
        return float(2 * np.pi / self.omega)

    @property
    def criticality(self) -> Criticality:
        return "supercritical" if self.lyapunov < 0 else "subcritical"


@dataclass(frozen=True)
class SaddleNode:
    """A fold of the curve of fixed points: ip3, calcium (uM) and h at which two fixed points meet."""

    ip3: float
    calcium: float
    h: float


def check_dependence(parameters: Any) -> dict[str, float]:
    """The Li-Rinzel constants, or ParameterError where calcium would not depend on IP3 or the curve would degenerate."""
    p = constants(parameters)
    for name, meaning in (("r_C", "release by IP3"), ("r_L", "leak"), ("v_ER", "uptake")):
        if p[name] <= 0:
            raise ParameterError(
                f"{name} = {p[name]:g}: without {meaning} there is no bifurcation diagram over IP3; give a value above 0"
            )
    return p


def ip3_at_fixed_point(ca: Any, parameters: Any) -> Any:
    """IP3 (uM) at which calcium `ca` (uM; number or array) is a fixed point; NaN where there is none."""
    p = constants(parameters)
    ca = np.asarray(ca, dtype=np.float64)
    with np.errstate(all="ignore"):
        gradient = p["c0"] - (1.0 + p["c1"]) * ca
        pump = p["v_ER"] * ca**2 / (p["k_ER"] ** 2 + ca**2)
        excess = (pump / gradient - p["r_L"]) / p["r_C"]
        open_ = np.cbrt(excess) * (ca + p["d5"]) / ca
        below = p["d2"] - open_ * (p["d2"] + ca)
        ip3 = open_ * (p["d1"] * p["d2"] + ca * p["d3"]) / below
        return np.where((gradient > 0) & (excess >= 0) & (below > 0), ip3, np.nan)[()]


def _h(ca: Any, ip3: Any, p: dict[str, float]) -> Any:
    q2 = li_rinzel.inactivation_concentration(ip3, p["d1"], p["d2"], p["d3"])
    return q2 / (q2 + ca)


def special_points(parameters: Any, low: float, high: float) -> tuple[list[HopfPoint], list[SaddleNode]]:
    """Hopf points and saddle-nodes with IP3 in [low, high] (uM), each by increasing IP3.

    Raises ParameterError where r_C, r_L or v_ER is 0.
    """
    p = check_dependence(parameters)
    grid = _calcium_grid(p)
    ip3 = ip3_at_fixed_point(grid, p)

    def matrix(ca: float) -> Array:
        at = ip3_at_fixed_point(ca, p)
        return jacobian(ca, _h(ca, at, p), at, p)

    def trace(ca: float) -> float:
        return float(np.trace(matrix(ca)))

    def determinant(ca: float) -> float:
        return float(np.linalg.det(matrix(ca)))

    j = jacobian(grid, _h(grid, ip3, p), ip3, p)
    traces, determinants = j[0, 0] + j[1, 1], j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]
    hopf, folds = [], []
    for ca in _roots(trace, grid, traces):
        if determinant(ca) > 0 and low <= ip3_at_fixed_point(ca, p) <= high:
            hopf.append(_hopf_point(ca, p, trace))
    for ca in _roots(determinant, grid, determinants):
        at = float(ip3_at_fixed_point(ca, p))
        if low <= at <= high:
            folds.append(SaddleNode(at, ca, float(_h(ca, at, p))))
    return sorted(hopf, key=lambda point: point.ip3), sorted(folds, key=lambda point: point.ip3)


def _calcium_grid(p: dict[str, float]) -> Array:
    """Calcium from the fixed point without IP3 to the empty store, denser at low values, where folds are narrow."""
    lowest = rest_state(0.0, p)[0]
    top = p["c0"] / (1.0 + p["c1"])
    return np.geomspace(lowest * (1 + 1e-9), top * (1 - 1e-9), SAMPLES)


def _roots(function: Callable[[float], float], grid: Array, values: Array) -> list[float]:
    with np.errstate(invalid="ignore"):
        changes = np.flatnonzero(values[:-1] * values[1:] < 0)
    return [float(brentq(function, grid[i], grid[i + 1], xtol=1e-15, rtol=1e-14)) for i in changes]


def _hopf_point(ca: float, p: dict[str, float], trace: Callable[[float], float]) -> HopfPoint:
    ip3 = float(ip3_at_fixed_point(ca, p))
    h = float(_h(ca, ip3, p))
    matrix = jacobian(ca, h, ip3, p)
    step = 1e-5 * ca
    # The real part of a complex pair is half the trace; both it and IP3 are functions of calcium along the curve.
    rise = (trace(ca + step) - trace(ca - step)) / 2
    run = float(ip3_at_fixed_point(ca + step, p) - ip3_at_fixed_point(ca - step, p))
    return HopfPoint(
        ip3, ca, h, float(np.sqrt(np.linalg.det(matrix))), rise / run, first_lyapunov_coefficient(ca, h, ip3, p)
    )
