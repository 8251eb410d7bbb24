"""The astrocyte's response of one head over the tokens, against the normaliser of softmax attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..errors import ModelError
from ..ops.random_features import random_features
from .inputs import AttentionInput, attention_inputs, key_frames
from .neurons import HiddenNeurons

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
    balance_on: Mapping[str, Any] | None = None,
) -> AstrocyteResponse:
    """C_t of m hidden neurons against the true normaliser, from the queries and keys of a trained softmax model.

    batch : what the model is called with, such as {"input_ids": ...}. layer, head : which one; the neurons are those that
    `transferred` puts there for the same m and seed. balance_on : as there; the normaliser is then that of the
    centred keys. Raises ModelError as `transferred`, and for a layer or head out of range.
    """
    neurons = HiddenNeurons(hidden_neurons, features, orthogonal, seed, clip)
    q, k, keep, causal, module = _one_layer(attention_inputs(model, batch), layer)
    if balance_on is not None:
        frame = key_frames(model, balance_on)[module]
        q, k = q / frame.balance, (k - frame.centre) * frame.balance
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


def _one_layer(seen: list[AttentionInput], layer: int) -> AttentionInput:
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < len(seen):
        raise ModelError(f"layer is {layer!r}; expected a whole number from 0 to {len(seen) - 1}")
    return seen[layer]
