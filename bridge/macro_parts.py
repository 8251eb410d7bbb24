"""What the parts of a macro file share: the error, number types, intervals, and how canonical JSON is written."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Status = Literal["published", "derived", "assumed"]


class MacroError(ValueError):
    """A macro file, or its content, that cannot be used."""


class Part(BaseModel):
    """A part of a macro file: frozen, unknown keys refused, no type converted without a word."""

    # Validators are built at first use, so that importing stays light.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Interval(Part):
    """Profile-likelihood interval of a parameter at `level`; an end that is null is open: the data do not close it."""

    low: Finite | None
    high: Finite | None
    level: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(
                f"interval [{self.low:g}, {self.high:g}] is reversed, expected low <= high; exchange the two"
            )
        return self


def canonical(content: dict[str, Any]) -> str:
    """Sorted keys, two spaces; MacroError for what JSON cannot express."""
    try:
        text = json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise MacroError(f"a text holds the broken character {error.object[error.start]!r}; correct it") from None
    except ValueError:
        raise MacroError("provenance holds NaN or an infinite number; replace it with null or leave it out") from None
    return text
