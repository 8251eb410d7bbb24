"""Tasks of texts, images and tables: what they ask of a network, what they refuse, and training that validation picks from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.astromorphic import AstromorphicConfig, AstromorphicForSequenceClassification
from models.data.kinds import LabelledImages, LabelledTexts, Splits
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError
from models.recipes import Recipe
from models.result import RunResult
from models.rmaat.presets import MODELS as SEGMENTED
from models.scoring import leaks_of_run, open_run, score_run
from models.tasks import SEQUENCES, load_task
from models.tasks.image_classification import ImageClassificationTask
from models.tasks.loading import family
from models.tasks.prepare import model_names, prepare
from models.tasks.presets import PRESETS
from models.tasks.text_classification import TextClassificationTask
from models.trainer import BestWeights, LearningCurve, is_over, make_trainer, picked
from models.training import run_job, train

RECIPE = Recipe(
    "test", None, batch_size=8, learning_rate=5e-3, warmup_steps=0, epochs=4, evaluate_every=None, save_every=None,
    select="accuracy", weight_decay=0.0,
)  # fmt: skip
SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "dropout": 0.1}


def reviews(n: int, seed: int) -> LabelledTexts:
    """Texts of 3 to 9 words; the label says whether there are more good words than bad ones."""
    random = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        words = random.choice(["good", "bad", "film", "the"], random.integers(3, 10)).tolist()
        label = int(words.count("good") > words.count("bad"))
        texts.append(" ".join(words))
        labels.append(label)
    return LabelledTexts(tuple(texts), np.array(labels, dtype=np.int64))


def text_splits(train=120) -> Splits[LabelledTexts]:
    return Splits("films", reviews(train, 0), reviews(60, 1), reviews(60, 2), "digest", "made up", ("bad", "good"))


def text_task(**options) -> TextClassificationTask:
    splits = text_splits()
    return TextClassificationTask(splits, WordVocabulary.build(splits.train.texts), 8, **options)


def config_of(task, network="sequence", **settings) -> AstromorphicConfig:
    return AstromorphicConfig.from_preset("tuned", network=network, **{**SIZE, **task.settings(), **settings})


def test_a_network_starts_from_the_vectors_of_its_words():
    words = len(text_task().encoder)
    vectors = np.random.default_rng(0).normal(size=(words, 6)).astype(np.float32)
    task = text_task(embeddings=vectors)
    for room in (0, 3):
        config = config_of(task, vocab_size=words + room)
        torch.manual_seed(5)
        untouched = AstromorphicForSequenceClassification(config).model.embed.weight
        torch.manual_seed(5)
        weight = task.build(config).model.embed.weight
        assert torch.equal(weight[:words], torch.from_numpy(vectors))
        # The numbers that stand for no word of the task.
        assert torch.equal(weight[words:], untouched[words:]) and weight.requires_grad
    with pytest.raises(ModelError, match=rf"vectors are \({words}, 6\); expected \({words}, 8\): set .*embedding_size"):
        task.build(config_of(task, embedding_size=8))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, RunResult]:
    out, task = tmp_path_factory.mktemp("films"), text_task()
    return out, train(config_of(task), task, replace(RECIPE, test_curve=True), out, 1)


def test_the_weights_are_those_of_the_epoch_that_validation_picks(finished):
    out, result = finished
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.safetensors", "run.json", "vocabulary.json"]
    assert result.kind == "text_classification" and result.causality is None and result.tokens_per_step is None
    assert [p.epoch for p in result.learning_curve] == [1.0, 2.0, 3.0, 4.0] and result.steps_per_epoch == 15
    best = max(result.learning_curve, key=lambda p: (p.validation_accuracy, -p.validation_loss, -p.step))
    assert result.chosen_step == best.step and result.chosen_epoch == best.epoch
    task = text_task()
    model = AstromorphicForSequenceClassification.from_pretrained(out)
    assert task.score(model, "validation")[0] == result.scores["validation"]
    assert result.validation_accuracy == best.validation_accuracy and result.scores["validation"].n == 60
    # The test split is scored with these weights, and by its own curve is never chosen.
    assert task.score(model, "test")[0] == result.scores["test"]
    assert result.test_accuracy == best.test_accuracy > 0.7


def test_scores_are_those_of_each_text_alone(finished):
    """Padding, batches and their order change nothing."""
    out, result = finished
    task, model = text_task(), AstromorphicForSequenceClassification.from_pretrained(out).eval()
    right, nats = 0, 0.0
    with torch.no_grad():
        for i, label in enumerate(task.labels["test"]):
            logits = (
                model(input_ids=torch.from_numpy(task.encoded["test"][i].astype(np.int64))[None]).logits[0].double()
            )
            right += int(logits.argmax() == int(label))
            nats -= float(logits.log_softmax(-1)[int(label)])
    assert result.test_accuracy == right / 60 and result.scores["test"].loss == pytest.approx(nats / 60, rel=1e-5)


def test_an_epoch_reads_every_text_once_and_the_order_is_that_of_the_seed():
    task = text_task()
    one, same, other = (task.batches(config_of(task), RECIPE, seed) for seed in (0, 0, 1))
    assert len(one) == 60
    for epoch in (0, 3):
        read = torch.cat([one[epoch * 15 + i]["labels"] for i in range(15)])
        assert len(read) == 120 and int(read.sum()) == int(task.labels["train"].sum())
    assert all(torch.equal(one[i]["input_ids"], same[i]["input_ids"]) for i in (59, 3, 17))
    assert any(not torch.equal(one[i]["input_ids"], other[i]["input_ids"]) for i in range(15))


class Stop(Exception):
    pass


@pytest.mark.parametrize("step", [20, 60])
def test_a_resumed_run_has_the_same_best_weights(finished, tmp_path, step):
    _, result = finished
    task, recipe = text_task(), replace(RECIPE, test_curve=True)

    def stop(now, total, metrics):
        if now == step:
            raise Stop

    with pytest.raises(Stop):
        train(config_of(task), task, recipe, tmp_path, 1, progress=stop)
    resumed = train(config_of(task), task, recipe, tmp_path, 1)
    unlike = {"wall_time_s", "resumed_from_step"}
    assert resumed.resumed_from_step in (15, 45)
    assert resumed.model_dump(exclude=unlike) == result.model_dump(exclude=unlike)
    assert not (tmp_path / "checkpoints").exists()


def test_the_best_weights_that_a_checkpoint_knows_are_kept(tmp_path):
    model, best = torch.nn.Linear(2, 1), BestWeights(tmp_path)
    for step in (10, 20, 30):
        with torch.no_grad():
            model.weight.fill_(step)
        best.write(model.state_dict(), step)
    best.forget_before(20)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best-20.safetensors", "best-30.safetensors"]
    best.load_into(model, 20)
    assert model.weight.tolist() == [[20.0, 20.0]]
    (tmp_path / "best-20.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"best-20\.safetensors does not load"):
        best.load_into(model, 20)


def test_picking_and_patience():
    history = [
        {"step": s, "validation_loss": loss, "validation_accuracy": a}
        for s, loss, a in ((1, 0.7, 0.6), (2, 0.5, 0.8), (3, 0.4, 0.8), (4, 0.3, 0.7), (5, 0.3, 0.8))
    ]
    assert picked(history, "last")["step"] == 5
    assert picked(history, "loss")["step"] == 4  # the earliest of equals
    assert picked(history, "accuracy")["step"] == 5  # at equal accuracy the lower loss
    assert picked([{"step": 1, "loss": 2.0}], "loss") is None
    patient = replace(RECIPE, patience=2)
    assert is_over(history[:4], patient) is False and is_over(history, replace(patient, select="loss", patience=1))
    worse = [*history[:2], *({"step": s, "validation_loss": 0.9, "validation_accuracy": 0.1} for s in (6, 7))]
    assert is_over(worse, patient) and not is_over(worse, RECIPE)


def test_patience_ends_a_run_and_a_killed_end_is_not_trained_on(tmp_path, monkeypatch):
    """Stopped early, then killed before the record was written: the same command only writes the record."""
    task, calls = text_task(), []
    recipe = replace(RECIPE, epochs=40, patience=1, learning_rate=2e-2)
    import models.training as training

    monkeypatch.setattr(training, "_record", lambda *a: (_ for _ in ()).throw(Stop))
    with pytest.raises(Stop):
        train(config_of(task), task, recipe, tmp_path, 1)
    monkeypatch.undo()
    result = train(config_of(task), task, recipe, tmp_path, 1, progress=lambda *a: calls.append(a))
    assert calls == [] and result.steps == result.learning_curve[-1].step < 600
    assert result.chosen_step == result.steps - 15


def image_task(augment="none", size=8) -> ImageClassificationTask:
    random = np.random.default_rng(0)

    def part(n):
        labels = np.arange(n) % 3
        images = random.integers(0, 120, (n, size, size, 3), dtype=np.uint8)
        images[np.arange(n), :, :, labels] += 100
        return LabelledImages(images, labels.astype(np.int64))

    splits = Splits("colours", part(48), part(24), part(24), "d", "made up", ("red", "green", "blue"))
    return ImageClassificationTask(splits, augment=augment)


def test_images_are_learnt_and_normalised_by_the_training_images(tmp_path):
    task = image_task()
    pixels = torch.cat([task.batch("validation", np.arange(24))["pixel_values"]])
    train_images = task.images["train"].astype(float) / 255
    expected = (task.images["validation"][5, 2, 3] / 255 - train_images.mean((0, 1, 2))) / train_images.std((0, 1, 2))
    np.testing.assert_allclose(pixels[5, :, 2, 3], expected, rtol=1e-4, atol=1e-5)
    recipe = replace(RECIPE, label_smoothing=0.1, mixup=0.2, learning_rate=1e-2)
    result = train(config_of(task, "image", dropout=0.0, patch_size=4), task, recipe, tmp_path, 0)
    assert result.kind == "image_classification" and result.test_accuracy > 0.9
    assert result.data.classes == ["red", "green", "blue"]
    # What is trained without augmentation is what is scored, of the training images too.
    plain = image_task("none")
    raw = plain.training_batch(np.arange(8), RECIPE, np.random.default_rng(0))
    trained = plain.augmented(raw, RECIPE)["pixel_values"]
    torch.testing.assert_close(trained, plain.batch("train", np.arange(8))["pixel_values"])


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_the_loss_that_is_trained_is_that_of_the_recipe(tmp_path, kind):
    """Of augmented and mixed images; labels smoothed by a share that all classes divide among them."""
    recipe = replace(RECIPE, label_smoothing=0.3, mixup=0.8 if kind == "images" else 0.0)
    task = image_task("crop_flip") if kind == "images" else text_task()
    model = task.build(config_of(task, "image" if kind == "images" else "sequence", dropout=0.0)).eval()
    curve = LearningCurve(task, recipe, BestWeights(tmp_path), None)
    batches = task.batches(model.config, recipe, 0)
    trainer = make_trainer(model, batches, recipe, tmp_path, 0, curve, "cpu")
    torch.manual_seed(3)
    given = task.augmented(dict(batches[0]), recipe)
    labels = given.pop("labels")
    if kind == "images":
        assert labels.shape == (8, 3) and 0.0 < labels.min(1).values.max() + labels.median(1).values.max() < 1.0
    else:
        labels = torch.nn.functional.one_hot(labels, 2).float()
    smoothed = 0.7 * labels + 0.3 / labels.shape[1]
    expected = -(smoothed * model(**given).logits.log_softmax(-1)).sum(-1).mean()
    torch.manual_seed(3)
    found = trainer.compute_loss(model, dict(batches[0]))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_resumed_run_of_images_draws_the_same_augmentations(tmp_path):
    """Crops, flips, mixing and left out layers are drawn from torch's own state, which a checkpoint has to carry."""
    task = image_task("crop_flip")
    config = config_of(task, "image", patch_size=4, num_hidden_layers=2, stochastic_depth=0.3)
    recipe = replace(RECIPE, epochs=2, mixup=0.5, label_smoothing=0.1)

    def stop(now, total, metrics):
        if now == 9:
            raise Stop

    whole = train(config, task, recipe, tmp_path / "whole", 4)
    with pytest.raises(Stop):
        train(config, task, recipe, tmp_path / "cut", 4, progress=stop)
    resumed = train(config, task, recipe, tmp_path / "cut", 4)
    unlike = {"wall_time_s", "resumed_from_step"}
    assert resumed.resumed_from_step == 6
    assert resumed.model_dump(exclude=unlike) == whole.model_dump(exclude=unlike)


