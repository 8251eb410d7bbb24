"""One thread per test process: the suite runs a process per core, and threads of one would only wait for those of another."""

from __future__ import annotations

import os

# Before any library that reads them is imported; programs that tests start inherit them.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
