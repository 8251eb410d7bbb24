"""What a person sees while something runs: progress bars on a terminal, silence in a pipe; results on standard output."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console

Advance = Callable[[int, int], None]

# Results go to standard output, everything about the way there to standard error.
notices = Console(stderr=True, highlight=False, soft_wrap=True)


def speaks() -> bool:
    """Whether this process says anything: of several that a launcher started for one run, only the first."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def score_in_words(metrics: Mapping[str, float]) -> str:
    """The latest score of a training run, in the unit of its task, on validation unless it says so; "" before the first."""
    if "validation_accuracy" in metrics:
        return f"{100 * metrics['validation_accuracy']:.2f} %"
    if "validation_bits_per_byte" in metrics:
        return f"{metrics['validation_bits_per_byte']:.3f} bits/byte"
    for part in ("training", "test"):
        if f"{part}_accuracy" in metrics:
            return f"{100 * metrics[f'{part}_accuracy']:.2f} % of {part}"
    return ""


@contextlib.contextmanager
def scored_progress_bar(description: str) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """As `progress_bar`, for a function (done, total, metrics) of a training run: the latest score stands beside the bar."""
    with progress_bar(description, score=True) as advance:
        yield lambda done, total, metrics: advance(done, total, score_in_words(metrics))


@contextlib.contextmanager
def progress_bar(description: str, *, score: bool = False) -> Iterator[Callable[..., None]]:
    """Yield a function (done, total) that moves a bar; without a terminal it does nothing."""
    if not notices.is_terminal or not speaks():
        yield lambda *_: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    scores = [TextColumn("{task.fields[score]}")] if score else []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *scores, TimeElapsedColumn(), TimeRemainingColumn(),
        console=notices,
    ) as bar:  # fmt: skip
        task = bar.add_task(description, total=None, score="")
        yield lambda done, total, latest="": bar.update(task, completed=done, total=total, score=latest)
