"""The networks that read a sequence in segments (`models.rmaat`), and their baselines in the same shell, for a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..choices import choice
from ..errors import ModelError

if TYPE_CHECKING:
    from ..rmaat import RMAATConfig
    from .base import Task

TYPE = "rmaat"
# T of the paper's Table 1, where Retrieval has 16 over both texts. Ours, for what it does not have: segments of 256 pixels, and
# of about 128 bytes.
SEGMENTS: Mapping[str, int] = {
    "listops": 8, "lra_text": 8, "lra_retrieval": 8, "lra_image": 2, "pathfinder": 4, "pathfinder_like": 4, "path_x": 64,
    "associative_retrieval": 8,
}  # fmt: skip
# Of a task's preset: how the transformer pools, and whether it has room for a code over all positions.
_OF_THE_TRANSFORMER = ("pooling", "position_code")


def names() -> dict[str, str]:
    """Preset of `RMAATConfig` by the name of --model."""
    from ..rmaat.presets import MODELS

    return MODELS


def with_memory() -> list[str]:
    """The names of networks that have a memory, whose retention a macro file may give."""
    from ..rmaat.presets import PRESETS

    return [name for name, preset in names().items() if PRESETS[preset].get("num_memory_tokens") != 0]


def settings() -> list[str]:
    """What can be set: every setting that such a network reads."""
    from ..rmaat.configuration_rmaat import UNREAD, RMAATConfig

    return [name for name in RMAATConfig().settings() if name not in UNREAD]


def check(model: str, kind: str, macro: bool) -> None:
    """ModelError for a task that such a network cannot read, or a macro file for one without memory."""
    if kind != "sequence_classification":
        layer = "; its layer alone, over a text in one piece, is rmaat_layer" if model == "rmaat" else ""
        raise ModelError(
            f"model is {model!r}, which reads long sequences with a label, and the task is {kind}; choose one of "
            f"{', '.join(SEGMENTS)}{layer}"
        )
    if macro and model not in with_memory():
        raise ModelError(
            f"model is {model!r}, which has no memory, and a macro file is given, whose retention scales one; leave it out, or "
            f"take one of {', '.join(with_memory())}"
        )


def configured(
    model: str, family: str, task: Task, sizes: Mapping[str, Any], given: Mapping[str, Any], macro: Any = None
) -> RMAATConfig:
    """The configuration of `model` for a loaded task: sizes of the task's preset, what the data ask for, what the user gave.

    Segments are those of the paper's T for the task unless `segment_length` is given; presets of one segment keep it.
    """
    from ..rmaat import RMAATConfig
    from ..rmaat.presets import PRESETS

    preset = names()[choice("model", model, names())]
    resized = {"hidden_dim"} if {"hidden_size", "num_attention_heads"} & set(given) else set()
    found = {name: value for name, value in sizes.items() if name not in {*_OF_THE_TRANSFORMER, *resized}}
    found |= {**task.settings(), **given}
    longest = found["max_position_embeddings"]
    if "segment_length" not in {**PRESETS[preset], **given} and isinstance(longest, int):
        found["segment_length"] = max(1, -(-longest // SEGMENTS[family]))
    network = "retrieval" if getattr(task, "paired", False) else "sequence"
    if macro is not None:
        return RMAATConfig.from_macro(macro, network=network, preset=preset, **found)
    return RMAATConfig.from_preset(preset, network=network, **found)
