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
eight units with one instruction. The names AT_... are the places of their first
numbers.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

from ..ensemble import Ensemble
from ..processes import gliotransmission, li_rinzel, release
from . import experiment_arrays
from .numba_kernels import (
    AG_SUM,
    CA_MAX,
    CA_MIN,
    CA_SQUARES,
    CA_SUM,
    CROSSINGS,
    ESP_SUM,
    FIRST_CROSSING,
    GLU_SUM,
    IP3_SUM,
    LAST_CROSSING,
    N_STATISTICS,
    OPTIONS,
    PR_SUM,
    RELEASES,
    SPIKES,
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


# Places of the rows of a block, besides those of sums, neurons and steps. Plain numbers: attributes would slow the compiler.
(
    # First, apart from what is drawn with them: the words of the random streams.
    AT_S0, AT_S1, AT_S2, AT_S3,
    # State; level is that of glutamate in this astrocyte step, before is calcium at the start of it.
    AT_CA, AT_H, AT_IP3, AT_GLU, AT_ESP, AT_LEVEL, AT_ABOVE, AT_BEFORE, AT_ABOVE_BEFORE, AT_TIMER, AT_LATCHED,
    # What IP3 decides at the start, the middle and the end of the astrocyte step; place and sum of the Runge-Kutta stages.
    AT_OPENING, AT_OPENING_MIDDLE, AT_OPENING_END, AT_BINDING, AT_BINDING_MIDDLE, AT_BINDING_END, AT_STAGE_CA,
    AT_STAGE_H, AT_SUM_CA, AT_SUM_H,
    # What the last sample was, and the largest uniform number of a piece.
    AT_GLU_LAST, AT_ESP_LAST, AT_TOP,
    # Coefficients made here; uniform numbers below the bound make a count of at most two at any release probability.
    AT_P_AG, AT_P_REST, AT_P_ESP, AT_P_GLU, AT_BOUND, AT_REFRACTORY, AT_ESP_DECAY, AT_IP3_DECAY_PIECE,
    AT_AG_TO_IP3_PIECE, AT_GLU_DECAY_PIECE, AT_ESP_DECAY_PIECE, AT_GLU_TO_ESP_PIECE,
    # Coefficients as they are in the table, by its names.
    AT_MEMBRANE_DECAY, AT_AG_DECAY, AT_GLU_DECAY, AT_JUMP, AT_V_TH, AT_DAG, AT_INPUT_PROBABILITY, AT_IP3_REST,
    AT_GLU_LEVEL, AT_M_ESP, AT_PR0, AT_K_AG, AT_CA_TH, AT_DGLU, AT_RELEASE_PERIOD, AT_R_C, AT_R_L, AT_V_ER,
    AT_K_ER, AT_C0, AT_C1, AT_A2, AT_D1, AT_D2, AT_D3, AT_D5,
) = range(0, 66 * LANES, LANES)  # fmt: skip
N_ROWS = 66
SUMS = LANES * N_ROWS
NEURONS = SUMS + LANES * N_STATISTICS
# Rows of the table of coefficients that are copied, in the order of their places from AT_MEMBRANE_DECAY on.
COPIED = np.array([
    ROW[name]
    for name in (
        "membrane_decay", "ag_decay", "glu_decay", "jump", "v_th", "dAG", "input_probability", "IP3_rest",
        "glu_level", "m_eSP", "PR0", "K_AG", "Ca_th", "dGlu", "release_period", "r_C", "r_L", "v_ER", "k_ER",
        "c0", "c1", "a2", "d1", "d2", "d3", "d5",
    )
])  # fmt: skip
IP3_DECAY, AG_TO_IP3, ESP_DECAY, GLU_TO_ESP = (
    ROW[name] for name in ("ip3_decay", "ag_to_ip3", "esp_decay", "glu_to_esp")
)


def suited(ensemble: Ensemble) -> NDArray[np.bool_]:
    """Which units this kernel advances: none where a process or an experiment is asked for that it has not.

    Beside that it follows from the unit's own input rate: where counts above two are frequent, `numba_kernels` is faster.
    """
    p = ensemble.parameters
    structure = (
        ensemble.input == "poisson" and p.synapse == "quantum" and not p.has_options and p.n_neurons <= MOST_NEURONS
    )
    alone = ensemble.coupling is None and not any(experiment_arrays.flags(ensemble).values())
    if not structure or p.gchi or not alone:
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
def _neuron(count, at, u, v, ag, until, membrane_decay, jump, v_th, dag, refractory):
    """`count` quanta arrive at the end of step `at` of the run: (fired, v, 2-AG, the moment after which it is open).

    That moment, in steps, is `at` and what `lif.refractory_after` gives.
    """
    v = v * membrane_decay
    v = v + jump * count if until < at else v
    fired = v >= v_th
    scaled = u * 1048576.0
    opens = at + refractory + (scaled - math.floor(scaled))
    return fired, 0.0 if fired else v, ag + dag if fired else ag, opens if fired else until


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
        least *= x[AT_AG_DECAY + l]
        highest = max(highest, x[base + s * LANES + l])
    highest = min(max(highest + x[AT_P_AG + l] * least, 0.0), x[AT_INPUT_PROBABILITY + l])
    if x[AT_TOP + l] < _two_at_most(highest, n):
        return
    for s in range(steps):
        u = x[drawn + (s * neurons + i) * LANES + l]
        ag = ag * x[AT_AG_DECAY + l]
        p = min(max(x[base + s * LANES + l] + x[AT_P_AG + l] * ag, 0.0), x[AT_INPUT_PROBABILITY + l])
        count = _few_releases(u, p, n)
        if count > 2.0:
            count = _binomial_count(u, p, n, terms)
        fired, v, ag, until = _neuron(
            count, started + (s + 1.0), u, v, ag, until, x[AT_MEMBRANE_DECAY + l], x[AT_JUMP + l], x[AT_V_TH + l], x[AT_DAG + l],
            x[AT_REFRACTORY + l],
        )  # fmt: skip
        releases += count
        if fired:
            spikes += 1.0
            ip3 += x[weights + s * LANES + l]
    x[NEURONS + i * LANES + l] = v
    x[NEURONS + (neurons + i) * LANES + l] = ag
    x[NEURONS + (2 * neurons + i) * LANES + l] = until
    x[AT_IP3 + l] = ip3
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
    # Rows of neurons and of steps follow.
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
                for r in range(COPIED.size):
                    x[AT_MEMBRANE_DECAY + r * LANES + l] = coef[COPIED[r], u]
                x[AT_CA + l] = Ca[u]
                x[AT_H + l] = h[u]
                x[AT_IP3 + l] = IP3[u]
                x[AT_GLU + l] = Glu[u]
                x[AT_ESP + l] = eSP[u]
                x[AT_GLU_LAST + l] = Glu[u]
                x[AT_ESP_LAST + l] = eSP[u]
                now = Ca[u] >= x[AT_CA_TH + l]
                x[AT_ABOVE + l] = 1.0 if now else 0.0
                x[AT_LEVEL + l] = x[AT_GLU_LEVEL + l] if (rule == CONTINUOUS and now) else 0.0
                x[AT_LATCHED + l] = 0.0
                x[AT_TIMER + l] = 0.0
                x[AT_OPENING + l], x[AT_BINDING + l] = _channel(
                    IP3[u], x[AT_R_C + l], x[AT_A2 + l], x[AT_D1 + l], x[AT_D2 + l], x[AT_D3 + l]
                )
                for i in range(m_):
                    x[v_ + i * LANES + l] = v[i, u]
                    x[ag_ + i * LANES + l] = AG[i, u]
                    x[until_ + i * LANES + l] = 0.0
                for r in range(N_STATISTICS):
                    x[SUMS + r * LANES + l] = 0.0
                x[SUMS + CA_MIN * LANES + l] = np.inf
                x[SUMS + CA_MAX * LANES + l] = -np.inf

                x[AT_REFRACTORY + l] = ref_steps[u] - 0.5
                x[AT_P_REST + l] = x[AT_INPUT_PROBABILITY + l] * x[AT_PR0 + l]
                x[AT_P_ESP + l] = x[AT_P_REST + l] / 100.0
                x[AT_P_AG + l] = x[AT_P_ESP + l] * x[AT_K_AG + l]
                x[AT_BOUND + l] = _two_at_most(x[AT_INPUT_PROBABILITY + l], n_)
                # Proportional e-SP is one that forgets at once and gets all from the glutamate of this step.
                esp_decay = 0.0 if algebraic else coef[ESP_DECAY, u]
                glu_to_esp = x[AT_M_ESP + l] * x[AT_GLU_DECAY + l] if algebraic else coef[GLU_TO_ESP, u]
                x[AT_ESP_DECAY + l] = esp_decay
                x[AT_P_GLU + l] = x[AT_P_ESP + l] * glu_to_esp
                # Steps one after the other make those of a piece.
                ag_left, ip3_left, ip3_made = 1.0, 1.0, 0.0
                glu_left, esp_left, esp_made = 1.0, 1.0, 0.0
                for s in range(steps):
                    x[weight + (steps - 1 - s) * LANES + l] = x[AT_DAG + l] * ip3_made
                    ip3_made = ip3_made * coef[IP3_DECAY, u] + ag_left * coef[AG_TO_IP3, u]
                    ag_left *= x[AT_AG_DECAY + l]
                    ip3_left *= coef[IP3_DECAY, u]
                    esp_made = esp_made * esp_decay + glu_left * glu_to_esp
                    glu_left *= x[AT_GLU_DECAY + l]
                    esp_left *= esp_decay
                x[AT_IP3_DECAY_PIECE + l] = ip3_left
                x[AT_AG_TO_IP3_PIECE + l] = ip3_made
                x[AT_GLU_DECAY_PIECE + l] = glu_left
                x[AT_ESP_DECAY_PIECE + l] = esp_left
                x[AT_GLU_TO_ESP_PIECE + l] = esp_made

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
                            s0, s1 = words[AT_S0 + l], words[AT_S1 + l]
                            s2, s3 = words[AT_S2 + l], words[AT_S3 + l]
                            top = 0.0 if first == 0 else x[AT_TOP + l]
                            for s in range(steps):
                                number, s0, s1, s2, s3 = _uniform(s0, s1, s2, s3)
                                x[drawn + (first + s) * LANES + l] = number
                                top = max(top, number)
                            words[AT_S0 + l] = s0
                            words[AT_S1 + l] = s1
                            words[AT_S2 + l] = s2
                            words[AT_S3 + l] = s3
                            x[AT_TOP + l] = top
                            beyond |= 1 if top >= x[AT_BOUND + l] else 0

                    # Glutamate, e-SP, and IP3 but for what spikes of this piece add.
                    for l in range(lanes):
                        level = x[AT_LEVEL + l]
                        over = x[AT_GLU + l] - level
                        esp_level = x[AT_M_ESP + l] * level
                        esp = x[AT_ESP + l] - esp_level
                        p_level = x[AT_P_REST + l] + x[AT_P_ESP + l] * esp_level
                        p_esp = x[AT_P_ESP + l] * esp
                        p_glu = x[AT_P_GLU + l] * over
                        for s in range(steps):
                            p_esp = p_esp * x[AT_ESP_DECAY + l] + p_glu
                            p_glu = p_glu * x[AT_GLU_DECAY + l]
                            x[base + s * LANES + l] = p_level + p_esp
                        x[AT_ESP + l] = esp_level + (
                            esp * x[AT_ESP_DECAY_PIECE + l] + over * x[AT_GLU_TO_ESP_PIECE + l]
                        )
                        x[AT_GLU + l] = level + over * x[AT_GLU_DECAY_PIECE + l]
                        ag = x[ag_ + l]
                        for i in range(1, m_):
                            ag += x[ag_ + i * LANES + l]
                        rest = x[AT_IP3_REST + l]
                        x[AT_IP3 + l] = (
                            rest + (x[AT_IP3 + l] - rest) * x[AT_IP3_DECAY_PIECE + l] + ag * x[AT_AG_TO_IP3_PIECE + l]
                        )

                    for i in range(m_):
                        if beyond != 0:
                            for l in range(lanes):
                                kept[0, l] = x[v_ + i * LANES + l]
                                kept[1, l] = x[ag_ + i * LANES + l]
                                kept[2, l] = x[until_ + i * LANES + l]
                                kept[3, l] = x[AT_IP3 + l]
                                kept[4, l] = x[SUMS + SPIKES * LANES + l]
                                kept[5, l] = x[SUMS + RELEASES * LANES + l]
                        for s in range(steps):
                            at = started + (s + 1.0)
                            for l in range(lanes):
                                ag = x[ag_ + i * LANES + l] * x[AT_AG_DECAY + l]
                                p = min(
                                    max(x[base + s * LANES + l] + x[AT_P_AG + l] * ag, 0.0), x[AT_INPUT_PROBABILITY + l]
                                )
                                number = x[drawn + (s * m_ + i) * LANES + l]
                                count = _up_to_two(number, p, n_)
                                fired, v_new, ag, until = _neuron(
                                    count, at, number, x[v_ + i * LANES + l], ag, x[until_ + i * LANES + l],
                                    x[AT_MEMBRANE_DECAY + l], x[AT_JUMP + l], x[AT_V_TH + l], x[AT_DAG + l], x[AT_REFRACTORY + l],
                                )  # fmt: skip
                                x[v_ + i * LANES + l] = v_new
                                x[ag_ + i * LANES + l] = ag
                                x[until_ + i * LANES + l] = until
                                x[AT_IP3 + l] += x[weight + s * LANES + l] if fired else 0.0
                                x[SUMS + SPIKES * LANES + l] += 1.0 if fired else 0.0
                                x[SUMS + RELEASES * LANES + l] += count
                        if beyond != 0:
                            for l in range(lanes):
                                if x[AT_TOP + l] >= x[AT_BOUND + l]:
                                    _again(
                                        x, l, kept, m_, i, n_, terms[units[block + min(l, live - 1)]], steps, started
                                    )
                    if 2 * (b + 1) == pieces:
                        for l in range(lanes):
                            x[AT_OPENING_MIDDLE + l], x[AT_BINDING_MIDDLE + l] = _channel(
                                x[AT_IP3 + l], x[AT_R_C + l], x[AT_A2 + l], x[AT_D1 + l], x[AT_D2 + l], x[AT_D3 + l]
                            )

                # The classical Runge-Kutta step, one stage of all lanes after the other: within a lane each waits for the last.
                for l in range(lanes):
                    x[AT_OPENING_END + l], x[AT_BINDING_END + l] = _channel(
                        x[AT_IP3 + l], x[AT_R_C + l], x[AT_A2 + l], x[AT_D1 + l], x[AT_D2 + l], x[AT_D3 + l]
                    )
                    ca, gate = x[AT_CA + l], x[AT_H + l]
                    x[AT_BEFORE + l] = ca
                    x[AT_STAGE_CA + l], x[AT_STAGE_H + l] = ca, gate
                    x[AT_SUM_CA + l], x[AT_SUM_H + l] = ca, gate
                for stage in range(4):
                    # IP3 is that of the start, twice of the middle, and of the end.
                    moment_of_ip3 = (stage + 1) // 2 * LANES
                    share = dt_astro / 3.0 if 0 < stage < 3 else dt_astro / 6.0
                    ahead = dt_astro if stage == 2 else 0.5 * dt_astro
                    for l in range(lanes):
                        dca, dh = _derivatives(
                            x[AT_STAGE_CA + l], x[AT_STAGE_H + l], x[AT_OPENING + moment_of_ip3 + l],
                            x[AT_BINDING + moment_of_ip3 + l], x[AT_R_L + l], x[AT_V_ER + l], x[AT_K_ER + l], x[AT_C0 + l],
                            x[AT_C1 + l], x[AT_A2 + l], x[AT_D5 + l],
                        )  # fmt: skip
                        x[AT_SUM_CA + l] += share * dca
                        x[AT_SUM_H + l] += share * dh
                        x[AT_STAGE_CA + l] = x[AT_CA + l] + ahead * dca
                        x[AT_STAGE_H + l] = x[AT_H + l] + ahead * dh
                crossed = 0
                for l in range(lanes):
                    ca = x[AT_SUM_CA + l]
                    x[AT_CA + l] = ca
                    x[AT_H + l] = x[AT_SUM_H + l]
                    x[AT_OPENING + l] = x[AT_OPENING_END + l]
                    x[AT_BINDING + l] = x[AT_BINDING_END + l]
                    now = 1.0 if ca >= x[AT_CA_TH + l] else 0.0
                    crossed |= 1 if now > x[AT_ABOVE + l] else 0
                    x[AT_ABOVE_BEFORE + l] = x[AT_ABOVE + l]
                    x[AT_ABOVE + l] = now
                measured = a >= n_settle
                if measured:
                    for l in range(lanes):
                        # Before pulses, which fall on the ends of astrocyte steps; a sample after the pulse would be too high.
                        x[SUMS + GLU_SUM * LANES + l] += 0.5 * (x[AT_GLU_LAST + l] + x[AT_GLU + l])
                        x[SUMS + ESP_SUM * LANES + l] += 0.5 * (x[AT_ESP_LAST + l] + x[AT_ESP + l])
                if measured and crossed != 0:
                    for l in range(lanes):
                        if x[AT_ABOVE + l] > x[AT_ABOVE_BEFORE + l]:
                            before = x[AT_BEFORE + l]
                            moment = (a + (x[AT_CA_TH + l] - before) / (x[AT_CA + l] - before)) * dt_astro
                            if x[SUMS + CROSSINGS * LANES + l] == 0.0:
                                x[SUMS + FIRST_CROSSING * LANES + l] = moment
                            x[SUMS + LAST_CROSSING * LANES + l] = moment
                            x[SUMS + CROSSINGS * LANES + l] += 1.0
                if rule == CONTINUOUS:
                    for l in range(lanes):
                        x[AT_LEVEL + l] = x[AT_GLU_LEVEL + l] * x[AT_ABOVE + l]
                elif rule != UPWARD or crossed != 0:
                    for l in range(lanes):
                        now = x[AT_ABOVE + l] != 0.0
                        if now or x[AT_LATCHED + l] != 0.0:
                            pulse, latched, x[AT_TIMER + l] = _release_event(
                                rule, now, x[AT_ABOVE_BEFORE + l] != 0.0, x[AT_LATCHED + l] != 0.0, x[AT_TIMER + l], dt_astro,
                                x[AT_RELEASE_PERIOD + l],
                            )  # fmt: skip
                            x[AT_LATCHED + l] = 1.0 if latched else 0.0
                            x[AT_GLU + l] += x[AT_DGLU + l] * pulse
                            if algebraic:
                                x[AT_ESP + l] = x[AT_M_ESP + l] * x[AT_GLU + l]
                if measured:
                    for l in range(lanes):
                        ca = x[AT_CA + l]
                        x[SUMS + CA_SUM * LANES + l] += ca
                        x[SUMS + CA_SQUARES * LANES + l] += ca * ca
                        x[SUMS + CA_MIN * LANES + l] = min(x[SUMS + CA_MIN * LANES + l], ca)
                        x[SUMS + CA_MAX * LANES + l] = max(x[SUMS + CA_MAX * LANES + l], ca)
                        x[SUMS + IP3_SUM * LANES + l] += x[AT_IP3 + l]
                    for i in range(m_):
                        for l in range(lanes):
                            ag = x[ag_ + i * LANES + l]
                            x[SUMS + AG_SUM * LANES + l] += ag
                            x[SUMS + PR_SUM * LANES + l] += _release_probability(
                                ag, x[AT_ESP + l], x[AT_PR0 + l], x[AT_K_AG + l]
                            )
                for l in range(lanes):
                    x[AT_GLU_LAST + l] = x[AT_GLU + l]
                    x[AT_ESP_LAST + l] = x[AT_ESP + l]
                if record_every > 0 and (a + 1) % record_every == 0:
                    for l in range(live):
                        u = units[block + l]
                        traces[0, sample, u] = x[AT_CA + l]
                        traces[1, sample, u] = x[AT_H + l]
                        traces[2, sample, u] = x[AT_IP3 + l]
                        traces[3, sample, u] = x[AT_GLU + l]
                        traces[4, sample, u] = x[AT_ESP + l]
                        for i in range(m_):
                            ag = x[ag_ + i * LANES + l]
                            traces[5 + i, sample, u] = ag
                            traces[5 + m_ + i, sample, u] = _release_probability(
                                ag, x[AT_ESP + l], x[AT_PR0 + l], x[AT_K_AG + l]
                            )
                            traces[5 + 2 * m_ + i, sample, u] = x[v_ + i * LANES + l]
                    sample += 1

            for l in range(live):
                u = units[block + l]
                Ca[u] = x[AT_CA + l]
                h[u] = x[AT_H + l]
                IP3[u] = x[AT_IP3 + l]
                Glu[u] = x[AT_GLU + l]
                eSP[u] = x[AT_ESP + l]
                for i in range(m_):
                    v[i, u] = x[v_ + i * LANES + l]
                    AG[i, u] = x[ag_ + i * LANES + l]
                for r in range(N_STATISTICS):
                    stats[r, u] = x[SUMS + r * LANES + l]

    return run  # type: ignore[no-any-return]
