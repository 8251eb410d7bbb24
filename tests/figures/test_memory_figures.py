"""Figures of networks in segments: which runs are of a reduced task, what stands beside them, factors, memory and time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from figures import lra, make, memory, retention
from figures.recall import as_text, recall_rows
from figures.runs import RunsError
from models.result import RunResult
from models.rmaat.recall_runs import RecallRun

MEASURED = Path(__file__).parents[2] / "benchmarks" / "results" / "memory.json"


def run(path, task, arm, seed, accuracy, options, config=None, **recipe):
    score = {"n": 10, "loss": 1.0, "accuracy": accuracy, "majority": 0.2, "chance": 0.1}
    record = RunResult(
        task=task, arm=arm, seed=seed, recipe={"name": "tuned", "learning_rate": 1e-3, **recipe},
        config={"hidden_size": 8, **(config or {})},
        n_parameters=100, steps=20, chosen_step=10, learning_curve=[], scores={"validation": score, "test": score},
        data={"kind": "sequence_classification", "source": "", "options": options}, data_digest="d", weights_digest="w",
        wall_time_s=1.0, device="cpu", dtype="float32", versions={},
    )  # fmt: skip
    folder = path / task / arm / str(seed)
    folder.mkdir(parents=True)
    record.save(folder / "run.json")
    return record


def test_runs_stand_beside_the_paper_and_a_reduced_task_says_so(tmp_path):
    for seed, accuracy in enumerate((0.3, 0.4)):
        run(tmp_path, "listops_20_201", "rmaat_memory", seed, accuracy, {"min_length": 20, "max_length": 201})
    run(tmp_path, "lra_text", "softmax_whole", 0, 0.6, {"length": 4096})
    cut = run(tmp_path, "lra_image", "linear_memory", 0, 0.3, {}, evaluate_items=100)
    data = lra.compute(runs=tmp_path)
    ours = data[data.source == "ours"].set_index("data")
    assert ours.loc["listops_20_201", "accuracy"] == pytest.approx(35.0)
    assert ours.loc["listops_20_201", "sd"] == pytest.approx(100 * np.sqrt(2) * 0.05)
    assert ours["size"].to_dict() == {"listops_20_201": "reduced", "lra_text": "full", "lra_image": "reduced"}
    assert lra.size_of(cut) == "reduced" and ours.majority.tolist() == [20.0] * 3
    paper = data[(data.source == "paper") & (data.name == "RMAAT")].set_index("task").accuracy
    assert paper.mean() == pytest.approx(68.0, abs=0.05) and paper["listops"] == 38.9
    assert lra.family("listops_20_201") == "listops" and lra.family("pathfinder_like") == "pathfinder_like"
    assert [path.suffix for path in make("lra", tmp_path / "out", runs=tmp_path)] == [".png", ".svg", ".csv"]


def test_the_table_says_how_many_segments_and_which_schedule(tmp_path):
    cut = {"num_memory_tokens": 8, "segment_length": 50, "max_position_embeddings": 201, "retention": "ones"}
    arms = {
        "softmax_memory": [cut, cut], "softmax_segments": [{**cut, "num_memory_tokens": 0}], "softmax_whole": [{}],
    }  # fmt: skip
    for arm, configs in arms.items():
        for seed, config in enumerate(configs):
            run(tmp_path, "listops_20_201", arm, seed, 0.3, {}, config)
    rows = lra.compute(runs=tmp_path).set_index("name").loc[list(arms), ["segments", "retention"]]
    assert rows.segments.tolist()[:2] == [5, 5] and rows.retention.tolist()[:2] == ["ones", "no memory"]
    # Another kind of network has neither.
    assert rows.isna().to_numpy()[2:].all()


def test_published_rows_have_the_averages_that_are_printed():
    """Of the five tasks, as the paper and the reference print them: a slip in one number would show."""
    averages = {"Transformer": 54.4, "LT": 50.5, "AT": 56.4, "RMT": 63.6, "RLT": 58.3, "RMAAT": 68.0, "S4": 84.0, "S5": 85.2,
                "MEGA": 86.3, "LRU": 84.7, "TLB": 66.5}  # fmt: skip
    rows = lra.published()
    for name, mean in averages.items():
        assert np.mean([value for _, _, one, value in rows if one == name]) == pytest.approx(mean, abs=0.08), name


def recall(path, schedule, segments, seed, accuracy, **settings):
    record = RecallRun(
        retention=schedule, segments=segments, seed=seed, settings={"steps": 10, **settings}, factors=[0.5] * segments,
        accuracy=accuracy, path_before=0.1, path_after=0.2, losses=[0.7, 0.1], wall_time_s=1.0, versions={},
    )  # fmt: skip
    (path / f"{schedule}{segments}{seed}").mkdir(parents=True)
    (path / f"{schedule}{segments}{seed}" / "recall.json").write_text(record.dumps())


def test_factors_sum_to_one_and_recall_stands_below_them(tmp_path):
    alone = retention.compute()
    assert set(alone.panel) == {"factors"}
    sums = alone.groupby(["series", "segments"]).y.sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)), abs=1e-12)
    fit = alone[alone.series == "fit to all cycles"]
    assert bool(((fit.low <= fit.y) & (fit.y <= fit.high)).all()) and float((fit.high - fit.low).max()) > 1e-3
    closed = alone[(alone.series == "closed form, a = 0.5") & (alone.segments == 4)].y.to_numpy()
    assert closed == pytest.approx([0.455, 0.276, 0.167, 0.102], abs=5e-4)
    for seed in (0, 1):
        for n in (2, 4):
            recall(tmp_path, "ones", n, seed, 0.9 + 0.1 * seed, retention_decay=0.3 * seed)
    rows = recall_rows(tmp_path)
    assert len(rows) == 4 and rows.loss.tolist() == [0.1] * 4
    assert "ones               2      2     0.950    0.900 1.000" in as_text(rows)
    assert [path.suffix for path in make("retention", tmp_path / "out", runs=tmp_path)] == [".png", ".svg", ".csv"]
    recall(tmp_path, "uniform", 2, 0, 0.5, steps=11)
    with pytest.raises(RunsError, match="differ in steps: 10 and 11"):
        retention.compute(runs=tmp_path)
    with pytest.raises(RunsError, match=r"holds no recall\.json"):
        recall_rows(tmp_path / "out")


def test_memory_is_drawn_from_the_measured_file(tmp_path):
    data = memory.compute(runs=MEASURED)
    assert set(data.panel) == set(memory.PANELS) and set(data.way) == set(memory.WAYS)
    measured = {row["name"]: row["value"] for row in json.loads(MEASURED.read_text())}
    for one in data.itertuples():
        plural = "s" if one.segments > 1 else ""
        assert measured[f"{one.panel}, {one.way}, {one.segments} segment{plural}"] == one.value
    assert memory.compute(runs=MEASURED.parent).equals(data)
    assert [path.suffix for path in make("memory", tmp_path / "out", runs=MEASURED)] == [".png", ".svg", ".csv"]
    for runs, words in ((None, "made from a benchmark"), (tmp_path, "no record of the benchmark memory")):
        with pytest.raises(RunsError, match=words):
            memory.compute(runs=runs)
    for damaged in ("{}", "[1]", '[{"value": 1}]', "[" * 200_000):
        (tmp_path / "memory.json").write_text(damaged)
        with pytest.raises(RunsError, match="no record of the benchmark memory"):
            memory.compute(runs=tmp_path)
    (tmp_path / "memory.json").write_text("[]")
    with pytest.raises(RunsError, match="holds no memory or time by segments"):
        memory.compute(runs=tmp_path)
