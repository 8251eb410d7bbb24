"""Fixed random features of the softmax kernel: phi(x) . phi(y) = exp(x . y) on average over the draw of W.

The feature maps of the original neuron-astrocyte transformer (Kozachkov, Kastanenka, Krotov 2023), where m counts hidden
neurons. W is ``[heads, m, d]`` of N(0, 1), b uniform in [0, 2 pi); queries and keys carry a factor d^(-1/4) each, so
that x . y is the scaled score of softmax attention:

    exponential        exp(W x - |x|^2/2) / sqrt(m)                       positive, never more than exp(|w|^2/2)
    truncated          min(exp(W x - |x|^2/2), clip) / sqrt(m)            a firing rate with a ceiling
    cosine             sqrt(2/m) cos(W x + b) exp(|x|^2/2)                of either sign
    positive_cosine    sqrt(2/m) max(cos(W x + b), 0) exp(|x|^2/2)        rates are not negative

The first and the third are unbiased; the other two are not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import ModelError
from .precision import widen, without_autocast

RANDOM_FEATURES = ("exponential", "cosine", "truncated", "positive_cosine")


def layer_seed(seed: int, layer: int) -> int:
    """The seed of one layer's W, another for every layer; below 2**32, as the generator reads no further bits."""
    return (seed * 1_000_003 + layer) % 2**32


def draw_weights(heads: int, m: int, d: int, *, seed: int, orthogonal: bool = False) -> tuple[Tensor, Tensor]:
    """W ``[heads, m, d]`` and b ``[heads, m]`` in float32 on the CPU, the same for the same seed on every machine.

    orthogonal : rows in blocks of d are orthogonal, with the lengths of independent rows, so that every row alone is
        still N(0, 1).
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")

    weight = normal(heads, m, d)
    if orthogonal:
        length = weight.norm(dim=-1, keepdim=True)
        blocks = [_rotation(normal(heads, d, d)) for _ in range(-(-m // d))]
        weight = torch.cat(blocks, dim=1)[:, :m] * length
    phase = torch.rand(heads, m, generator=generator, dtype=torch.float64, device="cpu") * (2.0 * math.pi)
    return weight.float(), phase.float()


def _rotation(x: Tensor) -> Tensor:
    """Orthogonal matrices, uniformly distributed, from matrices of N(0, 1)."""
    q, r = torch.linalg.qr(x)
    return q * torch.diagonal(r, dim1=-2, dim2=-1).sign()[..., None, :]


@without_autocast
def random_features(
    x: Tensor, weight: Tensor, phase: Tensor, *, kind: str = "exponential", clip: float = 10.0, shift: str = "none",
) -> Tensor:  # fmt: skip
    """phi(x) ``[batch, time, heads, m]`` of x ``[batch, time, heads, d]``, which carries its factor d^(-1/4) already.

    shift : "none" gives phi itself. "token" gives phi times a positive factor per token and head that keeps it in range; for
        queries, where such a factor changes no output. Without a shift the two cosines overflow float32 from |x|^2 = 177 on;
        the exponentials cannot while |w|^2 < 177, which for d <= 64 is all but certain. For keys see `scaled_features`.

    Raises ModelError for an unknown kind.
    """
    factor, exponent = _factor_and_exponent(x, weight, phase, kind, clip)
    return factor * (exponent - (0.0 if shift == "none" else _largest(exponent))).exp()


@without_autocast
def scaled_features(
    x: Tensor, weight: Tensor, phase: Tensor, *, kind: str = "exponential", clip: float = 10.0
) -> tuple[Tensor, Tensor]:
    """phi(x) e^(-b) and b ``[batch, time, heads, 1]``, one b per token and head such that neither leaves the range of floats.

    For sums over tokens of which each has its own b. Arguments as for `random_features`.
    """
    factor, exponent = _factor_and_exponent(x, weight, phase, kind, clip)
    offset = _largest(exponent)
    return factor * (exponent - offset).exp(), offset


def _factor_and_exponent(
    x: Tensor, weight: Tensor, phase: Tensor, kind: str, clip: float
) -> tuple[Tensor | float, Tensor]:
    """phi(x) = factor e^exponent, with the factor of order 1/sqrt(m)."""
    if kind not in RANDOM_FEATURES:
        raise ModelError(f"feature map is {kind!r}; expected one of {', '.join(RANDOM_FEATURES)}")
    wide = widen(x)
    projected = torch.einsum("bthd,hmd->bthm", wide, weight.to(wide.dtype))
    half = 0.5 * wide.square().sum(-1, keepdim=True)
    m = weight.shape[-2]
    if kind in ("exponential", "truncated"):
        exponent = projected - half
        if kind == "truncated":
            exponent = exponent.clamp_max(math.log(clip))
        return m**-0.5, exponent
    wave = (projected + phase.to(wide.dtype)).cos()
    if kind == "positive_cosine":
        wave = wave.clamp_min(0.0)
    return wave * (2.0 / m) ** 0.5, half


def _largest(exponent: Tensor) -> Tensor:
    return exponent.detach().amax(dim=-1, keepdim=True)
