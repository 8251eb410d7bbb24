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
import math
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ..ensemble import Ensemble
from ..processes import gliotransmission, li_rinzel, release
from . import experiment_arrays
from .numba_kernels import (
    AG_SUM, CA_MAX, CA_MIN, CA_SQUARES, CA_SUM, CROSSINGS, ESP_SUM, FIRST_CROSSING, GLU_SUM, IP3_SUM, LAST_CROSSING,
    N_STATISTICS, OPTIONS, PR_SUM, RELEASES, SPIKES,
)  # fmt: skip
from .propagators import ROW

# The chain of operations of one step is long: the processor needs several vectors at hand to be busy.
LANES = 64
LONGEST_PIECE = 5
# More neurons do not fit into the nearest cache.
MOST_NEURONS = 16
# Probability of a count above two in a step of a neuron, if every input released.
MOST_ABOVE_TWO = 0.03

_inline = numba.njit(inline="always", **OPTIONS)
_within = numba.njit(forceinline=True, **OPTIONS)
_release_probability = _within(release.release_probability)
_up_to_two = _inline(release.up_to_two)
_channel = _within(li_rinzel.channel)
_derivatives = _within(li_rinzel.derivatives_at)
_few_releases = numba.njit(**OPTIONS)(release.few_releases)
_binomial_count = numba.njit(**OPTIONS)(release.binomial_count)
_release_event = _within(gliotransmission.release_event)
_two_at_most = numba.njit(**OPTIONS)(release.two_at_most)
CONTINUOUS, UPWARD = gliotransmission.CONTINUOUS, gliotransmission.UPWARD


class Rows(NamedTuple):
    """Rows of a block, besides those of sums, neurons and steps."""

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
    above: int  # 1 where calcium is at or over the threshold
    before: int  # calcium and whether it was above, at the start of the astrocyte step
    above_before: int
    timer: int
    latched: int
    opening: int  # what IP3 decides at the start of the astrocyte step,
    opening_middle: int
    opening_end: int
    binding: int
    binding_middle: int
    binding_end: int
    stage_ca: int  # where a stage of the Runge-Kutta step is taken
    stage_h: int
    sum_ca: int  # what the stages add up to
    sum_h: int
    glu_last: int
    esp_last: int
    top: int  # largest uniform number of a piece
    # Coefficients: made here
    p_ag: int
    p_rest: int
    p_esp: int
    p_glu: int
    bound: int  # uniform numbers below it make a count of at most two at any release probability
    refractory: int
    esp_decay: int
    ip3_decay_piece: int
    ag_to_ip3_piece: int
    glu_decay_piece: int
    esp_decay_piece: int
    glu_to_esp_piece: int
    # and as they are in the table, by its names
    membrane_decay: int
    ag_decay: int
    glu_decay: int
    jump: int
    v_th: int
    dAG: int
    input_probability: int
    IP3_rest: int
    glu_level: int
    m_eSP: int
    PR0: int
    K_AG: int
    Ca_th: int
    dGlu: int
    release_period: int
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
# Rows of the table of coefficients, by name, and those that are copied: from which row to which place.
_Coefficients = NamedTuple("_Coefficients", [(name, int) for name in ROW])  # type: ignore[misc]
k = _Coefficients(**ROW)
_COPIED = Rows._fields[Rows._fields.index("membrane_decay") :]
_FROM = np.array([ROW[name] for name in _COPIED])
_TO = np.array([getattr(w, name) for name in _COPIED])


def suited(ensemble: Ensemble) -> NDArray[np.bool_]:
    """Which units this kernel advances: none where a process or an experiment is asked for that it has not.

    Beside that it follows from the unit's own input rate: where counts above two are frequent, `numba_kernels` is faster.
    """
    p = ensemble.parameters
    structure = ensemble.input == "poisson" and p.synapse == "quantum" and not p.has_options and p.n_neurons <= MOST_NEURONS
    if not structure or any(experiment_arrays.flags(ensemble).values()):
        return np.zeros(ensemble.n_units, dtype=np.bool_)
    return math.comb(p.n_synapses, 3) * (ensemble.rate * ensemble.clock.dt) ** 3 < MOST_ABOVE_TWO


