"""Feature map and position code of astromorphic attention (equations 4 and 12 of the Astromorphic Transformer paper)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError
from .precision import widen, without_autocast

DISTANCES = ("absnorm", "exp")


@without_autocast
def feature_map(x: Tensor) -> Tensor:
    """phi(x) = elu(x) + 1 > 0 (eq. 4), any shape, float32 or better.

    Written as exp(x) below 0: elu(x) + 1 = expm1(x) + 1 rounds to 0 already at x = -17 in float32, and a zero feature
    can never recover.
    """
    x = widen(x)
    return torch.where(x > 0, x + 1.0, x.clamp_max(0.0).exp())


def distance_matrix(
    length: int,
    kind: str = "absnorm",
    *,
    decay: float = 0.05,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """P_rel ``[length, length]``: |i-j| / (length-1) for "absnorm", exp(-decay |i-j|) for "exp".

    The paper says only "distance-based"; raw |i-j| saturates the sigmoid, hence the normalised default.
    """
    if kind not in DISTANCES:
        raise ModelError(f"distance is {kind!r}; expected one of {', '.join(DISTANCES)}")
    position = torch.arange(length, device=device, dtype=dtype)
    gap = (position[:, None] - position[None, :]).abs()
    if kind == "absnorm":
        return gap / max(length - 1, 1)
    return torch.exp(-decay * gap)


@without_autocast
def position_code(matrix: Tensor, kind: str = "absnorm", *, decay: float = 0.05) -> Tensor:
    """W_astro^T = phi(M^T (M P_rel M^T)), one positive vector per absolute key position (eq. 12).

    `matrix` is M, ``[heads, m, N_max]``; the result is ``[N_max, heads, m]``. It is always evaluated at N_max and
    sliced by the caller: a code computed for the current length would change for old tokens as the prompt grows, and
    teacher forcing and step-by-step decoding would disagree.
    """
    m = widen(matrix)
    relative = distance_matrix(m.shape[-1], kind, decay=decay, device=m.device, dtype=m.dtype)
    d_m = m @ relative @ m.transpose(-1, -2)  # [heads, m, m]
    a = m.transpose(-1, -2) @ d_m  # [heads, N_max, m]
    return feature_map(a).transpose(0, 1)
