"""`astromorphic simulate` in blocks: kept when stopped, continued by the same command, not repeated when finished."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import biosim
from astromorphic.cli import _with_cluster, main
from biosim import sweeps

ROOT = Path(__file__).parents[2]
SWEEP = ("rate_sweep", "--set", "rates=2,8", "--set", "trials=4", "--set", "settle=0", "--set", "K_AG=-4000:-1000:3")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ([], []),
        (["--cluster"], ["--cluster=local"]),
        (["--cluster", "--out", "a.nc"], ["--cluster=local", "--out", "a.nc"]),
        (["--cluster", "tcp://10.0.0.1:8786", "fig3"], ["--cluster", "tcp://10.0.0.1:8786", "fig3"]),
        (["--cluster", "local"], ["--cluster", "local"]),
        (["--cluster=tcp://a:1", "fig3"], ["--cluster=tcp://a:1", "fig3"]),
        (["fig3", "--out", "cluster"], ["fig3", "--out", "cluster"]),
    ],
)
def test_cluster_without_an_address_is_this_machine(given, read):
    assert _with_cluster(given) == read


def test_blocks_give_the_dataset_of_a_plain_run(tmp_path, capsys):
    plain, blocks = tmp_path / "plain.nc", tmp_path / "blocks.nc"
    arguments = (*SWEEP, "--set", "duration=1", "--seed", "3")
    assert call("simulate", *arguments, "--out", str(plain)) == 0
    assert call("simulate", *arguments, "--block", "5", "--out", str(blocks)) == 0
    one, other = biosim.load(plain), biosim.load(blocks)
    assert one.assign_attrs(provenance="").identical(other.assign_attrs(provenance=""))
    assert biosim.provenance(one)["digest"] == biosim.provenance(other)["digest"]
    before = blocks.stat().st_mtime_ns
    assert call("simulate", *arguments, "--block", "7", "--out", str(blocks)) == 0
    assert blocks.stat().st_mtime_ns == before
    assert capsys.readouterr().out.split() == [str(plain), str(blocks), str(blocks)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.nc", "plain.nc"]


def test_another_run_is_not_written_over(tmp_path, capfd):
    out = tmp_path / "run.nc"
    arguments = (*SWEEP, "--set", "duration=1", "--block", "5", "--out", str(out))
    assert call("simulate", *arguments) == 0
    before = sha(out)
    capfd.readouterr()
    assert call("simulate", *arguments, "--seed", "1") == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "seed is 0 there and 1 here" in err
    assert sha(out) == before


def test_a_run_of_more_than_one_block_is_kept_in_blocks_by_itself(tmp_path, monkeypatch, capsys):
    made: list[int] = []
    run = biosim.sweep

    def watched(plan, out, **options):
        made.append(plan.n_units)
        return run(plan, out, **options)

    monkeypatch.setattr(sweeps, "sweep", watched)
    arguments = ("simulate", *SWEEP, "--set", "duration=1", "--out", str(tmp_path / "run.nc"))
    assert call(*arguments) == 0
    assert made == []
    monkeypatch.setattr(sweeps, "LARGEST_BLOCK", 10)
    (tmp_path / "run.nc").unlink()
    assert call(*arguments) == 0
    assert made == [24]


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_sweep_says_how_to_go_on(number, status, word, tmp_path):
    out = tmp_path / "run.nc"
    folder = tmp_path / "run.nc.parts"
    # Blocks of one unit, of 2 * 10^6 steps each; many more than are computed before the signal.
    command = [sys.executable, "-m", "astromorphic", "simulate", *SWEEP, "--set", "duration=2000", "--out", str(out)]
    process = subprocess.Popen([*command, "--block", "1"], stderr=subprocess.PIPE, text=True, cwd=ROOT)
    deadline = time.monotonic() + 100
    while not list(folder.glob("0*.nc")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status, err
    assert err == f"astromorphic: {word}; finished blocks are kept in {folder}, the same command continues\n"
    assert not out.exists()
    left = {path.name for path in folder.iterdir()}
    assert "00000000-00000001.nc" in left
    assert left - {"manifest.json"} == {path.name for path in folder.glob("0*.nc")}


def test_a_cluster_that_is_not_installed_is_one_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert call("simulate", *SWEEP, "--out", str(tmp_path / "run.nc"), "--cluster") == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'astromorphic[cluster]'" in err
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_gives_the_bytes_of_a_local_run(tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    here, there = tmp_path / "here.nc", tmp_path / "there.nc"
    arguments = ("simulate", *SWEEP, "--set", "duration=1", "--block", "6")
    assert call(*arguments, "--out", str(here)) == 0
    assert call(*arguments, "--cluster", "--out", str(there)) == 0
    assert sha(here) == sha(there)
