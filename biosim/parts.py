"""The parts of an unfinished sweep: a folder of NetCDF files, one per finished block of units, beside a manifest.

    run.nc.parts/
        manifest.json              what is being run, and the digest of that
        lock.json                  the command at work
        00000000-00010000.nc       units 0 to 9999; carries the manifest's digest and one of its own content
        00010000-00020000.nc.bad   a file that was no part of this run; its units are computed again

Parts are written whole or not at all and named by their units, so whatever ends a sweep leaves parts that can be used, also
with another size of blocks. Nothing is believed because of its name: before a part is used, it is read and checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import OutputError, write_bytes, write_text
from .ensemble import STATES, STATES_OF_OPTIONS, Array, Outcome
from .experiment import WINDOW_STATISTICS
from .folders import output_folder, parts_folder
from .lock import locked
from .messages import shown
from .storage import check_contents

FORMAT = "biosim-parts"
MANIFEST, LOCK = "manifest.json", "lock.json"

_NAME = re.compile(r"(\d{8,13})-(\d{8,13})\.nc")
# What `replacing` leaves behind when its process is killed.
_TEMPORARY = re.compile(r"\.write-\w+\.tmp")
_OURS = re.compile(rf"{_NAME.pattern}|{re.escape(MANIFEST)}")
# Rows that are hashed at once.
_SLAB_BYTES = 2**25


class BadPart(ValueError):
    """A file that cannot be used as a part; its text says why."""


@dataclass(frozen=True)
class Part:
    """A finished block: units `start` to before `stop`, and the engine's notes on it."""

    start: int
    stop: int
    path: Path
    notes: Mapping[str, Any] = field(default_factory=dict)


def part_name(start: int, stop: int) -> str:
    return f"{start:08d}-{stop:08d}.nc"


