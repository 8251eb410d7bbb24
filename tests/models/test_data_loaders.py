"""The loaders of the named sets on small folders made here, in every layout they know."""

from __future__ import annotations

import io
import json
import lzma

import numpy as np
import pytest

from models.data import cifar10, plain_text
from models.data.digest import digest_of
from models.data.draw import balanced_draw
from models.data.kinds import LabelledTexts
from models.data.loading import load
from models.data.reading import Reader
from models.errors import ModelError


@pytest.fixture
def reviews(tmp_path):
    """40 + 8 reviews; in train, three are copies of others."""
    rows = {
        part: [(i, label, f"{part} {label} number {i if i < 17 else 0}") for i in range(n) for label in (0, 1)]
        for part, n in (("train", 20), ("test", 4))
    }
    folder = tmp_path / "data"
    (folder / "imdb").mkdir(parents=True)
    for part, own in rows.items():
        lines = "".join(
            json.dumps({"id": i, "label": label, "rating": 1, "text": text}) + "\n" for i, label, text in own
        )
        (folder / "imdb" / f"{part}.jsonl.xz").write_bytes(lzma.compress(lines.encode()))
    return folder, rows


def test_reviews_from_json_lines_and_from_folders_are_the_same(reviews, tmp_path):
    folder, rows = reviews
    other = tmp_path / "other" / "imdb" / "aclImdb"
    for part, own in rows.items():
        for i, label, text in own:
            file = other / part / ("neg", "pos")[label] / f"{i}_{label * 5 + 3}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    one = load("imdb", folder=folder, validation=10)
    for root in (tmp_path / "other", tmp_path / "other/imdb", other):
        two = load("imdb", folder=root, validation=10)
        assert two.digest == one.digest and two.train.texts == one.train.texts
    assert one.classes == ("negative", "positive")
    assert [text for _, _, text in rows["test"]] == list(one.test.texts)
    assert sorted(one.train.texts + one.validation.texts) == sorted(text for _, _, text in rows["train"])
    assert one.validation.labels.sum() == 5 and len(one.validation) == 10
    assert not set(one.validation.texts) & set(one.train.texts)
    assert load("imdb", folder=folder, validation=10, seed=1).validation.texts != one.validation.texts
    assert len(load("imdb", folder=folder, validation=0).train) == 40


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1: expected an object with id, label and text"),
        ('{"id": 0, "label": 2, "text": "a"}', "line 1: id 0, label 2; expected"),
        ('{"id": 0, "label": 1, "text": ""}', "a text that is not empty"),
    ],
)
def test_wrong_reviews_are_named(tmp_path, line, words):
    (tmp_path / "train.jsonl").write_text(line + "\n")
    with pytest.raises(ModelError, match=words):
        load("imdb", folder=tmp_path)


def test_missing_sets_name_the_command(tmp_path):
    for name in ("imdb", "cifar10", "wikitext2", "enwik8"):
        with pytest.raises(ModelError, match=f"run `astromorphic data fetch {name}`") as error:
            load(name, folder=tmp_path)
        assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="unknown data set 'imbd': did you mean 'imdb'"):
        load("imbd", folder=tmp_path)
    with pytest.raises(ModelError, match=r"mine.txt is not there"):
        load(tmp_path / "mine.txt")
    with pytest.raises(ModelError, match="is a folder"):
        load(tmp_path)


def test_the_draw_is_balanced_and_keeps_copies_together():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    contents = [f"{label}-{i // 2}" for i, label in enumerate(labels)]
    mask = balanced_draw(labels, 20, 7, contents)
    assert np.bincount(labels[mask]).tolist() == [12, 6, 2]
    assert not {contents[i] for i in np.flatnonzero(mask)} & {contents[i] for i in np.flatnonzero(~mask)}
    assert np.array_equal(mask, balanced_draw(labels, 20, 7, contents))
    # A text with both labels may be learnt from, but decides nothing.
    contradicting = ["same"] * 2 + [str(i) for i in range(98)]
    one = np.array([0, 1] * 50)
    assert not any(balanced_draw(one, 50, seed, contradicting)[:2].any() for seed in range(5))
    with pytest.raises(ModelError, match="leave 4 places empty"):
        balanced_draw(np.array([0] * 8 + [1] * 8), 4, 0, ["a"] * 8 + ["b"] * 8)
    with pytest.raises(ModelError, match="asks for 99 of 100 items"):
        balanced_draw(labels, 99, 0)
    with pytest.raises(ModelError, match="every item of class 1"):
        balanced_draw(np.array([0] * 99 + [1]), 97, 0)


