"""From fits to the macro file."""

from __future__ import annotations

import math
import platform
import reprlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .alpha import AlphaEstimate
from .artifact import FORMAT, VERSION, MacroError, MacroParameters
from .comparison import Comparison
from .cross_validation import cross_validated_error
from .curves import FAMILIES
from .fitting import Fit
from .macro_validation import MOST_TRIAL_VALUES
from .measure import Curve
from .resampling import Bootstrap
from .retention import MeasuredPlasticity
from .spline import MONOTONE_SPLINE, SplineFit
from .time_constants import MeasuredTimeConstants

DEFAULT_RATE_PER_ACTIVATION_HZ = 0.04


def macro_from_fit(
    fitted: Fit,
    alpha: AlphaEstimate,
    *,
    title: str | None = None,
    rate_per_activation_Hz: float = DEFAULT_RATE_PER_ACTIVATION_HZ,
    comparison: Comparison | None = None,
    bootstrap: Bootstrap | None = None,
    provenance: Mapping[str, Any] | None = None,
    allow_bound: bool = False,
) -> MacroParameters:
    """Macro parameters from a fitted response and its equivalent exponent.

    Parameters
    ----------
    rate_per_activation_Hz : what one unit of accumulated activation counts as. The default makes 250 units reach 10
        Hz, the top of the fitted range; it is a choice of ours and recorded as "assumed".
    comparison, bootstrap : recorded are the ranking of families, and in the provenance the bootstrap intervals of the
        parameters. Like the profile intervals they tell how well the response is known and do not change it, so another
        number of resamples leaves the digest as it is.
    provenance : further entries (command, seed, revision); they do not enter the digest.
    allow_bound : accept a response whose shape parameter sits at a limit of the fit; it is then marked as such.

    The curve itself goes into the validation data, so that the fit can be checked again, and the record of the simulation
    behind it into the provenance.

    Raises
    ------
    MacroError
        The curve is not calcium in uM against a rate in Hz, a shape parameter or the exponent is at a limit and
        `allow_bound` is False, the response does not rise, the exponent lies outside its bootstrap interval, `bootstrap` is
        of another family, the provenance is not JSON, or an argument is of another type.
    """
    _check_arguments(fitted, alpha, bootstrap, provenance)
    family = fitted.family
    check_units(fitted.curve)
    if fitted.at_bound and not allow_bound:
        theta = next(estimate for estimate in fitted.parameters.values() if estimate.at_bound)
        raise MacroError(
            f"{theta.name} = {theta.value:g} of family {family.name!r} is at its {theta.at_bound} limit, so the "
            "response is not identified by this curve; choose another family (--family) or, in Python, allow_bound=True"
        )
    if alpha.at_bound and not allow_bound:
        raise MacroError(
            f"exponent {alpha.value:g} by {alpha.estimator} is at its limit, so it is not identified by this curve; "
            "choose another estimator (--estimator) or, in Python, allow_bound=True"
        )
    curve = fitted.curve
    covariance = None if fitted.covariance is None else [[float(v) for v in row] for row in fitted.covariance]
    return MacroParameters.from_content(
        {
            "format": FORMAT,
            "version": VERSION,
            "title": title or f"{family.name} response, {curve.source or 'unnamed curve'}",
            "response": {
                "family": family.name,
                "parameters": {
                    estimate.name: {
                        "value": estimate.value,
                        "unit": estimate.unit,
                        "stderr": estimate.stderr,
                        "at_bound": estimate.at_bound is not None,
                        "interval": {
                            "low": fitted.profiles[estimate.name].low,
                            "high": fitted.profiles[estimate.name].high,
                            "level": fitted.level,
                        },
                    }
                    for estimate in fitted.parameters.values()
                },
                "parameter_order": None if covariance is None else list(fitted.parameter_order),
                "covariance": covariance,
                "input_range_Hz": [float(curve.x[0]), float(curve.x[-1])],
                "resting_calcium_uM": curve.resting_calcium,
                "r_squared": fitted.r_squared,
                "cross_validated_error_uM": cross_validated_error(fitted),
                "weights": "spread" if fitted.weighted else "none",
            },
            "alpha": {
                "value": alpha.value,
                "low": alpha.low,
                "high": alpha.high,
                "level": alpha.level,
                "estimator": alpha.estimator,
            },
            "activation": {"rate_per_activation_Hz": rate_per_activation_Hz, "status": "assumed"},
            "ranking": None if comparison is None else _ranking(comparison),
            "validation": {"response": _points(curve)},
            "provenance": _provenance(fitted, alpha, comparison, bootstrap, provenance or {}),
        }
    )


