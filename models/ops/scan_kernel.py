"""The recurrence of `scan` compiled for the CPU: the Hebbian state stays in the nearest cache while the tokens pass.

Per (batch, head) the forward pass walks through the tokens once and stores the state before every `chunk` tokens. The
backward pass takes the chunks from the last to the first, recomputes Y_t of one chunk from its stored state (exactly:
reversing the recurrence instead would drift, and would carry a bad token into the gradient of older queries) and walks
through it backwards:

    Y_t = sigma(s S_t) - 1/2      dq_t = do_t Y_t^T      A_t = A_{t+1} + s q_t^T do_t (1/4 - Y_t^2)
    dkappa_t = v_t A_t^T          dv_t = kappa_t A_t

Every number is summed in the same order whatever the number of threads, since a (batch, head) is done by one of them.
This file is imported only when the kernel runs: numba takes a second to load.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

# Never "fast": that would delete NaN. These flags allow fused multiply-adds and reciprocals alone.
FASTMATH = {"nsz", "arcp", "contract"}
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FASTMATH}
# Columns of the state whose Y of a whole chunk is kept at a time in the backward pass.
TILE = 16
CACHE_LINE = 64

_within = numba.njit(forceinline=True, **OPTIONS)


@numba.njit(forceinline=True, error_model="numpy", fastmath=FASTMATH | {"reassoc"})
def _add_product(total, x, y):  # type: ignore[no-untyped-def]
    """A sum whose order is the compiler's: without this it would not be vectorised."""
    return total + x * y


# tanh(h)/2 = h P(h^2)/Q(h^2): minimax in relative error (7e-8) on |h| <= 9, where tanh is 1 in float32.
_HIGHEST_32 = np.float32(9.0)
_P0, _P1, _P2, _P3, _P4, _P5 = (
    np.float32(c)
    for c in (0.4999999658391652, 0.06465081086374644, 0.0014660543386039435, 4.681290138049904e-06,
              -6.516768551109817e-09, 9.410565779620097e-12)
)  # fmt: skip
_Q0, _Q1, _Q2, _Q3 = (np.float32(c) for c in (1.0, 0.46263473817686096, 0.023810739308843455, 0.00022961227960417965))


@_within
def _half_tanh_32(h):  # type: ignore[no-untyped-def]
    # Written so that NaN, for which every comparison is false, stays NaN.
    h = _HIGHEST_32 if h > _HIGHEST_32 else h
    h = -_HIGHEST_32 if h < -_HIGHEST_32 else h
    z = h * h
    p = ((((_P5 * z + _P4) * z + _P3) * z + _P2) * z + _P1) * z + _P0
    q = ((_Q3 * z + _Q2) * z + _Q1) * z + _Q0
    return h * p / q


_HIGHEST_64 = 20.0
_LOG2_E = 1.4426950408889634
# ln 2 in two parts, the first with 21 zero bits at its end, so that a small integer times it is exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Adding and subtracting it rounds to the nearest integer.
_ROUNDER = 6755399441055744.0
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12, _C13 = (
    1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040, 1 / 40320, 1 / 362880, 1 / 3628800, 1 / 39916800, 1 / 479001600,
    1 / 6227020800,
)  # fmt: skip


