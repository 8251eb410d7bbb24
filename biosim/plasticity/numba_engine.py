"""Engine ``numba`` of the plasticity network: classical Runge-Kutta steps of fixed length, order 4, compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from ..ensemble import Array
from .functions import FUNCTIONS
from .network import PlasticityNetwork


def advance(
    network: PlasticityNetwork, state: Array, bias: Array, first: int, steps: int, dt: float, every: int
) -> tuple[Array, Array]:
    """Advance `state` [size] by `steps` steps of `dt` (s), the first of which has the index `first`.

    Returns
    -------
    (state at the end, samples [n, size] at the steps whose index, counted from 1, is a multiple of `every`; 0: none).
    """
    n, long_term = network.n_neurons, network.long_term
    run = _kernel()
    names = (network.phi, network.g, network.psi, "linear" if long_term is None else long_term.kappa)
    codes = tuple(FUNCTIONS[name].code for name in names)
    coupling = np.zeros((0, 0)) if network.coupling is None else network.coupling.reshape(n * n, n * n)
    patterns = np.zeros((0, n)) if network.patterns is None else network.patterns
    tau_pl, leak_pl = (1.0, 1.0) if long_term is None else (long_term.tau, long_term.leak)
    rates = np.array(
        [network.tau_x, network.leak_x, network.tau_s, network.leak_s, network.tau_p, network.leak_p, tau_pl, leak_pl]
    )
    y = np.array(state, dtype=np.float64)
    samples = np.empty(((first + steps) // every - first // every if every else 0, y.size))
    run(
        y, codes, np.ascontiguousarray(bias, dtype=np.float64), network.synapse_bias, network.process_bias, coupling, patterns,
        network.memory_scale, rates, float(network.gain_x), float(network.gain_s), float(network.steepness), float(dt),
        int(first), int(steps), int(every), samples,
    )  # fmt: skip
    return y, samples


def _kernel() -> Callable[..., int]:
    from . import kernels

    try:
        return kernels.kernel(source_stamp())
    except RuntimeError:
        # No folder for the compiler's disk cache is writable; compile for this process alone.
        return kernels.kernel(source_stamp(), cache=False)


@cache
def source_stamp() -> str:
    """Digest of everything that a compiled kernel depends on: the sources of this package, numba's version."""
    import numba

    digest = hashlib.sha256(f"numba {numba.__version__}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
