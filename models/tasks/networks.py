"""Which network of a configuration reads sequences with a label, one at a time or in pairs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# By model_type: package below `models`, and the class that reads one sequence and the one that reads pairs (None: none does).
CLASSIFIERS: Mapping[str, tuple[str, str, str | None]] = MappingProxyType(
    {
        "astromorphic": ("astromorphic", "AstromorphicForSequenceClassification", None),
        "rmaat": ("rmaat", "RMAATForSequenceClassification", "RMAATForRetrieval"),
    }
)


def network_for(model_type: str, task: str, paired: bool) -> type[PreTrainedModel]:
    """The class for configurations of this type; ModelError if there is none for sequences, or none for pairs where `paired`."""
    if model_type not in CLASSIFIERS:
        raise ModelError(
            f"the configuration is of {model_type!r}, which reads no sequences with a label; expected one of "
            f"{', '.join(CLASSIFIERS)}"
        )
    package, one, pairs = CLASSIFIERS[model_type]
    if paired and pairs is None:
        able = [name for name, known in CLASSIFIERS.items() if known[2] is not None]
        remedy = f"expected a model of {', '.join(able)}" if able else "no network here takes pairs"
        joined = ", or join the texts with joined=true" if task == "associative_retrieval" else ""
        raise ModelError(f"{task} has pairs of texts and a network of {model_type!r} takes one text; {remedy}{joined}")
    found: type[PreTrainedModel] = getattr(
        importlib.import_module(f"..{package}", __package__), pairs if paired and pairs is not None else one
    )
    return found
