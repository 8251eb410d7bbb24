"""`load`: a data set by its name, or a file of the user's by its path."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..choices import choice
from ..errors import ModelError
from .associative_retrieval import load_associative_retrieval
from .cifar10 import load_cifar10
from .hub import is_hub_name, load_hub
from .imdb import load_imdb
from .kinds import Splits
from .listops import load_listops
from .lra_image import load_lra_image
from .lra_retrieval import load_lra_retrieval
from .lra_text import load_lra_text
from .pathfinder import load_path_x, load_pathfinder
from .pathfinder_like import load_pathfinder_like
from .places import data_folder
from .plain_text import load_enwik8, load_shakespeare, load_text_file, load_wikitext2, load_wikitext103
from .reading import unpacked_suffix
from .tables import TABLES, load_table

LOADERS: dict[str, Callable[..., Splits[Any]]] = {
    "imdb": load_imdb,
    "cifar10": load_cifar10,
    "wikitext2": load_wikitext2,
    "wikitext103": load_wikitext103,
    "enwik8": load_enwik8,
    "shakespeare": load_shakespeare,
    "listops": load_listops,
    "lra_text": load_lra_text,
    "lra_image": load_lra_image,
    "lra_retrieval": load_lra_retrieval,
    "associative_retrieval": load_associative_retrieval,
    "pathfinder": load_pathfinder,
    "pathfinder_like": load_pathfinder_like,
    "path_x": load_path_x,
}


def load(
    name_or_path: str | os.PathLike[str], *, folder: str | os.PathLike[str] | None = None, **options: Any
) -> Splits[Any]:
    """The three splits of a data set.

    name_or_path : imdb, cifar10 (`LabelledTexts`, `LabelledImages`), wikitext2, wikitext103, enwik8, shakespeare (bytes), or one
    of the long sequences of docs/lra.md (`LabelledSequences`): listops, lra_text, ...; or a file, packed with xz, gzip or bzip2
    or not: .csv, .tsv and .jsonl hold texts with labels, anything else is plain text; or "hf:NAME" of the Hugging Face hub (see
    `load_hub`).
    folder : where the named sets lie; default as `data_folder`. options : those of the loader (`load_imdb`, `load_listops`,
    `load_table`, `load_text_file`, `load_hub`, ...): validation, seed, ...
    Raises ModelError for an unknown name, a missing or damaged file, wrong content, or an option the set does not have.
    """
    name = os.fspath(name_or_path)
    path = Path(name).expanduser()
    if name in LOADERS:
        loader = LOADERS[name]
        needs_folder = "folder" in inspect.signature(loader).parameters
        arguments: tuple[Any, ...] = (data_folder(folder),) if needs_folder else ()
    elif is_hub_name(name):
        loader, arguments = load_hub, (name,)
    elif path.is_file():
        loader = load_table if unpacked_suffix(path) in TABLES else load_text_file
        arguments = (path,)
    elif path.is_dir():
        raise ModelError(f"{path} is a folder; give the name of a data set and this folder beside it, or a file")
    elif path.suffix or len(path.parts) > 1:
        raise ModelError(f"{path} is not there; expected a file, or one of {', '.join(LOADERS)}")
    else:
        choice("data set", name, LOADERS)
        raise AssertionError
    known = [one for one in inspect.signature(loader).parameters if one not in ("folder", "path", "name")]
    for option in options:
        if option not in known:
            raise ModelError(f"{name} has no option {option!r}; it takes {', '.join(known) if known else 'none'}")
    return loader(*arguments, **options)
