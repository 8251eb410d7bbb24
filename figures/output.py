"""Writing a figure and the data behind it: PNG, SVG and CSV, each whole or not at all."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

from biosim.atomic import write_bytes, write_text
from biosim.folders import output_folder

from .style import house_style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def render(figure: Figure, kind: str) -> bytes:
    """The figure as ``png`` or ``svg``, without a date, so that equal figures are equal files."""
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with house_style():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def data_uri(figure: Figure) -> str:
    """The figure as an SVG data address, for a page that needs no other file."""
    return "data:image/svg+xml;base64," + base64.b64encode(render(figure, "svg")).decode("ascii")


def write_figure(name: str, figure: Figure, data: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write NAME.png, NAME.svg and NAME.csv into `folder` and return their paths."""
    folder = output_folder(folder)
    return [
        write_bytes(folder / f"{name}.png", render(figure, "png")),
        write_bytes(folder / f"{name}.svg", render(figure, "svg")),
        write_text(folder / f"{name}.csv", data.to_csv(index=False, float_format="%.8g")),
    ]
