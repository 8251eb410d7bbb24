"""Where the tokens of a network lie, and in which direction they may look."""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """`length` positions at most, read one after the other (decoder) or all at once (`bidirectional`, encoder).

    grid : rows and columns if the positions are the patches of an image, row by row.
    """

    length: int
    bidirectional: bool = False
    grid: tuple[int, int] | None = None
