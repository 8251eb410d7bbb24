"""Run folders opened again: the record, its task and the trained network; and scores of any split, in words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import ModelError
from .result import EvaluationPolicy, RunResult, SplitScore
from .run_files import check_files

if TYPE_CHECKING:
    from numpy.typing import NDArray
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

    data : folder or file, as for `load_task`; a file of another kind than the task's is refused. A file of labelled texts that is
    not the run's own is every split of its task, whole. task : a task of the same kind in place of the run's, read as the run
    reads its texts; it needs no training data.
    Raises ModelError for a folder without a finished run, data that are missing, data of other classes, data of another digest
    unless `data` named them, and a vocabulary that is not the run's.
    """
    place = Path(folder)
    record = RunResult.load(place / "run.json")
    if _is_bag(record):
        raise ModelError(f"{place} holds a bag of words, which is no network; open it with models.BagOfWords.load")
    check_files(record, place)
    loaded, same = _task(record, place, data) if task is None else _other_task(record, place, data, task)
    if not same and data is None and task is None:
        raise _other_data(record, place, loaded.digest)
    _check_classes(record, place, loaded.name, loaded.classes)
    return Run(record, loaded, loaded.load(place).eval(), same)


def _check_classes(record: RunResult, place: Path, name: str, classes: Sequence[str]) -> None:
    """Class i of a network is class i of its training data, whatever others call their first."""
    if list(classes) != record.data.classes:
        raise ModelError(
            f"{place} was trained on the classes {_listed(record.data.classes)} and {name} has {_listed(classes)}; name data "
            "with the same classes"
        )


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "") if classes else "of no names"


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


def _task(record: RunResult, place: Path, data: Any) -> tuple[Task, bool]:
    """The run's task, with other data if they are named, and whether they are those it was trained on."""
    from .tasks import load_task
    from .tasks.loading import load_whole, option_names

    source, where, options = _data_of(record, place, data)
    if data is not None and _is_table(source):
        if not _is_own_file(record, source):
            with _of_run(record, place):
                return load_whole(source, record.data.classes, place, **options), False
        # By its own name it is the same file.
        return load_task(source, where, saved=_saved(place), **_prepared(record, option_names(source))), True
    loaded = load_task(source, where, saved=_saved(place), **options)
    return loaded, loaded.digest == record.data_digest


def _other_task(record: RunResult, place: Path, data: Any, other: str) -> tuple[Task, bool]:
    """Another task of the same kind, its texts or images read as the run reads its own."""
    from .tasks import load_task
    from .tasks.loading import EVALUATION_ONLY, PREPARATION, kind_of, load_whole, option_names

    if kind_of(other) != record.kind:
        raise ModelError(f"{place} is a run of {record.kind} and {other} is {kind_of(other)}; name a task of its kind")
    if _is_table(other) and (data is None or other == "table"):
        file = other if data is None else os.fspath(data)
        with _of_run(record, place):
            return load_whole(file, record.data.classes, place, **_prepared(record, PREPARATION[record.kind])), False
    known = [name for name in option_names(other) if name in PREPARATION[record.kind]]
    how = _prepared(record, known)
    loaded = load_task(other, data, saved=_saved(place), **EVALUATION_ONLY.get(other, {}), **how)
    return loaded, loaded.digest == record.data_digest


def _prepared(record: RunResult, known: Collection[str]) -> dict[str, Any]:
    """The options of the run's data that `known` names; None, for what is not set, is left out."""
    return {name: value for name, value in record.data.options.items() if name in known and value is not None}


def _is_table(source: str) -> bool:
    from .tasks.loading import family

    return family(source) == "table"


