"""The causality verdict: does any logit depend on a later token? Cheap, and run on every trained model."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .errors import ModelError
from .result import CausalityVerdict

LOGIT_TOLERANCE = 1e-6
STEP_TOLERANCE = 1e-3


def causality_verdict(
    model: PreTrainedModel, *, length: int | None = None, n_positions: int = 8, seed: int = 0
) -> CausalityVerdict:
    """Try to make the past depend on the future, in four ways, on random tokens.

    For each checked position t (all of them up to length 16, else `n_positions` drawn by `seed`, always with the
    first and the last but one): every later token is replaced; every later embedding becomes NaN (which also catches
    0 * x masking); the gradient of logits[t] with respect to later embeddings must be exactly 0; and one pass over
    the sequence must agree with feeding it step by step.
    The verdict is "causal" if logits change by at most 1e-6, nothing turns NaN, the gradient is 0 and the two passes
    agree to 1e-3 of the largest logit.
    """
    limit = int(model.config.max_position_embeddings)
    length = min(limit, length or limit)
    if length < 2:
        raise ModelError(f"length is {length}; expected at least 2 tokens to have a future")
    generator = torch.Generator().manual_seed(seed)
    vocabulary = int(model.config.vocab_size)
    ids = torch.randint(0, vocabulary, (1, length), generator=generator).to(model.device)
    other = torch.randint(0, vocabulary, (1, length), generator=generator).to(model.device)
    other = torch.where(other == ids, (other + 1) % vocabulary, other)
    if length <= 16:
        positions = list(range(length - 1))
    else:
        drawn = torch.randperm(length - 1, generator=generator)[: max(0, n_positions - 2)].tolist()
        positions = sorted({0, length - 2, *drawn})
    model = without_rounding(model)
    was_training = model.training
    model.eval()
    try:
        change, gradient = _perturbation(model, ids, other, positions), _future_gradient(model, ids, positions)
        nan_leak = _nan_leak(model, ids, positions)
        difference, largest = _pass_against_steps(model, ids, positions)
    finally:
        model.train(was_training)
    causal = (
        change <= LOGIT_TOLERANCE
        and not nan_leak
        and gradient == 0.0
        and difference <= STEP_TOLERANCE * max(1.0, largest)
    )
    return CausalityVerdict(
        verdict="causal" if causal else "leaks",
        max_logit_change=change,
        nan_leak=nan_leak,
        max_future_gradient=gradient,
        chunked_vs_step=difference,
        checked_positions=positions,
    )


def without_rounding(model: PreTrainedModel) -> PreTrainedModel:
    """A copy in float64 of a network with spikes, the network itself otherwise.

    A spike at a membrane near the threshold flips with the last digit, and two orders of summation would look like a leak.
    """
    return copy.deepcopy(model).double() if getattr(model, "has_spikes", False) else model


class PrefixDifference(NamedTuple):
    """Largest difference between the logits of one pass and of each prefix alone, and the largest logit."""

    difference: float
    largest: float


@torch.no_grad()
def prefix_difference(
    model: PreTrainedModel, *, length: int | None = None, n_positions: int = 16, seed: int = 0
) -> PrefixDifference:
    """Compare one pass over random tokens with re-running prefixes from scratch, which finds what depends on the length.

    All prefixes up to length 16, else `n_positions` of them drawn by `seed`.
    """
    limit = int(model.config.max_position_embeddings)
    length = min(limit, length or limit)
    if length < 2:
        raise ModelError(f"length is {length}; expected at least 2 tokens to have a future")
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, int(model.config.vocab_size), (1, length), generator=generator).to(model.device)
    positions = (
        list(range(length)) if length <= 16 else torch.randperm(length, generator=generator)[:n_positions].tolist()
    )
    model = without_rounding(model)
    was_training = model.training
    model.eval()
    try:
        whole = model(input_ids=ids, use_cache=False).logits[0]
        return PrefixDifference(_pass_against_prefixes(model, ids, positions, whole), float(whole.abs().max()))
    finally:
        model.train(was_training)


def _future(length: int, positions: list[int], device: torch.device) -> Tensor:
    """``[positions, length]``, True after each position."""
    return torch.arange(length, device=device)[None] > torch.tensor(positions, device=device)[:, None]


@torch.no_grad()
def _perturbation(model: PreTrainedModel, ids: Tensor, other: Tensor, positions: list[int]) -> float:
    later = _future(ids.shape[1], positions, ids.device)
    # Both passes have the same shape: matrix kernels may round differently for another batch size.
    before = model(input_ids=ids.expand(len(positions), -1), use_cache=False).logits
    after = model(input_ids=torch.where(later, other, ids), use_cache=False).logits
    return float((before - after).abs().masked_fill(later[..., None], 0.0).max())


@torch.no_grad()
def _nan_leak(model: PreTrainedModel, ids: Tensor, positions: list[int]) -> bool:
    later = _future(ids.shape[1], positions, ids.device)
    embedded = model.get_input_embeddings()(ids).expand(len(positions), -1, -1)
    poisoned = embedded.masked_fill(later[..., None], float("nan"))
    logits = model(inputs_embeds=poisoned, use_cache=False).logits
    return bool((logits.isnan() & ~later[..., None]).any())


def _future_gradient(model: PreTrainedModel, ids: Tensor, positions: list[int]) -> float:
    later = _future(ids.shape[1], positions, ids.device)
    with torch.enable_grad():
        embedded = model.get_input_embeddings()(ids).detach().repeat(len(positions), 1, 1).requires_grad_(True)
        logits = model(inputs_embeds=embedded, use_cache=False).logits
        rows = torch.arange(len(positions), device=ids.device)
        picked = logits[rows, torch.tensor(positions, device=ids.device)]
        # Random weights instead of a sum: layer norms make some plain sums constant.
        weights = torch.linspace(-1.0, 1.0, picked.shape[-1], device=ids.device, dtype=picked.dtype) ** 3
        (gradient,) = torch.autograd.grad((picked * weights).sum(), embedded)
    return float(gradient.abs().masked_fill(~later[..., None], 0.0).max())


@torch.no_grad()
def _pass_against_steps(model: PreTrainedModel, ids: Tensor, positions: list[int]) -> tuple[float, float]:
    whole = model(input_ids=ids, use_cache=False).logits[0]
    state, rows = None, []
    for t in range(ids.shape[1]):
        out = model(input_ids=ids[:, t : t + 1], past_key_values=state, use_cache=True)
        state = out.past_key_values
        if state is None:
            return _pass_against_prefixes(model, ids, positions, whole), float(whole.abs().max())
        rows.append(out.logits[0, 0])
    return float((whole - torch.stack(rows)).abs().max()), float(whole.abs().max())


def _pass_against_prefixes(model: PreTrainedModel, ids: Tensor, positions: list[int], whole: Tensor) -> float:
    differences = [model(input_ids=ids[:, : t + 1], use_cache=False).logits[0, -1] - whole[t] for t in positions]
    return float(torch.stack(differences).abs().max())
