"""Delayed recall from run folders: which schedules carry a bit through T segments, as rows and as text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .runs import RunsError, remedy, runs_folder


def recall_rows(runs: str | Path) -> pd.DataFrame:
    """One row per run: retention, segments, seed, accuracy (0 to 1), path_before, path_after, loss (of the last tenth, nats).

    A run that lies below the folder twice counts once. RunsError for a folder without such runs, or with runs that differ in
    more than schedule, segments and seed.
    """
    from models.rmaat.recall_runs import RECORD_FILE, RecallRun

    root = runs_folder(runs, "retention", "recall")
    found = [RecallRun.load(file) for file in sorted(root.rglob(RECORD_FILE))]
    if not found:
        raise RunsError(f"--runs {root} holds no {RECORD_FILE}; {remedy('recall')}")
    kept = [{k: v for k, v in run.settings.items() if not k.startswith("retention_")} for run in found]
    for one in kept:
        if one != kept[0]:
            name = next(k for k in sorted({*one, *kept[0]}) if one.get(k) != kept[0].get(k))
            raise RunsError(
                f"--runs {root}: runs of delayed recall differ in {name}: {kept[0].get(name)!r} and {one.get(name)!r}; name a "
                "folder that holds one of them"
            )
    rows = [
        {"retention": run.retention, "segments": run.segments, "seed": run.seed, "accuracy": run.accuracy,
         "path_before": run.path_before, "path_after": run.path_after, "loss": run.losses[-1]}
        for run in found
    ]  # fmt: skip
    return pd.DataFrame(rows).drop_duplicates(["retention", "segments", "seed"]).reset_index(drop=True)


def as_text(rows: pd.DataFrame) -> str:
    """A table: mean accuracy over seeds with its range, and the median gradient through memory before and after training."""
    lines = [f"{'retention':16s}{'T':>4s}{'seeds':>7s}{'accuracy':>10s}{'range':>15s}{'path before':>13s}{'after':>9s}"]
    for (name, segments), part in rows.groupby(["retention", "segments"], sort=False):
        low, high = part.accuracy.min(), part.accuracy.max()
        lines.append(
            f"{name:16s}{segments:4d}{len(part):7d}{part.accuracy.mean():10.3f}{f'{low:.3f} {high:.3f}':>15s}"
            f"{part.path_before.median():13.1e}{part.path_after.median():9.1e}"
        )
    return "\n".join(lines)
