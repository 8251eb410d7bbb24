"""Is a posterior right on average? Known parameters are recovered from simulated curves; intervals that hold them are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from biosim.checks import whole

from .curves import Array
from .neural_posterior import NeuralPosterior
from .observation import InferenceError

LEVELS = (0.5, 0.95)


@dataclass(frozen=True, eq=False)
class Coverage:
    """Shares of central posterior intervals that hold the true value.

    names : parameters. share : [levels, d]. standard_error : binomial, of a procedure that is right, [levels].
    ranks : share of the posterior samples below the true value, [n, d]; uniform where the posterior is right.
    p_value : Kolmogorov-Smirnov test of that, [d] (simulation-based calibration: Talts et al. 2018).
    error_of_mean : posterior mean minus truth over the prior's range, its root mean square, [d].
    """

    names: tuple[str, ...]
    levels: tuple[float, ...]
    share: Array
    standard_error: Array
    ranks: Array
    p_value: Array
    error_of_mean: Array

    @property
    def n(self) -> int:
        return len(self.ranks)

    def text(self) -> str:
        lines = []
        for j, name in enumerate(self.names):
            shares = ", ".join(
                f"{level:.0%} interval {self.share[i, j]:.1%} (± {self.standard_error[i]:.1%})"
                for i, level in enumerate(self.levels)
            )
            lines.append(f"{name}: {shares}; ranks uniform p = {self.p_value[j]:.2f}")
        return "\n".join([*lines, f"{self.n} simulated curves with known parameters, drawn from the prior"])


def coverage_of_ranks(names: tuple[str, ...], ranks: Array, error_of_mean: Array) -> Coverage:
    """Coverage from the ranks [n, d] of the true values among posterior samples."""
    from scipy.stats import kstest

    levels = np.array(LEVELS)
    inside = np.abs(ranks[None] - 0.5) < levels[:, None, None] / 2
    return Coverage(
        names=names,
        levels=LEVELS,
        share=inside.mean(axis=1),
        standard_error=np.sqrt(levels * (1 - levels) / len(ranks)),
        ranks=ranks,
        p_value=np.array([kstest(column, "uniform").pvalue for column in ranks.T]),
        error_of_mean=error_of_mean,
    )


def coverage(
    network: NeuralPosterior,
    *,
    n: int = 256,
    n_samples: int = 500,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Coverage:
    """Draw `n` parameter sets from the prior, simulate and observe them anew, and see whether the posterior holds them.

    For a `focused` network the prior is cut to its region: curves like the one it was focused on.

    `seed` must be another than that of the network's simulations, or they would be tested on what they were trained with.
    """
    trained = network.simulations
    n = whole("n", n, 64, 10**6, InferenceError)
    n_samples = whole("n_samples", n_samples, 100, 10**5, InferenceError)
    if seed == trained.seed:
        raise InferenceError(f"seed = {seed} is that of the simulations behind the network; take another for the test")
    low, high = trained.limits
    if network.region is None:
        values = np.random.default_rng([seed, 9]).uniform(low, high, (n, len(low)))
    else:
        values = network.region.draw(n, seed)
    fresh = trained.again(values, seed, progress)
    samples = network.sample(fresh.observed(network.error, seed), n_samples, seed)
    # A half keeps the ranks off 0 and 1, which no finite number of samples can tell.
    ranks = (np.sum(samples < fresh.values, axis=0) + 0.5) / (n_samples + 1)
    error = np.sqrt(np.mean((samples.mean(axis=0) - fresh.values) ** 2, axis=0)) / (high - low)
    return coverage_of_ranks(trained.names, ranks, error)
