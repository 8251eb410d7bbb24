"""Weights, gradients and moments of AdamW in shards, one per process (torch's `fully_shard`), for networks that outgrow a device.

A block's weights are gathered when it computes and let go of afterwards. What is saved is whole: gathered by the first process on
the host, and scattered from there when a run continues.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from transformers import PreTrainedModel

from .processes import Processes
from .trainer import TaskTrainer

_GATHER = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SCATTER = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def shard(model: PreTrainedModel, device: torch.device, processes: Processes) -> None:
    """Replace the weights by their shards, block by block, on `device`; every process must hold the same weights before.

    The embedding, the last norm and the head make up a unit of their own.
    """
    mesh = init_device_mesh(device.type, (processes.count,))
    blocks = set(model._no_split_modules or ())
    for module in list(model.modules()):
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights on the host, in the first process; empty in the others. All processes must call it."""
    if isinstance(model, FSDPModule):
        return dict(get_model_state_dict(model, options=_GATHER))  # type: ignore[arg-type]
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}


def whole_model(
    sharded: PreTrainedModel, build: Callable[[], PreTrainedModel], processes: Processes, device: torch.device
) -> PreTrainedModel:
    """In the first process an ordinary network, which `build` makes, with the weights of all shards; the others keep theirs."""
    weights = whole_weights(sharded)
    if not processes.first:
        return sharded
    model = build()
    model.load_state_dict(weights)
    return model.to(device)  # type: ignore[arg-type]


class ShardedTrainer(TaskTrainer):
    """The loop for a network that `shard` has cut up; its checkpoints are files of whole weights, as those of one process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # So the library leaves placement, gradients and shards to the model. Given to the constructor it would refuse
        # checkpoints, which are written and read here.
        self.is_distributed_loading_by_transformers = True

    def train(self, *args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            # The states that a block returns are views; nothing here writes into what a block returned.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
            return super().train(*args, **kwargs)

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        """The shards are where they belong."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        assert self.model is not None
        weights = whole_weights(self.model)
        if self.args.should_save:
            folder = Path(output_dir or self.args.output_dir or ".")
            folder.mkdir(parents=True, exist_ok=True)
            self.model.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
            save_file(_unshared(weights), folder / "model.safetensors", metadata={"format": "pt"})

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        assert self.model is not None and self.lr_scheduler is not None
        moments = get_optimizer_state_dict(self.model, self._adamw(), options=_GATHER)
        if self.args.should_save:
            torch.save(moments, os.path.join(output_dir, "optimizer.pt"))
            torch.save(self.lr_scheduler.state_dict(), os.path.join(output_dir, "scheduler.pt"))

    def _adamw(self) -> torch.optim.Optimizer:
        """The optimiser inside of what accelerate makes of it."""
        return getattr(self.optimizer, "optimizer", self.optimizer)  # type: ignore[return-value]

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        assert self.model is not None
        weights: dict[str, Any] = {}
        if self.args.should_save:
            weights = dict(load_file(Path(resume_from_checkpoint) / "model.safetensors"))
        set_model_state_dict(self.model, weights, options=_SCATTER)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        assert self.model is not None and self.lr_scheduler is not None
        folder, moments = Path(checkpoint), {}
        if self.args.should_save:
            moments = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
        set_optimizer_state_dict(self.model, self._adamw(), moments, options=_SCATTER)
        self.lr_scheduler.load_state_dict(torch.load(folder / "scheduler.pt", weights_only=True))


def _unshared(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tied weights, which share memory; the format refuses that."""
    return {name: tensor.clone().contiguous() for name, tensor in weights.items()}
