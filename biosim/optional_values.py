"""Values of the processes that are off unless asked for: name -> (value, source, status), the same in every built-in set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .parameters import Status

_NEST = "NEST astrocyte_lr_1994 (Nadkarni and Jung 2003)"
_WADE = "about this in Wade et al. 2011 by secondary descriptions; its table is unverified"

SLOW_INWARD_CURRENT: dict[str, tuple[Any, str, Status]] = {
    "sic": ("none", "off; the published MATLAB has none", "assumed"),
    "sic_per": (
        "neuron",
        "once per neuron; equations 6-7 of arXiv 2312.10925 read literally add it per synapse",
        "assumed",
    ),
    "SIC_scale": (
        1.4,
        "depolarises this neuron by v_th at 0.4 uM; the raw 2.11 uA/cm^2 of Nadkarni and Jung is 105.5 pA and saturates it",
        "assumed",
    ),
    "SIC_offset": (0.19669, _NEST, "published"),
    "tau_SIC_rise": (0.06, _WADE, "assumed"),
    "tau_SIC_decay": (0.6, _WADE, "assumed"),
}

OFF = {**SLOW_INWARD_CURRENT}
