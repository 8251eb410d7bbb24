"""The library's training loop with what a run here needs: scores at points of a curve, the best weights, an early end."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from .errors import ModelError
from .processes import Processes
from .recipes import Recipe
from .shares import WEIGHT, Shares
from .tasks.base import Batches, Task

Progress = Callable[[int, int, dict[str, float]], None]
# Seeds of runs are smaller, so that no process draws what the first one of another run does.
_APART = 2**32
# The trainer's history holds one entry per point; this key tells ours from the library's.
_VALIDATION = "validation_loss"
# What the library calls our schedules and what it has to be told, where that is not their own name.
_SCHEDULERS: dict[str, tuple[str, dict[str, float]]] = {
    "constant": ("constant_with_warmup", {}), "cosine_to_0.24": ("cosine_with_min_lr", {"min_lr_rate": 0.24}),
}  # fmt: skip


def better(entry: dict[str, Any], than: dict[str, Any] | None, select: str) -> bool:
    """Whether validation picks `entry` over an earlier point: higher accuracy (at equal accuracy lower loss), or lower loss."""
    if than is None:
        return True
    if select == "accuracy":
        one, other = ((e["validation_accuracy"], -e[_VALIDATION]) for e in (entry, than))
        return bool(one > other)
    return bool(entry[_VALIDATION] < than[_VALIDATION])


def points(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points of the learning curve in a trainer's history."""
    return [entry for entry in history if _VALIDATION in entry]


def picked(history: list[dict[str, Any]], select: str) -> dict[str, Any] | None:
    """The point that validation picks, the earliest of equals; the last one for `select` "last"; None without points."""
    best: dict[str, Any] | None = None
    for entry in points(history):
        if select == "last" or better(entry, best, select):
            best = entry
    return best


def is_over(history: list[dict[str, Any]], recipe: Recipe) -> bool:
    """Whether the recipe's patience is used up."""
    if recipe.patience is None:
        return False
    curve, best = points(history), picked(history, recipe.select)
    return best is not None and len([e for e in curve if e["step"] > best["step"]]) >= recipe.patience


class BestWeights:
    """``best-<step>.safetensors`` in the folder of the checkpoints, whole or not at all.

    What any kept checkpoint would call the best so far is kept with it, so that a run resumed from there finds it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"

    def write(self, weights: dict[str, Tensor], step: int) -> None:
        # Copies: tied weights share memory, which the format refuses.
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
        staging = self.folder / f".best-{step}.partial"
        save_file(tensors, staging)
        with staging.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(staging, self.path(step))

    def forget_before(self, step: int) -> None:
        for file in self.folder.glob("best-*.safetensors"):
            number = file.stem.removeprefix("best-")
            if number.isdigit() and int(number) < step:
                file.unlink()

    def load_into(self, model: nn.Module, step: int) -> None:
        """ModelError if the file is missing or does not fit."""
        try:
            model.load_state_dict(load_file(self.path(step)))
        except (SafetensorError, OSError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"{self.path(step)} does not load ({type(error).__name__}); remove the folder's checkpoints and train again"
            ) from None


def own_loss(config: Any) -> bool:
    """Whether a classifier's loss is more than that of its logits: one at every segment."""
    return getattr(config, "loss_at", "end") == "segments"


class TaskTrainer(Trainer):
    """No pickled arguments are left behind, vectors are not decayed, and classifiers have the loss of their recipe."""

    task: Task
    recipe: Recipe
    processes: Processes

    def get_train_dataloader(self) -> DataLoader:
        if self.processes.count == 1:
            return super().get_train_dataloader()
        # The library would hand whole batches to the processes in turn; an item is this one's share of a batch already.
        assert isinstance(self.train_dataset, Batches)
        return DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=_only_item)

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The trainer state is written next and says that the checkpoint is whole.
        self.processes.wait()

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        (Path(output_dir or self.args.output_dir or ".") / "training_args.bin").unlink(missing_ok=True)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        return [name for name, parameter in model.named_parameters() if parameter.dim() >= 2]

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        if self.task.kind == "language":
            return super().compute_loss(model, inputs, *args, **kwargs)
        batch = dict(inputs)
        weight = batch.pop(WEIGHT, None)
        batch = self.task.augmented(batch, self.recipe)
        labels = batch.pop("labels")
        # The network itself; `model` may be what wraps it for several processes.
        if own_loss(getattr(self.model, "config", None)):
            found = model(**batch, labels=labels)
            return (found.loss, {"logits": found.logits}) if kwargs.get("return_outputs") else found.loss
        logits = model(**batch).logits.float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        if weight is not None:
            loss = loss * weight
        return (loss, {"logits": logits}) if kwargs.get("return_outputs") else loss


