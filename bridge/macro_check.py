"""Fit every section of a macro file again, from the data inside it, and compare."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .artifact import SECTIONS, MacroParameters
from .checks import FitError
from .macro_parts import MacroError

# Refits on other machines and library versions agree to about six digits; an edited value seldom does.
RELATIVE_TOLERANCE = 1e-4
# A number known no better than its standard error need not agree to more than this share of it.
SHARE_OF_ERROR = 0.01


@dataclass(frozen=True)
class CheckedValue:
    """One number of the file beside the refitted one; `tolerance` is the allowed difference, in the same unit."""

    place: str
    stated: float
    refitted: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        return abs(self.stated - self.refitted) <= self.tolerance


@dataclass(frozen=True)
class MacroCheck:
    """values : what was fitted again. unchecked : section -> why it could not be. failed : section -> why the refit broke."""

    values: tuple[CheckedValue, ...]
    unchecked: dict[str, str]
    failed: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether all that could be fitted again agrees."""
        return not self.failed and all(value.agrees for value in self.values)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Places that do not agree, and sections whose refit broke."""
        return (*(value.place for value in self.values if not value.agrees), *self.failed)

    def text(self) -> str:
        """A line per number."""
        lines = []
        if self.values:
            width = max(len(value.place) for value in self.values)
            lines.append(f"{'':{width}}  {'in the file':>14}  {'fitted again':>14}  {'difference':>10}  {'allowed':>8}")
        for value in self.values:
            verdict = "ok" if value.agrees else "DIFFERS"
            lines.append(
                f"{value.place:{width}}  {value.stated:14.8g}  {value.refitted:14.8g}  "
                f"{abs(value.stated - value.refitted):10.2g}  {value.tolerance:8.2g}  {verdict}"
            )
        lines += [f"{name}: NOT POSSIBLE, {reason}" for name, reason in self.failed.items()]
        lines += [f"{name}: not checked, {reason}" for name, reason in self.unchecked.items()]
        return "\n".join(lines)


def check_macro(macro: MacroParameters) -> MacroCheck:
    """Refit each section of `macro` from its validation data.

    Raises
    ------
    MacroError
        `macro` is no MacroParameters.
    """
    if not isinstance(macro, MacroParameters):
        raise MacroError(f"expected MacroParameters, found {type(macro).__name__}; load the file first")
    values: list[CheckedValue] = []
    unchecked: dict[str, str] = {}
    failed: dict[str, str] = {}
    parts = {
        "response": _response,
        "time_constants": _time_constants,
        "retention": _retention,
        "distance": _distance,
    }
    for name in macro.sections:
        if getattr(macro.validation, name) is None:
            unchecked[name] = "the file holds no data for it"
            continue
        try:
            values += parts[name](macro)
        except _NotHere as reason:
            unchecked[name] = str(reason)
        except ValueError as error:
            # Errors of ours, FitError and CurveError among them: the data do not give what the file states.
            failed[name] = str(error)
    assert set(parts) == set(SECTIONS)
    return MacroCheck(tuple(values), unchecked, failed)


class _NotHere(Exception):
    """Something that a refit needs is not in the file."""


def _value(place: str, stated: float, refitted: float, stderr: float | None = None) -> CheckedValue:
    tolerance = max(RELATIVE_TOLERANCE * abs(stated), SHARE_OF_ERROR * (stderr or 0.0))
    return CheckedValue(place, stated, refitted, tolerance)


def _response(macro: MacroParameters) -> list[CheckedValue]:
    from .alpha import ALPHA_ESTIMATORS, estimate_alpha
    from .fitting import fit
    from .measure import Curve

    response, alpha, data = macro.response, macro.alpha, macro.validation.response
    assert response is not None and alpha is not None and data is not None
    weighted = response.weights == "spread"
    rest = response.resting_calcium_uM
    if data.trials_uM is not None:
        curve = Curve.from_trials(data.input_rate_Hz, data.trials_uM, resting_calcium=rest)
    else:
        if weighted and macro.provenance.get("trials_left_out"):
            raise _NotHere("it is weighted by the spread of trials, which are too many to be in the file")
        curve = Curve(x=data.input_rate_Hz, y=data.calcium_uM, sd=data.sd_uM, resting_calcium=rest)  # type: ignore[arg-type]
        old = macro.provenance.get("curve")
        if weighted and isinstance(old, dict) and old.get("n_trials"):
            raise _NotHere("it is weighted by the spread of trials, which older versions did not keep")
    again = fit(curve, response.family, weighted=weighted)
    rows = []
    for name, parameter in response.parameters.items():
        rows.append(_value(f"response.{name}", parameter.value, again.parameters[name].value, parameter.stderr))
    if alpha.estimator in ALPHA_ESTIMATORS:
        exponent = estimate_alpha(curve, alpha.estimator, n_resamples=0)
        rows.append(_value("alpha", alpha.value, exponent.value))
    return rows


def _time_constants(macro: MacroParameters) -> list[CheckedValue]:
    from .time_constants import refit

    section, several = macro.time_constants, macro.validation.time_constants
    assert section is not None and several is not None
    stated = {name: constant.value for name, constant in section.constants.items()}
    again: dict[str, float] = {}
    for data in several:
        missing = [name for name in data.held if name not in stated]
        if missing:
            raise FitError(f"the data of {data.names[0]} hold {missing[0]!r}, which is not in the section")
        for name, (value, _) in refit(data, stated).items():
            again.setdefault(name, value)
    absent = [name for name in stated if name not in again]
    if absent:
        raise FitError(f"no data for {', '.join(absent)}")
    return [
        _value(f"time_constants.{name}", stated[name], again[name], constant.stderr)
        for name, constant in section.constants.items()
    ]


def _retention(macro: MacroParameters) -> list[CheckedValue]:
    from .retention import fit_retention

    section, data = macro.retention, macro.validation.retention
    assert section is not None and data is not None
    again = fit_retention(data.long_term)
    rows = [_value("retention.decay", section.decay, again.decay, section.stderr)]
    if section.decay_all_cycles is not None:
        rows.append(
            _value(
                "retention.decay_all_cycles",
                section.decay_all_cycles,
                again.decay_all_cycles,
                section.stderr_all_cycles,
            )
        )
    if section.shares is not None:
        if len(section.shares) != again.shares.size:
            raise FitError(f"{len(section.shares)} shares are stated, the data have {again.shares.size} cycles")
        worst = max(range(len(section.shares)), key=lambda t: abs(section.shares[t] - again.shares[t]))  # type: ignore[index]
        rows.append(_value(f"retention.shares[{worst}]", section.shares[worst], float(again.shares[worst])))
    return rows


def _distance(macro: MacroParameters) -> list[CheckedValue]:
    from .retention import fit_distance, reach_of_response

    section, data = macro.distance, macro.validation.distance
    assert section is not None and data is not None
    scale, _ = fit_distance(data.positions, data.coupling_received)
    rows = [_value("distance.scale", section.scale, scale, section.stderr)]
    if section.response_scale is not None:
        response, _ = reach_of_response(data)
        rows.append(
            _value(
                "distance.response_scale",
                section.response_scale,
                math.nan if response is None else response,
                section.response_stderr,
            )
        )
    return rows
