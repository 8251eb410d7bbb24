"""Labelled texts of the user's: what is found by itself, and one error with file and row for everything that is wrong."""

from __future__ import annotations

import gzip
import json
import lzma

import numpy as np
import pytest

from models.data.draw import balanced_draw
from models.data.loading import load
from models.data.order import epoch_order
from models.data.vocabulary import splitter
from models.errors import ModelError
from models.tasks import load_task

ROWS = [(f"text number {i}, with a comma", ("good", "bad")[i % 2]) for i in range(40)]


def csv_text(separator: str = ",", header: tuple[str, str] = ("text", "label"), rows=ROWS) -> str:
    lines = [separator.join(header), *(f'"{text}"{separator}{label}' for text, label in rows)]
    return "\n".join(lines) + "\n"


def test_a_table_is_cut_by_seed_with_equal_shares(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(csv_text())
    one, same, other = load(file), load(file, seed=0), load(file, seed=1)
    assert one.classes == ("bad", "good") and one.name == "mine.csv"
    assert [len(part) for part in (one.train, one.validation, one.test)] == [32, 4, 4]
    for part in (one.train, one.validation, one.test):
        assert part.labels.dtype == np.int64 and part.labels.mean() == 0.5
        assert all(dict(ROWS)[text] == one.classes[label] for text, label in zip(part.texts, part.labels, strict=True))
    texts = one.train.texts + one.validation.texts + one.test.texts
    assert sorted(texts) == sorted(text for text, _ in ROWS)
    assert (same.digest, same.test.texts) == (one.digest, one.test.texts)
    assert other.digest != one.digest and other.test.texts != one.test.texts


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found(tmp_path, separator):
    file = tmp_path / "mine.csv"
    file.write_text(csv_text(separator, ("Review", "Sentiment")))
    expected = tmp_path / "comma" / "mine.csv"
    expected.parent.mkdir()
    expected.write_text(csv_text())
    assert load(file).digest == load(expected).digest


def test_json_lines_packed_files_and_a_test_file_of_its_own(tmp_path):
    lines = "".join(json.dumps({"id": i, "text": t, "label": label}) + "\n" for i, (t, label) in enumerate(ROWS))
    plain, packed = tmp_path / "mine.jsonl", tmp_path / "mine.jsonl.xz"
    plain.write_text(lines)
    packed.write_bytes(lzma.compress(lines.encode()))
    assert load(plain).test.texts == load(packed).test.texts
    (tmp_path / "test.csv.gz").write_bytes(gzip.compress(csv_text(rows=ROWS[:3]).encode()))
    splits = load(plain, test=tmp_path / "test.csv.gz", validation=6)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (34, 6, 3)
    assert splits.test.labels.tolist() == [1, 0, 1]


def test_numbers_as_labels(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(csv_text(rows=[(f"t{i}", str((2, 10, 1)[i % 3])) for i in range(30)]))
    assert load(file, test=3, validation=3).classes == ("1", "2", "10")
    file.write_text(csv_text(rows=[(f"t{i}", str(i % 2)) for i in range(30)]))
    named = load(file, classes=("no", "yes"))
    assert named.classes == ("no", "yes") and set(named.train.labels) == {0, 1}
    (tmp_path / "b.jsonl").write_text("".join(f'{{"text": "t{i}", "label": {i % 2}.0}}\n' for i in range(30)))
    assert load(tmp_path / "b.jsonl").classes == ("0", "1")


def test_copies_stay_on_one_side(tmp_path):
    rows = [(f"text {i // 3}", ("a", "b")[i // 3 % 2]) for i in range(120)]
    (tmp_path / "a.csv").write_text(csv_text(rows=rows))
    splits = load(tmp_path / "a.csv", validation=12, test=12)
    parts = [set(part.texts) for part in (splits.train, splits.validation, splits.test)]
    assert len(splits.validation) == len(splits.test) == 12
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


THREE = [(f"t{i}", str(i % 3)) for i in range(30)]
OWN = [(f"t{i}", str(i)) for i in range(9)]


def with_row(row: str, where: int = 5) -> str:
    lines = csv_text().split("\n")
    lines.insert(where, row)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (with_row('" ",good'), {}, r"row 6: the text is empty"),
        (with_row('"fine",'), {}, r"row 6: the label is missing"),
        (with_row('"fine"'), {}, r"row 6: 1 fields, the header has 2"),
        (with_row('not quoted, fine,good'), {}, r"row 6: 3 fields, the header has 2; put texts that hold ',' in quotes"),
        (with_row('"fine,good'), {}, r"line 7: .*correct the quotes"),
        (csv_text(), {"classes": ("good", "fair")}, r"row 3: label 'bad' is out of range; expected one of good, fair or"),
        (csv_text(rows=THREE), {"classes": ("no", "yes")}, r"row 4: label '2' is out of range"),
        (csv_text(rows=[(f"t{i}", "same") for i in range(9)]), {}, "every label is 'same'; expected at least two"),
        (csv_text(rows=OWN), {}, r"class '0' has 1 texts; expected at least 3.*column of the labels"),
        (csv_text(header=("words", "mood")), {}, r"which column is the text\? no column .*'words', 'mood'; name it with text="),
        (csv_text(header=("text", "mood")), {}, r"which column is the label\?.*name it with label="),
        (csv_text(header=("text", "review")), {}, r"which column is the text\? several"),
        (csv_text(), {"text": "review"}, r"the text column 'review' is there 0 times; columns are 'text', 'label'"),
        (csv_text("#"), {}, r"which column is the text\?.*'text#label'.*separator ','; name another one"),
        (csv_text(), {"separator": "ab"}, "separator is 'ab'; expected one character"),
        ("", {}, "is empty"),
        ("text,label\n", {}, "a header and no rows"),
        (csv_text(), {"validation": 0}, "the validation part would be empty"),
        (csv_text(), {"test": 39}, r"test asks for 39 of 40 items"),
        (csv_text(), {"test": -1}, r"test is -1; expected a number"),
        (csv_text(), {"validation": 1.5}, r"validation is 1.5; expected a whole number"),
        (csv_text(), {"valid": 3}, r"has no option 'valid'; it takes validation, test, seed"),
    ],
)  # fmt: skip
def test_a_wrong_csv_is_one_error(tmp_path, content, options, words):
    file = tmp_path / "mine.csv"
    file.write_text(content)
    with pytest.raises(ModelError, match=words) as error:
        load(file, **options)
    assert "mine.csv" in str(error.value) or "separator" in words or "test is" in words or "validation is" in words
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 3: no JSON"),
        ("[1]", "line 3: list; expected one object per line"),
        ('{"label": 1}', "line 3: the text is empty"),
        ('{"text": "a"}', "line 3: the label is missing"),
        ('{"text": "a", "label": null}', "line 3: the label is missing"),
        ('{"text": "a", "label": 0.5}', "line 3: the label is 0.5; expected a name or a whole number"),
        ('{"text": "a", "label": NaN}', "line 3: the label is nan"),
        ('{"text": "a", "label": [1]}', r"line 3: the label is \[1\]"),
        ('{"text": 7, "label": "x"}', "line 3: the text is empty"),
    ],
)
def test_a_wrong_line_of_json_is_one_error(tmp_path, line, words):
    good = '{"text": "a", "label": "x"}\n'
    (tmp_path / "a.jsonl").write_text(good + good + line + "\n" + good)
    with pytest.raises(ModelError, match=words):
        load(tmp_path / "a.jsonl")


def test_bytes_that_are_no_text_name_their_line(tmp_path):
    (tmp_path / "a.csv").write_bytes(csv_text().encode().replace(b"number 7", b"number \xff"))
    with pytest.raises(ModelError, match=r"a.csv, line 9: byte 0xff is not UTF-8"):
        load(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + csv_text().encode())
    assert load(tmp_path / "b.csv").classes == ("bad", "good")
    # Whatever lies beside a file of the user's is not ours to judge.
    (tmp_path / "SHA256SUMS").write_text("SHA256 (b.csv) = 00\n")
    assert load(tmp_path / "b.csv").classes == ("bad", "good")
    (tmp_path / "c.csv.xz").write_bytes(lzma.compress(csv_text().encode())[:-20])
    with pytest.raises(ModelError, match=r"c.csv.xz cannot be unpacked .*cut short"):
        load(tmp_path / "c.csv.xz")


def test_a_test_file_with_an_unknown_label_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text())
    (tmp_path / "t.csv").write_text("text,label\nx,good\ny,ugly\n")
    with pytest.raises(ModelError, match=r"t.csv, row 3: label 'ugly' is out of range"):
        load(tmp_path / "a.csv", test=tmp_path / "t.csv")


