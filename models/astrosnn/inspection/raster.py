"""Which neurons of which layer fire at which token."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...errors import ModelError
from .checks import check_row

if TYPE_CHECKING:
    from ..modeling_astrosnn import AstroSNNForCausalLM


class Raster(NamedTuple):
    """spikes : ``[layer, token, neuron]``, True where the neuron fires."""

    spikes: Tensor

    def by_layer(self) -> Tensor:
        """Spikes per neuron and token, ``[layer]``."""
        return self.spikes.double().mean((1, 2))

    def by_token(self) -> Tensor:
        """Share of a layer's neurons that fire at a token, ``[layer, token]``."""
        return self.spikes.double().mean(2)


@torch.no_grad()
def raster(model: AstroSNNForCausalLM, input_ids: Tensor, what: str = "mixer") -> Raster:
    """Spikes of the forward pass over input_ids ``[1, time]``.

    what : "mixer", or in the residual mode "spike_in" also "input" and "feed_forward". Raises ModelError for a model that has no
    such spikes.
    """
    if model.config.model_type != "astrosnn":
        raise ModelError(
            f"the model is of type {model.config.model_type!r}, which has no spikes; expected an astrosnn model"
        )
    check_row(input_ids)
    was_training = model.training
    model.eval()
    try:
        spikes = model(input_ids=input_ids, use_cache=False, logits_to_keep=1, output_spikes=True).spikes
    finally:
        model.train(was_training)
    names = list(spikes[0])
    if what not in names:
        config = model.config
        raise ModelError(
            f"what is {what!r}, but with mixer {config.mixer!r} and residual_mode {config.residual_mode!r} "
            f"{'nothing is' if not names else ', '.join(names) + (' is' if len(names) == 1 else ' are')} binary; "
            "expected one of these or a mixer that spikes (amsu, lif, alif)"
        )
    return Raster(torch.stack([layer[what][0] for layer in spikes]) == 1.0)
