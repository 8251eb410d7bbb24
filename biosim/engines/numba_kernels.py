"""The compiled ensemble kernel: blocks of units advanced in lockstep, so that the compiler vectorises over units.

The processes are the plain functions of `biosim.processes`, compiled and inlined here. A kernel is specialised by
structure (numbers of neurons and synapses, release rule, e-SP form, kind of input), which become compile-time constants.

Order within a neuron step from t to t + dt:
  1. exact decay of v, 2-AG, IP3 (driven by 2-AG), glutamate and e-SP;
  2. input spikes at t + dt, release with the PR of that moment, jump of v, threshold, reset, jump of 2-AG;
A continuous current joins 1.; the neuron then fires and recovers inside a step, see `lif.driven_step`.
With the G-ChI astrocyte 1. advances receptors and glutamate in the cleft in place of IP3, and 2. adds what is released to the
latter; IP3 joins the Runge-Kutta step.
And at the end of every astrocyte step, after 2.: Runge-Kutta step of calcium with IP3 at its start, middle and end,
glutamate release, statistics, traces. So PR follows 2-AG without delay and a glutamate pulse acts from the next step on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from ..ensemble import PHASE_PERIOD
from ..processes import calcium_noise, gliotransmission, ip3, li_rinzel, lif, release, sic
from ..processes import gchi as gchi_processes
from .experiment_arrays import WINDOW_NEURON_ROWS, WINDOW_UNIT_ROWS
from .propagators import ROW

LANES = 32
# Not "fast": that would delete the checks for NaN. These flags allow contraction and reciprocal divisions alone.
FASTMATH = {"nsz", "arcp", "contract"}
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FASTMATH}

# What a call does of an astrocyte step: all of it, or one part, so that other units may change IP3 in between.
WHOLE, HEAD, TAIL = range(3)

# Rows that the receptors of the G-ChI astrocyte add to those of `work_rows`.
GCHI_ROWS = 4

N_STATISTICS = 14
(CA_SUM, CA_SQUARES, CA_MIN, CA_MAX, IP3_SUM, AG_SUM, GLU_SUM, ESP_SUM, PR_SUM, SPIKES, RELEASES, CROSSINGS,
 FIRST_CROSSING, LAST_CROSSING) = range(N_STATISTICS)  # fmt: skip

_inline = numba.njit(forceinline=True, **OPTIONS)
_derivatives = _inline(li_rinzel.derivatives)
_release_probability = _inline(release.release_probability)
_binomial_count = _inline(release.binomial_count)
_few_releases = _inline(release.few_releases)
_binomial_count_of = _inline(release.binomial_count_of)
_release_event = _inline(gliotransmission.release_event)
_driven_step = _inline(lif.driven_step)
_refractory_after = _inline(lif.refractory_after)
_time_after_crossing = _inline(lif.time_after_crossing)
_noise_intensity = _inline(calcium_noise.intensity)
_normal = _inline(calcium_noise.normal)
_within = _inline(calcium_noise.within)
_nadkarni_jung = _inline(sic.nadkarni_jung)
_receptor_step = _inline(gchi_processes.receptor_step)
_middle_share = _inline(gchi_processes.middle_share)
_ip3_derivative = _inline(gchi_processes.ip3_derivative)


def work_rows(coefficients, neurons, own_synapses, receptors):
    """Rows of the memory in which a block of units is advanced."""
    return coefficients + N_STATISTICS + 4 * neurons + 2 * own_synapses + 31 + receptors


_work_rows = _inline(work_rows)


class Kept(NamedTuple):
    """Memory of the blocks of a kernel that pauses, one block along the first axis; without blocks otherwise."""

    rows: Any  # [blocks, work_rows * lanes]
    above: Any
    latched: Any
    phase: Any
    inc: Any
    base: Any
    working: Any
    cursor: Any
    w_unit: Any
    w_neuron: Any
    counters: Any  # [blocks, 3]: next piece of the schedule, window, sample


@_inline
def _rk4(ca, h, ip3_start, ip3_middle, ip3_end, dt, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5):
    """One classical Runge-Kutta step of calcium and h, with IP3 given at the start, middle and end of the step."""
    a_ca, a_h = _derivatives(ca, h, ip3_start, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
    half = 0.5 * dt
    b_ca, b_h = _derivatives(
        ca + half * a_ca, h + half * a_h, ip3_middle, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5
    )
    c_ca, c_h = _derivatives(
        ca + half * b_ca, h + half * b_h, ip3_middle, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5
    )
    d_ca, d_h = _derivatives(ca + dt * c_ca, h + dt * c_h, ip3_end, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
    sixth = dt / 6.0
    return (
        ca + sixth * (a_ca + 2.0 * (b_ca + c_ca) + d_ca),
        h + sixth * (a_h + 2.0 * (b_h + c_h) + d_h),
    )


@_inline
def _rk4_gchi(
    ca, h, ip3, start, middle, end, dt, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5,
    O_beta, O_delta, kappa_delta, K_delta, O_3K, K_D, K_3K, Omega_5P,
):  # fmt: skip
    """As `_rk4` with IP3 as a third state; `start`, `middle` and `end` are shares of active receptors."""
    half = 0.5 * dt
    a_ca, a_h = _derivatives(ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
    a_ip3 = _ip3_derivative(ip3, ca, start, O_beta, O_delta, kappa_delta, K_delta, O_3K, K_D, K_3K, Omega_5P)
    x, y, z = ca + half * a_ca, h + half * a_h, ip3 + half * a_ip3
    b_ca, b_h = _derivatives(x, y, z, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
    b_ip3 = _ip3_derivative(z, x, middle, O_beta, O_delta, kappa_delta, K_delta, O_3K, K_D, K_3K, Omega_5P)
    x, y, z = ca + half * b_ca, h + half * b_h, ip3 + half * b_ip3
    c_ca, c_h = _derivatives(x, y, z, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
    c_ip3 = _ip3_derivative(z, x, middle, O_beta, O_delta, kappa_delta, K_delta, O_3K, K_D, K_3K, Omega_5P)
    x, y, z = ca + dt * c_ca, h + dt * c_h, ip3 + dt * c_ip3
    d_ca, d_h = _derivatives(x, y, z, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5)
    d_ip3 = _ip3_derivative(z, x, end, O_beta, O_delta, kappa_delta, K_delta, O_3K, K_D, K_3K, Omega_5P)
    sixth = dt / 6.0
    return (
        ca + sixth * (a_ca + 2.0 * (b_ca + c_ca) + d_ca),
        h + sixth * (a_h + 2.0 * (b_h + c_h) + d_h),
        ip3 + sixth * (a_ip3 + 2.0 * (b_ip3 + c_ip3) + d_ip3),
    )


@_inline
def _uniform(s0, s1, s2, s3, lane):
    """Next number of the stream of `lane`, uniform on [0, 1): one step of xoshiro256+ (Blackman and Vigna 2018).

    `s0` to `s3` [lanes] hold the words of the states and are advanced in place. The upper 53 bits make the number.
    """
    word = s0[lane] + s3[lane]
    t = s1[lane] << np.uint64(17)
    s2[lane] ^= s0[lane]
    s3[lane] ^= s1[lane]
    s1[lane] ^= s2[lane]
    s0[lane] ^= s3[lane]
    s2[lane] ^= t
    s3[lane] = (s3[lane] << np.uint64(45)) | (s3[lane] >> np.uint64(19))
    return np.float64(word >> np.uint64(11)) * 1.1102230246251565e-16


@_inline
def _over_neurons(x, lane, neurons):
    """Sum of `x` [neurons, lanes] over the neurons of `lane`."""
    total = x[0, lane]
    for i in range(1, neurons):
        total += x[i, lane]
    return total


@functools.cache
def kernel(
    stamp: str,
    n_neurons: int,
    n_synapses: int,
    terms: int,
    rule: int,
    algebraic: bool,
    regular: bool,
    expected: bool,
    current: int = sic.NONE,
    depressing: bool = False,
    gated: bool = False,
    source: int = ip3.AG,
    noisy: bool = False,
    gchi: bool = False,
    cache: bool = True,
    spiking: bool = False,
    scheduled: bool = False,
    individual: bool = False,
    faulted: bool = False,
    jumping: bool = False,
    windowed: bool = False,
    paused: bool = False,
) -> Callable[..., None]:
    """Compile (or load) the kernel for one structure.

    `stamp` is a digest of the simulation's sources and options. It is part of the closure, hence of the key of the disk
    cache, which by itself would not notice an edited process function. `terms` cuts the binomial count, `rule` is a
    constant of `gliotransmission`, `current` one of `sic` and
    `source` one of `ip3`.

    The kernel's arguments: coef [rows, units]; ref_steps [units]; rng [4, units] and noise_rng [4, units], the states of the
    streams of release and of calcium noise; phase0 [neurons, synapses] and
    increment [units] (regular input); state arrays Ca, h, IP3, Glu, eSP [units], v, AG [neurons, units] (read and
    overwritten); ratio, n_astro, n_settle, record_every, dt_astro; out: stats [N_STATISTICS, units],
    traces [5 + 3 neurons + extra, times, units] and `extra` [extra, units], the states of chosen processes in the order of
    `ensemble.STATES_OF_OPTIONS`, traced and at the end; `units`, the indices of the units to advance;
    `stop` [1], which another thread sets to end the call at once; `x`, the arrays of the experiment
    (`experiment_arrays.Arrays`); and what `paused` needs: `kept` with the block's place `slot` in it, the steps `first_astro` to
    before `last_astro` of the n_astro, and `stage`.

    A kernel that is `paused` advances one block by these steps and keeps its memory, so that the next call goes on. Between two
    calls IP3 alone is in its state array, to be read and changed there. With `stage` HEAD a call does of its one step
    everything up to calcium, with TAIL the rest (release of glutamate, statistics, traces).

    What the experiment holds is compiled in by flags, so that the other kernels stay as they are: `spiking` (given trains),
    `scheduled` (factor of the rate over time), `individual` (PR of every synapse by itself), `faulted`, `jumping`, `windowed`.
    """
    m_ = n_neurons
    n_ = n_synapses
    driven = depressing or current != sic.NONE
    own_synapses = m_ * n_ if depressing else 1
    # With the G-ChI astrocyte IP3 is a state of the Runge-Kutta step, and receptors are advanced before it in every step.
    gchi_rows = GCHI_ROWS if gchi else 0
    gate_row = 1 if current != sic.NONE else 0
    transmitter_row = gate_row + (1 if gated else 0)
    receptor_row = transmitter_row + (2 * m_ if depressing else 0)
    synapse_rows = m_ * n_ if individual else 1
    own_mean = individual or faulted
    # The synapses of a neuron are alike and all work: one draw for all of them, before the voltages.
    plain = not (regular or depressing or spiking or individual or scheduled or faulted)
    # Quanta fall anywhere into a step, and so do the spikes they make and the ends of refractory times.
    anywhere = not (regular or spiking or depressing)

    @numba.njit(nogil=True, cache=cache, **OPTIONS)
    def run(coef, ref_steps, rng, noise_rng, phase0, increment, Ca, h, IP3, Glu, eSP, v, AG, ratio, n_astro, n_settle,
            record_every, dt_astro, stats, traces, extra, units, stop, x, kept, slot, first_astro, last_astro,
            stage):  # fmt: skip
        if stamp == "":
            return
        heads = not paused or stage == HEAD
        tails = not paused or stage == TAIL
        fresh = not paused or (stage == HEAD and first_astro == 0)
        ends = not paused or (stage == TAIL and last_astro == n_astro)
        lanes = LANES
        # All rows in one block that begins at a cache line: the compiler sees that they do not overlap, and no access
        # crosses a line. A separate array per row makes the loops a third slower.
        n_rows = _work_rows(coef.shape[0], m_, own_synapses, gchi_rows)
        if paused:
            rows = kept.rows[slot].reshape((n_rows, lanes))
        else:
            memory = np.empty(n_rows * lanes + 8)
            start = (-(memory.ctypes.data // 8)) % 8
            rows = memory[start : start + n_rows * lanes].reshape((n_rows, lanes))
        k = rows[: coef.shape[0]]
        rows = rows[coef.shape[0] :]
        acc = rows[:N_STATISTICS]
        rows = rows[N_STATISTICS:]
        v_ = rows[:m_]
        ag_ = rows[m_ : 2 * m_]
        ref_ = rows[2 * m_ : 3 * m_]
        transmitter = rows[3 * m_ : 4 * m_]
        rows = rows[4 * m_ :]
        missing = rows[:own_synapses]
        active = rows[own_synapses : 2 * own_synapses]
        rows = rows[2 * own_synapses :]
        ref_n, ca_, h_, ip3_, ip3_start, ip3_middle = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
        glu_, esp_, level, glu_last, esp_last = rows[6], rows[7], rows[8], rows[9], rows[10]
        spikes, releases, timer, before = rows[11], rows[12], rows[13], rows[14]
        uniforms, chance, drawn = rows[15], rows[16], rows[17]
        words = rows[18:26].view(np.uint64)
        s0, s1, s2, s3 = words[0], words[1], words[2], words[3]
        n0, n1, n2, n3 = words[4], words[5], words[6], words[7]
        sic_slow, sic_fast, current_gain, gate_, kick = rows[26], rows[27], rows[28], rows[29], rows[30]
        if gchi:
            gamma_, gamma_start, gamma_sum, cleft = rows[31], rows[32], rows[33], rows[34]
            ca_slope = np.empty(lanes)
        above = kept.above[slot] if paused else np.empty(lanes, np.bool_)
        latched = kept.latched[slot] if paused else np.empty(lanes, np.bool_)
        # What drives IP3.
        driver = transmitter if source == FROM_GLUTAMATE else ag_
        phase = kept.phase[slot] if paused else np.empty((m_ * n_, lanes), np.int64)
        inc = kept.inc[slot] if paused else np.empty(lanes, np.int64)
        base = kept.base[slot] if paused else np.empty((synapse_rows, lanes))
        working = kept.working[slot] if paused else np.empty((m_, lanes), np.int64)
        pr_mean = np.empty((m_, lanes))
        counted = np.empty(lanes)
        gain = np.empty(lanes)
        cursor = kept.cursor[slot] if paused else np.empty(m_, np.int64)
        arrives = np.empty(n_, np.bool_)
        w_unit = kept.w_unit[slot] if paused else np.empty((WINDOW_UNIT_ROWS, lanes))
        w_neuron = kept.w_neuron[slot] if paused else np.empty((WINDOW_NEURON_ROWS, m_, lanes))

        for block in range(0, units.size, lanes):
            live = min(lanes, units.size - block)
            for l in range(lanes if fresh else 0):
                # Lanes beyond the last unit repeat it; their results are not written.
                u = units[block + min(l, live - 1)]
                for r in range(coef.shape[0]):
                    k[r, l] = coef[r, u]
                ref_n[l] = ref_steps[u]
                s0[l] = rng[0, u]
                s1[l] = rng[1, u]
                s2[l] = rng[2, u]
                s3[l] = rng[3, u]
                ca_[l] = Ca[u]
                h_[l] = h[u]
                ip3_[l] = IP3[u]
                ip3_start[l] = IP3[u]
                ip3_middle[l] = IP3[u]
                glu_[l] = Glu[u]
                esp_[l] = eSP[u]
                glu_last[l] = Glu[u]
                esp_last[l] = eSP[u]
                above[l] = Ca[u] >= coef[CA_TH, u]
                level[l] = coef[GLU_LEVEL, u] if (rule == CONTINUOUS and above[l]) else 0.0
                latched[l] = False
                timer[l] = 0.0
                inc[l] = increment[u]
                if noisy:
                    n0[l] = noise_rng[0, u]
                    n1[l] = noise_rng[1, u]
                    n2[l] = noise_rng[2, u]
                    n3[l] = noise_rng[3, u]
                gate_[l] = 0.0
                if gchi:
                    gamma_[l] = 0.0
                    cleft[l] = 0.0
                if depressing:
                    for i in range(m_):
                        transmitter[i, l] = 0.0
                    for j in range(m_ * n_):
                        missing[j, l] = 0.0
                        active[j, l] = 0.0
                if current != NO_CURRENT:
                    sic_fast[l] = 0.0
                    sic_slow[l] = (
                        _nadkarni_jung(Ca[u], coef[SIC_SCALE, u], coef[SIC_OFFSET, u]) if current == HELD else 0.0
                    )
                for i in range(m_):
                    v_[i, l] = v[i, u]
                    ag_[i, l] = AG[i, u]
                    ref_[i, l] = 0.0
                    if regular:
                        for j in range(n_):
                            phase[i * n_ + j, l] = phase0[i, j]
                for q in range(N_STATISTICS):
                    acc[q, l] = 0.0
                acc[CA_MIN, l] = np.inf
                acc[CA_MAX, l] = -np.inf
                if own_mean:
                    for i in range(m_):
                        working[i, l] = n_
                        for j in range(n_):
                            if individual:
                                base[i * n_ + j, l] = x.PR0[i * n_ + j, u]

            segment = 0
            factor = x.factor[0]
            window = 0
            if spiking and fresh:
                for i in range(m_):
                    cursor[i] = x.event_first[i]
            sample = 0
            if paused:
                if not fresh:
                    segment, window, sample = kept.counters[slot, 0], kept.counters[slot, 1], kept.counters[slot, 2]
                    factor = x.factor[max(segment - 1, 0)]
                for l in range(lanes):
                    ip3_[l] = IP3[units[block + min(l, live - 1)]]
                    ip3_start[l] = ip3_[l]
            for a in range(first_astro, last_astro):
                if stop[0] != 0:
                    return
                if jumping and heads and a == x.jump_step[0]:
                    for l in range(lanes):
                        u = units[block + min(l, live - 1)]
                        ip3_[l] += x.jump_ip3[u]
                        ip3_start[l] += x.jump_ip3[u]
                        for i in range(m_):
                            ag_[i, l] += x.jump_ag[i, u]
                if gchi and heads:
                    for l in range(lanes):
                        gamma_start[l] = gamma_[l]
                        gamma_sum[l] = 0.0
                        ca_slope[l], _ = _derivatives(
                            ca_[l], h_[l], ip3_[l], k[R_C, l], k[R_L, l], k[V_ER, l], k[K_ER, l], k[C0, l], k[C1, l], k[A2, l],
                            k[D1, l], k[D2, l], k[D3, l], k[D5, l],
                        )  # fmt: skip
                inside = False
                if windowed:
                    inside = window < x.window_start.size and a >= x.window_start[window]
                    if inside and heads and a == x.window_start[window]:
                        w_unit[:] = 0.0
                        w_neuron[:] = 0.0
                        w_unit[W_CA_MAX] = -np.inf
                        w_unit[W_IP3_MAX] = -np.inf
                for l in range(lanes if heads else 0):
                    spikes[l] = 0.0
                    releases[l] = 0.0
                for b in range(ratio if heads else 0):
                    if scheduled:
                        while segment < x.edge.size and a * ratio + b >= x.edge[segment]:
                            factor = x.factor[segment]
                            if regular:
                                for l in range(lanes):
                                    inc[l] = x.increment[x.level[segment], units[block + min(l, live - 1)]]
                            segment += 1
                    if faulted and a * ratio + b == x.fault_step[0]:
                        for l in range(lanes):
                            u = units[block + min(l, live - 1)]
                            for i in range(m_):
                                for j in range(n_):
                                    if x.stuck[i * n_ + j, u] != 0:
                                        working[i, l] -= 1
                                        if individual:
                                            base[i * n_ + j, l] = 0.0
                    for l in range(lanes):
                        if not gchi:
                            rest = k[IP3_REST, l]
                            ip3_[l] = (
                                rest
                                + (ip3_[l] - rest) * k[IP3_DECAY, l]
                                + _over_neurons(driver, l, m_) * k[AG_TO_IP3, l]
                            )
                        over = glu_[l] - level[l]
                        if algebraic:
                            glu_[l] = level[l] + over * k[GLU_DECAY, l]
                            esp_[l] = k[M_ESP, l] * glu_[l]
                        else:
                            esp_level = k[M_ESP, l] * level[l]
                            esp_[l] = esp_level + (esp_[l] - esp_level) * k[ESP_DECAY, l] + over * k[GLU_TO_ESP, l]
                            glu_[l] = level[l] + over * k[GLU_DECAY, l]
                    if gchi:
                        # Calcium moves little in a step of its own: a straight line from its start, taken at the middle.
                        since = (b + 0.5) * (dt_astro / ratio)
                        for l in range(lanes):
                            ca = ca_[l] + ca_slope[l] * since
                            loss = k[RECEPTOR_LOSS, l] * (1.0 + k[ZETA, l] * ca / (ca + k[K_KC, l]))
                            gamma_[l], mean_share = _receptor_step(gamma_[l], cleft[l] * k[CLEFT_TO_EXPOSURE, l], loss)
                            gamma_sum[l] += mean_share
                            cleft[l] *= k[CLEFT_DECAY, l]
                    if gated:
                        for l in range(lanes):
                            closed = k[GATE_LEVEL, l] if above[l] else 0.0
                            rate = k[GATE_DECAY_ABOVE, l] if above[l] else k[GATE_DECAY, l]
                            gate_[l] = closed + (gate_[l] - closed) * rate
                    if current != NO_CURRENT:
                        for l in range(lanes):
                            current_gain[l] = sic_slow[l] * k[SIC_SLOW_TO_V, l] - sic_fast[l] * k[SIC_FAST_TO_V, l]
                            sic_slow[l] *= k[SIC_SLOW_DECAY, l]
                            sic_fast[l] *= k[SIC_FAST_DECAY, l]
                    for i in range(m_):
                        if plain:
                            beyond = 0
                            for l in range(lanes):
                                pr = _release_probability(ag_[i, l] * k[AG_DECAY, l], esp_[l], k[PR0, l], k[K_AG, l])
                                if gated:
                                    pr *= 1.0 - gate_[l]
                                uniforms[l] = _uniform(s0, s1, s2, s3, l)
                                chance[l] = k[INPUT_PROBABILITY, l] * pr
                                drawn[l] = _few_releases(uniforms[l], chance[l], n_)
                                beyond |= 1 if drawn[l] > n_ else 0
                            if beyond != 0:
                                for l in range(lanes):
                                    drawn[l] = _binomial_count(uniforms[l], chance[l], n_, terms)
                        if spiking:
                            first_event = cursor[i]
                            while cursor[i] < x.event_first[i + 1] and x.event_step[cursor[i]] <= a * ratio + b + 1:
                                cursor[i] += 1
                            if depressing:
                                arrives[:] = False
                                for e in range(first_event, cursor[i]):
                                    arrives[x.event_synapse[e]] = True
                        if individual and not (regular or spiking or depressing):
                            # Synapses outside and lanes inside, so that the compiler vectorises the draws.
                            for l in range(lanes):
                                counted[l] = 0.0
                                gain[l] = 1.0 + (k[K_AG, l] * (ag_[i, l] * k[AG_DECAY, l]) + esp_[l]) / 100.0
                            for j in range(n_):
                                for l in range(lanes):
                                    p = k[INPUT_PROBABILITY, l] * min(max(base[i * n_ + j, l] * gain[l], 0.0), 1.0)
                                    if gated:
                                        p = p * (1.0 - gate_[l])
                                    if scheduled:
                                        p = p * factor
                                    uniforms[l] = _uniform(s0, s1, s2, s3, l)
                                    counted[l] += 1.0 if uniforms[l] < p else 0.0
                        for l in range(lanes):
                            ag = ag_[i, l] * k[AG_DECAY, l]
                            wait = max(ref_[i, l] - 1.0, 0.0)
                            open_ = wait == 0.0
                            late = 0.0
                            if driven:
                                push = current_gain[l] if current != NO_CURRENT else 0.0
                                if depressing:
                                    push += transmitter[i, l] * k[IN_TO_V, l]
                                voltage, share = _driven_step(
                                    v_[i, l], ref_[i, l], push, k[MEMBRANE_DECAY, l], k[HALF_STEP, l]
                                )
                                crossed = voltage >= k[V_TH, l]
                                left = _time_after_crossing(v_[i, l], voltage, share, k[HALF_STEP, l], k[V_TH, l])
                                late = left if crossed else 0.0
                                # Fractions of steps add up to whole ones but for rounding.
                                open_ = wait < 1e-9 and not crossed
                            else:
                                voltage = v_[i, l] * k[MEMBRANE_DECAY, l]
                            if not plain:
                                pr = _release_probability(ag, esp_[l], k[PR0, l], k[K_AG, l])
                                if gated:
                                    pr *= 1.0 - gate_[l]
                            if depressing:
                                quanta = 0.0
                                for q in range(i * n_, i * n_ + n_):
                                    if individual:
                                        pr = _release_probability(ag, esp_[l], base[q, l], k[K_AG, l])
                                        if gated:
                                            pr *= 1.0 - gate_[l]
                                    if spiking:
                                        arrived = arrives[q - i * n_]
                                    elif regular:
                                        position = phase[q, l] + inc[l]
                                        arrived = position >= PHASE_PERIOD
                                        phase[q, l] = position - PHASE_PERIOD if arrived else position
                                    elif scheduled:
                                        arrived = _uniform(s0, s1, s2, s3, l) < k[INPUT_PROBABILITY, l] * factor
                                    else:
                                        arrived = _uniform(s0, s1, s2, s3, l) < k[INPUT_PROBABILITY, l]
                                    lost = missing[q, l] * k[REC_DECAY, l] + active[q, l] * k[IN_TO_REC, l]
                                    freed = pr * (1.0 - lost) if arrived else 0.0
                                    missing[q, l] = lost + freed
                                    active[q, l] = active[q, l] * k[IN_DECAY, l] + freed
                                    quanta += freed
                                transmitter[i, l] = transmitter[i, l] * k[IN_DECAY, l] + quanta
                            elif spiking:
                                quanta = 0.0
                                for e in range(first_event, cursor[i]):
                                    if individual:
                                        pr = _release_probability(
                                            ag, esp_[l], base[i * n_ + x.event_synapse[e], l], k[K_AG, l]
                                        )
                                        if gated:
                                            pr *= 1.0 - gate_[l]
                                    if expected:
                                        quanta += pr
                                    else:
                                        uniform = _uniform(s0, s1, s2, s3, l)
                                        quanta += 1.0 if uniform < pr else 0.0
                            elif regular:
                                quanta = 0.0
                                for j in range(n_):
                                    if individual:
                                        pr = _release_probability(ag, esp_[l], base[i * n_ + j, l], k[K_AG, l])
                                        if gated:
                                            pr *= 1.0 - gate_[l]
                                    position = phase[i * n_ + j, l] + inc[l]
                                    arrived = position >= PHASE_PERIOD
                                    phase[i * n_ + j, l] = position - PHASE_PERIOD if arrived else position
                                    if expected:
                                        quanta += pr if arrived else 0.0
                                    else:
                                        uniform = _uniform(s0, s1, s2, s3, l)
                                        quanta += 1.0 if (arrived and uniform < pr) else 0.0
                            elif individual:
                                quanta = counted[l]
                            elif scheduled or faulted:
                                uniforms[l] = _uniform(s0, s1, s2, s3, l)
                                p = k[INPUT_PROBABILITY, l] * pr
                                if scheduled:
                                    p = p * factor
                                if faulted:
                                    quanta = _binomial_count_of(uniforms[l], p, working[i, l], n_, terms)
                                else:
                                    quanta = _binomial_count(uniforms[l], p, n_, terms)
                            else:
                                quanta = drawn[l]
                            releases[l] += quanta
                            if gchi:
                                cleft[l] += k[CLEFT_JUMP, l] * quanta
                            if not depressing:
                                voltage += (k[JUMP, l] * quanta) if open_ else 0.0
                            fired = voltage >= k[V_TH, l]
                            v_[i, l] = 0.0 if fired else voltage
                            ag_[i, l] = ag + (k[DAG, l] if fired else 0.0)
                            if anywhere:
                                left = ref_n[l] - late if late > 0.0 else _refractory_after(ref_n[l], uniforms[l])
                                ref_[i, l] = left if fired else wait
                            else:
                                ref_[i, l] = ref_n[l] - late if fired else wait
                            spikes[l] += 1.0 if fired else 0.0
                            if windowed:
                                w_neuron[W_SPIKES, i, l] += 1.0 if fired else 0.0
                                w_neuron[W_RELEASES, i, l] += quanta
                            if source == FROM_SPIKES:
                                ip3_[l] += k[DIP3, l] if fired else 0.0
                    if 2 * (b + 1) == ratio:
                        for l in range(lanes):
                            ip3_middle[l] = ip3_[l]

                measured = a >= n_settle
                if measured and heads:
                    # Between pulses, which fall on the ends of astrocyte steps; a sample after the pulse would be too high.
                    for l in range(lanes):
                        acc[GLU_SUM, l] += 0.5 * (glu_last[l] + glu_[l])
                        acc[ESP_SUM, l] += 0.5 * (esp_last[l] + esp_[l])
                if noisy and heads:
                    for l in range(lanes):
                        strength = _noise_intensity(ca_[l], h_[l], ip3_start[l], k[A2, l], k[D1, l], k[D2, l], k[D3, l])
                        first = _uniform(n0, n1, n2, n3, l)
                        second = _uniform(n0, n1, n2, n3, l)
                        kick[l] = k[H_NOISE, l] * np.sqrt(strength) * _normal(first, second)
                for l in range(lanes if heads else 0):
                    if gchi:
                        middle = _middle_share(gamma_start[l], gamma_sum[l] / ratio, gamma_[l])
                        ca_new, h_new, ip3_[l] = _rk4_gchi(
                            ca_[l], h_[l], ip3_[l], gamma_start[l], middle, gamma_[l], dt_astro,
                            k[R_C, l], k[R_L, l], k[V_ER, l], k[K_ER, l], k[C0, l], k[C1, l], k[A2, l],
                            k[D1, l], k[D2, l], k[D3, l], k[D5, l], k[O_BETA, l], k[O_DELTA, l], k[KAPPA_DELTA, l],
                            k[K_DELTA, l], k[O_3K, l], k[K_D, l], k[K_3K, l], k[OMEGA_5P, l],
                        )  # fmt: skip
                    else:
                        ca_new, h_new = _rk4(
                            ca_[l], h_[l], ip3_start[l], ip3_middle[l], ip3_[l], dt_astro,
                            k[R_C, l], k[R_L, l], k[V_ER, l], k[K_ER, l], k[C0, l], k[C1, l], k[A2, l],
                            k[D1, l], k[D2, l], k[D3, l], k[D5, l],
                        )  # fmt: skip
                    before[l] = ca_[l]
                    ca_[l] = ca_new
                    h_[l] = h_new
                    ip3_start[l] = ip3_[l]
                if noisy and heads:
                    for l in range(lanes):
                        h_[l] = _within(h_[l] + kick[l])
                if not tails:
                    continue
                for l in range(lanes):
                    now = ca_[l] >= k[CA_TH, l]
                    if measured and now and not above[l]:
                        moment = (a + (k[CA_TH, l] - before[l]) / (ca_[l] - before[l])) * dt_astro
                        if acc[CROSSINGS, l] == 0.0:
                            acc[FIRST_CROSSING, l] = moment
                        acc[LAST_CROSSING, l] = moment
                        acc[CROSSINGS, l] += 1.0
                    if rule == CONTINUOUS:
                        level[l] = k[GLU_LEVEL, l] if now else 0.0
                    elif now or latched[l]:
                        pulse, latched[l], timer[l] = _release_event(
                            rule, now, above[l], latched[l], timer[l], dt_astro, k[RELEASE_PERIOD, l]
                        )
                        glu_[l] += k[DGLU, l] * pulse
                        if algebraic:
                            esp_[l] = k[M_ESP, l] * glu_[l]
                    if current == EVENTS and now and not above[l]:
                        sic_slow[l] += k[SIC_EVENT, l]
                        sic_fast[l] += k[SIC_EVENT, l]
                    if current == HELD:
                        sic_slow[l] = _nadkarni_jung(ca_[l], k[SIC_SCALE, l], k[SIC_OFFSET, l])
                    above[l] = now
                    glu_last[l] = glu_[l]
                    esp_last[l] = esp_[l]
                if own_mean:
                    for i in range(m_):
                        for l in range(lanes):
                            if individual:
                                pr_sum = 0.0
                                for j in range(n_):
                                    pr_sum += _release_probability(ag_[i, l], esp_[l], base[i * n_ + j, l], k[K_AG, l])
                                pr_mean[i, l] = pr_sum / max(working[i, l], 1)
                            else:
                                pr = _release_probability(ag_[i, l], esp_[l], k[PR0, l], k[K_AG, l])
                                pr_mean[i, l] = pr if working[i, l] > 0 else 0.0
                if windowed and inside:
                    for l in range(lanes):
                        w_unit[W_CA_SUM, l] += ca_[l]
                        w_unit[W_CA_MAX, l] = max(w_unit[W_CA_MAX, l], ca_[l])
                        w_unit[W_IP3_SUM, l] += ip3_[l]
                        w_unit[W_IP3_MAX, l] = max(w_unit[W_IP3_MAX, l], ip3_[l])
                        w_unit[W_ESP_SUM, l] += esp_[l]
                        u = units[block + min(l, live - 1)]
                        for i in range(m_):
                            w_neuron[W_AG_SUM, i, l] += ag_[i, l]
                            if own_mean:
                                w_neuron[W_PR_ALL_SUM, i, l] += pr_mean[i, l] * working[i, l] / n_
                            if individual:
                                healthy = 0
                                pr_sum = 0.0
                                for j in range(n_):
                                    if not faulted or x.stuck[i * n_ + j, u] == 0:
                                        healthy += 1
                                        pr_sum += _release_probability(
                                            ag_[i, l], esp_[l], base[i * n_ + j, l], k[K_AG, l]
                                        )
                                w_neuron[W_PR_SUM, i, l] += pr_sum / max(healthy, 1)
                            else:
                                pr = _release_probability(ag_[i, l], esp_[l], k[PR0, l], k[K_AG, l])
                                if faulted:
                                    pr = pr if x.healthy[i, u] > 0 else 0.0
                                else:
                                    w_neuron[W_PR_ALL_SUM, i, l] += pr
                                w_neuron[W_PR_SUM, i, l] += pr
                    if a + 1 == x.window_stop[window]:
                        for l in range(live):
                            u = units[block + l]
                            for q in range(WINDOW_UNIT_ROWS):
                                x.windows[window, q, u] = w_unit[q, l]
                            for q in range(WINDOW_NEURON_ROWS):
                                for i in range(m_):
                                    x.windows[window, WINDOW_UNIT_ROWS + q * m_ + i, u] = w_neuron[q, i, l]
                        window += 1
                if measured:
                    for i in range(m_):
                        for l in range(lanes):
                            acc[AG_SUM, l] += ag_[i, l]
                            if own_mean:
                                acc[PR_SUM, l] += pr_mean[i, l]
                            else:
                                acc[PR_SUM, l] += _release_probability(ag_[i, l], esp_[l], k[PR0, l], k[K_AG, l])
                    for l in range(lanes):
                        acc[CA_SUM, l] += ca_[l]
                        acc[CA_SQUARES, l] += ca_[l] * ca_[l]
                        acc[CA_MIN, l] = min(acc[CA_MIN, l], ca_[l])
                        acc[CA_MAX, l] = max(acc[CA_MAX, l], ca_[l])
                        acc[IP3_SUM, l] += ip3_[l]
                        acc[SPIKES, l] += spikes[l]
                        acc[RELEASES, l] += releases[l]
                if record_every > 0 and (a + 1) % record_every == 0:
                    for l in range(live):
                        u = units[block + l]
                        traces[0, sample, u] = ca_[l]
                        traces[1, sample, u] = h_[l]
                        traces[2, sample, u] = ip3_[l]
                        traces[3, sample, u] = glu_[l]
                        traces[4, sample, u] = esp_[l]
                        for i in range(m_):
                            traces[5 + i, sample, u] = ag_[i, l]
                            if own_mean:
                                traces[5 + m_ + i, sample, u] = pr_mean[i, l]
                            else:
                                traces[5 + m_ + i, sample, u] = _release_probability(
                                    ag_[i, l], esp_[l], k[PR0, l], k[K_AG, l]
                                )
                            traces[5 + 2 * m_ + i, sample, u] = v_[i, l]
                        if current != NO_CURRENT:
                            traces[5 + 3 * m_, sample, u] = sic_slow[l] - sic_fast[l]
                        if gated:
                            traces[5 + 3 * m_ + gate_row, sample, u] = gate_[l]
                        if depressing:
                            for i in range(m_):
                                row = 5 + 3 * m_ + transmitter_row + i
                                traces[row, sample, u] = transmitter[i, l]
                                traces[row + m_, sample, u] = 1.0 - missing[i * n_ : i * n_ + n_, l].mean()
                        if gchi:
                            traces[5 + 3 * m_ + receptor_row, sample, u] = gamma_[l]
                            traces[5 + 3 * m_ + receptor_row + 1, sample, u] = cleft[l]
                    sample += 1

            if paused:
                kept.counters[slot, 0], kept.counters[slot, 1], kept.counters[slot, 2] = segment, window, sample
                for l in range(live):
                    IP3[units[block + l]] = ip3_[l]
            for l in range(live if ends else 0):
                u = units[block + l]
                Ca[u] = ca_[l]
                h[u] = h_[l]
                IP3[u] = ip3_[l]
                Glu[u] = glu_[l]
                eSP[u] = esp_[l]
                for i in range(m_):
                    v[i, u] = v_[i, l]
                    AG[i, u] = ag_[i, l]
                if current != NO_CURRENT:
                    extra[0, u] = sic_slow[l] - sic_fast[l]
                if gated:
                    extra[gate_row, u] = gate_[l]
                if depressing:
                    for i in range(m_):
                        extra[transmitter_row + i, u] = transmitter[i, l]
                        extra[transmitter_row + m_ + i, u] = 1.0 - missing[i * n_ : i * n_ + n_, l].mean()
                if gchi:
                    extra[receptor_row, u] = gamma_[l]
                    extra[receptor_row + 1, u] = cleft[l]
                for q in range(N_STATISTICS):
                    stats[q, u] = acc[q, l]

    return run  # type: ignore[no-any-return]


MEMBRANE_DECAY, AG_DECAY, IP3_DECAY, AG_TO_IP3 = (
    ROW["membrane_decay"],
    ROW["ag_decay"],
    ROW["ip3_decay"],
    ROW["ag_to_ip3"],
)
GLU_DECAY, ESP_DECAY, GLU_TO_ESP, GLU_LEVEL = ROW["glu_decay"], ROW["esp_decay"], ROW["glu_to_esp"], ROW["glu_level"]
M_ESP, JUMP, INPUT_PROBABILITY, PR0, K_AG = ROW["m_eSP"], ROW["jump"], ROW["input_probability"], ROW["PR0"], ROW["K_AG"]
DAG, V_TH, IP3_REST, CA_TH, DGLU = ROW["dAG"], ROW["v_th"], ROW["IP3_rest"], ROW["Ca_th"], ROW["dGlu"]
RELEASE_PERIOD, R_C, R_L, V_ER, K_ER = ROW["release_period"], ROW["r_C"], ROW["r_L"], ROW["v_ER"], ROW["k_ER"]
C0, C1, A2, D1, D2, D3, D5 = (ROW[name] for name in ("c0", "c1", "a2", "d1", "d2", "d3", "d5"))
HALF_STEP, SIC_SCALE, SIC_OFFSET, SIC_EVENT = (
    ROW[name] for name in ("half_step", "sic_scale", "SIC_offset", "sic_event")
)
SIC_SLOW_DECAY, SIC_FAST_DECAY = ROW["sic_slow_decay"], ROW["sic_fast_decay"]
SIC_SLOW_TO_V, SIC_FAST_TO_V = ROW["sic_slow_to_v"], ROW["sic_fast_to_v"]
CONTINUOUS = gliotransmission.CONTINUOUS
IN_DECAY, REC_DECAY, IN_TO_REC, IN_TO_V = (ROW[name] for name in ("in_decay", "rec_decay", "in_to_rec", "in_to_v"))
GATE_DECAY, GATE_DECAY_ABOVE, GATE_LEVEL = ROW["gate_decay"], ROW["gate_decay_above"], ROW["gate_level_above"]
DIP3, H_NOISE = ROW["dIP3"], ROW["h_noise"]
CLEFT_DECAY, CLEFT_TO_EXPOSURE, CLEFT_JUMP = ROW["cleft_decay"], ROW["cleft_to_exposure"], ROW["cleft_jump"]
RECEPTOR_LOSS, ZETA, K_KC, O_BETA = ROW["receptor_loss"], ROW["zeta"], ROW["K_KC"], ROW["O_beta"]
O_DELTA, KAPPA_DELTA, K_DELTA = ROW["O_delta"], ROW["kappa_delta"], ROW["K_delta"]
O_3K, K_D, K_3K, OMEGA_5P = ROW["O_3K"], ROW["K_D"], ROW["K_3K"], ROW["Omega_5P"]
NO_CURRENT, HELD, EVENTS = sic.NONE, sic.INSTANTANEOUS, sic.EVENTS
FROM_GLUTAMATE, FROM_SPIKES = ip3.GLUTAMATE, ip3.SPIKES
W_CA_SUM, W_CA_MAX, W_IP3_SUM, W_IP3_MAX, W_ESP_SUM = range(WINDOW_UNIT_ROWS)
W_AG_SUM, W_PR_SUM, W_PR_ALL_SUM, W_SPIKES, W_RELEASES = range(WINDOW_NEURON_ROWS)
