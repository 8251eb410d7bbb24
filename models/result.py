"""`RunResult`: the record that a training run leaves behind (run.json). Readable without torch."""

from __future__ import annotations

import json
import math
import os
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ModelError

SCHEMA_VERSION = "2.2"
# What the name of an arm ends with whose branch is brought to one size.
MATCHED = "_matched"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CurvePoint(_Record):
    """One point of the learning curve.

    The training loss is the mean over the steps since the previous point (with label smoothing, if any); losses are nats per
    token or example. Bits per byte are those of a language model, accuracies (0 to 1) those of a classifier;
    test_accuracy is there only if the recipe asked for it, and nothing is ever chosen by it. `epoch` counts passes
    over the training data, `tokens` what a language model has read.
    """

    step: int = Field(ge=0)
    epoch: float | None = None
    tokens: int | None = Field(default=None, ge=0)
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    train_bits_per_byte: float | None = None
    validation_bits_per_byte: float | None = None


class SplitScore(_Record):
    """What a split of the data was scored at.

    A classifier: `n` examples, loss in nats per example, accuracy 0 to 1, and what no reading is needed for: `majority`, the
    accuracy of always naming the most frequent class of the training examples, and `chance`, 1 by the number of classes. A
    language model: `n` tokens, loss in nats per
    token, total nats, and the same total per word, as perplexities, and in bits per byte. These are null for a model that
    sees the future: what it scores is no probability of the text.
    """

    n: int = Field(ge=1)
    loss: float
    accuracy: float | None = None
    majority: float | None = None
    chance: float | None = None
    nats: float | None = None
    words: int | None = None
    bytes: int | None = None
    bits_per_byte: float | None = None
    perplexity_per_token: float | None = None
    perplexity_per_word: float | None = None


class DataRecord(_Record):
    """What a run was trained on: kind of task, where the data came from, how text became numbers, how it was prepared.

    `location` is the folder or file that the user named, as given; None for data that come with the package or are found
    by their name. `class_counts` are the examples of each class in each split, in the order of `classes`. `family` is the task
    by which the data were named, "table", "text_file" or the like for files; `RunResult.family` also knows that of older
    records. `files` are the sha256 of what lies beside the weights and makes tokens of texts, such as vocabulary.json.
    `test_seen`: where the test part is a file of its own, how many of its texts stand in the training file as well.
    """

    kind: Literal["language", "text_classification", "image_classification", "sequence_classification"] = "language"
    source: str
    location: str | None = None
    tokenizer: str | None = None
    classes: list[str] = []
    options: dict[str, Any] = {}
    n_train: int | None = None
    class_counts: dict[str, list[int]] = {}
    family: str | None = None
    files: dict[str, str] = {}
    test_seen: int | None = None


class CausalityVerdict(_Record):
    """Whether logits ever depend on later tokens; without "causal" a score may not be called a language-model result.

    max_logit_change: largest change of a logit when later tokens are replaced; nan_leak: NaN embeddings after t
    reached t or earlier; max_future_gradient: largest |d logits[t] / d embedding[s > t]|; chunked_vs_step: largest
    difference between one pass over the sequence and the model fed step by step (or prefix by prefix if it has no
    state).
    """

    verdict: Literal["causal", "leaks"]
    max_logit_change: float
    nan_leak: bool
    max_future_gradient: float
    chunked_vs_step: float
    checked_positions: list[int]


class EvaluationPolicy(_Record):
    """What a language model's number means: what was scored and with how much context, in tokens.

    Every token is scored once; bytes_scored is 0 where only the numbers of tokens are known. The first has no context and is
    charged log(vocabulary) nats ("uniform"). reevaluated_tokens of the text were predicted again, each from its prefix alone;
    per token that differed by reevaluated_difference nats on average (0 for a model that does not see the future).
    carried_state: the state went through the whole text, so that every token was predicted from all before it; context is
    then the whole text, and stride the tokens read at once.
    """

    bytes_scored: int = Field(ge=0)
    tokens_scored: int | None = Field(default=None, ge=1)
    context: int = Field(ge=1)
    stride: int = Field(ge=1)
    first_byte: Literal["uniform"] = "uniform"
    carried_state: bool = False
    carried_state_max_difference: float | None = None
    reevaluated_tokens: int | None = None
    reevaluated_difference: float | None = None


