"""Frequent pairs of words as tokens: which they are, where they stand, and that a run keeps them."""

import itertools
import json

import numpy as np
import pytest

from models.astromorphic import AstromorphicConfig
from models.data.encoded import EncodedTexts
from models.data.kinds import LabelledTexts, Splits
from models.data.pairs import WordPairs
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError
from models.tasks import load_task
from models.tasks.text_classification import PAIRS_FILE, TextClassificationTask


def encoded(*texts: list[int]) -> EncodedTexts:
    return EncodedTexts.from_lengths([t for text in texts for t in text], [len(text) for text in texts])


# 2 3 stands three times, 3 2 twice, 3 4 once; 4 then 2 only across the end of a text.
TEXTS = encoded([2, 3, 2, 3, 4], [2, 1, 3, 2], [5], [2, 3])


def test_pairs_are_counted_within_texts_and_without_unknown_words():
    assert WordPairs.count(TEXTS, 6, 10).pairs.tolist() == [[2, 3], [3, 2]]
    assert WordPairs.count(TEXTS, 6, 1).pairs.tolist() == [[2, 3]]
    assert len(WordPairs.count(encoded([2, 3, 4, 5]), 6, 10)) == 0


def test_the_most_frequent_are_those_that_a_loop_finds():
    random = np.random.default_rng(0)
    texts = [random.integers(1, 9, random.integers(1, 30)).tolist() for _ in range(40)]
    counted: dict[tuple[int, int], int] = {}
    for text in texts:
        for pair in itertools.pairwise(text):
            if min(pair) > 1:
                counted[pair] = counted.get(pair, 0) + 1
    slow = sorted((-n, pair) for pair, n in counted.items() if n > 1)[:20]
    pairs = WordPairs.count(encoded(*texts), 9, 20)
    assert [tuple(p) for p in pairs.pairs.tolist()] == [pair for _, pair in slow]
    number = {tuple(p): 9 + i for i, p in enumerate(pairs.pairs.tolist())}
    found = pairs.insert(encoded(*texts))
    for i, text in enumerate(texts):
        expected = [text[0]]
        for pair in itertools.pairwise(text):
            expected += [*([number[pair]] if pair in number else []), pair[1]]
        assert found[i].tolist() == expected


def test_a_text_without_known_pairs_stays_as_it_is():
    pairs = WordPairs.count(TEXTS, 6, 1)
    assert pairs.insert(encoded([4], [5, 4, 2], [2, 3]))[2].tolist() == [2, 6, 3]
    assert pairs.insert(encoded([4], [5, 4, 2])).tokens.tolist() == [4, 5, 4, 2]
    none = WordPairs.count(encoded([2], [3]), 6, 5)
    assert none.insert(TEXTS) is TEXTS


def test_pairs_are_read_back(tmp_path):
    pairs = WordPairs.count(TEXTS, 6, 10)
    again = WordPairs.load(pairs.save(tmp_path / "pairs.json"))
    assert again.n_words == 6 and np.array_equal(again.pairs, pairs.pairs)
    nothing = WordPairs.count(encoded([2]), 6, 10)
    assert len(WordPairs.load(nothing.save(tmp_path / "none.json"))) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "no word pairs of version 1"),
        ({"pairs": [[2]]}, "no word pairs of version 1"),
        ({"pairs": [[2, 3], [2, 3]]}, "each pair once"),
        ({"pairs": [[2, 6]]}, "words 2 to 5"),
        ({"pairs": [[1, 2]]}, "words 2 to 5"),
    ],
)
def test_another_file_is_no_file_of_pairs(tmp_path, change, message):
    path = WordPairs.count(TEXTS, 6, 10).save(tmp_path / "pairs.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=message):
        WordPairs.load(path)
    with pytest.raises(ModelError, match="cannot be read"):
        WordPairs.load(tmp_path / "elsewhere.json")


@pytest.mark.parametrize("size", [-1, True, 2.5, "many"])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ModelError, match="pairs is"):
        WordPairs.count(TEXTS, 6, size)
    with pytest.raises(ModelError, match=r"tokens up to 5; expected word numbers below 5"):
        WordPairs.count(TEXTS, 5, 10)


