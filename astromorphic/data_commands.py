"""What `astromorphic data` does: which data sets are known, fetch one, check what is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Advance = Callable[[int, int], None]


def table(folder: Path | None) -> str:
    """One line per registered set: name, size of the download, what of it is in the data folder, title."""
    from models.data.manifest import MANIFEST
    from models.data.places import data_folder
    from models.data.sets import SETS

    root = data_folder(folder)
    lines = [f"data folder: {root}{'' if root.is_dir() else ' (not there yet)'}", ""]
    for one in SETS.values():
        places = _places(root, one.name)
        fetched = any((place / MANIFEST).is_file() for place in places)
        made = not one.sources and one.origin != "own files"
        state = one.origin if made else "fetched" if fetched else "own files" if places else "-"
        lines.append(f"{one.name:22s}{_size(one.download_size, bool(one.sources)):>10s}  {state:10s}{one.title}")
        lines.append(f"{'':22s}{'':10s}  {'':10s}licence: {one.licence}")
    return "\n".join(lines)


def notice(name: str, sha256: str | None, accept_unverified: bool) -> str:
    """What a person should know before a download; ValueError for a request that would be refused."""
    from models.data.fetching import check_request
    from models.data.places import named_set

    one = named_set(name)
    check_request(one, sha256, accept_unverified)
    lines = [f"{one.name}: {one.title}", f"licence: {one.licence}", f"to be cited: {one.citation}"]
    for source in one.sources:
        known = f"sha256 {source.sha256[:16]}... ({source.hash_from})" if source.sha256 else "no sha256 is registered"
        lines.append(f"from {source.url}, {_size(source.size, True)}, {known}")
    return "\n".join(lines)


def fetch(name: str, folder: Path | None, sha256: str | None, accept_unverified: bool, progress: Advance) -> str:
    """Download a set; returns where it is, and the hash of what could not be compared with one."""
    from models.data.fetching import fetch as fetch_set
    from models.data.places import named_set

    got = fetch_set(name, folder, sha256=sha256, accept_unverified=accept_unverified, progress=progress)
    lines = [f"{got.folder}{'' if got.new else ' is complete; nothing was fetched'}"]
    if accept_unverified:
        unknown = {source.url for source in named_set(name).sources if source.sha256 is None}
        lines += [
            f"{url} had sha256 {digest}; note it, and give it with --sha256 next time"
            for url, digest in got.hashes.items()
            if url in unknown
        ]
    return "\n".join(lines)


def check(name: str | None, folder: Path | None, progress: Advance) -> str:
    """Compare one set, or all that are here, with what is on record; ValueError names the first file that differs."""
    from models.data.manifest import verify
    from models.data.places import data_folder, named_set
    from models.data.sets import SETS
    from models.errors import ModelError

    root = data_folder(folder)
    lines = []
    for one in SETS.values() if name is None else [named_set(name)]:
        places = _places(root, one.name)
        if name is not None and not places:
            remedy = {"built in": "it is part of this package", "generated": "it is made when it is loaded"}.get(
                one.origin, f"put {one.layout} there"
            )
            remedy = f"run `astromorphic data fetch {name}`" if one.sources else remedy
            raise ModelError(f"{name} is not in {root}; {remedy}, or name the folder with --data")
        for place in places:
            lines.append(f"{one.name:22s}{verify(place, one, progress):6,d} files are as recorded, in {place}")
    return "\n".join(lines) or f"no data set is in {root}"


def _places(root: Path, name: str) -> list[Path]:
    """Folders below `root` with files of the set; the tokenizers may lie in a folder of their own."""
    names = (name, "tokenizers") if name in ("gpt2", "neox") else (name,)
    return [place for one in names if (place := root / one).is_dir() and any(place.iterdir())]


def _size(size: int | None, fetched: bool) -> str:
    if not fetched:
        return ""
    return "size n/a" if size is None else f"{size / 1e6:,.1f} MB"
