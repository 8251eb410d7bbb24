"""Feature map and position code of astromorphic attention (equations 4 and 12 of the Astromorphic Transformer paper)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError
from .precision import widen, without_autocast

DISTANCES = ("absnorm", "exp", "raw", "signed", "clipped", "grid", "none")


class _FeatureMap(torch.autograd.Function):
    """phi with its gradient min(phi, 1): 1 above 0 and exp(x) below. It keeps its output alone.

    Left to autograd, the choice between two branches is a third of the training time of a small classifier on CPU.
    """

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp_max(0.0).exp_().add_(x.relu())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (phi,) = ctx.saved_tensors
        return gradients[0] * phi.clamp_max(1.0)


@without_autocast
def feature_map(x: Tensor) -> Tensor:
    """phi(x) = elu(x) + 1 > 0 (eq. 4), any shape, float32 or better.

    Written as exp(x) below 0: elu(x) + 1 = expm1(x) + 1 rounds to 0 already at x = -17 in float32, and a zero feature
    can never recover.
    """
    phi: Tensor = _FeatureMap.apply(widen(x))
    return phi


def distance_matrix(
    length: int,
    kind: str = "absnorm",
    *,
    decay: float = 0.05,
    clip: int = 16,
    grid: tuple[int, int] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """P_rel ``[length, length]`` of positions i, j.

    "absnorm" |i-j| / (length-1); "exp" exp(-decay |i-j|); "raw" |i-j|; "signed" (i-j) / (length-1); "clipped" min(|i-j|,
    clip); "grid": positions are the patches of an image, row by row, and the distance is half of |rows apart| / (rows-1)
    plus half of |columns apart| / (columns-1). The paper says only "distance-based"; raw |i-j| saturates the sigmoid,
    hence the normalised default. "none" has no matrix.

    Raises ModelError for another kind, or a grid that is missing or has another number of patches.
    """
    if kind not in DISTANCES or kind == "none":
        raise ModelError(f"distance is {kind!r}; expected one of {', '.join(DISTANCES[:-1])}")
    position = torch.arange(length, device=device, dtype=dtype)
    if kind == "grid":
        rows, columns = _checked_grid(grid, length)
        row, column = position.div(columns, rounding_mode="floor"), position.remainder(columns)
        apart = [(x[:, None] - x[None, :]).abs() / max(n - 1, 1) for x, n in ((row, rows), (column, columns))]
        return 0.5 * (apart[0] + apart[1])
    signed = position[:, None] - position[None, :]
    if kind == "signed":
        return signed / max(length - 1, 1)
    gap = signed.abs()
    if kind == "absnorm":
        return gap / max(length - 1, 1)
    if kind == "exp":
        return torch.exp(-decay * gap)
    return gap.clamp_max(clip) if kind == "clipped" else gap


def _checked_grid(grid: tuple[int, int] | None, length: int) -> tuple[int, int]:
    if grid is None:
        raise ModelError('distance is "grid", which needs rows and columns of an image; use "absnorm" for text')
    if grid[0] * grid[1] != length:
        raise ModelError(f"grid is {grid[0]} x {grid[1]}; expected {length} patches in all")
    return grid


@without_autocast
def position_code(
    matrix: Tensor,
    kind: str = "absnorm",
    *,
    decay: float = 0.05,
    clip: int = 16,
    grid: tuple[int, int] | None = None,
) -> Tensor:
    """W_astro^T = phi(M^T (M P_rel M^T)), one positive vector per absolute key position (eq. 12).

    `matrix` is M, ``[heads, m, N_max]``; the result is ``[N_max, heads, m]``. It is always evaluated at N_max and
    sliced by the caller: a code computed for the current length would change for old tokens as the prompt grows, and
    teacher forcing and step-by-step decoding would disagree. Kind "none" is ours: phi(M^T), learned without distances.
    """
    m = widen(matrix)
    if kind == "none":
        return feature_map(m.transpose(-1, -2)).transpose(0, 1)
    relative = distance_matrix(m.shape[-1], kind, decay=decay, clip=clip, grid=grid, device=m.device, dtype=m.dtype)
    d_m = m @ relative @ m.transpose(-1, -2)  # [heads, m, m]
    a = m.transpose(-1, -2) @ d_m  # [heads, N_max, m]
    return feature_map(a).transpose(0, 1)
