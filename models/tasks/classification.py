"""What classifiers of texts and images share: labels, the order of examples, accuracy and loss of a split."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from ..data.order import epoch_order
from ..errors import ModelError
from ..result import DataRecord, SplitScore
from .base import SPLITS, Batches, Split, Task

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..recipes import Recipe

# The order of an epoch is drawn from [seed, epoch]. A key of its own keeps what a step draws, such as the words it leaves out,
# from being the same stream where the numbers of step and epoch are equal.
_OF_STEPS = (1,)


class ClassificationTask(Task):
    """Examples with one label each, a number of `classes`."""

    labels: dict[Split, NDArray[np.int64]]
    # Examples that are scored together.
    evaluation_batch = 128

    @abstractmethod
    def batch(self, split: Split, items: NDArray[np.int64]) -> dict[str, Tensor]:
        """Inputs and int64 `labels` of these examples of a split."""

    def training_batch(
        self, items: NDArray[np.int64], recipe: Recipe, generator: np.random.Generator
    ) -> dict[str, Tensor]:
        """Inputs and labels of these training examples, changed at random where the recipe says so."""
        return self.batch("train", items)

    def lengths(self, split: Split) -> NDArray[np.int64] | None:
        """Tokens of every example, for batches of about equal length; None where all are equal."""
        return None

    @property
    def n_train(self) -> int:
        return len(self.labels["train"])

    def settings(self) -> dict[str, Any]:
        return {"num_labels": len(self.classes)}

    def check(self, config: AstromorphicConfig) -> None:
        if (config.num_labels or 0) != len(self.classes):
            raise ModelError(
                f"num_labels is {config.num_labels}; expected {len(self.classes)}, the classes of {self.name}: "
                f"{', '.join(self.classes[:12])}"
            )
        for split in SPLITS:
            labels = self.labels[split]
            if not len(labels):
                raise ModelError(f"{self.name} has no {split} examples; expected at least one")
            if labels.min() < 0 or labels.max() >= len(self.classes):
                wrong = int(np.flatnonzero((labels < 0) | (labels >= len(self.classes)))[0])
                raise ModelError(
                    f"{self.name}: the label of {split} example {wrong} is {labels[wrong]}; expected 0 to {len(self.classes) - 1}"
                )

    def class_counts(self, split: Split) -> list[int]:
        """Examples of each class in a split."""
        return [int(n) for n in np.bincount(self.labels[split], minlength=len(self.classes))]

    def record(self) -> DataRecord:
        return (
            super().record().model_copy(update={"class_counts": {split: self.class_counts(split) for split in SPLITS}})
        )

    def chosen(self, split: Split, items: int | None) -> NDArray[np.int64]:
        """The examples of a split that are used: all, or the first `items` of one shuffle that no seed changes."""
        n = len(self.labels[split])
        if items is None or items >= n:
            return np.arange(n)
        return np.sort(np.random.default_rng(0).permutation(n)[:items])

    def batches(self, config: AstromorphicConfig, recipe: Recipe, seed: int) -> ExampleBatches:
        return ExampleBatches(self, recipe, seed)

    def point(self, model: PreTrainedModel, recipe: Recipe, split: Split = "validation") -> dict[str, float]:
        found, _ = self.score(model, split, recipe)
        return {"loss": found.loss, "accuracy": float(found.accuracy or 0.0)}

    @torch.no_grad()
    def score(
        self, model: PreTrainedModel, split: Split, recipe: Recipe | None = None, **how: Any
    ) -> tuple[SplitScore, None]:
        if split not in SPLITS:
            raise ModelError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
        items = self.chosen(split, None if recipe is None else recipe.evaluate_items)
        lengths = self.lengths(split)
        if lengths is not None:
            items = items[np.argsort(lengths[items], kind="stable")]
        nats, right = 0.0, 0
        was_training = model.training
        model.eval()
        try:
            for start in range(0, len(items), self.evaluation_batch):
                batch = self.batch(split, items[start : start + self.evaluation_batch])
                labels = batch.pop("labels").to(model.device)
                logits = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits.double()
                nats += float(functional.cross_entropy(logits, labels, reduction="sum"))
                right += int((logits.argmax(-1) == labels).sum())
        finally:
            model.train(was_training)
        commonest = int(np.argmax(self.class_counts("train")))
        return SplitScore(
            n=len(items), loss=nats / len(items), accuracy=right / len(items),
            majority=float((self.labels[split][items] == commonest).mean()), chance=1.0 / len(self.classes),
        ), None  # fmt: skip


class ExampleBatches(Batches):
    """Epoch after epoch of the training examples, each in an order of its own; the last batch of an epoch may be smaller."""

    def __init__(self, task: ClassificationTask, recipe: Recipe, seed: int) -> None:
        self.task, self.recipe, self.batch_size, self.seed = task, recipe, recipe.batch_size, seed
        self.items = task.chosen("train", recipe.train_items)
        lengths = task.lengths("train")
        # Examples of one length are simply shuffled.
        self.pool = 1 if lengths is None else 50
        self.lengths = np.ones(len(self.items), dtype=np.int64) if lengths is None else lengths[self.items]
        self.steps_per_epoch = -(-len(self.items) // self.batch_size)
        self.steps = recipe.plan(self.steps_per_epoch)[0]
        self.known: tuple[int, NDArray[np.int64]] = (0, self._epoch(0))

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        return self.items[epoch_order(self.lengths, self.batch_size, self.seed, epoch, pool=self.pool)]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: Any) -> dict[str, Tensor]:
        epoch, number = divmod(int(index), self.steps_per_epoch)
        if self.known[0] != epoch:
            self.known = (epoch, self._epoch(epoch))
        first = number * self.batch_size
        # By the number of the step, so that a resumed run reads what an uninterrupted one would.
        generator = np.random.default_rng(np.random.SeedSequence([self.seed, int(index)], spawn_key=_OF_STEPS))
        return self.task.training_batch(self.known[1][first : first + self.batch_size], self.recipe, generator)
