"""sum_{j<=t} (q_t . kappa_j) v_j as matrix products: the causal form without a sigmoid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def poison_after(*tensors: Tensor) -> Tensor:
    """0 while all earlier tokens are finite, NaN from the first token that is not: ``[batch, time, 1, 1]``.

    A matrix product over a whole chunk meets 0 * NaN = NaN and would carry a bad token into the *past*. The forms below
    therefore multiply finite copies and add this: a bad token is visible from its own position on, and nowhere before.
    """
    with torch.no_grad():
        total = torch.stack([(x * 0.0).flatten(2).sum(-1) for x in tensors]).sum(0)
        return total.cumsum(dim=1)[:, :, None, None]


def finite(x: Tensor) -> Tensor:
    """`x` with NaN and infinities replaced by 0."""
    return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


def causal_linear(q: Tensor, kappa: Tensor, v: Tensor, start: Tensor, *, chunk: int) -> tuple[Tensor, Tensor]:
    """q_t S_t with S_t = start + sum_{j<=t} kappa_j^T v_j; returns ``[batch, time, heads, d]`` and the final S.

    Carries of all chunks come first (one product and a prefix sum), then the chunks are independent.
    Memory: batch x heads x time x (chunk + m d / chunk).
    """
    batch, time, heads, _ = q.shape
    d = v.shape[-1]
    chunk = max(1, min(chunk, time))
    poison = poison_after(kappa, v)
    kappa, v = finite(kappa), finite(v)
    count = -(-time // chunk)

    def split(x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 0, 0, 0, count * chunk - time))
        return padded.view(batch, count, chunk, heads, x.shape[-1]).permute(
            0, 3, 1, 2, 4
        )  # [batch, heads, count, chunk, .]

    q_c, k_c, v_c = split(q), split(kappa), split(v)
    sums = k_c.transpose(-1, -2) @ v_c  # [batch, heads, count, m, d]
    states = torch.cat([start.unsqueeze(2), sums], dim=2).cumsum(dim=2)
    scores = (q_c @ k_c.transpose(-1, -2)).tril()
    out = scores @ v_c + q_c @ states[:, :, :-1]
    out = out.permute(0, 2, 3, 1, 4).reshape(batch, count * chunk, heads, d)[:, :time]
    final = states[:, :, -1] + (poison[:, -1:] if time else 0.0)
    return out + poison, final
