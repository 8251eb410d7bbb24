"""Files: identical after a round trip, whole or absent, and refused when they could reach other files."""

from __future__ import annotations

import errno
import json
import os
import tempfile

import h5py
import numpy as np
import pytest
import xarray as xr

import biosim
from biosim import DatasetError, memory
from biosim.atomic import OutputError, check_writable, replacing, write_bytes, write_text


@pytest.fixture(scope="module")
def dataset():
    return biosim.simulate("fig3", rates=[1.0, 5.0], trials=3, duration=3.0, settle=1.0, record=0.5, seed=2**62)


@pytest.fixture
def saved(dataset, tmp_path):
    return biosim.save(dataset, tmp_path / "run.nc")


def test_round_trip(dataset, saved):
    loaded = biosim.load(saved)
    xr.testing.assert_identical(loaded, dataset)
    assert loaded.attrs["provenance"] == dataset.attrs["provenance"]
    assert biosim.provenance(loaded) == json.loads(dataset.attrs["provenance"])
    assert biosim.provenance(loaded)["seed"] == 2**62
    for name, variable in dataset.variables.items():
        assert loaded[name].dtype == variable.dtype, name
        assert loaded[name].attrs["units"] == variable.attrs["units"], name
        np.testing.assert_array_equal(loaded[name], variable, err_msg=name)
    assert [p.name for p in saved.parent.iterdir()] == ["run.nc"]


def test_saving_twice_replaces(dataset, saved):
    changed = dataset.assign_attrs(title="second")
    biosim.save(changed, saved)
    assert biosim.load(saved).attrs["title"] == "second"


def test_every_array_carries_a_checksum(saved):
    """One flipped byte in the data must be noticed, not read as another number."""
    with h5py.File(saved, "r") as file:
        arrays = [item for item in file.values() if isinstance(item, h5py.Dataset) and item.shape]
        assert arrays and all(item.fletcher32 for item in arrays if item.dtype.kind in "fiu" and item.name != "/trial")
        chunk = file["calcium_mean"].id.get_chunk_info(0)
    data = bytearray(saved.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 0x10
    saved.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match=r"run\.nc is damaged .*make it anew or restore a copy"):
        biosim.load(saved)


@pytest.mark.parametrize("keep", [0, 7, 4000, 0.9])
def test_truncated_file(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(DatasetError, match=r"run\.nc"):
        biosim.load(saved)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"no such file: .*none\.nc"):
        biosim.load(tmp_path / "none.nc")
    with pytest.raises(DatasetError, match="is a folder; name a NetCDF file"):
        biosim.load(tmp_path)
    with pytest.raises(DatasetError, match=r"no such file: .*'; name a NetCDF file"):
        biosim.load("a\0b.nc")
    with pytest.raises(DatasetError, match=r"cannot be read .*too long"):
        biosim.load(tmp_path / ("n" * 300))
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="no such file"):
        biosim.load(tmp_path / "file" / "run.nc")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nc")
    with pytest.raises(DatasetError, match=r"pipe\.nc is not an ordinary file"):
        biosim.load(tmp_path / "pipe.nc")
    with pytest.raises(OutputError, match=r"pipe\.nc: it is not an ordinary file; name another file"):
        check_writable(tmp_path / "pipe.nc")


def test_empty_file(tmp_path):
    (tmp_path / "empty.nc").touch()
    with pytest.raises(DatasetError, match=r"empty\.nc is empty; name a NetCDF file"):
        biosim.load(tmp_path / "empty.nc")


def test_text_is_no_netcdf(tmp_path):
    (tmp_path / "notes.nc").write_text("calcium 0.1\n")
    with pytest.raises(DatasetError, match=r"notes\.nc is not a readable NetCDF-4 file"):
        biosim.load(tmp_path / "notes.nc")


def test_foreign_netcdf(tmp_path):
    xr.Dataset({"x": ("t", np.arange(3.0))}).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    with pytest.raises(DatasetError, match="no attribute 'provenance'"):
        biosim.load(tmp_path / "x.nc")


def test_classic_netcdf(tmp_path):
    """The format before HDF5, which the reader of this package does not open."""
    xr.Dataset({"x": ("t", np.arange(3.0))}).to_netcdf(tmp_path / "x.nc", engine="scipy")
    with pytest.raises(DatasetError, match=r"x\.nc is not a readable NetCDF-4 file"):
        biosim.load(tmp_path / "x.nc")


@pytest.mark.parametrize("text", ["not json", "[1, 2]", "", "[" * 100_000])
def test_changed_provenance(dataset, tmp_path, text):
    path = biosim.save(dataset.assign_attrs(provenance=text), tmp_path / "p.nc")
    with pytest.raises(DatasetError, match=r"p\.nc: the attribute 'provenance' is"):
        biosim.load(path)


@pytest.mark.parametrize("record", [{}, {"schema": None}, {"schema": "2.0"}, {"institution": "another program"}])
def test_provenance_of_another_program_or_version(dataset, tmp_path, record):
    path = biosim.save(dataset.assign_attrs(provenance=json.dumps(record)), tmp_path / "p.nc")
    with pytest.raises(DatasetError, match=r"p\.nc has schema .*, expected 1\.0: .*make it anew"):
        biosim.load(path)


def test_a_later_minor_version_is_read(dataset, tmp_path):
    record = biosim.provenance(dataset) | {"schema": "1.7"}
    path = biosim.save(dataset.assign_attrs(provenance=json.dumps(record)), tmp_path / "p.nc")
    assert biosim.provenance(biosim.load(path))["schema"] == "1.7"


# Files from strangers -------------------------------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(4.0)
    return path


