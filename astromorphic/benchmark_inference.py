"""Inference of one AstroSNN layer against one GPT-2 layer (AstroSNN's Figure 4), for `astromorphic benchmark spiking`.

A network is token embedding, layers of the same width with 8 heads and a feed-forward part four times as wide, final norm and a
head for 256 symbols; float32, eval, inference mode, no dropout, one thread. GPT-2 is that of the transformers library with its
own scaled-dot-product attention and, for decoding, its own pre-allocated cache. Separate quantities, by CPU time of the process:

    prefill       a prompt of T tokens read, with what is needed to go on (batch 1); without cache: nothing kept
    first token   the same, and the first token chosen
    decode        one more token after T tokens of context, mean over some; without cache the whole text is read again
    throughput    tokens decoded per CPU second, at batch 1 and 8
    peak memory   of a prefill in a process of its own: highest resident size less that with the weights loaded

All arms take turns at each length, after five passes that are not counted; a row gives the median of its repeats with the
quartiles: 20 of decoding and of prompts up to 1,024 tokens, 5 up to 4,096, 2 beyond. Processes are not pinned to a core. Arms
that are quadratic or go token by token end at a shorter length, which the record says.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .fresh_process import elsewhere, peak_of

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]
HEADS, SYMBOLS, BATCH = 8, 256, 8
LENGTHS = tuple(64 * 2**i for i in range(9))
CHUNKED, MASKED, SERIAL = "AM-SU, chunked", "AM-SU, masked", "AM-SU, serial"
RETNET, GPT2, GPT2_WITHOUT = "RetNet", "GPT-2", "GPT-2, no cache"
ARMS = (CHUNKED, MASKED, SERIAL, RETNET, GPT2, GPT2_WITHOUT)
# Longest prompt of an arm; the others take all. The masked form has some [heads, T, T] arrays.
LONGEST = {MASKED: 2048, SERIAL: 2048, GPT2_WITHOUT: 4096}
STEPS, REPEATS, WARM_UPS = 4, 20, 5
# Lengths of the rows of memory, each a process of its own.
MEMORY_LENGTHS = (1024, 2048, 16_384)
# Arrays are mapped and unmapped one by one, so that the peak is what was alive at once.
FREE_PAGES = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**16), "OMP_NUM_THREADS": "1"}


# Tokens that a cache has room for after the prompt.
ROOM = STEPS * (REPEATS + WARM_UPS)


def network(arm: str, width: int, layers: int, longest: int) -> Any:
    """The language model of an arm, weights by seed 0."""
    import torch

    torch.manual_seed(0)
    if arm in (GPT2, GPT2_WITHOUT):
        from transformers import GPT2Config, GPT2LMHeadModel

        # In a table: the library's own annotations lack the name of the attention.
        settings: dict[str, Any] = {
            "vocab_size": SYMBOLS, "n_positions": longest + ROOM, "n_embd": width, "n_layer": layers, "n_head": HEADS,
            "attn_implementation": "sdpa", "bos_token_id": None, "eos_token_id": None,
        }  # fmt: skip
        return GPT2LMHeadModel(GPT2Config(**settings)).eval()
    from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM

    mixer = "retention" if arm == RETNET else "amsu"
    form = {MASKED: "masked", SERIAL: "serial"}.get(arm, "chunked")
    settings = {
        "vocab_size": SYMBOLS,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
    }
    return AstroSNNForCausalLM(AstroSNNConfig(**settings, mixer=mixer, form=form)).eval()


def state_bytes(arm: str, width: int, layers: int, tokens: int, batch: int = 1) -> int:
    """What is carried from token to token, by arithmetic: d^2/h + d numbers (RetNet: d^2/h), or 2 d per token of context."""
    each = {RETNET: width * width // HEADS, GPT2: 2 * width * tokens, GPT2_WITHOUT: 0}
    return 4 * batch * layers * each.get(arm, width * width // HEADS + width)


def break_even(width: int) -> dict[str, float]:
    """Tokens from which an AM-SU layer should win, by arithmetic: bytes of state, and operations of a step's mixing."""
    return {"state": width / (2 * HEADS) + 0.5, "step": 1.25 * width / HEADS}


def _prompt(tokens: int, batch: int = 1) -> Tensor:
    import torch

    return torch.randint(0, SYMBOLS, (batch, tokens), generator=torch.Generator().manual_seed(tokens))


