"""Dropout drawn with `torch.rand`: what it keeps, what it scales, and what it leaves alone."""

import pytest
import torch

from models.ops.dropout import Dropout


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
def test_a_share_p_is_dropped_and_the_mean_stays(dtype):
    torch.manual_seed(0)
    x = torch.ones(400, 500, dtype=dtype, requires_grad=True)
    out = Dropout(0.3)(x)
    assert out.dtype == dtype
    kept = out != 0
    # Five standard errors of a share of 200,000 draws.
    assert abs(kept.double().mean().item() - 0.7) < 5 * (0.21 / 200_000) ** 0.5
    assert torch.allclose(out[kept], torch.tensor(1 / 0.7, dtype=dtype))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, out.detach())


def test_the_global_seed_decides_which():
    x, layer = torch.ones(64), Dropout(0.5)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert torch.equal(first, layer(x)) and not torch.equal(first, second)


@pytest.mark.parametrize("p", (0.0, 1.0))
def test_nothing_and_everything_are_exact(p):
    x = torch.randn(8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Dropout(p)(x), x * (1.0 - p))


def test_evaluation_changes_nothing_and_draws_nothing():
    x, layer = torch.randn(8), Dropout(0.5).eval()
    before = torch.get_rng_state()
    assert layer(x) is x and torch.equal(torch.get_rng_state(), before)
