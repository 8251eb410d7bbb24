"""The experiment of an ensemble as the arrays that the compiled kernel reads."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ensemble import Array, Ensemble
from ..experiment import Experiment

WINDOW_UNIT_ROWS, WINDOW_NEURON_ROWS = 5, 5

Whole = NDArray[np.int64]


class Arrays(NamedTuple):
    """Rows of synapses are neuron * n_synapses + synapse. What is not used has no units."""

    edge: Whole  # first neuron step of each piece of the schedule
    factor: Array  # of each piece
    level: Whole  # of each piece, a row of `increment`
    increment: Whole  # [levels, units], phase of regular input gained per step
    event_first: Whole  # [neurons + 1], where the spikes of each neuron begin
    event_step: NDArray[np.int32]
    event_synapse: NDArray[np.int32]
    PR0: Array  # [synapses, units]
    stuck: NDArray[np.int8]  # [synapses, units], 1 for those that fail
    healthy: Whole  # [neurons, units], synapses that never fail
    fault_step: Whole  # [1]
    jump_step: Whole  # [1], astrocyte step
    jump_ip3: Array  # [units]
    jump_ag: Array  # [neurons, units]
    window_start: Whole
    window_stop: Whole
    windows: Array  # [windows, rows, units], written by the kernel


def memory_needed(ensemble: Ensemble) -> float:
    """Bytes of `arrays` and of what is made from them."""
    x, p, n = ensemble.experiment, ensemble.parameters, float(ensemble.n_units)
    if x is None:
        return 0.0
    m, synapses = p.n_neurons, p.n_neurons * p.n_synapses
    need = 0.0
    if x.schedule is not None:
        need += x.schedule.factors.size * 40
        if ensemble.input == "regular":
            need += np.unique(x.schedule.factors).size * 8 * n
    if x.spikes is not None:
        need += 40.0 * x.spikes.n_spikes
    if x.PR0 is not None or x.faults is not None:
        need += 26 * synapses * n
    if x.windows is not None:
        need += 3 * 8 * x.windows.bounds.shape[0] * (WINDOW_UNIT_ROWS + WINDOW_NEURON_ROWS * m) * n
    return need


def flags(ensemble: Ensemble) -> dict[str, bool]:
    """Which parts of the kernel an ensemble needs."""
    x = ensemble.experiment or Experiment()
    return {
        "spiking": ensemble.input == "spikes",
        "scheduled": x.schedule is not None,
        # With equal PR and Poisson input the number of working quantal synapses is all that matters.
        "individual": x.PR0 is not None
        or (x.faults is not None and (ensemble.input != "poisson" or ensemble.parameters.synapse == "depressing")),
        "faulted": x.faults is not None,
        "jumping": x.jump is not None,
        "windowed": x.windows is not None,
    }


def synapse_PR0(ensemble: Ensemble) -> Array:
    """Release probability without astrocyte and 2-AG of every synapse, shape [units, neurons, synapses]."""
    p, x = ensemble.parameters, ensemble.experiment
    if x is not None and x.PR0 is not None:
        return x.PR0
    shape = (ensemble.n_units, p.n_neurons, p.n_synapses)
    return np.broadcast_to(ensemble.values("PR0")[:, None, None], shape)


def stuck(ensemble: Ensemble) -> NDArray[np.bool_]:
    """Which synapses fail during the run, shape [units, neurons, synapses]."""
    p, x = ensemble.parameters, ensemble.experiment
    if x is not None and x.faults is not None:
        return x.faults.stuck(p.n_neurons, p.n_synapses, ensemble.n_units)
    return np.zeros((ensemble.n_units, p.n_neurons, p.n_synapses), dtype=np.bool_)


def mean_probability(PR0: Array, counted: NDArray[np.bool_], gain: Array) -> Array:
    """Mean of clip(PR0 gain, 0, 1) over the `counted` synapses, 0 where there is none.

    PR0, counted : [..., synapses]; gain = 1 + (DSE + eSP)/100 : [...].
    """
    pr = np.clip(PR0 * gain[..., None], 0.0, 1.0) * counted
    return np.asarray(pr.sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1))


def arrays(ensemble: Ensemble) -> Arrays:
    """The arrays of `ensemble`."""
    x, p, clock, n = ensemble.experiment or Experiment(), ensemble.parameters, ensemble.clock, ensemble.n_units
    m, synapses, use = p.n_neurons, p.n_neurons * p.n_synapses, flags(ensemble)
    edge, factor, level = np.zeros(1, np.int64), np.ones(1), np.zeros(1, np.int64)
    increment = np.zeros((1, 1), np.int64)
    if x.schedule is not None:
        edge, factor = x.schedule.edges(clock), x.schedule.factors
        if ensemble.input == "regular":
            levels, level = np.unique(factor, return_inverse=True)
            level = level.astype(np.int64)
            increment = np.stack([ensemble.regular_increment(float(value)) for value in levels])
    event_first = np.zeros(m + 1, np.int64)
    events = [x.spikes.arrivals(i) for i in range(m)] if x.spikes is not None else []
    event_first[1 : 1 + len(events)] = np.cumsum([steps.size for steps, _ in events])
    none = np.empty(0, np.int32)
    table = np.empty((0, 0))
    if use["individual"]:
        table = np.ascontiguousarray(synapse_PR0(ensemble).reshape(n, synapses).T)
    failing, healthy = np.empty((0, 0), np.int8), np.empty((0, 0), np.int64)
    if use["faulted"]:
        which = stuck(ensemble)
        failing = np.ascontiguousarray(which.reshape(n, synapses).T.astype(np.int8))
        healthy = np.ascontiguousarray((p.n_synapses - which.sum(axis=2)).T.astype(np.int64))
    jump_ip3, jump_ag = np.zeros(n if use["jumping"] else 0), np.zeros((m, n if use["jumping"] else 0))
    if x.jump is not None:
        target = jump_ip3 if x.jump.variable == "IP3" else jump_ag[x.jump.neuron]
        target[:] = x.jump.size
    window = x.windows.steps(clock) if x.windows is not None else np.empty((0, 2), np.int64)
    rows = WINDOW_UNIT_ROWS + WINDOW_NEURON_ROWS * m
    return Arrays(
        edge=edge, factor=factor, level=level, increment=increment, event_first=event_first,
        event_step=np.concatenate([steps for steps, _ in events]).astype(np.int32) if events else none,
        event_synapse=np.concatenate([which for _, which in events]).astype(np.int32) if events else none,
        PR0=table, stuck=failing, healthy=healthy,
        fault_step=np.array([x.faults.step(clock) if x.faults is not None else -1]),
        jump_step=np.array([x.jump.step(clock) if x.jump is not None else -1]),
        jump_ip3=jump_ip3, jump_ag=jump_ag,
        window_start=np.ascontiguousarray(window[:, 0]), window_stop=np.ascontiguousarray(window[:, 1]),
        windows=np.zeros((window.shape[0], rows, n)),
    )  # fmt: skip
