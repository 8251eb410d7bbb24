"""Recovery and coverage: intervals of 95 % hold the true parameters in 93 to 97 % of repeated experiments.

12 rates from 0.3 to 30 Hz. Errors: equal and unknown; known, three times as large above 3 Hz; estimated from 4 or 8 trials,
where those are.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import chdtri, fdtri

from bridge import FAMILIES, Curve, bootstrap, estimate_alpha, fit
from bridge.projection import Held, project

X = np.geomspace(0.3, 30, 12)
REST = 0.0722
TRUE = {
    "power": {"b": 0.11, "alpha": 0.3},
    "power_offset": {"c": 0.05, "b": 0.04, "alpha": 0.45},
    "power_above_rest": {"b": 0.04, "alpha": 0.25},
    "hyperbola": {"c": 0.07, "b": 0.075, "k": 2.0},
    "hill": {"c": 0.07, "b": 0.075, "k": 3.0, "n": 1.6},
    "logarithm": {"c": 0.07, "b": 0.02, "k": 1.5},
    "saturating_exponential": {"c": 0.07, "b": 0.06, "k": 3.0},
}
KINDS = ["equal", "known", "4 trials", "8 trials"]
# Standard error of each point.
EQUAL = np.full(12, 2e-4)
UNEQUAL = np.where(X < 3, 1e-4, 3e-4)


def experiment(family: str, kind: str, seed: int) -> Curve:
    rng = np.random.default_rng([seed, 7])
    clean = FAMILIES[family].evaluate(X, TRUE[family], REST)
    if kind.endswith("trials"):
        m = int(kind.split()[0])
        trials = clean[:, None] + math.sqrt(m) * UNEQUAL[:, None] * rng.normal(size=(12, m))
        return Curve.from_trials(X, trials, resting_calcium=REST)
    sigma = UNEQUAL if kind == "known" else EQUAL
    return Curve(x=X, y=clean + sigma * rng.normal(size=12), sd=sigma, resting_calcium=REST)


def covered(family: str, kind: str, n: int, n_resamples: int = 0) -> dict[str, dict[str, float]]:
    """Share of `n` experiments whose interval holds the truth, by kind of interval and parameter."""
    hits = {way: dict.fromkeys(TRUE[family], 0) for way in ("fit", "bootstrap")[: 1 + (n_resamples > 0)]}
    for seed in range(n):
        fitted = fit(experiment(family, kind, seed), family, weighted=kind != "equal", n_starts=0)
        sampled = bootstrap(fitted, n_resamples=n_resamples, rng=seed) if n_resamples else None
        for name, true in TRUE[family].items():
            estimate = fitted.parameters[name]
            assert estimate.low is not None and estimate.high is not None
            hits["fit"][name] += estimate.low <= true <= estimate.high
            if sampled is not None:
                low, high = sampled.interval(name)
                hits["bootstrap"][name] += low <= true <= high
    return {way: {name: count / n for name, count in found.items()} for way, found in hits.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_the_truth_in_a_hundred_experiments(kind: str) -> None:
    # 95 expected; the limits are three binomial standard deviations away.
    assert all(share >= 0.88 for share in covered("hyperbola", kind, 100)["fit"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", TRUE)
def test_intervals_of_fit_and_bootstrap_cover_the_truth(family: str, kind: str) -> None:
    """Measured so far: 93.2 to 96.1 % for both; the cells are in docs/fitting.md. Lowest: over trials, alpha of
    `power_offset` and k of `logarithm`, whose fits are low in the same experiments."""
    shares = covered(family, kind, 1000, 400)
    for way, found in shares.items():
        print(f"\n{family}, {kind}, {way}: " + ", ".join(f"{name} {share:.1%}" for name, share in found.items()))
    # The binomial standard deviation of 1000 experiments is 0.7 %.
    assert all(0.93 <= share <= 0.97 for found in shares.values() for share in found.values()), shares


@pytest.mark.parametrize("family", TRUE)
@pytest.mark.parametrize("kind", ["equal", "known"])
def test_profile_intervals_cover_the_truth(family: str, kind: str) -> None:
    """All experiments at once: the profile interval holds the truth if the residual sum there is below its threshold."""
    n, p = 2000, len(TRUE[family])
    sigma = UNEQUAL if kind == "known" else EQUAL
    clean = FAMILIES[family].evaluate(X, TRUE[family], REST)
    y = clean + sigma * np.random.default_rng(1).normal(size=(n, 12))
    limits = FAMILIES[family].bounds(X)
    rest = FAMILIES[family].fixed_offset(REST)
    errors = sigma if kind == "known" else np.ones(12)
    best = project(FAMILIES[family], X, y, errors, rest, limits).residual_sum
    threshold = best + chdtri(1, 0.05) if kind == "known" else best * (1 + fdtri(1, 12 - p, 0.95) / (12 - p))
    shares = {}
    for name, true in TRUE[family].items():
        value = np.full(n, true)
        held = Held(offset=value) if name == "c" else Held(scale=value) if name == "b" else Held(theta={name: value})
        shares[name] = float(
            np.mean(project(FAMILIES[family], X, y, errors, rest, limits, held).residual_sum <= threshold)
        )
    print(f"\n{family}, {kind}: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["relative", "4 trials", "8 trials"])
def test_intervals_of_the_exponent_cover_the_truth(kind: str) -> None:
    """Log-log line above rest, 12 points; without trials the errors are equal in the logarithm, as the line assumes."""
    hits = 0
    for seed in range(2000):
        rng = np.random.default_rng([seed, 11])
        rise = 0.04 * X**0.25
        if kind == "relative":
            curve = Curve(x=X, y=REST + rise * np.exp(rng.normal(0, 0.01, 12)), resting_calcium=REST)
        else:
            m = int(kind.split()[0])
            noise = math.sqrt(m) * UNEQUAL[:, None] * rng.normal(size=(12, m))
            curve = Curve.from_trials(X, (REST + rise)[:, None] + noise, resting_calcium=REST)
        estimate = estimate_alpha(curve, n_resamples=400, rng=seed)
        assert estimate.low is not None and estimate.high is not None
        hits += estimate.low <= 0.25 <= estimate.high
    print(f"\nexponent, {kind}: {hits / 2000:.1%}")
    assert 0.93 <= hits / 2000 <= 0.97
