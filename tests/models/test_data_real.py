"""The real data of the folder named by ASTROMORPHIC_DATA against numbers that others published."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from models.data.glove import find_glove, glove_embeddings
from models.data.images import mean_and_std
from models.data.kinds import LabelledTexts, Splits
from models.data.loading import load
from models.data.plain_text import wikitext_words
from models.data.subwords import GPT2Tokenizer
from models.data.vocabulary import WordVocabulary


@pytest.fixture(autouse=True)
def data() -> Path:
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder:
        pytest.skip("ASTROMORPHIC_DATA is not set: no real data")
    return Path(folder)


def needs(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path} is missing")


@pytest.fixture(scope="module")
def reviews() -> Splits[LabelledTexts]:
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder or not (Path(folder) / "imdb").is_dir():
        pytest.skip("ASTROMORPHIC_DATA is not set, or has no imdb")
    return load("imdb")


def test_imdb_is_whole_and_its_copies_stay_on_one_side(reviews):
    splits = reviews
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (22_500, 2_500, 25_000)
    for part in (splits.train, splits.validation, splits.test):
        assert part.labels.mean() == 0.5
    train, validation, test = (set(part.texts) for part in (splits.train, splits.validation, splits.test))
    assert not train & validation
    # 49,582 distinct reviews are known of the 50,000.
    assert len(train | validation) == 24_904 and len(test) == 24_801 and len(train | validation | test) == 49_582
    words = np.array([len(text.split()) for text in splits.train.texts + splits.validation.texts])
    assert (words.min(), np.median(words), words.max(), round(words.mean())) == (10, 174, 2470, 234)
    assert round(float((words > 400).mean()), 3) == 0.134


def test_glove_covers_most_words_of_the_reviews(reviews):
    if find_glove() is None:
        pytest.skip("no GloVe file")
    vocabulary = WordVocabulary.build(reviews.train.texts[:2000])
    found = glove_embeddings(vocabulary)
    assert found.token_share > 0.7 and found.matrix.shape[0] == len(vocabulary)


def test_the_small_subset_of_cifar10_has_the_published_mean(data):
    needs(data / "cifar10/small_2k_1k.npz")
    splits = load("cifar10", subset="small", validation=0)
    assert np.bincount(splits.train.labels).tolist() == [200] * 10
    mean, std = mean_and_std(splits.train.images)
    # 2,000 of 50,000 images: the mean of a channel scatters by about 0.003.
    assert mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.012)
    assert std == pytest.approx((0.2470, 0.2435, 0.2616), abs=0.01)


@pytest.mark.slow
def test_the_whole_of_cifar10_has_the_published_mean_and_the_published_small_images(data):
    from models.data.cifar10 import MEAN, STD

    needs(data / "cifar10/labels.npz")
    splits = load("cifar10", validation=0)
    assert np.bincount(splits.train.labels).tolist() == [5000] * 10 and len(splits.test) == 10_000
    mean, std = mean_and_std(splits.train.images)
    assert mean == pytest.approx(MEAN, abs=1e-8) and std == pytest.approx(STD, abs=1e-8)
    small = load("cifar10", subset="small", validation=0)
    whole = {image.tobytes() for image in splits.train.images}
    assert len(whole) == 50_000 and all(image.tobytes() in whole for image in small.train.images)


def test_wikitext2_has_the_published_numbers_of_words(data):
    needs(data / "wikitext2")
    splits = load("wikitext2", train="raw_head")
    words = wikitext_words(splits.test)
    assert len(words) == 245_569 and words.count("<eos>") == 4_358 and len(splits.test) == 1_256_449
    assert len(wikitext_words(splits.validation)) == 217_646


def test_gpt2_cuts_wikitext2_into_the_known_number_of_tokens(data):
    needs(data / "wikitext2")
    tokenizer = GPT2Tokenizer.find()
    text = load("wikitext2", train="raw_head").test.decode()
    tokens = tokenizer.encode(text)
    assert len(tokens) == 295_877
    # Nothing is lost, and cutting at line ends changes nothing: the corpus may be read in parts.
    assert tokenizer.decode(tokens) == text
    lines = text.splitlines(keepends=True)[:200]
    assert np.array_equal(np.concatenate(list(map(tokenizer.encode, lines))), tokenizer.encode("".join(lines)))
    assert tokenizer.encode("Hello world").tolist() == [15496, 995]
    assert tokenizer.encode("<unk>").tolist() == [27, 2954, 29]


def test_enwik8_begins_as_published(data):
    needs(data / "enwik8")
    splits = load("enwik8", n_bytes=1_000_000)
    raw = splits.train + splits.validation + splits.test
    assert len(raw) == 1_000_000 and raw.startswith(b"<mediawiki xmlns=")
    assert len(splits.train) == 900_000


def test_shakespeare_is_the_copy_in_the_folder(data):
    file = data / "text_char/tinyshakespeare.txt.xz"
    needs(file)
    shipped, other = load("shakespeare"), load(file)
    assert (shipped.train, shipped.validation, shipped.test) == (other.train, other.validation, other.test)
    raw = shipped.train + shipped.validation + shipped.test
    assert hashlib.sha256(raw).hexdigest().startswith("86c4e6aa9db7c042")
