"""biosim: the tripartite synapse, simulated.

>>> import biosim
>>> ds = biosim.simulate("fig3", trials=4)          # doctest: +SKIP
>>> ds.calcium_mean.mean("trial")                   # doctest: +SKIP

Names are imported on first use, so that `import biosim` costs nothing and needs neither Numba nor Brian2.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ensemble import Clock, CoarseInput, Ensemble, Outcome, SimulationError
    from .experiment import Experiment, Faults, Jump, Schedule, Windows
    from .parameters import ParameterError, TripartiteParameters, parameter_set, parameter_sets
    from .protocols import PROTOCOLS, Protocol, protocol, swept
    from .simulation import ENGINES, run_ensemble, simulate
    from .spike_trains import SpikesMerged, SpikeTrains
    from .stability import eigenvalues, fixed_points, hopf_points, rest_state
    from .storage import DatasetError, load, provenance, save

_HOMES = {
    "Clock": "ensemble",
    "CoarseInput": "ensemble",
    "Ensemble": "ensemble",
    "Outcome": "ensemble",
    "SimulationError": "ensemble",
    "Experiment": "experiment",
    "Faults": "experiment",
    "Jump": "experiment",
    "Schedule": "experiment",
    "Windows": "experiment",
    "SpikeTrains": "spike_trains",
    "SpikesMerged": "spike_trains",
    "eigenvalues": "stability",
    "fixed_points": "stability",
    "hopf_points": "stability",
    "rest_state": "stability",
    "ParameterError": "parameters",
    "TripartiteParameters": "parameters",
    "parameter_set": "parameters",
    "parameter_sets": "parameters",
    "PROTOCOLS": "protocols",
    "Protocol": "protocols",
    "protocol": "protocols",
    "swept": "protocols",
    "ENGINES": "simulation",
    "run_ensemble": "simulation",
    "simulate": "simulation",
    "DatasetError": "storage",
    "load": "storage",
    "provenance": "storage",
    "save": "storage",
}

__all__ = [
    "ENGINES",
    "PROTOCOLS",
    "Clock",
    "CoarseInput",
    "DatasetError",
    "Ensemble",
    "Experiment",
    "Faults",
    "Jump",
    "Outcome",
    "ParameterError",
    "Protocol",
    "Schedule",
    "SimulationError",
    "SpikeTrains",
    "SpikesMerged",
    "TripartiteParameters",
    "Windows",
    "eigenvalues",
    "fixed_points",
    "hopf_points",
    "load",
    "parameter_set",
    "parameter_sets",
    "protocol",
    "provenance",
    "rest_state",
    "run_ensemble",
    "save",
    "simulate",
    "swept",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'biosim' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
