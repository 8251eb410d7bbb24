"""What a preset of a task is: a recipe, with the network and the data that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..recipes import Recipe


@dataclass(frozen=True)
class TaskPreset:
    """A recipe with the settings of the network and the options of the data that belong to it."""

    recipe: Recipe
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
