"""What an environment is: rules without memory of their own, that turn a state and actions into the next state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ..errors import ModelError


class Outcome(NamedTuple):
    """What a step shows: observation ``[batch, features]`` float32, reward and regret ``[batch]`` float32, and whether
    it was the last.

    All episodes of a batch are equally long, so they end together. Regret is bsuite's: 2 for a wrong episode, told at its end.
    """

    observation: Tensor
    reward: Tensor
    regret: Tensor
    last: bool


@dataclass(frozen=True)
class Environment(ABC):
    """The rules of a chain; two actions, 0 and 1; no cap on the number of steps but the chain's own end.

    `reset` and `step` take the state and return the next one, so a state can be kept, copied or gone back to. All
    randomness comes from the generator that is handed over. What they return is on the CPU; actions may come from elsewhere.
    """

    length: int
    name: ClassVar[str]
    n_actions: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_count(self.name, "length", self.length, 1)

    @classmethod
    def options(cls) -> list[str]:
        """Settings besides the length."""
        return [field.name for field in fields(cls) if field.name != "length"]

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Numbers in an observation."""

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Actions in an episode."""

    @property
    @abstractmethod
    def return_scale(self) -> float:
        """Standard deviation of an episode's return that no policy can avoid or, if larger, 1."""

    @abstractmethod
    def reset(self, batch: int, generator: torch.Generator) -> tuple[Any, Tensor]:
        """State and first observation ``[batch, features]`` of `batch` new episodes."""

    @abstractmethod
    def step(self, state: Any, action: Tensor, generator: torch.Generator) -> tuple[Any, Outcome]:
        """The next state and what it shows, after `action` ``[batch]`` of whole numbers 0 or 1.

        ModelError if the episodes are over or the actions are not of that kind.
        """

    def checked(self, time: int, batch: int, action: Tensor) -> Tensor:
        """`action`, or ModelError: the episodes are over, or these are no actions for them."""
        if time >= self.n_steps:
            raise ModelError(
                f"{self.name}: the episodes ended after {self.n_steps} actions; reset before the next step"
            )
        if action.shape != (batch,) or action.dtype.is_floating_point:
            raise ModelError(
                f"{self.name}: actions have shape {tuple(action.shape)} and {action.dtype}; expected {batch} whole numbers"
            )
        if bool(((action < 0) | (action >= self.n_actions)).any()):
            raise ModelError(f"{self.name}: an action is outside of 0 and 1")
        return action


def check_count(thing: str, name: str, value: Any, low: int) -> None:
    """ModelError unless `value` is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ModelError(f"{thing}: {name} is {value!r:.60}; expected a whole number of at least {low}")


def coins(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Fair draws of 0 and 1, float32."""
    return torch.randint(0, 2, shape, generator=generator).float()
