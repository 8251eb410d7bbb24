"""Leaky integrate-and-fire neuron: tau_m dv/dt = -v + R_m I, spike and reset to 0 at v >= v_th, then refractory.

Input arrives as charge, so between events the solution is a plain exponential and one quantum is a jump of v. Values of
Wade et al. 2012: one quantum lifts v by 133 mV against a threshold of 9 mV, so the neuron relays every released quantum.

Continuous currents reach the threshold, and end a refractory time, inside a step; `driven_step` finds both moments. Quanta of
random input fall anywhere into a step, though they act at its end; `refractory_after` keeps the refractory time right on average.
"""

import math


def quantum_jump(quantum, R_m, tau_m):
    """Jump of v (mV) caused by a charge `quantum` (pC) at resistance `R_m` (GOhm) and time constant `tau_m` (s)."""
    return quantum * R_m / tau_m


def constant_current_interval(current, R_m, tau_m, v_th, t_ref):
    """Time (s) between spikes at constant `current` (pA); infinite at or below rheobase v_th / R_m."""
    drive = R_m * current
    return math.inf if drive <= v_th else t_ref + tau_m * math.log(drive / (drive - v_th))


def driven_step(v, wait, gain, decay, half):
    """Potential after a step under a continuous current, before the quanta that arrive at its end.

    Parameters
    ----------
    v : potential at the start (mV), 0 while refractory.
    wait : refractory time left at the start, in steps (any fraction).
    gain : mV that the current alone adds to v = 0 over the whole step (exact, from `linear`).
    decay, half : exp(-dt/tau_m) and dt/(2 tau_m).

    Returns
    -------
    (potential, share) : the share of the step in which the neuron was not refractory. Exact where that is 1; where the
    refractory time ends inside the step, the error is of third order in dt for a constant current, of second for others.
    """
    share = 1.0 - min(wait, 1.0)
    return v * decay + gain * share * (1.0 + (1.0 - share) * half), share


def time_after_crossing(v, v_end, share, half, v_th):
    """Share of the step that is left when the potential, from `v` to `v_end` >= v_th, passes the threshold.

    Inverse of an exponential approach, to second order in the step: the time of a spike has an error of third order in dt
    for a constant current and of second order for a current that changes.
    """
    fraction = (v_th - v) / (v_end - v)
    return share * (1.0 - fraction) * (1.0 + fraction * share * half)


def refractory_after(t_ref, u):
    """Refractory time that is left at the end of the step in which a quantum of random input fired the neuron, in steps.

    The quantum lies anywhere in its step, so t_ref - 1/2 steps are left in the mean, and the next quanta that count are those of
    the first step that ends later than this: quanta act at the ends of steps. The lower digits of `u`, the uniform number of the
    release, decide; the release depends on the upper ones. If quanta counted again t_ref steps after those of the spike, whole
    steps being lost in between, the refractory time would be half a step too short.
    """
    scaled = u * 1048576.0
    return max(t_ref - 0.5 + (scaled - math.floor(scaled)), 0.0)
