"""Engine ``brian2``: the same ensemble, scheme and order of operations as Brian2 groups with physical units.

Three groups: neurons (v, 2-AG; fast clock, exact), astrocytes (summed 2-AG, IP3, glutamate, e-SP; fast clock, exact) and
calcium (Ca, h; slow clock, Runge-Kutta of order 4 with IP3 interpolated through the start, middle and end of the step).
Everything that the slow clock does happens in the slot "start" of its tick, which stands for the end of the step before.
Orders and names are explicit: Brian2 breaks ties by name, and another order is another scheme.

The random numbers are Brian2's own, one stream for the whole network, so stochastic runs agree with the other engines in
distribution; deterministic runs agree to rounding.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..ensemble import Array, Ensemble, Outcome, Progress, SimulationError
from ..registry import choose
from . import brian_coupling, experiment_arrays, propagators, windows
from .brian_equations import (
    ASTROCYTES,
    CALCIUM,
    DEPRESSING,
    DEPRESSING_NEURONS,
    DRIVEN_STEP,
    DRIVEN_VOLTAGE,
    ESP,
    GAIN,
    GATE,
    GCHI_ASTROCYTES,
    GCHI_NEURONS,
    GCHI_SLOPE,
    IP3,
    IP3_GCHI,
    IP3_GIVEN,
    NEURONS,
    NOISE,
    NOISE_END,
    NOISE_START,
    ON_SPIKE,
    PRODUCTION,
    RECEPTOR_STEP,
    RELEASE,
    RELEASE_PROBABILITY,
    SIC,
    SIC_CALCIUM,
    SIC_GAIN,
    SIC_TICK,
    SYNAPSE_PROBABILITY,
    SYNAPSES,
    TICK,
    VOLTAGE,
)
from .statistics import crossing_period

# Where the states of chosen processes are: group, variable, and the factor from Brian2's units.
EXTRA_STATES = {
    "sic": ("neurons", "SIC_last", 1e12),
    "gate": ("astro", "Gate_last", 1.0),
    "transmitter": ("neurons", "Y_last", 1.0),
    "resources": ("neurons", "W_last", 1.0),
    "active_receptors": ("astro", "Gamma_last", 1.0),
    "cleft_glutamate": ("astro", "Y_cleft_last", 1e3),
}

DEVICES = ("runtime", "cpp_standalone")
TARGETS = ("auto", "cython", "numpy")

# One stream for the whole network: another cut gives other numbers.
UNITS_STAND_ALONE = False


def memory_needed(ensemble: Ensemble) -> float:
    """Bytes at the peak of `run`: about 100 numbers per unit and 40 per neuron, 200 bytes per synapse, spikes, traces."""
    p = ensemble.parameters
    synapses = p.n_neurons * p.n_synapses
    need = float(ensemble.n_units) * (800 + 320 * p.n_neurons + 200 * synapses) + 3 * ensemble.trace_bytes
    if ensemble.coupling is not None:
        # Every junction twice, with its indices and its strength.
        need += 200.0 * ensemble.coupling.n_edges * (ensemble.n_units // ensemble.coupling.n_astrocytes)
    if ensemble.input == "regular":
        need += 150 * synapses * float(ensemble.rate.sum()) * ensemble.clock.duration * ensemble.highest_factor
    x = ensemble.experiment
    if x is not None:
        need += experiment_arrays.memory_needed(ensemble)
        if x.schedule is not None:
            need += 8.0 * ensemble.clock.n_astro * ensemble.clock.ratio
        if x.spikes is not None:
            need += 150.0 * x.spikes.n_spikes * ensemble.n_units
        if x.windows is not None or x.faults is not None or x.PR0 is not None:
            # Every astrocyte step is kept, and the windows look at the synapses one by one.
            samples = float(ensemble.clock.n_astro) * ensemble.n_units
            need += samples * (3 * 8 * (3 + 5 * p.n_neurons) + 10 * synapses)
    return need


def run(
    ensemble: Ensemble, *, device: str = "runtime", target: str = "auto", progress: Progress | None = None
) -> Outcome:
    """Simulate `ensemble` with Brian2.

    Parameters
    ----------
    device : ``runtime`` or ``cpp_standalone`` (needs a C++ compiler).
    target : ``cython``, ``numpy``, or ``auto`` (cython where a C++ compiler is found, else numpy with a warning).

    Raises
    ------
    SimulationError
        Brian2 is not installed, or a compiler is needed and missing.
    """
    choose("device", device, DEVICES)
    choose("target", target, TARGETS)
    try:
        import brian2
    except ImportError as error:
        raise SimulationError(
            f"engine 'brian2' is not available ({error}): install the extra with pip install 'astromorphic[brian]', or use "
            "the engine numba"
        ) from error
    target = _choose_target(device, target)
    _check_time_constants(ensemble)
    old_target, old_random = brian2.prefs.codegen.target, np.random.get_state()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="biosim-brian2-") as directory, _without_order_warning():
        try:
            if device == "cpp_standalone":
                brian2.set_device("cpp_standalone", directory=directory, build_on_run=True)
            else:
                brian2.set_device("runtime")
                brian2.prefs.codegen.target = target
            outcome = _Network(brian2, ensemble).run(progress if device == "runtime" else None)
            if device == "cpp_standalone":
                # What the compiled program itself says it took, without generating and compiling it.
                outcome.notes["program_s"] = getattr(brian2.device, "_last_run_time", None)
        finally:
            brian2.prefs.codegen.target = old_target
            if device == "cpp_standalone":
                brian2.device.reinit()
                brian2.set_device("runtime")
            # Brian2's seed() reseeds numpy's global generator.
            np.random.set_state(old_random)
    outcome.notes.update(
        device=device,
        target="cpp_standalone" if device == "cpp_standalone" else target,
        run_s=round(time.perf_counter() - started, 3),
        unit_steps=ensemble.n_units * ensemble.clock.n_astro * ensemble.clock.ratio,
    )
    outcome.check_finite()
    return outcome


def _choose_target(device: str, target: str) -> str:
    named = (os.environ.get("CXX", "").split() or ["c++"])[0]
    compiler = shutil.which(named) or shutil.which("g++") or shutil.which("cl")
    if compiler:
        return "cython" if target == "auto" else target
    if device == "cpp_standalone" or target == "cython":
        wanted = "device 'cpp_standalone'" if device == "cpp_standalone" else "target 'cython'"
        raise SimulationError(
            f"{wanted} needs a C++ compiler and none is on the path: install one, or use target 'numpy'"
        )
    if target == "auto":
        warnings.warn(
            "no C++ compiler on the path, so Brian2 runs its numpy target, which is slower than cython; install a compiler "
            "or use the engine numba",
            RuntimeWarning,
            stacklevel=3,
        )
    return "numpy"


def _check_time_constants(ensemble: Ensemble) -> None:
    """Brian2's exact integrator divides by the difference of two rates; below 1e-5 of them its digits are lost."""
    p = ensemble.parameters
    pairs = [("tau_AG", "tau_IP3")] if p.ip3_source == "ag" else []
    pairs += [("tau_in", "tau_rec")] if p.synapse == "depressing" else []
    pairs += [("tau_in", "tau_IP3")] if p.ip3_source == "glutamate" else []
    pairs += [("tau_Glu", "tau_eSP")] if p.esp_form == "ode" else []
    for one, other in pairs:
        a, b = ensemble.values(one), ensemble.values(other)
        close = np.flatnonzero(np.abs(a - b) < 1e-5 * b)
        if close.size:
            raise SimulationError(
                f"{one} = {a[close[0]]:g} s and {other} = {b[close[0]]:g} s are too close for Brian2's exact integration: "
                "set them at least 1e-5 apart, or use the engine numba"
            )


