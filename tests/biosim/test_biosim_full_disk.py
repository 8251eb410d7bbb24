"""A full disk, played by a limit on the size of files, is an error of one line: no crash, nothing lost, nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import biosim

resource = pytest.importorskip("resource", reason="needs limits on the size of files, which this system does not have")

LIMITED = """
import resource, sys
import biosim
from biosim.protocols import swept
target, limit, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    if what == "save":
        import numpy as np, xarray as xr
        values = np.random.default_rng(0).random(500_000)
        biosim.save(xr.Dataset({"a": ("x", values)}, attrs={"provenance": "{}"}), target)
    else:
        protocol = biosim.protocol("rate_sweep", rates=[1.0, 5.0], trials=200, duration=1.0, settle=0.0)
        biosim.sweep(protocol, target, record=0.1, block=100)
except biosim.OutputError as error:
    print(error)
    sys.exit(3)
"""


def run(target: Path, limit: int, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, str(target), str(limit), what],
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_save_on_a_full_disk_is_an_error_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.nc"
    assert run(target, 0, "save").returncode == 0
    old = target.read_bytes()
    result = run(target, 1_000_000, "save")
    assert result.returncode == 3 and not result.stderr, result.stderr
    assert "free some space" in result.stdout and str(target) in result.stdout
    assert target.read_bytes() == old and list(tmp_path.iterdir()) == [target]


def test_a_sweep_on_a_full_disk_keeps_its_blocks_and_ends_later(tmp_path):
    """The blocks fit below the limit, the final file does not; without the limit only that file is made."""
    target, other = tmp_path / "a.nc", tmp_path / "b.nc"
    result = run(target, 150_000, "sweep")
    assert result.returncode == 3 and not result.stderr, result.stderr
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "a.nc.parts").glob("*.nc")}
    assert len(parts) == 4 and not target.exists()
    again = run(target, 0, "sweep")
    assert again.returncode == 0, again.stderr
    assert run(other, 0, "sweep").returncode == 0
    assert target.read_bytes() == other.read_bytes() and len(target.read_bytes()) > 150_000
    assert biosim.load(target).sizes["trial"] == 200
