"""`astromorphic doctor`: what this installation can do, and the remedy where something is missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One checked thing: its state (``ok``, ``note`` for something optional, ``fault``), what was found, and the remedy."""

    thing: str
    state: Literal["ok", "note", "fault"]
    found: str
    remedy: str = ""


NEEDED = (
    "numpy", "scipy", "pandas", "xarray", "h5netcdf", "h5py", "numba", "lmfit", "SALib", "pydantic", "typer", "rich",
    "matplotlib", "jinja2", "torch", "transformers", "accelerate", "safetensors", "tokenizers",
    "pooch",
)  # fmt: skip

# Package, what works without it, and the extra that brings it.
OPTIONAL = (
    ("brian2", "engines numba and reference work", "brian"),
    ("distributed", "sweeps run on this machine's cores", "cluster"),
    ("neo", "spike times come from CSV files", "spikes"),
    ("pynwb", "spike times come from CSV files", "spikes"),
    ("kornia", "crop, flip, erasing, mixup and cutmix of images work", "vision"),
    ("datasets", "data sets come by their names here and from files", "hub"),
    ("sbi", "bridge.infer takes method='importance'", "inference"),
    ("gymnasium", "the chains of working memory are trained on without it", "rl"),
    ("lm_eval", "zero-shot tasks are counted by our own scorer", "eval"),
)


def examine() -> list[Finding]:
    """Check Python, packages, compiler, the kernel cache and the data folder."""
    findings = [Finding("python", "ok", platform.python_version()), Finding("cores", "ok", str(os.cpu_count()))]
    findings += [_package(name) for name in NEEDED]
    findings += [_optional(*row) for row in OPTIONAL]
    findings += [_compiler(), _kernel(), _storage(), _data()]
    return findings


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "fault", "missing", f"pip install {name}")


def _optional(name: str, without: str, extra: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(name, "note", f"not installed; {without}", f"pip install 'astromorphic[{extra}]'")
    return Finding(name, "ok", metadata.version(name))


def _compiler() -> Finding:
    found = shutil.which("c++") or shutil.which("g++") or shutil.which("cl")
    if found:
        return Finding("C++ compiler", "ok", found)
    return Finding("C++ compiler", "note", "none; Brian2 uses its slower numpy target", "install g++ or clang")


def _kernel() -> Finding:
    """Compile or load a kernel and run it on one unit."""
    try:
        import biosim

        outcome = biosim.run_ensemble(
            biosim.protocol("rate_sweep", rates=[1.0], trials=1, duration=1, settle=0).ensemble()
        )
    except Exception as error:
        return Finding("engine numba", "fault", f"{type(error).__name__}: {error}", "reinstall numba")
    from biosim.engines.numba_engine import cache_folder

    seconds, folder = outcome.notes["compile_or_load_s"], cache_folder()
    if folder is None:
        return Finding(
            "engine numba", "note", f"works; kernel ready in {seconds} s, compiled anew in every process",
            "point NUMBA_CACHE_DIR at a folder that can be written",
        )  # fmt: skip
    return Finding("engine numba", "ok", f"works; kernel ready in {seconds} s; compiled code is kept in {folder}")


def _storage() -> Finding:
    try:
        import biosim

        with tempfile.TemporaryDirectory() as folder:
            dataset = biosim.simulate("rate_sweep", rates=[1.0], trials=1, duration=1, settle=0)
            biosim.load(biosim.save(dataset, Path(folder) / "check.nc"))
    except Exception as error:
        return Finding("NetCDF files", "fault", f"{type(error).__name__}: {error}", "pip install h5netcdf h5py")
    return Finding("NetCDF files", "ok", "written and read")


def _data() -> Finding:
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder:
        return Finding("ASTROMORPHIC_DATA", "note", "not set; the built-in data are enough for `astromorphic run`")
    if not Path(folder).is_dir():
        return Finding("ASTROMORPHIC_DATA", "fault", f"{folder} is not a folder", "point it at a folder, or unset it")
    return Finding("ASTROMORPHIC_DATA", "ok", folder)
