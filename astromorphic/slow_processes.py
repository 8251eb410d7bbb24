"""The sections of a macro file beside the response: the simulations they come from, and their fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from bridge import MacroParameters

# Protocols whose simulations are no response curves but give time constants, or retention and distance.
IMPULSE, CYCLES = "impulse_response", "stp_cycles"
DEFAULT_TAU_N = 2.0
# File -> protocol and its options. The second impulse is large enough to make the astrocyte release glutamate.
SIMULATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "impulse.nc": (IMPULSE, MappingProxyType({})),
        "gliotransmission.nc": (IMPULSE, MappingProxyType({"stimulus": "IP3", "sizes": 0.4, "duration": 201.0})),
        "cycles.nc": (CYCLES, MappingProxyType({"geometry": "line", "n_cycles": 8})),
    }
)


def simulate(name: str, seed: int = 0) -> xr.Dataset:
    """One of `SIMULATIONS`, in the parameter set that its protocol is meant for."""
    import biosim

    protocol, options = SIMULATIONS[name]
    return biosim.simulate(protocol, seed=seed, **options)


def fit(
    loaded: Mapping[str, xr.Dataset],
    tau_n: float = DEFAULT_TAU_N,
    origin: Callable[[str, Iterable[str]], dict[str, Any]] | None = None,
) -> tuple[MacroParameters, list[str]]:
    """Time constants from the impulses, retention and distance from the cycles, and what could not be measured, in lines.

    loaded : source -> its Dataset; at most one of cycles. origin : (protocol, sources) -> what provenance is to say of a
    section beside the simulations themselves, such as a command.

    Raises `bridge.MacroError` for a Dataset of another protocol, and where nothing can be measured.
    """
    import bridge

    by_kind: dict[str, dict[str, xr.Dataset]] = {IMPULSE: {}, CYCLES: {}}
    for source, dataset in loaded.items():
        protocol = record(dataset).get("protocol", {}).get("name")
        if protocol not in by_kind:
            raise bridge.MacroError(f"{source}: is a simulation by {protocol}; expected {IMPULSE} or {CYCLES}")
        by_kind[protocol][source] = dataset
    impulses, cycles = by_kind[IMPULSE], by_kind[CYCLES]
    constants = bridge.measure_time_constants(list(impulses.values()), tau_n=tau_n) if impulses else None
    plasticity = bridge.measure_plasticity(next(iter(cycles.values()))) if cycles else None
    records: dict[str, dict[str, Any]] = {}
    for names, protocol in ((("time_constants",), IMPULSE), (("retention", "distance"), CYCLES)):
        if sources := by_kind[protocol]:
            about = _simulated(sources) | (origin(protocol, sources) if origin else {})
            records |= dict.fromkeys(names, about)
    macro = bridge.macro_from_memory(constants, plasticity, records=records)
    skipped = (constants.skipped if constants else {}) | (plasticity.skipped if plasticity else {})
    notes = [f"{name}: not measured, {reason}" for name, reason in skipped.items()]
    return macro, [*notes, *(constants.notes if constants else ())]


def kind(source: str) -> str:
    """The protocol of a simulation that is no response curve, otherwise "response"."""
    if source.startswith("published:") or not source.lower().endswith(".nc") or not Path(source).is_file():
        return "response"
    import biosim

    name = record(biosim.load(source)).get("protocol", {}).get("name")
    return name if name in (IMPULSE, CYCLES) else "response"


def record(dataset: xr.Dataset) -> dict[str, Any]:
    """The record of a simulation; empty for a Dataset from elsewhere, which may still hold a curve."""
    import biosim

    if "provenance" not in dataset.attrs:
        return {}
    found = biosim.provenance(dataset)
    return found if isinstance(found.get("protocol"), dict) else {}


def _simulated(datasets: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    kept = ("digest", "protocol", "parameter_set", "engine", "seed")
    return {
        "source": ", ".join(datasets),
        "simulations": [{key: one[key] for key in kept if key in one} for one in map(record, datasets.values())],
    }
