"""Unpacking what came from elsewhere: nothing is written outside the folder, and nothing beyond the stated limits.

Anything but plain files and folders with plain relative names makes the whole archive refused, not repaired: an archive
with such members is not the one that was asked for.
"""

from __future__ import annotations

import errno
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

from ..errors import ModelError

_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    # A name that is no text, or a field that is no number.
    ValueError,
)
# What the disk says, whatever the archive. Any other refusal of the system is about a name or a place that the archive asks for.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)


def unpack_archive(
    archive: Path, kind: Literal["tar", "zip"], target: Path, members: str, most_files: int, most_bytes: int
) -> int:
    """Write the members of `archive` whose names match the expression `members` below `target`; returns their number.

    ModelError if the archive is damaged, holds links, devices, absolute names, ".." or names that cannot be files together,
    or exceeds the limits on the number and size of all members, whether they are wanted or not; OSError for a disk that is
    full, fails or may not be written. What was written before stays in `target`, which the caller throws away.
    """
    limit = _Limit(archive, most_files, most_bytes)
    wanted = re.compile(members)
    try:
        if kind == "tar":
            return _unpack_tar(archive, target, wanted, limit)
        return _unpack_zip(archive, target, wanted, limit)
    except ModelError:
        raise
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        # Without the names, which may be longer than a line, and those of a folder that is gone by then.
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ModelError(f"{archive.name} cannot be unpacked ({why}): damaged or cut short; fetch it again") from None


class _Limit:
    def __init__(self, archive: Path, most_files: int, most_bytes: int) -> None:
        self.name, self.most_files, self.most_bytes = archive.name, most_files, most_bytes
        self.files, self.bytes = 0, 0

    def add(self, size: int) -> None:
        self.files += 1
        self.bytes += size
        if self.files > self.most_files:
            raise ModelError(f"{self.name} has more than {self.most_files:,} members; it is not the expected archive")
        if self.bytes > self.most_bytes:
            raise ModelError(
                f"{self.name} unpacks to more than {self.most_bytes:,} bytes; it is not the expected archive"
            )

    def check_name(self, name: str) -> None:
        parts = PurePosixPath(name).parts
        if (
            not parts
            or name.startswith(("/", "\\"))
            or ".." in re.split(r"[/\\]", name)
            or ":" in parts[0]
            or "\0" in name
        ):
            raise ModelError(
                f"{self.name} has a member named {name!r}, which would land outside of the data folder; nothing was unpacked"
            )

    def refuse(self, name: str, what: str) -> None:
        raise ModelError(
            f"{self.name} has the member {name!r}, which is {what}; expected files only; nothing was unpacked"
        )


def _tar_members(archive: tarfile.TarFile, limit: _Limit) -> Iterator[tarfile.TarInfo]:
    for member in archive:
        limit.add(member.size)
        limit.check_name(member.name)
        if member.issym() or member.islnk():
            limit.refuse(member.name, "a link")
        if not (member.isfile() or member.isdir()):
            limit.refuse(member.name, "a device or a pipe")
        yield member


def _unpack_tar(path: Path, target: Path, wanted: re.Pattern[str], limit: _Limit) -> int:
    count = 0
    with tarfile.open(path, "r:*") as archive:
        for member in _tar_members(archive, limit):
            if member.isfile() and wanted.fullmatch(member.name.removeprefix("./")):
                # Our own checks come first; the filter is the second lock.
                archive.extract(member, target, filter="data")
                count += 1
    return count


def _unpack_zip(path: Path, target: Path, wanted: re.Pattern[str], limit: _Limit) -> int:
    count = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            limit.add(member.file_size)
            limit.check_name(member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                limit.refuse(member.filename, "a link")
        for member in archive.infolist():
            if member.is_dir() or not wanted.fullmatch(member.filename):
                continue
            place = target.joinpath(*PurePosixPath(member.filename).parts)
            place.parent.mkdir(parents=True, exist_ok=True)
            # The library reads no more than the stated size and compares the checksum of the member.
            with archive.open(member) as source, place.open("wb") as file:
                shutil.copyfileobj(source, file)
            count += 1
    return count
