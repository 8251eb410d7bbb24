"""Delayed recall as runs: one folder per schedule, number of segments and seed, with recall.json in it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ModelError
from ..settings import check_count, check_number
from ..surroundings import git_revision, versions
from .configuration_rmaat import UNREAD, RMAATConfig
from .recall import SIZE, delayed_recall

SCHEMA_VERSION = "1.0"
RECORD_FILE = "recall.json"
LARGEST_SEED = 2**31 - 1
# How it is trained, with the defaults of `delayed_recall`.
TRAINING: Mapping[str, Any] = {"steps": 300, "batch": 32, "rate": 3e-3, "tests": 512}
# What follows from the schedule, the number of segments and the task.
_FIXED = ("retention", "max_position_embeddings", "vocab_size", "num_labels", "macro_digest", "pad_token_id")


class RecallRun(BaseModel):
    """One run: what was trained, the factors r(1, T) ... r(T, T) that it ends with, and as `models.rmaat.Recall`.

    settings : of training and network, all of them. accuracy : share of right answers of `tests` fresh texts, 0.5 is guessing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: str = SCHEMA_VERSION
    retention: str
    segments: int = Field(ge=2)
    seed: int
    settings: dict[str, Any]
    factors: list[float]
    accuracy: float = Field(ge=0, le=1)
    path_before: float = Field(ge=0)
    path_after: float = Field(ge=0)
    losses: list[float]
    wall_time_s: float = Field(ge=0)
    versions: dict[str, str]
    git_revision: str | None = None

    def dumps(self) -> str:
        """Canonical JSON: sorted keys, two spaces, newline at the end; NaN is refused."""
        content = self.model_dump(mode="json")
        return json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> RecallRun:
        """Read recall.json; ModelError if it is missing, damaged, or of another version."""
        file = Path(path)
        try:
            found = cls.model_validate(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
            raise ModelError(f"recall record {file} is missing or damaged ({what}); run it again") from None
        if found.schema_version.split(".")[0] != SCHEMA_VERSION.split(".")[0]:
            raise ModelError(
                f"{file} has schema_version {found.schema_version}; expected {SCHEMA_VERSION}; run it again"
            )
        return found


def setting_names() -> list[str]:
    """What can be set: how it is trained, and the settings of the network that do not follow from the task."""
    return [*TRAINING, *(name for name in RMAATConfig().settings() if name not in (*_FIXED, *UNREAD))]


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with the defaults of those that are not given; ModelError for unknown ones."""
    from ..choices import did_you_mean

    known = setting_names()
    for name in settings:
        if name not in known:
            raise ModelError(
                f"delayed recall has no setting {name!r}; {did_you_mean(name, known)}choose from {', '.join(sorted(known))}"
            )
    for name in ("steps", "batch", "tests"):
        check_count(name, settings.get(name, 1))
    check_number("rate", settings.get("rate", TRAINING["rate"]), low=0.0, high=1e3, open_low=True)
    return {**TRAINING, **{name: value for name, value in SIZE.items() if name not in _FIXED}, **settings}


def recall_run(
    retention: str, segments: int, out_dir: str | os.PathLike[str], seed: int = 0, **settings: Any
) -> RecallRun:
    """`delayed_recall`, with recall.json in `out_dir`. A finished run is returned as it is.

    Raises ModelError as `delayed_recall`, and for a folder with a run of other settings.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ModelError(f"seed is {seed!r:.60}; expected a whole number from 0 to {LARGEST_SEED}")
    whole = completed(settings)
    file = Path(out_dir) / RECORD_FILE
    wanted = {"retention": retention, "segments": segments, "seed": seed, **whole}
    if file.is_file():
        there = RecallRun.load(file)
        held = {"retention": there.retention, "segments": there.segments, "seed": there.seed, **there.settings}
        for name in {**held, **wanted}:
            if held.get(name) != wanted.get(name):
                raise ModelError(
                    f"{out_dir} holds a run whose {name} is {held.get(name)!r:.80}, not {wanted.get(name)!r:.80}; choose another "
                    "folder or remove it"
                )
        return there
    from bridge.artifact import check_folder, output_folder, write_text

    check_folder(Path(out_dir))
    started = time.monotonic()
    found = asdict(delayed_recall(retention, segments, seed=seed, **whole))
    run = RecallRun(
        **found,
        settings=whole,
        wall_time_s=time.monotonic() - started,
        versions=versions(),
        git_revision=git_revision(),
    )
    output_folder(Path(out_dir))
    write_text(file, run.dumps())
    return run


class _Queue(Protocol):
    def put(self, item: Any) -> None: ...


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """`recall_run` with arguments that can be sent to another process.

    Keys: retention, segments, out_dir; optional seed, settings, arm and recipe (what progress is called by), threads (default 1)
    and progress, an object with `put` that is told when the run is over.
    """
    known = {"retention", "segments", "out_dir", "seed", "settings", "arm", "recipe", "threads", "progress"}
    for name in sorted({*job} - known):
        raise ModelError(f"recall job has no key {name!r}; it has {', '.join(sorted(known))}")
    for name in ("retention", "segments", "out_dir"):
        if name not in job:
            raise ModelError(f"recall job lacks {name!r}")
    seed, before = int(job.get("seed", 0)), torch.get_num_threads()
    torch.set_num_threads(int(job.get("threads", 1)))
    try:
        run = recall_run(job["retention"], job["segments"], job["out_dir"], seed, **job.get("settings", {}))
    finally:
        torch.set_num_threads(before)
    queue: _Queue | None = job.get("progress")
    if queue is not None:
        metrics = {"test_accuracy": run.accuracy}
        queue.put({"arm": job.get("arm", run.retention), "seed": seed, "step": 1, "total": 1, "metrics": metrics})
    return run.model_dump(mode="json")
