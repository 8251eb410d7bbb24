"""One way to either engine of the plasticity network."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import memory
from ..checks import numbers, whole
from ..ensemble import MOST_STEPS, Array, SimulationError
from ..registry import choose
from .network import PlasticityNetwork

# Modules with a function `advance`, imported on first use.
ENGINES = {"numba": "biosim.plasticity.numba_engine", "reference": "biosim.plasticity.reference"}


def stepper(engine: str, options: Mapping[str, Any] | None = None) -> Callable[..., tuple[Array, Array]]:
    """The function `advance` of the engine ``numba`` (Runge-Kutta) or ``reference`` (SciPy).

    Raises
    ------
    SimulationError, UnknownName
        The engine is unknown or has no plasticity network, or there are options, of which these engines have none.
    """
    if engine == "brian2":
        raise SimulationError(
            "engine 'brian2' has no plasticity network: use the engine numba, or reference to compare it with"
        )
    module = importlib.import_module(ENGINES[choose("engine", engine, ENGINES)])
    if options:
        raise SimulationError(
            f"engine_options = {next(iter(options))!r}: the engine {engine} of the plasticity network has no options; leave it "
            "out"
        )
    return module.advance  # type: ignore[no-any-return]


def network_trajectory(
    network: PlasticityNetwork, state: Array, steps: int, dt: float, *, every: int = 1, engine: str = "numba"
) -> Array:
    """States [steps // every, size] of `network` from `state` [size] on under its constant bias, one per `every` steps.

    Parameters
    ----------
    dt : step in s; the engine ``reference`` chooses its own steps and reports at multiples of it.

    Raises
    ------
    SimulationError, UnknownName
        A value has a wrong type, shape or range, `dt` is too large for the time constants, or a state grew without bound.
    """
    if not isinstance(network, PlasticityNetwork):
        raise SimulationError(f"network is {type(network).__name__}: expected a PlasticityNetwork")
    advance = stepper(engine)
    dt = network.check_step(dt)
    steps = whole("steps", steps, 1, MOST_STEPS, SimulationError)
    every = whole("every", every, 1, steps, SimulationError)
    start = numbers("state", state, "1", SimulationError)
    if start.shape != (network.size,) or not np.isfinite(start).all():
        raise SimulationError(
            f"state has shape {start.shape}: expected {(network.size,)} finite numbers, as pack() makes"
        )
    memory.require(16.0 * network.size * (steps // every), f"{steps // every} samples", "raise every", SimulationError)
    end, samples = advance(network, start, network.bias, 0, steps, dt, every)
    check_finite(end, steps * dt)
    return samples


def check_finite(state: Array, time: float) -> None:
    """Raise SimulationError if a state is NaN or infinite."""
    if not np.isfinite(state).all():
        raise SimulationError(
            f"the plasticity network grew without bound before t = {time:g} s: lower dt, the gains or the coupling, or use "
            "bounded non-linearities (tanh, rectified_tanh, logistic)"
        )
