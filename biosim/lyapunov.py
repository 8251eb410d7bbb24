"""First Lyapunov coefficient of a Hopf point of Li-Rinzel calcium: whether a stable or an unstable cycle is born there.

Kuznetsov, Elements of Applied Bifurcation Theory, section 3.5: with the eigenvector q of the linearisation A q = i omega q,
the adjoint A^T p = -i omega p, <p, q> = 1, and the second and third derivatives B and C of the right-hand side,

    g20 = <p, B(q, q)>,  g11 = <p, B(q, q*)>,  g21 = <p, C(q, q, q*)>,
    l   = Re(i g20 g11 + omega g21) / (2 omega).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .ensemble import Array
from .stability import constants, jacobian


def higher_derivatives(ca: float, h: float, ip3: float, parameters: Any) -> tuple[Array, Array]:
    """Second [2, 2, 2] and third [2, 2, 2, 2] derivatives of (dCa/dt, dh/dt) with respect to (Ca, h), analytic."""
    p = constants(parameters)
    n, slope = ca / (ca + p["d5"]), p["d5"] / (ca + p["d5"]) ** 2
    slope2, slope3 = -2 * slope / (ca + p["d5"]), 6 * slope / (ca + p["d5"]) ** 2
    cube = [n**3, 3 * n**2 * slope, 6 * n * slope**2 + 3 * n**2 * slope2]
    cube.append(6 * slope**3 + 18 * n * slope * slope2 + 3 * n**2 * slope3)
    gradient, fall = p["c0"] - (1 + p["c1"]) * ca, -(1 + p["c1"])
    scale = p["r_C"] * (ip3 / (ip3 + p["d1"])) ** 3
    # Derivatives of r_C m^3 n^3 times the gradient, which is linear: the flux through the receptors is this times h^3.
    flux = [scale * (cube[k] * gradient + (k * cube[k - 1] * fall if k else 0.0)) for k in range(4)]
    s, k2 = p["k_ER"] ** 2 + ca**2, p["k_ER"] ** 2
    pump2 = 2 * p["v_ER"] * k2 * (k2 - 3 * ca**2) / s**3
    pump3 = 24 * p["v_ER"] * k2 * ca * (ca**2 - k2) / s**4

    second = np.zeros((2, 2, 2))
    second[0, 0, 0] = flux[2] * h**3 - pump2
    second[0, 0, 1] = second[0, 1, 0] = 3 * flux[1] * h**2
    second[0, 1, 1] = 6 * flux[0] * h
    second[1, 0, 1] = second[1, 1, 0] = -p["a2"]
    by_times_h = [flux[3] * h**3 - pump3, 3 * flux[2] * h**2, 6 * flux[1] * h, 6 * flux[0]]
    third = np.zeros((2, 2, 2, 2))
    for index in np.ndindex(2, 2, 2):
        third[(0, *index)] = by_times_h[sum(index)]
    return second, third


def first_lyapunov_coefficient(ca: float, h: float, ip3: float, parameters: Any) -> float:
    """First Lyapunov coefficient at a Hopf point, 1/(s uM^2), referred to the amplitude A of calcium.

    A small oscillation Ca(t) - Ca_Hopf = A cos(omega t) obeys dA/dt = growth A + l A^3; l < 0 is supercritical.
    """
    matrix = jacobian(ca, h, ip3, parameters)
    second, third = higher_derivatives(ca, h, ip3, parameters)
    values, vectors = np.linalg.eig(matrix)
    up = int(np.argmax(values.imag))
    omega, q = float(values[up].imag), vectors[:, up]
    # Calcium is w q + conj(w q), so an amplitude |w| of 1 uM is a calcium amplitude of 1 uM if q is 1/2 there.
    q = q / (2 * q[0])
    adjoint_values, adjoint = np.linalg.eig(matrix.T)
    p = adjoint[:, int(np.argmin(adjoint_values.imag))]
    p = p / np.conj(np.vdot(p, q))

    g20 = np.vdot(p, np.einsum("ijk,j,k", second, q, q))
    g11 = np.vdot(p, np.einsum("ijk,j,k", second, q, q.conj()))
    g21 = np.vdot(p, np.einsum("ijkl,j,k,l", third, q, q, q.conj()))
    return float(np.real(1j * g20 * g11 + omega * g21) / (2 * omega))
