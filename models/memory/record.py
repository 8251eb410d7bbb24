"""`MemoryRun`: the record that a working-memory run leaves behind (memory_run.json). Readable without torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ModelError

SCHEMA_VERSION = "1.0"
RECORD_FILE = "memory_run.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MemoryPoint(_Record):
    """One point of the learning curve, after `episodes` episodes: regret summed over all of them so far; loss, share of right
    episodes and mean activity over those since the point before."""

    episodes: int = Field(ge=1)
    total_regret: float = Field(ge=0)
    loss: float
    accuracy: float = Field(ge=0, le=1)
    activity: list[float]


class MemoryScore(_Record):
    """Fresh episodes with the likeliest action taken: share of wrong ones, regret per episode (2 for a wrong one), and the mean
    output of every layer, a firing rate where the cell spikes."""

    episodes: int = Field(ge=1)
    error: float = Field(ge=0, le=1)
    regret: float = Field(ge=0, le=2)
    activity: list[float]


class MemoryRun(_Record):
    """One working-memory run: what was trained, how episodes went while it learned, and how they go afterwards.

    episodes, total_regret : of learning; with sampled actions, which is what bsuite scores, except for method
    "supervised", where it is the likeliest answer before each update. episodes_to_criterion, solved : see
    `models.environments.scores`. updates : of the optimiser; fewer than planned if `stop_accuracy` was reached.
    """

    schema_version: str = SCHEMA_VERSION
    environment: str
    length: int = Field(ge=1)
    model: str
    method: str
    seed: int
    settings: dict[str, Any]
    width: int = Field(ge=1)
    n_parameters: int = Field(ge=1)
    spiking: bool
    updates: int = Field(ge=1)
    episodes: int = Field(ge=1)
    total_regret: float = Field(ge=0)
    solved: bool
    episodes_to_criterion: int | None = None
    activity_start: list[float]
    learning_curve: list[MemoryPoint]
    validation: MemoryScore
    test: MemoryScore
    weights_digest: str
    wall_time_s: float = Field(ge=0)
    device: str
    versions: dict[str, str]
    git_revision: str | None = None

    def dumps(self) -> str:
        """Canonical JSON: sorted keys, two spaces, newline at the end; NaN is refused."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the record, whole or not at all."""
        from bridge.artifact import write_text

        write_text(Path(path), self.dumps())

    @classmethod
    def loads(cls, text: str, *, source: str = "memory record") -> MemoryRun:
        """Parse a record. Raises ModelError for broken JSON, another major version, unknown or missing fields."""
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"{source} is not JSON ({error}); the file is damaged, train again") from None
        version = content.get("schema_version") if isinstance(content, dict) else None
        if not isinstance(version, str) or version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise ModelError(f"{source} has schema_version {version!r:.60}; expected {SCHEMA_VERSION}; train again")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelError(f"{source}: {where} is {first.get('input')!r:.60}; {first['msg']}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MemoryRun:
        """Read memory_run.json; ModelError as in `loads`, also when the file is missing."""
        file = Path(path)
        if not file.is_file():
            raise ModelError(f"memory record {file} does not exist; the run did not finish or the folder is wrong")
        return cls.loads(file.read_text(encoding="utf-8"), source=str(file))
