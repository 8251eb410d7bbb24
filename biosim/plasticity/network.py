"""Neurons x, facilitation s of the synapses between them, astrocyte processes p at the synapses, long-term processes p^l.

    tau_x  dx_j/dt     = -leak_x x_j     + gain_x sum_i g(s_ij) phi(x_i)       + b_j
    tau_s  ds_ij/dt    = -leak_s s_ij    + phi(x_i) phi(x_j) + gain_s psi(p_ij) + c_ij
    tau_p  dp_ij/dt    = -leak_p p_ij    + sum_kl T_ijkl psi(p_kl) + g(s_ij)   + d_ij
    tau_pl dp^l_ij/dt  = -leak_pl p^l_ij + kappa(s_ij)                         (nothing depends on p^l)

The first three lines are the general form of Kozachkov, Slotine and Krotov (PNAS 2025, arXiv 2311.08135) with
f = phi phi + psi and kappa = g, which admits an energy (see `energy`); the gains are ours, and 1 there. All four together
are equations 1 to 3 of RMAAT (arXiv 2601.00426) and its neurons, with p for its short-term process p^s.

i is the presynaptic, j the postsynaptic neuron. States are arrays x [N] and s, p, p^l [N, N], or all of them in one vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import memory
from ..checks import numbers, real, whole
from ..ensemble import Array, SimulationError
from ..messages import shown
from ..registry import choose
from .functions import FUNCTIONS, value

# Beyond these no time constant, leak, gain or steepness makes sense, and products stay within floating-point numbers.
_SMALLEST, _LARGEST = 1e-9, 1e9


@dataclass(frozen=True)
class LongTerm:
    """The leaky integrator p^l: time constant tau (s), leak, and the name of the non-linearity kappa of s."""

    tau: float
    leak: float = 1.0
    kappa: str = "tanh"


@dataclass(frozen=True, eq=False)
class PlasticityNetwork:
    """The equations of this module for N neurons and N x N synapses.

    Parameters
    ----------
    n_neurons : N.
    coupling : T [N, N, N, N], indices i, j, k, l; None for no coupling between processes.
    patterns : rows of a memory [K, N], instead of `coupling`: T_ijkl = N^-3 sum_mu xi_i xi_j xi_k xi_l, never made in full.
    bias, synapse_bias, process_bias : b [N], c [N, N], d [N, N]; default 0. The neurons' bias is their input.
    tau_x, tau_s, tau_p : time constants, s. leak_x, leak_s, leak_p : leaks, at least 0. gain_x, gain_s : gains.
    phi, g, psi : names of the non-linearities (see `functions`), steepness : their common slope k.
    long_term : the long-term processes, if there are any.

    Raises
    ------
    SimulationError, UnknownName
        A value has a wrong type, shape or range, a name is unknown, or T does not fit in memory.
    """

    n_neurons: int
    coupling: Array | None = None
    patterns: Array | None = None
    bias: Any = 0.0
    synapse_bias: Any = 0.0
    process_bias: Any = 0.0
    tau_x: float = 1.0
    tau_s: float = 1.0
    tau_p: float = 1.0
    leak_x: float = 1.0
    leak_s: float = 1.0
    leak_p: float = 1.0
    gain_x: float = 1.0
    gain_s: float = 1.0
    phi: str = "tanh"
    g: str = "tanh"
    psi: str = "tanh"
    steepness: float = 1.0
    long_term: LongTerm | None = None

    def __post_init__(self) -> None:
        n = whole("n_neurons", self.n_neurons, 1, 10**6, SimulationError)
        object.__setattr__(self, "n_neurons", n)
        for name in ("tau_x", "tau_s", "tau_p", "steepness"):
            object.__setattr__(self, name, _within(name, getattr(self, name), _SMALLEST))
        for name in ("leak_x", "leak_s", "leak_p"):
            object.__setattr__(self, name, _within(name, getattr(self, name), 0.0))
        for name in ("gain_x", "gain_s"):
            object.__setattr__(self, name, _within(name, getattr(self, name), -_LARGEST))
        for name in ("phi", "g", "psi"):
            choose(f"non-linearity {name}", getattr(self, name), FUNCTIONS)
        if self.long_term is not None:
            if not isinstance(self.long_term, LongTerm):
                raise SimulationError(f"long_term = {shown(self.long_term)}: expected a LongTerm or None")
            _within("long_term tau", self.long_term.tau, _SMALLEST)
            _within("long_term leak", self.long_term.leak, 0.0)
            choose("non-linearity kappa", self.long_term.kappa, FUNCTIONS)
        for name, shape in (("bias", (n,)), ("synapse_bias", (n, n)), ("process_bias", (n, n))):
            object.__setattr__(self, name, _array(name, getattr(self, name), shape))
        if self.coupling is not None and self.patterns is not None:
            raise SimulationError("coupling and patterns are two ways to give T: give one of them")
        if self.coupling is not None:
            object.__setattr__(self, "coupling", _array("coupling", self.coupling, (n, n, n, n)))
        if self.patterns is not None:
            patterns = np.atleast_2d(numbers("patterns", self.patterns, "1", SimulationError))
            object.__setattr__(self, "patterns", _array("patterns", patterns, (len(patterns), n)))

    @property
    def size(self) -> int:
        """Length of the state vector: N + 2 N^2, or N + 3 N^2 with long-term processes."""
        return self.n_neurons + (2 if self.long_term is None else 3) * self.n_neurons**2

    def pack(self, x: Any = 0.0, s: Any = 0.0, p: Any = 0.0, long_term: Any = 0.0) -> Array:
        """One state vector of x [N] and s, p, p^l [N, N]; a number stands for an array of it."""
        n = self.n_neurons
        parts = [_array("x", x, (n,)), _array("s", s, (n, n)), _array("p", p, (n, n))]
        if self.long_term is not None:
            parts.append(_array("long_term", long_term, (n, n)))
        return np.concatenate([part.ravel() for part in parts])

    def unpack(self, states: Array) -> dict[str, Array]:
        """Views of x [..., N] and s, p, long_term [..., N, N] in states [..., size]."""
        n = self.n_neurons
        views = {"x": states[..., :n]}
        for k, name in enumerate(("s", "p", "long_term")[: (self.size - n) // n**2]):
            block = states[..., n + k * n * n : n + (k + 1) * n * n]
            views[name] = block.reshape(*states.shape[:-1], n, n)
        return views

    def activity(self, name: str, state: Array) -> Array:
        """phi, g or psi (by `name`) of `state`."""
        result: Array = value(FUNCTIONS[getattr(self, name)].code, state, self.steepness)
        return result

    def spread(self, psi: Array) -> Array:
        """sum_kl T_ijkl psi_kl, [N, N]."""
        if self.coupling is not None:
            return np.asarray(np.tensordot(self.coupling, psi, axes=2), dtype=np.float64)
        if self.patterns is not None:
            overlap = np.einsum("mk,kl,ml->m", self.patterns, psi, self.patterns, optimize=True)
            return np.asarray(self.memory_scale * (self.patterns.T * overlap) @ self.patterns, dtype=np.float64)
        return np.zeros_like(psi)

    @property
    def memory_scale(self) -> float:
        """N^-3, the factor of the memory in T."""
        return float(self.n_neurons) ** -3

    def derivatives(self, state: Array, bias: Array | None = None) -> Array:
        """Time derivative of the state vector, per s; `bias` [N] instead of the network's own."""
        v = self.unpack(state)
        b = self.bias if bias is None else bias
        phi, g, psi = self.activity("phi", v["x"]), self.activity("g", v["s"]), self.activity("psi", v["p"])
        dx = (-self.leak_x * v["x"] + self.gain_x * (phi @ g) + b) / self.tau_x
        ds = (-self.leak_s * v["s"] + np.outer(phi, phi) + self.gain_s * psi + self.synapse_bias) / self.tau_s
        dp = (-self.leak_p * v["p"] + self.spread(psi) + g + self.process_bias) / self.tau_p
        parts = [dx, ds.ravel(), dp.ravel()]
        if self.long_term is not None:
            kappa = value(FUNCTIONS[self.long_term.kappa].code, v["s"], self.steepness)
            dl = (-self.long_term.leak * v["long_term"] + kappa) / self.long_term.tau
            parts.append(dl.ravel())
        return np.concatenate(parts)

    def check_step(self, dt: float) -> float:
        """`dt` (s) as a number, or SimulationError where a Runge-Kutta step of that length cannot be right."""
        dt = _within("dt", dt, _SMALLEST)
        times = {name: getattr(self, f"tau_{name}") / max(1.0, getattr(self, f"leak_{name}")) for name in "xsp"}
        if self.long_term is not None:
            times["pl"] = self.long_term.tau / max(1.0, self.long_term.leak)
        fastest = min(times, key=lambda name: times[name])
        if dt > 0.5 * times[fastest]:
            raise SimulationError(
                f"dt = {dt:g} s: more than half of the shortest time constant, {times[fastest]:g} s (tau_{fastest} over its "
                f"leak); lower dt to {0.5 * times[fastest]:g} s or less"
            )
        return dt


