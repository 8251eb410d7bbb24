"""Word dropout: which words a training text loses is decided by seed and step, and evaluation reads every word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.data.kinds import LabelledTexts, Splits
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError
from models.recipes import Recipe
from models.tasks.text_classification import TextClassificationTask, _thinned
from models.training import train

RECIPE = Recipe(
    "dropped", None, batch_size=16, learning_rate=5e-3, warmup_steps=0, epochs=3, evaluate_every=None, save_every=None,
    word_dropout=0.3,
)  # fmt: skip


def texts(n: int, seed: int) -> LabelledTexts:
    """Each text counts on from a number of its own, so that its words say where they stood; 1 to 60 words."""
    random = np.random.default_rng(seed)
    found = [" ".join(f"w{start + i}" for i in range(size)) for start, size in random.integers(1, 61, (n, 2))]
    return LabelledTexts(tuple(found), np.arange(n, dtype=np.int64) % 2)


@pytest.fixture(scope="module")
def task() -> TextClassificationTask:
    splits = Splits("counts", texts(100, 0), texts(20, 1), texts(20, 2), "digest", "made up", ("even", "odd"))
    vocabulary = WordVocabulary.build(f"w{i}" for i in range(1, 122))
    return TextClassificationTask(splits, vocabulary, 60)


def rows(batch) -> list[list[int]]:
    return [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)]


def test_a_step_reads_the_same_whatever_was_read_before(task):
    first, second = (task.batches(None, RECIPE, 3) for _ in range(2))
    for step in (0, 5, 9, 2):
        assert len(first) == 21 and first.steps_per_epoch == 7
        for _ in range(step % 3):
            second[20]
        one, other = first[step], second[step]
        assert all(torch.equal(one[name], other[name]) for name in one)
    # Another step of the same texts, and another seed, lose other words.
    whole = task.batches(None, replace(RECIPE, word_dropout=0.0), 3)
    assert rows(first[4]) != rows(whole[4]) and torch.equal(first[4]["labels"], whole[4]["labels"])
    everything = [sorted(tuple(row) for i in range(7) for row in rows(first[7 * epoch + i])) for epoch in range(2)]
    assert everything[0] != everything[1]
    assert rows(task.batches(None, RECIPE, 4)[0]) != rows(first[0])


def test_what_a_step_loses_is_drawn_apart_from_the_orders(task, monkeypatch):
    """Step 0 and epoch 0, step 1 and epoch 1: the same numbers, and yet other draws."""
    drawn = {}
    monkeypatch.setattr(
        type(task), "training_batch", lambda self, items, recipe, generator: {"draws": generator.random(8)}
    )
    for seed in (0, 3):
        batches = task.batches(None, RECIPE, seed)
        drawn |= {(seed, step): batches[step]["draws"].tolist() for step in range(3)}
        orders = [np.random.default_rng([seed, epoch]).random(8).tolist() for epoch in range(3)]
        assert all(drawn[seed, step] not in orders for step in range(3))
    assert len({tuple(one) for one in drawn.values()}) == 6


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_that_stays_and_its_order(task, share):
    recipe = replace(RECIPE, word_dropout=share)
    thinned, whole = (task.batches(None, r, 0) for r in (recipe, replace(recipe, word_dropout=0.0)))
    kept = words = shortened = 0
    for step in range(21):
        for less, full in zip(rows(thinned[step]), rows(whole[step]), strict=True):
            # What stays closes up in its order, and something always stays.
            place = iter(full)
            assert less and all(word in place for word in less)
            # The texts that lost all but the one that must stay would shift the share.
            if len(full) >= 40:
                kept, words = kept + len(less), words + len(full)
            shortened += len(less) < len(full)
    error = np.sqrt(share * (1 - share) / words)
    assert words > 3000 and abs(kept / words - (1 - share)) < 3 * error and shortened > 100


def test_one_word_always_stays_and_each_as_often():
    generator = np.random.default_rng(0)
    text = np.arange(4, dtype=np.int32)
    stayed = [_thinned(text, 0.999999, generator) for _ in range(4000)]
    assert all(len(one) == 1 for one in stayed)
    counts = np.bincount(np.concatenate(stayed), minlength=4)
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(4000 * 0.25 * 0.75)
    assert _thinned(text, 0.0, generator).tolist() == [0, 1, 2, 3]


def test_scores_read_every_word(task):
    """Of a network that answers with the number of words it was given, in validation and in the training split scored."""

    class Counts(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, input_ids, attention_mask):
            class Out:
                logits = torch.stack([attention_mask.sum(1), 0 * attention_mask.sum(1)], dim=1).float() / 60

            return Out

    for split in ("validation", "train"):
        thinned, whole = (task.score(Counts(), split, r)[0] for r in (RECIPE, replace(RECIPE, word_dropout=0.0)))
        assert thinned == whole
        sizes = np.array([len(text.split()) for text in texts(*((20, 1) if split == "validation" else (100, 0))).texts])
        right = np.where(np.arange(len(sizes)) % 2, 0, sizes) / 60
        expected = np.mean(np.log1p(np.exp(sizes / 60)) - right)
        assert thinned.loss == pytest.approx(expected, rel=1e-6)


def test_it_is_for_texts_with_labels(tmp_path):
    from models.astromorphic import AstromorphicConfig

    recipe = Recipe("r", steps=1, batch_size=1, learning_rate=1e-3, warmup_steps=0, word_dropout=0.1)
    with pytest.raises(
        ModelError, match=r"word_dropout is 0\.1, which is for texts with labels; task 'shakespeare' is language"
    ):
        train(AstromorphicConfig(), "shakespeare", recipe, tmp_path / "run")
    with pytest.raises(ModelError, match="train_items is 5, which is for classifiers"):
        train(AstromorphicConfig(), "shakespeare", replace(recipe, word_dropout=0.0, train_items=5), tmp_path / "run")
    assert not (tmp_path / "run").exists()
