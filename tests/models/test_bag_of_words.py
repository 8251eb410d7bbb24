"""The bag of words: terms and weights by hand, the minimum by its own equations, and what the test split may not change."""

from __future__ import annotations

import dataclasses
import json
import math
import os

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import brentq

from models.bag_of_words import BagOfWords, Terms
from models.bag_training import train_bag_of_words
from models.data import load
from models.errors import ModelError
from models.logistic import fit_logistic, objective
from models.result import RunResult
from models.scoring import open_run, score_run

TEXTS = ("good good film", "bad film", "good<br />play", "a bad play")


def test_terms_and_weights_by_hand():
    terms = Terms.build(TEXTS, min_count=2)
    assert terms.terms == ("bad", "film", "good", "play") and terms.texts_with == (2, 2, 2, 2)
    # All four are in two of four texts, so tf-idf weighs them alike: (2, 1) of length sqrt(5).
    row = terms.features(["GOOD good film unheard of"]).toarray()[0]
    np.testing.assert_allclose(row, np.array([0, 1, 2, 0]) / math.sqrt(5))
    every = Terms.build(TEXTS, min_count=1)
    rare, common = math.log(5 / 2) + 1, math.log(5 / 3) + 1
    assert every.terms[0] == "a"
    np.testing.assert_allclose(every.inverse_frequency, [rare, *[common] * 4])
    row = every.features(["a film a"]).toarray()[0]
    np.testing.assert_allclose(row[:3] * math.hypot(2 * rare, common), [2 * rare, 0, common])
    binary = dataclasses.replace(terms, weighting="binary").features(["good good film"]).toarray()[0]
    np.testing.assert_allclose(binary, np.array([0, 1, 1, 0]) / math.sqrt(2))
    assert terms.features(["unheard", ""]).nnz == 0 and terms.features([]).shape == (0, 4)


def test_order_is_seen_by_pairs_alone():
    words, pairs = (Terms.build(("not good, bad", "not bad, good"), ngrams=n, min_count=1) for n in (1, 2))
    one, other = words.features(("not good bad", "bad not good")).toarray()
    assert np.array_equal(one, other)
    one, other = pairs.features(("not good bad", "not bad good")).toarray()
    assert not np.array_equal(one, other)
    assert "not good" in pairs.terms and "good bad" not in pairs.terms and "good ," in pairs.terms


def problem(seed: int = 0, classes: int = 3):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(60, 7)) * (generator.random((60, 7)) < 0.5)
    return sparse.csr_array(x), generator.integers(0, classes, 60)


def test_the_gradient_is_that_of_the_objective():
    x, y = problem()
    generator = np.random.default_rng(1)
    weight, bias, step = generator.normal(size=(7, 3)), generator.normal(size=3), 1e-6
    _, by_weight, by_bias = objective(weight, bias, x, y, 0.7)
    for at in ((0, 0), (3, 2), (6, 1)):
        moved = weight.copy()
        moved[at] += step
        back = weight.copy()
        back[at] -= step
        slope = (objective(moved, bias, x, y, 0.7)[0] - objective(back, bias, x, y, 0.7)[0]) / (2 * step)
        assert by_weight[at] == pytest.approx(slope, abs=1e-8)
    shift = np.array([step, 0, 0])
    ahead, behind = (objective(weight, bias + sign * shift, x, y, 0.7)[0] for sign in (1, -1))
    assert by_bias[0] == pytest.approx((ahead - behind) / (2 * step), abs=1e-8)


def test_the_minimum_is_the_same_from_anywhere_and_solves_its_equation():
    x, y = problem()
    found = fit_logistic(x, y, 3, 0.1)
    far = fit_logistic(x, y, 3, 0.1, (np.full((7, 3), 2.0), np.array([5.0, -5.0, 0.0])))
    np.testing.assert_allclose(found[0], far[0], atol=1e-3)
    _, by_weight, by_bias = objective(*found, x, y, 0.1)
    assert max(np.abs(by_weight).max(), np.abs(by_bias).max()) < 1e-5
    # A bias is not held back, so the mean prediction of every class is its share.
    logits = x @ found[0] + found[1]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares.mean(axis=0), np.bincount(y) / len(y), atol=1e-5)
    # One term, +1 in one class and -1 in the other, n texts of each: w = 2 w_1 solves penalty w / 2 = 2 n sigma(-w).
    n, penalty = 10, 3.0
    ends = sparse.csr_array(np.array([[1.0]] * n + [[-1.0]] * n))
    weight, bias = fit_logistic(ends, np.array([1] * n + [0] * n), 2, penalty)
    exact = brentq(lambda w: penalty * w / 2 - 2 * n / (1 + math.exp(w)), 0, 50)
    assert weight[0, 1] - weight[0, 0] == pytest.approx(exact, abs=1e-4)
    assert bias == pytest.approx(0, abs=1e-4)


