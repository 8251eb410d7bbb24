"""Published accuracies on the Long Range Arena, per cent: Table 1 of RMAAT (arXiv 2601.00426), and other families for context.

All at full size, one number each, without seeds or spreads where they are printed. The rows of other families are those that the
LION paper's table and the arena's README give (S4 as updated); TLB recurs over chunks, as RMAAT does.
"""

from __future__ import annotations

from collections.abc import Mapping

TASKS = ("listops", "lra_text", "lra_retrieval", "lra_image", "pathfinder")

# "RMT" recurs with softmax, "RLT" with linear attention; LT is linear, AT the astromorphic transformer over the whole sequence.
TABLE1: Mapping[str, tuple[float, ...]] = {
    "Transformer": (36.4, 64.3, 57.5, 42.4, 71.4),
    "LT": (16.1, 65.9, 53.1, 42.3, 75.3),
    "AT": (18.1, 61.5, 77.3, 47.3, 77.9),
    "RMT": (37.4, 65.0, 79.3, 54.6, 81.5),
    "RLT": (18.4, 64.8, 78.4, 55.0, 74.9),
    "RMAAT": (38.9, 65.9, 83.2, 64.8, 87.1),
}
STANDING: Mapping[str, tuple[float, ...]] = {
    "S4": (59.60, 86.82, 90.90, 88.65, 94.20),
    "S5": (62.15, 89.31, 91.40, 88.00, 95.33),
    "MEGA": (63.14, 90.43, 91.25, 90.44, 96.01),
    "LRU": (60.2, 89.4, 89.9, 89.0, 95.1),
    "TLB": (37.05, 81.88, 76.91, 57.51, 79.06),
}


def published() -> list[tuple[str, str, str, float]]:
    """(source, task, name, accuracy in per cent) of every number; source is "paper" or "other families"."""
    return [
        (source, task, name, value)
        for source, table in (("paper", TABLE1), ("other families", STANDING))
        for name, row in table.items()
        for task, value in zip(TASKS, row, strict=True)
    ]
