"""Training recipes: budgets and optimiser settings, frozen and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType

from .errors import ModelError

# Larger counts and factors do not reach the first step: the block list outgrows any memory, float32 becomes infinite.
_LARGEST_COUNT = 2**31 - 1
_LARGEST_NUMBER = 3.4028234e38


@dataclass(frozen=True)
class Recipe:
    """One training budget. The block length is the model's `max_position_embeddings`; tokens are bytes."""

    name: str
    """What the run record calls it."""
    steps: int
    """Optimiser steps."""
    batch_size: int
    """Blocks per step."""
    learning_rate: float
    """Peak learning rate of AdamW, after the warm-up and before the cosine decay to 0."""
    warmup_steps: int
    """Steps of linear warm-up."""
    weight_decay: float = 0.1
    """Decoupled weight decay of AdamW, on matrices only."""
    beta2: float = 0.99
    """Second-moment decay of AdamW."""
    gradient_clip: float = 1.0
    """Largest gradient norm."""
    evaluate_every: int = 100
    """Steps between points of the learning curve."""
    curve_bytes: int = 8192
    """Validation bytes (from the start of the split) scored for one point of the learning curve."""
    final_bytes: int | None = None
    """Bytes of validation and test scored at the end; None for all."""
    save_every: int = 200
    """Steps between checkpoints; a multiple of `evaluate_every`, so that a resumed curve equals an uninterrupted one."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ModelError(f"recipe name is {self.name!r}; expected a name")
        for name in ("steps", "batch_size", "evaluate_every", "curve_bytes", "save_every"):
            self._check_count(name, 1)
        if self.final_bytes is not None:
            self._check_count("final_bytes", 1)
        self._check_count("warmup_steps", 0)
        if self.warmup_steps > self.steps:
            raise ModelError(
                f"recipe {self.name}: warmup_steps is {self.warmup_steps}; expected 0 to steps = {self.steps}"
            )
        # Every block of a run is drawn before its first step.
        if self.steps * self.batch_size > _LARGEST_COUNT:
            raise ModelError(
                f"recipe {self.name}: steps is {self.steps} and batch_size {self.batch_size}; "
                f"expected at most {_LARGEST_COUNT} blocks in all"
            )
        self._check_number("learning_rate", "a finite number above 0", lambda x: 0 < x <= _LARGEST_NUMBER)
        self._check_number("gradient_clip", "a finite number above 0", lambda x: 0 < x <= _LARGEST_NUMBER)
        self._check_number("weight_decay", "a finite number of at least 0", lambda x: 0 <= x <= _LARGEST_NUMBER)
        self._check_number("beta2", "a number of at least 0 and below 1", lambda x: 0 <= x < 1)
        if self.save_every % self.evaluate_every:
            raise ModelError(
                f"recipe {self.name}: save_every is {self.save_every}; "
                f"expected a multiple of evaluate_every = {self.evaluate_every}"
            )

    def _check_count(self, name: str, low: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ModelError(f"recipe {self.name}: {name} is {value!r}; expected a whole number of at least {low}")
        if value > _LARGEST_COUNT:
            raise ModelError(f"recipe {self.name}: {name} is larger than {_LARGEST_COUNT}, the most that can be used")

    def _check_number(self, name: str, expected: str, fits: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        # NaN fails every comparison.
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise ModelError(f"recipe {self.name}: {name} is {value!r:.60}; expected {expected}")

    @classmethod
    def resolve(cls, recipe: str | Recipe | Mapping[str, object]) -> Recipe:
        """A recipe by name, as it is, or from a mapping of its fields.

        Raises ModelError for unknown names and keys, missing fields, and values that no training can use.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, str):
            if recipe not in RECIPES:
                raise ModelError(f"recipe is {recipe!r}; expected one of {', '.join(RECIPES)}")
            return RECIPES[recipe]
        if not isinstance(recipe, Mapping):
            raise ModelError(f"recipe is {recipe!r}; expected one of {', '.join(RECIPES)}, or a mapping of its fields")
        unknown = set(recipe) - {f.name for f in fields(cls)}
        if unknown:
            raise ModelError(
                f"recipe has no setting {min(unknown, key=str)!r}; it has {', '.join(f.name for f in fields(cls))}"
            )
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in recipe]
        if missing:
            raise ModelError(
                f"recipe lacks {', '.join(missing)}; give them a value or name one of {', '.join(RECIPES)}"
            )
        return cls(**recipe)  # type: ignore[arg-type]


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        r.name: r
        for r in (
            Recipe("smoke", steps=20, batch_size=4, learning_rate=1e-2, warmup_steps=2, evaluate_every=10, curve_bytes=512,
                   final_bytes=1024, save_every=10),
            Recipe("quick", steps=200, batch_size=8, learning_rate=1e-2, warmup_steps=20, evaluate_every=40, curve_bytes=2048,
                   final_bytes=8192, save_every=200),
            Recipe("default", steps=2000, batch_size=8, learning_rate=1e-2, warmup_steps=100, evaluate_every=200, save_every=400),
        )
    }
)  # fmt: skip
