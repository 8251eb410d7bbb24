"""Training recipes: budgets and optimiser settings, frozen and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from .errors import ModelError


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
        for name in ("steps", "batch_size", "evaluate_every", "curve_bytes", "save_every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ModelError(f"recipe {self.name}: {name} is {value!r}; expected a whole number of at least 1")
        for name in ("learning_rate", "gradient_clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ModelError(
                    f"recipe {self.name}: {name} is {getattr(self, name)!r}; expected a finite number above 0"
                )
        if not 0 <= self.warmup_steps <= self.steps:
            raise ModelError(
                f"recipe {self.name}: warmup_steps is {self.warmup_steps!r}; expected 0 to steps = {self.steps}"
            )
        if self.save_every % self.evaluate_every:
            raise ModelError(
                f"recipe {self.name}: save_every is {self.save_every}; "
                f"expected a multiple of evaluate_every = {self.evaluate_every}"
            )

    @classmethod
    def resolve(cls, recipe: str | Recipe | Mapping[str, object]) -> Recipe:
        """A recipe by name, as it is, or from a mapping of its fields; unknown names and keys raise ValueError."""
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, str):
            if recipe not in RECIPES:
                raise ModelError(f"recipe is {recipe!r}; expected one of {', '.join(RECIPES)}")
            return RECIPES[recipe]
        unknown = set(recipe) - {f.name for f in fields(cls)}
        if unknown:
            raise ModelError(
                f"recipe has no setting {sorted(unknown)[0]!r}; it has {', '.join(f.name for f in fields(cls))}"
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
