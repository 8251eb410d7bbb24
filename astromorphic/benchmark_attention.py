"""`astromorphic benchmark attention`: time and memory of attention against length, beside PyTorch's and plain linear attention.

A pass is forward and backward of one operator, 8 heads of 64, float32, batch 1, from phi(q), phi(k) and v (from q, k and v for
scaled-dot-product attention) to the gradients of all three. All forms and lengths take turns in one process, and the value of
a row is the fastest of its repeats: the machine may be doing other things, which only adds time. Median and spread
(slowest / fastest - 1) stand beside it. With two threads it is wall time; with one (OMP_NUM_THREADS=1) the CPU time of the
process, which suffers less from neighbours. Peak memory is that of a fresh process for each row, without the inputs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .fresh_process import KEEP_PAGES, elsewhere, peak_of

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]
HEADS, WIDTH = 8, 64
BIDIRECTIONAL = ("astromorphic, bidirectional", "scaled dot product, bidirectional", "linear, bidirectional")
CAUSAL = ("astromorphic, causal", "scaled dot product, causal", "linear, causal")
QUADRATIC = ("scaled dot product, bidirectional", "scaled dot product, causal")
LONGEST_QUADRATIC = 16_384
TIME, SHARE = "us per token", "ratio"


def _forms() -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """Every form as a function of three tensors ``[batch, time, heads, width]``; the preset `tuned` has the centred sigmoid."""
    from torch.nn.functional import scaled_dot_product_attention

    from models.ops.bidirectional import bidirectional
    from models.ops.chunked import causal_chunked
    from models.ops.response import Power

    def tuned(q: Tensor) -> dict[str, Any]:
        return {"response": Power(0.25), "scale": 1.0 / q.shape[1], "placement": "centred"}

    linear: dict[str, Any] = {"response": Power(1.0), "scale": 1.0, "placement": "none"}

    def softmax(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2)

    return {
        "astromorphic, bidirectional": lambda q, k, v: bidirectional(q, k, v, **tuned(q)),
        "scaled dot product, bidirectional": lambda q, k, v: softmax(q, k, v, False),
        "linear, bidirectional": lambda q, k, v: bidirectional(q, k, v, **linear),
        "astromorphic, causal": lambda q, k, v: causal_chunked(q, k, v, **tuned(q))[0],
        "scaled dot product, causal": lambda q, k, v: softmax(q, k, v, True),
        "linear, causal": lambda q, k, v: causal_chunked(q, k, v, **linear)[0],
    }


def _inputs(length: int) -> tuple[list[Tensor], Tensor]:
    """phi(q), phi(k), v as leaves, and the gradient that comes back."""
    import torch

    from models.ops.features import feature_map

    g = torch.Generator().manual_seed(0)
    q, k, v, d_out = (torch.randn(1, length, HEADS, WIDTH, generator=g) for _ in range(4))
    return [x.requires_grad_() for x in (feature_map(q), feature_map(k), v)], d_out


def _clock() -> Callable[[], float]:
    """CPU time where one thread works, wall time where there are more."""
    import torch

    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def _one_pass(form: str, leaves: list[Tensor], d_out: Tensor) -> float:
    import torch

    clock = _clock()
    began = clock()
    torch.autograd.grad(_forms()[form](*leaves), leaves, d_out)
    return clock() - began


def _timings(lengths: dict[str, list[int]], repeats: int, threads: int) -> list[Row]:
    """Seconds of each form at each of its lengths, in turns; short passes are repeated more often."""
    import torch

    torch.set_num_threads(threads)
    seconds: dict[tuple[str, int], list[float]] = {}
    for form in lengths:
        _one_pass(form, *_inputs(64))  # compiles
    for turn in range(repeats):
        for length in sorted({n for each in lengths.values() for n in each}):
            leaves, d_out = _inputs(length)
            forms = [form for form in lengths if length in lengths[form]]
            for form in forms:
                # A pass of a minute is long enough to be measured once.
                if form in QUADRATIC and turn >= 32_768 // length:
                    continue
                passes = 1 if form in QUADRATIC and length > 1024 else max(1, min(10, 16_384 // length))
                for _ in range(passes):
                    seconds.setdefault((form, length), []).append(_one_pass(form, leaves, d_out))
    return [{"form": form, "length": length, "seconds": taken} for (form, length), taken in seconds.items()]


def _peak(form: str, length: int, threads: int) -> int:
    """Bytes that a pass needs beyond its inputs: the highest memory of this process minus what it had before."""
    import torch

    torch.set_num_threads(threads)
    _one_pass(form, *_inputs(64))
    leaves, d_out = _inputs(length)
    return peak_of(lambda: _one_pass(form, leaves, d_out))


def _generation(positions: list[int], repeats: int, threads: int) -> list[Row]:
    """Seconds and bytes of one more token after so many: our state, and softmax attention with its cache."""
    import torch

    from models.ops.chunked import causal_chunked
    from models.ops.response import Power
    from models.ops.softmax import SoftmaxState
    from models.ops.step import causal_step

    torch.set_num_threads(threads)
    clock = _clock()
    settings: dict[str, Any] = {"response": Power(0.25), "scale": 1.0 / max(positions)}
    states = {}
    with torch.no_grad():
        state = None
        for start in range(0, max(positions), 1024):
            q, k, v = _inputs(1024)[0]
            _, state = causal_chunked(q, k, v, initial_state=state, **settings)
            if start + 1024 in positions:
                states[start + 1024] = state
        query, key, value = (x.detach() for x in _inputs(1)[0])
        rows = []
        for position in positions:
            (_, k, v), _ = _inputs(position)
            cache = SoftmaxState(k.detach(), v.detach(), torch.ones(1, position, dtype=torch.bool))
            taken: dict[str, list[float]] = {"astromorphic": [], "scaled dot product": []}
            for _ in range(repeats):
                began = clock()
                causal_step(query, key, value, states[position], **settings)
                taken["astromorphic"].append(clock() - began)
                if len(taken["scaled dot product"]) < repeats // 10:
                    q, k, v = (x.transpose(1, 2) for x in (query, cache.keys, cache.values))
                    began = clock()
                    torch.nn.functional.scaled_dot_product_attention(q, k, v)
                    taken["scaled dot product"].append(clock() - began)
            held = {"astromorphic": states[position][:2], "scaled dot product": cache[:2]}
            for form, times in taken.items():
                size = sum(x.numel() * x.element_size() for x in held[form])
                rows.append({"form": form, "length": position, "seconds": times, "bytes": size})
    return rows


_WORKERS: dict[str, Callable[..., Any]] = {"timings": _timings, "peak": _peak, "generation": _generation}


def _elsewhere(worker: str, environment: dict[str, str], **arguments: Any) -> Any:
    """The result of a worker in a fresh process."""
    return elsewhere("benchmark_attention", worker, environment, **arguments)


def measure(quick: bool = False) -> list[Row]:
    """Rows of name, value, unit; goals have `goal` and `met`, rows that could not run have `note`.

    Times, ratios to scaled-dot-product attention, flatness, peak memory, and generation.
    """
    import torch

    threads = min(2, torch.get_num_threads())
    clock = "threads, CPU time" if threads == 1 else "threads, wall time"
    rows: list[Row] = [{"name": "threads", "value": threads, "unit": clock}, _scan_in_use()]
    both = [512, 2048] if quick else [512, 1024, 2048, 4096, 8192, 16_384]
    causal = [1024, 4096] if quick else [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536]
    lengths = dict.fromkeys(BIDIRECTIONAL, both) | dict.fromkeys(CAUSAL, causal)
    for form in QUADRATIC:
        lengths[form] = [n for n in lengths[form] if n <= LONGEST_QUADRATIC]
    timed = _elsewhere("timings", KEEP_PAGES, lengths=lengths, repeats=2 if quick else 3, threads=threads)
    best = {(t["form"], t["length"]): min(t["seconds"]) for t in timed}
    _times(rows, timed)
    _ratios(rows, best)
    _flatness(rows, best, lengths)
    _memory(rows, quick, threads)
    _generated(rows, quick, threads)
    return rows


def _scan_in_use() -> Row:
    import torch

    from models.ops.chunked import scan_method

    method = scan_method("auto", torch.zeros(1))
    return {"name": "causal scan: the compiled kernel", "value": int(method == "fused"), "unit": "1 yes, 0 no"}


def _times(rows: list[Row], timed: list[Row]) -> None:
    for t in sorted(timed, key=lambda t: ((*BIDIRECTIONAL, *CAUSAL).index(t["form"]), t["length"])):
        fastest = min(t["seconds"])
        rows.append(
            {
                "name": f"{t['form']}, {t['length']:,} tokens",
                "value": 1e6 * fastest / t["length"],
                "unit": TIME,
                "median": 1e6 * statistics.median(t["seconds"]) / t["length"],
                "spread": max(t["seconds"]) / fastest - 1.0,
                "repeats": len(t["seconds"]),
            }
        )


def _ratios(rows: list[Row], best: dict[tuple[str, int], float]) -> None:
    """Times of scaled-dot-product attention over ours."""
    goals = {("bidirectional", 2048): 10, ("bidirectional", 4096): 20, ("bidirectional", 16_384): 50}
    goals |= {("causal", 8192): 1, ("causal", 16_384): 1}
    for form, length in best:
        kind = form.split(", ")[1]
        if form not in QUADRATIC:
            continue
        value = best[form, length] / best[f"astromorphic, {kind}", length]
        row: Row = {
            "name": f"scaled dot product / astromorphic, {kind}, {length:,} tokens",
            "value": value,
            "unit": SHARE,
        }
        goal = goals.get((kind, length))
        if goal is not None:
            # The causal goal is to be faster; the bidirectional ones are factors to be reached.
            row |= {"goal": f"> {goal}" if kind == "causal" else f">= {goal}",
                    "met": value > goal if kind == "causal" else value >= goal}  # fmt: skip
        rows.append(row)


def _flatness(rows: list[Row], best: dict[tuple[str, int], float], lengths: dict[str, list[int]]) -> None:
    """Time per token against that of the shortest sequence, and the spread over all lengths."""
    for form in (*BIDIRECTIONAL, *CAUSAL):
        each = {n: best[form, n] / n for n in lengths[form]}
        shortest = each[min(each)]
        rows += [
            {"name": f"{form}, {n:,} tokens / {min(each):,}, time per token", "value": t / shortest, "unit": SHARE}
            for n, t in each.items()
            if n > min(each)
        ]
        if form.startswith("astromorphic"):
            # Flat means neither more nor less: a fall is no harm, but it is not flat.
            change = max((t / shortest - 1.0 for t in each.values()), key=abs)
            rows.append({"name": f"{form}, change of the time per token", "value": 100 * change, "unit": "%",
                         "goal": "+-10", "met": abs(change) <= 0.1})  # fmt: skip


def _memory(rows: list[Row], quick: bool, threads: int) -> None:
    lengths: dict[str, list[int]] = {} if quick else {form: [2048, 16_384] for form in BIDIRECTIONAL}
    lengths |= {form: [4096] if quick else [1024, 8192, 65_536] for form in CAUSAL if not (quick and form in QUADRATIC)}
    peaks = {}
    for form, each in lengths.items():
        for length in each:
            name = f"peak memory of {form}, {length:,} tokens"
            if form in QUADRATIC and length > LONGEST_QUADRATIC:
                continue
            try:
                peak = _elsewhere("peak", {}, form=form, length=length, threads=threads)
            except RuntimeError as error:
                rows.append({"name": name, "value": None, "unit": "MB", "note": str(error)})
                continue
            peaks[form, length] = peak
            rows.append({"name": name, "value": peak / 1e6, "unit": "MB"})
    for form, length in peaks:
        if form == "astromorphic, causal" and ("linear, causal", length) in peaks:
            value = peaks[form, length] / peaks["linear, causal", length]
            rows.append({"name": f"peak memory, astromorphic / linear, causal, {length:,} tokens", "value": value,
                         "unit": SHARE, "goal": "<= 1.5", "met": value <= 1.5})  # fmt: skip


def _generated(rows: list[Row], quick: bool, threads: int) -> None:
    positions = [1024, 4096] if quick else [1024, 4096, 16_384, 65_536]
    steps = _elsewhere("generation", KEEP_PAGES, positions=positions, repeats=100 if quick else 1000, threads=threads)
    for step in sorted(steps, key=lambda step: (step["form"], step["length"])):
        fastest = min(step["seconds"])
        name = f"generation, {step['form']}, after {step['length']:,} tokens"
        rows.append({"name": name, "value": 1e6 * fastest, "unit": TIME,
                     "median": 1e6 * statistics.median(step["seconds"]), "repeats": len(step["seconds"])})  # fmt: skip
        rows.append({"name": f"{name}, state", "value": step["bytes"] / 1e6, "unit": "MB"})
    ours = [step for step in steps if step["form"] == "astromorphic"]
    times = [min(step["seconds"]) for step in ours]
    spread = max(times) / min(times) - 1.0
    rows.append({"name": "generation, spread of the time per token", "value": 100 * spread, "unit": "%",
                 "goal": "<= 10", "met": spread <= 0.1})  # fmt: skip
    growth = max(step["bytes"] for step in ours) - min(step["bytes"] for step in ours)
    rows.append({"name": "generation, growth of the state", "value": growth, "unit": "bytes", "goal": "0",
                 "met": growth == 0})  # fmt: skip


def table(rows: list[Row]) -> str:
    """The rows as text."""
    lines = [f"{'':68s}{'value':>10s}  {'unit':14s}{'median':>9s}{'goal':>8s}"]
    for row in rows:
        if row["value"] is None:
            lines.append(f"{row['name']:68s}not run: {row['note']}")
            continue
        median = f"{row['median']:9.4g}" if "median" in row else " " * 9
        goal = f"{row['goal']:>8s}  {'met' if row['met'] else 'NOT MET'}" if "goal" in row else ""
        lines.append(f"{row['name']:68s}{row['value']:10.4g}  {row['unit']:14s}{median}{goal}".rstrip())
    return "\n".join(lines)
