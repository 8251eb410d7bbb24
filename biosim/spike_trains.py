"""The user's own input: spike times per synapse, from arrays, CSV files, or trains of Neo and NWB.

Times are kept as indices of neuron steps, one after the other with the offsets of the trains (compressed rows), 4 bytes a
spike; synapses that share a train share its storage. A spike after t - dt and up to t acts at t, the end of its step.
"""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from . import memory
from .checks import numbers
from .ensemble import Array, SimulationError
from .messages import shown
from .registry import choose

if TYPE_CHECKING:
    from .ensemble import Clock

Collisions = Literal["refuse", "merge"]

MOST_STEPS = 2**31 - 1
NEO, NWB = (".nix", ".nio", ".blk", ".plx", ".smr", ".spike2"), (".nwb",)


class SpikesMerged(UserWarning):
    """Spikes of one synapse fell into one step and were taken for one."""


@dataclass(frozen=True)
class SpikeTrains:
    """Trains as steps of the neuron's clock.

    steps : 1-based steps of all trains, each train in order, shape [n_spikes]; a spike acts at step * dt.
    offsets : where each train begins in `steps`, shape [n_trains + 1].
    train_of : the train of each synapse, -1 for none, shape [n_neurons, n_synapses].
    """

    steps: NDArray[np.int32]
    offsets: NDArray[np.int64]
    train_of: NDArray[np.int32]
    dt: float
    source: str = "array"

    @classmethod
    def from_times(
        cls,
        spikes: Any,
        n_neurons: int,
        n_synapses: int,
        dt: float,
        *,
        collisions: str = "refuse",
        source: str = "array",
    ) -> SpikeTrains:
        """Trains from times in s.

        Parameters
        ----------
        spikes : a mapping {(neuron, synapse): times}; a list of neurons, each a list of synapses, each a list of times; a
            list of one list of times per neuron, shared by its synapses; or, with one neuron, a list of one list of times
            per synapse, or one flat list shared by all its synapses. Trains of Neo are taken for lists of times.
        collisions : what to do with two spikes of one synapse in one step: ``refuse`` (an error), or ``merge`` them into
            one with a warning (`SpikesMerged`). A step carries one spike of a synapse.

        Raises
        ------
        SimulationError
            A time is no finite number of at least 0, a synapse does not exist, or two spikes share a step; the message
            names neuron, synapse and time.
        """
        choose("collisions", collisions, get_args(Collisions))
        trains, train_of = _arranged(spikes, n_neurons, n_synapses)
        rows = []
        for index, train in enumerate(trains):
            rows.append(_binned(train, _first_user(train_of, index), dt, collisions))
        offsets = np.concatenate([[0], np.cumsum([row.size for row in rows])]).astype(np.int64)
        steps = np.concatenate(rows) if rows else np.empty(0, np.int32)
        return cls(steps, offsets, train_of, dt, source)

    @property
    def n_spikes(self) -> int:
        """Spikes that arrive at synapses; one of a shared train counts at each."""
        sizes = np.append(np.diff(self.offsets), 0)
        return int(sizes[self.train_of].sum())

    @property
    def last(self) -> float:
        """Time of the last spike, s; 0 without any."""
        return float(self.steps.max(initial=0)) * self.dt

    def train(self, neuron: int, synapse: int) -> NDArray[np.int64]:
        """Steps of one synapse's spikes."""
        index = int(self.train_of[neuron, synapse])
        if index < 0:
            return np.empty(0, np.int64)
        return self.steps[self.offsets[index] : self.offsets[index + 1]].astype(np.int64)

    def arrivals(self, neuron: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Steps, in order, and synapses of all spikes that arrive at one neuron; ties by synapse."""
        trains = [self.train(neuron, synapse) for synapse in range(self.train_of.shape[1])]
        steps = np.concatenate(trains)
        synapses = np.repeat(np.arange(len(trains)), [train.size for train in trains])
        order = np.argsort(steps, kind="stable")
        return steps[order], synapses[order]

    def check(self, n_neurons: int, n_synapses: int, clock: Clock) -> None:
        """Raise SimulationError unless the trains fit this structure and clock."""
        if self.train_of.shape != (n_neurons, n_synapses):
            raise SimulationError(
                f"spikes are for {self.train_of.shape[0]} neurons with {self.train_of.shape[1]} synapses, but there are "
                f"{n_neurons} with {n_synapses}: make the trains for this structure"
            )
        if abs(self.dt - clock.dt) > 1e-12 * clock.dt:
            raise SimulationError(
                f"spikes are binned to dt = {self.dt:g} s, but the clock has {clock.dt:g} s: bin them anew"
            )
        end = clock.n_astro * clock.ratio
        late = np.flatnonzero(self.steps > end)
        if late.size:
            index = int(np.searchsorted(self.offsets, late[0], side="right")) - 1
            neuron, synapse = _first_user(self.train_of, index)
            raise SimulationError(
                f"spike of neuron {neuron}, synapse {synapse} at {self.steps[late[0]] * self.dt:g} s: after the duration of "
                f"{clock.duration:g} s; lengthen duration or leave it out"
            )

    def to_record(self) -> dict[str, Any]:
        """JSON-ready: where the trains come from, how many spikes, and a digest of all of them."""
        digest = hashlib.sha256()
        for part in (self.steps, self.offsets, self.train_of):
            digest.update(np.ascontiguousarray(part).tobytes())
        return {"source": self.source, "n_spikes": self.n_spikes, "dt_s": self.dt, "sha256": digest.hexdigest()}


def _first_user(train_of: NDArray[np.int32], train: int) -> tuple[int, int]:
    neuron, synapse = np.argwhere(train_of == train)[0]
    return int(neuron), int(synapse)


def _plain(train: Any) -> Any:
    """A Neo train, or another quantity with units of time, as numbers in s; anything else as it is."""
    if hasattr(train, "rescale"):
        return np.asarray(train.rescale("s").magnitude, dtype=np.float64)
    return train


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_train(value: Any) -> bool:
    """Whether `value` is one list of times: a Neo train, or a list whose items are no lists."""
    if hasattr(value, "rescale"):
        return True
    return _is_list(value) and not any(_is_list(item) or hasattr(item, "rescale") for item in value)


def _arranged(spikes: Any, m: int, n: int) -> tuple[list[Any], NDArray[np.int32]]:
    """The distinct trains, and which of them each synapse has."""
    train_of = np.full((m, n), -1, dtype=np.int32)
    if isinstance(spikes, Mapping):
        trains: list[Any] = []
        for key, train in spikes.items():
            pair: tuple[Any, Any] = key if isinstance(key, tuple) and len(key) == 2 else (None, None)
            neuron, synapse = pair
            if not all(isinstance(k, (int, np.integer)) and not isinstance(k, bool) for k in pair):
                raise SimulationError(f"spikes: key {shown(key)}: expected (neuron, synapse), two whole numbers from 0")
            _check_synapse(int(neuron), int(synapse), m, n)
            train_of[neuron, synapse] = len(trains)
            trains.append(train)
        return trains, train_of
    if _is_train(spikes):
        # An empty list is one train without spikes.
        if m == 1:
            train_of[:] = 0
            return [spikes], train_of
        raise SimulationError(
            f"spikes = {shown(spikes)}: one list of times, but {m} neurons; give one list per neuron, or n_neurons = 1"
        )
    if not _is_list(spikes):
        raise SimulationError(
            f"spikes = {shown(spikes)}: expected lists of times in s per neuron or synapse, a mapping from (neuron, synapse), "
            "or the name of a file"
        )
    items = list(spikes)
    if all(_is_train(item) for item in items):
        if len(items) == m and (m > 1 or n == 1 or len(items) != n):
            train_of[:] = np.arange(m, dtype=np.int32)[:, None]
            return items, train_of
        if m == 1 and len(items) == n:
            train_of[0] = np.arange(n, dtype=np.int32)
            return items, train_of
        wanted = f"{n} (one per synapse)" if m == 1 else f"{m} (one per neuron, shared by its synapses)"
        raise SimulationError(
            f"spikes: {len(items)} lists of times, expected {wanted}; nest them to give every synapse its own"
        )
    if len(items) != m or any(not _is_list(row) or len(row) != n or not all(map(_is_train, row)) for row in items):
        raise SimulationError(
            f"spikes = {shown(spikes)}: expected {m} neurons, each a list of {n} synapses, each a list of times in s"
        )
    train_of[:] = np.arange(m * n, dtype=np.int32).reshape(m, n)
    return [train for row in items for train in row], train_of


def _check_synapse(neuron: int, synapse: int, m: int, n: int) -> None:
    if not 0 <= neuron < m:
        raise SimulationError(f"spikes of neuron {neuron}: there are {m} neurons, counted from 0; set n_neurons")
    if not 0 <= synapse < n:
        raise SimulationError(f"spikes of synapse {synapse}: there are {n} synapses, counted from 0; set n_synapses")


def _binned(train: Any, where: tuple[int, int], dt: float, collisions: str) -> NDArray[np.int32]:
    """One train as increasing steps of dt; `where` is the first synapse that has it."""
    who = f"neuron {where[0]}, synapse {where[1]}"
    train = _plain(train)
    empty = isinstance(train, (list, tuple)) and not train
    times: Array = np.atleast_1d(numbers(f"spikes of {who}", np.empty(0) if empty else train, "s", SimulationError))
    if times.ndim != 1:
        raise SimulationError(f"spikes of {who} = {shown(train)}: expected times in s, in a plain list")
    bad = np.flatnonzero(~np.isfinite(times) | (times < 0) | (times / dt > MOST_STEPS))
    if bad.size:
        raise SimulationError(
            f"spike of {who} at {times[bad[0]]!s} s: expected a finite time from 0 to {MOST_STEPS * dt:g} s, in seconds"
        )
    times = np.sort(times)
    # Times on the grid stay there although they are sums of decimal steps.
    steps = np.maximum(np.ceil(times / dt - 1e-6), 1).astype(np.int32)
    same = np.flatnonzero(np.diff(steps) == 0)
    if same.size:
        first = same[0]
        text = (
            f"spikes of {who} at {times[first]:.9g} s and {times[first + 1]:.9g} s fall into one step of dt = {dt:g} s"
        )
        more = f", and {same.size - 1} more such pairs" if same.size > 1 else ""
        if collisions == "refuse":
            raise SimulationError(
                f"{text}{more}: a step carries one spike of a synapse; lower dt, or merge them with collisions = 'merge'"
            )
        warnings.warn(f"{text}{more}: merged into one; lower dt to keep them apart", SpikesMerged, stacklevel=3)
        steps = np.unique(steps)
    return steps


# Files ----------------------------------------------------------------------------------------------------------------


def read_spikes(path: str | Path, n_neurons: int) -> Any:
    """Spike times of a file, in a form that `SpikeTrains.from_times` takes.

    CSV with a header: ``time_s``, ``synapse`` and, with more than one neuron, ``neuron``; indices count from 0. NWB (the
    spike times of its units table) and the formats of Neo need the extra ``spikes``; their trains are, in the order of the
    file, those of the neurons or, with one neuron, of the synapses.

    Raises
    ------
    SimulationError
        The file is missing, too large, not of a known kind or malformed (with the line), or its reader is not installed.
    """
    source = Path(path)
    if "\0" in str(source) or not source.is_file():
        raise SimulationError(
            f"spikes: no such file: {shown(str(path))}; name a CSV file with time_s, synapse[, neuron]"
        )
    kind = source.suffix.lower()
    if kind in NWB:
        return _read_nwb(source)
    if kind in NEO:
        return _read_neo(source)
    if kind not in (".csv", ".txt"):
        raise SimulationError(f"spikes: {source}: unknown kind {kind!r}; known are .csv, {', '.join(NWB + NEO)}")
    return _read_csv(source, n_neurons)


def _read_csv(source: Path, n_neurons: int) -> dict[tuple[int, int], Array]:
    import pandas as pd

    memory.require(10 * source.stat().st_size, f"spikes: {source}", "split the file", SimulationError)
    try:
        table = pd.read_csv(source, comment="#", skipinitialspace=True, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SimulationError(
            f"spikes: {source} is not readable as CSV ({reason}); expected time_s,synapse[,neuron]"
        ) from error
    missing = [name for name in ("time_s", "synapse") if name not in table.columns]
    unknown = [str(name) for name in table.columns if name not in ("time_s", "synapse", "neuron")]
    if missing or unknown:
        what = f"has no column {missing[0]!r}" if missing else f"has an unknown column {unknown[0]!r}"
        raise SimulationError(f"spikes: {source} {what}; expected the header time_s,synapse[,neuron]")
    if "neuron" not in table.columns:
        if n_neurons > 1:
            raise SimulationError(
                f"spikes: {source} has no column 'neuron', but there are {n_neurons} neurons; add it, or set n_neurons = 1"
            )
        table["neuron"] = "0"
    columns = {}
    for name in ("time_s", "synapse", "neuron"):
        values = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        wrong = ~np.isfinite(values) | (values < 0)
        if name != "time_s":
            wrong |= (values != np.floor(values)) | (values > MOST_STEPS)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            wanted = "a time in s of at least 0" if name == "time_s" else "a whole number from 0"
            raise SimulationError(
                f"spikes: {source}, spike {row + 1}: {name} = {table[name][row]!r}: expected {wanted}"
            )
        columns[name] = values
    keys = np.stack([columns["neuron"], columns["synapse"]]).astype(np.int64)
    order = np.lexsort((columns["time_s"], keys[1], keys[0]))
    keys, times = keys[:, order], columns["time_s"][order]
    if not times.size:
        return {}
    cuts = np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0)) + 1
    firsts = np.concatenate([[0], cuts])
    return {
        (int(keys[0, first]), int(keys[1, first])): part
        for first, part in zip(firsts, np.split(times, cuts), strict=True)
    }


def _reader(package: str, source: Path) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise SimulationError(
            f"spikes: {source} needs the package {package}, which is not installed; pip install 'astromorphic[spikes]', or "
            "give a CSV file"
        ) from error


def _read_nwb(source: Path) -> Sequence[Any]:
    pynwb = _reader("pynwb", source)
    try:
        with pynwb.NWBHDF5IO(str(source), "r") as file:
            units = file.read().units
            return [] if units is None else [np.asarray(units["spike_times"][i]) for i in range(len(units))]
    except Exception as error:
        raise SimulationError(
            f"spikes: {source} cannot be read as NWB ({type(error).__name__}: {shown(error)})"
        ) from error


def _read_neo(source: Path) -> Sequence[Any]:
    neo = _reader("neo", source)
    try:
        blocks = neo.get_io(str(source)).read()
        return [train for block in blocks for segment in block.segments for train in segment.spiketrains]
    except Exception as error:
        raise SimulationError(
            f"spikes: {source} cannot be read by Neo ({type(error).__name__}: {shown(error)})"
        ) from error
