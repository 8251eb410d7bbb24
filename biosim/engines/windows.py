"""Statistics of windows from samples at the end of every astrocyte step; for the engines that keep such samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ensemble import Array, Ensemble
from . import experiment_arrays


def from_samples(
    ensemble: Ensemble, calcium: Array, ip3: Array, esp: Array, ag: Array, spikes: Array, quanta: Array
) -> dict[str, Array]:
    """`experiment.WINDOW_STATISTICS` of `ensemble`.

    calcium, ip3, esp : [n_astro, units]; ag : [n_astro, units, neurons]; spikes, quanta : their number in each astrocyte
    step, [n_astro, units, neurons].
    """
    x, clock = ensemble.experiment, ensemble.clock
    if x is None or x.windows is None:
        return {}
    failing, PR0 = experiment_arrays.stuck(ensemble), experiment_arrays.synapse_PR0(ensemble)
    K_AG = ensemble.values("K_AG")[:, None]
    parts: list[dict[str, Array]] = []
    for start, stop in x.windows.steps(clock):
        here = slice(start, stop)
        gain = 1 + (K_AG * ag[here] + esp[here, :, None]) / 100
        seconds = (stop - start) * clock.dt_astro
        healthy = experiment_arrays.mean_probability(PR0, ~failing, gain)
        working = working_synapses(ensemble, np.arange(start, stop) + 1)
        among = experiment_arrays.mean_probability(PR0, working, gain) * working.mean(axis=-1)
        parts.append(
            {
                "window_calcium_mean": calcium[here].mean(axis=0),
                "window_calcium_max": calcium[here].max(axis=0),
                "window_ip3_mean": ip3[here].mean(axis=0),
                "window_ip3_max": ip3[here].max(axis=0),
                "window_esp_mean": esp[here].mean(axis=0),
                "window_ag_mean": ag[here].mean(axis=0),
                "window_release_probability": healthy.mean(axis=0),
                "window_release_probability_all": among.mean(axis=0),
                "window_firing_rate": spikes[here].sum(axis=0) / seconds,
                "window_release_rate": quanta[here].sum(axis=0) / seconds,
            }
        )
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def working_synapses(ensemble: Ensemble, ends: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which synapses have not failed at the end of astrocyte steps 1, 2, ... given by `ends`, [steps, units, neurons, synapses].

    A fault at the very end of a step shows in the next one.
    """
    failing = experiment_arrays.stuck(ensemble)[None]
    x, clock = ensemble.experiment, ensemble.clock
    if x is None or x.faults is None:
        return np.broadcast_to(~failing, (len(ends), *failing.shape[1:]))
    after = np.asarray(ends) * clock.ratio > x.faults.step(clock)
    return ~(failing & after[:, None, None, None])


def release_probability(ensemble: Ensemble, ends: NDArray[np.int64], ag: Array, esp: Array) -> Array:
    """Mean release probability of the working synapses at the ends of the steps `ends`, [steps, units, neurons]."""
    gain = 1 + (ensemble.values("K_AG")[:, None] * ag + esp[:, :, None]) / 100
    return experiment_arrays.mean_probability(
        experiment_arrays.synapse_PR0(ensemble), working_synapses(ensemble, ends), gain
    )
