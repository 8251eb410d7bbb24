"""The state that generation carries: one object of constant size, passed as `past_key_values`, never changed in place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bridge.artifact import replacing

from ..carried_state import CarriedState
from ..errors import ModelError
from ..ops.rows import like

LayerState = tuple[Tensor, ...] | None


@dataclass
class AstroSNNState(CarriedState):
    """State after `seen` columns of input.

    layers : per layer what its mixer carries, tensors whose first dimension is the batch: for an AM-SU the astrocyte's S
        ``[batch, heads, d, d]`` and the neuron's u ``[batch, model]`` in float32, for any number of tokens. None before the
        first. Of all AM-SUs together 4 batch layers (hidden_size^2 / heads + hidden_size) bytes; the softmax control's grows.
    positions : real tokens seen per row, ``[batch]``; fewer than `seen` after padding. mixer : the kind of layer that this
        belongs to. settings : digest of the settings that say what the numbers mean (`AstroSNNConfig.state_digest`); a network
        with others refuses the state. Weights are not part of it: whose state it is, the caller keeps apart.
    """

    layers: list[LayerState]
    mixer: str = "amsu"
    settings: str = ""

    @classmethod
    def empty(
        cls, num_layers: int, batch: int, device: torch.device | str | None = None, mixer: str = "amsu"
    ) -> AstroSNNState:
        """The state before any token; layers create their own zeros."""
        return cls([None] * num_layers, torch.zeros(batch, dtype=torch.long, device=device), 0, mixer)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the rows `beam_idx` (beam search). The tensors are new; other states that share the old ones are not touched."""
        chosen = self.select(beam_idx)
        self.layers, self.positions = chosen.layers, chosen.positions

    def select(self, rows: Tensor) -> AstroSNNState:
        """A state of these rows ``[n]``, in this order and as often as they are named."""
        return self._mapped(lambda x: x.index_select(0, rows.to(x.device)))

    def to(self, device: torch.device | str) -> AstroSNNState:
        """The same state on another device."""
        return self._mapped(lambda x: x.to(device))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> AstroSNNState:
        layers = [None if layer is None else like(layer, [change(x) for x in layer]) for layer in self.layers]
        return AstroSNNState(layers, change(self.positions), self.seen, self.mixer, self.settings)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state into one safetensors file, whole or not at all. ModelError where none can be written."""
        tensors = {"positions": self.positions.cpu()}
        for i, layer in enumerate(self.layers):
            for j, x in enumerate(layer or ()):
                tensors[f"layer{i}.{j}"] = x.detach().contiguous().cpu()
        record = {
            "seen": self.seen,
            "mixer": self.mixer,
            "settings": self.settings,
            "layers": [None if x is None else len(x) for x in self.layers],
        }
        metadata = {"astrosnn_state": json.dumps(record)}
        try:
            with replacing(path) as temporary:
                save_file(tensors, temporary, metadata=metadata)
        except (OSError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ModelError(
                f"{os.fspath(path)} cannot be written ({reason}); name a file in a folder that is there"
            ) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> AstroSNNState:
        """Read what `save` wrote; whether it fits a network is seen when that is given it. ModelError for another file."""
        try:
            with safe_open(os.fspath(path), framework="pt") as file:
                record = json.loads((file.metadata() or {})["astrosnn_state"])
                counts = record["layers"]
                layers = [
                    None if n is None else tuple(file.get_tensor(f"layer{i}.{j}") for j in range(n))
                    for i, n in enumerate(counts)
                ]
                of = str(record["mixer"]), str(record.get("settings", ""))
                return cls(layers, file.get_tensor("positions"), int(record["seen"]), *of)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            raise ModelError(
                f"{os.fspath(path)} is no saved state ({reason}); write one with AstroSNNState.save"
            ) from None
