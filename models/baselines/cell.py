"""The protocol of a recurrent layer: sequence and state in, sequence and state out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..settings import check_choice


class Cell(nn.Module, ABC):
    """A causal layer of `width` units that reads ``[batch, time, width]`` and writes as much.

    ``cell(x, state) -> (y, state)``. `state` is None at the start of a sequence, and afterwards what the call before gave
    back: a tuple of tensors whose first dimension is the batch, whatever else it holds being the cell's own affair. A
    sequence cut anywhere, with the state handed over, gives the same y and the same last state as in one piece: training reads
    whole sequences, acting reads one step at a time. Nothing is kept in the module.

    SPIKING : y is made of 0 and 1, and its mean is a firing rate. WIDTH_MULTIPLE : what `width` is a multiple of. SETTINGS :
    names of the keyword arguments. STATE : the named tuple of a state whose tensors are all ``[batch, width]``. `length` is how
    long sequences will be, for cells whose time constants start from it.
    """

    SPIKING: ClassVar[bool] = True
    WIDTH_MULTIPLE: ClassVar[int] = 1
    SETTINGS: ClassVar[tuple[str, ...]] = ()
    STATE: ClassVar[Any]

    def __init__(self, width: int, length: int, **settings: Any) -> None:
        super().__init__()
        for name, value, low in (("width", width, self.WIDTH_MULTIPLE), ("length", length, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ModelError(
                    f"{type(self).__name__}: {name} is {value!r:.60}; expected a whole number of at least {low}"
                )
        if width % self.WIDTH_MULTIPLE:
            raise ModelError(f"{type(self).__name__}: width is {width}; expected a multiple of {self.WIDTH_MULTIPLE}")
        self.width = width

    @abstractmethod
    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """y ``[batch, time, width]`` and the state after the last step."""


DECAYS = ("exp", "one_minus_inv")
# Steps; beyond these a decay is 0 or 1 in float32 and its gradient is not a number.
SHORTEST, LONGEST = 1e-3, 1e9


def check_switch(name: str, value: object) -> bool:
    """`value` as it is; ModelError unless it is True or False: words such as "no" would count as true."""
    if not isinstance(value, bool):
        raise ModelError(f"{name} is {value!r:.60}; expected true or false")
    return value


class TimeConstants(nn.Module):
    """A time constant per unit, in steps, as the factor by which a state decays in one: exp(-1/tau), or 1 - 1/tau.

    Starts log-uniform in `span` (torch's random state), or at its one value. The parameter is log tau, so that tau stays
    positive whatever training does; for "one_minus_inv" tau must be fixed and at least 1.
    """

    def __init__(self, width: int, span: tuple[float, float], learned: bool, decay: str = "exp") -> None:
        super().__init__()
        low, high = checked_span(span)
        check_switch("learn_tau", learned)
        check_choice("decay", decay, DECAYS)
        if decay == "one_minus_inv" and (learned or low < 1.0):
            raise ModelError("decay 'one_minus_inv' needs fixed time constants of at least 1; set learn_tau=false")
        self.decay = decay
        start = math.log(low) + (math.log(high) - math.log(low)) * torch.rand(width)
        if learned:
            self.log_tau = nn.Parameter(start)
        else:
            self.register_buffer("log_tau", start)

    def forward(self) -> Tensor:
        """The factors ``[width]``, in (0, 1)."""
        inverse = torch.exp(-self.log_tau)
        return torch.exp(-inverse) if self.decay == "exp" else 1.0 - inverse


def checked_span(span: Any) -> tuple[float, float]:
    """(lowest, highest) time constant in steps; ModelError for another thing."""
    numbers = (
        isinstance(span, tuple | list)
        and len(span) == 2
        and all(isinstance(s, int | float) and not isinstance(s, bool) for s in span)
    )
    if not numbers or not SHORTEST <= span[0] <= span[1] <= LONGEST:
        raise ModelError(
            f"time constants are {span!r:.60}; expected (lowest, highest) in steps, from {SHORTEST:g} to {LONGEST:g}"
        )
    return float(span[0]), float(span[1])