def test_augmentation_moves_training_images_alone_and_by_the_seed():
    task = image_task("crop_flip")
    raw = task.training_batch(np.arange(8), RECIPE, np.random.default_rng(0))
    assert raw["pixel_values"].min() >= 0 and raw["pixel_values"].max() <= 1
    torch.manual_seed(3)
    one = task.augmented(raw, RECIPE)["pixel_values"]
    torch.manual_seed(3)
    assert torch.equal(task.augmented(raw, RECIPE)["pixel_values"], one)
    assert not torch.equal(task.augmented(raw, RECIPE)["pixel_values"], one)
    assert torch.equal(
        task.batch("test", np.arange(4))["pixel_values"], image_task().batch("test", np.arange(4))["pixel_values"]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocab_size": 3}, r"vocab_size is 3; expected at least 6, the tokens of words \(6, lower case, words\)"),
        ({"max_position_embeddings": 4}, "max_position_embeddings is 4 and texts of films have up to 8 tokens"),
        ({"num_labels": 3}, "num_labels is 3; expected 2, the classes of films: bad, good"),
    ],
)
def test_networks_that_do_not_fit_texts_are_refused_before_anything_is_written(settings, message, tmp_path):
    task = text_task()
    with pytest.raises(ModelError, match=message):
        train(config_of(task, **settings), task, RECIPE, tmp_path / "run", 0)
    assert list(tmp_path.iterdir()) == []


