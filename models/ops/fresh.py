"""Large results in memory that the system hands out in large pages.

A result that is too large for the allocator's store comes page by page of 4 KB, each with an interruption of some microseconds
on a virtual machine: a third of the time of a pass over 65,536 tokens. Pages of 2 MB, where the system has them to give on
request, take that away.
"""

from __future__ import annotations

import math
import mmap

import torch
from torch import Tensor

# Below, the allocator reuses what it has.
LARGE = 8 * 2**20


def fresh(like: Tensor, *shape: int) -> Tensor:
    """An uninitialised tensor of this shape, contiguous, with the dtype and device of `like`."""
    count = math.prod(shape)
    if like.device.type != "cpu" or count * like.element_size() < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return like.new_empty(shape)
    try:
        memory = mmap.mmap(-1, count * like.element_size(), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_HUGEPAGE)
    except (OSError, ValueError):  # no such pages, or no such memory: then torch says so in its own words
        return like.new_empty(shape)
    # The tensor holds the memory, which goes back to the system with it.
    return torch.frombuffer(memory, dtype=like.dtype, count=count).view(shape)
