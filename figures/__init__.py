"""figures: one module per figure, each `compute() -> tidy data` and `draw(data) -> Figure`; and the HTML report.

Import the module of a figure (`from figures import fig3`), or make one by name with `figures.make("fig3", "out")`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gallery import FIGURES, make, titles

_HOMES = {"FIGURES": "gallery", "make": "gallery", "titles": "gallery"}

__all__ = ["FIGURES", "make", "titles"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'figures' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
