"""Images for networks: known pictures through every step of the augmentation."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from models.data import images as im
from models.data.kinds import LabelledImages
from models.errors import ModelError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int = 6, side: int = 32) -> LabelledImages:
    values = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return LabelledImages(values, np.arange(n, dtype=np.int64) % 10)


def test_images_are_normalised_by_channel():
    data = pictures()
    mean, std = im.mean_and_std(data.images)
    assert mean == pytest.approx((data.images / 255).mean((0, 1, 2)), abs=1e-12)
    assert std == pytest.approx((data.images / 255).std((0, 1, 2)), abs=1e-12)
    raw = im.as_floats(data.images)
    assert torch.equal(raw, torch.from_numpy(data.images).permute(0, 3, 1, 2) / 255)
    whole = im.normalise(raw, mean, std)
    assert whole.shape == (6, 3, 32, 32) and whole.dtype == torch.float32
    assert torch.allclose(whole.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(whole.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)
    # Row, column and channel stay where they were.
    value = (data.images[2, 5, 7, 1] / 255 - mean[1]) / std[1]
    assert whole[2, 1, 5, 7] == pytest.approx(value, abs=1e-5)
    with pytest.raises(ModelError, match=r"images are float32 \[2, 3, 32, 32\]; expected uint8"):
        im.as_floats(torch.zeros(2, 3, 32, 32))


def test_the_crop_moves_whole_pictures_by_every_shift():
    n = 2000
    x = torch.arange(1, 50.0).reshape(1, 1, 7, 7).expand(n, 2, 7, 7)
    cropped = im.random_crop(x, 2, generator())
    padded = torch.nn.functional.pad(x[0, 0], (2,) * 4)
    seen = set()
    for one in cropped:
        assert torch.equal(one[0], one[1])
        match = [(r, c) for r in range(5) for c in range(5) if torch.equal(one[0], padded[r : r + 7, c : c + 7])]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 25


def test_the_flip_mirrors_about_half():
    x = torch.rand(1000, 3, 4, 5, generator=generator(1))
    flipped = im.random_flip(x, generator())
    same = (flipped == x).flatten(1).all(1)
    mirrored = (flipped == x.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all() and 430 < int(mirrored.sum()) < 570
    assert torch.equal(im.random_flip(x, generator(), share=0.0), x)
    assert torch.equal(im.random_flip(x, generator(), share=1.0), x.flip(-1))


def test_erasing_makes_one_rectangle_of_the_right_size():
    x = torch.ones(3000, 2, 16, 16)
    erased = im.random_erasing(x, generator(), share=0.5, area=(0.1, 0.3))
    holes = erased[:, 0] == 0
    assert torch.equal(erased[:, 1] == 0, holes)
    hit = holes.flatten(1).any(1)
    assert 0.45 < float(hit.float().mean()) < 0.55
    for one in holes[hit][:200]:
        rows, columns = one.any(1).nonzero(), one.any(0).nonzero()
        box = one[rows[0, 0] : rows[-1, 0] + 1, columns[0, 0] : columns[-1, 0] + 1]
        assert box.all() and int(one.sum()) == box.numel()
        assert 0.05 < box.numel() / 256 < 0.36
    # Every place is reached, the edges too.
    assert holes.any(0).all()


def test_mixup_and_cutmix_mean_the_same_by_their_labels():
    """Picture i is the constant i, so that the mean of a mixed picture is the expectation of its labels."""
    x = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 8, 8)
    hot = im.soft_labels(torch.arange(4), 4)
    partner = torch.tensor([1, 2, 3, 0])
    for mixed, targets in (im.mixup(x, hot, partner, 0.75), im.cutmix(x, hot, partner, (2, 4, 0, 4))):
        assert torch.allclose(targets, 0.75 * hot + 0.25 * hot[partner])
        assert torch.allclose(mixed.mean((1, 2, 3)), targets @ torch.arange(4.0))
    mixed, _ = im.cutmix(x, hot, partner, (2, 4, 0, 3))
    assert (mixed[0, :, 2:6, 0:3] == 1).all() and int((mixed[0, 0] == 1).sum()) == 12
    _, whole = im.cutmix(x, hot, partner, (0, 8, 0, 8))
    assert torch.equal(whole, hot[partner])
    _, none = im.cutmix(x, hot, partner, (0, 0, 0, 0))
    assert torch.equal(none, hot)


def test_smoothing_and_labels_out_of_range():
    soft = im.soft_labels(torch.tensor([2]), 4, 0.1)
    assert torch.allclose(soft, torch.tensor([[0.025, 0.025, 0.925, 0.025]]))
    with pytest.raises(ModelError, match="labels are 0 to 4; expected 0 to 3"):
        im.soft_labels(torch.tensor([0, 4]), 4)


@pytest.mark.parametrize(
    "settings", [{"mix_up": 0.8}, {"cut_mix": 1.0}, {"mix_up": 0.8, "cut_mix": 1.0, "smoothing": 0.1}]
)
def test_batches_are_mixed_with_one_meaning(settings):
    x = (torch.arange(10.0) / 10).reshape(10, 1, 1, 1).expand(10, 3, 32, 32).contiguous()
    labels = torch.arange(10)
    augment = im.Augmentation(crop=0, flip=0, mean=(0.0,) * 3, std=(1.0,) * 3, **settings)
    smoothing = settings.get("smoothing", 0.0)
    kinds = set()
    for seed in range(20):
        pixels, targets = augment(x, labels, generator(seed))
        assert torch.allclose(targets.sum(1), torch.ones(10))
        expected = ((targets - smoothing / 10) / (1 - smoothing)) @ (labels / 10)
        assert torch.allclose(pixels.mean((1, 2, 3)), expected, atol=1e-5)
        kinds.add(bool((pixels.amax((2, 3)) != pixels.amin((2, 3))).any()))
    assert len(kinds) >= (2 if len(settings) == 3 else 1)


def test_the_generator_decides_alone():
    x, labels = torch.rand(8, 3, 32, 32, generator=generator(5)), torch.arange(8)
    augment = im.Augmentation(erase=0.5, mix_up=0.8, cut_mix=1.0)
    state = torch.random.get_rng_state()
    one, same, other = (augment(x, labels, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one[0], same[0]) and torch.equal(one[1], same[1]) and not torch.equal(one[0], other[0])


def test_wrong_images_and_settings_are_named():
    augment = im.Augmentation()
    for wrong, words in (
        (torch.zeros(2, 32, 32, 3), r"images are float32 \[2, 32, 32, 3\]; expected floats \[n, 3, height, width\]"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "images are uint8"),
        (im.normalise(torch.zeros(2, 3, 32, 32)), "expected 0 to 1, before normalisation"),
    ):
        with pytest.raises(ModelError, match=words):
            augment(wrong, torch.zeros(2, dtype=torch.int64), generator())
    for settings, words in (
        ({"flip": 1.5}, "flip is 1.5"), ({"crop": -1}, "crop is -1"), ({"policy": "randaug"}, "did you mean 'randaugment'"),
        ({"mix_up": float("nan")}, "mix_up is nan"), ({"group": 0}, "group is 0"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=words):
            im.Augmentation(**settings)


def test_without_kornia_the_policies_say_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia.augmentation.auto", None)
    with pytest.raises(ModelError, match=r"needs kornia, .*pip install 'astromorphic\[vision\]'"):
        im.Augmentation(policy="autoaugment")


@pytest.mark.parametrize("policy", ["randaugment", "autoaugment"])
def test_policies_of_kornia_differ_between_groups_and_leave_the_global_generator_alone(policy):
    pytest.importorskip("kornia")
    x = torch.rand(1, 3, 32, 32, generator=generator(5)).expand(32, 3, 32, 32).contiguous()
    augment = im.Augmentation(policy=policy, crop=0, flip=0, group=4, mean=(0.0,) * 3, std=(1.0,) * 3)
    state = torch.random.get_rng_state()
    one, same = (augment(x, torch.zeros(32, dtype=torch.int64), generator(1))[0] for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state) and torch.equal(one, same)
    assert one.shape == x.shape and one.min() >= 0 and one.max() <= 1
    groups = one.split(4)
    assert len({tuple(group[0].flatten().tolist()) for group in groups}) > 3
