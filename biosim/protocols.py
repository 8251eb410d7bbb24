"""Protocols: what is done to the synapse. Each is a function that returns a `Protocol`; `PROTOCOLS` lists them by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .ensemble import STRUCTURAL, Array, Clock, Ensemble, InputKind, ReleaseMode, SimulationError, check_input
from .parameters import TripartiteParameters, check_value, describe, parameter_set, unit_of
from .registry import choose

RATE, TRIAL = "input_rate", "trial"


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

    def ensemble(self, seed: int = 0) -> Ensemble:
        """The units of this protocol, axes in C order."""
        grids = dict(
            zip(
                (axis.name for axis in self.axes),
                (grid.ravel() for grid in np.meshgrid(*(axis.values for axis in self.axes), indexing="ij")),
                strict=True,
            )
        )
        size = math.prod(self.shape)
        rate = grids.pop(RATE, np.full(size, self.rate))
        grids.pop(TRIAL, None)
        return Ensemble(
            self.parameters, self.clock, np.asarray(rate, dtype=np.float64), overrides=grids,
            input=self.input, release=self.release, spread=self.spread, seed=seed,
        )  # fmt: skip

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description."""
        clock = self.clock
        return {
            "name": self.name,
            "description": self.description,
            "axes": {axis.name: [float(v) for v in axis.values] for axis in self.axes},
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


def _numbers(name: str, values: Sequence[float] | Array, unit: str) -> Array:
    """`values` as a one-dimensional array of at least one number."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise SimulationError(f"{name} = {values!r}: expected numbers in {unit}") from error
    if array.ndim != 1 or array.size == 0:
        raise SimulationError(f"{name} = {values!r}: expected at least one number in {unit}")
    return array


def _rates(rates: Sequence[float] | Array) -> Axis:
    values = _numbers("rates", rates, "Hz")
    for value in values:
        if not math.isfinite(value) or value < 0:
            raise SimulationError(f"input rate = {value:g} Hz: expected a finite rate of at least 0")
    if np.unique(values).size != values.size:
        raise SimulationError(f"rates = {values.tolist()}: a rate occurs twice; use trials for repeats")
    return Axis(RATE, values, "Hz", "input rate per synapse")


def _trials(trials: int) -> Axis:
    if isinstance(trials, bool) or not isinstance(trials, (int, np.integer)) or trials < 1:
        raise SimulationError(f"trials = {trials!r}: expected a whole number of at least 1")
    return Axis(TRIAL, np.arange(int(trials), dtype=np.float64), "1", "repeat with its own random numbers")


def _parameters(parameters: TripartiteParameters | str) -> TripartiteParameters:
    return parameter_set(parameters) if isinstance(parameters, str) else parameters


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
    """IP3 held constant, no input: fixed points, oscillation window, amplitude and period of Li-Rinzel calcium.

    Starts at calcium 0.1 uM and h 0.7. The threshold of ``crossings`` and ``crossing_period`` is the mid level between
    smallest and greatest calcium of each unit.
    """
    values = np.linspace(0.2, 0.8, 121) if ip3 is None else _numbers("ip3", ip3, "uM")
    for value in values:
        check_value("IP3_rest", float(value))
    start = _parameters(parameters)
    return Protocol(
        name="constant_ip3",
        description="Li-Rinzel calcium at constant IP3",
        axes=(Axis("IP3_rest", values, unit_of("IP3_rest"), "constant IP3"),),
        parameters=start.with_values(n_neurons=1, n_synapses=1, IP3_init=None, Ca_init=0.1, h_init=0.7),
        clock=Clock(duration, settle),
        mid_level_crossings=True,
    )


PROTOCOLS: dict[str, Callable[..., Protocol]] = {"fig3": fig3, "rate_sweep": rate_sweep, "constant_ip3": constant_ip3}


def protocol(name: str, parameters: TripartiteParameters | str | None = None, **options: Any) -> Protocol:
    """The protocol `name` with `options` (see each function); unknown names and options are refused with the choices."""
    make = PROTOCOLS[choose("protocol", name, PROTOCOLS)]
    known = [p for p in inspect.signature(make).parameters if p != "parameters"]
    for option in options:
        choose(f"option of protocol {name}", option, known)
    return make(**options) if parameters is None else make(parameters, **options)


def swept(base: Protocol, name: str, values: Sequence[float]) -> Protocol:
    """`base` with a further axis: the numeric parameter `name` takes each of `values`."""
    meta = describe(name)
    if name in STRUCTURAL:
        raise SimulationError(f"{name} fixes the structure of an ensemble and cannot be swept; simulate once per value")
    if name in (axis.name for axis in base.axes):
        raise SimulationError(f"{name} is already an axis of protocol {base.name}; give its values there")
    array = _numbers(name, [check_value(name, v) for v in values], meta["unit"])
    return replace(base, axes=(*base.axes, Axis(name, array, meta["unit"], meta["meaning"])))
