"""Where the G-ChI astrocyte rests without glutamate: calcium, h and IP3 at once, as IP3 is fed back by calcium.

Without glutamate no receptor is active. At a given calcium, phospholipase C delta falls with IP3 and degradation rises, so
there is one IP3 at which both balance; what is left is the balance of calcium, one equation of one unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.optimize import brentq

from .parameters import ParameterError
from .processes import li_rinzel
from .stability import NAMES as CALCIUM

# Constants of IP3 without receptors.
NAMES = ("O_delta", "kappa_delta", "K_delta", "O_3K", "K_D", "K_3K", "Omega_5P")


def balanced_ip3(ca: Any, parameters: Mapping[str, float]) -> Any:
    """IP3 (uM) at which production and degradation balance at calcium `ca` (uM; number or array), without receptors.

    Newton's method from 0: the rate is convex and falls with IP3, so that each step comes closer from below.
    """
    p = parameters
    square = np.square(ca)
    production = p["O_delta"] * square / (square + p["K_delta"] ** 2)
    kinase = p["O_3K"] * square**2 / (square**2 + p["K_D"] ** 4)
    ip3 = np.zeros_like(production)
    for _ in range(200):
        rate = production / (1.0 + ip3 / p["kappa_delta"]) - kinase * ip3 / (ip3 + p["K_3K"]) - p["Omega_5P"] * ip3
        slope = (
            production * p["kappa_delta"] / (ip3 + p["kappa_delta"]) ** 2
            + kinase * p["K_3K"] / (ip3 + p["K_3K"]) ** 2
            + p["Omega_5P"]
        )
        further = ip3 + np.maximum(rate, 0.0) / slope
        if np.all(further - ip3 <= 1e-16 * further):
            break
        ip3 = further
    return ip3


def _h_inf(ca: Any, ip3: Any, p: Mapping[str, float]) -> Any:
    q2 = li_rinzel.inactivation_concentration(ip3, p["d1"], p["d2"], p["d3"])
    return q2 / (q2 + ca)


def fixed_points(parameters: Any) -> list[tuple[float, float, float]]:
    """All fixed points without glutamate (calcium in uM, h, IP3 in uM), by increasing calcium.

    `parameters` is a parameter set or a mapping that holds the constants of calcium and IP3.
    """
    read = parameters.__getitem__ if isinstance(parameters, Mapping) else lambda name: getattr(parameters, name)
    p = {name: float(read(name)) for name in (*CALCIUM, *NAMES)}
    calcium = {name: p[name] for name in CALCIUM}

    def balance(ca: Any) -> Any:
        ip3 = balanced_ip3(ca, p)
        return li_rinzel.derivatives(ca, _h_inf(ca, ip3, p), ip3, **calcium)[0]

    # A little beyond the empty store, where the influx is negative even without a pump.
    top = p["c0"] / (1.0 + p["c1"]) * (1.0 + 1e-9)
    grid = np.concatenate([[0.0], np.geomspace(1e-6 * top, top, 2000)])
    sign = np.sign(balance(grid))
    points = []
    for i in np.flatnonzero(sign[:-1] != sign[1:]):
        ca = float(brentq(balance, float(grid[i]), float(grid[i + 1]), xtol=1e-15, rtol=1e-14))
        ip3 = float(balanced_ip3(ca, p))
        points.append((ca, float(_h_inf(ca, ip3, p)), ip3))
    return points


def rest_state(parameters: Any) -> tuple[float, float, float]:
    """The fixed point of lowest calcium, (calcium in uM, h, IP3 in uM): where an undisturbed G-ChI astrocyte rests.

    Raises
    ------
    ParameterError
        There is no calcium flux at all, hence no fixed point.
    """
    points = fixed_points(parameters)
    if not points:
        raise ParameterError("r_C = r_L = v_ER = 0: no calcium flux, hence no fixed point; give Ca_init and h_init")
    return points[0]
