"""Release probabilities that differ between synapses and trials, as in the statistics of the published MATLAB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import numbers
from .ensemble import Array, SimulationError
from .messages import shown
from .streams import stream_states


@dataclass(frozen=True)
class SynapseScatter:
    """How PR(0) differs.

    uniform : the synapses of `neuron` are spread evenly around their mean, as far as 0 and 1 allow to both sides, with
        exactly this mean; otherwise they are equal. The other neurons' synapses have the mean.
    mean : (low, high), from which every trial draws its mean PR(0); None for the value of the parameters.
    """

    uniform: bool
    neuron: int
    mean: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.mean is None:
            return
        limits = numbers("mean_PR0", self.mean, "1", SimulationError)
        if limits.shape != (2,) or not (0 <= limits[0] <= limits[1] <= 1):
            raise SimulationError(
                f"mean_PR0 = {shown(self.mean)}: expected two probabilities, low and high, as 0.2,0.6"
            )
        object.__setattr__(self, "mean", (float(limits[0]), float(limits[1])))

    def means(self, seed: int, trial: NDArray[np.int64], PR0: float) -> Array:
        """Mean PR(0) of each unit, shape [n_units]; it belongs to (seed, trial) and not to the unit's place."""
        distinct, where = np.unique(trial, return_inverse=True)
        return np.array([self._mean(_random(seed, number), PR0) for number in distinct])[where.ravel()]

    def table(self, seed: int, trial: NDArray[np.int64], n_neurons: int, n_synapses: int, PR0: float) -> Array:
        """PR(0) of every synapse, shape [n_units, n_neurons, n_synapses]; drawn as `means`."""
        if self.neuron >= n_neurons:
            raise SimulationError(f"neuron = {self.neuron}: there are {n_neurons} neurons, counted from 0")
        distinct, where = np.unique(trial, return_inverse=True)
        tables = np.empty((distinct.size, n_neurons, n_synapses))
        for index, number in enumerate(distinct):
            random = _random(seed, number)
            mean = self._mean(random, PR0)
            tables[index] = mean
            if self.uniform:
                x = random.uniform(-1.0, 1.0, n_synapses)
                x -= x.mean()
                tables[index, self.neuron] = mean + min(mean, 1 - mean) * x / max(1.0, float(np.abs(x).max()))
        return np.clip(tables[where.ravel()], 0.0, 1.0)

    def _mean(self, random: np.random.Generator, PR0: float) -> float:
        return PR0 if self.mean is None else float(random.uniform(self.mean[0], self.mean[1]))

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "uniform": self.uniform,
            "neuron": self.neuron,
            "mean_PR0": None if self.mean is None else list(self.mean),
        }


def _random(seed: int, trial: int) -> np.random.Generator:
    """Seeded by the stream of the trial, so that no other trial is drawn for it."""
    words = stream_states(seed, np.array([trial]), "PR0")[:, 0]
    return np.random.Generator(np.random.PCG64([int(word) for word in words]))
