"""Train one network on one chain and leave a folder behind: weights (safetensors) and memory_run.json."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import nn

from ..baselines import cell_class
from ..environments import make_environment
from ..environments.base import Environment
from ..environments.memory_chain import MemoryChain
from ..environments.scores import episodes_to_criterion, solved
from ..errors import ModelError
from ..surroundings import git_revision, own_random_state, versions, weights_digest
from .network import MemoryNetwork, build_network, matched_width, n_parameters
from .record import RECORD_FILE, MemoryPoint, MemoryRun, MemoryScore
from .rollout import play
from .settings import LARGEST_SEED, MemorySettings
from .updates import policy_gradient, supervised

WEIGHTS_FILE = "model.safetensors"
Progress = Callable[[int, int, dict[str, float]], None]
# Independent random streams of a run.
_TRAINING, _VALIDATION, _TEST, _START = range(4)
# Updates over which stop_accuracy is measured, as in the trials of the reference protocol.
_WINDOW = 30
# Numbers of the observations that are played at once when a network is scored.
_MOST_AT_ONCE = 256


def train_memory(
    settings: MemorySettings,
    out_dir: str | os.PathLike[str],
    seed: int = 0,
    progress: Progress | None = None,
    *,
    device: str = "cpu",
) -> MemoryRun:
    """Train as `settings` say from `seed`; write model.safetensors and, last, memory_run.json into `out_dir`.

    One seed reaches every draw: weights, episodes, actions and the episodes of the scores have streams of their own, so
    the same seed gives the same test episodes to every cell. A finished run is returned as it is; an interrupted one
    begins anew. `progress(updates, all updates, metrics)` is called after every update.

    Raises ModelError if the settings cannot be trained, the folder holds a run of other settings, or the loss is no longer
    finite; OutputError if the folder cannot be written. Nothing is written before all settings are known to be good.
    """
    started = time.monotonic()
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ModelError(f"seed is {seed!r:.60}; expected a whole number from 0 to {LARGEST_SEED}")
    out = Path(out_dir)
    environment = make_environment(settings.environment, settings.length, **settings.options)
    finished = _finished(out, settings, seed)
    if finished is not None:
        return finished
    width = settings.width or matched_width(
        settings.model, environment, settings.parameters, settings.layers, **settings.cell
    )
    from bridge.artifact import exclusive, output_folder

    with own_random_state(seed):
        network = build_network(settings.model, environment, width, settings.layers, **settings.cell).to(device)
        with exclusive(output_folder(out)):
            at_start = evaluate(network, environment, min(64, settings.evaluation_episodes), _stream(seed, _START))
            curve, course, updates = _learned(network, environment, settings, seed, progress)
            _check_weights(network, settings)
            scores = {
                name: evaluate(network, environment, settings.evaluation_episodes, _stream(seed, stream))
                for name, stream in (("validation", _VALIDATION), ("test", _TEST))
            }
            episodes, regret = course[-1]
            result = MemoryRun(
                environment=settings.environment,
                length=settings.length,
                model=settings.model,
                method=str(settings.method),
                seed=seed,
                settings=settings.as_dict(),
                width=width,
                n_parameters=n_parameters(network),
                spiking=cell_class(settings.model).SPIKING,
                updates=updates,
                episodes=episodes,
                total_regret=regret,
                solved=solved(settings.environment, regret, episodes),
                episodes_to_criterion=episodes_to_criterion(settings.environment, course),
                activity_start=at_start.activity,
                learning_curve=curve,
                validation=scores["validation"],
                test=scores["test"],
                weights_digest=weights_digest(network),
                wall_time_s=time.monotonic() - started,
                device=device,
                versions=versions(),
                git_revision=git_revision(),
            )
            _write_weights(network, out)
            result.save(out / RECORD_FILE)
    return result


def _learned(
    network: MemoryNetwork, environment: Environment, how: MemorySettings, seed: int, progress: Progress | None
) -> tuple[list[MemoryPoint], list[tuple[int, float]], int]:
    """Train; the learning curve, (episodes, regret so far) after every update, and the number of updates."""
    generator = _stream(seed, _TRAINING)
    optimiser = torch.optim.Adam(network.parameters(), lr=how.learning_rate)
    falling = how.schedule == "linear"
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda k: 1.0 - k / how.updates if falling else 1.0)
    every = max(1, -(-how.updates // how.points))
    curve: list[MemoryPoint] = []
    course: list[tuple[int, float]] = []
    recent: deque[float] = deque(maxlen=_WINDOW)
    losses, rates, since, metrics, total = [], [], (0, 0.0), {}, 0.0
    for update in range(1, how.updates + 1):
        n = min(how.per_update, how.episodes - (update - 1) * how.per_update)
        if how.method == "supervised":
            found = supervised(network, cast(MemoryChain, environment), n, generator)
        else:
            found = policy_gradient(network, environment, n, generator, how)
        if not math.isfinite(loss := float(found.loss.detach())):
            raise ModelError(f"the loss is {loss} at update {update}; lower learning_rate ({how.learning_rate:g})")
        optimiser.zero_grad()
        found.loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), how.gradient_clip)
        optimiser.step()
        schedule.step()
        episodes, total = n + (course[-1][0] if course else 0), total + float(found.regret.sum())
        course.append((episodes, total))
        losses.append(loss)
        rates.append(found.activity)
        recent.append(1.0 - float(found.regret.mean()) / 2.0)
        stop = how.stop_accuracy is not None and len(recent) == _WINDOW and sum(recent) / _WINDOW >= how.stop_accuracy
        if update % every == 0 or update == how.updates or stop:
            accuracy = 1.0 - (total - since[1]) / (episodes - since[0]) / 2.0
            curve.append(
                MemoryPoint(
                    episodes=episodes,
                    total_regret=total,
                    loss=sum(losses) / len(losses),
                    accuracy=min(max(accuracy, 0.0), 1.0),
                    activity=torch.stack(rates).mean(dim=0).tolist(),
                )
            )
            losses, rates, since = [], [], (episodes, total)
            metrics = {"training_accuracy": curve[-1].accuracy}
        if progress is not None:
            progress(update, how.updates, metrics)
        if stop:
            return curve, course, update
    return curve, course, how.updates


def _check_weights(network: nn.Module, how: MemorySettings) -> None:
    """Raise ModelError for weights that are not finite: what a network of them does is no score."""
    for name, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise ModelError(f"{name} is no longer finite; lower learning_rate ({how.learning_rate:g})")


def evaluate(
    network: MemoryNetwork, environment: Environment, episodes: int, generator: torch.Generator
) -> MemoryScore:
    """Play fresh episodes with the likeliest action; also of another length than that of training."""
    wrong, activity, left = 0.0, [], episodes
    while left:
        n = min(left, _MOST_AT_ONCE)
        played = play(network, environment, n, generator, greedy=True)
        wrong += float(played.regret.sum()) / 2.0
        activity.append(n * played.activity)
        left -= n
    mean = torch.stack(activity).sum(dim=0) / episodes
    return MemoryScore(episodes=episodes, error=wrong / episodes, regret=2.0 * wrong / episodes, activity=mean.tolist())


def load_network(folder: str | os.PathLike[str]) -> tuple[MemoryNetwork, MemoryRun]:
    """The trained network of a run folder, in evaluation mode, and its record. ModelError if one is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    run = MemoryRun.load(Path(folder) / RECORD_FILE)
    settings = MemorySettings(**run.settings)
    environment = make_environment(settings.environment, settings.length, **settings.options)
    with own_random_state(run.seed):
        network = build_network(settings.model, environment, run.width, settings.layers, **settings.cell)
    try:
        network.load_state_dict(load_file(Path(folder) / WEIGHTS_FILE))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelError(f"{Path(folder) / WEIGHTS_FILE} does not load ({type(error).__name__}); train again") from None
    return network.eval(), run


