"""The data that a macro file's sections were fitted to, inside the file, so that a reader can fit again and check."""

from __future__ import annotations

from pydantic import model_validator

from .macro_parts import Finite, NotNegative, Part

# A single file should stay one that people can open.
MOST_TRIAL_VALUES = 20_000


class ResponseData(Part):
    """The response curve: `calcium_uM` [n] at `input_rate_Hz` [n]; standard deviation between trials and single trials
    [n][trials] where they are known."""

    input_rate_Hz: list[NotNegative]
    calcium_uM: list[Finite]
    sd_uM: list[NotNegative] | None
    trials_uM: list[list[Finite]] | None

    @model_validator(mode="after")
    def _lengths(self) -> ResponseData:
        _same_length("input_rate_Hz", self.input_rate_Hz, self, ("calcium_uM", "sd_uM", "trials_uM"))
        return self


class DecayData(Part):
    """A response to one impulse, above the resting level: `values` [n] at `time_s` [n].

    names : the constants that were free, the slowest first. held : those that were held, by name. unit : of the values.
    beside : the same response to half the impulse, of which `values` is the linear part; null for a linear process.
    """

    names: list[str]
    held: list[str]
    time_s: list[NotNegative]
    values: list[Finite]
    beside: list[Finite] | None
    unit: str

    @model_validator(mode="after")
    def _lengths(self) -> DecayData:
        _same_length("time_s", self.time_s, self, ("values", "beside"))
        return self


class RetentionData(Part):
    """The long-term process p^l at the end of each cycle, mean over synapses [n]."""

    long_term: list[Finite]


class DistanceData(Part):
    """Coupling that each synapse receives from all others, and its short-term process, [n]; where they lie, [n][dimensions]."""

    positions: list[list[Finite]]
    coupling_received: list[NotNegative]
    short_term: list[Finite]

    @model_validator(mode="after")
    def _lengths(self) -> DistanceData:
        _same_length("positions", self.positions, self, ("coupling_received", "short_term"))
        if len({len(point) for point in self.positions}) != 1:
            raise ValueError("positions have different numbers of coordinates; give every synapse as many")
        return self


class Validation(Part):
    """What the sections were fitted to; null for a section that was not fitted here."""

    response: ResponseData | None = None
    time_constants: list[DecayData] | None = None
    retention: RetentionData | None = None
    distance: DistanceData | None = None


def _same_length(name: str, first: list[float] | list[list[float]], part: Part, others: tuple[str, ...]) -> None:
    for other in others:
        values = getattr(part, other)
        if values is not None and len(values) != len(first):
            raise ValueError(f"{other} has {len(values)} values and {name} {len(first)}, expected as many; fit again")
