"""The processes of one training run that a launcher (torchrun) has started: which of them this is, and what they share."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .errors import ModelError

# The first process scores a whole text while the others wait for what it says.
_PATIENCE = timedelta(days=1)
_LAUNCH = "torchrun --nproc-per-node {} -m astromorphic train ..."


@dataclass(frozen=True)
class Processes:
    """`count` processes that train one model, of which this is number `rank`; number 0 writes and prints."""

    count: int = 1
    rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def join(self) -> None:
        """Meet the others, once in the life of a process; until then nothing can be shared."""
        import torch
        from torch import distributed

        if self.count == 1 or distributed.is_initialized():
            return
        # What they tell each other lies in the memory of the host; gradients on GPUs take the way of the GPUs.
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(_leave)

    def shared(self, value: Any) -> Any:
        """What the first process has as `value`, in all of them; anything that JSON can say."""
        if self.count == 1:
            return value
        return self._told(value, 0)

    def gathered(self, value: Any) -> list[Any]:
        """The `value` of every process, in their order; anything that JSON can say."""
        if self.count == 1:
            return [value]
        return [self._told(value, rank) for rank in range(self.count)]

    def _told(self, value: Any, rank: int) -> Any:
        import torch
        from torch import distributed

        self.join()
        text = bytearray(json.dumps(value).encode()) if rank == self.rank else bytearray()
        size = torch.tensor([len(text)])
        distributed.broadcast(size, rank)
        content = torch.frombuffer(text, dtype=torch.uint8) if text else torch.empty(int(size), dtype=torch.uint8)
        distributed.broadcast(content, rank)
        return json.loads(content.numpy().tobytes())

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """If an error about the input stops one process inside the block, it stops all of them behind it.

        The first to fail raises its own error, and the others a ModelError that says which and why.
        """
        if self.count == 1:
            yield
            return
        error: ValueError | None = None
        try:
            yield
        except ValueError as found:
            error = found
        said = self.gathered(None if error is None else str(error))
        failed = next((rank for rank, line in enumerate(said) if line is not None), None)
        if error is not None and failed == self.rank:
            raise error
        if failed is not None:
            raise ModelError(f"process {failed} stopped: {said[failed]}")

    def wait(self) -> None:
        """Until all processes are here."""
        self.gathered(None)


def launched() -> Processes:
    """What the environment says of the launcher: one process without it.

    Raises ModelError for an environment that no launcher leaves.
    """
    count = _number("WORLD_SIZE", "1", 1, None)
    if count == 1:
        return Processes()
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise ModelError(
                f"WORLD_SIZE is {count} and {name} is not set; start with {_LAUNCH.format(count)}, or unset WORLD_SIZE"
            )
    return Processes(count, _number("RANK", "", 0, count - 1))


def _number(name: str, default: str, low: int, high: int | None) -> int:
    text = os.environ.get(name, default)
    if not text.isascii() or not text.isdigit() or int(text) < low or (high is not None and int(text) > high):
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise ModelError(f"{name} is {text!r}; expected a whole number, {expected}, as torchrun sets it, or no {name}")
    return int(text)


def check_alone(what: str) -> None:
    """ModelError under a launcher of several processes, all of which would write into one folder."""
    count = launched().count
    if count != 1:
        raise ModelError(f"WORLD_SIZE is {count}; {what} is for one process, start it without a launcher")


def check_same(processes: Processes, settings: Mapping[str, Any]) -> None:
    """ModelError unless all processes are about to train the same model on the same data with the same libraries."""
    for name, value in settings.items():
        if any(other != value for other in processes.gathered(json.loads(json.dumps(value)))):
            raise ModelError(f"the processes differ in {name}; give all of them the same command, data and versions")


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
