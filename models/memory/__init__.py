"""Working memory (Figure 3 of the AstroSNN paper): recurrent cells trained on bsuite's chains, by supervision or by reward.

Importing this package is light; torch comes with the first network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .network import MemoryNetwork, build_network, matched_width
    from .record import MemoryRun
    from .settings import PRESETS, MemorySettings
    from .training import load_network, run_job, train_memory

_WHERE = {
    "MemoryNetwork": "network",
    "MemoryRun": "record",
    "MemorySettings": "settings",
    "PRESETS": "settings",
    "build_network": "network",
    "load_network": "training",
    "matched_width": "network",
    "run_job": "training",
    "train_memory": "training",
}

__all__ = [
    "PRESETS",
    "MemoryNetwork",
    "MemoryRun",
    "MemorySettings",
    "build_network",
    "load_network",
    "matched_width",
    "run_job",
    "train_memory",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
