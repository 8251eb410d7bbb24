"""IP3 through a gap junction, by the difference dIP3 of IP3 between its two sides.

linear:     J = -F dIP3                                                               F in 1/s: passive diffusion
threshold:  J = -(F/2) (tanh((dIP3 - theta)/scale) + tanh((dIP3 + theta)/scale))      F in uM/s: little below theta, F above
J is what the side gains that has dIP3 more; the other one gains -J. Source of both forms: Goldberg, De Pitta, Volman, Berry
and Ben-Jacob 2010. There, and in Stimberg, Goodman, Brette and De Pitta 2018, example 5, the second one reads
-(F/2) (1 + tanh((|dIP3| - theta)/scale)) sign(dIP3), which jumps by 2 F/(1 + exp(2 theta/scale)) at dIP3 = 0, so that two
astrocytes with equal IP3 never settle. The odd function here has no jump and is nowhere farther from it than half of that,
6e-6 F at the published theta/scale = 6.
"""

from __future__ import annotations

import math

LINEAR, THRESHOLD = range(2)
FORMS = {"linear": LINEAR, "threshold": THRESHOLD}


def flux(form: int, difference: float, strength: float, theta: float, scale: float) -> float:
    """J in uM/s for `difference` dIP3 (uM); `strength` F in 1/s (linear) or uM/s (threshold), theta and scale in uM."""
    if form == LINEAR:
        return -strength * difference
    # (1 + tanh u)/2 = 1/(1 + exp(-2u)).
    per_scale = 2.0 / scale
    outward = 1.0 / (1.0 + math.exp((theta - difference) * per_scale))
    inward = 1.0 / (1.0 + math.exp((theta + difference) * per_scale))
    return -strength * (outward - inward)


def steepest(form: int, strength: float, theta: float, scale: float) -> float:
    """Slope of the flux where it is greatest, 1/s: F, or at the threshold, which for a theta near 0 is at dIP3 = 0."""
    if form == LINEAR:
        return strength
    width = min(theta / scale, 300.0)
    return 0.5 * strength / scale * max(1.0 + 1.0 / math.cosh(2.0 * width) ** 2, 2.0 / math.cosh(width) ** 2)
