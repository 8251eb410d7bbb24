"""What a classifier may be given: checked before any work, with one line that names the fault."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..choices import did_you_mean
from ..errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from .configuration_astromorphic import AstromorphicConfig


def _in_range(values: Tensor, limit: int) -> tuple[int, int] | None:
    """Smallest and largest value where one is outside 0 ... limit-1; None if none is, or if a graph is being compiled."""
    if values.numel() == 0 or values.device.type == "meta" or torch.compiler.is_compiling():
        return None
    low, high = (int(x) for x in torch.stack(torch.aminmax(values)).tolist())
    return None if low >= 0 and high < limit else (low, high)


def check_tokens(input_ids: Tensor, vocab_size: int) -> None:
    """Raise ModelError unless `input_ids` are ``[batch, time]`` numbers of the vocabulary."""
    if input_ids.dim() != 2 or input_ids.is_floating_point() or input_ids.is_complex():
        raise ModelError(
            f"input_ids are {tuple(input_ids.shape)} of {input_ids.dtype}; expected whole numbers [batch, time]"
        )
    outside = _in_range(input_ids, vocab_size)
    if outside:
        raise ModelError(
            f"input_ids run from {outside[0]} to {outside[1]}; expected 0 to {vocab_size - 1}: the tokenizer and the "
            f"model's vocab_size = {vocab_size} do not belong together"
        )


def check_embeddings(vectors: Tensor, width: int) -> None:
    """Raise ModelError unless `vectors` are floats ``[batch, time, width]``."""
    if vectors.dim() != 3 or vectors.shape[2] != width or not vectors.is_floating_point():
        raise ModelError(
            f"inputs_embeds are {tuple(vectors.shape)} of {vectors.dtype}; expected floating point [batch, time, {width}]"
        )


def check_mask(mask: Tensor, batch: int, time: int, seen: int = 0) -> None:
    """Raise ModelError unless `mask` is of 0 and 1, ``[batch, time]`` or ``[batch, seen + time]`` with what a state has seen."""
    if tuple(mask.shape) not in ((batch, time), (batch, seen + time)):
        every = f" (these tokens) or {(batch, seen + time)} (all so far)" if seen else ""
        raise ModelError(
            f"attention_mask is {tuple(mask.shape)}; expected {(batch, time)}{every}, 1 for real tokens and 0 for padding"
        )
    if mask.dtype == torch.bool or mask.device.type != "cpu" or torch.compiler.is_compiling():
        return  # a look at the values would hold up a GPU at every step
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise ModelError(
            "attention_mask has values other than 0 and 1; expected 1 for real tokens and 0 for padding (masks that are added to "
            "scores have 0 and large negative numbers; turn one into mask == 0)"
        )


def checked_mask(mask: Tensor | None, batch: int, time: int, seen: int) -> Tensor | None:
    """Which of `time` new columns are real, bool ``[batch, time]``, from a mask of them or of all `seen` + `time` so far.

    Raises ModelError as `check_mask` does.
    """
    if mask is None:
        return None
    check_mask(mask, batch, time, seen)
    return mask[:, mask.shape[1] - time :].bool()


def check_length(time: int) -> None:
    """Raise ModelError for a sequence of no columns."""
    if time == 0:
        raise ModelError("the sequence has no tokens; give every row at least one column, padding if need be")


def checked_text(
    config: AstromorphicConfig, input_ids: Tensor | None, inputs_embeds: Tensor | None, attention_mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The one of input_ids and inputs_embeds that is given, and which of its columns are real, bool ``[batch, time]``.

    Without attention_mask, `pad_token_id`, if set, is padding; None where all columns are real. Raises ModelError for inputs
    that do not fit the configuration or one another.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ModelError("give exactly one of input_ids and inputs_embeds")
    if input_ids is not None:
        check_tokens(input_ids, config.vocab_size)
    elif inputs_embeds is not None:
        check_embeddings(inputs_embeds, config.embedding_size or config.hidden_size)
    given = input_ids if input_ids is not None else inputs_embeds
    assert given is not None
    batch, time = given.shape[:2]
    check_length(time)
    if attention_mask is not None:
        check_mask(attention_mask, batch, time)
    elif input_ids is not None and config.pad_token_id is not None:
        attention_mask = input_ids != config.pad_token_id
    return given, None if attention_mask is None else attention_mask.bool()


def check_pixels(pixels: Tensor, config: AstromorphicConfig) -> None:
    """Raise ModelError unless `pixels` are floats ``[batch, channels, height, width]`` of the configured size."""
    height, width = config.image_shape
    expected = f"[batch, {config.num_channels}, {height}, {width}]"
    if pixels.dim() != 4 or tuple(pixels.shape[1:]) != (config.num_channels, height, width):
        swapped = pixels.dim() == 4 and tuple(pixels.shape[1:]) == (height, width, config.num_channels)
        remedy = "move the channels to the second place" if swapped else "resize the images, or set image_size"
        raise ModelError(f"pixel_values are {tuple(pixels.shape)}; expected {expected}; {remedy}")
    if not pixels.is_floating_point():
        raise ModelError(f"pixel_values are {pixels.dtype}; expected floating point, scaled to about -1 to 1")


def wants_hidden_states(config: PreTrainedConfig, given: bool | None, attentions: bool | None) -> bool:
    """Whether hidden states are to be returned, from the call or else the configuration.

    Raises ModelError where attention matrices are asked for, which no network here has.
    """
    if config.output_attentions if attentions is None else attentions:
        raise ModelError(
            "output_attentions is True, but there is no attention matrix: the state is a sum over tokens, and the softmax "
            "control works in one fused call; leave it out, and see models.diagnose for sizes of the branch"
        )
    return bool(config.output_hidden_states if given is None else given)


# What the library hands to every network; False asks for nothing there, None nowhere.
_FROM_THE_LIBRARY = ("output_hidden_states", "output_attentions", "use_cache", "num_items_in_batch", "token_type_ids")


def check_arguments(network: nn.Module, rest: Mapping[str, Any], passed_on: Collection[str] = ()) -> None:
    """Raise ModelError for what a call, or the configuration, asks for beyond the arguments of the network's ``forward``.

    rest : the arguments that ``forward`` does not name. passed_on : those that go to the loss, or ask for nothing.
    """
    config: Any = network.config
    known = [p for p in inspect.signature(network.forward).parameters if p not in ("self", "kwargs")]
    asked = {name: getattr(config, name) for name in ("output_hidden_states", "output_attentions") if name not in known}
    for name, value in {**asked, **rest}.items():
        if value is None or name in passed_on or (name in _FROM_THE_LIBRARY and value is False):
            continue
        if name in _FROM_THE_LIBRARY:
            raise ModelError(f"{name} is given, which {type(network).__name__} does not have; leave it out")
        reason = "positions are counted over the real tokens; " if name == "position_ids" else ""
        raise ModelError(
            f"{type(network).__name__} has no argument {name!r}; {reason}{did_you_mean(name, known)}it has {', '.join(known)}"
        )


def check_labels(labels: Tensor, batch: int, config: AstromorphicConfig) -> None:
    """Raise ModelError unless `labels` fit the problem: classes ``[batch]``, or numbers ``[batch, num_labels]``."""
    count, kind = config.num_labels or 1, config.problem_type
    table = tuple(labels.shape) == (batch, count) and labels.is_floating_point()
    if kind in ("multi_label_classification", "regression"):
        if not table and not (kind == "regression" and count == 1 and tuple(labels.shape) == (batch,)):
            raise ModelError(
                f"labels are {tuple(labels.shape)} of {labels.dtype}; expected floating point {(batch, count)} for "
                f"problem_type {kind!r}"
            )
        return
    if count == 1:
        raise ModelError(
            "num_labels is 1 and the loss of a single class is always 0; expected at least 2 classes, or problem_type "
            "'regression' or 'multi_label_classification'"
        )
    if table:  # shares of the classes, as mixing of samples makes them
        return
    if tuple(labels.shape) != (batch,) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ModelError(
            f"labels are {tuple(labels.shape)} of {labels.dtype}; expected whole numbers {(batch,)}, or shares of the "
            f"classes {(batch, count)} in floating point"
        )
    outside = _in_range(labels, count)
    if outside:
        raise ModelError(
            f"labels run from {outside[0]} to {outside[1]}; expected 0 to {count - 1}: count the classes from 0, or set "
            "num_labels"
        )
