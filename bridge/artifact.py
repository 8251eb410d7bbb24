"""The macro file: macroscopic parameters on their way from the fit to the networks.

One JSON file holds up to four sections: the fitted response with its equivalent exponent and the scale that turns network
activation into an input rate; time constants of the astrocyte's memory; retention between segments; the distance scale of
the coupling. Beside them lie the ranking of the families, the data that the sections were fitted to, and the provenance.
What is not known is null, never invented. The file is read without the code that wrote it: nothing beyond pydantic and
NumPy is imported here.
"""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
import types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from biosim.atomic import OutputError, is_temporary, replacing, write_text
from biosim.folders import check_folder, exclusive, output_folder
from biosim.memory import available as available_memory
from biosim.registry import UnknownName, choose

from .curves import FAMILIES
from .macro_parts import Finite, Interval, MacroError, NotNegative, Part, Positive, canonical
from .macro_sections import Distance, MembraneConstant, Retention, TimeConstant, TimeConstants
from .macro_validation import Validation
from .migrations import STEPS, migrated

if TYPE_CHECKING:
    from .sampling import MacroSamples

__all__ = [
    "FORMAT",
    "SECTIONS",
    "VERSION",
    "ActivationScale",
    "Distance",
    "EquivalentExponent",
    "Interval",
    "MacroError",
    "MacroParameters",
    "MembraneConstant",
    "OutputError",
    "ParameterValue",
    "RankedFamily",
    "Response",
    "ResponseSpec",
    "Retention",
    "TimeConstant",
    "TimeConstants",
    "Validation",
    "available_memory",
    "check_folder",
    "exclusive",
    "is_temporary",
    "json_schema",
    "output_folder",
    "replacing",
    "write_text",
]

FORMAT: Final = "astromorphic-macro"
VERSION: Final = "1.2"
# What a network can take from a file, with the command that puts it there.
SECTIONS: Final = {
    "response": "astromorphic fit RESPONSE.nc",
    "time_constants": "astromorphic fit IMPULSE.nc (simulated by impulse_response)",
    "retention": "astromorphic fit CYCLES.nc (simulated by stp_cycles)",
    "distance": "astromorphic fit CYCLES.nc (simulated by stp_cycles)",
}

# Rounding that is forgiven. Covariances come out of an inverse; an interval and its estimate come from two optimisers.
_COVARIANCE_ROUNDING = 1e-9
_INTERVAL_ROUNDING = 1e-6
# Beyond these the response overflows or vanishes in the single precision of the networks.
_KAPPA_RANGE = 1e-30, 1e30
_LARGEST_DECADES = 30
# Responses the networks know, with the names of their parameters.
_RESPONSES: dict[str, tuple[str, ...]] = {
    "power": ("alpha",),
    "hyperbola": ("kappa",),
    "hill": ("kappa", "n"),
    "logarithm": ("kappa",),
    "saturating_exponential": ("kappa",),
}
_SPLINE = "monotone_spline"


class ParameterValue(Part):
    """A parameter of the response; `at_bound` says that the fit ended at a limit of the searched range. stderr,
    interval : null where they are not known."""

    value: Finite
    unit: str
    stderr: NotNegative | None
    at_bound: bool
    interval: Interval | None