def check_units(curve: Curve) -> None:
    """Refuse, with MacroError, a curve that is not calcium in uM against a rate in Hz."""
    units = curve.x_unit, curve.y_unit
    if units != ("Hz", "uM"):
        raise MacroError(
            f"the curve has the units {units[0]!r} and {units[1]!r}, expected a response in 'uM' against a rate in 'Hz', as "
            "no network takes another"
        )


def _check_arguments(
    fitted: Fit, alpha: AlphaEstimate, bootstrap: Bootstrap | None, provenance: Mapping[str, Any] | None
) -> None:
    if not isinstance(fitted, Fit):
        raise MacroError(
            f"fitted is a {type(fitted).__name__}, expected a Fit; take comparison.best or bridge.fit(...)"
        )
    if not isinstance(alpha, AlphaEstimate):
        raise MacroError(
            f"alpha is a {type(alpha).__name__}, expected an AlphaEstimate; take bridge.estimate_alpha(curve) or one of "
            "estimate_all, by its name"
        )
    if bootstrap is not None and bootstrap.family.name != fitted.family.name:
        raise MacroError(
            f"bootstrap is of family {bootstrap.family.name!r} and the fit of {fitted.family.name!r}; bootstrap this fit"
        )
    if provenance is not None and not isinstance(provenance, Mapping):
        raise MacroError(f"provenance is {reprlib.repr(provenance)}, expected a mapping of names to JSON values")


def _provenance(
    fitted: Fit,
    alpha: AlphaEstimate,
    comparison: Comparison | None,
    bootstrap: Bootstrap | None,
    further: Mapping[str, Any],
) -> dict[str, Any]:
    curve = fitted.curve
    content: dict[str, Any] = {
        "curve": {
            "source": curve.source,
            "n_trials": curve.n_trials,
            "record": dict(curve.provenance),
            "notes": list(curve.notes),
        },
        "fit": {
            "equation": fitted.family.equation,
            "identifiable": fitted.identifiable,
            "level": fitted.level,
            "intervals": {e.name: [e.low, e.high] for e in fitted.parameters.values()},
            "rmse_uM": fitted.rmse,
            "notes": list(fitted.notes),
        },
        "alpha": {
            "stderr": alpha.stderr,
            "r_squared": alpha.r_squared,
            "bootstrap": alpha.bootstrap,
            "n_resamples": alpha.n_resamples,
            "n_failed": alpha.n_failed,
        },
        "versions": _versions(),
    }
    if curve.trials is not None and curve.trials.size > MOST_TRIAL_VALUES:
        content["trials_left_out"] = list(curve.trials.shape)
    if comparison is not None:
        content["skipped_families"] = dict(comparison.skipped)
    if bootstrap is not None:
        content["bootstrap"] = {
            "kind": bootstrap.kind,
            "n_resamples": bootstrap.n_resamples,
            "level": bootstrap.level,
            "at_bound": bootstrap.at_bound,
            "intervals": {name: list(bootstrap.interval(name)) for name in bootstrap.samples},
        }
    return content | dict(further)


def _points(curve: Curve) -> dict[str, Any]:
    """The curve as validation data; so many trials that no one could open the file are left out."""
    trials = None if curve.trials is None or curve.trials.size > MOST_TRIAL_VALUES else curve.trials.tolist()
    return {
        "input_rate_Hz": curve.x.tolist(),
        "calcium_uM": curve.y.tolist(),
        "sd_uM": None if curve.sd is None else curve.sd.tolist(),
        "trials_uM": trials,
    }


