"""IP3 through a gap junction, by the difference of IP3 on its two sides.

linear:     J = -F dIP3                                                     F in 1/s: passive diffusion
threshold:  J = -(F/2) (1 + tanh((|dIP3| - theta)/scale)) sign(dIP3)        F in uM/s: little below theta, F above it
J is what the astrocyte gains whose IP3 is larger by dIP3; the other one gains -J. Source: Goldberg, De Pitta, Volman, Berry
and Ben-Jacob 2010; Stimberg, Goodman, Brette and De Pitta 2018, example 5.
"""

from __future__ import annotations

import math

LINEAR, THRESHOLD = range(2)
FORMS = {"linear": LINEAR, "threshold": THRESHOLD}


def flux(form: int, difference: float, strength: float, theta: float, scale: float) -> float:
    """J in uM/s for `difference` dIP3 (uM); `strength` F in 1/s (linear) or uM/s (threshold), theta and scale in uM."""
    if form == LINEAR:
        return -strength * difference
    # (1 + tanh u)/2 = 1/(1 + exp(-2u)): one exponential.
    size = strength / (1.0 + math.exp(-2.0 * (abs(difference) - theta) / scale))
    if difference > 0.0:
        return -size
    return size if difference < 0.0 else 0.0


def steepest(form: int, strength: float, scale: float) -> float:
    """Greatest slope of the flux, 1/s: F, or F/(2 scale) in the middle of the threshold."""
    return strength if form == LINEAR else 0.5 * strength / scale
