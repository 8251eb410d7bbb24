"""Run folders opened again: the record, its task and the trained network; and scores of any split, in words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import ModelError
from .result import EvaluationPolicy, RunResult, SplitScore

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .tasks.base import Split, Task


class Run(NamedTuple):
    """A finished run: its record, its task with data loaded, its network in evaluation mode."""

    record: RunResult
    task: Task
    model: PreTrainedModel
    same_data: bool


def open_run(folder: str | os.PathLike[str], data: Any = None, task: str | None = None) -> Run:
    """Load what a run folder holds, with the data it was trained on or with `data` in their place.

    data : folder or file, as for `load_task`; a file of another kind than the task's is refused. task : a task of the same kind
    in place of the run's, read with the run's tokens; it needs no training data.
    Raises ModelError for a folder without a finished run, data that are missing, and data of another digest unless `data`
    named them.
    """
    place = Path(folder)
    record = RunResult.load(place / "run.json")
    if _is_bag(record):
        raise ModelError(f"{place} holds a bag of words, which is no network; open it with models.BagOfWords.load")
    loaded = _task(record, place, data) if task is None else _other_task(record, place, data, task)
    same = loaded.digest == record.data_digest
    if not same and data is None and task is None:
        raise _other_data(record, place, loaded.digest)
    return Run(record, loaded, loaded.load(place).eval(), same)


def _other_data(record: RunResult, place: Path, digest: str) -> ModelError:
    return ModelError(
        f"{place} was trained on data with digest {record.data_digest[:12]}..., and {record.task} now has "
        f"{digest[:12]}...; name the data with --data to score others"
    )


def _is_bag(record: RunResult) -> bool:
    from .bag_training import RECIPE

    return record.recipe.get("name") == RECIPE


def _saved(place: Path) -> Path | None:
    return place if (place / "vocabulary.json").is_file() else None


def _task(record: RunResult, place: Path, data: Any) -> Task:
    from .tasks import load_task

    source, where, options = _data_of(record, place, data)
    return load_task(source, where, saved=_saved(place), **options)


def _other_task(record: RunResult, place: Path, data: Any, other: str) -> Task:
    """Another task of the same kind, read with the run's tokens."""
    from .tasks import load_task
    from .tasks.loading import EVALUATION_ONLY, kind_of, option_names

    if kind_of(other) != record.kind:
        raise ModelError(f"{place} is a run of {record.kind} and {other} is {kind_of(other)}; name a task of its kind")
    known = option_names(other)
    how = {
        name: value for name in ("tokens", "vocabulary") if name in known and (value := record.data.options.get(name))
    }
    return load_task(other, data, saved=_saved(place), **EVALUATION_ONLY.get(other, {}), **how)


def _data_of(record: RunResult, place: Path, data: Any) -> tuple[str, Any, dict[str, Any]]:
    """Task, folder or file, and options of the data that a run is to be scored on."""
    from .data.hub import is_hub_name
    from .tasks import TASKS
    from .tasks.loading import FROM_HUB, kind_of, option_names

    # The longest name that fits: pathfinder_like is no variant of pathfinder.
    fitting = [name for name in TASKS if record.task == name or record.task.startswith(f"{name}_")]
    named = max(fitting, key=len, default=None)
    location = data if data is not None else record.data.location
    if is_hub_name(location):
        source, where = FROM_HUB[record.kind], location
    elif location is not None and Path(location).is_file():
        # A table and a file of conversations may have the same suffix.
        source, where = ("dialogue", location) if "turns" in record.data.options else (os.fspath(location), None)
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
    task: str | None = None,
    carried: bool = False,
) -> str:
    """Score a split of a run again and say it in all units, with context, stride and the verdict for a language model.

    Raises ModelError for what `open_run` refuses, a split that the task does not have, and settings of the other kind of task.
    """
    record = RunResult.load(Path(folder) / "run.json")
    if _is_bag(record):
        if context is not None or stride is not None or carried or task is not None:
            raise ModelError(
                f"context, stride, carried and task are for language models; {record.arm} is a bag of words"
            )
        return _score_bag(record, Path(folder), data, split)
    record, loaded, model, same = open_run(folder, data, task)
    lines = [
        f"run          {record.task}, {record.arm}, seed {record.seed}, step {record.chosen_step} of {record.steps}",
        f"data         {loaded.name}, {split}{'' if same else '; other data than it was trained on'}",
    ]
    if loaded.kind == "language":
        from .causality import causality_verdict
        from .language import evaluate_lm
        from .tasks.dialogue import DialogueTask
        from .tasks.language import LanguageTask

        assert isinstance(loaded, LanguageTask)
        if isinstance(loaded, DialogueTask):
            if context is not None or stride is not None or carried:
                raise ModelError(
                    "context, stride and carried are for running text; a dialogue is scored in its own blocks"
                )
            return "\n".join([*lines, _dialogue_line(*loaded.score(model, split, verdict=causality_verdict(model)))])
        part = loaded.part(split)
        found = evaluate_lm(model, part, context=context, stride=stride, reevaluate=reevaluate, carried=carried)
        lines.append(found.summary())
        return "\n".join(lines)
    if context is not None or stride is not None or carried:
        raise ModelError(
            f"context and stride are for language models, and so is a carried state; {record.task} is {record.kind}"
        )
    score, _ = loaded.score(model, split)
    return "\n".join([*lines, *_accuracy_lines(record, score, split, same)])


def _dialogue_line(score: SplitScore, policy: EvaluationPolicy) -> str:
    units = (
        "not a language model"
        if score.bits_per_byte is None
        else f"{score.bits_per_byte:.4f} bits per byte, perplexity {score.perplexity_per_token:.3f} per token"
    )
    return (
        f"scored       {score.n:,} tokens that the assistant says ({score.bytes:,} bytes), in blocks of {policy.context} tokens "
        f"of one conversation: {score.loss:.4f} nats per token, {units}"
    )


def _accuracy_lines(record: RunResult, score: SplitScore, split: Split, same: bool) -> list[str]:
    lines = [
        f"accuracy     {100 * (score.accuracy or 0.0):.2f} % of {score.n:,}",
    ]
    if score.majority is not None and score.chance is not None:
        lines.append(
            f"majority     {100 * score.majority:.2f} %, the commonest class of train; chance {100 * score.chance:.2f} %"
        )
    lines.append(f"loss         {score.loss:.4f} nats per example")
    # Of the training split a record keeps no score.
    recorded = None if split == "train" else record.scores[split]
    if same and recorded is not None and recorded.n == score.n and recorded.accuracy is not None:
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
    folder: str | os.PathLike[str],
    *,
    data: Any = None,
    split: Split = "test",
    reevaluate: int = 2000,
    task: str | None = None,
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

    record, loaded, model, same = open_run(folder, data, task)
    assert isinstance(loaded, LanguageTask)
    part = loaded.part(split)
    report = leak_report(model, part.tensor(), reevaluate=reevaluate)
    failed = ", ".join(map(str, report.failed))
    return "\n".join(
        [
            f"run          {record.task}, {record.arm}, seed {record.seed}, step {record.chosen_step} of {record.steps}",
            f"text         {loaded.name}, {split}{'' if same else '; other data than it was trained on'}",
            report.summary(),
            "verdict      causal: all seven passed" if report.causal else f"verdict      not causal: failed {failed}",
        ]
    )
