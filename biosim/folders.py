"""Folders for output: made if needed, refused with a remedy if they cannot be used."""

from __future__ import annotations

import os
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
