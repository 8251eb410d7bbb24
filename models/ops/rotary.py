"""Rotary positions (Su et al. 2021): pairs of coordinates of queries and keys turn by an angle that grows with the position.

AstroSNN prints a rotation of the query into the key (eq. 10), which depends on no distance; this is the usual form. The products
q_i . k_j then depend on i - j alone, and the state, a sum of keys, is not turned: only the count of tokens is carried.
"""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10000.0


def rotated_width(width: int, fraction: float) -> int:
    """How many of the `width` coordinates of a head turn: an even number, `fraction` of them rounded down."""
    return int(width * fraction) // 2 * 2


def rotary(x: Tensor, positions: Tensor, *, fraction: float = 1.0, base: float = BASE) -> Tensor:
    """x ``[batch, time, heads, width]`` with its first coordinates turned, in the dtype of `x`.

    positions : ``[time]`` or ``[batch, time]``, whole numbers from 0. Coordinate i goes with i + half, as in GPT-NeoX, by
    position * base^(-2i/rotated). Angles are worked out in float64: in float32 they are off by 1e-3 after 16,384 tokens.
    """
    width = rotated_width(x.shape[-1], fraction)
    if not width:
        return x
    half = width // 2
    steps = torch.arange(half, dtype=torch.float64, device=x.device)
    angle = positions.double()[..., None] * base ** (-2.0 * steps / width)
    if positions.dim() == 1:
        angle = angle[None]
    wide = torch.promote_types(x.dtype, torch.float32)
    cos, sin = (f(angle)[:, :, None].to(wide) for f in (torch.cos, torch.sin))
    first, second, rest = x[..., :half].to(wide), x[..., half:width].to(wide), x[..., width:]
    turned = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    return torch.cat([turned.to(x.dtype), rest], dim=-1)
