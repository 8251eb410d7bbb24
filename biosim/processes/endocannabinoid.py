"""2-AG, released by postsynaptic spikes, and its two effects.

    dAG/dt = -AG/tau_AG + dAG sum_k delta(t - t_k)             one per neuron (Wade et al. 2012)
    DSE    = K_AG AG                                           direct and local, K_AG < 0
    dIP3/dt = (IP3* - IP3)/tau_IP3 + r_IP3 sum_neurons AG      indirect, through the astrocyte

The 0.8 uM/s of the published MATLAB acts for one 1 ms step, hence the jump dAG = 0.8e-3 uM, which no time step changes.
"""


def dse(ag, K_AG):
    """Depolarisation-induced suppression of excitation, % (at most 0), at 2-AG `ag` (uM)."""
    return K_AG * ag


def ip3_derivative(ip3, ag_total, IP3_rest, tau_IP3, r_IP3):
    """dIP3/dt in uM/s; `ag_total` (uM) is 2-AG summed over all neurons that touch the astrocyte."""
    return (IP3_rest - ip3) / tau_IP3 + r_IP3 * ag_total


def steady_firing_rate(rate, n_synapses, PR0, K_AG, dAG, tau_AG, esp=0.0):
    """Mean-field firing rate (Hz) of a relay neuron under DSE: N f PR0 (1 + eSP/100) / (1 + N f PR0 kappa).

    kappa = |K_AG| dAG tau_AG / 100 is the relative suppression per Hz. Holds to about 2 % for suprathreshold quanta.
    """
    drive = n_synapses * rate * PR0
    kappa = -K_AG * dAG * tau_AG / 100.0
    return drive * (1.0 + esp / 100.0) / (1.0 + drive * kappa)
