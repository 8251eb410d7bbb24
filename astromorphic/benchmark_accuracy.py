"""`astromorphic benchmark accuracy`: error of each engine against its step, and the bias of what makes the kernel fast.

Errors are those of calcium in two deterministic runs against the reference engine (DOP853, relative tolerance 1e-12): a smooth
rise of IP3 ("A") and regular spikes through 2-AG ("B"). A bias is the relative difference of the mean firing rate and of mean
calcium between a run with the default and one with the finer or slower alternative, with its standard error over units; where
both runs draw the same random numbers the difference is taken unit by unit. The goal counts as met where the bias and two
standard errors stay below it, as missed where they lie above it; in between the number of units cannot tell.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from typing import Any

import numpy as np

from . import workload

Row = dict[str, Any]
LARGEST_BIAS = 0.1  # per cent, of the defaults
_WORDS = {True: "met", False: "NOT MET", None: "too few units to tell"}
STEPS = (0.01, 0.02, 0.05, 0.1)


def measure(quick: bool = False) -> list[Row]:
    """Rows of name, value, unit; biases have `standard_error` too, those of defaults `goal` and `met` (None: cannot tell)."""
    return [*_step_errors(quick), *_draw_errors(), *_biases(quick)]


def _transient(name: str, dt_astro: float, dt: float) -> Any:
    """Run A or B of 50 s with one unit, which `dt` must fit into whole input periods of 0.1 s."""
    import biosim

    values: dict[str, Any] = {
        "n_neurons": 1,
        "n_synapses": 1,
        "PR0": 1.0,
        "K_AG": 0.0,
        "release_rule": "upward",
        "dGlu": 0.0,
    }
    if name == "A":
        ca, h = biosim.rest_state(0.16, biosim.parameter_set("wade2012"))
        values |= {"IP3_init": 0.16, "IP3_rest": 0.45, "Ca_init": ca, "h_init": h}
    parameters = biosim.parameter_set("wade2012").with_values(**values)
    clock = biosim.Clock(50.0, dt=dt, dt_astro=dt_astro)
    rate = np.array([0.0 if name == "A" else 10.0])
    return biosim.Ensemble(parameters, clock, rate, input="regular", release="expected")


def _step_errors(quick: bool) -> list[Row]:
    import biosim

    rows: list[Row] = []
    engines: list[tuple[str, dict[str, Any]]] = [("numba", {})]
    if importlib.util.find_spec("brian2") is not None and not quick:
        engines.append(("brian2", {"target": "numpy"}))
    for run in ("A", "B"):
        truth = float(biosim.run_ensemble(_transient(run, 0.01, 0.001), "reference").final["calcium"][0])
        for engine, options in engines:
            for step in STEPS:
                # Brian2 takes a while per step; the exact processes do not need the short one.
                dt = 0.001 if engine == "numba" else step / 2
                ensemble = _transient(run, step, dt)
                calcium = float(biosim.run_ensemble(ensemble, engine, **options).final["calcium"][0])
                name = f"run {run}, {engine}, Runge-Kutta step {1e3 * step:g} ms"
                rows.append({"name": name, "value": abs(calcium - truth), "unit": "uM"})
        if run == "A":
            for step in (0.001, *STEPS):
                for rule in ("Euler", "Runge-Kutta with IP3 frozen over the step"):
                    if rule == "Euler" or step > 0.001:
                        value = abs(_plain(rule, step) - truth)
                        name = f"run A, {rule}, step {1e3 * step:g} ms (not used)"
                        rows.append({"name": name, "value": value, "unit": "uM"})
    return rows


def _plain(rule: str, step: float) -> float:
    """Calcium at 50 s in run A by schemes that no engine uses, for comparison."""
    from biosim.processes import li_rinzel
    from biosim.stability import constants

    ensemble = _transient("A", 0.01, 0.001)
    p, start = constants(ensemble.parameters), ensemble.initial_state()
    y = np.array([start["Ca"][0], start["h"][0]])

    def rhs(t: float, y: Any) -> Any:
        ip3 = 0.45 - 0.29 * math.exp(-t / ensemble.parameters.tau_IP3)
        return np.array(li_rinzel.derivatives(y[0], y[1], ip3, **p))

    for k in range(round(50.0 / step)):
        t = k * step
        if rule == "Euler":
            y = y + step * rhs(t, y)
            continue
        a = rhs(t, y)
        b = rhs(t, y + step / 2 * a)
        c = rhs(t, y + step / 2 * b)
        y = y + step / 6 * (a + 2 * (b + c) + rhs(t, y + step * c))
    return float(y[0])


def _draw_errors() -> list[Row]:
    """Relative bias of the mean number of quanta of a draw, by its distribution function; no random numbers."""
    from scipy.stats import binom

    from biosim.engines.numba_engine import _terms

    rows: list[Row] = []
    for n, rate in ((10, 10.0), (10, 500.0), (50, 10.0), (100, 100.0)):
        p = rate * 1e-3
        terms = int(_terms(n, np.array([p]))[0])
        # Mean of min(count, terms): the sum of P(count > k) over k below terms, with the kernel's own recurrence.
        odds, mass = p / (1.0 - p), (1.0 - p) ** n
        cumulative, mean = mass, 0.0
        for k in range(terms):
            mean += 1.0 - cumulative
            mass *= odds * ((n - k) / (k + 1.0))
            cumulative += mass
        name = f"mean of the release count, {n} synapses at {rate:g} Hz, {terms} terms"
        bias = 100.0 * (mean / float(binom.mean(n, p)) - 1.0)
        rows.append({"name": name, "value": bias, "unit": "%", "standard_error": 0.0, "goal": f"< {LARGEST_BIAS:g}",
                     "met": abs(bias) < LARGEST_BIAS})  # fmt: skip
    return rows


def _biases(quick: bool) -> list[Row]:
    import biosim

    units, duration = (512, 40.0) if quick else (4096, 100.0)
    rows: list[Row] = []
    w = workload.ensemble(units, duration)
    runs = [("workload W", w)]
    for name, rate in (("wade2012", 10.0), ("wade2012", 100.0), ("psu", 10.0), ("psu", 100.0)):
        base = biosim.Ensemble(biosim.parameter_set(name), w.clock, np.full(units, rate), seed=1)
        runs.append((f"{name}, {rate:g} Hz", base))
    # At 0.5 Hz a unit releases some twenty quanta in all: calcium follows their number, so it takes more units.
    rare = np.full(4 * units, 0.5)
    gchi = biosim.Ensemble(biosim.parameter_set("stimberg2018"), w.clock, rare, seed=1)
    runs.append(("G-ChI, 0.5 Hz", gchi))
    for label, base in runs:
        clock = replace(base.clock, settle=duration / 5)
        default = biosim.run_ensemble(replace(base, clock=clock), "numba").statistics

        def add(
            name: str, other: Any, paired: bool, is_default: bool = True, label: str = label, default: Any = default
        ) -> None:
            for key, what in (("firing_rate", "rate"), ("calcium_mean", "calcium")):
                bias, error = _relative(default[key], other[key], paired)
                row: Row = {"name": f"{label}, {name}: {what}", "value": bias, "unit": "%", "standard_error": error}
                if is_default:
                    row |= {"goal": f"< {LARGEST_BIAS:g}", "met": _verdict(bias, error)}
                rows.append(row)

        finer = biosim.run_ensemble(replace(base, clock=replace(clock, dt_astro=0.002)), "numba").statistics
        add("astrocyte step 10 ms against 2 ms", finer, paired=True)
        for step in (0.05, 0.1) if label in ("workload W", "wade2012, 10 Hz") else ():
            coarse = biosim.run_ensemble(replace(base, clock=replace(clock, dt_astro=step)), "numba").statistics
            for key, what in (("firing_rate", "rate"), ("calcium_mean", "calcium")):
                bias, error = _relative(coarse[key], finer[key], True)
                name = f"{label}, astrocyte step {1e3 * step:g} ms against 2 ms (not the default): {what}"
                rows.append({"name": name, "value": bias, "unit": "%", "standard_error": error})
        shorter = replace(base, clock=replace(clock, dt=2.5e-4), seed=2)
        add("neuron step 1 ms against 0.25 ms", biosim.run_ensemble(shorter, "numba").statistics, paired=False)
        compiled = importlib.util.find_spec("brian2") is not None and workload.compiler() is not None
        if label == "workload W" and compiled and not quick:
            few = replace(workload.ensemble(8000, 50.0), clock=replace(clock, duration=50.0, settle=5.0))
            many = replace(base, clock=few.clock)
            by_synapse = biosim.run_ensemble(few, "brian2", target="cython").statistics
            add("one number per neuron against one per synapse (Brian2, 8,000 units)", by_synapse, False,
                default=biosim.run_ensemble(many, "numba").statistics)  # fmt: skip
    return rows


def _verdict(bias: float, error: float) -> bool | None:
    """Whether a bias lies below the goal: True or False where two standard errors leave no doubt, else None."""
    if abs(bias) + 2 * error < LARGEST_BIAS:
        return True
    return False if abs(bias) - 2 * error > LARGEST_BIAS else None


def _relative(one: Any, other: Any, paired: bool) -> tuple[float, float]:
    """Difference of the means of `one` and `other` relative to the latter, and its standard error, both in per cent."""
    mean = float(other.mean())
    if paired:
        error = float((one - other).std(ddof=1)) / math.sqrt(one.size)
    else:
        error = math.hypot(
            float(one.std(ddof=1)) / math.sqrt(one.size), float(other.std(ddof=1)) / math.sqrt(other.size)
        )
    return 100.0 * (float(one.mean()) - mean) / mean, 100.0 * error / mean


def table(rows: list[Row]) -> str:
    """The rows as text."""
    lines = [f"{'':90s}{'value':>12s}{'s.e.':>10s}  {'unit':6s}{'goal':>8s}"]
    for row in rows:
        error = f"{row['standard_error']:10.2g}" if "standard_error" in row else " " * 10
        goal = f"{row['goal']:>8s}  {_WORDS[row['met']]}" if "goal" in row else ""
        lines.append(f"{row['name']:90s}{row['value']:12.3g}{error}  {row['unit']:6s}{goal}".rstrip())
    return "\n".join(lines)
