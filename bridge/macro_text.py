"""A macro file in words: what a stranger wants to see of one file, and what differs between two."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from .alpha import ALPHA_ESTIMATORS
from .artifact import SECTIONS, MacroParameters
from .curves import FAMILIES
from .macro_sections import TimeConstants

# The paper's spectrum (AstroSNN, arXiv 2312.07625).
PAPER_TAU_A = 32.0, 512.0
_WIDTH = 112


def show_macro(macro: MacroParameters) -> str:
    """What is in the file, section by section, for a reader who has not seen one before."""
    missing = [name for name in SECTIONS if name not in macro.sections]
    parts = [
        f"{macro.title}\nmacro file of version {macro.version}, digest {macro.digest[:16]}\n"
        f"holds {', '.join(macro.sections)}" + (f"; not in it: {', '.join(missing)}" if missing else "") + "\n"
        "+- is one standard error or, where a simulation has no noise, how far its course is from the formula\n"
        "published: printed in a paper; derived: fitted to a simulation or to data; assumed: our choice"
    ]
    if macro.response is not None:
        parts.append(_response(macro))
    if macro.time_constants is not None:
        parts.append(_time_constants(macro.time_constants))
    if macro.retention is not None:
        parts.append(_retention(macro))
    if macro.distance is not None:
        parts.append(_distance(macro))
    parts.append(_origin(macro))
    return "\n\n".join(parts)


def _response(macro: MacroParameters) -> str:
    response, alpha = macro.response, macro.alpha
    assert response is not None and alpha is not None
    family = FAMILIES[response.family]
    lines = [
        "RESPONSE: calcium of the astrocyte against the rate of presynaptic spikes",
        f"  {family.name}: {family.equation}   (y calcium in uM, f rate in Hz)",
    ]
    rows = []
    for name, parameter in response.parameters.items():
        interval = parameter.interval
        ends = ""
        if interval is not None:
            low = "open" if interval.low is None else f"{interval.low:.5g}"
            high = "open" if interval.high is None else f"{interval.high:.5g}"
            ends = f"{100 * interval.level:g} % interval {low} to {high}"
        unit = "" if parameter.unit == "1" else parameter.unit
        limit = "at a limit of the fit: not identified" if parameter.at_bound else ""
        rows.append((name, _value(parameter.value, parameter.stderr, unit), ends, limit))
    lines += _table(rows)
    facts = []
    if response.input_range_Hz is not None:
        facts.append(f"fitted from {response.input_range_Hz[0]:g} to {response.input_range_Hz[1]:g} Hz")
    if response.r_squared is not None:
        facts.append(f"R2 = {response.r_squared:.4f}")
    if response.resting_calcium_uM is not None:
        facts.append(f"calcium without input {response.resting_calcium_uM:.4g} uM")
    lines += [f"  {'; '.join(facts)}"] if facts else []
    known = (
        ""
        if alpha.level is None
        else f", {100 * alpha.level:g} % interval {alpha.low or 0:.4g} to {alpha.high or 0:.4g}"
    )
    lines.append(f"  as a power law: exponent {alpha.value:.4g}{known} (estimator {alpha.estimator})")
    if alpha.estimator in ALPHA_ESTIMATORS:
        lines += _paragraph(f"{alpha.estimator}: {ALPHA_ESTIMATORS[alpha.estimator].description}")
    unit_rate = macro.activation
    lines.append(
        f"  in a network: one unit of accumulated activation counts as {unit_rate.rate_per_activation_Hz:g} Hz "
        f"({unit_rate.status})"
    )
    return "\n".join(lines)


def _time_constants(section: TimeConstants) -> str:
    membrane = section.membrane
    seconds = section.unit == "s"
    step = f"; one step of a network lasts {1e3 * section.step:.4g} ms" if seconds else ""
    unit = "s" if seconds else "steps"
    lines = [
        "TIME CONSTANTS: the astrocyte's memory, and what they are in steps of a spiking network (AM-SU)",
        f"  neuron's membrane {membrane.value:g} {unit} ({membrane.status}) = tau_n = {section.tau_n:g} steps "
        f"({section.tau_n_status}){step}",
    ]
    rows: list[tuple[str, ...]] = [("", f"value ({unit})", "equations", "in membranes", "tau_a (steps)", "status")]
    ratios, steps = section.ratios(), section.tau_a()
    for name in steps:
        constant = section.constants[name]
        rows.append(
            (
                name,
                _value(constant.value, constant.stderr, ""),
                "-" if constant.closed_form is None else f"{constant.closed_form:.5g}",
                f"{ratios[name]:.4g}",
                f"{steps[name]:.4g}",
                constant.status,
            )
        )
    lines += _table(rows)
    said: dict[str, list[str]] = {}
    for name in steps:
        said.setdefault(f"{section.constants[name].biology}; {section.constants[name].source}", []).append(name)
    for text, names in said.items():
        lines += _paragraph(f"{', '.join(names)}: {text}")
    low, high = PAPER_TAU_A
    inside = [name for name, value in steps.items() if low <= value <= high]
    lines += _paragraph(
        f"AstroSNN (arXiv 2312.07625) takes tau_n = 2 and tau_a from {low:g} to {high:g} steps; within that range here: "
        f"{', '.join(inside) or 'none'}"
    )
    return "\n".join(lines)


def _retention(macro: MacroParameters) -> str:
    section = macro.retention
    assert section is not None
    lines = [
        "RETENTION: share r(t, T) of segment t of T in what a memory gains, r ~ exp(-a (t - 1)) (RMAAT)",
        f"  a = {_value(section.decay, section.stderr, '')} per cycle ({section.status})"
        + ("" if section.closed_form is None else f"; the equations give {section.closed_form:.5g}"),
    ]
    if section.decay_all_cycles is not None:
        lines.append(
            f"  with the first cycle, which starts from nothing: a = "
            f"{_value(section.decay_all_cycles, section.stderr_all_cycles, '')}"
        )
    if section.shares is not None:
        cycle = "" if section.cycle_s is None else f" of {section.cycle_s:g} s"
        lines.append(f"  from {len(section.shares)} simulated cycles{cycle}, beyond them geometric:")
    rows = [(f"T = {total}", " ".join(f"{v:.3f}" for v in section.factors(total))) for total in (2, 4, 6, 8)]
    lines += _table(rows)
    lines += _paragraph(f"{section.biology}; {section.source}")
    return "\n".join(lines)


def _distance(macro: MacroParameters) -> str:
    section = macro.distance
    assert section is not None
    lines = [
        "DISTANCE: how the coupling between astrocyte processes falls, exp(-scale d), d in distances of neighbours",
        f"  scale = {_value(section.scale, section.stderr, '')} ({section.status})"
        + ("" if section.closed_form is None else f"; parameter of the simulation {section.closed_form:.5g}"),
    ]
    if section.response_scale is not None:
        lines.append(
            f"  of the short-term process that follows: {_value(section.response_scale, section.response_stderr, '')}"
        )
    if section.geometry is not None:
        lines.append(f"  simulated geometry: {section.geometry} (presynaptic x postsynaptic neurons)")
    lines += _paragraph(f"{section.biology}; {section.source}")
    return "\n".join(lines)


def _origin(macro: MacroParameters) -> str:
    data = [name for name in SECTIONS if getattr(macro.validation, name) is not None]
    lines = ["ORIGIN", f"  data to fit again: {', '.join(data) or 'none in the file'}"]
    for name in ("command", "source", "remark"):
        text = macro.provenance.get(name)
        lines += _paragraph(f"{name}: {text}") if isinstance(text, str) else []
    sections = macro.provenance.get("sections")
    for name, record in sections.items() if isinstance(sections, dict) else ():
        if isinstance(record, dict) and isinstance(record.get("source"), str):
            lines += _paragraph(f"{name}: from {record['source']}")
    return "\n".join(lines)


def diff_macros(one: MacroParameters, other: MacroParameters) -> str:
    """What differs between two files, a line per value; first the numbers of the sections, then what is beside them."""
    if one == other:
        return f"no difference (digest {one.digest[:16]})"
    same = "the same numbers for a network" if one.digest == other.digest else "other numbers for a network"
    lines = [f"digests {one.digest[:16]} and {other.digest[:16]}: {same}"]
    left, right = (macro.model_dump(mode="python") for macro in (one, other))
    for key in ("title", "response", "alpha", "activation", "time_constants", "retention", "distance"):
        lines += _differences(key, left[key], right[key])
    for key in ("ranking", "validation", "provenance"):
        if left[key] != right[key]:
            lines.append(f"{key}: differs")
    return "\n".join(lines)


def _differences(place: str, left: Any, right: Any) -> list[str]:
    if left == right:
        return []
    if isinstance(left, dict) and isinstance(right, dict):
        found = []
        for key in sorted({*left, *right}):
            if key not in left or key not in right:
                found.append(f"{place}.{key}: {'only in the second' if key not in left else 'only in the first'}")
            else:
                found += _differences(f"{place}.{key}", left[key], right[key])
        return found
    if left is None or right is None:
        return [f"{place}: {_short(left)} -> {_short(right)}"]
    both = all(isinstance(v, float) for v in (left, right))
    change = f"   ({100 * (right - left) / abs(left):+.3g} %)" if both and left else ""
    return [f"{place}: {_short(left)} -> {_short(right)}{change}"]


def _short(value: Any) -> str:
    if value is None:
        return "not there"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        return f"there ({len(value)} entries)"
    return repr(value)


def _value(value: float, stderr: float | None, unit: str) -> str:
    """Value to the second digit of its error, or to six digits."""
    text = f"{value:.6g}"
    if stderr is not None and stderr <= 1e-6 * abs(value):
        text += " (exact to rounding)"
    elif stderr is not None:
        # The exponent of the error as it is printed: 0.0996 is 0.10.
        places = max(1 - int(f"{stderr:.1e}".split("e")[1]), 0)
        text = f"{value:.{places}f} +- {stderr:.{places}f}"
    return f"{text} {unit}".rstrip()


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    return ["    " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _paragraph(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="      ")