@_within
def _half_tanh_64(h):  # type: ignore[no-untyped-def]
    """tanh(h)/2 = E / (2 E + 4) with E = exp(2h) - 1 = 2^n (exp(r) - 1) + 2^n - 1, |r| <= ln(2)/2, by its series."""
    h = _HIGHEST_64 if h > _HIGHEST_64 else h
    h = -_HIGHEST_64 if h < -_HIGHEST_64 else h
    x = 2.0 * h
    n = (x * _LOG2_E + _ROUNDER) - _ROUNDER
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    series = ((((_C13 * r + _C12) * r + _C11) * r + _C10) * r + _C9) * r + _C8
    series = (((((series * r + _C7) * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2
    power = np.int64((np.int64(n) + 1023) << 52).view(np.float64)
    e = power * (r + r * r * series) + (power - 1.0)
    return e / (2.0 * e + 4.0)


@_within
def _padded(width, lanes):  # type: ignore[no-untyped-def]
    return (width + lanes - 1) // lanes * lanes


def _compile(function: Callable[..., None], signature: Any) -> Callable[..., None]:
    try:
        return numba.njit(signature, nogil=True, cache=True, **OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder in which compiled code could be kept
        return numba.njit(signature, nogil=True, **OPTIONS)(function)  # type: ignore[no-any-return]


def lanes_for(width: int) -> int:
    """How many neighbouring numbers the innermost loop takes; rows of the state are filled up to a multiple with zeros."""
    return 16 if width <= 16 else 32


@functools.cache
def forward(double: bool, lanes: int) -> Callable[..., None]:
    """run(q, kappa, v, start, out, final, kept, half, chunk, first, last) for the rows (batch, head) first ... last - 1.

    q, kappa ``[batch, time, heads, m]``, v, out ``[batch, time, heads, d]``, start, final ``[batch, heads, m, d]``, any
    strides; kept ``[batch, heads, chunks, m, d]`` or with no chunks, then nothing is kept.
    """

    def run(q, kappa, v, start, out, final, kept, half, chunk, first, last):  # type: ignore[no-untyped-def]
        time, heads, m = q.shape[1], q.shape[2], q.shape[3]
        d = v.shape[3]
        wide = _padded(d, lanes)
        keep = kept.shape[2] > 0
        line = CACHE_LINE // q.itemsize
        memory = np.zeros((m + 2) * wide + line, q.dtype)
        begin = (-(memory.ctypes.data // q.itemsize)) % line
        rows = memory[begin : begin + (m + 2) * wide].reshape((m + 2, wide))
        # One array, so that the compiler sees that rows do not overlap: the state, then a token's value and output.
        for row in range(first, last):
            b, h = row // heads, row % heads
            for a in range(m):
                for j in range(d):
                    rows[a, j] = start[b, h, a, j]
            for t in range(time):
                if keep and t % chunk == 0:
                    for a in range(m):
                        for j in range(d):
                            kept[b, h, t // chunk, a, j] = rows[a, j]
                for j in range(d):
                    rows[m, j] = v[b, t, h, j]
                for j in range(wide):
                    rows[m + 1, j] = 0.0
                for block in range(wide // lanes):
                    for a in range(m):
                        weight, write = q[b, t, h, a], kappa[b, t, h, a]
                        for l in range(lanes):
                            j = block * lanes + l
                            s = rows[a, j] + write * rows[m, j]
                            rows[a, j] = s
                            if double:
                                y = _half_tanh_64(half * s)
                            else:
                                y = _half_tanh_32(half * s)
                            rows[m + 1, j] += weight * y
                for j in range(d):
                    out[b, t, h, j] = rows[m + 1, j]
            for a in range(m):
                for j in range(d):
                    final[b, h, a, j] = rows[a, j]

    number = types.float64 if double else types.float32
    tensor = types.Array(number, 4, "A")
    kept = types.Array(number, 5, "A")
    integer = types.int64
    return _compile(run, types.void(*[tensor] * 6, kept, number, integer, integer, integer))


@functools.cache
def backward(double: bool, lanes: int) -> Callable[..., None]:
    """run(q, kappa, v, kept, d_out, d_final, d_q, d_kappa, d_v, d_start, scale, half, quarter, chunk, first, last).

    Shapes as in `forward`; half and quarter are scale / 2 and 1/4 in the arrays' type. `kept` must hold the states. The
    innermost loop runs over m, so the sums over d are elementwise, and only dv needs sums across the lanes.
    """

    def run(q, kappa, v, kept, d_out, d_final, d_q, d_kappa, d_v, d_start, scale, half, quarter, chunk, first, last):  # type: ignore[no-untyped-def]
        time, heads, m = q.shape[1], q.shape[2], q.shape[3]
        d = v.shape[3]
        wide, tall = _padded(m, lanes), _padded(d, TILE)
        line = CACHE_LINE // q.itemsize
        size = (2 * tall + chunk * TILE + 4 * chunk) * wide
        memory = np.zeros(size + line, q.dtype)
        begin = (-(memory.ctypes.data // q.itemsize)) % line
        rows = memory[begin : begin + size].reshape((size // wide, wide))
        state, carry = rows[:tall], rows[tall : 2 * tall]  # S and A, transposed
        y = rows[2 * tall : 2 * tall + chunk * TILE].reshape((chunk, TILE, wide))
        after = 2 * tall + chunk * TILE
        read, write = rows[after : after + chunk], rows[after + chunk : after + 2 * chunk]
        d_read, d_write = rows[after + 2 * chunk : after + 3 * chunk], rows[after + 3 * chunk : after + 4 * chunk]
        value, gradient = np.zeros((chunk, tall), q.dtype), np.zeros((chunk, tall), q.dtype)
        d_value = np.zeros((chunk, tall), q.dtype)
        for row in range(first, last):
            b, h = row // heads, row % heads
            for a in range(m):
                for j in range(d):
                    carry[j, a] = d_final[b, h, a, j]
            for index in range(kept.shape[2] - 1, -1, -1):
                start = index * chunk
                count = min(chunk, time - start)
                for a in range(m):
                    for j in range(d):
                        state[j, a] = kept[b, h, index, a, j]
                for t in range(count):
                    for a in range(m):
                        read[t, a], write[t, a] = q[b, start + t, h, a], kappa[b, start + t, h, a]
                    for a in range(wide):
                        d_read[t, a] = d_write[t, a] = 0.0
                    for j in range(d):
                        value[t, j], gradient[t, j] = v[b, start + t, h, j], d_out[b, start + t, h, j]
                for tile in range(0, tall, TILE):
                    for t in range(count):
                        for i in range(min(TILE, d - tile)):
                            j = tile + i
                            number = value[t, j]
                            for block in range(wide // lanes):
                                for l in range(lanes):
                                    a = block * lanes + l
                                    s = state[j, a] + write[t, a] * number
                                    state[j, a] = s
                                    if double:
                                        y[t, i, a] = _half_tanh_64(half * s)
                                    else:
                                        y[t, i, a] = _half_tanh_32(half * s)
                    for t in range(count - 1, -1, -1):
                        for i in range(min(TILE, d - tile)):
                            j = tile + i
                            number, slope = value[t, j], gradient[t, j]
                            steep = scale * slope
                            total = quarter - quarter
                            for block in range(wide // lanes):
                                for l in range(lanes):
                                    a = block * lanes + l
                                    centred = y[t, i, a]
                                    d_read[t, a] += slope * centred
                                    flow = carry[j, a] + steep * read[t, a] * (quarter - centred * centred)
                                    carry[j, a] = flow
                                    d_write[t, a] += number * flow
                                    # Lanes beyond m hold 0 times the token, which is NaN for a token that is not finite.
                                    total = _add_product(total, write[t, a], flow if a < m else quarter)
                            d_value[t, j] = total
                for t in range(count):
                    for a in range(m):
                        d_q[b, start + t, h, a], d_kappa[b, start + t, h, a] = d_read[t, a], d_write[t, a]
                    for j in range(d):
                        d_v[b, start + t, h, j] = d_value[t, j]
            for a in range(m):
                for j in range(d):
                    d_start[b, h, a, j] = carry[j, a]

    number = types.float64 if double else types.float32
    tensor = types.Array(number, 4, "A")
    kept = types.Array(number, 5, "A")
    integer = types.int64
    arguments = [tensor] * 3 + [kept] + [tensor] * 6 + [number] * 3 + [integer] * 3
    return _compile(run, types.void(*arguments))


@functools.cache
def running_sum(double: bool) -> Callable[..., None]:
    """run(x, start, out, reverse): sums over time from the first token on, or back from the last.

    x, out ``[batch, time, heads, m]``, start ``[batch, heads, m]``, any strides. torch's own cumulative sum takes ten times as
    long over an axis that is not the last.
    """

    def run(x, start, out, reverse):  # type: ignore[no-untyped-def]
        batch, time, heads, m = x.shape
        total = np.empty((heads, m), x.dtype)
        for b in range(batch):
            for h in range(heads):
                for a in range(m):
                    total[h, a] = start[b, h, a]
            for step in range(time):
                t = time - 1 - step if reverse else step
                for h in range(heads):
                    source, target, sums = x[b, t, h], out[b, t, h], total[h]
                    for a in range(m):
                        sums[a] += source[a]
                        target[a] = sums[a]

    number = types.float64 if double else types.float32
    # Neighbours in memory along m: otherwise there is nothing to vectorise.
    return _compile(
        run,
        types.void(
            types.Array(number, 4, "A"), types.Array(number, 3, "A"), types.Array(number, 4, "C"), types.boolean
        ),
    )
