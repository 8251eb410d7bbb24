"""Units that a measured curve may come in, and their factors to Hz and uM."""

from __future__ import annotations

import unicodedata

RATE: dict[str, float] = {
    "Hz": 1.0,
    "1/s": 1.0,
    "s^-1": 1.0,
    "s-1": 1.0,
    "spikes/s": 1.0,
    "mHz": 1e-3,
    "kHz": 1e3,
    "1/ms": 1e3,
    "1/min": 1 / 60,
}
CONCENTRATION: dict[str, float] = {
    "uM": 1.0,
    "umol/l": 1.0,
    "umol/L": 1.0,
    "pM": 1e-6,
    "nM": 1e-3,
    "nmol/l": 1e-3,
    "nmol/L": 1e-3,
    "mM": 1e3,
    "mmol/l": 1e3,
    "mmol/L": 1e3,
    "M": 1e6,
    "mol/l": 1e6,
    "mol/L": 1e6,
    "mol/m^3": 1e3,
}
# What the factors lead to, by the name of the quantity.
STANDARD = {"rate": ("Hz", RATE), "concentration": ("uM", CONCENTRATION)}


def normalised(unit: str) -> str:
    """`unit` with one way of writing micro and exponents, without spaces; case is kept, as M and m differ."""
    text = unicodedata.normalize("NFKC", unit).replace("\N{GREEK SMALL LETTER MU}", "u").replace("**", "^")
    return "".join(text.replace("\N{MINUS SIGN}", "-").split())
