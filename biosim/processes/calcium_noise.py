"""Stochastic Li-Rinzel calcium: the noise of N IP3 receptors that open and close by chance, after Shuai and Jung 2002.

    dh = ( alpha (1 - h) - beta h ) dt + s sqrt( (alpha (1 - h) + beta h)/N ) dW,    alpha = a2 Q2,  beta = a2 Ca

s = 1 is the Langevin form of N independent receptors, s = 0 the deterministic model. In the sense of Ito: a step of length dt
takes the deterministic step and adds the noise of its start, so its paths converge with order 1/2 in dt and its moments with
order 1. The Gaussian noise can leave [0, 1], above all with few receptors; h is then set to the bound.
"""

import math


def intensity(ca, h, ip3, a2, d1, d2, d3):
    """alpha (1 - h) + beta h, 1/s: what dh/dt would be if openings and closings added up; at least 0 for h in [0, 1]."""
    q2 = d2 * (ip3 + d1) / (ip3 + d3)
    return a2 * (q2 * (1.0 - h) + ca * h)


def normal(u, w):
    """A standard normal number from two uniform numbers on [0, 1) (Box and Muller 1958)."""
    return math.sqrt(-2.0 * math.log(1.0 - u)) * math.cos(2.0 * math.pi * w)


def within(h):
    """`h`, set to the nearer bound of [0, 1] if it lies outside."""
    return min(max(h, 0.0), 1.0)
