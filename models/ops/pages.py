"""Memory for long sequences: a large array that is freed is used again for the next one of about its size.

The C library gives arrays of more than some MB back to the system when they are freed, and the next pass has every page handed
out and cleared again: at 65,536 tokens that took as long as the arithmetic. What a layer returns and what its backward pass
returns is therefore taken from here on the CPU, as torch does on a GPU: the memory comes back when the last tensor on it is gone,
and at most `KEPT` bytes wait for the next one. Neither the environment nor the allocator is touched.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
import weakref
from collections import deque

import torch
from torch import Tensor

# Below, the C library keeps the memory itself.
LARGE = 2**22
# Idle bytes that are kept at most; the longest unused go first.
KEPT = 2**30
_ROUND = 2**21
# Only of memory that nobody uses: no result depends on it. Appending and popping are atomic, so that threads may share it.
_idle: deque[mmap.mmap] = deque()


def roomy(like: Tensor, *shape: int) -> Tensor:
    """An uninitialised tensor of this shape, in dtype and on the device of `like`."""
    count = 1
    for n in shape:
        count *= n
    size = count * like.element_size()
    if size < LARGE or like.device.type != "cpu" or not sys.platform.startswith("linux"):
        return like.new_empty(shape)
    memory = _taken(-(-size // _ROUND) * _ROUND)
    buffer = (ctypes.c_char * size).from_buffer(memory)
    # The tensor's storage holds the buffer, and nothing else does.
    weakref.finalize(buffer, _returned, memory).atexit = False
    return torch.frombuffer(buffer, dtype=like.dtype, count=count).view(shape)


def idle_bytes() -> int:
    """Bytes that wait for the next array."""
    return sum(len(x) for x in tuple(_idle))


def release() -> None:
    """Give what is idle back to the system."""
    _idle.clear()


def _taken(size: int) -> mmap.mmap:
    for _ in range(len(_idle)):
        try:
            memory = _idle.popleft()
        except IndexError:  # another thread was faster
            break
        if size <= len(memory) <= size + size // 4:
            return memory
        _idle.append(memory)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _returned(memory: mmap.mmap) -> None:
    _idle.append(memory)
    while idle_bytes() > KEPT:
        _idle.popleft()
