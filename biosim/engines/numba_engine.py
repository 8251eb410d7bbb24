"""Engine ``numba``: any number of units in one call, on all cores, with online statistics.

Scheme: see `numba_kernels`. Blocks of units run on a thread pool (the kernel releases the interpreter lock); every unit has
its own random stream, so the result does not depend on the number of threads.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import whole
from ..ensemble import STATES_OF_OPTIONS, Array, Ensemble, Outcome, Progress, SimulationError
from ..processes import gap_junction, ip3, sic
from ..processes.gliotransmission import RULES
from ..streams import stream_states
from . import experiment_arrays, numba_coupling, propagators
from .statistics import crossing_period

# Every unit draws from a stream of its own, so an ensemble may be cut anywhere.
UNITS_STAND_ALONE = True

# Units that are prepared at a time; a multiple of the lanes, and enough blocks to keep all threads busy.
PART = 8192


def memory_needed(ensemble: Ensemble) -> float:
    """Bytes at the peak of `run` and of the Dataset made from it, by the shapes of the arrays below and a little more."""
    # Rows of a block's memory, and its lanes, without importing the compiler.
    rows = 110 + 4 * ensemble.parameters.n_neurons
    if ensemble.parameters.synapse == "depressing":
        rows += 2 * ensemble.parameters.n_neurons * ensemble.parameters.n_synapses
    n, m = ensemble.n_units, ensemble.parameters.n_neurons
    synapses = m * ensemble.parameters.n_synapses
    per_unit = 8 * (110 + 8 * m)
    # The phases of regular input: Python integers while they are made, then one copy per lane in every thread.
    # And what a depressing synapse holds.
    lanes = 3 if ensemble.parameters.synapse == "depressing" else 1
    per_synapse = 64 + (8 * 32 * lanes * _usable_cores())
    # The largest trace, one value per neuron, is copied twice when it is written.
    traces = ensemble.trace_bytes * (1 + 2 * m / (5 + 3 * m))
    # A run with traces or an experiment is prepared whole.
    prepared = n if ensemble.n_samples or ensemble.experiment is not None else min(n, PART)
    kept = 8 * (30 + 6 * m) * n
    experiment = experiment_arrays.memory_needed(ensemble) + numba_coupling.memory_needed(ensemble, rows, 32)
    return kept + prepared * per_unit + synapses * per_synapse + traces + experiment


def run(ensemble: Ensemble, *, threads: int | None = None, progress: Progress | None = None) -> Outcome:
    """Simulate `ensemble`.

    Parameters
    ----------
    threads : worker threads; default the number of usable cores.
    progress : called with (finished units, all units) from the calling thread.

    Raises
    ------
    SimulationError
        `threads` is no whole number of at least 1, or a state leaves the valid range.
    """
    threads = _usable_cores() if threads is None else whole("threads", threads, 1, None, SimulationError)
    n = ensemble.n_units
    if n <= PART or ensemble.n_samples or ensemble.experiment is not None:
        outcome = _run_part(ensemble, threads, progress)
    else:
        outcome = _run_in_parts(ensemble, threads, progress)
    outcome.check_finite()
    return outcome


def _run_in_parts(ensemble: Ensemble, threads: int, progress: Progress | None) -> Outcome:
    """`PART` units at a time: coefficients and streams, most of the memory of a unit, exist for one part alone."""
    n = ensemble.n_units
    grain = 1 if ensemble.coupling is None else ensemble.coupling.n_astrocytes
    size = max(PART // grain, 1) * grain
    whole_run = Outcome({}, {}, {}, {"threads": 0, "compile_or_load_s": 0.0, "run_s": 0.0, "unit_steps": 0})
    notes: dict[str, Any] = whole_run.notes
    for first in range(0, n, size):
        units = slice(first, min(first + size, n))
        part = ensemble.part(units)

        def report(done: int, _: int, first: int = first) -> None:
            if progress:
                progress(first + done, n)

        outcome = _run_part(part, threads, report)
        for group, target in ((outcome.statistics, whole_run.statistics), (outcome.final, whole_run.final)):
            for name, values in group.items():
                target.setdefault(name, np.empty((n, *values.shape[1:])))[units] = values
        for name, value in outcome.notes.items():
            notes[name] = max(notes[name], value) if name == "threads" else round(notes[name] + value, 3)
    return whole_run


def _run_part(ensemble: Ensemble, threads: int, progress: Progress | None) -> Outcome:
    from . import numba_kernels as kernels
    from . import quantal_kernel

    started = time.perf_counter()
    p, clock, n = ensemble.parameters, ensemble.clock, ensemble.n_units
    m = p.n_neurons
    regular = ensemble.input == "regular"
    depressing = p.synapse == "depressing"
    flags, experiment = experiment_arrays.flags(ensemble), experiment_arrays.arrays(ensemble)
    counted = ensemble.input == "poisson" and not flags["individual"] and not depressing
    busiest = ensemble.rate * clock.dt * ensemble.highest_factor
    if ensemble.coupling is not None:
        busiest = numba_coupling.of_busiest(ensemble.coupling, busiest)
    terms = _terms(p.n_synapses, busiest) if counted else np.full(n, p.n_synapses)

    coefficients = propagators.table(ensemble)
    refractory = propagators.refractory_steps(ensemble)
    random = stream_states(int(ensemble.seed), np.arange(n) + ensemble.first_unit)
    noisy = p.calcium_noise != "none"
    units_of_study = np.arange(n if noisy else 0) + ensemble.first_unit
    noise = stream_states(int(ensemble.seed), units_of_study, "calcium")
    if regular:
        phase, increment = ensemble.regular_phase(), ensemble.regular_increment()
    else:
        phase, increment = np.zeros((m, p.n_synapses), np.int64), np.zeros(n, np.int64)
    state = ensemble.initial_state()
    glu, esp = np.zeros(n), np.zeros(n)
    v, ag = np.zeros((m, n)), np.zeros((m, n))
    stats = np.zeros((kernels.N_STATISTICS, n))
    samples = clock.trace_times().size
    n_extra = sum(m if STATES_OF_OPTIONS[name][3] else 1 for name in ensemble.extra_states)
    traces = np.zeros((5 + 3 * m + n_extra, samples, n))
    extra = np.zeros((n_extra, n))

    stop = np.zeros(1, dtype=np.int8)

    # A jump of IP3 comes before the exchange of its step, which is not the block's.
    in_block = (
        experiment if ensemble.coupling is None else experiment._replace(jump_ip3=np.zeros_like(experiment.jump_ip3))
    )

    def advance(kernel: Callable[..., None], units: NDArray[np.int64], *further: Any) -> int:
        kernel(
            coefficients, refractory, random, noise, phase, increment, state["Ca"], state["h"], state["IP3"], glu, esp, v, ag,
            clock.ratio, clock.n_astro, clock.n_settle, clock.record_every, clock.dt_astro, stats, traces, extra,
            units, stop, in_block, *further,
        )  # fmt: skip
        return units.size

    whole_time = (numba_coupling.kept(ensemble, 0, 0), 0, 0, clock.n_astro, kernels.WHOLE)
    own_synapses, receptors = m * p.n_synapses if depressing else 1, kernels.GCHI_ROWS if p.gchi else 0
    rows = kernels.work_rows(coefficients.shape[0], m, own_synapses, receptors)

    def advance_quantal(kernel: Callable[..., None], units: NDArray[np.int64]) -> int:
        kernel(
            coefficients, refractory, random, state["Ca"], state["h"], state["IP3"], glu, esp, v, ag, terms, clock.ratio,
            clock.n_astro, clock.n_settle, clock.record_every, clock.dt_astro, stats, traces, units, stop,
        )  # fmt: skip
        return units.size

    # A block is one group of lanes, or some copies of a graph: small enough to show progress.
    blocks: list[tuple[Any, ...]] = []
    quantal = quantal_kernel.suited(ensemble)
    if quantal.any():
        kernel = _compiled(
            quantal_kernel.kernel,
            stamp=source_stamp(),
            n_neurons=m,
            n_synapses=p.n_synapses,
            rule=RULES[p.release_rule],
            algebraic=p.esp_form == "algebraic",
            piece=quantal_kernel.longest_piece(clock.ratio),
        )
        advance_quantal(kernel, np.empty(0, np.int64))
        units = np.flatnonzero(quantal)
        size = quantal_kernel.block_size(units.size, threads)
        blocks += [(advance_quantal, kernel, units[first : first + size]) for first in range(0, units.size, size)]
    for count in np.unique(terms[~quantal]):
        structure = {
            "stamp": source_stamp(),
            "n_neurons": m,
            "n_synapses": p.n_synapses,
            "terms": int(count),
            "rule": RULES[p.release_rule],
            "algebraic": p.esp_form == "algebraic",
            "regular": regular,
            "expected": ensemble.release == "expected",
            "current": sic.FORMS[p.sic],
            "depressing": depressing,
            "gated": p.gate != "none",
            "source": ip3.SOURCES[p.ip3_source],
            "noisy": noisy,
            "gchi": p.gchi,
            **flags,
        }
        units = np.flatnonzero((terms == count) & ~quantal)
        if ensemble.coupling is None:
            kernel = _kernel(**structure)
            # The first call of a specialisation compiles; it must not happen in several threads at once.
            advance(kernel, np.empty(0, np.int64), *whole_time)
            blocks += [
                (advance, kernel, units[first : first + kernels.LANES], *whole_time)
                for first in range(0, units.size, kernels.LANES)
            ]
            continue
        coupling = ensemble.coupling
        kernel = _kernel(form=gap_junction.FORMS[coupling.form], **structure)
        none = np.empty(0, np.int64)
        advance(kernel, none, numba_coupling.kept(ensemble, 0, rows), numba_coupling.graph(ensemble, none, experiment))
        for copies in numba_coupling.groups(coupling, np.unique(units // coupling.n_astrocytes)):
            members = numba_coupling.units_of(coupling, copies)
            blocks.append(
                (
                    advance,
                    kernel,
                    members,
                    numba_coupling.kept(ensemble, members.size, rows),
                    numba_coupling.graph(ensemble, copies, experiment),
                )
            )
    compiled = time.perf_counter()
    done = 0
    with ThreadPoolExecutor(max_workers=min(threads, len(blocks))) as pool:
        pending = {pool.submit(*block) for block in blocks}
        try:
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                done += sum(item.result() for item in finished)
                if progress:
                    progress(done, n)
        except BaseException:
            stop[0] = 1
            pool.shutdown(cancel_futures=True)
            raise
    finished_at = time.perf_counter()

    return Outcome(
        statistics=_statistics(ensemble, stats, kernels),
        final=final_states(ensemble, state["Ca"], state["h"], state["IP3"], glu, esp, ag.T, v.T)
        | _extra_states(ensemble, extra),
        traces={} if not samples else _traces(traces, m) | _extra_states(ensemble, traces[5 + 3 * m :]),
        notes={
            "threads": min(threads, len(blocks)),
            "compile_or_load_s": round(compiled - started, 3),
            "run_s": round(finished_at - compiled, 3),
            "unit_steps": n * clock.n_astro * clock.ratio,
        },
        windows=_windows(ensemble, experiment),
    )


def cache_folder() -> Path | None:
    """The folder in which compiled kernels are kept between processes; None where none can be written."""
    kernel = _kernel(stamp=source_stamp(), **_SMALLEST)
    folder = kernel._cache.cache_path  # type: ignore[attr-defined]
    return None if folder is None else Path(folder)


# A structure to ask about; nothing is compiled before the first call.
_SMALLEST = {
    "n_neurons": 1, "n_synapses": 1, "terms": 1, "rule": RULES["upward"], "algebraic": False, "regular": False,
    "expected": False,
}  # fmt: skip


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _kernel(**structure: Any) -> Callable[..., None]:
    from . import coupled_kernels, numba_kernels

    return _compiled(coupled_kernels.kernel if "form" in structure else numba_kernels.kernel, **structure)


def _compiled(factory: Callable[..., Callable[..., None]], **structure: Any) -> Callable[..., None]:
    try:
        return factory(**structure)
    except RuntimeError:
        # No folder for the compiler's disk cache is writable; compile for this process alone.
        return factory(**structure, cache=False)


def _terms(n: int, p: Array) -> NDArray[np.int64]:
    """Comparisons per binomial draw for each unit, so that a larger count has probability below 1e-12.

    It depends on the unit's own input probability `p` alone (release adds a factor of at most 1), since another number of
    comparisons is another kernel, whose last digits may differ. Few distinct values, few compilations; up to ten synapses
    a cut saves nothing.

    Raises
    ------
    SimulationError
        The probability of no release at all is too small for a floating-point number.
    """
    if n * math.log1p(-float(p.max())) < -700.0:
        raise SimulationError(
            f"n_synapses = {n} with {n * p.max():.4g} input spikes per neuron and step: more than the binomial draw can "
            "count; lower n_synapses, the rate or dt, or use the engine brian2"
        )
    terms = np.full(p.shape, n)
    for cut in (40, 20, 10):
        if cut < n:
            terms[math.comb(n, cut + 1) * p ** (cut + 1) < 1e-12] = cut
    return terms


@cache
def source_stamp() -> str:
    """Digest of everything that a compiled kernel depends on: the sources of processes and engines, numba's version."""
    import numba

    digest = hashlib.sha256(f"numba {numba.__version__}".encode())
    package = Path(__file__).parent.parent
    for path in sorted([*package.glob("processes/*.py"), *package.glob("engines/*.py"), package / "ensemble.py"]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _statistics(ensemble: Ensemble, s: Array, k: ModuleType) -> dict[str, Array]:
    m, clock = ensemble.parameters.n_neurons, ensemble.clock
    n = clock.n_window
    window = n * clock.dt_astro
    mean = s[k.CA_SUM] / n
    variance = s[k.CA_SQUARES] / n - mean**2
    ag = s[k.AG_SUM] / (n * m)
    return {
        "calcium_mean": mean,
        "calcium_sd": np.sqrt(np.maximum(variance, 0.0)),
        "calcium_min": s[k.CA_MIN].copy(),
        "calcium_max": s[k.CA_MAX].copy(),
        "ip3_mean": s[k.IP3_SUM] / n,
        "ag_mean": ag,
        "dse_mean": ensemble.values("K_AG") * ag,
        "glutamate_mean": s[k.GLU_SUM] / n,
        "esp_mean": s[k.ESP_SUM] / n,
        "release_probability_mean": s[k.PR_SUM] / (n * m),
        "firing_rate": s[k.SPIKES] / (m * window),
        "release_rate": s[k.RELEASES] / (m * window),
        "crossings": s[k.CROSSINGS].copy(),
        "crossing_period": crossing_period(s[k.CROSSINGS], s[k.FIRST_CROSSING], s[k.LAST_CROSSING]),
    }


def final_states(
    e: Ensemble, ca: Array, h: Array, ip3: Array, glu: Array, esp: Array, ag: Array, v: Array
) -> dict[str, Array]:
    if e.experiment is None:
        pr = np.clip(e.values("PR0")[:, None] * (1 + (e.values("K_AG")[:, None] * ag + esp[:, None]) / 100), 0, 1)
    else:
        gain = 1 + (e.values("K_AG")[:, None] * ag + esp[:, None]) / 100
        pr = experiment_arrays.mean_probability(experiment_arrays.synapse_PR0(e), ~experiment_arrays.stuck(e), gain)
    return {
        "calcium": ca, "h": h, "ip3": ip3, "glutamate": glu, "esp": esp, "ag": ag, "release_probability": pr, "voltage": v,
    }  # fmt: skip


def _windows(e: Ensemble, x: experiment_arrays.Arrays) -> dict[str, Array]:
    """Sums of the kernel over each window as means and rates."""
    if not x.windows.size:
        return {}
    m = e.parameters.n_neurons
    n = (x.window_stop - x.window_start)[:, None].astype(np.float64)
    seconds = n[..., None] * e.clock.dt_astro
    unit, rest = np.split(x.windows, [experiment_arrays.WINDOW_UNIT_ROWS], axis=1)
    ca_sum, ca_max, ip3_sum, ip3_max, esp_sum = np.moveaxis(unit, 1, 0)
    per_neuron = rest.reshape(n.size, experiment_arrays.WINDOW_NEURON_ROWS, m, e.n_units)
    ag_sum, pr_sum, pr_all_sum, spikes, releases = np.moveaxis(per_neuron.transpose(0, 1, 3, 2), 1, 0)
    return {
        "window_calcium_mean": ca_sum / n,
        "window_calcium_max": ca_max.copy(),
        "window_ip3_mean": ip3_sum / n,
        "window_ip3_max": ip3_max.copy(),
        "window_esp_mean": esp_sum / n,
        "window_ag_mean": ag_sum / n[..., None],
        "window_release_probability": pr_sum / n[..., None],
        "window_release_probability_all": pr_all_sum / n[..., None],
        "window_firing_rate": spikes / seconds,
        "window_release_rate": releases / seconds,
    }


def _traces(traces: Array, m: int) -> dict[str, Array]:
    per_neuron = np.moveaxis(traces[5 : 5 + 3 * m].reshape(3, m, *traces.shape[1:]), 1, -1)
    return {
        "calcium": traces[0], "h": traces[1], "ip3": traces[2], "glutamate": traces[3], "esp": traces[4],
        "ag": per_neuron[0], "release_probability": per_neuron[1], "voltage": per_neuron[2],
    }  # fmt: skip


def _extra_states(e: Ensemble, rows: Array) -> dict[str, Array]:
    """The states of chosen processes by name, from `rows` [extra, ..., units]; those of neurons get them as last axis."""
    out, first = {}, 0
    for name in e.extra_states:
        if STATES_OF_OPTIONS[name][3]:
            out[name] = np.moveaxis(rows[first : first + e.parameters.n_neurons], 0, -1)
            first += e.parameters.n_neurons
        else:
            out[name] = rows[first]
            first += 1
    return out
