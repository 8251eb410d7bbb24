"""`astromorphic train memory_chain` and `study working_memory`: one line of result, a table, one line for each fault."""

from __future__ import annotations

import json

import pytest

from astromorphic import memory_commands
from astromorphic.cli import main
from models.baselines import CELLS
from models.environments import ENVIRONMENTS, PAPER_LENGTHS, make_environment
from models.environments.scores import BSUITE_LENGTHS
from models.memory import MemorySettings


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_the_names_of_the_command_line_are_those_of_the_packages():
    assert memory_commands.PAPER_LENGTHS == PAPER_LENGTHS and memory_commands.BSUITE_LENGTHS == BSUITE_LENGTHS
    assert tuple(ENVIRONMENTS) == memory_commands.ENVIRONMENTS
    for study in memory_commands.STUDIES.values():
        assert set(study.models) <= set(CELLS)
        chosen = MemorySettings().changed(study.settings)
        assert all(make_environment(chosen.environment, n) for n in study.lengths)


def test_one_network_is_trained_and_told_in_a_line(tmp_path, capsys):
    out = tmp_path / "run"
    command = ["train", "memory_chain", "--model", "lif", "--preset", "smoke", "--set", "length=2", "--seed", "3"]
    assert call(*command, "--set", "tau=5,20", "--out", str(out)) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"{out}: test error ") and line.count("\n") == 0 and "10 updates" in line
    record = json.loads((out / "memory_run.json").read_text())
    assert record["seed"] == 3 and record["length"] == 2 and record["settings"]["cell"] == {"tau": [5.0, 20.0]}
    assert call(*command, "--set", "tau=5,20", "--set", "length=3", "--out", str(out)) == 2


def test_a_study_trains_what_is_missing_and_sums_up(tmp_path, capsys):
    command = ["study", "working_memory", "--arms", "gru,lif", "--preset", "smoke", "--seeds", "1", "--set", "length=1,2",
               "--set", "episodes=64", "--workers", "1", "--out", str(tmp_path)]  # fmt: skip
    assert call(*command) == 0
    text = capsys.readouterr().out
    assert "memory_chain, supervised" in text and text.strip().endswith(f"figures working_memory --runs {tmp_path}")
    records = sorted(tmp_path.rglob("memory_run.json"))
    assert [r.parent.name for r in records] == [f"length{n}-lr0.003-seed0" for n in (1, 2)] * 2
    assert call("figures", "working_memory", "--runs", str(tmp_path), "--out", str(tmp_path / "f")) == 0
    assert (tmp_path / "f" / "working_memory.csv").is_file()


def test_a_study_is_planned_whole_before_it_begins(tmp_path):
    jobs = memory_commands.plan(
        "umbrella", tmp_path, models=["gru", "lif"], rates=[1e-3, 3e-3], seeds=2, changes={"length": [10.0, 30.0]}
    )
    assert len(jobs) == 2 * 2 * 2 * 2 and [j["seed"] for j in jobs] == [0] * 8 + [1] * 8
    assert len({j["out_dir"] for j in jobs}) == 16
    settings = [MemorySettings(**j["settings"]) for j in jobs]
    assert {s.method for s in settings} == {"actor_critic"} and {s.per_update for s in settings} == {8}
    assert {s.length for s in settings} == {10, 30} and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "memory_chain"], "name a cell with --model: lif, "),
        (
            ["train", "memory_chain", "--model", "lff"],
            "unknown cell 'lff': did you mean 'lif'? name a cell with --model",
        ),
        (
            ["train", "memory_chain", "--model", "lif", "--set", "environment=umbrella_chain"],
            "the task is named in front",
        ),
        (
            ["train", "memory_chain", "--model", "lif", "--set", "model=gru"],
            "--set model with train memory_chain: use --model",
        ),
        (
            ["train", "memory_chain", "--model", "lif", "--set", "cell=3"],
            "cell is 3; expected names with values, each given by",
        ),
        (["train", "memory_chain", "--model", "lif", "--set", "options=3"], "options is 3; expected names with values"),
        (
            ["train", "memory_chain", "--model", "lif", "--set", "recurrent=no"],
            "recurrent is 'no'; expected true or false",
        ),
        (["train", "memory_chain", "--model", "lif", "--set", "learn_tau=1"], "learn_tau is 1; expected true or false"),
        (["train", "memory_chain", "--model", "lif", "--set", "tau=1e-300,1"], "in steps, from 0.001 to 1e+09"),
        (
            ["train", "memory_chain", "--model", "lif", "--set", "threshold=1e-320"],
            "threshold is 1e-320; expected a finite number",
        ),
        (["train", "memory_chain", "--model", "amsu", "--set", "norm=off"], "norm is 'off'; expected true or false"),
        (
            ["train", "memory_chain", "--model", "amsu", "--set", "tau_n=true"],
            "tau_n is True",
        ),
        (
            ["train", "memory_chain", "--model", "gru", "--set", "learning_rate=1e30"],
            "learning_rate is 1e+30; expected",
        ),
        (["study", "working_memory", "--set", "length=3,inf"], "expected whole numbers of at least 1"),
        (["study", "working_memory", "--set", "length=nan"], "expected whole numbers of at least 1"),
        (["train", "memory_chain", "--model", "lif", "--preset", "paper"], "unknown preset of working memory 'paper'"),
        (["train", "memory_chain", "--model", "lif", "--set", "length=3,4"], "takes one value, not a list"),
        (["train", "memory_chain", "--model", "lif", "--data", "x"], "makes its own episodes"),
        (["study", "working_memry"], "working_memory"),
        (["study", "working_memory", "--arms", "lfi"], "did you mean 'lif'"),
        (["study", "working_memory", "--set", "environment=umbrella_chain"], "study working_memory fixes it"),
        (["study", "working_memory", "--set", "learning_rate=0.1"], "use --learning-rates"),
        (["study", "working_memory", "--set", "length=2.5"], "expected whole numbers of at least 1"),
    ],
)
def test_faults_are_named_in_a_line(arguments, words, tmp_path, capsys):
    assert call(*arguments, "--out", str(tmp_path / "run")) == 2
    told = capsys.readouterr().err.strip()
    assert words in told and "\n" not in told and not (tmp_path / "run").exists()


def test_the_list_names_the_studies(capsys):
    assert call("study", "list") == 0
    assert "umbrella_hidden" in capsys.readouterr().out