def test_data_that_do_not_fit_are_refused():
    splits = text_splits()
    vocabulary = WordVocabulary.build(splits.train.texts)
    empty = replace(splits, test=LabelledTexts(("good", " \n"), np.array([1, 0])))
    with pytest.raises(ModelError, match=r"films, test: text 1 .* has no tokens"):
        TextClassificationTask(empty, vocabulary, 8)
    wrong = replace(splits, validation=LabelledTexts(("good", "bad"), np.array([1, 2])))
    with pytest.raises(ModelError, match="the label of validation example 1 is 2; expected 0 to 1"):
        task = TextClassificationTask(wrong, vocabulary, 8)
        task.check(config_of(task))
    with pytest.raises(ModelError, match="length is 0"):
        TextClassificationTask(splits, vocabulary, 0)
    images = image_task()
    with pytest.raises(ModelError, match="image_size is 16 with 3 channels; the images of colours are 8 x 8 with 3"):
        images.check(config_of(images, "image", image_size=16))
    with pytest.raises(ModelError, match=r"mixup is 0\.5, which is for images; task 'films' is text_classification"):
        train(config_of(text_task()), text_task(), replace(RECIPE, mixup=0.5), "nowhere", 0)


def test_batches_have_few_lengths_and_none_beyond_the_longest_text():
    words = [" ".join(["word"] * n) for n in (3, 31, 33, 50)]
    texts = LabelledTexts(tuple(words), np.array([0, 1, 0, 1]))
    splits = replace(text_splits(), train=texts, validation=texts, test=texts)
    task = TextClassificationTask(splits, WordVocabulary.build(words), 60)
    lengths = [task.batch("train", np.array([i]))["input_ids"].shape[1] for i in range(4)]
    # Positions of the network may end with the longest text.
    assert lengths == [32, 32, 50, 50]
    assert task.batch("train", np.array([1, 2]))["attention_mask"].sum(1).tolist() == [31, 33]


