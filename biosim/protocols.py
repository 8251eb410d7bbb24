"""Protocols: what is done to the synapse. Each is a function that returns a `Protocol`; `PROTOCOLS` lists them by name."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from . import memory, responses, self_repair_measures
from .checks import numbers, real, whole
from .ensemble import (
    LONGEST,
    SHORTEST,
    STRUCTURAL,
    Array,
    Clock,
    Ensemble,
    InputKind,
    ReleaseMode,
    SimulationError,
    check_input,
)
from .experiment import MOST_PIECES, Experiment, Faults, Jump, JumpVariable, Schedule, Windows, whole_numbers
from .messages import shown
from .parameters import TripartiteParameters, check_value, describe, parameter_set, unit_of
from .plan import Plan
from .plasticity.cycles import stp_cycles
from .registry import choose
from .spike_trains import SpikeTrains, read_spikes
from .synapse_scatter import SynapseScatter

if TYPE_CHECKING:
    import xarray as xr

RATE, TRIAL = "input_rate", "trial"
# Axes that belong to the experiment: size of its jump, share of faulty synapses.
JUMP, SHARE = "jump", "fault_share"

# What an engine and the Dataset take at least for one unit, in bytes; an engine's own count follows before it runs.
UNIT_BYTES = 1000

# What one value of an axis takes, with its copies, in bytes; a sweep by blocks never holds all its units.
VALUE_BYTES = 32

# A longer axis is recorded by its digest, since an attribute of a file has little room; its values are a coordinate anyway.
MOST_LISTED = 10_000


@dataclass(frozen=True)
class Axis:
    """One dimension of a protocol: ``input_rate`` (Hz), ``trial`` (repeats with other random numbers), ``jump`` (uM),
    ``fault_share``, or a parameter.
    """

    name: str
    values: Array
    unit: str
    long_name: str


@dataclass(frozen=True)
class Protocol:
    """An experiment: axes (their product makes the units), clocks, kind of input, and the parameter set it is meant for.

    `rate` (Hz) holds for every unit unless ``input_rate`` is an axis. `experiment` is what else is done to the units,
    `scatter` makes the synapses' PR(0) differ, `finish` adds to the Dataset what the protocol is asked for.
    """

    name: str
    description: str
    axes: tuple[Axis, ...]
    parameters: TripartiteParameters
    clock: Clock
    rate: float = 0.0
    input: InputKind = "poisson"
    release: ReleaseMode = "bernoulli"
    spread: bool = True
    mid_level_crossings: bool = False
    experiment: Experiment | None = None
    scatter: SynapseScatter | None = None
    finish: Callable[[xr.Dataset, Protocol], xr.Dataset] | None = field(default=None, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.values.size for axis in self.axes)

    @property
    def n_units(self) -> int:
        return math.prod(self.shape)

    def ensemble(self, seed: int = 0, start: int = 0, stop: int | None = None) -> Ensemble:
        """The units of this protocol, axes in C order; from `start` to before `stop` alone where these are given.

        Raises
        ------
        SimulationError
            There are more units than fit in memory, or what Ensemble refuses.
        """
        stop = self.n_units if stop is None else stop
        size = stop - start
        axes = " x ".join(f"{n} ({axis.name})" for n, axis in zip(self.shape, self.axes, strict=True))
        memory.require(
            size * UNIT_BYTES,
            f"{axes} = {size} units" if size == self.n_units else f"{size} units at once",
            "give fewer values or trials" if size == self.n_units else "give a smaller block",
            SimulationError,
        )
        where = np.unravel_index(np.arange(start, stop), self.shape) if self.axes else ()
        return self._with(
            {axis.name: axis.values[i] for axis, i in zip(self.axes, where, strict=True)}, size, seed, first_unit=start
        )

    def sample(self, seed: int = 0) -> Ensemble:
        """A small ensemble in which every value of every axis but the trials occurs, to have all of them checked."""
        axes = [axis for axis in self.axes if axis.name != TRIAL]
        size = max((axis.values.size for axis in axes), default=1)
        return self._with({axis.name: np.resize(axis.values, size) for axis in axes}, size, seed, first_unit=0)

    def _with(self, values: dict[str, Array], size: int, seed: int, first_unit: int) -> Ensemble:
        """The ensemble of `size` units whose places on the axes have these `values`."""
        rate = values.pop(RATE, np.full(size, self.rate))
        trial = values.pop(TRIAL, np.zeros(size)).astype(np.int64)
        if self.scatter is not None and not self.scatter.uniform:
            # Equal within a unit: a value of the unit, which the faster kernels take.
            values["PR0"] = self.scatter.means(seed, trial, self.parameters.PR0)
        return Ensemble(
            self.parameters, self.clock, np.asarray(rate, dtype=np.float64),
            experiment=self._experiment(values.pop(JUMP, None), values.pop(SHARE, None), trial, seed), overrides=values,
            input=self.input, release=self.release, spread=self.spread, seed=seed, first_unit=first_unit,
        )  # fmt: skip

    def _experiment(
        self, jump: Array | None, share: Array | None, trial: NDArray[np.int64], seed: int
    ) -> Experiment | None:
        """The experiment with what differs between the units."""
        x = self.experiment
        if x is not None and x.jump is not None and jump is not None:
            x = replace(x, jump=replace(x.jump, size=jump))
        if x is not None and x.faults is not None and share is not None:
            x = replace(x, faults=replace(x.faults, share=share))
        if self.scatter is not None and self.scatter.uniform:
            p = self.parameters
            table = self.scatter.table(seed, trial, p.n_neurons, p.n_synapses, p.PR0)
            x = replace(Experiment() if x is None else x, PR0=table)
        return x

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description."""
        clock = self.clock
        # Left out where nothing is there, so that records and digests of the other protocols stay as they are.
        extra: dict[str, Any] = {} if self.experiment is None else {"experiment": self.experiment.to_record()}
        if self.scatter is not None:
            extra["scatter"] = self.scatter.to_record()
        return extra | {
            "name": self.name,
            "description": self.description,
            "axes": {axis.name: _listed(axis.values) for axis in self.axes},
            "input": self.input,
            "release": self.release,
            "spread": self.spread,
            "rate_hz": self.rate,
            "clock_s": {
                "duration": clock.duration, "settle": clock.settle, "dt": clock.dt, "dt_astro": clock.dt_astro,
                "record": clock.record,
            },
        }  # fmt: skip

    def with_clock(self, **changes: Any) -> Protocol:
        """A copy with other times."""
        return replace(self, clock=replace(self.clock, **changes))