def macro_from_memory(
    constants: MeasuredTimeConstants | None = None,
    plasticity: MeasuredPlasticity | None = None,
    *,
    title: str | None = None,
    records: Mapping[str, Mapping[str, Any]] | None = None,
) -> MacroParameters:
    """Macro parameters without a response: time constants, retention and distance, with the data they were fitted to.

    `MacroParameters.with_sections` joins them with a response.

    Parameters
    ----------
    constants, plasticity : from `bridge.measure_time_constants` and `bridge.measure_plasticity`; one of the two may be None.
    records : section -> where it comes from ("source", "command"), for the provenance.

    Raises
    ------
    MacroError
        Both are None, an argument is of another type, or a record is not JSON.
    """
    for name, given, kind in (
        ("constants", constants, MeasuredTimeConstants),
        ("plasticity", plasticity, MeasuredPlasticity),
    ):
        if given is not None and not isinstance(given, kind):
            raise MacroError(f"{name} is a {type(given).__name__}, expected a {kind.__name__}")
    content: dict[str, Any] = {}
    validation: dict[str, Any] = {}
    about: dict[str, dict[str, Any]] = {}
    if constants is not None:
        content["time_constants"] = constants.section.model_dump(mode="python")
        validation["time_constants"] = [data.model_dump(mode="python") for data in constants.data]
        about["time_constants"] = {"skipped": dict(constants.skipped), "notes": list(constants.notes)}
    if plasticity is not None:
        for name in ("retention", "distance"):
            section, data = getattr(plasticity, name), getattr(plasticity, f"{name}_data")
            if section is not None:
                content[name] = section.model_dump(mode="python")
                validation[name] = data.model_dump(mode="python")
            about[name] = {"skipped": {key: why for key, why in plasticity.skipped.items() if key == name}}
    for name, record in (records or {}).items():
        if name in about:
            about[name] |= dict(record)
    return MacroParameters.from_content(
        {
            "format": FORMAT,
            "version": VERSION,
            "title": title or f"{', '.join(content) or 'nothing'} of the astrocyte",
            "response": None,
            "alpha": None,
            "ranking": None,
            **content,
            "validation": validation,
            "provenance": {"sections": about, "versions": _versions()},
        }
    )


def _ranking(comparison: Comparison) -> list[dict[str, Any]]:
    """The families in order of their AICc, the spline at the end."""
    lowest = next(iter(comparison.fits.values())).aicc

    def row(
        family: str, fitted: Fit | SplineFit, n: float, weight: float | None, error: float | None, at_bound: bool
    ) -> dict[str, Any]:
        return {
            "family": family,
            "n_parameters": n,
            "aicc": _finite(fitted.aicc),
            # Equal infinities have no difference.
            "delta_aicc": _finite(fitted.aicc - lowest) if math.isfinite(lowest) else None,
            "weight": weight,
            "r_squared": fitted.r_squared,
            "cross_validated_error_uM": error,
            "at_bound": at_bound,
        }

    rows = [
        row(
            name,
            fitted,
            float(len(fitted.parameters)),
            comparison.weights[name],
            comparison.cross_validated[name],
            fitted.at_bound,
        )
        for name, fitted in comparison.fits.items()
        # Families of one's own have no identifier that a reader of the file could look up.
        if name in FAMILIES
    ]
    spline = comparison.spline
    if spline is not None:
        rows.append(
            row(MONOTONE_SPLINE, spline, spline.n_parameters, None, comparison.spline_cross_validated, at_bound=False)
        )
    return rows


def _finite(value: float) -> float | None:
    # AICc is infinite for too few points; JSON has no infinity, and null says that it does not exist.
    return value if math.isfinite(value) else None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("astromorphic", "numpy", "scipy", "lmfit"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
