"""Training recipes: budgets and optimiser settings, frozen and named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from types import MappingProxyType

from .errors import ModelError

# Larger counts and factors do not reach the first step: the block list outgrows any memory, float32 becomes infinite.
_LARGEST_COUNT = 2**31 - 1
_LARGEST_NUMBER = 3.4028234e38

SCHEDULES = ("cosine", "cosine_to_0.24", "linear", "constant")
PRECISIONS = ("no", "bf16")
SHARDINGS = ("none", "full")
SELECTIONS = ("last", "loss", "accuracy")


@dataclass(frozen=True)
class Recipe:
    """One training budget, by steps or by epochs.

    A language model reads blocks of `max_position_embeddings` tokens (bytes, words or BPE tokens); a classifier reads
    examples. Exactly one of `steps` and `epochs` is given. `evaluate_every` and `save_every` are steps; None means once
    an epoch.
    """

    name: str
    """What the run record calls it."""
    steps: int | None
    """Optimiser steps; None if `epochs` says how long."""
    batch_size: int
    """Blocks or examples per step."""
    learning_rate: float
    """Peak learning rate of AdamW, after the warm-up."""
    warmup_steps: int
    """Steps of linear warm-up."""
    weight_decay: float = 0.1
    """Decoupled weight decay of AdamW, on matrices only."""
    beta2: float = 0.99
    """Second-moment decay of AdamW."""
    gradient_clip: float = 1.0
    """Largest gradient norm."""
    evaluate_every: int | None = 100
    """Steps between points of the learning curve."""
    curve_bytes: int = 8192
    """Validation tokens (bytes, for a model of bytes) from the start of the split, scored for one point of the curve."""
    final_bytes: int | None = None
    """Tokens of validation and test scored at the end by a language model; None for all."""
    save_every: int | None = 200
    """Steps between checkpoints; a multiple of `evaluate_every`, so that a resumed curve equals an uninterrupted one."""
    epochs: int | None = None
    """Passes over the training examples; for a language model, over as many tokens as the training text has."""
    schedule: str = "cosine"
    """Learning rate after the warm-up: "cosine" to 0, "cosine_to_0.24" of it (AstroSNN's paper), "linear" to 0, or "constant"."""
    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes; for classifiers."""
    word_dropout: float = 0.0
    """Texts with labels: share of the words that are taken out of every training text, others at every reading."""
    mixup: float = 0.0
    """Images: parameter of the Beta distribution that two images and their labels are mixed by; 0 for none."""
    mixed_precision: str = "no"
    """ "bf16": matrix products in bfloat16 where the device has it; states and normalisers stay float32."""
    sharding: str = "none"
    """Among several processes: "none", each holds all weights; "full", each holds its part of weights, gradients and moments."""
    select: str = "last"
    """Which weights are the result: the "last", or those of the point with the best validation "loss" or "accuracy"."""
    patience: int | None = None
    """Stop after so many points of the curve without a better one; needs `select`."""
    train_items: int | None = None
    """Classifiers: only the first so many training examples; None for all."""
    evaluate_items: int | None = None
    """Classifiers: only the first so many validation and test examples; None for all."""
    test_curve: bool = False
    """Also score the test split at every point, for a figure whose axis is test accuracy; never used to choose."""
    reevaluated_tokens: int = 128
    """Validation tokens that a language model predicts once more, each from its prefix alone, when training is done."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ModelError(f"recipe name is {self.name!r}; expected a name")
        if (self.steps is None) == (self.epochs is None):
            raise ModelError(
                f"recipe {self.name}: steps is {self.steps!r} and epochs {self.epochs!r}; give one of them"
            )
        for name in ("batch_size", "curve_bytes"):
            self._check_count(name, 1)
        for name in (
            "steps", "epochs", "evaluate_every", "save_every", "final_bytes", "patience", "train_items", "evaluate_items",
        ):  # fmt: skip
            if getattr(self, name) is not None:
                self._check_count(name, 1)
        for name in ("warmup_steps", "reevaluated_tokens"):
            self._check_count(name, 0)
        for name, choices in (
            ("schedule", SCHEDULES), ("mixed_precision", PRECISIONS), ("sharding", SHARDINGS),
            ("select", SELECTIONS),
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ModelError(
                    f"recipe {self.name}: {name} is {getattr(self, name)!r}; expected one of {', '.join(choices)}"
                )
        if not isinstance(self.test_curve, bool):
            raise ModelError(f"recipe {self.name}: test_curve is {self.test_curve!r}; expected True or False")
        if self.patience is not None and self.select == "last":
            raise ModelError(
                f"recipe {self.name}: patience is {self.patience} and select 'last'; choose by validation: "
                "select=loss or select=accuracy"
            )
        if self.steps is not None and self.warmup_steps > self.steps:
            raise ModelError(
                f"recipe {self.name}: warmup_steps is {self.warmup_steps}; expected 0 to steps = {self.steps}"
            )
        # Every block of a run is drawn before its first step.
        if self.steps is not None and self.steps * self.batch_size > _LARGEST_COUNT:
            raise ModelError(
                f"recipe {self.name}: steps is {self.steps} and batch_size {self.batch_size}; "
                f"expected at most {_LARGEST_COUNT} blocks in all"
            )
        self._check_number("learning_rate", "a finite number above 0", lambda x: 0 < x <= _LARGEST_NUMBER)
        self._check_number("gradient_clip", "a finite number above 0", lambda x: 0 < x <= _LARGEST_NUMBER)
        self._check_number("weight_decay", "a finite number of at least 0", lambda x: 0 <= x <= _LARGEST_NUMBER)
        self._check_number("beta2", "a number of at least 0 and below 1", lambda x: 0 <= x < 1)
        self._check_number("label_smoothing", "a number of at least 0 and below 1", lambda x: 0 <= x < 1)
        self._check_number("word_dropout", "a number of at least 0 and below 1", lambda x: 0 <= x < 1)
        self._check_number("mixup", "a finite number of at least 0", lambda x: 0 <= x <= _LARGEST_NUMBER)
        if self.evaluate_every is None and self.save_every is not None:
            raise ModelError(
                f"recipe {self.name}: save_every is {self.save_every} and evaluate_every None (once an epoch); "
                "set save_every=none as well"
            )
        if self.evaluate_every is not None and self.save_every is not None and self.save_every % self.evaluate_every:
            raise ModelError(
                f"recipe {self.name}: save_every is {self.save_every}; "
                f"expected a multiple of evaluate_every = {self.evaluate_every}"
            )

    def record(self) -> dict[str, object]:
        """All settings by name; of `sharding` only where there is some, as in the records of runs before there could be."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("sharding", "none")}

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
    def names(cls) -> list[str]:
        """The settings of a recipe."""
        return [f.name for f in fields(cls)]

    def changed(self, changes: Mapping[str, object]) -> Recipe:
        """This recipe with other values. Giving one of steps and epochs takes the other back. ModelError as for the class."""
        for one, other in (("steps", "epochs"), ("epochs", "steps")):
            if changes.get(one) is not None and other not in changes:
                changes = {**changes, other: None}
        if changes.get("evaluate_every") is not None and "save_every" not in changes:
            changes = {**changes, "save_every": changes["evaluate_every"]}
        return replace(self, **changes)  # type: ignore[arg-type]

    def plan(self, steps_per_epoch: int) -> tuple[int, int, int]:
        """(steps in all, steps between points of the curve, steps between checkpoints), for this many steps in an epoch."""
        steps = self.steps if self.steps is not None else int(self.epochs or 0) * steps_per_epoch
        if steps > _LARGEST_COUNT:
            raise ModelError(
                f"recipe {self.name}: {self.epochs} epochs are {steps} steps; expected at most {_LARGEST_COUNT}"
            )
        if self.warmup_steps > steps:
            raise ModelError(
                f"recipe {self.name}: warmup_steps is {self.warmup_steps}; expected 0 to {steps}, all steps"
            )
        every = self.evaluate_every or steps_per_epoch
        return steps, every, self.save_every or every

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
