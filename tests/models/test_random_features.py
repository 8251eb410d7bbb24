"""Random features of the softmax kernel: unbiased, error as m^(-1/2), fewer with orthogonal rows, and safe at large inputs."""

from __future__ import annotations

import pytest
import torch

from models.errors import ModelError
from models.ops.random_features import RANDOM_FEATURES, draw_weights, random_features, scaled_features
from models.ops.reference import encoder
from models.ops.response import Power
from models.ops.softmax import bidirectional_softmax

D = 8


def points(n=6, size=0.3):
    g = torch.Generator().manual_seed(0)
    x, y = (size * torch.randn(1, n, 1, D, generator=g, dtype=torch.float64) for _ in range(2))
    return x, y


def kernel(x, y, draws, m, kind="exponential", orthogonal=False, seed=0):
    """phi(x) . phi(y) for all pairs, ``[draws, n, n]``; every head of the weights is one draw."""
    weight, phase = draw_weights(draws, m, D, seed=seed, orthogonal=orthogonal)
    p, q = (random_features(z.expand(-1, -1, draws, -1), weight, phase, kind=kind)[0] for z in (x, y))
    return torch.einsum("ihm,jhm->hij", p, q)


@pytest.mark.parametrize("orthogonal", [False, True])
@pytest.mark.parametrize("kind", ["exponential", "cosine"])
def test_the_estimate_is_unbiased_over_draws(kind, orthogonal):
    x, y = points()
    truth = torch.einsum("ihd,jhd->ij", x[0], y[0]).exp()
    estimates = kernel(x, y, 4000, D, kind, orthogonal)
    standard_error = estimates.std(0) / 4000**0.5
    assert (standard_error / truth).median() < 0.05  # else this could not fail
    deviation = (estimates.mean(0) - truth) / standard_error
    # 36 entries, correlated; 4.5 standard errors is passed by chance once in some thousand draws of them all.
    assert deviation.abs().max() < 4.5


@pytest.mark.parametrize("kind", ["truncated", "positive_cosine"])
def test_the_clipped_variants_are_biased_and_say_so(kind):
    x, y = points(size=1.2)
    truth = torch.einsum("ihd,jhd->ij", x[0], y[0]).exp()
    estimates = kernel(x, y, 4000, D, kind)
    deviation = (estimates.mean(0) - truth) / (estimates.std(0) / 4000**0.5)
    assert deviation.abs().max() > 10 and estimates.min() >= 0


def test_the_error_falls_as_the_root_of_the_number_of_neurons():
    x, y = points()
    truth = torch.einsum("ihd,jhd->ij", x[0], y[0]).exp()
    sizes = (16, 64, 256, 1024)
    error = [((kernel(x, y, 200, m) / truth - 1).square().mean().sqrt()) for m in sizes]
    slope = torch.log(error[-1] / error[0]) / torch.log(torch.tensor(sizes[-1] / sizes[0], dtype=torch.float64))
    assert slope.item() == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("kind", ["exponential", "cosine"])
def test_orthogonal_rows_lower_the_variance(kind):
    x, y = points()
    plain, orthogonal = (kernel(x, y, 3000, D, kind, o).var(0).mean() for o in (False, True))
    assert orthogonal < 0.93 * plain
    weight, _ = draw_weights(2, 2 * D + 3, D, seed=1, orthogonal=True)
    block = weight[0, :D].double()
    gram = block @ block.T
    assert (gram - torch.diag(gram.diagonal())).abs().max() < 1e-5
    assert weight.square().sum(-1).mean().item() == pytest.approx(D, rel=0.3)


def test_attention_with_many_neurons_is_softmax_attention():
    g = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(1, 12, 2, D, generator=g, dtype=torch.float64) for _ in range(3))
    q, k = 0.5 * q, 0.5 * k  # the variance grows as exp(|q + k|^2 / sqrt(d))
    exact = bidirectional_softmax(q, k, v)

    def error(m):
        found = []
        for seed in range(8):
            weight, phase = draw_weights(2, m, D, seed=seed)
            phi_q, phi_k = (random_features(x * D**-0.25, weight, phase) for x in (q, k))
            out = encoder(phi_q, phi_k, v, response=Power(1.0), scale=1.0, placement="none")
            found.append((out - exact).square().mean())
        return torch.stack(found).mean().sqrt().item()

    coarse, fine = error(64), error(4096)
    assert fine < 0.05 * exact.std() and coarse / fine == pytest.approx(8.0, rel=0.4)


@pytest.mark.parametrize("kind", RANDOM_FEATURES)
def test_a_shift_is_one_factor_per_token_and_keeps_large_inputs_finite(kind):
    """Inputs of length 30: exp(450) and exp(-450) are outside float32."""
    x = torch.randn(2, 12, 2, D, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weight, phase = draw_weights(2, 64, D, seed=0)
    plain, shifted = (random_features(x, weight, phase, kind=kind, shift=shift) for shift in ("none", "token"))
    scaled, offset = scaled_features(x, weight, phase, kind=kind)
    assert torch.equal(scaled, shifted) and offset.shape == (2, 12, 2, 1)
    torch.testing.assert_close(shifted * offset.exp(), plain)
    large = random_features((10 * x).float(), weight, phase, kind=kind, shift="token")
    assert large.isfinite().all() and large.abs().amax(-1).gt(0).all()


def test_weights_belong_to_their_seed_and_an_unknown_kind_is_named():
    one, two, other = (draw_weights(2, 5, 3, seed=s) for s in (4, 4, 5))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and not torch.equal(one[0], other[0])
    with pytest.raises(ModelError, match="feature map is 'cosin'; expected one of exponential, cosine"):
        random_features(torch.ones(1, 1, 2, 3), *one, kind="cosin")
