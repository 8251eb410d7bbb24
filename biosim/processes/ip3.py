"""What produces IP3, beside 2-AG (`endocannabinoid`).

    glutamate   dIP3/dt = (IP3* - IP3)/tau_IP3 + r sum_synapses y       Volman et al. 2007, Wade et al. 2011
    spikes      dIP3/dt = (IP3* - IP3)/tau_IP3 + dIP3 sum_k delta(t - t_k)

With the source ``receptors`` IP3 is that of the G-ChI astrocyte, see `gchi`.

y is the transmitter of a depressing synapse. The second is r Theta(v - 50 mV) of Nadkarni and Jung 2003: an integrate-and-fire
neuron has no spike that lasts, so r times the time above 50 mV becomes a jump, as in NEST's astrocyte_lr_1994.
"""

AG, GLUTAMATE, SPIKES, RECEPTORS = 0, 1, 2, 3
SOURCES = {"ag": AG, "glutamate": GLUTAMATE, "spikes": SPIKES, "receptors": RECEPTORS}


def relaxation(ip3, IP3_rest, tau_IP3, production):
    """dIP3/dt in uM/s at IP3 `ip3` (uM) and `production` (uM/s)."""
    return (IP3_rest - ip3) / tau_IP3 + production