def test_the_digest_sees_every_part():
    one = LabelledTexts(("a", "b"), np.array([0, 1]))
    others = [
        LabelledTexts(("b", "a"), np.array([0, 1])), LabelledTexts(("a", "b"), np.array([1, 0])),
        LabelledTexts(("ab", ""), np.array([0, 1])),
    ]  # fmt: skip
    digests = {digest_of("x", ("p", "q"), *parts) for parts in
               [(one, one, one), *((one, one, other) for other in others), (one, one)]}  # fmt: skip
    digests |= {digest_of("y", ("p", "q"), one, one, one), digest_of("x", ("pq",), one, one, one)}
    assert len(digests) == 7


# Images


def pictures(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), np.arange(n) % 10


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A record is the label, then 1024 red, 1024 green and 1024 blue values, row by row."""
    return b"".join(
        bytes([label]) + image.transpose(2, 0, 1).tobytes() for image, label in zip(images, labels, strict=True)
    )


def test_binary_batches(tmp_path):
    batches = tmp_path / "cifar10" / "cifar-10-batches-py"
    batches.mkdir(parents=True)
    with pytest.raises(ModelError, match=r"cifar-10-batches-py is the python version .*pickles.*data fetch cifar10"):
        load("cifar10", folder=tmp_path)
    batches = batches.with_name("cifar-10-batches-bin")
    batches.mkdir()
    parts = [pictures(20, i) for i in range(6)]
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        (batches / f"{name}.bin").write_bytes(binary(*parts[i]))
    # These are not the published files, and their hashes say so.
    with pytest.raises(ModelError, match=r"data_batch_1.bin has sha256 .*cee916563c9f80d8"):
        load("cifar10", folder=tmp_path)
    read = [cifar10._binary(Reader(tmp_path), batches / f"{name}.bin") for name in ("data_batch_3", "test_batch")]
    for (images, labels), expected in zip(read, (parts[2], parts[5]), strict=True):
        assert np.array_equal(images, expected[0]) and np.array_equal(labels, expected[1])
    (batches / "test_batch.bin").write_bytes(binary(*parts[5])[:-1])
    with pytest.raises(
        ModelError, match=r"test_batch.bin has 61,459 bytes; expected a multiple of 3,073.*another size"
    ):
        cifar10._binary(Reader(tmp_path), batches / "test_batch.bin")
    (batches / "test_batch.bin").write_bytes(binary(parts[5][0], parts[5][1] + 1))
    with pytest.raises(ModelError, match=r"image 9 has label 10; expected 0 to 9"):
        cifar10._binary(Reader(tmp_path), batches / "test_batch.bin")


def packed_planes(images: np.ndarray) -> bytes:
    """As the packed layout is made: green off red and blue, then differences across and down, modulo 256."""
    planes = np.moveaxis(images, -1, 0).copy()
    planes[0] -= planes[1]
    planes[2] -= planes[1]
    for axis in (2, 3):
        planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    return lzma.compress(planes.tobytes(), preset=0)


def test_planes_and_the_small_subset(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "_BATCH", 20)
    folder = tmp_path / "cifar10"
    folder.mkdir()
    parts = [pictures(20, i) for i in range(6)]
    for i in range(5):
        (folder / f"train_{i + 1}_of_5.d2.xz").write_bytes(packed_planes(parts[i][0]))
    (folder / "test.d2.xz").write_bytes(packed_planes(parts[5][0]))
    labels = np.concatenate([part[1] for part in parts[:5]]).astype(np.uint8)
    np.savez(folder / "labels.npz", y_train=labels, y_test=parts[5][1].astype(np.uint8))
    splits = load("cifar10", folder=tmp_path, validation=20)
    assert np.array_equal(splits.test.images, parts[5][0]) and splits.classes[1] == "automobile"
    assert np.bincount(splits.validation.labels).tolist() == [2] * 10 and len(splits.train) == 80
    whole = np.concatenate([part[0] for part in parts[:5]])
    assert np.array_equal(load("cifar10", folder=tmp_path, validation=0).train.images, whole)
    np.savez(folder / "labels.npz", y_train=labels[:-1], y_test=parts[5][1])
    with pytest.raises(ModelError, match="y_train has 99 labels for 100 images"):
        load("cifar10", folder=tmp_path)
    with pytest.raises(ModelError, match=r"small_2k_1k.npz is not there"):
        load("cifar10", folder=tmp_path, subset="small")
    arrays = {"x_train": parts[0][0], "y_train": parts[0][1], "x_test": parts[1][0], "y_test": parts[1][1]}
    np.savez(folder / "small_2k_1k.npz", **arrays)
    small = load("cifar10", folder=tmp_path, subset="small", validation=10)
    assert small.name == "cifar10_small" and len(small.train) == 10
    np.savez(folder / "small_2k_1k.npz", **{**arrays, "x_test": parts[1][0][:, :28, :28]})
    with pytest.raises(ModelError, match=r"x_test is uint8 \[20, 28, 28, 3\]; expected uint8 \[20, 32, 32, 3\]"):
        load("cifar10", folder=tmp_path, subset="small")
    pickled = io.BytesIO()
    np.savez(pickled, **{**arrays, "y_test": np.array([{}], dtype=object)})
    (folder / "small_2k_1k.npz").write_bytes(pickled.getvalue())
    with pytest.raises(ModelError, match="without pickles"):
        load("cifar10", folder=tmp_path, subset="small")


# Plain text


def test_wikitext_as_words_and_raw(tmp_path):
    words = {part: f" \n = {part} = \n \n a <unk> b \n" for part in ("train", "valid", "test")}
    folder = tmp_path / "wikitext2"
    (folder / "wikitext-2-raw").mkdir(parents=True)
    for part in ("valid", "test"):
        (folder / f"wiki.{part}.tokens.xz").write_bytes(lzma.compress(words[part].encode()))
    with pytest.raises(ModelError, match=r"wiki.train.tokens is not in .*data fetch wikitext2`$"):
        load("wikitext2", folder=tmp_path)
    (folder / "train_head_raw_1MB.txt").write_text("raw text")
    with pytest.raises(ModelError, match=r"or train on the first megabyte of the raw text with train='raw_head'"):
        load("wikitext2", folder=tmp_path)
    head = load("wikitext2", folder=tmp_path, train="raw_head")
    assert head.name == "wikitext2_raw_head_train" and head.train == b"raw text"
    (folder / "wiki.train.tokens").write_text(words["train"])
    whole = load("wikitext2", folder=tmp_path)
    assert whole.name == "wikitext2" and whole.validation == words["valid"].encode() and whole.digest != head.digest
    for part in words:
        (folder / "wikitext-2-raw" / f"wiki.{part}.raw").write_text(f"raw {part}")
    raw = load("wikitext2", folder=tmp_path, version="raw")
    assert (raw.name, raw.train, raw.test) == ("wikitext2_raw", b"raw train", b"raw test")
    with pytest.raises(ModelError, match="unknown version 'word': did you mean 'words'"):
        load("wikitext2", folder=tmp_path, version="word")
    assert plain_text.wikitext_words(whole.test) == [
        "<eos>", "=", "test", "=", "<eos>", "<eos>", "a", "<unk>", "b", "<eos>"
    ]  # fmt: skip


def test_a_text_file_is_cut_by_position(tmp_path):
    file = tmp_path / "mine.txt"
    raw = bytes(range(200))
    file.write_bytes(raw)
    splits = load(file)
    assert (splits.train, splits.validation, splits.test) == (raw[:180], raw[180:190], raw[190:])
    assert [len(part) for part in (lambda s: (s.train, s.validation, s.test))(load(file, split=(8, 1, 1)))] == [
        160,
        20,
        20,
    ]
    (tmp_path / "mine.txt.xz").write_bytes(lzma.compress(raw))
    assert load(tmp_path / "mine.txt.xz").train == splits.train
    file.write_bytes(b"short")
    with pytest.raises(ModelError, match=r"mine.txt has 5 bytes, too few"):
        load(file)
    file.write_bytes(b"")
    with pytest.raises(ModelError, match=r"mine.txt is empty"):
        load(file)
    with pytest.raises(ModelError, match="expected three positive numbers"):
        load(tmp_path / "mine.txt.xz", split=(90, 10, 0))


def test_the_head_of_enwik8(tmp_path):
    (tmp_path / "enwik8_first_4MB").write_bytes(b"0123456789" * 40)
    splits = load("enwik8", folder=tmp_path, n_bytes=200)
    assert splits.name == "enwik8_first_200" and (len(splits.train), len(splits.test)) == (180, 10)
    with pytest.raises(ModelError, match="n_bytes is 401; expected 1 to the 400 bytes"):
        load("enwik8", folder=tmp_path, n_bytes=401)
    with pytest.raises(ModelError, match="has no option 'validation'; it takes n_bytes"):
        load("enwik8", folder=tmp_path, validation=3)


def test_shakespeare_is_the_shipped_text():
    splits = load("shakespeare")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1_003_854, 55_770, 55_770)
