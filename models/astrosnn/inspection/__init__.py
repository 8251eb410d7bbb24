"""A look inside a language model: who writes into whose membrane, which neurons fire, and where an answer is kept.

The three parts of AstroSNN's Figure 5 (arXiv 2312.07625), as data: `mixing_maps`, `raster`, `trace`. Layers count from 1.
"""

from __future__ import annotations

from .maps import MixingMap, mixing_maps, reach
from .raster import Raster, raster
from .tracing import RESTORATIONS, Trace, Tracing, trace

__all__ = ["RESTORATIONS", "MixingMap", "Raster", "Trace", "Tracing", "mixing_maps", "raster", "reach", "trace"]