def _listed(values: Array) -> list[float] | dict[str, Any]:
    """The values of an axis for the record; a long one by its length and the SHA-256 of its little-endian doubles."""
    if values.size <= MOST_LISTED:
        return [float(v) for v in values]
    return {"count": int(values.size), "sha256": hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()}


def _points(name: str, values: Sequence[float] | Array, unit: str) -> Array:
    """`values` as a one-dimensional array of at least one number, each of them once."""
    array = np.atleast_1d(numbers(name, values, unit, SimulationError))
    if array.ndim != 1 or array.size == 0:
        raise SimulationError(f"{name} = {shown(values)}: expected at least one number in {unit}, in a plain list")
    if np.unique(array).size != array.size:
        raise SimulationError(
            f"{name} = {shown(array.tolist())}: a value occurs twice; give each once, repeats are trials"
        )
    return array


def _rates(rates: Sequence[float] | Array) -> Axis:
    values = _points("rates", rates, "Hz")
    for value in values:
        if not math.isfinite(value) or value < 0:
            raise SimulationError(f"input rate = {value:g} Hz: expected a finite rate of at least 0")
    return Axis(RATE, values, "Hz", "input rate per synapse")


def _trials(trials: int) -> Axis:
    count = whole("trials", trials, 1, None, SimulationError)
    memory.require(count * VALUE_BYTES, f"trials = {shown(count)}", "lower trials", SimulationError)
    return Axis(TRIAL, np.arange(count, dtype=np.float64), "1", "repeat with its own random numbers")


