"""Sobol indices of any function: which input moves which output, alone and with all others.

The first-order index S1 of an input is the share of an output's variance that vanishes on average once that input is known;
the total index ST is the share that stays on average when everything else is known. ST - S1 is interaction. Sampling and
estimators are those of SALib (Saltelli et al. 2010); what it lets pass in silence is refused here, and a dummy input, on
which nothing depends, measures how large an index is that means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biosim.checks import numbers, plain_number, whole
from biosim.messages import shown
from biosim.registry import choose

from . import checks
from .curves import Array

if TYPE_CHECKING:
    import pandas as pd

DUMMY = "dummy"
SMALLEST_N, LARGEST_N = 16, 2**16
_RESAMPLES = 20, 10_000
# Of what remains when more is left out one can no longer say that it stands for the whole range.
MOST_DROPPED = 0.05

Unfit = Literal["refuse", "drop"]
Function = Callable[[Array], Mapping[str, ArrayLike]]


class SensitivityError(ValueError):
    """Indices that are asked for with impossible settings, or that the outputs do not allow."""


@dataclass(frozen=True, eq=False)
class OutputIndices:
    """Indices of one output, inputs in the order of `Sensitivity.names`, the dummy last.

    first, total : S1 and ST, [d + 1]; first_half_width, total_half_width : half of their bootstrap confidence intervals
        (normal, over the base samples), [d + 1].
    n : base samples behind them. n_dropped : base samples left out, see `sobol_indices`.
    mean, sd, quantiles : of the output over the sampled range; quantiles at 5, 25, 50, 75 and 95 %.
    """

    first: Array
    first_half_width: Array
    total: Array
    total_half_width: Array
    n: int
    n_dropped: int
    mean: float
    sd: float
    quantiles: Array

    @property
    def floor(self) -> float:
        """Total index of the dummy: the share of the variance that is noise, which is part of every total index."""
        return float(self.total[-1])


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Sobol indices of several outputs with respect to several inputs.

    ranges : name -> (low, high) of the uniform distribution of each input. units : of inputs and outputs.
    outputs : by name, from all `n` base samples. halves : the same from the first half of them, for convergence.
    n_sets : how many sets of input values were evaluated, n (d + 3).
    level : of the confidence intervals. notes : what a reader of the numbers has to know.
    """

    ranges: Mapping[str, tuple[float, float]]
    units: Mapping[str, str]
    outputs: Mapping[str, OutputIndices]
    halves: Mapping[str, OutputIndices]
    n: int
    seed: int
    level: float
    notes: tuple[str, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.ranges)

    @property
    def n_sets(self) -> int:
        return self.n * (len(self.ranges) + 3)

    def __getitem__(self, output: str) -> OutputIndices:
        return self.outputs[choose("output", output, self.outputs)]

    def convergence(self, output: str) -> float:
        """Largest change of a total index from the first half of the base samples to all of them."""
        whole_sample, half = self[output], self.halves[output]
        return float(np.max(np.abs(whole_sample.total - half.total)))

    def records(self) -> list[dict[str, Any]]:
        """One row per output and input, the dummy included: plain values, ready for JSON or a table.

        above_floor : whether the interval of ST lies above that of the dummy's.
        """
        rows: list[dict[str, Any]] = []
        for output, found in self.outputs.items():
            half = self.halves[output]
            noise = found.total[-1] + found.total_half_width[-1]
            for j, name in enumerate((*self.names, DUMMY)):
                low, high = self.ranges.get(name, (0.0, 1.0))
                rows.append(
                    {
                        "output": output,
                        "output_unit": self.units[output],
                        "input": name,
                        "input_unit": self.units.get(name, "1"),
                        "low": low,
                        "high": high,
                        "S1": float(found.first[j]),
                        "S1_half_width": float(found.first_half_width[j]),
                        "ST": float(found.total[j]),
                        "ST_half_width": float(found.total_half_width[j]),
                        "S1_at_half_n": float(half.first[j]),
                        "ST_at_half_n": float(half.total[j]),
                        "above_floor": bool(found.total[j] - found.total_half_width[j] > noise),
                    }
                )
        return rows

    def table(self) -> pd.DataFrame:
        """One row per output and input."""
        import pandas as pd

        return pd.DataFrame.from_records(self.records())

    def text(self) -> str:
        """The indices as plain text, the strongest input first."""
        lines = []
        for output, found in self.outputs.items():
            unit = "" if self.units[output] == "1" else f" {self.units[output]}"
            low, _, middle, _, high = found.quantiles
            lines.append(
                f"{output}: median {middle:.4g}{unit}, 5 to 95 % {low:.4g} to {high:.4g}; noise floor {found.floor:.3f}; "
                f"largest change of ST from {self.n // 2} to {self.n} base samples {self.convergence(output):.3f}"
            )
            lines.append(f"  {'input':12s}{'S1':>8s}{'+-':>7s}{'ST':>8s}{'+-':>7s}   range")
            for j in np.argsort(-found.total, kind="stable"):
                name = (*self.names, DUMMY)[j]
                between = "acts on nothing" if name == DUMMY else "{:g} to {:g}".format(*self.ranges[name])
                of = "" if self.units.get(name, "1") == "1" else f" {self.units[name]}"
                lines.append(
                    f"  {name:12s}{found.first[j]:8.3f}{found.first_half_width[j]:7.3f}{found.total[j]:8.3f}"
                    f"{found.total_half_width[j]:7.3f}   {between}{of}"
                )
        lines.extend(f"note: {note}" for note in self.notes)
        return "\n".join(lines)


