"""What the prior predicts: parameter sets drawn from their ranges, and the response curve of each, simulated in one call.

The table is all an inference learns from. It is saved as NetCDF, never as a pickle; a network is trained from it anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from biosim.checks import numbers, whole
from biosim.messages import shown

from .checks import several
from .curves import Array
from .observation import FEWEST_POINTS, MOST_POINTS, InferenceError
from .parameter_ensembles import SetResponses, ranges_around, simulate_sets

if TYPE_CHECKING:
    import xarray as xr

    from biosim import TripartiteParameters

FEWEST_DRAWS, MOST_DRAWS = 64, 10**6
# Dropping failures is harmless only while they are too few to have a pattern over the parameters.
MOST_NOT_FINITE = 0.01
# Calcium that moves by more than this within the window oscillates, or is pushed over its threshold now and then.
_OSCILLATION_UM = 0.1
_KIND = "curves simulated from a prior"
# Streams of random numbers that are drawn from one seed.
_DRAWS, _ERRORS = 0, 1


@dataclass(frozen=True, eq=False)
class SimulatedCurves:
    """Response curves of n parameter sets drawn uniformly from ranges.

    ranges : name -> (low, high) of the uniform prior. units : of the parameters.
    values : parameter values, [n, d], columns in the order of `ranges`. calcium : mean over window and trials, uM, [n, r].
    rates : Hz, [r]. parameters : the set that gives all other values; digest : of these values.
    trials, duration, settle (s), seed : of the simulation.
    n_not_finite : draws that were dropped because their calcium is no finite number.
    n_oscillating : draws whose calcium moves by more than 0.1 uM within the window at some rate.
    """

    ranges: Mapping[str, tuple[float, float]]
    units: Mapping[str, str]
    values: Array
    calcium: Array
    rates: Array
    parameters: TripartiteParameters = field(repr=False)
    trials: int
    duration: float
    settle: float
    seed: int
    n_not_finite: int = 0
    n_oscillating: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.ranges)

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def limits(self) -> tuple[Array, Array]:
        """Lower and upper ends of the ranges, [d] each."""
        low, high = np.array(list(self.ranges.values())).T
        return low, high

    def observed(self, error: Array, seed: int) -> Array:
        """The curves as they would be observed: with independent normal errors of standard deviation `error` [r], uM, [n, r]."""
        noise = np.random.default_rng([seed, _ERRORS]).standard_normal(self.calcium.shape)
        return np.asarray(self.calcium + noise * error, dtype=np.float64)

    def simulate(self, values: Array, seed: int, progress: Callable[[int, int], None] | None = None) -> Array:
        """Curves of other parameter values [m, d] by the same protocol, uM, [m, r]; NaN where calcium is no finite number."""
        mean = self._run(values, seed, progress).mean.mean(axis=2)
        return np.where(np.isfinite(mean), mean, np.nan)

    def again(self, values: Array, seed: int, progress: Callable[[int, int], None] | None = None) -> SimulatedCurves:
        """A table of other parameter values [m, d] by the same protocol; failures dropped or refused as in `simulate_curves`."""
        found = self._run(values, seed, progress)
        calcium = found.mean.mean(axis=2)
        kept = finite_draws(calcium, values, self.names)
        oscillates = np.max(found.most - found.least, axis=(1, 2)) > _OSCILLATION_UM
        return replace(
            self,
            values=values[kept],
            calcium=calcium[kept],
            seed=seed,
            n_not_finite=int(np.sum(~kept)),
            n_oscillating=int(np.sum(oscillates[kept])),
        )

    def _run(self, values: Array, seed: int, progress: Callable[[int, int], None] | None) -> SetResponses:
        import biosim

        columns = {name: np.ascontiguousarray(column) for name, column in zip(self.names, values.T, strict=True)}
        clock = biosim.Clock(self.duration, self.settle)
        return simulate_sets(
            self.parameters, columns, self.rates, clock, trials=self.trials, seed=seed, progress=progress
        )

    def settings(self) -> dict[str, Any]:
        """What was simulated, ready for JSON."""
        return {
            "free": list(self.names),
            "prior": {name: {"low": a, "high": b, "unit": self.units[name]} for name, (a, b) in self.ranges.items()},
            "rates_hz": self.rates.tolist(),
            "parameters": self.parameters.name,
            "values": {name: float(getattr(self.parameters, name)) for name in self.names},
            "n": self.n,
            "trials": self.trials,
            "duration_s": self.duration,
            "settle_s": self.settle,
            "seed": self.seed,
            "n_not_finite": self.n_not_finite,
            "n_oscillating": self.n_oscillating,
        }

    def to_dataset(self) -> xr.Dataset:
        """Draws and curves with units, and all settings in the attribute ``provenance``."""
        import xarray as xr

        from biosim.storage import SCHEMA_VERSION

        record = {"schema": SCHEMA_VERSION, "kind": _KIND, **self.settings(), "set": self.parameters.to_records()}
        variables: dict[str, Any] = {
            f"draw_{name}": (("draw",), self.values[:, j], {"units": self.units[name], "long_name": f"{name} drawn"})
            for j, name in enumerate(self.names)
        }
        variables["calcium"] = (
            ("draw", "input_rate"), self.calcium, {"units": "uM", "long_name": "mean calcium of the draw"},
        )  # fmt: skip
        return xr.Dataset(
            variables,
            coords={"input_rate": (("input_rate",), self.rates, {"units": "Hz", "long_name": "input rate"})},
            attrs={"title": _KIND, "provenance": json.dumps(record, sort_keys=True, allow_nan=False)},
        )

    def save(self, path: str | Path) -> Path:
        """Write the table as NetCDF; `load_simulated_curves` reads it."""
        import biosim

        return biosim.save(self.to_dataset(), path)


def simulate_curves(
    parameters: TripartiteParameters | str = "wade2012",
    free: Iterable[str] | str = (),
    *,
    rates: Sequence[float] | Array,
    spread: float = 0.5,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    n: int = 8192,
    trials: int = 1,
    duration: float = 300.0,
    settle: float = 100.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedCurves:
    """Draw `n` sets of the `free` parameters uniformly and simulate the response curve of each, all in one call.

    Parameters
    ----------
    parameters : the set around which the parameters vary, or its name.
    free : parameters that vary, each by the share `spread` to both sides of its value; `ranges` gives others, or another
        range (low, high).
    rates : Hz, 3 to 24, increasing.
    trials, duration, settle : each set starts at its own rest; calcium is averaged from `settle` to `duration`, over `trials`.
    progress : called with (finished units, all units).

    Raises
    ------
    InferenceError
        Names, ranges, rates or settings that cannot be used, or more than 1 % of the draws whose calcium is no finite number
        (how many, and the first); fewer are dropped and counted.
    ParameterError, SimulationError, UnknownName
        What biosim refuses.
    """
    import biosim
    from biosim.parameters import unit_of

    start = parameters if isinstance(parameters, biosim.TripartiteParameters) else biosim.parameter_set(parameters)
    named = several("free", free)
    if not named and not ranges:
        raise InferenceError("free names no parameter; name those to be inferred, such as free=['v_ER', 'K_AG']")
    checked = ranges_around(start, [str(name) for name in named], spread, ranges, InferenceError)
    n = whole("n", n, FEWEST_DRAWS, MOST_DRAWS, InferenceError)
    trials = whole("trials", trials, 1, 10_000, InferenceError)
    seed = whole("seed", seed, 0, 2**63 - 1, InferenceError)
    at = numbers("rates", rates, "Hz", InferenceError)
    if at.ndim != 1 or not FEWEST_POINTS <= at.size <= MOST_POINTS or not np.all(np.diff(at) > 0) or at[0] < 0:
        raise InferenceError(
            f"rates = {shown(at.tolist())}: expected {FEWEST_POINTS} to {MOST_POINTS} rates in Hz, increasing"
        )
    clock = biosim.Clock(duration, settle)
    low, high = np.array(list(checked.values())).T
    values = np.random.default_rng([seed, _DRAWS]).uniform(low, high, (n, len(checked)))
    empty = SimulatedCurves(
        ranges=checked,
        units={name: unit_of(name) for name in checked},
        values=values[:0],
        calcium=np.empty((0, at.size)),
        rates=at,
        parameters=start,
        trials=trials,
        duration=clock.duration,
        settle=clock.settle,
        seed=seed,
    )
    return empty.again(values, seed, progress)


def finite_draws(calcium: Array, values: Array, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which draws [n] have finite calcium [n, r] at every rate; raises InferenceError where more than 1 % have not."""
    kept: NDArray[np.bool_] = np.all(np.isfinite(calcium), axis=1)
    share = 1 - float(kept.mean())
    if share > MOST_NOT_FINITE:
        first = int(np.argmin(kept))
        at = ", ".join(f"{name} = {value:.4g}" for name, value in zip(names, values[first], strict=True))
        raise InferenceError(
            f"calcium is no finite number for {int(np.sum(~kept))} of {len(kept)} draws, first at {at}; more than "
            f"{MOST_NOT_FINITE:.0%} would bias the posterior; narrow the ranges"
        )
    return kept


