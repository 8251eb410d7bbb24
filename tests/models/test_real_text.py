"""The shipped text against an independent copy, and another real text, from the folder named by ASTROMORPHIC_DATA."""

import lzma
import os
from pathlib import Path

import pytest

from models.astromorphic import AstromorphicConfig
from models.recipes import Recipe
from models.tasks import load_task
from models.tasks.shakespeare import ByteText
from models.training import train


def real_text(name: str) -> bytes:
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder:
        pytest.skip("ASTROMORPHIC_DATA is not set: no real text beyond the shipped one")
    path = Path(folder) / "text_char" / name
    if not path.is_file():
        pytest.skip(f"{path} is missing")
    return lzma.decompress(path.read_bytes())


def test_shipped_shakespeare_is_the_whole_text_in_order():
    raw = real_text("tinyshakespeare.txt.xz")
    text = load_task("shakespeare")
    assert b"".join(part.ids.tobytes() for part in (text.train, text.validation, text.test)) == raw


def test_another_real_text_is_learnt_and_scored_with_its_own_digest(tmp_path):
    """War and Peace: a few hundred bytes of training already beat the uniform 8 bits by far, and the verdict stands."""
    text = ByteText.from_bytes("war and peace", real_text("warandpeace.txt.xz")[:200_000])
    recipe = Recipe("war", steps=40, batch_size=8, learning_rate=1e-2, warmup_steps=4, evaluate_every=20, save_every=40,
                    curve_bytes=1024, final_bytes=2048)  # fmt: skip
    config = AstromorphicConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=32
    )
    result = train(config, "war and peace", recipe, tmp_path, seed=0, data=text)
    assert result.data_digest == text.digest
    assert 2.0 < result.test_bits_per_byte < 5.5
    assert result.causality.verdict == "causal"
