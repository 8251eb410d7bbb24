"""Which biology moves which macro parameter: Sobol indices of the response curve of the simulated synapse.

All sets of parameters at all rates are the units of one ensemble, which the engine runs in one call. Every unit has random
streams of its own, so two sets differ by noise as well; that noise is averaged over a long window (and over trials), and
what is left of it is measured by a dummy parameter on which nothing depends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from biosim.checks import as_float, numbers, plain_number, whole
from biosim.messages import shown

from .curve_features import response_features
from .curves import Array
from .indices import Sensitivity, SensitivityError, Unfit, check_settings, sobol_indices
from .parameter_ensembles import ranges_around, simulate_sets

if TYPE_CHECKING:
    from biosim import TripartiteParameters

# Drive of IP3, suppression of release, calcium fluxes, and the indirect way over glutamate.
PARAMETERS = (
    "PR0", "dAG", "tau_AG", "K_AG", "r_IP3", "tau_IP3", "IP3_rest",
    "r_C", "r_L", "v_ER", "k_ER", "d5",
    "Ca_th", "m_eSP",
)  # fmt: skip
# The lowest two tell the half-rate, which lies near 1 Hz; the others are those of the published figure.
RATES = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0)
# A unit whose calcium moves by more than this within the window oscillates, or is pushed over its threshold now and then.
_OSCILLATION_UM = 0.1
OUTPUT_UNITS = {"alpha": "1", "log_half_rate": "ln Hz", "calcium_range": "uM"}


def sobol(
    parameters: TripartiteParameters | str = "wade2012",
    names: Iterable[str] | str = PARAMETERS,
    *,
    spread: float = 0.2,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    rates: Sequence[float] | Array = RATES,
    exponent_from: float = 1.0,
    n: int = 1024,
    trials: int = 1,
    duration: float = 300.0,
    settle: float = 100.0,
    seed: int = 0,
    level: float = 0.95,
    n_resamples: int = 200,
    unfit: Unfit = "refuse",
    progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Sobol indices of the exponent, the half-rate and the range of calcium with respect to biological parameters.

    Every set starts at its own resting state and gets Poisson input; its response is calcium averaged over the window from
    `settle` to `duration` (and over trials) at each rate. From it follow (see `ResponseFeatures`)

    - ``alpha``: log-log slope of calcium above the set's own rest, over the rates of at least `exponent_from`;
    - ``log_half_rate``: natural logarithm of the half-rate in Hz of the best hyperbola over all rates. The logarithm, since
      the half-rate is positive and skewed: with the plain value a few sets would own the variance;
    - ``calcium_range``: calcium at the highest minus that at the lowest rate, uM.

    Rules for curves that are no smooth rise. A unit that oscillates counts with its mean over the window, as in the simulated
    figures, and a note says how many sets do so. A half-rate at a limit of its search (a tenth of the lowest and ten times the
    highest rate) is taken as that limit, and counted in a note. A set whose calcium is not above rest at some rate
    has no exponent, one whose calcium falls no half-rate; `unfit` says what happens then.

    Parameters
    ----------
    parameters : the set around which the parameters vary, or its name.
    names : parameters that vary, each by the share `spread` to both sides of its value in the set; `ranges` gives others, or
        another range (low, high).
    n : base samples, a power of two; with d parameters n (d + 3) sets are simulated.
    trials : repeats at each rate with other random numbers.
    level, n_resamples, unfit : as in `sobol_indices`.
    progress : called with (finished units, all units).

    Raises
    ------
    SensitivityError
        A name, range, rate or setting that cannot be used, or an output without a value (how often, and where first).
    ParameterError, SimulationError, UnknownName
        What biosim refuses: an end of a range outside what the parameter may be, times, too little memory.
    """
    import biosim
    from biosim.parameters import unit_of

    start = parameters if isinstance(parameters, biosim.TripartiteParameters) else biosim.parameter_set(parameters)
    check_settings(n, seed, level, n_resamples, unfit)
    trials = whole("trials", trials, 1, 10_000, SensitivityError)
    rates = _checked_rates(rates, exponent_from)
    varied = ranges_around(start, names, spread, ranges, SensitivityError)
    clock = biosim.Clock(duration, settle)
    facts: list[str] = []

    def responses(values: Array) -> dict[str, ArrayLike]:
        columns = dict(zip(varied, values.T, strict=True))
        found_sets = simulate_sets(start, columns, rates, clock, trials=trials, seed=seed, progress=progress)
        mean, least, most, crossings = found_sets.mean, found_sets.least, found_sets.most, found_sets.crossings
        found = response_features(rates, mean.mean(axis=2), found_sets.rest, exponent_from)
        moves = np.max(most - least, axis=(1, 2)) > _OSCILLATION_UM
        releases = np.any(crossings > 0, axis=(1, 2))
        facts.append(
            f"calcium of {moves.mean():.1%} of the sets moves by more than {_OSCILLATION_UM:g} uM within the window at some rate "
            f"(oscillation), and {releases.mean():.1%} release glutamate; they count with their mean over the window"
        )
        facts.append(
            f"{np.sum(found.at_limit != 0)} of {len(values)} half-rates lie at a limit of their search and are taken as that "
            f"limit; median R2 of the hyperbola {np.median(found.hyperbola_r_squared):.4f}, "
            f"lowest percent of sets below {np.quantile(found.hyperbola_r_squared, 0.01):.3f}"
        )
        return {"alpha": found.exponent, "log_half_rate": np.log(found.half_rate), "calcium_range": found.calcium_range}

    found = sobol_indices(
        responses, varied, n=n, seed=seed, level=level, n_resamples=n_resamples, unfit=unfit,
        units={name: unit_of(name) for name in varied} | OUTPUT_UNITS,
    )  # fmt: skip
    return Sensitivity(
        found.ranges, found.units, found.outputs, found.halves, found.n, found.seed, found.level, (*facts, *found.notes)
    )


def _checked_rates(rates: Sequence[float] | Array, exponent_from: float) -> Array:
    array = numbers("rates", rates, "Hz", SensitivityError)
    if (
        array.ndim != 1
        or array.size < 4
        or not np.all(np.isfinite(array))
        or array[0] <= 0
        or np.any(np.diff(array) <= 0)
    ):
        raise SensitivityError(f"rates = {shown(array.tolist())}: expected at least four in Hz, above 0 and increasing")
    lowest = plain_number(exponent_from)
    if lowest is None or np.sum(array >= as_float(lowest)) < 3:
        raise SensitivityError(
            f"exponent_from = {shown(exponent_from)}: expected a rate in Hz that leaves at least three of the rates"
        )
    return array
