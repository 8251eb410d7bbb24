"""Studies of networks in segments: the grid is what it says, and delayed recall goes through the same kind of command."""

from __future__ import annotations

import importlib

import pytest

from astromorphic import jobs, recall_commands, study
from astromorphic.cli import main
from astromorphic.studies import STUDIES
from models.tasks.prepare import prepare

GRIDS = ("listops_memory", "lra_text_memory", "lra_image_memory")


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def listops():
    return prepare("listops", "rmaat", "smoke", changes={"train": 30, "validation": 10, "test": 10, "min_length": 5,
                                                         "max_length": 201, "max_depth": 4, "length": 200}).task  # fmt: skip


def test_arms_of_the_grid_differ_in_attention_and_memory_alone(listops):
    import bridge

    one = STUDIES["listops_memory"]
    found = {}
    for arm in one.arms:
        macro = None if arm.macro is None else bridge.preset(arm.macro)
        changes = {**one.options, **arm.settings}
        found[arm.name] = prepare("listops", arm.preset, "tuned", macro=macro, changes=changes, loaded=listops).config
    assert len(found) == 16
    for mixer in ("softmax", "linear", "astromorphic"):
        whole, alone, memory, simulated = (
            found[f"{mixer}_{kind}"].settings() for kind in ("whole", "segments", "memory", "simulated")
        )
        assert [s["mixer"] for s in (whole, alone, memory, simulated)] == [mixer] * 4

        def differing(a, b):
            return {name for name in a if a[name] != b[name]}

        assert differing(whole, alone) == {"segment_length"}
        assert differing(alone, memory) == {"num_memory_tokens"}
        assert differing(memory, simulated) == {"retention", "retention_shares", "retention_decay", "macro_digest"}
        assert differing(memory, found[f"{mixer}_empty"].settings()) == {"retention"}
        assert found[f"{mixer}_memory"].num_segments == 4 and memory["num_memory_tokens"] == 8
        assert found[f"{mixer}_whole"].num_segments == 1 and whole["num_memory_tokens"] == 0
    shared = [c.settings() for c in found.values()]
    for name in ("hidden_size", "num_hidden_layers", "norm_placement", "readout", "backpropagation", "response"):
        values = [s[name] for s in shared if name != "response" or s["mixer"] == "astromorphic"]
        assert all(value == values[0] for value in values), name


@pytest.mark.parametrize("name", GRIDS)
def test_grids_have_segments_of_the_length_they_read(name):
    one = STUDIES[name]
    length = one.options.get("length") or one.options["size"] ** 2
    assert {arm.settings["segment_length"] for arm in one.arms if "segment_length" in arm.settings} == {length // 4}
    assert one.figure == "lra"


@pytest.fixture
def one_process(monkeypatch):
    """Jobs in this process: that they go through a pool is tested with the other studies."""

    def train_all(planned, workers=None, *, package="models"):
        return [importlib.import_module(package).run_job(job) for job in planned]

    monkeypatch.setattr(jobs, "train_all", train_all)


def test_a_grid_trains_and_sums_up(tmp_path, one_process):
    how = {"train": 30, "validation": 10, "test": 10, "max_length": 60, "min_length": 5, "steps": 2, "warmup_steps": 0,
           "evaluate_every": 2, "batch_size": 4, "hidden_size": 16, "intermediate_size": 16}  # fmt: skip
    text = study.run(
        "listops_memory", tmp_path / "runs", preset="smoke", arms=["linear_simulated", "none_whole"], rates=[1e-3], seeds=1,
        workers=1, changes=how,
    )  # fmt: skip
    # Depth and arguments are the study's own.
    assert "listops_5_60_depth4_args5, accuracy (%):" in text and "astromorphic figures lra --runs" in text
    record = (tmp_path / "runs" / "linear_simulated" / "lr0.001-seed0" / "run.json").read_text()
    assert '"retention": "simulated"' in record


def test_recall_plans_every_control_with_seeds_first(tmp_path):
    planned = recall_commands.plan(tmp_path / "r", seeds=2)
    assert len(planned) == 7 * 3 * 2 and [job["seed"] for job in planned] == [0] * 21 + [1] * 21
    assert len({job["out_dir"] for job in planned}) == 42 and not (tmp_path / "r").exists()
    by = {job["retention"]: job["settings"] for job in planned}
    assert by["simulated"]["retention_shares"] == by["reversed"]["retention_shares"]
    assert "retention_shares" not in by["geometric"] and by["ones"]["steps"] == recall_commands.STEPS


def test_recall_runs_adds_and_sums_up(tmp_path, capsys, one_process):
    options = ("study", "recall", "--out", str(tmp_path / "r"), "--preset", "smoke", "--arms", "ones,uniform", "--set",
               "segments=2", "--set", "steps=2", "--set", "tests=8", "--workers", "1")  # fmt: skip
    assert call(*options, "--seeds", "1") == 0
    first = (tmp_path / "r" / "ones" / "segments2-seed0" / "recall.json").stat().st_mtime_ns
    assert call(*options, "--seeds", "2") == 0
    assert (tmp_path / "r" / "ones" / "segments2-seed0" / "recall.json").stat().st_mtime_ns == first
    out = capsys.readouterr().out
    assert "astromorphic figures retention --runs" in out and len(list((tmp_path / "r").rglob("recall.json"))) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--arms", "one"), ("'one'", "did you mean 'ones'")),
        (("--set", "segments=1"), ("segments=1", "at least 2")),
        (("--set", "segments=2,inf"), ("segments", "at least 2")),
        (("--set", "segments=nan"), ("segments", "at least 2")),
        (("--set", "stepz=1"), ("'stepz'", "did you mean 'steps'")),
        (("--set", "retention=ones"), ("retention", "use --arms")),
        (("--learning-rates", "1e-3"), ("--learning-rates", "--set rate=3e-3")),
        (("--data", "."), ("--data", "its own texts")),
        (("--set", "segment_length=1.5"), ("segment_length", "whole number")),
    ],
)
def test_faults_of_recall_are_one_line(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call("study", "recall", "--out", "r", *arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []
