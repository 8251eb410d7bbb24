"""The sections of a macro file beside the response: time constants, retention of a memory between segments, distance.

Each value says how it is known (`status`), where it comes from (`source`), and its standard error where it has one.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from .macro_parts import MacroError, NotNegative, Part, Positive, Status

_LARGEST_DECAY = 700.0
_MOST = 10**6
# Shares of simulated cycles, whose sum is 1 to rounding.
_SHARES_ROUNDING = 1e-6


class MembraneConstant(Part):
    """Membrane time constant of the neuron, which the astrocyte's constants are counted in; in the section's unit."""

    value: Positive
    source: str
    status: Status


class TimeConstant(Part):
    """One time constant of the astrocyte's memory.

    value, stderr : in the section's unit; stderr null where it is not known.
    biology : what decays with it, in words.
    closed_form : what the equations of the simulation give, for comparison; null where there is nothing to compare.
    source : of the number or of the parameter behind it.
    """

    value: Positive
    stderr: NotNegative | None
    biology: str
    closed_form: Positive | None
    source: str
    status: Status


class TimeConstants(Part):
    """Time constants of the astrocyte's memory, and the step in which a network counts them.

    unit : "s", or "steps" where the source gives steps of a network and no time.
    membrane : the neuron's constant, which is worth `tau_n` steps, so that a step is membrane / tau_n.
    tau_n : the neuron's constant in steps, a choice of the network (2 in AstroSNN, arXiv 2312.07625).
    constants : by identifier, such as `ag` (2-AG), `ip3`, `calcium`, `esp`.
    """

    unit: Literal["s", "steps"]
    membrane: MembraneConstant
    tau_n: Positive
    tau_n_status: Status
    constants: dict[str, TimeConstant]

    @model_validator(mode="after")
    def _usable(self) -> TimeConstants:
        if not self.constants:
            raise ValueError("constants is empty, expected at least one; leave the whole section null instead")
        for name in self.constants:
            if not name.isidentifier():
                raise ValueError(f"constants has the name {name!r}, expected an identifier such as 'ip3'")
        if self.unit == "steps" and not math.isclose(self.membrane.value, self.tau_n):
            raise ValueError(
                f"membrane.value is {self.membrane.value:g} steps and tau_n {self.tau_n:g}: they are one thing where the "
                "unit is steps; make them equal"
            )
        return self

    @property
    def step(self) -> float:
        """What one step of a network lasts, in the section's unit (s, or 1 step)."""
        return self.membrane.value / self.tau_n

    def ratios(self) -> dict[str, float]:
        """Every constant in units of the neuron's membrane constant."""
        return {name: constant.value / self.membrane.value for name, constant in self.constants.items()}

    def tau_a(self) -> dict[str, float]:
        """Every constant in steps of a network, the shortest first: the measured tau_a of an AM-SU."""
        steps = {name: constant.value / self.step for name, constant in self.constants.items()}
        return dict(sorted(steps.items(), key=lambda item: item[1]))

    def spectrum(self, n_heads: int, names: tuple[str, ...] | list[str] | None = None) -> list[float]:
        """tau_a in steps for `n_heads` heads, distributed exponentially from the shortest to the longest, as AstroSNN does.

        names : the constants that span it; default all. One head takes the geometric mean.

        Raises
        ------
        MacroError
            `n_heads` is no whole number of at least 1, or a name is not in the section.
        """
        if isinstance(n_heads, bool) or not isinstance(n_heads, int) or not 1 <= n_heads <= _MOST:
            raise MacroError(f"n_heads is {n_heads!r}, expected a whole number from 1 to {_MOST}")
        steps = self.tau_a()
        for name in names or ():
            if name not in steps:
                raise MacroError(f"time constant {name!r} is not in this file; choose from {', '.join(steps)}")
        taken = [steps[name] for name in names] if names else list(steps.values())
        low, high = math.log(min(taken)), math.log(max(taken))
        if n_heads == 1:
            return [math.exp((low + high) / 2)]
        return [math.exp(low + (high - low) * i / (n_heads - 1)) for i in range(n_heads)]

    def numbers(self) -> dict[str, Any]:
        """What determines a network's numbers: the content of the digest."""
        return {
            "unit": self.unit,
            "membrane": self.membrane.value,
            "tau_n": self.tau_n,
            "constants": {name: constant.value for name, constant in self.constants.items()},
        }


