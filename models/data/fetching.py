"""Downloads: over https only, with a limit, compared by sha256, unpacked beside their place and moved there whole.

pooch carries the bytes and nothing else; what it does not guard (a redirect to http, sizes, names inside of archives,
files changed later, leftovers of a killed download) is guarded here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import urljoin, urlsplit

from ..errors import ModelError
from .archives import unpack_archive
from .manifest import MANIFEST, describe, read_manifest, verify
from .places import data_folder, named_set
from .sets import NamedSet, Source

# Seconds without a byte.
TIMEOUT = 60.0
_PREFIX, _SUFFIX = ".fetch-", ".tmp"
_FULL = (errno.ENOSPC, errno.EDQUOT)
Progress = Callable[[int, int], None]


class Downloader(Protocol):
    """Writes what is at `url` into `file`; any OSError or ValueError means that it did not work."""

    def __call__(self, url: str, file: Any, source: Source) -> None: ...


@dataclass(frozen=True)
class Fetched:
    """folder : where the set is now. new : whether anything was downloaded. hashes : sha256 by URL, as found."""

    folder: Path
    new: bool
    hashes: dict[str, str]


def fetch(
    name: str | NamedSet,
    folder: str | os.PathLike[str] | None = None,
    *,
    sha256: str | None = None,
    accept_unverified: bool = False,
    downloader: Downloader | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Download a registered set into the folder of its name below `folder` (see `data_folder`).

    A complete folder is checked and left alone, a damaged one is replaced. Nothing is left behind by a failure; what a
    killed process left is removed. `sha256` is for a source whose hash is not registered; `accept_unverified` takes
    whatever comes and returns its hash. `progress(bytes, of)` is called while a file arrives (of: 0 if unknown).

    Raises
    ------
    ModelError
        An unknown name, no https, a wrong size or hash, a source that does not answer, an archive with members that do
        not belong there, or a folder of that name that is no download.
    OutputError
        The folder cannot be written, or another process is at work in it.
    """
    from bridge.artifact import exclusive, output_folder

    one = named_set(name) if isinstance(name, str) else name
    check_request(one, sha256, accept_unverified)
    root = output_folder(data_folder(folder))
    with exclusive(root):
        _sweep(root)
        place = root / one.name
        if _complete(place, one):
            return Fetched(place, False, {})
        work = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=root))
        try:
            content = work / one.name
            content.mkdir()
            records = []
            for source in one.sources:
                records.append(_obtain(source, one, work, content, sha256, downloader or download, progress))
            missing = [file for file in one.expects if not (content / file).is_file()]
            if missing:
                raise ModelError(f"what came for {one.name} lacks {missing[0]}; it is not the expected archive")
            (content / MANIFEST).write_text(describe(content, one.name, records), encoding="utf-8")
            content.chmod(0o755)
            if place.exists():
                # A folder cannot be renamed over one that holds files.
                os.replace(place, work / "replaced")
            os.replace(content, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return Fetched(place, True, {record["url"]: record["sha256"] for record in records})


def check_request(one: NamedSet, sha256: str | None = None, accept_unverified: bool = False) -> None:
    """ModelError if `fetch` would refuse before it asks the network: nothing to fetch, no https, a hash too many or too few."""
    if not one.sources:
        where = {
            "built in": "is part of this package",
            "generated": "is made when it is loaded",
            "own files": f"comes with the release of the Long Range Arena; put {one.layout} into the data folder",
        }[one.origin]
        raise ModelError(f"{one.name} {where}; there is nothing to fetch")
    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise ModelError(f"sha256 is {sha256!r}; expected 64 hexadecimal digits")
    unknown = [source for source in one.sources if source.sha256 is None]
    for source in one.sources:
        if urlsplit(source.url).scheme != "https":
            raise ModelError(f"{source.url} is not https; downloads go over https only")
        if not source.filename or source.filename in (".", "..", one.name):
            raise ModelError(f"{source.url} does not end in the name of a file; correct the registered set {one.name}")
    if sha256 is not None and len(unknown) != 1:
        raise ModelError(
            f"the sha256 of {one.name} is registered; leave out --sha256"
            if not unknown
            else f"{len(unknown)} sources of {one.name} have no registered sha256; one --sha256 cannot stand for them"
        )
    if unknown and sha256 is None and not accept_unverified:
        raise ModelError(
            f"no sha256 is registered for {unknown[0].url}; give --sha256 HASH from a source you trust, or "
            "--accept-unverified to take what comes and be told its hash"
        )


def _complete(place: Path, one: NamedSet) -> bool:
    """Whether `place` holds the set undamaged; ModelError if it holds something that is not ours to replace."""
    if not place.exists():
        return False
    if not place.is_dir() or (read_manifest(place) is None and any(place.iterdir())):
        raise ModelError(
            f"{place} exists and is no download of ours; move it away, or choose another folder with --data"
        )
    try:
        verify(place, one)
    except ModelError:
        return False
    return True


def _sweep(root: Path) -> None:
    """Remove what killed downloads left; `root` is locked, so that nobody else is at work in it."""
    for path in root.iterdir():
        if path.name.startswith(_PREFIX) and path.name.endswith(_SUFFIX) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _obtain(
    source: Source,
    one: NamedSet,
    work: Path,
    content: Path,
    sha256: str | None,
    get: Downloader,
    progress: Progress | None,
) -> dict[str, Any]:
    """Download one source into `work`, check it and put its files into `content`."""
    expected = source.sha256 or (sha256.lower() if sha256 else None)
    archive = work / source.filename
    with archive.open("wb") as file:
        sink = _Sink(file, source, progress)
        try:
            get(source.url, sink, source)
        except ModelError:
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise
            raise ModelError(
                f"{source.url} cannot be fetched ({_short(error, source.url)}); try again, or put the files there yourself: "
                f"{one.layout}"
            ) from None
    if source.size is not None and sink.written != source.size:
        raise ModelError(
            f"{source.url} gave {sink.written:,} bytes, expected {source.size:,}: cut short or replaced; nothing was kept, "
            "fetch it again"
        )
    found = sink.digest.hexdigest()
    if expected is not None and found != expected:
        raise ModelError(
            f"{source.url} has sha256 {found}, expected {expected}: damaged, or replaced at its source; nothing was kept"
        )
    if source.kind == "file":
        os.replace(archive, content / source.filename)
    else:
        if not unpack_archive(archive, source.kind, content, source.members, one.most_files, one.most_bytes):
            raise ModelError(f"{source.filename} holds none of the files of {one.name}; it is not the expected archive")
        archive.unlink()
    return {"url": source.url, "sha256": found, "bytes": sink.written, "compared": expected is not None}


def _short(error: Exception, url: str) -> str:
    """What went wrong in a few words; the library's own go on about its connection pools."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "Timeout" in kinds or "TimeoutError" in kinds:
        return f"no answer within {TIMEOUT:g} s"
    if "ChunkedEncodingError" in kinds:
        return "the connection was cut"
    if "ConnectionError" in kinds:
        return f"no connection to {urlsplit(url).hostname}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


class _Sink:
    """The file that is being downloaded: counts, hashes and stops beyond the limit."""

    def __init__(self, file: BinaryIO, source: Source, progress: Progress | None) -> None:
        self._file, self._source, self._progress = file, source, progress
        self.written, self.digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.written += len(data)
        if self.written > self._source.largest:
            raise _too_large(self._source)
        self._file.write(data)
        self.digest.update(data)
        if self._progress is not None:
            self._progress(self.written, self._source.size or 0)
        return len(data)

    def flush(self) -> None:
        """pooch flushes after each part; the system does it well enough."""


def _too_large(source: Source) -> ModelError:
    return ModelError(
        f"{source.url} sends more than the {source.largest:,} bytes allowed for it; nothing was kept, as it is not the "
        "expected file"
    )


def download(url: str, file: Any, source: Source) -> None:
    """pooch's downloader, held to https through every redirect and to the size limit before the first byte."""
    import pooch

    pooch.HTTPDownloader(
        timeout=TIMEOUT,
        chunk_size=2**20,
        # Packed a second time on the way, the file would no longer have its hash.
        headers={"Accept-Encoding": "identity", "User-Agent": "astromorphic"},
        hooks={"response": lambda response, *_, **__: guard_response(response, source)},
    )(url, file, None)


def guard_response(response: Any, source: Source) -> None:
    """Refuse an answer that leaves https or announces more bytes than allowed; called for each step of a redirect."""
    target = urljoin(response.url, response.headers["location"]) if response.is_redirect else response.url
    if urlsplit(target).scheme != "https":
        raise ModelError(f"{source.url} leads to {target}, which is not https; nothing was fetched")
    length = str(response.headers.get("content-length", ""))
    if length.isdigit() and int(length) > source.largest:
        raise _too_large(source)
