"""From a simulated or published response curve to macroscopic parameters with their uncertainty.

The way through: `response_curve` (or `read_curve`, `published`, `parse_source`) -> `compare` and `fit` -> `estimate_all` ->
`macro_from_fit` -> `MacroParameters.save`. Importing this package is light; each name below is loaded from its file
on first use.
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
    from .artifact import MacroError, MacroParameters, ResponseSpec
    from .build import macro_from_fit
    from .calibration import Coverage, coverage
    from .checks import FitError
    from .comparison import Comparison, compare
    from .cross_validation import cross_validated_error
    from .csv_curves import read_curve
    from .curve_features import ResponseFeatures, response_features
    from .curves import FAMILIES, Family, NoFormula, family_named
    from .fitting import Estimate, Fit, fit
    from .indices import OutputIndices, Sensitivity, SensitivityError, sobol_indices
    from .inference import infer
    from .literature import published, published_names
    from .measure import Curve, CurveError, parse_source, response_curve, rmse
    from .neural_posterior import NeuralPosterior, focused, train_posterior
    from .observation import InferenceError, Observation, observe
    from .posterior import Posterior, load_posterior
    from .predictive import PredictiveCheck, PriorCheck
    from .presets import preset, preset_names
    from .profile import ProfileInterval, profile_interval
    from .resampling import Bootstrap, bootstrap
    from .sensitivity import sobol
    from .simulated_curves import SimulatedCurves, load_simulated_curves, simulate_curves
    from .spline import SplineFit, fit_spline

__all__ = [
    "ALPHA_ESTIMATORS",
    "DEFAULT_ESTIMATOR",
    "FAMILIES",
    "AlphaError",
    "AlphaEstimate",
    "AlphaEstimates",
    "Bootstrap",
    "Comparison",
    "Coverage",
    "Curve",
    "CurveError",
    "Estimate",
    "Family",
    "Fit",
    "FitError",
    "InferenceError",
    "MacroError",
    "MacroParameters",
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
    "Sensitivity",
    "SensitivityError",
    "SimulatedCurves",
    "SplineFit",
    "TrialSpread",
    "bootstrap",
    "compare",
    "coverage",
    "cross_validated_error",
    "estimate_all",
    "estimate_alpha",
    "family_named",
    "fit",
    "fit_spline",
    "focused",
    "infer",
    "load_posterior",
    "load_simulated_curves",
    "macro_from_fit",
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
    "rmse",
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
    "Comparison": "comparison",
    "Coverage": "calibration",
    "Curve": "measure",
    "CurveError": "measure",
    "Estimate": "fitting",
    "Family": "curves",
    "Fit": "fitting",
    "FitError": "checks",
    "InferenceError": "observation",
    "MacroError": "artifact",
    "MacroParameters": "artifact",
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
    "Sensitivity": "indices",
    "SensitivityError": "indices",
    "SimulatedCurves": "simulated_curves",
    "SplineFit": "spline",
    "TrialSpread": "alpha",
    "bootstrap": "resampling",
    "compare": "comparison",
    "coverage": "calibration",
    "cross_validated_error": "cross_validation",
    "estimate_all": "alpha",
    "estimate_alpha": "alpha",
    "family_named": "curves",
    "fit": "fitting",
    "fit_spline": "spline",
    "focused": "neural_posterior",
    "infer": "inference",
    "load_posterior": "posterior",
    "load_simulated_curves": "simulated_curves",
    "macro_from_fit": "build",
    "observe": "observation",
    "parse_source": "measure",
    "preset": "presets",
    "preset_names": "presets",
    "profile_interval": "profile",
    "published": "literature",
    "published_names": "literature",
    "read_curve": "csv_curves",
    "response_curve": "measure",
    "response_features": "curve_features",
    "rmse": "measure",
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
