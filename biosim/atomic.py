"""Files that are written whole or not at all.

A temporary file in the same folder is written, flushed to disk and renamed over the target, so a reader never sees half a
file and an interrupted command leaves at most its own temporary file, which is removed on the way out.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


class OutputError(ValueError):
    """A place that was named for output cannot be written."""


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return `path` if a file can be written there; call it before long work. Raises OutputError otherwise."""
    target = Path(path)
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; name a file")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: folder {target.parent} does not exist; create it first")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {target}: folder {target.parent} is not writable; choose another folder")
    return target


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on any exception it is removed.

    Raises
    ------
    OutputError
        The folder does not exist or cannot be written; the message names it and the remedy.
    """
    target = check_writable(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {target}: folder {target.parent} is not writable ({error.strerror}); choose another folder"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the permissions that a plain open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


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


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write `data` to `path`, whole or not at all; returns the path."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` as UTF-8 with unchanged line ends to `path`, whole or not at all; returns the path."""
    return write_bytes(path, text.encode("utf-8"))
