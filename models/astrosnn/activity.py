"""Firing rates and spike counts of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError

if TYPE_CHECKING:
    from .modeling_astrosnn import AstroSNNForCausalLM


class LayerActivity(NamedTuple):
    """rates : spikes per neuron and token, by name of what is binary ("mixer"; with spike_in also "input", "feed_forward").
    counts : spikes in all, by the same names. silent, saturated : share of the mixer's neurons that never or always fired.
    """

    rates: dict[str, float]
    counts: dict[str, int]
    silent: float
    saturated: float


@torch.no_grad()
def activity(
    model: AstroSNNForCausalLM, input_ids: Tensor, attention_mask: Tensor | None = None
) -> list[LayerActivity]:
    """Activity of every layer over the real tokens of input_ids ``[batch, time]``. ModelError for a mixer that does not spike."""
    was_training = model.training
    model.eval()
    try:
        spikes = model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, logits_to_keep=1, output_spikes=True
        ).spikes
    finally:
        model.train(was_training)
    if not spikes or "mixer" not in spikes[0]:
        raise ModelError(f"mixer is {model.config.mixer!r}, which has no spikes; expected amsu, lif or alif")
    keep = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    if not bool(keep.any()):
        raise ModelError("there are no tokens to measure the activity on; give at least one")
    found = []
    for layer in spikes:
        real = {name: x[keep].float() for name, x in layer.items()}
        often = real["mixer"].mean(dim=0)
        found.append(
            LayerActivity(
                {name: float(x.mean()) for name, x in real.items()},
                {name: int(x.sum(dtype=torch.float64)) for name, x in real.items()},
                float((often == 0.0).float().mean()),
                float((often == 1.0).float().mean()),
            )
        )
    return found
