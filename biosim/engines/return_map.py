"""One turn of Li-Rinzel calcium around a fixed point, compiled: the return map whose fixed points are the limit cycles.

The section is the half line h = h* with Ca > Ca* beside the fixed point (Ca*, h*). There dh/dt = a2 (Q2 - (Q2 + Ca) h*) is
negative, so every orbit crosses it in the same direction, and a closed orbit around the fixed point crosses it exactly once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from .numba_kernels import OPTIONS, _derivatives, _rk4

# What a turn returns, in this order.
TURN = ("calcium", "period", "calcium_min", "calcium_max", "h_min", "h_max", "calcium_mean", "divergence")

# An orbit this slow (uM/s and 1/s) has ended at a fixed point.
AT_REST = 1e-8


@numba.njit(inline="always", **OPTIONS)
def _divergence(ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5):
    """Trace of the Jacobian, 1/s; its integral over a cycle is the logarithm of the Floquet multiplier."""
    n = ca / (ca + d5)
    gate = ip3 / (ip3 + d1) * n * h
    open_ = r_C * gate * gate * gate
    gradient = c0 - (1.0 + c1) * ca
    s = k_ER * k_ER + ca * ca
    receptors = 3.0 * open_ * d5 / (ca * (ca + d5)) * gradient
    pump = 2.0 * v_ER * k_ER * k_ER * ca / (s * s)
    return receptors - (open_ + r_L) * (1.0 + c1) - pump - a2 * (d2 * (ip3 + d1) / (ip3 + d3) + ca)


@functools.cache
def kernel(stamp: str, cache: bool = True) -> Callable[..., None]:
    """Compile (or load) the return map; `stamp` as in `numba_kernels.kernel`.

    Arguments of the kernel: start, calcium on the section, uM; section, h*; ca_star, uM; ip3, uM; constants [11] in the order
    of `stability.NAMES`; dt, s; limit, s, the longest turn; out [8], see TURN, NaN where the orbit does not come back.
    """

    @numba.njit(nogil=True, cache=cache, **OPTIONS)
    def turn(start, section, ca_star, ip3, constants, dt, limit, out):
        if stamp == "":
            return
        r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5 = (
            constants[0], constants[1], constants[2], constants[3], constants[4], constants[5], constants[6],
            constants[7], constants[8], constants[9], constants[10],
        )  # fmt: skip
        for i in range(out.size):
            out[i] = np.nan
        ca, h = start, section
        dca, dh = _derivatives(ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
        divergence = _divergence(ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
        ca_min, ca_max, h_min, h_max = ca, ca, h, h
        area, growth = 0.0, 0.0
        for step in range(int(limit / dt)):
            ca_next, h_next = _rk4(ca, h, ip3, ip3, ip3, dt, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
            part = dt
            # The first step leaves the section downwards; only after a passage above it can it be crossed again.
            closing = step > 0 and h > section and h_next <= section and ca_next > ca_star
            if closing:
                # The step that ends on the section: Newton's method on its length.
                part = dt * (h - section) / (h - h_next)
                for _ in range(6):
                    ca_next, h_next = _rk4(ca, h, ip3, ip3, ip3, part, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
                    dh_next = a2 * (d2 * (ip3 + d1) / (ip3 + d3) * (1.0 - h_next) - ca_next * h_next)
                    part = part + (section - h_next) / dh_next
            dca_next, dh_next = _derivatives(ca_next, h_next, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
            divergence_next = _divergence(ca_next, h_next, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
            # Extremes within a step: the vertex of the cubic through both ends, at the zero of its slope (secant).
            if dca * dca_next < 0.0:
                x = dca / (dca - dca_next)
                level = _cubic(x, ca, ca_next, part * dca, part * dca_next)
                ca_min = min(ca_min, level)
                ca_max = max(ca_max, level)
            if dh * dh_next < 0.0:
                x = dh / (dh - dh_next)
                level = _cubic(x, h, h_next, part * dh, part * dh_next)
                h_min = min(h_min, level)
                h_max = max(h_max, level)
            # The trapezium corrected by the slopes at its ends, of fourth order like the step.
            area += part * (0.5 * (ca + ca_next) + part * (dca - dca_next) / 12.0)
            growth += part * 0.5 * (divergence + divergence_next)
            ca, h, dca, dh, divergence = ca_next, h_next, dca_next, dh_next, divergence_next
            if closing:
                period = step * dt + part
                out[0] = ca
                out[1] = period
                out[2], out[3] = min(ca_min, ca), max(ca_max, ca)
                out[4], out[5] = h_min, h_max
                out[6] = area / period
                out[7] = growth
                return
            if abs(dca) < AT_REST and abs(dh) < AT_REST:
                return

    return turn  # type: ignore[no-any-return]


@numba.njit(inline="always", **OPTIONS)
def _cubic(x, left, right, slope_left, slope_right):
    """Cubic on [0, 1] with the given values and slopes at the ends."""
    y = 1.0 - x
    return (
        left * (1.0 + 2.0 * x) * y * y
        + right * (3.0 - 2.0 * x) * x * x
        + slope_left * x * y * y
        - slope_right * x * x * y
    )


def compiled(stamp: str) -> Callable[..., Any]:
    """The kernel, with the disk cache where one can be written."""
    try:
        return kernel(stamp)
    except RuntimeError:
        return kernel(stamp, cache=False)
