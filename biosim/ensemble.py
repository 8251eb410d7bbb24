"""What every engine receives and returns: an ensemble of independent units, and the outcome of running it.

A unit is one astrocyte with its neurons and synapses. All units share structure (numbers of neurons and synapses, release
rule, form of e-SP, kind of input) and clocks; every number may differ between units, so a sweep is one ensemble.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .checks import numbers, real, whole
from .messages import shown
from .parameters import TripartiteParameters, check_value, quantity_names, unit_of
from .registry import choose
from .stability import rest_state

if TYPE_CHECKING:
    from .experiment import Experiment

InputKind = Literal["poisson", "regular", "spikes"]
ReleaseMode = Literal["bernoulli", "expected"]
Progress = Callable[[int, int], None]
Array = NDArray[np.float64]

STRUCTURAL = frozenset(
    {
        "n_neurons",
        "n_synapses",
        "release_rule",
        "esp_form",
        "sic",
        "sic_per",
        "synapse",
        "gate",
        "ip3_source",
        "calcium_noise",
    }
)

# Phase of the regular input in integer units, so that no engine ever disagrees about the step a spike falls into:
# one period is 10^15 = 10^6 micro-hertz x 10^9 nanoseconds.
PHASE_PERIOD = 10**15

# Bounds of all times: the phase of regular input counts nanoseconds, and products of these stay within 64 bits.
SHORTEST, LONGEST = 1e-9, 1e9
MOST_STEPS = 10**12

# Streams of other purposes begin here, see `streams`.
MOST_UNITS = 2**40


class SimulationError(ValueError):
    """A simulation that was asked for cannot be run as specified, or left the range in which it is valid."""


class CoarseInput(UserWarning):
    """The step is long for the input rate: one spike per step and synapse makes a train more regular than Poisson's."""


# Input spikes per step and synapse: refused above the one, with a warning above the other. With p the number of spikes in any
# stretch of time has the mean of a Poisson train exactly and its variance times 1 - p.
MOST_PER_STEP, COARSE_PER_STEP = 0.5, 0.1


