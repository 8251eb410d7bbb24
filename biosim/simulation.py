"""simulate(): a protocol applied to a parameter set by an engine, as a labelled Dataset."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import itertools
import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from . import gchi_rest, memory
from .ensemble import STATES, STATES_OF_OPTIONS, STATISTICS, Array, Ensemble, Outcome, Progress, SimulationError
from .experiment import WINDOW_STATISTICS
from .messages import shown
from .plan import Plan
from .protocols import TRIAL, Protocol
from .protocols import protocol as named_protocol
from .registry import choose
from .sources import source_digest
from .stability import NAMES as LI_RINZEL
from .stability import rest_state
from .storage import MAX_BYTES, SCHEMA_VERSION
from .tissue import ASTROCYTE

if TYPE_CHECKING:
    import xarray as xr

# Modules are imported on first use, so that a name can be checked without Brian2 or Numba.
ENGINES = {
    "numba": "biosim.engines.numba_engine",
    "brian2": "biosim.engines.brian_engine",
    "reference": "biosim.engines.reference",
}


def run_ensemble(
    ensemble: Ensemble, engine: str = "numba", *, progress: Progress | None = None, **options: Any
) -> Outcome:
    """Run `ensemble` by the engine named ``numba``, ``brian2`` or ``reference``; options go to the engine's ``run``.

    Raises
    ------
    SimulationError, UnknownName
        The engine or an option is unknown, the run would need more memory than there is, or the engine refuses it.
    """
    module = importlib.import_module(ENGINES[choose("engine", engine, ENGINES)])
    known = [name for name in inspect.signature(module.run).parameters if name not in ("ensemble", "progress")]
    for option in options:
        choose(f"option of engine {engine}", option, known)
    what, remedy = _size(ensemble)
    memory.require(module.memory_needed(ensemble), f"{what} with the engine {engine}", remedy, SimulationError)
    try:
        outcome: Outcome = module.run(ensemble, progress=progress, **options)
    except MemoryError as error:
        raise SimulationError(f"{what} with the engine {engine}: the memory is exhausted; {remedy}") from error
    return outcome


def _size(ensemble: Ensemble) -> tuple[str, str]:
    """What makes a run large, and how to make it smaller, for the messages."""
    p, clock = ensemble.parameters, ensemble.clock
    if 2 * ensemble.n_samples > ensemble.n_units:
        return (
            f"record = {clock.record} s over duration = {clock.duration} s makes {ensemble.n_samples} samples for each of "
            f"{ensemble.n_units} units"
        ), "lengthen record, shorten duration, or give fewer values or trials"
    return (
        f"{ensemble.n_units} units of {p.n_neurons} neurons with {p.n_synapses} synapses over duration = {clock.duration} s"
    ), "give fewer values, trials, neurons or synapses, or shorten duration"


def simulate(
    protocol: Protocol | Plan | str,
    parameters: Any = None,
    *,
    engine: str = "numba",
    seed: int = 0,
    record: float | None = None,
    progress: Progress | None = None,
    engine_options: dict[str, Any] | None = None,
    **protocol_options: Any,
) -> xr.Dataset:
    """Simulate a protocol.

    Parameters
    ----------
    protocol : name (of `PROTOCOLS`: ``fig3``, ``rate_sweep``, ``self_repair``, ``stp_cycles``, ...) with its options as
        keywords, a `Protocol` or a `Plan`.
    parameters : parameter set or its name; default: the set the protocol is meant for.
    engine : ``numba`` (fast), ``brian2`` (community reference) or ``reference`` (SciPy, deterministic input alone).
    seed : seeds every random stream; a whole number from 0 to 2^63 - 1.
    record : sampling interval of traces in s (a multiple of 0.01 s); None keeps statistics alone.
    progress : called with (finished units, all units).

    Returns
    -------
    Dataset whose dimensions are the protocol's axes (plus ``time`` and ``neuron`` for traces, ``window`` for windows). Every
    variable has
    ``units``, ``long_name`` and ``symbol``; the attribute ``provenance`` is a JSON text with protocol, parameters (value,
    unit, source, status), engine, seed and versions.

    Raises
    ------
    ValueError
        SimulationError, ParameterError or UnknownName: one line with the name, the value and the remedy.
    """
    plan, options = planned(protocol, parameters, engine, engine_options, protocol_options)
    if isinstance(plan, Plan):
        return plan.run(engine, seed=seed, record=record, progress=progress, options=options)
    protocol = plan if record is None else plan.with_clock(record=record)
    ensemble = protocol.ensemble(seed)
    if ensemble.trace_bytes > MAX_BYTES:
        what, remedy = _size(ensemble)
        raise SimulationError(f"{what}: more than {MAX_BYTES // 2**30} GiB of traces, which no file may hold; {remedy}")
    outcome = measure(ensemble, engine, options, mid_level_crossings=protocol.mid_level_crossings, progress=progress)
    rest, rest_dims = resting_calcium(protocol)
    dataset = dataset_of(protocol, outcome, (rest.copy(), rest_dims), run_record(protocol, engine, seed, options))
    return dataset if protocol.finish is None else protocol.finish(dataset, protocol)


def planned(
    protocol: Protocol | Plan | str,
    parameters: Any,
    engine: str,
    engine_options: Mapping[str, Any] | None,
    protocol_options: Mapping[str, Any],
) -> tuple[Protocol | Plan, dict[str, Any]]:
    """The protocol that the arguments of `simulate` mean, and the options of the engine, both checked."""
    choose("engine", engine, ENGINES)
    if not isinstance(protocol, (Protocol, Plan)):
        named: Protocol | Plan = named_protocol(protocol, parameters, **protocol_options)
        protocol = named
    elif parameters is not None or protocol_options:
        raise SimulationError("parameters and options are part of a Protocol object; set them where it is made")
    options = {} if engine_options is None else engine_options
    if not isinstance(options, Mapping):
        raise SimulationError(f"engine_options = {shown(options)}: expected a mapping from names to values")
    return protocol, dict(options)


def measure(
    ensemble: Ensemble,
    engine: str,
    options: Mapping[str, Any],
    *,
    mid_level_crossings: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Run `ensemble`; with `mid_level_crossings` twice, as the threshold of the crossings comes from the first pass.

    What a unit gives depends on that unit alone, or on its copy of a graph, so that an ensemble may be cut anywhere between them.
    """
    if not mid_level_crossings:
        return run_ensemble(ensemble, engine, progress=progress, **options)
    untraced = replace(ensemble, clock=replace(ensemble.clock, record=None))
    outcome = run_ensemble(untraced, engine, progress=_half(progress, 0), **options)
    middle = (outcome.statistics["calcium_min"] + outcome.statistics["calcium_max"]) / 2
    ensemble = replace(ensemble, overrides={**ensemble.overrides, "Ca_th": middle})
    return _without_flat_crossings(run_ensemble(ensemble, engine, progress=_half(progress, 1), **options))


