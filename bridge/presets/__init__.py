"""Macro files that come with the package, by name."""

from __future__ import annotations

from importlib.resources import files

from biosim.registry import choose

from ..artifact import MacroParameters


def preset_names() -> tuple[str, ...]:
    """Names of the built-in macro files."""
    entries = files(__package__ or "bridge.presets").iterdir()
    return tuple(sorted(entry.name.removesuffix(".json") for entry in entries if entry.name.endswith(".json")))


def preset(name: str) -> MacroParameters:
    """The built-in macro file `name`, such as "paper_alpha025".

    Raises
    ------
    UnknownName
        Listing the built-in files and the nearest match.
    """
    choose("macro preset", name, preset_names())
    source = files(__package__ or "bridge.presets").joinpath(f"{name}.json")
    return MacroParameters.loads(source.read_text(encoding="utf-8"))
