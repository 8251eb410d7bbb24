"""Macro files of older schema versions, brought up to the present one.

Each step takes the content of one version and returns that of the next, without changing what it was given. Nothing is
computed: what an old file does not say is null in the new one. Every version that was ever released stays readable;
tests/bridge/old_files holds a file of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

Content = dict[str, Any]


def _from_1_0(content: Content) -> Content:
    """1.1 adds profile intervals of the parameters, the weighting, the cross-validated error, and the ranking."""
    new = content | {"version": "1.1", "ranking": content.get("ranking")}
    response = content.get("response")
    if isinstance(response, dict):
        new["response"] = {"weights": None, "cross_validated_error_uM": None} | response
        parameters = response.get("parameters")
        if isinstance(parameters, dict):
            new["response"]["parameters"] = {
                name: {"interval": None} | value if isinstance(value, dict) else value
                for name, value in parameters.items()
            }
    return new


def _from_1_1(content: Content) -> Content:
    """1.2 adds time constants, retention and distance, and moves the fitted curve from the provenance to the validation.

    A response of 1.1 with weights from single trials cannot be fitted again, as 1.1 did not keep those.
    """
    new = content | {"version": "1.2"}
    for name in ("time_constants", "retention", "distance"):
        new.setdefault(name, None)
    response = _fitted_curve(content.get("provenance"))
    new.setdefault("validation", {"response": response, "time_constants": None, "retention": None, "distance": None})
    return new


def _fitted_curve(provenance: Any) -> Content | None:
    """The curve in the provenance, which may hold anything, where it is one: rates, calcium and perhaps a spread."""
    curve = provenance.get("curve") if isinstance(provenance, dict) else None
    if not isinstance(curve, dict):
        return None
    rates, calcium, spread = (curve.get(name) for name in ("input_rate_Hz", "calcium_uM", "sd_uM"))
    if not (_row(rates, 0.0) and _row(calcium) and len(rates) == len(calcium)):
        return None
    kept = spread if _row(spread, 0.0) and len(spread) == len(rates) else None
    return {"input_rate_Hz": rates, "calcium_uM": calcium, "sd_uM": kept, "trials_uM": None}


def _row(values: Any, low: float = -math.inf) -> TypeGuard[list[float]]:
    return isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and low <= v < math.inf and v != -math.inf
        for v in values
    )


# Version of a file -> the step to the next version.
STEPS: dict[str, Callable[[Content], Content]] = {"1.0": _from_1_0, "1.1": _from_1_1}


def migrated(content: Content) -> Content:
    """`content` in the present schema; itself if it is in it already."""
    while (step := STEPS.get(str(content.get("version")))) is not None:
        content = step(content)
    return content
