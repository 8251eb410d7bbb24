"""Log-likelihoods of answers. A prompt is read once; all its answers go on from copies of one state.

`alone` is the slow form beside it: every text whole, from its first token.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..continuation import Codec, WordCodec
from ..errors import ModelError
from ..evaluation import position_limit

# Logits in float64 at once: some 256 MB.
_LARGEST = 2**25


class Request(NamedTuple):
    """Tokens of a context, at least one, and of a continuation, at least one."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]


class Likelihood(NamedTuple):
    """ln p(continuation | context), and whether each of its tokens was the likeliest."""

    log_probability: float
    greedy: bool


def encode_pair(codec: Codec, context: str, continuation: str) -> Request:
    """As lm-evaluation-harness cuts a pair: blanks at the end of the context belong to the continuation, and the whole is
    encoded together, so that no token spans the border twice. An empty context is the codec's start token.

    Raises ModelError for a continuation without a token.
    """
    stripped = context.rstrip()
    if context and stripped:
        continuation, context = context[len(stripped) :] + continuation, stripped
        before = codec.encode(context)
        after = codec.encode(context + continuation)[len(before) :]
    else:
        before, after = [], codec.encode(context + continuation)
    if not before:
        start = start_token(codec)
        # The harness's rule: a text that begins with the start token is not given a second one.
        before, after = (after[:1], after[1:]) if after[:1] == [start] and len(after) > 1 else ([start], after)
    if not after:
        raise ModelError(f"the answer {continuation!r:.60} has none of the model's {codec.unit}; nothing can be scored")
    return Request(tuple(before), tuple(after))


def start_token(codec: Codec) -> int:
    """What stands before a text that has nothing before it: the end of the text or line before, in the codec's own words."""
    if isinstance(codec, WordCodec):
        return codec.encode("\n")[0]
    tokenizer = getattr(codec, "tokenizer", None)
    return 10 if tokenizer is None else int(tokenizer.end_of_text)


def fitted(request: Request, limit: int | None) -> Request:
    """The request without the beginning of a context for which the model has no positions, as the harness does.

    Raises ModelError for a continuation that alone has more tokens than there are positions.
    """
    if limit is None:
        return request
    length = len(request.continuation)
    if length > limit:
        raise ModelError(
            f"an answer has {length} tokens and the model {limit} positions; expected a model with at least as many "
            "(max_position_embeddings)"
        )
    return Request(request.context[-(limit + 1 - length) :], request.continuation)


@torch.no_grad()
def alone(model: PreTrainedModel, request: Request) -> Likelihood:
    """One text in one pass, without a state: the obvious form."""
    whole = torch.tensor([[*request.context, *request.continuation]], device=model.device)
    logits = model(input_ids=whole[:, :-1], use_cache=False).logits[0, -len(request.continuation) :]
    return _sum(logits, whole[0, -len(request.continuation) :])


@torch.no_grad()
def log_likelihoods(
    model: PreTrainedModel,
    requests: Sequence[Request],
    *,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> list[Likelihood]:
    """Log-likelihoods of all requests, in their order.

    Equal contexts are read once, `batch_size` different ones side by side (padded on the left, with a mask); from the
    state behind a context each of its continuations is scored. progress : is called with requests done and in all.

    Raises ModelError for a model without a state to carry, and for requests that do not fit (see `fitted`).
    """
    if batch_size < 1:
        raise ModelError(f"batch_size is {batch_size!r}; expected a whole number of at least 1")
    limit = position_limit(model)
    groups: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}
    for number, request in enumerate(requests):
        context, continuation = fitted(request, limit)
        groups.setdefault(context, {}).setdefault(continuation, []).append(number)
    found: list[Likelihood | None] = [None] * len(requests)
    was_training = model.training
    model.eval()
    done = 0
    try:
        # Neighbours of similar length need little padding; the longest come first, so that too little memory shows at once.
        ordered = sorted(groups, key=len, reverse=True)
        for first in range(0, len(ordered), batch_size):
            contexts = ordered[first : first + batch_size]
            pairs = [(row, tokens) for row, context in enumerate(contexts) for tokens in groups[context]]
            for (row, tokens), likelihood in zip(pairs, _scored(model, contexts, pairs), strict=True):
                for number in groups[contexts[row]][tokens]:
                    found[number] = likelihood
                    done += 1
            if progress is not None:
                progress(done, len(requests))
    finally:
        model.train(was_training)
    return [one for one in found if one is not None]


