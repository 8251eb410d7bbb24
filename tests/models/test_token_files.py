"""Corpora of token numbers, read in place: what the index says is checked to the byte, and a block is what lies in the file."""

from __future__ import annotations

import os
import struct
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from models.astromorphic import AstromorphicConfig
from models.continuation import SubwordCodec, open_writer
from models.data.batches import LanguageBlocks
from models.data.plain_text import count_words
from models.data.subwords import GPT2Tokenizer, NeoXTokenizer, spellings
from models.data.token_files import MAGIC, held_out_parts, open_tokens
from models.errors import ModelError
from models.recipes import Recipe
from models.tasks import load_task
from models.tasks.loading import family
from models.tasks.tokens import NumberedTokens

CODES = {"uint8": 1, "int32": 4, "int64": 5, "uint16": 8}


def megatron(path: Path, documents: list[list[list[int]]], dtype: str = "uint16", **change) -> Path:
    """A pair as Megatron writes it: documents of sequences of tokens. `change` puts something wrong into the index."""
    sequences = [sequence for document in documents for sequence in document]
    lengths = [len(one) for one in sequences]
    width = np.dtype(dtype).itemsize
    begins = np.cumsum([0, *lengths[:-1]]) * width
    marks = np.cumsum([0, *(len(document) for document in documents)])
    found = {
        "magic": MAGIC,
        "version": 1,
        "code": CODES[dtype],
        "lengths": lengths,
        "begins": begins,
        "marks": marks,
        **change,
    }
    head = struct.pack(
        "<9sQBQQ", found["magic"], found["version"], found["code"], len(found["lengths"]), len(found["marks"])
    )
    tables = [
        np.asarray(found[name], dtype=kind) for name, kind in (("lengths", "<i4"), ("begins", "<i8"), ("marks", "<i8"))
    ]
    path.with_suffix(".idx").write_bytes(head + b"".join(table.tobytes() for table in tables))
    flat = [token for sequence in sequences for token in sequence]
    path.with_suffix(".bin").write_bytes(np.asarray(flat, dtype=dtype).tobytes())
    return path.with_suffix(".bin")


