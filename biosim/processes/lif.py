"""Leaky integrate-and-fire neuron: tau_m dv/dt = -v + R_m I, spike and reset to 0 at v >= v_th, then refractory.

Input arrives as charge, so between events the solution is a plain exponential and one quantum is a jump of v. Values of
Wade et al. 2012: one quantum lifts v by 133 mV against a threshold of 9 mV, so the neuron relays every released quantum.
"""


def quantum_jump(quantum, R_m, tau_m):
    """Jump of v (mV) caused by a charge `quantum` (pC) at resistance `R_m` (GOhm) and time constant `tau_m` (s)."""
    return quantum * R_m / tau_m


def constant_current_interval(current, R_m, tau_m, v_th, t_ref):
    """Time (s) between spikes at constant `current` (pA); infinite at or below rheobase v_th / R_m."""
    import math

    drive = R_m * current
    return math.inf if drive <= v_th else t_ref + tau_m * math.log(drive / (drive - v_th))
