"""Shorter queries and keys with the same softmax attention; the error of random features grows exponentially with norms."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class KeyFrame(NamedTuple):
    """k becomes (k - centre) balance, q becomes q / balance; both ``[heads, d]``, for q and k with their factor d^(-1/4).

    A shift of all keys adds the same to all scores of a query, which softmax does not see; the balance leaves every score as it
    is. Ours: the original notebooks take queries and keys as they are.
    """

    centre: Tensor
    balance: Tensor

    @classmethod
    def of(cls, queries: Tensor, keys: Tensor) -> KeyFrame:
        """From q, k ``[tokens, heads, d]``: the mean key, and the balance with the least mean of |q|^2 + |k|^2."""
        centre = keys.mean(0)
        q, k = queries.square().mean(0).sqrt(), (keys - centre).square().mean(0).sqrt()
        # A coordinate that never moves has no say; the bound keeps its balance finite.
        least = 1e-3 * (q + k).mean() + 1e-12
        return cls(centre, (q.clamp_min(least) / k.clamp_min(least)).sqrt())
