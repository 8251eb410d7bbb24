"""The recurrent memory augmented astromorphic transformer (RMAAT) as Hugging Face models; importing this registers them.

After ``import models.rmaat`` the calls ``AutoConfig``, ``AutoModel`` and ``AutoModelForSequenceClassification.from_pretrained``
know the model type "rmaat"; no remote code is involved.
"""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from .configuration_rmaat import RMAATConfig
from .memory_path import memory_path_gradient
from .modeling_rmaat import (
    RMAATForRetrieval,
    RMAATForSequenceClassification,
    RMAATModel,
    RMAATOutput,
    RMAATPreTrainedModel,
)
from .recall import Recall, delayed_recall
from .recall_runs import RecallRun, recall_run

AutoConfig.register("rmaat", RMAATConfig, exist_ok=True)
AutoModel.register(RMAATConfig, RMAATModel, exist_ok=True)
AutoModelForSequenceClassification.register(RMAATConfig, RMAATForSequenceClassification, exist_ok=True)

__all__ = [
    "RMAATConfig",
    "RMAATForRetrieval",
    "RMAATForSequenceClassification",
    "RMAATModel",
    "RMAATOutput",
    "RMAATPreTrainedModel",
    "Recall",
    "RecallRun",
    "delayed_recall",
    "memory_path_gradient",
    "recall_run",
]
