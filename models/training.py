"""Train one network on one task and leave a folder that others can load: weights, configuration and run.json.

The loop is the transformers `Trainer` (clipping, schedule, checkpoints, resume). Every number that is reported comes
from our own evaluation.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_callback import PrinterCallback

from .astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from .causality import causality_verdict
from .checkpoints import find_checkpoint
from .errors import ModelError
from .evaluation import bits_per_byte, carried_state_difference
from .macro_file import parsed_macro_text
from .operating_point import learned_gains, mean_activation
from .recipes import Recipe
from .result import CurvePoint, OperatingPoint, RunResult
from .surroundings import git_revision, own_random_state, quiet_library, versions, weights_digest
from .tasks import load_task
from .tasks.shakespeare import ByteText, RandomBlocks

Progress = Callable[[int, int, dict[str, float]], None]
RUN_FILE = "run.json"
WEIGHTS_FILE = "model.safetensors"
_SETTINGS_FILE = "settings.json"
# NumPy's global generator, which the library seeds, takes 32 bits.
LARGEST_SEED = 2**32 - 1
# Settings that follow from others; when two runs differ, the user's own setting is named before these.
_DERIVED = ("branch_gain", "hebbian_scale", "hidden_dim", "macro_digest")


class _BlockTrainer(Trainer):
    """The library's loop with two changes: no pickled arguments are left behind, and vectors are not decayed."""

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        (Path(output_dir or self.args.output_dir or ".") / "training_args.bin").unlink(missing_ok=True)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        return [name for name, parameter in model.named_parameters() if parameter.dim() >= 2]


class _LearningCurve(TrainerCallback):
    """Score validation bytes at every log point; kept in the trainer's own history, so that it survives a resume."""

    def __init__(self, data: ByteText, recipe: Recipe, progress: Progress | None) -> None:
        self.data, self.recipe, self.progress = data, recipe, progress
        self.metrics: dict[str, float] = {}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if state.global_step >= state.max_steps:
            control.should_log = True
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps, dict(self.metrics))
        return control

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict | None = None, model: Any = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        if logs is None or "loss" not in logs or model is None:
            return
        if not math.isfinite(logs["loss"]):
            raise ModelError(
                f"the training loss is {logs['loss']} at step {state.global_step}; lower the recipe's learning_rate"
            )
        score = bits_per_byte(model, self.data.validation[: self.recipe.curve_bytes])
        self.metrics = {
            "train_bits_per_byte": logs["loss"] / math.log(2.0),
            "validation_bits_per_byte": score.bits_per_byte,
        }
        state.log_history[-1].update(self.metrics)
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps, dict(self.metrics))


