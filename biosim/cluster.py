"""Blocks of a sweep on dask.distributed (extra ``cluster``): each task writes its own part and returns what it wrote.

Parts are files of a folder that all workers see, so a lost worker, scheduler or client loses unfinished blocks alone, and
the sweep continues from what is there, wherever it ran before. Every task uses one thread: a scheduler gives a worker as
many tasks as it has threads, and more would only compete. Results are those of a local run as long as the processors are of
one kind: compilers use what the processor has, which may change last digits.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import logging
import os
import signal
import threading
from asyncio import CancelledError
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from .atomic import OutputError
from .ensemble import SimulationError
from .messages import shown
from .parts import BadPart, Part, read_part
from .simulation import ENGINES

if TYPE_CHECKING:
    from .sweeps import Block

LOCAL = "local"
# Failures that are not about the block (a lost file system, a broken connection) are tried again this often.
RETRIES = 2
# Blocks that wait at each thread, so that none is idle; all at once would fill the scheduler's memory.
WAITING = 2
_CONNECT_S = 20
# How often to look whether the scheduler is still there, while no block ends.
_LOOK_S = 5


class ClusterError(ValueError):
    """The cluster is missing, cannot be reached, or did not compute all blocks."""


@dataclass(frozen=True)
class _Answer:
    """What a task returns: the name of its part, or what our own error says, which trying again would not change."""

    start: int
    stop: int
    name: str | None = None
    error: str | None = None


def run_on_cluster(
    blocks: Iterator[Block], count: int, address: str, key: str, n_units: int
) -> Generator[Part, None, None]:
    """Compute `blocks` on the cluster at `address` (``local`` starts one); yields each part when it was found and checked.

    A block that fails does not stop the others.

    Raises
    ------
    ClusterError
        dask.distributed is missing, there is no scheduler or worker, or a block failed; finished parts are kept.
    """
    distributed = check_cluster(address)
    failed: list[str] = []
    with contextlib.ExitStack() as stack:
        client = _connect(distributed, address, count, stack)
        room = WAITING * max(1, sum(client.nthreads().values()))
        running: dict[str, tuple[Any, Block]] = {}
        ended: Queue[str] = Queue()

        def submit(number: int) -> None:
            for block in itertools.islice(blocks, number):
                try:
                    future = _submit(client, block)
                except Exception as error:
                    raise _gone(address) from error
                running[future.key] = future, block
                future.add_done_callback(lambda done: ended.put(done.key))

        submit(room)
        while running:
            future, block = running.pop(_next(ended, client, address))
            try:
                yield _received(future, block, key, n_units)
            except (ClusterError, BadPart) as error:
                failed.append(f"units {block.start} to {block.stop - 1}: {error}")
            future.release()
            submit(1)
    if failed:
        raise ClusterError(
            f"{len(failed)} of {count} blocks failed, the others are kept; give the same command again to repeat them; first, "
            f"{' '.join(failed[0].split())[:300]}"
        )


def _next(ended: Queue[str], client: Any, address: str) -> str:
    while True:
        try:
            return ended.get(timeout=_LOOK_S)
        except Empty:
            # A client that lost its scheduler tries to come back for a while, then closes and reports nothing more.
            if client.status not in ("running", "connecting"):
                raise _gone(address) from None


def _gone(address: str) -> ClusterError:
    return ClusterError(
        f"the scheduler of the cluster {address} is gone; finished blocks are kept, give the same command again"
    )


def check_cluster(address: str) -> Any:
    """dask.distributed, if it is installed and `address` looks like one; call it before any work.

    Raises
    ------
    ClusterError
        Otherwise.
    """
    if not isinstance(address, str) or not (address == LOCAL or "://" in address):
        raise ClusterError(
            f"cluster = {shown(address)}: expected 'local' or the address of a scheduler such as tcp://10.0.0.1:8786"
        )
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            f"a cluster needs dask.distributed ({error}); pip install 'astromorphic[cluster]', or run without a cluster"
        ) from error
    return distributed


def _connect(distributed: Any, address: str, count: int, stack: contextlib.ExitStack) -> Any:
    """A client of the cluster at `address`, or of a new one of this machine; both end with `stack`."""
    if address != LOCAL:
        try:
            client = stack.enter_context(distributed.Client(address, timeout=_CONNECT_S, set_as_default=False))
            client.wait_for_workers(1, timeout=_CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"no cluster at {address} ({type(error).__name__}): start dask scheduler and dask worker there, or use "
                "cluster 'local'"
            ) from error
        return client
    import dask

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # dask sets the threads of other libraries, but not of Numba; the variables must be there before the worker is.
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    # What workers say while they are being ended is of no use to anybody; their errors come back with the tasks.
    environment = {**dict.fromkeys(names, "1"), "DASK_LOGGING__DISTRIBUTED": "critical"}
    stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": environment}))
    with _children_without_interrupts():
        cluster = distributed.LocalCluster(
            n_workers=max(1, min(cores, count)), threads_per_worker=1, processes=True,
            dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL,
        )  # fmt: skip
    stack.enter_context(cluster)
    return stack.enter_context(distributed.Client(cluster, set_as_default=False))


@contextlib.contextmanager
def _children_without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the whole group of processes; processes begun here leave it to this one, which ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _submit(client: Any, block: Block) -> Any:
    module = importlib.import_module(ENGINES[block.engine])
    if "threads" in inspect.signature(module.run).parameters:
        block = replace(block, options={"threads": 1, **block.options})
    name = f"units-{block.start}-{block.stop}-{block.key[:12]}"
    # Not pure: the file is the result, and must be made again when an earlier task of this name was done elsewhere.
    return client.submit(_compute, block, key=f"{name}-{os.urandom(4).hex()}", pure=False, retries=RETRIES)


def _compute(block: Block) -> _Answer:
    """In the worker."""
    if not block.folder.is_dir():
        return _Answer(
            block.start, block.stop,
            error=f"a worker does not see the folder {block.folder}; use a folder that is on all machines",
        )  # fmt: skip
    try:
        return _Answer(block.start, block.stop, name=block.compute().path.name)
    except (SimulationError, OutputError) as error:
        return _Answer(block.start, block.stop, error=str(error))


def _received(future: Any, block: Block, key: str, n_units: int) -> Part:
    """The part that a finished task wrote, looked at with the eyes of this process."""
    try:
        answer = future.result()
    except (Exception, CancelledError) as error:
        raise ClusterError(f"{type(error).__name__}: {error}") from error
    if answer.error is not None:
        raise ClusterError(answer.error)
    path = Path(block.folder) / answer.name
    if not path.is_file():
        raise ClusterError(f"{path} is not there; the workers and this process must see the same folder")
    return read_part(path, key, n_units)
