"""Slow inward current (SIC): what astrocytic calcium sends into a neuron, beside the synapses.

    I(Ca) = A ln(y) Theta(ln y),   y = (Ca - Ca_0)/(1 nM)      Nadkarni and Jung 2003; NEST astrocyte_lr_1994
    I(t)  = A ln(y) sum_j ( exp(-(t - t_j)/tau_d) - exp(-(t - t_j)/tau_r) ) / peak      event form, Wade et al. 2011

The first form follows calcium at every moment. In the second, each upward crossing of Ca_th starts a transient whose peak is
the Nadkarni-Jung value of calcium at the crossing, which is Ca_th itself. A positive current depolarises.

Nadkarni and Jung give A = 2.11 uA/cm^2. For this neuron (tau_m/R_m = 50 pF, hence 5e-5 cm^2 at 1 uF/cm^2) that is 105.5 pA:
673 mV at 0.4 uM of calcium against a threshold of 9 mV, a spike after every refractory time. Hence A is a parameter.
"""

import math

NONE, INSTANTANEOUS, EVENTS = 0, 1, 2
FORMS = {"none": NONE, "instantaneous": INSTANTANEOUS, "events": EVENTS}


def nadkarni_jung(ca, scale, offset):
    """Current (pA, at least 0) at calcium `ca` (uM); `scale` in pA per unit of ln y, `offset` Ca_0 in uM.

    y is in nM: the current begins one nM above the offset, continuously.
    """
    y = (ca - offset) * 1000.0
    return scale * math.log(y) if y > 1.0 else 0.0


def event_peak(tau_rise, tau_decay):
    """Greatest value of exp(-t/tau_decay) - exp(-t/tau_rise), by which a transient is divided; needs tau_rise < tau_decay."""
    ratio = tau_rise / tau_decay
    return ratio ** (ratio / (1.0 - ratio)) * (1.0 - ratio)
