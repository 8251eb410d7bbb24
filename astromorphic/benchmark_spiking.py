"""`astromorphic benchmark spiking`: the AM-SU in training, its mixing layer beside causal softmax attention, and in inference.

A training pass is forward and backward of one operator, 8 heads of 64, float32, batch 1, from q, k, v (and the neuron's
current) to the gradients of all of them: without projections, which both kinds of layer have alike. The three forms are
compared in float64 before anything is timed. All arms and lengths take turns in one process with one thread, and the value of a
row is the CPU time of the fastest of its passes, that of the system with it. The floor is x * 2 of one array, from fresh
memory: what every array that torch itself makes costs at least. Inference, one layer against one of GPT-2, is
`astromorphic.benchmark_inference`.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .assignments import AssignmentError

if TYPE_CHECKING:
    from torch import Tensor

Row = dict[str, Any]
HEADS, WIDTH = 8, 64
LENGTHS = (1024, 2048, 4096, 8192, 16_384, 65_536)
QUADRATIC_LENGTHS = (1024, 2048, 4096, 8192)
# Times that softmax attention should take at least, by length.
GOALS = {2048: 3.0, 8192: 10.0}
LARGEST = 2**20
FLOOR = "x * 2 of one array"
ASTROCYTE, UNIT, SOFTMAX = "AM-SU, astrocyte term", "AM-SU, whole unit", "scaled dot product, causal"


def _arms() -> dict[str, Callable[..., Tensor]]:
    """Functions of q, k, v ``[1, time, heads, width]`` and the current ``[1, time, heads * width]``."""
    from torch.nn.functional import scaled_dot_product_attention

    from models.ops.amsu import amsu
    from models.ops.chunked_retention import retention_chunked
    from models.ops.decay import decay, spectrum
    from models.ops.firing import fire

    decays = [decay(tau) for tau in spectrum(HEADS)]

    def softmax(q: Tensor, k: Tensor, v: Tensor, current: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)

    def unit(q: Tensor, k: Tensor, v: Tensor, current: Tensor) -> Tensor:
        terms, _ = amsu(q, k, v, current, decays=decays, leak=0.5)
        return fire(terms)

    return {ASTROCYTE: lambda q, k, v, current: retention_chunked(q, k, v, decays)[0], UNIT: unit, SOFTMAX: softmax}


def _leaves(arm: str, length: int) -> tuple[list[Tensor], Tensor]:
    import torch

    g = torch.Generator().manual_seed(0)
    q, k, v, d_out = (torch.randn(1, length, HEADS, WIDTH, generator=g) for _ in range(4))
    current = torch.randn(1, length, HEADS * WIDTH, generator=g)
    for x in (q, k, v):
        x.requires_grad_()
    return [q, k, v, current.requires_grad_() if arm == UNIT else current], d_out


def _clocked(function: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the program, and of the system for it."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    function()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


def _one_pass(function: Callable[..., Tensor], leaves: list[Tensor], d_out: Tensor) -> tuple[float, float]:
    import torch

    return _clocked(lambda: torch.autograd.grad(function(*leaves), [x for x in leaves if x.requires_grad], d_out))


def forms_differ_by(length: int = 203) -> float:
    """Largest difference of the chunked and the masked form from the serial one in float64, ragged chunks, relative."""
    import torch

    from models.ops.amsu import FORMS, amsu, membrane
    from models.ops.decay import decay, spectrum

    g = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, length, HEADS, WIDTH, generator=g, dtype=torch.float64) for _ in range(3))
    current = torch.randn(1, length, HEADS * WIDTH, generator=g, dtype=torch.float64)
    decays = [decay(tau) for tau in spectrum(HEADS)]
    found = {form: membrane(amsu(q, k, v, current, decays=decays, leak=0.5, form=form)[0]) for form in FORMS}
    largest = found["serial"].abs().max()
    return float(max((x - found["serial"]).abs().max() for x in found.values()) / largest)


def measure(
    quick: bool = False, *, lengths: Sequence[int] | None = None, width: int | None = None, layers: int | None = None
) -> list[Row]:
    """Rows of training, then of inference. lengths, width, layers : of inference; default 64 to 16,384, 512 and one layer."""
    from . import benchmark_inference as inference

    chosen: dict[str, Any] = {"width": 64, "lengths": (64, 256), "repeats": 2, "quick": True} if quick else {}
    chosen |= {k: v for k, v in {"lengths": lengths, "width": width, "layers": layers}.items() if v}
    check_sizes(chosen)
    return [*training(quick), *inference.measure(**chosen), command()]


def check_sizes(chosen: dict[str, Any]) -> None:
    """AssignmentError for sizes that make no network."""
    for name, value in chosen.items():
        numbers = list(value) if name == "lengths" else [value]
        if name != "quick" and not all(1 <= n <= LARGEST for n in numbers):
            raise AssignmentError(f"--{name} is {value}; expected whole numbers from 1 to {LARGEST:,}")
    width = chosen.get("width", HEADS)
    if width % (2 * HEADS) and width != HEADS:
        raise AssignmentError(f"--width is {width}; expected a multiple of {2 * HEADS}: {HEADS} heads of an even width")


def command() -> Row:
    """The command line, as a row."""
    words = ["astromorphic", *sys.argv[1:]] if sys.argv[0].endswith(("astromorphic", "__main__.py")) else sys.argv
    return {"name": "command", "value": " ".join(words), "unit": ""}


def training(quick: bool = False) -> list[Row]:
    """Rows of times per token, then the ratios that are goals."""
    import torch

    torch.set_num_threads(1)
    difference = forms_differ_by()
    if difference > 1e-10:
        raise RuntimeError(f"the forms of the AM-SU differ by {difference:.1e}; expected at most 1e-10")
    lengths = (256, 512) if quick else LENGTHS
    quadratic = (256, 512) if quick else QUADRATIC_LENGTHS
    arms = _arms()
    taken: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _turn in range(1 if quick else 2):
        for length in lengths:
            for arm, function in arms.items():
                if arm == SOFTMAX and length not in quadratic:
                    continue
                leaves, d_out = _leaves(arm, length)
                for _ in range(max(2, min(10, (4096 if arm == SOFTMAX else 16_384) // length))):
                    taken.setdefault((arm, length), []).append(_one_pass(function, leaves, d_out))
            x = torch.zeros(length, HEADS * WIDTH)
            taken.setdefault((FLOOR, length), []).extend(_clocked(partial(torch.mul, x, 2)) for _ in range(5))
    best = {key: min(passes, key=sum) for key, passes in taken.items()}
    rows: list[Row] = []
    for arm, length in sorted(best):
        value, program = (1e6 * x / length for x in (sum(best[arm, length]), best[arm, length][0]))
        rows.append(
            _row(f"{arm}, {length} tokens", value, "us per token")
            | {"program": program, "passes": len(taken[arm, length])}
        )
    for arm in (ASTROCYTE, UNIT):
        for length in quadratic:
            ratio = sum(best[SOFTMAX, length]) / sum(best[arm, length])
            goal = GOALS.get(length)
            verdict = {"goal": f">= {goal:g}", "met": ratio >= goal} if goal else {}
            rows.append(_row(f"{SOFTMAX} / {arm}, {length} tokens", ratio, "ratio") | verdict)
        each = [sum(best[arm, length]) / length for length in lengths]
        spread = max(each) / min(each)
        rows.append(
            _row(f"slowest / fastest length, {arm}", spread, "ratio") | {"goal": "<= 1.1", "met": spread <= 1.1}
        )
        rows.append(_row(f"longest / shortest length, {arm}", each[-1] / each[0], "ratio"))
    return [*rows, _row("largest relative difference of the forms, float64", difference, "relative")]


def _row(name: str, value: float, unit: str) -> Row:
    return {"name": name, "value": value, "unit": unit}


def table(rows: list[Row]) -> str:
    """One line per row: the value; of a time of training how much is the program's own; quartiles; goals."""
    lines = [f"{'':80} {'value':>9}  {'unit':22} {'program':>9}"]
    for row in rows:
        value = row["value"] if isinstance(row["value"], str) else f"{row['value']:9.3g}"
        more = f"{row['program']:9.2f}" if "program" in row else ""
        if "quartiles" in row:
            more = "{:.3g} to {:.3g}".format(*row["quartiles"])
        if "goal" in row:
            more = f"goal {row['goal']}: {'met' if row['met'] else 'not met'}"
        lines.append(f"{row['name']:80} {value}  {row['unit']:22} {more}".rstrip())
    return "\n".join(lines)