class Response(Part):
    """The macroscopic response: calcium (uM) against input rate (Hz).

    family : identifier of the curve family (see `bridge.curves`).
    parameters : by name; those of the shape (exponent, rate) are always there, others may be missing where they are
        not known.
    parameter_order, covariance : the free parameters and their covariance matrix in that order; null if not known.
    input_range_Hz : rates the response was fitted over; null if not known. r_squared : of the fit; null if not known.
    cross_validated_error_uM : root mean square error of predicting each point from the others; null if not known.
    weights : "none" or "spread", how the points weighed; null if not known. resting_calcium_uM : null if not known.
    """

    family: str
    parameters: dict[str, ParameterValue]
    parameter_order: list[str] | None
    covariance: list[list[Finite]] | None
    input_range_Hz: Annotated[list[NotNegative], Field(min_length=2, max_length=2)] | None
    resting_calcium_uM: NotNegative | None
    r_squared: Annotated[float, Field(le=1, allow_inf_nan=False)] | None
    cross_validated_error_uM: NotNegative | None
    weights: Literal["none", "spread"] | None

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        return choose("curve family", name, FAMILIES)

    @model_validator(mode="after")
    def _consistent(self) -> Response:
        family = FAMILIES[self.family]
        for name, parameter in self.parameters.items():
            if name not in family.parameter_names:
                raise ValueError(
                    f"parameter {name!r} does not belong to family {family.name!r}, "
                    f"which has {', '.join(family.parameter_names)}"
                )
            if parameter.unit != family.unit(name):
                raise ValueError(
                    f"parameter {name!r} = {parameter.value:g} has unit {parameter.unit!r}, "
                    f"expected {family.unit(name)!r}; convert the value"
                )
        for name in family.nonlinears:
            if name not in self.parameters:
                raise ValueError(f"parameter {name!r} of family {family.name!r} is missing; fit the curve again")
        for name in (*family.nonlinears, "b"):
            if name in self.parameters and self.parameters[name].value <= 0:
                raise ValueError(
                    f"parameter {name!r} is {self.parameters[name].value:g}, expected above 0: a response has to rise"
                )
        if (self.parameter_order is None) != (self.covariance is None):
            raise ValueError("parameter_order and covariance go together; give both or null for both")
        if self.parameter_order is not None and self.covariance is not None:
            self._check_covariance(self.parameter_order, self.covariance)
        if self.input_range_Hz is not None and self.input_range_Hz[0] >= self.input_range_Hz[1]:
            raise ValueError(f"input_range_Hz is {self.input_range_Hz}, expected [low, high] with low < high")
        return self

    def _check_covariance(self, order: list[str], covariance: list[list[float]]) -> None:
        unknown = [name for name in order if name not in self.parameters]
        if unknown or not order or len(set(order)) != len(order):
            raise ValueError(
                f"parameter_order {order} must name some of {', '.join(self.parameters)}, each at most once"
            )
        if len(covariance) != len(order) or any(len(row) != len(order) for row in covariance):
            raise ValueError(f"covariance must be a {len(order)} x {len(order)} matrix, one row per parameter_order")
        _check_errors_can_correlate(order, np.array(covariance, dtype=np.float64))


def _check_errors_can_correlate(order: list[str], covariance: NDArray[np.float64]) -> None:
    """Refuse a `covariance` [n, n] of the parameters `order` that no errors can have: within rounding, it has to be
    symmetric and positive semidefinite."""
    remedy = "correct it or fit the curve again"
    variance = np.diag(covariance)
    for name, value in zip(order, variance, strict=True):
        if value < 0:
            raise ValueError(f"covariance of {name!r} with itself is {value:g}, expected 0 or more; {remedy}")
    # Correlations have no units, so that rounding is the same for all of them.
    deviation = np.sqrt(variance)
    scale = np.where(deviation > 0, deviation, 1.0)
    with np.errstate(over="ignore"):
        correlation = covariance / scale[:, None] / scale
    for i, j in np.argwhere(np.abs(correlation) > np.sign(np.outer(deviation, deviation)) + _COVARIANCE_ROUNDING):
        raise ValueError(
            f"covariance of {order[i]!r} and {order[j]!r} is {covariance[i, j]:g}, expected at most the product of their "
            f"standard deviations {deviation[i]:g} and {deviation[j]:g}; {remedy}"
        )
    for i, j in np.argwhere(np.abs(correlation - correlation.T) > _COVARIANCE_ROUNDING):
        raise ValueError(
            f"covariance of {order[i]!r} and {order[j]!r} is {covariance[i, j]:g} in one place and {covariance[j, i]:g} "
            f"in the other, expected a symmetric matrix; {remedy}"
        )
    smallest = float(np.linalg.eigvalsh(correlation)[0])
    if smallest < -_COVARIANCE_ROUNDING * len(order):
        raise ValueError(
            f"covariance has the eigenvalue {smallest:.3g} (of its correlations), expected 0 or more, as it is not "
            f"positive semidefinite; {remedy}"
        )


class EquivalentExponent(Part):
    """The exponent that stands for the response as a power law.

    low, high, level : interval and its level; null where there is none. estimator : identifier in `bridge.alpha`, or
        "published".
    """

    value: Positive
    low: Finite | None
    high: Finite | None
    level: Annotated[float, Field(gt=0, lt=1)] | None
    estimator: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]

    @model_validator(mode="after")
    def _ordered(self) -> EquivalentExponent:
        if (self.low is None and self.high is None) != (self.level is None):
            raise ValueError("level belongs to an interval; give it with low or high, or null for all three")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(
                f"interval [{self.low:g}, {self.high:g}] is reversed, expected low <= high; exchange the two"
            )
        slack = _INTERVAL_ROUNDING * self.value
        below = self.low is not None and self.value < self.low - slack
        if below or (self.high is not None and self.value > self.high + slack):
            low = "open" if self.low is None else f"{self.low:g}"
            high = "open" if self.high is None else f"{self.high:g}"
            raise ValueError(
                f"value {self.value:g} lies outside its own interval [{low}, {high}], expected inside; correct one of them "
                "or estimate the exponent again"
            )
        return self


class ActivationScale(Part):
    """The input rate (Hz) that one unit of accumulated activation, sum of phi(k) = 1, counts as."""

    rate_per_activation_Hz: Positive = 0.04
    status: Literal["published", "derived", "assumed"] = "assumed"


class RankedFamily(Part):
    """One row of the ranking of families on this curve.

    n_parameters : effective number for the monotone spline. aicc, delta_aicc : null where the points are too few.
    weight : Akaike weight among the families with a formula; null for the monotone spline, which has none.
    cross_validated_error_uM : root mean square error of predicting each point from the others; null if not known.
    """

    family: str
    n_parameters: Positive
    aicc: Finite | None
    delta_aicc: Finite | None
    weight: Annotated[float, Field(ge=0, le=1)] | None
    r_squared: Annotated[float, Field(le=1, allow_inf_nan=False)]
    cross_validated_error_uM: NotNegative | None
    at_bound: bool

    @field_validator("family")
    @classmethod
    def _known_family(cls, name: str) -> str:
        return choose("curve family", name, (*FAMILIES, _SPLINE))


@dataclass(frozen=True)
class ResponseSpec:
    """The response in units of activation G, normalised to g(0) = 0 and g(1) = 1.

    power:                   g = G**alpha                                       parameters {"alpha"}
    hyperbola:               g = G (1 + kappa) / (G + kappa)                    parameters {"kappa"}
    hill:                    g = G**n (1 + kappa**n) / (G**n + kappa**n)        parameters {"kappa", "n"}
    logarithm:               g = log1p(G / kappa) / log1p(1 / kappa)            parameters {"kappa"}
    saturating_exponential:  g = (1 - exp(-G / kappa)) / (1 - exp(-1 / kappa))  parameters {"kappa"}
    """

    family: Literal["power", "hyperbola", "hill", "logarithm", "saturating_exponential"]
    parameters: dict[str, float]

    def __post_init__(self) -> None:
        family = choose("response", self.family, _RESPONSES)
        names = _RESPONSES[family]
        if not isinstance(self.parameters, dict) or list(self.parameters) != list(names):
            expected = ", ".join(f"{name!r}: number" for name in names)
            raise MacroError(f"parameters of response {family!r} are {self.parameters!r}, expected {{{expected}}}")
        low, high = _KAPPA_RANGE
        for name, value in self.parameters.items():
            if not (_is_finite(value) and value > 0 and (name != "kappa" or low <= value <= high)):
                expected = f"{low:g} to {high:g}" if name == "kappa" else "a finite number above 0"
                raise MacroError(
                    f"{name} of response {family!r} is {reprlib.repr(value)}, expected {expected}; correct it"
                )
        if (
            family == "hill"
            and not abs(self.parameters["n"] * math.log10(self.parameters["kappa"])) <= _LARGEST_DECADES
        ):
            raise MacroError(
                f"kappa = {self.parameters['kappa']:g} and n = {self.parameters['n']:g} of response 'hill' give kappa**n "
                f"beyond 1e{_LARGEST_DECADES}; correct one of the two"
            )

    def __call__(self, activation: float) -> float:
        """g at one activation >= 0: the reference for the networks' tensor versions.

        Raises
        ------
        MacroError
            The activation is negative or not a finite number, or its power exceeds every double.
        """
        if not (_is_finite(activation) and activation >= 0):
            raise MacroError(f"activation is {reprlib.repr(activation)}, expected a finite value of 0 or more")
        if self.family == "power":
            try:
                return float(activation ** self.parameters["alpha"])
            except OverflowError:
                raise MacroError(
                    f"activation {activation:g} to the power {self.parameters['alpha']:g} overflows; use a smaller one"
                ) from None
        kappa = self.parameters["kappa"]
        if self.family == "hyperbola":
            return activation * (1 + kappa) / (activation + kappa)
        if self.family == "saturating_exponential":
            return math.expm1(-activation / kappa) / math.expm1(-1 / kappa)
        if self.family == "hill":
            if activation == 0:
                return 0.0
            n = self.parameters["n"]
            # Beyond these decades the share is 0 or 1 to every digit.
            share = min(max(n * math.log(kappa / activation), -700.0), 700.0)
            return (1 + kappa**n) / (1 + math.exp(share))
        return math.log1p(activation / kappa) / math.log1p(1 / kappa)


