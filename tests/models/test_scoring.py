"""Scores of a run on data that are not its own: which classes, how much of a file, and read with the run's own words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from models.bag_training import train_bag_of_words
from models.data.kinds import LabelledTexts, Splits
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError
from models.result import RunResult
from models.scoring import open_run, score_run
from models.tasks.prepare import prepare
from models.training import train

FEW = {"hidden_size": 16, "epochs": 1, "train_items": 32, "evaluate_items": 16}


def films(file: Path, n: int = 120, seed: int = 0, names=("bad", "good"), positive: float = 0.7) -> Path:
    """Texts of bad and good words, about `positive` of them good."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        label = int(random.random() < positive)
        words = random.choice(["film", "Plot", ("dull", "fine")[label]], random.integers(5, 60)).tolist()
        rows.append(f"{' '.join(words)} number {i} of {seed},{names[label]}")
    file.write_text("text,label\n" + "\n".join(rows) + "\n")
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path]:
    """A run with pairs, its own length and cased words, and its file."""
    place = tmp_path_factory.mktemp("scoring")
    file = films(place / "mine.csv")
    changes = {**FEW, "pairs": 20, "length": 30, "keep": "head+tail", "lower_case": False}
    task, config, recipe, _ = prepare(str(file), "none", "smoke", changes=changes)
    train(config, task, recipe, place / "run", 0, "none")
    return place / "run", file


@pytest.fixture(scope="module")
def bag(run) -> Path:
    out = run[0].parent / "bag"
    train_bag_of_words(str(run[1]), out, changes={"penalties": [1.0], "min_count": 1})
    return out


@pytest.mark.parametrize("kind", ["network", "bag"])
def test_data_of_other_classes_are_refused(run, bag, tmp_path, kind):
    out = run[0] if kind == "network" else bag
    other = films(tmp_path / "b.csv", names=("no", "yes"))
    with pytest.raises(ModelError, match=r"trained on the classes bad, good: .*b\.csv, row 2: label '(yes|no)'"):
        score_run(out, data=other)
    more = tmp_path / "c.csv"
    more.write_text(films(tmp_path / "d.csv").read_text() + "one more,middling\n")
    with pytest.raises(ModelError, match="label 'middling' is out of range; expected one of bad, good"):
        score_run(out, data=more)


def test_another_task_of_other_classes_is_refused(run, tmp_path, monkeypatch):
    out = run[0]

    def part(n):
        return LabelledTexts(tuple(f"film {i}" for i in range(n)), np.arange(n) % 3)

    splits = Splits("imdb", part(9), part(9), part(9), "d", "made up", ("a", "b", "c"))
    monkeypatch.setattr("models.tasks.loading.load_splits", lambda *a: (splits, None, None, {}))
    with pytest.raises(
        ModelError, match="trained on the classes bad, good and imdb has a, b, c; name data with the same"
    ):
        open_run(out, task="imdb")


def test_another_task_is_read_as_the_run_reads(run, tmp_path, monkeypatch):
    out, file = run
    given = {}
    import models.tasks as tasks

    real = tasks.load_task
    monkeypatch.setattr(tasks, "load_task", lambda name, data, **how: given.update(how) or real(str(file), **how))
    found = open_run(out, task="imdb")
    wanted = {"pairs": 20, "length": 30, "keep": "head+tail", "lower_case": False, "words": "words"}
    assert {name: given[name] for name in wanted} == wanted
    assert found.task.n_tokens == found.model.config.vocab_size > len(found.task.encoder)
    again = open_run(out, task=str(films(tmp_path / "e.csv", 20, 3))).task
    assert again.n_tokens == found.task.n_tokens and again.length == 30 and len(again.labels["test"]) == 20


def shown(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name)).split(None, 1)[1]


@pytest.mark.parametrize("kind", ["network", "bag"])
def test_another_file_is_scored_whole_beside_the_runs_commonest_class(run, bag, tmp_path, kind):
    out = run[0] if kind == "network" else bag
    # Mostly bad films; the run was trained on mostly good ones. One class has too few texts for any cut.
    other = films(tmp_path / "b.csv", 50, 4, positive=0.04)
    good = other.read_text().count(",good")
    assert 0 < good < 3
    text = score_run(out, data=other)
    assert shown(text, "data") == "b.csv, the whole file; other data than it was trained on"
    assert shown(text, "accuracy").endswith("% of 50")
    assert shown(text, "majority").startswith(f"{100 * good / 50:.2f} %, the commonest class the run was trained on")
    assert shown(text, "majority").endswith("chance 50.00 %")
    assert shown(score_run(out, data=other, split="validation"), "accuracy") == shown(text, "accuracy")


@pytest.mark.parametrize("kind", ["network", "bag"])
def test_the_runs_own_file_elsewhere_is_the_same_data(run, bag, tmp_path, kind):
    out = run[0] if kind == "network" else bag
    copy = tmp_path / "renamed.csv"
    shutil.copy(run[1], copy)
    text = score_run(out, data=copy)
    assert shown(text, "data") == "renamed.csv, test" and "when it was trained" in text
    assert shown(text, "accuracy") == shown(score_run(out), "accuracy")