def order_matters(n: int, seed: int) -> LabelledTexts:
    """Every text has the same words; the label says in which order two of them stand."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    texts = []
    for label in labels:
        words = ["film"] * 4
        words.insert(int(random.integers(0, 5)), "not good" if label else "good not")
        texts.append(" ".join(words))
    return LabelledTexts(tuple(texts), labels.astype(np.int64))


def test_a_task_with_pairs_says_how_many_tokens_there_are():
    train = order_matters(80, 0)
    splits = Splits("order", train, order_matters(20, 1), order_matters(20, 2), "digest", "made up", ("bad", "good"))
    vocabulary = WordVocabulary.build(train.texts)
    task = TextClassificationTask(splits, vocabulary, 6, pairs=100)
    pairs = {tuple(p) for p in task.pairs.pairs.tolist()}
    good, negation = (vocabulary.encode(word)[0] for word in ("good", "not"))
    assert {(good, negation), (negation, good)} <= pairs
    assert task.settings()["vocab_size"] == task.n_tokens == len(vocabulary) + len(pairs)
    assert task.settings()["max_position_embeddings"] == 11 and task.lengths("train").max() == 11
    # The bag of words is one and the same for both labels; the bag with pairs is not.
    batch = task.batch("train", np.arange(80))
    marks = (batch["input_ids"] == len(vocabulary) + task.pairs.pairs.tolist().index([negation, good])).any(1)
    assert marks.tolist() == batch["labels"].bool().tolist()
    with pytest.raises(ModelError, match=rf"expected at least {task.n_tokens}, the tokens of words .* pairs"):
        small = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "num_hidden_layers": 1}
        task.check(AstromorphicConfig(**small, **task.settings() | {"vocab_size": task.n_tokens - 1}))


def test_a_run_folder_keeps_its_pairs(tmp_path):
    table = tmp_path / "order.csv"
    part = order_matters(120, 0)
    # Equal texts would be put into one split together.
    marked = [f"{text} number{i}" for i, text in enumerate(part.texts)]
    lines = [f"{text},{'yes' if y else 'no'}" for text, y in zip(marked, part.labels, strict=True)]
    table.write_text("\n".join(["text,label", *lines]) + "\n")
    task = load_task(str(table), length=8, pairs=5)
    assert len(task.pairs) == 5
    task.save(tmp_path)
    assert (tmp_path / PAIRS_FILE).is_file()
    again = load_task(str(table), saved=tmp_path, length=8, pairs=5)
    assert np.array_equal(again.encoded["test"].tokens, task.encoded["test"].tokens)
    assert load_task(str(table), length=8).pairs is None
    with pytest.raises(ModelError, match="pairs is -1"):
        load_task(str(table), length=8, pairs=-1)


def test_words_at_the_seam_of_a_cut_text_are_no_pair():
    """Head and tail of a cut text meet at words that were no neighbours."""
    whole = encoded([2, 3, 5, 5, 4, 2], [2, 3, 5, 5, 4, 2], [3, 4])
    cut = whole.truncated(4, "head+tail")
    assert cut.tokens.tolist() == [2, 3, 4, 2, 2, 3, 4, 2, 3, 4] and cut.seams.tolist() == [1, 5]
    # 3 4 stands three times in what is left, and once in the texts.
    assert WordPairs.count(cut, 6, 10).pairs.tolist() == [[2, 3], [4, 2]]
    pairs = WordPairs(6, np.array([[3, 4], [4, 2]]))
    found = pairs.insert(cut)
    assert found[0].tolist() == [2, 3, 4, 7, 2] and found[2].tolist() == [3, 6, 4]
    # Cut again, the old seam is one still.
    assert cut.truncated(3).seams.tolist() == [1, 4] and cut.truncated(2).seams.tolist() == []
    assert whole.truncated(4).seams.tolist() == [] and whole.truncated(6, "head+tail").seams.tolist() == []


def test_pairs_of_another_vocabulary_are_refused(tmp_path):
    path = WordPairs.count(TEXTS, 6, 10).save(tmp_path / "pairs.json")
    assert len(WordPairs.load(path, 6)) == 2
    with pytest.raises(ModelError, match="pairs of 6 words and the vocabulary beside it has 7"):
        WordPairs.load(path, 7)