def block_size(n_units: int, threads: int) -> int:
    """Units of a block: all lanes, or fewer where some of the threads would have nothing to do."""
    share = -(-n_units // threads)
    return min(LANES, -(-share // 8) * 8)


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
    """`count` quanta arrive at the end of step `at` of the run: (fired, v, 2-AG, first step at which it is open)."""
    v = v * membrane_decay
    v = v + jump * count if until <= at else v
    fired = v >= v_th
    return fired, 0.0 if fired else v, ag + dag if fired else ag, refractory + at if fired else until


@numba.njit(**OPTIONS)
def _again(x, l, kept, neurons, i, n, terms, steps, started):
    """The piece of neuron `i` of lane `l` once more, from what was `kept`, with every count that `terms` terms can give.

    Nothing is done where no count above two is possible at the release probabilities of this piece: `bound` allows for any.
    """
    v, ag, until = kept[0, l], kept[1, l], kept[2, l]
    ip3, spikes, releases = kept[3, l], kept[4, l], kept[5, l]
    drawn = NEURONS + 3 * neurons * LANES
    base = drawn + neurons * steps * LANES
    weights = base + steps * LANES
    highest, least = 0.0, ag
    for s in range(steps):
        # 2-AG only lowers p, and without a spike there is least of it.
        least *= x[w.ag_decay + l]
        highest = max(highest, x[base + s * LANES + l])
    highest = min(max(highest + x[w.p_ag + l] * least, 0.0), x[w.input_probability + l])
    if x[w.top + l] < _two_at_most(highest, n):
        return
    for s in range(steps):
        u = x[drawn + (s * neurons + i) * LANES + l]
        ag = ag * x[w.ag_decay + l]
        p = min(max(x[base + s * LANES + l] + x[w.p_ag + l] * ag, 0.0), x[w.input_probability + l])
        count = _few_releases(u, p, n)
        if count > 2.0:
            count = _binomial_count(u, p, n, terms)
        fired, v, ag, until = _neuron(
            count, started + (s + 1.0), v, ag, until, x[w.membrane_decay + l], x[w.jump + l], x[w.v_th + l], x[w.dAG + l],
            x[w.refractory + l],
        )  # fmt: skip
        releases += count
        if fired:
            spikes += 1.0
            ip3 += x[weights + s * LANES + l]
    x[NEURONS + i * LANES + l] = v
    x[NEURONS + (neurons + i) * LANES + l] = ag
    x[NEURONS + (2 * neurons + i) * LANES + l] = until
    x[w.ip3 + l] = ip3
    x[SUMS + SPIKES * LANES + l] = spikes
    x[SUMS + RELEASES * LANES + l] = releases


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
        kept = np.empty((6, LANES))

        for block in range(0, units.size, LANES):
            live = min(LANES, units.size - block)
            # The next multiple of eight, in a form that shows the compiler that it is at most 64.
            lanes = ((((live - 1) >> 3) & 7) << 3) + 8
            for l in range(lanes):
                # Lanes beyond the last unit repeat it; their results are not written.
                u = units[block + min(l, live - 1)]
                for r in range(4):
                    words[r * LANES + l] = rng[r, u]
                for r in range(_FROM.size):
                    x[_TO[r] + l] = coef[_FROM[r], u]
                x[w.ca + l] = Ca[u]
                x[w.h + l] = h[u]
                x[w.ip3 + l] = IP3[u]
                x[w.glu + l] = Glu[u]
                x[w.esp + l] = eSP[u]
                x[w.glu_last + l] = Glu[u]
                x[w.esp_last + l] = eSP[u]
                now = Ca[u] >= x[w.Ca_th + l]
                x[w.above + l] = 1.0 if now else 0.0
                x[w.level + l] = x[w.glu_level + l] if (rule == CONTINUOUS and now) else 0.0
                x[w.latched + l] = 0.0
                x[w.timer + l] = 0.0
                x[w.opening + l], x[w.binding + l] = _channel(
                    IP3[u], x[w.r_C + l], x[w.a2 + l], x[w.d1 + l], x[w.d2 + l], x[w.d3 + l]
                )
                for i in range(m_):
                    x[v_ + i * LANES + l] = v[i, u]
                    x[ag_ + i * LANES + l] = AG[i, u]
                    x[until_ + i * LANES + l] = 0.0
                for r in range(N_STATISTICS):
                    x[SUMS + r * LANES + l] = 0.0
                x[SUMS + CA_MIN * LANES + l] = np.inf
                x[SUMS + CA_MAX * LANES + l] = -np.inf

                x[w.refractory + l] = ref_steps[u]
                x[w.p_rest + l] = x[w.input_probability + l] * x[w.PR0 + l]
                x[w.p_esp + l] = x[w.p_rest + l] / 100.0
                x[w.p_ag + l] = x[w.p_esp + l] * x[w.K_AG + l]
                x[w.bound + l] = _two_at_most(x[w.input_probability + l], n_)
                # Proportional e-SP is one that forgets at once and gets all from the glutamate of this step.
                esp_decay = 0.0 if algebraic else coef[k.esp_decay, u]
                glu_to_esp = x[w.m_eSP + l] * x[w.glu_decay + l] if algebraic else coef[k.glu_to_esp, u]
                x[w.esp_decay + l] = esp_decay
                x[w.p_glu + l] = x[w.p_esp + l] * glu_to_esp
                # Steps one after the other make those of a piece.
                ag_left, ip3_left, ip3_made = 1.0, 1.0, 0.0
                glu_left, esp_left, esp_made = 1.0, 1.0, 0.0
                for s in range(steps):
                    x[weight + (steps - 1 - s) * LANES + l] = x[w.dAG + l] * ip3_made
                    ip3_made = ip3_made * coef[k.ip3_decay, u] + ag_left * coef[k.ag_to_ip3, u]
                    ag_left *= x[w.ag_decay + l]
                    ip3_left *= coef[k.ip3_decay, u]
                    esp_made = esp_made * esp_decay + glu_left * glu_to_esp
                    glu_left *= x[w.glu_decay + l]
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
                if a == n_settle:
                    for l in range(lanes):
                        x[SUMS + SPIKES * LANES + l] = 0.0
                        x[SUMS + RELEASES * LANES + l] = 0.0
                for b in range(pieces):
                    started = np.float64((a * pieces + b) * steps)
                    # Uniform numbers of all neurons and steps, and whether one may mean more than two releases.
                    beyond = 0
                    for first in range(0, m_ * steps, steps):
                        for l in range(lanes):
                            s0, s1 = words[w.s0 + l], words[w.s1 + l]
                            s2, s3 = words[w.s2 + l], words[w.s3 + l]
                            top = 0.0 if first == 0 else x[w.top + l]
                            for s in range(steps):
                                number, s0, s1, s2, s3 = _uniform(s0, s1, s2, s3)
                                x[drawn + (first + s) * LANES + l] = number
                                top = max(top, number)
                            words[w.s0 + l] = s0
                            words[w.s1 + l] = s1
                            words[w.s2 + l] = s2
                            words[w.s3 + l] = s3
                            x[w.top + l] = top
                            beyond |= 1 if top >= x[w.bound + l] else 0

                    # Glutamate, e-SP, and IP3 but for what spikes of this piece add.
                    for l in range(lanes):
                        level = x[w.level + l]
                        over = x[w.glu + l] - level
                        esp_level = x[w.m_eSP + l] * level
                        esp = x[w.esp + l] - esp_level
                        p_level = x[w.p_rest + l] + x[w.p_esp + l] * esp_level
                        p_esp = x[w.p_esp + l] * esp
                        p_glu = x[w.p_glu + l] * over
                        for s in range(steps):
                            p_esp = p_esp * x[w.esp_decay + l] + p_glu
                            p_glu = p_glu * x[w.glu_decay + l]
                            x[base + s * LANES + l] = p_level + p_esp
                        x[w.esp + l] = esp_level + (esp * x[w.esp_decay_piece + l] + over * x[w.glu_to_esp_piece + l])
                        x[w.glu + l] = level + over * x[w.glu_decay_piece + l]
                        ag = x[ag_ + l]
                        for i in range(1, m_):
                            ag += x[ag_ + i * LANES + l]
                        rest = x[w.IP3_rest + l]
                        x[w.ip3 + l] = (
                            rest + (x[w.ip3 + l] - rest) * x[w.ip3_decay_piece + l] + ag * x[w.ag_to_ip3_piece + l]
                        )

                    for i in range(m_):
                        if beyond != 0:
                            for l in range(lanes):
                                kept[0, l] = x[v_ + i * LANES + l]
                                kept[1, l] = x[ag_ + i * LANES + l]
                                kept[2, l] = x[until_ + i * LANES + l]
                                kept[3, l] = x[w.ip3 + l]
                                kept[4, l] = x[SUMS + SPIKES * LANES + l]
                                kept[5, l] = x[SUMS + RELEASES * LANES + l]
                        for s in range(steps):
                            at = started + (s + 1.0)
                            for l in range(lanes):
                                ag = x[ag_ + i * LANES + l] * x[w.ag_decay + l]
                                p = min(max(x[base + s * LANES + l] + x[w.p_ag + l] * ag, 0.0), x[w.input_probability + l])
                                count = _up_to_two(x[drawn + (s * m_ + i) * LANES + l], p, n_)
                                fired, v_new, ag, until = _neuron(
                                    count, at, x[v_ + i * LANES + l], ag, x[until_ + i * LANES + l],
                                    x[w.membrane_decay + l], x[w.jump + l], x[w.v_th + l], x[w.dAG + l], x[w.refractory + l],
                                )  # fmt: skip
                                x[v_ + i * LANES + l] = v_new
                                x[ag_ + i * LANES + l] = ag
                                x[until_ + i * LANES + l] = until
                                x[w.ip3 + l] += x[weight + s * LANES + l] if fired else 0.0
                                x[SUMS + SPIKES * LANES + l] += 1.0 if fired else 0.0
                                x[SUMS + RELEASES * LANES + l] += count
                        if beyond != 0:
                            for l in range(lanes):
                                if x[w.top + l] >= x[w.bound + l]:
                                    _again(x, l, kept, m_, i, n_, terms[units[block + min(l, live - 1)]], steps, started)
                    if 2 * (b + 1) == pieces:
                        for l in range(lanes):
                            x[w.opening_middle + l], x[w.binding_middle + l] = _channel(
                                x[w.ip3 + l], x[w.r_C + l], x[w.a2 + l], x[w.d1 + l], x[w.d2 + l], x[w.d3 + l]
                            )

                # The classical Runge-Kutta step, one stage of all lanes after the other: within a lane each waits for the last.
                for l in range(lanes):
                    x[w.opening_end + l], x[w.binding_end + l] = _channel(
                        x[w.ip3 + l], x[w.r_C + l], x[w.a2 + l], x[w.d1 + l], x[w.d2 + l], x[w.d3 + l]
                    )
                    ca, gate = x[w.ca + l], x[w.h + l]
                    x[w.before + l] = ca
                    x[w.stage_ca + l], x[w.stage_h + l] = ca, gate
                    x[w.sum_ca + l], x[w.sum_h + l] = ca, gate
                for stage in range(4):
                    # IP3 is that of the start, twice of the middle, and of the end.
                    moment_of_ip3 = (stage + 1) // 2 * LANES
                    share = dt_astro / 3.0 if 0 < stage < 3 else dt_astro / 6.0
                    ahead = dt_astro if stage == 2 else 0.5 * dt_astro
                    for l in range(lanes):
                        dca, dh = _derivatives(
                            x[w.stage_ca + l], x[w.stage_h + l], x[w.opening + moment_of_ip3 + l],
                            x[w.binding + moment_of_ip3 + l], x[w.r_L + l], x[w.v_ER + l], x[w.k_ER + l], x[w.c0 + l],
                            x[w.c1 + l], x[w.a2 + l], x[w.d5 + l],
                        )  # fmt: skip
                        x[w.sum_ca + l] += share * dca
                        x[w.sum_h + l] += share * dh
                        x[w.stage_ca + l] = x[w.ca + l] + ahead * dca
                        x[w.stage_h + l] = x[w.h + l] + ahead * dh
                crossed = 0
                for l in range(lanes):
                    ca = x[w.sum_ca + l]
                    x[w.ca + l] = ca
                    x[w.h + l] = x[w.sum_h + l]
                    x[w.opening + l] = x[w.opening_end + l]
                    x[w.binding + l] = x[w.binding_end + l]
                    now = 1.0 if ca >= x[w.Ca_th + l] else 0.0
                    crossed |= 1 if now > x[w.above + l] else 0
                    x[w.above_before + l] = x[w.above + l]
                    x[w.above + l] = now
                measured = a >= n_settle
                if measured:
                    for l in range(lanes):
                        # Before pulses, which fall on the ends of astrocyte steps; a sample after the pulse would be too high.
                        x[SUMS + GLU_SUM * LANES + l] += 0.5 * (x[w.glu_last + l] + x[w.glu + l])
                        x[SUMS + ESP_SUM * LANES + l] += 0.5 * (x[w.esp_last + l] + x[w.esp + l])
                if measured and crossed != 0:
                    for l in range(lanes):
                        if x[w.above + l] > x[w.above_before + l]:
                            before = x[w.before + l]
                            moment = (a + (x[w.Ca_th + l] - before) / (x[w.ca + l] - before)) * dt_astro
                            if x[SUMS + CROSSINGS * LANES + l] == 0.0:
                                x[SUMS + FIRST_CROSSING * LANES + l] = moment
                            x[SUMS + LAST_CROSSING * LANES + l] = moment
                            x[SUMS + CROSSINGS * LANES + l] += 1.0
                if rule == CONTINUOUS:
                    for l in range(lanes):
                        x[w.level + l] = x[w.glu_level + l] * x[w.above + l]
                elif rule != UPWARD or crossed != 0:
                    for l in range(lanes):
                        now = x[w.above + l] != 0.0
                        if now or x[w.latched + l] != 0.0:
                            pulse, latched, x[w.timer + l] = _release_event(
                                rule, now, x[w.above_before + l] != 0.0, x[w.latched + l] != 0.0, x[w.timer + l], dt_astro,
                                x[w.release_period + l],
                            )  # fmt: skip
                            x[w.latched + l] = 1.0 if latched else 0.0
                            x[w.glu + l] += x[w.dGlu + l] * pulse
                            if algebraic:
                                x[w.esp + l] = x[w.m_eSP + l] * x[w.glu + l]
                if measured:
                    for l in range(lanes):
                        ca = x[w.ca + l]
                        x[SUMS + CA_SUM * LANES + l] += ca
                        x[SUMS + CA_SQUARES * LANES + l] += ca * ca
                        x[SUMS + CA_MIN * LANES + l] = min(x[SUMS + CA_MIN * LANES + l], ca)
                        x[SUMS + CA_MAX * LANES + l] = max(x[SUMS + CA_MAX * LANES + l], ca)
                        x[SUMS + IP3_SUM * LANES + l] += x[w.ip3 + l]
                    for i in range(m_):
                        for l in range(lanes):
                            ag = x[ag_ + i * LANES + l]
                            x[SUMS + AG_SUM * LANES + l] += ag
                            x[SUMS + PR_SUM * LANES + l] += _release_probability(
                                ag, x[w.esp + l], x[w.PR0 + l], x[w.K_AG + l]
                            )
                for l in range(lanes):
                    x[w.glu_last + l] = x[w.glu + l]
                    x[w.esp_last + l] = x[w.esp + l]
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
