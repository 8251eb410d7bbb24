"""Files that are written whole or not at all.

A temporary file in the same folder is written, flushed to disk and renamed over the target, so a reader never sees half a
file and an interrupted command leaves at most its own temporary file, which is removed on the way out.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

# Names of temporary files.
_PREFIX, _SUFFIX = ".write-", ".tmp"
_ONE_AT_A_TIME = threading.Lock()


class OutputError(ValueError):
    """A place that was named for output cannot be written."""


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return `path` if a file can be written there; call it before long work.

    A file is made beside it and removed at once: permissions alone do not tell (read-only and virtual file systems).

    Raises
    ------
    OutputError
        The path is a folder, a device or no valid name, or its folder does not exist or takes no files.
    """
    target = _check_place(path)
    handle, probe = _temporary(target)
    os.close(handle)
    os.unlink(probe)
    return target


def _check_place(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if "\0" in str(target):
        raise OutputError(f"cannot write {str(target)!r}: a name cannot contain a null character; choose another name")
    try:
        if target.is_dir():
            raise OutputError(f"cannot write {target}: it is a folder; name a file")
        # Renaming over a device or a pipe would remove it.
        if target.exists() and not target.is_file():
            raise OutputError(f"cannot write {target}: it is not an ordinary file; name another file")
        if not target.parent.is_dir():
            file = next((p for p in target.parents if p.exists() and not p.is_dir()), None)
            if file is not None:
                raise OutputError(
                    f"cannot write {target}: folder {target.parent} does not exist, as {file} is a file; choose another folder"
                )
            raise OutputError(f"cannot write {target}: folder {target.parent} does not exist; create it first")
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: the place cannot be used ({error.strerror}); choose another file or folder"
        ) from error
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {target}: folder {target.parent} is not writable; choose another folder")
    return target


def _temporary(target: Path) -> tuple[int, str]:
    """Descriptor and path of a new file beside `target`; its own name is short, as that of `target` may be at the limit."""
    try:
        return tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=target.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: folder {target.parent} is not writable ({error.strerror}); choose another folder"
        ) from error


def is_temporary(path: Path) -> bool:
    """Whether `path` is named like a file that was being written, left behind by a process that was killed."""
    return path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any exception it is removed.

    Raises
    ------
    OutputError
        As `check_writable`; the message names the place and the remedy.
    """
    target = _check_place(path)
    handle, name = _temporary(target)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the permissions that a plain open() would have given.
        temporary.chmod(0o666 & ~_umask())
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    """The mask of this process; it can only be read by setting it, which two threads must not do at once."""
    with _ONE_AT_A_TIME:
        umask = os.umask(0)
        os.umask(umask)
    return umask


def _sync(path: Path) -> None:
    """Flush a file or folder to disk; folders cannot be opened on every system, which loses only durability."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> Path:
    """Write `data` to `path`, whole or not at all; returns the path."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 with unchanged line ends to `path`, whole or not at all; returns the path."""
    return write_bytes(path, text.encode("utf-8"))