def _parameters(parameters: TripartiteParameters | str) -> TripartiteParameters:
    return parameters if isinstance(parameters, TripartiteParameters) else parameter_set(parameters)


def fig3(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    rates: Sequence[float] = tuple(range(1, 11)),
    trials: int = 32,
    duration: float = 400.0,
    settle: float = 200.0,
) -> Protocol:
    """The published Fig. 3: time-mean calcium against input rate, 1 to 10 Hz, Poisson input, last 200 s of 400 s.

    The paper names no protocol; this one reproduces its curve with the set wade2012 and nothing tuned.
    """
    return Protocol(
        name="fig3",
        description="time-mean astrocyte calcium against input rate, Poisson input to every synapse",
        axes=(_rates(rates), _trials(trials)),
        parameters=_parameters(parameters),
        clock=Clock(duration, settle),
    )


def rate_sweep(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    rates: Sequence[float] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
    trials: int = 8,
    duration: float = 400.0,
    settle: float = 200.0,
    input: InputKind = "poisson",
    release: ReleaseMode = "bernoulli",
) -> Protocol:
    """Any input rates, with random or regular input and random or expected release."""
    check_input(input, release)
    return Protocol(
        name="rate_sweep",
        description="response to constant input rates",
        axes=(_rates(rates), _trials(trials)),
        parameters=_parameters(parameters),
        clock=Clock(duration, settle),
        input=_not_spikes(input),
        release=release,
    )


def constant_ip3(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    ip3: Sequence[float] | None = None,
    duration: float = 600.0,
    settle: float = 360.0,
) -> Protocol:
    """IP3 held constant, no input: what Li-Rinzel calcium settles to from calcium 0.1 uM and h 0.7.

    It gives of the bifurcation diagram one stable fixed point or cycle at each IP3, by simulation: ``calcium_min`` and
    ``calcium_max`` (equal at a fixed point), and ``crossing_period``, the period of the oscillation, whose threshold is the
    mid level between both. Not in it: unstable branches, the second state where two coexist, and the bifurcation points
    themselves, close to which 360 s do not suffice to settle; ``calcium_mean`` is over the window, not over whole periods.
    `biosim.bifurcation` gives all of these exactly, `biosim.hysteresis` the way IP3 came by.
    """
    values = np.linspace(0.2, 0.8, 121) if ip3 is None else _points("ip3", ip3, "uM")
    for value in values:
        check_value("IP3_rest", float(value))
    start = _parameters(parameters)
    if start.sic != "none":
        raise SimulationError(
            f"sic = {start.sic!r}: protocol constant_ip3 holds IP3, which neurons driven by a current would move; use sic = none"
        )
    return Protocol(
        name="constant_ip3",
        description="Li-Rinzel calcium at constant IP3",
        axes=(Axis("IP3_rest", values, unit_of("IP3_rest"), "constant IP3"),),
        parameters=start.with_values(n_neurons=1, n_synapses=1, IP3_init=None, Ca_init=0.1, h_init=0.7),
        clock=Clock(duration, settle),
        mid_level_crossings=True,
    )


