"""How much memory there is, and the refusal of what needs more, before anything is allocated.

Systems promise more memory than they have and end the process when it is touched, so waiting for MemoryError is no answer.
"""

from __future__ import annotations

import os
from pathlib import Path

from .checks import as_float

GIB = 2**30

# Where the system does not say.
_UNKNOWN = 8 * GIB

# The limit of a container (version 2, version 1).
_CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available() -> int:
    """Bytes that this process may still take: what the system has free, or the limit of its container if that is less."""
    limits = [_free()]
    for path in _CONTAINER:
        try:
            limits.append(int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)


def _free() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def require(needed: float, what: str, remedy: str, error: type[ValueError]) -> None:
    """Raise `error` if `needed` bytes are more than there are; `what` begins the message, `remedy` ends it."""
    free = available()
    if needed > free:
        raise error(
            f"{what}: needs about {as_float(needed) / GIB:.3g} GiB of memory, more than the {free / GIB:.3g} GiB that are "
            f"free; {remedy}"
        )
