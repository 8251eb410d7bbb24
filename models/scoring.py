"""Run folders opened again: the record, its task and the trained network; and scores of any split, in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import ModelError
from .result import RunResult, SplitScore

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
    if _is_bag(record):
        raise ModelError(f"{place} holds a bag of words, which is no network; open it with models.BagOfWords.load")
    task = _task(record, place, data)
    same = task.digest == record.data_digest
    if not same and data is None:
        raise _other_data(record, place, task.digest)
    return Run(record, task, task.load(place).eval(), same)


def _other_data(record: RunResult, place: Path, digest: str) -> ModelError:
    return ModelError(
        f"{place} was trained on data with digest {record.data_digest[:12]}..., and {record.task} now has "
        f"{digest[:12]}...; name the data with --data to score others"
    )


def _is_bag(record: RunResult) -> bool:
    from .bag_training import RECIPE

    return record.recipe.get("name") == RECIPE


def _task(record: RunResult, place: Path, data: Any) -> Task:
    from .tasks import load_task

    source, where, options = _data_of(record, place, data)
    saved = place if (place / "vocabulary.json").is_file() else None
    return load_task(source, where, saved=saved, **options)


def _data_of(record: RunResult, place: Path, data: Any) -> tuple[str, Any, dict[str, Any]]:
    """Task, folder or file, and options of the data that a run is to be scored on."""
    from .data.hub import is_hub_name
    from .tasks import TASKS
    from .tasks.loading import FROM_HUB, kind_of, option_names

    named = next((name for name in TASKS if record.task == name or record.task.startswith(f"{name}_")), None)
    location = data if data is not None else record.data.location
    if is_hub_name(location):
        source, where = FROM_HUB[record.kind], location
    elif location is not None and Path(location).is_file():
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
    if location != record.data.location:
        options.pop("revision", None)
    return source, where, options


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
    record = RunResult.load(Path(folder) / "run.json")
    if _is_bag(record):
        if context is not None or stride is not None:
            raise ModelError(f"context and stride are for language models; {record.task} is {record.kind}")
        return _score_bag(record, Path(folder), data, split)
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
    return "\n".join([*lines, *_accuracy_lines(record, found, split, same)])


def _accuracy_lines(record: RunResult, found: SplitScore, split: Split, same: bool) -> list[str]:
    lines = [
        f"accuracy     {100 * (found.accuracy or 0.0):.2f} % of {found.n:,}",
        f"loss         {found.loss:.4f} nats per example",
    ]
    # Of the training split a record keeps no score.
    recorded = None if split == "train" else record.scores[split]
    if same and recorded is not None and recorded.n == found.n and recorded.accuracy is not None:
        lines.append(f"record       {100 * recorded.accuracy:.2f} % when it was trained")
    return lines


def _score_bag(record: RunResult, place: Path, data: Any, split: Split) -> str:
    from .bag_of_words import BagOfWords
    from .bag_training import scored
    from .tasks.base import SPLITS
    from .tasks.loading import load_splits

    if split not in SPLITS:
        raise ModelError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    bag = BagOfWords.load(place)
    source, where, options = _data_of(record, place, data)
    splits = load_splits(source, where, options)[0]
    if list(splits.classes) != record.data.classes:
        raise ModelError(
            f"{place} was trained on the classes {', '.join(record.data.classes)} and {splits.name} has "
            f"{', '.join(splits.classes)}; name data with the same classes"
        )
    same = splits.digest == record.data_digest
    if not same and data is None:
        raise _other_data(record, place, splits.digest)
    found = scored(bag, getattr(splits, split))
    penalty = record.recipe["penalties"][record.chosen_step - 1]
    lines = [
        f"run          {record.task}, {record.arm}, penalty {penalty:g}, {len(bag.terms.terms):,} terms",
        f"data         {splits.name}, {split}{'' if same else '; other data than it was trained on'}",
    ]
    return "\n".join([*lines, *_accuracy_lines(record, found, split, same)])


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
