"""The four sizes of the paper (AstroSNN, arXiv 2312.07625, Table 4), and one for a laptop.

"M" in the paper's table is 2^20: with 50,304 rows in each of two untied tables the counts come out to its last digit.
"""

from __future__ import annotations

from typing import Any

# GPT-NeoX-20B's tokenizer has 50,277 tokens, padded to a multiple of 128.
NEOX_ROWS = 50304

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"vocab_size": 256, "hidden_size": 128, "num_hidden_layers": 4},
    "small": {"vocab_size": NEOX_ROWS, "hidden_size": 512, "num_hidden_layers": 12},
    "base": {"vocab_size": NEOX_ROWS, "hidden_size": 1024, "num_hidden_layers": 16},
    "large": {"vocab_size": NEOX_ROWS, "hidden_size": 1536, "num_hidden_layers": 20},
    "1b5": {"vocab_size": NEOX_ROWS, "hidden_size": 2048, "num_hidden_layers": 24},
}
