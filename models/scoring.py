"""Run folders opened again: the record, its task and the trained network; and scores of any split, in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import ModelError
from .result import RunResult

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .tasks.base import Split, Task


class Run(NamedTuple):
    """A finished run: its record, its task with data loaded, its network in evaluation mode."""

    record: RunResult
    task: Task
    model: PreTrainedModel
    same_data: bool


def open_run(folder: str | os.PathLike[str], data: Any = None) -> Run:
    """Load what a run folder holds, with the data it was trained on or with `data` in their place.

    data : folder or file, as for `load_task`; a file of another kind than the task's is refused.
    Raises ModelError for a folder without a finished run, data that are missing, and data of another digest unless `data`
    named them.
    """
    place = Path(folder)
    record = RunResult.load(place / "run.json")
    task = _task(record, place, data)
    same = task.digest == record.data_digest
    if not same and data is None:
        raise ModelError(
            f"{place} was trained on data with digest {record.data_digest[:12]}..., and {record.task} now has "
            f"{task.digest[:12]}...; name the data with --data to score others"
        )
    return Run(record, task, task.load(place).eval(), same)


def _task(record: RunResult, place: Path, data: Any) -> Task:
    from .tasks import TASKS, load_task
    from .tasks.loading import kind_of, option_names

    # The longest name that fits: pathfinder_like is no variant of pathfinder.
    fitting = [name for name in TASKS if record.task == name or record.task.startswith(f"{name}_")]
    named = max(fitting, key=len, default=None)
    location = data if data is not None else record.data.location
    if location is not None and Path(location).is_file():
        source, where = os.fspath(location), None
    elif named is not None:
        source, where = named, location
    else:
        raise ModelError(
            f"{place} was trained on {record.data.location or record.task}, which is not there; name the file with --data"
        )
    if kind_of(source) != record.kind:
        raise ModelError(f"{place} is a run of {record.kind} and {source} is {kind_of(source)}; name data of its kind")
    known = option_names(source)
    options = {name: value for name, value in record.data.options.items() if name in known}
    saved = place if (place / "vocabulary.json").is_file() else None
    return load_task(source, where, saved=saved, **options)


def score_run(
    folder: str | os.PathLike[str],
    *,
    data: Any = None,
    split: Split = "test",
    context: int | None = None,
    stride: int | None = None,
    reevaluate: int = 2000,
) -> str:
    """Score a split of a run again and say it in all units, with context, stride and the verdict for a language model.

    Raises ModelError for what `open_run` refuses, a split that the task does not have, and settings of the other kind of task.
    """
    record, task, model, same = open_run(folder, data)
    lines = [
        f"run          {record.task}, {record.arm}, seed {record.seed}, step {record.chosen_step} of {record.steps}",
        f"data         {task.name}, {split}{'' if same else '; other data than it was trained on'}",
    ]
    if task.kind == "language":
        from .language import evaluate_lm
        from .tasks.language import LanguageTask

        assert isinstance(task, LanguageTask)
        part = task.part(split)
        lines.append(evaluate_lm(model, part, context=context, stride=stride, reevaluate=reevaluate).summary())
        return "\n".join(lines)
    if context is not None or stride is not None:
        raise ModelError(f"context and stride are for language models; {record.task} is {record.kind}")
    found, _ = task.score(model, split)
    lines.append(f"accuracy     {100 * (found.accuracy or 0.0):.2f} % of {found.n:,}")
    if found.majority is not None and found.chance is not None:
        lines.append(
            f"majority     {100 * found.majority:.2f} %, the commonest class of train; chance {100 * found.chance:.2f} %"
        )
    lines.append(f"loss         {found.loss:.4f} nats per example")
    # Of the training split a record keeps no score.
    recorded = None if split == "train" else record.scores[split]
    if same and recorded is not None and recorded.n == found.n and recorded.accuracy is not None:
        lines.append(f"record       {100 * recorded.accuracy:.2f} % when it was trained")
    return "\n".join(lines)


def leaks_of_run(
    folder: str | os.PathLike[str], *, data: Any = None, split: Split = "test", reevaluate: int = 2000
) -> str:
    """All seven leak tests on the language model of a run, with text of a split; a line each, and what they say together.

    Raises ModelError for a classifier, which may see whole texts, before data are read, and for a split that there is not.
    """
    record = RunResult.load(Path(folder) / "run.json")
    if record.kind != "language":
        raise ModelError(
            f"{folder} is a run of {record.kind}: a classifier reads whole examples and has no future to leak; the leak tests "
            "are for language models"
        )
    from .leaks import leak_report
    from .tasks.language import LanguageTask

    record, task, model, same = open_run(folder, data)
    assert isinstance(task, LanguageTask)
    part = task.part(split)
    report = leak_report(model, part.tensor(), reevaluate=reevaluate)
    failed = ", ".join(map(str, report.failed))
    return "\n".join(
        [
            f"run          {record.task}, {record.arm}, seed {record.seed}, step {record.chosen_step} of {record.steps}",
            f"text         {task.name}, {split}{'' if same else '; other data than it was trained on'}",
            report.summary(),
            "verdict      causal: all seven passed" if report.causal else f"verdict      not causal: failed {failed}",
        ]
    )
