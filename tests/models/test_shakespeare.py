"""The shipped text, its split and the explicit sampling of blocks from it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from models.data.batches import LanguageBlocks
from models.tasks import shakespeare
from models.tasks.shakespeare import ByteText, load


def test_shipped_text_and_split():
    text = load()
    whole = np.concatenate([text.train, text.validation, text.test]).tobytes()
    assert len(whole) == 1_115_394 and hashlib.sha256(whole).hexdigest() == shakespeare.RAW_SHA256 == text.digest
    assert whole.startswith(b"First Citizen:\nBefore we proceed any further")
    assert (len(text.train), len(text.validation), len(text.test)) == (1_003_854, 55_770, 55_770)


def test_another_text_is_refused(monkeypatch):
    monkeypatch.setattr(shakespeare, "RAW_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"has sha256 86c4e6aa9db7c042\.\.\., expected 0000000000000000"):
        load()


def test_blocks_are_explicitly_seeded_and_cover_the_text():
    data = np.arange(200, dtype=np.uint8)
    state = torch.random.get_rng_state()
    one, same, other = (LanguageBlocks(data, 8, 5000, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(one.offsets, same.offsets) and not torch.equal(one.offsets, other.offsets)
    assert one.offsets.min() == 0 and one.offsets.max() == 192
    item = one[7]
    assert torch.equal(item["input_ids"], torch.arange(8) + one.offsets[7])
    assert torch.equal(item["labels"], item["input_ids"])
    assert torch.equal(one[7]["input_ids"], item["input_ids"]) and len(one) == 5000


def test_blocks_come_from_the_training_split_only():
    text = ByteText.from_bytes("x", bytes(range(100)))
    blocks = LanguageBlocks(text.train, 4, 500, 0)
    assert max(int(blocks[i]["input_ids"].max()) for i in range(500)) == 89


def test_a_text_shorter_than_a_block_is_named():
    with pytest.raises(ValueError, match="the text has 3 tokens; expected at least one block of 8"):
        LanguageBlocks(np.zeros(3, dtype=np.uint8), 8, 1, 0)
