"""The disk cache of compiled kernels: an edited process must be compiled anew, an unchanged one must not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import biosim

SCRIPT = """
import numpy as np
import biosim
from biosim import Clock, Ensemble, parameter_set, run_ensemble
parameters = parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1, Ca_init=0.1, h_init=0.7)
outcome = run_ensemble(Ensemble(parameters, Clock(1.0), np.zeros(1), input="regular", release="expected"), threads=1)
from biosim.engines.numba_engine import cache_folder
print(repr(float(outcome.final["calcium"][0])), biosim.__file__, cache_folder())
"""


def test_an_edited_process_changes_the_result(tmp_path):
    package, cache = tmp_path / "source" / "biosim", tmp_path / "cache"
    shutil.copytree(Path(biosim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "NUMBA_CACHE_DIR": str(cache)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"

    def calcium() -> tuple[float, int]:
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        value, where, folder = run.stdout.split()
        assert Path(where).parent == package
        assert Path(folder).is_relative_to(cache) and list(Path(folder).glob("*.nbc"))
        return float(value), len(list(cache.rglob("*.nbc")))

    first, compiled = calcium()
    assert compiled >= 1
    assert calcium() == (first, compiled)  # served from the cache

    process = package / "processes" / "li_rinzel.py"
    text = process.read_text()
    edited = text.replace("gradient = c0 - (1.0 + c1) * ca", "gradient = c0 - (1.5 + c1) * ca")
    assert edited != text
    process.write_text(edited)
    changed, more = calcium()
    assert abs(changed - first) > 1e-4
    assert more == 2 * compiled

    process.write_text(text)
    assert calcium()[0] == first


def test_without_a_writable_cache_the_kernel_still_runs(tmp_path):
    """No place to cache: Numba refuses to decorate, and the engine compiles for this process alone."""
    package = tmp_path / "source" / "biosim"
    shutil.copytree(Path(biosim.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder is needed")
    # Whoever runs the tests may write anywhere; a file in place of each folder stops the superuser too.
    (package / "engines" / "__pycache__").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "NUMBA_CACHE_DIR": str(blocked / "cache")}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert float(run.stdout.split()[0]) > 0
    assert run.stdout.split()[2] == "None"
    assert not list(tmp_path.rglob("*.nbc"))
