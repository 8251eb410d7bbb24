"""The compiled Runge-Kutta step of the plasticity network: the equations of `network`, written as loops."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numba
import numpy as np

from . import functions

_value = numba.njit(error_model="numpy")(functions.value)


@functools.cache
def kernel(stamp: str, cache: bool = True) -> Callable[..., int]:
    """Compile (or load) the stepper; one serves every network.

    `stamp` is a digest of the sources; being part of the closure it is part of the key of the disk cache.

    The kernel's arguments: y [size], advanced in place; codes of phi, g, psi and kappa; bias [N]; c, d [N, N];
    coupling [N^2, N^2] or [0, 0]; patterns [K, N] or [0, N], and their scale; rates, the vector of (tau, leak) of x, s, p,
    p^l; gain_x, gain_s, steepness; dt; first and steps (index of the first step and number of steps); every (steps between
    two samples, 0 for none); samples [n, size], filled. It returns the number of samples.
    """

    @numba.njit(nogil=True, cache=cache, error_model="numpy")
    def run(
        y, codes, bias, c, d, coupling, patterns, scale, rates, gain_x, gain_s, steepness, dt, first, steps, every, samples
    ):  # fmt: skip
        if stamp == "":
            return 0
        phi, g, psi, kappa = codes
        n = bias.size
        synapses = n * n
        s0, p0, l0 = n, n + synapses, n + 2 * synapses
        dense, memory, long_term = coupling.size > 0, patterns.size > 0, y.size > l0
        at = np.empty(y.size)
        slope = np.empty(y.size)
        total = np.empty(y.size)
        phi_ = np.empty(n)
        g_ = np.empty(synapses)
        psi_ = np.empty(synapses)
        spread = np.zeros(synapses)
        taken = 0
        for step in range(first + 1, first + steps + 1):
            at[:] = y
            total[:] = 0.0
            for stage in range(4):
                for i in range(n):
                    phi_[i] = _value(phi, at[i], steepness)
                for m in range(synapses):
                    g_[m] = _value(g, at[s0 + m], steepness)
                    psi_[m] = _value(psi, at[p0 + m], steepness)
                if dense:
                    for m in range(synapses):
                        received = 0.0
                        for k in range(synapses):
                            received += coupling[m, k] * psi_[k]
                        spread[m] = received
                elif memory:
                    spread[:] = 0.0
                    for q in range(patterns.shape[0]):
                        overlap = 0.0
                        for i in range(n):
                            for j in range(n):
                                overlap += patterns[q, i] * psi_[i * n + j] * patterns[q, j]
                        for i in range(n):
                            for j in range(n):
                                spread[i * n + j] += scale * overlap * patterns[q, i] * patterns[q, j]
                for j in range(n):
                    received = 0.0
                    for i in range(n):
                        received += g_[i * n + j] * phi_[i]
                    slope[j] = (-rates[1] * at[j] + gain_x * received + bias[j]) / rates[0]
                for i in range(n):
                    for j in range(n):
                        m = i * n + j
                        slope[s0 + m] = (
                            -rates[3] * at[s0 + m] + phi_[i] * phi_[j] + gain_s * psi_[m] + c[i, j]
                        ) / rates[2]
                        slope[p0 + m] = (-rates[5] * at[p0 + m] + spread[m] + g_[m] + d[i, j]) / rates[4]
                        if long_term:
                            slope[l0 + m] = (-rates[7] * at[l0 + m] + _value(kappa, at[s0 + m], steepness)) / rates[6]
                # The classical weights 1/6, 1/3, 1/3, 1/6 and stages at 0, 1/2, 1/2, 1 of the step.
                weight = dt / 6.0 if stage == 0 or stage == 3 else dt / 3.0
                ahead = dt if stage == 2 else 0.5 * dt
                for q in range(y.size):
                    total[q] += weight * slope[q]
                    at[q] = y[q] + ahead * slope[q]
            for q in range(y.size):
                y[q] += total[q]
            if every > 0 and step % every == 0:
                samples[taken] = y
                taken += 1
        return taken

    return run  # type: ignore[no-any-return]
