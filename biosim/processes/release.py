"""Release probability of a synapse, and the number of quanta that leave in one time step.

    PR = clip( PR(0) (1 + (DSE + eSP)/100), 0, 1 ),   DSE = K_AG AG

Wade et al. 2012 and arXiv 2312.10925, Appendix D; the clip is applied after the sum. DSE and e-SP are in percent, divided
by 100 exactly once. DSE is that of the synapse's own neuron, e-SP is common to all synapses of the astrocyte.
"""

import math


def release_probability(ag, esp, PR0, K_AG):
    """Release probability at 2-AG `ag` (uM) and e-SP `esp` (%), with PR0 in [0, 1] and K_AG < 0 in %/uM."""
    pr = PR0 * (1.0 + (K_AG * ag + esp) / 100.0)
    return min(max(pr, 0.0), 1.0)


def binomial_count(u, p, n, terms):
    """Quanta released by `n` synapses that each release with probability `p` in a step, from one uniform number `u`.

    Inverts the distribution function; `terms` comparisons are made, so counts above `terms` are cut (exact for
    terms = n). One draw is exact because all synapses of a neuron share `p`. Needs p < 1 and (1 - p)^n above the smallest
    floating-point number.
    """
    odds = p / (1.0 - p)
    mass = (1.0 - p) ** n
    cumulative = mass
    count = 0.0
    for k in range(terms):
        count += 1.0 if u >= cumulative else 0.0
        mass *= odds * ((n - k) / (k + 1.0))
        cumulative += mass
    return count


def few_releases(u, p, n):
    """The count of `binomial_count` where it is at most 2, else infinity: three terms and no division.

    The distribution function begins q^(n-2) (q^2 + n p q + n (n-1)/2 p^2), q = 1 - p. At 10 Hz and steps of 1 ms more than
    two of ten synapses release in less than 1 of 8000 steps; the kernel then takes `binomial_count` of the same `u`.
    """
    q = 1.0 - p
    tail = q ** (n - 2)
    none = q * q * tail
    one = none + n * (p * q * tail)
    two = one + 0.5 * n * (n - 1) * (p * p * tail)
    return (1.0 if u >= none else 0.0) + (1.0 if u >= one else 0.0) + (math.inf if u >= two else 0.0)


def binomial_count_of(u, p, working, n, terms):
    """As `binomial_count`, for the `working` ones of `n` synapses; 0 <= working <= n differs between units.

    (1 - p)^working is built from the binary digits of `working`, the number of which follows from `n`: no general power.
    """
    odds = p / (1.0 - p)
    mass = 1.0
    power = 1.0 - p
    digits = working
    ceiling = n
    while ceiling > 0:
        mass = mass * power if digits % 2 == 1 else mass
        power = power * power
        digits = digits // 2
        ceiling = ceiling // 2
    cumulative = mass
    count = 0.0
    for k in range(terms):
        count += 1.0 if u >= cumulative else 0.0
        mass *= odds * ((working - k) / (k + 1.0))
        cumulative += mass
    # After `working` terms the sum is 1 but for rounding, which must not release one more.
    return min(count, 1.0 * working)


def up_to_two(u, p, n):
    """`few_releases` for a `u` at which the count is known to be at most 2: two terms.

    The first two of the distribution function are q^(n-2) q^2 and q^(n-2) q (1 + (n - 1) p).
    """
    q = 1.0 - p
    if n == 1:
        return 1.0 if u >= q else 0.0
    tail = q ** (n - 2)
    count = 1.0 if u >= q * q * tail else 0.0
    return 2.0 if u >= q * (1.0 + (n - 1) * p) * tail else count


def two_at_most(p, n):
    """Probability that at most two of `n` synapses release; a little less than 1 allows for rounding."""
    q = 1.0 - p
    return q ** (n - 2) * (q * q + n * p * q + 0.5 * n * (n - 1) * p * p) - 1e-14 if n > 2 else 2.0