def test_long_texts_fit(tmp_path):
    """Longer than the csv module's own limit for a field, which is left as it was."""
    import csv

    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(csv_text(rows=[(f"{i} " + "word " * 40_000, "ab"[i % 2]) for i in range(8)]))
    assert len(load(tmp_path / "a.csv", test=2, validation=2).train.texts[0]) > 200_000
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("seed", [-1, "abc", 1.5, True, None])
def test_a_seed_that_is_none_is_refused(tmp_path, seed):
    (tmp_path / "a.csv").write_text(csv_text())
    with pytest.raises(ModelError, match=r"split_seed is .*; expected a whole number from 0"):
        load_task(str(tmp_path / "a.csv"), split_seed=seed)
    with pytest.raises(ModelError, match=r"seed is .*; expected a whole number from 0"):
        load(tmp_path / "a.csv", seed=seed)
    labels = np.arange(8) % 2
    with pytest.raises(ModelError, match="seed is"):
        balanced_draw(labels, 2, seed)
    with pytest.raises(ModelError, match="seed is"):
        epoch_order(np.ones(8), 2, seed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"separator": 5}, "separator is 5; expected one character"),
        ({"separator": "\n"}, "separator is '.n'; expected one character"),
        ({"separator": '"'}, "separator is '\"'; expected one character"),
        ({"test": None}, "test is None; expected a number of texts, a share of them, or the path"),
        ({"test": [0.1]}, r"test is \[0\.1\]; expected a number of texts"),
        ({"classes": [1.0, 2.0]}, r"classes is \[1\.0, 2\.0\]; expected at least two different names"),
        ({"classes": "good"}, "classes is 'good'; expected at least two different names"),
        ({"classes": 2}, "classes is 2; expected at least two different names"),
        ({"classes": ["good", "good"]}, "expected at least two different names"),
    ],
)
def test_options_of_another_kind_are_refused(tmp_path, options, message):
    (tmp_path / "a.csv").write_text(csv_text())
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "a.csv", **options)


