"""Training runs side by side: one process and one thread per run, so that results do not depend on how many run at once."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.connection import wait
from queue import Empty
from typing import TYPE_CHECKING, Any

from .console import notices, score_in_words

if TYPE_CHECKING:
    from models import RunResult


def train_all(
    jobs: Sequence[Mapping[str, Any]], workers: int | None = None, *, package: str = "models"
) -> list[RunResult]:
    """Train every job (see `models.run_job`) and return the records in the order of `jobs`.

    package : whose ``run_job`` trains; its dictionaries come back as `RunResult` for "models", as they are for others.
    An interrupt or a failed run ends all processes; finished runs stay on disk, unfinished ones keep their checkpoints.
    """
    from models import RunResult
    from models.processes import check_alone

    check_alone("a study of many runs")
    read: Any = RunResult.model_validate if package == "models" else dict
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # Fresh interpreters: forking after threads have been used can hang.
    context = multiprocessing.get_context("spawn")
    # Without a terminal nobody reads, and a full pipe would stop the workers.
    queue = context.Queue() if notices.is_terminal else None
    pool = ProcessPoolExecutor(
        min(workers or cores, len(jobs)), mp_context=context, initializer=_prepare_worker, initargs=(queue,)
    )
    try:
        with _Bars(queue, jobs):
            with _interrupts_held_back():
                futures = {pool.submit(_run, dict(job), i, package): i for i, job in enumerate(jobs)}
            records: list[RunResult | None] = [None] * len(jobs)
            for future in as_completed(futures):
                records[futures[future]] = read(future.result())
    except BaseException:
        for process in list((getattr(pool, "_processes", None) or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()
    return [record for record in records if record is not None]


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started inside inherit it: Ctrl-C reaches them too, and before they can ignore it they would print traces."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """State of a worker process: the queue it was given at its start, and whether it is in a training run."""

    progress: Any = None
    busy = False


class _Stopped(BaseException):
    """SIGTERM in a worker, as an exception, so that a file that is being written is removed."""


def _prepare_worker(queue: Any) -> None:
    # Ctrl-C reaches the whole group of processes; the parent alone decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if queue is not None:
        queue.cancel_join_thread()
    _Worker.progress = queue


def _die_with_parent() -> None:
    """A parent that was killed cannot end its workers; they would train on, and the next run would meet their files."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        os._exit(1)


def _stop(*_: object) -> None:
    if not _Worker.busy:
        os._exit(1)
    raise _Stopped


class _Numbered:
    """The queue, for one job: an arm and a seed may be trained at several learning rates."""

    def __init__(self, queue: Any, number: int) -> None:
        self.queue, self.number = queue, number

    def put(self, item: Mapping[str, Any]) -> None:
        self.queue.put({**item, "job": self.number})


def _run(job: dict[str, Any], number: int, package: str = "models") -> dict[str, Any]:
    run_job = importlib.import_module(package).run_job
    _Worker.busy = True
    try:
        found: dict[str, Any] = run_job({**job, "progress": _Worker.progress and _Numbered(_Worker.progress, number)})
        return found
    except _Stopped:
        # The pool would take the exception for the result of this job and start the next one.
        os._exit(1)
    finally:
        _Worker.busy = False


# With more runs than this a bar comes when its run begins and goes when it ends, so that they fit on the screen.
_MOST_BARS = 12


def titles(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the bar of each job is called; the learning rate is named where arm and seed do not tell jobs apart."""
    names = Counter((job["arm"], job["seed"]) for job in jobs)
    found = []
    for job in jobs:
        recipe: Any = job.get("recipe")
        rate = recipe.get("learning_rate") if isinstance(recipe, Mapping) else getattr(recipe, "learning_rate", None)
        several = names[job["arm"], job["seed"]] > 1 and rate is not None
        found.append(f"training {job['arm']}, seed {job['seed']}{f', lr {rate:g}' if several else ''}")
    return found


class _Bars:
    """One bar per job, fed from the queue by a thread; nothing without a terminal."""

    def __init__(self, queue: Any, jobs: Sequence[Mapping[str, Any]]) -> None:
        self.queue, self.titles = queue, titles(jobs)
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> _Bars:
        if self.queue is not None:
            self.thread = threading.Thread(target=self._show, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if self.thread:
            self.thread.join(timeout=5)

    def _show(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[score]}"),
            TimeElapsedColumn(),
        )  # fmt: skip
        few = len(self.titles) <= _MOST_BARS
        with Progress(*columns, console=notices) as bars:
            tasks = {
                number: bars.add_task(title, total=None, score="", visible=few)
                for number, title in enumerate(self.titles)
            }
            while True:
                try:
                    item = self.queue.get(timeout=0.2)
                except (Empty, EOFError, OSError):
                    if self.stop.is_set():
                        return
                    continue
                bars.update(
                    tasks[item["job"]],
                    completed=item["step"],
                    total=item["total"],
                    score=score_in_words(item["metrics"]),
                    visible=few or item["step"] < item["total"],
                )
