"""The verdict must pass decoders and catch everything that looks ahead."""

from __future__ import annotations

import pytest
import torch

from models.astromorphic.presets import PRESETS
from models.causality import causality_verdict
from models.ops.softmax import SoftmaxState


@pytest.mark.parametrize("length", [16, 48])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_decoders_are_causal(tiny, preset, length, randomise):
    verdict = causality_verdict(randomise(tiny(preset=preset)), length=length)
    assert verdict.verdict == "causal", verdict
    assert verdict.max_logit_change <= 1e-6 and verdict.max_future_gradient == 0.0 and not verdict.nan_leak
    assert verdict.checked_positions == list(range(15)) if length == 16 else len(verdict.checked_positions) >= 6


def test_a_sequence_of_several_chunks_is_causal(tiny, randomise):
    """512 tokens, positions drawn: what is carried from one chunk of the scan to the next stays in the past."""
    verdict = causality_verdict(randomise(tiny(max_position_embeddings=512, num_hidden_layers=1)))
    assert verdict.verdict == "causal", verdict
    assert verdict.checked_positions[-1] == 510 and len(verdict.checked_positions) >= 6


@pytest.mark.parametrize("placement", ["inside", "outside", "none", "centred"])
def test_the_literal_global_state_is_caught(tiny, placement, randomise):
    verdict = causality_verdict(randomise(tiny(causal=False, sigmoid_placement=placement)))
    assert verdict.verdict == "leaks"
    assert verdict.max_logit_change > 1e-3 and verdict.nan_leak
    assert verdict.max_future_gradient > 1e-6 and verdict.chunked_vs_step > 1e-3


def test_zero_times_nan_masking_is_caught(tiny, monkeypatch, randomise):
    """A layer that multiplies the future by 0 passes every finite test; NaN embeddings show it."""
    from models.astromorphic import modeling_astromorphic

    def masked_by_product(query, key, value, *, mask=None, initial_state=None):
        past = initial_state or SoftmaxState(key[:, :0], value[:, :0], torch.ones(key.shape[0], 0, dtype=torch.bool))
        k, v = torch.cat([past.keys, key], 1), torch.cat([past.values, value], 1)
        weights = torch.einsum("bthm,bshm->bhts", query, k).tril(k.shape[1] - query.shape[1])
        out = torch.einsum("bhts,bshd->bthd", weights, v)
        return out, SoftmaxState(k, v, torch.ones(k.shape[:2], dtype=torch.bool))

    monkeypatch.setattr(modeling_astromorphic, "causal_softmax", masked_by_product)
    verdict = causality_verdict(randomise(tiny(preset="softmax")))
    assert verdict.nan_leak and verdict.verdict == "leaks"
    assert verdict.max_logit_change <= 1e-6 and verdict.max_future_gradient == 0.0


def test_a_code_that_depends_on_the_length_is_caught(tiny, monkeypatch, randomise):
    from models.astromorphic import modeling_astromorphic as modeling
    from models.ops.features import position_code

    real = modeling.AstromorphicMixer.forward

    def sliced_first(self, x, positions, mask, state, known=None):
        seen = int(positions.max()) + 1
        short = lambda matrix, kind, *, decay: position_code(matrix[..., :seen], kind, decay=decay)  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(modeling, "position_code", short)
            return real(self, x, positions, mask, state)

    monkeypatch.setattr(modeling.AstromorphicMixer, "forward", sliced_first)
    verdict = causality_verdict(randomise(tiny()))
    assert verdict.chunked_vs_step > 1e-3 and verdict.verdict == "leaks"


def test_training_mode_is_put_back(tiny):
    model = tiny().train()
    causality_verdict(model, length=4)
    assert model.training
    with pytest.raises(ValueError, match="length is 1"):
        causality_verdict(model, length=1)
