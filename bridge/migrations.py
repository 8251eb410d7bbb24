"""Macro files of older schema versions, brought up to the present one.

Each step takes the content of one version and returns that of the next, without changing what it was given. Nothing is
computed: what an old file does not say is null in the new one. Every version that was ever released stays readable;
tests/bridge/old_files holds a file of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


# Version of a file -> the step to the next version.
STEPS: dict[str, Callable[[Content], Content]] = {"1.0": _from_1_0}


def migrated(content: Content) -> Content:
    """`content` in the present schema; itself if it is in it already."""
    while (step := STEPS.get(str(content.get("version")))) is not None:
        content = step(content)
    return content