def test_whole_numbers_name_classes(tmp_path):
    (tmp_path / "a.csv").write_text(csv_text(rows=[(f"t{i}", str(i % 2 + 1)) for i in range(30)]))
    splits = load(tmp_path / "a.csv", classes=[2, 1])
    assert splits.classes == ("2", "1") and {0, 1} == set(splits.train.labels)


def test_deep_nesting_is_one_line(tmp_path):
    deep = '{"text": ' + "[" * 200_000
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n' + deep)
    with pytest.raises(ModelError, match=r"a\.jsonl, line 2: nested too deeply"):
        load(tmp_path / "a.jsonl")
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "train.jsonl").write_text(deep)
    with pytest.raises(ModelError, match=r"train\.jsonl, line 1: expected an object"):
        load("imdb", folder=tmp_path)


def test_the_training_file_is_no_test(tmp_path):
    first, copy, link = tmp_path / "a.csv", tmp_path / "b.tsv", tmp_path / "c.csv"
    first.write_text(csv_text())
    copy.write_text(csv_text("\t"))
    link.symlink_to(first)
    for same in (first, copy, link, str(first)):
        with pytest.raises(ModelError, match="what is trained on is no test"):
            load(first, test=same)
    copy.write_text(csv_text("\t", rows=[*ROWS[:3], ("new", "good"), ROWS[0]]))
    assert load(first, test=copy).test_seen == 4 and load(first).test_seen is None


@pytest.mark.parametrize("words", [r"regex:\w*", r"regex:(?:a|b)?", r"regex:\b", "regex:", r"regex:(?=w)"])
def test_an_expression_that_matches_nothing_makes_no_words(words):
    with pytest.raises(ModelError, match="matches the empty text"):
        splitter(words)