def _scored(
    model: PreTrainedModel, contexts: Sequence[tuple[int, ...]], pairs: Sequence[tuple[int, tuple[int, ...]]]
) -> list[Likelihood]:
    ids, mask = _padded(contexts, left=True, device=model.device)
    # A mask of ones is left out, as `generate` does: without padding every path is the plain one.
    seen_mask = None if bool(mask.all()) else mask
    out = model(input_ids=ids, attention_mask=seen_mask, use_cache=True, logits_to_keep=1)
    if out.past_key_values is None:
        raise ModelError(
            "the model hands no state on, so it is no language model that answers could be scored with; name another"
        )
    first_logits = out.logits[:, -1]
    longest = max((len(tokens) for _, tokens in pairs), default=1) - 1
    at_once = max(1, _LARGEST // (max(longest, 1) * int(first_logits.shape[-1])))
    likelihoods: list[Likelihood] = []
    for start in range(0, len(pairs), at_once):
        part = pairs[start : start + at_once]
        rows = torch.tensor([row for row, _ in part], device=model.device)
        longer = [tokens[:-1] for _, tokens in part]
        following: Any = None
        if any(longer):
            following_ids, following_mask = _padded(longer, left=False, device=model.device)
            # The model never changes a state in place, but `reorder_cache` may: the copy is for the other parts.
            state = copy.deepcopy(out.past_key_values)
            state.reorder_cache(rows)
            whole_mask = torch.cat([mask[rows], following_mask], dim=1)
            following = model(
                input_ids=following_ids, attention_mask=whole_mask, past_key_values=state, use_cache=True
            ).logits
        for place, (row, tokens) in enumerate(part):
            logits = first_logits[row][None]
            if following is not None:
                logits = torch.cat([logits, following[place, : len(tokens) - 1]])
            likelihoods.append(_sum(logits, torch.tensor(tokens, device=model.device)))
    return likelihoods


def _padded(sequences: Sequence[tuple[int, ...]], *, left: bool, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """int64 ids (0 where there are none) and mask ``[rows, longest]``."""
    longest = max(map(len, sequences))
    ids = torch.zeros((len(sequences), longest), dtype=torch.int64)
    mask = torch.zeros((len(sequences), longest), dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        if sequence:
            place = slice(longest - len(sequence), None) if left else slice(0, len(sequence))
            ids[row, place] = torch.tensor(sequence)
            mask[row, place] = 1
    return ids.to(device), mask.to(device)


def _sum(logits: Tensor, tokens: Tensor) -> Likelihood:
    """Logits ``[time, vocabulary]`` and the tokens ``[time]`` that they predict; summed in float64."""
    log_probability = logits.double().log_softmax(-1).gather(-1, tokens[:, None])
    return Likelihood(float(log_probability.sum()), bool((logits.argmax(-1) == tokens).all()))


def drawing(options: Mapping[str, Any]) -> dict[str, Any]:
    """How `generate` chooses tokens, from a harness's options: the likeliest, or drawn with `do_sample` at a temperature above 0.

    `temperature` and `top_p` need not be given.
    """
    if not options.get("do_sample") or options.get("temperature") == 0:
        return {"do_sample": False}
    numbers = {name: float(options[name]) for name in ("temperature", "top_p") if options.get(name) is not None}
    return {"do_sample": True, **numbers}