class LearningCurve(TrainerCallback):
    """Score validation data at every log point; kept in the trainer's own history, so that it survives a resume.

    The first process scores and tells the others, so that all decide alike. Where weights are in shards all of them compute, each
    the whole score, because a network in shards cannot be run by one.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        best: BestWeights,
        progress: Progress | None,
        processes: Processes | None = None,
    ) -> None:
        self.task, self.recipe, self.best, self.processes = task, recipe, best, processes or Processes()
        self.progress = progress if self.processes.first else None
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
    ) -> TrainerControl:  # fmt: skip
        if logs is None or "loss" not in logs or model is None:
            return control
        if not math.isfinite(logs["loss"]):
            raise ModelError(
                f"the training loss is {logs['loss']} at step {state.global_step}; lower the recipe's learning_rate"
            )
        found = self.processes.shared(self._point(model) if self.processes.first or self.sharded else None)
        if not math.isfinite(found[_VALIDATION]):
            raise ModelError(
                f"the validation loss is {found[_VALIDATION]} at step {state.global_step}; lower the recipe's learning_rate"
            )
        self.metrics = {"train_loss": logs["loss"], **self.task.train_metrics(logs["loss"]), **found}
        earlier = picked(state.log_history[:-1], self.recipe.select)
        state.log_history[-1].update(self.metrics)
        if self.recipe.select != "last" and better(state.log_history[-1], earlier, self.recipe.select):
            self._keep(model, state.global_step)
        if is_over(state.log_history, self.recipe):
            # The checkpoint of this step is written first: the folder then holds a whole run.
            control.should_training_stop = True
            control.should_save = True
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps, dict(self.metrics))
        return control

    @property
    def sharded(self) -> bool:
        return self.recipe.sharding != "none"

    def _point(self, model: Any) -> dict[str, float]:
        found = {f"validation_{k}": v for k, v in self.task.point(model, self.recipe).items()}
        if self.recipe.test_curve and math.isfinite(found[_VALIDATION]):
            found |= {f"test_{k}": v for k, v in self.task.point(model, self.recipe, "test").items() if k == "accuracy"}
        return found

    def _keep(self, model: Any, step: int) -> None:
        if self.sharded:
            from .sharding import whole_weights

            weights = whole_weights(model)
        else:
            weights = model.state_dict()
        if self.processes.first:
            self.best.write(weights, step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not self.processes.first:
            return
        steps = [int(name) for p in self.best.folder.glob("checkpoint-*") if (name := p.name[11:]).isdigit()]
        kept = picked([e for e in state.log_history if e["step"] <= min(steps, default=0)], self.recipe.select)
        if kept is not None:
            self.best.forget_before(int(kept["step"]))


def make_trainer(
    model: PreTrainedModel,
    batches: Batches,
    recipe: Recipe,
    work: Path,
    seed: int,
    curve: LearningCurve,
    device: str,
) -> TaskTrainer:
    """The loop for this run: batches in their order, AdamW, the recipe's schedule, checkpoints in `work`.

    With `sharding` the weights of `model` are replaced by this process's part of them.
    """
    steps, every, save_every = recipe.plan(batches.steps_per_epoch)
    kind, kwargs = _SCHEDULERS.get(recipe.schedule, (recipe.schedule, {}))
    arguments = TrainingArguments(
        output_dir=str(work),
        max_steps=steps,
        per_device_train_batch_size=1,  # an item is a batch already
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        adam_beta2=recipe.beta2,
        max_grad_norm=recipe.gradient_clip,
        lr_scheduler_type=kind,
        lr_scheduler_kwargs=kwargs,
        warmup_steps=recipe.warmup_steps,
        train_sampling_strategy="sequential",  # their order is random already
        logging_strategy="steps",
        logging_steps=every,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=save_every,
        save_total_limit=2,
        seed=seed,
        data_seed=seed,
        bf16=recipe.mixed_precision == "bf16",
        use_cpu=device == "cpu",
        # The library writes its own choice into the configuration, which is the caller's, and is saved with the weights.
        use_cache=bool(getattr(model.config, "use_cache", False)),
        dataloader_pin_memory=False,
        # Which weights a step uses is the same in all steps, but where a text may have one segment or several.
        ddp_static_graph=model.config.model_type != "rmaat",
        ddp_find_unused_parameters=model.config.model_type == "rmaat",
        report_to="none",
        disable_tqdm=True,
    )
    kind_of_trainer, processes = TaskTrainer, curve.processes
    if curve.sharded:
        from .sharding import ShardedTrainer, shard

        shard(model, arguments.device, processes)
        kind_of_trainer = ShardedTrainer
    if processes.count > 1:
        batches = Shares(batches, processes, language=curve.task.kind == "language")
    trainer = kind_of_trainer(
        model=model, args=arguments, train_dataset=batches, data_collator=_only_item, callbacks=[curve]
    )
    trainer.task, trainer.recipe, trainer.processes = curve.task, recipe, processes
    if not processes.first:
        # The network began the same everywhere; what dropout and augmentation draw is another in every process.
        torch.manual_seed(seed + processes.rank * _APART)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _only_item(items: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return items[0]


def check_device(device: str) -> None:
    """ModelError where it is "cuda" and torch finds no GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("device is 'cuda' and torch finds no GPU here; leave it out, or install torch for CUDA")


def check_precision(recipe: Recipe, device: str) -> None:
    """ModelError if the device has no bfloat16 of its own."""
    if (
        recipe.mixed_precision == "bf16"
        and device != "cpu"
        and torch.cuda.is_available()
        and not torch.cuda.is_bf16_supported()
    ):
        raise ModelError(f"mixed_precision is 'bf16' and device {device} computes none; use mixed_precision=no")
