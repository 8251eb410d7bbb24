"""A protocol as an object: axes, clocks, kind of input, parameter set, and what else is done to the units."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import memory
from ..ensemble import (
    Array,
    Clock,
    Ensemble,
    InputKind,
    ReleaseMode,
    SimulationError,
)
from ..experiment import Experiment
from ..parameters import TripartiteParameters
from ..synapse_scatter import SynapseScatter
from ..tissue import ASTROCYTE, Tissue

if TYPE_CHECKING:
    import xarray as xr

RATE, TRIAL = "input_rate", "trial"
# Axes that belong to the experiment: size of its jump, share of faulty synapses.
JUMP, SHARE = "jump", "fault_share"

# What an engine and the Dataset take at least for one unit, in bytes; an engine's own count follows before it runs.
UNIT_BYTES = 1000

# What one value of an axis takes, with its copies, in bytes; a sweep by blocks never holds all its units.
VALUE_BYTES = 32

# A longer axis is recorded by its digest, since an attribute of a file has little room; its values are a coordinate anyway.
MOST_LISTED = 10_000


@dataclass(frozen=True)
class Axis:
    """One dimension of a protocol: ``input_rate`` (Hz), ``trial`` (repeats with other random numbers), ``jump`` (uM),
    ``fault_share``, or a parameter.
    """

    name: str
    values: Array
    unit: str
    long_name: str


@dataclass(frozen=True)
class Protocol:
    """An experiment: axes (their product makes the units), clocks, kind of input, and the parameter set it is meant for.

    `rate` (Hz) holds for every unit unless ``input_rate`` is an axis. `experiment` is what else is done to the units,
    `scatter` makes the synapses' PR(0) differ, `tissue` couples the astrocytes of its last axis, `finish` adds to the Dataset
    what the protocol is asked for.
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
    experiment: Experiment | None = None
    scatter: SynapseScatter | None = None
    tissue: Tissue | None = None
    finish: Callable[[xr.Dataset, Protocol], xr.Dataset] | None = field(default=None, compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.values.size for axis in self.axes)

    @property
    def n_units(self) -> int:
        return math.prod(self.shape)

    @property
    def grain(self) -> int:
        """Units that belong together: those of a graph of coupled astrocytes, otherwise one."""
        return 1 if self.tissue is None else self.tissue.n_astrocytes

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
        if self.tissue is not None:
            values = self.tissue.sample({axis.name: axis.values for axis in axes if axis.name != ASTROCYTE})
            return self._with(values, values[ASTROCYTE].size, seed, first_unit=0)
        size = max((axis.values.size for axis in axes), default=1)
        return self._with({axis.name: np.resize(axis.values, size) for axis in axes}, size, seed, first_unit=0)

    def _with(self, values: dict[str, Array], size: int, seed: int, first_unit: int) -> Ensemble:
        """The ensemble of `size` units whose places on the axes have these `values`."""
        coupling = None
        if self.tissue is not None:
            values, coupling = self.tissue.units(values, self.parameters)
        rate = values.pop(RATE, np.full(size, self.rate))
        trial = values.pop(TRIAL, np.zeros(size)).astype(np.int64)
        if self.scatter is not None and not self.scatter.uniform:
            # Equal within a unit: a value of the unit, which the faster kernels take.
            values["PR0"] = self.scatter.means(seed, trial, self.parameters.PR0)
        return Ensemble(
            self.parameters, self.clock, np.asarray(rate, dtype=np.float64),
            experiment=self._experiment(values.pop(JUMP, None), values.pop(SHARE, None), trial, seed), overrides=values,
            input=self.input, release=self.release, spread=self.spread, seed=seed, first_unit=first_unit, coupling=coupling,
        )  # fmt: skip

    def _experiment(
        self, jump: Array | None, share: Array | None, trial: NDArray[np.int64], seed: int
    ) -> Experiment | None:
        """The experiment with what differs between the units."""
        x = self.experiment
        if x is not None and x.jump is not None and jump is not None:
            x = replace(x, jump=replace(x.jump, size=jump))
        if x is not None and x.faults is not None and share is not None:
            x = replace(x, faults=replace(x.faults, share=share))
        if self.scatter is not None and self.scatter.uniform:
            p = self.parameters
            table = self.scatter.table(seed, trial, p.n_neurons, p.n_synapses, p.PR0)
            x = replace(Experiment() if x is None else x, PR0=table)
        return x

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description."""
        clock = self.clock
        # Left out where nothing is there, so that records and digests of the other protocols stay as they are.
        extra: dict[str, Any] = {} if self.experiment is None else {"experiment": self.experiment.to_record()}
        if self.scatter is not None:
            extra["scatter"] = self.scatter.to_record()
        if self.tissue is not None:
            extra["tissue"] = self.tissue.to_record()
        return extra | {
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
