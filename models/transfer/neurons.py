"""The hidden neurons that take the place of an attention: how many, which feature map, and the draw of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from bridge.artifact import available_memory

from ..errors import ModelError
from ..ops.random_features import RANDOM_FEATURES, draw_weights, layer_seed
from ..settings import is_whole

_LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class HiddenNeurons:
    """m random neurons per head, drawn anew for every layer.

    Raises ModelError for a number, feature map, seed or clip that cannot be used.
    """

    m: int
    kind: str = "exponential"
    orthogonal: bool = True
    seed: int = 0
    clip: float = 10.0

    def __post_init__(self) -> None:
        if not is_whole(self.m) or self.m < 1:
            raise ModelError(f"hidden_neurons is {self.m!r}; expected a whole number of at least 1 per head")
        if self.kind not in RANDOM_FEATURES:
            raise ModelError(f"features is {self.kind!r}; expected one of {', '.join(RANDOM_FEATURES)}")
        if not isinstance(self.orthogonal, bool):
            raise ModelError(f"orthogonal is {self.orthogonal!r}; expected True or False")
        if not is_whole(self.seed) or not 0 <= self.seed <= _LARGEST_SEED:
            raise ModelError(f"seed is {self.seed!r}; expected a whole number from 0 to {_LARGEST_SEED}")
        number = isinstance(self.clip, int | float) and not isinstance(self.clip, bool)
        if not number or not 0 < self.clip < float("inf"):
            raise ModelError(f"clip is {self.clip!r}; expected a finite number above 0")

    def draw(self, heads: int, d: int, layer: int) -> tuple[Tensor, Tensor]:
        """W ``[heads, m, d]`` and b ``[heads, m]`` of one layer, the same as in a network of ours with `feature_seed` = seed."""
        return draw_weights(heads, self.m, d, seed=layer_seed(self.seed, layer), orthogonal=self.orthogonal)

    def check_memory(self, heads: int, d: int, layers: int) -> None:
        """Raise ModelError, before anything is drawn, if the weights of all layers cannot fit into this machine's memory."""
        # One layer is drawn in float64, twice if its rows are made orthogonal.
        needed = heads * self.m * (4 * layers * (d + 1) + 16 * d)
        limit = available_memory()
        if needed > limit:
            raise ModelError(
                f"hidden_neurons is {self.m:,} for {layers} layers of {heads} heads, whose weights need "
                f"{needed / 2**30:,.1f} GiB, but {limit / 2**30:,.1f} GiB of memory are free; lower hidden_neurons"
            )


def chosen_layers(layers: Sequence[int] | None, count: int) -> list[int]:
    """`layers` checked against the number of attention layers; all of them for None."""
    if layers is None:
        return list(range(count))
    wanted = list(layers)
    if not wanted or any(not is_whole(i) or not 0 <= i < count for i in wanted) or len(set(wanted)) < len(wanted):
        raise ModelError(
            f"layers is {wanted!r}; expected different whole numbers from 0 to {count - 1}, or None for all"
        )
    return sorted(wanted)
