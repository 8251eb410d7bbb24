"""One label per image, of pixels normalised by channel. Metric: accuracy. Training images are changed on their device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..astromorphic import AstromorphicForImageClassification
from ..data.images import Augmentation, as_floats, mean_and_std, normalise
from ..errors import ModelError
from .base import SPLITS, Split
from .classification import ClassificationTask

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..data.kinds import LabelledImages, Splits
    from ..recipes import Recipe

AUGMENTATIONS = ("none", "crop_flip", "randaugment", "autoaugment")


class ImageClassificationTask(ClassificationTask):
    """Labelled images; pixels become (x / 255 - mean) / std with mean and std of each channel over the training images.

    augment : "none"; "crop_flip" (4 pixels of padding); "randaugment" and "autoaugment" add kornia's policy of that name and
    random erasing (0.25). A recipe with `mixup` mixes images, and with a policy cuts and mixes them by turns.
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
            raise ModelError(
                f"{self.name}: images are {sorted(shapes)}; expected one [height, width, channels] for all"
            )
        self.height, self.width, self.channels = next(iter(shapes))
        self.mean, self.std = mean_and_std(self.images["train"])
        self._augmentation: Augmentation | None = None

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
        self._made(0.0)
        config.check_memory(copies=4, network="image")

    def build(self, config: AstromorphicConfig) -> AstromorphicForImageClassification:
        return AstromorphicForImageClassification(config)

    def load(self, folder: Path) -> AstromorphicForImageClassification:
        return AstromorphicForImageClassification.from_pretrained(folder)

    def batch(self, split: Split, items: NDArray[np.int64]) -> dict[str, Tensor]:
        pixels = normalise(as_floats(self.images[split][items]), self.mean, self.std)
        return {"pixel_values": pixels, "labels": torch.from_numpy(self.labels[split][items])}

    def training_batch(
        self, items: NDArray[np.int64], recipe: Recipe, generator: np.random.Generator
    ) -> dict[str, Tensor]:
        """Images between 0 and 1, where augmentations are defined; `augmented` normalises them on their device."""
        return {
            "pixel_values": as_floats(self.images["train"][items]),
            "labels": torch.from_numpy(self.labels["train"][items]),
        }

    def _made(self, mixup: float) -> Augmentation:
        policy = self.augment in ("randaugment", "autoaugment")
        return Augmentation(
            len(self.classes), crop=0 if self.augment == "none" else 4, flip=0.0 if self.augment == "none" else 0.5,
            policy=self.augment if policy else "none", erase=0.25 if policy else 0.0, mix_up=mixup,
            cut_mix=1.0 if policy and mixup else 0.0, mean=self.mean, std=self.std,
        )  # fmt: skip

    def augmented(self, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
        if self._augmentation is None or self._augmentation.mix_up != recipe.mixup:
            self._augmentation = self._made(recipe.mixup)
        # From torch's own state, which checkpoints keep: a resumed run draws the same.
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
        pixels, labels = self._augmentation(batch["pixel_values"], batch["labels"], generator)
        return {"pixel_values": pixels, "labels": labels}
