"""What an update learns from: the loss of a batch of episodes, supervised or by reward."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..environments.base import Environment
from ..environments.memory_chain import MemoryChain
from .network import MemoryNetwork
from .rollout import play
from .settings import MemorySettings


class Batch(NamedTuple):
    """loss : to be differentiated. regret ``[batch]``: 2 for an episode that went wrong. activity ``[layers]``."""

    loss: Tensor
    regret: Tensor
    activity: Tensor


def supervised(network: MemoryNetwork, environment: MemoryChain, batch: int, generator: torch.Generator) -> Batch:
    """Cross-entropy of the last action, in nats; the answer counts as right if the asked bit is the likelier."""
    device = next(network.parameters()).device
    observations, target = environment.episodes(batch, generator)
    reading = network(observations.to(device))
    logits = reading.logits[:, -1].float()
    loss = functional.cross_entropy(logits, target.to(device))
    return Batch(loss, 2.0 * (logits.argmax(dim=-1).cpu() != target).float(), reading.activity.cpu())


def policy_gradient(
    network: MemoryNetwork, environment: Environment, batch: int, generator: torch.Generator, how: MemorySettings
) -> Batch:
    """Advantage-weighted log-probabilities of the actions taken, means over episodes and steps, with entropy and value.

    Episodes are played step by step without gradients; then the network reads each as one sequence, which is the same
    computation with gradients.
    """
    device = next(network.parameters()).device
    played = play(network, environment, batch, generator)
    reading = network(played.observations.to(device))
    rewards = played.rewards.to(device) / environment.return_scale
    log_p = reading.logits.float().log_softmax(dim=-1)
    taken = log_p.gather(-1, played.actions.to(device)[..., None])[..., 0]
    value = reading.value.float()
    if how.method == "reinforce":
        advantage = leave_one_out(returns(rewards, how.discount))
        value_loss = torch.zeros((), device=device)
    else:
        advantage, target = generalised_advantages(rewards, value.detach(), how.discount, how.gae_lambda)
        value_loss = functional.mse_loss(value, target)
    # Returns of chains differ in size by more than learning rates can follow.
    advantage = advantage / (advantage.std() + 1e-8) if advantage.numel() > 1 else advantage
    entropy = -(log_p.exp() * log_p).sum(dim=-1).mean()
    loss = -(advantage * taken).mean() - how.entropy * entropy + how.value_weight * value_loss
    return Batch(loss, played.regret, reading.activity.cpu())


def returns(rewards: Tensor, discount: float = 1.0) -> Tensor:
    """R_t = r_t + discount R_{t+1} for rewards ``[batch, steps]`` of episodes that end with the last step."""
    out, later = torch.empty_like(rewards), torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        later = rewards[:, t] + discount * later
        out[:, t] = later
    return out


def leave_one_out(returned: Tensor) -> Tensor:
    """Each return less the mean of the other episodes at the same step; less nothing for a single episode."""
    n = len(returned)
    return returned if n == 1 else (returned - returned.mean(dim=0)) * (n / (n - 1))


def generalised_advantages(
    rewards: Tensor, value: Tensor, discount: float = 1.0, gae_lambda: float = 0.9
) -> tuple[Tensor, Tensor]:
    """(advantages, targets of the value), each ``[batch, steps]``, for episodes that end with the last step.

    A_t = d_t + discount lambda A_{t+1} with d_t = r_t + discount V_{t+1} - V_t and V = 0 behind the end; targets A + V, the
    lambda-returns (Schulman et al. 2016, arXiv 1506.02438, eq. 16). With lambda = 1 these are returns, less V.
    """
    following = functional.pad(value[:, 1:], (0, 1))
    advantage = returns(rewards + discount * following - value, discount * gae_lambda)
    return advantage, advantage + value