@pytest.mark.parametrize("kind", ["network", "bag"])
def test_a_test_file_of_its_own_does_not_follow_to_other_data(tmp_path, kind):
    first, second = films(tmp_path / "a.csv"), films(tmp_path / "t.csv", 30, 5)
    second.write_text(second.read_text() + first.read_text().splitlines()[1] + "\n")
    out = tmp_path / "run"
    if kind == "bag":
        result = train_bag_of_words(str(first), out, changes={"penalties": [1.0], "test": str(second)})
    else:
        task, config, recipe, _ = prepare(str(first), "none", "smoke", changes={**FEW, "test": str(second)})
        result = train(config, task, recipe, out, 0, "none")
    assert result.data.test_seen == 1 and RunResult.load(out / "run.json").data.test_seen == 1
    from astromorphic.commands import _scores

    assert "1 of the test texts stand in the training file too" in _scores(result)
    other = films(tmp_path / "b.csv", 40, 6)
    assert shown(score_run(out, data=other), "accuracy").endswith("% of 40")
    assert shown(score_run(out, data=first), "accuracy") == shown(score_run(out), "accuracy")
    # The test file itself, given as data, is scored whole.
    assert shown(score_run(out, data=second), "accuracy").endswith("% of 31")


def test_a_text_says_which_part_of_it_is_scored(tmp_path):
    for name, words in (("a.txt", "to be or not to be "), ("b.txt", "that is the question ")):
        (tmp_path / name).write_text(words * 200)
    changes = {"hidden_size": 16, "max_position_embeddings": 8, "steps": 2, "evaluate_every": 2, "warmup_steps": 0}
    task, config, recipe, _ = prepare(str(tmp_path / "a.txt"), "none", "smoke", changes=changes)
    train(config, task, recipe, tmp_path / "run", 0)
    text = score_run(tmp_path / "run", data=tmp_path / "b.txt", reevaluate=5)
    assert "b.txt, test, of the file cut by position 90 : 5 : 5 into train, validation and test; other data" in text


def test_the_task_is_recorded_and_not_guessed_from_a_files_name(tmp_path):
    file = films(tmp_path / "imdb_x.csv")
    task, config, recipe, _ = prepare(str(file), "none", "smoke", changes=FEW)
    result = train(config, task, recipe, tmp_path / "run", 0, "none")
    assert result.data.family == result.family == "table" and result.task == "imdb_x.csv"
    file.unlink()
    with pytest.raises(
        ModelError, match=r"was trained on .*imdb_x\.csv, which is not there; name the file with --data"
    ):
        open_run(tmp_path / "run")
    # Records before 2.2 do not say it.
    old = json.loads((tmp_path / "run" / "run.json").read_text())
    for name in ("family", "files", "test_seen"):
        del old["data"][name]

    def family(task, location):
        return RunResult.loads(json.dumps({**old, "task": task, "data": {**old["data"], "location": location}})).family

    assert family("imdb_x.csv", str(file)) is None and family("imdb", "data/imdb") == "imdb"
    assert family("enwik8_first_4000000", None) == "enwik8" and family("pathfinder_like", None) == "pathfinder_like"
    assert family("wikitext2_raw", "/data") == "wikitext2" and family("imdb_plus", "hf:imdb_plus") is None
    from figures.runs import RunsError, load_runs

    with pytest.raises(RunsError, match="holds no run of imdb"):
        load_runs(tmp_path, "table1", "imdb")


@pytest.mark.parametrize("name", ["vocabulary.json", "pairs.json"])
def test_words_of_another_run_are_refused(run, tmp_path, name):
    out = tmp_path / "run"
    shutil.copytree(run[0], out)
    record = RunResult.load(out / "run.json")
    assert sorted(record.data.files) == ["pairs.json", "vocabulary.json"]
    content = json.loads((out / name).read_text())
    if name == "pairs.json":
        content["pairs"][:2] = content["pairs"][1::-1]
    else:
        content["words"][2:4] = content["words"][3:1:-1]
    (out / name).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"{name} is not the file of this run"):
        open_run(out)
    task, config, recipe, _ = _as_trained(run)
    with pytest.raises(ModelError, match=f"{name} is not the file of this run"):
        train(config, task, recipe, out, 0, "none")
    # Older records name no digests, and are read.
    old = json.loads((out / "run.json").read_text())
    old["data"]["files"] = {}
    (out / "run.json").write_text(json.dumps(old))
    assert open_run(out).same_data
    (out / name).unlink()
    shutil.copy(run[0] / "run.json", out / "run.json")
    with pytest.raises(ModelError, match=f"{name} is not there"):
        open_run(out)


def _as_trained(run):
    changes = {**FEW, "pairs": 20, "length": 30, "keep": "head+tail", "lower_case": False}
    return prepare(str(run[1]), "none", "smoke", changes=changes)


def test_terms_of_another_bag_are_refused(bag, tmp_path):
    out = tmp_path / "bag"
    shutil.copytree(bag, out)
    content = json.loads((out / "terms.json").read_text())
    content["terms"][:2] = content["terms"][1::-1]
    (out / "terms.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"terms\.json is not the file of this run"):
        score_run(out)


def test_a_language_models_words_are_tied_to_its_run(tmp_path):
    from models.continuation import open_writer

    (tmp_path / "a.txt").write_text("to be or not to be\n" * 200)
    changes = {"tokens": "words", "hidden_size": 16, "max_position_embeddings": 8, "steps": 2, "evaluate_every": 2,
               "warmup_steps": 0}  # fmt: skip
    task, config, recipe, _ = prepare(str(tmp_path / "a.txt"), "none", "smoke", changes=changes)
    train(config, task, recipe, tmp_path / "run", 0)
    assert open_writer(tmp_path / "run").codec.size == config.vocab_size == 7
    WordVocabulary.from_words(["not", "be", "or", "to", "to", "be", "<eos>"]).save(tmp_path / "run" / "vocabulary.json")
    with pytest.raises(ModelError, match=r"vocabulary\.json is not the file of this run"):
        open_writer(tmp_path / "run")
