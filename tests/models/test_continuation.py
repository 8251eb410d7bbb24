"""A trained folder continues a text in its own tokens: bytes, words, GPT-2's byte pairs."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM, AstromorphicForSequenceClassification
from models.continuation import ByteCodec, SubwordCodec, WordCodec, open_writer
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError

TEXT = "the wave of an astrocyte → 3 µM, näıve 𝔸 😀\nand back\n"
SIZE = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "hidden_dim": 4,
    "intermediate_size": 16,
    "max_position_embeddings": 24,
}


def read(codec, ids) -> list[str]:
    piece = codec.reader()
    return [piece(token) for token in ids]


def folder_with(path: Path, vocab_size: int, **settings) -> AstromorphicForCausalLM:
    torch.manual_seed(0)
    config = AstromorphicConfig.from_preset("tuned", **SIZE, vocab_size=vocab_size, initializer_range=0.5, **settings)
    model = AstromorphicForCausalLM(config).eval()
    model.save_pretrained(path)
    return model


def vocabulary() -> WordVocabulary:
    return WordVocabulary.from_words(["the", "the", "wave", "of", "an", "astrocyte", "<eos>"])


def test_bytes_come_back_and_a_character_comes_whole():
    codec = ByteCodec()
    pieces = read(codec, codec.encode(TEXT))
    assert "".join(pieces) == TEXT and pieces.count("") == sum(len(c.encode()) - 1 for c in TEXT)
    assert "".join(read(codec, [0xFF, 0x41])) == "�A"


def test_words_come_back_line_by_line():
    codec = WordCodec(vocabulary())
    ids = codec.encode("the wave\nof an astrocyte")
    assert "".join(read(codec, ids)) == "the wave\nof an astrocyte"
    # The last line of a prompt goes on: the end of a line is there only where the prompt has one.
    assert codec.encode("the wave\n") == [*codec.encode("the wave"), codec.vocabulary.encode_words(["<eos>"])[0]]
    assert "".join(read(codec, codec.encode("the brain waves"))) == "the <unk> <unk>"
    assert codec.unknown("the brain waves the brain") == ["brain", "waves"] and codec.encode("  ") == []


def test_byte_pairs_come_back():
    from models.data.subwords import GPT2Tokenizer

    if not os.environ.get("ASTROMORPHIC_DATA"):
        pytest.skip("ASTROMORPHIC_DATA names no data folder")
    codec = SubwordCodec(GPT2Tokenizer.find())
    for text in (TEXT, "".join(chr(random.Random(1).randrange(0x4E00, 0x9FFF)) for _ in range(30))):
        pieces = read(codec, codec.encode(text))
        assert "".join(pieces) == text
        assert not any("�" in piece for piece in pieces)
    # Bytes that are no text are not held back for ever.
    alone = codec.tokenizer.encode("😀").tolist()[:1]
    assert "".join(read(codec, [*alone * 6, *codec.encode(" a")])).endswith(" a")


def test_the_text_is_the_argmax_loop_and_every_piece_is_shown(tmp_path):
    """At temperature 0 against the network itself, in words; the numbers that are no words are never drawn."""
    words = vocabulary()
    model = folder_with(tmp_path, len(words) + 3)
    words.save(tmp_path / "vocabulary.json")
    with torch.no_grad():
        # Without a ban these would win every time.
        bias = torch.zeros(len(words) + 3)
        bias[[0, -1]] = 100.0
        head = model.lm_head.forward
        model.lm_head.forward = lambda x: head(x) + bias
        writer = open_writer(tmp_path)
        writer.model.lm_head.forward = lambda x, own=writer.model.lm_head.forward: own(x) + bias
        ids = writer.codec.encode("the wave of")
        shown: list[str] = []
        text = writer.continued(ids, 10, 0.0, 0, shown.append)
        for _ in range(10):
            logits = model(torch.tensor([ids])).logits[0, -1]
            ids.append(int(logits[1 : len(words)].argmax()) + 1)
    assert text == "".join(read(writer.codec, ids)) == "".join(shown)
    assert len(shown) == 11 and shown[0] == "the wave of"


def test_seed_and_temperature_draw(tmp_path):
    folder_with(tmp_path, 256)
    writer = open_writer(tmp_path)
    ids = writer.codec.encode("ab")
    texts = [
        writer.continued(ids, 12, temperature, seed)
        for temperature, seed in ((1.0, 1), (1.0, 1), (1.0, 2), (0.0, 1), (0.0, 2))
    ]
    assert texts[0] == texts[1] != texts[2] and texts[3] == texts[4] != texts[0]


def test_the_record_names_the_tokens_before_anything_is_loaded(tmp_path, monkeypatch):
    """GPT-2 tokens without their tokenizer, a vocabulary that is too large, and classifiers with and without a record."""
    from models.result import RunResult

    folder_with(tmp_path / "lm", 300)
    record = {
        "task": "my.txt", "arm": "a", "seed": 0, "recipe": {}, "config": {}, "n_parameters": 1, "steps": 1, "chosen_step": 1,
        "learning_curve": [], "scores": {s: {"n": 1, "loss": 1.0} for s in ("validation", "test")}, "data_digest": "",
        "weights_digest": "", "wall_time_s": 1.0, "device": "cpu", "dtype": "float32", "versions": {},
    }  # fmt: skip

    def note(kind="language", **options):
        data = {"kind": kind, "source": "", "options": options}
        RunResult(**record, data=data).save(tmp_path / "lm" / "run.json")

    note(tokens="gpt2")
    monkeypatch.setenv("ASTROMORPHIC_DATA", str(tmp_path / "nothing"))
    with pytest.raises(
        ModelError, match=r"the GPT-2 tokenizer is not in .*nothing; run `astromorphic data fetch gpt2`"
    ):
        open_writer(tmp_path / "lm")
    note(tokens="words")
    with pytest.raises(ModelError, match=r"vocabulary .*vocabulary\.json cannot be read"):
        open_writer(tmp_path / "lm")
    words = WordVocabulary.from_words(f"w{i}" for i in range(400))
    words.save(tmp_path / "lm" / "vocabulary.json")
    with pytest.raises(ModelError, match="vocab_size of 300; expected at least 402, its words"):
        open_writer(tmp_path / "lm")
    note(tokens="bytes")
    assert isinstance(open_writer(tmp_path / "lm").codec, ByteCodec)
    note("text_classification")
    with pytest.raises(ModelError, match=r"holds a classifier \(text_classification\)"):
        open_writer(tmp_path / "lm")
    config = AstromorphicConfig.from_preset("tuned", network="sequence", **SIZE, vocab_size=9, num_labels=2)
    AstromorphicForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
    assert "architectures" in json.loads((tmp_path / "classifier" / "config.json").read_text())
    with pytest.raises(ModelError, match=r"holds a classifier \(AstromorphicForSequenceClassification\)"):
        open_writer(tmp_path / "classifier")


def test_a_model_of_byte_pairs_is_named_by_its_record(tmp_path):
    """Through a run: trained on GPT-2 tokens, the record alone says so."""
    from models.tasks.prepare import prepare
    from models.training import train

    if not os.environ.get("ASTROMORPHIC_DATA"):
        pytest.skip("ASTROMORPHIC_DATA names no data folder")
    file = tmp_path / "my.txt"
    file.write_text(" ".join(np.random.default_rng(0).choice(["astro", "cyte", "wave"], 400)))
    changes = {"tokens": "gpt2", "hidden_size": 8, "intermediate_size": 8, "max_position_embeddings": 8, "steps": 2,
               "evaluate_every": 2, "reevaluated_tokens": 1}  # fmt: skip
    task, config, recipe, _ = prepare(str(file), "none", "smoke", changes=changes)
    train(config, task, recipe, tmp_path / "run", 0)
    writer = open_writer(tmp_path / "run")
    assert isinstance(writer.codec, SubwordCodec)
    text = writer.continued(writer.codec.encode("astro cyte"), 4, 0.0, 0)
    assert text.startswith("astro cyte")


@pytest.mark.parametrize("causal", [True, False])
def test_generate_says_of_a_model_that_sees_the_future_that_it_is_none(tmp_path, causal):
    from astromorphic.commands import generate

    settings = {} if causal else {"causal": False, "sigmoid_placement": "outside"}
    config = AstromorphicConfig.from_preset("tuned", **SIZE, vocab_size=256, **settings)
    AstromorphicForCausalLM(config).save_pretrained(tmp_path)
    said: list[str] = []
    text = generate(tmp_path, "ab", 3, 0.0, 0, notice=said.append)
    assert text.startswith("ab")
    assert said == ([] if causal else [said[0]]) and all(
        "sees the future (causal=False): no language" in s for s in said
    )
