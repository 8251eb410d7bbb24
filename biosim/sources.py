"""Which code made a result: a digest of the sources that determine numbers."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

# What writes, names and moves results, and does not make them. Everything else counts, also what is added later.
_AROUND = frozenset(
    {
        "__init__.py", "assembly.py", "atomic.py", "cluster.py", "folders.py", "lock.py", "memory.py", "messages.py",
        "parts.py", "patient_file.py", "registry.py", "storage.py", "sweeps.py",
    }
)  # fmt: skip


@cache
def source_digest() -> str:
    """SHA-256 over names and contents of the modules of this package that determine the numbers of a result."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py"), key=lambda path: path.relative_to(package).as_posix()):
        name = path.relative_to(package).as_posix()
        if name not in _AROUND:
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()
