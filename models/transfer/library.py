"""Transfer of models of the library transformers, by its own registry of attention functions; no module is patched.

In transformers 5.23 ViT, ALBERT, BERT and GPT-2 look the function up in every forward pass by
``config._attn_implementation`` and hand it queries, keys and values ``[batch, heads, time, d]`` and the scaling. Masks are
made by a second registry under the same name: a name that only the first one knows gets no mask, and padding would be read.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..errors import ModelError
from ..ops.astrocyte_attention import astrocyte_attention
from ..ops.precision import widen
from .frame import KeyFrame
from .neurons import HiddenNeurons, chosen_layers

NAME = "neuron_astrocyte"
MODEL_TYPES = ("albert", "bert", "gpt2", "vit")
# What a layer of another kind would pass on; ignoring it would change the scores.
_NOT_SUPPORTED = {
    "position_bias": "a relative position bias",
    "softcap": "a cap on its scores",
    "sliding_window": "a sliding window",
    "s_aux": "attention sinks",
    "cache": "a paged cache",
}


class HiddenLayer(nn.Module):
    """W and b of one attention layer, drawn, not learned, and the frame of its keys: no part of a checkpoint."""

    def __init__(self, weight: Tensor, phase: Tensor, frame: KeyFrame, kind: str, clip: float) -> None:
        super().__init__()
        self.kind, self.clip = kind, clip
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("phase", phase, persistent=False)
        self.register_buffer("centre", frame.centre, persistent=False)
        self.register_buffer("balance", frame.balance, persistent=False)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
        """`astrocyte_attention` with these neurons."""
        balance = self.get_buffer("balance")
        q, k = widen(query) / balance, (widen(key) - self.get_buffer("centre")) * balance
        weight, phase = self.get_buffer("weight"), self.get_buffer("phase")
        out, _ = astrocyte_attention(
            q, k, value, weight, phase, kind=self.kind, clip=self.clip, causal=causal, mask=mask
        )
        return out


def attention_modules(model: PreTrainedModel) -> list[Any]:
    """The modules that call an attention function, in the order of the layers; ModelError for a model without support."""
    kind = model.config.model_type
    if kind not in MODEL_TYPES:
        raise ModelError(
            f"the model is of type {kind!r}; expected one of ours with softmax attention, or {', '.join(MODEL_TYPES)}"
        )
    if getattr(model.config, "add_cross_attention", False):
        raise ModelError(
            "the model has cross attention, whose keys come from another sequence; only self-attention is replaced"
        )
    found = [module for module in model.modules() if hasattr(module, "is_causal") and hasattr(module, "scaling")]
    if not found or not model._can_set_attn_implementation():
        raise ModelError(
            f"{type(model).__name__} does not take its attention from the library's registry; expected one that does"
        )
    return found


def heads_and_width(module: Any) -> tuple[int, int]:
    """Heads and width of a head of an attention module, under whichever names it has them."""
    heads = getattr(module, "num_attention_heads", None) or module.num_heads
    return int(heads), int(getattr(module, "attention_head_size", None) or module.head_dim)


def transferred_library(
    model: PreTrainedModel, neurons: HiddenNeurons, layers: Sequence[int] | None, frames: Mapping[int, KeyFrame]
) -> PreTrainedModel:
    """A copy of `model` whose attention function is the neuron-astrocyte network, at all or some layers."""
    modules = attention_modules(model)
    if any(isinstance(getattr(module, "astrocyte", None), HiddenLayer) for module in modules):
        raise ModelError("the model has layers without softmax attention already; transfer the model that was trained")
    wanted = chosen_layers(layers, len(modules))
    heads, d = heads_and_width(modules[0])
    neurons.check_memory(heads, d, len(wanted))
    network = registered_copy(model)
    for i, module in enumerate(attention_modules(network)):
        if i in wanted:
            weight, phase = neurons.draw(*heads_and_width(module), i)
            device = next(module.parameters()).device
            frame = frames.get(i, KeyFrame(torch.zeros(heads, d), torch.ones(heads, d)))
            frame = KeyFrame(*(x.float().to(device) for x in frame))
            module.astrocyte = HiddenLayer(weight.to(device), phase.to(device), frame, neurons.kind, neurons.clip)
    # A cache of keys would be a softmax model's; without one, `generate` reads the whole text at every step.
    if getattr(network.config, "use_cache", None):
        network.config.use_cache = False
    if getattr(network, "generation_config", None) is not None:
        network.generation_config.use_cache = False
    return network


def registered_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of `model` that calls `neuron_astrocyte_attention`; without a `HiddenLayer` that is softmax attention still."""
    AttentionInterface.register(NAME, neuron_astrocyte_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    network = copy.deepcopy(model)
    network.set_attn_implementation(NAME)
    return network


def neuron_astrocyte_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    dropout: float = 0.0, scaling: float | None = None, is_causal: bool | None = None, **kwargs: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """An attention function of the library: query, key, value ``[batch, heads, time, d]``, result ``[batch, time, heads, d]``.

    There are no attention weights, hence no dropout on them and none to return.
    Raises ModelError for what would change the scores and is not supported, and for keys from elsewhere or from a cache.
    """
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    records = getattr(module, "astrocyte_records", None)
    hidden = getattr(module, "astrocyte", None)
    if hidden is None and records is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    for name, what in _NOT_SUPPORTED.items():
        if kwargs.get(name) is not None:
            raise ModelError(f"{type(module).__name__} has {what} ({name}), which random features do not reproduce")
    if kwargs.get("output_attentions"):
        raise ModelError(
            "output_attentions is True, but a neuron-astrocyte network has no attention weights; leave it out"
        )
    if key.shape != query.shape:
        raise ModelError(
            f"{query.shape[2]} queries of {query.shape[1]} heads meet {key.shape[2]} keys of {key.shape[1]}; expected "
            "self-attention over one whole sequence: pass use_cache=False, and no sequence of another model"
        )
    keep = _padding(attention_mask, causal, query.shape[2])
    scale = (query.shape[-1] ** -0.5 if scaling is None else scaling) ** 0.5
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    if records is not None:
        records.append((q * scale, k * scale, keep, causal))
    if hidden is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, is_causal=is_causal, **kwargs
        )
    return hidden(q * scale, k * scale, v, keep, causal).to(value.dtype), None


def _padding(mask: Tensor | None, causal: bool, time: int) -> Tensor | None:
    """``[batch, time]``, True for real tokens, from the library's mask of pairs; ModelError if it says more than that."""
    if mask is None:
        return None
    if mask.dtype != torch.bool or mask.dim() != 4 or mask.shape[1:] != (1, time, time):
        raise ModelError(
            f"the attention mask is {tuple(mask.shape)} of {mask.dtype}; expected [batch, time], "
            "1 for real tokens and 0 for padding"
        )
    keep = mask[:, 0, -1]
    pairs = keep[:, None, :].expand(-1, time, -1)
    if causal:
        pairs = pairs & torch.ones(time, time, dtype=torch.bool, device=mask.device).tril()
    if not torch.compiler.is_compiling() and not torch.equal(pairs, mask[:, 0]):
        raise ModelError(
            "the attention mask hides single pairs of tokens (packed sequences, or a mask of four dimensions); a sum over keys "
            "can only leave out keys: pass a mask [batch, time], one text in each row"
        )
    return keep
