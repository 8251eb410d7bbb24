"""Bits per byte: every byte once, known values, stated context."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.errors import ModelError
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


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (b"", {}, "the text to score is empty"),
        (text(60), {"stride": 30}, "stride is 30; expected 1 to 24, half of the context of 48 bytes"),
        (text(60), {"stride": 0}, "stride is 0; expected 1 to 24"),
        (text(60), {"stride": 2.0}, r"stride is 2\.0"),
        (text(60), {"context": 1}, r"context is 1 bytes; expected 2 \(one byte to predict another from\) to 48"),
        (text(60), {"context": 0}, "context is 0 bytes"),
        (text(60), {"context": 49}, "context is 49 bytes; expected 2 .* to 48, the model's max_position_embeddings"),
        (text(60), {"context": "all"}, "context is 'all' bytes"),
        (text(60), {"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1"),
        (
            text(60).astype(np.int64),
            {},
            r"the text to score is int64 of shape \(60,\); expected bytes or a uint8 array",
        ),
        (text(60).reshape(6, 10), {}, r"the text to score is uint8 of shape \(6, 10\)"),
        ("text", {}, "the text to score is str"),
        (b"text", {}, "the text to score holds the byte 120 but vocab_size is 31"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_requests_are_named(tiny, data, settings, message):
    with pytest.raises(ModelError, match=message):
        bits_per_byte(tiny(), data, **settings)


def test_bad_pieces_are_named(tiny):
    model = tiny()
    with pytest.raises(ModelError, match="data has 49 bytes; expected 2 to 48"):
        carried_state_difference(model, text(49))
    with pytest.raises(ModelError, match="piece is 0 bytes; expected a whole number of at least 1"):
        carried_state_difference(model, text(48), piece=0)


def test_a_model_of_one_position_cannot_be_scored(tiny):
    """It can read one byte, but a window of one byte has none left to predict."""
    model = tiny(max_position_embeddings=1)
    message = "max_position_embeddings is 1; expected at least 2, one byte to predict another from"
    with pytest.raises(ModelError, match=message):
        bits_per_byte(model, text(60))
    with pytest.raises(ModelError, match=message):
        carried_state_difference(model, text(2))
    score = bits_per_byte(tiny(max_position_embeddings=2), text(60))
    assert score.policy.context == 2 and score.policy.stride == 1 and math.isfinite(score.nats)
