"""Time constants of the astrocyte's memory, measured on simulated responses to one impulse.

Each process is a first-order decay, alone or behind another one, so that after an impulse

    2-AG         one exponential, tau_AG
    IP3          after a jump of 2-AG a cascade: the exponentials of 2-AG and of IP3 itself, tau_IP3; after a jump of IP3 one
    calcium      those of its drive, and two of the linearised Li-Rinzel equations at rest: the slow one is the recovery of
                 IP3 receptors from inactivation (h), the fast one the exchange with the endoplasmic reticulum
    glutamate    one exponential after a pulse that the astrocyte released, tau_Glu
    e-SP         behind one pulse of glutamate a cascade: tau_Glu and tau_eSP

Calcium is linear for small impulses alone. Two of them, one twice the other, cancel its curvature: 2 y(s) - y(2s)/2 is the
linear response to s up to the third order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .checks import FitError
from .curves import Array
from .decays import DecayFit, fit_decays
from .macro_parts import MacroError
from .macro_sections import MembraneConstant, TimeConstant, TimeConstants
from .macro_validation import DecayData

if TYPE_CHECKING:
    import xarray as xr

Indices = NDArray[np.intp]

# Of AstroSNN (arXiv 2312.07625): the neuron's time constant in steps of the network.
PAPER_TAU_N = 2.0
MOST_POINTS = 100
# Beyond this share of the larger response the next order of calcium is no longer small.
_LARGEST_CURVATURE = 0.05

BIOLOGY = {
    "ag": "2-AG, the endocannabinoid that a firing neuron makes, until it is degraded",
    "ip3": "IP3 in the astrocyte, until it is degraded; the 2-AG behind it decays by itself",
    "calcium": "IP3 receptors of the astrocyte recovering from inactivation by calcium (h)",
    "calcium_exchange": "calcium passing between cytosol and endoplasmic reticulum, at rest",
    "glutamate": "glutamate that the astrocyte released, until it is taken up",
    "esp": "e-SP, the rise of release probability that astrocytic glutamate causes at the presynaptic terminal",
}
_PARAMETER = {"ag": "tau_AG", "ip3": "tau_IP3", "glutamate": "tau_Glu", "esp": "tau_eSP"}
_LINEARISED = "Li-Rinzel equations at rest, linearised"


@dataclass(frozen=True, eq=False)
class MeasuredTimeConstants:
    """The section, the data behind it, and what could not be measured with the reason.

    skipped : process -> why it is missing; notes : what else a reader has to know.
    """

    section: TimeConstants
    data: tuple[DecayData, ...]
    skipped: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass
class _Found:
    constants: dict[str, tuple[float, float]] = field(default_factory=dict)
    data: list[DecayData] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def measure_time_constants(
    datasets: xr.Dataset | Sequence[xr.Dataset], *, tau_n: float = PAPER_TAU_N
) -> MeasuredTimeConstants:
    """Time constants from one or several Datasets of the protocol ``impulse_response``.

    What one run does not show another may: after jumps of 2-AG too small for gliotransmission there is no e-SP, after a jump
    of IP3 there is no 2-AG. Of a constant that several show, the first counts.

    tau_n : the neuron's membrane constant in steps of the network, which sets how long a step is.

    Raises
    ------
    MacroError
        A Dataset is of another protocol or has no record of its parameters, their membrane constants differ, `tau_n` is no
        positive number, or nothing can be measured (with the reasons).
    """
    several: list[Any] = [datasets] if hasattr(datasets, "data_vars") else list(datasets)
    if isinstance(tau_n, bool) or not isinstance(tau_n, int | float) or not 0 < tau_n < math.inf:
        raise MacroError(f"tau_n is {tau_n!r}, expected a number of steps above 0, such as 2")
    if not several:
        raise MacroError("no Dataset is given, expected at least one of the protocol impulse_response")
    every, notes = _Found(), []
    membranes: list[dict[str, Any]] = []
    sources: dict[str, tuple[str, float | None]] = {}
    for dataset in several:
        record = _record(dataset)
        membranes.append(record["parameters"]["tau_m"])
        if membranes[-1]["value"] != membranes[0]["value"]:
            raise MacroError(
                f"tau_m is {membranes[0]['value']:g} s in one Dataset and {membranes[-1]['value']:g} s in another, so they "
                "have no common step; fit them into files of their own"
            )
        found = _measure(dataset, record)
        fresh = [name for name in found.constants if name not in every.constants]
        for name in found.constants:
            if name in fresh:
                sources[name] = _behind(name, record["parameters"])
            else:
                notes.append(f"{name} is also in a later source, {found.constants[name][0]:.6g} s there")
        every.data += [data for data in found.data if set(data.names) & set(fresh)]
        every.constants |= {name: found.constants[name] for name in fresh}
        for name, reason in found.skipped.items():
            every.skipped.setdefault(name, reason)
    skipped = {name: reason for name, reason in every.skipped.items() if name not in every.constants}
    if not every.constants:
        # Processes often fail for one reason.
        reasons = "; ".join(
            f"{', '.join(name for name in skipped if skipped[name] == reason)}: {reason}"
            for reason in dict.fromkeys(skipped.values())
        )
        raise MacroError(f"no time constant can be measured ({reasons})")
    section = TimeConstants(
        unit="s",
        membrane=MembraneConstant(
            value=float(membranes[0]["value"]), source=f"tau_m, {membranes[0]['source']}", status=_status(membranes[0])
        ),
        tau_n=float(tau_n),
        tau_n_status="published" if tau_n == PAPER_TAU_N else "assumed",
        constants={
            name: TimeConstant(
                value=value,
                stderr=error,
                biology=BIOLOGY[name],
                closed_form=sources[name][1],
                source=sources[name][0],
                status="derived",
            )
            for name, (value, error) in every.constants.items()
        },
    )
    return MeasuredTimeConstants(section, tuple(every.data), skipped, tuple(notes))


def _record(dataset: Any) -> dict[str, Any]:
    import biosim

    if not hasattr(dataset, "data_vars"):
        raise MacroError(f"expected an xarray.Dataset, found {type(dataset).__name__}; load it with biosim.load")
    record = biosim.provenance(dataset)
    name = record.get("protocol", {}).get("name")
    if name != "impulse_response" or "time" not in dataset.dims:
        raise MacroError(
            f"the Dataset is of protocol {name!r}, expected impulse_response with its traces; simulate it with "
            "astromorphic simulate impulse_response"
        )
    return dict(record)


def _status(parameter: dict[str, Any]) -> Any:
    return parameter["status"] if parameter["status"] in ("published", "derived") else "assumed"


def _measure(dataset: xr.Dataset, record: dict[str, Any]) -> _Found:
    found = _Found()
    experiment = record["protocol"]["experiment"]
    jump = experiment.get("jump")
    if jump is None:
        every = "a burst lasts, so that what follows is no response to one impulse; simulate with stimulus = AG or IP3"
        found.skipped |= dict.fromkeys(BIOLOGY, every)
        return found
    time = dataset.time.values - jump["time_s"]
    after = np.flatnonzero(time > 1e-9)
    ag = _traces(dataset, "ag")
    if jump["variable"] == "AG":
        # The smallest impulse: nothing else can then act back on the process.
        _add(found, ("ag",), time, ag[:, 0], after)
        rest = record["parameters"]["IP3_rest"]["value"]
        _add(found, ("ag", "ip3"), time, _traces(dataset, "ip3")[:, 0] - rest, after)
    else:
        found.skipped["ag"] = "the impulse is of IP3; simulate one of 2-AG (stimulus = AG)"
        rest = record["parameters"]["IP3_rest"]["value"]
        _add(found, ("ip3",), time, _traces(dataset, "ip3")[:, 0] - rest, after)
    drive = ("ag", "ip3") if jump["variable"] == "AG" else ("ip3",)
    _calcium(found, dataset, time, after, drive)
    _gliotransmission(found, dataset, time)
    return found


def _calcium(found: _Found, dataset: xr.Dataset, time: Array, after: Indices, drive: tuple[str, ...]) -> None:
    """Linear response of calcium, with the constants of its drive held."""
    sizes = dataset.jump.values
    pairs = [(i, j) for i, one in enumerate(sizes) for j, other in enumerate(sizes) if math.isclose(other, 2 * one)]
    missing = [name for name in drive if name not in found.constants]
    if missing or not pairs:
        reason = f"the drive, {missing[0]}, is not known" if missing else "needs two impulses, one twice the other"
        found.skipped |= dict.fromkeys(("calcium", "calcium_exchange"), reason)
        return
    small, large = min(pairs, key=lambda pair: sizes[pair[0]])
    above = _traces(dataset, "calcium") - float(np.ravel(dataset.calcium_rest.values)[0])
    one, two = above[:, small], above[:, large]
    peak = float(np.abs(two).max())
    curvature = float(np.abs(two - 2 * one).max()) / peak if peak else 1.0
    if curvature > _LARGEST_CURVATURE:
        reason = (
            f"twice the impulse gives {100 * curvature:.0f} % more or less than twice the calcium, expected at most "
            f"{100 * _LARGEST_CURVATURE:.0f} %; give smaller impulses"
        )
        found.skipped |= dict.fromkeys(("calcium", "calcium_exchange"), reason)
        return
    _add(found, ("calcium", "calcium_exchange"), time, 2 * one - two / 2, after, held=drive, beside=one)


def _gliotransmission(found: _Found, dataset: xr.Dataset, time: Array) -> None:
    """Glutamate and e-SP after one pulse: the column in which a pulse stays alone for longest."""
    glutamate, esp = _traces(dataset, "glutamate"), _traces(dataset, "esp")
    best = np.empty(0, dtype=np.intp)
    column = 0
    for i in range(glutamate.shape[1]):
        pulses = np.flatnonzero(np.diff(glutamate[:, i], prepend=0.0) > 0)
        if pulses.size:
            end = pulses[1] if pulses.size > 1 else time.size
            span = np.arange(pulses[0], end)
            if span.size > best.size:
                best, column = span, i
    if not best.size:
        reason = "the astrocyte released no glutamate; give a larger impulse, such as stimulus = IP3, sizes = 0.4"
        found.skipped |= dict.fromkeys(("glutamate", "esp"), reason)
        return
    clock = time - time[best[0]]
    _add(found, ("glutamate",), clock, glutamate[:, column], best)
    _add(found, ("esp", "glutamate"), clock, esp[:, column], best)


def _add(
    found: _Found,
    names: tuple[str, ...],
    time: Array,
    values: Array,
    window: Indices,
    *,
    held: tuple[str, ...] = (),
    beside: Array | None = None,
) -> None:
    """Fit the constants `names` to the response in `window` and keep them with their points, or say why not."""
    picked = window[_thinned(window.size)]
    data = DecayData(
        names=list(names),
        held=list(held),
        time_s=[float(v) for v in time[picked]],
        values=[float(v) for v in values[picked]],
        beside=None if beside is None else [float(v) for v in beside[picked]],
        unit="%" if "esp" in names else "uM",
    )
    try:
        measured = refit(data, {name: found.constants[name][0] for name in held})
    except FitError as error:
        for name in names:
            found.skipped.setdefault(name, str(error))
        return
    if len(names) == 2:
        measured = _by_role(names, measured, found)
    fresh = {name: pair for name, pair in measured.items() if name not in found.constants}
    found.constants |= fresh
    if fresh:
        found.data.append(data.model_copy(update={"names": list(measured)}))


def _by_role(
    names: tuple[str, ...], measured: dict[str, tuple[float, float]], found: _Found
) -> dict[str, tuple[float, float]]:
    """Two constants of one response, the slowest first: which is the drive's is known where the drive was measured itself."""
    known = [name for name in names if name in found.constants]
    if len(known) != 1:
        return measured
    (other,) = set(names) - set(known)
    pairs = list(measured.values())
    drive = min(range(2), key=lambda i: abs(math.log(pairs[i][0] / found.constants[known[0]][0])))
    return {known[0] if i == drive else other: pair for i, pair in enumerate(pairs)}


