"""The other sets of long sequences: bytes, grey pixels and pairs as tokens, releases from folders, and their faults."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data import load
from models.data.associative_retrieval import load_associative_retrieval
from models.data.digest import digest_of
from models.data.lra_image import grey
from models.data.sequences import TokenSequences
from models.errors import ModelError

JSON = '{"id": %d, "label": %d, "text": "%s"}\n'


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    place = tmp_path / "imdb"
    place.mkdir()
    for part in ("train", "test"):
        rows = [JSON % (i, i % 2, f"{part} {i} caf\\u00e9 " + "x" * i) for i in range(40)]
        (place / f"{part}.jsonl").write_text("".join(rows))
    return tmp_path


def test_reviews_are_bytes_plus_one_and_validation_is_taken_from_train(reviews):
    splits = load("lra_text", folder=reviews, validation=10, length=30)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (30, 10, 40)
    assert splits.test.sequences.vocab_size == 257 and splits.test.sequences.limit == 30
    assert splits.test.sequences[3].tolist() == [byte + 1 for byte in "test 3 café xxx".encode()]
    assert splits.test.sequences.lengths.max() == 30 and splits.test.sequences.pad_id == 0
    texts = [bytes((splits.validation.sequences[i] - 1).tolist()) for i in range(10)]
    assert all(text.startswith(b"train") for text in texts) and splits.validation.labels.sum() == 5
    assert load("lra_text", folder=reviews, validation=10, length=29).digest != splits.digest
    with pytest.raises(ModelError, match="length is 0; expected a whole number of tokens"):
        load("lra_text", folder=reviews, validation=10, length=0)


def test_grey_is_that_of_tensorflow():
    """0.2989 r + 0.5870 g + 0.1140 b over 255, times 255.5, cut: as float64 says wherever float32 cannot be in doubt."""
    colours = np.random.default_rng(0).integers(0, 256, (40, 25, 25, 3), dtype=np.uint8)
    exact = (colours / 255.0) @ np.array([0.2989, 0.5870, 0.1140]) * 255.5
    sure = np.abs(exact - np.round(exact)) > 1e-4
    assert sure.mean() > 0.99 and np.array_equal(grey(colours)[sure], exact.astype(np.uint8)[sure])
    known = np.array([[[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 1, 1]]]], dtype=np.uint8)
    assert grey(known).tolist() == [[[255, 0, 76, 149, 29, 1]]]


def test_pictures_are_1024_grey_tokens_without_padding():
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder or not (Path(folder) / "cifar10/small_2k_1k.npz").is_file():
        pytest.skip("ASTROMORPHIC_DATA is not set, or has no small CIFAR-10")
    colour, splits = (load(name, subset="small", validation=500) for name in ("cifar10", "lra_image"))
    assert splits.name == "lra_image_small" and (len(splits.train), len(splits.validation)) == (1500, 500)
    part = splits.test.sequences
    assert part.vocab_size == 256 and part.limit == 1024 and part.pad_id is None and set(part.lengths) == {1024}
    assert np.array_equal(part[7].reshape(32, 32), grey(colour.test.images[7:8])[0])
    assert np.array_equal(splits.test.labels, colour.test.labels)


def pairs(part: str, rows: int) -> str:
    return "".join(f'{i % 2}.0\tP{i}\tQ{i}\t{part} "one" {i}\ttwo, \'{i}\n' for i in range(rows))


@pytest.fixture
def aan(tmp_path: Path) -> Path:
    place = tmp_path / "lra_retrieval"
    place.mkdir()
    for part, rows in (("train", 8), ("eval", 4), ("test", 6)):
        (place / f"new_aan_pairs.{part}.tsv").write_text(pairs(part, rows))
    return tmp_path


def test_pairs_of_papers_are_read_from_the_release(aan):
    splits = load("lra_retrieval", folder=aan)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (8, 4, 6)
    assert splits.train.labels.tolist() == [0, 1] * 4 and splits.classes == ("unrelated", "cited")
    # Quotes are letters like others, as the arena's own reader takes them.
    assert bytes((splits.train.sequences[3] - 1).tolist()) == b'train "one" 3'
    assert splits.train.second is not None and bytes((splits.train.second[3] - 1).tolist()) == b"two, '3"
    assert splits.train.sequences.limit == 4000
    assert load("lra_retrieval", folder=aan, length=5).train.sequences.lengths.max() == 5
    (aan / "tsv_data").mkdir()
    for file in (aan / "lra_retrieval").iterdir():
        file.rename(aan / "tsv_data" / file.name)
    assert load("lra_retrieval", folder=aan).digest == splits.digest


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1\ta\tb\tc\n", "line 9: 4 columns; expected label, id1, id2, text1, text2"),
        ("2\ta\tb\tc\td\n", "line 9: the label is b'2'; expected 0 or 1"),
        ("1\ta\tb\t\td\n", "line 9: a text is empty"),
    ],
)
def test_rows_that_are_no_pairs_are_named(aan, row, words):
    file = aan / "lra_retrieval/new_aan_pairs.train.tsv"
    file.write_text(pairs("train", 8) + row)
    with pytest.raises(ModelError, match=re.escape(str(file)) + ", " + words):
        load("lra_retrieval", folder=aan)


def test_a_release_that_is_not_there_is_said(aan, tmp_path):
    (aan / "lra_retrieval/new_aan_pairs.eval.tsv").write_text("")
    with pytest.raises(ModelError, match=r"new_aan_pairs\.eval\.tsv is empty"):
        load("lra_retrieval", folder=aan)
    (aan / "lra_retrieval/new_aan_pairs.eval.tsv").unlink()
    with pytest.raises(ModelError, match=r"new_aan_pairs\.eval\.tsv is not there"):
        load("lra_retrieval", folder=aan)
    for name, words in (
        ("lra_retrieval", r"new_aan_pairs\.train\.tsv is not in .*unpack lra_release\.gz"),
        ("pathfinder", "pathfinder32 is not in"), ("path_x", "pathfinder128 is not in"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=words):
            load(name, folder=tmp_path / "nowhere")


RECORD = re.compile(rb"#([a-z]{2})=(\d\d);")


def test_associations_decide_alone():
    splits = load_associative_retrieval(train=400, validation=10, test=10, length=120, records=5)
    part = splits.train
    assert part.second is not None and set(part.sequences.lengths) == {120} and part.sequences.vocab_size == 257
    for i in range(400):
        first, second = (bytes((one[i] - 1).tolist()) for one in (part.sequences, part.second))
        known, asked = dict(RECORD.findall(first)), RECORD.findall(second)
        assert len(known) == len(set(known.values())) == 5 and len(asked) == 1
        key, value = asked[0]
        # Key and value stand in the first text in both classes.
        assert key in known and value in known.values() and part.labels[i] == (known[key] == value)
    assert 150 < part.labels.sum() < 250
    assert splits.digest == "9f6c836977be35b4928eddcbc87b361d30442f49b95cdbc264a3743c972f9aa0"


def test_joined_texts_are_the_pair_in_one_sequence():
    sizes = {"train": 20, "validation": 5, "test": 5, "length": 80, "records": 3}
    pair, joined = load_associative_retrieval(**sizes), load_associative_retrieval(**sizes, joined=True)
    assert joined.train.second is None and joined.train.sequences.limit == 160
    assert pair.train.second is not None
    for i in range(20):
        assert np.array_equal(
            joined.train.sequences[i], np.concatenate([pair.train.sequences[i], pair.train.second[i]])
        )
    assert np.array_equal(pair.train.labels, joined.train.labels) and pair.digest != joined.digest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"records": 1}, "records is 1; expected a whole number from 2 to 100"),
        ({"length": 20, "records": 3}, "length is 20; expected at least 21, 7 bytes for each record"),
        ({"joined": 1}, "joined is 1; expected True or False"),
        ({"test": 0}, "test is 0"),
    ],
)
def test_associations_that_cannot_be(options, words):
    with pytest.raises(ModelError, match=words):
        load_associative_retrieval(**options)


@pytest.fixture
def pathfinder(tmp_path: Path) -> Path:
    place = tmp_path / "lra_release/lra_release/pathfinder32/curv_contour_length_14"
    (place / "metadata").mkdir(parents=True)
    random = np.random.default_rng(0)
    for folder in range(2):
        (place / f"imgs/{folder}").mkdir(parents=True)
        rows = []
        for i in range(20):
            Image.fromarray(random.integers(0, 256, (32, 32), dtype=np.uint8)).save(
                place / f"imgs/{folder}/sample_{i}.png"
            )
            rows.append(f"imgs/{folder} sample_{i}.png {i} {(i + folder) % 2} 1.8 0 6 3\n")
        (place / f"metadata/{folder}.npy").write_text("".join(rows))
    (place / "imgs/0/sample_17.png").write_bytes(b"")
    return tmp_path


def test_released_images_are_read_with_the_labels_of_their_lists(pathfinder):
    splits = load("pathfinder", folder=pathfinder)
    parts = (splits.train, splits.validation, splits.test)
    # 39 of 40: the empty file is no image.
    assert [len(part) for part in parts] == [31, 4, 4] and splits.name == "pathfinder"
    place = pathfinder / "lra_release/lra_release/pathfinder32/curv_contour_length_14"
    wanted = {}
    for folder in range(2):
        for i in range(20):
            if (folder, i) != (0, 17):
                with Image.open(place / f"imgs/{folder}/sample_{i}.png") as image:
                    wanted[np.asarray(image).tobytes()] = (i + folder) % 2
    found = {
        part.sequences[i].astype(np.uint8).tobytes(): int(part.labels[i]) for part in parts for i in range(len(part))
    }
    assert found == wanted and parts[0].sequences.pad_id is None
    assert load("pathfinder", folder=pathfinder, seed=1).digest != splits.digest
    few = load("pathfinder", folder=pathfinder, images=20)
    assert [len(part) for part in (few.train, few.validation, few.test)] == [16, 2, 2]


def test_faults_of_the_released_images_are_named(pathfinder):
    place = pathfinder / "lra_release/lra_release/pathfinder32/curv_contour_length_14"
    with pytest.raises(ModelError, match="curv_baseline/metadata holds no lists"):
        load("pathfinder", folder=pathfinder, level="easy")
    (place / "imgs/1/sample_3.png").write_bytes(b"no image")
    with pytest.raises(ModelError, match=r"sample_3\.png cannot be read as PNG"):
        load("pathfinder", folder=pathfinder)
    Image.fromarray(np.zeros((16, 32), dtype=np.uint8)).save(place / "imgs/1/sample_3.png")
    with pytest.raises(ModelError, match=r"sample_3\.png has 32 x 16 pixels; expected 32 x 32"):
        load("pathfinder", folder=pathfinder)
    (place / "imgs/1/sample_3.png").unlink()
    with pytest.raises(ModelError, match=r"1\.npy, line 4: .*sample_3\.png is not there"):
        load("pathfinder", folder=pathfinder)
    for text, words in (
        ("imgs/1 sample_0.png 0 7\n", "line 1: 'imgs/1 sample_0.png 0 7'; expected folder, file, number and the label"),
        ("imgs/1 ../x.png 0 1\n", "expected folder, file"),
        ("\x93NUMPYö", "is not the text of the release's lists"),
    ):
        (place / "metadata/1.npy").write_text(text)
        with pytest.raises(ModelError, match=words):
            load("pathfinder", folder=pathfinder)


def test_sequences_hold_what_they_were_made_of():
    made = TokenSequences.of_bytes([b"\x00\xffab", b"c"], 3)
    assert made[0].tolist() == [1, 256, 98] and made[1].tolist() == [100] and made.lengths.tolist() == [3, 1]
    with pytest.raises(IndexError):
        made[2]
    with pytest.raises(ModelError, match=r"text 1 \(counted from 0\) is empty"):
        TokenSequences.of_bytes([b"a", b""], 3)


def test_digests_tell_apart_what_a_network_would_read():
    from dataclasses import replace

    from models.data.kinds import LabelledSequences

    one = TokenSequences.of_bytes([b"ab", b"c"], 5)
    labels = np.array([0, 1])
    made = [
        LabelledSequences(one, labels), LabelledSequences(one, labels[::-1]), LabelledSequences(one, labels, one),
        LabelledSequences(TokenSequences.of_bytes([b"a", b"bc"], 5), labels), LabelledSequences(replace(one, shift=2), labels),
    ]  # fmt: skip
    assert len({digest_of("x", (), part) for part in made}) == len(made)
