"""Parameters of the tripartite synapse: every field with symbol, unit, bounds, and for each named set its source and status.

Numbers are plain floats in the units of the field (s, uM, mV, GOhm, pC, Hz, %). The unit is stated once, in the field's
metadata, from where the Dataset's attributes and the Brian2 engine take it.

Status of a value: ``published`` (read in a paper or in public code), ``derived`` (computed from published values),
``assumed`` (a documented choice where no source gives one), ``user`` (changed by whoever runs the simulation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal, get_args

from .checks import as_float, plain_number
from .messages import shown
from .optional_values import OFF, STIMBERG, STIMBERG_RING
from .registry import choose

Status = Literal["published", "derived", "assumed", "user"]
ReleaseRule = Literal["upward", "latched", "repeated", "continuous"]
EspForm = Literal["ode", "algebraic"]
SicForm = Literal["none", "instantaneous", "events"]
SicPer = Literal["neuron", "synapse"]
SynapseKind = Literal["quantum", "depressing"]
GateKind = Literal["none", "volman"]
CalciumNoise = Literal["none", "langevin"]
Ip3Source = Literal["ag", "glutamate", "spikes", "receptors"]
AstrocyteKind = Literal["li_rinzel", "gchi"]
CleftKind = Literal["sum", "mean"]


# No quantity of the model lies beyond these in its unit; products of a few stay within floating-point numbers.
SMALLEST, LARGEST = 1e-9, 1e9


class ParameterError(ValueError):
    """A parameter is unknown, has a wrong type or lies outside its range."""


@dataclass(frozen=True)
class Provenance:
    """Where the value of one field comes from."""

    source: str
    status: Status


def _quantity(
    symbol: str, unit: str, meaning: str, *, low: float = -math.inf, high: float = math.inf, open_low: bool = False
) -> Any:
    return field(
        metadata={"symbol": symbol, "unit": unit, "meaning": meaning, "low": low, "high": high, "open_low": open_low}
    )


def _positive(symbol: str, unit: str, meaning: str) -> Any:
    return _quantity(symbol, unit, meaning, low=0.0, open_low=True)


def _non_negative(symbol: str, unit: str, meaning: str) -> Any:
    return _quantity(symbol, unit, meaning, low=0.0)


def _option(symbol: str, meaning: str, choices: tuple[str, ...]) -> Any:
    return field(metadata={"symbol": symbol, "unit": "1", "meaning": meaning, "choices": choices})


@dataclass(frozen=True, kw_only=True)
class TripartiteParameters:
    """Neurons, synapses and one astrocyte (Wade et al. 2012 in the form of arXiv 2312.10925, Appendix D).

    Each field's metadata holds ``symbol``, ``unit``, ``meaning`` and its range; `provenance` maps a field's name to its
    source and status. Change values with `with_values`, which validates and marks the changed fields ``user``.

    Raises
    ------
    ParameterError
        On construction, naming the field, its value and what was expected.
    """

    name: str = field(metadata={"symbol": "-", "unit": "1", "meaning": "name of the parameter set"})

    # Structure
    n_neurons: int = _quantity("M", "1", "postsynaptic neurons that share the astrocyte", low=1, high=10_000)
    n_synapses: int = _quantity("N", "1", "synapses per neuron, each with its own input train", low=1, high=10_000)
    PR0: float = _quantity("PR(0)", "1", "release probability without astrocyte and 2-AG", low=0.0, high=1.0)

    # 2-AG and its direct, local effect
    K_AG: float = _quantity("K_AG", "%/uM", "DSE per concentration of 2-AG; negative suppresses", high=0.0)
    tau_AG: float = _positive("tau_AG", "s", "decay time of 2-AG")
    dAG: float = _non_negative("dAG", "uM", "2-AG released by one postsynaptic spike")

    # IP3
    IP3_rest: float = _positive("IP3*", "uM", "resting IP3")
    tau_IP3: float = _positive("tau_IP3", "s", "decay time of IP3 towards rest")
    r_IP3: float = _non_negative("r_IP3", "1/s", "IP3 production per concentration of 2-AG, summed over neurons")

    # Li-Rinzel calcium
    r_C: float = _non_negative("r_C", "1/s", "rate of calcium release through IP3 receptors")
    r_L: float = _non_negative("r_L", "1/s", "rate of calcium leak from the endoplasmic reticulum")
    v_ER: float = _non_negative("v_ER", "uM/s", "greatest rate of SERCA uptake")
    k_ER: float = _positive("k_ER", "uM", "SERCA affinity")
    c0: float = _positive("c0", "uM", "total free calcium, referred to the cytosol")
    c1: float = _positive("c1", "1", "volume of endoplasmic reticulum to cytosol")
    a2: float = _positive("a2", "1/(uM s)", "binding rate of inhibiting calcium")
    d1: float = _positive("d1", "uM", "dissociation constant of IP3")
    d2: float = _positive("d2", "uM", "dissociation constant of inhibiting calcium")
    d3: float = _positive("d3", "uM", "dissociation constant of IP3 with calcium inhibition")
    d5: float = _positive("d5", "uM", "dissociation constant of activating calcium")

    # Gliotransmission and its indirect, global effect
    Ca_th: float = _positive("Ca_th", "uM", "calcium threshold of glutamate release")
    release_rule: ReleaseRule = _option("-", "when the astrocyte releases glutamate", get_args(ReleaseRule))
    release_period: float = _positive("T_rel", "s", "time between pulses of the rules latched and repeated")
    tau_Glu: float = _positive("tau_Glu", "s", "decay time of astrocytic glutamate")
    dGlu: float = _non_negative("dGlu", "uM", "glutamate of one release pulse")
    r_Glu: float = _non_negative("r_Glu", "uM/s", "release rate of the rule continuous")
    esp_form: EspForm = _option(
        "-", "e-SP as a low-pass of glutamate (ode) or proportional to it (algebraic)", get_args(EspForm)
    )
    tau_eSP: float = _positive("tau_eSP", "s", "time constant of e-SP (form ode)")
    m_eSP: float = _non_negative("m_eSP", "%/uM", "e-SP per concentration of glutamate")

    # Leaky integrate-and-fire neuron
    tau_m: float = _positive("tau_m", "s", "membrane time constant")
    R_m: float = _positive("R_m", "GOhm", "membrane resistance")
    v_th: float = _positive("v_th", "mV", "threshold above rest")
    t_ref: float = _non_negative("t_ref", "s", "refractory time")
    quantum: float = _non_negative("Q", "pC", "charge of one released quantum")

    # Slow inward current from the astrocyte into the neurons, see processes.sic
    sic: SicForm = _option("-", "slow inward current: none, following calcium, or events", get_args(SicForm))
    sic_per: SicPer = _option("-", "whether the current enters once per neuron or once per synapse", get_args(SicPer))
    SIC_scale: float = _non_negative("A_SIC", "pA", "slow inward current per unit of ln y")
    SIC_offset: float = _non_negative("Ca_0", "uM", "calcium one nM below that at which the slow inward current begins")
    tau_SIC_rise: float = _positive("tau_r", "s", "rise time of the slow inward current (form events)")
    tau_SIC_decay: float = _positive("tau_d", "s", "decay time of the slow inward current (form events)")

    # Depressing synapse and its gate, see processes.depression
    synapse: SynapseKind = _option("-", "Bernoulli quantum, or depressing synapse with U = PR", get_args(SynapseKind))
    A_se: float = _non_negative("A_se", "pA", "current of a synapse with all its transmitter in the cleft")
    tau_in: float = _positive("tau_in", "s", "decay time of transmitter in the cleft")
    tau_rec: float = _positive("tau_rec", "s", "recovery time of a depressing synapse")
    gate: GateKind = _option("-", "gate by which calcium above Ca_th reduces release", get_args(GateKind))
    tau_f: float = _positive("tau_f", "s", "time in which the gate opens again")
    kappa_f: float = _non_negative("kappa_f", "1/s", "rate at which the gate closes while Ca >= Ca_th")

    # What produces IP3, see processes.ip3
    ip3_source: Ip3Source = _option(
        "-",
        "what produces IP3: 2-AG, synaptic glutamate, spikes, or the receptors of astrocyte = gchi",
        get_args(Ip3Source),
    )
    r_IP3_y: float = _non_negative("r_IP3y", "uM/s", "IP3 production per transmitter, summed over synapses (glutamate)")
    dIP3: float = _non_negative("dIP3", "uM", "IP3 produced by one postsynaptic spike (source spikes)")

    # G-ChI astrocyte, see processes.gchi; its calcium is that of Li and Rinzel
    astrocyte: AstrocyteKind = _option(
        "-",
        "IP3 linear (li_rinzel), or with receptors for glutamate and feedback by calcium (gchi)",
        get_args(AstrocyteKind),
    )
    cleft: CleftKind = _option(
        "-", "glutamate that receptors see: summed over all synapses, or their mean", get_args(CleftKind)
    )
    dY: float = _non_negative("dY", "uM", "glutamate in the cleft of one released quantum (gchi)")
    Omega_c: float = _positive("Omega_c", "1/s", "clearance of glutamate from the cleft (gchi)")
    O_N: float = _non_negative("O_N", "1/(uM s)", "rate at which glutamate activates receptors (gchi)")
    Omega_N: float = _positive("Omega_N", "1/s", "inactivation of receptors (gchi)")
    zeta: float = _non_negative("zeta", "1", "greatest increase of inactivation by protein kinase C (gchi)")
    K_KC: float = _positive("K_KC", "uM", "affinity of protein kinase C for calcium (gchi)")
    O_beta: float = _non_negative("O_beta", "uM/s", "greatest production of IP3 by phospholipase C beta (gchi)")
    O_delta: float = _non_negative("O_delta", "uM/s", "greatest production of IP3 by phospholipase C delta (gchi)")
    kappa_delta: float = _positive("kappa_delta", "uM", "IP3 that halves phospholipase C delta (gchi)")
    K_delta: float = _positive("K_delta", "uM", "affinity of phospholipase C delta for calcium (gchi)")
    O_3K: float = _non_negative("O_3K", "uM/s", "greatest degradation of IP3 by 3-kinase (gchi)")
    K_D: float = _positive("K_D", "uM", "affinity of 3-kinase for calcium (gchi)")
    K_3K: float = _positive("K_3K", "uM", "affinity of 3-kinase for IP3 (gchi)")
    Omega_5P: float = _positive("Omega_5P", "1/s", "degradation of IP3 by 5-phosphatase (gchi)")

    # Noise of the IP3 receptors, see processes.calcium_noise
    calcium_noise: CalciumNoise = _option(
        "-", "noise on h: none, or Langevin noise of N receptors", get_args(CalciumNoise)
    )
    N_IP3R: float = _positive("N", "1", "IP3 receptors that make the noise")
    noise_scale: float = _non_negative("s", "1", "amplitude of the noise relative to that of N receptors")

    # Initial state; None stands for the resting state of the set
    IP3_init: float | None = _positive("IP3(0)", "uM", "IP3 at the start (None: IP3_rest; with gchi its rest state)")
    Ca_init: float | None = _positive("Ca(0)", "uM", "calcium at the start (None: fixed point at IP3(0))")
    h_init: float | None = _quantity(
        "h(0)", "1", "IP3 receptors not inactivated at the start (None: fixed point)", low=0.0, high=1.0
    )

    provenance: Mapping[str, Provenance] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for spec in fields(self):
            if spec.name not in ("name", "provenance"):
                object.__setattr__(self, spec.name, check_value(spec.name, getattr(self, spec.name)))
        if not self.tau_SIC_rise < self.tau_SIC_decay:
            raise ParameterError(
                f"tau_SIC_rise = {self.tau_SIC_rise:g} s: expected less than tau_SIC_decay = {self.tau_SIC_decay:g} s"
            )
        if self.ip3_source == "glutamate" and self.synapse != "depressing":
            raise ParameterError("ip3_source = 'glutamate' needs the transmitter of synapse = 'depressing'; set both")
        if (self.astrocyte == "gchi") != (self.ip3_source == "receptors"):
            remedy = "ip3_source = receptors" if self.astrocyte == "gchi" else "astrocyte = gchi"
            raise ParameterError(
                f"ip3_source = {self.ip3_source!r} with astrocyte = {self.astrocyte!r}: receptors make the IP3 of the G-ChI "
                f"astrocyte, and of no other; set {remedy}"
            )
        if (self.Ca_init is None) != (self.h_init is None):
            raise ParameterError(
                f"Ca_init = {self.Ca_init} and h_init = {self.h_init}: give both, or None for both to start at rest"
            )
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def __getstate__(self) -> dict[str, Any]:
        # A read-only view cannot be pickled, and sets travel to the processes of a cluster.
        return {**self.__dict__, "provenance": dict(self.provenance)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, provenance=MappingProxyType(state["provenance"]))

    @property
    def has_current(self) -> bool:
        """Whether a continuous current enters the neurons, so that they fire and recover inside a step."""
        return self.sic != "none" or self.synapse == "depressing"

    @property
    def has_options(self) -> bool:
        """Whether a process is chosen that needs coefficients beside those of the basic model."""
        return self.has_current or self.calcium_noise != "none" or self.gate != "none" or self.ip3_source != "ag"

    @property
    def gchi(self) -> bool:
        """Whether IP3 is that of the G-ChI astrocyte."""
        return self.astrocyte == "gchi"

    def with_values(self, **changes: Any) -> TripartiteParameters:
        """A copy with some fields changed; an unknown name is refused with the nearest match.

        A change of `astrocyte` alone takes the `ip3_source` along that it cannot do without: ``receptors`` with ``gchi``
        in place of ``ag``, and the reverse.
        """
        for name in changes:
            choose("parameter", name, quantity_names())
        marked = dict(self.provenance) | {name: Provenance("set by the user", "user") for name in changes}
        follows = {("gchi", "ag"): "receptors", ("li_rinzel", "receptors"): "ag"}
        astrocyte = changes.get("astrocyte")
        source = follows.get((astrocyte, self.ip3_source)) if isinstance(astrocyte, str) else None
        if source is not None and "ip3_source" not in changes:
            changes["ip3_source"] = source
            marked["ip3_source"] = Provenance(f"follows from astrocyte = {astrocyte}", "derived")
        label = self.name if self.name.endswith("(modified)") or not changes else f"{self.name} (modified)"
        return replace(self, **changes, name=label, provenance=marked)

    def to_records(self) -> dict[str, dict[str, Any]]:
        """JSON-ready record per field: value, unit, symbol, source, status."""
        records = {}
        for spec in fields(self):
            if spec.name in ("name", "provenance"):
                continue
            origin = self.provenance.get(spec.name, Provenance("not stated", "user"))
            records[spec.name] = {
                "value": getattr(self, spec.name),
                "unit": spec.metadata["unit"],
                "symbol": spec.metadata["symbol"],
                "source": origin.source,
                "status": origin.status,
            }
        return records


def quantity_names() -> tuple[str, ...]:
    """Names of all fields that hold a value of the model."""
    return tuple(f.name for f in fields(TripartiteParameters) if f.name not in ("name", "provenance"))


def unit_of(name: str) -> str:
    """Unit of a parameter, e.g. ``"uM"``."""
    choose("parameter", name, quantity_names())
    return str(_METADATA[name]["unit"])


def describe(name: str) -> Mapping[str, Any]:
    """Metadata of a parameter: symbol, unit, meaning and range or choices."""
    choose("parameter", name, quantity_names())
    return _METADATA[name]


def check_value(name: str, value: Any) -> Any:
    """Return `value` as the type of field `name`, or raise ParameterError naming field, value and expectation."""
    meta = _METADATA[name]
    if "choices" in meta:
        if not isinstance(value, str) or value not in meta["choices"]:
            raise ParameterError(f"{name} = {shown(value)}: expected one of {', '.join(meta['choices'])}")
        return value
    if value is None and name in _OPTIONAL:
        return None
    if hasattr(value, "dimensions"):
        raise ParameterError(f"{name} = {value}: expected a plain number in {meta['unit']}, not a quantity")
    number = plain_number(value)
    if number is None:
        wanted = "a number" if meta["unit"] == "1" else f"a number in {meta['unit']}"
        raise ParameterError(f"{name} = {shown(value)}: expected {wanted}")
    value = as_float(number)
    if name in _INTEGERS and math.isfinite(value):
        if value != int(value):
            raise ParameterError(f"{name} = {shown(value)}: expected a whole number")
        value = int(value)
    low, high = meta["low"], meta["high"]
    if not math.isfinite(value) or value < low or value > high or (meta["open_low"] and value == low):
        lower = "" if low == -math.inf else f"{'above' if meta['open_low'] else 'at least'} {low:g}"
        upper = "" if high == math.inf else f"at most {high:g}"
        wanted = " and ".join(part for part in (lower, upper) if part) or "finite"
        unit = "" if meta["unit"] == "1" else f" {meta['unit']}"
        raise ParameterError(f"{name} = {shown(value)}{unit}: expected a finite number, {wanted} ({meta['meaning']})")
    if abs(value) > LARGEST or (meta["open_low"] and value < SMALLEST):
        lower = f"{SMALLEST:g}" if meta["open_low"] else f"{-LARGEST:g}" if low == -math.inf else f"{low:g}"
        upper = f"{min(high, LARGEST):g}"
        raise ParameterError(f"{name} = {value:g} {meta['unit']}: expected {lower} to {upper} ({meta['meaning']})")
    return value


_METADATA = {f.name: f.metadata for f in fields(TripartiteParameters) if f.name not in ("name", "provenance")}
_INTEGERS = frozenset({"n_neurons", "n_synapses"})
_OPTIONAL = frozenset({"IP3_init", "Ca_init", "h_init"})

# The MATLAB that the group of the astromorphic paper published; the only complete, runnable set.
_PSU = "NeuroCompLab-psu/Astromorphic_Self_Repair, MATLAB/, commit 70e58a4"
_NEST = "NEST astrocyte_lr_1994 (Nadkarni and Jung 2003)"
_STUDENT = "public MATLAB script of the equations of Wade et al. 2012"
_SUMMARY = "secondary summary of Wade et al. 2012 (Front. Comput. Neurosci. 6:76)"

_SHARED: dict[str, tuple[Any, str, Status]] = {
    "n_neurons": (2, _SUMMARY, "published"),
    "n_synapses": (10, _SUMMARY, "published"),
    "tau_AG": (10.0, _PSU, "published"),
    "dAG": (0.8e-3, f"{_PSU}: 0.8 uM/s for one 1 ms step", "derived"),
    "IP3_rest": (0.16, f"{_PSU}; {_NEST}", "published"),
    "tau_IP3": (7.0, _PSU, "published"),
    "r_IP3": (0.5, f"{_PSU} (labelled uM/s there; multiplies a concentration)", "published"),
    "r_C": (6.0, f"{_PSU}; {_NEST}", "published"),
    "r_L": (0.11, f"{_PSU}; {_NEST}", "published"),
    "k_ER": (0.1, f"{_PSU}; {_NEST}", "published"),
    "c0": (2.0, f"{_PSU}; {_NEST}", "published"),
    "c1": (0.185, f"{_PSU}; {_NEST}", "published"),
    "a2": (0.2, f"{_PSU}; {_NEST}", "published"),
    "d1": (0.13, f"{_PSU}; {_NEST}", "published"),
    "d2": (1.049, f"{_PSU}; {_NEST}", "published"),
    "d3": (0.9434, f"{_PSU}; {_NEST}", "published"),
    "d5": (0.08234, f"{_PSU}; {_NEST}", "published"),
    "Ca_th": (0.3, _PSU, "published"),
    "tau_Glu": (0.1, _PSU, "published"),
    "dGlu": (0.01, f"{_PSU}: 10 uM/s for one 1 ms step", "derived"),
    "r_Glu": (10.0, f"{_PSU}; used by the rule continuous alone", "published"),
    "esp_form": ("ode", _PSU, "published"),
    "tau_eSP": (40.0, f"{_PSU}; {_STUDENT}", "published"),
    "m_eSP": (55_000.0, f"{_PSU}; {_STUDENT}", "published"),
    "tau_m": (0.060, _PSU, "published"),
    "R_m": (1.2, _PSU, "published"),
    "v_th": (9.0, _PSU, "published"),
    "t_ref": (0.002, f"{_PSU} (declared there, not used)", "published"),
    "quantum": (6.65, f"{_PSU}: 6650 pA for one 1 ms step", "derived"),
    "IP3_init": (None, "resting IP3 of the set", "derived"),
    **OFF,
}

_SETS: dict[str, dict[str, tuple[Any, str, Status]]] = {
    "wade2012": _SHARED
    | {
        "PR0": (0.5, _STUDENT, "published"),
        "K_AG": (-4000.0, _STUDENT, "published"),
        "v_ER": (0.9, f"{_NEST}; Stimberg et al. 2018; for Wade 2012 itself the value is unverified", "assumed"),
        "release_rule": ("upward", "one pulse per upward crossing, the reading of Wade et al. 2012", "assumed"),
        "release_period": (0.3, "used by the rules latched and repeated alone", "assumed"),
        "Ca_init": (None, "fixed point of the set", "derived"),
        "h_init": (None, "fixed point of the set", "derived"),
    },
    "psu": _SHARED
    | {
        "n_neurons": (2, f"{_PSU}, single run", "published"),
        "n_synapses": (10, f"{_PSU}, single run", "published"),
        "PR0": (0.3, f"{_PSU}: the mean; there the synapses of the second neuron scatter around it", "published"),
        "K_AG": (-1000.0, _PSU, "published"),
        "v_ER": (0.8, _PSU, "published"),
        "release_rule": ("latched", f"{_PSU}: the first crossing sets a flag that is never reset", "published"),
        "release_period": (0.301, f"{_PSU}: more than 300 steps of 1 ms", "derived"),
        "Ca_init": (0.071006, f"{_PSU} (not the rest state of the set)", "published"),
        "h_init": (0.7791, f"{_PSU} (not the rest state of the set)", "published"),
    },
    "stimberg2018": _SHARED
    | {
        "astrocyte": ("gchi", STIMBERG, "published"),
        "ip3_source": ("receptors", STIMBERG, "published"),
        "n_neurons": (1, f"{STIMBERG}: one synapse onto a neuron without equations", "published"),
        "n_synapses": (1, f"{STIMBERG}: one synapse onto a neuron without equations", "published"),
        "PR0": (1.0, f"{STIMBERG}: every spike releases", "published"),
        "K_AG": (0.0, f"{STIMBERG}: no 2-AG", "published"),
        "m_eSP": (0.0, f"{STIMBERG}: nothing acts back on the synapse", "published"),
        "IP3_rest": (0.16, "without effect: the G-ChI astrocyte makes its resting IP3 itself", "assumed"),
        "r_L": (0.1, STIMBERG, "published"),
        "v_ER": (0.9, STIMBERG, "published"),
        "c1": (0.18, STIMBERG, "published"),
        "d2": (1.05, STIMBERG, "published"),
        "d5": (0.08, STIMBERG, "published"),
        "r_C": (6.0, STIMBERG, "published"),
        "k_ER": (0.1, STIMBERG, "published"),
        "c0": (2.0, STIMBERG, "published"),
        "a2": (0.2, STIMBERG, "published"),
        "d1": (0.13, STIMBERG, "published"),
        "d3": (0.9434, STIMBERG, "published"),
        "Ca_th": (0.5, "C_Theta of example 6 of Stimberg et al. 2018", "published"),
        "release_rule": ("upward", "example 6 of Stimberg et al. 2018: at each upward crossing", "published"),
        "release_period": (0.3, "used by the rules latched and repeated alone", "assumed"),
        "Ca_init": (None, "fixed point of the set; the example starts with an empty cell", "derived"),
        "h_init": (None, "fixed point of the set; the example starts at 0.9", "derived"),
        "IP3_init": (None, "fixed point of the set; the example starts at 0", "derived"),
    },
}
# The ring of astrocytes of example 5: other values of the same astrocyte, near the oscillations that a wave needs.
_SETS["stimberg2018_ring"] = _SETS["stimberg2018"] | {
    name: (value, STIMBERG_RING, "published")
    for name, value in (("k_ER", 0.05), ("O_delta", 0.6), ("K_delta", 0.1), ("Omega_5P", 0.05), ("K_D", 0.7))
}


def parameter_sets() -> tuple[str, ...]:
    """Names of the built-in sets."""
    return tuple(_SETS)


def parameter_set(name: str) -> TripartiteParameters:
    """The built-in set `name`.

    ``wade2012`` (reproduces the published Fig. 3), ``psu`` (the published MATLAB), ``stimberg2018`` (the G-ChI astrocyte
    of Brian2's example 2 of Stimberg et al. 2018) or ``stimberg2018_ring`` (the same with the values of its example 5, whose
    astrocytes carry calcium waves).
    """
    table = _SETS[choose("parameter set", name, _SETS)]
    return TripartiteParameters(
        name=name,
        **{key: value for key, (value, _, _) in table.items()},
        provenance={key: Provenance(source, status) for key, (_, source, status) in table.items()},
    )
