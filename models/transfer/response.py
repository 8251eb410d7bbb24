"""The astrocyte's response of one head over the tokens, against the normaliser of softmax attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..astromorphic import AstromorphicPreTrainedModel
from ..errors import ModelError
from ..ops.random_features import random_features
from .library import attention_modules, registered_copy
from .neurons import HiddenNeurons
from .own import blocks_of

# Neurons evaluated at a time.
_BLOCK = 8192


class AstrocyteResponse(NamedTuple):
    """All ``[batch, time]`` in float64.

    response : C_t = phi(q_t) . sum_s phi(k_s). normaliser : sum_s exp(q_t . k_s / sqrt(d)), over all tokens or those up to t.
    query_norm, key_norm : |q_t| and |k_t| with their factor d^(-1/4). valid : False for padding.
    """

    response: Tensor
    normaliser: Tensor
    query_norm: Tensor
    key_norm: Tensor
    valid: Tensor


@torch.no_grad()
def astrocyte_response(
    model: PreTrainedModel,
    batch: Mapping[str, Any],
    layer: int,
    head: int,
    hidden_neurons: int,
    *,
    features: str = "exponential",
    orthogonal: bool = True,
    seed: int = 0,
    clip: float = 10.0,
) -> AstrocyteResponse:
    """C_t of m hidden neurons against the true normaliser, from the queries and keys of a trained softmax model.

    batch : what the model is called with, such as {"input_ids": ...}. layer, head : which one; the neurons are those that
    `transferred` puts there for the same m and seed. Raises ModelError as `transferred`, and for a layer or head out of range.
    """
    neurons = HiddenNeurons(hidden_neurons, features, orthogonal, seed, clip)
    q, k, keep, causal, module = _queries_and_keys(model, batch, layer)
    heads, d = q.shape[2:]
    if isinstance(head, bool) or not isinstance(head, int) or not 0 <= head < heads:
        raise ModelError(f"head is {head!r}; expected a whole number from 0 to {heads - 1}")
    neurons.check_memory(heads, d, 1)
    weight, phase = (x[head : head + 1].to(q.device) for x in neurons.draw(heads, d, module))
    q, k = (x[:, :, head : head + 1].double() for x in (q, k))
    valid = torch.ones(q.shape[:2], dtype=torch.bool, device=q.device) if keep is None else keep
    allowed = valid[:, None, :].expand(-1, q.shape[1], -1)
    if causal:
        allowed = allowed.tril()
    scores = torch.einsum("bthd,bshd->bts", q, k)
    response = q.new_zeros(q.shape[:2])
    for a in range(0, neurons.m, _BLOCK):
        some, b = weight[:, a : a + _BLOCK].double(), phase[:, a : a + _BLOCK].double()
        phi_q, phi_k = (random_features(x, some, b, kind=neurons.kind, clip=clip)[:, :, 0] for x in (q, k))
        phi_k = phi_k * valid[:, :, None]
        total = phi_k.cumsum(1) if causal else phi_k.sum(1, keepdim=True)
        response += (phi_q * total).sum(-1) * (some.shape[1] / neurons.m)
    normaliser = scores.exp().masked_fill(~allowed, 0.0).sum(-1)
    return AstrocyteResponse(response, normaliser, q[:, :, 0].norm(dim=-1), k[:, :, 0].norm(dim=-1), valid)


def _queries_and_keys(
    model: PreTrainedModel, batch: Mapping[str, Any], layer: int
) -> tuple[Tensor, Tensor, Tensor | None, bool, int]:
    """Scaled q, k ``[batch, time, heads, d]`` of a layer, its mask and direction, and the number of its attention module."""
    if isinstance(model, AstromorphicPreTrainedModel):
        return _of_ours(model, batch, layer)
    if not isinstance(model, PreTrainedModel):
        raise ModelError(f"model is {type(model).__name__}; expected a model of ours or of transformers")
    attention_modules(model)  # refuses what has no support, before anything is copied
    network = registered_copy(model)
    records: list[tuple[Tensor, Tensor, Tensor | None, bool]] = []
    where: list[int] = []
    for i, module in enumerate(attention_modules(network)):
        module.astrocyte_records = records
        module.register_forward_pre_hook(lambda *_, i=i: where.append(i))
    _in_evaluation(network, batch)
    _check_layer(layer, len(records))
    return *records[layer], where[layer]


def _of_ours(
    model: AstromorphicPreTrainedModel, batch: Mapping[str, Any], layer: int
) -> tuple[Tensor, Tensor, Tensor | None, bool, int]:
    blocks = blocks_of(model)
    _check_layer(layer, len(blocks))
    mixer = blocks[layer].mixer
    seen: list[tuple[Tensor, Tensor | None]] = []
    handle = mixer.register_forward_pre_hook(lambda _, given: seen.append((given[0], given[2])))
    try:
        _in_evaluation(model, batch)
    finally:
        handle.remove()
    x, mask = seen[0]
    shape = (*x.shape[:2], mixer.heads, mixer.d)
    q, k = (projection(x).view(shape) * mixer.d**-0.25 for projection in (mixer.query, mixer.key))
    return q, k, mask, not mixer.layout.bidirectional, layer


def _check_layer(layer: int, count: int) -> None:
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < count:
        raise ModelError(f"layer is {layer!r}; expected a whole number from 0 to {count - 1}")


def _in_evaluation(model: PreTrainedModel, batch: Mapping[str, Any]) -> None:
    was_training = model.training
    model.eval()
    try:
        model(**batch)
    finally:
        model.train(was_training)
