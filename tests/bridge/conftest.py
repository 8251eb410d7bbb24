"""Curves that several tests use."""

from __future__ import annotations

import numpy as np
import pytest

from bridge import Curve, published

# Mean calcium (uM) of the set wade2012 at 1..10 Hz over 32 seeds, and the spread between seeds.
RATES = np.arange(1.0, 11.0)
MEANS = np.array([0.1072, 0.1195, 0.1256, 0.1293, 0.1318, 0.1335, 0.1347, 0.1357, 0.1365, 0.1371])
SPREAD = np.array([6, 7, 4, 3, 3, 2, 2, 2, 2, 2]) * 1e-4
REST = 0.0722


@pytest.fixture(scope="session")
def fig3() -> Curve:
    return published("astromorphic_fig3")


@pytest.fixture(scope="session")
def seeds32() -> Curve:
    """The 32-seed row as 32 trials that have exactly its means and spreads."""
    noise = np.random.default_rng(20).normal(size=(10, 32))
    noise = (noise - noise.mean(axis=1, keepdims=True)) / noise.std(axis=1, ddof=1, keepdims=True)
    return Curve.from_trials(
        RATES, MEANS[:, None] + SPREAD[:, None] * noise, resting_calcium=REST, source="wade2012, 32 seeds"
    )
