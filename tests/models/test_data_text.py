"""Texts as numbers and batches: vocabularies, encodings, GloVe, truncation, order, padding."""

from __future__ import annotations

import gzip
import json
import zipfile

import numpy as np
import pytest
import torch

from models.data.batches import LanguageBlocks, padded
from models.data.encoded import EncodedTexts
from models.data.glove import find_glove, glove_embeddings
from models.data.order import epoch_order, padding_share
from models.data.subwords import GPT2Tokenizer
from models.data.vocabulary import WordVocabulary, splitter
from models.errors import ModelError

TEXTS = ["The film, the FILM!<br /><br />It's 1,000.5 times good.", "I don't like the film", "the good"]


def test_words_as_in_the_treebank():
    assert splitter("words")("It's n't: don't, 3.14 e-mails... can’t") == [
        "It", "'s", "n't", ":", "do", "n't", ",", "3.14", "e", "-", "mails", ".", ".", ".", "ca", "n’t"
    ]  # fmt: skip
    assert splitter("plain")("It's a-b.") == ["It's", "a", "b"]
    assert splitter("blanks")("a <unk> @-@") == ["a", "<unk>", "@-@"]
    assert splitter(r"regex:[a-z]{2}")("abcd e") == ["ab", "cd"]
    with pytest.raises(ModelError, match=r"no regular expression"):
        splitter("regex:(")
    with pytest.raises(ModelError, match=r"has groups"):
        splitter("regex:(a)b")
    with pytest.raises(ModelError, match="unknown split 'word': did you mean 'words'"):
        splitter("word")


def test_a_vocabulary_counts_sorts_and_limits():
    v = WordVocabulary.build(TEXTS)
    # By count, then by alphabet; line breaks of web pages are no words.
    assert v.words[:6] == ("<pad>", "<unk>", "the", "film", "good", "!")
    assert v.counts[:5] == (0, 0, 4, 3, 2) and "br" not in v.words and "1,000.5" in v.words
    assert WordVocabulary.build(TEXTS[::-1]) == v
    assert WordVocabulary.build(TEXTS, size=4).words == ("<pad>", "<unk>", "the", "film")
    assert WordVocabulary.build(TEXTS, min_count=2).words == ("<pad>", "<unk>", "the", "film", "good")
    assert "FILM" in WordVocabulary.build(TEXTS, lower=False).words
    small = WordVocabulary.build(TEXTS, size=4)
    assert small.encode("The unknown film <pad>").tolist() == [2, 1, 3, 1, 1, 1]
    assert small.decode([2, 1, 3]) == "the <unk> film"
    encoded = small.encode_many(TEXTS)
    assert [encoded[i].tolist() for i in range(3)] == [small.encode(text).tolist() for text in TEXTS]
    assert encoded.tokens.dtype == np.int32 and len(encoded) == 3
    with pytest.raises(ModelError, match=r"text 1 .counted from 0. has no tokens"):
        small.encode_many(["the", "<br />", "film"])
    with pytest.raises(ModelError, match="no word is there 9 times"):
        WordVocabulary.build(TEXTS, min_count=9)
    with pytest.raises(ModelError, match="size is 2"):
        WordVocabulary.build(TEXTS, size=2)


def test_words_that_are_cut_already_keep_the_unknown_of_the_text():
    v = WordVocabulary.from_words(["a", "<unk>", "B", "<eos>", "a"])
    assert v.words == ("<pad>", "<unk>", "a", "<eos>", "B")
    assert v.encode_words(["B", "<unk>", "b", "a"]).tolist() == [4, 1, 1, 2]


def test_a_vocabulary_is_saved_as_json_and_refused_when_damaged(tmp_path):
    v = WordVocabulary.build([*TEXTS, "naïve ☃"], split="plain", lower=False)
    file = v.save(tmp_path / "vocabulary.json")
    assert WordVocabulary.load(file) == v
    record = json.loads(file.read_text())
    for change in ({"version": 2}, {"words": [1]}, {"extra": 1}, {"lower": "yes"}, {"counts": [0.5]}, {"words": 7}):
        file.write_text(json.dumps({**record, **change}))
        with pytest.raises(ModelError, match="holds no vocabulary of version 1"):
            WordVocabulary.load(file)
    file.write_text(json.dumps({**record, "words": record["words"][::-1]}))
    with pytest.raises(ModelError, match="begins with <pad>"):
        WordVocabulary.load(file)
    file.write_text("{")
    with pytest.raises(ModelError, match="holds no vocabulary"):
        WordVocabulary.load(file)
    with pytest.raises(ModelError, match=r"vocabulary .*elsewhere\.json cannot be read"):
        WordVocabulary.load(tmp_path / "elsewhere.json")


