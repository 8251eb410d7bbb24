"""Parameter sets drawn from the uncertainty that a macro file stores.

A response is drawn from its covariance, which keeps parameters together that the data could not tell apart, or, without one,
each parameter from its standard error or its interval. What must be positive is drawn by its logarithm, with the same
relative error. What has no uncertainty stays as it is and is listed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from biosim.checks import whole

from .artifact import MacroParameters
from .curves import FAMILIES
from .macro_parts import MacroError

MOST_SAMPLES = 100_000


@dataclass(frozen=True)
class MacroSamples(Sequence[MacroParameters]):
    """Drawn parameter sets, with what was drawn (`drawn`) and what has no uncertainty and stayed (`fixed`), by place."""

    macros: tuple[MacroParameters, ...]
    drawn: tuple[str, ...]
    fixed: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.macros)

    def __iter__(self) -> Iterator[MacroParameters]:
        return iter(self.macros)

    @overload
    def __getitem__(self, index: int) -> MacroParameters: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MacroParameters, ...]: ...
    def __getitem__(self, index: int | slice) -> MacroParameters | tuple[MacroParameters, ...]:
        return self.macros[index]


def sample(macro: MacroParameters, n: int, seed: int = 0) -> MacroSamples:
    """`n` macro files whose values are drawn from the uncertainty of `macro`; set i depends on (seed, i) alone.

    Response and exponent are drawn apart, although one curve gave both: the file keeps no covariance between them. Shares of
    a retention follow its drawn decay. The sets have no errors, ranking or validation data; their provenance names the
    digest they were drawn from.

    Raises
    ------
    MacroError
        `n` or `seed` is no whole number in its range.
    """
    whole("n", n, 1, MOST_SAMPLES, MacroError)
    whole("seed", seed, 0, 2**63 - 1, MacroError)
    drawn: list[str] = []
    fixed: list[str] = []
    _survey(macro, drawn, fixed)
    digest = macro.digest
    macros = tuple(_one(macro, digest, seed, i) for i in range(n))
    return MacroSamples(macros, tuple(drawn), tuple(fixed))


def _survey(macro: MacroParameters, drawn: list[str], fixed: list[str]) -> None:
    def note(place: str, uncertain: bool) -> None:
        (drawn if uncertain else fixed).append(place)

    if macro.response is not None and macro.alpha is not None:
        for name, parameter in macro.response.parameters.items():
            joint = macro.response.parameter_order is not None and name in macro.response.parameter_order
            note(f"response.parameters.{name}", joint or _spread(parameter) is not None)
        note("alpha", _alpha_spread(macro.alpha) is not None)
        note("activation.rate_per_activation_Hz", False)
    if macro.time_constants is not None:
        note("time_constants.membrane", False)
        note("time_constants.tau_n", False)
        for name, constant in macro.time_constants.constants.items():
            note(f"time_constants.constants.{name}", bool(constant.stderr))
    if macro.retention is not None:
        note("retention.decay", bool(macro.retention.stderr) and macro.retention.decay > 0)
    if macro.distance is not None:
        note("distance.scale", bool(macro.distance.stderr))


def _one(macro: MacroParameters, digest: str, seed: int, index: int) -> MacroParameters:
    content: dict[str, Any] = macro.model_dump(mode="python")
    content["ranking"] = None
    content["validation"] = {}
    content["provenance"] = {"drawn": {"from": digest, "seed": seed, "index": index}}
    # A stream for each section, so that adding one to the file leaves the draws of the others as they are.
    if macro.response is not None:
        _response(macro, content, np.random.default_rng([seed, index, 0]))
    if macro.time_constants is not None:
        rng = np.random.default_rng([seed, index, 1])
        for name, entry in sorted(content["time_constants"]["constants"].items()):
            entry["value"] = _positive(entry["value"], entry["stderr"], rng)
            content["time_constants"]["constants"][name] = entry | {"stderr": None}
    if macro.retention is not None:
        rng = np.random.default_rng([seed, index, 2])
        old = macro.retention
        new = min(_positive(old.decay, old.stderr, rng), 700.0) if old.decay > 0 else old.decay
        content["retention"].update(decay=new, stderr=None)
        if old.shares is not None:
            # The first cycle's lag, and all else that is not geometric, is kept.
            tilted = np.array(old.shares) * np.exp(-(new - old.decay) * np.arange(len(old.shares)))
            content["retention"]["shares"] = [float(v) for v in tilted / tilted.sum()]
    if macro.distance is not None:
        rng = np.random.default_rng([seed, index, 3])
        scale = _positive(macro.distance.scale, macro.distance.stderr, rng)
        content["distance"].update(scale=scale, stderr=None)
    return MacroParameters.from_content(content)


def _response(macro: MacroParameters, content: dict[str, Any], rng: np.random.Generator) -> None:
    response = macro.response
    assert response is not None and macro.alpha is not None
    positive = {*FAMILIES[response.family].nonlinears, "b"}
    values = {name: parameter.value for name, parameter in response.parameters.items()}
    order = response.parameter_order or []
    if order and response.covariance is not None:
        # d ln p = dp / p: the covariance of what is drawn by its logarithm.
        scale = np.array([1 / values[name] if name in positive else 1.0 for name in order])
        covariance = np.array(response.covariance) * np.outer(scale, scale)
        shift = _correlated(covariance, rng)
        for name, step in zip(order, shift, strict=True):
            values[name] = values[name] * math.exp(step) if name in positive else values[name] + float(step)
    for name in sorted(set(values) - set(order)):
        spread = _spread(response.parameters[name])
        if name in positive:
            values[name] = _positive(values[name], spread, rng)
        else:
            values[name] += float(rng.standard_normal()) * (spread or 0.0)
    for name, entry in content["response"]["parameters"].items():
        entry.update(value=values[name], stderr=None, interval=None)
    content["response"].update(parameter_order=None, covariance=None, r_squared=None, cross_validated_error_uM=None)
    alpha = _positive(macro.alpha.value, _alpha_spread(macro.alpha), rng)
    content["alpha"].update(value=alpha, low=None, high=None, level=None)


def _correlated(covariance: Any, rng: np.random.Generator) -> Any:
    """A draw from a normal distribution around 0; parameters that always move together leave it on a plane."""
    deviation = np.sqrt(np.diag(covariance))
    safe = np.where(deviation > 0, deviation, 1.0)
    size, axes = np.linalg.eigh(covariance / safe[:, None] / safe)
    return safe * (axes @ (np.sqrt(np.maximum(size, 0.0)) * rng.standard_normal(len(size))))


def _positive(value: float, stderr: float | None, rng: np.random.Generator) -> float:
    """`value` times e to a normal number with the relative error; the number is drawn in any case."""
    step = float(rng.standard_normal())
    return value * math.exp(step * stderr / value) if stderr else value


def _spread(parameter: Any) -> float | None:
    """Standard error of a parameter of the response: as stated, or from a closed interval."""
    if parameter.stderr:
        return float(parameter.stderr)
    interval = parameter.interval
    return None if interval is None else _from_interval(interval.low, interval.high, interval.level)


def _alpha_spread(alpha: Any) -> float | None:
    return None if alpha.level is None else _from_interval(alpha.low, alpha.high, alpha.level)


def _from_interval(low: float | None, high: float | None, level: float) -> float | None:
    from statistics import NormalDist

    if low is None or high is None or high <= low:
        return None
    return (high - low) / (2 * NormalDist().inv_cdf((1 + level) / 2))
