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
    from .checks import FitError
    from .comparison import Comparison, compare
    from .cross_validation import cross_validated_error
    from .csv_curves import read_curve
    from .curve_features import ResponseFeatures, response_features
    from .curves import FAMILIES, Family, NoFormula, family_named
    from .fitting import Estimate, Fit, fit
    from .indices import OutputIndices, Sensitivity, SensitivityError, sobol_indices
    from .literature import published, published_names
    from .measure import Curve, CurveError, parse_source, response_curve, rmse
    from .presets import preset, preset_names
    from .profile import ProfileInterval, profile_interval
    from .resampling import Bootstrap, bootstrap
    from .sensitivity import sobol
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
    "Curve",
    "CurveError",
    "Estimate",
    "Family",
    "Fit",
    "FitError",
    "MacroError",
    "MacroParameters",
    "NoFormula",
    "OutputIndices",
    "ProfileInterval",
    "ResponseFeatures",
    "ResponseSpec",
    "Sensitivity",
    "SensitivityError",
    "SplineFit",
    "TrialSpread",
    "bootstrap",
    "compare",
    "cross_validated_error",
    "estimate_all",
    "estimate_alpha",
    "family_named",
    "fit",
    "fit_spline",
    "macro_from_fit",
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
    "Comparison": "comparison",
    "Curve": "measure",
    "CurveError": "measure",
    "Estimate": "fitting",
    "Family": "curves",
    "Fit": "fitting",
    "FitError": "checks",
    "MacroError": "artifact",
    "MacroParameters": "artifact",
    "NoFormula": "curves",
    "OutputIndices": "indices",
    "ProfileInterval": "profile",
    "ResponseFeatures": "curve_features",
    "ResponseSpec": "artifact",
    "Sensitivity": "indices",
    "SensitivityError": "indices",
    "SplineFit": "spline",
    "TrialSpread": "alpha",
    "bootstrap": "resampling",
    "compare": "comparison",
    "cross_validated_error": "cross_validation",
    "estimate_all": "alpha",
    "estimate_alpha": "alpha",
    "family_named": "curves",
    "fit": "fitting",
    "fit_spline": "spline",
    "macro_from_fit": "build",
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
