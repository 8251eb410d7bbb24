"""The astromorphic transformer as Hugging Face models; importing this registers them with the Auto classes.

After ``import models.astromorphic`` the calls ``AutoConfig``, ``AutoModel``, ``AutoModelForCausalLM``,
``AutoModelForSequenceClassification`` and ``AutoModelForImageClassification.from_pretrained`` know the model type
"astromorphic"; no remote code is involved.
"""

from __future__ import annotations

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

from .classification import (
    AstromorphicForImageClassification,
    AstromorphicForSequenceClassification,
    AstromorphicVisionModel,
)
from .configuration_astromorphic import AstromorphicConfig
from .modeling_astromorphic import AstromorphicForCausalLM, AstromorphicModel, AstromorphicPreTrainedModel
from .state import AstromorphicState

AutoConfig.register("astromorphic", AstromorphicConfig, exist_ok=True)
AutoModel.register(AstromorphicConfig, AstromorphicModel, exist_ok=True)
AutoModelForCausalLM.register(AstromorphicConfig, AstromorphicForCausalLM, exist_ok=True)
AutoModelForSequenceClassification.register(AstromorphicConfig, AstromorphicForSequenceClassification, exist_ok=True)
AutoModelForImageClassification.register(AstromorphicConfig, AstromorphicForImageClassification, exist_ok=True)

__all__ = [
    "AstromorphicConfig",
    "AstromorphicForCausalLM",
    "AstromorphicForImageClassification",
    "AstromorphicForSequenceClassification",
    "AstromorphicModel",
    "AstromorphicPreTrainedModel",
    "AstromorphicState",
    "AstromorphicVisionModel",
]
