"""The task suite: one module per task, reached by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from .shakespeare import ByteText

TASKS = ("shakespeare",)

__all__ = ["TASKS", "load_task"]


def load_task(name: str) -> ByteText:
    """The task's data; ValueError for an unknown name."""
    if name not in TASKS:
        raise ModelError(f"task is {name!r}; expected one of {', '.join(TASKS)}")
    from .shakespeare import load

    return load()
