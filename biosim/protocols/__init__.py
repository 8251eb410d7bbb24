"""Protocols: what is done to the synapse. Each is a function that returns a `Protocol`; `PROTOCOLS` lists them by name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, overload

from ..ensemble import STRUCTURAL, SimulationError
from ..parameters import check_value, describe
from ..plan import Plan
from ..plasticity.cycles import stp_cycles
from ..registry import choose
from .arguments import points
from .base import TRIAL, Axis, Protocol
from .faults import self_repair
from .pulses import impulse_response, pulse_train, spikes
from .rates import constant_ip3, fig3, rate_sweep
from .waves import calcium_wave

__all__ = [
    "LIST_OPTIONS", "PROTOCOLS", "TRIAL", "Axis", "Protocol", "calcium_wave", "constant_ip3", "fig3", "impulse_response",
    "parameters_of", "protocol", "pulse_train", "rate_sweep", "self_repair", "spikes", "stp_cycles", "swept",
]  # fmt: skip

PROTOCOLS: dict[str, Callable[..., Protocol | Plan]] = {
    "fig3": fig3,
    "rate_sweep": rate_sweep,
    "constant_ip3": constant_ip3,
    "pulse_train": pulse_train,
    "impulse_response": impulse_response,
    "self_repair": self_repair,
    "spikes": spikes,
    "calcium_wave": calcium_wave,
    "stp_cycles": stp_cycles,
}

# Options that take a list of values; one value alone is a list of one.
LIST_OPTIONS = frozenset({"rates", "ip3", "sizes", "shares", "synapses", "mean_PR0", "strengths", "stimulated"})


def parameters_of(name: str) -> ModuleType:
    """The module with the parameters of protocol `name`: its ``parameter_set``, ``parameter_sets`` and ``quantity_names``."""
    make = PROTOCOLS[choose("protocol", name, PROTOCOLS)]
    return importlib.import_module("..plasticity.parameters" if make is stp_cycles else "..parameters", __package__)


def protocol(name: str, parameters: Any = None, **options: Any) -> Any:
    """The protocol `name` with `options` (see each function), a `Protocol` or a `Plan`.

    Unknown names and options are refused with the choices.
    """
    make = PROTOCOLS[choose("protocol", name, PROTOCOLS)]
    known = [p for p in inspect.signature(make).parameters if p != "parameters"]
    for option in options:
        choose(f"option of protocol {name}", option, known)
    return make(**options) if parameters is None else make(parameters, **options)


@overload
def swept(base: Protocol, name: str, values: Sequence[float]) -> Protocol: ...
@overload
def swept(base: Plan, name: str, values: Sequence[float]) -> Plan: ...
def swept(base: Protocol | Plan, name: str, values: Sequence[float]) -> Protocol | Plan:
    """`base` with a further axis: the numeric parameter `name` takes each of `values`."""
    if not isinstance(base, Protocol):
        return base.swept(name, values)
    meta = describe(name)
    if name in STRUCTURAL:
        raise SimulationError(f"{name} fixes the structure of an ensemble and cannot be swept; simulate once per value")
    if name == "PR0" and base.scatter is not None:
        raise SimulationError(
            "PR0 differs between synapses in this protocol and cannot be swept; leave out scatter and mean_PR0"
        )
    if name in (axis.name for axis in base.axes):
        raise SimulationError(f"{name} is already an axis of protocol {base.name}; give its values there")
    array = points(name, values, meta["unit"])
    for value in array:
        check_value(name, float(value))
    axis = Axis(name, array, meta["unit"], meta["meaning"])
    if base.tissue is not None:
        # The astrocytes of a copy stay side by side.
        return replace(base, axes=(*base.axes[:-1], axis, base.axes[-1]))
    return replace(base, axes=(*base.axes, axis))
