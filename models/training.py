"""Train one network on one task and leave a folder that others can load: weights, configuration and run.json.

The loop is the transformers `Trainer` (clipping, schedule, checkpoints, resume). Every number that is reported comes
from our own evaluation.
"""

from __future__ import annotations

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
from .recipes import Recipe
from .result import CurvePoint, RunResult
from .surroundings import git_revision, own_random_state, quiet_library, versions, weights_digest
from .tasks import load_task
from .tasks.shakespeare import ByteText, RandomBlocks

Progress = Callable[[int, int, dict[str, float]], None]
RUN_FILE = "run.json"
_SETTINGS_FILE = "settings.json"


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
            raise FloatingPointError(
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

    Interrupted runs continue from their newest complete checkpoint and end with the same weights (same machine and
    thread count); a finished one is returned as it is. `progress(step, total_steps, metrics)` is called after every
    step, and again when the metrics are new; `data` replaces the task's text.
    Raises ValueError if `out_dir` holds a run of other settings, FloatingPointError if the loss is no longer finite.
    """
    started = time.monotonic()
    recipe = Recipe.resolve(recipe)
    out = Path(out_dir)
    text = data if data is not None else load_task(task)
    settings = {
        "task": task, "arm": arm, "seed": seed, "recipe": asdict(recipe), "config": config.settings(), "data_digest": text.digest,
    }  # fmt: skip
    finished = _finished(out, settings)
    if finished is not None:
        return finished
    work = out / "checkpoints"
    if out.exists() and not out.is_dir():
        raise ModelError(f"{out} is a file; name a folder for the run")
    if out.is_dir() and any(out.iterdir()) and not (work / _SETTINGS_FILE).is_file():
        raise ModelError(f"{out} is not empty and holds no run of astromorphic; choose another folder")
    if config.vocab_size < 256:
        raise ModelError(f"vocab_size is {config.vocab_size}; expected at least 256, one for every byte value")
    _claim(work, settings)
    with own_random_state(seed), quiet_library():
        model = AstromorphicForCausalLM(config)
        trainer = _trainer(model, text, recipe, work, seed, _LearningCurve(text, recipe, progress), device)
        checkpoint = find_checkpoint(work)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        result = _record(model, text, recipe, settings, trainer.state, started)
        _publish(model, out)
    result.save(out / RUN_FILE)
    shutil.rmtree(work)
    return result


def _trainer(
    model: AstromorphicForCausalLM,
    text: ByteText,
    recipe: Recipe,
    work: Path,
    seed: int,
    curve: _LearningCurve,
    device: str,
) -> Trainer:
    blocks = RandomBlocks(text.train, model.config.max_position_embeddings, recipe.steps * recipe.batch_size, seed)
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
    if not (out / RUN_FILE).is_file():
        return None
    result = RunResult.load(out / RUN_FILE)
    _compare(out, {name: getattr(result, name) for name in settings}, settings)
    return result


def _claim(work: Path, settings: dict[str, Any]) -> None:
    """Note the settings before the first step; refuse to continue a run of other settings, which would pass silently."""
    from bridge.artifact import write_text

    work.mkdir(parents=True, exist_ok=True)
    note = work / _SETTINGS_FILE
    if note.is_file():
        _compare(work.parent, json.loads(note.read_text(encoding="utf-8")), settings)
    else:
        write_text(note, json.dumps(settings, sort_keys=True, indent=2, allow_nan=False) + "\n")


def _compare(out: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name, value in wanted.items():
        if there.get(name) != value:
            found = _short(there.get(name), value)
            raise ModelError(f"{out} holds a run whose {name} is {found}; choose another folder or remove it")


def _short(there: Any, wanted: Any) -> str:
    if isinstance(there, dict) and isinstance(wanted, dict):
        key = next((k for k in sorted({*there, *wanted}) if there.get(k) != wanted.get(k)), "")
        return f"{key} = {there.get(key)!r}, not {wanted.get(key)!r}"
    return f"{there!r}, not {wanted!r}"


class _Queue(Protocol):
    def put(self, item: Any) -> None: ...


_JOB_KEYS = frozenset({"config", "task", "recipe", "out_dir", "seed", "arm", "threads", "device", "progress"})


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """`train` with arguments that can be sent to another process (spawn), returning run.json's content as a dictionary.

    Keys: config (an `AstromorphicConfig` or its settings as a dictionary), out_dir; optional task, recipe (a name, a
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
