"""Bits per byte: every byte once, known values, stated context."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.evaluation import _windows, bits_per_byte, carried_state_difference


def text(n: int, top: int = 31) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, n, dtype=np.uint8)


def test_uniform_model_scores_exactly_eight_bits(tiny):
    model = tiny(vocab_size=256)
    with torch.no_grad():
        model.model.embed.weight.zero_()
    for n in (1, 2, 47, 48, 49, 500):
        assert abs(bits_per_byte(model, text(n, 256)).bits_per_byte - 8.0) < 1e-12


@pytest.mark.parametrize("n", [1, 2, 10, 48, 49, 71, 72, 73, 500])
@pytest.mark.parametrize("stride", [1, 7, 24])
def test_windows_score_every_byte_once_with_enough_context(n, stride):
    context = 48
    scored = []
    for start, new in _windows(n, context, stride):
        end = min(start + context, n)
        scored += range(end - new, end)
        if start:
            assert end - new - start >= context - stride
    assert scored == list(range(1, n))


def test_score_equals_the_plain_sum(tiny, randomise):
    """The windows against a loop over bytes that gives each exactly the context the policy promises."""
    model = randomise(tiny())
    data = text(100)
    nats = math.log(31)
    context, stride = 48, 24
    for i in range(1, 100):
        start = 0 if i < context else min((i - context) // stride * stride + stride, 100 - context)
        ids = torch.from_numpy(data[start:i].astype(np.int64))[None]
        nats -= model(ids).logits[0, -1].double().log_softmax(-1)[int(data[i])].item()
    score = bits_per_byte(model, data)
    assert score.n_bytes == 100 and score.policy.bytes_scored == 100
    assert abs(score.nats - nats) < 1e-4
    assert score.bits_per_byte == score.nats / (100 * math.log(2))


def test_batch_size_does_not_matter(tiny, randomise):
    model, data = randomise(tiny()), text(400)
    scores = [bits_per_byte(model, data, batch_size=b).nats for b in (1, 5, 64)]
    assert max(scores) - min(scores) < 1e-3


def test_bytes_objects_are_accepted_and_mode_is_put_back(tiny):
    model = tiny(dropout=0.5).train()
    first = bits_per_byte(model, bytes(text(60)))
    assert model.training
    assert bits_per_byte(model, text(60)).nats == first.nats  # no dropout while scoring


def test_carried_state_agrees(tiny, randomise):
    for preset in ("tuned", "rmaat", "softmax"):
        assert carried_state_difference(randomise(tiny(preset=preset)), text(48)) < 1e-4


def test_bad_requests_are_named(tiny):
    model = tiny()
    with pytest.raises(ValueError, match="the text to score is empty"):
        bits_per_byte(model, b"")
    with pytest.raises(ValueError, match="stride is 30; expected 1 to 24"):
        bits_per_byte(model, text(60), stride=30)
    with pytest.raises(ValueError, match="data has 49 bytes; expected 2 to 48"):
        carried_state_difference(model, text(49))