def sobol_indices(
    function: Function,
    ranges: Mapping[str, tuple[float, float]],
    *,
    n: int = 1024,
    seed: int = 0,
    level: float = 0.95,
    n_resamples: int = 200,
    unfit: Unfit = "refuse",
    units: Mapping[str, str] | None = None,
) -> Sensitivity:
    """Sobol indices of the outputs of `function` with respect to inputs that vary uniformly and independently in `ranges`.

    Parameters
    ----------
    function : called once with the values of the inputs [n_sets, d], columns in the order of `ranges`; returns every output by
        name, [n_sets].
    n : base samples, a power of two (the sequence is balanced only then); n (d + 3) sets are evaluated: SALib's n (D + 2)
        for the d inputs and the dummy.
    seed : of the scrambled Sobol sequence and the bootstrap; the same seed gives the same bits.
    level, n_resamples : of the confidence intervals.
    unfit : what to do with sets for which an output is not a finite number. ``refuse`` them, or ``drop`` the base samples that
        they belong to, at most 5 % of these, for that output alone; the indices are then those of the rest.
    units : of inputs and outputs; "1" where none is given.

    Raises
    ------
    SensitivityError
        n is no power of two from 16 to 65536, a range is empty or infinite, an output has another shape, is not finite
        somewhere (how often, and where first), or does not vary; level, n_resamples, seed, unfit.
    """
    checked = check_ranges(ranges)
    n, seed = check_settings(n, seed, level, n_resamples, unfit)
    from SALib.sample import sobol as sampler

    names = tuple(checked)
    problem = {
        "num_vars": len(names) + 1,
        "names": [*names, DUMMY],
        "bounds": [*map(list, checked.values()), [0.0, 1.0]],
    }
    values = np.asarray(sampler.sample(problem, n, calc_second_order=False, seed=np.random.default_rng([seed, 0])))
    outputs = _outputs(function(np.ascontiguousarray(values[:, :-1])), len(values))
    known = {} if units is None else dict(units)
    whole_sample: dict[str, OutputIndices] = {}
    halves: dict[str, OutputIndices] = {}
    notes: list[str] = []
    for name, output in outputs.items():
        kept = _kept(name, output, values, names, unfit)
        if not kept.all():
            notes.append(
                f"{name}: {n - kept.sum()} of {n} base samples are left out, as it has no value for some set in them; the "
                "indices are those of the rest"
            )
        grouped = output.reshape(n, -1)
        for target, first in ((whole_sample, n), (halves, n // 2)):
            chosen = grouped[:first][kept[:first]]
            target[name] = _analysed(name, chosen, first, problem, seed, float(level), int(n_resamples))
    return Sensitivity(
        ranges=checked,
        units={name: known.get(name, "1") for name in (*names, *outputs)},
        outputs=whole_sample,
        halves=halves,
        n=n,
        seed=seed,
        level=float(level),
        notes=tuple(notes),
    )


def check_ranges(ranges: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """`ranges` as floats; refused unless each is (low, high) with finite low < high and there is at least one."""
    for name in ranges if isinstance(ranges, Mapping) else ():
        if name == DUMMY or not isinstance(name, str):
            raise SensitivityError(
                f"input {shown(name)}: expected a name other than {DUMMY!r}, which is the noise floor's"
            )
    return checks.check_ranges(ranges, SensitivityError)


def check_settings(n: int, seed: int, level: float, n_resamples: int, unfit: str) -> tuple[int, int]:
    """`n` and `seed` as integers; raises SensitivityError for a setting that no indices can be had with."""
    n = whole("n", n, SMALLEST_N, LARGEST_N, SensitivityError)
    if n & (n - 1):
        below = 2 ** (n.bit_length() - 1)
        raise SensitivityError(
            f"n = {n}: expected a power of two, as the Sobol sequence is balanced only then; take {below} or {2 * below}"
        )
    number = plain_number(level)
    if number is None or not 0 < number < 1:
        raise SensitivityError(f"level = {shown(level)}: expected a number between 0 and 1 such as 0.95")
    whole("n_resamples", n_resamples, *_RESAMPLES, SensitivityError)
    choose("treatment of sets without a value", unfit, get_args(Unfit))
    return n, whole("seed", seed, 0, 2**63 - 1, SensitivityError)


def _outputs(given: Mapping[str, ArrayLike], n_sets: int) -> dict[str, Array]:
    if not isinstance(given, Mapping) or not given:
        raise SensitivityError(f"the function returned {shown(given)}: expected a mapping of names to outputs")
    outputs = {str(name): numbers(str(name), values, "1", SensitivityError) for name, values in given.items()}
    for name, values in outputs.items():
        if values.shape != (n_sets,):
            raise SensitivityError(f"output {name} has shape {values.shape}: expected one value per set, ({n_sets},)")
    return outputs


def _kept(name: str, output: Array, values: Array, names: tuple[str, ...], unfit: str) -> NDArray[np.bool_]:
    """Base samples all of whose sets have a finite output, [n]. SALib would turn a single NaN into indices of 0."""
    bad = ~np.isfinite(output)
    step = len(names) + 3
    kept: NDArray[np.bool_] = np.logical_not(np.any(bad.reshape(-1, step), axis=1))
    if not bad.any() or (unfit == "drop" and 1 - kept.mean() <= MOST_DROPPED):
        return kept
    first = int(np.argmax(bad))
    at = ", ".join(f"{key} = {value:.4g}" for key, value in zip(names, values[first, :-1], strict=True))
    share = f"{int(bad.sum())} of {len(output)} sets, in {int((~kept).sum())} of {len(kept)} base samples"
    remedy = (
        f"more than {MOST_DROPPED:.0%} of the base samples; narrow the ranges"
        if unfit == "drop"
        else "narrow the ranges, or leave them out with unfit='drop'"
    )
    raise SensitivityError(f"output {name} is not a finite number for {share}, first {output[first]} at {at}; {remedy}")


def _analysed(
    name: str, grouped: Array, n: int, problem: Mapping[str, Any], seed: int, level: float, n_resamples: int
) -> OutputIndices:
    """Indices from outputs [kept base samples, D + 2]: A, the sets with one column of B, B."""
    from SALib.analyze import sobol as analyser

    base = grouped[:, [0, -1]]
    spread = float(np.std(base))
    if not spread > 1e-12 * float(np.max(np.abs(base))):
        raise SensitivityError(
            f"output {name} does not vary over these ranges ({base.flat[0]:g} for every set): there is no variance to share out; "
            "widen the ranges, or name inputs that it depends on"
        )
    # A generator, as SALib takes a seed of 0 for none.
    found = analyser.analyze(
        problem,
        grouped.ravel(),
        calc_second_order=False,
        num_resamples=n_resamples,
        conf_level=level,
        seed=np.random.default_rng([seed, 1]),
    )
    return OutputIndices(
        first=np.array(found["S1"]),
        first_half_width=np.array(found["S1_conf"]),
        total=np.array(found["ST"]),
        total_half_width=np.array(found["ST_conf"]),
        n=len(grouped),
        n_dropped=n - len(grouped),
        mean=float(np.mean(base)),
        sd=spread,
        quantiles=np.asarray(np.quantile(base, [0.05, 0.25, 0.5, 0.75, 0.95]), dtype=np.float64),
    )
