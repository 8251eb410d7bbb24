"""Two checks around an inference: does the prior predict such an observation at all, and does the posterior predict this one?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .curves import Array
from .observation import InferenceError, Observation
from .simulated_curves import SimulatedCurves

_NEIGHBOUR = 5
_MOST_LOCAL = 500


@dataclass(frozen=True)
class PriorCheck:
    """Whether the observation lies among the curves that the prior predicts.

    distance : to the fifth nearest simulated curve, root mean square per point in units of the error.
    usual : the same for the simulated curves nearest to the observation (median). largest : the largest of these.
    share : of these curves, how many are at least as far from the others as the observation is; 0 means outside.
    n : how many curves these are.
    """

    distance: float
    usual: float
    largest: float
    share: float
    n: int

    @property
    def inside(self) -> bool:
        return self.share > 0


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """What the posterior predicts for the same experiment, and whether the observation looks like it.

    rates : Hz, [r]. low, median, high : of new observations (simulation and error) at 95 %, uM, [r].
    calcium : mean of the simulated curves without the error, uM, [r].
    share_inside : share of the observed points within low to high. width : mean width of the band over that of the errors
        alone; near 1 where the posterior is as sharp as the errors allow, far above where it is blunt and the share means little.
    n : posterior samples behind it.
    rms : root mean square of observed minus mean predicted, uM. worst : largest such difference in predictive
        standard deviations, and worst_rate (Hz) where it is.
    n_not_finite : samples left out because their calcium is no finite number.
    """

    rates: Array
    low: Array
    median: Array
    high: Array
    calcium: Array
    share_inside: float
    width: float
    rms: float
    worst: float
    worst_rate: float
    n: int
    n_not_finite: int = 0

    def text(self) -> str:
        return (
            f"posterior predictive check ({self.n} simulations): {self.share_inside:.0%} of {len(self.rates)} points are "
            f"inside the 95 % band, which is {self.width:.1f} times as wide as the errors alone; rms error "
            f"{1e3 * self.rms:.2f} nM, largest {self.worst:+.1f} sd at {self.worst_rate:g} Hz"
        )


def prior_check(simulations: SimulatedCurves, observation: Observation, seed: int = 0) -> PriorCheck:
    """Distance of the observation from the simulated curves, against the distances of those from each other.

    The distance is to the fifth nearest curve. The curves to compare with are the (up to 500) nearest to the observation, since
    calcium that oscillates makes other regions of the prior far sparser. One observation in 500 that does come from the
    prior is called outside.
    """
    from scipy.spatial import cKDTree

    table = simulations.observed(observation.error, seed) / observation.error
    point = observation.calcium / observation.error
    tree = cKDTree(table)
    n = min(_MOST_LOCAL, simulations.n // 4)
    distances, nearest = tree.query(point, k=max(n, _NEIGHBOUR))
    # The nearest to a curve of the table is the curve itself.
    own = tree.query(table[nearest[:n]], k=_NEIGHBOUR + 1)[0][:, -1]
    distance, scale = float(distances[_NEIGHBOUR - 1]), 1 / np.sqrt(len(point))
    return PriorCheck(
        distance=distance * scale,
        usual=float(np.median(own)) * scale,
        largest=float(own.max()) * scale,
        share=float(np.mean(own >= distance)),
        n=n,
    )


def expect_inside(check: PriorCheck, simulations: SimulatedCurves, observation: Observation) -> None:
    """Refuse an observation that the prior does not predict, saying where it lies outside."""
    if check.inside:
        return
    table = simulations.observed(observation.error, simulations.seed)
    below, above = np.mean(table < observation.calcium, axis=0), np.mean(table > observation.calcium, axis=0)
    rarest = np.minimum(below, above)
    i = int(np.argmin(rarest))
    low, high = np.quantile(table[:, i], [0.005, 0.995])
    if rarest[i] < 0.005:
        where = (
            f"at {observation.rates[i]:g} Hz it is {observation.calcium[i]:.4g} uM, 99 % of the simulated curves lie from "
            f"{low:.4g} to {high:.4g} uM"
        )
    else:
        where = "each point is in the range of the simulated curves, but no curve has this shape"
    raise InferenceError(
        f"the observed curve lies outside of what the prior predicts: it is {check.distance:.3g} errors per point from the "
        f"simulated curves, the {check.n} curves like it at most {check.largest:.3g}; {where}; widen the ranges of "
        f"{', '.join(simulations.names)}, free other parameters, or state a larger error"
    )


def predictive_check(
    simulations: SimulatedCurves, observation: Observation, samples: Array, seed: int
) -> PredictiveCheck:
    """Simulate the posterior samples [n, d], add the observation error, and compare with the observation."""
    curves = simulations.simulate(samples, seed)
    finite = np.all(np.isfinite(curves), axis=1)
    curves = curves[finite]
    if not len(curves):
        raise InferenceError("no sample of the posterior has finite calcium; narrow the ranges of the prior")
    noise = np.random.default_rng([seed, 3]).standard_normal(curves.shape)
    replicas = curves + noise * observation.error
    low, median, high = np.quantile(replicas, [0.025, 0.5, 0.975], axis=0)
    mean, sd = curves.mean(axis=0), replicas.std(axis=0)
    difference = observation.calcium - mean
    worst = int(np.argmax(np.abs(difference / sd)))
    return PredictiveCheck(
        rates=observation.rates,
        low=low,
        median=median,
        high=high,
        calcium=mean,
        share_inside=float(np.mean((observation.calcium >= low) & (observation.calcium <= high))),
        width=float(np.mean((high - low) / (2 * 1.959964 * observation.error))),
        rms=float(np.sqrt(np.mean(difference**2))),
        worst=float((difference / sd)[worst]),
        worst_rate=float(observation.rates[worst]),
        n=len(curves),
        n_not_finite=int(np.sum(~finite)),
    )
