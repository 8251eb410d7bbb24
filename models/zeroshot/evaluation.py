"""A language model on the zero-shot tasks: accuracies with standard errors beside what chance and the majority would get."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..causality import causality_verdict
from ..continuation import Writer, open_writer
from ..errors import ModelError
from ..evaluation import position_limit
from ..surroundings import versions, weights_digest
from .files import Questions, find_file, load_questions, task_names
from .scorer import Likelihood, Request, encode_pair, fitted, log_likelihoods
from .tasks import TASKS, Question

RECORD = "zeroshot.json"
SCHEMA_VERSION = "1.0"

Advance = Callable[[int, int], None]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Rate(_Record):
    """A share of right answers, 0 to 1, and its standard error (None for a single question)."""

    value: float = Field(ge=0, le=1)
    error: float | None

    def __str__(self) -> str:
        return f"{100 * self.value:.2f}" + ("" if self.error is None else f" ± {100 * self.error:.2f}")


class TaskScore(_Record):
    """One task: `n` questions of `file` (sha256 of its content in `digest`), the first `limit` if one was given.

    acc : the likeliest answer is the right one. acc_norm : the same with log-likelihoods divided by the answers' characters.
    chance : expected from guessing. majority : from always naming the most frequent place of the right answer; None where it
    always stands at the same place by the task's own construction. truncated : contexts whose beginning did not fit.
    """

    n: int = Field(ge=1)
    acc: Rate
    acc_norm: Rate | None
    chance: Rate
    majority: Rate | None
    truncated: int = Field(ge=0)
    file: str
    digest: str
    limit: int | None = None

    def line(self, name: str) -> str:
        """In words, in per cent."""
        norm = "" if self.acc_norm is None else f", acc_norm {self.acc_norm}"
        majority = (
            "no majority, the right answer always stands last" if self.majority is None else f"majority {self.majority}"
        )
        cut = f"; {self.truncated:,} contexts cut at their beginning" if self.truncated else ""
        of = f"{'' if self.limit is None else 'the first '}{self.n:,} questions, {self.file}"
        return f"{name:12s} acc {self.acc}{norm}; chance {self.chance}, {majority} % of {of}{cut}"


class ZeroShotResult(_Record):
    """zeroshot.json in a run folder. scorer : "astromorphic", or lm-evaluation-harness with its version."""

    schema_version: str = SCHEMA_VERSION
    weights_digest: str
    tokens: str
    scorer: str
    tasks: dict[str, TaskScore]
    versions: dict[str, str]

    def save(self, file: Path) -> None:
        """Write the record, whole or not at all."""
        from bridge.artifact import write_text

        write_text(file, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> ZeroShotResult:
        """Read a record; ModelError if it is damaged or of another version."""
        path = Path(file)
        try:
            found = cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ModelError(f"{path} cannot be read ({error.strerror}); evaluate with --zeroshot first") from None
        except ValidationError as error:
            raise ModelError(
                f"{path} is no record of zero-shot scores ({error.errors()[0]['msg']}); remove it"
            ) from None
        if found.schema_version != SCHEMA_VERSION:
            raise ModelError(
                f"{path} has schema_version {found.schema_version!r:.40}; expected {SCHEMA_VERSION!r}; remove it"
            )
        return found


def rate(right: Sequence[float] | np.ndarray[Any, Any]) -> Rate:
    """Mean of zeros and ones and its standard error, s / sqrt(n) with n - 1 below s, as the harness has it."""
    values = np.asarray(right, dtype=np.float64)
    error = None if len(values) < 2 else float(values.std(ddof=1) / math.sqrt(len(values)))
    return Rate(value=float(values.mean()), error=error)


def chance(questions: Sequence[Question]) -> Rate:
    """What guessing gets: the mean of 1 / answers, with the scatter of so many guesses."""
    p = np.array([1.0 / len(one.choices) for one in questions])
    return Rate(value=float(p.mean()), error=float(np.sqrt((p * (1.0 - p)).sum()) / len(p)))


def majority(questions: Sequence[Question]) -> Rate:
    """What always naming the most frequent place of the right answer gets (chosen on these questions: an upper bound)."""
    ((place, _),) = Counter(one.gold for one in questions).most_common(1)
    return rate([float(one.gold == place) for one in questions])


def predictions(question: Question, found: Sequence[Likelihood]) -> tuple[int, int]:
    """(the likeliest answer, the likeliest per character); the first of equals."""
    total = np.array([one.log_probability for one in found])
    return int(total.argmax()), int((total / [len(choice) for choice in question.choices]).argmax())


def score_task(
    writer: Writer,
    loaded: Questions,
    *,
    limit: int | None = None,
    batch_size: int = 16,
    progress: Advance | None = None,
) -> TaskScore:
    """Score one task's questions with a model and its tokens."""
    questions = loaded.questions
    requests, truncated = encoded(writer, loaded)
    found = log_likelihoods(writer.model, requests, batch_size=batch_size, progress=progress)
    plain, norm = [], []
    at = 0
    for question in questions:
        likeliest, per_character = predictions(question, found[at : at + len(question.pairs)])
        plain.append(float(likeliest == question.gold))
        norm.append(float(per_character == question.gold))
        at += len(question.pairs)
    return task_score(loaded, rate(plain), rate(norm) if loaded.task.normalised else None, truncated, limit)


