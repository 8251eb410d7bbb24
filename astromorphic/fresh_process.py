"""A benchmark's worker in a process of its own, and what the kernel says about that process's memory."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A long sequence's arrays go back to the system when they are freed, and every pass then pays for the pages again, half as
# much as it computes. The C library keeps them with these; all forms run with them.
KEEP_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**40)}
_START = (
    "import importlib, json, sys; b = importlib.import_module('astromorphic.' + sys.argv[1]); "
    "print(json.dumps(b._WORKERS[sys.argv[2]](**json.loads(sys.argv[3]))))"
)


def elsewhere(module: str, worker: str, environment: dict[str, str], **arguments: Any) -> Any:
    """The result of `worker`, a name in the ``_WORKERS`` of a module of this package, in a fresh process.

    Raises RuntimeError with the last line of its errors if it fails.
    """
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, "-c", _START, module, worker, json.dumps(arguments)],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise RuntimeError(f"{worker} of {arguments} failed: {run.stderr.strip().splitlines()[-1:]}")
    return json.loads(run.stdout.splitlines()[-1])


def peak_of(work: Callable[[], object]) -> int:
    """Bytes of this process at its highest during `work`, beyond what it had before."""
    gc.collect()
    before = _resident("VmRSS")
    # VmHWM begins again at what is in use now.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    highest = _resident("VmHWM")
    work()
    return _resident("VmHWM") - min(before, highest)


def _resident(name: str) -> int:
    """Bytes of memory of this process from the kernel's own account: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")
