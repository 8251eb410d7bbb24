"""`astromorphic data list|fetch|check`: what is printed, and one line with exit status 2 for what is wrong."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from astromorphic.cli import main
from models.data import fetching


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASTROMORPHIC_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_list_names_every_set_with_its_licence(folder, capsys):
    assert call("data", "list") == 0
    out = capsys.readouterr().out
    assert str(folder) in out and "(not there yet)" in out
    for word in (
        "imdb",
        "84.1 MB",
        "cifar10",
        "wikitext2",
        "enwik8",
        "shakespeare",
        "built in",
        "PDDL",
        "CC BY-SA",
        "listops",
        "generated",
    ):
        assert word in out
    (folder / "imdb").mkdir(parents=True)
    (folder / "imdb/train.jsonl").write_text("{}\n")
    assert call("data", "list", "--data", str(folder)) == 0
    assert "own files" in capsys.readouterr().out


def test_fetch_shows_the_licence_first_and_leaves_nothing_of_a_wrong_file(folder, capsys, monkeypatch):
    def wrong(url, file, source):
        assert "licence: CC BY-SA" in capsys.readouterr().err
        file.write(b"a login page")

    monkeypatch.setattr(fetching, "download", wrong)
    assert call("data", "fetch", "enwik8") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "gave 12 bytes, expected 36,445,475" in error
    assert os.listdir(folder) == []


def test_check_compares_with_the_record(folder, capsys):
    assert call("data", "check") == 0
    assert "no data set is in" in capsys.readouterr().out
    assert call("data", "check", "imdb") == 2
    assert "run `astromorphic data fetch imdb`" in capsys.readouterr().err
    own = folder / "enwik8"
    own.mkdir(parents=True)
    file = own / "enwik8_first_4MB"
    file.write_bytes(b"abc")
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(b'abc').hexdigest()}  enwik8/enwik8_first_4MB\n")
    assert call("data", "check", "enwik8") == 0 and call("data", "check") == 0
    assert "1 files are as recorded" in capsys.readouterr().out
    file.write_bytes(b"abd")
    for arguments in (("data", "check"), ("data", "check", "enwik8", "--data", str(folder))):
        assert call(*arguments) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "enwik8_first_4MB has sha256" in error and "damaged" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fetch", "imbd"), "did you mean 'imdb'"),
        (("fetch", "shakespeare"), "nothing to fetch"),
        (("fetch", "listops"), "listops is made when it is loaded; there is nothing to fetch"),
        (("fetch", "path_x"), "put pathfinder128/"),
        (("check", "lra_retrieval"), "put new_aan_pairs.{train,eval,test}.tsv"),
        (("fetch", "imdb", "--sha256", "12"), "64 hexadecimal digits"),
        (("fetch", "imdb", "--sha256", "0" * 64), "leave out --sha256"),
        (("check", "glov"), "did you mean 'glove'"),
        (("fetch",), "argument 'name'"),
        (("nope",), "nope"),
    ],
)
def test_wrong_usage_is_one_line(folder, capsys, arguments, words):
    assert call("data", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and error.startswith("astromorphic: ")
    assert not folder.exists() or os.listdir(folder) == []
