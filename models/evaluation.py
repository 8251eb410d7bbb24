"""The nats of a text: every token scored exactly once, with stated context. Never the trainer's own loss.

`models.language` turns them into perplexities and bits per byte and says whether they may be called so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from .errors import ModelError
from .result import EvaluationPolicy
from .settings import is_whole

# Logits of a large vocabulary would fill the memory: at most so many at once, in float64 some 256 MB.
LARGEST = 2**25


@dataclass(frozen=True)
class Score:
    """Total negative log-likelihood in nats (summed in float64) over `n_bytes` bytes, and how it was measured."""

    nats: float
    n_bytes: int
    policy: EvaluationPolicy

    @property
    def bits_per_byte(self) -> float:
        """nats / (ln 2 * bytes)."""
        return self.nats / (math.log(2.0) * self.n_bytes)


def _windows(n_bytes: int, context: int, stride: int) -> list[tuple[int, int]]:
    """(start, number of its last bytes to score) of windows of `context` bytes that score bytes 1 .. n-1 once each."""
    if n_bytes <= context:
        return [(0, n_bytes - 1)]
    windows = [(0, context - 1)]
    end = context
    while end < n_bytes:
        new = min(stride, n_bytes - end)
        end += new
        windows.append((end - context, new))
    return windows


@torch.no_grad()
def bits_per_byte(
    model: PreTrainedModel,
    data: NDArray[np.uint8] | bytes,
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_size: int = 32,
) -> Score:
    """Score a text by overlapping windows.

    A window holds `context` bytes (default: the model's `max_position_embeddings`) and moves by `stride` (default:
    half of it); only its new bytes are scored, so every byte has at least context - stride bytes before it, except in
    the first window, where it has all there are.
    The very first byte has no context and is charged log2(vocabulary) bits, so a uniform model over 256 values scores
    exactly 8. A window holds the byte to predict too, so a model of one position cannot be scored.

    Raises ModelError for a text, context, stride or batch size that cannot be scored with this model.
    """
    text = _bytes_of(model, data)
    nats, context, stride = score_tokens(
        model, text, context=context, stride=stride, batch_size=batch_size, unit="bytes"
    )
    return Score(
        nats,
        len(text),
        EvaluationPolicy(bytes_scored=len(text), tokens_scored=len(text), context=context, stride=stride),
    )


@torch.no_grad()
def score_tokens(
    model: PreTrainedModel,
    text: Tensor,
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_size: int = 32,
    unit: str = "tokens",
) -> tuple[float, int, int]:
    """(total nats summed in float64, context, stride) of int64 token numbers ``[tokens]``; windows as in `bits_per_byte`.

    The first token has no context and is charged log(vocabulary). `unit` is what messages call a token.
    Raises ModelError as `bits_per_byte` does.
    """
    limit = int(model.config.max_position_embeddings)
    context = limit if context is None else context
    if not is_whole(context) or not 2 <= context <= limit:
        raise ModelError(
            f"context is {context!r} {unit}; expected 2 (one {unit[:-1]} to predict another from) to {limit}, the model's "
            "max_position_embeddings"
            if limit > 1
            else f"max_position_embeddings is 1; expected at least 2, one {unit[:-1]} to predict another from"
        )
    stride = context // 2 if stride is None else stride
    if not is_whole(stride) or not 1 <= stride <= context // 2:
        raise ModelError(f"stride is {stride!r}; expected 1 to {context // 2}, half of the context of {context} {unit}")
    if not is_whole(batch_size) or batch_size < 1:
        raise ModelError(f"batch_size is {batch_size!r}; expected a whole number of at least 1")
    check_tokens(text, int(model.config.vocab_size))
    nats = math.log(model.config.vocab_size)
    was_training = model.training
    model.eval()
    try:
        batch_size = max(1, min(batch_size, LARGEST // (context * model.config.vocab_size)))
        windows = [w for w in _windows(len(text), context, stride) if w[1]]
        for group in _same_shape(windows, batch_size):
            new = group[0][1]
            rows = torch.stack([text[start : start + context] for start, _ in group]).to(model.device)
            logits = model(input_ids=rows, use_cache=False, logits_to_keep=new + 1).logits[:, :-1]
            nats += summed_nats(logits, rows[:, -new:])
    finally:
        model.train(was_training)
    return nats, context, stride


def position_limit(model: PreTrainedModel) -> int | None:
    """Most tokens that the model can read in a row: its max_position_embeddings, or None if it says `unlimited_positions`."""
    return None if getattr(model, "unlimited_positions", False) else int(model.config.max_position_embeddings)


@torch.no_grad()
def score_carried(model: PreTrainedModel, text: Tensor, *, piece: int = 1024) -> float:
    """Total nats (summed in float64) of int64 token numbers ``[tokens]``, each predicted once from all tokens before it.

    The text goes through the model in pieces of `carried_piece` tokens with the state carried from one to the next, so that
    memory does not grow with the text where the state does not. The first token is charged log(vocabulary).

    Raises ModelError for a text that has more tokens than the model has positions, and for a model without a state.
    """
    piece = carried_piece(piece, int(model.config.vocab_size))
    check_tokens(text, int(model.config.vocab_size))
    limit = position_limit(model)
    if limit is not None and len(text) - 1 > limit:
        raise ModelError(
            f"the text has {len(text):,} tokens and the model {limit} positions, so that no state can be carried through it; "
            "score it in windows, or a model without a limit"
        )
    nats = math.log(model.config.vocab_size)
    was_training = model.training
    model.eval()
    try:
        state = None
        for start in range(0, len(text) - 1, piece):
            rows = text[None, start : min(start + piece, len(text) - 1)].to(model.device)
            out = model(input_ids=rows, past_key_values=state, use_cache=True)
            nats += summed_nats(out.logits, text[None, start + 1 : start + 1 + rows.shape[1]].to(model.device))
            if (state := out.past_key_values) is None:
                raise ModelError("the model hands no state on, so none can be carried; score the text in windows")
    finally:
        model.train(was_training)
    return nats


def carried_piece(piece: int, vocab_size: int) -> int:
    """`piece` tokens, or as many as have at most `LARGEST` logits.

    Raises ModelError for what is no number of tokens.
    """
    if not is_whole(piece) or piece < 1:
        raise ModelError(f"piece is {piece!r} tokens; expected a whole number of at least 1")
    return max(1, min(piece, LARGEST // vocab_size))


def check_tokens(text: Tensor, vocab_size: int) -> None:
    """ModelError for no tokens at all, and for numbers that a vocabulary of this size does not have."""
    if text.ndim != 1 or not len(text):
        raise ModelError(f"the text to score has shape {list(text.shape)}; expected [tokens] with at least one token")
    if int(text.min()) < 0 or int(text.max()) >= vocab_size:
        raise ModelError(
            f"the text to score holds the token {int(text.max() if int(text.min()) >= 0 else text.min())} but vocab_size "
            f"is {vocab_size}; encode it with the tokenizer that the model was trained with"
        )


def _bytes_of(model: PreTrainedModel, data: NDArray[np.uint8] | bytes) -> Tensor:
    """The bytes as int64 ``[bytes]`` on the CPU; refuses what is no text of bytes, and bytes outside the vocabulary."""
    array = np.frombuffer(data, dtype=np.uint8) if isinstance(data, bytes) else data
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 1:
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ModelError(f"the text to score is {found}; expected bytes or a uint8 array [bytes]")
    if not len(array):
        raise ModelError("the text to score is empty; expected at least one byte")
    if int(array.max()) >= model.config.vocab_size:
        raise ModelError(
            f"the text to score holds the byte {int(array.max())} but vocab_size is {model.config.vocab_size}; "
            "expected a vocabulary of all its byte values"
        )
    return torch.from_numpy(array.astype(np.int64))


def _same_shape(windows: list[tuple[int, int]], batch_size: int) -> list[list[tuple[int, int]]]:
    groups: list[list[tuple[int, int]]] = []
    for window in windows:
        if groups and groups[-1][0][1] == window[1] and len(groups[-1]) < batch_size:
            groups[-1].append(window)
        else:
            groups.append([window])
    return groups


def summed_nats(logits: Tensor, targets: Tensor) -> float:
    """-ln p of `targets` ``[batch, time]`` under `logits` ``[batch, time, vocabulary]``, summed in float64."""
    log_probability = logits.double().log_softmax(-1).gather(-1, targets.unsqueeze(-1))
    return -float(log_probability.sum())


@torch.no_grad()
def carried_state_difference(model: PreTrainedModel, data: NDArray[np.uint8], *, piece: int = 7) -> float:
    """Largest difference in nats per byte between one pass over `data` and pieces of `piece` bytes with the state carried over.

    `data` must fit into one context; a correct decoder gives rounding error only. Raises ModelError for data or pieces
    that the model cannot read.
    """
    limit = int(model.config.max_position_embeddings)
    if limit < 2:
        raise ModelError("max_position_embeddings is 1; expected at least 2, one byte to predict another from")
    if not 2 <= len(data) <= limit:
        raise ModelError(f"data has {len(data)} bytes; expected 2 to {limit}, one context of the model")
    if not is_whole(piece) or piece < 1:
        raise ModelError(f"piece is {piece!r} bytes; expected a whole number of at least 1")
    ids = _bytes_of(model, data)[None].to(model.device)
    was_training = model.training
    model.eval()
    try:
        whole = model(input_ids=ids, use_cache=False).logits
        parts, state = [], None
        for start in range(0, ids.shape[1], piece):
            out = model(input_ids=ids[:, start : start + piece], past_key_values=state, use_cache=True)
            parts.append(out.logits)
            state = out.past_key_values
    finally:
        model.train(was_training)
    target = ids[:, 1:, None]
    one, other = (x[:, :-1].double().log_softmax(-1).gather(-1, target) for x in (whole, torch.cat(parts, dim=1)))
    return float((one - other).abs().max())
