"""One command at a time: a lock file that names its holder and is taken over when that process is dead."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from .atomic import OutputError


class Held(OutputError):
    """Another command is at work in the same place."""


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`, made with O_EXCL and holding host and process; `what` is named when another has it.

    A lock of a process of this host that no longer runs is taken over. Of another host nothing can be known.

    Raises
    ------
    Held
        A running process holds it, or one of another host does; the message names it and the remedy.
    """
    _take(path, what)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take(path: Path, what: str) -> None:
    with _alone_in(path.parent):
        try:
            holder = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            holder = None
        if holder is not None:
            _refuse_if_alive(path, holder, what)
            path.unlink(missing_ok=True)
        text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())})
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError as error:
            raise Held(f"{what} has just been taken up by another command; wait for it to end") from error
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _refuse_if_alive(path: Path, text: str, what: str) -> None:
    try:
        holder = json.loads(text)
        host, pid, started = str(holder["host"]), int(holder["pid"]), str(holder["started"])
    except (ValueError, KeyError, TypeError) as error:
        raise Held(
            f"{what} is locked by {path}, which cannot be read; remove it if no command is at work there"
        ) from error
    if host != socket.gethostname():
        raise Held(f"{what} is being worked on by process {pid} of {host}; wait for it, or remove {path} if it is dead")
    if _alive(pid, started):
        raise Held(f"{what} is being worked on by process {pid}; wait for it to end, or name another file")


def _alive(pid: int, started: str) -> bool:
    """Whether `pid` runs and is the process that began at `started`: numbers of processes are used again."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return _started(pid) in (started, "")


def _started(pid: int) -> str:
    """When a process began, as this system counts; empty where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The name, in parentheses, may hold spaces; the 22nd field is the start.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{boot}/{ticks}"


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other process looks at or takes a lock in `folder` meanwhile; where the system cannot, O_EXCL has to do."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, PermissionError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
