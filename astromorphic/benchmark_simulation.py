"""`astromorphic benchmark simulation`: unit-steps per second of every engine on the same ensemble, in one run.

A unit-step is one unit (astrocyte, neurons, synapses) advanced by one neuron step. The rate of an engine is the slope
between a short and a long run of the same ensemble, so that building and compiling do not count; the intercept is given as
set-up time. A standalone program of Brian2 is compiled anew for every run, which varies by more than the run takes; there
the time that the program itself reports is used. Times are wall times on a machine that may be doing other things: compare
rows of one run, not runs.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Case:
    """An engine with its options, the two durations (s of simulated time) and how often to repeat."""

    label: str
    engine: str
    options: dict[str, Any]
    short: float
    long: float
    deterministic: bool = False


def _cases(quick: bool) -> list[_Case]:
    cases = [
        _Case("numba, 1 thread", "numba", {"threads": 1}, 10.0, 60.0),
        _Case("numba, 2 threads", "numba", {"threads": 2}, 10.0, 110.0),
    ]
    if importlib.util.find_spec("brian2") is not None:
        cases.append(_Case("brian2, numpy target", "brian2", {"target": "numpy"}, 0.1, 0.6))
        if not quick:
            cases.append(_Case("brian2, cython target", "brian2", {"target": "cython"}, 0.5, 4.5))
            cases.append(_Case("brian2, cpp_standalone", "brian2", {"device": "cpp_standalone"}, 0.5, 10.5))
    cases.append(_Case("reference (SciPy), regular input", "reference", {}, 0.1, 0.6, deterministic=True))
    return cases


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """One row per engine: name, value (unit-steps per s), unit, setup_s, ratio to the first row."""
    import biosim

    units = 64 if quick else 320
    repeats = 1 if quick else 3
    rows: list[dict[str, Any]] = []
    for case in _cases(quick):
        count = 2 if case.deterministic else units

        def seconds(duration: float, case: _Case = case, count: int = count) -> tuple[float, float]:
            """Time of the run, and of all that surrounds it where the engine tells the two apart."""
            plan = biosim.protocol(
                "rate_sweep",
                rates=[10.0],
                trials=count,
                duration=duration,
                settle=0.0,
                **({"input": "regular", "release": "expected"} if case.deterministic else {}),
            )
            started = time.perf_counter()
            outcome = biosim.run_ensemble(plan.ensemble(seed=1), case.engine, **case.options)
            elapsed = time.perf_counter() - started
            program = outcome.notes.get("program_s")
            return (program, elapsed - program) if isinstance(program, float) else (elapsed, 0.0)

        try:
            standalone = case.label.endswith("standalone")
            if not standalone:
                seconds(case.short)  # fills the caches of compiled code
            n = 1 if standalone else repeats
            short, around = min(seconds(case.short) for _ in range(n))
            long, _ = min(seconds(case.long) for _ in range(n))
        except biosim.SimulationError as error:
            rows.append({"name": case.label, "value": None, "unit": "unit-steps/s", "note": str(error)})
            continue
        steps = count * (case.long - case.short) * 1000
        rate = steps / max(long - short, 1e-9)
        row = {"name": case.label, "value": rate, "unit": "unit-steps/s", "units": count}
        row["setup_s"] = around + max(short - case.short * count * 1000 / rate, 0.0)
        rows.append(row)
    fastest = rows[0]["value"]
    for row in rows:
        row["ratio_to_first"] = None if row["value"] is None else row["value"] / fastest
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = [f"{'engine':36s}{'M unit-steps/s':>16s}{'ratio':>12s}{'set-up s':>10s}"]
    for row in rows:
        if row["value"] is None:
            lines.append(f"{row['name']:36s}not run: {row['note']}")
            continue
        lines.append(f"{row['name']:36s}{row['value'] / 1e6:16.5g}{row['ratio_to_first']:12.3g}{row['setup_s']:10.2f}")
    return "\n".join(lines)
