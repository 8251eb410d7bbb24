"""From a simulated or published response curve to macroscopic parameters with their uncertainty.

The way through: `response_curve` (or `read_curve`, `published`, `parse_source`) -> `compare` and `fit` -> `estimate_all` ->
`macro_from_fit` -> `MacroParameters.save`; beside it `measure_time_constants` and `measure_plasticity` -> `macro_from_memory`.
Importing this package is light; each name below is loaded from its file on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .alpha import (
        ALPHA_ESTIMATORS,
        DEFAULT_ESTIMATOR,
        AlphaError,
        AlphaEstimate,
        AlphaEstimates,
        TrialSpread,
        estimate_all,
        estimate_alpha,
        trial_spread,
    )
    from .artifact import Distance, MacroError, MacroParameters, ResponseSpec, Retention, TimeConstants, json_schema
    from .build import macro_from_fit, macro_from_memory
    from .checks import FitError
    from .comparison import Comparison, compare
    from .cross_validation import cross_validated_error
    from .csv_curves import read_curve
    from .curve_features import ResponseFeatures, response_features
    from .curves import FAMILIES, Family, NoFormula, family_named
    from .decays import DecayFit, fit_decays
    from .fitting import Estimate, Fit, fit
    from .indices import OutputIndices, Sensitivity, SensitivityError, sobol_indices
    from .literature import published, published_names
    from .macro_check import CheckedValue, MacroCheck, check_macro
    from .macro_text import diff_macros, show_macro
    from .measure import Curve, CurveError, parse_source, response_curve, rmse
    from .presets import preset, preset_names
    from .profile import ProfileInterval, profile_interval
    from .resampling import Bootstrap, bootstrap
    from .retention import MeasuredPlasticity, fit_distance, fit_retention, measure_plasticity
    from .sampling import MacroSamples
    from .sensitivity import sobol
    from .spline import SplineFit, fit_spline
    from .time_constants import MeasuredTimeConstants, measure_time_constants

__all__ = [
    "ALPHA_ESTIMATORS",
    "DEFAULT_ESTIMATOR",
    "FAMILIES",
    "AlphaError",
    "AlphaEstimate",
    "AlphaEstimates",
    "Bootstrap",
    "CheckedValue",
    "Comparison",
    "Curve",
    "CurveError",
    "DecayFit",
    "Distance",
    "Estimate",
    "Family",
    "Fit",
    "FitError",
    "MacroCheck",
    "MacroError",
    "MacroParameters",
    "MacroSamples",
    "MeasuredPlasticity",
    "MeasuredTimeConstants",
    "NoFormula",
    "OutputIndices",
    "ProfileInterval",
    "ResponseFeatures",
    "ResponseSpec",
    "Retention",
    "Sensitivity",
    "SensitivityError",
    "SplineFit",
    "TimeConstants",
    "TrialSpread",
    "bootstrap",
    "check_macro",
    "compare",
    "cross_validated_error",
    "diff_macros",
    "estimate_all",
    "estimate_alpha",
    "family_named",
    "fit",
    "fit_decays",
    "fit_distance",
    "fit_retention",
    "fit_spline",
    "json_schema",
    "macro_from_fit",
    "macro_from_memory",
    "measure_plasticity",
    "measure_time_constants",
    "parse_source",
    "preset",
    "preset_names",
    "profile_interval",
    "published",
    "published_names",
    "read_curve",
    "response_curve",
    "response_features",
    "rmse",
    "show_macro",
    "sobol",
    "sobol_indices",
    "trial_spread",
]

_SUBMODULE = {
    "ALPHA_ESTIMATORS": "alpha",
    "DEFAULT_ESTIMATOR": "alpha",
    "FAMILIES": "curves",
    "AlphaError": "alpha",
    "AlphaEstimate": "alpha",
    "AlphaEstimates": "alpha",
    "Bootstrap": "resampling",
    "CheckedValue": "macro_check",
    "Comparison": "comparison",
    "Curve": "measure",
    "CurveError": "measure",
    "DecayFit": "decays",
    "Distance": "artifact",
    "Estimate": "fitting",
    "Family": "curves",
    "Fit": "fitting",
    "FitError": "checks",
    "MacroCheck": "macro_check",
    "MacroError": "artifact",
    "MacroParameters": "artifact",
    "MacroSamples": "sampling",
    "MeasuredPlasticity": "retention",
    "MeasuredTimeConstants": "time_constants",
    "NoFormula": "curves",
    "OutputIndices": "indices",
    "ProfileInterval": "profile",
    "ResponseFeatures": "curve_features",
    "ResponseSpec": "artifact",
    "Retention": "artifact",
    "Sensitivity": "indices",
    "SensitivityError": "indices",
    "SplineFit": "spline",
    "TimeConstants": "artifact",
    "TrialSpread": "alpha",
    "bootstrap": "resampling",
    "check_macro": "macro_check",
    "compare": "comparison",
    "cross_validated_error": "cross_validation",
    "diff_macros": "macro_text",
    "estimate_all": "alpha",
    "estimate_alpha": "alpha",
    "family_named": "curves",
    "fit": "fitting",
    "fit_decays": "decays",
    "fit_distance": "retention",
    "fit_retention": "retention",
    "fit_spline": "spline",
    "json_schema": "artifact",
    "macro_from_fit": "build",
    "macro_from_memory": "build",
    "measure_time_constants": "time_constants",
    "parse_source": "measure",
    "measure_plasticity": "retention",
    "preset": "presets",
    "preset_names": "presets",
    "profile_interval": "profile",
    "published": "literature",
    "published_names": "literature",
    "read_curve": "csv_curves",
    "response_curve": "measure",
    "response_features": "curve_features",
    "rmse": "measure",
    "show_macro": "macro_text",
    "sobol": "sensitivity",
    "sobol_indices": "indices",
    "trial_spread": "alpha",
}


def __getattr__(name: str) -> Any:
    if name not in _SUBMODULE:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    return getattr(import_module(f".{_SUBMODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
