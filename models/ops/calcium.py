"""Four readings of eq. 14 and line 17 of Algorithm 1: from activation phi(k) to the calcium g that divides the output.

With a response f (the paper: f(G) = G^alpha), sums over tokens t and neurons a:

    sum_then_power    g_a = f(sum_t phi(k_t)_a)                 eq. 14
    power_then_sum    g_a = sum_t f(phi(k_t)_a)                 Algorithm 1, the sum over t outside the power
    scalar            g_a = sum_t f(sum_b phi(k_t)_b)           Algorithm 1, the sum inside over neurons: one g for all
    running           g_a = sum_t f(sum_{u<=t} phi(k_u)_a)      Algorithm 1, the sum inside over the tokens so far

A state of the causal form carries what the reading needs: ``[batch, heads, m]``, for "running" G and g side by side,
``[batch, heads, 2 m]``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ModelError
from .response import Response

READINGS = ("sum_then_power", "power_then_sum", "scalar", "running")


def check_reading(reading: str) -> None:
    """Raise ModelError unless `reading` names a reading of the calcium."""
    if reading not in READINGS:
        raise ModelError(f"calcium reading is {reading!r}; expected one of {', '.join(READINGS)}")


def calcium_width(m: int, reading: str) -> int:
    """Numbers per head that the state carries for the calcium."""
    return 2 * m if reading == "running" else m


def _contribution(k: Tensor, response: Response, reading: str) -> Tensor:
    """What one token adds to g, for the two readings in which tokens do not meet inside the power."""
    return response(k.sum(-1, keepdim=True)).expand_as(k) if reading == "scalar" else response(k)


def calcium_step(
    k: Tensor, keep: Tensor | None, state: Tensor, response: Response, reading: str = "sum_then_power"
) -> tuple[Tensor, Tensor]:
    """g after one more token, and the new state: k ``[batch, heads, m]``, blanked where masked; keep ``[batch, 1, 1]``."""
    if reading == "sum_then_power":
        state = state + k
        return response(state), state
    if reading == "running":
        activation, g = state.chunk(2, dim=-1)
        activation = activation + k
        added = response(activation)
        # A masked token adds no activation, but the power of the running sum would be counted once more.
        g = g + (added if keep is None else added.masked_fill(~keep, 0.0))
        return g, torch.cat([activation, g], dim=-1)
    state = state + _contribution(k, response, reading)
    return state, state


def calcium_over_time(
    k: Tensor, keep: Tensor | None, state: Tensor, response: Response, reading: str = "sum_then_power"
) -> tuple[Tensor, Tensor]:
    """g after every token ``[batch, time, heads, m]`` and the last state: `calcium_step` for k ``[batch, time, heads, m]``."""
    check_reading(reading)
    if not k.shape[1]:
        return k, state
    if reading == "running":
        before, g_before = state[:, None].chunk(2, dim=-1)
        activation = k.cumsum(dim=1) + before
        added = response(activation)
        g = (added if keep is None else added.masked_fill(~keep, 0.0)).cumsum(dim=1) + g_before
        return g, torch.cat([activation[:, -1], g[:, -1]], dim=-1)
    if reading == "sum_then_power":
        activation = k.cumsum(dim=1) + state[:, None]
        return response(activation), activation[:, -1]
    g = _contribution(k, response, reading).cumsum(dim=1) + state[:, None]
    return g, g[:, -1]


def calcium_of_all(k: Tensor, keep: Tensor | None, response: Response, reading: str = "sum_then_power") -> Tensor:
    """g after the whole sequence, ``[batch, 1, heads, m]``; 0 for an empty one."""
    check_reading(reading)
    if reading == "sum_then_power":
        return response(k.sum(dim=1, keepdim=True))
    if reading == "running":
        added = response(k.cumsum(dim=1))
        return (added if keep is None else added.masked_fill(~keep, 0.0)).sum(dim=1, keepdim=True)
    return _contribution(k, response, reading).sum(dim=1, keepdim=True)
