"""Published curves that come with the package, each with where it was read."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from biosim.registry import choose

from .measure import Curve

# The calcium axis of the published figure has arbitrary units and the paper gives no resting level. The set `wade2012`
# reproduces the curve to 4 %, so its fixed point stands in for the resting level; with_resting_calcium() changes it.
_WADE2012_REST_UM = 0.07222178
_VARIANTS = {
    "nonlinearity_and_position": "both features",
    "nonlinearity_only": "without position",
    "position_only": "without the non-linearity",
    "neither": "neither feature",
}


@dataclass(frozen=True)
class _Published:
    """A curve of a file in bridge/data: columns of x and y, and the variant (None: the whole file)."""

    filename: str
    x: str
    y: str
    source: str
    variant: str | None = None


_PUBLISHED = {
    "astromorphic_fig3": _Published(
        "astromorphic_fig3.csv",
        "input_rate_hz",
        "ca_au",
        "Fig. 3 of arXiv 2312.10925, digitised, arbitrary units read as uM; resting calcium assumed, fixed point "
        "of wade2012",
    )
} | {
    f"astromorphic_fig4_{task}_{variant}": _Published(
        f"astromorphic_fig4_{task}.csv",
        "epoch",
        "test_accuracy_percent",
        f"Fig. 4 of arXiv 2312.10925, {title}, {words}, digitised; epochs rounded",
        variant,
    )
    for task, title in (("imdb", "IMDB"), ("cifar10", "CIFAR-10"))
    for variant, words in _VARIANTS.items()
}


def published_names() -> tuple[str, ...]:
    """Names of the built-in published curves."""
    return tuple(_PUBLISHED)


def published(name: str) -> Curve:
    """A built-in published curve; see `published_names`. None has trials.

    `astromorphic_fig3` is calcium (uM) against rate (Hz), with an assumed resting calcium. The `astromorphic_fig4_...` are
    learning curves, test accuracy (%) against epoch (1): families fit them like any curve, macro files refuse them.

    Raises
    ------
    UnknownName
        Listing the built-in curves.
    """
    entry = _PUBLISHED[choose("published curve", name, _PUBLISHED)]
    text = files("bridge").joinpath("data", entry.filename).read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    if entry.variant is None:
        return Curve(
            x=np.array([float(row[entry.x]) for row in rows]),
            y=np.array([float(row[entry.y]) for row in rows]),
            resting_calcium=_WADE2012_REST_UM,
            source=entry.source,
            provenance={"published": name},
        )
    # The digitised epochs are off by a few thousandths, and each line of IMDB ends with its last point drawn twice.
    points: dict[int, float] = {}
    for row in rows:
        if row["variant"] == entry.variant:
            points.setdefault(round(float(row[entry.x])), float(row[entry.y]))
    return Curve(
        x=np.array([*points], dtype=float),
        y=np.array([*points.values()]),
        x_name="epoch",
        y_name="test accuracy",
        x_unit="1",
        y_unit="%",
        source=entry.source,
        provenance={"published": name},
    )
