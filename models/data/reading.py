"""Files of a data set: packed or not, whole, and equal to what their manifest says."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, BinaryIO

from ..errors import ModelError
from .manifest import recorded_hashes

PACKED = (".xz", ".gz", ".bz2")
# A small packed file can unpack to anything; no data set here comes near this.
LARGEST_TEXT = 4 * 2**30
_CHUNK = 2**20


def unpacked_suffix(path: Path) -> str:
    """The suffix that says what a file holds: ".csv" for both a.csv and a.csv.xz, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def find(folder: Path, *names: str) -> Path | None:
    """The first of `names`, plain or packed, that is a file below `folder`."""
    for name in names:
        for suffix in ("", *PACKED):
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    return None


class Reader:
    """Reads files of one folder and compares each with the hash that is on record for it, if one is.

    folder : of the data set; its manifest.json or a SHA256SUMS (there, or one folder up) is the record.
    """

    def __init__(self, folder: Path, known: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.recorded = {folder / name: digest for name, digest in (known or {}).items()}
        self.recorded.update(recorded_hashes(folder))

    def packed_bytes(self, path: Path) -> bytes:
        """The file as it lies on the disk, compared with its record."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{path} cannot be read ({error.strerror}); fetch the data again or correct the path"
            ) from None
        expected = self.recorded.get(path)
        if expected is not None:
            found = hashlib.sha256(data).hexdigest()
            if found != expected:
                raise ModelError(
                    f"{path} has sha256 {found[:16]}..., the record says {expected[:16]}...: it was damaged or changed; "
                    "fetch or copy it again"
                )
        return data

    def bytes(self, path: Path) -> bytes:
        """The content, unpacked."""
        return unpack(self.packed_bytes(path), path)

    def text(self, path: Path) -> str:
        """The content as UTF-8, with or without a byte order mark."""
        return decode(self.bytes(path), path)


def unpack(data: bytes, path: Path) -> bytes:
    """`data` of the file `path`, unpacked as its suffix says."""
    suffix = path.suffix.lower()
    if suffix not in PACKED:
        return data
    parts, total = [], 0
    try:
        with _opened(suffix, io.BytesIO(data)) as stream:
            while part := stream.read(_CHUNK):
                total += len(part)
                if total > LARGEST_TEXT:
                    raise ModelError(
                        f"{path} unpacks to more than {LARGEST_TEXT / 2**30:g} GiB; cut it into smaller files first"
                    )
                parts.append(part)
    except (lzma.LZMAError, zlib.error, EOFError, OSError) as error:
        raise ModelError(f"{path} cannot be unpacked ({error}): it is damaged or cut short; copy it again") from None
    return b"".join(parts)


def _opened(suffix: str, packed: BinaryIO) -> IO[bytes]:
    if suffix == ".xz":
        return lzma.open(packed)
    return gzip.open(packed) if suffix == ".gz" else bz2.open(packed)  # type: ignore[return-value]


def decode(raw: bytes, path: Path) -> str:
    """UTF-8, with or without a byte order mark; ModelError names the line that is something else."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ModelError(
            f"{path}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
