"""Recurrent cells side by side: what AM-SU is compared with, behind one protocol (`cell.Cell`).

A cell is asked for by name. Importing this package is light; a cell's module is loaded with the first of its kind.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..choices import choice
from ..errors import ModelError

if TYPE_CHECKING:
    from .cell import Cell

# name -> (module of this package, class, settings that make this variant)
CELLS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "lif": ("lif", "LIF", {}),
    # The time constant of the AstroSNN paper, tau_n = 2, fixed.
    "lif_tau2": ("lif", "LIF", {"tau": (2.0, 2.0), "learn_tau": False, "decay": "one_minus_inv"}),
    "lif_recurrent": ("lif", "LIF", {"recurrent": True}),
    "alif": ("alif", "ALIF", {}),
    "alif_feedforward": ("alif", "ALIF", {"recurrent": False}),
    "gru": ("gru", "GRU", {}),
    "amsu": ("amsu", "AMSUCell", {}),
    # What of AM-SU does it: decays as printed, one time constant for all heads, one of the two terms alone.
    "amsu_literal": ("amsu", "AMSUCell", {"decay": "literal_inverse"}),
    "amsu_one_tau": ("amsu", "AMSUCell", {"tau_a": (128.0, 128.0)}),
    "amsu_astrocyte": ("amsu", "AMSUCell", {"terms": "astrocyte"}),
    "amsu_neuron": ("amsu", "AMSUCell", {"terms": "neuron"}),
}

__all__ = ["CELLS", "cell_class", "make_cell"]


def cell_class(name: str) -> type[Cell]:
    """The class behind a name; ModelError with the nearest match for an unknown one."""
    module, kind, _ = CELLS[choice("cell", name, CELLS)]
    try:
        found: type[Cell] = getattr(importlib.import_module(f".{module}", __name__), kind)
    except ModuleNotFoundError as error:
        raise ModelError(f"cell {name} is not in this installation ({error}); choose another one") from None
    return found


def make_cell(name: str, width: int, length: int, **settings: Any) -> Cell:
    """One layer of `width` units, from torch's present random state, for sequences of about `length` steps.

    Raises ModelError for an unknown name, width, or setting.
    """
    kind = cell_class(name)
    chosen = {**CELLS[name][2], **settings}
    unknown = sorted(set(chosen) - set(kind.SETTINGS))
    if unknown:
        raise ModelError(f"cell {name} has no setting {unknown[0]!r}; it has {', '.join(kind.SETTINGS) or 'none'}")
    return kind(width, length, **chosen)