def _refused(path, match):
    with pytest.raises(DatasetError, match=match) as caught:
        biosim.load(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_external_link(saved, secret):
    with h5py.File(saved, "a") as file:
        file["leak"] = h5py.ExternalLink(str(secret), "/x")
    _refused(saved, "'leak' is a link to another place; refused")


def test_soft_link(saved):
    with h5py.File(saved, "a") as file:
        file["again"] = h5py.SoftLink("/calcium_mean")
    _refused(saved, "'again' is a link")


def test_link_inside_a_group(saved, secret):
    with h5py.File(saved, "a") as file:
        file.create_group("inner")["leak"] = h5py.ExternalLink(str(secret), "/x")
    _refused(saved, "'leak' is a link")


def test_virtual_dataset(saved, secret):
    with h5py.File(saved, "a") as file:
        layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
        layout[:] = h5py.VirtualSource(str(secret), "x", shape=(4,))
        file.create_virtual_dataset("leak", layout)
    _refused(saved, "the data of 'leak' lie in another file; refused")


def test_external_storage(saved, tmp_path):
    raw = tmp_path / "raw.bin"
    raw.write_bytes(np.arange(4.0).tobytes())
    with h5py.File(saved, "a") as file:
        file.create_dataset("leak", shape=(4,), dtype="f8", external=[(str(raw), 0, 32)])
    _refused(saved, "the data of 'leak' lie in another file; refused")


def test_declared_size(saved, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2**40)
    with h5py.File(saved, "a") as file:
        file.create_dataset("huge", shape=(2**40,), dtype="f8", chunks=(2**20,))
    assert saved.stat().st_size < 10**6
    _refused(saved, "declares more than 16 GiB of data; refused")
    monkeypatch.setattr(memory, "available", lambda: 2**30)
    _refused(saved, "declares more than 1 GiB of data; refused")


def test_many_objects(saved):
    with h5py.File(saved, "a") as file:
        for k in range(1001):
            file.create_group(f"g{k}")
    _refused(saved, "more than 1000 objects")


def test_group_that_contains_itself(saved):
    with h5py.File(saved, "a") as file:
        group = file.create_group("g")
        group["g"] = group
    _refused(saved, "more than 1000 objects|not a readable")


def test_large_attribute(saved):
    with h5py.File(saved, "a", libver="latest") as file:
        file.attrs.create("big", np.zeros(200_000))
    _refused(saved, "attribute 'big' has 1600000 bytes")


# Whole or not at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_write_leaves_the_old_file(tmp_path, error):
    target = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error), replacing(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_interrupted_save_leaves_nothing(dataset, tmp_path, monkeypatch):
    def fail(self, file, **options):
        file.write(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", fail)
    with pytest.raises(biosim.OutputError, match=r"run\.nc: No space left on device; free some space"):
        biosim.save(dataset, tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_written_bytes_and_permissions(tmp_path):
    old = os.umask(0o022)
    try:
        path = write_text(tmp_path / "t.txt", "Ca²⁺\r\n")
    finally:
        os.umask(old)
    assert path.read_bytes() == "Ca²⁺\r\n".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert write_bytes(path, b"\x00\xff").read_bytes() == b"\x00\xff"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_saved_dataset_has_the_permissions_of_any_new_file(dataset, tmp_path, umask, mode):
    """The temporary file is private; the final one must not be, or a colleague could not read it."""
    old = os.umask(umask)
    try:
        path = biosim.save(dataset, tmp_path / "run.nc")
        plain = tmp_path / "plain"
        plain.write_text("x")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == plain.stat().st_mode & 0o777 == mode


def test_places_that_cannot_be_written(dataset, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"folder .*nowhere does not exist; create it first"):
        biosim.save(dataset, tmp_path / "nowhere" / "run.nc")
    with pytest.raises(OutputError, match="it is a folder; name a file"):
        biosim.save(dataset, tmp_path)
    (tmp_path / "file").write_text("x")
    for below in ("file/run.nc", "file/deeper/run.nc"):
        with pytest.raises(OutputError, match=r"does not exist, as .*file is a file; choose another folder"):
            biosim.save(dataset, tmp_path / below)
    (tmp_path / "file").unlink()

    def refuse(**options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(OutputError, match=r"cannot write .*run\.nc: folder .* is not writable"):
        biosim.save(dataset, tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\0b.nc", "a name cannot contain a null character; choose another name"),
        ("n" * 300 + ".nc", r"the place cannot be used \(File name too long\); choose another"),
        ("", "it is a folder; name a file"),
        ("none/run.nc", "does not exist; create it first"),
    ],
)
def test_check_writable_refuses(tmp_path, name, message):
    with pytest.raises(OutputError, match=message) as caught:
        check_writable(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc")
@pytest.mark.parametrize("path", ["/proc/run.nc", "/proc/self/run.nc"])
def test_a_virtual_file_system_is_found_out_before_the_work(path):
    """Permissions allow it there to the superuser, and yet no file can be made."""
    with pytest.raises(OutputError, match=r"cannot write /proc/.*run\.nc: folder /proc.* is not writable"):
        check_writable(path)


def test_check_writable_leaves_no_trace(tmp_path):
    longest = tmp_path / ("n" * 252 + ".nc")
    assert check_writable(longest) == longest
    assert list(tmp_path.iterdir()) == []
    write_text(longest, "old")
    check_writable(longest)
    assert longest.read_text() == "old"
    assert list(tmp_path.iterdir()) == [longest]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_read_only_folder(dataset, tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="is not writable"):
            biosim.save(dataset, tmp_path / "run.nc")
    finally:
        tmp_path.chmod(0o755)
