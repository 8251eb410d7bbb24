"""``hf:NAME``: a data set of the Hugging Face hub, or a folder in its layout, through the library datasets (extra "hub").

    hf:NAME, hf:OWNER/NAME, with /CONFIG behind either; hf:./FOLDER or hf:/FOLDER for one on the disk.

The library is asked for data only: code of a data set is never run (version 4 has no way to), and no pickle is read. What it
fetches stays in its own cache (HF_HOME), where it is found again without a network.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ModelError

if TYPE_CHECKING:
    from .kinds import Splits

PREFIX = "hf:"
_PART = re.compile(r"\w[\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{7,40}")
# Earlier versions of the library run code of a data set if asked to, and ask on a terminal.
_OLDEST = 4
_UNREACHABLE = ("OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError", "ConnectTimeout", "ReadTimeout")


class Address(NamedTuple):
    """What a name stands for: a repository of the hub or a folder (`local`), and its configuration."""

    repository: str
    config: str | None
    local: bool


class Opened(NamedTuple):
    """A data set as the library has it: splits by name, features by column, the commit that was read, the licence."""

    address: Address
    splits: dict[str, Any]
    features: dict[str, Any]
    revision: str | None
    licence: str


def is_hub_name(name: Any) -> bool:
    """Whether a name or path is of this form."""
    return isinstance(name, (str, os.PathLike)) and os.fspath(name).startswith(PREFIX)


def addresses(name: str, config: str | None = None) -> list[Address]:
    """What "hf:..." may stand for, in the order to try: A/B is the data set B of the owner A, else the configuration B of A."""
    given = os.fspath(name).removeprefix(PREFIX)
    if given.startswith((".", "/", "~")):
        folder = Path(given).expanduser()
        if not folder.is_dir():
            raise ModelError(f"{name}: there is no folder {folder}; correct the path, or give the name of a data set")
        return [Address(str(folder), config, True)]
    parts = given.split("/")
    if not 1 <= len(parts) <= 3 or not all(_PART.fullmatch(part) for part in parts):
        raise ModelError(
            f"{name!r} is no name of the hub; expected hf:NAME, hf:OWNER/NAME, or one of them with /CONFIG"
        )
    if len(parts) == 3 or config is not None:
        named = parts[2] if len(parts) == 3 else config
        if len(parts) == 3 and config not in (None, named):
            raise ModelError(f"{name} names the configuration {named} and config is {config!r}; give it once")
        return [Address("/".join(parts[:2]), named, False)]
    whole = Address("/".join(parts), None, False)
    return [whole] if len(parts) == 1 else [whole, Address(parts[0], parts[1], False)]


def hub_kind(name: str) -> str:
    """Which kind of task its columns make of it; ModelError if they do not say."""
    from .hub_columns import columns_of

    return columns_of(open_hub(name), name).kind


def load_hub(
    name: str,
    *,
    kind: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    image_column: str | None = None,
    train_split: str = "train",
    validation_split: str | None = None,
    test_split: str | None = None,
    validation: float | None = None,
    test: float | None = None,
    seed: int = 0,
) -> Splits[Any]:
    """The three splits of a data set of the hub: labelled texts, labelled images, or plain text as bytes.

    kind : "text_classification", "image_classification" or "language"; without it the columns decide. config, revision :
    configuration, and branch, tag or commit; `Splits.revision` is the commit that was read. text_column, label_column,
    image_column : without them usual names are looked for. train_split, validation_split, test_split : names of the parts;
    without the last two, "validation" and "test" where there are such. validation, test : number or share, drawn from
    train by `seed` with equal shares of the classes; by default a tenth where the data set has no such part (plain text:
    a twentieth, from the end of train). Rows of plain text are lines.

    Raises ModelError without the library, for data that cannot be reached, and for columns, labels, texts or images that
    cannot be used.
    """
    from .hub_columns import Parts, columns_of, splits_of

    found = open_hub(name, config, revision)
    columns = columns_of(found, name, kind, text_column, label_column, image_column)
    parts = Parts(train_split, validation_split, test_split, validation, test, seed)
    return splits_of(found, name, columns, parts)


def open_hub(name: str, config: str | None = None, revision: str | None = None) -> Opened:
    """The data set through the library; ModelError as in `load_hub`."""
    tried = addresses(name, config)
    library = _library(name)
    refused: ModelError | None = None
    for address in tried:
        _check_place(name, address, library)
        if address.local and revision is not None:
            raise ModelError(f"{name} is a folder and revision is {revision!r}; leave it out")
        licence = ""
        try:
            with _quiet(library):
                if not address.local:
                    address, licence = _asked(address, revision)
                builder = library.load_dataset_builder(address.repository, address.config, revision=revision)
                builder.download_and_prepare()
                splits = builder.as_dataset()
        # Errors of the library, of the hub, of the network and of the file formats: all become one line.
        except Exception as error:
            # A name of two parts is first of all that of an owner's data set, also in what is said of it.
            refused = refused or _refused(name, address, revision, error)
            if _may_be_config(error):
                continue
            raise refused from None
        commit = str(getattr(builder, "hash", None) or "")
        # Without the hub the library takes what its cache holds, whatever the revision.
        if revision is not None and _SHORT.fullmatch(revision) and not commit.startswith(revision):
            raise ModelError(
                f"{name}: revision is {revision} and what was read is commit {commit}, from the cache; connect, or leave the "
                "revision out"
            )
        features = dict(next(iter(splits.values())).features)
        return Opened(address, dict(splits), features, commit if _COMMIT.fullmatch(commit) else None, licence)
    assert refused is not None
    raise refused


def _asked(address: Address, revision: str | None) -> tuple[Address, str]:
    """The address with its owner, and the licence that the hub states.

    Names without an owner, such as imdb, are forwarded by the hub, but the library (5.2, its issue 8612) stops at them.
    """
    from huggingface_hub import HfApi

    try:
        info = HfApi().dataset_info(address.repository, revision=revision)
    except Exception:
        # The cache may hold what the hub cannot be asked for; there the owner is part of the name.
        if "/" not in address.repository:
            raise
        return address, "not known, as the hub was not asked"
    card: Any = info.card_data or {}
    stated = card.get("license") or "not stated"
    licence = ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)
    return address._replace(repository=info.id), licence


def _library(name: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ModelError(
            f"{name} is read by the library datasets, which is not installed: pip install 'astromorphic[hub]'"
        ) from None
    if int(datasets.__version__.split(".")[0]) < _OLDEST:
        raise ModelError(
            f"{name}: datasets is {datasets.__version__}, which can run code of a data set; expected {_OLDEST} or newer: "
            "pip install -U 'astromorphic[hub]'"
        )
    return datasets


def _check_place(name: str, address: Address, library: Any) -> None:
    """The library reads a folder of that name, or every file here, before it asks the hub."""
    if address.local:
        return
    if Path(address.repository).exists():
        raise ModelError(
            f"{name}: {address.repository} is also here, and would be read instead of the hub; write "
            f"{PREFIX}./{address.repository} if it is meant, else work in another folder"
        )
    modules = getattr(getattr(library, "packaged_modules", None), "_PACKAGED_DATASETS_MODULES", {})
    if address.repository in modules:
        raise ModelError(f"{name} is a format of files and no data set; give a file or hf:./FOLDER instead")


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """No bars and no notes of the library and of the hub's own inside the block; afterwards as before."""
    from huggingface_hub.utils import logging as hub_logging

    noisy = (library.logging, hub_logging)
    bars, levels = library.is_progress_bar_enabled(), [one.get_verbosity() for one in noisy]
    library.disable_progress_bars()
    for one in noisy:
        one.set_verbosity_error()
    try:
        yield
    finally:
        for one, level in zip(noisy, levels, strict=True):
            one.set_verbosity(level)
        if bars:
            library.enable_progress_bars()


