"""Token-to-token weights of a mixing layer: the masked form of an AM-SU (AstroSNN, eq. 9) with its norm worked in.

Per head, with sd_t the standard deviation that the head norm divides o_t by, w and b its weight and bias,

    membrane_t = sum_j A_tj v'_j + sum_j N_tj I_j + b
    A_tj = c (q_t . k_j) gamma^(t-j) / sd_t        v'_j = w (v_j - mean of v_j)      astrocyte
    N_tj = lambda^(t-j)                            I_j = R sigma(x_j)                 neuron

exactly: a layer norm takes away a mean, which is linear, and divides by one number per token. Without it sd_t = w = 1, b = 0 and
no mean is taken away. "Without the astrocyte" is the second sum alone, on the same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from bridge.artifact import available_memory

from ...errors import ModelError
from ...ops.amsu import input_current
from ...ops.decay import decay_matrix
from ...ops.precision import widen
from ...ops.retention import default_scale
from ...ops.rotary import rotary
from .checks import chosen_layers

if TYPE_CHECKING:
    from ..modeling_astrosnn import AstroSNNForCausalLM

MAPPED = ("amsu", "retention", "softmax")
# Weights, and two arrays of their size while they are made.
_COPIES = 3


class MixingMap(NamedTuple):
    """One layer. All tensors in float32 or better; weights are 0 above the diagonal.

    weights : A ``[batch, heads, time, time]``, to token t from token j; for softmax its attention, for retention as A.
    values : v' ``[batch, time, heads, d]``. neuron : N ``[time, time]`` and currents : I, as values; None but for an AM-SU with
    its neuron's term. Without its astrocyte weights and values are 0.
    bias : b ``[d]``.
    """

    layer: int
    mixer: str
    weights: Tensor
    values: Tensor
    neuron: Tensor | None
    currents: Tensor | None
    bias: Tensor

    def output(self) -> Tensor:
        """Weights times values, ``[batch, time, heads * d]``: of an AM-SU the membrane, of softmax its output, of retention
        what its gate is multiplied with.
        """
        out = torch.einsum("bhij,bjhd->bihd", self.weights, self.values) + self.bias
        if self.neuron is not None and self.currents is not None:
            out = out + torch.einsum("ij,bjhd->bihd", self.neuron, self.currents)
        return out.flatten(2)

    def influence(self, astrocyte: bool = True) -> Tensor:
        """How long the vector is that token j adds to the output of token t, ``[batch, heads, time, time]``.

        |A_tj v'_j + N_tj I_j|, or |N_tj I_j| without the astrocyte: A and N weigh different values, and only what they add can
        be compared (Kobayashi et al. 2020 on attention). ModelError without the astrocyte for a mixer that has no neuron term.
        """
        own = self.values.square().sum(-1).transpose(1, 2)[:, :, None]
        if self.neuron is None or self.currents is None:
            if not astrocyte:
                raise ModelError(f"mixer is {self.mixer!r}, which has no neuron term beside its weights; expected amsu")
            return self.weights.abs() * own.sqrt()
        given = self.currents.square().sum(-1).transpose(1, 2)[:, :, None]
        if not astrocyte:
            return self.neuron * given.sqrt()
        both = (self.values * self.currents).sum(-1).transpose(1, 2)[:, :, None]
        a, n = self.weights, self.neuron
        return (a.square() * own + 2.0 * a * n * both + n.square() * given).clamp_min(0.0).sqrt()


def reach(influence: Tensor) -> Tensor:
    """Mean distance t - j in tokens, weighed by `influence` ``[..., time, time]``: ``[...]``, NaN where nothing has any."""
    steps = torch.arange(influence.shape[-1], device=influence.device, dtype=influence.dtype)
    return (influence * (steps[:, None] - steps)).sum((-2, -1)) / influence.sum((-2, -1))


@torch.no_grad()
def mixing_maps(model: AstroSNNForCausalLM, input_ids: Tensor, layers: Sequence[int] | None = None) -> list[MixingMap]:
    """The maps of these layers (default all) in the model's own forward pass over input_ids ``[batch, time]``, without padding.

    Memory grows with the square of the length. Raises ModelError for another model, a mixer without weights between tokens (lif,
    alif, gru), a layer that is none, and a text too long for this machine's memory.
    """
    config = model.config
    if config.model_type != "astrosnn":
        raise ModelError(
            f"the model is of type {config.model_type!r}; maps of weights are those of 'astrosnn' models with the mixer "
            f"{', '.join(MAPPED)}"
        )
    if config.mixer not in MAPPED:
        raise ModelError(
            f"mixer is {config.mixer!r}, a recurrent cell without weights between tokens; expected {', '.join(MAPPED)}"
        )
    if input_ids.dim() != 2 or not input_ids.numel():
        raise ModelError(f"input_ids is {tuple(input_ids.shape)}; expected [batch, time] with at least one token")
    chosen = chosen_layers(layers, config.num_hidden_layers)
    batch, time = input_ids.shape
    needed = 4 * (len(chosen) + _COPIES) * batch * config.num_attention_heads * time * time
    free = available_memory()
    if needed > free:
        raise ModelError(
            f"maps of {len(chosen)} layers over {time} tokens need {needed / 2**30:,.1f} GiB, but {free / 2**30:,.1f} GiB "
            "are free; give a shorter text or fewer layers"
        )
    inputs = _mixer_inputs(model, input_ids)
    return [_map(layer, model.model.layers[layer - 1].mixer, *inputs[layer - 1]) for layer in chosen]


def _mixer_inputs(model: AstroSNNForCausalLM, input_ids: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What every mixer reads, and the positions."""
    found: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        found.append((arguments[0], arguments[1]))

    was_training = model.training
    model.eval()
    handles = [layer.mixer.register_forward_pre_hook(keep) for layer in model.model.layers]
    try:
        model(input_ids=input_ids, use_cache=False, logits_to_keep=1)
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    return found


