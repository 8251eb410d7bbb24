"""What every state that generation carries, as `past_key_values`, can say of itself; the layers' part is each network's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor


@dataclass
class CarriedState:
    """Per layer a tuple of tensors or None; real tokens seen per row, ``[batch]``; columns seen, padding included."""

    layers: list[Any]
    positions: Tensor
    seen: int = 0
    is_compileable: ClassVar[bool] = False  # asked for by `generate`

    @property
    def batch_size(self) -> int:
        """Rows of the batch that this state belongs to."""
        return int(self.positions.shape[0])

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Columns seen so far, padding included (asked for by `generate`)."""
        return self.seen

    def num_bytes(self) -> int:
        """Memory of all layer states."""
        return sum(x.numel() * x.element_size() for layer in self.layers if layer is not None for x in layer)