class OperatingPoint(_Record):
    """Where on its response curve the network works, on validation text.

    activation_start, activation_end: summed phi(k) after `tokens` tokens, mean over layers, heads and features, before
    and after training. gains: learned factor ``[layer][head]`` on top of `branch_gain`; None if none is learned.
    """

    tokens: int = Field(ge=1)
    activation_start: float = Field(gt=0)
    activation_end: float = Field(gt=0)
    gains: list[list[float]] | None = None


class MemoryPath(_Record):
    """Gradient of a projection of the last memory with respect to the memory that segment t reads, t = 1 ... T, before and after
    training: a mean over `items` validation items with the most segments (of pairs the first text), see
    `models.memory_path_gradient`.
    """

    items: int = Field(ge=1)
    start: list[float]
    end: list[float]


class SpikingActivity(_Record):
    """Firing of a trained network on the first `tokens` tokens of the validation text, layer by layer.

    rates : spikes per neuron and token, by name of what is binary (see `models.astrosnn.activity`). silent, saturated : share of
    the mixer's neurons that never or always fired.
    """

    tokens: int = Field(ge=1)
    rates: list[dict[str, float]]
    silent: list[float]
    saturated: list[float]


class RunResult(_Record):
    """One training run: what was trained, on what, how it went and what came out.

    `scores` are those of the weights that lie beside the record: of step `chosen_step`, the last one or the one that
    validation picked. An interrupted run went on from step `resumed_from_step` (its last resume), and `wall_time_s`
    counts from there. processes : how many trained it together. started_from: digest of the weights that the first step began
    with, where they were those of another model.
    """

    schema_version: str = SCHEMA_VERSION
    task: str
    arm: str
    seed: int
    recipe: dict[str, Any]
    config: dict[str, Any]
    macro_digest: str | None = None
    n_parameters: int = Field(ge=0)
    steps: int = Field(ge=0)
    steps_per_epoch: int | None = None
    tokens_per_step: int | None = Field(default=None, ge=1)
    chosen_step: int = Field(ge=0)
    chosen_epoch: float | None = None
    learning_curve: list[CurvePoint]
    scores: dict[Literal["validation", "test"], SplitScore]
    evaluation: dict[str, EvaluationPolicy] = {}
    causality: CausalityVerdict | None = None
    operating_point: OperatingPoint | None = None
    activity: SpikingActivity | None = None
    memory_path: MemoryPath | None = None
    resumed_from_step: int | None = None
    processes: int = Field(default=1, ge=1)
    started_from: str | None = None
    data: DataRecord
    data_digest: str
    weights_digest: str
    wall_time_s: float = Field(ge=0)
    device: str
    dtype: str
    versions: dict[str, str]
    git_revision: str | None = None

    @property
    def kind(self) -> str:
        """ "language", "text_classification", "image_classification" or "sequence_classification"."""
        return self.data.kind

    @property
    def family(self) -> str | None:
        """The task by which the data were named: "imdb", "enwik8", "table", ...

        A record that does not say so is of the task that its own name begins with (``enwik8_first_4000000``); None for one of a
        file or of the hub.
        """
        if self.data.family is not None:
            return self.data.family
        from .tasks import TASKS

        if self.task in TASKS:
            return self.task
        place = self.data.location
        # A user's file may well be called imdb_more.csv.
        if place is not None and (place.startswith("hf:") or Path(place).name == self.task):
            return None
        # The longest name that fits: pathfinder_like is no variant of pathfinder.
        return max((name for name in TASKS if self.task.startswith(f"{name}_")), key=len, default=None)

    @property
    def validation_bits_per_byte(self) -> float:
        """Bits per byte on validation text; ModelError for a classifier or a model that sees the future."""
        return self._bits_per_byte("validation")

    @property
    def test_bits_per_byte(self) -> float:
        """Bits per byte on test text; ModelError for a classifier or a model that sees the future."""
        return self._bits_per_byte("test")

    def _bits_per_byte(self, split: Literal["validation", "test"]) -> float:
        found = self.scores[split].bits_per_byte
        if found is None:
            what = (
                f"{self.arm!r} is not a language model" if self.kind == "language" else f"task {self.task!r} is no text"
            )
            raise ModelError(f"{split} has no bits per byte: {what}; read scores[{split!r}] instead")
        return found

    @property
    def validation_accuracy(self) -> float:
        """Accuracy (0 to 1) on validation examples; ModelError for a language model."""
        return self._accuracy("validation")

    @property
    def test_accuracy(self) -> float:
        """Accuracy (0 to 1) on test examples, of the weights that validation picked; ModelError for a language model."""
        return self._accuracy("test")

    def _accuracy(self, split: Literal["validation", "test"]) -> float:
        found = self.scores[split].accuracy
        if found is None:
            raise ModelError(
                f"{split} has no accuracy: task {self.task!r} is {self.kind}; read scores[{split!r}] instead"
            )
        return found

    def dumps(self) -> str:
        """Canonical JSON: sorted keys, two spaces, newline at the end; NaN is refused."""
        return (
            json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
            + "\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write run.json, whole or not at all."""
        from bridge.artifact import write_text

        write_text(Path(path), self.dumps())

    @classmethod
    def loads(cls, text: str, *, source: str = "run record") -> RunResult:
        """Parse a record. Raises ValueError for broken JSON, a newer major version, unknown or missing fields.

        Records of version 1 (bytes of the shipped text, scores of the last step) are brought up to the present one.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"{source} is not JSON ({error}); the file is damaged, train again") from None
        version = content.get("schema_version") if isinstance(content, dict) else None
        if not isinstance(version, str) or version.split(".")[0] not in ("1", SCHEMA_VERSION.split(".")[0]):
            raise ModelError(
                f"{source} has schema_version {version!r}; expected {SCHEMA_VERSION}, made by this version of astromorphic"
            )
        try:
            return cls.model_validate(_migrated(content))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"{source}: {where} is {first.get('input')!r:.60}; {first['msg']}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RunResult:
        """Read run.json; ValueError as in `loads`, also when the file is missing."""
        file = Path(path)
        if not file.is_file():
            raise ModelError(f"run record {file} does not exist; the run did not finish or the folder is wrong")
        return cls.loads(file.read_text(encoding="utf-8"), source=str(file))


def _migrated(content: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1 as one of this version; what it did not know is null or at the value that it then had."""
    if not str(content["schema_version"]).startswith("1."):
        return content
    new = {key: value for key, value in content.items() if not key.endswith("_bits_per_byte")}
    new["schema_version"] = SCHEMA_VERSION
    if isinstance(new.get("recipe"), dict):
        new["recipe"] = {**_defaults_of_recipe(), **new["recipe"]}
    new["scores"] = {}
    for split in ("validation", "test"):
        bits = content.get(f"{split}_bits_per_byte")
        scored = (content.get("evaluation") or {}).get(split, {}).get("bytes_scored")
        if isinstance(bits, int | float) and math.isfinite(bits) and isinstance(scored, int) and scored > 0:
            loss = bits * math.log(2.0)
            causal = (content.get("causality") or {}).get("verdict") == "causal"
            new["scores"][split] = {
                "n": scored, "loss": loss, "nats": loss * scored, "bytes": scored, "bits_per_byte": bits if causal else None,
                "perplexity_per_token": 2.0**bits if causal else None,
            }  # fmt: skip
        elif bits is not None:
            raise ModelError(f"run record: {split}_bits_per_byte is {bits!r:.60} of {scored!r} bytes; train again")
    new["learning_curve"] = [
        {
            **point,
            "train_loss": point["train_bits_per_byte"] * math.log(2.0),
            "validation_loss": point["validation_bits_per_byte"] * math.log(2.0),
        }
        for point in content.get("learning_curve", [])
    ]
    new["chosen_step"] = content.get("steps")
    new["data"] = {"kind": "language", "source": "", "tokenizer": "bytes"}
    return new


def _defaults_of_recipe() -> dict[str, Any]:
    from .recipes import Recipe

    return {field.name: field.default for field in fields(Recipe) if field.default is not MISSING}