def test_classes_may_be_renamed():
    x, y = problem()
    order = np.array([2, 0, 1])
    one, other = fit_logistic(x, y, 3, 1.0), fit_logistic(x, order[y], 3, 1.0)
    np.testing.assert_allclose(one[0], other[0][:, order], atol=1e-4)


@pytest.mark.parametrize("penalty", [0.0, -1.0, math.inf, math.nan, True, "1"])
def test_a_penalty_is_above_zero(penalty):
    with pytest.raises(ModelError, match=r"penalty is .*above 0"):
        fit_logistic(*problem(), 3, penalty)


def films(path, flip: bool = False, n: int = 120):
    generator = np.random.default_rng(5)
    rows = []
    for i in range(n):
        good = bool(i % 2)
        told = good if generator.random() < 0.85 else not good
        rows.append(
            f"film {i} was {'splendid' if told else 'dreary'} {generator.integers(9)},{'pos' if good else 'neg'}"
        )
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def test_a_run_is_recorded_scored_again_and_not_repeated(tmp_path):
    file, out = films(tmp_path / "films.csv"), tmp_path / "run"
    told = []
    result = train_bag_of_words(
        str(file),
        out,
        changes={"penalties": [1.0, 10.0, 0.1], "test": 0.2},
        progress=lambda *step: told.append(step[:2]),
    )
    assert told == [(1, 3), (2, 3), (3, 3)] and sorted(p.name for p in out.iterdir()) == [
        "model.safetensors",
        "run.json",
        "terms.json",
    ]
    splits = load(file, test=0.2)
    assert result.data_digest == splits.digest and result.data.n_train == len(splits.train)
    assert (result.arm, result.recipe["penalties"], result.steps) == ("bag_of_words", [10.0, 1.0, 0.1], 3)
    # Chosen by validation: the best accuracy, and of equal ones the lower loss.
    best = max(result.learning_curve, key=lambda p: (p.validation_accuracy, -p.validation_loss))
    assert result.chosen_step == best.step and result.scores["validation"].loss == best.validation_loss
    bag = BagOfWords.load(out)
    assert bag.digest() == result.weights_digest and bag.n_parameters == result.n_parameters
    right = (bag.logits(splits.test.texts).argmax(axis=1) == splits.test.labels).mean()
    assert result.test_accuracy == right > 0.6
    assert not any(term in bag.terms.terms for term in ("unheard",)) and "splendid" in bag.terms.terms
    # Terms are of the training texts alone.
    held = {word for text in splits.test.texts + splits.validation.texts for word in text.split()}
    assert held - set(bag.terms.terms)
    text = score_run(out)
    assert f"accuracy     {100 * right:.2f} % of {len(splits.test)}" in text and "when it was trained" in text
    with pytest.raises(ModelError, match=r"bag of words, which is no network; open it with models\.BagOfWords\.load"):
        open_run(out)
    before = (out / "run.json").stat().st_mtime_ns
    again = train_bag_of_words(str(file), out, changes={"penalties": [1.0, 10.0, 0.1], "test": 0.2})
    assert again == result == RunResult.load(out / "run.json") and (out / "run.json").stat().st_mtime_ns == before
    with pytest.raises(ModelError, match=r"holds a run whose recipe is"):
        train_bag_of_words(str(file), out, changes={"penalties": [1.0], "test": 0.2})
    # Stopped before the record: made again, to the same weights.
    (out / "run.json").unlink()
    assert train_bag_of_words(str(file), out, changes={"penalties": [1.0, 10.0, 0.1], "test": 0.2}).weights_digest == (
        result.weights_digest
    )


