"""`astromorphic study recall`: delayed recall with every retention control, at several numbers of segments, with seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .assignments import AssignmentError, whole_list

NAME = "recall"
TITLE = "delayed recall: a bit of segment 1 asked for in segment T, with every retention control"
# Schedules of `models.rmaat.retention`; "geometric" is the closed form, "ones" no retention, "uniform" 1/T.
ARMS = ("simulated", "geometric", "ones", "uniform", "learned", "learned_shares", "reversed")
SEGMENTS = (2, 4, 8)
# Twice what the schedules that learn it at once need.
STEPS = 600
# The simulated cycles that "simulated" and "reversed" have.
MACRO = "simulated"
LARGEST_SEED = 2**31 - 1


def plan(
    out: Path,
    *,
    preset: str = "tuned",
    arms: Sequence[str] | None = None,
    rates: Sequence[float] | None = None,
    seeds: int = 5,
    first_seed: int = 0,
    changes: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The jobs, one per schedule, number of segments and seed; everything is checked before the first begins.

    changes : `segments`, one or a list; the rest settings of training or network (`models.rmaat.recall_runs`). preset : "smoke"
    for 20 steps. A study that is stopped half-way has all schedules with fewer seeds.
    """
    import bridge
    from biosim.registry import choose
    from models.rmaat import RMAATConfig
    from models.rmaat.recall_runs import completed

    if rates:
        raise AssignmentError("--learning-rates: recall has one rate for all schedules; change it with --set rate=3e-3")
    choose("preset", preset, ["tuned", "smoke"])
    given = dict(changes or {})
    lengths = whole_list("segments", given.pop("segments", list(SEGMENTS)), 2)
    for name, value in given.items():
        if isinstance(value, list):
            raise AssignmentError(f"--set {name}: a training run takes one value, not a list")
        if name in ("retention", "retention_shares"):
            raise AssignmentError(f"--set {name} in study {NAME}: use --arms")
    if not 0 <= first_seed <= LARGEST_SEED - seeds + 1:
        raise AssignmentError(f"--seed {first_seed} with {seeds} seeds: expected 0 to {LARGEST_SEED - seeds + 1}")
    wanted = dict.fromkeys(choose("arm", name, list(ARMS)) for name in arms or ARMS)
    found = bridge.preset(MACRO).section("retention")
    cycles = {"retention_shares": [float(s) for s in found.shares], "retention_decay": float(found.decay)}
    jobs = []
    for arm in wanted:
        own = (
            {"steps": 20 if preset == "smoke" else STEPS} | (cycles if arm in ("simulated", "reversed") else {}) | given
        )
        whole = completed(own)
        network = {name: value for name, value in whole.items() if name not in ("steps", "batch", "rate", "tests")}
        for n in lengths:
            RMAATConfig(**network, retention=arm, max_position_embeddings=n * network["segment_length"])
            jobs += [
                {"retention": arm, "segments": n, "settings": own, "out_dir": str(out / arm / f"segments{n}-seed{seed}"),
                 "seed": seed, "arm": f"{arm}, {n} segments"}
                for seed in range(first_seed, first_seed + seeds)
            ]  # fmt: skip
    return sorted(jobs, key=lambda job: (job["seed"], job["segments"]))


def study(out: Path, *, data: Path | None = None, workers: int | None = None, **how: Any) -> str:
    """Run what has not been run yet and return the table of all runs in `out`; arguments as in `plan`."""
    from biosim.folders import output_folder
    from figures.recall import as_text, recall_rows

    from .jobs import train_all

    if data is not None:
        raise AssignmentError(f"--data {data}: {NAME} makes its own texts; leave it out")
    jobs = plan(out, **how)
    output_folder(out)
    train_all(jobs, workers, package="models.rmaat.recall_runs")
    return as_text(recall_rows(out)) + f"\n\nastromorphic figures retention --runs {out}"
