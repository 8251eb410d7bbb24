"""Delayed recall: the texts ask what they say, a network with memory answers and one without cannot."""

from __future__ import annotations

import pytest
import torch

from models.errors import ModelError
from models.rmaat.recall import ONE, QUESTION, ZERO, delayed_recall, recall_batch


def test_texts_hold_their_bit_once_in_the_first_segment():
    ids, bits = recall_batch(64, 3, 8, 16, torch.Generator().manual_seed(0))
    marks = (ids == ZERO) | (ids == ONE)
    assert ids.shape == (64, 24) and bool((marks.sum(1) == 1).all()) and not marks[:, 7:].any()
    assert torch.equal(ids[marks] == ONE, bits.bool())
    assert bool((ids[:, -1] == QUESTION).all()) and int((ids == QUESTION).sum()) == 64
    again, _ = recall_batch(64, 3, 8, 16, torch.Generator().manual_seed(0))
    assert torch.equal(ids, again)


def test_a_memory_answers_and_one_that_is_cut_guesses():
    """Without retention a bit is carried over two boundaries; with factors of 1 and 0 nothing can arrive."""
    torch.manual_seed(9)
    state = torch.get_rng_state()
    found = delayed_recall("ones", 3, steps=50, tests=256)
    assert found.accuracy > 0.9 and found.losses[-1] < 0.3
    assert torch.equal(torch.get_rng_state(), state)
    cut = delayed_recall("geometric", 3, steps=10, tests=256, retention_decay=700.0)
    assert abs(cut.accuracy - 0.5) < 0.15 and cut.path_before == 0.0
    assert delayed_recall("ones", 3, steps=3, tests=32) == delayed_recall("ones", 3, steps=3, tests=32)


def test_a_schedule_that_cuts_the_path_is_seen_before_training():
    path = {r: delayed_recall(r, 8, steps=1, tests=8).path_before for r in ("ones", "geometric")}
    assert path["geometric"] < 1e-2 * path["ones"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"segments": 1}, "segments is 1; expected a whole number of at least 2"),
        ({"segment_length": 1}, "segment_length is 1; expected a whole number of at least 2"),
        ({"vocab_size": 3}, "vocab_size is 3; expected a whole number of at least 4"),
        ({"steps": 0}, "steps is 0; expected a whole number of at least 1"),
        ({"tests": 0}, "tests is 0"),
        ({"batch": True}, "batch is True"),
    ],
)
def test_texts_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ModelError, match=words):
        delayed_recall("ones", **{"segments": 2, **settings})
