"""Networks built on the fitted calcium response, their tasks, training and honest evaluation.

Importing this package is light: torch and transformers are loaded when a network is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arms import main_arms, matched_gain, matching_activation
    from .astromorphic import (
        AstromorphicConfig,
        AstromorphicForCausalLM,
        AstromorphicForImageClassification,
        AstromorphicForSequenceClassification,
        AstromorphicModel,
        AstromorphicState,
    )
    from .astrosnn import AstroSNNConfig, AstroSNNForCausalLM, AstroSNNModel, AstroSNNState
    from .bag_of_words import BagOfWords
    from .bag_training import train_bag_of_words
    from .causality import causality_verdict
    from .diagnostics import LayerDiagnostics, diagnose
    from .errors import ModelError
    from .evaluation import bits_per_byte
    from .language import EncodedText, evaluate_lm
    from .leaks import leak_report
    from .ngram import KneserNey
    from .recipes import RECIPES, Recipe
    from .result import RunResult
    from .rmaat import (
        RMAATConfig,
        RMAATForRetrieval,
        RMAATForSequenceClassification,
        delayed_recall,
        memory_path_gradient,
    )
    from .scoring import open_run
    from .training import run_job, train
    from .transfer import AstrocyteResponse, astrocyte_response, transferred

__all__ = [
    "RECIPES",
    "AstroSNNConfig",
    "AstroSNNForCausalLM",
    "AstroSNNModel",
    "AstroSNNState",
    "AstrocyteResponse",
    "AstromorphicConfig",
    "AstromorphicForCausalLM",
    "AstromorphicForImageClassification",
    "AstromorphicForSequenceClassification",
    "AstromorphicModel",
    "AstromorphicState",
    "BagOfWords",
    "EncodedText",
    "KneserNey",
    "LayerDiagnostics",
    "ModelError",
    "RMAATConfig",
    "RMAATForRetrieval",
    "RMAATForSequenceClassification",
    "Recipe",
    "RunResult",
    "astrocyte_response",
    "bits_per_byte",
    "causality_verdict",
    "delayed_recall",
    "diagnose",
    "evaluate_lm",
    "leak_report",
    "main_arms",
    "matched_gain",
    "matching_activation",
    "memory_path_gradient",
    "open_run",
    "run_job",
    "train",
    "train_bag_of_words",
    "transferred",
]

_WHERE = {
    "AstroSNNConfig": "astrosnn",
    "AstroSNNForCausalLM": "astrosnn",
    "AstroSNNModel": "astrosnn",
    "AstroSNNState": "astrosnn",
    "AstrocyteResponse": "transfer",
    "AstromorphicConfig": "astromorphic",
    "AstromorphicForCausalLM": "astromorphic",
    "AstromorphicForImageClassification": "astromorphic",
    "AstromorphicForSequenceClassification": "astromorphic",
    "AstromorphicModel": "astromorphic",
    "AstromorphicState": "astromorphic",
    "BagOfWords": "bag_of_words",
    "EncodedText": "language",
    "KneserNey": "ngram",
    "LayerDiagnostics": "diagnostics",
    "ModelError": "errors",
    "RECIPES": "recipes",
    "RMAATConfig": "rmaat",
    "RMAATForRetrieval": "rmaat",
    "RMAATForSequenceClassification": "rmaat",
    "Recipe": "recipes",
    "RunResult": "result",
    "astrocyte_response": "transfer",
    "bits_per_byte": "evaluation",
    "causality_verdict": "causality",
    "delayed_recall": "rmaat",
    "diagnose": "diagnostics",
    "evaluate_lm": "language",
    "leak_report": "leaks",
    "main_arms": "arms",
    "matched_gain": "arms",
    "matching_activation": "arms",
    "memory_path_gradient": "rmaat",
    "open_run": "scoring",
    "run_job": "training",
    "train": "training",
    "train_bag_of_words": "bag_training",
    "transferred": "transfer",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
