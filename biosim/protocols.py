"""Protocols: what is done to the synapse. Each is a function that returns a `Protocol`; `PROTOCOLS` lists them by name."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from . import memory
from .checks import numbers, whole
from .ensemble import STRUCTURAL, Array, Clock, Ensemble, InputKind, ReleaseMode, SimulationError, check_input
from .messages import shown
from .parameters import TripartiteParameters, check_value, describe, parameter_set, unit_of
from .plan import Plan
from .plasticity.cycles import stp_cycles
from .registry import choose

RATE, TRIAL = "input_rate", "trial"

# What an engine and the Dataset take at least for one unit, in bytes; an engine's own count follows before it runs.
UNIT_BYTES = 1000

# What one value of an axis takes, with its copies, in bytes; a sweep by blocks never holds all its units.
VALUE_BYTES = 32

# A longer axis is recorded by its digest, since an attribute of a file has little room; its values are a coordinate anyway.
MOST_LISTED = 10_000


@dataclass(frozen=True)
class Axis:
    """One dimension of a protocol: ``input_rate`` (Hz), ``trial`` (repeats with other random numbers), or a parameter."""

    name: str
    values: Array
    unit: str
    long_name: str


@dataclass(frozen=True)
class Protocol:
    """An experiment: axes (their product makes the units), clocks, kind of input, and the parameter set it is meant for.

    `rate` (Hz) holds for every unit unless ``input_rate`` is an axis.
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
        rate = values.pop(RATE, np.full(size, self.rate))
        values.pop(TRIAL, None)
        return Ensemble(
            self.parameters, self.clock, np.asarray(rate, dtype=np.float64), overrides=values, input=self.input,
            release=self.release, spread=self.spread, seed=seed, first_unit=first_unit,
        )  # fmt: skip

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description."""
        clock = self.clock
        return {
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
        input=input,
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


PROTOCOLS: dict[str, Callable[..., Protocol | Plan]] = {
    "fig3": fig3,
    "rate_sweep": rate_sweep,
    "constant_ip3": constant_ip3,
    "stp_cycles": stp_cycles,
}


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


def swept(base: Protocol | Plan, name: str, values: Sequence[float]) -> Protocol:
    """`base` with a further axis: the numeric parameter `name` takes each of `values`."""
    if not isinstance(base, Protocol):
        raise SimulationError(f"{name}: protocol {base.name} runs one network at a time; simulate once per value")
    meta = describe(name)
    if name in STRUCTURAL:
        raise SimulationError(f"{name} fixes the structure of an ensemble and cannot be swept; simulate once per value")
    if name in (axis.name for axis in base.axes):
        raise SimulationError(f"{name} is already an axis of protocol {base.name}; give its values there")
    array = _points(name, values, meta["unit"])
    for value in array:
        check_value(name, float(value))
    return replace(base, axes=(*base.axes, Axis(name, array, meta["unit"], meta["meaning"])))