def test_names_of_tasks_and_files(tmp_path):
    (tmp_path / "mine.csv").write_text("text,label\n")
    assert family("imdb") == "imdb" and family(str(tmp_path / "mine.csv")) == "table"
    named = {"shakespeare", "imdb", "cifar10", "wikitext2", "wikitext103", "enwik8", *SEQUENCES}
    assert {*PRESETS} == {*named, "text_file", "table", "token_file", "dialogue"}
    with pytest.raises(ModelError, match="task is 'imbd'; did you mean 'imdb'"):
        family("imbd")
    with pytest.raises(ModelError, match="there is no such file"):
        family("nowhere/my.txt")
    with pytest.raises(ModelError, match="data of imdb have no option 'vocabulry'; did you mean 'vocabulary'"):
        load_task("imdb", vocabulry=5)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("table") / "films.csv"
    rows = reviews(200, 5)
    lines = [f"{text},{'good' if label else 'bad'}" for text, label in zip(rows.texts, rows.labels, strict=True)]
    file.write_text("text,label\n" + "\n".join(lines) + "\n")
    return file


@pytest.mark.parametrize("model", [name for name in model_names() if name not in ("astrosnn", *SEGMENTED)])
def test_every_model_trains_on_a_table_by_its_name(table, tmp_path, model):
    changes = {"hidden_size": 16, "epochs": 1, "train_items": 32, "evaluate_items": 16}
    task, config, recipe, _ = prepare(str(table), model, "smoke", changes=changes)
    result = train(config, task, recipe, tmp_path, 0, model)
    assert result.kind == "text_classification" and result.steps == 2 and np.isfinite(result.scores["test"].loss)


