"""The compiled kernel of the commonest structure: Poisson input, quantal synapses, IP3 from 2-AG, no option and no experiment.

The scheme, its order and its random streams are those of `numba_kernels`, which stays the reference for this one; what differs is
where the work is done. A piece is `piece` neuron steps, at most half an astrocyte step. Within it, only what a spike can change
is advanced step by step: v, 2-AG and the refractory time. Everything else is linear and is advanced once per piece in
closed form:

    IP3        what the piece makes of IP3 and 2-AG at its start, plus one weight for each spike, by its step
    glutamate  a decay towards a level that is constant within the piece
    e-SP       a constant and two decays, so the part of p = rate dt PR without 2-AG needs two operations a step

With rate, PR0 and K_AG folded into constants, p is one multiplication and a clip. Calcium takes the Runge-Kutta step with one
division per stage, since what depends on IP3 alone is computed once.

A count above two needs more terms of the distribution function, which is rare. Where the largest uniform number of a unit in a
piece passes what no count of three can stay below, the piece of this unit alone is done again with all terms (`_again`).

A block is a table of rows of `LANES` numbers in one array, so that the compiler sees that rows do not overlap and advances
eight units with one instruction. The names of the rows are those of `Rows`, each the place of its first number.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from ..processes import gliotransmission, li_rinzel, release
from .numba_kernels import (
    AG_SUM, CA_MAX, CA_MIN, CA_SQUARES, CA_SUM, CROSSINGS, ESP_SUM, FIRST_CROSSING, GLU_SUM, IP3_SUM, LAST_CROSSING,
    N_STATISTICS, OPTIONS, PR_SUM, RELEASES, SPIKES,
)  # fmt: skip
from .propagators import ROW

# The chain of operations of one step is long: the processor needs several vectors at hand to be busy.
LANES = 64
# Units that one instruction advances; the last block is filled up to a multiple of it.
WIDTH = 8
LONGEST_PIECE = 5

_inline = numba.njit(inline="always", **OPTIONS)
_within = numba.njit(forceinline=True, **OPTIONS)
_release_probability = _within(release.release_probability)
_up_to_two = _inline(release.up_to_two)
_channel = _within(li_rinzel.channel)
_derivatives = _within(li_rinzel.derivatives_at)
_few_releases = numba.njit(**OPTIONS)(release.few_releases)
_binomial_count = numba.njit(**OPTIONS)(release.binomial_count)
_release_event = _within(gliotransmission.release_event)


class Rows(NamedTuple):
    """Rows of a block, besides those of neurons and steps."""

    # First, apart from what is drawn with them: the words of the random streams.
    s0: int
    s1: int
    s2: int
    s3: int
    # State
    ca: int
    h: int
    ip3: int
    glu: int
    esp: int
    level: int  # of glutamate, in this astrocyte step
    timer: int
    above: int  # 1 where calcium is at or over the threshold
    latched: int
    opening: int  # what IP3 at the start, the middle and the end of the astrocyte step decides
    binding: int
    opening_middle: int
    binding_middle: int
    before: int  # calcium at the start
    glu_last: int
    esp_last: int
    # Sums of a piece and of an astrocyte step
    top: int  # largest uniform number
    spikes: int
    releases: int
    jump_to_ip3: int  # IP3 at the end of the piece that comes from its spikes
    spikes_kept: int  # what these and a neuron were before the steps, where a piece may have to be done again
    releases_kept: int
    jump_to_ip3_kept: int
    v_kept: int
    ag_kept: int
    until_kept: int
    # Coefficients of a step
    membrane_decay: int
    ag_decay: int
    glu_decay: int
    esp_decay: int
    jump: int
    v_th: int
    dag: int
    refractory: int
    p_ag: int
    p_max: int
    # and of a piece
    bound: int  # uniform numbers below it make a count of at most two at any release probability
    p_rest: int
    p_esp: int
    p_glu: int
    ip3_rest: int
    ip3_decay_piece: int
    ag_to_ip3_piece: int
    glu_decay_piece: int
    esp_decay_piece: int
    glu_to_esp_piece: int
    # and of an astrocyte step
    glu_level: int
    m_esp: int
    PR0: int
    K_AG: int
    ca_th: int
    dglu: int
    period: int
    r_C: int
    r_L: int
    v_ER: int
    k_ER: int
    c0: int
    c1: int
    a2: int
    d1: int
    d2: int
    d3: int
    d5: int


w = Rows(*range(0, LANES * len(Rows._fields), LANES))
SUMS = LANES * len(Rows._fields)
NEURONS = SUMS + LANES * N_STATISTICS


def longest_piece(ratio: int) -> int:
    """Neuron steps of a piece, for `ratio` of them per astrocyte step: a divisor of half of that."""
    half = ratio // 2
    return next(steps for steps in range(min(half, LONGEST_PIECE), 0, -1) if half % steps == 0)


@_within
def _uniform(s0, s1, s2, s3):
    """One step of xoshiro256+, see `numba_kernels`: (uniform number on [0, 1), the four new words)."""
    word = s0 + s3
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return np.float64(word >> np.uint64(11)) * 1.1102230246251565e-16, s0, s1, s2, s3


@_within
def _neuron(count, at, v, ag, until, membrane_decay, jump, v_th, dag, refractory):
    """`count` quanta arrive at the end of step `at`, counted from 1 in a piece: (fired, v, 2-AG, step at which it is open)."""
    v = v * membrane_decay
    v = v + jump * count if until <= at else v
    fired = v >= v_th
    return fired, 0.0 if fired else v, ag + dag if fired else ag, refractory + at if fired else until


@_within
def _rk4(ca, h, opening, binding, opening_middle, binding_middle, opening_end, binding_end, dt, r_L, v_ER, k_ER, c0, c1, a2,
         d5):  # fmt: skip
    """`numba_kernels._rk4` with what IP3 decides at the start, the middle and the end of the step."""
    a_ca, a_h = _derivatives(ca, h, opening, binding, r_L, v_ER, k_ER, c0, c1, a2, d5)
    half = 0.5 * dt
    b_ca, b_h = _derivatives(
        ca + half * a_ca, h + half * a_h, opening_middle, binding_middle, r_L, v_ER, k_ER, c0, c1, a2, d5
    )
    c_ca, c_h = _derivatives(
        ca + half * b_ca, h + half * b_h, opening_middle, binding_middle, r_L, v_ER, k_ER, c0, c1, a2, d5
    )
    d_ca, d_h = _derivatives(ca + dt * c_ca, h + dt * c_h, opening_end, binding_end, r_L, v_ER, k_ER, c0, c1, a2, d5)
    sixth = dt / 6.0
    return ca + sixth * (a_ca + 2.0 * (b_ca + c_ca) + d_ca), h + sixth * (a_h + 2.0 * (b_h + c_h) + d_h)


@numba.njit(**OPTIONS)
def _again(x, l, neurons, i, n, terms, steps):
    """The piece of neuron `i` of lane `l` once more, from what was kept, with every count that `terms` terms can give."""
    v, ag, until = x[w.v_kept + l], x[w.ag_kept + l], x[w.until_kept + l]
    spikes, releases, jump_to_ip3 = x[w.spikes_kept + l], x[w.releases_kept + l], x[w.jump_to_ip3_kept + l]
    drawn = NEURONS + 3 * neurons * LANES
    base = drawn + neurons * steps * LANES
    weights = base + steps * LANES
    for s in range(steps):
        u = x[drawn + (s * neurons + i) * LANES + l]
        ag = ag * x[w.ag_decay + l]
        p = min(max(x[base + s * LANES + l] + x[w.p_ag + l] * ag, 0.0), x[w.p_max + l])
        count = _few_releases(u, p, n)
        if count > 2.0:
            count = _binomial_count(u, p, n, terms)
        fired, v, ag, until = _neuron(
            count, s + 1.0, v, ag, until, x[w.membrane_decay + l], x[w.jump + l], x[w.v_th + l], x[w.dag + l],
            x[w.refractory + l],
        )  # fmt: skip
        releases += count
        if fired:
            spikes += 1.0
            jump_to_ip3 += x[weights + s * LANES + l]
    x[NEURONS + i * LANES + l] = v
    x[NEURONS + (neurons + i) * LANES + l] = ag
    x[NEURONS + (2 * neurons + i) * LANES + l] = until
    x[w.spikes + l], x[w.releases + l], x[w.jump_to_ip3 + l] = spikes, releases, jump_to_ip3


@functools.cache
def kernel(
    stamp: str, n_neurons: int, n_synapses: int, rule: int, algebraic: bool, piece: int, cache: bool = True
) -> Callable[..., None]:
    """Compile (or load) the kernel for one structure; `stamp` as in `numba_kernels.kernel`, `piece` from `longest_piece`.

    Arguments as there, without those of processes that this structure has not; `terms` cuts the binomial count.
    """
    m_ = n_neurons
    n_ = n_synapses
    steps = piece
    # Rows of neurons and of steps follow those of `Rows`.
    v_ = NEURONS
    ag_ = v_ + m_ * LANES
    until_ = ag_ + m_ * LANES
    drawn = until_ + m_ * LANES  # uniform numbers, [steps, neurons]
    base = drawn + m_ * steps * LANES  # p without 2-AG, [steps]
    weight = base + steps * LANES  # IP3 at the end of the piece for a spike in each of its steps
    size = weight + steps * LANES

    @numba.njit(nogil=True, cache=cache, **OPTIONS)
    def run(coef, ref_steps, rng, Ca, h, IP3, Glu, eSP, v, AG, terms, ratio, n_astro, n_settle, record_every, dt_astro, stats,
            traces, units, stop):  # fmt: skip
        if stamp == "":
            return
        memory = np.zeros(size + 8)
        start = (-(memory.ctypes.data // 8)) % 8
        x = memory[start : start + size]
        words = x[: 4 * LANES].view(np.uint64)
        pieces = ratio // steps

        for block in range(0, units.size, LANES):
            live = min(LANES, units.size - block)
            lanes = (live + WIDTH - 1) // WIDTH * WIDTH
            for l in range(lanes):
                # Lanes beyond the last unit repeat it; their results are not written.
                u = units[block + min(l, live - 1)]
                for r in range(4):
                    words[r * LANES + l] = rng[r, u]
                x[w.ca + l] = Ca[u]
                x[w.h + l] = h[u]
                x[w.ip3 + l] = IP3[u]
                x[w.glu + l] = Glu[u]
                x[w.esp + l] = eSP[u]
                x[w.glu_last + l] = Glu[u]
                x[w.esp_last + l] = eSP[u]
                now = Ca[u] >= coef[k.Ca_th, u]
                x[w.above + l] = 1.0 if now else 0.0
                x[w.level + l] = coef[k.glu_level, u] if (rule == CONTINUOUS and now) else 0.0
                x[w.latched + l] = 0.0
                x[w.timer + l] = 0.0
                for i in range(m_):
                    x[v_ + i * LANES + l] = v[i, u]
                    x[ag_ + i * LANES + l] = AG[i, u]
                    x[until_ + i * LANES + l] = 0.0
                for r in range(N_STATISTICS):
                    x[SUMS + r * LANES + l] = 0.0
                x[SUMS + CA_MIN * LANES + l] = np.inf
                x[SUMS + CA_MAX * LANES + l] = -np.inf

                x[w.membrane_decay + l] = coef[k.membrane_decay, u]
                x[w.ag_decay + l] = coef[k.ag_decay, u]
                x[w.glu_decay + l] = coef[k.glu_decay, u]
                x[w.jump + l] = coef[k.jump, u]
                x[w.v_th + l] = coef[k.v_th, u]
                x[w.dag + l] = coef[k.dAG, u]
                x[w.refractory + l] = ref_steps[u]
                p_max = coef[k.input_probability, u]
                p_percent = p_max * coef[k.PR0, u] / 100.0
                x[w.p_max + l] = p_max
                x[w.p_rest + l] = p_max * coef[k.PR0, u]
                x[w.p_esp + l] = p_percent
                x[w.p_ag + l] = p_percent * coef[k.K_AG, u]
                x[w.bound + l] = _two_at_most(p_max, n_)
                x[w.ip3_rest + l] = coef[k.IP3_rest, u]
                x[w.glu_level + l] = coef[k.glu_level, u]
                x[w.m_esp + l] = coef[k.m_eSP, u]
                x[w.PR0 + l] = coef[k.PR0, u]
                x[w.K_AG + l] = coef[k.K_AG, u]
                x[w.ca_th + l] = coef[k.Ca_th, u]
                x[w.dglu + l] = coef[k.dGlu, u]
                x[w.period + l] = coef[k.release_period, u]
                x[w.r_C + l] = coef[k.r_C, u]
                x[w.r_L + l] = coef[k.r_L, u]
                x[w.v_ER + l] = coef[k.v_ER, u]
                x[w.k_ER + l] = coef[k.k_ER, u]
                x[w.c0 + l] = coef[k.c0, u]
                x[w.c1 + l] = coef[k.c1, u]
                x[w.a2 + l] = coef[k.a2, u]
                x[w.d1 + l] = coef[k.d1, u]
                x[w.d2 + l] = coef[k.d2, u]
                x[w.d3 + l] = coef[k.d3, u]
                x[w.d5 + l] = coef[k.d5, u]
                x[w.opening + l], x[w.binding + l] = _channel(
                    IP3[u], coef[k.r_C, u], coef[k.a2, u], coef[k.d1, u], coef[k.d2, u], coef[k.d3, u]
                )

                # Proportional e-SP is one that forgets at once and gets all from the glutamate of this step.
                esp_decay = 0.0 if algebraic else coef[k.esp_decay, u]
                glu_to_esp = coef[k.m_eSP, u] * coef[k.glu_decay, u] if algebraic else coef[k.glu_to_esp, u]
                x[w.esp_decay + l] = esp_decay
                x[w.p_glu + l] = p_percent * glu_to_esp
                # Steps one after the other make those of a piece.
                ag_left, ip3_left, ip3_made = 1.0, 1.0, 0.0
                glu_left, esp_left, esp_made = 1.0, 1.0, 0.0
                for s in range(steps):
                    x[weight + (steps - 1 - s) * LANES + l] = coef[k.dAG, u] * ip3_made
                    ip3_made = ip3_made * coef[k.ip3_decay, u] + ag_left * coef[k.ag_to_ip3, u]
                    ag_left *= coef[k.ag_decay, u]
                    ip3_left *= coef[k.ip3_decay, u]
                    esp_made = esp_made * esp_decay + glu_left * glu_to_esp
                    glu_left *= coef[k.glu_decay, u]
                    esp_left *= esp_decay
                x[w.ip3_decay_piece + l] = ip3_left
                x[w.ag_to_ip3_piece + l] = ip3_made
                x[w.glu_decay_piece + l] = glu_left
                x[w.esp_decay_piece + l] = esp_left
                x[w.glu_to_esp_piece + l] = esp_made

            sample = 0
            for a in range(n_astro):
                if stop[0] != 0:
                    return
                measured = a >= n_settle
                for b in range(pieces):
                    # Uniform numbers of all neurons and steps, and whether one may mean more than two releases.
                    for l in range(lanes):
                        x[w.top + l] = 0.0
                    for first in range(0, m_ * steps, steps):
                        for l in range(lanes):
                            s0, s1 = words[w.s0 + l], words[w.s1 + l]
                            s2, s3 = words[w.s2 + l], words[w.s3 + l]
                            top = x[w.top + l]
                            for s in range(steps):
                                number, s0, s1, s2, s3 = _uniform(s0, s1, s2, s3)
                                x[drawn + (first + s) * LANES + l] = number
                                top = max(top, number)
                            words[w.s0 + l] = s0
                            words[w.s1 + l] = s1
                            words[w.s2 + l] = s2
                            words[w.s3 + l] = s3
                            x[w.top + l] = top
                    beyond = 0
                    for l in range(lanes):
                        beyond |= 1 if x[w.top + l] >= x[w.bound + l] else 0

                    # Glutamate, e-SP, and IP3 but for what spikes of this piece add.
                    for l in range(lanes):
                        over = x[w.glu + l] - x[w.level + l]
                        esp_level = x[w.m_esp + l] * x[w.level + l]
                        esp = x[w.esp + l] - esp_level
                        p_level = x[w.p_rest + l] + x[w.p_esp + l] * esp_level
                        p_esp = x[w.p_esp + l] * esp
                        p_glu = x[w.p_glu + l] * over
                        for s in range(steps):
                            p_esp = p_esp * x[w.esp_decay + l] + p_glu
                            p_glu = p_glu * x[w.glu_decay + l]
                            x[base + s * LANES + l] = p_level + p_esp
                        x[w.esp + l] = esp_level + (esp * x[w.esp_decay_piece + l] + over * x[w.glu_to_esp_piece + l])
                        x[w.glu + l] = x[w.level + l] + over * x[w.glu_decay_piece + l]
                        x[w.jump_to_ip3 + l] = 0.0
                    for l in range(lanes):
                        ag = x[ag_ + l]
                        for i in range(1, m_):
                            ag += x[ag_ + i * LANES + l]
                        rest = x[w.ip3_rest + l]
                        x[w.ip3 + l] = (
                            rest + (x[w.ip3 + l] - rest) * x[w.ip3_decay_piece + l] + ag * x[w.ag_to_ip3_piece + l]
                        )
                    if b == 0:
                        for l in range(lanes):
                            x[w.spikes + l] = 0.0
                            x[w.releases + l] = 0.0

                    for i in range(m_):
                        if beyond != 0:
                            for l in range(lanes):
                                x[w.v_kept + l] = x[v_ + i * LANES + l]
                                x[w.ag_kept + l] = x[ag_ + i * LANES + l]
                                x[w.until_kept + l] = x[until_ + i * LANES + l]
                                x[w.spikes_kept + l] = x[w.spikes + l]
                                x[w.releases_kept + l] = x[w.releases + l]
                                x[w.jump_to_ip3_kept + l] = x[w.jump_to_ip3 + l]
                        for s in range(steps):
                            for l in range(lanes):
                                ag = x[ag_ + i * LANES + l] * x[w.ag_decay + l]
                                p = min(max(x[base + s * LANES + l] + x[w.p_ag + l] * ag, 0.0), x[w.p_max + l])
                                count = _up_to_two(x[drawn + (s * m_ + i) * LANES + l], p, n_)
                                fired, v_new, ag, until = _neuron(
                                    count, s + 1.0, x[v_ + i * LANES + l], ag, x[until_ + i * LANES + l],
                                    x[w.membrane_decay + l], x[w.jump + l], x[w.v_th + l], x[w.dag + l], x[w.refractory + l],
                                )  # fmt: skip
                                x[v_ + i * LANES + l] = v_new
                                x[ag_ + i * LANES + l] = ag
                                x[until_ + i * LANES + l] = until
                                x[w.releases + l] += count
                                x[w.spikes + l] += 1.0 if fired else 0.0
                                x[w.jump_to_ip3 + l] += x[weight + s * LANES + l] if fired else 0.0
                        if beyond != 0:
                            for l in range(lanes):
                                if x[w.top + l] >= x[w.bound + l]:
                                    _again(x, l, m_, i, n_, terms, steps)
                        for l in range(lanes):
                            x[until_ + i * LANES + l] = max(x[until_ + i * LANES + l] - steps, 0.0)
                    for l in range(lanes):
                        x[w.ip3 + l] += x[w.jump_to_ip3 + l]
                    if 2 * (b + 1) == pieces:
                        for l in range(lanes):
                            x[w.opening_middle + l], x[w.binding_middle + l] = _channel(
                                x[w.ip3 + l], x[w.r_C + l], x[w.a2 + l], x[w.d1 + l], x[w.d2 + l], x[w.d3 + l]
                            )

                for l in range(lanes):
                    opening, binding = _channel(
                        x[w.ip3 + l], x[w.r_C + l], x[w.a2 + l], x[w.d1 + l], x[w.d2 + l], x[w.d3 + l]
                    )
                    ca_new, h_new = _rk4(
                        x[w.ca + l], x[w.h + l], x[w.opening + l], x[w.binding + l], x[w.opening_middle + l],
                        x[w.binding_middle + l], opening, binding, dt_astro, x[w.r_L + l], x[w.v_ER + l], x[w.k_ER + l],
                        x[w.c0 + l], x[w.c1 + l], x[w.a2 + l], x[w.d5 + l],
                    )  # fmt: skip
                    x[w.before + l] = x[w.ca + l]
                    x[w.ca + l] = ca_new
                    x[w.h + l] = h_new
                    x[w.opening + l] = opening
                    x[w.binding + l] = binding
                if measured:
                    # Before pulses, which fall on the ends of astrocyte steps; a sample after the pulse would be too high.
                    for l in range(lanes):
                        x[SUMS + GLU_SUM * LANES + l] += 0.5 * (x[w.glu_last + l] + x[w.glu + l])
                        x[SUMS + ESP_SUM * LANES + l] += 0.5 * (x[w.esp_last + l] + x[w.esp + l])
                crossed = 0
                for l in range(lanes):
                    now = 1.0 if x[w.ca + l] >= x[w.ca_th + l] else 0.0
                    crossed |= 1 if now > x[w.above + l] else 0
                if measured and crossed != 0:
                    for l in range(lanes):
                        if x[w.ca + l] >= x[w.ca_th + l] and x[w.above + l] == 0.0:
                            before = x[w.before + l]
                            moment = (a + (x[w.ca_th + l] - before) / (x[w.ca + l] - before)) * dt_astro
                            if x[SUMS + CROSSINGS * LANES + l] == 0.0:
                                x[SUMS + FIRST_CROSSING * LANES + l] = moment
                            x[SUMS + LAST_CROSSING * LANES + l] = moment
                            x[SUMS + CROSSINGS * LANES + l] += 1.0
                if rule != CONTINUOUS:
                    for l in range(lanes):
                        now = x[w.ca + l] >= x[w.ca_th + l]
                        if now or x[w.latched + l] != 0.0:
                            pulse, latched, x[w.timer + l] = _release_event(
                                rule, now, x[w.above + l] != 0.0, x[w.latched + l] != 0.0, x[w.timer + l], dt_astro,
                                x[w.period + l],
                            )  # fmt: skip
                            x[w.latched + l] = 1.0 if latched else 0.0
                            x[w.glu + l] += x[w.dglu + l] * pulse
                            if algebraic:
                                x[w.esp + l] = x[w.m_esp + l] * x[w.glu + l]
                for l in range(lanes):
                    now = x[w.ca + l] >= x[w.ca_th + l]
                    x[w.above + l] = 1.0 if now else 0.0
                    if rule == CONTINUOUS:
                        x[w.level + l] = x[w.glu_level + l] if now else 0.0
                    x[w.glu_last + l] = x[w.glu + l]
                    x[w.esp_last + l] = x[w.esp + l]
                if measured:
                    for i in range(m_):
                        for l in range(lanes):
                            ag = x[ag_ + i * LANES + l]
                            x[SUMS + AG_SUM * LANES + l] += ag
                            x[SUMS + PR_SUM * LANES + l] += _release_probability(
                                ag, x[w.esp + l], x[w.PR0 + l], x[w.K_AG + l]
                            )
                    for l in range(lanes):
                        ca = x[w.ca + l]
                        x[SUMS + CA_SUM * LANES + l] += ca
                        x[SUMS + CA_SQUARES * LANES + l] += ca * ca
                        x[SUMS + CA_MIN * LANES + l] = min(x[SUMS + CA_MIN * LANES + l], ca)
                        x[SUMS + CA_MAX * LANES + l] = max(x[SUMS + CA_MAX * LANES + l], ca)
                        x[SUMS + IP3_SUM * LANES + l] += x[w.ip3 + l]
                        x[SUMS + SPIKES * LANES + l] += x[w.spikes + l]
                        x[SUMS + RELEASES * LANES + l] += x[w.releases + l]
                if record_every > 0 and (a + 1) % record_every == 0:
                    for l in range(live):
                        u = units[block + l]
                        traces[0, sample, u] = x[w.ca + l]
                        traces[1, sample, u] = x[w.h + l]
                        traces[2, sample, u] = x[w.ip3 + l]
                        traces[3, sample, u] = x[w.glu + l]
                        traces[4, sample, u] = x[w.esp + l]
                        for i in range(m_):
                            ag = x[ag_ + i * LANES + l]
                            traces[5 + i, sample, u] = ag
                            traces[5 + m_ + i, sample, u] = _release_probability(
                                ag, x[w.esp + l], x[w.PR0 + l], x[w.K_AG + l]
                            )
                            traces[5 + 2 * m_ + i, sample, u] = x[v_ + i * LANES + l]
                    sample += 1

            for l in range(live):
                u = units[block + l]
                Ca[u] = x[w.ca + l]
                h[u] = x[w.h + l]
                IP3[u] = x[w.ip3 + l]
                Glu[u] = x[w.glu + l]
                eSP[u] = x[w.esp + l]
                for i in range(m_):
                    v[i, u] = x[v_ + i * LANES + l]
                    AG[i, u] = x[ag_ + i * LANES + l]
                for r in range(N_STATISTICS):
                    stats[r, u] = x[SUMS + r * LANES + l]

    return run  # type: ignore[no-any-return]


# Rows of the table of coefficients, by name.
_Coefficients = NamedTuple("_Coefficients", [(name, int) for name in ROW])  # type: ignore[misc]
k = _Coefficients(**ROW)
CONTINUOUS = gliotransmission.CONTINUOUS
_two_at_most = numba.njit(**OPTIONS)(release.two_at_most)
