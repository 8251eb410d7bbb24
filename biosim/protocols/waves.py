"""Protocol ``calcium_wave``: astrocytes coupled by gap junctions, some of them stimulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np

from .. import wave_measures
from ..checks import real
from ..ensemble import InputKind, ReleaseMode, SimulationError, check_input
from ..experiment import Experiment, Jump, Schedule, whole_numbers
from ..gap_junctions import SCALE, THETA, CouplingForm
from ..messages import shown
from ..parameters import TripartiteParameters
from ..registry import choose
from ..tissue import ASTROCYTE, STIMULUS, STRENGTH, StimulusKind, Tissue, Topology, check_stimulus, graph
from .arguments import not_spikes, parameters_given, points, rate_axis, sampled, seconds, trial_axis
from .base import Axis, Protocol


def calcium_wave(
    parameters: TripartiteParameters | str = "wade2012",
    *,
    topology: Topology = "ring",
    n_astrocytes: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
    periodic: bool = False,
    edges: Any = None,
    form: CouplingForm = "threshold",
    strengths: Sequence[float] | None = None,
    theta: float = THETA,
    scale: float = SCALE,
    stimulus: StimulusKind = "jump",
    sizes: Sequence[float] | None = None,
    stimulated: Sequence[int] = (0,),
    at: float | None = None,
    length: float | None = None,
    background: float = 0.0,
    level: float | None = None,
    trials: int = 1,
    duration: float = 120.0,
    sampling: float = 0.1,
    input: InputKind = "poisson",
    release: ReleaseMode = "bernoulli",
) -> Protocol:
    """Astrocytes coupled by gap junctions, some of them stimulated: how far calcium spreads, and how fast.

    Parameters
    ----------
    topology : ``ring`` or ``chain`` of `n_astrocytes` (40), ``grid`` of `rows` x `columns` (8 x 8; `periodic` joins opposite
        borders), or ``file``: `edges`, a CSV file with the header from,to, or pairs.
    form, strengths, theta, scale : the junctions, see `GapJunctions`; several strengths F make an axis.
    stimulus : ``jump`` (IP3 of the stimulated astrocytes rises by `sizes` uM at the time `at`), ``hold`` (their resting IP3 is
        higher by `sizes` uM from the start on) or ``input`` (their synapses get `sizes` Hz, from `at` on for `length` s, or
        throughout).
    stimulated : which astrocytes.
    at : s; by default 5 s (jump, input with a length) or 0 s.
    background : input rate of the synapses of all other astrocytes (of all with jump and hold), Hz.
    level : calcium through which an active astrocyte rises, uM; by default the threshold Ca_th of the set.

    The Dataset has the dimension ``astrocyte``, traces every `sampling` s, and ``activation_time``, ``n_active``,
    ``front_distance``, ``front_speed``, ``distance`` and ``edge``, see `wave_measures`.
    """
    start = parameters_given(parameters)
    check_input(not_spikes(input), release)
    choose("stimulus", stimulus, get_args(StimulusKind))
    if stimulus == "hold" and start.gchi:
        raise SimulationError(
            "stimulus = 'hold' with astrocyte = 'gchi': its resting IP3 follows from its receptors and cannot be held; use "
            "stimulus = jump or input"
        )
    unit = "Hz" if stimulus == "input" else "uM"
    usual = {"jump": 2.0, "hold": 1.0, "input": 50.0}[stimulus]
    values = points("sizes", [usual] if sizes is None else sizes, unit)
    check_stimulus(stimulus, values, start.IP3_rest)
    graph_of = graph(topology, n_astrocytes, rows, columns, periodic, edges, form=form, theta=theta, scale=scale)
    given = graph_of.strength if strengths is None else strengths
    strength = points("strengths", given, graph_of.unit)
    replace(graph_of, strength=strength)
    others = float(rate_axis([real("background", background, "Hz", SimulationError)]).values[0])
    tissue = Tissue(graph_of, whole_numbers("stimulated", stimulated), stimulus, others)
    pulsed = length is not None
    if pulsed and stimulus != "input":
        raise SimulationError(
            f"length = {shown(length)} s with stimulus = {stimulus!r}: only input has a length; leave it out"
        )
    if pulsed and others:
        raise SimulationError(
            f"length = {shown(length)} s with background = {others:g} Hz: the schedule of the input holds for all astrocytes; "
            "leave out one of them"
        )
    moment = (5.0 if stimulus == "jump" or pulsed else 0.0) if at is None else seconds("at", at)
    if moment and not (stimulus == "jump" or pulsed):
        raise SimulationError(
            f"at = {moment:g} s with stimulus = {stimulus!r}{'' if stimulus == 'hold' else ' without a length'}: it lasts from "
            "the start; leave it out"
        )
    clock = sampled(duration, 0.0, seconds("sampling", sampling))
    if moment >= clock.duration:
        raise SimulationError(f"at = {moment:g} s: expected less than the duration of {clock.duration:g} s")
    experiment = None
    if stimulus == "jump":
        experiment = Experiment(jump=Jump("IP3", moment, 0.0))
    elif pulsed:
        experiment = Experiment(
            schedule=Schedule.pulses(moment, seconds("length", length), seconds("length", length), 1)
        )
    rise = start.Ca_th if level is None else real("level", level, "uM", SimulationError)
    if not (math.isfinite(rise) and rise > 0):
        raise SimulationError(f"level = {rise:g} uM: expected a finite concentration above 0")
    return Protocol(
        name="calcium_wave",
        description=f"calcium of {graph_of.n_astrocytes} astrocytes coupled by gap junctions ({topology}, {form})",
        axes=(
            Axis(STRENGTH, strength, graph_of.unit, "strength F of the gap junctions"),
            Axis(STIMULUS, values, unit, f"stimulus of chosen astrocytes ({stimulus})"),
            trial_axis(trials),
            Axis(ASTROCYTE, np.arange(graph_of.n_astrocytes, dtype=np.float64), "1", "astrocyte"),
        ),
        parameters=start,
        clock=clock,
        input=input,
        release=release,
        experiment=experiment,
        tissue=tissue,
        finish=partial(wave_measures.add, at=moment, level=rise),
    )
