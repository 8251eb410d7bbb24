"""From pixels to tokens: one convolution and patches, patches alone, or the first stages of a real CoAtNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ModelError

if TYPE_CHECKING:
    from .configuration_astromorphic import AstromorphicConfig


class MBConv(nn.Module):
    """Inverted bottleneck with squeeze and excitation, in the pre-norm form of CoAtNet (Dai et al. 2021, arXiv 2106.04803).

    x + project(SE(depthwise(expand(norm(x))))); with stride 2 the shortcut is pooled, with another width projected.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: int = 4) -> None:
        super().__init__()
        inner, squeezed = expansion * inputs, max(1, inputs // 4)
        self.norm = nn.BatchNorm2d(inputs)
        self.expand = nn.Conv2d(inputs, inner, 1, bias=False)
        self.expand_norm = nn.BatchNorm2d(inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(inner)
        self.squeeze = nn.Conv2d(inner, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, inner, 1)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, channels, height, width]`` in and out."""
        y = F.gelu(self.expand_norm(self.expand(self.norm(x))))
        y = F.gelu(self.depthwise_norm(self.depthwise(y)))
        weight = torch.sigmoid(self.excite(F.gelu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return self.shortcut(self.pool(x)) + self.project(y * weight)


class ImageStem(nn.Module):
    """Tokens ``[batch, rows * columns, hidden_size]``, row by row, from pixels ``[batch, channels, height, width]``.

    "conv" (the paper's "a 3x3 convolution before the patches"): convolution, GELU, patches. "patch": patches alone.
    "coatnet": two convolutions, then log2(patch_size) + 1 stages of MBConv blocks, all but the first halving the image.
    """

    def __init__(self, config: AstromorphicConfig) -> None:
        super().__init__()
        channels = config.stem_channels or max(1, config.hidden_size // 2)
        patch, wide = config.patch_size, config.hidden_size
        if config.stem == "coatnet":
            halvings = patch.bit_length() - 1
            if 2**halvings != patch:
                raise ModelError(f'patch_size is {patch} and stem "coatnet", which halves the image; use a power of 2')
            self.before = nn.Sequential(
                nn.Conv2d(config.num_channels, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.GELU(),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            strides = [1, *[2] * halvings]
            blocks = [MBConv(channels, channels, s if i == 0 else 1) for s in strides for i in range(config.stem_depth)]
            self.before.extend(blocks)
            self.patches = nn.Conv2d(channels, wide, 1)
        elif config.stem == "conv":
            self.before = nn.Sequential(nn.Conv2d(config.num_channels, channels, 3, padding=1), nn.GELU())
            self.patches = nn.Conv2d(channels, wide, patch, stride=patch)
        else:
            self.before = nn.Sequential()
            self.patches = nn.Conv2d(config.num_channels, wide, patch, stride=patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """``[batch, tokens, hidden_size]``."""
        return self.patches(self.before(pixels)).flatten(2).transpose(1, 2)
