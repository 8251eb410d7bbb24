"""Train the bag-of-words control on a task of labelled texts: the splits of the networks, whole texts, no seed.

The penalty is picked by the validation split from a path of fits, each begun at the one before; the test split is
scored once, by the picked fit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .bag_of_words import TERMS_FILE, WEIGHTS_FILES, BagOfWords, Terms, check_terms
from .choices import choice
from .data.vocabulary import splitter
from .errors import ModelError
from .logistic import cross_entropies, fit_logistic
from .result import CurvePoint, DataRecord, RunResult, SplitScore
from .run_files import check_files, file_digests

if TYPE_CHECKING:
    from collections.abc import Callable

    from .data.kinds import LabelledTexts, Splits

RECIPE = "bag_of_words"
SELECTIONS = ("accuracy", "loss")
_RUN_FILE = "run.json"
_RUNS = {1: "", 2: "_bigrams", 3: "_trigrams"}


@dataclass(frozen=True)
class BagSettings:
    """What a bag of words is made of, and the penalties that validation chooses from.

    ngrams, weighting, min_count, lower_case, words : see `Terms`. penalties : of `logistic.objective` (1 / C of
    scikit-learn). select : what makes a fit the best, validation "accuracy" (of equal ones that with the lower loss) or "loss".
    """

    ngrams: int = 1
    weighting: str = "tfidf"
    min_count: int = 2
    lower_case: bool = True
    words: str = "words"
    penalties: tuple[float, ...] = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    select: str = "accuracy"

    def __post_init__(self) -> None:
        check_terms(self.ngrams, self.weighting, self.min_count, self.lower_case)
        splitter(str(self.words))
        listed = self.penalties if isinstance(self.penalties, (list, tuple)) else (self.penalties,)
        if not listed or not all(type(one) in (int, float) and 0 < one < np.inf for one in listed):
            raise ModelError(f"penalties is {self.penalties!r}; expected finite numbers above 0")
        # From the strongest down, so that each fit begins near its minimum.
        object.__setattr__(self, "penalties", tuple(sorted({float(one) for one in listed}, reverse=True)))
        if self.select not in SELECTIONS:
            raise ModelError(f"select is {self.select!r}; expected one of {', '.join(SELECTIONS)}")

    @property
    def arm(self) -> str:
        """What records and tables call it: one name for each kind of terms and weighting."""
        return RECIPE + _RUNS[self.ngrams] + ("" if self.weighting == "tfidf" else f"_{self.weighting}")


def train_bag_of_words(
    task: str,
    out_dir: str | os.PathLike[str],
    *,
    data: Any = None,
    preset: str = "tuned",
    changes: Mapping[str, Any] | None = None,
    progress: Callable[[int, int, Mapping[str, float]], None] | None = None,
) -> RunResult:
    """Fit on the training split and write model.safetensors, terms.json and, last, run.json into `out_dir`.

    task, data : as for `models.tasks.load_task`, of labelled texts. preset : of the task; its options of the data are used, so
    that the splits are those of the networks. changes : fields of `BagSettings` and options of the data. A finished run of
    the same settings is returned as it is. In the record a "step" is a fit: step i is that of the i-th of recipe["penalties"].

    Raises ModelError for a task of another kind, unknown settings, and an `out_dir` that holds something else.
    """
    from bridge.artifact import check_folder, exclusive, output_folder

    started = time.monotonic()
    settings, splits, location, options, family = _prepared(task, data, preset, dict(changes or {}))
    recipe = {"name": RECIPE, "penalties": list(settings.penalties), "select": settings.select}
    config = {key: value for key, value in asdict(settings).items() if key not in recipe}
    noted: dict[str, Any] = {
        "task": splits.name, "arm": settings.arm, "seed": 0, "recipe": recipe, "config": config, "data_digest": splits.digest,
    }  # fmt: skip
    out = Path(out_dir)
    finished = _finished(out, noted)
    if finished is not None:
        return finished
    check_folder(out)
    with exclusive(output_folder(out)):
        bag, curve, chosen = _fitted(splits, settings, progress)
        scores: dict[Any, SplitScore] = {"validation": scored(bag, splits.validation), "test": scored(bag, splits.test)}
        bag.save(out)
        result = RunResult(
            **noted, n_parameters=bag.n_parameters, steps=len(settings.penalties), chosen_step=chosen, learning_curve=curve,
            scores=scores, weights_digest=bag.digest(), wall_time_s=time.monotonic() - started, device="cpu", dtype="float64",
            data=DataRecord(
                kind="text_classification", source=splits.source, location=location, classes=list(splits.classes),
                options=options, n_train=len(splits.train), tokenizer=f"{settings.words}, {len(bag.terms.terms):,} terms",
                class_counts=_class_counts(splits), family=family, files=file_digests(out, [TERMS_FILE]),
                test_seen=splits.test_seen,
            ),
            **_surroundings(),
        )  # fmt: skip
        result.save(out / _RUN_FILE)
    return result


def _prepared(
    task: str, data: Any, preset: str, changes: dict[str, Any]
) -> tuple[BagSettings, Splits[LabelledTexts], str | None, dict[str, Any], str]:
    from .tasks.loading import PREPARATION, family, kind_of, load_splits, option_names, resolve
    from .tasks.presets import task_preset

    task, data = resolve(task, data)
    chosen = task_preset(family(task), preset)
    if (kind := kind_of(task)) != "text_classification":
        raise ModelError(f"a bag of words is for texts with labels; task {task!r} is {kind}")
    own = [field.name for field in fields(BagSettings)]
    loader = [name for name in option_names(task) if name not in PREPARATION[kind]]
    for name in changes:
        choice("setting of a bag of words or its data", name, [*own, *loader])
    settings = BagSettings(**{name: value for name, value in changes.items() if name in own})
    wanted = {**chosen.data, **{name: value for name, value in changes.items() if name not in own}}
    splits, location, _, options = load_splits(task, data, {key: wanted[key] for key in loader if key in wanted})
    return settings, splits, location, options, family(task)


def _fitted(
    splits: Splits[LabelledTexts],
    settings: BagSettings,
    progress: Callable[[int, int, Mapping[str, float]], None] | None,
) -> tuple[BagOfWords, list[CurvePoint], int]:
    """The fit that validation picks, a point for every fit, and the number of the picked one from 1."""
    terms = Terms.build(
        splits.train.texts, ngrams=settings.ngrams, weighting=settings.weighting, min_count=settings.min_count,
        lower=settings.lower_case, split=settings.words,
    )  # fmt: skip
    train, held = terms.features(splits.train.texts), terms.features(splits.validation.texts)
    curve: list[CurvePoint] = []
    best: tuple[tuple[float, float], int, BagOfWords] | None = None
    fit = None
    for step, penalty in enumerate(settings.penalties, 1):
        fit = fit_logistic(train, splits.train.labels, len(splits.classes), penalty, fit)
        bag = BagOfWords(terms, *fit)
        loss, accuracy = _loss_and_accuracy(held @ fit[0] + fit[1], splits.validation.labels)
        own, _ = _loss_and_accuracy(train @ fit[0] + fit[1], splits.train.labels)
        curve.append(CurvePoint(step=step, train_loss=own, validation_loss=loss, validation_accuracy=accuracy))
        merit = (accuracy, -loss) if settings.select == "accuracy" else (-loss, accuracy)
        if best is None or merit > best[0]:
            best = (merit, step, bag)
        if progress is not None:
            progress(step, len(settings.penalties), {"validation_loss": loss, "validation_accuracy": accuracy})
    assert best is not None
    return best[2], curve, best[1]


def _loss_and_accuracy(logits: Any, labels: Any) -> tuple[float, float]:
    return float(cross_entropies(logits, labels).mean()), float((logits.argmax(axis=1) == labels).mean())


def _class_counts(splits: Splits[LabelledTexts]) -> dict[str, list[int]]:
    from .tasks.base import SPLITS

    many = len(splits.classes)
    return {one: [int(n) for n in np.bincount(getattr(splits, one).labels, minlength=many)] for one in SPLITS}


def scored(bag: BagOfWords, part: LabelledTexts) -> SplitScore:
    """Loss in nats per text and accuracy of a split."""
    loss, accuracy = _loss_and_accuracy(bag.logits(part.texts), part.labels)
    return SplitScore(n=len(part), loss=loss, accuracy=accuracy)


def _surroundings() -> dict[str, Any]:
    import scipy

    from .surroundings import git_revision, versions

    return {"versions": {**versions(), "scipy": scipy.__version__}, "git_revision": git_revision()}


def _finished(out: Path, noted: Mapping[str, Any]) -> RunResult | None:
    """The record in `out` if it is of these settings and its weights are there; ModelError if the folder holds another thing."""
    from bridge.artifact import is_temporary

    if not (out / _RUN_FILE).is_file():
        names = {one.name for one in out.iterdir() if not is_temporary(one)} if out.is_dir() else set()
        # Terms are written first: what was stopped before its record is made again.
        if names - {TERMS_FILE, *WEIGHTS_FILES} or (names and TERMS_FILE not in names):
            raise ModelError(f"{out} is not empty and holds no run of astromorphic; choose another folder")
        return None
    there = RunResult.load(out / _RUN_FILE)
    for name, value in noted.items():
        if getattr(there, name) != value:
            raise ModelError(
                f"{out} holds a run whose {name} is {getattr(there, name)!r:.80}; choose another folder or remove it"
            )
    if not (out / WEIGHTS_FILES[0]).is_file():
        return None
    check_files(there, out)
    if BagOfWords.load(out).digest() != there.weights_digest:
        raise ModelError(
            f"{out} does not hold the weights that {_RUN_FILE} is about; choose another folder or remove it"
        )
    return there
