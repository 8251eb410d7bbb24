"""What a task is to the training loop: its data as batches in the order of a seed, what they ask of a network, its scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from ..result import DataRecord, EvaluationPolicy, SplitScore

if TYPE_CHECKING:
    from ..astromorphic import AstromorphicConfig
    from ..recipes import Recipe

Kind = Literal["language", "text_classification", "image_classification", "sequence_classification"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Batches(Dataset[dict[str, Tensor]], ABC):
    """All batches of a run: item i is what step i reads, whatever was read before, so that a resumed run is the same run.

    steps_per_epoch : batches that go once over the training data.
    """

    steps_per_epoch: int

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: Any) -> dict[str, Tensor]: ...


class Task(ABC):
    """One task with its data loaded.

    name : what run records call it. digest : of the data, the cut into splits included. options : how the data were
    prepared; with the name and the digest they say what was trained on. location : folder or file that the user named.
    family, test_seen : see `DataRecord`.
    """

    kind: ClassVar[Kind]
    name: str
    digest: str
    source: str
    options: dict[str, Any]
    location: str | None = None
    family: str | None = None
    test_seen: int | None = None
    tokenizer: str | None = None
    classes: tuple[str, ...] = ()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Settings of the configuration that follow from the data (vocab_size, num_labels, image_size ...)."""

    @abstractmethod
    def check(self, config: AstromorphicConfig) -> None:
        """ModelError, before anything is built or written, if a network of this configuration cannot read these data."""

    @abstractmethod
    def build(self, config: AstromorphicConfig) -> PreTrainedModel:
        """The untrained network, from torch's present random state."""

    @abstractmethod
    def load(self, folder: Path) -> PreTrainedModel:
        """The trained network of a run folder."""

    @abstractmethod
    def batches(self, config: AstromorphicConfig, recipe: Recipe, seed: int) -> Batches:
        """What every step of the run reads."""

    def augmented(self, batch: dict[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
        """A training batch on its device, changed at random (torch's random state) where the task does so."""
        return batch

    @abstractmethod
    def point(self, model: PreTrainedModel, recipe: Recipe, split: Split = "validation") -> dict[str, float]:
        """Scores for a point of the learning curve: loss in nats per token or example, and accuracy or bits per byte."""

    @abstractmethod
    def score(
        self, model: PreTrainedModel, split: Split, recipe: Recipe | None = None, **how: Any
    ) -> tuple[SplitScore, EvaluationPolicy | None]:
        """The final score of a split; with a recipe, of as much of it as the recipe says."""

    def train_metrics(self, loss: float) -> dict[str, float]:
        """What a point of the curve says of the training loss, in the units of the task."""
        return {}

    def tokens_per_step(self, config: AstromorphicConfig, recipe: Recipe) -> int | None:
        """Tokens a language model reads in a step; None for a classifier."""
        return None

    @property
    @abstractmethod
    def n_train(self) -> int:
        """Training tokens or examples."""

    def save(self, folder: Path) -> None:  # noqa: B027 (most tasks need no file of their own)
        """Write what a user of the weights needs beside them, such as the vocabulary."""

    def record(self) -> DataRecord:
        """What the run record says about the data."""
        return DataRecord(
            kind=self.kind, source=self.source, location=self.location, tokenizer=self.tokenizer, classes=list(self.classes),
            options=self.options, n_train=self.n_train, family=self.family, test_seen=self.test_seen,
        )  # fmt: skip
