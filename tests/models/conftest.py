"""Shared pieces of the network tests: one thread, float64 operator inputs, one tiny model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from models.ops.features import feature_map
from models.ops.state import HebbianState
from models.ops.step import causal_step


# For the session: fixtures of a module run before those of a function, and their results are compared bit by bit.
@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Inputs(NamedTuple):
    """Leaves in float64; `features` turns them into what the operators take."""

    q: Tensor
    k: Tensor
    v: Tensor
    code: Tensor
    hebbian: Tensor
    activation: Tensor

    def features(self) -> tuple[Tensor, Tensor, Tensor, Tensor, HebbianState]:
        state = HebbianState(self.hebbian, feature_map(self.activation))
        return feature_map(self.q), feature_map(self.k), self.v, feature_map(self.code), state


def _inputs(time: int = 13, batch: int = 2, heads: int = 2, m: int = 4, d: int = 3, seed: int = 0) -> Inputs:
    g = torch.Generator().manual_seed(seed)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).requires_grad_(True)

    return Inputs(
        leaf(batch, time, heads, m), leaf(batch, time, heads, m), leaf(batch, time, heads, d),
        leaf(time, heads, m), leaf(batch, heads, m, d), leaf(batch, heads, m),
    )  # fmt: skip


@pytest.fixture
def make_inputs() -> Callable[..., Inputs]:
    return _inputs


@pytest.fixture
def inputs() -> Inputs:
    return _inputs()


def _stepwise(q, k, v, *, code, mask, initial_state, **settings):
    """All tokens one after the other, with the arguments and results of the forms that take them at once."""
    state, outputs = initial_state, []
    for t in range(q.shape[1]):
        now = slice(t, t + 1)
        piece = None if mask is None else mask[:, now]
        o, state = causal_step(q[:, now], k[:, now], v[:, now], state, code=code[now], mask=piece, **settings)
        outputs.append(o)
    return torch.cat(outputs, 1), state


@pytest.fixture
def stepwise() -> Callable[..., tuple[Tensor, HebbianState]]:
    return _stepwise


TINY = {
    "vocab_size": 31,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 48,
    "initializer_range": 0.3,
}


def _build(seed: int = 0, preset: str = "tuned", **settings) -> AstromorphicForCausalLM:
    """A tiny decoder; the large initial embeddings make the mixers visible in the logits."""
    torch.manual_seed(seed)
    return AstromorphicForCausalLM(AstromorphicConfig.from_preset(preset, **{**TINY, **settings})).eval()


@pytest.fixture
def tiny() -> Callable[..., AstromorphicForCausalLM]:
    return _build


@pytest.fixture
def tiny_size() -> dict[str, Any]:
    return dict(TINY)


@pytest.fixture
def randomise() -> Callable[..., AstromorphicForCausalLM]:
    """Move every parameter away from its initial value, so that nothing is constant by accident."""

    def move(model: AstromorphicForCausalLM, seed: int = 3) -> AstromorphicForCausalLM:
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.3 * torch.randn(p.shape, generator=g))
        return model

    return move


@pytest.fixture
def tokens() -> Tensor:
    """Never 0, which the tests pad with: without a mask, `generate` takes every pad token for padding."""
    return torch.randint(1, TINY["vocab_size"], (3, 20), generator=torch.Generator().manual_seed(5))
