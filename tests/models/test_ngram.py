"""Kneser-Ney: sums to 1, the hand-computed values of a short text, and the same number by two ways."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import ModelError
from models.ngram import KneserNey


def stream(n: int = 400, top: int = 7, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).integers(1, 3, n)
    return np.cumsum(steps) % top


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_every_distribution_sums_to_one_and_leaves_nothing_impossible(order):
    model = KneserNey(stream(), 9, order)
    # Seen contexts, contexts with tokens that never occurred (7, 8), and none at all.
    for context in ([], [1], [7], [1, 2], [7, 2], [2, 7], [8, 8], [1, 2, 4], [4, 2, 1]):
        found = model.probabilities(context)
        assert found.shape == (9,) and found.min() > 0
        assert found.sum() == pytest.approx(1.0, abs=1e-12)


def test_values_by_hand():
    """a b a c a b: bigrams ab 2, ba 1, ac 1, ca 1, so n1 = 3, n2 = 1, D = 3/5.

    Continuations: a after b and c (2), b after a (1), c after a (1): n1 = 2, n2 = 1, D = 1/2, total 4, 3 kinds of tokens.
    """
    model = KneserNey([0, 1, 0, 2, 0, 1], 4, order=2)
    lower = {w: max(c - 0.5, 0) / 4 + 0.5 * 3 / 4 / 4 for w, c in {0: 2, 1: 1, 2: 1, 3: 0}.items()}
    assert model.probabilities([])[0] == pytest.approx(lower[0], abs=1e-15)
    # After a: three bigrams of two kinds.
    assert model.probabilities([0])[1] == pytest.approx((2 - 0.6) / 3 + 0.6 * 2 / 3 * lower[1], abs=1e-15)
    assert model.probabilities([0])[2] == pytest.approx((1 - 0.6) / 3 + 0.6 * 2 / 3 * lower[2], abs=1e-15)
    assert model.probabilities([0])[0] == pytest.approx(0.6 * 2 / 3 * lower[0], abs=1e-15)
    # Token 3 was never seen: as a context it says nothing, as a word it has its share of the lowest order.
    assert model.probabilities([3])[0] == pytest.approx(lower[0], abs=1e-15)
    assert model.probabilities([1])[3] == pytest.approx(0.6 * lower[3], abs=1e-15)


def test_the_unigram_by_hand():
    """Counts 3, 2, 1 of 6: n1 = n2 = 1, D = 1/3, spread evenly over 4 tokens."""
    found = KneserNey([0, 0, 0, 1, 1, 2], 4, order=1).probabilities([2])
    spread = (1 / 3) * 3 / 6 / 4
    assert found == pytest.approx(
        [(3 - 1 / 3) / 6 + spread, (2 - 1 / 3) / 6 + spread, (1 - 1 / 3) / 6 + spread, spread]
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_stream_at_once_is_each_token_from_its_prefix(order):
    model, text = KneserNey(stream(), 9, order), np.append(stream(60, seed=1), [8, 8, 3, 7, 1])
    one_by_one = [model.probabilities(text[:t])[text[t]] for t in range(1, len(text))]
    np.testing.assert_allclose(model.token_probabilities(text), one_by_one, rtol=1e-13)


def test_a_longer_context_helps_where_there_is_order():
    text = stream(4000)
    nats = [-np.log(KneserNey(text[:3000], 7, n).token_probabilities(text[3000:])).mean() for n in (1, 2)]
    # Each token is the one before plus 1 or 2, at random: ln 7 without context, ln 2 with it.
    assert nats[0] == pytest.approx(np.log(7), abs=0.02) and nats[1] == pytest.approx(np.log(2), abs=0.02)


@pytest.mark.parametrize(
    ("ids", "size", "order", "message"),
    [
        ([0, 5], 4, 2, "holds the token 5; expected 0 to 3"),
        ([0, -1], 4, 2, "holds the token -1"),
        ([0], 4, 2, "has 1 tokens; expected at least 2"),
        ([0, 1], 4, 0, "order is 0"),
        ([0, 1], 2**40, 2, "numbered in 63 bits"),
        ([0.5, 1.0], 4, 1, "expected whole token numbers"),
    ],
)
def test_faults_are_named(ids, size, order, message):
    with pytest.raises(ModelError, match=message):
        KneserNey(ids, size, order)
