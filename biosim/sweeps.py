"""sweep(): a protocol of any size, run in blocks of units that are kept on disk, so that a killed sweep continues.

Every finished block becomes a file in ``run.nc.parts`` (see `parts`); at the end one file is made of them (see `assembly`).
Streams belong to the unit, so neither blocks, nor threads, nor a cluster, nor interruptions change a single bit.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import os
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import memory
from .assembly import assemble, gather
from .atomic import OutputError, check_writable
from .checks import whole
from .ensemble import STATES, STATES_OF_OPTIONS, STATISTICS, Ensemble, Outcome, Progress, SimulationError
from .experiment import WINDOW_STATISTICS
from .folders import parts_folder
from .parameters import TripartiteParameters
from .parts import Part, PartsFolder, first_difference, manifest_of, opened, write_part
from .protocols import Protocol
from .simulation import ENGINES, dataset_of, measure, planned, resting_calcium, run_record, versions
from .sources import source_digest
from .storage import MAX_BYTES, DatasetError, read_provenance, save

if TYPE_CHECKING:
    import xarray as xr

# A block is some seconds of work, so that the milliseconds which its file takes do not count and little is lost with it.
BLOCK_UNIT_STEPS = 4 * 10**9
SMALLEST_BLOCK, LARGEST_BLOCK = 1_000, 100_000
# The traces of a block are in memory a few times while its file is made.
BLOCK_TRACE_BYTES = 2**26
# Below this, handing blocks to a cluster costs more than it gains.
CLUSTER_BLOCK = 10_000


def sweep(
    protocol: Protocol | str,
    out: str | os.PathLike[str],
    parameters: TripartiteParameters | str | None = None,
    *,
    engine: str = "numba",
    seed: int = 0,
    record: float | None = None,
    block: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
    engine_options: Mapping[str, Any] | None = None,
    **protocol_options: Any,
) -> Path:
    """Simulate a protocol in blocks and write its Dataset to the file `out`; returns its path.

    The file holds what ``biosim.save(biosim.simulate(...))`` would write: the same numbers to the last bit, coordinates,
    attributes and digest; only ``engine_notes`` in the provenance leaves out times and threads, so that its bytes are the same
    however the sweep was run. Neither the units nor the traces need fit in memory.

    Interrupted or killed, it continues when called again with the same arguments (`block`, `cluster` and the number of
    threads may be others). A finished one is not repeated: the file is left as it is and its path returned.

    Parameters
    ----------
    protocol, parameters, engine, seed, record, engine_options, protocol_options : as in `simulate`; parameters are swept by
        handing over a `Protocol` made with `swept`.
    out : NetCDF file. While the sweep runs, its parts lie in the folder of that name with ``.parts``.
    block : units per block; the blocks are of equal size and hold at least this many, and whole copies of a graph of coupled
        astrocytes. Default: some seconds of work.
    cluster : None runs here, on all cores. ``local`` hands the blocks to dask.distributed on this machine; the address of
        a scheduler (``tcp://...``), whose workers must see the same folder, to that. Blocks then hold at least 10,000 units
        unless `block` says otherwise.
    progress : called with (finished units, all units).

    Raises
    ------
    ValueError
        SimulationError, ParameterError or UnknownName as `simulate`; OutputError if the place cannot be written, holds
        another run, or is in use by another command.
    """
    plan, options = planned(protocol, parameters, engine, engine_options, protocol_options)
    if not isinstance(plan, Protocol):
        raise SimulationError(
            f"protocol {plan.name} is not made of independent units and cannot be cut into blocks; use simulate"
        )
    protocol = plan if record is None else plan.with_clock(record=record)
    target = check_writable(out)
    checked = protocol.sample(seed)
    _check_options(engine, options)
    if cluster is not None:
        from .cluster import check_cluster

        check_cluster(cluster)
    description = run_record(protocol, engine, checked.seed, options)
    if _is_finished(target, description):
        _tidy(target, description, protocol.n_units)
        return target
    size = block_size(protocol, engine, block, cluster is not None)
    _check_size(protocol, engine, size, target)
    job = _Job(protocol, engine, options, checked.seed, description)
    with opened(target, manifest_of(description, protocol.n_units)) as parts:
        # Another command may have finished between the look at the file and the lock.
        if not _is_finished(target, description):
            with contextlib.closing(_run_blocks(job, parts, size, cluster, progress)) as finished:
                for part in finished:
                    parts.add(part)
            notes = _notes(parts.parts, protocol)
            blank, axes = _blank(protocol, description, notes), tuple(a.name for a in protocol.axes)
            if protocol.finish is None:
                assemble(blank, axes, parts.parts, target)
            else:
                save(protocol.finish(gather(blank, axes, parts.parts), protocol), target)
        parts.remove()
    return target


def block_size(protocol: Protocol, engine: str = "numba", block: int | None = None, cluster: bool = False) -> int:
    """Units that a block of `sweep` holds at least; `block` where that is given.

    Raises
    ------
    SimulationError
        `block` is no whole number of at least 1, or the engine cannot cut the units of this protocol.
    """
    module = importlib.import_module(ENGINES[engine])
    alone = getattr(module, "UNITS_STAND_ALONE", False)
    if block is not None:
        size = whole("block", block, 1, None, SimulationError)
        if not alone and size < protocol.n_units:
            raise SimulationError(
                f"block = {size}: the engine {engine} draws all units from one stream, so that blocks would change the result; "
                f"use the engine numba, or a block of all {protocol.n_units} units"
            )
        return size
    if not alone:
        return protocol.n_units
    clock = protocol.clock
    size = BLOCK_UNIT_STEPS // max(1, clock.n_astro * clock.ratio)
    size = min(max(size, SMALLEST_BLOCK), LARGEST_BLOCK)
    if cluster:
        return max(size, CLUSTER_BLOCK)
    if clock.record is not None or _windows(protocol):
        size = min(size, max(1, BLOCK_TRACE_BYTES // _varying_bytes(protocol)))
    return size


def _windows(protocol: Protocol) -> int:
    """Number of measuring windows of the experiment."""
    x = protocol.experiment
    return 0 if x is None or x.windows is None else int(x.windows.bounds.shape[0])


def _varying_bytes(protocol: Protocol) -> int:
    """Bytes of traces and windows of one unit."""
    neurons = protocol.parameters.n_neurons
    per_window = sum(neurons if per_neuron else 1 for *_, per_neuron in WINDOW_STATISTICS.values())
    return protocol.sample().trace_bytes_per_unit + 8 * _windows(protocol) * per_window


def cut(start: int, stop: int, size: int, grain: int = 1) -> list[tuple[int, int]]:
    """Ranges of equal length (to one grain) from `start` to `stop`, of at least `size` units where there are as many.

    `start` and `stop` are multiples of `grain`, and so are all bounds: no copy of a graph is cut.
    """
    grains = (stop - start) // grain
    count = max(1, grains // -(-size // grain))
    edges = [start + grains * k // count * grain for k in range(count + 1)]
    return list(itertools.pairwise(edges))


# One block ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """Everything that is needed to compute one part, here or in another process."""

    ensemble: Ensemble
    mid_level_crossings: bool
    engine: str
    options: Mapping[str, Any]
    folder: Path
    key: str
    source: str
    versions: Mapping[str, str]

    @property
    def start(self) -> int:
        return self.ensemble.first_unit

    @property
    def stop(self) -> int:
        return self.start + self.ensemble.n_units

    def compute(self, progress: Progress | None = None) -> Part:
        """Run the units and write their part.

        Raises
        ------
        SimulationError
            A unit cannot be simulated, or this process has another version of the code than the sweep.
        OutputError
            The part cannot be written.
        """
        self._check_code()
        try:
            outcome = measure(
                self.ensemble,
                self.engine,
                self.options,
                mid_level_crossings=self.mid_level_crossings,
                progress=progress,
            )
        except SimulationError as error:
            if self.start == 0:
                raise
            raise SimulationError(
                f"in units {self.start} to {self.stop - 1}, counted from their first: {error}"
            ) from error
        try:
            return write_part(self.folder, self.key, self.start, self.stop, _kept(outcome))
        except OSError as error:
            raise OutputError(
                f"cannot write into {self.folder}: {error.strerror or error}; finished blocks are kept, free some space and "
                "give the same command again"
            ) from error

    def _check_code(self) -> None:
        here = {"source": source_digest(), **versions(self.engine)}
        wanted = {"source": self.source, **self.versions}
        if here != wanted:
            what, theirs, ours = first_difference(here, wanted)
            raise SimulationError(
                f"a worker has another {what} ({theirs}) than the sweep ({ours}): install the same versions everywhere"
            )


def _kept(outcome: Outcome) -> Outcome:
    """Without notes on how long it took and on how many threads: these would make every file another one."""
    notes = {name: value for name, value in outcome.notes.items() if name != "threads" and not name.endswith("_s")}
    return Outcome(outcome.statistics, {}, outcome.traces, notes, outcome.windows)


@dataclass(frozen=True)
class _Job:
    """A sweep, without the place where it is written."""

    protocol: Protocol
    engine: str
    options: Mapping[str, Any]
    seed: int
    record: Mapping[str, Any]

    def block(self, start: int, stop: int, parts: PartsFolder) -> Block:
        return Block(
            self.protocol.ensemble(self.seed, start, stop), self.protocol.mid_level_crossings, self.engine, self.options,
            parts.folder.absolute(), parts.key, self.record["source"], self.record["versions"],
        )  # fmt: skip


def _run_blocks(
    job: _Job, parts: PartsFolder, size: int, cluster: str | None, progress: Progress | None
) -> Generator[Part, None, None]:
    """Compute what is missing; yields each part when it is on disk."""
    ranges = [piece for gap in parts.missing() for piece in cut(*gap, size, job.protocol.grain)]
    total = job.protocol.n_units
    if progress:
        progress(parts.done, total)
    blocks = (job.block(start, stop, parts) for start, stop in ranges)
    if cluster is not None:
        from .cluster import run_on_cluster

        with contextlib.closing(run_on_cluster(blocks, len(ranges), cluster, parts.key, total)) as finished:
            for part in finished:
                yield part
                if progress:
                    progress(parts.done, total)
        return
    for block in blocks:
        yield block.compute(_after(progress, parts.done, total))


def _after(progress: Progress | None, before: int, total: int) -> Progress | None:
    """`progress` for a block that comes after `before` of all `total` units."""
    return None if progress is None else lambda done, _: progress(before + done, total)


# Before and after the blocks ------------------------------------------------------------------------------------------


def _check_options(engine: str, options: Mapping[str, Any]) -> None:
    from .registry import choose

    module = importlib.import_module(ENGINES[engine])
    known = [name for name in inspect.signature(module.run).parameters if name not in ("ensemble", "progress")]
    for option in options:
        choose(f"option of engine {engine}", option, known)


def _check_size(protocol: Protocol, engine: str, size: int, target: Path) -> None:
    """Refuse before any work what no file may hold, what does not fit in memory, and what the disk has no room for."""
    n, per_unit = protocol.n_units, 8 * len(STATISTICS) + _varying_bytes(protocol)
    remedy = (
        "lengthen record, or give fewer values or trials" if protocol.clock.record else "give fewer values or trials"
    )
    if n * per_unit > MAX_BYTES:
        raise SimulationError(
            f"{n} units of {per_unit} bytes: more than {MAX_BYTES // 2**30} GiB, which no file may hold; {remedy}"
        )
    if protocol.finish is not None:
        # What it adds is computed from the whole.
        memory.require(3.0 * n * per_unit, f"the Dataset of {n} units of {per_unit} bytes", remedy, SimulationError)
    largest = max(stop - start for start, stop in cut(0, n, size, protocol.grain))
    first = protocol.ensemble(0, 0, largest)
    module = importlib.import_module(ENGINES[engine])
    memory.require(
        module.memory_needed(first), f"a block of {largest} units with the engine {engine}", "give a smaller block",
        SimulationError,
    )  # fmt: skip
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(target.parent).free
        there = sum(path.stat().st_size for path in parts_folder(target).glob("*.nc"))
        if n * per_unit > free + there:
            raise OutputError(
                f"cannot write {target}: {n} units take {n * per_unit / 2**30:.3g} GiB and the disk has {free / 2**30:.3g} "
                f"GiB; free some space, choose another folder, or {remedy}"
            )


def _is_finished(target: Path, record: Mapping[str, Any]) -> bool:
    """Whether `target` holds this run; False if there is no such file.

    Raises
    ------
    OutputError
        It holds something else.
    """
    if not target.exists():
        return False
    try:
        there = read_provenance(target)
    except DatasetError as error:
        raise OutputError(f"{target} exists and is no file of this package; name another file, or move it") from error
    keys = ("schema", "protocol", "parameters", "engine", "engine_options", "seed", "source")
    here = {key: record[key] for key in keys}
    found = {key: there.get(key) for key in keys}
    if found == here:
        return True
    where, theirs, ours = first_difference(found, here)
    raise OutputError(
        f"{target} holds another run ({where} is {theirs} there and {ours} here); name another file, or remove it"
    )


def _tidy(target: Path, record: Mapping[str, Any], n_units: int) -> None:
    """Remove the parts of a sweep that was killed after its file was there."""
    if parts_folder(target).is_dir():
        # Whatever keeps them, another command or other settings, they do no harm.
        with contextlib.suppress(OutputError), opened(target, manifest_of(record, n_units)) as parts:
            parts.remove()


def _notes(parts: list[Part], protocol: Protocol) -> dict[str, Any]:
    """The engine's notes on all blocks: equal ones once, differing ones as a list, numbers of steps summed."""
    notes: dict[str, Any] = {}
    for name in sorted({name for part in parts for name in part.notes}):
        values = [part.notes[name] for part in parts if name in part.notes]
        if name == "unit_steps":
            notes[name] = sum(values)
            continue
        distinct = [value for i, value in enumerate(values) if value not in values[:i]]
        notes[name] = distinct[0] if len(distinct) == 1 else distinct
    return notes


def _blank(protocol: Protocol, record: Mapping[str, Any], notes: dict[str, Any]) -> xr.Dataset:
    """The Dataset of the whole sweep, in which one number stands for all: nothing of its size is in memory."""
    n, times, neurons = protocol.n_units, protocol.clock.trace_times().size, protocol.parameters.n_neurons
    statistics = {name: np.broadcast_to(np.nan, (n,)) for name in STATISTICS}
    traces = {}
    if times:
        extra = {name: STATES_OF_OPTIONS[name] for name in protocol.sample().extra_states}
        for name, (*_, per_neuron) in {**STATES, **extra}.items():
            traces[name] = np.broadcast_to(np.nan, (times, n, neurons) if per_neuron else (times, n))
    windows = {}
    if _windows(protocol):
        for name, (*_, per_neuron) in WINDOW_STATISTICS.items():
            size = (_windows(protocol), n)
            windows[name] = np.broadcast_to(np.nan, (*size, neurons) if per_neuron else size)
    return dataset_of(protocol, Outcome(statistics, {}, traces, notes, windows), resting_calcium(protocol), record)
