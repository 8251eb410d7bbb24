"""Sweeps in blocks: the bytes of an unbroken run in memory, whatever is killed, damaged, full or cut differently."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import math
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import biosim
from biosim import SimulationError, assembly, cluster, memory, parts, sweeps
from biosim.atomic import OutputError
from biosim.lock import Held, locked

ROOT = Path(__file__).parents[2]


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_plan(**options: Any) -> biosim.Protocol:
    """Three axes, 3 x 5 x 4 units, random input; the swept parameter does not come first."""
    given = {"rates": [2.0, 9.0, 30.0], "trials": 5, "duration": 2.0, "settle": 0.5} | options
    return biosim.swept(biosim.protocol("rate_sweep", "psu", **given), "K_AG", [-4000.0, -1000.0, -500.0, 0.0])


@pytest.fixture(scope="module")
def plan() -> biosim.Protocol:
    return make_plan()


@pytest.fixture(scope="module")
def whole(plan, tmp_path_factory) -> Path:
    """The unbroken sweep, in one block."""
    return biosim.sweep(plan, tmp_path_factory.mktemp("whole") / "run.nc", seed=7, block=60)


@pytest.fixture
def blocks(monkeypatch) -> list[tuple[int, int]]:
    """The blocks (first unit, units) that are really computed, in order."""
    computed: list[tuple[int, int]] = []
    measure = sweeps.measure

    def counting(ensemble, *arguments, **options):
        computed.append((ensemble.first_unit, ensemble.n_units))
        return measure(ensemble, *arguments, **options)

    monkeypatch.setattr(sweeps, "measure", counting)
    return computed


def assert_same_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Everything equal to the last bit, but the notes on time and threads."""
    loaded = biosim.load(path)
    one, other = biosim.provenance(loaded), biosim.provenance(dataset)
    notes = one.pop("engine_notes"), other.pop("engine_notes")
    assert one == other
    assert notes[0] == {name: value for name, value in notes[1].items() if name == "unit_steps"}
    xr.testing.assert_identical(loaded.assign_attrs(provenance=""), dataset.assign_attrs(provenance=""))
    for name, variable in dataset.variables.items():
        assert loaded[name].dtype == variable.dtype, name
        assert loaded[name].values.tobytes() == variable.values.tobytes(), name


# The same bytes as in memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record", [None, 0.5])
def test_any_block_gives_the_dataset_of_the_run_in_memory(plan, record, tmp_path):
    dataset = biosim.simulate(plan, seed=7, record=record)
    assert np.unique(dataset.release_rate).size > 40
    made = []
    for size in (7, 25):
        path = biosim.sweep(plan, tmp_path / f"{size}.nc", seed=7, record=record, block=size)
        assert_same_dataset(path, dataset)
        made.append(sha(path))
    path = biosim.sweep(plan, tmp_path / "threads.nc", seed=7, record=record, block=9, engine_options={"threads": 1})
    assert len({*made, sha(path)}) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["25.nc", "7.nc", "threads.nc"]


def test_pieces_of_the_file_do_not_show_in_it(plan, tmp_path, monkeypatch):
    """Small pieces cut through rows, axes and the time of the traces; the numbers stay where they belong."""
    monkeypatch.setattr(assembly, "CHUNK", 6)
    monkeypatch.setattr(assembly, "PIECE", 50)
    path = biosim.sweep(plan, tmp_path / "run.nc", seed=7, record=0.5, block=13)
    assert_same_dataset(path, biosim.simulate(plan, seed=7, record=0.5))


@pytest.mark.parametrize("record", [None, 2.0])
def test_a_protocol_of_two_passes(record, tmp_path):
    """The threshold of each unit's crossings follows from its own first pass, in whatever block it is."""
    options = {"ip3": [0.2, 0.35, 0.4, 0.45, 0.5, 0.55, 0.9], "duration": 120.0, "settle": 60.0, "record": record}
    dataset = biosim.simulate("constant_ip3", **options)
    assert (dataset.crossings > 1).any() and np.isnan(dataset.crossing_period).any()
    seen: list[int] = []
    path = biosim.sweep(
        "constant_ip3", tmp_path / "c.nc", block=2, progress=lambda done, total: seen.append(done), **options
    )
    assert_same_dataset(path, dataset)
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 7