DOCUMENTS = [[[1, 2, 3], [4]], [[50256, 5]], [[6, 7, 8, 9]]]


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64"])
def test_documents_and_stream_of_an_indexed_file(tmp_path, dtype):
    file = megatron(tmp_path / "corpus", DOCUMENTS, dtype)
    for name in (file, file.with_suffix(".idx")):
        found = open_tokens(name)
        assert isinstance(found.tokens, np.memmap) and not found.tokens.flags.writeable
        assert found.tokens.tolist() == [1, 2, 3, 4, 50256, 5, 6, 7, 8, 9] and found.tokens.dtype == dtype
        assert [found.document(i).tolist() for i in range(3)] == [[1, 2, 3, 4], [50256, 5], [6, 7, 8, 9]]
        with pytest.raises(IndexError):
            found.document(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"magic": b"MMIDIDX\x01\x00"}, r"corpus.idx begins with .*; expected .*Megatron"),
        ({"version": 2}, "is of version 2; expected 1"),
        ({"code": 7}, "has dtype code 7; expected whole numbers"),
        ({"code": 4}, "sequence 1 begins at byte 6; expected 12"),
        ({"begins": [0, 6, 6, 12]}, "sequence 2 begins at byte 6; expected 8"),
        ({"lengths": [3, 1, 2, -4]}, "sequence 3 has length -4"),
        ({"lengths": [3, 1, 2, 5]}, r"corpus.bin has 20 bytes; expected 22, 11 tokens of uint16"),
        ({"marks": [0, 2, 3]}, "documents begin with sequence 0 and end with 3; expected 0 to 4"),
        ({"marks": [0, 3, 2, 4]}, "none before the one before it"),
        ({"lengths": [], "begins": [], "marks": [0]}, "lists no sequence"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        open_tokens(megatron(tmp_path / "corpus", DOCUMENTS, **change))


def test_files_that_are_cut_missing_or_no_tokens(tmp_path):
    file = megatron(tmp_path / "corpus", DOCUMENTS)
    index = file.with_suffix(".idx")
    whole = index.read_bytes()
    for n in (0, 20, len(whole) - 1):
        index.write_bytes(whole[:n])
        with pytest.raises(ModelError, match=r"corpus.idx (is empty|begins with|has \d+ bytes; expected)"):
            open_tokens(file)
    index.unlink()
    with pytest.raises(ModelError, match=r"corpus.idx is not there; put the index beside"):
        open_tokens(file)
    assert open_tokens(file, "uint16").tokens.tolist()[4] == 50256
    with pytest.raises(ModelError, match="20 bytes, no whole number of int64"):
        open_tokens(file, "int64")
    with pytest.raises(ModelError, match="dtype is 'float32'"):
        open_tokens(file, "float32")

    place = tmp_path / "tokens.npy"
    np.save(place, np.arange(9, dtype=np.uint32))
    assert open_tokens(place).tokens.tolist() == [*range(9)] and open_tokens(place).n_documents == 1
    place.write_bytes(place.read_bytes()[:-4])
    with pytest.raises(ModelError, match=r"tokens.npy is no array that can be mapped"):
        open_tokens(place)
    for array, message in [
        (np.ones(3), "holds float64"), (np.ones((3, 2), int), r"of shape \(3, 2\)"), (np.array([{}]), "can be mapped"),
        (np.ones(0, int), "no token|can be mapped"),
    ]:  # fmt: skip
        np.save(place, array, allow_pickle=True)
        with pytest.raises(ModelError, match=message):
            open_tokens(place)
    np.save(place, np.arange(9))
    place.write_bytes(place.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="its header says 200"):
        open_tokens(place)
    with pytest.raises(ModelError, match=r"nothing.npy is not there"):
        open_tokens(tmp_path / "nothing.npy")


def test_blocks_of_a_map_are_those_of_the_array_and_nothing_is_copied(tmp_path):
    tokens = np.random.default_rng(0).integers(0, 300, 500).astype(np.uint16)
    np.save(tmp_path / "t.npy", tokens)
    mapped = LanguageBlocks(open_tokens(tmp_path / "t.npy").tokens, 16, 40, 3, 300)
    array = LanguageBlocks(tokens, 16, 40, 3)
    assert isinstance(mapped.mapped, np.memmap) and not hasattr(mapped, "tokens")
    for i in (39, 0, 7):
        assert mapped[i]["input_ids"].tolist() == array[i]["input_ids"].tolist()
    small = LanguageBlocks(open_tokens(tmp_path / "t.npy").tokens, 16, 40, 3, 200)
    with pytest.raises(ModelError, match=r"hold the number 2.*expected 0 to 199, the vocabulary"):
        for i in range(40):
            _ = small[i]


def test_digests_tell_files_apart(tmp_path):
    one = open_tokens(megatron(tmp_path / "one", DOCUMENTS)).digest
    assert one == open_tokens(megatron(tmp_path / "same", DOCUMENTS)).digest
    other = [[[1, 2, 3], [4]], [[50256, 5]], [[6, 7, 8, 10]]]
    cut = [[[1, 2, 3], [4]], [[50256], [5]], [[6, 7, 8, 9]]]
    assert (
        len(
            {
                one,
                open_tokens(megatron(tmp_path / "a", other)).digest,
                open_tokens(megatron(tmp_path / "b", cut)).digest,
            }
        )
        == 3
    )


def test_parts_of_a_stream(tmp_path):
    np.save(tmp_path / "t.npy", np.arange(100))
    file = open_tokens(tmp_path / "t.npy")
    train, validation, test = held_out_parts(file)
    assert (len(train), validation.tolist(), test.tolist()) == (90, [*range(90, 95)], [*range(95, 100)])
    assert [len(part) for part in held_out_parts(file, 20)] == [60, 20, 20]
    with pytest.raises(ModelError, match="held_out is 50 of the 100 tokens"):
        held_out_parts(file, 50)


SIZE = {
    "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip
RECIPE = Recipe(
    "r", steps=4, batch_size=2, learning_rate=1e-2, warmup_steps=0, evaluate_every=2, save_every=4, curve_bytes=64,
    final_bytes=64,
)  # fmt: skip


def test_numbers_of_which_no_more_is_known_are_trained_on_and_told_in_tokens(tmp_path):
    from models import train
    from models.scoring import score_run

    np.save(tmp_path / "t.npy", np.random.default_rng(0).integers(0, 60, 3000).astype(np.uint16))
    path = str(tmp_path / "t.npy")
    assert family(path) == "token_file"
    with pytest.raises(ModelError, match="vocabulary is None; expected how many different tokens"):
        load_task(path)
    with pytest.raises(ModelError, match="holds the number 59; expected 0 to 49"):
        load_task(path, vocabulary=50)
    task = load_task(path, vocabulary=60)
    assert task.settings() == {"vocab_size": 60} and task.n_train == 2700
    config = AstromorphicConfig.from_preset("tuned", vocab_size=60, **SIZE)
    result = train(config, task, RECIPE, tmp_path / "run", 0)
    test = result.scores["test"]
    assert (test.bits_per_byte, test.perplexity_per_word, test.bytes) == (None, None, None)
    # Nothing can be learnt from noise.
    assert test.perplexity_per_token == pytest.approx(60, rel=0.2)
    text = score_run(tmp_path / "run", reevaluate=10)
    assert "none per byte: only the numbers of the tokens are known" in text and "per word" not in text
    with pytest.raises(ModelError, match="trained on numbers of which no text is known"):
        open_writer(tmp_path / "run")


def test_numbers_of_bytes_have_bits_per_byte(tmp_path):
    np.save(tmp_path / "t.npy", np.frombuffer(b"two words\n" * 40, dtype=np.uint8))
    task = load_task("token_file", tmp_path / "t.npy", tokens="bytes")
    assert (task.test.n_bytes, task.test.n_words) == (20, 6) and task.train.n_bytes is None
    for option, message in [
        ({"tokens": "words"}, "expected what made the file"),
        ({"tokens": "bytes", "vocabulary": 9}, "leave one of them"),
        ({"tokns": "bytes"}, "did you mean 'tokens'"),
    ]:
        with pytest.raises(ModelError, match=message):
            load_task("token_file", tmp_path / "t.npy", **option)


# Documents in the words of several scripts; a cut in the middle of one leaves half a character behind.
ORIGINALS = [
    "Calcium wave of an astrocyte.\n",
    "näıve µM → 𝔸😀",
    "two  blanks and    more,\tand a line\n\n",
    "日本語の文",
] * 8


def byte_level(added: bool):
    """A byte-level encoding of single bytes, the end of a text (0) and, as an added token that is text, four blanks."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={"<|endoftext|>": 0} | {c: i + 1 for i, c in enumerate(letters)}, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    if added:
        made.add_special_tokens(["<|endoftext|>"])
        made.add_tokens([AddedToken("    ", normalized=True)])
    return made


@pytest.mark.parametrize("added", [True, False], ids=["as in GPT-NeoX", "as in GPT-2"])
def test_marks_have_no_bytes_and_halved_characters_have_their_own(added):
    tokenizer = byte_level(added)
    found = spellings(tokenizer, [] if added else [0])
    assert found.count(None) == 1 and found[0] is None
    if added:
        assert found[tokenizer.token_to_id("    ")] == b"    "
    known = NumberedTokens("made", len(found), SimpleNamespace(spellings=found))
    stream, spelled = [], b""
    for text in ORIGINALS:
        stream += [*tokenizer.encode(text).ids, 0]
        spelled += text.encode()
    whole = known.of_numbers(np.array(stream), decoded=True)
    assert whole.n_bytes == len(spelled) == sum(len(text.encode()) for text in ORIGINALS)
    # No two documents run into one word.
    assert whole.n_words == count_words("\0".join(ORIGINALS).replace("\0", " ").encode())
    if not added:  # a token is a byte, and the first 3 of the 4 bytes of a character stay 3
        half = len(ORIGINALS[0]) + 1 + len("näıve µM → ".encode()) + 3
        assert known.of_numbers(np.array(stream[:half]), decoded=True).n_bytes == half - 1


@pytest.mark.parametrize("kind", ["gpt2", "neox"])
def test_bytes_of_a_token_file_are_those_of_its_documents(tmp_path, kind):
    """Against the original texts, which the code under test never sees."""
    if not os.environ.get("ASTROMORPHIC_DATA"):
        pytest.skip("ASTROMORPHIC_DATA is not set: no tokenizer")
    tokenizer = {"gpt2": GPT2Tokenizer, "neox": NeoXTokenizer}[kind].find()
    # What normalisation to NFC changes cannot be got back from tokens.
    originals = [unicodedata.normalize("NFC", text) for text in ORIGINALS]
    documents = [[[*tokenizer.encode(text).tolist(), tokenizer.end_of_text]] for text in originals]
    third = sum(len(document[0]) for document in documents[-8:])
    task = load_task(str(megatron(tmp_path / "c", documents)), tokens=kind, held_out=third)
    for part, texts in ((task.validation, originals[-16:-8]), (task.test, originals[-8:])):
        assert part.n_bytes == sum(len(text.encode()) for text in texts)
        assert part.n_words == count_words(" ".join(texts).encode())
    # A part that a cut begins within a document has the bytes of its tokens, halves of characters included.
    ids = np.concatenate([document[0] for document in documents])
    cuts = [NumberedTokens(kind, tokenizer.vocab_size, tokenizer).of_numbers(x, decoded=True).n_bytes
            for n in range(1, len(ids) - 1, 7) for x in (ids[:n], ids[n:])]  # fmt: skip
    whole = sum(len(text.encode()) for text in originals)
    assert {a + b for a, b in zip(cuts[::2], cuts[1::2], strict=True)} == {whole}


def test_numbers_of_gpt2_are_read_as_text_where_its_tokenizer_is(tmp_path):
    if not os.environ.get("ASTROMORPHIC_DATA"):
        pytest.skip("ASTROMORPHIC_DATA is not set: no tokenizer")
    ids = GPT2Tokenizer.find().encode("The calcium wave of an astrocyte.\n" * 60)
    task = load_task(str(megatron(tmp_path / "c", [[ids.tolist()]])), tokens="gpt2", held_out=len(ids) // 3)
    assert task.vocabulary == 50_257
    from models.continuation import _codec
    from models.result import RunResult

    record = RunResult.model_construct(data=task.record())
    assert isinstance(_codec(tmp_path, record, None), SubwordCodec)