@contextlib.contextmanager
def _of_run(record: RunResult, place: Path) -> Iterator[None]:
    """An error about a label says which classes the run knows."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{place} was trained on the classes {_listed(record.data.classes)}: {error}") from None


def _is_own_file(record: RunResult, file: str) -> bool:
    """Whether a table, wherever it lies and whatever its name, is the one that the run was trained on."""
    from .data.digest import digest_of
    from .tasks.loading import PREPARATION, load_splits, option_names

    if record.family not in (None, "table"):
        return False
    loader = [name for name in option_names(file) if name not in PREPARATION["text_classification"]]
    try:
        options = {name: value for name, value in record.data.options.items() if name in loader}
        splits = load_splits(file, None, options)[0]
    # Cut as the run's file it may be too short, or have labels of other names.
    except ModelError:
        return False
    return digest_of(record.task, splits.classes, splits.train, splits.validation, splits.test) == record.data_digest


def _data_of(record: RunResult, place: Path, data: Any) -> tuple[str, Any, dict[str, Any]]:
    """Task, folder or file, and options of the data that a run is to be scored on."""
    from .data.hub import is_hub_name
    from .tasks import TASKS
    from .tasks.loading import FROM_HUB, kind_of, option_names

    named = record.family if record.family in TASKS else None
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
        # Both are of the place that was left: a commit there, and a file of test texts beside the one of training texts.
        options.pop("revision", None)
        if isinstance(options.get("test"), str):
            options.pop("test")
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
        f"data         {_what(loaded.name, split, same, loaded.family, loaded.options)}",
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
    from .tasks.classification import ClassificationTask

    assert isinstance(loaded, ClassificationTask)
    score = _beside_chance(record, loaded.score(model, split)[0], loaded.labels[split])
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


def _what(name: str, split: Split, same: bool, family: str | None, options: Mapping[str, Any]) -> str:
    """The data and how much of them is scored."""
    if same:
        return f"{name}, {split}"
    parts = {
        "table": "the whole file",
        "text_file": f"{split}, of the file cut by position {_cut(options)} into train, validation and test",
        "token_file": f"{split}, of the tokens at the end of the file that held_out takes",
    }
    return f"{name}, {parts.get(family or '', split)}; other data than it was trained on"


def _cut(options: Mapping[str, Any]) -> str:
    return " : ".join(f"{share:g}" for share in options.get("split", (90, 5, 5)))


def _beside_chance(record: RunResult, score: SplitScore, labels: NDArray[np.int64]) -> SplitScore:
    """The score with what the commonest class of the run's own training examples would have."""
    counts = record.data.class_counts.get("train")
    if not counts:
        return score
    majority = float((labels == int(np.argmax(counts))).mean())
    return score.model_copy(update={"majority": majority, "chance": 1.0 / len(counts)})


def _accuracy_lines(record: RunResult, score: SplitScore, split: Split, same: bool) -> list[str]:
    lines = [
        f"accuracy     {100 * (score.accuracy or 0.0):.2f} % of {score.n:,}",
    ]
    if score.majority is not None and score.chance is not None:
        lines.append(
            f"majority     {100 * score.majority:.2f} %, the commonest class the run was trained on; chance "
            f"{100 * score.chance:.2f} %"
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
    from .tasks.loading import load_splits, whole_splits

    if split not in SPLITS:
        raise ModelError(f"split is {split!r}; expected one of {', '.join(SPLITS)}")
    check_files(record, place)
    bag = BagOfWords.load(place)
    source, where, options = _data_of(record, place, data)
    if data is not None and _is_table(source):
        same = _is_own_file(record, source)
        with _of_run(record, place):
            splits = (
                load_splits(source, where, record.data.options)[0]
                if same
                else whole_splits(source, record.data.classes, options)
            )
    else:
        splits = load_splits(source, where, options)[0]
        same = splits.digest == record.data_digest
    _check_classes(record, place, splits.name, splits.classes)
    if not same and data is None:
        raise _other_data(record, place, splits.digest)
    part = getattr(splits, split)
    found = _beside_chance(record, scored(bag, part), part.labels)
    penalty = record.recipe["penalties"][record.chosen_step - 1]
    lines = [
        f"run          {record.task}, {record.arm}, penalty {penalty:g}, {len(bag.terms.terms):,} terms",
        f"data         {_what(splits.name, split, same, 'table' if _is_table(source) else None, options)}",
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
            f"text         {_what(loaded.name, split, same, loaded.family, loaded.options)}",
            report.summary(),
            "verdict      causal: all seven passed" if report.causal else f"verdict      not causal: failed {failed}",
        ]
    )