def _map(layer: int, mixer: Any, a: Tensor, positions: Tensor) -> MixingMap:
    config = mixer.config
    source = mixer.input(a) if config.mixer == "amsu" else a
    neuron = currents = None
    if config.mixer == "amsu" and config.terms != "astrocyte":
        current = float(config.resistance) * input_current(widen(source), config.sigma)
        neuron = decay_matrix([mixer.leak], a.shape[1], current.dtype, current.device)[0]
        currents = current.unflatten(-1, (mixer.heads, -1))
        if config.terms == "neuron":
            nothing = torch.zeros_like(currents)
            weights = neuron.new_zeros(len(a), mixer.heads, *neuron.shape)
            return MixingMap(layer, config.mixer, weights, nothing, neuron, currents, nothing[0, 0, 0])
    q, k, v = (f(source).unflatten(-1, (mixer.heads, -1)) for f in (mixer.query, mixer.key, mixer.value))
    q, k = (rotary(y, positions, fraction=config.rope_fraction, base=config.rope_base) for y in (q, k))
    q, k, v = (widen(x) for x in (q, k, v))
    scores = default_scale(q, None) * torch.einsum("bihm,bjhm->bhij", q, k)
    time = a.shape[1]
    nothing = v.new_zeros(v.shape[-1])
    if config.mixer == "softmax":
        later = torch.ones(time, time, dtype=torch.bool, device=a.device).triu(1)
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        return MixingMap(layer, config.mixer, weights, v, None, None, nothing)
    weights = scores * decay_matrix(mixer.decays, time, v.dtype, v.device)
    weights, v, bias = _through_norm(weights, v, mixer.head_norm)
    return MixingMap(layer, config.mixer, weights, v, neuron, currents, bias)


def _through_norm(weights: Tensor, values: Tensor, norm: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, values and bias whose product is the head norm of weights times values."""
    if norm is None:
        return weights, values, values.new_zeros(values.shape[-1])
    out = torch.einsum("bhij,bjhd->bhid", weights, values)
    deviation = (out.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    centred = (values - values.mean(-1, keepdim=True)) * norm.weight.to(values.dtype)
    return weights / deviation, centred, norm.bias.to(values.dtype)
