"""The figure of working memory, from records: medians and quartiles, the rate by validation at one length, bsuite's score."""

from __future__ import annotations

import pytest

from figures import make, working_memory
from figures.runs import RunsError
from models.environments.scores import BSUITE_LENGTHS
from models.memory import MemoryRun, MemorySettings


def run(model="lif", length=30, seed=0, rate=3e-3, error=0.1, validation=None, regret=1000.0, **changes):
    settings = MemorySettings().changed({"model": model, "length": length, "learning_rate": rate, **changes})
    score = {"episodes": 100, "regret": 2 * error, "activity": [0.1, 0.2]}
    return MemoryRun(
        environment=settings.environment, length=length, model=model, method=settings.method, seed=seed,
        settings=settings.as_dict(), width=10, n_parameters=33_000, spiking=True, updates=10, episodes=settings.episodes,
        total_regret=regret, solved=regret < 7500, episodes_to_criterion=400 if regret < 7500 else None,
        activity_start=[0.1, 0.2], learning_curve=[], test={**score, "error": error},
        validation={**score, "error": error if validation is None else validation}, weights_digest="w", wall_time_s=1.0,
        device="cpu", versions={},
    )  # fmt: skip


def folder(path, runs):
    for number, one in enumerate(runs):
        (path / str(number)).mkdir(parents=True)
        one.save(path / str(number) / "memory_run.json")
    return path


def test_the_rate_is_that_of_validation_at_the_tuning_length(tmp_path):
    """Test scores and the other lengths would all choose otherwise."""
    runs = []
    for seed in range(2):
        runs += [run(length=30, seed=seed, rate=1e-3, error=0.4, validation=0.1)]
        runs += [run(length=30, seed=seed, rate=3e-3, error=0.0, validation=0.2)]
        runs += [run(length=100, seed=seed, rate=1e-3, error=0.5), run(length=100, seed=seed, rate=3e-3, error=0.0)]
    data = working_memory.compute(runs=folder(tmp_path, [*runs, runs[0]]))
    assert set(data.learning_rate) == {1e-3} and sorted(data.length) == [30, 30, 100, 100]
    assert data[data.length == 30].error.tolist() == [0.4, 0.4]


def test_bsuites_score_is_its_own_only_for_its_own_lengths_learned_by_reward(tmp_path):
    whole = [run(length=n, method="actor_critic", regret=0.0 if n <= 10 else 9000.0) for n in BSUITE_LENGTHS]
    supervised = [run("gru", n, regret=0.0) for n in BSUITE_LENGTHS]
    few = [run("alif", n, method="actor_critic", regret=0.0) for n in (3, 10)]
    data = working_memory.compute(runs=folder(tmp_path, [*whole, *supervised, *few]))
    marks = working_memory.scores(data).set_index("model")
    assert marks.loc["lif", "score"] == 10 / 23 and bool(marks.loc["lif", "bsuite"])
    assert marks.loc["gru", "score"] == 1.0 and not marks.loc["gru", "bsuite"]
    assert marks.loc["alif", "settings"] == 2 and not marks.loc["alif", "bsuite"]
    text = working_memory.as_text(data)
    assert "bsuite score: 0.435" in text and "solved by bsuite's rule, of 2 lengths: 1.000" in text


def test_the_picture_shows_medians_and_quartiles(tmp_path):
    errors = {3: [0.0, 0.0, 0.0], 30: [0.0, 0.1, 0.5]}
    runs = [run(m, n, seed, error=e) for m in ("lif", "gru") for n in errors for seed, e in enumerate(errors[n])]
    data = working_memory.compute(runs=folder(tmp_path / "runs", runs))
    figure = working_memory.draw(data)
    left = figure.axes[0]
    lines = {line.get_label(): line for line in left.get_lines()}
    assert lines["LIF, learned τ (33,000)"].get_ydata().tolist() == [0.0, 0.1]
    assert left.get_xscale() == "log" and "3 seeds" in left.get_title(loc="left")
    band = left.collections[0].get_paths()[0].vertices
    at_30 = sorted({round(float(y), 6) for x, y in band if x == 30})
    assert at_30 == [0.05, 0.3]
    paths = make("working_memory", tmp_path / "out", runs=tmp_path / "runs")
    assert [p.suffix for p in paths] == [".png", ".svg", ".csv"] and all(p.stat().st_size for p in paths)


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(RunsError, match=r"study working_memory"):
        working_memory.compute()
    with pytest.raises(RunsError, match=r"holds no memory_run\.json"):
        working_memory.compute(runs=tmp_path)
    mixed = folder(tmp_path / "mixed", [run(seed=0), run(seed=1, episodes=500)])
    with pytest.raises(RunsError, match="runs of lif in memory_chain differ in episodes: 10000 and 500"):
        working_memory.compute(runs=mixed)
