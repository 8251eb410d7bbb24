"""`transferred`: the one function for all kinds of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from transformers import PreTrainedModel

from ..astromorphic import AstromorphicPreTrainedModel
from ..errors import ModelError
from .inputs import key_frames
from .library import transferred_library
from .neurons import HiddenNeurons
from .own import transferred_own

M = TypeVar("M", bound=PreTrainedModel)


def transferred(
    model: M,
    hidden_neurons: int,
    *,
    features: str = "exponential",
    orthogonal: bool = True,
    seed: int = 0,
    layers: Sequence[int] | None = None,
    clip: float = 10.0,
    balance_on: Mapping[str, Any] | None = None,
) -> M:
    """A copy of a trained softmax model with the neuron-astrocyte network in the place of its attention; no training.

    Queries and keys go through random features with phi(q) . phi(k) = exp(q . k / sqrt(d)) on average; the Hebbian sum
    phi(k)^T v and the astrocyte's response C_t = phi(q_t) . sum_s phi(k_s) give numerator and normaliser (Kozachkov,
    Kastanenka, Krotov 2023). All weights stay; W is random, and the more neurons the closer the copy is to `model`.

    model : one of ours with the mixer "softmax", or ViT, ALBERT, BERT or GPT-2 of transformers.
    hidden_neurons : m, per head. features : "exponential" (positive), "cosine", or, both biased, "truncated" (at `clip`) and
        "positive_cosine". orthogonal : rows of W orthogonal in blocks of d. seed : of W; every layer draws its own.
    balance_on : a batch such as {"input_ids": ...} on which keys are centred and their lengths balanced against the queries'
        (`KeyFrame`). Softmax attention does not notice, and far fewer neurons are needed; ours, not in the original.
    layers : numbers of the attention layers to replace, None for all. ALBERT's layers share one.

    A network of ours comes back as one of ours: it can be saved, loaded and, as a decoder, generates with a state of m x (d + 1)
    numbers per head. Replaced in part it has no configuration and loading it is refused. Of a model of transformers, saving
    writes the softmax model, because W is no part of it: load that and transfer again with the same seed.

    Raises ModelError for another model, cross attention, an attention that is replaced already, settings that cannot be used
    and neurons that do not fit into memory; when called, the copy raises it for a cache, relative position biases, masks of
    pairs and attention weights.
    """
    neurons = HiddenNeurons(hidden_neurons, features, orthogonal, seed, clip)
    if not isinstance(model, PreTrainedModel):
        raise ModelError(f"model is {type(model).__name__}; expected a model of ours or of transformers")
    frames = {} if balance_on is None else key_frames(model, balance_on)
    if isinstance(model, AstromorphicPreTrainedModel):
        return transferred_own(model, neurons, layers, frames)  # type: ignore[return-value]
    return transferred_library(model, neurons, layers, frames)  # type: ignore[return-value]
