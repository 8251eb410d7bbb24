"""`astromorphic benchmark simulation`: speed of every engine on workload W in one run, beside Brian2 by hand and C.

A unit-step is one unit (astrocyte, neuron, ten synapses) advanced by 1 ms. Rates are per second of CPU time of one core, the
best of several interleaved repeats, because the machine may be doing other things; threads are compared by wall time.
Compiling does not count in a rate: it has rows of its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import workload

Row = dict[str, Any]
UNITS = 1000
RATE_UNIT = "unit-steps per CPU-second"
# Of the time of the longer run: below, a difference of two times is mostly that of their set-ups.
SMALLEST_SHARE = 0.3
# As strict as the kernel's own options, and whatever the compiler can do: the faster one is the limit.
C_FLAGS = (
    ("-O3", "-march=native"),
    ("-O3", "-march=native", "-ffast-math"),
    # Compilers choose half the width on some processors; where there is no such flag, the row says so.
    ("-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512"),
)


@dataclass(frozen=True)
class _Case:
    """A row of the table of rates: `once` returns the CPU seconds of `unit_steps`.

    Where a run has a set-up that comes again every time, it returns those of a short run and of one longer by `unit_steps`.
    """

    name: str
    unit_steps: float
    once: Callable[[], tuple[float, ...]]
    repeats: int

    def rate(self, best: tuple[float, ...]) -> float | None:
        """Unit-steps per second from the best times; None where the set-up hides what is to be measured."""
        seconds = best[-1] - (best[0] if len(best) == 2 else 0.0)
        return self.unit_steps / seconds if seconds > SMALLEST_SHARE * best[-1] else None


def measure(quick: bool = False) -> list[Row]:
    """Rows of name, value, unit; goals have `goal` and `met`, rows that could not run have `note`.

    The rows: rate of each program, agreement with the C program, ratios of rates, threads, cost at growing numbers of units,
    bytes per unit, first compilation and second start.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="astromorphic-benchmark-") as name:
        folder = Path(name)
        rates = _rates(rows, folder, quick)
        _agreement(rows, folder, quick)
        _ratios(rows, rates)
        _threads(rows, quick)
        _scaling(rows, quick)
        _memory(rows, quick)
        _compilation(rows, folder)
    return rows


def _numba_seconds(
    units: int, duration: float, threads: int = 1, clock: Callable[[], float] = time.process_time
) -> float:
    import biosim

    ensemble = workload.ensemble(units, duration)
    began = clock()
    biosim.run_ensemble(ensemble, "numba", threads=threads)
    return clock() - began


def _engine_seconds(engine: str, ensembles: list[Any], **options: Any) -> tuple[float, ...]:
    """CPU seconds of a short and of a long run."""
    import biosim

    times = []
    for ensemble in ensembles:
        began = time.process_time()
        biosim.run_ensemble(ensemble, engine, **options)
        times.append(time.process_time() - began)
    return tuple(times)


def _rates(rows: list[Row], folder: Path, quick: bool) -> dict[str, float]:
    repeats = 3 if quick else 6
    long = 20.0 if quick else 60.0
    cases = [_Case("numba engine", UNITS * long * 1e3, lambda: (_numba_seconds(UNITS, long),), repeats)]
    for flags in C_FLAGS:
        name = f"C program, {' '.join(flags)}"
        try:
            program = workload.CProgram(folder, flags)
        except RuntimeError as error:
            rows.append({"name": name, "value": None, "unit": RATE_UNIT, "note": str(error)})
            continue
        ensemble = workload.ensemble(UNITS, long)
        cases.append(_Case(name, UNITS * long * 1e3, lambda p=program, e=ensemble: (p.run(e)[2],), repeats))  # type: ignore[misc]
    deterministic = [
        replace(workload.ensemble(2, t), input="regular", release="expected")
        for t in ((0.1, 0.3) if quick else (0.1, 0.6))
    ]
    cases.append(
        _Case("reference engine (SciPy), regular input, 2 units", 2 * (deterministic[1].clock.duration - 0.1) * 1e3,
              lambda: _engine_seconds("reference", deterministic), 2)
    )  # fmt: skip
    opened = []
    if importlib.util.find_spec("brian2") is None:
        rows.append({"name": "Brian2", "value": None, "unit": RATE_UNIT, "note": "Brian2 is not installed"})
    else:
        targets = () if quick else ("numpy", "cython")
        for target in targets:
            ends = (0.1, 3.1) if target == "numpy" else (0.2, 10.2)
            pair = [workload.ensemble(UNITS, t) for t in ends]
            cases.append(
                _Case(f"brian2 engine, {target}", UNITS * (ends[1] - ends[0]) * 1e3,
                      lambda p=pair, t=target: _engine_seconds("brian2", p, target=t), 3)  # type: ignore[misc]
            )  # fmt: skip
        # The standalone program first: it is built while no other network of Brian2 exists.
        for device in ("numpy",) if quick else ("cpp_standalone", "numpy", "cython"):
            span = {"numpy": 3.0, "cython": 10.0, "cpp_standalone": 10.0}[device]
            try:
                by_hand = workload.BrianByHand(device, UNITS, span, folder)
            except Exception as error:
                note = f"Brian2 fails: {' '.join(str(error).split())[:150]}"
                rows.append({"name": f"Brian2 by hand, {device}", "value": None, "unit": RATE_UNIT, "note": note})
                continue
            opened.append(by_hand)
            cases.append(_Case(f"Brian2 by hand, {device}", UNITS * span * 1e3, by_hand.seconds, 3))
        if not quick:
            rows.append(_standalone_engine())
    best = {case.name: case.once() for case in cases}  # counts for little: it also fills the caches of compiled code
    for turn in range(repeats):
        for case in cases:
            if turn < case.repeats:
                best[case.name] = tuple(map(min, best[case.name], case.once()))
    for by_hand in opened:
        by_hand.close()
    rates = {}
    for case in cases:
        rate = case.rate(best[case.name])
        if rate is None:
            note = "its set-up takes most of the time of a run"
            rows.append({"name": case.name, "value": None, "unit": RATE_UNIT, "note": note})
        else:
            rates[case.name] = rate
    rows += [{"name": name, "value": rate, "unit": RATE_UNIT, "units": UNITS} for name, rate in rates.items()]
    return rates