def _may_be_config(error: Exception) -> bool:
    """Not found, or not to be asked: the cache may still hold the other reading of the name."""
    return (
        type(error).__name__ in ("DatasetNotFoundError", "RepositoryNotFoundError")
        or "OfflineModeIsEnabled" in f"{type(error).__name__} {error}"
    )


def _refused(name: str, address: Address, revision: str | None, error: Exception) -> ModelError:
    kinds = {kind.__name__ for one in (error, error.__cause__) if one is not None for kind in type(one).__mro__}
    where = address.repository + ("" if address.config is None else f", configuration {address.config}")
    where += "" if revision is None else f", revision {revision}"
    said = " ".join(str(error).split()) or type(error).__name__
    if kinds & {"ConnectionError", "TimeoutError", *_UNREACHABLE}:
        owner = "" if "/" in address.repository else " and the owner in the name, hf:OWNER/NAME"
        return ModelError(
            f"{name}: the hub cannot be reached for {where}, and the data are not in the cache; connect (and unset "
            f"HF_HUB_OFFLINE and HF_DATASETS_OFFLINE), or name with HF_HOME a cache that holds them{owner}"
        )
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError"}:
        return ModelError(
            f"{name}: the hub has no {where}, or shows it to some accounts only; correct the name, or log in with `hf auth login`"
        )
    if "Dataset scripts" in said:
        return ModelError(f"{name}: {where} is made by a program, which is not run; look for a copy as parquet or CSV")
    if kinds & {"DataFilesNotFoundError", "EmptyDatasetError"}:
        return ModelError(
            f"{name}: {where} holds no data files that the library reads; expected parquet, CSV, JSON or images"
        )
    return ModelError(f"{name}: {where} cannot be read: {said[:300]}")
