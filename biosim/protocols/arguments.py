"""What the functions that make protocols take, checked: values of an axis, rates, trials, times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import memory
from ..checks import numbers, real, whole
from ..ensemble import LONGEST, SHORTEST, Array, Clock, InputKind, SimulationError
from ..messages import shown
from ..parameters import TripartiteParameters, parameter_set
from .base import RATE, TRIAL, VALUE_BYTES, Axis


def points(name: str, values: Sequence[float] | Array, unit: str) -> Array:
    """`values` as a one-dimensional array of at least one number, each of them once."""
    array = np.atleast_1d(numbers(name, values, unit, SimulationError))
    if array.ndim != 1 or array.size == 0:
        raise SimulationError(f"{name} = {shown(values)}: expected at least one number in {unit}, in a plain list")
    if np.unique(array).size != array.size:
        raise SimulationError(
            f"{name} = {shown(array.tolist())}: a value occurs twice; give each once, repeats are trials"
        )
    return array


def rate_axis(rates: Sequence[float] | Array) -> Axis:
    values = points("rates", rates, "Hz")
    for value in values:
        if not math.isfinite(value) or value < 0:
            raise SimulationError(f"input rate = {value:g} Hz: expected a finite rate of at least 0")
    return Axis(RATE, values, "Hz", "input rate per synapse")


def trial_axis(trials: int) -> Axis:
    count = whole("trials", trials, 1, None, SimulationError)
    memory.require(count * VALUE_BYTES, f"trials = {shown(count)}", "lower trials", SimulationError)
    return Axis(TRIAL, np.arange(count, dtype=np.float64), "1", "repeat with its own random numbers")


def parameters_given(parameters: TripartiteParameters | str) -> TripartiteParameters:
    return parameters if isinstance(parameters, TripartiteParameters) else parameter_set(parameters)


def seconds(name: str, value: Any) -> float:
    """A length or moment in s as a float; its place among the other times is checked where it is used."""
    seconds = real(name, value, "s", SimulationError)
    if not (seconds == 0 or SHORTEST <= seconds <= LONGEST):
        raise SimulationError(f"{name} = {shown(value)} s: expected 0, or a time from {SHORTEST} s to {LONGEST:g} s")
    return seconds


def sampled(duration: float, settle: float, sampling: float | None, **steps: float) -> Clock:
    """A clock with traces every `sampling` s, under which name a wrong interval is refused."""
    clock = Clock(duration, settle, **steps)
    try:
        return replace(clock, record=sampling)
    except SimulationError as error:
        raise SimulationError(f"sampling: {error}") from error


def not_spikes(input: InputKind) -> InputKind:
    if input == "spikes":
        raise SimulationError(
            "input = 'spikes': expected poisson or regular; for your own spikes use the protocol spikes"
        )
    return input
