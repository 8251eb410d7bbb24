"""The task suite: one module per kind of task, reached by name; `presets` holds their recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ModelError

if TYPE_CHECKING:
    import os

    from .base import Task

TASKS = ("shakespeare", "imdb", "cifar10", "wikitext2", "enwik8")

__all__ = ["TASKS", "load_task"]


def load_task(name: str, data: str | os.PathLike[str] | None = None, **options: Any) -> Task:
    """The task with its data loaded; ValueError for an unknown name."""
    if name not in TASKS:
        raise ModelError(f"task is {name!r}; expected one of {', '.join(TASKS)}")
    from .shakespeare import SOURCE, language_task, load

    return language_task(load(), source=SOURCE)
