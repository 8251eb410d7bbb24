"""`MemorySettings`: one working-memory run, in numbers. Readable without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from ..baselines import CELLS
from ..choices import choice
from ..environments import ENVIRONMENTS
from ..errors import ModelError
from ..settings import check_count, check_number

METHODS = ("supervised", "actor_critic", "reinforce")
SCHEDULES = ("linear", "constant")
# NumPy's seed sequence takes any; records and commands keep to what all generators here take.
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class MemorySettings:
    """What is trained, on what, how, and how long. Raises ModelError, before any work, for what cannot be trained."""

    environment: str = "memory_chain"
    """memory_chain, umbrella_chain or umbrella_hidden."""
    length: int = 30
    """Length of the chain."""
    model: str = "gru"
    """The recurrent cell: see `models.baselines.CELLS`."""
    method: str | None = None
    """supervised: cross-entropy of the last action, memory_chain only. actor_critic: a learned value and generalised
    advantages. reinforce: against the mean return of the other episodes of the batch. None: supervised for memory_chain,
    actor_critic otherwise."""
    layers: int = 2
    """Recurrent layers."""
    parameters: int = 33_000
    """Of the whole network: the width is chosen so that it comes closest. AM-SU with width 64 has 33,251."""
    width: int | None = None
    """Units per layer, instead of by `parameters`."""
    cell: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the cell, such as tau of LIF."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the environment: num_bits, n_distractor, decision."""
    episodes: int = 10_000
    """Episodes of training; bsuite's number."""
    batch_size: int | None = None
    """Episodes per update, side by side. None: 32 with right answers to learn from, 8 with rewards, which need more updates."""
    learning_rate: float = 3e-3
    """Of Adam, at the start."""
    schedule: str = "linear"
    """Learning rate over the updates: "linear" to 0, or "constant"."""
    gradient_clip: float = 1.0
    """Largest gradient norm."""
    discount: float = 1.0
    """Per step; 0.99 would leave 3e-7 of a reward 1,500 steps away."""
    gae_lambda: float = 0.9
    """Of generalised advantage estimation (Schulman et al. 2016), and of the targets of the value; 1 for whole returns."""
    entropy: float = 0.01
    """Weight of the policy's entropy, in nats per step."""
    value_weight: float = 0.5
    """Weight of the squared error of the value."""
    evaluation_episodes: int = 1000
    """Fresh episodes for the final scores, validation and test each, with the likeliest action taken."""
    points: int = 50
    """Points of the learning curve, at most."""
    stop_accuracy: float | None = None
    """Supervised: stop when the mean accuracy of the last 30 updates reaches this; None trains all episodes."""

    def __post_init__(self) -> None:
        for name, known in (("environment", ENVIRONMENTS), ("model", CELLS)):
            choice(name, getattr(self, name), known)
        if self.method is None:
            object.__setattr__(self, "method", "supervised" if self.environment == "memory_chain" else "actor_critic")
        choice("method", self.method, METHODS)
        choice("schedule", self.schedule, SCHEDULES)
        if self.method == "supervised" and self.environment != "memory_chain":
            raise ModelError(f"method supervised has no right answer to learn in {self.environment}; use actor_critic")
        if self.batch_size is None:
            object.__setattr__(self, "batch_size", 32 if self.method == "supervised" else 8)
        for name in ("length", "layers", "parameters", "episodes", "batch_size", "evaluation_episodes", "points"):
            check_count(f"memory settings: {name}", getattr(self, name))
        if self.width is not None:
            check_count("memory settings: width", self.width)
        for name in ("cell", "options"):
            if not isinstance(getattr(self, name), Mapping):
                raise ModelError(f"memory settings: {name} is {getattr(self, name)!r:.60}; expected names with values")
            object.__setattr__(self, name, dict(getattr(self, name)))
        # Beyond these the first step of the optimiser leaves weights that are no numbers, or none that differ.
        for name, high in (("learning_rate", 10.0), ("gradient_clip", 1e6)):
            check_number(f"memory settings: {name}", getattr(self, name), low=1e-12, high=high, closed_high=True)
        for name in ("entropy", "value_weight"):
            check_number(f"memory settings: {name}", getattr(self, name), low=0, high=1e6, closed_high=True)
        for name in ("discount", "gae_lambda"):
            check_number(f"memory settings: {name}", getattr(self, name), low=0, high=1, closed_high=True)
        if self.stop_accuracy is not None:
            check_number(
                "memory settings: stop_accuracy", self.stop_accuracy, low=0.5, high=1, open_low=True, closed_high=True
            )
            if self.method != "supervised":
                raise ModelError(
                    f"stop_accuracy is of method supervised, not of {self.method}: scores count all episodes"
                )

    @classmethod
    def names(cls) -> list[str]:
        """The settings there are."""
        return [one.name for one in fields(cls)]

    @property
    def updates(self) -> int:
        """Steps of the optimiser; the last batch holds what is left of the episodes."""
        return -(-self.episodes // self.per_update)

    @property
    def per_update(self) -> int:
        """Episodes of an update."""
        assert self.batch_size is not None
        return self.batch_size

    def changed(self, changes: Mapping[str, Any]) -> MemorySettings:
        """These settings with others on top. A name that is none of them belongs to the cell or the environment.

        Raises ModelError for a name that nobody knows, with the nearest match, and as the class does.
        """
        own = {name: value for name, value in changes.items() if name in self.names()}
        model, environment = own.get("model", self.model), own.get("environment", self.environment)
        choice("model", model, CELLS)
        choice("environment", environment, ENVIRONMENTS)
        # What followed from another task follows anew.
        if "environment" in own and "method" not in own and own["environment"] != self.environment:
            own["method"] = None
        if own.get("method", self.method) != self.method and "batch_size" not in own:
            own["batch_size"] = None
        for_cell, for_environment = cell_settings(model), environment_options(environment)
        for name in ("cell", "options"):
            if name in own and not isinstance(own[name], Mapping):
                raise ModelError(
                    f"memory settings: {name} is {own[name]!r:.60}; expected names with values, each given by its own name "
                    f"({', '.join(for_cell if name == 'cell' else for_environment) or 'there are none here'})"
                )
        cell, options = dict(own.pop("cell", self.cell)), dict(own.pop("options", self.options))
        for name, value in changes.items():
            if name in self.names():
                continue
            if name in for_cell:
                cell[name] = tuple(value) if isinstance(value, list) else value
            elif name in for_environment:
                options[name] = value
            else:
                choice("setting", name, [*self.names(), *for_cell, *for_environment])
        return replace(self, **own, cell=cell, options=options)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they stand in a record."""
        plain = asdict(self)
        plain["cell"] = {k: list(v) if isinstance(v, tuple) else v for k, v in self.cell.items()}
        return plain


def cell_settings(model: str) -> tuple[str, ...]:
    """Names of the settings that the cell of a model has."""
    from ..baselines import cell_class

    return cell_class(model).SETTINGS


def environment_options(environment: str) -> list[str]:
    """Names of the options of an environment, besides its length."""
    from ..environments import make_environment

    return make_environment(environment, 1).options()


# The paper gives no size, optimiser, budget or algorithm, so there is no preset of its name. `tuned` is a name that all tasks
# have: here it holds starting values, none of which was searched for.
PRESETS: Mapping[str, MemorySettings] = MappingProxyType(
    {
        "tuned": MemorySettings(),
        "smoke": MemorySettings(length=3, episodes=320, parameters=8_600, evaluation_episodes=64),
    }
)


def preset(name: str) -> MemorySettings:
    """The settings of a name; ModelError with those there are."""
    choice("preset of working memory", name, PRESETS)
    return PRESETS[name]
