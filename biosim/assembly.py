"""One file from the parts of a sweep, written piece by piece, so that memory holds one piece at a time.

The pieces and their order follow from the shape of the Dataset alone, never from the parts. Hence the same run gives the
same bytes, however its units were cut into blocks and however often it was interrupted.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import OutputError, replacing
from .ensemble import Array
from .parts import Part
from .patient_file import PatientFile

if TYPE_CHECKING:
    import xarray as xr

# Numbers in one compressed chunk of the file, and in one piece of a trace that is turned around in memory.
CHUNK, PIECE = 2**16, 2**22

Index = tuple[int | slice, ...]


def assemble(dataset: xr.Dataset, axes: tuple[str, ...], parts: Sequence[Part], target: Path) -> None:
    """Write `dataset` to `target` with the numbers of `parts`, whole or not at all.

    Parameters
    ----------
    dataset : everything but the numbers: names, dimensions, sizes, attributes and coordinates. Variables that the parts
        hold are taken from there, others (such as ``calcium_rest``) from the Dataset itself.
    axes : dimensions whose product makes the units, in C order.
    parts : all units, in order.

    Raises
    ------
    OutputError
        The file cannot be written. The parts are untouched.
    """
    import h5netcdf

    shape = tuple(dataset.sizes[name] for name in axes)
    with (
        _clear_errors(target),
        replacing(target) as temporary,
        _Reader(parts) as reader,
        PatientFile(temporary) as output,
        h5netcdf.File(output, "w") as file,
    ):
        file.attrs.update(dataset.attrs)
        for name, size in dataset.sizes.items():
            file.dimensions[str(name)] = size
        for name in dataset.coords:
            variable = dataset.variables[name]
            _create(file, str(name), variable, _chunks(variable.shape, CHUNK))[...] = variable.values
        first = {str(name): variable.dims[:1] for name, variable in dataset.data_vars.items()}
        plain = [name for name, dims in first.items() if dims not in (("time",), ("window",))]
        for _ in itertools.chain(
            _fill(file, dataset, plain, shape, reader),
            *(
                _fill_traces(file, dataset, [name for name, dims in first.items() if dims == (along,)], shape, reader)
                for along in ("time", "window")
            ),
        ):
            output.check()
        further = [str(name) for name in dataset.coords if name not in dataset.dims]
        for name, data in dataset.data_vars.items():
            # By this attribute a reader knows coordinates that are not named as a dimension, as the bounds of windows.
            mine = sorted(c for c in further if set(dataset[c].dims) <= set(data.dims))
            if mine:
                file.variables[str(name)].attrs["coordinates"] = " ".join(mine)


def gather(dataset: xr.Dataset, axes: tuple[str, ...], parts: Sequence[Part]) -> xr.Dataset:
    """As `assemble`, in memory: for what is computed from the whole before it is written."""
    shape = tuple(dataset.sizes[name] for name in axes)
    found: dict[str, Any] = {}
    with _Reader(parts) as reader:
        for name, variable in dataset.data_vars.items():
            if str(name) not in reader:
                continue
            values = reader.read(str(name), 0, math.prod(shape))
            if variable.dims[:1] in (("time",), ("window",)):
                values = np.moveaxis(values, -1, 0)
            found[str(name)] = (variable.dims, values.reshape(variable.shape), variable.attrs)
    return dataset.assign(found)


def _fill(file: Any, dataset: xr.Dataset, names: list[str], shape: tuple[int, ...], reader: _Reader) -> Iterator[None]:
    """Write the variables with one number per unit, piece by piece; all of one piece, so that each part is opened once."""
    for name in names:
        variable = dataset.variables[name]
        created = _create(file, name, variable, _chunks(variable.shape, CHUNK))
        if not variable.ndim:
            created[...] = reader.read(name, 0, 1)[0] if name in reader else variable.values
    for index, start, stop in pieces(shape, CHUNK):
        for name in names:
            data = dataset.variables[name].values
            if data.ndim:
                values = reader.read(name, start, stop).reshape(data[index].shape) if name in reader else data[index]
                file.variables[name][index] = values
        yield


def _fill_traces(
    file: Any, dataset: xr.Dataset, names: list[str], shape: tuple[int, ...], reader: _Reader
) -> Iterator[None]:
    """Write traces piece by piece. Their dimensions are time (or window), the axes and perhaps neuron; parts have time last."""
    if not names:
        return
    times = dataset.variables[names[0]].shape[0]
    neurons = dataset.sizes.get("neuron", 1)
    units = max(1, PIECE // (times * neurons))
    for name in names:
        variable = dataset.variables[name]
        inner = variable.shape[1 + len(shape) :]
        within = _chunks(shape, units) or ()
        together = max(1, CHUNK // (math.prod(within) * math.prod(inner)))
        _create(file, name, variable, (min(times, together), *within, *inner))
    for index, start, stop in pieces(shape, units):
        for name in names:
            inner = dataset.variables[name].shape[1 + len(shape) :]
            size = [len(range(*one.indices(n))) for one, n in zip(index, shape, strict=True) if isinstance(one, slice)]
            values = np.moveaxis(reader.read(name, start, stop), -1, 0).reshape(times, *size, *inner)
            file.variables[name][(slice(None), *index)] = values
        yield


def pieces(shape: tuple[int, ...], most: int) -> Iterator[tuple[Index, int, int]]:
    """Cut an array of `shape` into stretches of at most `most` elements (or one row of its last axis's single elements).

    Yields the index of each and the range (start, stop) of its elements, counted in C order.
    """
    if not shape:
        yield (), 0, 1
        return
    axis, inner, step = _cut(shape, most)
    for at, outer in enumerate(np.ndindex(shape[:axis])):
        for first in range(0, shape[axis], step):
            last = min(first + step, shape[axis])
            start = (at * shape[axis] + first) * inner
            index: Index = (*outer, slice(first, last), *(slice(None) for _ in shape[axis + 1 :]))
            yield index, start, start + (last - first) * inner


def _cut(shape: tuple[int, ...], most: int) -> tuple[int, int, int]:
    """The axis along which to cut, the elements behind one place of it, and the places to take at once."""
    axis = next(k for k in range(len(shape)) if math.prod(shape[k + 1 :]) <= most or k == len(shape) - 1)
    inner = math.prod(shape[axis + 1 :])
    return axis, inner, max(1, min(shape[axis], most // inner))


def _chunks(shape: tuple[int, ...], most: int) -> tuple[int, ...] | None:
    """Chunks that are the pieces of `shape`, so that each is compressed once; None for a single number."""
    if not shape:
        return None
    axis, _, step = _cut(shape, most)
    return (*(1 for _ in shape[:axis]), step, *shape[axis + 1 :])


def _create(file: Any, name: str, variable: xr.Variable, chunks: tuple[int, ...] | None) -> Any:
    """A variable of the file with checksum, compression and attributes, as `storage.save` makes them."""
    kind = variable.dtype.kind
    options: dict[str, Any] = {}
    if chunks is not None:
        options = {
            "chunks": chunks, "compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True,
        }  # fmt: skip
    created = file.create_variable(
        name, tuple(str(d) for d in variable.dims), variable.dtype, fillvalue=np.nan if kind == "f" else None, **options
    )
    created.attrs.update(variable.attrs)
    return created


class _Reader:
    """Ranges of units out of all parts; one file is open at a time."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = sorted(parts, key=lambda part: part.start)
        self.starts = [part.start for part in self.parts]
        self.open: tuple[Part, Any] | None = None

    def __enter__(self) -> _Reader:
        self.names = frozenset(self._file(self.parts[0]))
        return self

    def __exit__(self, *_: object) -> None:
        if self.open:
            self.open[1].close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def read(self, name: str, start: int, stop: int) -> Array:
        """Units `start` to before `stop` of variable `name`."""
        found = []
        at = bisect.bisect_right(self.starts, start) - 1
        while start < stop:
            part = self.parts[at]
            until = min(stop, part.stop)
            found.append(self._file(part)[name][start - part.start : until - part.start])
            start, at = until, at + 1
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _file(self, part: Part) -> Any:
        import h5py

        if self.open is None or self.open[0] is not part:
            if self.open:
                self.open[1].close()
            self.open = part, h5py.File(part.path, "r", locking=False)
        return self.open[1]


@contextlib.contextmanager
def _clear_errors(target: Path) -> Iterator[None]:
    """HDF5 reports a full disk in several ways; each becomes one line with the remedy."""
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"cannot write {target}: {' '.join(str(error).split())[:200]}; all blocks are computed and kept, free some space "
            "and give the same command again"
        ) from error
