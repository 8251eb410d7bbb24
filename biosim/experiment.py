"""What is done to the units of an ensemble beside a constant input rate.

A schedule of the rate, the user's own spike trains, a jump of 2-AG or IP3, synapses that fail, release probabilities that
differ between the synapses of a neuron, and windows in which is measured. All times are in s. What is set here is compiled
into the kernels alone where it is used, so that a run without it costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .checks import numbers, plain_number, real, whole
from .ensemble import LONGEST, Array, Clock, SimulationError
from .messages import shown
from .parameters import LARGEST
from .registry import choose
from .spike_trains import SpikeTrains

if TYPE_CHECKING:
    from .ensemble import Ensemble

JumpVariable = Literal["AG", "IP3"]

MOST_PIECES = 1_000_000


def steps_of(name: str, seconds: float, step: float, kind: str) -> int:
    """`seconds` in whole steps of `step` s; raise SimulationError where it is no whole multiple."""
    count = round(seconds / step)
    if abs(seconds / step - count) > 1e-6 * max(count, 1):
        raise SimulationError(f"{name} = {seconds:g} s: expected a whole multiple of {step:g} s ({kind})")
    return count


def _times(name: str, values: Any) -> Array:
    times = np.atleast_1d(numbers(name, values, "s", SimulationError))
    if times.ndim != 1 or not times.size or times.size > MOST_PIECES:
        raise SimulationError(f"{name} = {shown(values)}: expected 1 to {MOST_PIECES} times in s, in a plain list")
    bad = np.flatnonzero(~np.isfinite(times) | (times < 0) | (times > LONGEST))
    if bad.size:
        raise SimulationError(f"{name} = {times[bad[0]]:g} s: expected a time from 0 to {LONGEST:g} s")
    return times


def _time(name: str, value: Any) -> float:
    seconds = real(name, value, "s", SimulationError)
    if not 0 <= seconds <= LONGEST:
        raise SimulationError(f"{name} = {shown(value)} s: expected a time from 0 to {LONGEST:g} s")
    return seconds


@dataclass(frozen=True)
class Schedule:
    """Factor of every unit's input rate over time, piecewise constant, common to the ensemble.

    Parameters
    ----------
    starts : times (s) at which the pieces begin, increasing, the first 0; whole multiples of the neuron step.
    factors : the factor of each piece, at least 0. Regular trains keep their phase where the factor is 0.

    Raises
    ------
    SimulationError
        The lists differ in length, are not in order, or hold what is no time or factor.
    """

    starts: Array
    factors: Array

    def __post_init__(self) -> None:
        starts = _times("starts of the schedule", self.starts)
        factors = np.atleast_1d(numbers("factors of the schedule", self.factors, "1", SimulationError))
        if factors.shape != starts.shape:
            raise SimulationError(
                f"schedule with {starts.size} starts and {factors.size} factors: expected one factor for each start"
            )
        if starts[0] != 0 or (np.diff(starts) <= 0).any():
            raise SimulationError(
                f"starts of the schedule = {shown(starts.tolist())}: expected increasing times from 0 on"
            )
        bad = np.flatnonzero(~np.isfinite(factors) | (factors < 0) | (factors > LARGEST))
        if bad.size:
            raise SimulationError(
                f"factor of the input rate = {factors[bad[0]]!s} at {starts[bad[0]]:g} s: expected 0 to {LARGEST:g}"
            )
        object.__setattr__(self, "starts", starts)
        object.__setattr__(self, "factors", factors)

    @classmethod
    def pulses(cls, first: float, length: float, period: float, number: int) -> Schedule:
        """Factor 1 during `number` windows of `length` s, the first at `first`, one every `period` s; 0 otherwise."""
        first, length, period = _time("first", first), _time("length", length), _time("period", period)
        number = whole("number", number, 1, MOST_PIECES // 2, SimulationError)
        if not 0 < length <= period:
            raise SimulationError(
                f"pulse = {length:g} s: expected a length above 0 and at most the period of {period:g} s"
            )
        # With pulses that touch, or one that begins at 0, pieces would be empty.
        edges: dict[float, float] = {0.0: 0.0}
        for pulse in range(number):
            edges[round(first + pulse * period, 12)] = 1.0
            edges[round(first + pulse * period + length, 12)] = 0.0
        starts = sorted(edges)
        return cls(np.array(starts), np.array([edges[start] for start in starts]))

    @property
    def highest(self) -> float:
        return float(self.factors.max())

    def edges(self, clock: Clock) -> NDArray[np.int64]:
        """First neuron step (0-based) of each piece."""
        name = "start of a piece of the schedule"
        steps = [steps_of(name, float(start), clock.dt, "dt") for start in self.starts]
        if self.starts[-1] > clock.duration * (1 + 1e-9):
            raise SimulationError(
                f"schedule: a piece begins at {self.starts[-1]:g} s, after the duration of {clock.duration:g} s; lengthen "
                "duration or shorten the schedule"
            )
        if (np.diff(steps) <= 0).any():
            raise SimulationError(f"schedule: two pieces begin within one neuron step of {clock.dt:g} s; lengthen them")
        return np.array(steps, dtype=np.int64)

    def per_step(self, clock: Clock) -> Array:
        """The factor in every neuron step, shape [n_steps]."""
        edges = self.edges(clock)
        return self.factors[np.searchsorted(edges, np.arange(clock.n_astro * clock.ratio), side="right") - 1]


@dataclass(frozen=True)
class Jump:
    """A sudden rise of 2-AG of one neuron (``AG``) or of IP3 (``IP3``) by `size` (uM) at `time` (s).

    `size` is one number or one per unit; `time` is a whole multiple of the astrocyte step, so that no Runge-Kutta step
    contains it. A sample of a trace at this time shows the state just before.
    """

    variable: JumpVariable
    time: float
    size: Any
    neuron: int = 0

    def __post_init__(self) -> None:
        choose("variable of the jump", self.variable, get_args(JumpVariable))
        object.__setattr__(self, "time", _time("time of the jump", self.time))
        size = np.atleast_1d(numbers("size of the jump", self.size, "uM", SimulationError))
        bad = np.flatnonzero(~np.isfinite(size) | (size < 0) | (size > LARGEST))
        if size.ndim != 1 or not size.size or bad.size:
            value = size[bad[0]] if bad.size and size.ndim == 1 else shown(self.size)
            raise SimulationError(f"size of the jump = {value!s} uM: expected a finite concentration of at least 0")
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "neuron", whole("neuron of the jump", self.neuron, 0, None, SimulationError))

    def step(self, clock: Clock) -> int:
        """The astrocyte step (0-based) at whose start it takes place."""
        return _moment("time of the jump", self.time, clock, clock.dt_astro, "dt_astro")


@dataclass(frozen=True)
class Faults:
    """Synapses of one neuron that release nothing (PR = 0) from `time` (s) on.

    Parameters
    ----------
    neuron : index of the neuron.
    share : part of its synapses, from the first on, in [0, 1], one number or one per unit; rounded to whole synapses.
    synapses : their indices, instead of a share.

    Raises
    ------
    SimulationError
        Neither or both of share and synapses are given, or they are out of range.
    """

    time: float
    neuron: int = 0
    share: Any = None
    synapses: Sequence[int] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "time", _time("time of the fault", self.time))
        object.__setattr__(self, "neuron", whole("neuron of the fault", self.neuron, 0, None, SimulationError))
        if (self.share is None) == (self.synapses is None):
            raise SimulationError(
                f"faults with share = {shown(self.share)} and synapses = {shown(self.synapses)}: give one of them"
            )
        if self.share is not None:
            share = np.atleast_1d(numbers("share of faulty synapses", self.share, "1", SimulationError))
            bad = np.flatnonzero(~((share >= 0) & (share <= 1)))
            if share.ndim != 1 or not share.size or bad.size:
                value = share[bad[0]] if bad.size and share.ndim == 1 else shown(self.share)
                raise SimulationError(f"share of faulty synapses = {value!s}: expected 0 to 1")
            object.__setattr__(self, "share", share)
        else:
            object.__setattr__(self, "synapses", whole_numbers("faulty synapses", self.synapses))

    def step(self, clock: Clock) -> int:
        """The first neuron step (0-based) without release; a spike at `time` itself still releases."""
        return _moment("time of the fault", self.time, clock, clock.dt, "dt")

    def stuck(self, n_neurons: int, n_synapses: int, n_units: int) -> NDArray[np.bool_]:
        """Which synapses fail, shape [n_units, n_neurons, n_synapses]."""
        if self.neuron >= n_neurons:
            raise SimulationError(f"neuron of the fault = {self.neuron}: there are {n_neurons} neurons, counted from 0")
        table = np.zeros((n_units, n_neurons, n_synapses), dtype=np.bool_)
        if self.synapses is not None:
            for synapse in self.synapses:
                if not 0 <= synapse < n_synapses:
                    raise SimulationError(
                        f"faulty synapse {synapse}: there are {n_synapses} synapses per neuron, counted from 0"
                    )
            table[:, self.neuron, list(self.synapses)] = True
            return table
        if self.share.size not in (1, n_units):
            raise SimulationError(
                f"share of faulty synapses has {self.share.size} values: expected 1 or {n_units}, the units"
            )
        # Half a synapse is rounded up; the tolerance keeps 0.7 of 10 at 7.
        count = np.floor(self.share * n_synapses + 0.5 + 1e-9)
        table[:, self.neuron] = np.arange(n_synapses) < np.broadcast_to(count, n_units)[:, None]
        return table


def whole_numbers(name: str, values: Any) -> tuple[int, ...]:
    """`values` as a tuple of distinct whole numbers of at least 0; 3.0 is taken for 3, as the command line writes it."""
    items = values if isinstance(values, (list, tuple, range, np.ndarray)) else [values]
    out = []
    for item in items:
        number = plain_number(item)
        if number is None or not math.isfinite(number) or number != int(number) or number < 0:
            raise SimulationError(f"{name} = {shown(values)}: expected whole numbers of at least 0")
        out.append(int(number))
    if not out or len(set(out)) != len(out):
        raise SimulationError(f"{name} = {shown(values)}: expected at least one number, each of them once")
    return tuple(out)


def _moment(name: str, time: float, clock: Clock, step: float, kind: str) -> int:
    count = steps_of(name, time, step, kind)
    if time >= clock.duration:
        raise SimulationError(f"{name} = {time:g} s: expected less than the duration of {clock.duration:g} s")
    return count


@dataclass(frozen=True)
class Windows:
    """Stretches of time, each with means and extremes of its own: pairs (start, stop) in s, in order, without overlap."""

    bounds: Array

    def __post_init__(self) -> None:
        bounds = numbers("windows", self.bounds, "s", SimulationError)
        if bounds.ndim != 2 or bounds.shape[1] != 2 or not 1 <= bounds.shape[0] <= MOST_PIECES:
            raise SimulationError(f"windows = {shown(self.bounds)}: expected pairs of start and stop in s")
        if not np.isfinite(bounds).all() or (bounds < 0).any() or (np.diff(bounds.ravel())[::2] <= 0).any():
            raise SimulationError(f"windows = {shown(bounds.tolist())}: expected start < stop, both at least 0 s")
        if (bounds[1:, 0] < bounds[:-1, 1] - 1e-9).any():
            raise SimulationError(f"windows = {shown(bounds.tolist())}: expected them in order and without overlap")
        object.__setattr__(self, "bounds", bounds)

    @classmethod
    def every(cls, length: float, duration: float) -> Windows:
        """Windows of `length` s, one after the other, as many as fit into `duration` s."""
        length = _time("bin", length)
        if not 0 < length <= duration:
            raise SimulationError(
                f"bin = {length:g} s: expected a length above 0 and at most the duration of {duration:g} s"
            )
        edges = np.arange(math.floor(duration / length * (1 + 1e-9)) + 1) * length
        return cls(np.stack([edges[:-1], edges[1:]], axis=1))

    def steps(self, clock: Clock) -> NDArray[np.int64]:
        """First astrocyte step (0-based) of each window and the first one after it, shape [n_windows, 2]."""
        if self.bounds[-1, 1] > clock.duration * (1 + 1e-9):
            raise SimulationError(
                f"a window ends at {self.bounds[-1, 1]:g} s, after the duration of {clock.duration:g} s; lengthen duration"
            )
        return np.array(
            [
                [steps_of("edge of a window", float(t), clock.dt_astro, "dt_astro") for t in pair]
                for pair in self.bounds
            ],
            dtype=np.int64,
        )


# Statistics of each window; True: one value per neuron. Means are over samples at the ends of astrocyte steps.
WINDOW_STATISTICS: dict[str, tuple[str, str, str, bool]] = {
    "window_calcium_mean": ("uM", "<Ca>", "time-mean calcium in the window", False),
    "window_calcium_max": ("uM", "max Ca", "greatest calcium in the window", False),
    "window_ip3_mean": ("uM", "<IP3>", "time-mean IP3 in the window", False),
    "window_ip3_max": ("uM", "max IP3", "greatest IP3 in the window", False),
    "window_esp_mean": ("%", "<eSP>", "time-mean e-SP in the window", False),
    "window_ag_mean": ("uM", "<AG>", "time-mean 2-AG in the window", True),
    "window_release_probability": ("1", "<PR>", "mean release probability of the synapses that never fail", True),
    "window_release_probability_all": (
        "1",
        "<PR>_all",
        "mean release probability of all synapses, a failed one as 0",
        True,
    ),
    "window_firing_rate": ("Hz", "f_post", "firing rate in the window", True),
    "window_release_rate": ("Hz", "f_rel", "quanta released per second in the window", True),
}


@dataclass(frozen=True)
class Experiment:
    """What is done to an ensemble; every part is optional.

    schedule, jump, faults, windows : see the classes. spikes : trains of the input ``spikes``. PR0 : release probability
    without astrocyte and 2-AG of every synapse, shape [n_units, n_neurons, n_synapses], in place of the parameter.
    """

    schedule: Schedule | None = None
    spikes: SpikeTrains | None = None
    jump: Jump | None = None
    faults: Faults | None = None
    windows: Windows | None = None
    PR0: Array | None = None

    def check(self, ensemble: Ensemble) -> None:
        """Raise SimulationError unless every part fits the structure, clock and input of `ensemble`."""
        p, clock, n = ensemble.parameters, ensemble.clock, ensemble.n_units
        kinds = {"schedule": Schedule, "spikes": SpikeTrains, "jump": Jump, "faults": Faults, "windows": Windows}
        for name, kind in kinds.items():
            part = getattr(self, name)
            if part is not None and not isinstance(part, kind):
                raise SimulationError(f"{name} = {shown(part)}: expected {kind.__name__} or None")
        if self.schedule is not None:
            if ensemble.input == "spikes":
                raise SimulationError("a schedule of the input rate and input = 'spikes': give the rate or the spikes")
            self.schedule.edges(clock)
        if self.spikes is not None:
            self.spikes.check(p.n_neurons, p.n_synapses, clock)
        if self.jump is not None:
            self.jump.step(clock)
            if self.jump.size.size not in (1, n):
                raise SimulationError(
                    f"size of the jump has {self.jump.size.size} values: expected 1 or {n}, the units"
                )
            if self.jump.variable == "AG" and self.jump.neuron >= p.n_neurons:
                raise SimulationError(
                    f"neuron of the jump = {self.jump.neuron}: there are {p.n_neurons} neurons, counted from 0"
                )
        if self.faults is not None:
            self.faults.step(clock)
            self.faults.stuck(p.n_neurons, p.n_synapses, n)
        if self.windows is not None:
            self.windows.steps(clock)
        if self.PR0 is not None:
            table = numbers("PR0 of the synapses", self.PR0, "1", SimulationError)
            if table.shape != (n, p.n_neurons, p.n_synapses):
                raise SimulationError(
                    f"PR0 of the synapses has shape {table.shape}: expected {(n, p.n_neurons, p.n_synapses)}, that is units, "
                    "neurons, synapses"
                )
            if "PR0" in ensemble.overrides:
                raise SimulationError("PR0 is given per synapse and swept per unit: give one of them")
            if not ((table >= 0) & (table <= 1)).all():
                raise SimulationError("PR0 of the synapses: expected probabilities from 0 to 1")
            object.__setattr__(self, "PR0", np.ascontiguousarray(table))

    def units(self, selection: Any, n_units: int) -> Experiment:
        """The part for a selection (slice or indices) out of `n_units` units, for ensembles that are cut."""
        jump, faults = self.jump, self.faults
        if jump is not None and jump.size.size == n_units:
            jump = replace(jump, size=jump.size[selection])
        if faults is not None and faults.share is not None and faults.share.size == n_units:
            faults = replace(faults, share=faults.share[selection])
        return replace(self, jump=jump, faults=faults, PR0=None if self.PR0 is None else self.PR0[selection])

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description of what is common to the units; what differs between them follows from the axes."""
        record: dict[str, Any] = {}
        if self.schedule is not None:
            record["schedule"] = {
                "starts_s": self.schedule.starts.tolist(),
                "factors": self.schedule.factors.tolist(),
            }
        if self.spikes is not None:
            record["spikes"] = self.spikes.to_record()
        if self.jump is not None:
            record["jump"] = {
                "variable": self.jump.variable, "time_s": self.jump.time, "size_um": self.jump.size.tolist(),
                "neuron": self.jump.neuron,
            }  # fmt: skip
        if self.faults is not None:
            f = self.faults
            record["faults"] = {
                "time_s": f.time,
                "neuron": f.neuron,
                "share": None if f.share is None else f.share.tolist(),
                "synapses": None if f.synapses is None else list(f.synapses),
            }
        if self.windows is not None:
            record["windows_s"] = self.windows.bounds.tolist()
        return record
