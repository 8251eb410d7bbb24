"""One look for all figures: the style sheet, the colours, and drawing off screen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe-Ito colours: told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#7a7a7a",
)
PUBLISHED = "#222222"

ARM_COLOURS = {"fitted": BLUE, "alpha025": ORANGE, "alpha1_matched": GREEN, "none": GREY}
ARM_LABELS = {
    "fitted": "fitted response",
    "alpha025": "power law, alpha = 0.25 (paper)",
    "alpha1_matched": "alpha = 1, gain matched",
    "none": "attention off",
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """The project's matplotlib settings, for the time of a drawing."""
    import matplotlib

    with matplotlib.rc_context(fname=str(Path(__file__).with_name("house.mplstyle"))):
        yield


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches with axes, bound to no window and to no global state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)