class MacroParameters(Part):
    """Macroscopic parameters; the content of macro.json. At least one of the sections is there; the others are null.

    Frozen; unknown keys, wrong units, NaN and parameters of another family are refused with `MacroError` by `load`
    and `loads`. A file of an older version is brought up to this one (see `bridge.migrations`). One of a newer version
    is refused: a key that this version does not know could change what the numbers mean.
    """

    format: Literal["astromorphic-macro"] = FORMAT
    version: Literal["1.2"] = VERSION
    title: str
    response: Response | None
    alpha: EquivalentExponent | None
    activation: ActivationScale = ActivationScale()
    time_constants: TimeConstants | None = None
    retention: Retention | None = None
    distance: Distance | None = None
    ranking: list[RankedFamily] | None
    validation: Validation = Validation()
    provenance: dict[str, JsonValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _usable(self) -> MacroParameters:
        if not self.sections:
            raise ValueError(f"the file has no section, expected at least one of {', '.join(SECTIONS)}; fit one")
        if (self.response is None) != (self.alpha is None):
            raise ValueError("response and alpha go together; give both or null for both")
        if self.response is None and self.ranking is not None:
            raise ValueError("ranking belongs to a response; give the response or null for the ranking")
        if self.response is not None:
            self.response_function()
        return self

    @property
    def sections(self) -> tuple[str, ...]:
        """Names of the sections that are there."""
        return tuple(name for name in SECTIONS if getattr(self, name) is not None)

    def section(self, name: str) -> Any:
        """The section `name`, for a network that needs it.

        Raises
        ------
        MacroError
            The file does not have it; the message names the section, those that are there, and the remedy.
        UnknownName
            There is no such section.
        """
        choose("section of a macro file", name, SECTIONS)
        found = getattr(self, name)
        if found is None:
            raise MacroError(
                f"macro file {self.title!r} has no section {name!r} (it has {', '.join(self.sections)}); add it with "
                f"{SECTIONS[name]} --into FILE, or name another file"
            )
        return found

    def with_sections(self, other: MacroParameters) -> MacroParameters:
        """This content with the sections that `other` has put in place of its own, data and provenance with them.

        The title stays. Sections that came together stay together: a response brings exponent, activation and ranking.
        """
        mine, theirs = (macro.model_dump(mode="python") for macro in (self, other))
        provenance = {**mine["provenance"]}
        for name in other.sections:
            keys = (name, "alpha", "activation", "ranking") if name == "response" else (name,)
            mine.update({key: theirs[key] for key in keys})
            mine["validation"][name] = theirs["validation"][name]
        if "response" in other.sections and "response" in self.sections:
            # What the replaced response was fitted from has nothing to say about the new one.
            kept = provenance.pop("sections", None)
            provenance = {} if kept is None else {"sections": kept}
        nested = {**_table(provenance.get("sections")), **_table(theirs["provenance"].get("sections"))}
        provenance |= theirs["provenance"] | ({"sections": nested} if nested else {})
        return MacroParameters.from_content(mine | {"provenance": provenance})

    def sample(self, n: int, seed: int = 0) -> MacroSamples:
        """`n` parameter sets drawn from the stored uncertainty; see `bridge.sampling.sample`."""
        from .sampling import sample

        return sample(self, n, seed)

    @classmethod
    def load(cls, path: str | Path) -> MacroParameters:
        """Read a macro file.

        Raises
        ------
        MacroError
            Missing or unreadable file, a folder, or content that `loads` refuses; the message starts with the file's
            name.
        """
        if not isinstance(path, str | Path):
            raise MacroError(f"path is {reprlib.repr(path)}, expected the name of a macro.json file")
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise MacroError(f"{path}: no such file; make one with 'astromorphic fit' or use a preset") from None
        except IsADirectoryError:
            inside = Path(path) / "macro.json"
            remedy = f"name {inside}" if inside.is_file() else "name a macro.json file"
            raise MacroError(f"{path}: cannot be read, it is a folder; {remedy}") from None
        except UnicodeDecodeError as error:
            raise MacroError(
                f"{path}: cannot be read as text (byte {error.start} is not UTF-8); name a macro.json file"
            ) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise MacroError(f"{path}: cannot be read ({reason}); name a macro.json file that can") from None
        try:
            return cls.loads(text)
        except MacroError as error:
            raise MacroError(f"{path}: {error}") from None

    @classmethod
    def loads(cls, text: str) -> MacroParameters:
        """Read the text of a macro file.

        Raises
        ------
        MacroError
            Not JSON or truncated, another format, a newer version, an unknown key or family, a wrong unit, a value
            that is missing, not finite or impossible. One line.
        """
        if not isinstance(text, str):
            raise MacroError(f"text of a macro file is {reprlib.repr(text)}, expected a str; use load for a file")
        try:
            content = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        except MacroError:
            raise
        except json.JSONDecodeError as error:
            raise MacroError(
                f"not complete JSON (line {error.lineno}: {error.msg}); the file is truncated or damaged, write it "
                "again"
            ) from None
        except (ValueError, RecursionError) as error:
            raise MacroError(f"not a macro file ({error}); write it again") from None
        return cls.from_content(content)

    @classmethod
    def from_content(cls, content: Any) -> MacroParameters:
        """Build from parsed content, with the same checks and errors as `loads`."""
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise MacroError(f"format is {reprlib.repr(found)}, expected {FORMAT!r}: this is not a macro file")
        _check_version(content.get("version"))
        try:
            macro = cls.model_validate(migrated(content))
        except ValidationError as error:
            raise MacroError(_one_line(error)) from None
        macro.dumps()
        return macro

    def dumps(self) -> str:
        """Canonical text: sorted keys, two spaces, newline at the end; `loads(text).dumps() == text`.

        Raises
        ------
        MacroError
            The provenance holds NaN or an infinite number, which JSON cannot express.
        """
        return canonical(self.model_dump(mode="python")) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the file, whole or not at all; returns its path."""
        return write_text(path, self.dumps())

    @property
    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the canonical content that determines the numbers.

        Left out are the provenance, the ranking, the validation data, and what else only tells how well a section is known
        (profile intervals, cross-validated error, weighting; errors of the other sections). With a response alone that is
        the content of schema 1.0, so a file keeps its digest when it is brought up to a newer schema.
        """
        further = [name for name in SECTIONS if name != "response"]
        content = self.model_dump(mode="python", exclude={"provenance", "ranking", "validation", *further})
        content["version"] = "1.0"
        if self.response is not None:
            for name in ("cross_validated_error_uM", "weights"):
                del content["response"][name]
            for parameter in content["response"]["parameters"].values():
                del parameter["interval"]
        # A section that is not there leaves no trace, so that files without it keep their digest.
        content |= {name: getattr(self, name).numbers() for name in further if name in self.sections}
        return hashlib.sha256(canonical(content).encode("utf-8")).hexdigest()

    def response_function(self) -> ResponseSpec:
        """The response in units of activation, for the networks. MacroError where the file has no response."""
        response = self.section("response")
        family = FAMILIES[response.family]
        theta = {name: response.parameters[name].value for name in family.nonlinears}
        if "alpha" in theta:
            return ResponseSpec("power", {"alpha": theta["alpha"]})
        unit = self.activation.rate_per_activation_Hz
        k = theta.pop("k")
        kappa = k / unit
        low, high = _KAPPA_RANGE
        if not low <= kappa <= high:
            raise MacroError(
                f"response.parameters.k = {k:g} Hz over activation.rate_per_activation_Hz = {unit:g} Hz gives kappa = "
                f"{kappa:g}, expected {low:g} to {high:g}; correct one of the two"
            )
        return ResponseSpec(family.name, {"kappa": kappa, **theta})  # type: ignore[arg-type]


def _is_finite(value: object) -> bool:
    """Whether `value` is a number, and one that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a macro file of the present version; docs/macro.schema.json is this.

    It says what `loads` checks of single keys. What keys have to do with each other (units of a family's parameters, a
    covariance that errors can have, shares that sum to 1) only `loads` checks.
    """
    schema = MacroParameters.model_json_schema()
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{FORMAT}-{VERSION}",
        "title": f"{FORMAT} {VERSION}",
        # Named in every file, so that no reader has to guess.
        "required": ["format", "version", *(name for name in schema["required"] if name not in ("format", "version"))],
    }
    return schema | about


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _refuse_constant(name: str) -> float:
    raise MacroError(
        f"the file holds {name}, expected finite numbers; fit the curve again or put null where it is allowed"
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise MacroError(f"key {repeated!r} appears twice; keep one of them")
    return content


def _check_version(version: Any) -> None:
    try:
        major, minor = (int(part) for part in str(version).split("."))
    except ValueError:
        raise MacroError(
            f"version is {reprlib.repr(version)}, expected major.minor such as {VERSION!r}; correct it"
        ) from None
    known_major, known_minor = (int(part) for part in VERSION.split("."))
    if (major, minor) > (known_major, known_minor):
        raise MacroError(
            f"version {version} is newer than {VERSION}, the newest this program reads; update astromorphic"
        )
    if (major, minor) != (known_major, known_minor) and version not in STEPS:
        raise MacroError(
            f"version {version} is none that was ever written ({', '.join(STEPS)}, {VERSION}); fit the curve again"
        )


def _one_line(error: ValidationError) -> str:
    """The first problem of a validation in one line, with the number of others."""
    details = error.errors()
    first = details[0]
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return _printable(_describe(first) + more)


def _printable(text: str) -> str:
    """`text` on one readable line: keys and values of a damaged file may hold line ends, or be pages long."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return line if len(line) <= 400 else f"{line[:250]} ... {line[-140:]}"


def _describe(detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    place = ".".join(path) or "content"
    kind = detail["type"]
    if kind == "extra_forbidden":
        try:
            choose("key", path[-1], _keys_at(path[:-1]))
        except UnknownName as unknown:
            return f"{'.'.join(path[:-1]) or 'top level'}: {unknown}"
    if kind in ("recursion_loop", "recursion_depth_exceeded"):
        return f"{path[0]} is nested too deeply, expected at most some 200 levels; make it flatter"
    if kind == "missing":
        return f"key {place!r} is missing; add it, with null if the schema allows and it is not known"
    if kind == "value_error":
        return f"{place}: {detail['ctx']['error']}" if path else str(detail["ctx"]["error"])
    problem = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{place} is {reprlib.repr(detail['input'])}: {problem}; correct it"


def _keys_at(path: list[str]) -> list[str]:
    """Keys that are allowed at a place of the file."""
    kind: Any = MacroParameters
    for part in path:
        kind = _plain(kind)
        inside = _model(kind)
        if inside is not None:
            kind = inside.model_fields[part].annotation
        else:
            kind = get_args(kind)[-1]
    found = _model(_plain(kind))
    return list(found.model_fields) if found else []


def _plain(kind: Any) -> Any:
    """A type without what only adds to it: null, and constraints."""
    while get_origin(kind) in (Annotated, types.UnionType, Union):
        kind = next(one for one in get_args(kind) if one is not type(None))
    return kind


def _model(kind: Any) -> type[BaseModel] | None:
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
