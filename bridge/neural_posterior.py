"""Neural posterior estimation: a density network of `sbi` learns parameters given curves, then answers for any curve at once.

Nothing else in this package imports sbi or torch. The network is trained on the line (see `unbounded`), so that sampling is
direct and ends always: sbi's rejection of samples outside the prior is neither needed nor used.
"""

from __future__ import annotations

import contextlib
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biosim.checks import whole

from .curves import Array
from .observation import InferenceError
from .simulated_curves import SimulatedCurves
from .unbounded import from_line, log_prior, to_line

# Below it the logarithm of an observed calcium, which an error can push below zero, is cut off; uM.
_LEAST_CALCIUM = 1e-3
# Share of the first network's posterior that a second round gives up.
_LEFT_OUT = 1e-3
# Added to the seed of the simulations, so that a second round has other ones.
_SECOND = 104_729
# Small tables get small batches: with few steps per epoch training would stop before it has learned the second direction.
_SMALLEST_BATCH, _LARGEST_BATCH, _BATCHES, _STARTS, _LEARNING_RATE, _PATIENCE = 50, 256, 40, 3, 1e-3, 20


def expect_sbi() -> None:
    """Raise InferenceError, with what to install, where sbi is missing."""
    if find_spec("sbi") is None:
        raise InferenceError(
            "method 'npe' needs the package sbi, which is not installed; pip install 'astromorphic[inference]', or take "
            "method='importance', which needs nothing"
        )


@dataclass(frozen=True, eq=False)
class _Coordinates:
    """Curves as a network sees them: principal components of the logarithm, scaled by their quartiles, tails compressed.

    Invertible, so nothing is lost. Calcium that oscillates is ten times higher, and plain scaling would leave all other
    curves within a few thousandths of the axis.
    """

    centre: Array
    axes: Array
    scale: Array

    @classmethod
    def of(cls, curves: Array) -> _Coordinates:
        logs = np.log(np.maximum(curves, _LEAST_CALCIUM))
        centre = logs.mean(axis=0)
        axes = np.linalg.svd(logs - centre, full_matrices=False)[2]
        upper, lower = np.quantile((logs - centre) @ axes.T, [0.75, 0.25], axis=0)
        return cls(centre, axes, (upper - lower) / 1.35)

    def __call__(self, curves: Array) -> Any:
        import torch

        logs = np.log(np.maximum(curves, _LEAST_CALCIUM))
        return torch.as_tensor(np.arcsinh((logs - self.centre) @ self.axes.T / self.scale), dtype=torch.float32)


class NeuralPosterior:
    """A trained network: the posterior of any curve at the same rates, with the same errors."""

    def __init__(
        self,
        network: Any,
        coordinates: _Coordinates,
        simulations: SimulatedCurves,
        error: Array,
        record: Any,
        region: Region | None = None,
    ):
        self._network, self._coordinates = network, coordinates
        self.simulations = simulations
        self.error = error
        self.record: dict[str, Any] = record
        self.region = region

    def log_ratio(self, values: Array, calcium: Array) -> Array:
        """Log of posterior over prior density of parameter values [k, d], given one curve [r] (uM): [k]."""
        import torch

        line = to_line(values, *self.simulations.limits)
        with torch.no_grad():
            found = self._network.log_prob(
                torch.as_tensor(line, dtype=torch.float32)[:, None], self._coordinates(np.atleast_2d(calcium))
            )
        return np.asarray(found.numpy()[:, 0].astype(np.float64) - log_prior(line))

    def sample(self, calcium: Array, n: int, seed: int) -> Array:
        """`n` samples of the posterior of each of the curves [m, r] (uM): [n, m, d]."""
        import torch

        with _own_random_numbers(seed), torch.no_grad():
            line = self._network.sample((n,), self._coordinates(np.atleast_2d(calcium))).numpy().astype(np.float64)
        return from_line(line, *self.simulations.limits)


