"""`astromorphic study NAME`: train the arms of a study side by side, each at its learning rates and seeds, and sum them up.

Every run has a folder of its own, ARM/lrRATE-seedSEED. Finished runs are kept, interrupted ones continue, so the same command
goes on where it was stopped, and a later call with more seeds adds to what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .assignments import AssignmentError
from .commands import check_single
from .studies import STUDIES, Arm, Study

LARGEST_SEED = 2**32 - 1


def chosen_arms(study: Study, names: Sequence[str] | None) -> tuple[Arm, ...]:
    """The arms named, in the order of the study; all without names. Unknown names are refused with the nearest match."""
    from biosim.registry import choose

    known = [arm.name for arm in study.arms]
    wanted = {choose("arm", name, known) for name in names} if names else set(known)
    return tuple(arm for arm in study.arms if arm.name in wanted)


def plan(
    name: str,
    out: Path,
    *,
    data: Path | None = None,
    preset: str = "tuned",
    arms: Sequence[str] | None = None,
    rates: Sequence[float] | None = None,
    seeds: int = 3,
    first_seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The jobs of a study for `train_all`, one per arm, learning rate and seed; the data are read once to check everything.

    changes : settings of model, recipe or data, the same for all arms; what an arm fixes itself cannot be changed.
    Raises ValueErrors of the packages for unknown names and for what cannot be trained.
    """
    from biosim.registry import choose
    from models.tasks.prepare import prepare

    from . import recall_commands
    from .memory_commands import STUDIES as MEMORY_STUDIES

    if choose("study", name, [*STUDIES, *MEMORY_STUDIES, recall_commands.NAME]) == recall_commands.NAME:
        raise AssignmentError(f"study {name} is of delayed recall; astromorphic.recall_commands.plan makes its jobs")
    if name in MEMORY_STUDIES:
        raise AssignmentError(
            f"study {name} is of chains to remember; astromorphic.memory_commands.plan makes its jobs"
        )
    study = STUDIES[name]
    chosen = chosen_arms(study, arms)
    if not 0 <= first_seed <= LARGEST_SEED - seeds + 1:
        raise AssignmentError(f"--seed {first_seed} with {seeds} seeds: expected 0 to {LARGEST_SEED - seeds + 1}")
    changes = dict(changes or {})
    check_single(changes)
    for arm in chosen:
        fixed = sorted({*arm.settings, "learning_rate"} & set(changes))
        if fixed:
            where = "use --learning-rates" if fixed[0] == "learning_rate" else f"arm {arm.name} fixes it"
            raise AssignmentError(f"--set {fixed[0]} in study {name}: {where}")
    jobs: list[dict[str, Any]] = []
    loaded, target = None, None
    # A rate that is given twice would be two runs in one folder.
    chosen_rates = {f"{rate:g}": rate for rate in rates or study.learning_rates}
    for arm in chosen:
        matched = None
        for named, rate in chosen_rates.items():
            ready = prepare(
                study.task, "astromorphic" if arm.preset == "tuned" else arm.preset, preset, data=data, macro=_macro(arm),
                changes={**study.options, **changes, **arm.settings, "learning_rate": rate}, loaded=loaded,
            )  # fmt: skip
            loaded, config = ready.task, ready.config
            if study.equal_to is not None:
                target = target or _parameters(study, preset, data, changes, loaded)
                config = matched = matched or _matched(config, target)
            for seed in range(first_seed, first_seed + seeds):
                jobs.append(
                    {
                        "task": study.task, "data": None if data is None else str(data), "options": ready.options,
                        "config": config.settings(), "model_type": config.model_type,
                        "macro": None if arm.macro is None else _macro(arm).dumps(),
                        "recipe": ready.recipe, "out_dir": str(out / arm.name / f"lr{named}-seed{seed}"), "seed": seed,
                        "arm": arm.name,
                    }
                )  # fmt: skip
    # A study that is stopped half-way has all arms with fewer seeds, not half of the arms.
    return sorted(jobs, key=lambda job: job["seed"])


def _parameters(study: Study, preset: str, data: Path | None, changes: Mapping[str, Any], loaded: Any) -> int:
    """How many parameters the arm has that the others are brought to."""
    from models.tasks.prepare import prepare

    (arm,) = (arm for arm in study.arms if arm.name == study.equal_to)
    ready = prepare(
        study.task, arm.preset, preset, data=data, macro=_macro(arm),
        changes={**study.options, **changes, **arm.settings}, loaded=loaded,
    )  # fmt: skip
    return int(ready.config.num_parameters())


def _matched(config: Any, target: int) -> Any:
    from models.astrosnn.matching import match_parameters

    return match_parameters(config, target)


def run(name: str, out: Path, *, workers: int | None = None, **how: Any) -> str:
    """Train what is not trained yet and return the table of all runs of the study in `out`; arguments as in `plan`."""
    from biosim.folders import output_folder
    from figures.runs import load_runs, summary, table

    from .jobs import train_all

    jobs = plan(name, out, **how)
    output_folder(out)
    train_all(jobs, workers)
    rows = summary(table(load_runs(out, STUDIES[name].figure, Path(STUDIES[name].task).name)))
    return as_text(rows) + f"\n\nastromorphic figures {STUDIES[name].figure} --runs {out}"


def as_text(rows: Any) -> str:
    """A table of `figures.runs.summary`, best first."""
    lines = [f"{'arm':30s}{'test':>18s}{'validation':>12s}{'seeds':>7s}{'rate':>9s}{'epoch':>7s}{'parameters':>13s}"]
    for (task, metric), part in rows.groupby(["task", "metric"], sort=False):
        lines.append(f"{task}, {metric}:")
        for row in part.assign(order=part.test * part.better).sort_values("order", ascending=False).itertuples():
            spread = "" if row.test_sd != row.test_sd else f" ± {row.test_sd:.3f}"
            rate = "" if row.learning_rate != row.learning_rate else f"{row.learning_rate:.2g}"
            epoch = "" if row.chosen_epoch != row.chosen_epoch else f"{row.chosen_epoch:.1f}"
            lines.append(
                f"  {row.arm:28s}{f'{row.test:.3f}{spread}':>18s}{row.validation:12.3f}{row.seeds:7d}{rate:>9s}"
                f"{epoch:>7s}{row.parameters:13,d}"
            )
    return "\n".join(lines)


def _macro(arm: Arm) -> Any:
    if arm.macro is None:
        return None
    import bridge

    return bridge.preset(arm.macro)