def refit(data: DecayData, known: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Constants (s) with their standard errors, by name, the slowest first, from the points in a macro file.

    known : values of the constants that are held, s.

    Raises
    ------
    FitError
        The points do not fix the constants.
    """
    names = list(data.names)
    held = [known[name] for name in data.held]
    what = f"response of {names[0]}"
    fitted = fit_decays(data.time_s, data.values, len(names), held=held, what=what)
    errors = list(fitted.stderr)
    if data.beside is not None:
        # What extrapolation to small impulses left over is unknown; a tenth of what it moved is a cautious guess.
        single = _or_none(lambda: fit_decays(data.time_s, np.array(data.beside), len(names), held=held, what=what))
        if single is not None:
            moved = [abs(a - b) for a, b in zip(fitted.constants, single.constants, strict=True)]
            errors = [math.hypot(error, 0.1 * shift) for error, shift in zip(errors, moved, strict=True)]
    return dict(zip(names, zip(fitted.constants, errors, strict=True), strict=True))


def _or_none(attempt: Callable[[], DecayFit]) -> DecayFit | None:
    try:
        return attempt()
    except FitError:
        return None


def _thinned(size: int) -> Indices:
    """Positions of at most MOST_POINTS samples, denser at the start, where the fast constants are."""
    if size <= MOST_POINTS:
        return np.arange(size)
    return np.unique(np.round(np.geomspace(1, size, MOST_POINTS)).astype(int)) - 1


def _traces(dataset: xr.Dataset, name: str) -> Array:
    """[time, impulse], of the first neuron where there are several."""
    trace = dataset[name].isel(neuron=0) if "neuron" in dataset[name].dims else dataset[name]
    extra = [d for d in trace.dims if d not in ("time", "jump")]
    if extra:
        raise MacroError(f"{name} has the dimension {extra[0]!r}; select one of its values first (dataset.sel)")
    values: Array = trace.transpose("time", "jump").values
    return values


def _behind(name: str, parameters: dict[str, dict[str, Any]]) -> tuple[str, float | None]:
    """Source of a constant, and what the equations give."""
    if name in _PARAMETER:
        parameter = parameters[_PARAMETER[name]]
        value = float(parameter["value"])
        return f"{_PARAMETER[name]} = {value:g} s, {parameter['status']}: {parameter['source']}", value
    names = ("r_C", "r_L", "v_ER", "k_ER")
    set_of = ", ".join(f"{key} = {parameters[key]['value']:g}" for key in names)
    return f"{_LINEARISED} ({set_of}, ...)", linear_constant(name, parameters)


def linear_constant(name: str, parameters: dict[str, dict[str, Any]]) -> float | None:
    """-1 / eigenvalue of the Li-Rinzel equations at rest, s: the slow one for ``calcium``; None where they oscillate."""
    import biosim

    if parameters.get("astrocyte", {}).get("value") == "gchi":
        return None
    values = {key: entry["value"] for key, entry in parameters.items()}
    ca, h = biosim.rest_state(values["IP3_rest"], values)
    found = biosim.eigenvalues(ca, h, values["IP3_rest"], values)
    if np.abs(np.imag(found)).max() > 0:
        return None
    slow, fast = sorted((-1 / float(np.real(value)) for value in found), reverse=True)
    return slow if name == "calcium" else fast
