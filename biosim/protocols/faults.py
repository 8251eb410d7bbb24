"""Protocol ``self_repair``: some synapses of a neuron fall silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from .. import self_repair_measures
from ..checks import real, whole
from ..ensemble import Clock, InputKind, ReleaseMode, SimulationError, check_input
from ..experiment import Experiment, Faults, Windows, whole_numbers
from ..messages import shown
from ..parameters import TripartiteParameters
from ..registry import choose
from ..synapse_scatter import SynapseScatter
from .arguments import not_spikes, parameters_given, points, rate_axis, seconds, trial_axis
from .base import SHARE, Axis, Protocol


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
    start = parameters_given(parameters)
    check_input(input, release)
    given = {"fault_time": fault_time, "duration": duration, "before": before, "after": after, "bin": bin}
    times = {name: seconds(name, value) for name, value in given.items()}
    where = self_repair_measures.Windows(**times)
    clock = Clock(times["duration"], times["duration"] - times["after"])
    windows = Windows.every(times["bin"], clock.duration)
    neuron = whole("neuron", neuron, 0, start.n_neurons - 1, SimulationError)
    axes: tuple[Axis, ...] = (trial_axis(trials),)
    if synapses is not None:
        if shares is not None:
            raise SimulationError(f"shares = {shown(shares)} and synapses = {shown(synapses)}: give one of them")
        faults = Faults(times["fault_time"], neuron, synapses=whole_numbers("synapses", synapses))
    else:
        usual = 0.8 if start.name.startswith("wade2012") else 0.7
        values = points("shares", [usual] if shares is None else shares, "1")
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
        rate=float(rate_axis([real("rate", rate, "Hz", SimulationError)]).values[0]),
        input=not_spikes(input),
        release=release,
        experiment=Experiment(faults=faults, windows=windows),
        scatter=spreading,
        finish=partial(self_repair_measures.add, where=where),
    )
    faults.stuck(start.n_neurons, start.n_synapses, 1)
    return plan