def associative_memory(patterns: Array, **settings: Any) -> PlasticityNetwork:
    """The dense associative memory of Kozachkov et al.: T from `patterns` [K, N] of -1 and 1, steepness 5.

    The leaks are 0, as in the public code (kozleo/naam, integrate_dynamics), whose starting point is a fixed point of s and
    p for that case alone; `settings` change any field of PlasticityNetwork.
    """
    given = np.atleast_2d(numbers("patterns", patterns, "1", SimulationError))
    if given.size == 0 or not np.isin(given, (-1.0, 1.0)).all():
        raise SimulationError(f"patterns = {shown(patterns)}: expected rows of -1 and 1")
    memory.require(64.0 * given.shape[1] ** 2, f"{given.shape[1]} neurons", "give shorter patterns", SimulationError)
    defaults = {"steepness": 5.0, "leak_x": 0.0, "leak_s": 0.0, "leak_p": 0.0}
    return PlasticityNetwork(given.shape[1], patterns=given, **(defaults | settings))


def cued_state(network: PlasticityNetwork, cue: Array) -> Array:
    """The state from which the memory recalls `cue` [N]: psi = -phi phi^T and g = -T psi, where s and p stand still.

    Source: kozleo/naam, integrate_dynamics. Only for the non-linearity tanh and leaks 0, as `associative_memory` has them.
    """
    if (network.phi, network.g, network.psi) != ("tanh", "tanh", "tanh") or network.leak_s or network.leak_p:
        raise SimulationError("cued_state needs phi, g and psi = 'tanh' and leaks 0: there alone is it a fixed point")
    x = _array("cue", cue, (network.n_neurons,))
    phi = network.activity("phi", x)
    psi = np.asarray(-np.outer(phi, phi), dtype=np.float64)
    # A sum over close patterns may leave the range of tanh.
    g = np.clip(-network.spread(psi), -1 + 1e-12, 1 - 1e-12)
    k = network.steepness
    return network.pack(x, np.arctanh(g) / k, np.arctanh(np.clip(psi, -1 + 1e-15, 1 - 1e-15)) / k)


def _within(name: str, given: Any, low: float) -> float:
    number = real(name, given, "1", SimulationError)
    if not low <= number <= _LARGEST:
        raise SimulationError(f"{name} = {shown(given)}: expected a number from {low:g} to {_LARGEST:g}")
    return number


def _array(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    memory.require(8.0 * float(np.prod([float(n) for n in shape])), f"{name} of shape {shape}", "lower n_neurons",
                   SimulationError)  # fmt: skip
    array = numbers(name, given, "1", SimulationError)
    if array.ndim == 0:
        array = np.full(shape, float(array))
    if array.shape != shape:
        raise SimulationError(f"{name} has shape {array.shape}: expected {shape}")
    if not np.isfinite(array).all():
        raise SimulationError(f"{name} = {shown(given)}: expected finite numbers")
    return np.array(array, dtype=np.float64, order="C")