@dataclass(frozen=True)
class Clock:
    """Times of a run, in s.

    dt : step of neurons, 2-AG, IP3, glutamate and e-SP (all exact); dt_astro : Runge-Kutta step of calcium, an even
    multiple of dt; settle : start of the measuring window; record : sampling interval of traces, None for no traces.

    Raises
    ------
    SimulationError
        A time is no number, lies outside 1e-9 to 1e9 s, or is no multiple of the step it must fit; or the run has more
        than 10^12 steps of dt.
    """

    duration: float
    settle: float = 0.0
    dt: float = 1e-3
    dt_astro: float = 1e-2
    record: float | None = None

    def __post_init__(self) -> None:
        for name in ("duration", "settle", "dt", "dt_astro", "record"):
            value = getattr(self, name)
            if name == "record" and value is None:
                continue
            seconds = real(name, value, "s", SimulationError)
            object.__setattr__(self, name, seconds)
            if name == "settle":
                continue
            if not math.isfinite(seconds) or seconds <= 0:
                raise SimulationError(f"{name} = {shown(value)} s: expected a finite time above 0")
            if not SHORTEST <= seconds <= LONGEST:
                raise SimulationError(f"{name} = {seconds} s: expected a time from {SHORTEST} s to {LONGEST:g} s")
        if not 0 <= self.settle < self.duration:
            raise SimulationError(
                f"settle = {self.settle} s: expected at least 0 and below the duration of {self.duration} s"
            )
        if _multiple(self.dt_astro, self.dt) % 2:
            raise SimulationError(
                f"dt_astro = {self.dt_astro} s: expected an even multiple of dt = {self.dt} s, "
                "because calcium's Runge-Kutta step needs IP3 at its midpoint"
            )
        if self.duration / self.dt > MOST_STEPS:
            raise SimulationError(
                f"duration = {self.duration} s with dt = {self.dt} s: more than {MOST_STEPS:.0e} steps; shorten duration or "
                "lengthen dt and dt_astro"
            )
        _multiple(self.duration, self.dt_astro, "duration")
        if self.settle:
            _multiple(self.settle, self.dt_astro, "settle")
        if self.record is not None and _multiple(self.record, self.dt_astro, "record") > self.n_astro:
            raise SimulationError(f"record = {self.record} s: expected at most the duration of {self.duration} s")

    @property
    def ratio(self) -> int:
        """Neuron steps per astrocyte step."""
        return _multiple(self.dt_astro, self.dt)

    @property
    def n_astro(self) -> int:
        """Astrocyte steps of the whole run."""
        return _multiple(self.duration, self.dt_astro)

    @property
    def n_settle(self) -> int:
        """Astrocyte steps before the measuring window."""
        return round(self.settle / self.dt_astro)

    @property
    def n_window(self) -> int:
        """Astrocyte steps in the measuring window."""
        return self.n_astro - self.n_settle

    @property
    def record_every(self) -> int:
        """Astrocyte steps between two samples of the traces; 0 without traces."""
        return 0 if self.record is None else _multiple(self.record, self.dt_astro)

    def trace_times(self) -> Array:
        """Times of the samples, s; the first is one sampling interval after the start."""
        if not self.record_every:
            return np.empty(0)
        steps = np.arange(1, self.n_astro // self.record_every + 1) * self.record_every
        return np.asarray(steps * self.dt_astro, dtype=np.float64)


def check_input(input: str, release: str) -> None:
    """Raise unless kind of input and mode of release are known and go together."""
    choose("input", input, get_args(InputKind))
    choose("release", release, get_args(ReleaseMode))
    if input == "poisson" and release == "expected":
        raise SimulationError(
            "release = 'expected' needs input = 'regular' or 'spikes': with Poisson input the release is random"
        )


def _multiple(long: float, short: float, name: str = "dt_astro") -> int:
    ratio = round(long / short)
    step = " (dt)" if name == "dt_astro" else " (dt_astro)"
    if ratio < 1 or abs(long / short - ratio) > 1e-6 * ratio:
        raise SimulationError(f"{name} = {long} s: expected a whole multiple of {short} s{step}")
    return ratio


@dataclass(frozen=True)
class Ensemble:
    """Units to simulate together.

    Parameters
    ----------
    parameters : the set that gives structure and the values that no unit overrides.
    rate : input rate per synapse, Hz, shape [n_units].
    overrides : values of numeric parameters per unit, each of shape [n_units].
    input : ``poisson`` (independent train per synapse, one Bernoulli draw per step), ``regular`` (evenly spaced spikes,
        synapse j of neuron i shifted by the fraction (j + i/M)/N of a period), or ``spikes`` (the trains of `experiment`).
    release : ``bernoulli`` (each spike releases with probability PR) or ``expected`` (each spike delivers PR quanta;
        deterministic, for comparisons between engines).
    spread : shift the regular trains of different synapses against each other (True) or let all coincide.
    seed : seeds every random stream; a whole number from 0 to 2^63 - 1.
    first_unit : index of the first unit in the whole study; random streams belong to this index plus position.
    experiment : what else is done to the units: schedule of the rate, spike trains, jumps, faults, windows.

    Raises
    ------
    SimulationError, ParameterError, UnknownName
        A field has a wrong type, shape or range; the message names it, its value and what was expected.

    Warns
    -----
    CoarseInput
        More than 0.1 Poisson spikes per step and synapse.
    """

    parameters: TripartiteParameters
    clock: Clock
    rate: Array
    overrides: Mapping[str, Array] = field(default_factory=dict)
    input: InputKind = "poisson"
    release: ReleaseMode = "bernoulli"
    spread: bool = True
    seed: int = 0
    first_unit: int = 0
    experiment: Experiment | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, TripartiteParameters):
            raise SimulationError(
                f"parameters = {shown(self.parameters)}: expected a set as parameter_set() returns it"
            )
        if not isinstance(self.clock, Clock):
            raise SimulationError(f"clock = {shown(self.clock)}: expected a Clock")
        rate = np.ascontiguousarray(numbers("rate", self.rate, "Hz", SimulationError))
        if rate.ndim != 1 or rate.size == 0:
            raise SimulationError(f"rate has shape {rate.shape}: expected one rate per unit, at least one")
        bad = np.flatnonzero(~np.isfinite(rate) | (rate < 0))
        if bad.size:
            raise SimulationError(
                f"input rate = {rate[bad[0]]!s} Hz (unit {bad[0]}): expected a finite rate of at least 0"
            )
        object.__setattr__(self, "rate", rate)
        object.__setattr__(self, "seed", whole("seed", self.seed, 0, 2**63 - 1, SimulationError))
        most = MOST_UNITS - rate.size
        object.__setattr__(self, "first_unit", whole("first_unit", self.first_unit, 0, most, SimulationError))
        check_input(self.input, self.release)
        if not isinstance(self.spread, (bool, np.bool_)):
            raise SimulationError(f"spread = {shown(self.spread)}: expected True or False")
        if not isinstance(self.overrides, Mapping):
            raise SimulationError(
                f"overrides = {shown(self.overrides)}: expected a mapping from names to arrays of values"
            )
        overrides = {}
        for name, given in self.overrides.items():
            choose("parameter", name, quantity_names())
            if name in STRUCTURAL:
                raise SimulationError(f"{name} fixes the structure of an ensemble: run one ensemble per value of it")
            values = numbers(name, given, unit_of(name), SimulationError)
            if values.shape != rate.shape:
                raise SimulationError(f"{name} has shape {values.shape}: expected one value per unit, {rate.shape}")
            for value in np.unique(values):
                check_value(name, float(value))
            overrides[name] = values
        object.__setattr__(self, "overrides", overrides)
        check_current(self)
        if self._given("Ca_init") != self._given("h_init"):
            raise SimulationError("Ca_init without h_init or the reverse: give both, or none to start at rest")
        self._check_experiment()
        self._check_fastest()

    def _check_experiment(self) -> None:
        if self.experiment is not None:
            from .experiment import Experiment

            if not isinstance(self.experiment, Experiment):
                raise SimulationError(f"experiment = {shown(self.experiment)}: expected an Experiment or None")
            self.experiment.check(self)
        spikes = None if self.experiment is None else self.experiment.spikes
        if (spikes is None) == (self.input == "spikes"):
            given = "no trains" if spikes is None else "trains"
            raise SimulationError(
                f"input = {self.input!r} with {given} in the experiment: input = 'spikes' and trains go together"
            )
        if self.input == "spikes" and self.rate.any():
            raise SimulationError(
                f"input rate = {self.rate.max():g} Hz with input = 'spikes': expected 0, the spikes are given"
            )

    def _check_fastest(self) -> None:
        """One spike per step and synapse is the assumption of all engines; refuse or warn where it is strained."""
        unit, dt = int(self.rate.argmax()), self.clock.dt
        fastest = float(self.rate[unit]) * self.highest_factor
        if fastest * dt > MOST_PER_STEP:
            raise SimulationError(
                f"input rate = {fastest:g} Hz with dt = {dt:g} s: one input spike per step and synapse allows at "
                f"most {MOST_PER_STEP / dt:g} Hz; lower the rate or dt (unit {unit})"
            )
        if self.input == "poisson" and fastest * dt > COARSE_PER_STEP * (1 + 1e-9):
            warnings.warn(
                f"input rate = {fastest:g} Hz with dt = {dt:g} s (unit {unit}): {fastest * dt:.2g} spikes per step and synapse, "
                f"so the variance of their number is {fastest * dt:.0%} below that of a Poisson train; lower dt to "
                f"{COARSE_PER_STEP / fastest:.2g} s or less",
                CoarseInput,
                stacklevel=4,
            )

    @property
    def highest_factor(self) -> float:
        """Greatest factor of the input rate over time."""
        schedule = None if self.experiment is None else self.experiment.schedule
        return 1.0 if schedule is None else schedule.highest

    @property
    def n_units(self) -> int:
        return int(self.rate.size)

    @property
    def n_samples(self) -> int:
        """Samples of the traces per unit; 0 without traces."""
        return self.clock.n_astro // self.clock.record_every if self.clock.record_every else 0

    @property
    def trace_bytes_per_unit(self) -> int:
        """Bytes of the traces of one unit: the variables of `STATES`, and those that options add, per sample."""
        extra = sum(self.parameters.n_neurons if STATES_OF_OPTIONS[name][3] else 1 for name in self.extra_states)
        return 8 * self.n_samples * (5 + 3 * self.parameters.n_neurons + extra)

    @property
    def trace_bytes(self) -> int:
        """Bytes of all traces."""
        return self.n_units * self.trace_bytes_per_unit

    @property
    def extra_states(self) -> tuple[str, ...]:
        """Names of the states that chosen processes add to `STATES`, in the order of `STATES_OF_OPTIONS`."""
        p = self.parameters
        chosen = {"sic": p.sic != "none", "gate": p.gate != "none"}
        chosen |= dict.fromkeys(("transmitter", "resources"), p.synapse == "depressing")
        return tuple(name for name in STATES_OF_OPTIONS if chosen[name])

    def values(self, name: str) -> Array:
        """Values of a numeric parameter, shape [n_units]."""
        if name in self.overrides:
            return np.ascontiguousarray(self.overrides[name], dtype=np.float64)
        return np.full(self.n_units, float(getattr(self.parameters, name)))

    def part(self, selection: slice) -> Ensemble:
        """The units of a slice as an ensemble of their own, with the same random streams."""
        chosen = range(self.n_units)[selection]
        if not chosen or chosen.step != 1:
            raise SimulationError(f"part {selection} of {self.n_units} units: expected at least one, without gaps")
        experiment = self.experiment
        return replace(
            self,
            rate=self.rate[selection],
            overrides={name: values[selection] for name, values in self.overrides.items()},
            first_unit=self.first_unit + chosen.start,
            experiment=None if experiment is None else experiment.units(selection, self.n_units),
        )

    def initial_state(self) -> dict[str, Array]:
        """IP3 (uM), calcium (uM) and h at the start, each of shape [n_units]."""
        ip3 = self.values("IP3_init") if self._given("IP3_init") else self.values("IP3_rest")
        if self._given("Ca_init") and self._given("h_init"):
            # Copies: engines advance these arrays in place, and the ensemble must stay as it was given.
            return {"IP3": ip3.copy(), "Ca": self.values("Ca_init").copy(), "h": self.values("h_init").copy()}
        names = ("r_C", "r_L", "v_ER", "k_ER", "c0", "c1", "a2", "d1", "d2", "d3", "d5")
        table = np.stack([ip3, *(self.values(name) for name in names)])
        distinct, where = np.unique(table, axis=1, return_inverse=True)
        rest = [rest_state(column[0], dict(zip(names, column[1:], strict=True))) for column in distinct.T]
        ca, h = np.array(rest).T
        where = where.ravel()
        return {"IP3": ip3.copy(), "Ca": ca[where], "h": h[where]}

    def _given(self, name: str) -> bool:
        return name in self.overrides or getattr(self.parameters, name) is not None

    def regular_phase(self) -> NDArray[np.int64]:
        """Integer phase of the regular trains at the start, shape [n_neurons, n_synapses]; a spike falls at PHASE_PERIOD."""
        m, n = self.parameters.n_neurons, self.parameters.n_synapses
        if not self.spread:
            return np.zeros((m, n), dtype=np.int64)
        # Python integers: the product outgrows 64 bits with many synapses.
        phases = [[PHASE_PERIOD * (synapse * m + neuron) // (m * n) for synapse in range(n)] for neuron in range(m)]
        return np.array(phases, dtype=np.int64)

    def regular_increment(self, factor: float = 1.0) -> NDArray[np.int64]:
        """Integer phase gained per neuron step at `factor` times the rate, shape [n_units]."""
        step = round(self.clock.dt * 1e9)
        if abs(self.clock.dt * 1e9 - step) > max(1e-6, 1e-12 * step):
            raise SimulationError(f"dt = {self.clock.dt} s: regular input needs a whole number of nanoseconds")
        return np.rint(self.rate * factor * 1e6).astype(np.int64) * step

    def regular_spikes(self, unit: int) -> list[list[NDArray[np.int64]]]:
        """Steps (1-based: the spike comes at the end of that step) of the regular trains of a unit, [neuron][synapse]."""
        steps = self.clock.n_astro * self.clock.ratio
        schedule = None if self.experiment is None else self.experiment.schedule
        if schedule is None:
            pieces = [(0, steps, int(self.regular_increment()[unit]))]
        else:
            edges = [*schedule.edges(self.clock).tolist(), steps]
            pieces = [
                (edges[k], edges[k + 1], int(self.regular_increment(float(factor))[unit]))
                for k, factor in enumerate(schedule.factors)
            ]
        return [[_regular_steps(int(phase), pieces) for phase in row] for row in self.regular_phase()]

    def input_spikes(self, unit: int) -> list[list[NDArray[np.int64]]]:
        """Steps of the trains of a unit, regular or given, as `regular_spikes`."""
        if self.input == "regular":
            return self.regular_spikes(unit)
        trains = None if self.experiment is None else self.experiment.spikes
        m, n = self.parameters.n_neurons, self.parameters.n_synapses
        if trains is None:
            return [[np.empty(0, dtype=np.int64)] * n for _ in range(m)]
        return [[trains.train(neuron, synapse) for synapse in range(n)] for neuron in range(m)]


def check_current(ensemble: Ensemble) -> None:
    """Raise SimulationError for what a continuous current into the neurons cannot go with."""
    if not ensemble.parameters.has_current:
        return
    dt = ensemble.clock.dt
    short = np.flatnonzero(ensemble.values("t_ref") < dt * (1 - 1e-9))
    if short.size:
        raise SimulationError(
            f"t_ref = {ensemble.values('t_ref')[short[0]]:g} s (unit {short[0]}) with a continuous current: a neuron could fire "
            f"twice in a step; expected at least dt = {dt:g} s"
        )
    rise, decay = ensemble.values("tau_SIC_rise"), ensemble.values("tau_SIC_decay")
    bad = np.flatnonzero(rise >= decay)
    if bad.size:
        raise SimulationError(
            f"tau_SIC_rise = {rise[bad[0]]:g} s (unit {bad[0]}): expected less than tau_SIC_decay = {decay[bad[0]]:g} s"
        )


def _regular_steps(phase: int, pieces: list[tuple[int, int, int]]) -> NDArray[np.int64]:
    """Steps of one train; `pieces` are (first step before, last step, phase gained per step)."""
    out = []
    for start, stop, increment in pieces:
        if increment == 0:
            continue
        # Python integers: the product outgrows 64 bits in long runs.
        end = phase + increment * (stop - start)
        out += [start - ((phase - k * PHASE_PERIOD) // increment) for k in range(1, end // PHASE_PERIOD + 1)]
        phase = end % PHASE_PERIOD
    return np.array(out, dtype=np.int64)


# Statistics over the measuring window, one value per unit. Means are over samples at the end of each astrocyte step; those of
# glutamate and e-SP are trapezoidal between pulses, which fall on the ends of steps.
STATISTICS: dict[str, tuple[str, str, str]] = {
    # name: (unit, symbol, long name)
    "calcium_mean": ("uM", "<Ca>", "time-mean cytosolic calcium of the astrocyte"),
    "calcium_sd": ("uM", "sd(Ca)", "standard deviation of calcium over time"),
    "calcium_min": ("uM", "min Ca", "smallest calcium"),
    "calcium_max": ("uM", "max Ca", "greatest calcium"),
    "ip3_mean": ("uM", "<IP3>", "time-mean IP3"),
    "ag_mean": ("uM", "<AG>", "time-mean 2-AG, averaged over neurons"),
    "dse_mean": ("%", "<DSE>", "time-mean depolarisation-induced suppression of excitation"),
    "glutamate_mean": ("uM", "<Glu>", "time-mean astrocytic glutamate"),
    "esp_mean": ("%", "<eSP>", "time-mean e-SP"),
    "release_probability_mean": ("1", "<PR>", "time-mean release probability, averaged over neurons"),
    "firing_rate": ("Hz", "f_post", "postsynaptic firing rate, averaged over neurons"),
    "release_rate": ("Hz", "f_rel", "quanta released per neuron and second"),
    "crossings": ("1", "n_cross", "upward crossings of the glutamate release threshold"),
    "crossing_period": ("s", "T_cross", "mean time between upward crossings; missing below two crossings"),
}

# Variables of traces and of the final state; True: one value per neuron.
STATES: dict[str, tuple[str, str, str, bool]] = {
    "calcium": ("uM", "Ca", "cytosolic calcium of the astrocyte", False),
    "h": ("1", "h", "fraction of IP3 receptors not inactivated", False),
    "ip3": ("uM", "IP3", "inositol trisphosphate", False),
    "glutamate": ("uM", "Glu", "astrocytic glutamate", False),
    "esp": ("%", "eSP", "e-SP", False),
    "ag": ("uM", "AG", "2-AG of each neuron", True),
    "release_probability": ("1", "PR", "release probability of each neuron's synapses", True),
    "voltage": ("mV", "v", "membrane potential above rest", True),
}

# States of processes that are off unless chosen; see `Ensemble.extra_states`.
STATES_OF_OPTIONS: dict[str, tuple[str, str, str, bool]] = {
    "sic": ("pA", "SIC", "slow inward current into each neuron", False),
    "gate": ("1", "f", "share of release that the astrocyte's gate holds back", False),
    "transmitter": ("1", "y", "transmitter in the cleft, summed over each neuron's synapses", True),
    "resources": ("1", "x", "recovered resources, averaged over each neuron's synapses", True),
}


@dataclass(frozen=True)
class Outcome:
    """What an engine returns.

    statistics : name -> [n_units]; final : name -> [n_units] or [n_units, n_neurons]; traces : name -> [n_times, n_units]
    or [n_times, n_units, n_neurons] (empty without recording); notes : facts about the run for the provenance; windows :
    name -> [n_windows, n_units] or [n_windows, n_units, n_neurons] (empty without windows).
    """

    statistics: dict[str, Array]
    final: dict[str, Array]
    traces: dict[str, Array]
    notes: dict[str, object] = field(default_factory=dict)
    windows: dict[str, Array] = field(default_factory=dict)

    def check_finite(self) -> None:
        """Raise SimulationError naming variable and unit if any value is NaN or infinite, or a concentration negative."""
        for group in (self.statistics, self.final):
            for name, values in group.items():
                if name == "crossing_period":
                    continue
                bad = ~np.isfinite(values)
                if name in ("calcium", "ip3", "glutamate", "ag", "calcium_min"):
                    bad |= values < 0
                if bad.any():
                    unit = int(np.argwhere(bad)[0][0])
                    raise SimulationError(
                        f"{name} of unit {unit} became {values[unit]}: the step is too large for these parameters; "
                        "lower dt_astro (and dt), or check the parameters"
                    )


def numeric_names() -> tuple[str, ...]:
    """Names of all parameters that may differ between units."""
    return tuple(name for name in quantity_names() if name not in STRUCTURAL)