def _stream(seed: int, number: int) -> torch.Generator:
    """A generator of its own for each purpose, from the one seed of the run."""
    derived = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(derived >> np.uint64(1)))


def _write_weights(network: nn.Module, out: Path) -> None:
    from safetensors.torch import save_file

    staging = out / f".{WEIGHTS_FILE}.partial"
    save_file({name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}, staging)
    os.replace(staging, out / WEIGHTS_FILE)


def _finished(out: Path, settings: MemorySettings, seed: int) -> MemoryRun | None:
    """The record in `out` if it is of this run; ModelError if it is of another one."""
    if not (out / RECORD_FILE).is_file():
        if (out / "run.json").exists():
            raise ModelError(f"{out} holds the run of another task; choose another folder")
        return None
    there = MemoryRun.load(out / RECORD_FILE)
    wanted = {**settings.as_dict(), "seed": seed}
    held = {**there.settings, "seed": there.seed}
    for name in wanted:
        if held.get(name) != wanted[name]:
            raise ModelError(
                f"{out} holds a run whose {name} is {held.get(name)!r}, not {wanted[name]!r}; choose another folder or remove it"
            )
    return there


class _Queue(Protocol):
    def put(self, item: Any) -> None: ...


def run_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """`train_memory` with arguments that can be sent to another process, returning the record's content as a dictionary.

    Keys: settings (`MemorySettings` as a dictionary), out_dir; optional seed, arm and recipe (what progress is called by),
    threads (default 1), device, and progress, an object with `put` that receives {"arm", "seed", "step", "total",
    "metrics"} at most about 200 times.
    """
    known = {"settings", "out_dir", "seed", "arm", "recipe", "threads", "device", "progress"}
    for name in sorted({*job} ^ known):
        if name in job or name in ("settings", "out_dir"):
            raise ModelError(
                f"memory job {'has no key' if name in job else 'lacks'} {name!r}; it has {', '.join(sorted(known))}"
            )
    settings, seed = MemorySettings(**job["settings"]), int(job.get("seed", 0))
    queue: _Queue | None = job.get("progress")

    def report(step: int, total: int, metrics: dict[str, float]) -> None:
        if queue is not None and (step % max(1, total // 200) == 0 or step == total):
            queue.put(
                {"arm": job.get("arm", settings.model), "seed": seed, "step": step, "total": total, "metrics": metrics}
            )

    before = torch.get_num_threads()
    torch.set_num_threads(int(job.get("threads", 1)))
    try:
        result = train_memory(
            settings, job["out_dir"], seed, report if queue is not None else None, device=job.get("device", "cpu")
        )
    finally:
        torch.set_num_threads(before)
    return result.model_dump(mode="json")
