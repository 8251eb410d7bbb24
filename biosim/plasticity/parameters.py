"""Parameters of the plasticity network of RMAAT: every field with symbol, unit, range, source and status.

The paper (arXiv 2601.00426) prints its equations with "proportional to" and, in the parts that are public, no constants but
those of its protocol; it orders the time scales, tau_s << tau_p^s << tau_p^l. Every value of the set ``rmaat`` is therefore
marked ``assumed``, with the reason for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from ..checks import as_float, plain_number
from ..messages import shown
from ..parameters import LARGEST, SMALLEST, ParameterError, Provenance, Status
from ..registry import choose
from .functions import FUNCTIONS

Norm = Literal["mean", "rows", "none"]


def _number(symbol: str, unit: str, meaning: str, low: float, *, open_low: bool = False) -> Any:
    return field(metadata={"symbol": symbol, "unit": unit, "meaning": meaning, "low": low, "open_low": open_low})


def _time(symbol: str, meaning: str) -> Any:
    return _number(symbol, "s", meaning, 0.0, open_low=True)


def _option(symbol: str, meaning: str, choices: tuple[str, ...]) -> Any:
    return field(metadata={"symbol": symbol, "unit": "1", "meaning": meaning, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class PlasticityParameters:
    """The constants of `network` as RMAAT uses it: p is the short-term process p^s, p^l the long-term one.

    Raises
    ------
    ParameterError
        On construction, naming the field, its value and what was expected.
    """

    name: str = field(metadata={"symbol": "-", "unit": "1", "meaning": "name of the parameter set"})

    tau_x: float = _time("tau_n", "time constant of the neurons")
    tau_s: float = _time("tau_s", "time constant of synaptic facilitation")
    tau_ps: float = _time("tau_p^s", "time constant of the short-term processes")
    tau_pl: float = _time("tau_p^l", "time constant of the long-term processes")
    leak_x: float = _number("lambda", "1", "leak of the neurons", 0.0)
    leak_s: float = _number("beta", "1", "leak of facilitation", 0.0)
    leak_ps: float = _number("gamma^s", "1", "leak of the short-term processes", 0.0)
    leak_pl: float = _number("gamma^l", "1", "leak of the long-term processes", 0.0)
    gain_x: float = _number("w_x", "1", "weight of the synapses' input to a neuron", 0.0)
    gain_s: float = _number("w_s", "1", "weight of a short-term process in the facilitation of its synapse", 0.0)
    coupling_strength: float = _number(
        "T_0", "1", "sum of the couplings that a synapse receives, mean over synapses", 0.0
    )
    coupling_scale: float = _number("scale", "1", "decay of the coupling per unit of distance", 0.0)
    coupling_norm: Norm = _option("-", "what the couplings are divided by", get_args(Norm))
    drive: float = _number("b", "1", "input to the neurons while they are stimulated", 0.0)
    theta: str = _option("theta", "non-linearity of the neurons", tuple(FUNCTIONS))
    g: str = _option("g", "non-linearity of facilitation, towards neurons and short-term processes", tuple(FUNCTIONS))
    psi: str = _option("psi", "non-linearity of the short-term processes", tuple(FUNCTIONS))
    kappa: str = _option("kappa", "non-linearity of facilitation, towards long-term processes", tuple(FUNCTIONS))
    steepness: float = _number("k", "1", "slope of the non-linearities at 0", 0.0, open_low=True)

    provenance: Mapping[str, Provenance] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in quantity_names():
            object.__setattr__(self, name, check_value(name, getattr(self, name)))
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def with_values(self, **changes: Any) -> PlasticityParameters:
        """A copy with some fields changed; an unknown name is refused with the nearest match."""
        for name in changes:
            choose("parameter", name, quantity_names())
        marked = dict(self.provenance) | {name: Provenance("set by the user", "user") for name in changes}
        label = self.name if self.name.endswith("(modified)") or not changes else f"{self.name} (modified)"
        return replace(self, **changes, name=label, provenance=marked)

    def to_records(self) -> dict[str, dict[str, Any]]:
        """JSON-ready record per field: value, unit, symbol, source, status."""
        records = {}
        for name in quantity_names():
            origin = self.provenance.get(name, Provenance("not stated", "user"))
            records[name] = {
                "value": getattr(self, name),
                "unit": _METADATA[name]["unit"],
                "symbol": _METADATA[name]["symbol"],
                "source": origin.source,
                "status": origin.status,
            }
        return records


_METADATA = {f.name: f.metadata for f in fields(PlasticityParameters) if f.name not in ("name", "provenance")}


def quantity_names() -> tuple[str, ...]:
    """Names of all fields that hold a value of the model."""
    return tuple(_METADATA)


def describe(name: str) -> Mapping[str, Any]:
    """Metadata of a parameter: symbol, unit, meaning and range or choices."""
    choose("parameter", name, quantity_names())
    return _METADATA[name]


def check_value(name: str, value: Any) -> Any:
    """Return `value` as the type of field `name`, or raise ParameterError naming field, value and expectation."""
    meta = _METADATA[choose("parameter", name, _METADATA)]
    if "choices" in meta:
        if not isinstance(value, str) or value not in meta["choices"]:
            raise ParameterError(f"{name} = {shown(value)}: expected one of {', '.join(meta['choices'])}")
        return value
    number = plain_number(value)
    low = SMALLEST if meta["open_low"] else meta["low"]
    unit = "" if meta["unit"] == "1" else f" in {meta['unit']}"
    if number is None or not math.isfinite(as_float(number)) or not low <= as_float(number) <= LARGEST:
        raise ParameterError(
            f"{name} = {shown(value)}: expected one number{unit} from {low:g} to {LARGEST:g} ({meta['meaning']})"
        )
    return as_float(number)


_ORDER = "RMAAT orders tau_s << tau_p^s << tau_p^l and prints no values"
_SCALED = "1: absorbed in time constant and gains"
_SETS: dict[str, dict[str, tuple[Any, str, Status]]] = {
    "rmaat": {
        "tau_x": (0.5, "shorter than tau_s, so that neurons follow their input", "assumed"),
        "tau_s": (1.5, f"{_ORDER}; seconds, the scale of facilitation", "assumed"),
        "tau_ps": (5.0, f"{_ORDER}; seconds, well within a cycle of 50 s", "assumed"),
        "tau_pl": (100.0, f"{_ORDER}; 95 % of saturation after the six cycles of its Fig. 3", "assumed"),
        "leak_x": (1.0, _SCALED, "assumed"),
        "leak_s": (1.0, _SCALED, "assumed"),
        "leak_ps": (1.0, _SCALED, "assumed"),
        "leak_pl": (1.0, _SCALED, "assumed"),
        "gain_x": (0.3, "below 1, so that activity ends with the stimulation", "assumed"),
        "gain_s": (0.3, "below 1, so that facilitation ends with the stimulation", "assumed"),
        "coupling_strength": (0.5, "below 1, so that coupled processes decay without input", "assumed"),
        "coupling_scale": (1.0, "one distance between neighbours", "assumed"),
        "coupling_norm": ("mean", "keeps T symmetric and the effect of distance; RMAAT names no norm", "assumed"),
        "drive": (0.75, "half-way into the range of theta", "assumed"),
        "theta": ("rectified_tanh", "rates are not negative and saturate", "assumed"),
        "g": ("rectified_tanh", "facilitation does not turn inhibitory", "assumed"),
        "psi": ("tanh", "as in the public code of Kozachkov et al. (kozleo/naam)", "assumed"),
        "kappa": ("tanh", "as psi", "assumed"),
        "steepness": (1.0, "absorbed in the gains", "assumed"),
    }
}


def parameter_sets() -> tuple[str, ...]:
    """Names of the built-in sets."""
    return tuple(_SETS)


def parameter_set(name: str) -> PlasticityParameters:
    """The built-in set `name`; there is one, ``rmaat``."""
    table = _SETS[choose("parameter set", name, _SETS)]
    return PlasticityParameters(
        name=name,
        **{key: value for key, (value, _, _) in table.items()},
        provenance={key: Provenance(source, status) for key, (_, source, status) in table.items()},
    )
