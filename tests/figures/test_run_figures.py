"""Tables and figures made from run folders: what is chosen, what is averaged, what stands apart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from astromorphic.studies import ALPHAS
from figures import exponents, fig4, make, table1
from figures.runs import RunsError, at_best_rate, load_runs, summary, table
from models.result import RunResult

CAUSAL = {"max_logit_change": 0.0, "nan_leak": False, "max_future_gradient": 0.0, "chunked_vs_step": 0.0,
          "checked_positions": [0]}  # fmt: skip


def run(
    task="imdb", arm="softmax", seed=0, rate=1e-3, scores=(0.8, 0.8), curve=(), kind=None, verdict="causal", **more
):
    """A record. scores : validation and test, accuracy for a classifier, bits per byte of a language model."""
    kind = kind or ("text_classification" if task == "imdb" else "language")
    if kind == "language":
        units = [{"bits_per_byte": s, "perplexity_per_token": 4 * s} if verdict == "causal" else {} for s in scores]
        parts = [{"n": 10, "loss": s, "nats": 10 * s, **unit} for s, unit in zip(scores, units, strict=True)]
    else:
        parts = [{"n": 10, "loss": 1.0, "accuracy": s} for s in scores]
    record = {
        "task": task, "arm": arm, "seed": seed, "recipe": {"name": "tuned", "learning_rate": rate, "batch_size": 8},
        "config": {"hidden_size": 8}, "n_parameters": 100, "steps": 20, "chosen_step": 10, "chosen_epoch": 1.0 + seed,
        "learning_curve": [{"step": i + 1, "epoch": i + 1.0, **point} for i, point in enumerate(curve)],
        "scores": dict(zip(("validation", "test"), parts, strict=True)),
        "causality": {"verdict": verdict, **CAUSAL} if kind == "language" else None,
        "data": {"kind": kind, "source": ""}, "data_digest": "d", "weights_digest": "w", "wall_time_s": 1.0, "device": "cpu",
        "dtype": "float32", "versions": {},
    }  # fmt: skip
    return RunResult(**{**record, **more})


def folder(path, runs):
    for number, one in enumerate(runs):
        (path / one.arm / str(number)).mkdir(parents=True)
        one.save(path / one.arm / str(number) / "run.json")
    return path


def test_the_rate_is_chosen_by_validation_though_test_would_choose_otherwise():
    runs = [
        run(rate=rate, seed=seed, scores=scores)
        for rate, pairs in {1e-3: [(0.90, 0.70), (0.80, 0.72)], 3e-3: [(0.84, 0.95), (0.84, 0.97)]}.items()
        for seed, scores in enumerate(pairs)
    ]
    (row,) = summary(table(runs)).itertuples()
    assert row.learning_rate == 1e-3 and row.seeds == 2 and row.metric == "accuracy (%)"
    assert row.validation == pytest.approx(85.0) and row.test == pytest.approx(71.0)
    assert row.test_sd == pytest.approx(100 * math.sqrt(2) * 0.01) and row.chosen_epoch == 1.5
    # The exact opposite for what is better when it is less.
    bits = [run("enwik8", rate=rate, scores=s) for rate, s in ((1e-3, (2.0, 1.0)), (3e-3, (1.9, 3.0)))]
    (row,) = summary(table(bits)).itertuples()
    assert (row.learning_rate, row.test, row.metric, row.perplexity) == (3e-3, 3.0, "bits per byte", 12.0)
    assert math.isnan(row.test_sd)


def test_at_equal_means_the_lower_rate_is_taken():
    runs = [run(rate=rate, scores=(0.8, 0.5 + rate)) for rate in (3e-3, 3e-4, 1e-3)]
    assert at_best_rate(table(runs)).learning_rate.tolist() == [3e-4]


def test_what_sees_the_future_and_what_has_no_bytes_stand_apart():
    words = {"n": 10, "loss": 4.0, "nats": 40.0, "perplexity_per_token": 55.0}
    lost = RunResult(**{**run("words").model_dump(), "scores": {"validation": words, "test": words}})
    runs = [run("enwik8", scores=(2.0, 2.1)), run("enwik8", "eq18_global", scores=(0.1, 0.2), verdict="leaks"), lost]
    rows = summary(table(runs)).set_index(["task", "arm"])
    assert rows.loc[("enwik8", "eq18_global"), "metric"] == "not a language model"
    assert not rows.loc[("enwik8", "eq18_global"), "causal"] and rows.loc[("enwik8", "softmax"), "causal"]
    assert math.isnan(rows.loc[("enwik8", "eq18_global"), "perplexity"])
    # A causal model of words that lost a spelling has a perplexity and is a language model.
    assert (
        rows.loc[("words", "softmax"), "metric"] == "perplexity per token"
        and rows.loc[("words", "softmax"), "test"] == 55.0
    )


def test_runs_of_other_settings_are_not_averaged():
    one = run(seed=0)
    other = run(seed=1, recipe={**one.recipe, "batch_size": 16})
    with pytest.raises(
        RunsError, match="imdb, softmax differ in more than learning rate and seed: batch_size is 8 and 16"
    ):
        table([one, other])
    with pytest.raises(RunsError, match="data is 'd' and 'e'"):
        table([one, run(seed=1, data_digest="e")])
    # The same run in two places, and the same arm of another task.
    assert len(table([one, one, run("enwik8", recipe={**one.recipe, "batch_size": 16})])) == 2


def test_a_folder_is_searched_through_and_faults_name_the_remedy(tmp_path):
    folder(tmp_path / "runs", [run(), run("enwik8_first_4000000", "none"), run("shakespeare", "none")])
    assert len(load_runs(tmp_path / "runs", "table1")) == 3
    assert [r.task for r in load_runs(tmp_path / "runs", "table1", "enwik8")] == ["enwik8_first_4000000"]
    with pytest.raises(RunsError, match=r"no run of cifar10 \(found: enwik8_first_4000000, imdb, shakespeare\)"):
        load_runs(tmp_path / "runs", "table1", "cifar10")
    for figure in ("table1", "fig4", "exponents"):
        with pytest.raises(RunsError, match="is made from trained models; make runs with astromorphic study"):
            make(figure, tmp_path / "out")
        with pytest.raises(RunsError, match="nowhere is no folder"):
            make(figure, tmp_path / "out", runs=tmp_path / "nowhere")
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(RunsError, match=r"found: no run\.json at all"):
            make(figure, tmp_path / "out", runs=tmp_path / "empty")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunsError, match="holds no run of the arms nonlinearity_and_position"):
        fig4.compute(runs=tmp_path / "runs")
    with pytest.raises(RunsError, match="holds no run of the arms alpha_A or family_F"):
        exponents.compute(runs=tmp_path / "runs")


def test_table1_puts_the_papers_number_beside_ours_in_its_unit(tmp_path):
    gpt2 = [run("wikitext2", arm, scores=(1.4, 1.5)) for arm in ("astromorphic", "none")]
    runs = [run(arm=arm, seed=seed, scores=(0.8, value + 0.01 * seed)) for arm, value in (("softmax", 0.87), ("none", 0.85))
            for seed in (0, 1)]  # fmt: skip
    leaking = run("wikitext2", "eq18_global", scores=(0.1, 0.1), verdict="leaks")
    data = table1.compute(runs=folder(tmp_path, [*gpt2, *runs, leaking]))
    rows = data.set_index(["task", "arm"])
    assert rows.loc[("imdb", "softmax"), ["label", "paper", "paper_spread", "test"]].tolist() == [
        "softmax attention",
        88.9,
        0.1,
        pytest.approx(87.5),
    ]
    assert rows.loc[("wikitext2", "astromorphic"), ["paper", "paper_metric", "perplexity"]].tolist() == [
        33.8,
        "perplexity per token",
        6.0,
    ]
    assert math.isnan(rows.loc[("imdb", "none"), "paper"])
    # Best first within a panel; what sees the future has a panel of its own.
    assert data[data.task == "imdb"].arm.tolist() == ["softmax", "none"]
    figure = table1.draw(data)
    panels = {ax.get_title(loc="left") + ax.get_xlabel(): ax for ax in figure.axes}
    assert sorted(panels) == [
        "imdbtest accuracy (%)",
        "wikitext2test bits per byte",
        "wikitext2test loss, nats per token\n(not a language model)",
    ]
    imdb = panels["imdbtest accuracy (%)"]
    diamonds = next(c for c in imdb.collections if c.get_label() == "paper")
    np.testing.assert_allclose(diamonds.get_offsets(), [[88.9, 1.0]])
    assert any("87.50 ± 0.71  (2 seeds, lr 0.001)" in text.get_text() for text in imdb.texts)
    (spread,) = imdb.containers[0].lines[2]
    np.testing.assert_allclose([np.ptp(ends[:, 0]) for ends in spread.get_segments()], 2 * 2**-0.5)
    bits = panels["wikitext2test bits per byte"]
    # 33.8 is a perplexity and no place on an axis of bits.
    assert not any(c.get_label() == "paper" for c in bits.collections)
    assert any("perplexity 6.0 (paper 33.8)" in text.get_text() for text in bits.texts)


def test_the_bag_of_words_is_a_row_from_its_record_though_it_has_no_rate_and_no_seed(tmp_path):
    bag = run(arm="bag_of_words", scores=(0.89, 0.885), recipe={"name": "bag_of_words", "penalties": [1.0, 0.3]})
    data = table1.compute(runs=folder(tmp_path, [bag, run(scores=(0.9, 0.88))]))
    assert data.arm.tolist() == ["bag_of_words", "softmax"] and data.label[0] == "bag of words"
    assert data.test.tolist() == pytest.approx([88.5, 88.0]) and math.isnan(data.learning_rate[0])
    (ax,) = table1.draw(data).axes
    assert [text.get_text() for text in ax.texts] == ["88.50  (one fit)", "88.00  (1 seed, lr 0.001)"]
    (line,) = (line for line in ax.lines if line.get_label() == "bag of words")
    assert line.get_xdata() == pytest.approx([88.5, 88.5])
    # Without its record there is no line: no number stands in the code.
    (ax,) = table1.draw(data[1:]).axes
    assert not any(line.get_label() == "bag of words" for line in ax.lines)


def curve(*accuracies, test=None):
    tested = accuracies if test is None else test
    return [{"validation_accuracy": a, "test_accuracy": t} for a, t in zip(accuracies, tested, strict=True)]


def test_fig4_draws_the_seeds_at_the_rate_of_validation_over_the_papers_curve(tmp_path):
    runs = [
        run(arm=arm, seed=seed, rate=rate, scores=(best, test), curve=curve(0.5, best, test=(0.5, test)))
        for arm in ("nonlinearity_and_position", "nonlinearity_and_position_matched")
        for rate, best, test in ((1e-3, 0.90, 0.80), (3e-3, 0.86, 0.96))
        for seed in (0, 1)
    ]
    data = fig4.compute(runs=folder(tmp_path, [*runs, run(arm="softmax")]))
    assert set(data.source) == {"paper", "own gain", "equal gain"} and set(data.variant) == set(fig4.VARIANTS)
    ours = data[data.source == "own gain"]
    assert len(ours) == 8 and set(ours.split) == {"test"}
    assert set(ours[ours.best_rate].learning_rate) == {1e-3}
    figure = fig4.draw(data)
    paper, own, equal = figure.axes
    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "IMDB: the paper",
        "IMDB: ours, own gain",
        "IMDB: ours, equal gain",
    ]
    mean = next(line for line in own.lines if "lr 0.001" in line.get_label())
    np.testing.assert_allclose(mean.get_ydata(), [50.0, 80.0])
    assert len(paper.lines) == 5 and not any("0.003" in line.get_label() for line in equal.lines)
    speed = fig4.epochs_to(data).set_index(["source", "variant", "learning_rate", "seed"])
    assert speed.loc[("own gain", "nonlinearity_and_position", 3e-3, 0.0), "epochs"] == 2.0
    assert math.isnan(speed.loc[("own gain", "nonlinearity_and_position", 1e-3, 0.0), "epochs"])


def test_fig4_without_test_scores_says_that_it_shows_validation(tmp_path):
    points = [{"validation_accuracy": 0.5}, {"validation_accuracy": 0.8}]
    data = fig4.compute(runs=folder(tmp_path, [run(arm="neither", curve=points)]))
    assert set(data[data.source == "own gain"].split) == {"validation"}
    assert "validation accuracy" in fig4.draw(data).axes[1].get_xlabel()


def test_exponents_table_and_drawing(tmp_path):
    runs = [
        run("enwik8", arm, seed, scores=(score, score + 0.01 * seed), curve=[{"validation_bits_per_byte": 2 * score}])
        for arm, score in (("alpha_0.25", 2.0), ("alpha_1", 2.2), ("alpha_0.25_matched", 1.9), ("family_simulated", 2.1),
                           ("none", 3.0))
        for seed in (0, 1)
    ]  # fmt: skip
    data = exponents.compute(runs=folder(tmp_path, [*runs, run("enwik8", "softmax")]))
    assert len(data) == 10 and "softmax" not in set(data.arm)
    first = data[(data.arm == "alpha_0.25_matched") & (data.seed == 1)].iloc[0]
    assert (first.gain, first.alpha, first.metric, first.test, first.speed) == (
        "equal",
        0.25,
        "bits per byte",
        1.91,
        3.8,
    )
    assert set(data[data.arm == "family_simulated"].family) == {"simulated"}
    assert data[data.arm == "none"].alpha.isna().all()
    score, speed = exponents.draw(data).axes
    own = next(c for c in score.containers if c.get_label() == "G^alpha, own gain")
    assert own.lines[0].get_ydata() == pytest.approx([2.005, 2.205])
    # Every mean stands in its spread over the seeds, the families too.
    bars = [ends for c in score.containers for ends in c.lines[2][0].get_segments()]
    np.testing.assert_allclose([np.ptp(ends[:, 1]) for ends in bars], [2 * 0.01 * 2**-0.5] * 4)
    off = next(line for line in speed.lines if line.get_label() == "attention off")
    assert off.get_ydata()[0] == 6.0
    # Rows without a learning curve have a score all the same.
    assert math.isnan(exponents.compute(runs=folder(tmp_path / "more", [run("enwik8", "alpha_1")])).speed.iloc[0])


def test_the_files_of_a_figure_hold_its_table(tmp_path):
    runs = folder(
        tmp_path / "runs", [run(arm=arm, seed=s, scores=(0.8, 0.8)) for arm in ("softmax", "none") for s in (0, 1)]
    )
    paths = make("table1", tmp_path / "out", runs=runs)
    assert [path.name for path in paths] == ["table1.png", "table1.svg", "table1.csv"]
    written = pd.read_csv(paths[2], comment="#")
    assert sorted(written.arm) == ["none", "softmax"] and written.test.tolist() == [80.0, 80.0]


def test_a_rate_with_one_lucky_seed_does_not_compete_with_rates_of_three():
    runs = [run(rate=1e-3, seed=seed, scores=(score, score)) for seed, score in enumerate((0.84, 0.80, 0.82))]
    lucky = run(rate=3e-3, seed=0, scores=(0.85, 0.85))
    # Another arm was tried once at each of two rates, and there both compete.
    other = [run(arm="none", rate=rate, scores=(score, score)) for rate, score in ((1e-3, 0.7), (3e-3, 0.75))]
    rows = summary(table([*runs, lucky, *other])).set_index("arm")
    assert rows.loc["softmax", "learning_rate"] == 1e-3 and rows.loc["softmax", "seeds"] == 3
    assert rows.loc["none", "learning_rate"] == 3e-3
    full = [*runs, lucky, *(run(rate=3e-3, seed=seed, scores=(0.85, 0.85)) for seed in (1, 2))]
    assert summary(table(full)).learning_rate.tolist() == [3e-3]


def test_every_exponent_has_its_tick(tmp_path):
    arms = [f"alpha_{alpha:g}" for alpha in ALPHAS]
    curve = [{"validation_accuracy": 0.6}]
    data = exponents.compute(runs=folder(tmp_path, [run(arm=arm, curve=curve) for arm in arms]))
    axes = exponents.draw(data).axes
    assert ALPHAS[0] == 0.1 and all({*ALPHAS} <= {*ax.get_xticks().tolist()} for ax in axes)
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == [f"{alpha:g}" for alpha in ALPHAS]
