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
from biosim.registry import choose

from .checks import several
from .curve_features import response_features
from .curves import Array
from .indices import Sensitivity, SensitivityError, Unfit, check_ranges, check_settings, sobol_indices

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
_INITIAL = ("IP3_init", "Ca_init", "h_init")
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
    varied = _ranges(start, names, spread, ranges)
    clock = biosim.Clock(duration, settle)
    facts: list[str] = []

    def responses(values: Array) -> dict[str, ArrayLike]:
        columns = dict(zip(varied, values.T, strict=True))
        rest, h = _resting_state(start, columns, len(values))
        initial = {
            "IP3_init": columns.get("IP3_rest", np.full(len(values), start.IP3_rest)),
            "Ca_init": rest,
            "h_init": h,
        }
        units_per_set = len(rates) * trials
        ensemble = biosim.Ensemble(
            start,
            clock,
            np.tile(np.repeat(rates, trials), len(values)),
            overrides={name: np.repeat(column, units_per_set) for name, column in (columns | initial).items()},
            seed=seed,
        )
        statistics = biosim.run_ensemble(ensemble, progress=progress).statistics
        shape = (len(values), len(rates), trials)
        mean, least, most, crossings = (
            statistics[key].reshape(shape) for key in ("calcium_mean", "calcium_min", "calcium_max", "crossings")
        )
        found = response_features(rates, mean.mean(axis=2), rest, exponent_from)
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


def _ranges(
    start: TripartiteParameters,
    names: Iterable[str] | str,
    spread: float,
    given: Mapping[str, tuple[float, float]] | None,
) -> dict[str, tuple[float, float]]:
    """Range of each varied parameter, checked against what it may be."""
    from biosim.ensemble import numeric_names
    from biosim.parameters import check_value

    number = plain_number(spread)
    if number is None or not 0 < number < 1:
        raise SensitivityError(f"spread = {shown(spread)}: expected a share between 0 and 1, such as 0.2 for +-20 %")
    known = [name for name in numeric_names() if name not in _INITIAL]
    asked = [choose("parameter", str(name), known) for name in several("names", names)]
    twice = next((name for name in asked if asked.count(name) > 1), None)
    if twice:
        raise SensitivityError(f"names has {twice!r} twice; name each parameter once")
    found = {}
    for name in asked:
        value = float(getattr(start, name))
        if value == 0 and name not in (given or {}):
            raise SensitivityError(
                f"{name} is 0 in the set {start.name}, so a share of it is no range; give one in ranges"
            )
        found[name] = (value - number * abs(value), value + number * abs(value))
    if given is not None:
        for name, pair in check_ranges(given).items():
            found[choose("parameter", name, known)] = pair
    for name, pair in check_ranges(found).items():
        for limit in pair:
            check_value(name, limit)
    return found


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


def _resting_state(start: TripartiteParameters, columns: Mapping[str, Array], n_sets: int) -> tuple[Array, Array]:
    """Calcium (uM) and h at the fixed point of resting IP3, [n_sets] each, solved once per distinct set of constants."""
    import biosim
    from biosim.stability import NAMES

    names = ("IP3_rest", *NAMES)
    table = np.stack([columns.get(name, np.full(n_sets, float(getattr(start, name)))) for name in names], axis=1)
    distinct, where = np.unique(table, axis=0, return_inverse=True)
    rest = np.array([biosim.rest_state(row[0], dict(zip(NAMES, row[1:], strict=True))) for row in distinct])
    calcium, h = rest[where.ravel()].T
    return np.ascontiguousarray(calcium), np.ascontiguousarray(h)