def pulse_train(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    rates: Sequence[float] = (20.0,),
    pulse: float = 5.0,
    period: float = 40.0,
    number: int = 5,
    first: float = 20.0,
    trials: int = 8,
    input: InputKind = "poisson",
    release: ReleaseMode = "bernoulli",
    sampling: float = 0.1,
) -> Protocol:
    """Input in pulses: `number` windows of `pulse` s, one every `period` s from `first` (s) on, at `rates` (Hz) within them.

    The Dataset has traces every `sampling` s and, along ``window``, mean and peak of calcium and IP3 and the neurons' rates
    from the start of each pulse to that of the next.
    """
    check_input(_not_spikes(input), release)
    pulse, period, first = _seconds("pulse", pulse), _seconds("period", period), _seconds("first", first)
    sampling = _seconds("sampling", sampling)
    number = whole("number", number, 1, MOST_PIECES // 2, SimulationError)
    schedule = Schedule.pulses(first, pulse, period, number)
    duration = first + number * period
    starts = first + period * np.arange(number)
    return Protocol(
        name="pulse_train",
        description="response to pulses of input",
        axes=(_rates(rates), _trials(trials)),
        parameters=_parameters(parameters),
        clock=_sampled(duration, first, sampling),
        input=input,
        release=release,
        experiment=Experiment(schedule=schedule, windows=Windows(np.stack([starts, starts + period], axis=1))),
    )


Stimulus = Literal["AG", "IP3", "burst"]
_JUMPS: dict[str, tuple[float, ...]] = {"AG": (0.4e-3, 0.8e-3), "IP3": (0.005, 0.01), "burst": (10.0, 20.0)}


def impulse_response(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    stimulus: Stimulus = "AG",
    sizes: Sequence[float] | None = None,
    at: float = 1.0,
    length: float = 1.0,
    duration: float = 101.0,
    sampling: float = 0.05,
) -> Protocol:
    """Response to one impulse from rest, deterministic: a jump of 2-AG of the first neuron, of IP3, or a burst of input.

    `sizes` are in uM for the jumps ``AG`` and ``IP3``, and input rates in Hz of a burst of `length` s of regular trains with
    expected release for ``burst``; by default two that differ by a factor of 2. The impulse comes at `at` (s). The Dataset
    has traces and, for calcium, IP3 and 2-AG, the peak above the start, when it comes, and the times of rise and decay.
    """
    choose("stimulus", stimulus, get_args(Stimulus))
    values = _points("sizes", _JUMPS[stimulus] if sizes is None else sizes, "Hz" if stimulus == "burst" else "uM")
    start = _parameters(parameters)
    clock = _sampled(duration, 0.0, _seconds("sampling", sampling))
    moment, length = _seconds("at", at), _seconds("length", length)
    if moment >= clock.duration:
        raise SimulationError(f"at = {moment:g} s: expected less than the duration of {clock.duration:g} s")
    if stimulus == "burst":
        axis = _rates(values)
        experiment = Experiment(schedule=Schedule.pulses(moment, length, length, 1))
    else:
        variable: JumpVariable = "AG" if stimulus == "AG" else "IP3"
        Jump(variable, moment, values)
        axis = Axis(JUMP, values, "uM", f"jump of {'2-AG of the first neuron' if stimulus == 'AG' else 'IP3'}")
        experiment = Experiment(jump=Jump(variable, moment, 0.0))
    return Protocol(
        name="impulse_response",
        description=f"response to one impulse ({stimulus}) from rest",
        axes=(axis,),
        parameters=start.with_values(IP3_init=None, Ca_init=None, h_init=None),
        clock=clock,
        input="regular",
        release="expected",
        experiment=experiment,
        finish=partial(responses.finish, at=moment),
    )


def spikes(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    spikes: Any = None,
    duration: float | None = None,
    settle: float = 0.0,
    dt: float = 1e-3,
    trials: int = 1,
    release: ReleaseMode = "bernoulli",
    collisions: str = "refuse",
    sampling: float | None = 0.1,
) -> Protocol:
    """The user's own input spikes, the same in every trial; what is released differs unless `release` is ``expected``.

    Parameters
    ----------
    spikes : times in s, as `SpikeTrains.from_times` takes them (per synapse, or per neuron and shared by its synapses), or
        the name of a file: CSV with the columns time_s, synapse[, neuron], or NWB or Neo with the extra ``spikes``.
    duration : s; by default the last spike, rounded up to a second, and 10 s more.
    dt : step of the neurons, s; a step carries one spike of a synapse.
    collisions : ``refuse`` two spikes of one synapse in one step, or ``merge`` them with a warning.
    """
    start = _parameters(parameters)
    if spikes is None:
        raise SimulationError(
            "spikes = None: give the times in s, or the name of a file (CSV: time_s,synapse[,neuron])"
        )
    step = _seconds("dt", dt)
    Clock(1.0, dt=step, dt_astro=1.0)
    source = "array"
    if isinstance(spikes, (str, Path)):
        source = Path(spikes).name
        spikes = read_spikes(spikes, start.n_neurons)
    trains = SpikeTrains.from_times(
        spikes, start.n_neurons, start.n_synapses, step, collisions=collisions, source=source
    )
    end = math.ceil(trains.last - 1e-9) + 10.0 if duration is None else duration
    return Protocol(
        name="spikes",
        description="response to given input spikes",
        axes=(_trials(trials),),
        parameters=start,
        clock=_sampled(end, settle, sampling, dt=step, dt_astro=10 * step),
        input="spikes",
        release=release,
        experiment=Experiment(spikes=trains),
    )


def self_repair(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    shares: Sequence[float] | None = None,
    synapses: Sequence[int] | None = None,
    neuron: int = 1,
    rate: float = 10.0,
    trials: int = 16,
    fault_time: float = 200.0,
    duration: float = 400.0,
    before: float = 25.0,
    after: float = 100.0,
    bin: float = 5.0,
    input: InputKind = "poisson",
    release: ReleaseMode = "bernoulli",
    scatter: str = "none",
    mean_PR0: Sequence[float] | None = None,
) -> Protocol:
    """Does a neuron recover when synapses fail: from `fault_time` on, a share of one neuron's synapses releases nothing.

    Wade et al. 2012: 8 of 10 synapses (`shares` = 0.8, the default of ``wade2012``). Published MATLAB: 0.7 (the default of
    the other sets), windows of 175-200 s and 300-400 s.

    Parameters
    ----------
    shares : one or several shares of faulty synapses, the first ones of `neuron`; or `synapses`, a list of them.
    rate : input rate per synapse, Hz.
    before, after : lengths (s) of the measuring windows, which end at `fault_time` and at `duration`.
    bin : length (s) of the windows along ``window``, of which `before` and `after` are multiples.
    scatter : ``none`` for equal PR(0), ``uniform`` to let PR(0) of the faulty neuron's synapses differ around their mean.
    mean_PR0 : (low, high): every trial draws its mean PR(0) from this range; by default that of the parameters.

    The Dataset has, beside the windows, the variables of `self_repair_measures.add`: rates and release probabilities before
    and after, the measured z and q, and q of the closed form and of the published relation.
    """
    start = _parameters(parameters)
    check_input(input, release)
    given = {"fault_time": fault_time, "duration": duration, "before": before, "after": after, "bin": bin}
    times = {name: _seconds(name, value) for name, value in given.items()}
    where = self_repair_measures.Windows(**times)
    clock = Clock(times["duration"], times["duration"] - times["after"])
    windows = Windows.every(times["bin"], clock.duration)
    neuron = whole("neuron", neuron, 0, start.n_neurons - 1, SimulationError)
    axes: tuple[Axis, ...] = (_trials(trials),)
    if synapses is not None:
        if shares is not None:
            raise SimulationError(f"shares = {shown(shares)} and synapses = {shown(synapses)}: give one of them")
        faults = Faults(times["fault_time"], neuron, synapses=whole_numbers("synapses", synapses))
    else:
        usual = 0.8 if start.name.startswith("wade2012") else 0.7
        values = _points("shares", [usual] if shares is None else shares, "1")
        faults = Faults(times["fault_time"], neuron, share=values)
        axes = (Axis(SHARE, values, "1", "share of faulty synapses that was asked for"), *axes)
        faults = replace(faults, share=values[:1])
    spreading = None
    choose("scatter", scatter, ("none", "uniform"))
    if scatter != "none" or mean_PR0 is not None:
        spreading = SynapseScatter(scatter == "uniform", neuron, mean_PR0)
    plan = Protocol(
        name="self_repair",
        description="recovery of a neuron some of whose synapses fail",
        axes=axes,
        parameters=start,
        clock=clock,
        rate=float(_rates([real("rate", rate, "Hz", SimulationError)]).values[0]),
        input=_not_spikes(input),
        release=release,
        experiment=Experiment(faults=faults, windows=windows),
        scatter=spreading,
        finish=partial(self_repair_measures.add, where=where),
    )
    faults.stuck(start.n_neurons, start.n_synapses, 1)
    return plan


def _seconds(name: str, value: Any) -> float:
    """A length or moment in s as a float; its place among the other times is checked where it is used."""
    seconds = real(name, value, "s", SimulationError)
    if not (seconds == 0 or SHORTEST <= seconds <= LONGEST):
        raise SimulationError(f"{name} = {shown(value)} s: expected 0, or a time from {SHORTEST} s to {LONGEST:g} s")
    return seconds


def _sampled(duration: float, settle: float, sampling: float | None, **steps: float) -> Clock:
    """A clock with traces every `sampling` s, under which name a wrong interval is refused."""
    clock = Clock(duration, settle, **steps)
    try:
        return replace(clock, record=sampling)
    except SimulationError as error:
        raise SimulationError(f"sampling: {error}") from error


def _not_spikes(input: InputKind) -> InputKind:
    if input == "spikes":
        raise SimulationError(
            "input = 'spikes': expected poisson or regular; for your own spikes use the protocol spikes"
        )
    return input


PROTOCOLS: dict[str, Callable[..., Protocol | Plan]] = {
    "fig3": fig3,
    "rate_sweep": rate_sweep,
    "constant_ip3": constant_ip3,
    "pulse_train": pulse_train,
    "impulse_response": impulse_response,
    "self_repair": self_repair,
    "spikes": spikes,
    "stp_cycles": stp_cycles,
}

# Options that take a list of values; one value alone is a list of one.
LIST_OPTIONS = frozenset({"rates", "ip3", "sizes", "shares", "synapses", "mean_PR0"})


def parameters_of(name: str) -> ModuleType:
    """The module with the parameters of protocol `name`: its ``parameter_set``, ``parameter_sets`` and ``quantity_names``."""
    make = PROTOCOLS[choose("protocol", name, PROTOCOLS)]
    return importlib.import_module(".plasticity.parameters" if make is stp_cycles else ".parameters", __package__)


def protocol(name: str, parameters: Any = None, **options: Any) -> Any:
    """The protocol `name` with `options` (see each function), a `Protocol` or a `Plan`.

    Unknown names and options are refused with the choices.
    """
    make = PROTOCOLS[choose("protocol", name, PROTOCOLS)]
    known = [p for p in inspect.signature(make).parameters if p != "parameters"]
    for option in options:
        choose(f"option of protocol {name}", option, known)
    return make(**options) if parameters is None else make(parameters, **options)


@overload
def swept(base: Protocol, name: str, values: Sequence[float]) -> Protocol: ...
@overload
def swept(base: Plan, name: str, values: Sequence[float]) -> Plan: ...
def swept(base: Protocol | Plan, name: str, values: Sequence[float]) -> Protocol | Plan:
    """`base` with a further axis: the numeric parameter `name` takes each of `values`."""
    if not isinstance(base, Protocol):
        return base.swept(name, values)
    meta = describe(name)
    if name in STRUCTURAL:
        raise SimulationError(f"{name} fixes the structure of an ensemble and cannot be swept; simulate once per value")
    if name == "PR0" and base.scatter is not None:
        raise SimulationError(
            "PR0 differs between synapses in this protocol and cannot be swept; leave out scatter and mean_PR0"
        )
    if name in (axis.name for axis in base.axes):
        raise SimulationError(f"{name} is already an axis of protocol {base.name}; give its values there")
    array = _points(name, values, meta["unit"])
    for value in array:
        check_value(name, float(value))
    return replace(base, axes=(*base.axes, Axis(name, array, meta["unit"], meta["meaning"])))