def test_prepare_puts_settings_where_they_belong(table):
    task, config, recipe, _ = prepare(
        str(table),
        "astromorphic",
        "tuned",
        changes={"length": 5, "learning_rate": 0.5, "hidden_size": 8, "test": 0.25, "steps": 70},
    )
    assert isinstance(task, TextClassificationTask)
    assert config.max_position_embeddings == 5 and config.hidden_size == 8 and config.vocab_size == len(task.encoder)
    assert recipe.learning_rate == 0.5 and recipe.steps == 70 and recipe.epochs is None
    assert len(task.labels["test"]) == 50 and task.options["test"] == 0.25
    with pytest.raises(ModelError, match=r"'lerning_rate': did you mean 'learning_rate'"):
        prepare(str(table), changes={"lerning_rate": 1})
    with pytest.raises(ModelError, match=r"unknown model 'astromorfic': did you mean 'astromorphic'"):
        prepare(str(table), "astromorfic")
    with pytest.raises(ModelError, match="unknown preset 'papr' of imdb: did you mean 'paper'"):
        prepare("imdb", preset="papr")


def test_the_sharper_start_of_a_recipe_is_for_elu_features(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question\n" * 300)
    task = prepare(str(text), "astromorphic", "tuned").task
    starts = {
        name: prepare(str(text), name, "tuned", loaded=task).config.query_key_init
        for name in ("astromorphic", "katharopoulos", "kozachkov", "softmax", "kozachkov_random_features")
    }
    assert starts == {
        "astromorphic": 3.0, "katharopoulos": 3.0, "kozachkov": 3.0, "softmax": 1.0, "kozachkov_random_features": 1.0
    }  # fmt: skip
    asked = prepare(str(text), "softmax", "tuned", changes={"query_key_init": 2.0}, loaded=task)
    assert asked.config.query_key_init == 2.0


def test_run_folders_are_scored_again(table, tmp_path):
    job = {
        "config": prepare(str(table), "none", "smoke").config.settings(), "task": str(table), "recipe": vars(RECIPE),
        "options": {"vocabulary": 2_000, "length": 64}, "out_dir": str(tmp_path / "run"), "arm": "none",
    }  # fmt: skip
    record = run_job(job)
    run = open_run(tmp_path / "run")
    assert run.same_data and run.record.model_dump(mode="json") == record
    text = score_run(tmp_path / "run", split="validation")
    assert f"accuracy     {100 * record['scores']['validation']['accuracy']:.2f} % of 18" in text
    other = tmp_path / "other.csv"
    other.write_text(table.read_text().replace("film", "movie"))
    assert "other data than it was trained on" in score_run(tmp_path / "run", data=other)
    text_file = tmp_path / "a.txt"
    text_file.write_text("x" * 200)
    with pytest.raises(ModelError, match=r"is a run of text_classification and .* is language"):
        score_run(tmp_path / "run", data=text_file)
    with pytest.raises(ModelError, match="context and stride are for language models"):
        score_run(tmp_path / "run", context=5)
    # A split that there is not is no other name for the validation split.
    with pytest.raises(ModelError, match="split is 'valid'; expected one of train, validation, test"):
        score_run(tmp_path / "run", split="valid")
    assert f"of {len(run.task.labels['train'])}" in score_run(tmp_path / "run", split="train")


@pytest.mark.parametrize(("tokens", "name"), [("bytes", "bytes"), ("words", "words (7)")])
def test_a_text_of_the_users_is_learnt_in_tokens(tmp_path, tokens, name):
    file = tmp_path / "my.txt"
    words = np.random.default_rng(0).choice(["astro", "cyte", "wave"], 1200)
    file.write_text("\n".join(" ".join(line) for line in words.reshape(-1, 6)) + "\nonce\n")
    changes = {"tokens": tokens, "hidden_size": 16, "max_position_embeddings": 8, "steps": 4, "evaluate_every": 2}
    task, config, recipe, _ = prepare(str(file), "astromorphic", "smoke", changes=changes)
    result = train(config, task, recipe, tmp_path / "run", 0)
    assert result.data.tokenizer == name if tokens == "bytes" else result.data.tokenizer.startswith("words (")
    assert (tmp_path / "run" / "vocabulary.json").is_file() == (tokens == "words")
    assert result.evaluation["validation"].reevaluated_difference < 1e-4
    assert result.data.location == str(file) and result.scores["test"].perplexity_per_token > 1
    # `once` stands in the test part alone: its spelling is lost in words, and with it the bits per byte.
    assert (result.scores["test"].bits_per_byte is None) == (tokens == "words")
    assert "once each" not in (again := score_run(tmp_path / "run", reevaluate=20)) and "causality    causal" in again
    for scored in (score_run, leaks_of_run):
        with pytest.raises(ModelError, match="split is 'valid'; expected one of train, validation, test"):
            scored(tmp_path / "run", split="valid")


CHILD = "import json, sys; from models.training import run_job; run_job(json.loads(sys.argv[1]))"


@pytest.mark.slow
def test_sigkill_and_resume_gives_the_same_best_weights(table, tmp_path):
    recipe = {**vars(RECIPE), "epochs": 60, "learning_rate": 2e-2}
    config = prepare(str(table), "astromorphic", "smoke", changes={"hidden_size": 16}).config.settings()
    options = {"vocabulary": 2_000, "length": 64}
    job = {"config": config, "task": str(table), "recipe": recipe, "options": options, "seed": 2}
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    whole = run_job({**job, "out_dir": str(tmp_path / "whole")})
    work = tmp_path / "killed" / "checkpoints"

    def child():
        call = [sys.executable, "-c", CHILD, json.dumps({**job, "out_dir": str(tmp_path / "killed")})]
        return subprocess.Popen(call, env={**os.environ, "PYTHONPATH": path})

    kills = 0
    for wanted in (100, 600):
        process, deadline = child(), time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            steps = [int(n) for p in work.glob("checkpoint-*") if (n := p.name.split("-")[1]).isdigit()]
            if max(steps, default=0) >= wanted:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.wait()
        assert not (tmp_path / "killed" / "run.json").exists()
    assert kills == 2 and child().wait() == 0
    resumed = RunResult.load(tmp_path / "killed" / "run.json").model_dump(mode="json")
    # Continued, not begun again: that would give the same weights too.
    assert resumed["resumed_from_step"] >= 500  # a kill within the writing of a checkpoint leaves the one before
    for name in ("weights_digest", "chosen_step", "learning_curve", "scores"):
        assert resumed[name] == whole[name]
    assert load_file(tmp_path / "killed" / "model.safetensors").keys()


def test_a_damaged_file_of_vectors_is_no_absent_one(tmp_path, monkeypatch):
    """The paper's recipe learns its vectors only where there are none of 300 numbers."""
    from models.tasks.loading import _embeddings

    vocabulary = WordVocabulary.build(["good bad film"])
    note = {"source": "learned: no GloVe vectors of 300 numbers in the data folder"}
    assert _embeddings("glove_if_there", vocabulary, tmp_path) == (None, note)
    (tmp_path / "glove").mkdir()
    file = tmp_path / "glove" / "glove.6B.50d.txt"
    file.write_text("good " + " ".join(["0.5"] * 50) + "\n")
    assert _embeddings("glove_if_there", vocabulary, tmp_path) == (None, note)
    whole = tmp_path / "glove" / "glove.6B.300d.txt"
    whole.write_text("good " + " ".join(["0.5"] * 300) + "\n")
    assert _embeddings("glove_if_there", vocabulary, tmp_path)[0].shape == (5, 300)
    whole.write_text("good " + " ".join(["0.5"] * 299) + " 0.\x00\n")
    with pytest.raises(ModelError, match=r"glove\.6B\.300d\.txt, line 1: .* fetch it again"):
        _embeddings("glove_if_there", vocabulary, tmp_path)


def test_the_tuned_recipe_of_reviews_is_that_of_the_records():
    """All recorded runs were made in mixed precision."""
    assert PRESETS["imdb"]["tuned"].recipe.mixed_precision == "bf16"
    folder = Path(__file__).parents[2] / "benchmarks" / "results" / "study"
    record = RunResult.load(folder / "imdb" / "astromorphic" / "lr0.001-seed0" / "run.json")
    assert vars(PRESETS["imdb"]["tuned"].recipe) == {**vars(PRESETS["imdb"]["tuned"].recipe), **record.recipe}
    assert record.data.options["pairs"] == PRESETS["imdb"]["tuned"].data["pairs"]


@pytest.mark.parametrize(("subset", "share"), [("small", 200), ("whole", 500)])
def test_a_preset_of_images_fits_the_small_subset_too(tmp_path, monkeypatch, subset, share):
    from models.data import cifar10

    n = {"small": 2_000, "whole": 5_000}[subset]
    images, labels = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), np.arange(n) % 10
    part = (images, labels.astype(np.int64))
    monkeypatch.setattr(cifar10, "_small" if subset == "small" else "_whole", lambda folder: (part, part))
    for preset in PRESETS["cifar10"]:
        task = prepare("cifar10", "none", preset, data=tmp_path, changes={"subset": subset}).task
        assert len(task.labels["validation"]) == share and len(task.labels["train"]) == n - share