def prefill(arm: str, model: Any, ids: Tensor) -> tuple[float, float, Any]:
    """CPU seconds until the prompt is read and until the first token is there, and the state or cache."""
    began = time.process_time()
    body = model.transformer if hasattr(model, "transformer") else model.model
    read = body(input_ids=ids, use_cache=arm != GPT2_WITHOUT)
    until = time.process_time()
    model.lm_head(read.last_hidden_state[:, -1:]).argmax(-1).tolist()
    return until - began, time.process_time() - began, read.past_key_values


def context(arm: str, model: Any, tokens: int, batch: int) -> Any:
    """The state after `tokens` random tokens, or a cache with room for the steps that are to be timed."""
    import torch

    if arm != GPT2:
        first = model(input_ids=_prompt(tokens), use_cache=True, logits_to_keep=1).past_key_values
        return first.select(torch.zeros(batch, dtype=torch.long))
    from transformers import StaticCache

    config = model.config
    cache = StaticCache(config=config, max_cache_len=tokens + ROOM)
    # The time of a step does not depend on what the keys are.
    g = torch.Generator().manual_seed(0)
    k, v = (torch.randn(batch, HEADS, tokens, config.n_embd // HEADS, generator=g) for _ in range(2))
    for layer in range(config.n_layer):
        cache.update(k, v, layer)
    return cache


def decode(arm: str, model: Any, state: Any, batch: int, steps: int) -> float:
    """CPU seconds per step, every token chosen from the one before."""
    ids = _prompt(1, batch)
    began = time.process_time()
    for _ in range(steps):
        result = model(input_ids=ids, past_key_values=state, use_cache=True, logits_to_keep=1)
        state, ids = result.past_key_values, result.logits[:, -1:].argmax(-1)
    return (time.process_time() - began) / steps


def forms_agree(width: int, layers: int) -> float:
    """Largest difference of the three forms in this network in float64, relative; RuntimeError above 1e-10."""
    report = network(CHUNKED, width, layers, 256).verify_forms(length=131)
    largest = float(max(*report.membrane, *report.state))
    if not report.agree:
        raise RuntimeError(f"the forms of the AM-SU differ by {largest:.1e} in the network; expected at most 1e-10")
    return largest


def _peak(arm: str, width: int, layers: int, tokens: int) -> int:
    import torch

    torch.set_num_threads(1)
    with torch.inference_mode():
        model = network(arm, width, layers, tokens)
        prefill(arm, model, _prompt(16))  # what is made once
        ids = _prompt(tokens)
        return peak_of(lambda: prefill(arm, model, ids))


_WORKERS: dict[str, Callable[..., Any]] = {"peak": _peak}


def measure(
    lengths: Sequence[int] = LENGTHS, width: int = 512, layers: int = 1, repeats: int = REPEATS, quick: bool = False
) -> list[Row]:
    """Rows with `what`, `arm`, `tokens`, `value`, `unit`, and for times `quartiles` and `repeats`; then ratios and verdicts."""
    import torch

    torch.set_num_threads(1)
    lengths = sorted(lengths)
    difference = forms_agree(width, layers)
    models = {arm: network(arm, width, layers, lengths[-1]) for arm in ARMS}
    taken: dict[tuple[str, str, int], list[float]] = {}

    def note(what: str, arm: str, tokens: int, seconds: float) -> None:
        taken.setdefault((what, arm, tokens), []).append(seconds)

    with torch.inference_mode():
        for arm, model in models.items():
            for _ in range(WARM_UPS):
                prefill(arm, model, _prompt(64))
        for turn in range(repeats):
            for tokens in lengths:
                # The longer a pass takes, the surer is one of them.
                if turn >= (2 if tokens > 4096 else 5 if tokens > 1024 else repeats):
                    continue
                for arm in (arm for arm in ARMS if tokens <= LONGEST.get(arm, tokens)):
                    read, first, _ = prefill(arm, models[arm], _prompt(tokens))
                    note("prefill", arm, tokens, read)
                    note("first token", arm, tokens, first)
                    if arm == GPT2_WITHOUT:
                        note("decode", arm, tokens, first)
        for tokens in lengths:
            # A state is not written into and may start every repeat; a cache goes on, some tokens longer each time.
            states = {arm: context(arm, models[arm], tokens, 1) for arm in (CHUNKED, RETNET)}
            for batch in (1, BATCH):
                rows_of = torch.zeros(batch, dtype=torch.long)
                here: dict[str, Any] = {arm: state.select(rows_of) for arm, state in states.items()}
                here[GPT2] = context(GPT2, models[GPT2], tokens, batch)
                for turn in range(-min(repeats, WARM_UPS), repeats):
                    for arm, state in here.items():
                        seconds = decode(arm, models[arm], state, batch, STEPS)
                        if turn < 0:
                            continue
                        note("decode" if batch == 1 else "decode, batch 8", arm, tokens, seconds)
    rows = [_timed(what, arm, tokens, seconds) for (what, arm, tokens), seconds in sorted(taken.items())]
    rows += [_throughput(row) for row in rows if row["what"].startswith("decode")]
    for arm in (CHUNKED, MASKED, GPT2):
        for tokens in lengths[-1:] if quick else [n for n in lengths if n in MEMORY_LENGTHS]:
            if tokens <= LONGEST.get(arm, tokens):
                found = elsewhere(
                    "benchmark_inference", "peak", FREE_PAGES, arm=arm, width=width, layers=layers, tokens=tokens
                )
                rows.append(_row("peak memory", arm, tokens, found / 1e6, "MB"))
    for arm in (CHUNKED, RETNET, GPT2):
        rows += [_row("state", arm, n, state_bytes(arm, width, layers, n) / 1e6, "MB") for n in lengths]
    rows += ratios(rows, lengths, width)
    return [*rows, record(width, layers, lengths, difference, models[CHUNKED].config.sigma)]


def _row(what: str, arm: str, tokens: int, value: float, unit: str, **more: Any) -> Row:
    return {
        "name": f"{what}, {arm}, {tokens} tokens", "value": value, "unit": unit, "what": what, "arm": arm, "tokens": tokens,
        **more,
    }  # fmt: skip


def _timed(what: str, arm: str, tokens: int, seconds: list[float]) -> Row:
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return _row(what, arm, tokens, 1e3 * middle, "ms", quartiles=[1e3 * low, 1e3 * high], repeats=len(seconds))


def _throughput(row: Row) -> Row:
    batch = BATCH if row["what"].endswith("batch 8") else 1
    value = 1e3 * batch / row["value"]
    return _row(f"throughput, batch {batch}", row["arm"], row["tokens"], value, "tokens per CPU second")


def ratios(rows: list[Row], lengths: Sequence[int], width: int) -> list[Row]:
    """How many times as long GPT-2 takes, where it begins to, and whether a step of an AM-SU takes as long after any context."""
    at = {(row["what"], row["arm"], row["tokens"]): row["value"] for row in rows}
    found: list[Row] = []
    for what in ("prefill", "first token", "decode", "decode, batch 8", "peak memory", "state"):
        for arm in (GPT2, GPT2_WITHOUT):
            pairs = {n: at[what, arm, n] / at[what, CHUNKED, n] for n in lengths if (what, arm, n) in at}
            for tokens, value in pairs.items():
                row = {"name": f"{what}, {arm} / {CHUNKED}, {tokens} tokens", "value": value, "unit": "ratio"}
                found.append(row | {"what": f"{what} ratio", "arm": arm, "tokens": tokens})
            if pairs and what != "first token":
                first = next((n for n in pairs if all(v > 1.0 for m, v in pairs.items() if m >= n)), None)
                text = "none measured" if first is None else f"{first} tokens"
                found.append({"name": f"{what}, {arm} needs more than {CHUNKED} from", "value": text, "unit": ""})
    steps = [at["decode", CHUNKED, n] for n in lengths]
    growth = max(steps) / min(steps)
    found.append({"name": f"decode, {CHUNKED}, slowest / fastest length", "value": growth, "unit": "ratio", "goal": "<= 1.1",
                  "met": growth <= 1.1})  # fmt: skip
    for what, even in break_even(width).items():
        found.append({"name": f"break-even by arithmetic, {what}", "value": even, "unit": "tokens"})
    return found


def record(width: int, layers: int, lengths: Sequence[int], difference: float, sigma: str) -> Row:
    """Where and how it was measured."""
    import numpy
    import torch
    import transformers

    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
                "numpy": numpy.__version__}  # fmt: skip
    return {
        "name": "inference, measured on", "value": processor(), "unit": "", "threads": torch.get_num_threads(),
        "versions": versions,
        "width": width, "layers": layers, "heads": HEADS, "symbols": SYMBOLS, "lengths": list(lengths), "longest": LONGEST,
        "forms_differ_by": difference, "clock": "CPU time of the process", "steps": STEPS, "warm_ups": WARM_UPS,
        "sigma": sigma,
    }  # fmt: skip


def processor() -> str:
    """The name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
