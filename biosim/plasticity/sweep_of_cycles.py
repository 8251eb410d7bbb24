"""The protocol ``stp_cycles`` at every combination of values of some parameters, one network after the other."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import memory
from ..checks import numbers
from ..ensemble import Array, Progress, SimulationError
from ..messages import shown
from ..plan import Plan
from ..registry import choose
from ..storage import MAX_BYTES
from .cycles import StpCycles
from .parameters import PlasticityParameters, check_value, describe, quantity_names

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, kw_only=True)
class SweptCycles(Plan):
    """`base` with every combination of `values`, parameter -> its values; `biosim.swept` makes it.

    Raises
    ------
    SimulationError, ParameterError, UnknownName
        On construction: a name is no numeric parameter, or a value is out of range, occurs twice or makes the step too long.
    """

    base: StpCycles
    values: tuple[tuple[str, Array], ...]

    name = "stp_cycles"
    description = StpCycles.description

    def __post_init__(self) -> None:
        if self.base.n_samples * self._n_runs * 8 * (self.base.n_neurons + 3 * self.base.n_neurons**2) > MAX_BYTES:
            raise SimulationError(
                f"record = {self.base.record} s at {self._n_runs} combinations of parameters: more than {MAX_BYTES // 2**30} GiB "
                "of traces, which no file may hold; lengthen record or sweep fewer values"
            )
        needed = 100.0 * self.base.n_neurons**2 * self.base.n_cycles * self._n_runs
        memory.require(needed, f"{self._n_runs} combinations of parameters", "sweep fewer values", SimulationError)
        # Every combination is checked before the first one runs.
        for parameters in self._combinations():
            replace(self.base, parameters=parameters)

    @property
    def parameters(self) -> PlasticityParameters:
        """The set that gives what is not swept."""
        return self.base.parameters

    @property
    def _n_runs(self) -> int:
        return math.prod(values.size for _, values in self.values)

    def _combinations(self) -> list[PlasticityParameters]:
        names = [name for name, _ in self.values]
        grid = itertools.product(*(values for _, values in self.values))
        return [self.base.parameters.with_values(**dict(zip(names, map(float, point), strict=True))) for point in grid]

    def swept(self, name: str, values: Sequence[float]) -> SweptCycles:
        """The same with one more parameter."""
        if name in dict(self.values):
            raise SimulationError(f"{name} is already an axis of protocol {self.name}; give its values there")
        return SweptCycles(base=self.base, values=(*self.values, (name, _checked(name, values))))

    def run(
        self,
        engine: str = "numba",
        *,
        seed: int = 0,
        record: float | None = None,
        progress: Progress | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Simulate; as `StpCycles.run`, with the swept parameters as the first dimensions of everything that depends on them."""
        import xarray as xr

        base = self.base if record is None else replace(self.base, record=record)
        if record is not None:
            replace(self, base=base)
        runs = []
        for done, parameters in enumerate(self._combinations()):
            runs.append(replace(base, parameters=parameters).run(engine, seed=seed, options=options))
            if progress:
                progress(done + 1, self._n_runs)
        names = tuple(name for name, _ in self.values)
        shape = tuple(values.size for _, values in self.values)
        variables: dict[str, Any] = {}
        for name in runs[0].data_vars:
            first = runs[0][name]
            stacked = np.stack([one[name].values for one in runs]).reshape(*shape, *first.shape)
            variables[str(name)] = ((*names, *first.dims), stacked, first.attrs)
        coordinates: dict[str, Any] = {str(name): value for name, value in runs[0].coords.items()}
        for name, values in self.values:
            meta = describe(name)
            coordinates[name] = (
                (name,), values, {"units": meta["unit"], "symbol": meta["symbol"], "long_name": meta["meaning"]}
            )  # fmt: skip
        return xr.Dataset(
            variables,
            coords=coordinates,
            attrs={**runs[0].attrs, "provenance": self._provenance(base, runs[0], engine)},
        )

    def _provenance(self, base: StpCycles, first: xr.Dataset, engine: str) -> str:
        """That of the first run, with the set and the values that all share."""
        record = json.loads(first.attrs["provenance"])
        axes = {name: {"values": values.tolist(), "unit": describe(name)["unit"]} for name, values in self.values}
        record["protocol"] = {**base.to_record(), "axes": axes}
        record["parameters"] = base.parameters.to_records()
        record["parameter_set"] = base.parameters.name
        record["engine_notes"] = {"steps": base.steps_per_cycle * base.n_cycles * self._n_runs}
        content = {key: record[key] for key in ("schema", "protocol", "parameters", "engine", "seed")}
        record["digest"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return json.dumps(record, sort_keys=True, allow_nan=False)


def sweep_of(base: StpCycles, name: str, values: Sequence[float]) -> SweptCycles:
    """`base` with the parameter `name` at each of `values`."""
    return SweptCycles(base=base, values=((name, _checked(name, values)),))


def _checked(name: str, values: Sequence[float]) -> Array:
    meta = describe(choose("parameter", name, quantity_names()))
    if "choices" in meta:
        raise SimulationError(
            f"{name} is one of {', '.join(meta['choices'])} and cannot be swept; simulate once per value"
        )
    array = np.atleast_1d(numbers(name, values, meta["unit"], SimulationError))
    if array.ndim != 1 or array.size == 0:
        raise SimulationError(
            f"{name} = {shown(values)}: expected at least one number in {meta['unit']}, in a plain list"
        )
    if np.unique(array).size != array.size:
        raise SimulationError(
            f"{name} = {shown(array.tolist())}: a value occurs twice; the network draws no random numbers"
        )
    for value in array:
        check_value(name, float(value))
    return array
