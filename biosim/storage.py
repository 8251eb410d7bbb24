"""Datasets on disk: NetCDF by h5netcdf, written whole or not at all, and read only after a look inside.

HDF5 can point at other files of the reader's machine (external links and storage, virtual data sets) and declare sizes far
beyond the file's own, so a file from elsewhere is scanned with h5py before xarray sees it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import memory
from .atomic import OutputError, replacing
from .messages import shown
from .patient_file import PatientFile

if TYPE_CHECKING:
    import xarray as xr

ENGINE: Literal["h5netcdf"] = "h5netcdf"
SCHEMA_VERSION = "1.0"
MAX_OBJECTS = 1000
MAX_BYTES = 16 * 2**30
MAX_ATTRIBUTE_BYTES = 2**20


class DatasetError(ValueError):
    """A file is missing, damaged, or not a Dataset of this package."""


def save(dataset: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write `dataset` as NetCDF with checksums on every variable; returns the path.

    Raises
    ------
    OutputError
        The place takes no files or has no space left; an older file of that name stays as it was.
    """
    target = Path(path)
    encoding: dict[Hashable, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        if variable.ndim and variable.dtype.kind in "fiu":
            encoding[name] = {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
    try:
        with replacing(target) as temporary, PatientFile(temporary) as file:
            dataset.to_netcdf(file, engine=ENGINE, encoding=encoding)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    return target


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a Dataset written by `save` into memory.

    Raises
    ------
    DatasetError
        The file is missing, is not NetCDF, is damaged, points to other files, or has no provenance.
    """
    source = Path(path)
    _check_file(source)
    check_contents(source)
    import xarray as xr

    try:
        dataset = xr.load_dataset(source, engine=ENGINE)
    except Exception as error:
        raise DatasetError(
            f"{source} is damaged ({type(error).__name__}: {error}); make it anew or restore a copy"
        ) from error
    if "provenance" not in dataset.attrs:
        raise DatasetError(f"{source} has no attribute 'provenance', so it was not written by this package; make it with "
                           "astromorphic simulate")  # fmt: skip
    try:
        record = provenance(dataset)
    except DatasetError as error:
        raise DatasetError(f"{source}: {error}") from error
    version = record.get("schema")
    if not isinstance(version, str) or version.partition(".")[0] != SCHEMA_VERSION.partition(".")[0]:
        raise DatasetError(f"{source} has schema {shown(version)}, expected {SCHEMA_VERSION}: it was written by another "
                           "version or another program; make it anew with astromorphic simulate")  # fmt: skip
    return dataset


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The provenance of a file written by `save` or `sweep`, without its data.

    Raises
    ------
    DatasetError
        As `load`.
    """
    import h5py

    source = Path(path)
    _check_file(source)
    check_contents(source)
    try:
        with h5py.File(source, "r", locking=False) as file:
            record = json.loads(file.attrs["provenance"])
    except Exception as error:
        raise DatasetError(f"{source} has no readable attribute 'provenance', so it was not written by this package; name "
                           "another file") from error  # fmt: skip
    if not isinstance(record, dict):
        raise DatasetError(f"{source}: the attribute 'provenance' is not a JSON object; the file was changed by hand")
    return record


def _check_file(source: Path) -> None:
    wanted = "name a NetCDF file written by astromorphic simulate"
    try:
        if source.is_dir():
            raise DatasetError(f"{source} is a folder; {wanted}")
        if source.exists() and not source.is_file():
            raise DatasetError(f"{source} is not an ordinary file; {wanted}")
        if not source.is_file():
            raise DatasetError(f"no such file: {shown(str(source)) if chr(0) in str(source) else source}; {wanted}")
        if not source.stat().st_size:
            raise DatasetError(f"{source} is empty; {wanted}")
    except OSError as error:
        raise DatasetError(f"{source} cannot be read ({error.strerror}); {wanted}") from error


def provenance(dataset: xr.Dataset) -> dict[str, Any]:
    """How a Dataset was made: protocol, parameters with source and status, engine, seed, versions."""
    try:
        record = json.loads(dataset.attrs["provenance"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DatasetError("the attribute 'provenance' is missing or not JSON; the file was changed by hand") from error
    if not isinstance(record, dict):
        raise DatasetError("the attribute 'provenance' is not a JSON object; the file was changed by hand")
    return record


def check_contents(source: Path) -> None:
    """Raise DatasetError where an HDF5 file links to other places, holds other things than numbers and text, or too much."""
    import h5py

    try:
        with h5py.File(source, "r", locking=False) as file:
            _scan_group(file, source, [0, 0], min(MAX_BYTES, memory.available()))
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(f"{source} is not a readable NetCDF-4 file ({type(error).__name__}); name a file written by "
                           "astromorphic simulate") from error  # fmt: skip


def _scan_group(group: Any, source: Path, totals: list[int], limit: int) -> None:
    """Refuse what could harm; `totals` counts objects and bytes over all groups, `limit` is for the bytes."""
    import h5py

    _scan_attributes(group, source)
    for name in group:
        totals[0] += 1
        if totals[0] > MAX_OBJECTS:
            raise DatasetError(f"{source} holds more than {MAX_OBJECTS} objects: not a file of this package")
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DatasetError(f"{source}: {name!r} is a link to another place; refused, as it could read other files")
        item = group[name]
        if isinstance(item, h5py.Group):
            _scan_group(item, source, totals, limit)
            continue
        if not isinstance(item, h5py.Dataset):
            continue
        if item.is_virtual or item.external:
            raise DatasetError(f"{source}: the data of {name!r} lie in another file; refused")
        if item.dtype.kind == "O" and h5py.check_string_dtype(item.dtype) is None and item.dtype != h5py.ref_dtype:
            raise DatasetError(f"{source}: {name!r} has type {item.dtype}, expected numbers or text")
        totals[1] += item.size * item.dtype.itemsize
        if totals[1] > limit:
            raise DatasetError(f"{source} declares more than {limit / 2**30:.3g} GiB of data; refused")
        _scan_attributes(item, source)


def _scan_attributes(item: Any, source: Path) -> None:
    for name in item.attrs:
        # h5py gives no size without reading, but the low-level identifier does.
        size = item.attrs.get_id(name).get_storage_size()
        if size > MAX_ATTRIBUTE_BYTES:
            raise DatasetError(
                f"{source}: attribute {name!r} has {size} bytes, more than {MAX_ATTRIBUTE_BYTES}; refused"
            )
