"""The figures that can be made on their own, by name; `astromorphic figures NAME` makes them."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from biosim.folders import output_folder
from biosim.registry import choose

from .output import write_figure

# name -> module with TITLE, compute(quick, seed) and draw(data); imported on use.
FIGURES = {
    "fig3": "fig3",
    "traces": "traces",
    "bifurcation": "bifurcation",
    "plasticity": "plasticity",
    "responses": "responses",
    "alpha": "alpha",
    "sensitivity": "sensitivity",
    "posterior": "posterior",
    "self_repair": "self_repair",
    "impulse": "impulse",
    "calcium_wave": "calcium_wave",
    "table1": "table1",
    "fig4": "fig4",
    "exponents": "exponents",
    "transfer": "transfer",
    "working_memory": "working_memory",
    "inside": "inside",
    "lra": "lra",
    "retention": "retention",
    "memory": "memory",
    "spiking_table": "spiking_table",
    "efficiency": "efficiency",
}


def titles() -> dict[str, str]:
    """Name and one-line description of every figure."""
    return {name: str(_module(name).TITLE) for name in FIGURES}


def make(
    name: str,
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    runs: str | Path | None = None,
    **look: Any,
) -> list[Path]:
    """Compute and draw the figure `name`; write NAME.png, NAME.svg and NAME.csv into `out` and return their paths.

    runs : folder with run folders below it, for the figures that are made from trained models. look : for those that look into
    one model, its folder and what to read; see `figures.inside.compute`.
    """
    module = _module(choose("figure", name, FIGURES))
    options: dict[str, Any] = {**look, **({"progress": progress} if progress else {})}
    if from_runs(name) or from_model(name):
        if from_runs(name):
            options["runs"] = runs
        # Quickly read, and refused without leaving an empty folder; other figures are work that an unwritable folder would waste.
        data = module.compute(quick=quick, seed=seed, **options)
        folder = output_folder(out)
    else:
        folder = output_folder(out)
        data = module.compute(quick=quick, seed=seed, **options)
    return write_figure(name, module.draw(data), data, folder)


def from_runs(name: str) -> bool:
    """Whether the figure `name` is made from the run folders of trained models."""
    return bool(getattr(_module(choose("figure", name, FIGURES)), "FROM_RUNS", False))


def from_model(name: str) -> bool:
    """Whether the figure `name` looks into one trained model."""
    return bool(getattr(_module(choose("figure", name, FIGURES)), "FROM_MODEL", False))


def missing(name: str) -> str | None:
    """What the figure `name` needs and this installation has not, with what to install; None where nothing is missing."""
    package, extra = getattr(_module(choose("figure", name, FIGURES)), "NEEDS", ("", ""))
    if not package or importlib.util.find_spec(package) is not None:
        return None
    return f"needs the package {package}; pip install 'astromorphic[{extra}]'"


def _module(name: str) -> Any:
    return importlib.import_module(f".{FIGURES[name]}", __package__)
