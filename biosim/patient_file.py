"""A file that HDF5 can write on a full disk: HDF5 itself keeps trying when the file is closed, and ends the process."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class PatientFile(io.RawIOBase):
    """`path`, open for reading and writing, which never fails in HDF5's sight.

    The first error is kept, what comes after it is dropped, and `check` or the end of a ``with`` block raises it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._file = io.FileIO(path, "w+")

    def __exit__(self, kind: object, *_: object) -> None:
        self.close()
        # What HDF5 finds in a file whose parts were dropped says nothing; the failed write is the cause.
        if kind is None or (self.error is not None and isinstance(kind, type) and issubclass(kind, Exception)):
            self.check()

    def check(self) -> None:
        """Raise the error that writing met."""
        if self.error is not None:
            raise self.error

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        while written < len(view) and self.error is None:
            try:
                written += self._file.write(view[written:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self._file.closed:
            try:
                # Some file systems report a full disk only here.
                os.fsync(self._file.fileno())
            except OSError as error:
                self.error = self.error or error
            finally:
                self._file.close()
        super().close()
