"""Transfer of networks of ours: the mixers are exchanged, and the result is one of our networks again."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ..astromorphic import AstromorphicPreTrainedModel
from ..astromorphic.modeling_astromorphic import AstromorphicMixer
from ..astromorphic.presets import PRESETS
from ..errors import ModelError
from ..surroundings import own_random_state
from .frame import KeyFrame
from .neurons import HiddenNeurons, chosen_layers


def blocks_of(model: AstromorphicPreTrainedModel) -> Any:
    """The layers of a model of ours, whatever its head; ModelError if their attention is not softmax."""
    if model.config.mixer != "softmax":
        raise ModelError(
            f"the model's mixer is {model.config.mixer!r}; expected 'softmax', the attention that is replaced"
        )
    blocks: Any = model.layers if hasattr(model, "layers") else model.model.layers
    if any(block.mixer.kind != "softmax" for block in blocks):
        raise ModelError("the model has layers without softmax attention already; transfer the model that was trained")
    config = model.config
    if config.hidden_dim not in (None, config.head_width):
        raise ModelError(
            f"hidden_dim is {config.hidden_dim} but a head is {config.head_width} wide; random features take queries and keys "
            "of the width of a head: train the softmax model without hidden_dim"
        )
    return blocks


def transferred_own(
    model: AstromorphicPreTrainedModel,
    neurons: HiddenNeurons,
    layers: Sequence[int] | None,
    frames: Mapping[int, KeyFrame],
) -> AstromorphicPreTrainedModel:
    """A copy of `model` with the mixers of the preset `kozachkov_random_features` around the trained projections."""
    original = blocks_of(model)
    wanted = chosen_layers(layers, len(original))
    neurons.check_memory(model.config.num_attention_heads, model.config.head_width, len(wanted))
    network = copy.deepcopy(model)
    blocks: Any = blocks_of(network)
    # The copy's configuration describes it only if no layer is left as it was.
    config = network.config if len(wanted) == len(blocks) else copy.deepcopy(network.config)
    settings: dict[str, Any] = {
        **PRESETS["kozachkov_random_features"],
        "hidden_dim": neurons.m, "feature_map": neurons.kind, "feature_clip": neurons.clip,
        "feature_seed": neurons.seed, "orthogonal_features": neurons.orthogonal,
        # The rest of the layer stays what it was; softmax attention is causal in every decoder.
        "out_proj": config.out_proj, "second_norm": config.second_norm, "learnable_gain": config.learnable_gain, "causal": True,
    }  # fmt: skip
    for name, value in settings.items():
        setattr(config, name, value)
    config.validate_architecture()
    with own_random_state(0):  # making a layer draws weights, which are replaced
        for i in wanted:
            blocks[i].mixer = _mixer(config, blocks[i].mixer, neurons, i, frames.get(i))
    if len(wanted) == len(blocks):
        whole: list[Any] = [
            x for x in network.modules() if isinstance(x, AstromorphicPreTrainedModel) and hasattr(x, "causal")
        ]
        for module in whole:
            module.causal = not blocks[0].mixer.layout.bidirectional
    return network


def _mixer(
    config: Any, old: AstromorphicMixer, neurons: HiddenNeurons, index: int, frame: KeyFrame | None
) -> AstromorphicMixer:
    new = AstromorphicMixer(config, old.layout, index)
    new.query, new.key, new.value, new.output, new.gain = old.query, old.key, old.value, old.output, old.gain
    features: Any = new.features
    weight, phase = neurons.draw(old.heads, old.d, index)
    device = old.query.weight.device
    features.weight, features.phase = weight.to(device), phase.to(device)
    if frame is not None:  # into the projections, whose softmax attention stays what it was
        centre, balance = ((frame.centre * old.d**0.25).flatten(), frame.balance.flatten())
        with torch.no_grad():
            new.key.bias.copy_((new.key.bias - centre) * balance)
            new.key.weight.copy_(new.key.weight * balance[:, None])
            new.query.bias.copy_(new.query.bias / balance)
            new.query.weight.copy_(new.query.weight / balance[:, None])
    nn.Module.train(new, old.training)
    return new
