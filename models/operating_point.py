"""Where on its response curve a network works: the activation it really accumulates, and the gains it has learned."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from .astromorphic.modeling_astromorphic import AstromorphicMixer
from .errors import ModelError
from .surroundings import own_random_state

BLOCKS = 64


@torch.no_grad()
def mean_activation(model: AstromorphicForCausalLM, data: NDArray[np.uint8], tokens: int) -> float | None:
    """G = sum of phi(k) over the first `tokens` tokens (eq. 14), mean over layers, heads, features and blocks of `data`.

    The blocks, at most 64, are spread evenly over `data` (uint8 ``[bytes]``). None for a network without accumulated
    activation (mixers "softmax" and "none"). Raises ValueError if `data` or the model has no room for `tokens` tokens.
    """
    limit = min(len(data), int(model.config.max_position_embeddings))
    if not 1 <= tokens <= limit:
        raise ModelError(f"tokens is {tokens}; expected 1 to {limit}, what the text and the model's positions hold")
    mixers = [m for m in model.modules() if isinstance(m, AstromorphicMixer) and m.kind != "softmax"]
    if not mixers:
        return None
    starts = np.linspace(0, len(data) - tokens, BLOCKS).round().astype(int)
    blocks = np.stack([data[start : start + tokens] for start in np.unique(starts)])
    sums: list[Tensor] = []
    hooks = [
        mixer.key.register_forward_hook(lambda _, __, keys, mixer=mixer: sums.append(_summed(mixer, keys)))
        for mixer in mixers
    ]
    was_training = model.training
    model.eval()
    try:
        model(input_ids=torch.from_numpy(blocks.astype(np.int64)).to(model.device), use_cache=False)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return float(torch.stack(sums).mean())


def _summed(mixer: AstromorphicMixer, keys: Tensor) -> Tensor:
    """Mean over the batch, heads and features of sum_t phi(k_t); keys ``[batch, time, heads * width]``."""
    assert mixer.features is not None
    features = mixer.features(keys.view(*keys.shape[:2], mixer.heads, -1)).flatten(2)
    return features.double().sum(dim=1).mean()


def initial_activation(config: AstromorphicConfig, data: NDArray[np.uint8], tokens: int, seed: int = 0) -> float | None:
    """`mean_activation` of the untrained network that `config` and `seed` give."""
    with own_random_state(seed):
        model = AstromorphicForCausalLM(config)
    return mean_activation(model, data, tokens)


def learned_gains(model: AstromorphicForCausalLM) -> list[list[float]] | None:
    """The gain of every layer and head on top of `branch_gain`, 1 at the start; None if none is learned."""
    gains = [m.gain.tolist() for m in model.modules() if isinstance(m, AstromorphicMixer) and m.gain is not None]
    return gains or None
