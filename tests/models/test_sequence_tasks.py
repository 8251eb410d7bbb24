"""Long sequences as tasks: what a network is given and asked, what is refused, and what no reading is needed for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.astromorphic import AstromorphicForSequenceClassification
from models.data.kinds import LabelledSequences, Splits
from models.data.sequences import TokenSequences
from models.errors import ModelError
from models.recipes import Recipe
from models.result import RunResult
from models.scoring import open_run, score_run
from models.tasks import SEQUENCES, load_task
from models.tasks.networks import network_for
from models.tasks.prepare import prepare
from models.tasks.presets import PRESETS
from models.tasks.sequence_classification import SequenceClassificationTask
from models.training import train

FEW = {"train": 40, "validation": 10, "test": 12, "min_length": 5, "max_length": 30}


def listops(**options) -> SequenceClassificationTask:
    task = load_task("listops", **{**FEW, **options})
    assert isinstance(task, SequenceClassificationTask)
    return task


def test_batches_are_padded_and_masked():
    task = listops()
    batch = task.batch("train", np.arange(6))
    lengths = task.sequences["train"].lengths[:6]
    assert batch["attention_mask"].sum(1).tolist() == lengths.tolist()
    # In steps of 32, but never beyond the longest that the task allows.
    assert batch["input_ids"].shape == (6, 32) and batch["input_ids"].dtype == torch.int64
    assert torch.equal(batch["input_ids"] != 0, batch["attention_mask"].bool())
    assert batch["input_ids"][3, : lengths[3]].tolist() == task.sequences["train"][3].tolist()
    assert batch["labels"].tolist() == task.labels["train"][:6].tolist() and not task.paired
    settings = {"vocab_size": 16, "max_position_embeddings": 32, "pad_token_id": 0, "num_labels": 10}
    assert task.settings() == settings and task.evaluation_batch == 128
    short = listops(length=20)
    assert short.batch("train", np.arange(40))["input_ids"].shape == (40, 20)


def test_pixels_have_no_padding_and_every_value_is_a_token():
    task = load_task("pathfinder_like", train=4, validation=2, test=2, size=16, dashes=3, distractors=0)
    assert isinstance(task, SequenceClassificationTask)
    assert task.lengths("train") is None and task.settings()["pad_token_id"] is None
    batch = task.batch("train", np.array([2]))
    assert batch["input_ids"].shape == (1, 256) and int(batch["attention_mask"].sum()) == 256
    # Black is a pixel like others, and not left out for want of a mask.
    assert (batch["input_ids"] == 0).any() and int(batch["input_ids"].max()) == 255


def test_texts_of_4096_bytes_are_scored_in_batches_of_their_tokens():
    part = LabelledSequences(TokenSequences.of_bytes([b"ab", b"c"], 4096), np.array([0, 1]))
    task = SequenceClassificationTask(Splits("x", part, part, part, "d", "made up", ("a", "b")))
    assert task.evaluation_batch == 64 and task.settings()["vocab_size"] == 257


def test_pairs_are_two_texts_with_masks_of_their_own():
    one = TokenSequences.of_bytes([b"a" * 40, b"bc"], 64)
    two = TokenSequences.of_bytes([b"x", b"yyy"], 64)
    part = LabelledSequences(one, np.array([0, 1]), two)
    task = SequenceClassificationTask(Splits("pairs", part, part, part, "d", "made up", ("no", "yes")))
    batch = task.batch("test", np.array([0, 1]))
    assert task.paired and set(batch) == {
        "input_ids", "attention_mask", "second_input_ids", "second_attention_mask", "labels",
    }  # fmt: skip
    assert batch["input_ids"].shape == (2, 64) and batch["second_input_ids"].shape == (2, 32)
    assert batch["second_attention_mask"].sum(1).tolist() == [1, 3] and batch["attention_mask"].sum(1).tolist() == [
        40,
        2,
    ]
    assert batch["second_input_ids"][1, :3].tolist() == [ord("y") + 1] * 3
    # Batches of about equal length go by the longer of the two.
    assert task.lengths("train").tolist() == [40, 3]
    with pytest.raises(ModelError, match="pairs has pairs of texts and a network of 'astromorphic' takes one text"):
        prepared = prepare("listops", preset="smoke", changes=FEW)
        task.check(prepared.config)


def test_pairs_are_refused_by_networks_of_one_text_before_anything_is_written(tmp_path):
    changes = {"train": 20, "validation": 4, "test": 4, "length": 64, "records": 2}
    ready = prepare("associative_retrieval", preset="smoke", changes=changes)
    with pytest.raises(
        ModelError, match=r"takes one text; expected a model of rmaat, or join the texts with joined=true"
    ):
        train(ready.config, ready.task, ready.recipe, tmp_path / "run", 0)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ModelError, match="lra_retrieval has pairs of texts"):
        prepare("lra_retrieval", data=tmp_path / "nowhere")
    joined = prepare("associative_retrieval", preset="smoke", changes={**changes, "joined": True})
    joined.task.check(joined.config)
    assert joined.config.max_position_embeddings == 128
    with pytest.raises(ModelError, match="configuration is of 'bert', which reads no sequences"):
        network_for("bert", "listops", False)


def test_scores_stand_beside_what_no_reading_is_needed_for(tmp_path):
    ready = prepare("listops", preset="smoke", changes={**FEW, "steps": 2, "evaluate_every": 2, "warmup_steps": 0})
    result = train(ready.config, ready.task, ready.recipe, tmp_path, 0)
    assert result.kind == "sequence_classification" and result.task == "listops_5_30"
    counts = result.data.class_counts
    assert {split: sum(n) for split, n in counts.items()} == {"train": 40, "validation": 10, "test": 12}
    task = ready.task
    assert isinstance(task, SequenceClassificationTask)
    assert counts["test"] == [int((task.labels["test"] == c).sum()) for c in range(10)]
    commonest = int(np.argmax(counts["train"]))
    assert result.scores["test"].majority == counts["test"][commonest] / 12 and result.scores["test"].chance == 0.1
    again = RunResult.load(tmp_path / "run.json")
    assert again.scores == result.scores and again.data.options["max_length"] == 30
    run = open_run(tmp_path)
    assert run.same_data and isinstance(run.model, AstromorphicForSequenceClassification)
    text = score_run(tmp_path)
    assert f"majority     {100 * result.scores['test'].majority:.2f} %" in text and "chance 10.00 %" in text
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json is damaged"):
        task.load(tmp_path)
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        task.load(tmp_path / "elsewhere")


def test_the_majority_is_that_of_train_even_where_the_scored_examples_differ():
    one = TokenSequences.of_bytes([b"ab"] * 3, 8)
    train_part = LabelledSequences(one, np.array([1, 1, 0]))
    test_part = LabelledSequences(one, np.array([0, 0, 1]))
    task = SequenceClassificationTask(Splits("x", train_part, test_part, test_part, "d", "made up", ("a", "b")))
    config = prepare("listops", preset="smoke", changes=FEW).config
    settings = {**config.settings(), **task.settings()}
    model = task.build(type(config)(**settings))
    score, _ = task.score(model, "test")
    assert score.majority == pytest.approx(1 / 3) and score.chance == 0.5
    limited = Recipe("x", steps=1, batch_size=1, learning_rate=1e-3, warmup_steps=0, evaluate_items=1)
    chosen = task.chosen("test", 1)
    assert task.score(model, "test", limited)[0].majority == float(task.labels["test"][chosen][0] == 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 10}, "vocab_size is 10; expected at least 16, the tokens of listops_5_30"),
        ({"max_position_embeddings": 8}, "max_position_embeddings is 8 and sequences of listops_5_30 have up to"),
        ({"num_labels": 3}, "num_labels is 3; expected 10, the classes of listops_5_30"),
    ],
)
def test_networks_that_do_not_fit_are_refused(settings, message):
    ready = prepare("listops", preset="smoke", changes=FEW)
    with pytest.raises(ModelError, match=message):
        ready.task.check(type(ready.config)(**{**ready.config.settings(), **settings}))


def test_options_of_the_data_are_those_of_the_generator():
    with pytest.raises(ModelError, match="data of listops have no option 'max_lenght'; did you mean 'max_length'"):
        load_task("listops", max_lenght=5)
    task = listops(form="parentheses", split_seed=3)
    assert task.settings()["vocab_size"] == 18 and task.options["split_seed"] == 3
    assert task.digest != listops(form="parentheses").digest


def test_every_set_of_sequences_has_its_presets():
    """Each gives a network of one stretch and one of segments: settings that exclude each other would be refused here."""
    task = listops()
    for name in SEQUENCES:
        assert set(PRESETS[name]) == {"paper", "lra_base", "tuned", "smoke"}
        for preset, one in PRESETS[name].items():
            assert one.recipe.select == "accuracy"
            for model in ("rmaat",) if name.endswith("retrieval") else ("softmax", "rmaat"):  # pairs need two towers
                ready = prepare(name, model, preset, loaded=task)
                assert ready.recipe == one.recipe and ready.config.num_parameters("sequence") > 0
                assert ready.config.hidden_size == one.model["hidden_size"]


@pytest.mark.parametrize("name", ["listops", "associative_retrieval", "pathfinder_like"])
def test_what_is_drawn_for_smoke_can_be_drawn(name):
    few = {"train": 6, "validation": 4, "test": 4}
    ready = prepare(name, "rmaat", "smoke", changes=few)
    batch = ready.task.batch("train", np.arange(6))
    assert batch["input_ids"].shape == (6, batch["attention_mask"].shape[1]) and bool(batch["attention_mask"].any())


@pytest.mark.slow
def test_the_generator_teaches_more_than_the_majority(tmp_path):
    """Short expressions, a small network, minutes: better than always naming the commonest class."""
    changes = {
        "train": 4000, "validation": 300, "test": 500, "min_length": 5, "max_length": 24, "steps": 600, "batch_size": 32,
        "hidden_size": 32, "evaluate_every": 200, "evaluate_items": None,
    }  # fmt: skip
    ready = prepare("listops", preset="smoke", changes=changes)
    result = train(ready.config, ready.task, ready.recipe, tmp_path, 0)
    assert result.test_accuracy > result.scores["test"].majority + 0.1
