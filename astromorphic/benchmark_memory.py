"""`astromorphic benchmark memory`: what backpropagation through segments costs, replayed, checkpointed and in full.

A pass is forward and backward of one RMAAT classifier in training, from token numbers to the gradients of all parameters:
segments of 256 tokens, 16 memory tokens, width 128, two layers, batch 4, dropout 0.1, float32, one thread. Only the number of
segments and the way of backpropagation change; the gradients are the same.

Kept bytes are those that autograd keeps for the way back, each storage once, without parameters and inputs. Peak memory is
that of a fresh process for each row, beyond what it held before the pass (gradients of the parameters were there already);
there, arrays go back to the system as soon as they are freed, so that the peak is what was alive at once. Its growth per
segment is taken from 16 to 64 segments and at width 512 as well. Times are CPU times of the process, the fastest of several
passes; all ways take turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .benchmark_attention import table
from .fresh_process import KEEP_PAGES, elsewhere, peak_of

if TYPE_CHECKING:
    from models.rmaat import RMAATForSequenceClassification

__all__ = ["measure", "table"]

Row = dict[str, Any]
WAYS = ("replay", "checkpoint", "full")
SEGMENT, SLOTS, WIDTH, BATCH = 256, 16, 128, 4
SIZE: dict[str, Any] = {
    "vocab_size": 257, "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256,
    "segment_length": SEGMENT, "num_memory_tokens": SLOTS, "num_labels": 10, "dropout": 0.1,
}  # fmt: skip
LONG: dict[str, Any] = {
    "vocab_size": 257, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128,
    "segment_length": 512, "num_memory_tokens": SLOTS, "num_labels": 10,
}  # fmt: skip
# Arrays are mapped and unmapped one by one.
FREE_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**16)}
# The growth of the peak once more: over more segments, where single pages count less, and at a width where the token numbers and
# the random state of a segment, which do not grow with it, count less.
WIDE, FAR = 512, (16, 64)
MEMORY_GOAL, TIME_GOAL, GROWTH_GOAL = 4.4, 1.4, 0.2


def _network(way: str, segments: int, **size: Any) -> RMAATForSequenceClassification:
    import torch

    from models.rmaat import RMAATConfig, RMAATForSequenceClassification

    torch.set_num_threads(1)
    torch.manual_seed(0)
    longest = segments * size["segment_length"]
    config = RMAATConfig(**size, backpropagation=way, max_position_embeddings=longest)
    return RMAATForSequenceClassification(config).train()


def _pass(network: RMAATForSequenceClassification, segments: int, batch: int) -> float:
    """CPU seconds of one pass."""
    import torch

    g = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 257, (batch, segments * network.config.length_of_segment), generator=g)
    labels = torch.randint(0, 10, (batch,), generator=g)
    began = time.process_time()
    network(ids, labels=labels).loss.backward()
    return time.process_time() - began


def _peak(way: str, segments: int, width: int = WIDTH) -> int:
    """Bytes of this process at its highest during a pass, beyond what it had before."""
    network = _network(way, segments, **SIZE | {"hidden_size": width, "intermediate_size": 2 * width})
    _pass(network, 1, BATCH)  # gradients and everything made once
    return peak_of(lambda: _pass(network, segments, BATCH))


def _kept(segments: list[int]) -> list[Row]:
    """Bytes that autograd keeps between forward and backward."""
    import torch

    rows = []
    for way in WAYS:
        for n in segments:
            network = _network(way, n, **SIZE)
            ids = torch.zeros(BATCH, n * SEGMENT, dtype=torch.long)
            own = {t.untyped_storage().data_ptr() for t in (ids, *network.parameters())}
            found: dict[int, tuple[int, Any]] = {}

            def pack(t: Any, own: set[int] = own, found: dict[int, tuple[int, Any]] = found) -> Any:
                storage = t.untyped_storage()
                if storage.data_ptr() not in own:
                    # The tensor is held, so that no other gets its address.
                    found[storage.data_ptr()] = (storage.nbytes(), t)
                return t

            with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
                network(ids, labels=torch.zeros(BATCH, dtype=torch.long))
            rows.append({"way": way, "segments": n, "bytes": sum(size for size, _ in found.values())})
    return rows


def _timings(segments: list[int], repeats: int) -> list[Row]:
    seconds: dict[tuple[str, int], list[float]] = {}
    networks = {n: {way: _network(way, n, **SIZE) for way in WAYS} for n in segments}
    _pass(networks[segments[0]]["full"], 1, BATCH)  # compiles
    for _ in range(repeats):
        for n in segments:
            for way in WAYS:
                seconds.setdefault((way, n), []).append(_pass(networks[n][way], n, BATCH))
    return [{"way": way, "segments": n, "seconds": taken} for (way, n), taken in seconds.items()]


def _lengths(tokens: list[int], repeats: int) -> list[Row]:
    """Seconds of one text of each length, replayed."""
    segments = [n // LONG["segment_length"] for n in tokens]
    network = _network("replay", max(segments), **LONG)
    _pass(network, 1, 1)
    seconds: dict[int, list[float]] = {n: [] for n in tokens}
    for turn in range(repeats):
        for n, count in zip(tokens, segments, strict=True):
            # Short passes more often: their fastest is as safe as that of a long one.
            for _ in range(max(1, min(8, 16 // count)) if turn else 1):
                seconds[n].append(_pass(network, count, 1))
    return [{"tokens": n, "seconds": taken} for n, taken in seconds.items()]


_WORKERS: dict[str, Callable[..., Any]] = {"peak": _peak, "kept": _kept, "timings": _timings, "lengths": _lengths}


def _elsewhere(worker: str, environment: dict[str, str], **arguments: Any) -> Any:
    return elsewhere("benchmark_memory", worker, {"OMP_NUM_THREADS": "1"} | environment, **arguments)


def measure(quick: bool = False) -> list[Row]:
    """Rows of name, value, unit; goals have `goal` and `met`."""
    segments = [1, 4] if quick else [1, 2, 4, 8, 16]
    kept = {(r["way"], r["segments"]): r["bytes"] for r in _elsewhere("kept", {}, segments=segments)}
    peaks = {(way, n): _elsewhere("peak", FREE_PAGES, way=way, segments=n) for way in WAYS for n in segments}
    timed = _elsewhere("timings", KEEP_PAGES, segments=segments, repeats=2 if quick else 4)
    best = {(r["way"], r["segments"]): min(r["seconds"]) for r in timed}
    rows: list[Row] = []
    for what, table_of in (("kept by autograd", kept), ("peak memory", peaks)):
        rows += [
            {"name": f"{what}, {way}, {_count(n)}", "value": table_of[way, n] / 1e6, "unit": "MB"}
            for way in WAYS
            for n in segments
        ]
    rows += [
        {"name": f"CPU time, {r['way']}, {_count(r['segments'])}", "value": 1e3 * min(r["seconds"]), "unit": "ms",
         "median": 1e3 * statistics.median(r["seconds"]), "repeats": len(r["seconds"])}
        for r in sorted(timed, key=lambda r: (WAYS.index(r["way"]), r["segments"]))
    ]  # fmt: skip
    rows += _verdicts(kept, peaks, best, segments)
    if not quick:
        for width in (WIDTH, WIDE):
            far = {n: _elsewhere("peak", FREE_PAGES, way="replay", segments=n, width=width) for n in FAR}
            rows += _growth_of_peak(far, *FAR, width)
    tokens = [1024, 4096] if quick else [1024, 8192, 65_536]
    per_token = {
        r["tokens"]: 1e6 * min(r["seconds"]) / r["tokens"]
        for r in _elsewhere("lengths", KEEP_PAGES, tokens=tokens, repeats=3)
    }
    rows += [
        {"name": f"replay, {n:,} tokens in segments of 512, CPU time", "value": t, "unit": "us per token"}
        for n, t in per_token.items()
    ]
    growth = max(per_token.values()) / per_token[tokens[0]] - 1.0
    rows.append({"name": "replay, growth of the time per token", "value": 100 * growth, "unit": "%", "goal": "<= 10",
                 "met": growth <= 0.1})  # fmt: skip
    return rows


def _count(segments: int) -> str:
    return f"{segments} segment{'s' if segments > 1 else ''}"


def _verdicts(
    kept: dict[tuple[str, int], int], peaks: dict[tuple[str, int], int], best: dict[tuple[str, int], float],
    segments: list[int],
) -> list[Row]:  # fmt: skip
    """Growth per segment against the memory tokens, and memory and time against full backpropagation at the most segments."""
    first, last = next(n for n in segments if n > 1), segments[-1]
    rows: list[Row] = []
    memory = BATCH * SLOTS * WIDTH * 4
    if last > first:
        growth = (kept["replay", last] - kept["replay", first]) / (last - first) / memory
        rows.append({"name": "replay, kept bytes per segment / bytes of the memory tokens", "value": growth, "unit": "ratio",
                     "goal": "<= 1.2", "met": growth <= 1 + GROWTH_GOAL})  # fmt: skip
        rows += _growth_of_peak({n: peaks["replay", n] for n in segments}, segments[-2], last, WIDTH)
    for what, values, goal in (("kept by autograd", kept, None), ("peak memory", peaks, MEMORY_GOAL)):
        for way in ("replay", "checkpoint"):
            value = values["full", last] / values[way, last]
            row: Row = {"name": f"{what}, full / {way}, {_count(last)}", "value": value, "unit": "ratio"}
            if goal is not None and way == "replay" and last >= 16:
                row |= {"goal": f">= {goal}", "met": value >= goal}
            rows.append(row)
    for way in ("replay", "checkpoint"):
        for n in segments:
            value = best[way, n] / best["full", n]
            row = {"name": f"CPU time, {way} / full, {_count(n)}", "value": value, "unit": "ratio"}
            if way == "replay":
                row |= {"goal": f"<= {TIME_GOAL}", "met": value <= TIME_GOAL}
            rows.append(row)
    return rows


def _growth_of_peak(peaks: Mapping[int, int], half: int, last: int, width: int) -> list[Row]:
    """Of the longer half: the first segments that are replayed bring what a replay needs at all."""
    growth, memory = (peaks[last] - peaks[half]) / (last - half), BATCH * SLOTS * width * 4
    name = f"replay, growth of peak memory per segment from {half} to {last}"
    name += f", width {width}" if width != WIDTH else ""
    return [
        {"name": name, "value": growth / 1e6, "unit": "MB"},
        {"name": f"{name} / bytes of the memory tokens", "value": growth / memory, "unit": "ratio",
         "goal": "<= 1.2", "met": growth / memory <= 1 + GROWTH_GOAL},
    ]  # fmt: skip
