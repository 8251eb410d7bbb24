"""How much of a memory arrives: the gradient of the last memory with respect to every earlier one.

The product of the factors cuts it: with a geometric schedule over 16 segments a network is, at the start, blind to what
happened in the first ones, whatever its accuracy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError
from .modeling_rmaat import RMAATModel, RMAATPreTrainedModel

if TYPE_CHECKING:
    from ..tasks.base import Task

# Texts, and tokens in all: the whole graph of the pass is kept.
_ITEMS, _TOKENS = 8, 8192


def memory_path_gradient(
    model: RMAATPreTrainedModel, input_ids: Tensor, *, draws: int = 4, seed: int = 0, **inputs: Any
) -> list[float]:
    """|d (p . m'_{T+1}) / d m_t| for t = 1 ... T, T the segments of the longest row; p a random unit vector per row.

    m_t is what segment t reads, its factor included. Means over `draws` of p and over the rows that have segment t: a shorter row
    hands its memory on as it is, which is no path. In eval mode, whatever the configuration's way of backpropagation.
    inputs : as `RMAATModel.forward`. Changes neither gradients nor random states.

    Raises ModelError for a network without memory, or as the network does.
    """
    base: Any = model if isinstance(model, RMAATModel) else getattr(model, "model", None)
    if not isinstance(base, RMAATModel) or not base.slots:
        raise ModelError(f"model is {type(model).__name__} without memory; expected a network with num_memory_tokens")
    was_training = model.training
    model.eval()
    try:
        # A leaf of its own, so that a path is there even if m_1 is not learned.
        memory = base.start(len(input_ids)).detach().clone().requires_grad_()
        seen: dict[int, Tensor] = {}
        with torch.enable_grad():
            out = base(input_ids, memory=memory, watch_memory=seen.__setitem__, backpropagation="full", **inputs)
        g = torch.Generator().manual_seed(seed)
        norms: dict[int, list[float]] = {}
        for _ in range(draws):
            p = torch.randn(out.memory.shape, generator=g, dtype=torch.float64).to(out.memory)
            p = p / p.flatten(1).norm(dim=1)[:, None, None]
            torch.autograd.grad((out.memory * p).sum(), memory, retain_graph=True)
            for t, gradient in seen.items():
                norms.setdefault(t, []).append(float(gradient.double().flatten(1).norm(dim=1)[out.segments > t].mean()))
        return [sum(norms[t]) / draws for t in sorted(norms)]
    finally:
        model.train(was_training)


def path_on_validation(model: Any, task: Task) -> tuple[int, list[float]] | None:
    """How many validation items, and `memory_path_gradient` on these, of pairs the first text; None without memory.

    Of the items with the most segments the first: in shorter ones the same t lies at another distance from the end.
    """
    if not isinstance(model, RMAATPreTrainedModel) or not model.config.num_memory_tokens:
        return None
    found: Any = task
    segments = -(-found.sequences["validation"].lengths // model.config.length_of_segment)
    longest = np.flatnonzero(segments == segments.max())[: min(_ITEMS, max(1, _TOKENS // found.length))]
    batch = found.batch("validation", longest)
    ids, mask = (batch[name].to(model.device) for name in ("input_ids", "attention_mask"))
    return len(longest), memory_path_gradient(model, ids, attention_mask=mask)