def test_the_test_split_has_no_part_in_the_choice(tmp_path):
    """The same training and validation texts with other labels in the test: the same weights, another score."""
    train, test = films(tmp_path / "train.csv"), films(tmp_path / "test.csv", n=30)
    one = train_bag_of_words(str(train), tmp_path / "one", changes={"test": str(test)})
    swapped = {"pos": "neg", "neg": "pos"}
    lines = [line.rsplit(",", 1) for line in test.read_text().splitlines()[1:]]
    test.write_text("text,label\n" + "\n".join(f"{text},{swapped[label]}" for text, label in lines) + "\n")
    other = train_bag_of_words(str(train), tmp_path / "other", changes={"test": str(test)})
    assert one.weights_digest == other.weights_digest and one.chosen_step == other.chosen_step
    assert one.test_accuracy == pytest.approx(1 - other.test_accuracy)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ngrams": 4}, "ngrams is 4; expected 1"),
        ({"ngrams": True}, "ngrams is True"),
        ({"weighting": "tf"}, "weighting is 'tf'; expected one of tfidf, binary, counts"),
        ({"min_count": 0}, "min_count is 0"),
        ({"min_count": 1000}, "no term is in 1000 training texts"),
        ({"lower_case": 1}, "lower_case is 1"),
        ({"words": "letters"}, "unknown split 'letters'"),
        ({"penalties": []}, "penalties is"),
        ({"penalties": [1.0, -1.0]}, "penalties is"),
        ({"select": "test"}, "select is 'test'; expected one of accuracy, loss"),
        ({"ngram": 2}, "'ngram': did you mean 'ngrams'"),
        ({"learning_rate": 1e-3}, "unknown setting of a bag of words or its data 'learning_rate'"),
    ],
)
def test_faults_are_one_line_and_leave_nothing(tmp_path, changes, words):
    file = films(tmp_path / "films.csv")
    with pytest.raises(ModelError, match=words) as error:
        train_bag_of_words(str(file), tmp_path / "run", changes=changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())


def test_other_tasks_folders_and_files_are_refused(tmp_path):
    for task, kind in (("shakespeare", "language"), ("cifar10", "image_classification")):
        with pytest.raises(ModelError, match=f"a bag of words is for texts with labels; task '{task}' is {kind}"):
            train_bag_of_words(task, tmp_path / "run")
    file = films(tmp_path / "films.csv")
    with pytest.raises(ModelError, match="is not empty and holds no run"):
        train_bag_of_words(str(file), tmp_path)
    out = tmp_path / "run"
    train_bag_of_words(str(file), out, changes={"penalties": [1.0]})
    record = json.loads((out / "terms.json").read_text())
    for wrong in (
        {**record, "version": 2},
        {**record, "terms": [1]},
        {**record, "texts_with": record["texts_with"][1:]},
        [],
    ):
        (out / "terms.json").write_text(json.dumps(wrong))
        with pytest.raises(ModelError, match=r"terms"):
            BagOfWords.load(out)
    (out / "terms.json").write_text(
        json.dumps({**record, "terms": record["terms"][1:], "texts_with": record["texts_with"][1:]})
    )
    with pytest.raises(ModelError, match="weights are"):
        BagOfWords.load(out)
    (out / "model.safetensors").write_bytes(b"no tensors")
    (out / "terms.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        BagOfWords.load(out)


def test_attention_off_without_positions_is_a_bag_of_words_too():
    """Each word adds a vector of its own: order changes nothing, and logits are means over the words. With positions: neither."""
    import torch

    from models import AstromorphicConfig, AstromorphicForSequenceClassification

    sizes = {"network": "sequence", "vocab_size": 30, "max_position_embeddings": 8, "hidden_size": 16, "num_attention_heads": 2,
             "num_labels": 2, "dropout": 0.0}  # fmt: skip
    text = torch.tensor([[3, 7, 9, 11, 7]])
    torch.manual_seed(0)
    for positions, bag in ((False, True), (True, False)):
        config = AstromorphicConfig.from_preset("none", **sizes, position_embeddings=positions, initializer_range=0.5)
        model = AstromorphicForSequenceClassification(config).eval()
        with torch.no_grad():
            whole, turned = (model(x).logits for x in (text, text.flip(1)))
            alone = torch.cat([model(text[:, i : i + 1]).logits for i in range(5)]).mean(dim=0)
        assert torch.allclose(whole, turned, atol=1e-6) is bag
        assert torch.allclose(whole[0], alone, atol=1e-6) is bag


@pytest.mark.slow
def test_imdb_has_the_recorded_accuracy(tmp_path):
    if not os.environ.get("ASTROMORPHIC_DATA"):
        pytest.skip("ASTROMORPHIC_DATA is not set: no real data")
    result = train_bag_of_words("imdb", tmp_path / "run", changes={"penalties": [0.3]})
    assert 100 * result.test_accuracy == pytest.approx(88.55, abs=0.05)
