"""The posterior without a network: adaptive importance sampling with the likelihood that the noise model has.

Observed = simulated + normal error, so the density of the observation given one noisy simulation is a normal density, and its
mean over simulations is the likelihood. Weights made from single simulations are therefore right on average, and the weighted
draws are exact up to their number (pseudo-marginal importance sampling: Beaumont 2003; population Monte Carlo: Cappé et al.
2004). This is the slow and obvious reference beside the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .curves import Array
from .observation import InferenceError, Observation
from .simulated_curves import SimulatedCurves
from .unbounded import from_line, log_prior, to_line

# Effective draws that a round must have before the next tightens the likelihood, and that the result must have.
_ENOUGH_TO_ADAPT, FEWEST_EFFECTIVE = 60.0, 400.0
_MOST_ROUNDS = 12
# Share of the draws that come from the prior in every round, so that no region is never looked at.
_FROM_PRIOR = 0.05


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    """Draws [n, d] with weights [n] that sum to 1; effective: (sum w)^2 / sum w^2; rounds, n_simulations: work behind them."""

    values: Array
    weights: Array
    effective: float
    rounds: int
    n_simulations: int

    def resampled(self, n: int, seed: int) -> Array:
        """`n` draws of equal weight, [n, d] (systematic resampling, shuffled)."""
        rng = np.random.default_rng([seed, 5])
        at = (rng.random() + np.arange(n)) / n
        found = np.searchsorted(np.cumsum(self.weights), at).clip(max=len(self.weights) - 1)
        return np.asarray(self.values[rng.permutation(found)], dtype=np.float64)


def importance_posterior(
    simulations: SimulatedCurves,
    observation: Observation,
    *,
    per_round: int = 4096,
    effective: float = 1000.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> WeightedDraws:
    """Weighted draws of the posterior; the simulations of the prior are the first round.

    Each round proposes from kernels (Student's t, 5 degrees of freedom) around the draws of the last one, at a temperature of
    the likelihood that leaves enough of them effective; rounds at the full likelihood are pooled until `effective` is reached.

    Raises
    ------
    InferenceError
        The draws do not come to 400 effective ones within 12 rounds.
    """
    low, high = simulations.limits
    rng = np.random.default_rng([seed, 4])
    line = to_line(simulations.values, low, high)
    fit = _log_likelihood(simulations.calcium, observation)
    base = np.zeros(len(line))
    pooled: list[tuple[Array, Array]] = []
    proposals: list[_Kernels] = []
    n_simulations, reached = simulations.n, 0.0
    for round_ in range(1, _MOST_ROUNDS + 1):
        temperature = _temperature(base, fit)
        weights = _weights(base + temperature * fit)
        proposal = _Kernels.around(line, weights, rng)
        line = proposal.draw(per_round, rng)
        calcium = simulations.simulate(from_line(line, low, high), _stream(seed, round_))
        n_simulations += per_round
        fit = _log_likelihood(calcium, observation)
        base = log_prior(line) - proposal.log_density(line)
        if progress:
            progress(round_, _MOST_ROUNDS)
        if temperature == 1.0:
            # The proposal came from the full likelihood, so these draws count. As if all came from the mixture of all
            # such proposals (balance heuristic: Veach and Guibas 1995), which no single draw can outweigh so easily.
            pooled.append((line, fit))
            proposals.append(proposal)
            lines = np.concatenate([one for one, _ in pooled])
            mixture = np.logaddexp.reduce([one.log_density(lines) for one in proposals], axis=0)
            every = _weights(np.concatenate([one for _, one in pooled]) + log_prior(lines) - mixture)
            reached = 1 / float(np.sum(every**2))
            if reached >= effective:
                break
    if reached < FEWEST_EFFECTIVE:
        raise InferenceError(
            f"importance sampling came to {reached:.0f} effective draws in {_MOST_ROUNDS} rounds of {per_round}, expected "
            f"{FEWEST_EFFECTIVE:.0f}; take more draws per round, fewer free parameters or a larger error"
        )
    values = from_line(lines, low, high)
    return WeightedDraws(values, every, reached, round_, n_simulations)


class Proposal(Protocol):
    """A posterior that can be drawn from and evaluated, such as a trained network."""

    simulations: SimulatedCurves

    def sample(self, calcium: Array, n: int, seed: int) -> Array: ...
    def log_ratio(self, values: Array, calcium: Array) -> Array: ...


def reweighted(
    proposals: Sequence[Proposal],
    observation: Observation,
    *,
    n: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> WeightedDraws:
    """`n` draws of the posteriors that `proposals` take for right, simulated and weighted by what they got wrong.

    The weight is likelihood times prior over the density that was drawn from, the mixture of all proposals and a share of the
    prior, so the weighted draws are as exact as those of `importance_posterior` wherever one of these has draws at all.
    No draw weighs more than sqrt(n) times the mean (truncated importance sampling: Ionides 2008), as one draw from where the
    proposals are too thin would outweigh hundreds.
    """
    simulations = proposals[0].simulations
    low, high = simulations.limits
    rng = np.random.default_rng([seed, 10])
    drawn = [one.sample(observation.calcium, n, seed + i)[:, 0] for i, one in enumerate(proposals)]
    drawn.append(rng.uniform(low, high, (n, len(low))))
    shares = np.array([(1 - _FROM_PRIOR) / len(proposals)] * len(proposals) + [_FROM_PRIOR])
    values = np.stack(drawn)[rng.choice(len(drawn), size=n, p=shares), np.arange(n)]
    calcium = simulations.simulate(values, _stream(seed, 0), progress)
    # Densities over the prior's, whose own is 1.
    ratios = [*(one.log_ratio(values, observation.calcium) for one in proposals), np.zeros(n)]
    mixture = np.logaddexp.reduce(np.log(shares)[:, None] + np.stack(ratios), axis=0)
    weights = _weights(_log_likelihood(calcium, observation) - mixture)
    weights = np.minimum(weights, np.sqrt(n) / n)
    weights /= weights.sum()
    return WeightedDraws(values, weights, 1 / float(np.sum(weights**2)), 1, n)


def _stream(seed: int, round_: int) -> int:
    """Seed of the simulations of a round, other than that of the prior's."""
    return int(np.random.SeedSequence([seed, 6, round_]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _log_likelihood(calcium: Array, observation: Observation) -> Array:
    """Log of the normal density of the observation given each simulated curve [n, r], up to a constant; -inf where NaN."""
    deviation = (calcium - observation.calcium) / observation.error
    return np.asarray(np.nan_to_num(-0.5 * np.sum(deviation**2, axis=1), nan=-np.inf), dtype=np.float64)


def _weights(log: Array) -> Array:
    weight = np.exp(log - log.max())
    return np.asarray(weight / weight.sum(), dtype=np.float64)


def _temperature(base: Array, fit: Array) -> float:
    """The highest power of the likelihood, at most 1, at which enough draws are effective; else that of the most effective.

    A grid, since the number is not monotone: at a power near 0 the few draws from the prior outweigh all others.
    """
    floor = np.maximum(fit, np.max(fit) - 1e12)
    powers = np.geomspace(1e-6, 1.0, 121)
    effective = np.array([1 / float(np.sum(_weights(base + power * floor) ** 2)) for power in powers])
    enough = np.flatnonzero(effective >= _ENOUGH_TO_ADAPT)
    return float(powers[enough[-1]] if len(enough) else powers[np.argmax(effective)])


@dataclass(frozen=True, eq=False)
class _Kernels:
    """A mixture of equal Student's t kernels [m, d] with one shape, and a share of the prior."""

    centres: Array
    factor: Array

    @classmethod
    def around(cls, line: Array, weights: Array, rng: np.random.Generator) -> _Kernels:
        d = line.shape[1]
        mean = weights @ line
        spread = (line - mean).T @ ((line - mean) * weights[:, None])
        effective = 1 / float(np.sum(weights**2))
        width = (4 / (effective * (d + 2))) ** (1 / (d + 4))
        # Narrower than Silverman's rule, as the posterior is bent and thin where parameters make up for each other.
        factor = np.linalg.cholesky((0.6 * width) ** 2 * spread + 1e-10 * np.eye(d))
        return cls(line[rng.choice(len(line), size=1000, p=weights)], factor)

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        d = len(self.factor)
        normal = rng.standard_normal((n, d)) @ self.factor.T
        kernel = self.centres[rng.integers(len(self.centres), size=n)] + normal / np.sqrt(rng.chisquare(5, (n, 1)) / 5)
        prior = rng.logistic(size=(n, d))
        return np.where(rng.random((n, 1)) < _FROM_PRIOR, prior, kernel)

    def log_density(self, line: Array) -> Array:
        """Log density of the mixture at [n, d]."""
        from math import lgamma, log, pi

        from scipy.special import logsumexp

        d = len(self.factor)
        inverse = np.linalg.inv(self.factor)
        a, b = line @ inverse.T, self.centres @ inverse.T
        squared = np.maximum(np.sum(a**2, 1)[:, None] + np.sum(b**2, 1) - 2 * a @ b.T, 0)
        constant = lgamma((5 + d) / 2) - lgamma(2.5) - d / 2 * log(5 * pi) - float(np.sum(np.log(np.diag(self.factor))))
        kernels = constant + logsumexp(-(5 + d) / 2 * np.log1p(squared / 5), axis=1) - log(len(b))
        return np.asarray(
            np.logaddexp(log(1 - _FROM_PRIOR) + kernels, log(_FROM_PRIOR) + log_prior(line)), dtype=np.float64
        )
