"""Glutamate released by the astrocyte and the e-SP it causes.

    dGlu/dt = -Glu/tau_Glu + dGlu sum_j delta(t - t_j)
    tau_eSP deSP/dt = -eSP + m_eSP Glu         form "ode" (Wade et al. 2012; published MATLAB)
    eSP = m_eSP Glu                            form "algebraic" (arXiv 2312.10925, Appendix D)

Rules for the release times t_j:
    upward      one pulse per upward crossing Ca >= Ca_th
    repeated    a pulse at the crossing and every release_period after it for as long as Ca >= Ca_th
    latched     the first crossing sets a flag for good; the first pulse comes one release_period later, then periodically
    continuous  no pulses: dGlu/dt = -Glu/tau_Glu + r_Glu H(Ca - Ca_th), H(0) = 1 (Appendix D)
"""

UPWARD, REPEATED, LATCHED, CONTINUOUS = 0, 1, 2, 3
RULES = {"upward": UPWARD, "repeated": REPEATED, "latched": LATCHED, "continuous": CONTINUOUS}


def release_event(rule, above, was_above, latched, timer, dt, period):
    """Decide on one pulse at the end of an astrocyte step of length `dt` (s).

    Parameters
    ----------
    above, was_above : whether Ca >= Ca_th now and at the end of the step before.
    latched : the flag of the rule "latched".
    timer : s until the next pulse of the periodic rules.

    Returns
    -------
    (pulse, latched, timer) : the pulse as 0.0 or 1.0, and the new flag and timer. The timer keeps its remainder, so the
    mean period is exact although pulses fall on the astrocyte's clock.
    """
    crossing = above and not was_above
    pulse = 0.0
    if rule == UPWARD:
        pulse = 1.0 if crossing else 0.0
    elif rule == REPEATED:
        timer = 0.0 if crossing else timer - dt
        # Half a step of tolerance: sums of decimal steps must not shift a pulse by one step.
        if above and timer < 0.5 * dt:
            pulse = 1.0
            timer = timer + period
    elif rule == LATCHED:
        if latched:
            timer = timer - dt
            if timer < 0.5 * dt:
                pulse = 1.0
                timer = timer + period
        elif crossing:
            latched = True
            timer = period
    return pulse, latched, timer
