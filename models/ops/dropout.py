"""Dropout as torch has it, with the random numbers of a CPU drawn in a vectorised way."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """While training, a share `p` of the entries is 0 and the others are divided by 1 - p; as it is otherwise.

    On CPU torch's own draws one entry at a time: 12 ms for 1.3 million entries where `torch.rand` takes 4 ms, which was a
    sixth of the training time of a small classifier.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.training or self.p in (0.0, 1.0) or self.inplace:
            return super().forward(x)
        kept = torch.rand(x.shape, device=x.device) >= self.p
        return x * (kept * (1.0 / (1.0 - self.p))).to(x.dtype)
