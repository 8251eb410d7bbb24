"""Delayed recall as runs: what a record says, that a run is done once, and what is refused."""

from __future__ import annotations

import json

import pytest

from models.errors import ModelError
from models.rmaat import RecallRun, delayed_recall, recall_run
from models.rmaat.recall_runs import completed, run_job

QUICK = {"steps": 4, "tests": 16, "hidden_size": 8, "intermediate_size": 8}


def test_a_run_is_that_of_delayed_recall_and_is_done_once(tmp_path):
    found = recall_run("geometric", 2, tmp_path / "run", 3, **QUICK)
    alone = delayed_recall("geometric", 2, seed=3, **completed(QUICK))
    assert (found.accuracy, found.losses, found.path_after) == (alone.accuracy, alone.losses, alone.path_after)
    # a = 0.5 of the closed form, by hand.
    assert found.factors == pytest.approx([0.6225, 0.3775], abs=1e-4)
    assert found.settings["steps"] == 4 and found.settings["rate"] == 3e-3 and found.settings["segment_length"] == 8
    file = tmp_path / "run" / "recall.json"
    before = file.stat().st_mtime_ns
    assert recall_run("geometric", 2, tmp_path / "run", 3, **QUICK) == found == RecallRun.load(file)
    assert file.stat().st_mtime_ns == before
    with pytest.raises(ModelError, match="holds a run whose steps is 4, not 5"):
        recall_run("geometric", 2, tmp_path / "run", 3, **{**QUICK, "steps": 5})
    with pytest.raises(ModelError, match="holds a run whose retention is 'geometric', not 'ones'"):
        recall_run("ones", 2, tmp_path / "run", 3, **QUICK)


def test_learned_factors_are_those_after_training(tmp_path):
    job = {"retention": "learned", "segments": 3, "out_dir": str(tmp_path / "r"), "settings": {**QUICK, "rate": 0.1}}
    found = run_job(job)
    assert len(found["factors"]) == 3 and abs(found["factors"][0] - 0.9) > 1e-3
    # The last factor scales a memory that nobody reads, so it stays at its start.
    assert found["factors"][2] == pytest.approx(0.9, abs=1e-3)
    with pytest.raises(ModelError, match="recall job has no key 'size'"):
        run_job({**job, "size": 3})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stepz": 3}, "no setting 'stepz'; did you mean 'steps'"),
        ({"steps": 0}, "steps is 0; expected a whole number of at least 1"),
        ({"rate": 0}, "rate is 0; expected a finite number above 0"),
        ({"pooling": "last"}, "no setting 'pooling'"),
        ({"num_memory_tokens": 0}, "num_memory_tokens 0"),
    ],
)
def test_faults_leave_nothing_behind(tmp_path, settings, words):
    with pytest.raises(ModelError, match=words):
        recall_run("ones", 2, tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_one_line(tmp_path):
    file = tmp_path / "recall.json"
    file.write_text("{")
    with pytest.raises(ModelError, match=r"recall\.json is missing or damaged"):
        RecallRun.load(file)
    file.write_text(json.dumps({"schema_version": "1.0"}))
    with pytest.raises(ModelError, match=r"Field required"):
        RecallRun.load(file)
