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
    from .calibration import Coverage, coverage
    from .checks import FitError
    from .comparison import Comparison, compare
    from .cross_validation import cross_validated_error
    from .csv_curves import read_curve
    from .curve_features import ResponseFeatures, response_features
    from .curves import FAMILIES, Family, NoFormula, family_named
    from .decays import DecayFit, fit_decays
    from .fitting import Estimate, Fit, fit
    from .importance import reweighted
    from .indices import OutputIndices, Sensitivity, SensitivityError, sobol_indices
    from .inference import infer
    from .literature import published, published_names
    from .macro_check import CheckedValue, MacroCheck, check_macro
    from .macro_text import diff_macros, show_macro
    from .measure import Curve, CurveError, parse_source, response_curve, rmse
    from .neural_posterior import NeuralPosterior, focused, train_posterior
    from .observation import InferenceError, Observation, observe
    from .posterior import Posterior, load_posterior
    from .predictive import PredictiveCheck, PriorCheck
    from .presets import preset, preset_names
    from .profile import ProfileInterval, profile_interval
    from .resampling import Bootstrap, bootstrap
    from .retention import MeasuredPlasticity, fit_distance, fit_retention, measure_plasticity
    from .sampling import MacroSamples
    from .sensitivity import sobol
    from .simulated_curves import SimulatedCurves, load_simulated_curves, simulate_curves
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
    "Coverage",
    "Curve",
    "CurveError",
    "DecayFit",
    "Distance",
    "Estimate",
    "Family",
    "Fit",
    "FitError",
    "InferenceError",
    "MacroCheck",
    "MacroError",
    "MacroParameters",
    "MacroSamples",
    "MeasuredPlasticity",
    "MeasuredTimeConstants",
    "NeuralPosterior",
    "NoFormula",
    "Observation",
    "OutputIndices",
    "Posterior",
    "PredictiveCheck",
    "PriorCheck",
    "ProfileInterval",
    "ResponseFeatures",
    "ResponseSpec",
    "Retention",
    "Sensitivity",
    "SensitivityError",
    "SimulatedCurves",
    "SplineFit",
    "TimeConstants",
    "TrialSpread",
    "bootstrap",
    "check_macro",
    "compare",
    "coverage",
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
    "focused",
    "infer",
    "json_schema",
    "load_posterior",
    "load_simulated_curves",
    "macro_from_fit",
    "macro_from_memory",
    "measure_plasticity",
    "measure_time_constants",
    "observe",
    "parse_source",
    "preset",
    "preset_names",
    "profile_interval",
    "published",
    "published_names",
    "read_curve",
    "response_curve",
    "response_features",
    "reweighted",
    "rmse",
    "show_macro",
    "simulate_curves",
    "sobol",
    "sobol_indices",
    "train_posterior",
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
    "Coverage": "calibration",
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
    "InferenceError": "observation",
    "NeuralPosterior": "neural_posterior",
    "NoFormula": "curves",
    "Observation": "observation",
    "OutputIndices": "indices",
    "Posterior": "posterior",
    "PredictiveCheck": "predictive",
    "PriorCheck": "predictive",
    "ProfileInterval": "profile",
    "ResponseFeatures": "curve_features",
    "ResponseSpec": "artifact",
    "Retention": "artifact",
    "Sensitivity": "indices",
    "SensitivityError": "indices",
    "SimulatedCurves": "simulated_curves",
    "SplineFit": "spline",
    "TimeConstants": "artifact",
    "TrialSpread": "alpha",
    "bootstrap": "resampling",
    "check_macro": "macro_check",
    "compare": "comparison",
    "coverage": "calibration",
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
    "focused": "neural_posterior",
    "infer": "inference",
    "load_posterior": "posterior",
    "load_simulated_curves": "simulated_curves",
    "observe": "observation",
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
    "reweighted": "importance",
    "rmse": "measure",
    "show_macro": "macro_text",
    "simulate_curves": "simulated_curves",
    "sobol": "sensitivity",
    "sobol_indices": "indices",
    "train_posterior": "neural_posterior",
    "trial_spread": "alpha",
}


def __getattr__(name: str) -> Any:
    if name not in _SUBMODULE:
        raise AttributeError(f"module 'bridge' has no attribute {name!r}")
    return getattr(import_module(f".{_SUBMODULE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
