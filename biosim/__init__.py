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
    from .atomic import OutputError
    from .bifurcation_diagram import bifurcation, bifurcation_points
    from .cycles import limit_cycles
    from .ensemble import Clock, CoarseInput, Ensemble, Outcome, SimulationError
    from .experiment import Experiment, Faults, Jump, Schedule, Windows
    from .parameters import ParameterError, TripartiteParameters, parameter_set, parameter_sets
    from .plan import Plan
    from .plasticity.cycles import StpCycles, stp_cycles
    from .plasticity.energy import network_energy
    from .plasticity.engines import network_trajectory
    from .plasticity.network import LongTerm, PlasticityNetwork, associative_memory, cued_state
    from .plasticity.parameters import PlasticityParameters
    from .plasticity.retention import decay_per_cycle, geometric_retention, retention_factors, saturation_level
    from .protocols import PROTOCOLS, Protocol, protocol, swept
    from .registry import UnknownName
    from .simulation import ENGINES, run_ensemble, simulate
    from .spike_trains import SpikesMerged, SpikeTrains
    from .stability import eigenvalues, fixed_points, hopf_points, rest_state
    from .staircase import hysteresis
    from .storage import DatasetError, load, provenance, save
    from .sweeps import block_size, sweep

_HOMES = {
    "OutputError": "atomic",
    "UnknownName": "registry",
    "bifurcation": "bifurcation_diagram",
    "bifurcation_points": "bifurcation_diagram",
    "hysteresis": "staircase",
    "limit_cycles": "cycles",
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
    "Plan": "plan",
    "StpCycles": "plasticity.cycles",
    "stp_cycles": "plasticity.cycles",
    "network_energy": "plasticity.energy",
    "network_trajectory": "plasticity.engines",
    "LongTerm": "plasticity.network",
    "PlasticityNetwork": "plasticity.network",
    "associative_memory": "plasticity.network",
    "cued_state": "plasticity.network",
    "PlasticityParameters": "plasticity.parameters",
    "decay_per_cycle": "plasticity.retention",
    "geometric_retention": "plasticity.retention",
    "retention_factors": "plasticity.retention",
    "saturation_level": "plasticity.retention",
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
    "block_size": "sweeps",
    "sweep": "sweeps",
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
    "LongTerm",
    "Outcome",
    "OutputError",
    "ParameterError",
    "Plan",
    "PlasticityNetwork",
    "PlasticityParameters",
    "Protocol",
    "Schedule",
    "SimulationError",
    "SpikeTrains",
    "SpikesMerged",
    "StpCycles",
    "TripartiteParameters",
    "UnknownName",
    "Windows",
    "associative_memory",
    "bifurcation",
    "bifurcation_points",
    "block_size",
    "cued_state",
    "decay_per_cycle",
    "eigenvalues",
    "fixed_points",
    "geometric_retention",
    "hopf_points",
    "hysteresis",
    "limit_cycles",
    "load",
    "network_energy",
    "network_trajectory",
    "parameter_set",
    "parameter_sets",
    "protocol",
    "provenance",
    "rest_state",
    "retention_factors",
    "run_ensemble",
    "saturation_level",
    "save",
    "simulate",
    "stp_cycles",
    "sweep",
    "swept",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'biosim' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
