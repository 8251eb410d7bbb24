"""Workload W: the ensemble on which simulators are compared, for this package, for Brian2 and for a C program.

N independent units of one LIF neuron, ten synapses and one astrocyte at 10 Hz Poisson input and steps of 1 ms. The constants
are chosen so that calcium crosses the threshold and gliotransmission runs; they are no model of a particular synapse.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import subprocess
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

RATE, SYNAPSES = 10.0, 10


def ensemble(units: int, duration: float, seed: int = 1) -> Any:
    """`units` units for `duration` s: exact LIF and linear processes every 1 ms, Runge-Kutta of calcium every 10 ms."""
    import biosim

    parameters = biosim.parameter_set("wade2012").with_values(
        n_neurons=1, n_synapses=SYNAPSES, K_AG=-1000.0, r_IP3=1.0, quantum=0.25, t_ref=0.0, release_rule="continuous",
        m_eSP=150.0, Ca_init=0.07, h_init=0.8,
    )  # fmt: skip
    return biosim.Ensemble(parameters, biosim.Clock(duration), np.full(units, RATE), seed=seed)


class CProgram:
    """The same algorithm as the compiled kernel in C (`benchmarks_c/workload_w.c`), built on the spot.

    Raises
    ------
    RuntimeError
        There is no C compiler, or it fails; the message says which.
    """

    # Rows of the C program's table of coefficients, state and statistics, in its order.
    COEFFICIENTS = (
        "membrane_decay", "ag_decay", "ip3_decay", "ag_to_ip3", "glu_decay", "esp_decay", "glu_to_esp", "glu_level", "m_eSP",
        "jump", "input_probability", "PR0", "K_AG", "dAG", "v_th", "IP3_rest", "Ca_th", "r_C", "r_L", "v_ER", "k_ER", "c0",
        "c1", "a2", "d1", "d2", "d3", "d5",
    )  # fmt: skip
    STATE = ("calcium", "h", "ip3", "glutamate", "esp", "voltage", "ag")
    STATISTICS = 14
    SPIKES, CALCIUM_SUM = 9, 0

    def __init__(self, folder: Path, flags: tuple[str, ...] = ("-O3", "-march=native")) -> None:
        self.compiler = compiler()
        if self.compiler is None:
            raise RuntimeError("no C compiler on the path")
        library = folder / f"workload_w{'_'.join(flags)}.so"
        with as_file(files("astromorphic") / "benchmarks_c" / "workload_w.c") as source:
            # In two steps: linking with -ffast-math would set the whole process to flush small numbers to zero.
            compiling = [self.compiler, "-std=c11", *flags, "-fPIC", "-c", str(source), "-o", f"{library}.o"]
            for command in (compiling, [self.compiler, "-shared", f"{library}.o", "-o", str(library), "-lm"]):
                built = subprocess.run(command, capture_output=True, text=True)
                if built.returncode:
                    raise RuntimeError(f"{self.compiler} fails: {' '.join(built.stderr.split())[:200]}")
        self._function = ctypes.CDLL(str(library)).workload_w
        self._function.restype = None
        self._function.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_long] * 4 + [ctypes.c_double]

    def run(self, e: Any) -> tuple[dict[str, Any], Any, float]:
        """Run `e`, an ensemble of workload W; returns (final state, statistics' sums [14, units], CPU seconds)."""
        from biosim.engines import propagators
        from biosim.streams import stream_states

        n, clock = e.n_units, e.clock
        table, start = propagators.table(e), e.initial_state()
        rows = [table[propagators.ROW[name]] for name in self.COEFFICIENTS]
        coefficients = np.ascontiguousarray(np.stack([*rows, propagators.refractory_steps(e)]))
        random = np.ascontiguousarray(stream_states(e.seed, np.arange(n) + e.first_unit))
        state = np.zeros((len(self.STATE), n))
        state[0], state[1], state[2] = start["Ca"], start["h"], start["IP3"]
        sums = np.zeros((self.STATISTICS, n))
        began = time.process_time()
        self._function(
            *(a.ctypes.data for a in (coefficients, random, state, sums)),
            n, clock.ratio, clock.n_astro, clock.n_settle, clock.dt_astro,
        )  # fmt: skip
        return dict(zip(self.STATE, state, strict=True)), sums, time.process_time() - began


def compiler() -> str | None:
    """The C compiler: that of the variable CC, else cc, gcc or clang."""
    named = (os.environ.get("CC", "").split() or [""])[0]
    return next((found for name in (named, "cc", "gcc", "clang") if name and (found := shutil.which(name))), None)


EQUATIONS = """
dv/dt = -v/(60*ms) : 1
dAG/dt = -AG/(10*second) : 1
dIP3/dt = (0.16 - IP3)/(7*second) + 1.0*AG/second : 1
dCa/dt = ((6*gate**3 + 0.11)*(2 - 1.185*Ca) - 0.9*Ca**2/(0.01 + Ca**2))/second : 1
dh/dt = 0.2*(Q2 - (Q2 + Ca)*h)/second : 1
dGlu/dt = -Glu/(0.1*second) + 10*int(Ca > 0.3)/second : 1
deSP/dt = (-eSP + 150*Glu)/(40*second) : 1
gate = IP3/(IP3 + 0.13)*Ca/(Ca + 0.08234)*h : 1
Q2 = 1.049*(IP3 + 0.13)/(IP3 + 0.9434) : 1
PR = clip(0.5*(1 + (-1000*AG + eSP)/100), 0, 1) : 1
"""


SHORT = 0.1


class BrianByHand:
    """Workload W as one writes it in Brian2 for speed: one group, forward Euler of 1 ms, no statistics but the spikes.

    `device` is ``numpy``, ``cython`` or ``cpp_standalone``. `close` puts Brian2 back; a
    standalone program does so itself once it is built.
    """

    def __init__(self, device: str, units: int, duration: float, folder: Path) -> None:
        import brian2 as b

        # Brian2 advises on the order of synapses; each draws its own number and adds to a sum, so none matters.
        self._logger = logging.getLogger("brian2")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)
        self.b, self.standalone, self.units, self.duration = b, device == "cpp_standalone", units, duration
        self.closed, self.device = False, device
        self._target = b.prefs.codegen.target
        self._random = np.random.get_state()
        if self.standalone:
            b.set_device("cpp_standalone", directory=str(folder / "standalone"), build_on_run=False)
        else:
            b.prefs.codegen.target = device
        group = b.NeuronGroup(
            units,
            EQUATIONS,
            threshold="v > 9",
            reset="v = 0; AG += 0.0008",
            method="euler",
            dt=1 * b.ms,
            name="w_units",
        )
        group.IP3, group.Ca, group.h = 0.16, 0.07, 0.8
        source = b.PoissonGroup(units * SYNAPSES, RATE * b.Hz, dt=1 * b.ms, name="w_input")
        # The release probability of the unit, of the new 2-AG and e-SP; each synapse draws its own number.
        synapses = b.Synapses(source, group, on_pre="v_post += 5*int(rand() < PR_post)", dt=1 * b.ms, name="w_synapses")
        synapses.connect(i=np.arange(units * SYNAPSES), j=np.arange(units * SYNAPSES) // SYNAPSES)
        self.spikes = b.SpikeMonitor(group, record=False, name="w_spikes")
        self.network = b.Network(group, source, synapses, self.spikes)
        if self.standalone:
            b.seed(1)
            self.network.run(duration * b.second, namespace={})
            b.device.build(directory=str(folder / "standalone"), run=False)
            self.program = folder / "standalone" / "main"
            self.close()
        else:
            self.network.run(0.05 * b.second, namespace={})

    def seconds(self) -> tuple[float, ...]:
        """CPU seconds of one run of `duration`, of the compiled program alone, with ``cpp_standalone``.

        With the others those of a short run and of one longer by `duration`: Brian2 prepares its code anew in every run.
        """
        if self.standalone:
            before = _children()
            subprocess.run([str(self.program)], cwd=self.program.parent, check=True, capture_output=True)
            return (_children() - before,)
        # Code is made for the target of the moment, and another program may have set its own since.
        self.b.prefs.codegen.target = self.device
        times = []
        for duration in (SHORT, SHORT + self.duration):
            began = time.process_time()
            self.network.run(duration * self.b.second, namespace={})
            times.append(time.process_time() - began)
        return tuple(times)

    def close(self) -> None:
        if self.standalone and not self.closed:
            self.b.device.reinit()
            self.b.set_device("runtime")
        self.closed = True
        self._logger.setLevel(self._level)
        self.b.prefs.codegen.target = self._target
        np.random.set_state(self._random)


def _children() -> float:
    import resource  # not on every system

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
