"""The astrocyte term by the kernels of flash-linear-attention on a GPU (extra `gpu`); everything works without them.

What AM-SU and RetNet compute is that package's "simple GLA" with one constant gate per head: S_t = exp(g) S_{t-1} + k_t v_t^T,
o_t = scale S_t^T q_t, with g = log gamma; its state is ours divided by the scale. Its own functions named retention have
RetNet's decays built in and are of no use here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelError
from .precision import widen, without_autocast
from .retention import check_shapes, default_scale, start_of

BACKENDS = ("auto", "torch", "fla")
# The matrix products of Triton take no smaller ones.
_NARROWEST = 16
# e^-80: to a float32 state nothing is left.
_STRONGEST = -80.0


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("fla") is not None and importlib.util.find_spec("triton") is not None


def _lacks(query: Tensor, value: Tensor) -> str | None:
    """What stands in the way of the kernels, or None."""
    if query.device.type != "cuda":
        return f"the tensors are on {query.device.type}, and its kernels run on a GPU"
    if not _installed():
        return "the package is not installed"
    if query.dtype == torch.float64:
        return "its kernels have no float64"
    if min(query.shape[-1], value.shape[-1]) < _NARROWEST:
        return f"heads are {query.shape[-1]} wide, and its kernels want at least {_NARROWEST}"
    return None


def kernel_for(backend: str, query: Tensor, value: Tensor) -> str:
    """Which of torch and fla does the chunked form, for tensors ``[batch, time, heads, dim]``.

    Raises ModelError where fla is asked for and cannot be had.
    """
    if backend == "torch":
        return "torch"
    lacks = _lacks(query, value)
    if lacks and backend == "fla":
        raise ModelError(
            f"backend is 'fla' (flash-linear-attention), but {lacks}; set backend to 'auto' or 'torch', or use a GPU and install "
            "the extra: pip install 'astromorphic[gpu]'"
        )
    return "torch" if lacks else "fla"


@without_autocast
def retention_kernel(
    query: Tensor, key: Tensor, value: Tensor, decays: Sequence[float], *, state: Tensor | None = None,
    scale: float | None = None, function: Any = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`retention.retention_serial` by flash-linear-attention; same arguments, results in float32.

    function : default `fla.ops.simple_gla.chunk_simple_gla`; anything with its arguments.
    """
    check_shapes(query, key, value, decays, state)
    c, start = default_scale(query, scale), start_of(state, query, value)
    if not query.shape[1]:
        return widen(value[:, :0]), start
    if c == 0.0:
        raise ModelError("scale is 0; expected another number: nothing would be written into the state")
    if function is None:
        function = importlib.import_module("fla.ops.simple_gla").chunk_simple_gla
    logs = [max(math.log(gamma), _STRONGEST) if gamma > 0.0 else _STRONGEST for gamma in decays]
    gate = torch.tensor(logs, dtype=start.dtype, device=query.device)
    # There the factor is the query's, here it is in the state.
    out, last = function(
        query,
        key.to(query.dtype),
        value.to(query.dtype),
        g_gamma=gate,
        scale=c,
        initial_state=start / c,
        output_final_state=True,
    )
    return widen(out), c * last.to(start.dtype)