def _half(progress: Progress | None, number: int) -> Progress | None:
    """`progress` for the first (0) or second (1) of two passes over the same units."""
    return None if progress is None else lambda done, total: progress((done + number * total) // 2, total)


def _without_flat_crossings(outcome: Outcome) -> Outcome:
    """At a fixed point the mid level is noise of the last digits: what crosses it is no oscillation."""
    s = outcome.statistics
    flat = s["calcium_max"] - s["calcium_min"] < 1e-6
    statistics = {
        **s,
        "crossings": np.where(flat, 0.0, s["crossings"]),
        "crossing_period": np.where(flat, np.nan, s["crossing_period"]),
    }
    return replace(outcome, statistics=statistics)


def dataset_of(
    protocol: Protocol, outcome: Outcome, resting: tuple[Array, tuple[str, ...]], record: Mapping[str, Any]
) -> xr.Dataset:
    """The labelled Dataset of `outcome`; `resting` is what `resting_calcium` gives, `record` comes from `run_record`."""
    import xarray as xr

    names = tuple(axis.name for axis in protocol.axes)
    shape = protocol.shape
    variables: dict[str, Any] = {}
    for name, (unit, symbol, long_name) in STATISTICS.items():
        attributes = {"units": unit, "symbol": symbol, "long_name": long_name}
        variables[name] = (names, outcome.statistics[name].reshape(shape), attributes)
    for name, values in outcome.traces.items():
        unit, symbol, long_name, per_neuron = {**STATES, **STATES_OF_OPTIONS}[name]
        attributes = {"units": unit, "symbol": symbol, "long_name": long_name}
        dims = ("time", *names, *(("neuron",) if per_neuron else ()))
        neurons = (protocol.parameters.n_neurons,) if per_neuron else ()
        variables[name] = (dims, values.reshape(values.shape[0], *shape, *neurons), attributes)
    for name, values in outcome.windows.items():
        unit, symbol, long_name, per_neuron = WINDOW_STATISTICS[name]
        attributes = {"units": unit, "symbol": symbol, "long_name": long_name}
        dims = ("window", *names, *(("neuron",) if per_neuron else ()))
        neurons = (protocol.parameters.n_neurons,) if per_neuron else ()
        variables[name] = (dims, values.reshape(values.shape[0], *shape, *neurons), attributes)
    rest, rest_dims = resting
    variables["calcium_rest"] = (
        rest_dims, rest,
        {"units": "uM", "symbol": "Ca_rest", "long_name": "calcium at the fixed point of resting IP3"},
    )  # fmt: skip
    coordinates: dict[str, Any] = {}
    for axis in protocol.axes:
        values = axis.values.astype(np.int64) if axis.name in (TRIAL, ASTROCYTE) else axis.values
        coordinates[axis.name] = ((axis.name,), values, {"units": axis.unit, "long_name": axis.long_name})
    if outcome.windows and protocol.experiment is not None and protocol.experiment.windows is not None:
        for name, values in zip(("window_start", "window_stop"), protocol.experiment.windows.bounds.T, strict=True):
            coordinates[name] = (("window",), values, {"units": "s", "long_name": name.replace("_", " ")})
    if outcome.traces:
        coordinates["time"] = (("time",), protocol.clock.trace_times(), {"units": "s", "long_name": "time"})
    if outcome.traces or outcome.windows:
        index = np.arange(protocol.parameters.n_neurons)
        coordinates["neuron"] = (("neuron",), index, {"units": "1", "long_name": "postsynaptic neuron"})
    return xr.Dataset(
        variables,
        coords=coordinates,
        attrs={
            "title": f"{protocol.name}: {protocol.description}",
            "Conventions": "CF-1.11",
            "provenance": json.dumps({**record, "engine_notes": outcome.notes}, sort_keys=True, allow_nan=False),
        },
    )


def run_record(protocol: Protocol, engine: str, seed: int, options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON-ready: what was run. ``digest`` is of what was asked for; ``source`` is of the code, ``versions`` of its libraries.

    The number of threads is left out, as no result depends on it.
    """
    record = {
        "schema": SCHEMA_VERSION,
        "protocol": protocol.to_record(),
        "parameter_set": protocol.parameters.name,
        "parameters": protocol.parameters.to_records(),
        "engine": engine,
        "engine_options": {name: _plain(value) for name, value in options.items() if name != "threads"},
        "seed": int(seed),
        "source": source_digest(),
        "versions": versions(engine),
    }
    content = {key: record[key] for key in ("schema", "protocol", "parameters", "engine", "seed")}
    record["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return record


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else shown(value)


def resting_calcium(protocol: Protocol) -> tuple[Array, tuple[str, ...]]:
    """Calcium at the fixed point of resting IP3, uM, and its dimensions: none, or all axes (a read-only view).

    It is solved once per combination of the swept parameters that it depends on.
    """
    names = (*LI_RINZEL, *gchi_rest.NAMES) if protocol.parameters.gchi else ("IP3_rest", *LI_RINZEL)
    fixed = {name: float(getattr(protocol.parameters, name)) for name in names}
    axes = [axis for axis in protocol.axes if axis.name in names]
    solved = []
    for values in itertools.product(*(axis.values for axis in axes)):
        p = {**fixed, **{axis.name: float(value) for axis, value in zip(axes, values, strict=True)}}
        solved.append(gchi_rest.rest_state(p)[0] if protocol.parameters.gchi else rest_state(p["IP3_rest"], p)[0])
    if len(solved) == 1:
        return np.array(solved[0]), ()
    grid = np.array(solved).reshape([axis.values.size if axis.name in names else 1 for axis in protocol.axes])
    return np.broadcast_to(grid, protocol.shape), tuple(axis.name for axis in protocol.axes)


def versions(engine: str) -> dict[str, str]:
    """Versions of Python and of the libraries that a run with `engine` uses."""
    packages = ["astromorphic", "numpy", "xarray", "scipy"] + ([engine] if engine in ("numba", "brian2") else [])
    found = {"python": platform.python_version(), "platform": sys.platform}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