class Retention(Part):
    """How much of the memory's long-term gain each of T segments has: r(t, T) (RMAAT, arXiv 2601.00426).

    decay : a of the closed form r(t, T) = e^{-a(t-1)} (1 - e^{-a}) / (1 - e^{-aT}), per cycle; 0 gives 1/T.
    stderr : of `decay`; null where it is not known.
    shares : share of each simulated cycle in the gain of all of them, summing to 1; null where none was simulated.
    closed_form : a = gamma^l tau_cycle / tau_p^l of the simulated equations; null where there is nothing to compare.
    decay_all_cycles : a of the closed form fitted to all `shares`, the first cycle, which starts from nothing, included;
        null without shares. cycle_s : length of a cycle, s; null where none is given.
    """

    decay: NotNegative
    stderr: NotNegative | None
    shares: list[NotNegative] | None
    decay_all_cycles: NotNegative | None
    stderr_all_cycles: NotNegative | None
    closed_form: NotNegative | None
    cycle_s: Positive | None
    biology: str
    source: str
    status: Status

    @model_validator(mode="after")
    def _usable(self) -> Retention:
        if self.decay > _LARGEST_DECAY:
            raise ValueError(f"decay is {self.decay:g}, expected 0 to {_LARGEST_DECAY:g}; correct it")
        if self.shares is not None:
            total = math.fsum(self.shares)
            if len(self.shares) < 2 or abs(total - 1) > _SHARES_ROUNDING:
                raise ValueError(
                    f"shares are {len(self.shares)} and sum to {total:g}, expected at least 2 that sum to 1; fit again"
                )
            if self.shares[0] == 0:
                raise ValueError("shares begin with 0, expected a gain in the first cycle; simulate again")
        return self

    def geometric(self, total: int) -> NDArray[np.float64]:
        """r(t, T) of the closed form with this `decay`, [T]. MacroError for a `total` that is no number of segments."""
        from biosim.plasticity.retention import geometric_retention

        return geometric_retention(_segments(total), self.decay)

    def factors(self, total: int) -> NDArray[np.float64]:
        """r(t, T) for t = 1 to T, [T], summing to 1: from the simulated cycles as far as they go, continued geometrically.

        Without simulated cycles the closed form.

        Raises
        ------
        MacroError
            `total` is no whole number of at least 1.
        """
        segments = _segments(total)
        if self.shares is None:
            return self.geometric(segments)
        gains = np.array(self.shares[:segments])
        beyond = segments - gains.size
        if beyond:
            gains = np.append(gains, gains[-1] * np.exp(-self.decay * np.arange(1, beyond + 1)))
        shares: NDArray[np.float64] = gains / gains.sum()
        return shares

    def numbers(self) -> dict[str, Any]:
        """What determines a network's numbers: the content of the digest."""
        return {"decay": self.decay, "shares": self.shares}


class Distance(Part):
    """How the coupling between astrocyte processes falls with distance: exp(-scale d), d in distances of neighbours.

    scale, stderr : of the coupling itself. response_scale, response_stderr : of the short-term process that follows from
        it, a little longer or shorter reaching; null where the geometry does not fix it. closed_form : the parameter of the
        simulation; null where there is nothing to compare. geometry : of the synapses it was measured on; null if none.
    """

    scale: Positive
    stderr: NotNegative | None
    response_scale: Positive | None
    response_stderr: NotNegative | None
    closed_form: Positive | None
    geometry: str | None
    biology: str
    source: str
    status: Status

    def numbers(self) -> dict[str, Any]:
        """What determines a network's numbers: the content of the digest."""
        return {"scale": self.scale}


def _segments(total: Any) -> int:
    if isinstance(total, bool) or not isinstance(total, int | np.integer) or not 1 <= total <= _MOST:
        raise MacroError(f"total is {total!r}, expected a whole number of segments from 1 to {_MOST}")
    return int(total)
