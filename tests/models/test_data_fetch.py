"""Downloads with a stand-in for the network: what is kept is what was asked for, and a failure leaves nothing behind."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.data.archives import unpack_archive
from models.data.fetching import download, fetch, guard_response
from models.data.loading import load
from models.data.manifest import verify
from models.data.places import data_folder
from models.data.sets import SETS, NamedSet, Source
from models.errors import ModelError

TEXTS = {f"aclImdb/{part}/{kind}/{i}_{rating}.txt": f"{part} {kind} review {i}"
         for part in ("train", "test") for kind, rating in (("neg", 2), ("pos", 9)) for i in range(4)}  # fmt: skip


def tar_of(members: dict[str, str], odd: list[tarfile.TarInfo] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for info in odd or []:
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def a_set(data: bytes, kind: str = "tar", url: str = "https://example.org/reviews.tar.gz", **changes) -> NamedSet:
    source = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "largest": 10**6, "kind": kind,
              "members": r"aclImdb/.*\.txt", **changes}  # fmt: skip
    limits = {name: source.pop(name) for name in ("most_files", "most_bytes", "expects") if name in source}
    return NamedSet(
        "imdb", "reviews", (Source(url, **source),), "none", "nobody", "folders", **{"expects": (), **limits}
    )


def serves(data: bytes):
    """A downloader that sends `data` in parts."""

    def get(url: str, file, source: Source) -> None:
        for start in range(0, len(data), 100):
            file.write(data[start : start + 100])

    return get


def test_a_set_arrives_whole_with_a_manifest_and_is_loaded(tmp_path):
    data = tar_of({**TEXTS, "aclImdb/train/unsup/0_0.jpg": "not asked for"})
    calls: list[tuple[int, int]] = []
    got = fetch(a_set(data), tmp_path, downloader=serves(data), progress=lambda done, of: calls.append((done, of)))
    assert got.new and got.folder == tmp_path / "imdb" and calls[-1] == (len(data), len(data))
    assert sorted(os.listdir(tmp_path)) == ["imdb"]
    record = json.loads((tmp_path / "imdb/manifest.json").read_text())
    assert set(record["files"]) == set(TEXTS)
    name = "aclImdb/test/pos/3_9.txt"
    assert record["files"][name]["sha256"] == hashlib.sha256(TEXTS[name].encode()).hexdigest()
    splits = load("imdb", folder=tmp_path, validation=2)
    assert len(splits.train) == 6 and len(splits.validation) == 2 and len(splits.test) == 8


def test_a_complete_set_is_not_fetched_again_and_a_damaged_one_is_replaced(tmp_path):
    data = tar_of(TEXTS)

    def never(url: str, file, source: Source) -> None:
        raise AssertionError

    fetch(a_set(data), tmp_path, downloader=serves(data))
    assert not fetch(a_set(data), tmp_path, downloader=never).new
    victim = tmp_path / "imdb/aclImdb/train/pos/0_9.txt"
    victim.write_text("tampered")
    with pytest.raises(ModelError, match=r"0_9.txt has sha256 .* it was damaged or changed"):
        load("imdb", folder=tmp_path, validation=2)
    with pytest.raises(ModelError, match=r"0_9.txt .*damaged; run `astromorphic data fetch imdb`"):
        verify(tmp_path / "imdb", SETS["imdb"])
    assert fetch(a_set(data), tmp_path, downloader=serves(data)).new
    assert victim.read_text() == "train pos review 0" and os.listdir(tmp_path) == ["imdb"]
    victim.unlink()
    with pytest.raises(ModelError, match=r"0_9.txt (is missing|cannot be read)"):
        load("imdb", folder=tmp_path, validation=2)


GOOD = tar_of(TEXTS)


def refused(tmp_path: Path, one: NamedSet, sent: bytes, words: str, **options) -> None:
    root = tmp_path / "data"
    with pytest.raises(ModelError, match=words) as error:
        fetch(one, root, downloader=serves(sent), **options)
    assert "\n" not in str(error.value)
    assert not root.exists() or os.listdir(root) == []
    assert sorted(os.listdir(tmp_path)) in ([], ["data"])


@pytest.mark.parametrize(
    ("sent", "changes", "words"),
    [
        (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), {}, "has sha256 .*, expected .*nothing was kept"),
        (GOOD[:-200], {}, "gave .* bytes, expected .*cut short"),
        (GOOD, {"largest": 200, "size": None}, "more than the 200 bytes allowed"),
        (GOOD, {"most_files": 10}, "more than 10 members"),
        (GOOD, {"most_bytes": 50}, "unpacks to more than 50 bytes"),
        (GOOD, {"members": "other/.*"}, "none of the files"),
        (GOOD, {"expects": ("aclImdb/README",)}, "lacks aclImdb/README"),
    ],
)  # fmt: skip
def test_what_is_not_the_expected_file_is_refused(tmp_path, sent, changes, words):
    refused(tmp_path, a_set(GOOD, **changes), sent, words)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (tarfile.TarInfo("../escaped.txt"), "member named '../escaped.txt', which would land outside"),
        (tarfile.TarInfo("aclImdb/../../escaped.txt"), "would land outside"),
        (link("aclImdb/link.txt", "/etc/passwd"), "which is a link"),
        (link("aclImdb/hard.txt", "../../x", tarfile.LNKTYPE), "which is a link"),
        (link("aclImdb/pipe.txt", "", tarfile.FIFOTYPE), "a device or a pipe"),
    ],
)
def test_archives_that_reach_outside_are_refused(tmp_path, odd, words):
    data = tar_of(TEXTS, [odd])
    refused(tmp_path, a_set(data), data, words)


def test_an_archive_with_an_absolute_name_is_refused(tmp_path):
    outside = tmp_path / "outside.txt"
    data = tar_of(TEXTS, [tarfile.TarInfo(str(outside))])
    refused(tmp_path / "data", a_set(data), data, "would land outside")
    assert not outside.exists()


@pytest.mark.parametrize(("name", "words"), [("../a.txt", "outside"), ("/a.txt", "outside"), ("link", "a link"),
                                             ("c:/a.txt", "outside")])  # fmt: skip
def test_zips_that_reach_outside_are_refused(tmp_path, name, words):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("aclImdb/a.txt", "good")
        info = zipfile.ZipInfo(name)
        if name == "link":
            info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path, a_set(out.getvalue(), "zip"), out.getvalue(), words)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_damaged_archive_with_an_accepted_hash_is_refused(tmp_path, kind):
    data = GOOD[:-300] if kind == "tar" else b"PK nonsense"
    refused(tmp_path, a_set(data, kind), data, "damaged or cut short")


def zip_of(names: list[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "review")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["aclImdb/a.txt", "aclImdb/a.txt/b.txt"], "Not a directory|File exists"),
        (["aclImdb/a.txt/b.txt", "aclImdb/a.txt"], "Is a directory|File exists"),
        (["aclImdb/" + "a" * 300 + ".txt"], "File name too long"),
    ],
)
def test_names_that_cannot_be_files_make_a_damaged_archive(tmp_path, kind, names, words):
    data = tar_of(dict.fromkeys(names, "review")) if kind == "tar" else zip_of(names)
    refused(tmp_path, a_set(data, kind), data, rf"cannot be unpacked \(.*({words})\): damaged or cut short")


def test_a_zip_whose_names_are_no_text_is_damaged(tmp_path):
    data = zip_of(["aclImdb/\u00e9.txt"]).replace("\u00e9".encode(), b"\xc3\xc3")
    refused(tmp_path, a_set(data, "zip"), data, "cannot be unpacked .*: damaged or cut short")


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO])
def test_what_the_disk_says_while_unpacking_is_not_blamed_on_the_archive(tmp_path, monkeypatch, kind, number):
    def fails(*_, **__):
        raise OSError(number, os.strerror(number))

    file = tmp_path / "reviews"
    file.write_bytes(GOOD if kind == "tar" else zip_of(["aclImdb/a.txt"]))
    monkeypatch.setattr(tarfile.TarFile, "makefile", fails)
    monkeypatch.setattr(shutil, "copyfileobj", fails)
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as error:
        unpack_archive(file, kind, tmp_path / "out", ".*", 100, 10**6)
    assert error.value.errno == number


def test_a_zip_is_unpacked_and_a_plain_file_is_kept(tmp_path):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("enwik8", b"wiki" * 100)
    data = out.getvalue()
    source = Source("https://example.org/enwik8.zip", hashlib.sha256(data).hexdigest(), None, 10**4, "zip", "enwik8")
    one = dataclasses.replace(SETS["enwik8"], sources=(source,))
    assert fetch(one, tmp_path, downloader=serves(data)).new
    assert (tmp_path / "enwik8/enwik8").read_bytes() == b"wiki" * 100
    # The registered hash of the real file is still known, and says that this is another one.
    (tmp_path / "enwik8/manifest.json").unlink()
    with pytest.raises(ModelError, match=r"enwik8 has sha256 .* the record says 2b49720ec4d78c3c"):
        load("enwik8", folder=tmp_path)
    plain = dataclasses.replace(one, name="plain", known={}, sources=(dataclasses.replace(source, kind="file"),),
                                expects=("enwik8.zip",))  # fmt: skip
    fetch(plain, tmp_path, downloader=serves(data))
    assert (tmp_path / "plain/enwik8.zip").read_bytes() == data


def test_without_a_registered_hash_a_decision_is_asked_for(tmp_path):
    one = a_set(GOOD, sha256=None)
    right = hashlib.sha256(GOOD).hexdigest()
    refused(tmp_path, one, GOOD, "--sha256 HASH .* or --accept-unverified")
    refused(tmp_path, one, GOOD, "expected 0000", sha256="0" * 64)
    refused(tmp_path, one, GOOD, "expected 64 hexadecimal digits", sha256="abc")
    refused(tmp_path, a_set(GOOD), GOOD, "is registered; leave out --sha256", sha256=right)
    got = fetch(one, tmp_path / "a", downloader=serves(GOOD), accept_unverified=True)
    assert got.hashes == {"https://example.org/reviews.tar.gz": right}
    assert json.loads((got.folder / "manifest.json").read_text())["sources"][0]["compared"] is False
    assert fetch(one, tmp_path / "b", downloader=serves(GOOD), sha256=right.upper()).new


def test_only_https_and_plain_names(tmp_path):
    for url in ("http://example.org/a.tar.gz", "file:///etc/passwd", "ftp://example.org/a"):
        refused(tmp_path, a_set(GOOD, url=url), GOOD, "not https")
    refused(tmp_path, a_set(GOOD, url="https://example.org/.."), GOOD, "does not end in the name of a file")


def response(url: str, location: str = "", length: str | None = None) -> SimpleNamespace:
    headers = {"location": location} if location else {}
    if length is not None:
        headers["content-length"] = length
    return SimpleNamespace(url=url, is_redirect=bool(location), headers=headers)


def test_every_step_of_a_redirect_is_guarded():
    source = a_set(GOOD).sources[0]
    guard_response(response("https://a.org/x", "/y"), source)
    guard_response(response("https://a.org/x", "https://b.org/y"), source)
    guard_response(response("https://a.org/x", length="1000000"), source)
    with pytest.raises(ModelError, match=r"leads to http://b.org/y, which is not https"):
        guard_response(response("https://a.org/x", "http://b.org/y"), source)
    with pytest.raises(ModelError, match="more than the 1,000,000 bytes allowed"):
        guard_response(response("https://a.org/x", length="1000001"), source)


def test_the_real_downloader_hands_limits_and_timeout_to_pooch(monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch")
    seen = {}

    class Stub:
        def __init__(self, **settings):
            seen.update(settings)

        def __call__(self, url, file, pooch):
            file.write(GOOD)
            file.flush()

    monkeypatch.setattr(pooch, "HTTPDownloader", Stub)
    assert fetch(a_set(GOOD), tmp_path).new
    assert seen["timeout"] == 60 and seen["headers"]["Accept-Encoding"] == "identity"
    with pytest.raises(ModelError, match="not https"):
        seen["hooks"]["response"](response("https://a.org/x", "http://b.org/y"), timeout=60)


def test_the_guard_is_really_called_for_every_answer(tmp_path):
    """pooch and requests themselves, against a server of this process, which has no https."""
    pytest.importorskip("pooch")
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/x") if self.path == "/moved" else None
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"data")

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            for path in ("/moved", "/x"):
                out = io.BytesIO()
                with pytest.raises(ModelError, match="which is not https"):
                    download(f"http://127.0.0.1:{server.server_port}{path}", out, a_set(GOOD).sources[0])
                assert out.getvalue() == b""
        finally:
            server.shutdown()
    # The redirect was refused before it was followed.
    assert asked == ["/moved", "/x"]


def test_a_source_that_does_not_answer_is_one_line(tmp_path):
    def broken(url: str, file, source: Source) -> None:
        file.write(b"half")
        raise ConnectionError("HTTPSConnectionPool(...)\nMax retries exceeded")

    with pytest.raises(
        ModelError, match=r"cannot be fetched .no connection to example.org.; try again, or put"
    ) as error:
        fetch(a_set(GOOD), tmp_path, downloader=broken)
    assert "\n" not in str(error.value) and os.listdir(tmp_path) == []


def test_an_interrupted_download_leaves_nothing_and_a_killed_one_is_swept(tmp_path):
    def interrupted(url: str, file, source: Source) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(a_set(GOOD), tmp_path, downloader=interrupted)
    assert os.listdir(tmp_path) == []
    code = (
        "import os, signal, sys; sys.path.insert(0, 'tests/models')\n"
        "from test_data_fetch import *\n"
        "def killed(url, file, source):\n    file.write(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        f"fetch(a_set(GOOD), {str(tmp_path)!r}, downloader=killed)\n"
    )
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", code], cwd=root, env=env).returncode == -9
    (left,) = os.listdir(tmp_path)
    assert left.startswith(".fetch-")
    fetch(a_set(GOOD), tmp_path, downloader=serves(GOOD))
    assert os.listdir(tmp_path) == ["imdb"]


def test_files_of_the_users_are_never_replaced(tmp_path):
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb/mine.txt").write_text("mine")
    with pytest.raises(ModelError, match="exists and is no download of ours"):
        fetch(a_set(GOOD), tmp_path, downloader=serves(GOOD))
    assert (tmp_path / "imdb/mine.txt").read_text() == "mine"
    with pytest.raises(ModelError, match="part of this package"):
        fetch("shakespeare", tmp_path)
    with pytest.raises(ModelError, match="unknown data set 'imbd': did you mean 'imdb'"):
        fetch("imbd", tmp_path)


def test_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("ASTROMORPHIC_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "astromorphic"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert data_folder() == Path.home() / ".cache/astromorphic"
    monkeypatch.setenv("ASTROMORPHIC_DATA", str(tmp_path / "named"))
    assert data_folder() == tmp_path / "named" and data_folder(tmp_path) == tmp_path
    (tmp_path / "named").write_text("")
    with pytest.raises(ModelError, match=r"ASTROMORPHIC_DATA names .*, which is a file"):
        data_folder()


def test_the_registry_is_complete():
    for name, one in SETS.items():
        assert one.name == name and one.licence and one.citation and one.layout
        for source in one.sources:
            assert source.url.startswith("https://") and source.filename
            assert source.sha256 is None or (len(source.sha256) == 64 and int(source.sha256, 16) and source.hash_from)
            assert source.size is None or source.size <= source.largest
        for digest in one.known.values():
            assert len(digest) == 64 and int(digest, 16)


def test_sums_of_sha256sum_are_a_record(tmp_path):
    folder = tmp_path / "enwik8"
    folder.mkdir()
    (folder / "enwik8_first_4MB").write_bytes(b"a" * 1000)
    digest = hashlib.sha256(b"a" * 1000).hexdigest()
    with pytest.raises(ModelError, match="nothing in it can be checked"):
        verify(folder, SETS["enwik8"])
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  enwik8/enwik8_first_4MB\n{digest} *other/file\n")
    assert verify(folder, SETS["enwik8"]) == 1
    assert load("enwik8", folder=tmp_path, n_bytes=500).name == "enwik8_first_500"
    (folder / "enwik8_first_4MB").write_bytes(b"a" * 999 + b"b")
    with pytest.raises(ModelError, match="damaged or changed"):
        load("enwik8", folder=tmp_path)
    (tmp_path / "SHA256SUMS").write_text("nonsense\n")
    with pytest.raises(ModelError, match="SHA256SUMS, line 1"):
        load("enwik8", folder=tmp_path)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="is not a manifest"):
        load("enwik8", folder=tmp_path)
