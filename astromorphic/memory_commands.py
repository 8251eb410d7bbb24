"""`astromorphic train memory_chain ...` and `astromorphic study working_memory`: recurrent cells on bsuite's chains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .assignments import AssignmentError, whole_list

LARGEST_SEED = 2**32 - 1
# As models.environments.PAPER_LENGTHS and models.environments.scores.BSUITE_LENGTHS: a test holds them together, so that
# `astromorphic --help` and `study list` need not import the networks.
PAPER_LENGTHS = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 800, 1200, 1500)
BSUITE_LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, *range(30, 105, 10))
ENVIRONMENTS = ("memory_chain", "umbrella_chain", "umbrella_hidden")
# What `train` passes where no --model is given: the model of the other tasks.
UNNAMED = "astromorphic"
_CELLS = ("lif", "alif", "gru", "amsu")
_CONTROLS = ("amsu", "amsu_literal", "amsu_one_tau", "amsu_astrocyte", "amsu_neuron")


@dataclass(frozen=True)
class MemoryStudy:
    """title : what it asks. settings : on top of the preset's. lengths : the chains that every model is trained on."""

    title: str
    settings: Mapping[str, Any]
    models: tuple[str, ...] = _CELLS
    lengths: tuple[int, ...] = PAPER_LENGTHS
    learning_rates: tuple[float, ...] = field(default=(3e-3,))


_BY_REWARD = {"environment": "memory_chain", "method": "actor_critic"}

STUDIES: Mapping[str, MemoryStudy] = MappingProxyType(
    {
        "working_memory": MemoryStudy(
            "memory chain with right answers, lengths of Figure 3", {"environment": "memory_chain"}
        ),
        "memory_controls": MemoryStudy("what of AM-SU remembers", {"environment": "memory_chain"}, _CONTROLS),
        "memory_rewards": MemoryStudy("memory chain by reward, lengths of Figure 3", _BY_REWARD),
        "bsuite_memory": MemoryStudy(
            "memory chain by reward, bsuite's lengths and score", _BY_REWARD, lengths=BSUITE_LENGTHS
        ),
        "umbrella": MemoryStudy("umbrella chain, lengths of Figure 3", {"environment": "umbrella_chain"}),
        "bsuite_umbrella": MemoryStudy(
            "umbrella chain, bsuite's lengths and score", {"environment": "umbrella_chain"}, lengths=BSUITE_LENGTHS
        ),
        "umbrella_hidden": MemoryStudy(
            "hidden umbrella (not bsuite's), lengths of Figure 3", {"environment": "umbrella_hidden"}
        ),
    }
)


def is_memory(task: str) -> bool:
    """Whether a task is one of the chains."""
    return task in ENVIRONMENTS


def train(
    task: str,
    model: str,
    preset: str,
    data: Path | None,
    macro: Path | None,
    changes: Mapping[str, Any],
    seed: int,
    out: Path,
    progress: Callable[[int, int, dict[str, float]], None],
) -> str:
    """Train one network on one chain and say in a line how it went."""
    from models.baselines import CELLS
    from models.memory import train_memory
    from models.memory.settings import preset as settings_of

    _refuse(task, data, macro)
    for name, remedy in (("environment", "the task is named in front"), ("model", "use --model")):
        if name in changes:
            raise AssignmentError(f"--set {name} with train {task}: {remedy}")
    if model not in CELLS:
        from models.choices import did_you_mean

        near = "" if model == UNNAMED else f"unknown cell {model!r}: {did_you_mean(model, CELLS)}"
        raise AssignmentError(f"{near}name a cell with --model: {', '.join(CELLS)}")
    chosen = settings_of(preset).changed({"environment": task, "model": model, **_single(changes)})
    run = train_memory(chosen, out, seed, progress)
    criterion = "not met" if run.episodes_to_criterion is None else f"met after {run.episodes_to_criterion:,} episodes"
    return (
        f"{out}: test error {100 * run.test.error:.1f} %, validation {100 * run.validation.error:.1f} % of "
        f"{run.test.episodes:,} episodes; regret while learning {run.total_regret / run.episodes:.3f} per episode, criterion "
        f"{criterion}; {run.n_parameters:,} parameters, {run.updates} updates, {run.wall_time_s:.0f} s"
    )


def plan(
    name: str,
    out: Path,
    *,
    preset: str = "tuned",
    models: Sequence[str] | None = None,
    rates: Sequence[float] | None = None,
    seeds: int = 5,
    first_seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The jobs of a study, one per model, length, learning rate and seed; everything is checked before the first begins.

    changes : settings; `length` may be a list. A study that is stopped half-way has all models and lengths with fewer seeds.
    """
    from models.environments import make_environment
    from models.memory import matched_width
    from models.memory.settings import preset as settings_of

    study = STUDIES[name]
    given = dict(changes or {})
    lengths = whole_list("length", given.pop("length", list(study.lengths)), 1)
    fixed = sorted({*study.settings, "model", "learning_rate"} & set(given))
    if fixed:
        remedy = {"learning_rate": "use --learning-rates", "model": "use --arms"}.get(
            fixed[0], f"study {name} fixes it"
        )
        raise AssignmentError(f"--set {fixed[0]} in study {name}: {remedy}")
    if not 0 <= first_seed <= LARGEST_SEED - seeds + 1:
        raise AssignmentError(f"--seed {first_seed} with {seeds} seeds: expected 0 to {LARGEST_SEED - seeds + 1}")
    # A rate that is given twice would be two runs in one folder.
    chosen_rates = {f"{rate:g}": rate for rate in rates or study.learning_rates}
    jobs = []
    for model in dict.fromkeys(models or study.models):
        for length in lengths:
            for named, rate in chosen_rates.items():
                one = settings_of(preset).changed(
                    {**study.settings, **_single(given), "model": model, "length": length, "learning_rate": rate}
                )
                if one.width is None:
                    rules = make_environment(one.environment, length, **one.options)
                    matched_width(model, rules, one.parameters, one.layers, **one.cell)
                for seed in range(first_seed, first_seed + seeds):
                    folder = out / model / f"length{length}-lr{named}-seed{seed}"
                    jobs.append(
                        {"settings": one.as_dict(), "out_dir": str(folder), "seed": seed, "arm": f"{model}, length {length}",
                         "recipe": {"learning_rate": rate}}
                    )  # fmt: skip
    return sorted(jobs, key=lambda job: job["seed"])


def study(
    name: str, out: Path, *, data: Path | None = None, workers: int | None = None, seeds: int = 5, **how: Any
) -> str:
    """Train what is not trained yet and return the table of all runs in `out`; arguments as in `plan`."""
    from biosim.folders import output_folder
    from figures.working_memory import as_text, compute

    from .jobs import train_all

    _refuse(name, data, None)
    jobs = plan(name, out, seeds=seeds, **how)
    output_folder(out)
    # The learning rate in `recipe` is for the names of the progress bars alone.
    train_all(jobs, workers, package="models.memory")
    return as_text(compute(runs=out)) + f"\n\nastromorphic figures working_memory --runs {out}"


def _refuse(task: str, data: Path | None, macro: Path | None) -> None:
    for option, value in (("--data", data), ("--macro", macro)):
        if value is not None:
            raise AssignmentError(f"{option} {value}: {task} makes its own episodes; leave it out")


def _single(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A training run takes one value of everything but of a pair of time constants."""
    for name, value in changes.items():
        if isinstance(value, list) and not (name.startswith("tau") and len(value) == 2):
            raise AssignmentError(f"--set {name}: a training run takes one value, not a list")
    return dict(changes)
