"""One label per image, of pixels normalised by channel. Metric: accuracy. Training images are changed on their device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..astromorphic import AstromorphicForImageClassification
from ..errors import ModelError
from .base import SPLITS, Split
from .classification import ClassificationTask

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..data.kinds import LabelledImages, Splits
    from ..recipes import Recipe

AUGMENTATIONS = ("none", "crop_flip", "modern")


class ImageClassificationTask(ClassificationTask):
    """Labelled images; pixels become (x / 255 - mean) / std with mean and std of each channel over the training images.

    augment : "none"; "crop_flip", the paper-literal recipe (4 pixels of padding); "modern" adds RandAugment and random erasing.
    """

    kind = "image_classification"

    def __init__(
        self,
        splits: Splits[LabelledImages],
        *,
        augment: str = "crop_flip",
        location: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if augment not in AUGMENTATIONS:
            raise ModelError(f"augment is {augment!r}; expected one of {', '.join(AUGMENTATIONS)}")
        self.name, self.digest, self.source, self.classes = splits.name, splits.digest, splits.source, splits.classes
        self.location, self.options, self.augment = location, options or {}, augment
        self.images = {split: getattr(splits, split).images for split in SPLITS}
        self.labels = {split: np.asarray(getattr(splits, split).labels, dtype=np.int64) for split in SPLITS}
        shapes = {images.shape[1:] for images in self.images.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 3:
            raise ModelError(f"{self.name}: images are {sorted(shapes)}; expected one [height, width, channels] for all")
        self.height, self.width, self.channels = next(iter(shapes))
        train = self.images["train"]
        # Channel by channel and in whole numbers: no float copy of all images.
        sums = train.sum(axis=(0, 1, 2), dtype=np.int64)
        squares = np.array([np.square(train[..., c].astype(np.int32)).sum(dtype=np.int64) for c in range(self.channels)])
        n = train[..., 0].size
        self.mean = sums / n / 255.0
        self.std = np.maximum(np.sqrt(np.maximum(squares / n / 255.0**2 - self.mean**2, 0.0)), 1e-3)
        self._augmentation: Callable[[Tensor], Tensor] | None = None

    def settings(self) -> dict[str, Any]:
        size: Any = self.height if self.height == self.width else [self.height, self.width]
        return super().settings() | {"image_size": size, "num_channels": self.channels}

    def check(self, config: AstromorphicConfig) -> None:
        super().check(config)
        if config.image_shape != (self.height, self.width) or config.num_channels != self.channels:
            raise ModelError(
                f"image_size is {config.image_size} with {config.num_channels} channels; the images of {self.name} are "
                f"{self.height} x {self.width} with {self.channels}"
            )
        if self.augment != "none":
            _kornia(self.augment)
        config.check_memory(copies=4, network="image")

    def build(self, config: AstromorphicConfig) -> AstromorphicForImageClassification:
        return AstromorphicForImageClassification(config)

    def load(self, folder: Path) -> AstromorphicForImageClassification:
        return AstromorphicForImageClassification.from_pretrained(folder)

    def batch(self, split: Split, items: NDArray[np.int64]) -> dict[str, Tensor]:
        pixels = torch.from_numpy(self.images[split][items]).permute(0, 3, 1, 2).float() / 255.0
        if split != "train" or self.augment == "none":
            pixels = self._normalised(pixels)
        # Training images stay between 0 and 1, where augmentations are defined, until they are on their device.
        return {"pixel_values": pixels, "labels": torch.from_numpy(self.labels[split][items])}

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(x, dtype=torch.float32, device=pixels.device)[:, None, None] for x in (self.mean, self.std)
        )
        return (pixels - mean) / std

    def augmented(self, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
        pixels, labels = batch["pixel_values"], batch["labels"]
        if self.augment != "none":
            if self._augmentation is None:
                self._augmentation = _kornia(self.augment)((self.height, self.width))
            pixels = self._normalised(self._augmentation(pixels))
        if recipe.mixup > 0:
            share = float(torch.distributions.Beta(recipe.mixup, recipe.mixup).sample())
            other = torch.randperm(len(pixels)).to(pixels.device)
            hot = functional.one_hot(labels, len(self.classes)).to(pixels.dtype)
            pixels, labels = share * pixels + (1 - share) * pixels[other], share * hot + (1 - share) * hot[other]
        return {"pixel_values": pixels, "labels": labels}


def _kornia(augment: str) -> Callable[[tuple[int, int]], Callable[[Tensor], Tensor]]:
    """What makes the augmentation for a size of images; ModelError without kornia."""
    try:
        from kornia import augmentation as K
        from kornia.augmentation import auto
    except ImportError:
        raise ModelError(
            f"augment is {augment!r}, which needs kornia; install it (pip install 'astromorphic[images]'), or set augment=none"
        ) from None

    def make(size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
        steps: list[Any] = [K.RandomCrop(size, padding=4), K.RandomHorizontalFlip()]
        if augment == "modern":
            steps += [auto.RandAugment(n=2, m=9), K.RandomErasing(p=0.25)]
        return K.AugmentationSequential(*steps, data_keys=["input"])

    return make
