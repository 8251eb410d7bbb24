"""hf:NAME: what a name stands for, which columns are read, what is drawn from train, and one error for what cannot be used.

The library stands in where it is not needed: `Opened` holds its splits and features. Where datasets is installed, folders and
a small hub on this machine are read through it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from models.data import hub, load
from models.data.hub import Address, Opened, addresses, is_hub_name
from models.data.hub_columns import Columns, Parts, columns_of, splits_of
from models.errors import ModelError
from models.tasks.loading import FROM_HUB, kind_of, load_splits, option_names, resolve

ROOT = Path(__file__).parents[2]


class Value:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class ClassLabel(Value):
    def __init__(self, *names: str) -> None:
        super().__init__("int64")
        self.names = list(names)


TWO = ClassLabel("a", "b")


class Image:
    dtype = "PIL.Image.Image"


class Picture:
    """As much of an image of Pillow as is asked for."""

    def __init__(self, pixels, mode: str = "RGB") -> None:
        self.pixels, self.mode = np.asarray(pixels, dtype=np.uint8), mode

    def convert(self, mode: str) -> Picture:
        if mode == self.mode:
            return self
        return Picture(np.stack([self.pixels] * 3, axis=-1), mode)

    def __array__(self, dtype=None, copy=None):
        return self.pixels.astype(dtype)


def opened(features, revision="c" * 40, local=False, **splits) -> Opened:
    rows = {name: dict(zip(features, zip(*part, strict=True), strict=True)) for name, part in splits.items()}
    return Opened(Address("owner/films", None, local), rows, features, revision, "mit")


def rows(n: int, first: int = 0):
    return [(f"text {i + first}", i % 2) for i in range(n)]


SENTENCES = {"sentence": Value("string"), "label": Value("int64")}
TEXTS = {"text": Value("string"), "label": ClassLabel("bad", "good")}
ALL = Parts("train", None, None, None, None, 0)


def read(found: Opened, parts: Parts = ALL, **columns):
    return splits_of(found, "hf:owner/films", columns_of(found, "hf:owner/films", **columns), parts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:imdb", [("imdb", None)]),
        ("hf:glue/sst2", [("glue/sst2", None), ("glue", "sst2")]),
        ("hf:nyu-mll/glue/sst2", [("nyu-mll/glue", "sst2")]),
    ],
)
def test_what_a_name_stands_for(name, expected):
    assert [(one.repository, one.config) for one in addresses(name)] == expected
    assert not any(one.local for one in addresses(name)) and is_hub_name(name) and is_hub_name(Path(name))


def test_a_configuration_is_given_once_and_a_folder_is_a_folder(tmp_path):
    assert addresses("hf:glue", "sst2") == [Address("glue", "sst2", False)]
    assert addresses("hf:nyu-mll/glue", "sst2") == [Address("nyu-mll/glue", "sst2", False)]
    with pytest.raises(ModelError, match="names the configuration cola and config is 'sst2'"):
        addresses("hf:nyu-mll/glue/cola", "sst2")
    assert addresses(f"hf:{tmp_path}") == [Address(str(tmp_path), None, True)]
    with pytest.raises(ModelError, match="there is no folder"):
        addresses(f"hf:{tmp_path / 'nowhere'}")
    for wrong in ("hf:", "hf:a b", "hf:a//b", "hf:a/b/c/d", "hf:https://host/a", "hf:-a"):
        with pytest.raises(ModelError, match="is no name of the hub; expected hf:NAME"):
            addresses(wrong)
    assert not is_hub_name("imdb") and not is_hub_name(None) and not is_hub_name("my_hf:a.txt")


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (TEXTS, ("text_classification", "text", "label")),
        ({"idx": Value("int32"), **SENTENCES}, ("text_classification", "sentence", "label")),
        ({"body": Value("large_string"), "stars": ClassLabel("1", "2")}, ("text_classification", "body", "stars")),
        ({"text": Value("string")}, ("language", "text", None)),
        ({"page": Value("string")}, ("language", "page", None)),
        ({"img": Image(), "fine_label": TWO, "coarse_label": TWO}, ("image_classification", "img", "fine_label")),
        ({"image": Image(), "label": ClassLabel("a", "b")}, ("image_classification", "image", "label")),
    ],
)  # fmt: skip
def test_columns_are_found_by_name_and_type(features, expected):
    found = opened(features, train=[tuple(range(len(features)))])
    assert columns_of(found, "hf:a") == Columns(*expected)


@pytest.mark.parametrize(
    ("features", "how", "words"),
    [
        ({"a": Value("string"), "b": Value("string")}, {}, r"which column is the text\? a and b fit.*text_column="),
        ({"n": Value("int64")}, {}, r"which column is the text\? none fits; columns are n \(int64\)"),
        (TEXTS, {"label": "star"}, "no label column 'star'"),
        (TEXTS, {"text": "label"}, r"column 'label' is no text; columns are text \(string\), label"),
        ({"text": Value("string"), "label": Value("float32")}, {"label": "label"}, "column 'label' is no label"),
        (TEXTS, {"kind": "text"}, "unknown kind 'text'"),
        (TEXTS, {"kind": "image_classification"}, r"which column is the image\? none fits"),
        (TEXTS, {"kind": "language", "label": "label"}, "plain text has no labels"),
        (TEXTS, {"text": "text", "image": "text"}, "give one of them"),
        ({"text": Value("string"), "x": Value("int64")}, {"kind": "text_classification"}, r"column is the label\? none fits"),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_are_one_error(features, how, words):
    with pytest.raises(ModelError, match=words) as error:
        columns_of(opened(features, train=[tuple(features)]), "hf:a", **how)
    assert "\n" not in str(error.value)


def test_parts_are_read_or_drawn_from_train():
    splits = read(opened(TEXTS, train=rows(40), test=rows(10, 100), unsupervised=[("x", -1)]))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [36, 4, 10]
    assert splits.classes == ("bad", "good") and splits.validation.labels.mean() == 0.5
    assert splits.test.texts == tuple(text for text, _ in rows(10, 100))
    assert set(splits.train.texts) | set(splits.validation.texts) == {text for text, _ in rows(40)}
    assert (splits.name, splits.revision) == ("hf:owner/films", "c" * 40)
    assert "owner/films at commit cccc" in splits.source and "licence: mit" in splits.source
    whole = read(opened(TEXTS, train=rows(40), dev=rows(6, 200), test=rows(10, 100)))
    assert [len(part) for part in (whole.train, whole.validation, whole.test)] == [40, 6, 10]
    # A number asks for a draw although there is such a part.
    drawn = read(opened(TEXTS, train=rows(40), dev=rows(6, 200), test=rows(10, 100)), ALL._replace(validation_share=8))
    assert [len(part) for part in (drawn.train, drawn.validation, drawn.test)] == [32, 8, 10]
    alone = read(opened(TEXTS, train=rows(40)))
    assert [len(part) for part in (alone.train, alone.validation, alone.test)] == [32, 4, 4]
    assert sorted(alone.train.texts + alone.validation.texts + alone.test.texts) == sorted(t for t, _ in rows(40))
    assert read(opened(TEXTS, train=rows(40)), ALL._replace(seed=1)).digest != alone.digest
    # A part whose labels are kept back is replaced by another; validation is then drawn.
    hidden = opened(TEXTS, train=rows(40), validation=rows(6, 200), test=[("x", -1)])
    with pytest.raises(
        ModelError, match="test, row 0: label -1 is none of bad, good; the labels of this split are not given out"
    ):
        read(hidden)
    named = read(hidden, ALL._replace(test="validation"))
    assert [len(part) for part in (named.train, named.validation, named.test)] == [36, 4, 6]


def test_labels_without_names_are_sorted_over_the_training_part():
    features = {"text": Value("string"), "label": Value("int64")}
    numbers = [(f"text {i}", (10, 2)[i % 2]) for i in range(40)]
    splits = read(opened(features, train=numbers, test=numbers[:5]))
    assert splits.classes == ("2", "10") and splits.test.labels.tolist() == [1, 0, 1, 0, 1]
    words = [(f"text {i}", ("yes", "no")[i % 2]) for i in range(40)]
    assert read(opened({**features, "label": Value("string")}, train=words)).classes == ("no", "yes")


@pytest.mark.parametrize(
    ("splits", "parts", "words"),
    [
        ({"train": [*rows(9), (" ", 1)]}, {}, "train, row 9: the text is empty"),
        ({"train": [*rows(9), (None, 1)]}, {}, "train, row 9: the text is empty"),
        ({"train": [*rows(40), ("x", None)]}, {}, "train, row 40: label None"),
        ({"train": rows(40), "test": []}, {}, "split test is empty"),
        ({"training": rows(40)}, {}, "there is no split 'train'; expected one of training: set train_split"),
        ({"train": rows(40)}, {"test": "tst"}, "there is no split 'tst'.*set test_split"),
        ({"train": rows(40)}, {"test": "train"}, "two of the parts are the same split"),
        ({"train": rows(40), "test": rows(4)}, {"test": "test", "test_share": 3}, "test_split is 'test' and test is 3"),
        ({"train": rows(40)}, {"validation_share": 0}, "the validation part would be empty"),
        ({"train": rows(40)}, {"validation_share": 99}, "validation is 99; expected a number"),
    ],
)
def test_rows_and_parts_that_cannot_be_used(splits, parts, words):
    made = {name: part or [(), ()] for name, part in splits.items()}
    found = opened(TEXTS, **{name: part for name, part in made.items() if part != [(), ()]})
    for name, part in made.items():
        if part == [(), ()]:
            found.splits[name] = {"text": [], "label": []}
    with pytest.raises(ModelError, match=words) as error:
        read(found, ALL._replace(**parts))
    assert "\n" not in str(error.value)


def test_a_column_of_identifiers_is_no_label():
    features = {"text": Value("string"), "label": Value("string")}
    with pytest.raises(ModelError, match="column 'label' has 40 classes in 40 rows"):
        read(opened(features, train=[(f"text {i}", f"id {i}") for i in range(40)]))
    with pytest.raises(ModelError, match="expected at least two"):
        read(opened(features, train=[(f"text {i}", "same") for i in range(40)]))


def test_images_are_whole_numbers_of_one_size():
    features = {"image": Image(), "label": ClassLabel("cat", "dog")}
    pixels = np.random.default_rng(0).integers(0, 255, (30, 4, 5, 3), dtype=np.uint8)
    three = [(Picture(one), i % 2) for i, one in enumerate(pixels)]
    splits = read(opened(features, train=three[:20], validation=three[20:24], test=three[24:]))
    assert splits.train.images.dtype == np.uint8 and np.array_equal(splits.train.images, pixels[:20])
    assert np.array_equal(splits.test.images, pixels[24:]) and splits.classes == ("cat", "dog")
    grey = [(Picture(one[..., 0], "L"), i % 2) for i, one in enumerate(pixels)]
    assert read(opened(features, train=grey)).train.images.shape == (24, 4, 5, 1)
    with pytest.raises(ModelError, match=r"train, row 20: the image is \[5, 4, 3\] and the first \[4, 5, 3\]"):
        read(opened(features, train=[*three[:20], (Picture(pixels[0].transpose(1, 0, 2)), 0)]))
    with pytest.raises(ModelError, match=r"images are \[.*\] in different splits"):
        read(opened(features, train=three[:20], test=grey[20:]))
    with pytest.raises(ModelError, match="row 0: there is no image"):
        read(opened(features, train=[(None, 0)]))


def test_plain_text_is_lines():
    features = {"text": Value("string")}
    found = opened(features, train=[("one\n",), ("",), ("two",)] * 40, validation=[("v",)], test=[("t\n",)])
    splits = read(found)
    assert splits.train == b"one\n\ntwo\n" * 40 and (splits.validation, splits.test) == (b"v\n", b"t\n")
    alone = read(opened(features, train=[("one\n",), ("",), ("two",)] * 40))
    assert alone.train + alone.validation + alone.test == splits.train and len(alone.train) == 324
    tested = read(opened(features, train=[("one\n",), ("",), ("two",)] * 40, test=[("t\n",)]))
    assert tested.train + tested.validation == splits.train and len(tested.validation) == 18 and tested.test == b"t\n"
    for share in (0, 1, 5, True):
        with pytest.raises(ModelError, match=f"validation is {share}; expected a share of the text"):
            read(opened(features, train=[("one",)] * 40), ALL._replace(validation_share=share))
    with pytest.raises(ModelError, match="has no text in column 'text'"):
        read(opened(features, train=[("",)] * 40))


def test_the_place_of_a_folder_is_no_part_of_the_digest():
    one = opened(TEXTS, None, True, train=rows(40))
    there, moved = (
        read(one._replace(address=Address(place, None, True))) for place in ("/here/films", "/there/films/")
    )
    assert there.name == moved.name == "hf:films" and there.digest == moved.digest and there.revision is None


def test_without_the_library_one_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in ("hf:imdb", f"hf:{tmp_path}"):
        with pytest.raises(ModelError, match=r"datasets, which is not installed: pip install 'astromorphic\[hub\]'"):
            load(name)
    with pytest.raises(ModelError, match="not installed"):
        resolve("hf:imdb")
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(__version__="3.6.0"))
    with pytest.raises(ModelError, match=r"datasets is 3\.6\.0, which can run code of a data set; expected 4 or newer"):
        load("hf:imdb")


def test_a_folder_or_a_format_of_that_name_is_not_read_by_mistake(monkeypatch, tmp_path):
    """The library would take ./imdb, or for "csv" every file here, before it asks the hub."""
    formats = types.SimpleNamespace(_PACKAGED_DATASETS_MODULES={"csv": ()})
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(__version__="5.2.0", packaged_modules=formats))
    (tmp_path / "imdb").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"imdb is also here, and would be read instead of the hub; write hf:\./imdb"):
        load("hf:imdb")
    with pytest.raises(ModelError, match="hf:csv is a format of files and no data set"):
        load("hf:csv")


def test_a_task_of_the_hub_has_the_options_and_recipes_of_its_kind(monkeypatch):
    from models.tasks.presets import task_preset

    found = opened(TEXTS, train=rows(40), test=rows(10, 100))
    asked = []
    monkeypatch.setattr(hub, "open_hub", lambda *how: asked.append(how) or found)
    assert resolve("hf:owner/films") == ("hub_table", "hf:owner/films") and resolve("imdb", "d") == ("imdb", "d")
    with pytest.raises(ModelError, match="data is 'd'; give the data set once"):
        resolve("hf:owner/films", "d")
    for kind, name in FROM_HUB.items():
        assert kind_of(name) == kind and {"text_column", "config", "revision", "split_seed"} <= set(option_names(name))
        assert "validation" not in task_preset(name, "tuned").data and "kind" not in option_names(name)
    # The commit goes into the record in place of what was asked for.
    asked.clear()
    splits, location, _, recorded = load_splits("hub_table", "hf:owner/films", {"revision": "main", "split_seed": 1})
    assert asked == [("hf:owner/films", None, "main")] and location == "hf:owner/films"
    assert recorded == {"revision": "c" * 40, "split_seed": 1} and len(splits.train) == 36
    text, *_ = load_splits("hub_text", "hf:owner/films", {})
    assert text.train.startswith(b"text 0\ntext 1\n")


def program(*arguments: str, home: Path, **environment: str) -> list:
    pytest.importorskip("datasets", reason="datasets is not installed: pip install 'astromorphic[hub]'")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("hub_server.py")), *arguments], cwd=home, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(home), **environment}, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_hub_is_read_by_commit_and_again_without_a_network(tmp_path):
    """A server on this machine: names with and without owner and configuration, what is missing, then the cache alone."""
    asked = [["hf:owner/films", {}], ["hf:glue/sst2", {}], ["hf:glue", {"config": "cola"}], ["hf:glue", {}], ["hf:glue/rte", {}],
             ["hf:nobody", {}]]  # fmt: skip
    films, sst2, cola, unnamed, wrong, nobody = program(json.dumps(asked), home=tmp_path)
    assert films[:5] == ["hf:owner/films", 36, 4, 10, "a" * 39 + "1"]
    assert films[5] == f"Hugging Face hub, owner/films at commit {'a' * 39}1; licence: mit"
    assert sst2[:5] == ["hf:nyu-mll/glue/sst2", 24, 3, 3, "b" * 39 + "2"] and "licence: cc0-1.0, other" in sst2[5]
    assert cola[:4] == ["hf:nyu-mll/glue/cola", 16, 2, 2]
    assert "Please pick one among the available configs: ['sst2', 'cola']" in unnamed[0]
    assert "the hub has no glue/rte" in wrong[0] and "the hub has no nobody" in nobody[0]
    offline = [
        ["hf:owner/films", {}],
        ["hf:owner/films", {"revision": "abcdef0"}],
        ["hf:glue/sst2", {}],
        ["hf:nobody", {}],
    ]
    again, other, missing, short = program(json.dumps(offline), home=tmp_path, HF_HUB_OFFLINE="1")
    assert again[:5] == films[:5] and again[6] == films[6]
    assert f"revision is abcdef0 and what was read is commit {'a' * 39}1, from the cache" in other[0]
    for line in (missing[0], short[0]):
        assert "the hub cannot be reached" in line and "HF_HUB_OFFLINE" in line and "HF_HOME" in line
    assert "hf:OWNER/NAME" in short[0]


def test_folders_are_read_through_the_library(tmp_path):
    image = pytest.importorskip("PIL.Image")
    texts, plain, pictures = (tmp_path / name for name in ("texts", "plain", "pictures"))
    texts.mkdir()
    (texts / "train.csv").write_text(
        "text,label\n" + "\n".join(f"text {i},{('no', 'yes')[i % 2]}" for i in range(40)) + "\n"
    )
    plain.mkdir()
    (plain / "train.txt").write_text("one line\n\nanother\n" * 40)
    for part, n in (("train", 12), ("test", 4)):
        for kind in ("cat", "dog"):
            (pictures / part / kind).mkdir(parents=True)
            for i in range(n):
                pixels = np.random.default_rng([len(kind + part), ord(kind[0]), i]).integers(
                    0, 255, (6, 6, 3), dtype=np.uint8
                )
                image.fromarray(pixels).save(pictures / part / kind / f"{i}.png")
    asked = json.dumps(
        [[f"hf:{one}", {}] for one in (texts, plain, pictures)] + [[f"hf:{texts}", {"revision": "main"}]]
    )
    table, lines, images, pinned = program(asked, home=tmp_path, HF_HUB_OFFLINE="1")
    assert table[:5] == ["hf:texts", 32, 4, 4, None] and images[:5] == ["hf:pictures", 22, 2, 8, None]
    assert lines[0] == "hf:plain" and sum(lines[1:4]) == 18 * 40 and "is a folder and revision is 'main'" in pinned[0]