def train(
    config: AstromorphicConfig,
    task: str = "shakespeare",
    recipe: str | Recipe = "default",
    out_dir: str | os.PathLike[str] = ".",
    seed: int = 0,
    arm: str = "model",
    progress: Progress | None = None,
    *,
    data: ByteText | None = None,
    device: str = "cpu",
) -> RunResult:
    """Train `config` from `seed` and write config.json, model.safetensors and, last, run.json into `out_dir`.

    Interrupted runs continue from their newest complete checkpoint and end with the same weights (same machine, versions
    and thread count); a finished one is returned as it is. `progress(step, total_steps, metrics)` is called after every
    step, and again when the metrics are new; `data` replaces the task's text.
    Raises ModelError if the settings cannot be trained, if `out_dir` holds something else or a run of other settings or
    versions, or if the loss is no longer finite; OutputError if the folder cannot be written. Nothing is written before
    all settings are known to be good.
    """
    started = time.monotonic()
    recipe = Recipe.resolve(recipe)
    _check_seed(seed)
    out = Path(out_dir)
    text = data if data is not None else load_task(task)
    settings = {
        "task": task, "arm": arm, "seed": seed, "recipe": asdict(recipe), "config": config.settings(), "data_digest": text.digest,
    }  # fmt: skip
    finished = _finished(out, settings)
    if finished is not None:
        return finished
    _check_alone()
    _check_folder(out)
    _check_trainable(config, text)
    from bridge.artifact import exclusive, output_folder

    work = out / "checkpoints"
    with own_random_state(seed), quiet_library(), contextlib.ExitStack() as held:
        model = AstromorphicForCausalLM(config)
        blocks = RandomBlocks(text.train, config.max_position_embeddings, recipe.steps * recipe.batch_size, seed)
        half = max(config.max_position_embeddings // 2, 1)
        start = mean_activation(model, text.validation, half)
        held.enter_context(exclusive(output_folder(out)))
        checkpoint = _claim(work, settings)
        trainer = _trainer(model, blocks, recipe, work, seed, _LearningCurve(text, recipe, progress), device)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        end = mean_activation(model, text.validation, half)
        point = None
        if start is not None and end is not None:
            point = OperatingPoint(tokens=half, activation_start=start, activation_end=end, gains=learned_gains(model))
        resumed = None if checkpoint is None else int(checkpoint.name.partition("-")[2])
        result = _record(model, text, recipe, settings, trainer.state, started, point, resumed)
        _publish(model, out)
        result.save(out / RUN_FILE)
        shutil.rmtree(work)
    return result


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ModelError(f"seed is {seed!r}; expected a whole number from 0 to {LARGEST_SEED}")


def _check_alone() -> None:
    """Under a launcher of several processes all of them would write into one folder."""
    processes = os.environ.get("WORLD_SIZE", "1")
    if processes != "1":
        raise ModelError(f"WORLD_SIZE is {processes}; this training is for one process, start it without a launcher")


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


def _check_trainable(config: AstromorphicConfig, text: ByteText) -> None:
    if config.vocab_size < 256:
        raise ModelError(f"vocab_size is {config.vocab_size}; expected at least 256, one for every byte value")
    length = config.max_position_embeddings
    shortest = min(len(part) for part in (text.train, text.validation, text.test))
    if not 2 <= length <= shortest:
        raise ModelError(
            f"max_position_embeddings is {length}; expected 2 to {shortest} to train on {text.name}: a block predicts "
            "bytes from earlier ones, and every split must hold one"
        )
    config.check_memory(copies=4)


def _trainer(
    model: AstromorphicForCausalLM,
    blocks: RandomBlocks,
    recipe: Recipe,
    work: Path,
    seed: int,
    curve: _LearningCurve,
    device: str,
) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        adam_beta2=recipe.beta2,
        max_grad_norm=recipe.gradient_clip,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup_steps,
        train_sampling_strategy="sequential",  # the blocks are drawn at random already
        logging_strategy="steps",
        logging_steps=recipe.evaluate_every,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = _BlockTrainer(
        model=model, args=arguments, train_dataset=blocks, data_collator=default_data_collator, callbacks=[curve]
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _record(
    model: AstromorphicForCausalLM,
    text: ByteText,
    recipe: Recipe,
    settings: dict[str, Any],
    state: TrainerState,
    started: float,
    point: OperatingPoint | None,
    resumed_from_step: int | None,
) -> RunResult:
    validation = bits_per_byte(model, text.validation[: recipe.final_bytes])
    test = bits_per_byte(model, text.test[: recipe.final_bytes])
    context = model.config.max_position_embeddings
    carried = carried_state_difference(model, text.validation[:context]) if model.config.causal else None
    tokens_per_step = recipe.batch_size * context
    curve = [
        CurvePoint(
            step=int(entry["step"]),
            tokens=int(entry["step"]) * tokens_per_step,
            train_bits_per_byte=entry["train_bits_per_byte"],
            validation_bits_per_byte=entry["validation_bits_per_byte"],
        )
        for entry in state.log_history
        if "validation_bits_per_byte" in entry
    ]
    return RunResult(
        **settings,
        macro_digest=model.config.macro_digest,
        n_parameters=sum(p.numel() for p in model.parameters()),
        steps=state.global_step,
        tokens_per_step=tokens_per_step,
        learning_curve=curve,
        validation_bits_per_byte=validation.bits_per_byte,
        test_bits_per_byte=test.bits_per_byte,
        evaluation={
            "validation": validation.policy.model_copy(update={"carried_state_max_difference": carried}),
            "test": test.policy,
        },
        causality=causality_verdict(model),
        operating_point=point,
        resumed_from_step=resumed_from_step,
        weights_digest=weights_digest(model),
        wall_time_s=time.monotonic() - started,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        versions=versions(),
        git_revision=git_revision(),
    )


def _publish(model: AstromorphicForCausalLM, out: Path) -> None:
    """Write the model beside its place and move it in file by file, so that no reader sees half a file."""
    staging = out / ".model.partial"
    shutil.rmtree(staging, ignore_errors=True)
    model.save_pretrained(staging)
    for file in sorted(staging.iterdir()):
        os.replace(file, out / file.name)
    staging.rmdir()


def _finished(out: Path, settings: dict[str, Any]) -> RunResult | None:
    """The record in `out` if its weights are there too; a record without weights counts as unfinished."""
    if not (out / RUN_FILE).is_file():
        return None
    result = RunResult.load(out / RUN_FILE)
    _compare(out, {name: getattr(result, name) for name in settings}, settings)
    if not (out / WEIGHTS_FILE).is_file():
        return None
    with quiet_library():
        found = weights_digest(AstromorphicForCausalLM.from_pretrained(out))
    if found != result.weights_digest:
        raise ModelError(
            f"{out / WEIGHTS_FILE} does not hold the weights that {RUN_FILE} is about (digest {found[:12]}..., expected "
            f"{result.weights_digest[:12]}...); choose another folder or remove it"
        )
    # Left behind if the process was killed between the record and the clearing up.
    if (out / "checkpoints" / _SETTINGS_FILE).is_file():
        shutil.rmtree(out / "checkpoints")
    return result


def _claim(work: Path, settings: dict[str, Any]) -> Path | None:
    """Note settings and versions before the first step; return the checkpoint to continue from, if there is one.

    A run of other settings or versions is refused, because it would pass silently for this one; a claim that has no
    checkpoint yet is taken over.
    """
    from bridge.artifact import output_folder, write_text

    output_folder(work)
    note = work / _SETTINGS_FILE
    checkpoint = find_checkpoint(work)
    if checkpoint is not None:
        try:
            there = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            there = None
        if not isinstance(there, dict):
            raise ModelError(
                f"{note} is damaged, so its checkpoints cannot be trusted; choose another folder or remove it"
            )
        _compare(work.parent, there, {**settings, "versions": versions()})
        return checkpoint
    noted = {**settings, "versions": versions()}
    write_text(note, json.dumps(noted, sort_keys=True, indent=2, allow_nan=False) + "\n")
    return None


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


_JOB_KEYS = frozenset({"config", "macro", "task", "recipe", "out_dir", "seed", "arm", "threads", "device", "progress"})


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """`train` with arguments that can be sent to another process (spawn), returning run.json's content as a dictionary.

    Keys: config (an `AstromorphicConfig` or its settings as a dictionary), out_dir; optional macro (text of the macro file
    that the settings came from, which a dictionary cannot carry), task, recipe (a name, a
    `Recipe` or a dictionary), seed, arm, threads (default 1), device, and progress, an object with `put` (a manager's
    queue) that receives {"arm", "seed", "step", "total", "metrics"} at most about 200 times.
    """
    unknown = set(job) - _JOB_KEYS
    if unknown:
        raise ModelError(f"job has no key {sorted(unknown)[0]!r}; it has {', '.join(sorted(_JOB_KEYS))}")
    missing = {"config", "out_dir"} - set(job)
    if missing:
        raise ModelError(f"job lacks {sorted(missing)[0]!r}; expected at least config and out_dir")
    config = job["config"]
    if not isinstance(config, AstromorphicConfig):
        config = AstromorphicConfig(**config)
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
