"""Memory chain (bsuite `memory_len`): a context is shown at the start and must be named at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Environment, Outcome, check_count, coins


class MemoryState(NamedTuple):
    """time : actions taken. context : bits ``[batch, num_bits]``, 0 or 1, float32. query : ``[batch]``, which is asked
    for."""

    time: int
    context: Tensor
    query: Tensor


class Episodes(NamedTuple):
    """observations ``[batch, length + 1, features]`` before each action; target ``[batch]``: the right last action."""

    observations: Tensor
    target: Tensor


@dataclass(frozen=True)
class MemoryChain(Environment):
    """bsuite's MemoryChain: length + 1 actions, of which only the last counts: +1 if it names the asked bit, else -1.

    An observation is [1 - t/length, query, context]: the context as -1 or +1 while t = 0 and zero afterwards, the number of
    the asked bit while t = length - 1. It is made before t goes on, so the context is seen twice, before the first action and
    before the second, and the last action is chosen on seeing the time 1/length: the delay from the last sight of the context
    to the decision is length - 1 steps, and length 1 needs no memory. With one bit the query is always 0.

    Source: google-deepmind/bsuite effafc01, environments/memory_chain.py.
    """

    name = "memory_chain"
    num_bits: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "num_bits", self.num_bits, 1)

    @property
    def n_features(self) -> int:
        return 2 + self.num_bits

    @property
    def n_steps(self) -> int:
        return self.length + 1

    @property
    def return_scale(self) -> float:
        return 1.0

    def reset(self, batch: int, generator: torch.Generator) -> tuple[MemoryState, Tensor]:
        state = self._drawn(batch, generator)
        return state, self._shown(state, 0)

    def step(self, state: MemoryState, action: Tensor, generator: torch.Generator) -> tuple[MemoryState, Outcome]:
        action = self.checked(state.time, len(state.query), action)
        observation = self._shown(state, state.time)
        after = state._replace(time=state.time + 1)
        nothing = torch.zeros(len(state.query))
        if after.time < self.n_steps:
            return after, Outcome(observation, nothing, nothing, False)
        right = (action.cpu() == self._asked(state)).float()
        return after, Outcome(observation, 2.0 * right - 1.0, 2.0 * (1.0 - right), True)

    def episodes(self, batch: int, generator: torch.Generator) -> Episodes:
        """Whole episodes at once: what is seen here does not depend on the actions. Draws as `reset` does."""
        state = self._drawn(batch, generator)
        # Before action k the agent has seen the observation of time max(k - 1, 0).
        seen = [0, *range(self.length)]
        observations = torch.zeros(batch, self.n_steps, self.n_features)
        observations[:, :, 0] = torch.tensor([self._left(t) for t in seen])
        observations[:, [t == self.length - 1 for t in seen], 1] = state.query[:, None].float()
        observations[:, :2, 2:] = (2.0 * state.context - 1.0)[:, None]
        return Episodes(observations, self._asked(state))

    def _drawn(self, batch: int, generator: torch.Generator) -> MemoryState:
        check_count(self.name, "batch", batch, 1)
        context = coins((batch, self.num_bits), generator)
        return MemoryState(0, context, torch.randint(0, self.num_bits, (batch,), generator=generator))

    def _asked(self, state: MemoryState) -> Tensor:
        return state.context.gather(1, state.query[:, None])[:, 0].long()

    def _left(self, time: int) -> float:
        return 1.0 - time / self.length

    def _shown(self, state: MemoryState, time: int) -> Tensor:
        observation = torch.zeros(len(state.query), self.n_features)
        observation[:, 0] = self._left(time)
        if time == self.length - 1:
            observation[:, 1] = state.query.float()
        if time == 0:
            observation[:, 2:] = 2.0 * state.context - 1.0
        return observation
