"""What `astromorphic fit` and `astromorphic macro` do: sources of any kind into one macro file, and what is in one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import slow_processes
from .assignments import AssignmentError
from .slow_processes import CYCLES, DEFAULT_TAU_N, IMPULSE

if TYPE_CHECKING:
    from bridge import MacroParameters


def fit(
    sources: list[str],
    families: list[str],
    weights: str,
    estimator: str,
    resting_calcium: float | None,
    variable: str,
    at: list[str],
    level: float,
    bootstraps: int,
    seed: int,
    tau_n: float,
    out: Path | None,
    into: Path | None,
) -> tuple[Path, str]:
    """Fit every source and save one macro file; returns its path and the tables as text.

    A source is a response curve, or a simulation by impulse_response (time constants; several make one section) or
    stp_cycles (retention, distance). `out` is made anew; `into` keeps the sections that no source gives.
    """
    import bridge

    from .commands import check_target

    if (out is None) == (into is None):
        raise AssignmentError("expected either --out FILE, for a new macro file, or --into FILE, to add to one")
    target = out if into is None else into
    assert target is not None
    check_target(target)
    for source in sources:
        if target.exists() and os.path.exists(source) and os.path.samefile(source, target):
            option = "--out" if into is None else "--into"
            raise AssignmentError(f"{option} {target}: is the source itself, which would be lost; name another file")
    # Read first, so that a wrong one is known before the work.
    before = None if into is None else bridge.MacroParameters.load(into)
    by_kind: dict[str, list[str]] = {"response": [], IMPULSE: [], CYCLES: []}
    for source in dict.fromkeys(sources):
        by_kind[slow_processes.kind(source)].append(source)
    for kind, what in (("response", "response curves"), (CYCLES, "simulations by stp_cycles")):
        if len(by_kind[kind]) > 1:
            raise AssignmentError(
                f"{by_kind[kind][1]}: the second of the {what}, and a file takes one; fit them into files of their own"
            )
    if not by_kind["response"]:
        _refuse_options_of_responses(families, weights, resting_calcium, variable, at)
    if not by_kind[IMPULSE] and tau_n != DEFAULT_TAU_N:
        raise AssignmentError("--tau-n: belongs to time constants, and no source is a simulation by impulse_response")
    made, texts = [], []
    # What takes seconds comes after what can be refused in none.
    simulated = [*by_kind[IMPULSE], *by_kind[CYCLES]]
    memory = _fit_memory(simulated, tau_n) if simulated else None
    if by_kind["response"]:
        macro, text = _fit_response(
            by_kind["response"][0], families, weights, estimator, resting_calcium, variable, at, level, bootstraps, seed
        )
        made.append(macro)
        texts.append(text)
    if memory is not None:
        made.append(memory[0])
        texts.append(memory[1])
    whole = before
    for macro in made:
        whole = macro if whole is None else whole.with_sections(macro)
    assert whole is not None
    return whole.save(target), "\n\n".join(texts)


def show(source: str) -> str:
    """A macro file, or `preset:NAME`, in words."""
    import bridge

    return bridge.show_macro(macro_parameters(source))


def diff(one: str, other: str) -> str:
    """What differs between two macro files or presets."""
    import bridge

    return bridge.diff_macros(macro_parameters(one), macro_parameters(other))


def check(source: str) -> tuple[str, str | None]:
    """The table of a refit of every section, and what is wrong in one line, or None."""
    import bridge

    result = bridge.check_macro(macro_parameters(source))
    if result.passed:
        return result.text(), None
    return result.text(), (
        f"{source}: {', '.join(result.wrong)} cannot be got again from the data inside; fit the sources again"
    )


def macro_parameters(source: str) -> MacroParameters:
    """Those of a file, or of the preset that preset:NAME names; MacroError for another source."""
    import bridge

    if source.startswith("preset:"):
        return bridge.preset(source.removeprefix("preset:"))
    return bridge.MacroParameters.load(source)


def _refuse_options_of_responses(
    families: list[str], weights: str, resting_calcium: float | None, variable: str, at: list[str]
) -> None:
    for option, given in (
        ("--family", bool(families)),
        ("--weights", weights != "none"),
        ("--resting-calcium", resting_calcium is not None),
        ("--variable", variable != "calcium_mean"),
        ("--at", bool(at)),
    ):
        if given:
            raise AssignmentError(f"{option}: belongs to a response curve, and no source is one; leave it out")


def _fit_memory(sources: list[str], tau_n: float) -> tuple[MacroParameters, str]:
    """Time constants, retention and distance from simulations."""
    import biosim
    import bridge

    option = "" if tau_n == DEFAULT_TAU_N else f" --tau-n {tau_n:g}"

    def origin(protocol: str, some: Iterable[str]) -> dict[str, Any]:
        return {"command": f"astromorphic fit {' '.join(some)}{option if protocol == IMPULSE else ''}"}

    macro, notes = slow_processes.fit({source: biosim.load(source) for source in sources}, tau_n, origin)
    # Without the head and the origin, which the caller's source and target say already.
    text = bridge.show_macro(macro).split("\n\n")[1:-1]
    return macro, "\n\n".join(text + (["\n".join(notes)] if notes else []))


def _fit_response(
    source: str,
    families: list[str],
    weights: str,
    estimator: str,
    resting_calcium: float | None,
    variable: str,
    at: list[str],
    level: float,
    bootstraps: int,
    seed: int,
) -> tuple[MacroParameters, str]:
    """All families are ranked; the response is the best of `families`, or of all if none is named."""
    import bridge
    from biosim.registry import choose
    from bridge.build import check_units

    weighted = choose("weighting", weights, ("none", "spread")) == "spread"
    wanted = [bridge.family_named(name).name for name in families]
    curve = bridge.parse_source(source, variable, _selection(at))
    if resting_calcium is not None:
        curve = curve.with_resting_calcium(resting_calcium)
    check_units(curve)
    ranking = bridge.compare(curve, weighted=weighted, level=level, seed=seed)
    # Fitted apart, so that a family that cannot be fitted says why instead of being skipped.
    chosen = ranking.best
    if len(wanted) == 1:
        chosen = bridge.fit(curve, wanted[0], weighted=weighted, level=level, seed=seed)
    elif wanted:
        chosen = bridge.compare(curve, wanted, weighted=weighted, level=level, seed=seed).best
    alphas = bridge.estimate_all(curve, n_resamples=bootstraps, seed=seed, level=level)
    sampled = bridge.bootstrap(chosen, n_resamples=bootstraps, rng=seed, level=level) if bootstraps else None
    report = "\n\n".join((ranking.text(), chosen.report(bootstrap=sampled), alphas.text()))
    macro = bridge.macro_from_fit(
        chosen,
        alphas[estimator],
        comparison=ranking,
        bootstrap=sampled,
        provenance={"command": _fit_command(source, families, weights, variable, at, level), "seed": seed},
    )
    return macro, report


def _fit_command(source: str, families: list[str], weights: str, variable: str, at: list[str], level: float) -> str:
    """The command that makes the same response again, without what was left at its default."""
    parts = ["astromorphic fit", source, *(f"--family {name}" for name in families)]
    parts += [f"--weights {weights}"] if weights != "none" else []
    parts += [f"--variable {variable}"] if variable != "calcium_mean" else []
    parts += [f"--at {text}" for text in at]
    parts += [f"--level {level:g}"] if level != 0.95 else []
    return " ".join(parts)


def _selection(at: list[str]) -> dict[str, float]:
    """Names and values of the options --at."""
    found: dict[str, float] = {}
    for text in at:
        name, mark, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not mark or not name or number != number:
            raise AssignmentError(f"--at {text}: expected NAME=VALUE with a number, such as K_AG=-4000")
        if name in found:
            raise AssignmentError(f"--at {text}: {name} is there twice; give it once")
        found[name] = number
    return found
