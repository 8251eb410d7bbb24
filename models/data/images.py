"""Images for a network: float tensors, normalised, and augmentation of whole batches with an explicit generator.

Order of the steps in `Augmentation`: crop, flip, kornia's policy (which wants 0 to 1), normalisation, erasing (to 0, the
mean), mixing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..choices import choice
from ..errors import ModelError
from .cifar10 import MEAN, STD

POLICIES = ("none", "randaugment", "autoaugment")


def mean_and_std(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of `images` ``[n, h, w, channels]``, scaled to 0..1."""
    count = images.shape[0] * images.shape[1] * images.shape[2]
    # 256 values: exact sums from counts, without a copy of the images as floats.
    value = np.arange(256) / 255.0
    mean, std = [], []
    for channel in range(images.shape[-1]):
        share = np.bincount(images[..., channel].reshape(-1), minlength=256) / count
        average = float(share @ value)
        mean.append(average)
        std.append(float(np.sqrt(share @ (value - average) ** 2)))
    return tuple(mean), tuple(std)


def as_floats(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 ``[n, h, w, channels]`` to float32 ``[n, channels, h, w]`` in 0..1; ModelError for another type or shape."""
    given = torch.from_numpy(np.ascontiguousarray(images)) if isinstance(images, np.ndarray) else images
    if given.dtype != torch.uint8 or given.ndim != 4 or given.shape[-1] not in (1, 3):
        raise ModelError(
            f"images are {str(given.dtype).removeprefix('torch.')} {list(given.shape)}; expected uint8 [n, height, width, 1 or 3]"
        )
    return given.permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def normalise(images: Tensor, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    """(images - mean) / std by channel, `images` float ``[..., channels, h, w]`` in 0..1."""
    centre = torch.tensor(mean, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)
    spread = torch.tensor(std, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)
    return (images - centre) / spread


def _uniform(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Each of `images` ``[n, c, h, w]`` moved by up to `padding` pixels to each side, zeros coming in."""
    n, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    shift = (_uniform((2, n), generator, images.device) * (2 * padding + 1)).long().clamp_(max=2 * padding)
    rows = shift[0, :, None] + torch.arange(height, device=images.device)
    columns = shift[1, :, None] + torch.arange(width, device=images.device)
    index = torch.arange(n, device=images.device)[:, None, None]
    # Advanced indices on both sides of a slice put the channels last.
    return padded[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor, generator: torch.Generator, share: float = 0.5) -> Tensor:
    """Each image mirrored left to right with probability `share`."""
    flipped = _uniform((len(images), 1, 1, 1), generator, images.device) < share
    return torch.where(flipped, images.flip(-1), images)


def random_erasing(
    images: Tensor,
    generator: torch.Generator,
    share: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    ratio: float = 10 / 3,
) -> Tensor:
    """A rectangle of each image set to 0 with probability `share` (Zhong et al. 2020).

    area : of the rectangle as a share of the image, uniform. ratio : height to width is log-uniform in 1/ratio..ratio;
    sides are cut to those of the image.
    """
    n, _, height, width = images.shape
    chance, size, shape, top, left = _uniform((5, n), generator, images.device)
    pixels = (area[0] + (area[1] - area[0]) * size) * height * width
    aspect = torch.exp((2 * shape - 1) * float(np.log(ratio)))
    tall = (pixels * aspect).sqrt().round().clamp(1, height)
    wide = (pixels / aspect).sqrt().round().clamp(1, width)
    box = _boxes((top * (height - tall + 1)).floor(), tall, (left * (width - wide + 1)).floor(), wide, height, width)
    return images.masked_fill((box & (chance < share)[:, None, None])[:, None], 0.0)


def _boxes(top: Tensor, tall: Tensor, left: Tensor, wide: Tensor, height: int, width: int) -> Tensor:
    """True inside the rectangles ``[n]``: bool ``[n, height, width]``."""
    y = torch.arange(height, device=top.device)[None, :, None]
    x = torch.arange(width, device=top.device)[None, None, :]
    top, tall, left, wide = (one[:, None, None] for one in (top, tall, left, wide))
    return (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)


def soft_labels(labels: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Probabilities float32 ``[n, classes]``: 1 - smoothing on the label, `smoothing` shared among all classes."""
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        raise ModelError(f"labels are {int(labels.min())} to {int(labels.max())}; expected 0 to {classes - 1}")
    hot = torch.nn.functional.one_hot(labels.long(), classes).float()
    return hot * (1.0 - smoothing) + smoothing / classes


def mixup(images: Tensor, targets: Tensor, partner: Tensor, own: float) -> tuple[Tensor, Tensor]:
    """`own` of each image and ``1 - own`` of its partner, pixels and labels alike (Zhang et al. 2018)."""
    return own * images + (1 - own) * images[partner], own * targets + (1 - own) * targets[partner]


def cutmix(images: Tensor, targets: Tensor, partner: Tensor, box: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """The rectangle `box` (top, height, left, width) comes from the partner, and the labels by area (Yun et al. 2019)."""
    top, tall, left, wide = box
    mixed = images.clone()
    mixed[..., top : top + tall, left : left + wide] = images[partner][..., top : top + tall, left : left + wide]
    own = 1 - tall * wide / (images.shape[-1] * images.shape[-2])
    return mixed, own * targets + (1 - own) * targets[partner]


class Augmentation:
    """What a training batch goes through, on its own device: ``(images, labels, generator) -> (pixel_values, targets)``.

    images float ``[n, 3, h, w]`` in 0..1, labels int64 ``[n]``; pixel_values normalised, targets probabilities float32
    ``[n, classes]`` whose meaning is the same whatever was mixed. crop : padding, 0 for none. flip : probability. policy :
    "none", or by kornia "randaugment" (two operations of strength 9) or "autoaugment" (CIFAR-10's); kornia draws one policy per
    call, so that it is called on groups of `group` images. erase : probability. mix_up, cut_mix : parameter of the beta
    distribution of the share, 0 for none; with both, each batch takes one of them by an even chance. smoothing : of labels.
    Apply it in training alone; nothing in it looks at a module's training flag.
    """

    def __init__(
        self, classes: int = 10, *, crop: int = 4, flip: float = 0.5, policy: str = "none", erase: float = 0.0,
        mix_up: float = 0.0, cut_mix: float = 0.0, smoothing: float = 0.0, group: int = 8,
        mean: Sequence[float] = MEAN, std: Sequence[float] = STD,
    ) -> None:  # fmt: skip
        for name, value in (("flip", flip), ("erase", erase), ("smoothing", smoothing)):
            if not 0 <= value <= 1:
                raise ModelError(f"{name} is {value!r}; expected a probability from 0 to 1")
        for name, value in (("crop", crop), ("mix_up", mix_up), ("cut_mix", cut_mix)):
            if not 0 <= value < np.inf:
                raise ModelError(f"{name} is {value!r}; expected 0 (off) or more")
        if group < 1:
            raise ModelError(f"group is {group!r}; expected at least 1 image")
        self.classes, self.crop, self.flip, self.erase = classes, crop, flip, erase
        self.mix_up, self.cut_mix, self.smoothing, self.group = mix_up, cut_mix, smoothing, group
        self.mean, self.std = tuple(mean), tuple(std)
        self.policy = _kornia_policy(choice("policy", policy, POLICIES))

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if images.ndim != 4 or images.shape[1] != len(self.mean) or not images.is_floating_point():
            raise ModelError(
                f"images are {str(images.dtype).removeprefix('torch.')} {list(images.shape)}; expected floats "
                f"[n, {len(self.mean)}, height, width] in 0..1"
            )
        low, high = images.aminmax()
        if low < 0 or high > 1:
            raise ModelError(
                f"images reach from {float(low):.3g} to {float(high):.3g}; expected 0 to 1, before normalisation"
            )
        if self.crop:
            images = random_crop(images, self.crop, generator)
        if self.flip:
            images = random_flip(images, generator, self.flip)
        if self.policy is not None:
            images = self._by_policy(images, generator)
        images = normalise(images, self.mean, self.std)
        if self.erase:
            images = random_erasing(images, generator, self.erase)
        return self._mixed(images, soft_labels(labels, self.classes, self.smoothing), generator)

    def _by_policy(self, images: Tensor, generator: torch.Generator) -> Tensor:
        assert self.policy is not None
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        # kornia draws from torch's global generator, which is not ours to move.
        with torch.random.fork_rng(enabled=True), torch.no_grad():
            torch.manual_seed(seed)
            return torch.cat([self.policy(part) for part in images.split(self.group)])

    def _mixed(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if not (self.mix_up or self.cut_mix):
            return images, targets
        # torch's beta distribution takes no generator; NumPy's is seeded from ours.
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        draw = np.random.default_rng(seed)
        cut = bool(self.cut_mix) and (not self.mix_up or draw.random() < 0.5)
        own = float(draw.beta(self.cut_mix, self.cut_mix) if cut else draw.beta(self.mix_up, self.mix_up))
        partner = torch.from_numpy(draw.permutation(len(images))).to(images.device)
        if not cut:
            return mixup(images, targets, partner, own)
        height, width = images.shape[-2:]
        tall, wide = round(height * (1 - own) ** 0.5), round(width * (1 - own) ** 0.5)
        top, left = int(draw.integers(height - tall + 1)), int(draw.integers(width - wide + 1))
        return cutmix(images, targets, partner, (top, tall, left, wide))


def _kornia_policy(name: str) -> Any:
    if name == "none":
        return None
    try:
        from kornia.augmentation.auto import AutoAugment, RandAugment
    except ImportError:
        raise ModelError(
            f"policy {name!r} needs kornia, which is not installed; pip install 'astromorphic[vision]', or take policy='none'"
        ) from None
    return RandAugment(n=2, m=9) if name == "randaugment" else AutoAugment(policy="cifar10")
