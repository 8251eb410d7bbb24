"""Protocols with input that changes: ``pulse_train``, ``impulse_response``, and the user's own ``spikes``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from .. import responses
from ..checks import whole
from ..ensemble import Clock, InputKind, ReleaseMode, SimulationError, check_input
from ..experiment import MOST_PIECES, Experiment, Jump, JumpVariable, Schedule, Windows
from ..parameters import TripartiteParameters
from ..registry import choose
from ..spike_trains import SpikeTrains, read_spikes
from .arguments import not_spikes, parameters_given, points, rate_axis, sampled, seconds, trial_axis
from .base import JUMP, Axis, Protocol


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
    check_input(not_spikes(input), release)
    pulse, period, first = seconds("pulse", pulse), seconds("period", period), seconds("first", first)
    sampling = seconds("sampling", sampling)
    number = whole("number", number, 1, MOST_PIECES // 2, SimulationError)
    schedule = Schedule.pulses(first, pulse, period, number)
    duration = first + number * period
    starts = first + period * np.arange(number)
    return Protocol(
        name="pulse_train",
        description="response to pulses of input",
        axes=(rate_axis(rates), trial_axis(trials)),
        parameters=parameters_given(parameters),
        clock=sampled(duration, first, sampling),
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
    values = points("sizes", _JUMPS[stimulus] if sizes is None else sizes, "Hz" if stimulus == "burst" else "uM")
    start = parameters_given(parameters)
    if stimulus == "AG" and start.gchi:
        raise SimulationError(
            "stimulus = 'AG' with astrocyte = 'gchi': 2-AG makes no IP3 there; use stimulus = IP3 or burst"
        )
    clock = sampled(duration, 0.0, seconds("sampling", sampling))
    moment, length = seconds("at", at), seconds("length", length)
    if moment >= clock.duration:
        raise SimulationError(f"at = {moment:g} s: expected less than the duration of {clock.duration:g} s")
    if stimulus == "burst":
        axis = rate_axis(values)
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
    start = parameters_given(parameters)
    if spikes is None:
        raise SimulationError(
            "spikes = None: give the times in s, or the name of a file (CSV: time_s,synapse[,neuron])"
        )
    step = seconds("dt", dt)
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
        axes=(trial_axis(trials),),
        parameters=start,
        clock=sampled(end, settle, sampling, dt=step, dt_astro=10 * step),
        input="spikes",
        release=release,
        experiment=Experiment(spikes=trains),
    )
