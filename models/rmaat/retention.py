"""Retention factors r(t, T): the share of a memory that segment t of T hands on (RMAAT, arXiv 2601.00426, section 3.3).

    geometric    r(t, T) = e^{-a(t-1)} (1 - e^{-a}) / (1 - e^{-aT}), a leaky integrator under a drive that repeats; 1/T for a = 0
    simulated    r(t, T) = dp_t / sum_{i=1..T} dp_i of the long-term process p^l, from macro.json; past its cycles geometric
    reversed     the same in reversed order, a control: simulated where there are simulated shares, else geometric
    uniform      1/T, a control
    ones         1, no retention (RMT), a control
    zeros        0, memory tokens of which nothing is handed on, a control
    learned      one free factor in (0, 1) per t, a control
    learned_shares   shares that sum to 1, softmax over t = 1 ... T, a control

One factor multiplies the whole memory. It changes amplitudes and no sizes: memory takes the same bytes with and without it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..choices import choice
from ..errors import ModelError

FIXED = ("ones", "zeros", "uniform", "geometric", "simulated", "reversed")
LEARNED = ("learned", "learned_shares")
SCHEDULES = (*FIXED, *LEARNED)
LARGEST_DECAY = 700.0
# sigmoid(2.2) = 0.9: most of a memory is kept while nothing is known.
_LEARNED_START = 2.2


def retention_factors(
    schedule: str, total: int, *, decay: float = 0.5, shares: Sequence[float] | None = None
) -> Tensor:
    """r(t, T) for t = 1 ... T = `total`, ``[T]`` in float64, of one of `FIXED`.

    decay : a per segment, from 0 to 700. shares : of the simulated cycles, at least 2, for "simulated".
    Raises ModelError for another schedule or total, or "simulated" without shares.
    """
    choice("retention", schedule, FIXED)
    if isinstance(total, bool) or not isinstance(total, int) or total < 1:
        raise ModelError(f"total is {total!r}; expected a whole number of segments of at least 1")
    if schedule in ("ones", "zeros"):
        return torch.full((total,), float(schedule == "ones"), dtype=torch.float64)
    if schedule == "uniform":
        return geometric(total, 0.0)
    if schedule == "simulated" and shares is None:
        raise ModelError(
            "retention is 'simulated' and there are no simulated shares; make the configuration with from_macro and a "
            "macro.json that has them, or take 'geometric'"
        )
    r = geometric(total, decay) if schedule == "geometric" or shares is None else simulated(total, shares, decay)
    return r.flip(0) if schedule == "reversed" else r


def geometric(total: int, decay: float) -> Tensor:
    """The closed form, ``[total]`` in float64; a = `decay`, and 0 gives 1/total."""
    if not 0.0 <= decay <= LARGEST_DECAY:
        raise ModelError(f"retention decay is {decay!r}; expected a number from 0 to {LARGEST_DECAY:g}")
    if decay == 0.0:
        return torch.full((total,), 1.0 / total, dtype=torch.float64)
    # expm1 keeps the digits for small a.
    share = math.expm1(-decay) / math.expm1(-decay * total)
    return share * torch.exp(-decay * torch.arange(total, dtype=torch.float64))


def simulated(total: int, shares: Sequence[float], decay: float) -> Tensor:
    """The first `total` simulated cycles, continued geometrically with a = `decay`, as shares of their sum, ``[total]``."""
    gains = torch.tensor(list(shares)[:total], dtype=torch.float64)
    beyond = torch.arange(1, total - len(gains) + 1, dtype=torch.float64)
    gains = torch.cat([gains, gains[-1] * torch.exp(-decay * beyond)])
    return gains / gains.sum()


class Retention(nn.Module):
    """r for rows of a batch that may have different numbers of segments; holds parameters where it is learned.

    segments : T of the configuration, the most that a learned schedule knows.
    """

    def __init__(
        self, schedule: str, segments: int, *, decay: float = 0.5, shares: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.schedule, self.segments = choice("retention", schedule, SCHEDULES), segments
        self.decay, self.shares = float(decay), shares
        self.weight = nn.Parameter(torch.empty(segments)) if schedule in LEARNED else None
        self.reset()

    @property
    def start(self) -> float:
        """Where the weights of a learned schedule start: factors of 0.9, or equal shares."""
        return _LEARNED_START if self.schedule == "learned" else 0.0

    @torch.no_grad()
    def reset(self) -> None:
        """Put a learned schedule to its start."""
        if self.weight is not None:
            self.weight.fill_(self.start)

    def forward(self, total: int) -> Tensor:
        """r(t, T) for t = 1 ... T = `total`, ``[T]``; float64, or the dtype of the weights where it is learned."""
        if self.weight is None:
            return retention_factors(self.schedule, total, decay=self.decay, shares=self.shares)
        if not 1 <= total <= self.segments:
            raise ModelError(
                f"there are {total} segments and retention {self.schedule!r} was built for {self.segments}; shorten the "
                "input, or train with a larger max_position_embeddings"
            )
        wide = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        return wide[:total].sigmoid() if self.schedule == "learned" else wide[:total].softmax(0)

    def handed_on(self, counts: Tensor, total: int | None, length: int, dtype: torch.dtype) -> Tensor:
        """Factor on what segment t hands to t + 1, ``[length - 1, batch]``; 1 where a row has no segment t + 1.

        counts : segments with tokens of every row, ``[batch]``. total : T of all rows, or None for each row's own.
        """
        device, rows = counts.device, counts.shape[0]
        later = torch.arange(1, length, device=device)[:, None] < counts
        if length == 1:
            return torch.ones(0, rows, dtype=dtype, device=device)
        if total is not None:
            r = self(total).to(device=device, dtype=dtype)[: length - 1, None].expand(-1, rows)
        else:
            table = [self(t).to(device=device, dtype=dtype) for t in range(1, length + 1)]
            padded = torch.stack([nn.functional.pad(row[: length - 1], (0, length - 1 - len(row[: length - 1])), value=1.0)
                                  for row in table])  # fmt: skip
            r = padded[counts.clamp(1, length) - 1].T
        return torch.where(later, r, torch.ones((), dtype=dtype, device=device))