def test_a_wrong_gpt2_vocabulary_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"run `astromorphic data fetch gpt2`, or put vocab.json and merges.txt"):
        GPT2Tokenizer.find(tmp_path)
    (tmp_path / "tokenizers").mkdir()
    (tmp_path / "tokenizers/merges.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "tokenizers/vocab.json").write_text('{"a": 0}')
    with pytest.raises(ModelError, match="does not number 50,257 entries"):
        GPT2Tokenizer.find(tmp_path)
    (tmp_path / "tokenizers/vocab.json").write_text("{")
    with pytest.raises(ModelError, match=r"is no JSON"):
        GPT2Tokenizer.find(tmp_path)
    (tmp_path / "tokenizers/vocab.json").write_text(json.dumps({str(i): i for i in range(50_257)}))
    with pytest.raises(ModelError, match=r"merges.txt: merge 0 is 'a b'; expected 50,000 pairs"):
        GPT2Tokenizer.find(tmp_path)


GLOVE = "the 1 0 2\n. . . 9 9 9\nfilm -1 0.5 0\nFilm 4 4 4\nunused x y z\nthe 7 7 7\ngood 1e-3 0 1\n"


@pytest.mark.parametrize("kind", ["txt", "gz", "zip", "npz"])
def test_glove(tmp_path, kind):
    file = tmp_path / f"vectors.{kind}"
    if kind == "txt":
        file.write_text(GLOVE)
    elif kind == "gz":
        file.write_bytes(gzip.compress(GLOVE.encode()))
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("glove.6B.3d.txt", GLOVE)
            archive.writestr("glove.6B.5d.txt", "the 1 2 3 4 5\n")
    else:
        rows = {"the": (1, 0, 2), "film": (-1, 0.5, 0), "Film": (4, 4, 4), "good": (1e-3, 0, 1)}
        np.savez(file, words=np.array(list(rows)), vectors=np.array(list(rows.values()), dtype=np.float32))
    v = WordVocabulary.build(["The the the film film Film good absent absent"], lower=False)
    g = glove_embeddings(v, file, dimension=3)
    row = {word: g.matrix[i].tolist() for i, word in enumerate(v.words)}
    assert g.matrix.dtype == np.float32 and row["<pad>"] == [0, 0, 0]
    # As written first; in lower case where that is not there; the first of two rows.
    assert row["the"] == row["The"] == [1, 0, 2] and row["film"] == [-1, 0.5, 0] and row["Film"] == [4, 4, 4]
    assert [word for word, found in zip(v.words, g.found, strict=True) if not found] == ["<pad>", "<unk>", "absent"]
    assert g.token_share == pytest.approx(7 / 9) and g.type_share == pytest.approx(5 / 6)
    again, other = glove_embeddings(v, file, dimension=3), glove_embeddings(v, file, dimension=3, seed=1)
    assert np.array_equal(again.matrix, g.matrix)
    assert (other.matrix != g.matrix).any(axis=1).tolist() == [not f and i > 0 for i, f in enumerate(g.found)]
    with pytest.raises(ModelError, match="has a vector for none of"):
        glove_embeddings(WordVocabulary.build(["nichts"]), file, dimension=3)


def test_wrong_glove_files(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTROMORPHIC_DATA", str(tmp_path))
    v = WordVocabulary.build(["the film"])
    file = tmp_path / "v.txt"
    assert find_glove() is None
    with pytest.raises(ModelError, match=r"no GloVe vectors at .*data fetch glove"):
        glove_embeddings(v)
    for row in ("film 1 2", "film 1 2 x", "film 1 2 nan"):
        file.write_text(f"the 1 2 3\n{row}\n")
        with pytest.raises(ModelError, match="line 2: expected a word and 3 numbers"):
            glove_embeddings(v, file)
    file.write_text("the 1 2 3\n")
    with pytest.raises(ModelError, match="expected a word and 5 numbers"):
        glove_embeddings(v, file, dimension=5)
    (tmp_path / "v.zip").write_bytes(b"PK")
    with pytest.raises(ModelError, match="cannot be read"):
        glove_embeddings(v, tmp_path / "v.zip")


# Arrays of texts


def test_truncation():
    encoded = EncodedTexts.from_lengths(np.arange(1, 13), [7, 1, 4])
    assert encoded.lengths.tolist() == [7, 1, 4]
    head, both = encoded.truncated(3), encoded.truncated(3, "head+tail")
    assert [one.tolist() for one in map(head.__getitem__, range(3))] == [[1, 2, 3], [8], [9, 10, 11]]
    assert [one.tolist() for one in map(both.__getitem__, range(3))] == [[1, 2, 7], [8], [9, 10, 12]]
    assert encoded.truncated(4, "head+tail")[2].tolist() == [9, 10, 11, 12]
    assert encoded.truncated(99).tokens.tolist() == encoded.tokens.tolist()
    assert encoded.truncated(1, "head+tail")[0].tolist() == [1]
    for wrong in (0, True, 2.5):
        with pytest.raises(ModelError, match="max_length is"):
            encoded.truncated(wrong)
    with pytest.raises(ModelError, match="keep is 'tail'"):
        encoded.truncated(3, "tail")
    with pytest.raises(IndexError):
        encoded[3]


LENGTHS = np.random.default_rng(0).geometric(1 / 200, 5000).clip(max=400)


def test_an_epoch_reads_each_text_once_with_little_padding():
    order = epoch_order(LENGTHS, 32, seed=3, epoch=1)
    assert sorted(order.tolist()) == list(range(5000))
    assert np.array_equal(order, epoch_order(LENGTHS, 32, seed=3, epoch=1))
    for other in (epoch_order(LENGTHS, 32, seed=3, epoch=2), epoch_order(LENGTHS, 32, seed=4, epoch=1)):
        assert not np.array_equal(order, other)
    assert padding_share(LENGTHS, order, 32) < 0.05 < 0.4 < padding_share(LENGTHS, np.arange(5000), 32)
    assert padding_share([3, 1, 2], [0, 1, 2], 2) == pytest.approx(1 - 6 / 8)


def test_buckets_do_not_sort_the_epoch():
    """Which batch is long is left to chance: batch means are not in order, and texts meet other texts in each epoch."""
    full = 5000 // 32 * 32
    order = epoch_order(LENGTHS, 32, seed=0)[:full]
    means = LENGTHS[order].reshape(-1, 32).mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3
    companions = []
    for epoch in (0, 1):
        batches = epoch_order(LENGTHS, 32, 0, epoch, pool=10)[:full].reshape(-1, 32)
        companions.append(set(batches[(batches == 7).any(axis=1)][0].tolist()))
    assert 7 in companions[0] & companions[1] and len(companions[0] & companions[1]) < 8


def test_orders_of_nothing_are_refused():
    with pytest.raises(ModelError, match="batch_size is 0"):
        epoch_order([1], 0, 0)
    with pytest.raises(ModelError, match="at least one text"):
        epoch_order([], 1, 0)


def test_fewer_texts_than_a_batch_are_read_once():
    assert sorted(epoch_order([5, 1, 3], 8, seed=0).tolist()) == [0, 1, 2]


def test_padding_is_on_the_right_in_steps_up_to_a_limit():
    texts = [np.arange(1, n + 1, dtype=np.int32) for n in (3, 1, 5)]
    ids, mask = padded(texts, 0, step=1)
    assert ids.dtype == mask.dtype == torch.int64 and torch.equal(mask, (ids != 0).long())
    assert ids.tolist() == [[1, 2, 3, 0, 0], [1, 0, 0, 0, 0], [1, 2, 3, 4, 5]]
    wide, its_mask = padded(texts, 9, step=4)
    assert wide.shape == (3, 8) and torch.equal(its_mask[:, :5], mask)
    assert (wide[its_mask == 0] == 9).all() and its_mask.sum() == 9
    assert padded(texts, 0)[0].shape == (3, 32) and padded(texts, 0, limit=6)[0].shape == (3, 6)
    # A limit below the longest text cuts nothing.
    assert padded(texts, 0, limit=4)[0].shape == (3, 5)
    with pytest.raises(ModelError, match="step is 0"):
        padded(texts, 0, step=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_blocks_of_tokens(dtype):
    tokens = np.arange(200).astype(dtype)
    one, same, other = (LanguageBlocks(tokens, 8, 3000, seed) for seed in (1, 1, 2))
    assert torch.equal(one.offsets, same.offsets) and not torch.equal(one.offsets, other.offsets)
    assert one.offsets.min() == 0 and one.offsets.max() == 192
    item = one[7]
    assert torch.equal(item["input_ids"], torch.arange(8) + one.offsets[7]) and item["input_ids"].dtype == torch.int64
    assert torch.equal(item["labels"], item["input_ids"])
    with pytest.raises(ModelError, match="the text has 200 tokens; expected at least one block of 201"):
        LanguageBlocks(tokens, 201, 1, 0)


GOLDEN_OFFSETS = [235, 69, 46, 98, 144]


def test_blocks_are_those_of_the_byte_task():
    """Step i of a run reads blocks 5i to 5i + 4, the same on every machine: the first offsets are written down here."""
    from models.astromorphic import AstromorphicConfig
    from models.recipes import Recipe
    from models.tasks.shakespeare import ByteText, language_task

    raw = np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8).tobytes()
    text = ByteText.from_bytes("noise", raw)
    recipe = Recipe("r", steps=10, batch_size=5, learning_rate=1e-3, warmup_steps=0)
    batches = language_task(text).batches(AstromorphicConfig(max_position_embeddings=16), recipe, 4)
    blocks = LanguageBlocks(text.train, 16, 50, 4)
    assert len(batches) == 10
    for step in (9, 0, 3):
        expected = torch.stack([blocks[5 * step + i]["input_ids"] for i in range(5)])
        assert torch.equal(batches[step]["input_ids"], expected) and torch.equal(batches[step]["labels"], expected)
    assert blocks.offsets[:5].tolist() == GOLDEN_OFFSETS
