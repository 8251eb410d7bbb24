"""Data-parallel training on one machine: the same function in two processes that can speak to each other."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch.distributed import destroy_process_group, init_process_group


def in_two_processes(work: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `work`, a function of a module, returns for ranks 0 and 1: tensors, in lists and dictionaries."""
    context = get_context("spawn")
    processes = [context.Process(target=_worker, args=(work, rank, str(folder))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def _worker(work: Callable[[int], Any], rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    try:
        torch.save(work(rank), f"{folder}/rank{rank}.pt")
    finally:
        destroy_process_group()
