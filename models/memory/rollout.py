"""Episodes as a network plays them: step by step, with its state handed along."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..environments.base import Environment
from .network import MemoryNetwork


class Rollout(NamedTuple):
    """observations ``[batch, steps, features]``, actions and rewards ``[batch, steps]``, regret ``[batch]``: 2 for a wrong
    episode; activity ``[layers]``: mean output over steps."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    regret: Tensor
    activity: Tensor


@torch.no_grad()
def play(
    network: MemoryNetwork,
    environment: Environment,
    batch: int,
    generator: torch.Generator,
    *,
    greedy: bool = False,
) -> Rollout:
    """Play `batch` episodes to their ends. greedy : take the likeliest action, the lower of equals, instead of a random one.

    All random numbers, of the environment and of the policy, come from `generator` (CPU), so that a device changes none.
    """
    device = next(network.parameters()).device
    state, observation = environment.reset(batch, generator)
    memory, last = None, False
    observations, actions, rewards, activity = [], [], [], []
    regret = torch.zeros(batch)
    while not last:
        reading = network(observation[:, None].to(device), memory)
        memory, logits = reading.state, reading.logits[:, 0].cpu()
        if greedy:
            action = logits.argmax(dim=-1)
        else:
            action = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)[:, 0]
        observations.append(observation)
        actions.append(action)
        activity.append(reading.activity)
        state, (observation, reward, missed, last) = environment.step(state, action, generator)
        rewards.append(reward)
        regret += missed
    stacked = [torch.stack(x, dim=1) for x in (observations, actions, rewards)]
    return Rollout(stacked[0], stacked[1], stacked[2], regret, torch.stack(activity).mean(dim=0).cpu())
