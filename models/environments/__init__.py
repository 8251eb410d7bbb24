"""Working-memory environments of bsuite, many episodes at once: the rules, bsuite's scores, and their names in Gymnasium.

Importing this package is light: torch comes with the first environment, Gymnasium (extra `rl`) with `register`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..choices import choice
from ..errors import ModelError

if TYPE_CHECKING:
    from .base import Environment

# name -> (module, class); the names that commands, records and Gymnasium use.
ENVIRONMENTS = {
    "memory_chain": ("memory_chain", "MemoryChain"),
    "umbrella_chain": ("umbrella_chain", "UmbrellaChain"),
    "umbrella_hidden": ("umbrella_hidden", "UmbrellaHidden"),
}
# Figure 3 of the AstroSNN paper spans 1 to 1500 on a log axis.
PAPER_LENGTHS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 1500)

__all__ = ["ENVIRONMENTS", "PAPER_LENGTHS", "make_environment"]


def make_environment(name: str, length: int, **options: Any) -> Environment:
    """The environment `name` with chains of `length`; options: ``num_bits``, ``n_distractor``, ``decision`` where it has them.

    Raises ModelError for an unknown name, with the nearest match, and for a length or an option that cannot be.
    """
    module, kind = ENVIRONMENTS[choice("environment", name, ENVIRONMENTS)]
    made = getattr(importlib.import_module(f".{module}", __name__), kind)
    unknown = sorted(set(options) - set(made.options()))
    if unknown:
        raise ModelError(
            f"environment {name} has no option {unknown[0]!r}; it has {', '.join(made.options()) or 'none but its length'}"
        )
    environment: Environment = made(length, **options)
    return environment
