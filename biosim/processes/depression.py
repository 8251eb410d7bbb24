"""Depressing synapse of Tsodyks and Markram 1997/1998, one per synapse, and the gate of Volman et al. 2007.

    dx/dt = z/tau_rec - U x sum_k delta(t - t_k)       recovered resources
    dy/dt = -y/tau_in + U x sum_k delta(t - t_k)       transmitter in the cleft (active resources)
    z     = 1 - x - y                                  inactive resources
    I_syn = A_se y
    df/dt = -f/tau_f + (1 - f) kappa_f Theta(Ca - Ca_th)

U is the release probability PR(t) of this synapse, so 2-AG and e-SP act on it as on a Bernoulli synapse; PR(0) is U at rest.
The gate multiplies what a spike releases by 1 - f.

Every synapse has a train of its own, hence x and y of its own. A mean over synapses would be exact for the mean current alone
(x is independent of the next spike of a Poisson train), and the firing of the neuron depends on more than that.
Between spikes w = 1 - x = y + z obeys dw/dt = (y - w)/tau_rec, a decay driven by a decay, with an exact step (`linear`).
"""

import math


def steady_resources(rate, U, tau_in, tau_rec):
    """Recovered resources x just before each spike of a regular train of `rate` (Hz), once it has settled.

    From w and y before a spike being what they were one interval earlier; between 0 and 1.
    """
    interval = 1.0 / rate
    decay_in, decay_rec = math.exp(-interval / tau_in), math.exp(-interval / tau_rec)
    driven = (decay_in - decay_rec) / (1.0 - tau_rec / tau_in) if tau_in != tau_rec else decay_in * interval / tau_rec
    return 1.0 / (1.0 + U * (decay_rec + driven / (1.0 - decay_in)) / (1.0 - decay_rec))


def mean_resources(rate, U, tau_in, tau_rec):
    """Mean of x under Poisson input of `rate` (Hz), exact: d<x>/dt = 0 with <y> = U <x> rate tau_in."""
    return 1.0 / (1.0 + U * rate * (tau_in + tau_rec))


def gate_derivative(f, above, tau_f, kappa_f):
    """df/dt (1/s) of the gate; `above` says whether Ca >= Ca_th."""
    return -f / tau_f + ((1.0 - f) * kappa_f if above else 0.0)
