"""Folders for output: made if needed, refused with a remedy if they cannot be used or another process uses them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from .atomic import OutputError


def parts_folder(target: Path) -> Path:
    """The folder in which an unfinished sweep to the file `target` keeps its finished blocks."""
    return target.with_name(target.name + ".parts")


def output_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder `path`, with its parents, if needed and return it.

    Raises
    ------
    OutputError
        A file stands in the way, or the folder cannot be made or written.
    """
    folder = check_folder(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {folder} ({error.strerror}); choose another one") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"folder {folder} is not writable; choose another one")
    return folder


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Return `path` if `output_folder` can be expected to succeed; makes nothing. Call it before long work.

    Raises
    ------
    OutputError
        A file stands in the way, or the nearest folder that exists cannot be written.
    """
    folder = Path(path)
    nearest = next((p for p in (folder, *folder.absolute().parents) if os.path.lexists(p)), folder)
    if not nearest.is_dir():
        raise OutputError(f"cannot make folder {folder}: {nearest} is a file; choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(f"cannot make folder {folder}: {nearest} is not writable; choose another folder")
    return folder


@contextlib.contextmanager
def exclusive(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes that ask for it out of the folder `path` inside the block.

    The system drops the lock with the process, however that ends. Where it cannot lock folders, nothing is kept out.

    Raises
    ------
    OutputError
        Another process has the folder.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise OutputError(
                    f"{path} is in use by another process; wait until it is done, or choose another folder"
                ) from None
        yield
    finally:
        os.close(descriptor)
