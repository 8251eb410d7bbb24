"""The energy that the plasticity network descends while its input is constant.

    E =          sum_i  (leak_x x_i  - b_i)  phi_i  - leak_x L_x
      + w/2   [  sum_ij (leak_s s_ij - c_ij) g_ij   - leak_s L_s ]
      + v/2   [  sum_ij (leak_p p_ij - d_ij) psi_ij - leak_p L_p ]
      - w/2      sum_ij g_ij phi_i phi_j
      - v/2      sum_ij psi_ij g_ij
      - v/4      sum_ijkl T_ijkl psi_ij psi_kl,            w = gain_x, v = gain_x gain_s

where the Lagrangians L_x, L_s, L_p have the derivatives phi, g, psi. Then dE/dphi_i = -tau_x dx_i/dt,
dE/dg_ij = -(w/2) tau_s ds_ij/dt and dE/dpsi_ij = -(v/2) tau_p dp_ij/dt, so dE/dt <= 0 as long as w and v are at least 0.
Source: Kozachkov, Slotine and Krotov, PNAS 2025 (arXiv 2311.08135); gains and leaks other than 1 are ours.
"""

from __future__ import annotations

import numpy as np

from ..ensemble import Array, SimulationError
from .functions import FUNCTIONS
from .network import PlasticityNetwork

# Relative asymmetry that is rounding.
_ROUNDING = 1e-9


def network_energy(network: PlasticityNetwork, state: Array, bias: Array | None = None) -> float:
    """E of one state vector, for the network's own `bias` or the given one [N].

    Raises
    ------
    SimulationError
        E is no energy of these equations: s, p, c or d is not symmetric, T lacks T_ijkl = T_klij = T_jilk, or a gain is
        negative.
    """
    v = network.unpack(state)
    _check(network, v)
    b = network.bias if bias is None else bias
    phi, g, psi = network.activity("phi", v["x"]), network.activity("g", v["s"]), network.activity("psi", v["p"])
    to_s = network.gain_x
    to_p = network.gain_x * network.gain_s

    def lagrangian(name: str, values: Array) -> float:
        return float(np.sum(FUNCTIONS[getattr(network, name)].lagrangian(values, network.steepness)))

    neurons = np.sum((network.leak_x * v["x"] - b) * phi) - network.leak_x * lagrangian("phi", v["x"])
    synapses = np.sum((network.leak_s * v["s"] - network.synapse_bias) * g) - network.leak_s * lagrangian("g", v["s"])
    processes = np.sum((network.leak_p * v["p"] - network.process_bias) * psi) - network.leak_p * lagrangian(
        "psi", v["p"]
    )
    return float(
        neurons
        + 0.5 * to_s * (synapses - phi @ g @ phi)
        + 0.5 * to_p * (processes - np.sum(psi * g))
        - 0.25 * to_p * np.sum(psi * network.spread(psi))
    )


def _check(network: PlasticityNetwork, v: dict[str, Array]) -> None:
    if network.gain_x < 0 or network.gain_s < 0:
        raise SimulationError("gain_x and gain_s: the energy needs both to be at least 0")
    matrices = {"s": v["s"], "p": v["p"], "synapse_bias": network.synapse_bias, "process_bias": network.process_bias}
    for name, matrix in matrices.items():
        if _differ(matrix, np.transpose(matrix)):
            raise SimulationError(f"{name} is not symmetric: the energy needs {name}_ij = {name}_ji")
    t = network.coupling
    if t is not None and (_differ(t, t.transpose(2, 3, 0, 1)) or _differ(t, t.transpose(1, 0, 3, 2))):
        raise SimulationError("coupling is not symmetric: the energy needs T_ijkl = T_klij = T_jilk")


def _differ(a: Array, b: Array) -> bool:
    return bool(np.abs(a - b).max() > _ROUNDING * max(1.0, float(np.abs(a).max())))
