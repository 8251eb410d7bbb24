"""Softmax attention by random features: the neuron-astrocyte network that takes the place of a trained attention.

    out_t = phi(q_t) sum_s phi(k_s)^T v_s / C_t          C_t = phi(q_t) . sum_s phi(k_s)

The Hebbian sum is the neurons' and C_t the astrocyte's response, which stands for the normaliser sum_s exp(q_t . k_s)
(Kozachkov, Kastanenka, Krotov 2023). The sums run over all tokens, or up to t in a decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError
from .linear import finite, poison_after
from .precision import without_autocast
from .random_features import random_features, scaled_features
from .state import ScaledState, inverse_of_nonzero

CHUNK = 64
# Numbers that the features of one group of rows may take: 64 MiB in float32.
_LARGEST_GROUP = 2**24


@without_autocast
def astrocyte_attention_naive(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, phase: Tensor, *, kind: str = "exponential",
    causal: bool, mask: Tensor | None = None, clip: float = 10.0,
) -> Tensor:  # fmt: skip
    """`astrocyte_attention` as the equations read: all features at once, in the range that exp(|x|^2) leaves them."""
    phi_q = random_features(query, weight, phase, kind=kind, clip=clip)
    phi_k = random_features(key, weight, phase, kind=kind, clip=clip)
    v = value.to(phi_k.dtype)
    if mask is not None:
        drop = ~mask.bool()[:, :, None, None]
        phi_k, v = phi_k.masked_fill(drop, 0.0), v.masked_fill(drop, 0.0)
    outer = phi_k[..., :, None] * v[..., None, :]  # [batch, time, heads, m, d]
    hebbian = outer.cumsum(1) if causal else outer.sum(1, keepdim=True)
    total = phi_k.cumsum(1) if causal else phi_k.sum(1, keepdim=True)
    response = (phi_q * total).sum(-1, keepdim=True)
    return (phi_q[..., :, None] * hebbian).sum(-2) * inverse_of_nonzero(response)


@without_autocast
def astrocyte_attention(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, phase: Tensor, *, kind: str = "exponential",
    causal: bool, mask: Tensor | None = None, clip: float = 10.0, chunk: int | None = None,
    initial_state: ScaledState | None = None,
) -> tuple[Tensor, ScaledState]:  # fmt: skip
    """The attention branch ``[batch, time, heads, d_v]`` in float32 or better, and the sums over all tokens to go on from.

    Query, key ``[batch, time, heads, d]``, which carry their factor d^(-1/4) already; value ``[batch, time, heads, d_v]``;
    weight ``[heads, m, d]`` and phase ``[heads, m]`` of `draw_weights`; mask ``[batch, time]``, False for padding, which
    takes part in no sum. A query without any key gives 0, as does one whose C is 0.

    One head and as many rows as fit are worked on at a time, and tokens in chunks: memory is bounded by rows x m x (2 chunk
    + d_v), whatever the length. Every token's features carry a factor of their own and the running sums that of the largest key
    so far, as in the online softmax, so that features far beyond exp's range change nothing, and nothing later is looked at.

    Finite for all norms whose square is a float. What is left of the range: where no neuron gives more than e^-87 of the
    product of the query's and the keys' largest features, C counts as 0 and so does the output; that takes a query that all
    its keys oppose, at norms whose estimate would ask for e^87 neurons. initial_state : sums over earlier tokens, of a decoder.
    """
    batch, time, heads, d = query.shape
    if key.shape != query.shape or value.shape[:3] != query.shape[:3]:
        raise ModelError(
            f"query, key and value are {tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}; expected the same "
            "[batch, time, heads]"
        )
    if weight.shape[0] != heads or weight.shape[2] != d:
        raise ModelError(f"weight is {tuple(weight.shape)}; expected [heads, m, d] with {heads} heads and d = {d}")
    if mask is not None:
        # Replaced, not only left out: a weight of zero times a NaN in the padding would be NaN.
        drop = ~mask.bool()[:, :, None, None]
        key, value = key.masked_fill(drop, 0.0), value.masked_fill(drop, 0.0)
    poison = poison_after(key, value) if causal else None
    if poison is not None:
        key, value = finite(key), finite(value)
    m = weight.shape[1]
    start = initial_state or _before_any_token(batch, heads, m, value)
    if start.hebbian.shape != (batch, heads, m, value.shape[3]):
        raise ModelError(
            f"initial_state is of {tuple(start.hebbian.shape)}; expected [batch, heads, m, d_v] = "
            f"{(batch, heads, m, value.shape[3])}, the state that this layer returned"
        )
    sums = torch.cat([start.hebbian, start.activation[..., None]], dim=-1)
    chunk = max(1, min(chunk or CHUNK, time or 1))
    rows = max(1, _LARGEST_GROUP // (m * (2 * chunk + value.shape[3] + 1)))
    of_heads: list[list[Tensor]] = [[], [], []]
    for h in range(heads):
        groups = []
        for a in range(0, max(batch, 1), rows):
            part = slice(a, a + rows)
            keep = None if mask is None else mask[part].bool()
            one = _OneHead(weight[h : h + 1], phase[h : h + 1], kind, clip, chunk)
            before = sums[part, h], start.offset[part, h, :, None]
            groups.append(one(query[part, :, h], key[part, :, h], value[part, :, h], keep, causal, *before))
        for found, pieces in zip(of_heads, zip(*groups, strict=True), strict=True):
            found.append(torch.cat(pieces))
    out, total, offset = (torch.stack(x, dim=axis) for x, axis in zip(of_heads, (2, 1, 1), strict=True))
    if poison is not None:
        out = out + poison.to(out.dtype)
        total = total + poison[:, -1:].to(out.dtype) if time else total
    return out, ScaledState(total[..., :-1], total[..., -1], offset[..., 0])


@without_autocast
def astrocyte_step(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor, phase: Tensor, state: ScaledState, *,
    kind: str = "exponential", mask: Tensor | None = None, clip: float = 10.0,
) -> tuple[Tensor, ScaledState]:  # fmt: skip
    """`astrocyte_attention` of a decoder for one more token, all heads at once: ``[batch, 1, heads, d_v]`` and a new state."""
    if query.shape[1] != 1:
        raise ModelError(f"astrocyte_step takes one token, got {query.shape[1]}; use astrocyte_attention for more")
    if mask is not None:
        drop = ~mask.bool()[:, :, None, None]
        key, value = key.masked_fill(drop, 0.0), value.masked_fill(drop, 0.0)
    (phi_q, _), (phi_k, offset) = (scaled_features(x, weight, phase, kind=kind, clip=clip) for x in (query, key))
    if mask is not None:
        offset, phi_k = offset.masked_fill(drop, _floor(offset.dtype)), phi_k.masked_fill(drop, 0.0)
    phi_q, phi_k, offset, v = phi_q[:, 0], phi_k[:, 0], offset[:, 0], value[:, 0].to(phi_k.dtype)
    top = torch.maximum(state.offset, offset)
    old, new = (state.offset - top).exp(), phi_k * (offset - top).exp()
    hebbian = state.hebbian * old[..., None] + new[..., None] * v[..., None, :]
    activation = state.activation * old + new
    response = (phi_q * activation).sum(-1, keepdim=True)
    out = torch.matmul(phi_q[..., None, :], hebbian).squeeze(-2) * inverse_of_nonzero(response)
    return out[:, None], ScaledState(hebbian, activation, top)


def _floor(dtype: torch.dtype) -> float:
    """Far below any offset, and finite: the difference of two infinities is none."""
    return torch.finfo(dtype).min / 4


def _before_any_token(batch: int, heads: int, m: int, value: Tensor) -> ScaledState:
    zeros = torch.zeros(
        batch, heads, m, value.shape[3] + 1, dtype=torch.promote_types(value.dtype, torch.float32), device=value.device
    )
    return ScaledState(zeros[..., :-1], zeros[..., -1], torch.full_like(zeros[:, :, 0, :1], _floor(zeros.dtype)))


class _OneHead:
    """Some rows of one head: q, k ``[rows, time, d]``, v ``[rows, time, d_v]`` (0 in the padding), keep ``[rows, time]``."""

    def __init__(self, weight: Tensor, phase: Tensor, kind: str, clip: float, chunk: int) -> None:
        self.weight, self.phase, self.kind, self.clip, self.chunk = weight, phase, kind, clip, chunk

    def _features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        phi, offset = scaled_features(x[:, :, None], self.weight, self.phase, kind=self.kind, clip=self.clip)
        return phi[:, :, 0], offset[:, :, 0]

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, causal: bool, total: Tensor, largest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The branch; total ``[rows, m, d_v + 1]`` and largest ``[rows, 1, 1]`` are the sums before and their offset."""
        dtype = torch.promote_types(v.dtype, torch.float32)
        ones = torch.ones_like(v[:, :, :1]) if keep is None else keep[:, :, None].to(v.dtype)
        # With a last column of ones the same product gives numerator and C.
        wide = torch.cat([v, ones], dim=-1).to(dtype)
        spans = [slice(a, a + self.chunk) for a in range(0, q.shape[1], self.chunk)]
        out = []
        for span in spans:
            phi_k, offset = self._features(k[:, span])
            if keep is not None:
                offset = offset.masked_fill(~keep[:, span, None], _floor(offset.dtype))
            top = torch.maximum(largest, offset.cummax(dim=1).values)
            if causal:
                out.append(
                    self._within(self._features(q[:, span])[0], phi_k, offset, wide[:, span], total, largest, top)
                )
            last = top[:, -1:]
            added = (phi_k * (offset - last).exp()).transpose(1, 2) @ wide[:, span]
            total, largest = total * (largest - last).exp() + added, last
        if not causal:
            out = [_ratio(self._features(q[:, span])[0] @ total) for span in spans]
        return torch.cat(out, dim=1) if out else wide[:, :, :-1], total, largest

    @staticmethod
    def _within(
        phi_q: Tensor, phi_k: Tensor, offset: Tensor, wide: Tensor, total: Tensor, largest: Tensor, top: Tensor
    ) -> Tensor:
        """One chunk of a decoder: what came before it from the sums, its own tokens as a triangular product."""
        later = torch.ones(wide.shape[1], wide.shape[1], dtype=torch.bool, device=wide.device).triu(1)
        factor = (offset.transpose(1, 2) - top).masked_fill(later, -torch.inf).exp()
        own = (phi_q @ phi_k.transpose(1, 2)).masked_fill(later, 0.0) * factor
        return _ratio((phi_q @ total) * (largest - top).exp() + own @ wide)


def _ratio(both: Tensor) -> Tensor:
    return both[..., :-1] * inverse_of_nonzero(both[..., -1:])
