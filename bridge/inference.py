"""The inverse problem: given a curve, which biology makes it?

A uniform prior around a parameter set, the curves it predicts (one ensemble), a stated error per point, and the posterior of
the named parameters, by a network (`neural_posterior`) or by weighted simulations (`importance`); checked before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from biosim.checks import whole
from biosim.registry import choose

from .checks import several
from .curves import Array
from .importance import FEWEST_EFFECTIVE, importance_posterior, reweighted
from .measure import Curve
from .neural_posterior import NeuralPosterior, expect_sbi, focused, train_posterior
from .observation import InferenceError, observe
from .posterior import Posterior
from .predictive import expect_inside, predictive_check, prior_check
from .simulated_curves import SimulatedCurves, simulate_curves

if TYPE_CHECKING:
    from biosim import TripartiteParameters

Method = Literal["npe", "importance"]
# A middle 95 % this close to the prior's own is the prior's.
_UNINFORMED = 0.8


def infer(
    curve: Curve,
    free: Iterable[str] | str,
    *,
    parameters: TripartiteParameters | str = "wade2012",
    spread: float = 0.5,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    rates: Sequence[float] | Array | None = None,
    error: ArrayLike | None = None,
    n: int = 8192,
    rounds: int = 2,
    reweight: int | None = None,
    trials: int = 1,
    duration: float = 300.0,
    settle: float = 100.0,
    seed: int = 0,
    method: Method = "npe",
    n_samples: int = 4000,
    n_predictive: int = 400,
    simulations: SimulatedCurves | None = None,
    network: NeuralPosterior | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Posterior:
    """Posterior of the `free` biological parameters given a curve of calcium (uM) against rate (Hz).

    Noise model: observed = simulated + independent normal errors. The simulated curve is that of one experiment of `trials`
    runs with a window from `settle` to `duration`, so its own spread between runs comes on top of `error`.

    Parameters
    ----------
    free : parameters to infer, uniform a priori within the share `spread` to both sides of their values in `parameters`;
        `ranges` gives others, or another range (low, high). All else keeps its value.
    rates, error : at which rates the curve is read, and how far a point may be off (see `observe`).
    n : curves to simulate from the prior. rounds : 2 simulates as many again where the first network puts the posterior, and
        trains a second one there (`focused`); 1 does not. The other method has its own rounds.
    reweight : draws of the networks that are simulated and weighted by their likelihood (`reweighted`), which makes up for what
        the network has not learned; None for as many as the network's own prior table holds, 0 for its answer as it is. Where
        too few of them are effective the network's answer stands, and a note says so.
    method : ``npe``, a network of sbi (extra `inference`); ``importance``, weighted simulations, without a network.
    n_samples : of the posterior. n_predictive : of these, simulated again for the posterior predictive check.
    simulations, network : made before (`simulate_curves`, `train_posterior`), to save their time; they have to fit to the
        rates, the free parameters and the error.
    progress : called with (finished units, all units) of the simulation from the prior.

    Raises
    ------
    InferenceError
        sbi is missing (before any work), an observation outside of what the prior predicts (by how much, and where), names,
        ranges and settings that cannot be used, too many simulations without a finite value.
    ParameterError, SimulationError, UnknownName
        What biosim refuses.
    """
    choose("method", method, get_args(Method))
    observation = observe(curve, rates, error)
    names = tuple(str(name) for name in several("free", free))
    for key, value in (("n_samples", n_samples), ("n_predictive", n_predictive)):
        whole(key, value, 100, 10**6, InferenceError)
    whole("rounds", rounds, 1, 2, InferenceError)
    if reweight:
        whole("reweight", reweight, 100, 10**6, InferenceError)
    if method == "npe" and network is None:
        expect_sbi()
    if network is not None:
        simulations = network.simulations if network.region is None else network.region.network.simulations
    if simulations is None:
        simulations = simulate_curves(
            parameters, names, rates=observation.rates, spread=spread, ranges=ranges, n=n, trials=trials,
            duration=duration, settle=settle, seed=seed, progress=progress,
        )  # fmt: skip
    elif set(simulations.names) != {*names, *(ranges or {})} or not np.array_equal(
        simulations.rates, observation.rates
    ):
        raise InferenceError(
            f"the simulations vary {', '.join(simulations.names)} at {simulations.rates.tolist()} Hz, expected "
            f"{', '.join(names)} at {observation.rates.tolist()} Hz; simulate anew, or name these"
        )
    before = prior_check(simulations, observation, seed)
    expect_inside(before, simulations, observation)
    notes = _notes(simulations)
    if method == "importance":
        found = importance_posterior(simulations, observation, seed=seed)
        samples = found.resampled(n_samples, seed)
        how = {
            "effective_draws": found.effective,
            "rounds": found.rounds,
            "n_simulations": found.n_simulations,
        }
        notes += [f"{found.effective:.0f} effective draws from {found.n_simulations} simulated curves"]
    else:
        if network is None:
            network = train_posterior(simulations, observation.error, seed)
            if rounds == 2:
                network = focused(network, observation.calcium, n=simulations.n, seed=seed, progress=progress)
        if not np.allclose(network.error, observation.error, rtol=1e-6, atol=0):
            raise InferenceError(
                "the network was trained for other errors than those of the curve; train it anew with train_posterior"
            )
        samples = network.sample(observation.calcium, n_samples, seed)[:, 0]
        how = dict(network.record)
        if reweight != 0:
            # The first network is blunt and holds what the second, sharper one may have missed.
            networks = [network] if network.region is None else [network, network.region.network]
            drawn = reweighted(networks, observation, n=reweight or simulations.n, seed=seed, progress=progress)
            how |= {"effective_draws": drawn.effective, "n_simulations": how["n_simulations"] + drawn.n_simulations}
            if drawn.effective >= FEWEST_EFFECTIVE:
                samples = drawn.resampled(n_samples, seed)
                notes += [f"{drawn.effective:.0f} effective draws of {drawn.n_simulations} from the network, weighted"]
            else:
                notes += [
                    f"the network's answer as it is: of {drawn.n_simulations} weighted draws from it {drawn.effective:.0f} are "
                    f"effective, fewer than {FEWEST_EFFECTIVE:.0f}; raise n, or reweight"
                ]
    shown = np.random.default_rng([seed, 2]).choice(n_samples, size=min(n_predictive, n_samples), replace=False)
    after = predictive_check(simulations, observation, samples[shown], seed + 1)
    posterior = Posterior(
        samples=samples,
        units=simulations.units,
        ranges=simulations.ranges,
        usual={name: float(getattr(simulations.parameters, name)) for name in simulations.names},
        observation=observation,
        method=method,
        before=before,
        after=after,
        settings={"simulation": simulations.settings(), "posterior": how | {"seed": seed}},
    )
    wide = [name for name, left in zip(posterior.names, posterior.narrowing, strict=True) if left > _UNINFORMED]
    if wide:
        notes.append(f"not identified by this curve alone, as the prior's range is left: {', '.join(wide)}")
    return Posterior(**{**posterior.__dict__, "notes": tuple(notes)})


def _notes(simulations: SimulatedCurves) -> list[str]:
    found = [
        f"{simulations.n_oscillating / simulations.n:.1%} of the curves from the prior oscillate at some rate and count with "
        "their mean over the window"
    ]
    if simulations.n_not_finite:
        found.append(
            f"{simulations.n_not_finite} of {simulations.n + simulations.n_not_finite} draws of the prior are left out, as their "
            "calcium is no finite number"
        )
    return found