def test_resting_calcium_varies_with_the_axes_it_depends_on(tmp_path):
    """One solution per value of r_L, spread over the other axes; in memory and by blocks."""
    plan = biosim.swept(
        biosim.protocol("rate_sweep", rates=[1.0, 4.0], trials=3, duration=0.5, settle=0), "r_L", [0.05, 0.11]
    )
    dataset = biosim.load(biosim.sweep(plan, tmp_path / "run.nc", block=5))
    assert dataset.calcium_rest.dims == ("input_rate", "trial", "r_L")
    for value in (0.05, 0.11):
        ca, _ = biosim.rest_state(0.16, biosim.parameter_set("wade2012").with_values(r_L=value))
        assert (dataset.calcium_rest.sel(r_L=value) == ca).all()
    assert_same_dataset(tmp_path / "run.nc", biosim.simulate(plan))


def test_progress_counts_units(plan, tmp_path):
    seen: list[tuple[int, int]] = []
    biosim.sweep(plan, tmp_path / "run.nc", block=20, progress=lambda *at: seen.append(at))
    assert seen[0] == (0, 60) and seen[-1] == (60, 60)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_long_axis_is_recorded_by_its_digest(tmp_path):
    """The provenance is an attribute, which has little room: a list of so many trials could not be read back."""
    options = {"rates": [5.0], "trials": 20_001, "duration": 0.01, "settle": 0.0}
    path = biosim.sweep("rate_sweep", tmp_path / "run.nc", **options)
    dataset = biosim.load(path)
    assert dataset.sizes["trial"] == 20_001
    trials = biosim.provenance(dataset)["protocol"]["axes"]["trial"]
    assert trials == {"count": 20_001, "sha256": hashlib.sha256(np.arange(20_001.0).tobytes()).hexdigest()}
    other = biosim.protocol("rate_sweep", **options | {"trials": 20_002})
    assert other.to_record()["axes"]["trial"] != trials


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 4), (2, 3, 5), (1, 1, 9), (4, 1, 2, 3)])
@pytest.mark.parametrize("most", [1, 2, 5, 6, 1000])
def test_pieces_cover_everything_once_in_order(shape, most):
    numbers = np.arange(math.prod(shape)).reshape(shape)
    reached = 0
    for index, start, stop in assembly.pieces(shape, most):
        assert start == reached and stop - start <= max(most, 1)
        assert numbers[index].ravel().tolist() == list(range(start, stop))
        reached = stop
    assert reached == numbers.size


@pytest.mark.parametrize(("start", "stop", "size"), [(0, 10, 10), (0, 19, 10), (5, 105, 10), (3, 4, 10), (0, 1001, 7)])
def test_blocks_are_equal_and_not_smaller_than_asked(start, stop, size):
    ranges = sweeps.cut(start, stop, size)
    lengths = [b - a for a, b in ranges]
    assert ranges[0][0] == start and ranges[-1][1] == stop
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= min(size, stop - start)


def test_assembly_holds_one_piece_and_not_all_traces(plan, tmp_path, monkeypatch):
    traced = make_plan(trials=100, duration=1.0).with_clock(record=0.01)
    monkeypatch.setattr(assembly, "PIECE", 2**14)
    peak = 0
    assemble = sweeps.assemble

    def watched(*arguments):
        nonlocal peak
        tracemalloc.start()
        assemble(*arguments)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    monkeypatch.setattr(sweeps, "assemble", watched)
    biosim.sweep(traced, tmp_path / "run.nc", block=100)
    total = traced.sample().trace_bytes_per_unit * traced.n_units
    assert total > 8e6
    assert peak < total / 4


