"""What all looks inside ask of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...errors import ModelError
from ...settings import is_whole


def check_row(input_ids: Tensor) -> None:
    """ModelError unless input_ids is one row ``[1, time]`` with at least one token."""
    if input_ids.dim() != 2 or input_ids.shape[0] != 1 or not input_ids.shape[1]:
        raise ModelError(f"input_ids is {tuple(input_ids.shape)}; expected one row [1, time] of at least one token")


def chosen_layers(layers: Sequence[int] | None, count: int, first: int = 1) -> tuple[int, ...]:
    """`layers`, or all from `first` to `count`. ModelError for a layer that is none of them."""
    if layers is None:
        return tuple(range(first, count + 1))
    for layer in layers:
        if not is_whole(layer) or not first <= layer <= count:
            raise ModelError(f"layer is {layer!r}; expected a whole number from {first} to {count}, the model's layers")
    return tuple(layers)
