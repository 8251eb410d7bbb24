"""What enters the networks: the calcium response g of accumulated activation, fitted and as the paper has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bridge.artifact import MacroParameters, ResponseSpec

from .style import BLUE, GREEN, ORANGE, house_style, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "calcium response inside the networks: fitted, alpha = 0.25, alpha = 1"


def tidy(macro: MacroParameters, reference_activation: float, maximum: float) -> pd.DataFrame:
    """One row per response and activation: response, activation, g (all equal to g of alpha = 0.25 at the reference)."""
    activation = np.linspace(0.5, maximum, 300)
    paper = ResponseSpec("power", {"alpha": 0.25})
    specs = {
        "fitted": macro.response_function(),
        "alpha = 0.25": paper,
        "alpha = 1": ResponseSpec("power", {"alpha": 1.0}),
    }
    parts = []
    for name, spec in specs.items():
        gain = paper(reference_activation) / spec(reference_activation)
        g = [gain * spec(float(a)) for a in activation]
        parts.append(pd.DataFrame({"response": name, "activation": activation, "g": g}))
    return pd.concat(parts, ignore_index=True)


def compute(quick: bool = False, seed: int = 0, **_: Any) -> pd.DataFrame:
    """The figure's data for the fit of the published Fig. 3 curve, up to 128 units of activation."""
    import bridge

    return tidy(bridge.preset("fig3_published_hyperbola"), 64.0, 128.0)


def draw(data: pd.DataFrame) -> Figure:
    """The three responses over activation, equal at the reference activation."""
    with house_style():
        figure, axes = new_figure(4.6, 3.2)
        for (name, part), colour in zip(data.groupby("response", sort=False), (BLUE, ORANGE, GREEN), strict=True):
            axes.plot(part.activation, part.g, color=colour, label=str(name))
        axes.set_xlabel("accumulated activation G (sum of φ(k))")
        axes.set_ylabel("calcium response g(G)")
        axes.set_ylim(bottom=0)
        axes.set_title("The responses that are compared")
        axes.legend(loc="upper left")
    return figure
