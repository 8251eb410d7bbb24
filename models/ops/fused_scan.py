"""`scan.hebbian_scan` by the compiled kernel of `scan_kernel`: the same numbers in one pass over the tokens.

Registered as operators of torch, so that a compiled model calls them as they are. Threads are plain ones that live for one
call, as many as torch uses: the kernel holds no lock, numba's own pool ends the process when two Python threads enter it
at once, and a pool that outlives the call is lost in a forked process.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# States are stored every so many tokens; in float32 with 64 x 64 states that is as much memory as one of the inputs.
CHUNK = 64
# Evaluations of the sigmoid below which a second thread costs more than it brings.
WORTH_A_THREAD = 1_000_000
DTYPES = (torch.float32, torch.float64)


@functools.cache
def _numba_is_here() -> bool:
    return importlib.util.find_spec("numba") is not None


def available(*tensors: Tensor) -> bool:
    """Whether the kernel can take these: on the CPU, all in float32 or all in float64, and numba installed."""
    first = tensors[0]
    same = all(x.device.type == "cpu" and x.dtype == first.dtype for x in tensors)
    return same and first.dtype in DTYPES and _numba_is_here()


def _share(run: Callable[..., None], arguments: Sequence[Any], rows: int, work: int) -> None:
    """run(*arguments, first, last) over all rows, on as many threads as torch uses and as the work is worth."""
    threads = min(torch.get_num_threads(), rows, work // WORTH_A_THREAD)
    if threads <= 1:
        run(*arguments, 0, rows)
        return
    # Small pieces that whoever is free takes: one core may be busy with something else.
    size = max(1, rows // (4 * threads))
    pieces = iter(range(0, rows, size))
    lock = threading.Lock()
    failures: list[BaseException] = []

    def work_off() -> None:
        try:
            while True:
                with lock:
                    first = next(pieces, None)
                if first is None:
                    return
                run(*arguments, first, min(first + size, rows))
        except BaseException as error:
            failures.append(error)

    helpers = [threading.Thread(target=work_off) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    work_off()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]


@torch.library.custom_op("astromorphic::hebbian_scan", mutates_args=())
def _scan(
    q: Tensor, kappa: Tensor, v: Tensor, start: Tensor, scale: float, chunk: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from . import scan_kernel

    out, final, kept = _shapes(q, kappa, v, start, scale, chunk, keep)
    batch, time, heads, m = q.shape
    double = q.dtype == torch.float64
    run = scan_kernel.forward(double, scan_kernel.lanes_for(v.shape[-1]))
    arrays = [x.detach().numpy() for x in (q, kappa, v, start, out, final, kept)]
    number = arrays[0].dtype.type
    _share(run, (*arrays, number(0.5 * scale), chunk), batch * heads, batch * time * heads * m * v.shape[-1])
    return out, final, kept


@_scan.register_fake
def _shapes(
    q: Tensor, kappa: Tensor, v: Tensor, start: Tensor, scale: float, chunk: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    batch, time, heads, m = q.shape
    d = v.shape[-1]
    chunks = -(-time // chunk) if keep else 0
    return (
        v.new_empty(batch, time, heads, d),
        start.new_empty(batch, heads, m, d),
        v.new_empty(batch, heads, chunks, m, d),
    )


@torch.library.custom_op("astromorphic::hebbian_scan_backward", mutates_args=())
def _scan_backward(
    q: Tensor, kappa: Tensor, v: Tensor, kept: Tensor, d_out: Tensor, d_final: Tensor, scale: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from . import scan_kernel

    gradients = _gradient_shapes(q, kappa, v, kept, d_out, d_final, scale, chunk)
    batch, time, heads, m = q.shape
    double = q.dtype == torch.float64
    run = scan_kernel.backward(double, scan_kernel.lanes_for(m))
    arrays = [x.detach().numpy() for x in (q, kappa, v, kept, d_out, d_final, *gradients)]
    number = arrays[0].dtype.type
    numbers = (number(scale), number(0.5 * scale), number(0.25))
    _share(run, (*arrays, *numbers, chunk), batch * heads, batch * time * heads * m * v.shape[-1])
    return gradients


@_scan_backward.register_fake
def _gradient_shapes(
    q: Tensor, kappa: Tensor, v: Tensor, kept: Tensor, d_out: Tensor, d_final: Tensor, scale: float, chunk: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), kappa.new_empty(kappa.shape), v.new_empty(v.shape), d_final.new_empty(d_final.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, kappa, v, _, ctx.scale, ctx.chunk, _ = inputs
    ctx.save_for_backward(q, kappa, v, output[2])
    # Zeros in place of absent gradients, also for the kept states, would be as large as those.
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_out: Tensor | None, d_final: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    q, kappa, v, kept = ctx.saved_tensors
    batch, _time, heads, m = q.shape
    d_out = torch.zeros_like(v) if d_out is None else d_out
    d_final = v.new_zeros(batch, heads, m, v.shape[-1]) if d_final is None else d_final
    gradients = _scan_backward(q, kappa, v, kept, d_out, d_final, ctx.scale, ctx.chunk)
    return (*gradients, None, None, None)


_scan.register_autograd(_differentiate, setup_context=_remember)


def fused_scan(
    q: Tensor, kappa: Tensor, v: Tensor, start: Tensor, *, scale: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """`scan.hebbian_scan`, same arguments and results; all tensors must pass `available`.

    Memory: one state per thread at work, and for the backward pass time/chunk states per batch and head.
    """
    chunk = max(1, min(chunk, q.shape[1]))
    needed = torch.is_grad_enabled() and any(x.requires_grad for x in (q, kappa, v, start))
    out, final, _ = _scan(q, kappa, v, start, float(scale), chunk, needed)
    return out, final


def running_sum(x: Tensor, start: Tensor, *, compiled: bool, reverse: bool = False) -> Tensor:
    """start + sum of x over time up to each token, or from it on with `reverse`; not differentiable.

    x ``[batch, time, heads, m]``, start ``[batch, heads, m]``. `compiled`: by the kernel.
    """
    if not compiled:
        sums = x.flip(1).cumsum(1).flip(1) if reverse else x.cumsum(1)
        return sums + start[:, None]
    from . import scan_kernel

    out = x.new_empty(x.shape)
    arrays = [a.detach().numpy() for a in (x, start, out)]
    scan_kernel.running_sum(x.dtype == torch.float64)(*arrays, reverse)
    return out
