"""Train one network on one task and leave a folder that others can load: weights, configuration and run.json.

The loop is the transformers `Trainer` (clipping, schedule, checkpoints, resume). Every number that is reported comes
from our own evaluation.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from transformers import PreTrainedModel, TrainerState

from .astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from .causality import causality_verdict
from .checkpoints import find_checkpoint
from .decoders import config_class
from .errors import ModelError
from .macro_file import parsed_macro_text
from .operating_point import learned_gains, mean_activation
from .processes import Processes, check_same, launched
from .recipes import Recipe
from .result import CurvePoint, MemoryPath, OperatingPoint, RunResult, SpikingActivity
from .rmaat.memory_path import path_on_validation
from .run_files import check_files, file_digests
from .settings import check_choice
from .shares import check_shares
from .start import begin_with, start_weights
from .surroundings import git_revision, own_random_state, quiet_library, versions, weights_digest
from .tasks import load_task
from .tasks.base import Batches, Task
from .tasks.language import LanguageTask
from .tasks.shakespeare import ByteText, language_task
from .trainer import (
    BestWeights,
    LearningCurve,
    Progress,
    check_device,
    check_precision,
    is_over,
    make_trainer,
    own_loss,
    picked,
    points,
)

RUN_FILE = "run.json"
WEIGHTS_FILE = "model.safetensors"
_SETTINGS_FILE = "settings.json"
# NumPy's global generator, which the library seeds, takes 32 bits.
LARGEST_SEED = 2**32 - 1
# Blocks of validation text that firing rates are measured on.
_ACTIVITY_BLOCKS = 16
# Settings that follow from others; when two runs differ, the user's own setting is named before these.
_DERIVED = ("branch_gain", "hebbian_scale", "hidden_dim", "macro_digest")


def train(
    config: AstromorphicConfig,
    task: str | Task = "shakespeare",
    recipe: str | Recipe = "default",
    out_dir: str | os.PathLike[str] = ".",
    seed: int = 0,
    arm: str = "model",
    progress: Progress | None = None,
    *,
    data: ByteText | str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    start: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> RunResult:
    """Train `config` from `seed` and write config.json, model.safetensors and, last, run.json into `out_dir`.

    task : a name (see `models.tasks.load_task`, which gets `data`, a folder or file, and `options`) or a `Task`. Where the
    recipe chooses by validation, the weights are those of the point that validation picks; the test split is scored
    once, with the weights that stay. Interrupted runs continue from their newest complete checkpoint and end with the
    same weights (same machine, versions and thread count); a finished one is returned as it is. `progress(step,
    total_steps, metrics)` is called after every step, and again when the metrics are new. start : folder of a saved language
    model whose weights the first step begins with; its sizes must be those of `config` (see `prepare`). device :
    "cpu", or "cuda" where torch finds a GPU; with a launcher each process takes the GPU of its local rank.

    Raises ModelError if the settings cannot be trained, if `out_dir` holds something else or a run of other settings or
    versions, or if the loss is no longer finite; OutputError if the folder cannot be written. Nothing is written before
    all settings are known to be good.
    """
    started = time.monotonic()
    processes = launched()
    out = Path(out_dir)
    work = out / "checkpoints"
    with processes.agreed():
        recipe = Recipe.resolve(recipe)
        _check_seed(seed)
        loaded = _loaded(task, data, options)
        _check_recipe(recipe, loaded, config)
        check_choice("device", device, ("cpu", "cuda"))
        check_precision(recipe, device)
        weights, began = (None, None) if start is None else start_weights(start)
    settings = {
        "task": loaded.name, "arm": arm, "seed": seed, "recipe": recipe.record(), "config": config.settings(),
        "data_options": loaded.options, "data_digest": loaded.digest,
        "started_from": began,
    }  # fmt: skip
    if processes.count > 1:
        check_same(processes, {**settings, "versions": versions()})
    with processes.agreed():
        finished = _finished(out, settings, loaded) if processes.first else None
    if (found := _said(processes, finished)) is not None:
        return found
    with processes.agreed():
        check_device(device)
        _check_spread(recipe, loaded, config, processes)
        if processes.first:
            _check_folder(out)
        loaded.check(config)
    from bridge.artifact import exclusive, output_folder

    with own_random_state(seed), quiet_library(), contextlib.ExitStack() as held:
        with processes.agreed():
            model = loaded.build(config)
            if weights is not None and start is not None:
                begin_with(model, weights, start)
            batches = loaded.batches(config, recipe, seed)
            recipe.plan(batches.steps_per_epoch)
            before, path = _activation(model, loaded), path_on_validation(model, loaded)
            checkpoint = None
            if processes.first:
                held.enter_context(exclusive(output_folder(out)))
                checkpoint = _claim(work, settings, processes)
        name = processes.shared(None if checkpoint is None else checkpoint.name)
        checkpoint = None if name is None else work / name
        best = BestWeights(work)
        curve = LearningCurve(loaded, recipe, best, progress, processes)
        trainer = make_trainer(model, batches, recipe, work, seed, curve, device)
        earlier = None if checkpoint is None else TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if earlier is not None and is_over(earlier.log_history, recipe):
            # Stopped early, and then killed before its record was written: there is nothing left to train.
            state = earlier
        else:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
            state = trainer.state
        # Scores and verdict are of the weights that are written, in their own precision, not of mixed precision's forward pass.
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        if curve.sharded:
            from .sharding import whole_model

            model = whole_model(model, lambda: loaded.build(config), processes, trainer.args.device)
        result = None
        if processes.first:
            chosen = picked(state.log_history, recipe.select)
            if recipe.select != "last" and chosen is not None:
                best.load_into(model, int(chosen["step"]))
            end = _activation(model, loaded)
            point = None
            if before is not None and end is not None:
                point = OperatingPoint(
                    tokens=_half(model),
                    activation_start=before,
                    activation_end=end,
                    gains=learned_gains(model),  # type: ignore[arg-type]
                )
            resumed = None if checkpoint is None else int(checkpoint.name.partition("-")[2])
            result = _record(model, loaded, batches, recipe, settings, state, started, point, resumed)
            files = _publish(model, loaded, out)
            of_data = result.data.model_copy(update={"files": files})
            ended = path_on_validation(model, loaded)
            memory_path = MemoryPath(items=path[0], start=path[1], end=ended[1]) if path and ended else None
            result = result.model_copy(
                update={"data": of_data, "processes": processes.count, "memory_path": memory_path}
            )
            result.save(out / RUN_FILE)
            shutil.rmtree(work)
        result = _said(processes, result)
    assert result is not None
    return result


def _said(processes: Processes, result: RunResult | None) -> RunResult | None:
    """The record of the first process, in all of them."""
    if processes.count == 1:
        return result
    text = processes.shared(None if result is None else result.dumps())
    return None if text is None else RunResult.loads(text)


def _check_spread(recipe: Recipe, task: Task, config: AstromorphicConfig, processes: Processes) -> None:
    """What several processes cannot train as one would."""
    check_shares(recipe, processes)
    if recipe.sharding != "none" and task.kind != "language":
        raise ModelError(
            f"recipe {recipe.name}: sharding is {recipe.sharding!r}, which is for language models, and task {task.name!r} is "
            f"{task.kind}; leave it out, and every process holds all weights"
        )
    if processes.count > 1 and own_loss(config):
        raise ModelError(
            f"loss_at is 'segments' and there are {processes.count} processes, among which a mean over the segments of all rows "
            "cannot be shared; set loss_at=end, or start without a launcher"
        )


def _loaded(task: str | Task, data: Any, options: Mapping[str, Any] | None) -> Task:
    if isinstance(task, Task):
        if data is not None or options:
            raise ModelError(f"task {task.name!r} is loaded already; give data and options with its name instead")
        return task
    if isinstance(data, ByteText):
        return language_task(data, name=task)
    return load_task(task, data, **dict(options or {}))


def _check_recipe(recipe: Recipe, task: Task, config: AstromorphicConfig) -> None:
    """Settings of a recipe that the kind of task or the network has no use for would be silently without effect."""
    if recipe.label_smoothing > 0 and own_loss(config):
        raise ModelError(
            f"recipe {recipe.name}: label_smoothing is {recipe.label_smoothing} and loss_at 'segments', a loss of the network's "
            "own without smoothing; set label_smoothing=0 or loss_at=end"
        )
    language = task.kind == "language"
    unfit = {
        "label_smoothing": language and recipe.label_smoothing > 0,
        "select": language and recipe.select == "accuracy",
        "test_curve": language and recipe.test_curve,
        "mixup": task.kind != "image_classification" and recipe.mixup > 0,
        "word_dropout": task.kind != "text_classification" and recipe.word_dropout > 0,
        "train_items": language and recipe.train_items is not None,
        "evaluate_items": language and recipe.evaluate_items is not None,
    }
    for name, wrong in unfit.items():
        if wrong:
            kinds = {"mixup": "images", "word_dropout": "texts with labels"}.get(name, "classifiers")
            raise ModelError(
                f"recipe {recipe.name}: {name} is {getattr(recipe, name)!r}, which is for {kinds}; task {task.name!r} is "
                f"{task.kind}"
            )


def _half(model: PreTrainedModel) -> int:
    return max(int(model.config.max_position_embeddings) // 2, 1)


def _activation(model: PreTrainedModel, task: Task) -> float | None:
    """The operating point is defined on a stream of tokens; classifiers have none."""
    if not isinstance(task, LanguageTask) or not isinstance(model, AstromorphicForCausalLM):
        return None
    return mean_activation(model, task.validation.ids, _half(model))


def _spiking_activity(model: PreTrainedModel, task: Task) -> SpikingActivity | None:
    """Firing rates on the start of the validation text, in blocks as long as those of training; None without spikes."""
    if not isinstance(task, LanguageTask) or not getattr(model.config, "spiking", False):
        return None
    from .astrosnn.activity import activity

    length = int(model.config.max_position_embeddings)
    ids = torch.from_numpy(np.asarray(task.validation.ids[: _ACTIVITY_BLOCKS * length]).astype(np.int64))
    rows = ids[: len(ids) // length * length].view(-1, length).to(model.device)
    layers = activity(model, rows)  # type: ignore[arg-type]
    return SpikingActivity(
        tokens=rows.numel(),
        rates=[layer.rates for layer in layers],
        silent=[layer.silent for layer in layers],
        saturated=[layer.saturated for layer in layers],
    )


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ModelError(f"seed is {seed!r}; expected a whole number from 0 to {LARGEST_SEED}")


def _check_folder(out: Path) -> None:
    """Raise unless `out` can become the folder of this run; makes nothing."""
    from bridge.artifact import check_folder

    check_folder(out)
    work = out / "checkpoints"
    ours = (out / RUN_FILE).is_file() or (work / _SETTINGS_FILE).is_file()
    # A stop between making the folder and noting the settings leaves this.
    barely_begun = out.is_dir() and {p.name for p in out.iterdir()} == {work.name} and not _content(work)
    if not (ours or barely_begun) and _content(out):
        raise ModelError(f"{out} is not empty and holds no run of astromorphic; choose another folder")


def _content(folder: Path) -> list[Path]:
    """What a folder holds, without files that were being written when something was killed."""
    from bridge.artifact import is_temporary

    return [p for p in folder.iterdir() if not is_temporary(p)] if folder.is_dir() else []


def _record(
    model: PreTrainedModel,
    task: Task,
    batches: Batches,
    recipe: Recipe,
    settings: dict[str, Any],
    state: TrainerState,
    started: float,
    point: OperatingPoint | None,
    resumed_from_step: int | None,
) -> RunResult:
    how = {"verdict": causality_verdict(model)} if task.kind == "language" else {}
    scored = {split: task.score(model, split, recipe, **how) for split in ("validation", "test")}  # type: ignore[arg-type]
    per_step = task.tokens_per_step(model.config, recipe)  # type: ignore[arg-type]
    fields = CurvePoint.model_fields.keys() - {"step", "epoch", "tokens"}
    curve = [
        CurvePoint(
            step=int(entry["step"]),
            epoch=entry["step"] / batches.steps_per_epoch,
            tokens=None if per_step is None else int(entry["step"]) * per_step,
            **{name: entry[name] for name in fields if name in entry},
        )
        for entry in points(state.log_history)
    ]
    chosen = picked(state.log_history, recipe.select)
    chosen_step = state.global_step if chosen is None else int(chosen["step"])
    return RunResult(
        **{name: value for name, value in settings.items() if name != "data_options"},
        macro_digest=model.config.macro_digest,
        n_parameters=sum(p.numel() for p in model.parameters()),
        steps=state.global_step,
        steps_per_epoch=batches.steps_per_epoch,
        tokens_per_step=per_step,
        chosen_step=chosen_step,
        chosen_epoch=chosen_step / batches.steps_per_epoch,
        learning_curve=curve,
        scores={split: score for split, (score, _) in scored.items()},  # type: ignore[misc]
        evaluation={split: policy for split, (_, policy) in scored.items() if policy is not None},
        causality=how.get("verdict"),
        operating_point=point,
        activity=_spiking_activity(model, task),
        resumed_from_step=resumed_from_step,
        data=task.record(),
        weights_digest=weights_digest(model),
        wall_time_s=time.monotonic() - started,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        versions=versions(),
        git_revision=git_revision(),
    )


def _publish(model: PreTrainedModel, task: Task, out: Path) -> dict[str, str]:
    """Write the model beside its place and move it in file by file, so that no reader sees half a file.

    Returns the digests of the files of the task.
    """
    staging = out / ".model.partial"
    shutil.rmtree(staging, ignore_errors=True)
    model.save_pretrained(staging)
    of_model = {file.name for file in staging.iterdir()}
    task.save(staging)
    digests = file_digests(staging, {file.name for file in staging.iterdir()} - of_model)
    for file in sorted(staging.iterdir()):
        os.replace(file, out / file.name)
    staging.rmdir()
    return digests


def _finished(out: Path, settings: dict[str, Any], task: Task) -> RunResult | None:
    """The record in `out` if its weights are there too; a record without weights counts as unfinished."""
    if not (out / RUN_FILE).is_file():
        return None
    result = RunResult.load(out / RUN_FILE)
    there = {name: getattr(result, name) for name in settings if name != "data_options"}
    _compare(out, {**there, "data_options": result.data.options}, settings)
    if not (out / WEIGHTS_FILE).is_file():
        return None
    check_files(result, out)
    with quiet_library():
        found = weights_digest(task.load(out))
    if found != result.weights_digest:
        raise ModelError(
            f"{out / WEIGHTS_FILE} does not hold the weights that {RUN_FILE} is about (digest {found[:12]}..., expected "
            f"{result.weights_digest[:12]}...); choose another folder or remove it"
        )
    # Left behind if the process was killed between the record and the clearing up.
    if (out / "checkpoints" / _SETTINGS_FILE).is_file():
        shutil.rmtree(out / "checkpoints")
    return result


def _claim(work: Path, settings: dict[str, Any], processes: Processes) -> Path | None:
    """Note settings and versions before the first step; return the checkpoint to continue from, if there is one.

    A run of other settings or versions is refused, because it would pass silently for this one; a claim that has no
    checkpoint yet is taken over.
    """
    from bridge.artifact import output_folder, write_text

    output_folder(work)
    note = work / _SETTINGS_FILE
    there = _noted(note)
    # Its checkpoints would look broken to another number of processes.
    if there is not None and there.get("processes", 1) != processes.count and list(work.glob("checkpoint-*")):
        raise ModelError(
            f"{work.parent} holds a run of {there.get('processes', 1)} processes, not {processes.count}; start as many, "
            "choose another folder or remove it"
        )
    checkpoint = find_checkpoint(work, processes.count)
    if checkpoint is not None:
        if there is None:
            raise ModelError(
                f"{note} is damaged, so its checkpoints cannot be trusted; choose another folder or remove it"
            )
        _compare(work.parent, there, {**settings, "versions": versions()})
        return checkpoint
    noted = {**settings, "versions": versions()}
    if processes.count > 1:
        noted["processes"] = processes.count
    write_text(note, json.dumps(noted, sort_keys=True, indent=2, allow_nan=False) + "\n")
    return None


def _noted(note: Path) -> dict[str, Any] | None:
    try:
        there = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return there if isinstance(there, dict) else None


def _compare(out: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if there.get(name) != value:
            found = _short(there.get(name), value)
            raise ModelError(f"{out} holds a run whose {name} is {found}; choose another folder or remove it")


def _short(there: Any, wanted: Any) -> str:
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = sorted({*there, *wanted}, key=lambda k: (k in _DERIVED, k))
        key = next((k for k in keys if there.get(k) != wanted.get(k)), "")
        return f"{key} = {there.get(key)!r}, not {wanted.get(key)!r}"
    return f"{there!r}, not {wanted!r}"


class _Queue(Protocol):
    def put(self, item: Any) -> None: ...


_JOB_KEYS = frozenset(
    {
        "config", "model_type", "macro", "task", "data", "options", "recipe", "out_dir", "seed", "arm", "threads", "device",
        "progress",
    }
)  # fmt: skip


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """`train` with arguments that can be sent to another process (spawn), returning run.json's content as a dictionary.

    Keys: config (a configuration or its settings as a dictionary), out_dir; optional model_type (of these settings,
    "astromorphic" if not given), macro (text of the macro file that the settings came from, which a dictionary
    cannot carry), task, data (folder or file) and options (see `load_task`), recipe (a name, a `Recipe` or a dictionary),
    seed, arm, threads (default 1), device, and progress, an object with `put` (a manager's queue) that receives {"arm",
    "seed", "step", "total", "metrics"} at most about 200 times.
    """
    unknown = set(job) - _JOB_KEYS
    if unknown:
        raise ModelError(f"job has no key {sorted(unknown)[0]!r}; it has {', '.join(sorted(_JOB_KEYS))}")
    missing = {"config", "out_dir"} - set(job)
    if missing:
        raise ModelError(f"job lacks {sorted(missing)[0]!r}; expected at least config and out_dir")
    config = job["config"]
    if isinstance(config, Mapping):
        config = config_class(job.get("model_type", "astromorphic"))(**config)
    if job.get("macro") is not None:
        config.carry(parsed_macro_text(job["macro"]))
    seed, arm = int(job.get("seed", 0)), str(job.get("arm", "model"))
    queue: _Queue | None = job.get("progress")

    def report(step: int, total: int, metrics: dict[str, float]) -> None:
        if queue is not None and (step % max(1, total // 200) == 0 or step == total):
            queue.put({"arm": arm, "seed": seed, "step": step, "total": total, "metrics": metrics})

    before = torch.get_num_threads()
    torch.set_num_threads(int(job.get("threads", 1)))
    try:
        result = train(
            config,
            task=job.get("task", "shakespeare"),
            data=job.get("data"),
            options=job.get("options"),
            recipe=Recipe.resolve(job.get("recipe", "default")),
            out_dir=job["out_dir"],
            seed=seed,
            arm=arm,
            progress=report if queue is not None else None,
            device=job.get("device", "cpu"),
        )
    finally:
        torch.set_num_threads(before)
    return result.model_dump(mode="json")
