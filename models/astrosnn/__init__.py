"""AstroSNN as Hugging Face models; importing this registers them with the Auto classes under the type "astrosnn"."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from .configuration_astrosnn import AstroSNNConfig
from .modeling_astrosnn import AstroSNNForCausalLM, AstroSNNModel, AstroSNNOutput, AstroSNNPreTrainedModel
from .state import AstroSNNState

AutoConfig.register("astrosnn", AstroSNNConfig, exist_ok=True)
AutoModel.register(AstroSNNConfig, AstroSNNModel, exist_ok=True)
AutoModelForCausalLM.register(AstroSNNConfig, AstroSNNForCausalLM, exist_ok=True)

__all__ = [
    "AstroSNNConfig",
    "AstroSNNForCausalLM",
    "AstroSNNModel",
    "AstroSNNOutput",
    "AstroSNNPreTrainedModel",
    "AstroSNNState",
]