def _standalone_engine() -> Row:
    """The engine's own standalone program, compiled anew for its single run; it reports wall time."""
    import biosim

    row: Row = {"name": "brian2 engine, cpp_standalone", "value": None, "unit": RATE_UNIT, "units": UNITS}
    duration = 5.0
    try:
        outcome = biosim.run_ensemble(workload.ensemble(UNITS, duration), "brian2", device="cpp_standalone")
    except ValueError as error:
        return row | {"note": str(error)}
    seconds = outcome.notes.get("program_s")
    if not isinstance(seconds, float):
        return row | {"note": "this Brian2 does not report the time of its program"}
    return row | {"value": UNITS * duration * 1e3 / seconds}


def _agreement(rows: list[Row], folder: Path, quick: bool) -> None:
    """The C program must do what the kernel does: the same seeds, the same spikes, calcium to rounding."""
    try:
        program = workload.CProgram(folder, C_FLAGS[0])
    except RuntimeError:
        return
    spikes, calcium = compare_with_c(program, workload.ensemble(100, 10.0 if quick else 60.0))
    rows.append({"name": "units whose spikes differ between kernel and C", "value": spikes, "unit": "units", "goal": "0",
                 "met": spikes == 0})  # fmt: skip
    rows.append({"name": "largest difference of final calcium, kernel and C", "value": calcium, "unit": "uM"})


def compare_with_c(program: workload.CProgram, ensemble: Any) -> tuple[int, float]:
    """(units with another number of spikes, largest difference of calcium at the end in uM) between kernel and C program."""
    import biosim

    outcome = biosim.run_ensemble(ensemble, "numba", threads=1)
    state, sums, _ = program.run(ensemble)
    fired = sums[program.SPIKES] / (ensemble.clock.n_window * ensemble.clock.dt_astro)
    differing = int((fired != outcome.statistics["firing_rate"]).sum())
    return differing, float(abs(state["calcium"] - outcome.final["calcium"]).max())


def _ratios(rows: list[Row], rates: dict[str, float]) -> None:
    ours = rates["numba engine"]
    limit = max((rate for name, rate in rates.items() if name.startswith("C program")), default=None)
    known = {row["name"]: row["value"] for row in rows if row["unit"] == RATE_UNIT}

    def ratio(name: str, other: float | None, goal: float | None) -> None:
        if other is None:
            return
        row: Row = {"name": f"numba engine / {name}", "value": ours / other, "unit": "ratio"}
        rows.append(row if goal is None else row | {"goal": f">= {goal:g}", "met": ours / other >= goal})

    ratio("Brian2 by hand, cython", known.get("Brian2 by hand, cython"), 60.0)
    ratio("brian2 engine, cython (same scheme)", known.get("brian2 engine, cython"), 60.0)
    ratio("Brian2 by hand, cpp_standalone", known.get("Brian2 by hand, cpp_standalone"), 25.0)
    ratio("brian2 engine, cpp_standalone (same scheme)", known.get("brian2 engine, cpp_standalone"), 25.0)
    ratio("fastest C program", limit, 0.75)