def train_posterior(
    simulations: SimulatedCurves, error: Array, seed: int = 0, region: Region | None = None
) -> NeuralPosterior:
    """Train a masked autoregressive flow (sbi's default) on the simulated curves with observation errors `error` [r], uM.

    The random numbers, threads and settings of torch and NumPy are left as they were. The same seed gives the same network on
    one machine; training runs in one thread, as the sums of several differ in their last bits.

    Raises
    ------
    InferenceError
        sbi is not installed, or training is stuck from three starts (see `_linear_loss`).
    """
    expect_sbi()
    import torch

    seed = whole("seed", seed, 0, 2**63 - 1, InferenceError)
    error = np.broadcast_to(np.asarray(error, dtype=np.float64), simulations.rates.shape)
    curves = simulations.observed(error, seed)
    coordinates = _Coordinates.of(curves)
    line = torch.as_tensor(to_line(simulations.values, *simulations.limits), dtype=torch.float32)
    with _own_random_numbers(seed), warnings.catch_warnings():
        # Curves of oscillating sets are outliers, which the coordinates have compressed already.
        warnings.filterwarnings("ignore", message="Data has extreme outliers")
        import sbi
        from sbi.inference import NPE
        from sbi.neural_nets import posterior_nn

        build = posterior_nn("maf", z_score_theta="independent", z_score_x="independent")
        inputs = coordinates(curves)
        bar = _linear_loss(line.numpy(), inputs.numpy())
        for start in range(_STARTS):
            torch.manual_seed(seed + start)
            trainer = NPE(
                prior=None, density_estimator=build, tracker=_NoLog(), show_progress_bars=False, logging_level="ERROR"
            )
            network = trainer.append_simulations(line, inputs).train(
                training_batch_size=min(_LARGEST_BATCH, max(_SMALLEST_BATCH, simulations.n // _BATCHES)),
                learning_rate=_LEARNING_RATE,
                stop_after_epochs=_PATIENCE,
                show_train_summary=False,
            )
            loss = float(trainer.summary["best_validation_loss"][-1])
            if loss < bar:
                break
        else:
            raise InferenceError(
                f"the network learned less from {simulations.n} curves than a straight line would (loss {loss:.2f}, expected "
                f"below {bar:.2f}) from {_STARTS} starts; simulate more curves"
            )
    network.eval()
    record = {
        "estimator": "maf",
        "sbi": sbi.__version__,
        "torch": torch.__version__,
        "epochs": int(trainer.summary["epochs_trained"][-1]),
        "validation_loss": loss,
        "linear_loss": bar,
        "starts": start + 1,
        "seed": seed,
        "rounds": 1,
        "n_simulations": simulations.n,
    }
    return NeuralPosterior(network, coordinates, simulations, np.array(error), record, region)


@dataclass(frozen=True, eq=False)
class Region:
    """Where a first network puts all but 0.1 % of the posterior of one curve: the prior, cut down to what matters for it.

    share : of the prior that it holds, estimated.
    """

    network: NeuralPosterior
    calcium: Array
    least: float
    share: float

    @classmethod
    def of(cls, network: NeuralPosterior, calcium: Array, seed: int) -> Region:
        """The region for the curve `calcium` [r]."""
        samples = network.sample(calcium, 4000, seed)[:, 0]
        least = float(np.quantile(network.log_ratio(samples, calcium), _LEFT_OUT))
        low, high = network.simulations.limits
        trial = np.random.default_rng([seed, 8]).uniform(low, high, (20_000, len(low)))
        return cls(network, calcium, least, float(np.mean(network.log_ratio(trial, calcium) >= least)))

    def holds(self, values: Array) -> NDArray[np.bool_]:
        """Whether parameter values [k, d] lie in the region, [k]."""
        return np.asarray(self.network.log_ratio(values, self.calcium) >= self.least)

    def draw(self, n: int, seed: int) -> Array:
        """`n` draws of the prior within the region, [n, d]; refused where it holds less than a thousandth of the prior."""
        low, high = self.network.simulations.limits
        rng = np.random.default_rng([seed, 7])
        kept, found = [], 0
        for _ in range(1000):
            values = rng.uniform(low, high, (max(n, 1000), len(low)))
            kept.append(values[self.holds(values)])
            found += len(kept[-1])
            if found >= n:
                return np.concatenate(kept)[:n]
        raise InferenceError(
            f"the posterior fills {self.share:.1e} of the prior, too little to draw from; narrow the ranges"
        )


def focused(
    network: NeuralPosterior,
    calcium: Array,
    *,
    n: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NeuralPosterior:
    """A second network for curves like `calcium` [r] (uM), trained where the first puts their posterior.

    The prior is cut to the `Region` of the first network, `n` more sets are drawn and simulated there, and a network is trained
    on these and on the earlier ones that lie inside (truncated sequential estimation: Deistler et al. 2022). Within the
    region the prior is as before, so no correction is needed.
    """
    region = Region.of(network, np.asarray(calcium, dtype=np.float64), seed)
    before = network.simulations
    fresh = before.again(region.draw(n, seed), seed + _SECOND, progress)
    inside = region.holds(before.values)
    union = replace(
        fresh,
        values=np.concatenate([fresh.values, before.values[inside]]),
        calcium=np.concatenate([fresh.calcium, before.calcium[inside]]),
    )
    found = train_posterior(union, network.error, seed, region)
    found.record |= {"rounds": 2, "share_of_prior": region.share, "n_simulations": before.n + fresh.n}
    return found


def _linear_loss(line: Array, inputs: Array) -> float:
    """Loss that no network may exceed: that of a linear regression with normal residuals, and a quarter for the noise of either.

    Training gets stuck now and then, with a loss that looks like any other and a posterior that is far too wide.
    """
    design = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    residual = line - design @ np.linalg.lstsq(design, line, rcond=None)[0]
    d = line.shape[1]
    covariance = residual.T @ residual / len(line)
    return float(0.5 * (d * np.log(2 * np.pi * np.e) + np.linalg.slogdet(covariance)[1]) + 0.25)


class _NoLog:
    """What sbi reports its losses to; its own would leave a folder in the working directory."""

    log_dir: str | None = None

    def log_metric(self, *_: Any, **__: Any) -> None: ...

    def log_metrics(self, *_: Any, **__: Any) -> None: ...

    def log_params(self, *_: Any, **__: Any) -> None: ...

    def add_figure(self, *_: Any, **__: Any) -> None: ...

    def flush(self) -> None: ...


@contextlib.contextmanager
def _own_random_numbers(seed: int) -> Iterator[None]:
    """Seed the global generators that sbi draws from, in one thread and in silence; afterwards all is as it was."""
    import torch

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    threads, level = torch.get_num_threads(), logging.root.manager.disable
    try:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        logging.disable(logging.WARNING)
        # sbi prints a line when it has finished, whatever its settings.
        with contextlib.redirect_stdout(None):
            yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        torch.set_num_threads(threads)
        logging.disable(level)
