"""`RunResult`: the record that a training run leaves behind (run.json). Readable without torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ModelError

SCHEMA_VERSION = "1.0"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CurvePoint(_Record):
    """One point of the learning curve; the training value is the mean over the steps since the previous point."""

    step: int = Field(ge=0)
    tokens: int = Field(ge=0)
    train_bits_per_byte: float
    validation_bits_per_byte: float


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
    """What a bits-per-byte number means: what was scored and with how much context."""

    bytes_scored: int = Field(ge=0)
    context: int = Field(ge=1)
    stride: int = Field(ge=1)
    first_byte: Literal["uniform"] = "uniform"
    carried_state_max_difference: float | None = None


class OperatingPoint(_Record):
    """Where on its response curve the network works, on validation text.

    activation_start, activation_end: summed phi(k) after `tokens` tokens, mean over layers, heads and features, before
    and after training. gains: learned factor ``[layer][head]`` on top of `branch_gain`; None if none is learned.
    """

    tokens: int = Field(ge=1)
    activation_start: float = Field(gt=0)
    activation_end: float = Field(gt=0)
    gains: list[list[float]] | None = None


class RunResult(_Record):
    """One training run: what was trained, on what, how it went and what came out.

    Bits per byte throughout. An interrupted run went on from step `resumed_from_step` (its last resume), and
    `wall_time_s` counts from there.
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
    tokens_per_step: int = Field(ge=1)
    learning_curve: list[CurvePoint]
    validation_bits_per_byte: float
    test_bits_per_byte: float
    evaluation: dict[str, EvaluationPolicy]
    causality: CausalityVerdict
    operating_point: OperatingPoint | None = None
    resumed_from_step: int | None = None
    data_digest: str
    weights_digest: str
    wall_time_s: float = Field(ge=0)
    device: str
    dtype: str
    versions: dict[str, str]
    git_revision: str | None = None

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
        """Parse a record. Raises ValueError for broken JSON, another major version, unknown or missing fields."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"{source} is not JSON ({error}); the file is damaged, train again") from None
        version = content.get("schema_version") if isinstance(content, dict) else None
        if not isinstance(version, str) or version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise ModelError(
                f"{source} has schema_version {version!r}; expected {SCHEMA_VERSION}, made by this version of astromorphic"
            )
        try:
            return cls.model_validate(content)
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
