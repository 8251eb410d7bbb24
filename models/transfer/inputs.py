"""What the attention layers of a trained softmax model are given: queries, keys, and which tokens are real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..astromorphic import AstromorphicPreTrainedModel
from ..errors import ModelError
from .frame import KeyFrame
from .library import attention_modules, registered_copy
from .own import blocks_of


class AttentionInput(NamedTuple):
    """One call of an attention: q, k ``[batch, time, heads, d]`` with their factor d^(-1/4), mask ``[batch, time]`` or None.

    module : number of the attention module, which ALBERT's layers share.
    """

    query: Tensor
    key: Tensor
    keep: Tensor | None
    causal: bool
    module: int


@torch.no_grad()
def attention_inputs(model: PreTrainedModel, batch: Mapping[str, Any]) -> list[AttentionInput]:
    """One per layer, in order; ModelError for a model that cannot be transferred."""
    if isinstance(model, AstromorphicPreTrainedModel):
        return _of_ours(model, batch)
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
    return [AttentionInput(*record, module=i) for record, i in zip(records, where, strict=True)]


@torch.no_grad()
def key_frames(model: PreTrainedModel, batch: Mapping[str, Any]) -> dict[int, KeyFrame]:
    """The frame of every attention module, by its number, measured over the real tokens of `batch`."""
    queries: dict[int, list[Tensor]] = {}
    keys: dict[int, list[Tensor]] = {}
    for one in attention_inputs(model, batch):
        keep = torch.ones(one.key.shape[:2], dtype=torch.bool, device=one.key.device) if one.keep is None else one.keep
        queries.setdefault(one.module, []).append(one.query[keep].double())
        keys.setdefault(one.module, []).append(one.key[keep].double())
    return {i: KeyFrame.of(torch.cat(queries[i]), torch.cat(keys[i])) for i in keys}


def _of_ours(model: AstromorphicPreTrainedModel, batch: Mapping[str, Any]) -> list[AttentionInput]:
    mixers = [block.mixer for block in blocks_of(model)]
    seen: list[tuple[Tensor, Tensor | None]] = []
    handles = [mixer.register_forward_pre_hook(lambda _, given: seen.append((given[0], given[2]))) for mixer in mixers]
    try:
        _in_evaluation(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for i, (mixer, (x, mask)) in enumerate(zip(mixers, seen, strict=True)):
        shape = (*x.shape[:2], mixer.heads, mixer.d)
        q, k = (projection(x).view(shape) * mixer.d**-0.25 for projection in (mixer.query, mixer.key))
        found.append(AttentionInput(q, k, mask, not mixer.layout.bidirectional, i))
    return found


def _in_evaluation(model: PreTrainedModel, batch: Mapping[str, Any]) -> None:
    was_training = model.training
    model.eval()
    try:
        model(**batch)
    finally:
        model.train(was_training)
