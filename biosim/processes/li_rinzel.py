"""Astrocytic calcium after Li and Rinzel 1994, in the form of Nadkarni and Jung 2003 (astrocyte) and De Pitta et al. 2009.

    dCa/dt = J_chan + J_leak - J_pump
    dh/dt  = a2 (Q2 - (Q2 + Ca) h)

Units: concentrations uM, rates 1/s, fluxes uM/s. All functions take and return floats.
"""


def inactivation_concentration(ip3, d1, d2, d3):
    """Q2 = d2 (IP3 + d1) / (IP3 + d3), uM: calcium at which half of the receptors are inactivated."""
    return d2 * (ip3 + d1) / (ip3 + d3)


def derivatives(ca, h, ip3, r_C, r_L, v_ER, k_ER, c0, c1, a2, d1, d2, d3, d5):
    """Time derivatives (dCa/dt in uM/s, dh/dt in 1/s) at calcium `ca`, gate `h` and IP3 `ip3`.

    The term c0 - (1 + c1) Ca is c1 times the calcium gradient between store and cytosol.
    """
    gate = ip3 / (ip3 + d1) * (ca / (ca + d5)) * h
    gradient = c0 - (1.0 + c1) * ca
    pump = v_ER * ca * ca / (k_ER * k_ER + ca * ca)
    q2 = d2 * (ip3 + d1) / (ip3 + d3)
    dca = (r_C * gate * gate * gate + r_L) * gradient - pump
    dh = a2 * (q2 - (q2 + ca) * h)
    return dca, dh


def channel(ip3, r_C, a2, d1, d2, d3):
    """What IP3 alone decides in `derivatives`: r_C (IP3/(IP3 + d1))^3 in 1/s and a2 Q2 in 1/s, with one division."""
    bound, other = ip3 + d1, ip3 + d3
    both = 1.0 / (bound * other)
    share = ip3 * other * both
    return r_C * (share * share * share), a2 * d2 * (bound * bound * both)


def derivatives_at(ca, h, opening, binding, r_L, v_ER, k_ER, c0, c1, a2, d5):
    """`derivatives` with the two values of `channel` given, and one division for the two quotients that are left."""
    square = ca * ca
    pumped, activated = k_ER * k_ER + square, ca + d5
    both = 1.0 / (pumped * activated)
    gate = ca * pumped * both * h
    pump = v_ER * square * (activated * both)
    gradient = c0 - (1.0 + c1) * ca
    return (opening * (gate * gate * gate) + r_L) * gradient - pump, binding - (binding + a2 * ca) * h