@contextlib.contextmanager
def _without_order_warning() -> Iterator[None]:
    """Silence Brian2's advice on the order of synapses: each draws its own number and adds to sums, so none matters."""

    def other(record: logging.LogRecord) -> bool:
        return "may not be well-defined" not in record.getMessage()

    logger = logging.getLogger("brian2.codegen.generators.base")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _plain(group: Any, name: str, factor: float = 1.0) -> Array:
    return np.asarray(getattr(group, name + "_")[:], dtype=np.float64) * factor


class _Network:
    """Builds the groups for an ensemble and reads the outcome off them."""

    def __init__(self, b: Any, ensemble: Ensemble) -> None:
        self.b, self.e = b, ensemble
        clock, p = ensemble.clock, ensemble.parameters
        self.m = p.n_neurons
        self.x = ensemble.experiment
        # Synapses that differ or fail have a release probability each, and the mean over them needs every step.
        self.by_synapse = self.x is not None and (self.x.PR0 is not None or self.x.faults is not None)
        self.every_step = self.by_synapse or (self.x is not None and self.x.windows is not None)
        self.namespace: dict[str, Any] = {"n_settle": clock.n_settle, "mmolar": b.mmolar}
        self.unit_of_neuron = np.repeat(np.arange(ensemble.n_units), self.m)
        b.seed(int(ensemble.seed) % 2**32)
        self.dt, self.dt_astro = clock.dt * b.second, clock.dt_astro * b.second
        self.objects: list[Any] = []
        self._groups()
        self._calcium_tick()
        self._astrocyte_tick()
        self._neuron_tick()
        self._input()
        self._spikes_to_astrocyte()
        if p.gchi:
            self._receptors()
        self._monitors()
        self._jump()
        if ensemble.coupling is not None:
            group, state = (self.calcium, "IP3_t") if p.gchi else (self.astro, "IP3")
            further, names = brian_coupling.couple(b, ensemble, group, state, self.calcium, self.dt_astro)
            self.objects += further
            self.namespace |= names

    def _groups(self) -> None:
        b, e, p = self.b, self.e, self.e.parameters
        n = e.n_units
        self.driven = p.has_current
        self.depressing, self.gated = p.synapse == "depressing", p.gate != "none"
        voltage = DRIVEN_VOLTAGE + SIC[p.sic] if self.driven else VOLTAGE
        # Quanta of random input fall anywhere into a step, see `processes.lif.refractory_after`.
        refractory = "clip(refractory_steps - 0.5 + rand(), 0, inf)" if e.input == "poisson" else "refractory_steps"
        if self.driven:
            refractory = f"crossed*(refractory_steps - late) + (1 - crossed)*{refractory}"
        voltage += DEPRESSING_NEURONS if self.depressing else ""
        voltage += "\ngate : 1 (linked)\nkept : 1\nreleasable : 1" if self.gated else ""
        voltage += GCHI_NEURONS if p.gchi else ""
        if p.gchi:
            ip3, states, ip3_of_calcium = "IP3 : mmolar", GCHI_ASTROCYTES, IP3_GCHI.format(ratio=e.clock.ratio)
        else:
            production, states = PRODUCTION[p.ip3_source]
            ip3, ip3_of_calcium = IP3.format(production=production), IP3_GIVEN
        esp = ESP[p.esp_form] + "\n" + states + (GATE if self.gated else "")
        self.noisy = p.calcium_noise != "none"
        calcium = CALCIUM.format(ip3=ip3_of_calcium.strip()) + SIC_CALCIUM[p.sic][0] + (NOISE if self.noisy else "")
        if e.coupling is not None and p.gchi:
            calcium += "\n" + brian_coupling.STATES
        elif e.coupling is not None:
            esp += "\n" + brian_coupling.STATES
        self.calcium = b.NeuronGroup(n, calcium, method="rk4", dt=self.dt_astro, name="biosim_calcium")
        self.astro = b.NeuronGroup(
            n, ASTROCYTES.format(esp=esp, ip3=ip3), method="exact", dt=self.dt, name="biosim_astrocytes"
        )
        self.neurons = b.NeuronGroup(
            n * self.m,
            NEURONS.format(voltage=voltage),
            threshold="v >= v_th",
            reset=f"v = 0*volt; AG += dAG; wait = {refractory}; spikes += 1",
            method="exact",
            dt=self.dt,
            name="biosim_neurons",
        )
        # Spikes are found after the input of the same step has arrived.
        self.neurons.thresholder["spike"].when = "after_synapses"
        self.calcium.state_updater.when, self.calcium.state_updater.order = "start", 0
        self.astro.state_updater.order, self.neurons.state_updater.order = 0, 1
        self.objects += [self.calcium, self.astro, self.neurons]

        uM, s = b.mmolar / 1000, b.second
        index = self.unit_of_neuron
        self.neurons.eSP = b.linked_var(self.astro, "eSP", index=index)
        self.neurons.weight = b.linked_var(self.calcium, "weight", index=index)
        self.astro.pulse = b.linked_var(self.calcium, "pulse")
        self.astro.above = b.linked_var(self.calcium, "above")
        self.astro.weight = b.linked_var(self.calcium, "weight")
        if not p.gchi:
            self.calcium.IP3_middle = b.linked_var(self.astro, "IP3_middle")
            self.calcium.IP3_end = b.linked_var(self.astro, "IP3")

        value = e.values
        units = {
            self.calcium: {
                "r_C": 1 / s, "r_L": 1 / s, "v_ER": uM / s, "k_ER": uM, "c0": uM, "c1": 1, "a2": 1 / (uM * s), "d1": uM,
                "d2": uM, "d3": uM, "d5": uM, "Ca_th": uM, "release_period": s,
            },
            self.astro: {
                "tau_AG": s, "IP3_rest": uM, "tau_IP3": s, "r_IP3": 1 / s, "tau_Glu": s, "dGlu": uM, "r_Glu": uM / s,
                "tau_eSP": s, "m_eSP": 1 / uM,
            },
        }  # fmt: skip
        for group, table in units.items():
            for name, unit in table.items():
                setattr(group, name, value(name) * unit)
        per_neuron = {
            "tau_m": s, "tau_AG": s, "PR0": 1, "K_AG": 1 / uM, "dAG": uM, "v_th": b.mV,
        }  # fmt: skip
        for name, unit in per_neuron.items():
            setattr(self.neurons, name, value(name)[index] * unit)
        charge, resistance = value("quantum")[index] * 1e-12 * b.coulomb, value("R_m")[index] * 1e9 * b.ohm
        self.neurons.jump = charge * resistance / (value("tau_m")[index] * s)
        self.neurons.refractory_steps = propagators.refractory_steps(e)[index]

        if p.has_options:
            self._options(index)
        if p.gchi:
            self._gchi(index)
        start = e.initial_state()
        above = (start["Ca"] >= value("Ca_th")).astype(float)
        self.calcium.Ca, self.calcium.h = start["Ca"] * uM, start["h"]
        self.calcium.Ca_before = start["Ca"] * uM
        self.calcium.IP3_start = start["IP3"] * uM
        self.calcium.above = above
        self.calcium.Ca_min, self.calcium.Ca_max = 1e9 * uM, -1e9 * uM
        if p.gchi:
            self.calcium.IP3_t = start["IP3"] * uM
        self.astro.IP3, self.astro.IP3_middle = start["IP3"] * uM, start["IP3"] * uM
        if p.release_rule == "continuous":
            self.astro.drive = value("r_Glu") * above * uM / s

    def _options(self, index: Any) -> None:
        """Constants and wiring of the chosen processes; `index` is the unit of each neuron."""
        b, e, p = self.b, self.e, self.e.parameters
        rows = dict(zip(propagators.names(p), propagators.table(e), strict=True))
        uM, volt_per_amp = b.mmolar / 1000, b.mV / b.pamp
        astro: dict[str, Any] = {}
        of_rows: dict[str, Any] = {"membrane_decay": 1, "half_step": 1} if self.driven else {}
        of_neurons: dict[str, Any] = {}
        if p.sic != "none":
            of_rows |= {"sic_slow_to_v": volt_per_amp, "sic_fast_to_v": volt_per_amp}
        if p.sic == "events":
            of_rows["sic_event"] = b.pamp
            of_neurons |= {"tau_SIC_rise": b.second, "tau_SIC_decay": b.second}
            self.neurons.crossed_up = b.linked_var(self.calcium, "crossed_up", index=index)
        elif p.sic == "instantaneous":
            self.calcium.SIC_scale = rows["sic_scale"] * b.pamp
            self.calcium.SIC_offset = rows["SIC_offset"] * uM
            self.neurons.SIC = b.linked_var(self.calcium, "SIC", index=index)
        if self.depressing:
            of_rows["in_to_v"] = b.mV
            of_neurons |= {"tau_in": b.second, "tau_rec": b.second}
        if self.gated:
            astro |= {"tau_f": b.second, "kappa_f": b.Hz}
            self.neurons.gate = b.linked_var(self.astro, "gate", index=index)
        if p.ip3_source == "glutamate":
            astro |= {"tau_in": b.second, "r_IP3_y": uM / b.second}
        elif p.ip3_source == "spikes":
            astro["dIP3"] = uM
        if self.noisy:
            self.calcium.h_noise = rows["h_noise"] * b.second**0.5
        for name, unit in of_rows.items():
            setattr(self.neurons, name, rows[name][index] * unit)
        for name, unit in of_neurons.items():
            setattr(self.neurons, name, e.values(name)[index] * unit)
        for name, unit in astro.items():
            setattr(self.astro, name, e.values(name) * unit)

    def _gchi(self, index: Any) -> None:
        """Constants and links of the G-ChI astrocyte; `index` is the unit of each neuron."""
        b, e = self.b, self.e
        rows = dict(zip(propagators.names(e.parameters), propagators.table(e), strict=True))
        uM, s = b.mmolar / 1000, b.second
        astro = {"cleft_to_exposure": 1 / uM, "cleft_jump": uM, "receptor_loss": 1, "zeta": 1, "K_KC": uM}
        calcium = {
            "O_beta": uM / s, "O_delta": uM / s, "kappa_delta": uM, "K_delta": uM, "O_3K": uM / s, "K_D": uM, "K_3K": uM,
            "Omega_5P": b.Hz,
        }  # fmt: skip
        for name, unit in astro.items():
            setattr(self.astro, name, rows[name] * unit)
        for name, unit in calcium.items():
            setattr(self.calcium, name, e.values(name) * unit)
        self.neurons.Omega_c = e.values("Omega_c")[index] * b.Hz
        self.astro.Ca_now = b.linked_var(self.calcium, "Ca")
        self.astro.Ca_slope = b.linked_var(self.calcium, "Ca_slope")
        self.astro.IP3_now = b.linked_var(self.calcium, "IP3_t")
        self.calcium.Gamma_end = b.linked_var(self.astro, "Gamma")
        self.calcium.Gamma_sum = b.linked_var(self.astro, "Gamma_sum")

    def _receptors(self) -> None:
        """Glutamate in the cleft, and the receptors' step, with both as they are before anything of the step."""
        total = self.b.Synapses(
            self.neurons, self.astro, "cleft_sum_post = cleft_pre : 1 (summed)", dt=self.dt, name="biosim_cleft"
        )
        total.connect(i=np.arange(self.unit_of_neuron.size), j=self.unit_of_neuron)
        # At the start of a step, where samples are taken.
        total.summed_updaters["cleft_sum_post"].when, total.summed_updaters["cleft_sum_post"].order = "start", -3
        self.objects.append(total)
        self._regularly(self.astro, "Y_cleft = cleft_sum*cleft_jump", order=-1, dt=self.dt)
        step = RECEPTOR_STEP.format(ratio=self.e.clock.ratio)
        self._regularly(self.astro, step, order=-1, dt=self.dt, when="groups")
        # After a jump and an exchange of IP3 too.
        self._regularly(self.calcium, GCHI_SLOPE, order=40)

    def _regularly(self, group: Any, code: str, order: int, dt: Any = None, when: str = "start") -> None:
        name = f"{group.name}_{when}_{order}".replace("-", "minus")
        self.objects.append(group.run_regularly(code, dt=dt, when=when, order=order, name=name))

    def _calcium_tick(self) -> None:
        p = self.e.parameters
        self._regularly(self.calcium, "Ca_before = Ca" + (NOISE_START if self.noisy else ""), order=-1)
        tick = TICK.format(release=RELEASE[p.release_rule].strip()) + SIC_CALCIUM[p.sic][1]
        tick += "Gamma_start = Gamma_end\n" if p.gchi else ""
        self._regularly(self.calcium, (NOISE_END if self.noisy else "") + tick, order=1)

    def _astrocyte_tick(self) -> None:
        p, ratio = self.e.parameters, self.e.clock.ratio
        self._regularly(
            self.astro,
            f"middle = int((t_in_timesteps % {ratio}) == {ratio // 2})\n"
            "IP3_middle = middle*IP3 + (1 - middle)*IP3_middle",
            order=-2,
            dt=self.dt,
        )
        release = "Glu = Glu + dGlu*pulse"
        if p.release_rule == "continuous":
            release = "drive = r_Glu*above"
        if p.esp_form == "algebraic":
            release += "\neSP = m_eSP*Glu"
            self._regularly(self.astro, "eSP = m_eSP*Glu", order=2, dt=self.dt, when="groups")
        if self.gated:
            release += "\nGate_last = gate"
        # Means between pulses, which fall on the ticks: the value after the last one and the value before this one.
        sums = "Glu_sum = Glu_sum + weight*0.5*(Glu_last + Glu)\neSP_sum = eSP_sum + weight*0.5*(eSP_last + eSP)"
        last = "IP3_last = IP3\nGlu_last = Glu\neSP_last = eSP"
        if p.gchi:
            last = f"IP3 = IP3_now\n{last}\nGamma_sum = 0\nGamma_last = Gamma\nY_cleft_last = Y_cleft"
        self._regularly(self.astro, f"{sums}\n{release}\n{last}", order=2, dt=self.dt_astro)

    def _neuron_tick(self) -> None:
        sic = self.e.parameters.sic
        if self.driven:
            # With the currents at the start of the step, before they decay.
            gains = [SIC_GAIN] * (sic != "none") + ["Y*in_to_v"] * self.depressing
            self._regularly(
                self.neurons, DRIVEN_STEP.format(push=" + ".join(gains)), order=-1, dt=self.dt, when="groups"
            )
        driven = SIC_TICK[sic] + ("\nSIC_last = sic_slow - sic_fast" if sic != "none" else "")
        driven += "\nY_last = Y\nW_last = W" if self.depressing else ""
        step = f"wait = clip(wait - 1, 0, inf)\n{RELEASE_PROBABILITY}"
        # Values of their own, as synapses cannot see what is linked.
        if self.gated:
            step += "\nkept = 1 - gate\nreleasable = PR*kept"
        if self.by_synapse:
            step += f"\n{GAIN}"
        self._regularly(self.neurons, step, order=3, dt=self.dt, when="groups")
        self._regularly(
            self.neurons,
            f"""
            {RELEASE_PROBABILITY}
            AG_sum = AG_sum + weight*AG
            PR_sum = PR_sum + weight*PR
            spikes_before = weight*spikes_before + (1 - weight)*spikes
            quanta_before = weight*quanta_before + (1 - weight)*quanta
            spikes_until = spikes
            quanta_until = quanta
            AG_last = AG
            PR_last = PR
            v_last = v
            """
            + "\n".join(" " * 12 + line for line in driven.splitlines()),
            order=3,
            dt=self.dt_astro,
        )

    def _input(self) -> None:
        b, e, n = self.b, self.e, self.e.parameters.n_synapses
        total = e.n_units * self.m * n
        neuron_of_input = np.arange(total) // n
        if e.input == "poisson":
            rates = e.rate[self.unit_of_neuron[neuron_of_input]] * b.Hz
            source = b.PoissonGroup(total, rates, dt=self.dt, name="biosim_input")
            if self.x is not None and self.x.schedule is not None:
                # Its own rates are constant; the factor is looked up in every step.
                source = b.NeuronGroup(
                    total,
                    "rate : Hz (constant)",
                    threshold="rand() < rate*rate_factor(t)*dt",
                    dt=self.dt,
                    name="biosim_input",
                )
                source.rate = rates
                self.namespace["rate_factor"] = b.TimedArray(self.x.schedule.per_step(e.clock), dt=self.dt)
        else:
            index, step = [], []
            for unit in range(e.n_units):
                for i, row in enumerate(e.input_spikes(unit)):
                    for j, train in enumerate(row):
                        index.append(np.full(train.size, (unit * self.m + i) * n + j))
                        step.append(train)
            times = (np.concatenate(step) - 1) * e.clock.dt * b.second
            source = b.SpikeGeneratorGroup(total, np.concatenate(index), times, dt=self.dt, name="biosim_input")
        probability = "releasable_post" if self.gated else "PR_post"
        if self.by_synapse:
            probability = SYNAPSE_PROBABILITY + ("*kept_post" if self.gated else "")
        released = probability if e.release == "expected" else f"int(rand() < {probability})"
        # Fractions of steps add up to whole ones but for rounding.
        ready = "int(wait_post < 1e-9)*(1 - crossed_post)" if self.driven else "int(wait_post == 0)"
        options: dict[str, Any] = {
            "on_pre": f"released = {released}\nv_post += jump_post*released*{ready}\nquanta_post += released"
        }
        if e.parameters.gchi:
            options["on_pre"] += "\ncleft_post += released"
        if self.by_synapse:
            options["model"] = SYNAPSES
        if self.depressing:
            model = DEPRESSING + (SYNAPSES if self.by_synapse else "")
            options = {"model": model, "on_pre": ON_SPIKE.format(released=probability), "method": "exact"}
            if e.parameters.gchi:
                options["on_pre"] += "cleft_post += freed\n"
        synapses = b.Synapses(source, self.neurons, dt=self.dt, name="biosim_synapses", **options)
        synapses.connect(i=np.arange(total), j=neuron_of_input)
        if self.by_synapse:
            synapses.base = experiment_arrays.synapse_PR0(e).ravel()
            synapses.stuck = experiment_arrays.stuck(e).ravel().astype(float)
            faults = self.x.faults if self.x is not None else None
            self.namespace["fault_step"] = -1 if faults is None else faults.step(e.clock)
        self.objects += [source, synapses]

    def _spikes_to_astrocyte(self) -> None:
        source = self.e.parameters.ip3_source
        if source == "glutamate":
            # The transmitter at the start of the step, before any decay of it.
            total = self.b.Synapses(
                self.neurons, self.astro, "Y_sum_post = Y_pre : 1 (summed)", dt=self.dt, name="biosim_transmitter"
            )
            total.connect(i=np.arange(self.unit_of_neuron.size), j=self.unit_of_neuron)
            total.summed_updaters["Y_sum_post"].order = -3
            self._regularly(self.astro, "Y_total = Y_sum", order=-2, dt=self.dt, when="groups")
            self.objects.append(total)
        pathway = self.b.Synapses(
            self.neurons,
            self.astro,
            on_pre="AG_total_post += dAG_pre" + ("; IP3_post += dIP3_post" if source == "spikes" else ""),
            dt=self.dt,
            name="biosim_endocannabinoid",
        )
        pathway.connect(i=np.arange(self.unit_of_neuron.size), j=self.unit_of_neuron)
        # After the neurons' threshold and reset, so that the astrocyte's sum always equals the neurons' 2-AG.
        pathway.pre.when = "after_resets"
        self.objects.append(pathway)

    def _jump(self) -> None:
        """A jump of 2-AG or IP3 at a tick of the slow clock, after everything that belongs to the step before."""
        if self.x is None or self.x.jump is None:
            return
        jump, e = self.x.jump, self.e
        size = np.broadcast_to(jump.size, e.n_units)
        # By the time and not by t_in_timesteps, which counts the steps of the group's own clock here.
        self.namespace["jump_time"] = jump.step(e.clock) * self.dt_astro
        self.namespace["half_tick"] = 0.5 * self.dt
        now = "int(abs(t - jump_time) < half_tick)"
        uM = self.b.mmolar / 1000
        if jump.variable == "IP3":
            self.astro.jump_size = size * uM
            self.calcium.jump_size = size * uM
            self._regularly(self.astro, f"IP3 = IP3 + jump_size*{now}", order=11, dt=self.dt_astro)
            state = "IP3_t" if e.parameters.gchi else "IP3_start"
            self._regularly(self.calcium, f"{state} = {state} + jump_size*{now}", order=12)
        else:
            per_neuron = np.where(np.tile(np.arange(self.m) == jump.neuron, e.n_units), np.repeat(size, self.m), 0.0)
            self.neurons.jump_size = per_neuron * uM
            self.astro.jump_size = size * uM
            self._regularly(self.neurons, f"AG = AG + jump_size*{now}", order=11, dt=self.dt_astro)
            self._regularly(self.astro, f"AG_total = AG_total + jump_size*{now}", order=12, dt=self.dt_astro)

    def _monitors(self) -> None:
        b, clock = self.b, self.e.clock
        self.complete: list[Any] = []
        if self.every_step:
            kept = (
                (self.calcium, ["Ca"]),
                (self.astro, ["IP3", "eSP"]),
                (self.neurons, ["AG", "spikes", "quanta"]),
            )
            self.complete = [
                b.StateMonitor(
                    group, names, record=True, dt=self.dt_astro, when="start", order=9, name=f"{group.name}_complete"
                )
                for group, names in kept
            ]
            self.objects += self.complete
        extra: dict[str, list[str]] = {"astro": [], "neurons": []}
        for state in self.e.extra_states:
            group, variable, _ = EXTRA_STATES[state]
            extra[group].append(variable)
        wanted = (
            (self.calcium, ["Ca", "h"]),
            (self.astro, ["IP3", "Glu", "eSP", *extra["astro"]]),
            (self.neurons, ["AG", "PR", "v", *extra["neurons"]]),
        )

        if not clock.record_every:
            self.monitors = []
            return
        # Brian2 takes a run to end one tick early where the excess over the last tick is below 1e-4 of a clock's step, so
        # the monitors' clock must stay well below 10^4 neuron steps; samples in between are dropped afterwards.
        limit = 0.5e4 * clock.dt / clock.dt_astro
        steps = max(
            d for d in range(1, clock.record_every + 1) if clock.record_every % d == 0 and (d <= limit or d == 1)
        )
        self.keep = clock.record_every // steps
        step = steps * clock.dt_astro * b.second
        self.monitors = [
            b.StateMonitor(group, names, record=True, dt=step, when="start", order=10, name=f"{group.name}_traces")
            for group, names in wanted
        ]
        self.objects += self.monitors

    def run(self, progress: Progress | None) -> Outcome:
        b, e = self.b, self.e

        def report(elapsed: Any, completed: float, start: Any, duration: Any) -> None:
            if progress:
                progress(round(completed * e.n_units), e.n_units)

        network = b.Network(self.objects)
        # One neuron step more than the duration, so that the slow clock's tick at its end takes place.
        duration = (e.clock.n_astro * e.clock.ratio + 1) * self.dt
        options = {"report": report, "report_period": 1 * b.second} if progress else {}
        network.run(duration, namespace=self.namespace, **options)
        if progress:
            progress(e.n_units, e.n_units)
        outcome = Outcome(
            statistics=self._statistics(),
            final=self._final(),
            traces=self._traces(),
            notes={"brian2": b.__version__},
        )
        return self._with_steps(outcome) if self.every_step else outcome

    def _with_steps(self, outcome: Outcome) -> Outcome:
        """Add what follows from the samples at every astrocyte step: windows, and means over unequal synapses."""
        e, clock = self.e, self.e.clock
        calcium, astro, neurons = self.complete

        def samples(monitor: Any, name: str, factor: float = 1.0) -> Array:
            # The first one is the initial state.
            values = np.asarray(getattr(monitor, name + "_")).T * factor
            return values.reshape(values.shape[0], e.n_units, self.m) if monitor is neurons else values

        ag, esp = samples(neurons, "AG", 1e3)[1:], samples(astro, "eSP")[1:]
        found = windows.from_samples(
            e, samples(calcium, "Ca", 1e3)[1:], samples(astro, "IP3", 1e3)[1:], esp, ag,
            np.diff(samples(neurons, "spikes"), axis=0), np.diff(samples(neurons, "quanta"), axis=0),
        )  # fmt: skip
        statistics, final, traces = dict(outcome.statistics), dict(outcome.final), dict(outcome.traces)
        if self.by_synapse:
            pr = windows.release_probability(e, np.arange(1, clock.n_astro + 1), ag, esp)
            statistics["release_probability_mean"] = pr[clock.n_settle :].mean(axis=(0, 2))
            final["release_probability"] = pr[-1]
            if clock.record_every:
                traces["release_probability"] = pr[clock.record_every - 1 :: clock.record_every]
        return Outcome(statistics, final, traces, outcome.notes, found)

    def _statistics(self) -> dict[str, Array]:
        e, clock = self.e, self.e.clock
        n, window = clock.n_window, clock.n_window * clock.dt_astro
        ca, astro, neurons = self.calcium, self.astro, self.neurons

        def over_neurons(values: Array) -> Array:
            return np.asarray(values.reshape(e.n_units, self.m).mean(axis=1))

        # Brian2 keeps concentrations in mol/m^3, that is mM: a factor of 1000 to uM.
        mean = _plain(ca, "Ca_sum", 1e3) / n
        variance = _plain(ca, "Ca_squares", 1e6) / n - mean**2
        ag = over_neurons(_plain(neurons, "AG_sum", 1e3)) / n
        crossings = _plain(ca, "crossings")
        spikes = _plain(neurons, "spikes_until") - _plain(neurons, "spikes_before")
        quanta = _plain(neurons, "quanta_until") - _plain(neurons, "quanta_before")
        return {
            "calcium_mean": mean,
            "calcium_sd": np.sqrt(np.maximum(variance, 0)),
            "calcium_min": _plain(ca, "Ca_min", 1e3),
            "calcium_max": _plain(ca, "Ca_max", 1e3),
            "ip3_mean": _plain(ca, "IP3_sum", 1e3) / n,
            "ag_mean": ag,
            "dse_mean": e.values("K_AG") * ag,
            "glutamate_mean": _plain(astro, "Glu_sum", 1e3) / n,
            "esp_mean": _plain(astro, "eSP_sum") / n,
            "release_probability_mean": over_neurons(_plain(neurons, "PR_sum")) / n,
            "firing_rate": over_neurons(spikes) / window,
            "release_rate": over_neurons(quanta) / window,
            "crossings": crossings,
            "crossing_period": crossing_period(crossings, _plain(ca, "first_crossing"), _plain(ca, "last_crossing")),
        }

    def _final(self) -> dict[str, Array]:
        """State at the last tick of the slow clock; the neuron step after it does not count."""
        shape = (self.e.n_units, self.m)
        return {
            "calcium": _plain(self.calcium, "Ca", 1e3),
            "h": _plain(self.calcium, "h"),
            "ip3": _plain(self.astro, "IP3_last", 1e3),
            "glutamate": _plain(self.astro, "Glu_last", 1e3),
            "esp": _plain(self.astro, "eSP_last"),
            "ag": _plain(self.neurons, "AG_last", 1e3).reshape(shape),
            "release_probability": _plain(self.neurons, "PR_last").reshape(shape),
            "voltage": _plain(self.neurons, "v_last", 1e3).reshape(shape),
        } | self._extra_states(lambda group, name, factor: _plain(group, name, factor))

    def _extra_states(self, read: Callable[[Any, str, float], Array]) -> dict[str, Array]:
        """States of the chosen processes by name; `read` gives a group's variable times a factor, its owners on the last axis."""
        out = {}
        for name in self.e.extra_states:
            group, variable, factor = EXTRA_STATES[name]
            values = read(getattr(self, group), variable, factor)
            if group == "neurons":
                values = values.reshape(*values.shape[:-1], self.e.n_units, self.m)
            if name == "sic":
                values = values[..., 0]
            out[name] = 1.0 - values / self.e.parameters.n_synapses if name == "resources" else values
        return out

    def _traces(self) -> dict[str, Array]:
        if not self.monitors:
            return {}
        calcium, astro, neurons = self.monitors

        def per_unit(monitor: Any, name: str, factor: float = 1.0) -> Array:
            # The first sample is the initial state.
            return np.asarray(getattr(monitor, name + "_")).T[self.keep :: self.keep] * factor

        def per_neuron(name: str, factor: float = 1.0) -> Array:
            values = per_unit(neurons, name, factor)
            return values.reshape(values.shape[0], self.e.n_units, self.m)

        return {
            "calcium": per_unit(calcium, "Ca", 1e3),
            "h": per_unit(calcium, "h"),
            "ip3": per_unit(astro, "IP3", 1e3),
            "glutamate": per_unit(astro, "Glu", 1e3),
            "esp": per_unit(astro, "eSP"),
            "ag": per_neuron("AG", 1e3),
            "release_probability": per_neuron("PR"),
            "voltage": per_neuron("v", 1e3),
        } | self._extra_states(
            lambda group, name, factor: per_unit(astro if group is self.astro else neurons, name, factor)
        )
