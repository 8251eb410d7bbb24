"""Recipes of AstroSNN's language models: one for a laptop, and those of the paper's four sizes.

The paper (arXiv 2312.07625) gives for every size 600,000 steps of Adam with betas (0.9, 0.98), weight decay 0.1, gradient clip
1.0, 1,000 steps of warm-up to 2.5e-4 and a cosine to 6e-5, and tokens per batch by size. It is silent on the length of a
sequence, precision and dropout: blocks of 1,000 tokens make its tokens per batch exact (and 600,000 times 64k its 38.4 billion),
bfloat16 is what a device for such sizes computes, dropout is 0; its Adam with decay is AdamW here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..recipes import Recipe
from .preset import TaskPreset

# GPT-NeoX's 50,277 tokens, padded as in `models.astrosnn.presets`.
_NEOX_ROWS = 50304
# layers, width, thousands of tokens per batch
_SIZES = {"small": (12, 512, 320), "base": (16, 1024, 160), "large": (20, 1536, 80), "1b5": (24, 2048, 64)}
_BLOCK = 1000

# The preset "tiny" of the model, with blocks of 256 bytes.
_TINY = {
    "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 512,
    "max_position_embeddings": 256,
}  # fmt: skip
_TINY_RECIPE = Recipe(
    "tuned", steps=6000, batch_size=8, learning_rate=3e-3, warmup_steps=200, evaluate_every=500, save_every=500,
    curve_bytes=32768, mixed_precision="bf16",
)  # fmt: skip
_WORDS = {**_TINY, "hidden_size": 256, "intermediate_size": 1024, "dropout": 0.1}
_WORDS_RECIPE = Recipe(
    "tuned", steps=None, epochs=1, batch_size=32, learning_rate=1e-3, warmup_steps=1000, evaluate_every=None, save_every=None,
    curve_bytes=65536, mixed_precision="bf16",
)  # fmt: skip


def _paper(data: Mapping[str, Any], rows: int | None = None) -> dict[str, TaskPreset]:
    """The four sizes; rows : of the tables, where they are more than the tokens of the data."""
    found = {}
    for name, (layers, width, thousands) in _SIZES.items():
        recipe = Recipe(
            name, steps=600_000, batch_size=thousands * 1000 // _BLOCK, learning_rate=2.5e-4, warmup_steps=1000, weight_decay=0.1,
            beta2=0.98, gradient_clip=1.0, schedule="cosine_to_0.24", evaluate_every=5000, save_every=5000, curve_bytes=65536,
            mixed_precision="bf16",
        )  # fmt: skip
        size = {
            "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 8, "intermediate_size": 4 * width,
            "max_position_embeddings": _BLOCK, **({} if rows is None else {"vocab_size": rows}),
        }  # fmt: skip
        found[name] = TaskPreset(recipe, size, data)
    return found


_NEOX = {"tokens": "neox_if_there"}
SPIKING_PRESETS: Mapping[str, Mapping[str, TaskPreset]] = MappingProxyType(
    {
        "enwik8": {"tuned": TaskPreset(_TINY_RECIPE, _TINY), **_paper({})},
        "text_file": {"tuned": TaskPreset(_TINY_RECIPE, _TINY, {"tokens": "bytes"}), **_paper(_NEOX, _NEOX_ROWS)},
        "token_file": {"tuned": TaskPreset(_TINY_RECIPE, _TINY), **_paper({}, _NEOX_ROWS)},
        "wikitext103": {"tuned": TaskPreset(_WORDS_RECIPE, _WORDS, _NEOX), **_paper(_NEOX, _NEOX_ROWS)},
    }
)
