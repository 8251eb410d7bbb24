"""Fixed points of the Li-Rinzel model at constant IP3, their stability, and the Hopf points between which it oscillates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from .checks import real, whole
from .messages import shown
from .parameters import LARGEST, ParameterError
from .processes import li_rinzel

NAMES = ("r_C", "r_L", "v_ER", "k_ER", "c0", "c1", "a2", "d1", "d2", "d3", "d5")


def constants(parameters: Any) -> dict[str, float]:
    """The Li-Rinzel constants of a parameter set (or of any mapping that holds them) as a plain dictionary."""
    if isinstance(parameters, Mapping):
        return {name: float(parameters[name]) for name in NAMES}
    return {name: float(getattr(parameters, name)) for name in NAMES}


def _h_inf(ca: Any, ip3: float, p: Mapping[str, float]) -> Any:
    q2 = li_rinzel.inactivation_concentration(ip3, p["d1"], p["d2"], p["d3"])
    return q2 / (q2 + ca)


def _calcium_balance(ca: Any, ip3: float, p: Mapping[str, float]) -> Any:
    return li_rinzel.derivatives(ca, _h_inf(ca, ip3, p), ip3, **p)[0]


def fixed_points(ip3: float, parameters: Any) -> list[tuple[float, float]]:
    """All fixed points (calcium in uM, h) at constant `ip3` (uM), by increasing calcium.

    Net calcium influx is positive at zero calcium and negative once the store is empty, so there is at least one.
    Raises ParameterError for an `ip3` that is no finite number of at least 0.
    """
    ip3 = _concentration("ip3", ip3)
    p = constants(parameters)
    # A little beyond the empty store, where the influx is negative even without a pump.
    top = p["c0"] / (1.0 + p["c1"]) * (1.0 + 1e-9)
    grid = np.concatenate([[0.0], np.geomspace(1e-6 * top, top, 4000)])
    balance = _calcium_balance(grid, ip3, p)
    roots = []
    for i in np.flatnonzero(np.sign(balance[:-1]) != np.sign(balance[1:])):
        ca = float(brentq(_calcium_balance, float(grid[i]), float(grid[i + 1]), args=(ip3, p), xtol=1e-15, rtol=1e-14))
        roots.append((ca, float(_h_inf(ca, ip3, p))))
    return roots


def _concentration(name: str, value: Any) -> float:
    number = real(name, value, "uM", ParameterError)
    if not 0.0 <= number <= LARGEST:
        raise ParameterError(f"{name} = {shown(value)} uM: expected a concentration from 0 to {LARGEST:g} uM")
    return number


def rest_state(ip3: float, parameters: Any) -> tuple[float, float]:
    """The fixed point of lowest calcium, (calcium in uM, h): where an undisturbed astrocyte rests."""
    points = fixed_points(ip3, parameters)
    if not points:
        raise ParameterError("r_C = r_L = v_ER = 0: no calcium flux, hence no fixed point; give Ca_init and h_init")
    return points[0]


def jacobian(ca: Any, h: Any, ip3: Any, parameters: Any) -> NDArray[np.float64]:
    """Derivatives of (dCa/dt, dh/dt) with respect to (Ca, h), analytic, shape [2, 2], in 1/s (and uM/s, 1/(uM s)).

    With arrays of one shape for `ca`, `h` and `ip3`, shape [2, 2, ...].
    """
    p = constants(parameters)
    m = ip3 / (ip3 + p["d1"])
    n = ca / (ca + p["d5"])
    gradient = p["c0"] - (1.0 + p["c1"]) * ca
    open_ = p["r_C"] * (m * n * h) ** 3
    open_dn = 3.0 * p["r_C"] * m**3 * n**2 * h**3
    open_dh = 3.0 * p["r_C"] * m**3 * n**3 * h**2
    dn = p["d5"] / (ca + p["d5"]) ** 2
    q2 = li_rinzel.inactivation_concentration(ip3, p["d1"], p["d2"], p["d3"])
    pump_slope = p["v_ER"] * 2.0 * ca * p["k_ER"] ** 2 / (p["k_ER"] ** 2 + ca**2) ** 2
    dca_dca = open_dn * dn * gradient - (open_ + p["r_L"]) * (1.0 + p["c1"]) - pump_slope
    dca_dh = open_dh * gradient
    return np.array([[dca_dca, dca_dh], [-p["a2"] * h, -p["a2"] * (q2 + ca)]])


def eigenvalues(ca: float, h: float, ip3: float, parameters: Any) -> NDArray[np.complex128]:
    """Eigenvalues of the linearised model at a point, 1/s, by increasing real part."""
    values = np.linalg.eigvals(jacobian(ca, h, ip3, parameters)).astype(np.complex128)
    return values[np.lexsort((values.imag, values.real))]


def hopf_points(parameters: Any, low: float = 0.05, high: float = 3.0, samples: int = 600) -> list[dict[str, float]]:
    """IP3 values in [low, high] (uM) at which the resting branch loses or regains stability by a pair of imaginary eigenvalues.

    Returns records with ip3 (uM), calcium (uM), h, omega (rad/s) and period (s). Raises ParameterError unless
    low < high are concentrations and `samples`, the points between which is searched, is a whole number of at least 2.
    """
    low, high = _concentration("low", low), _concentration("high", high)
    if not low < high:
        raise ParameterError(f"low = {low} uM: expected less than high = {high} uM")
    samples = whole("samples", samples, 2, 100_000, ParameterError)

    def trace(ip3: float) -> float:
        ca, h = rest_state(ip3, parameters)
        return float(np.trace(jacobian(ca, h, ip3, parameters)))

    grid = np.linspace(low, high, samples)
    values = np.array([trace(float(x)) for x in grid])
    points = []
    for i in np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:])):
        ip3 = float(brentq(trace, grid[i], grid[i + 1], xtol=1e-13))
        ca, h = rest_state(ip3, parameters)
        determinant = float(np.linalg.det(jacobian(ca, h, ip3, parameters)))
        # Where several fixed points exist the lowest one can end; the trace then jumps and is not zero.
        if determinant > 0 and abs(trace(ip3)) < 1e-6:
            omega = determinant**0.5
            points.append({"ip3": ip3, "calcium": ca, "h": h, "omega": omega, "period": 2 * np.pi / omega})
    return points
