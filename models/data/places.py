"""The folder that holds the data sets, and sets by their names."""

from __future__ import annotations

import os
from pathlib import Path

from ..choices import choice
from ..errors import ModelError
from .sets import SETS, NamedSet

VARIABLE = "ASTROMORPHIC_DATA"


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """`folder` if given, else ASTROMORPHIC_DATA, else ``astromorphic`` in the user's cache (XDG_CACHE_HOME, ~/.cache).

    The last need not exist; ModelError if a folder that was named is a file or not there to be read.
    """
    named = os.fspath(folder) if folder is not None else os.environ.get(VARIABLE)
    if named:
        path = Path(named).expanduser()
        if path.exists() and not path.is_dir():
            origin = "--data" if folder is not None else VARIABLE
            raise ModelError(f"{origin} names {path}, which is a file; expected the folder that holds the data sets")
        return path
    cache = os.environ.get("XDG_CACHE_HOME") or ""
    # A relative path there is to be ignored, by the XDG rules.
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "astromorphic"


def named_set(name: str) -> NamedSet:
    """The registered set `name`; ModelError lists the names and the nearest match."""
    return SETS[choice("data set", name, SETS)]
