"""What Table I of "Delving Deeper Into Astromorphic Transformers" (arXiv 2312.10925) prints for its own three models.

Spreads as printed. WikiText-2 is in perplexity per token of the GPT-2 vocabulary, as far as the paper says.
"""

from __future__ import annotations

from typing import NamedTuple


class Printed(NamedTuple):
    """A printed number and its printed spread, None where there is none."""

    value: float
    spread: float | None = None


# task -> arm of ours that the row corresponds to -> number
TABLE1: dict[str, dict[str, Printed]] = {
    "imdb": {"softmax": Printed(88.9, 0.1), "kozachkov": Printed(88.4, 0.1), "astromorphic": Printed(88.7, 0.2)},
    "cifar10": {"softmax": Printed(97.4, 0.1), "kozachkov": Printed(96.8, 0.2), "astromorphic": Printed(97.0, 0.2)},
    "wikitext2": {"softmax": Printed(73.4), "kozachkov": Printed(123.3), "astromorphic": Printed(33.8)},
}
