"""IP3 of the G-ChI astrocyte (De Pitta et al. 2009), driven by glutamate and fed back by calcium; calcium as in `li_rinzel`.

    dGamma/dt = O_N Y (1 - Gamma) - Omega_N (1 + zeta Ca/(Ca + K_KC)) Gamma          receptors in the membrane
    dIP3/dt   = O_beta Gamma                                                         phospholipase C beta
              + O_delta/(1 + IP3/kappa_delta) Ca^2/(Ca^2 + K_delta^2)                phospholipase C delta
              - O_3K Ca^4/(Ca^4 + K_D^4) IP3/(IP3 + K_3K)                            3-kinase
              - Omega_5P IP3                                                         5-phosphatase

    dY/dt     = -Omega_c Y + dY sum_quanta delta(t - t_k)                            glutamate in the cleft

Y is glutamate outside the cell. Receptors have an equation of their own, as in Stimberg et al. 2018; the paper of 2009 takes
them in equilibrium. Units: concentrations uM, rates 1/s.

One quantum lets receptors bind at 150 1/s and more, the glutamate is gone after 25 ms, and both happen inside a Runge-Kutta
step of calcium. Hence receptors are advanced in every step of the neurons by `receptor_step`, which needs no short step, and
IP3 gets in its Runge-Kutta step the mean of what they did (`middle_share`).
"""

import math


def receptor_derivative(gamma, glutamate, ca, O_N, Omega_N, zeta, K_KC):
    """dGamma/dt (1/s) of the share `gamma` of receptors that are active, at `glutamate` and calcium `ca` (uM)."""
    return O_N * glutamate * (1.0 - gamma) - Omega_N * (1.0 + zeta * ca / (ca + K_KC)) * gamma


def ip3_derivative(ip3, ca, gamma, O_beta, O_delta, kappa_delta, K_delta, O_3K, K_D, K_3K, Omega_5P):
    """dIP3/dt (uM/s) at IP3 `ip3` and calcium `ca` (uM) with the share `gamma` of active receptors."""
    square = ca * ca
    fourth = square * square
    production = O_beta * gamma + O_delta / (1.0 + ip3 / kappa_delta) * square / (square + K_delta * K_delta)
    kinase = O_3K * fourth / (fourth + K_D * K_D * K_D * K_D) * ip3 / (ip3 + K_3K)
    return production - kinase - Omega_5P * ip3


def receptor_step(gamma, exposure, loss):
    """Share of active receptors after a step, and its mean over the step.

    Parameters
    ----------
    gamma : the share at its start.
    exposure : O_N times the integral of glutamate over the step, exact.
    loss : rate of inactivation at the middle of the step times its length.

    The solution of the equation at a constant rate of binding with the same integral. The term without gamma apart it is
    exact, also where glutamate varies, so the error is of second order in the step for any amount of glutamate. Both
    results lie in [0, 1] if `gamma` does.
    """
    both = exposure + loss
    settled = exposure / both
    left = -math.expm1(-both)
    return gamma + (settled - gamma) * left, settled + (gamma - settled) * (left / both)


def middle_share(start, mean, end):
    """The share that a Runge-Kutta step takes at its middle, so that what IP3 gains in the step is that of the `mean` share.

    Receptors rise by a kink at every release. With the true middle value the production of IP3 would depend on where in the
    step of calcium the release falls; where there is no kink, this is the middle value to fourth order.
    """
    return 0.25 * (6.0 * mean - start - end)