def digest_of(content: Any) -> str:
    """SHA-256 of something JSON-ready."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# One part --------------------------------------------------------------------------------------------------------------


def write_part(folder: Path, key: str, start: int, stop: int, outcome: Outcome) -> Part:
    """Write the statistics, traces and windows of units `start` to before `stop`, and return the part.

    Dimensions are unit, neuron and time (or window), time last: a range of units is then one stretch of the
    file. The file is made in memory, so that a full disk is an ordinary error of one write.
    """
    import h5netcdf

    about = json.dumps({"format": FORMAT, "run": key, "start": start, "stop": stop, "notes": outcome.notes})
    digest = hashlib.sha256(about.encode())
    image = io.BytesIO()
    with h5netcdf.File(image, "w") as file:
        for name in sorted([*outcome.statistics, *outcome.traces, *outcome.windows]):
            # One at a time: traces are large.
            dims, values = _by_unit(outcome, name)
            for dim, size in zip(dims, values.shape, strict=True):
                if dim not in file.dimensions:
                    file.dimensions[dim] = size
            file.create_variable(name, dims, data=values)
            _add(digest, name, values)
        file.attrs["about"] = about
        file.attrs["sha256"] = digest.hexdigest()
    path = folder / part_name(start, stop)
    write_bytes(path, image.getbuffer())
    return Part(start, stop, path, outcome.notes)


def _by_unit(outcome: Outcome, name: str) -> tuple[tuple[str, ...], Array]:
    """Dimensions and values of a statistic, trace or statistic of windows, unit first."""
    if name in outcome.statistics:
        return ("unit",), np.ascontiguousarray(outcome.statistics[name])
    last, found = ("time", outcome.traces) if name in outcome.traces else ("window", outcome.windows)
    per_neuron = {**STATES, **STATES_OF_OPTIONS, **WINDOW_STATISTICS}[name][3]
    dims = ("unit", "neuron", last) if per_neuron else ("unit", last)
    return dims, np.ascontiguousarray(np.moveaxis(found[name], 0, -1))


def read_part(path: Path, key: str, n_units: int) -> Part:
    """The part in the file `path`, whole and of the run `key`.

    Raises
    ------
    BadPart
        It is damaged, belongs to another run, or holds other units than its name says.
    """
    import h5py

    match = _NAME.fullmatch(path.name)
    if match is None:
        raise BadPart("is not named as a part")
    start, stop = int(match[1]), int(match[2])
    if not 0 <= start < stop <= n_units or part_name(start, stop) != path.name:
        raise BadPart(f"names units outside 0 to {n_units - 1}")
    try:
        check_contents(path)
        with h5py.File(path, "r", locking=False) as file:
            text = str(file.attrs["about"])
            about = json.loads(text)
            if about["format"] != FORMAT or about["run"] != key:
                raise BadPart("belongs to another run")
            if (about["start"], about["stop"]) != (start, stop):
                raise BadPart(f"holds units {about['start']} to {about['stop']}")
            variables = {name: item for name, item in file.items() if name not in ("unit", "neuron", "time", "window")}
            if any(item.shape[0] != stop - start for item in variables.values()):
                raise BadPart("holds another number of units")
            digest = hashlib.sha256(text.encode())
            for name in sorted(variables):
                _add(digest, name, variables[name])
            if digest.hexdigest() != file.attrs["sha256"]:
                raise BadPart("is damaged: its digest is another")
            notes = dict(about["notes"])
    except BadPart:
        raise
    except Exception as error:
        raise BadPart(f"cannot be read ({type(error).__name__})") from error
    return Part(start, stop, path, notes)


def _add(digest: Any, name: str, values: Any) -> None:
    """Add name, type, shape and bytes of an array (of numpy or of a file) to `digest`."""
    digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
    rows = max(1, _SLAB_BYTES // max(1, values.dtype.itemsize * math.prod(values.shape[1:])))
    for first in range(0, values.shape[0], rows):
        digest.update(np.ascontiguousarray(values[first : first + rows]).data)


# The folder ------------------------------------------------------------------------------------------------------------


class PartsFolder:
    """The parts of one run, open to one command at a time (see `opened`)."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.key, self.n_units = folder, str(manifest["digest"]), int(manifest["units"])
        self.parts: list[Part] = []
        self._claim(manifest)
        self._remove_temporaries()
        self._collect()

    @property
    def done(self) -> int:
        """Units that are computed."""
        return sum(part.stop - part.start for part in self.parts)

    def missing(self) -> list[tuple[int, int]]:
        """Ranges of units (start, stop) that no part covers, in order."""
        gaps, reached = [], 0
        for part in [*self.parts, Part(self.n_units, self.n_units, self.folder)]:
            if part.start > reached:
                gaps.append((reached, part.start))
            reached = part.stop
        return gaps

    def add(self, part: Part) -> None:
        """Count `part` in; it must cover units that were missing."""
        if not any(start <= part.start and part.stop <= stop for start, stop in self.missing()):
            raise ValueError(f"units {part.start} to {part.stop - 1} are there already")
        self.parts = sorted([*self.parts, part], key=lambda one: one.start)

    def remove(self) -> None:
        """Remove all that a sweep makes; the folder goes with its lock, unless somebody put other files into it."""
        for path in self.folder.iterdir():
            if path.name != LOCK and _known(path.name):
                path.unlink(missing_ok=True)

    def _claim(self, manifest: Mapping[str, Any]) -> None:
        path = self.folder / MANIFEST
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            if held["format"] != FORMAT or held["digest"] != digest_of({k: held[k] for k in ("units", "run")}):
                raise ValueError("changed")
        except FileNotFoundError:
            other = next((p.name for p in self.folder.iterdir() if not _known(p.name)), None)
            if other is not None:
                raise OutputError(
                    f"{self.folder} holds {other} and no sweep; name another output file, or move that folder"
                ) from None
        except (OSError, ValueError, KeyError, TypeError):
            # The parts say themselves to which run they belong.
            path.replace(path.with_name(MANIFEST + ".bad"))
        else:
            if held["digest"] != self.key:
                where, there, here = first_difference(held["run"], manifest["run"])
                raise OutputError(
                    f"{self.folder} holds an unfinished sweep with other settings ({where} is {there} there and {here} "
                    "here): repeat its command, name another output file, or remove that folder"
                )
            return
        write_text(path, json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    def _remove_temporaries(self) -> None:
        for path in self.folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _collect(self) -> None:
        reached = 0
        for path in sorted(p for p in self.folder.iterdir() if _NAME.fullmatch(p.name)):
            try:
                part = read_part(path, self.key, self.n_units)
                if part.start < reached:
                    raise BadPart("holds units that another part holds as well")
            except BadPart:
                path.replace(path.with_name(path.name + ".bad"))
                continue
            self.parts.append(part)
            reached = part.stop


def _known(name: str) -> bool:
    """Whether a sweep makes files of this name, be it spoilt ones."""
    return name == LOCK or bool(_OURS.fullmatch(name.removesuffix(".bad")) or _TEMPORARY.fullmatch(name))


@contextlib.contextmanager
def opened(target: Path, manifest: Mapping[str, Any]) -> Iterator[PartsFolder]:
    """The parts of `target`, made or continued, locked against other commands.

    Raises
    ------
    OutputError
        The folder cannot be made, belongs to something else, or another command is at work in it.
    """
    folder = parts_folder(target)
    with contextlib.ExitStack() as stack:
        # Entered first and left last: the folder goes after its lock, and only if nothing is left in it.
        stack.callback(_remove_if_empty, folder)
        for attempt in range(5):
            output_folder(folder)
            try:
                stack.enter_context(locked(folder / LOCK, str(target)))
                break
            except FileNotFoundError:
                # Another command finished just now and took the folder away.
                if attempt == 4:
                    raise
        parts = PartsFolder(folder, manifest)
        try:
            yield parts
        finally:
            # Parts of a cluster may be there that nobody has counted yet.
            if not any(_NAME.fullmatch(path.name) for path in folder.iterdir()):
                parts.remove()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def manifest_of(record: Mapping[str, Any], n_units: int) -> dict[str, Any]:
    """The manifest of a run: its record (see `simulation.run_record`) and number of units, with the digest of both."""
    content = {"units": n_units, "run": dict(record)}
    return {"format": FORMAT, "digest": digest_of(content), **content}


def first_difference(there: Any, here: Any, name: str = "") -> tuple[str, str, str]:
    """Where two JSON-like records differ first, and what stands there in each; for messages."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*here, *(key for key in there if key not in here)]:
            if there.get(key) != here.get(key):
                return first_difference(there.get(key), here.get(key), f"{name}.{key}" if name else str(key))
    return name or "the record", shown(there), shown(here)