def load_simulated_curves(path: str | Path) -> SimulatedCurves:
    """Read a table written by `SimulatedCurves.save`.

    Raises
    ------
    DatasetError
        The file is missing, damaged or foreign.
    InferenceError
        A file of this package that holds something else.
    """
    import biosim

    return from_dataset(biosim.load(path), str(path))


def from_dataset(dataset: xr.Dataset, path: str) -> SimulatedCurves:
    """The table in a loaded Dataset; `path` is for the message."""
    import biosim

    record = biosim.provenance(dataset)
    if record.get("kind") != _KIND:
        raise InferenceError(
            f"{path} holds no curves simulated from a prior; name a file that SimulatedCurves.save wrote"
        )
    try:
        # JSON sorts the names of an object, the list keeps the order of the columns.
        prior = {name: record["prior"][name] for name in record["free"]}
        return SimulatedCurves(
            ranges={name: (float(one["low"]), float(one["high"])) for name, one in prior.items()},
            units={name: str(one["unit"]) for name, one in prior.items()},
            values=np.stack([dataset[f"draw_{name}"].values for name in prior], axis=1),
            calcium=dataset["calcium"].values,
            rates=dataset["input_rate"].values,
            parameters=_parameters(record["parameters"], record["set"]),
            trials=int(record["trials"]),
            duration=float(record["duration_s"]),
            settle=float(record["settle_s"]),
            seed=int(record["seed"]),
            n_not_finite=int(record["n_not_finite"]),
            n_oscillating=int(record["n_oscillating"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InferenceError(
            f"{path} is incomplete ({type(error).__name__}: {error}); simulate the curves anew"
        ) from None


def _parameters(name: str, records: Mapping[str, Any]) -> TripartiteParameters:
    from biosim import TripartiteParameters
    from biosim.parameters import Provenance

    return TripartiteParameters(
        name=name,
        provenance={key: Provenance(one["source"], one["status"]) for key, one in records.items()},
        **{key: one["value"] for key, one in records.items()},
    )
