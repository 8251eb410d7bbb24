"""Umbrella chain (bsuite `umbrella_length`): the first action decides, a long noisy walk follows, the end pays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .base import Environment, Outcome, check_count, coins


class UmbrellaState(NamedTuple):
    """time : actions taken. need, have : ``[batch]``, 0 or 1, float32."""

    time: int
    need: Tensor
    have: Tensor


@dataclass(frozen=True)
class UmbrellaChain(Environment):
    """bsuite's UmbrellaChain: `length` actions, of which only the first counts: it takes the umbrella (1) or leaves it (0).

    An observation is [need, have, 1 - t/length, n_distractor fresh fair bits]. Every reward but the last is a fair coin of
    -1 and +1; the last is +1 if have = need, else -1.

    This is **no memory task**: need and have stay visible at every step, so the best policy looks at the present observation
    alone (first action = need). What is hard is credit: the return carries the noise of length - 1 coins. For a task
    of this kind that does need memory see `UmbrellaHidden`.

    Source: google-deepmind/bsuite effafc01, environments/umbrella_chain.py; 20 distractors as in its experiment
    (gymnax has 0, and ends episodes after 100 steps).
    """

    name = "umbrella_chain"
    n_distractor: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "n_distractor", self.n_distractor, 0)

    @property
    def n_features(self) -> int:
        return 3 + self.n_distractor

    @property
    def n_steps(self) -> int:
        return self.length

    @property
    def return_scale(self) -> float:
        return math.sqrt(max(self.length - 1, 1))

    @property
    def decides_at(self) -> int:
        """The action, counted from 0, that takes the umbrella or leaves it."""
        return 0

    def reset(self, batch: int, generator: torch.Generator) -> tuple[UmbrellaState, Tensor]:
        check_count(self.name, "batch", batch, 1)
        state = UmbrellaState(0, coins((batch,), generator), coins((batch,), generator))
        return state, self._shown(state, generator)

    def step(self, state: UmbrellaState, action: Tensor, generator: torch.Generator) -> tuple[UmbrellaState, Outcome]:
        action = self.checked(state.time, len(state.need), action)
        have = action.cpu().float() if state.time == self.decides_at else state.have
        after = UmbrellaState(state.time + 1, state.need, have)
        last = after.time == self.n_steps
        # As in bsuite, the coin is thrown before the distractors are, and not at all at the end.
        right = (have == state.need).float()
        reward = 2.0 * (right if last else coins((len(have),), generator)) - 1.0
        regret = 2.0 * (1.0 - right) if last else torch.zeros_like(right)
        return after, Outcome(self._shown(after, generator), reward, regret, last)

    def _shown(self, state: UmbrellaState, generator: torch.Generator) -> Tensor:
        known = torch.stack([*self._visible(state), torch.full_like(state.need, 1.0 - state.time / self.length)], dim=1)
        return torch.cat([known, coins((len(state.need), self.n_distractor), generator)], dim=1)

    def _visible(self, state: UmbrellaState) -> tuple[Tensor, Tensor]:
        """need and have as they are shown, each ``[batch]``."""
        return state.need, state.have