def encoded(writer: Writer, loaded: Questions) -> tuple[list[Request], int]:
    """The tokens of every answer in its context, cut to the model's positions, and how many contexts were cut.

    Raises ModelError that names the question whose answer does not fit or has no token.
    """
    positions = position_limit(writer.model)
    requests: list[Request] = []
    truncated = 0
    for number, question in enumerate(loaded.questions, start=1):
        try:
            whole = [encode_pair(writer.codec, *pair) for pair in question.pairs]
            cut = [fitted(one, positions) for one in whole]
        except ModelError as error:
            raise ModelError(f"{loaded.task.name}, question {number}: {error}") from None
        truncated += sum(len(one.context) < len(other.context) for one, other in zip(cut, whole, strict=True))
        requests += cut
    return requests, truncated


def task_score(loaded: Questions, acc: Rate, acc_norm: Rate | None, truncated: int, limit: int | None) -> TaskScore:
    """A score with the lines of chance and majority for its questions."""
    return TaskScore(
        n=len(loaded.questions), acc=acc, acc_norm=acc_norm, chance=chance(loaded.questions),
        majority=None if loaded.task.fixed else majority(loaded.questions), truncated=truncated, file=loaded.file,
        digest=loaded.digest, limit=limit,
    )  # fmt: skip


def evaluate_zero_shot(
    folder: str | os.PathLike[str],
    tasks: str = "all",
    *,
    data: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    batch_size: int = 16,
    harness: bool = False,
    progress: Advance | None = None,
) -> str:
    """Score the language model in `folder` on zero-shot tasks; returns a line each and keeps the record zeroshot.json there.

    tasks : names with commas between, or "all" of those whose files are there. data : the data folder with the folder
    zeroshot (and the model's tokenizer). limit : only the first so many questions. harness : count with
    lm-evaluation-harness (extra `eval`) instead of our own scorer, from the same files.

    Scores of other tasks that the record holds for the same weights, by the same scorer, are kept.

    Raises ModelError for unknown tasks, missing files of tasks that were named, a folder without a language model, one whose
    record cannot be read, and a model that sees the future.
    """
    names = task_names(tasks)
    there = [name for name in names if find_file(name, data) is not None]
    absent = [name for name in names if name not in there]
    if tasks.strip() == "all" and there:
        names = there
    loaded = [load_questions(name, data, limit) for name in names]
    # A record that cannot be read is known before hours of scoring, not after.
    file = Path(folder) / RECORD
    before = ZeroShotResult.load(file) if file.is_file() else None
    if harness:
        from .harness import check_installed

        check_installed()
    writer = open_writer(folder, data)
    check_causal(writer)
    scorer = "astromorphic"
    scores: dict[str, TaskScore] = {}
    if harness:
        from .harness import harness_version, score_with_harness

        scorer = f"lm_eval {harness_version()}"
        scores = score_with_harness(writer, loaded, limit=limit, batch_size=batch_size)
    else:
        for done, one in enumerate(loaded):
            scores[one.task.name] = score_task(
                writer, one, limit=limit, batch_size=batch_size, progress=_within(progress, done, len(loaded))
            )
    digest = weights_digest(writer.model)
    same = before is not None and (before.weights_digest, before.scorer) == (digest, scorer)
    kept = dict(before.tasks) if before is not None and same else {}
    result = ZeroShotResult(
        weights_digest=digest, tokens=type(writer.codec).__name__.removesuffix("Codec").lower(), scorer=scorer,
        tasks={**kept, **scores}, versions=versions(),
    )  # fmt: skip
    result.save(file)
    lines = [f"scored       by {scorer}, log-likelihoods of {writer.codec.unit}; ± one standard error, per cent"]
    lines += [score.line(name) for name, score in scores.items()]
    lines += [f"{name:12s} {TASKS[name].note}" for name in scores if TASKS[name].note]
    if tasks.strip() == "all":
        lines += [f"{name:12s} not scored: no {TASKS[name].files[0]}.jsonl in the data folder" for name in absent]
    lines.append(f"record       {file}")
    return "\n".join(lines)


def check_causal(writer: Writer) -> None:
    """ModelError for a model whose log-likelihoods are none."""
    if causality_verdict(writer.model).verdict != "causal":
        raise ModelError(
            "the model sees later tokens, so its scores are no likelihoods of answers; name a causal model"
        )


def _within(progress: Advance | None, task: int, tasks: int) -> Advance | None:
    if progress is None:
        return None
    return lambda done, total: progress(task * total + done, tasks * total)
