"""Umbrella chain with its state hidden: our own variant, which does need memory. It is no part of bsuite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ModelError
from .umbrella_chain import UmbrellaChain, UmbrellaState


@dataclass(frozen=True)
class UmbrellaHidden(UmbrellaChain):
    """`UmbrellaChain` where need is shown at t = 0 only, have only right after the decision, which falls half-way.

    decision : the action, counted from 0, that takes the umbrella or leaves it; None for length // 2. The policy must carry
    need over `decision` steps of coins and distractors, and credit must find its way over the length - decision that follow.
    Hidden values are shown as 0, and a shown need as -1 or +1, so that 0 never stands for "no". have is shown likewise.

    With ``decision=0`` need is visible when it is needed: then the best policy is without memory again, and only an estimate of
    the return needs any. A chain of length 1 has no room for a delay.
    """

    name = "umbrella_hidden"
    decision: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.decision
        if given is not None and (
            isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < self.length
        ):
            raise ModelError(
                f"{self.name}: decision is {given!r:.60}; expected a whole number from 0 to {self.length - 1}"
            )

    @property
    def decides_at(self) -> int:
        return self.length // 2 if self.decision is None else self.decision

    def _visible(self, state: UmbrellaState) -> tuple[Tensor, Tensor]:
        hidden = torch.zeros_like(state.need)
        need = 2.0 * state.need - 1.0 if state.time == 0 else hidden
        have = 2.0 * state.have - 1.0 if state.time == self.decides_at + 1 else hidden
        return need, have