def _threads(rows: list[Row], quick: bool) -> None:
    """Wall time of one thread over that of two, alternating, best of each.

    With enough units that the preparation of a run, some 10 ms on one thread, is a small part of it.
    """
    if len(os.sched_getaffinity(0)) < 2 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) < 2:
        rows.append({"name": "2 threads / 1 thread, wall time", "value": None, "unit": "ratio", "note": "one core"})
        return
    units, duration = (2048, 40.0) if quick else (4096, 100.0)
    best = [float("inf"), float("inf")]
    for _ in range(3 if quick else 6):
        for threads in (1, 2):
            seconds = _numba_seconds(units, duration, threads, time.perf_counter)
            best[threads - 1] = min(best[threads - 1], seconds)
    value = best[0] / best[1]
    rows.append({"name": "2 threads / 1 thread, wall time", "value": value, "unit": "ratio", "goal": ">= 1.9",
                 "met": value >= 1.9})  # fmt: skip


def _scaling(rows: list[Row], quick: bool) -> None:
    """Cost per unit-step at growing numbers of units, set-up included; runs of at least 10 s."""
    sizes = (100, 1000, 10_000) if quick else (100, 1000, 10_000, 100_000)
    durations = {n: max((2e7 if quick else 4e7) / (1e3 * n), 10.0) for n in sizes}
    best = dict.fromkeys(sizes, float("inf"))
    for _ in range(2 if quick else 3):
        for n in sizes:
            duration = durations[n]
            best[n] = min(best[n], _numba_seconds(n, duration) / (n * duration * 1e3))
    for n in sizes:
        rows.append({"name": f"cost of a unit-step at {n:,} units", "value": best[n] * 1e9, "unit": "ns", "units": n})
    spread = max(best.values()) / min(best.values()) - 1.0
    rows.append({"name": f"spread of the cost, {sizes[0]} to {sizes[-1]:,} units", "value": 100 * spread, "unit": "%",
                 "goal": "<= 20", "met": spread <= 0.2})  # fmt: skip


def _memory(rows: list[Row], quick: bool) -> None:
    """Bytes per unit of all arrays alive at the peak of a run, from the slope between two sizes."""
    import biosim

    _numba_seconds(32, 0.1)  # the compiler's own memory does not count
    peaks = []
    sizes = (20_000, 40_000) if quick else (50_000, 100_000)
    for n in sizes:
        ensemble = workload.ensemble(n, 0.1)
        tracemalloc.start()
        biosim.run_ensemble(ensemble, "numba")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    value = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    rows.append({"name": "memory with online statistics", "value": value, "unit": "bytes per unit", "goal": "<= 250",
                 "met": value <= 250})  # fmt: skip


_START = """
import time
began = time.perf_counter()
from astromorphic.workload import ensemble
import biosim
outcome = biosim.run_ensemble(ensemble(32, 0.1), "numba")
print(time.process_time(), outcome.notes["compile_or_load_s"], time.perf_counter() - began)
"""


def _compilation(rows: list[Row], folder: Path) -> None:
    """Two fresh processes, the first with an empty cache of compiled code."""
    cache = folder / "numba-cache"
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    kernels: set[Path] = set()
    for name in ("first start", "second start"):
        run = subprocess.run(
            [sys.executable, "-c", _START], env=environment, capture_output=True, text=True, check=True
        )
        cpu, compiling, whole = (float(word) for word in run.stdout.split()[-3:])
        now = set(cache.rglob("*.nbc"))
        rows.append({"name": f"{name}, process to result, CPU time", "value": cpu, "unit": "s"})
        rows.append({"name": f"{name}, process to result, wall time", "value": whole, "unit": "s"})
        # Compiling is work of one thread: its share of the process's CPU time is its share of the wall time.
        share = cpu * compiling / whole
        row: Row = {"name": f"{name}, compiling or loading the kernel, CPU time", "value": share, "unit": "s"}
        rows.append(row | {"goal": "< 5", "met": share < 5.0} if not kernels else row)
        if kernels:
            new = len(now - kernels)
            rows.append(
                {
                    "name": "second start, kernels compiled",
                    "value": new,
                    "unit": "kernels",
                    "goal": "0",
                    "met": new == 0,
                }
            )
        kernels = now


def table(rows: list[Row]) -> str:
    """The rows as text, rates in millions."""
    lines = [f"{'':56s}{'value':>12s}  {'unit':30s}{'goal':>8s}"]
    for row in rows:
        if row["value"] is None:
            lines.append(f"{row['name']:56s}not run: {row['note']}")
            continue
        rate = row["unit"] == RATE_UNIT
        value, unit = (row["value"] / 1e6, f"M {row['unit']}") if rate else (row["value"], row["unit"])
        goal = f"{row['goal']:>8s}  {'met' if row['met'] else 'NOT MET'}" if "goal" in row else ""
        lines.append(f"{row['name']:56s}{value:12.4g}  {unit:30s}{goal}".rstrip())
    return "\n".join(lines)