# Killed in the middle --------------------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
sys.path[:0] = [{root!r}, {tests!r}]
import biosim, biosim.parts, biosim.sweeps, biosim.assembly
from test_biosim_sweeps import make_plan
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{patch}
biosim.sweep(make_plan(), {out!r}, seed=7, block=11, progress=progress)
"""

POINTS = {
    # In the third block; while the final file is written; when it is there and its parts are still to be removed.
    "block": "progress = lambda done, total: die() if done > 24 else None",
    "assembly": "progress = None\nbiosim.assembly._fill = die",
    "removal": "progress = None\nbiosim.parts.PartsFolder.remove = die",
}


def run_child(patch: str, out: Path) -> subprocess.CompletedProcess[str]:
    code = CHILD.format(root=str(ROOT), tests=str(Path(__file__).parent), patch=patch, out=str(out))
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="this system has no SIGKILL")
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_sweep_continues_and_ends_with_the_same_bytes(point, plan, whole, tmp_path, blocks):
    out = tmp_path / "run.nc"
    child = run_child(POINTS[point], out)
    assert child.returncode == -9, child.stderr
    folder = tmp_path / "run.nc.parts"
    left = sorted(path.name for path in folder.glob("*.nc"))
    assert len(left) == (2 if point == "block" else 5)
    assert (folder / parts.LOCK).exists()
    assert out.exists() == (point == "removal")
    # Half a file, as the kill can leave one.
    (folder / ".write-abc123.tmp").write_bytes(b"half")
    assert biosim.sweep(plan, out, seed=7, block=17) == out
    assert blocks == ([(24, 18), (42, 18)] if point == "block" else [])
    assert sha(out) == sha(whole)
    names = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".write-")]
    assert names == ["run.nc"]


def interrupted(plan: biosim.Protocol, out: Path, after: int, **options: Any) -> Path:
    """Stop a sweep when `after` units are done; returns the folder of its parts."""

    def stop(done: int, total: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        biosim.sweep(plan, out, progress=stop, **options)
    return out.with_name(out.name + ".parts")


def test_interrupts_leave_parts_without_a_lock(plan, tmp_path):
    folder = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=10)
    assert sorted(p.name for p in folder.iterdir()) == [
        "00000000-00000010.nc", "00000010-00000020.nc", "00000020-00000030.nc", "manifest.json",
    ]  # fmt: skip
    # Before the first part is there, nothing is worth keeping.
    interrupted(plan, tmp_path / "early.nc", 0, seed=7, block=10)
    assert not (tmp_path / "early.nc.parts").exists()


# Bad parts -------------------------------------------------------------------------------------------------------------


def cut_short(path: Path, folder: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def flip_a_byte(path: Path, folder: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        offset = file["calcium_mean"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 3] ^= 1
    path.write_bytes(bytes(data))


def empty(path: Path, folder: Path) -> None:
    path.write_bytes(b"")


def other_units(path: Path, folder: Path) -> None:
    """The numbers of other units under the name of this part."""
    shutil.copy(folder / "00000000-00000015.nc", path)


def other_run(path: Path, folder: Path) -> None:
    other = interrupted(make_plan(), folder.parent / "other.nc", 30, seed=8, block=15)
    shutil.copy(other / path.name, path)
    shutil.rmtree(other)


def claims_the_run(path: Path, folder: Path) -> None:
    """Numbers of another run with the right digest of the run: its own digest tells."""
    import h5py

    key = json.loads((folder / parts.MANIFEST).read_text())["digest"]
    other_run(path, folder)
    with h5py.File(path, "a") as file:
        about = json.loads(file.attrs["about"])
        file.attrs["about"] = json.dumps(about | {"run": key})


def link_elsewhere(path: Path, folder: Path) -> None:
    import h5py

    with h5py.File(path, "a") as file:
        del file["calcium_mean"]
        file["calcium_mean"] = h5py.ExternalLink(str(folder / "00000000-00000015.nc"), "/calcium_mean")


@pytest.mark.parametrize(
    "spoil", [cut_short, flip_a_byte, empty, other_units, other_run, claims_the_run, link_elsewhere]
)
def test_a_bad_part_is_set_aside_and_computed_again(spoil, plan, whole, tmp_path, blocks):
    folder = interrupted(plan, tmp_path / "run.nc", 45, seed=7, block=15)
    spoil(folder / "00000015-00000030.nc", folder)
    blocks.clear()
    with pytest.raises(KeyboardInterrupt):
        biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15, progress=_stop_at(31))
    assert (folder / "00000015-00000030.nc.bad").is_file()
    assert blocks == [(15, 15), (45, 15)]
    biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15)
    assert sha(tmp_path / "run.nc") == sha(whole)
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def _stop_at(units: int):
    def stop(done: int, total: int) -> None:
        if done > 45:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("name", ["00000050-00000070.nc", "00000020-00000020.nc", "00000025-00000035.nc"])
def test_names_of_wrong_ranges(name, plan, whole, tmp_path, blocks):
    """Beyond the last unit, no unit at all, and units that another part has: none of them is used."""
    folder = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=15)
    shutil.copy(folder / "00000015-00000030.nc", folder / name)
    blocks.clear()
    biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15)
    assert blocks == [(30, 15), (45, 15)]
    assert sha(tmp_path / "run.nc") == sha(whole)


def test_a_true_part_that_overlaps_is_not_used_twice(plan, whole, tmp_path):
    one = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=15)
    other = interrupted(plan, tmp_path / "other.nc", 30, seed=7, block=10)
    shutil.copy(other / "00000010-00000020.nc", one)
    biosim.sweep(plan, tmp_path / "run.nc", seed=7)
    assert sha(tmp_path / "run.nc") == sha(whole)


def test_a_damaged_manifest_is_made_anew(plan, whole, tmp_path, blocks):
    folder = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=15)
    (folder / parts.MANIFEST).write_text('{"format": "biosim-pa')
    blocks.clear()
    biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15)
    assert blocks == [(30, 15), (45, 15)]
    assert sha(tmp_path / "run.nc") == sha(whole)
    assert not folder.exists()


# Not twice, and not over something else --------------------------------------------------------------------------------


def test_a_finished_sweep_is_not_repeated(plan, whole, tmp_path, blocks):
    out = Path(shutil.copy(whole, tmp_path / "run.nc"))
    before = out.stat()
    assert biosim.sweep(plan, out, seed=7, block=3, engine_options={"threads": 2}) == out
    assert blocks == []
    after = out.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_the_file_of_a_run_in_memory_counts_as_finished(plan, tmp_path, blocks):
    path = biosim.save(biosim.simulate(plan, seed=7), tmp_path / "run.nc")
    assert biosim.sweep(plan, path, seed=7, block=9) == path
    assert blocks == []


def test_another_run_in_place_is_refused(plan, whole, tmp_path, blocks):
    out = Path(shutil.copy(whole, tmp_path / "run.nc"))
    with pytest.raises(
        OutputError, match=r"run\.nc holds another run \(seed is 7 there and 8 here\); name another file"
    ):
        biosim.sweep(plan, out, seed=8)
    with pytest.raises(OutputError, match=r"protocol\.clock_s\.duration is 2\.0 there and 3\.0 here"):
        biosim.sweep(make_plan(duration=3.0), out, seed=7)
    assert sha(out) == sha(whole)
    (tmp_path / "notes.nc").write_text("my notes")
    with pytest.raises(OutputError, match=r"notes\.nc exists and is no file of this package; name another file"):
        biosim.sweep(plan, tmp_path / "notes.nc")
    assert (tmp_path / "notes.nc").read_text() == "my notes"
    assert blocks == []


def test_results_of_other_code_are_not_taken_for_this_run(plan, whole, tmp_path, monkeypatch):
    out = Path(shutil.copy(whole, tmp_path / "run.nc"))
    monkeypatch.setattr(biosim.simulation, "source_digest", lambda: "0" * 64)
    with pytest.raises(OutputError, match=r"holds another run \(source is '"):
        biosim.sweep(plan, out, seed=7)


def test_parts_of_other_settings_are_refused(plan, tmp_path, blocks):
    folder = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=15)
    before = {p.name: sha(p) for p in folder.iterdir()}
    blocks.clear()
    with pytest.raises(
        OutputError, match=r"unfinished sweep with other settings \(seed is 7 there and 8 here\): repeat"
    ):
        biosim.sweep(plan, tmp_path / "run.nc", seed=8)
    assert {p.name: sha(p) for p in folder.iterdir()} == before
    assert blocks == []


def test_a_folder_of_somebody_else_is_left_alone(plan, tmp_path, blocks):
    folder = tmp_path / "run.nc.parts"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"run\.nc\.parts holds thesis\.txt and no sweep; name another output file"):
        biosim.sweep(plan, tmp_path / "run.nc")
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]
    assert blocks == []


def test_a_file_put_among_the_parts_survives_them(plan, tmp_path):
    folder = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=15)
    (folder / "thesis.txt").write_text("mine")
    biosim.sweep(plan, tmp_path / "run.nc", seed=7)
    assert [p.name for p in folder.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "block = 0: expected a whole number of at least 1"),
        ({"block": 2.5}, "block = 2.5: expected a whole number"),
        ({"engine": "numbo"}, "unknown engine 'numbo'"),
        ({"engine_options": {"thread": 1}}, "option of engine numba.*did you mean 'threads'"),
        ({"seed": -1}, "seed = -1"),
        ({"trials": 3}, "options are part of a Protocol object"),
        ({"engine": "brian2", "block": 20}, "engine brian2 draws all units from one stream"),
        ({"cluster": "here"}, "cluster = 'here': expected 'local' or the address"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_made(plan, tmp_path, options, message, blocks, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", sys)
    with pytest.raises(ValueError, match=message) as caught:
        biosim.sweep(plan, tmp_path / "run.nc", **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [] and blocks == []


def test_values_that_only_a_late_block_would_meet_are_refused_at_once(tmp_path, blocks):
    plan = biosim.protocol("rate_sweep", rates=[*range(1, 400), 900.0], trials=2, duration=0.1, settle=0)
    with pytest.raises(SimulationError, match=r"input rate = 900 Hz with dt = 0.001 s"):
        biosim.sweep(plan, tmp_path / "run.nc", block=10)
    assert list(tmp_path.iterdir()) == [] and blocks == []


def test_blocks_are_as_large_as_their_work_and_traces_allow(plan):
    assert sweeps.block_size(plan) == sweeps.LARGEST_BLOCK
    long = plan.with_clock(duration=400.0)
    assert sweeps.block_size(long) == 10_000
    assert sweeps.block_size(long.with_clock(duration=40_000.0)) == sweeps.SMALLEST_BLOCK
    assert sweeps.block_size(long, block=3) == 3
    traced = sweeps.block_size(long.with_clock(record=0.1))
    assert traced * long.with_clock(record=0.1).sample().trace_bytes_per_unit <= sweeps.BLOCK_TRACE_BYTES
    assert sweeps.block_size(long.with_clock(record=0.1), cluster=True) == 10_000
    assert sweeps.block_size(long, "brian2") == long.n_units


def test_more_than_a_file_or_the_disk_holds_is_refused(tmp_path, blocks, monkeypatch):
    monkeypatch.setattr(sweeps, "MAX_BYTES", 59 * 112)
    with pytest.raises(
        SimulationError, match=r"60 units of 112 bytes: more than .* GiB, which no file may hold; give fewer"
    ):
        biosim.sweep(make_plan(), tmp_path / "run.nc")
    monkeypatch.setattr(sweeps, "MAX_BYTES", 60 * 112)
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    with pytest.raises(SimulationError, match=r"20 units at once: needs about .*; give a smaller block"):
        biosim.sweep(make_plan(), tmp_path / "run.nc", block=20)
    monkeypatch.setattr(memory, "available", lambda: 2**40)
    small = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: small)
    with pytest.raises(OutputError, match=r"cannot write .*run\.nc: 60 units take .* the disk has .*free some space"):
        biosim.sweep(make_plan(), tmp_path / "run.nc")
    assert list(tmp_path.iterdir()) == [] and blocks == []


# The lock --------------------------------------------------------------------------------------------------------------


def holder(**changes: Any) -> str:
    from biosim.lock import _started

    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())} | changes)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_two_commands_do_not_write_one_run(plan, tmp_path, blocks):
    folder = interrupted(plan, tmp_path / "run.nc", 30, seed=7, block=15)
    blocks.clear()
    with (
        locked(folder / parts.LOCK, "run"),
        pytest.raises(Held, match=rf"run\.nc is being worked on by process {os.getpid()}; wait for it to end"),
    ):
        biosim.sweep(plan, tmp_path / "run.nc", seed=7)
    assert blocks == []
    biosim.sweep(plan, tmp_path / "run.nc", seed=7)
    assert not folder.exists()


@pytest.mark.parametrize("kind", ["dead", "number used again"])
def test_the_lock_of_a_dead_process_is_taken_over(kind, tmp_path):
    path = tmp_path / "lock.json"
    path.write_text(holder(pid=dead_process()) if kind == "dead" else holder(started="another boot/17"))
    with locked(path, "run"):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            holder(host="elsewhere", pid=12),
            r"process 12 of elsewhere; wait for it, or remove .*lock\.json if it is dead",
        ),
        ("", r"locked by .*lock\.json, which cannot be read; remove it if no command is at work"),
        ("[1, 2]", "which cannot be read"),
    ],
    ids=["elsewhere", "empty", "no record"],
)
def test_a_lock_of_which_nothing_is_known_stands(text, message, tmp_path):
    path = tmp_path / "lock.json"
    path.write_text(text)
    with pytest.raises(Held, match=message), locked(path, "run"):
        raise AssertionError
    assert path.read_text() == text


# A full disk -----------------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_no_finished_block(plan, whole, tmp_path, monkeypatch, blocks):
    write, written = parts.write_bytes, []

    def full(path, data):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write(path, data)

    monkeypatch.setattr(parts, "write_bytes", full)
    with pytest.raises(
        OutputError, match=r"No space left on device; finished blocks are kept, free some space and give"
    ):
        biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15)
    assert [p.name for p in (tmp_path / "run.nc.parts").glob("*.nc")] != []
    monkeypatch.setattr(parts, "write_bytes", write)
    blocks.clear()
    biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15)
    assert blocks == [(30, 15), (45, 15)]
    assert sha(tmp_path / "run.nc") == sha(whole)


def test_a_final_file_that_cannot_be_written_loses_no_block(plan, whole, tmp_path, monkeypatch, blocks):
    fill = assembly._fill

    def full(*arguments):
        raise OSError(errno.ENOSPC, "Can't write data\n(file write failed)")
        yield

    monkeypatch.setattr(assembly, "_fill", full)
    with pytest.raises(
        OutputError, match=r"cannot write .*run\.nc: .*all blocks are computed and kept, free"
    ) as caught:
        biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=15)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(assembly, "_fill", fill)
    blocks.clear()
    biosim.sweep(plan, tmp_path / "run.nc", seed=7)
    assert blocks == []
    assert sha(tmp_path / "run.nc") == sha(whole)


def _can_mount() -> bool:
    command = ["unshare", "-Urm", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("size", [pytest.param("60k", marks=pytest.mark.slow), "150k"])
def test_a_disk_that_is_really_full(size, whole, tmp_path):
    """A file system with room for some parts, or for all of them but not for the final file as well."""
    if not _can_mount():
        pytest.skip("this system lets no user mount a small file system")
    code = CHILD.format(root=str(ROOT), tests=str(Path(__file__).parent), patch="progress = None", out="/mnt/run.nc")
    script = tmp_path / "child.py"
    script.write_text(code)
    steps = (
        f"mount -t tmpfs -o size={size} tmpfs /mnt; {sys.executable} {script}; echo status $?; ls /mnt/run.nc.parts; "
        f"mount -o remount,size=8m /mnt; {sys.executable} {script}; echo status $?; ls /mnt; sha256sum /mnt/run.nc"
    )
    run = subprocess.run(["unshare", "-Urm", "sh", "-c", steps], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert run.stdout.count("status 1") == 1 and run.stdout.count("status 0") == 1, run.stdout + run.stderr
    assert "00000000-00000012.nc" in run.stdout
    assert run.stderr.splitlines()[-1].startswith("biosim.atomic.OutputError: cannot write")
    assert "free some space" in run.stderr
    assert sha(whole) in run.stdout


# A cluster -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as made:
        yield made.scheduler_address


def test_a_cluster_gives_the_bytes_of_a_local_run(plan, whole, tmp_path, scheduler):
    seen: list[int] = []
    path = biosim.sweep(
        plan, tmp_path / "run.nc", seed=7, block=9, cluster=scheduler, progress=lambda done, total: seen.append(done)
    )
    assert sha(path) == sha(whole)
    assert seen == [0, 10, 20, 30, 40, 50, 60]
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_a_cluster_continues_what_was_begun_here(plan, tmp_path, scheduler):
    """Traces and two axes; the parts of both origins in one file."""
    interrupted(plan, tmp_path / "run.nc", 30, seed=7, record=0.5, block=15)
    path = biosim.sweep(plan, tmp_path / "run.nc", seed=7, record=0.5, block=15, cluster=scheduler)
    assert_same_dataset(path, biosim.simulate(plan, seed=7, record=0.5))


def test_a_block_that_fails_on_a_cluster_keeps_the_others(tmp_path, scheduler, monkeypatch, plan, whole):
    original = cluster._submit

    def spoilt(client, block):
        return original(client, replace(block, source="other code") if block.start == 20 else block)

    monkeypatch.setattr(cluster, "_submit", spoilt)
    with pytest.raises(
        cluster.ClusterError, match=r"1 of 6 blocks failed, the others are kept.*units 20 to 29: a worker has"
    ):
        biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=10, cluster=scheduler)
    assert len(list((tmp_path / "run.nc.parts").glob("*.nc"))) == 5
    monkeypatch.setattr(cluster, "_submit", original)
    assert sha(biosim.sweep(plan, tmp_path / "run.nc", seed=7, cluster=scheduler)) == sha(whole)


def test_a_cluster_of_its_own(plan, whole, tmp_path):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    assert sha(biosim.sweep(plan, tmp_path / "run.nc", seed=7, block=20, cluster="local")) == sha(whole)


def test_a_scheduler_that_is_not_there(plan, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    with pytest.raises(cluster.ClusterError, match=r"no cluster at tcp://127\.0\.0\.1:1 .*or use cluster 'local'"):
        biosim.sweep(plan, tmp_path / "run.nc", cluster="tcp://127.0.0.1:1")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_one_line(plan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(cluster.ClusterError, match=r"pip install 'astromorphic\[cluster\]', or run without a cluster"):
        biosim.sweep(plan, tmp_path / "run.nc", cluster="local")
    assert list(tmp_path.iterdir()) == []


def test_a_worker_with_other_code_is_refused(plan, tmp_path):
    record = biosim.simulation.run_record(plan, "numba", 7, {})
    block = sweeps.Block(
        plan.ensemble(7, 0, 4), False, "numba", {}, tmp_path, "k", record["source"], record["versions"]
    )
    assert pickle.loads(pickle.dumps(block)).compute().stop == 4
    with pytest.raises(
        SimulationError, match=r"a worker has another numba \('.*'\) than the sweep \('0\.1'\): install the same"
    ):
        replace(block, versions=record["versions"] | {"numba": "0.1"}).compute()


def test_parameter_sets_travel_with_their_sources():
    for name in biosim.parameter_sets():
        one = biosim.parameter_set(name)
        other = pickle.loads(pickle.dumps(one))
        assert other == one and other.to_records() == one.to_records()
        with pytest.raises(TypeError):
            other.provenance["K_AG"] = None
