"""ListOps: one way to make expressions, another to evaluate them; the same bytes from the same seed everywhere."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from models.data import load
from models.data.integers import IntegerStream, stream_key
from models.data.listops import SYMBOLS, ListOpsParameters, expressions, load_listops, with_parentheses
from models.data.listops_evaluator import evaluate
from models.data.reading import Reader, find
from models.errors import ModelError

SMALL = {"train": 300, "validation": 60, "test": 60, "min_length": 10, "max_length": 60}
GOLDEN = "a6bee9f83c81c42d7394e8682619733b58e953121eb1985a11058dbda9e86eab"
GOLDEN_TASK = "b205901d621118ca15114ba392e9d91e39c6a24e2cca561439da942383f6f75f"


def symbols(tokens) -> list[str]:
    return [SYMBOLS[token] for token in np.asarray(tokens).tolist()]


def test_the_stream_of_numbers_is_the_published_splitmix64():
    # The first outputs of the author's own program for the state 1234567.
    wanted = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    stream = IntegerStream(1234567)
    assert [*stream.words(2).tolist(), *stream.words(3).tolist()] == wanted
    assert stream_key("listops", 0) == int.from_bytes(hashlib.sha256(b"listops/0").digest()[:8], "little")
    many = IntegerStream(5).below(7, 70_000)
    # Six standard deviations of a fair draw.
    assert many.min() == 0 and many.max() == 6 and np.abs(np.bincount(many) - 10_000).max() < 560
    assert abs(IntegerStream(6).happens(0.25, 100_000).mean() - 0.25) < 0.009
    assert sorted(IntegerStream(7).order(100).tolist()) == list(range(100))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7", 7),
        ("[MAX 2 9 [MIN 4 7 ] 0 ]", 9),
        ("[MED 1 2 ]", 1),
        ("[MED 9 0 5 ]", 5),
        ("[MED 1 4 8 9 ]", 6),
        ("[SM 9 8 7 ]", 4),
        ("[LAST [FIRST 3 1 ] [FIRST 8 5 2 ] ]", 8),
        ("[MIN [MAX 1 [SM 5 5 ] ] [MED 3 4 8 ] ]", 1),
        ("( ( ( ( [MAX 1 ) 5 ) ( ( ( ( [MIN 9 ) 2 ) 5 ) ] ) ) ] )", 5),
    ],
)
def test_expressions_have_the_value_that_they_are_defined_to_have(expression, value):
    assert evaluate(expression) == evaluate(expression.split()) == value


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "the expression is empty"),
        ("[MAX 1 [MIN 2 3 ]", r"\[MAX at symbol 1 of the expression is not closed; expected '\]'"),
        ("[MAX 1 ] ]", r"symbol 4 of the expression is '\]' and no list is open"),
        ("[MAXX 1 2 ]", r"symbol 1 of the expression is '\[MAXX': did you mean '\[MAX'\? expected a digit, \[MIN"),
        ("[SM 1 12 ]", "symbol 3 of the expression is '12'"),
        ("[SM 1 ² ]", "symbol 3 of the expression is '²'"),
        ("[MED ]", r"\[MED at symbol 1 of the expression has no values"),
        ("1 2", "has 2 values outside of any list; expected one"),
        ("( )", "has 0 values outside"),
        ("( [MAX 1 ) 2 ] ) )", r"symbol 7 of the expression is '\)' and nothing is open"),
        ("( ( [MAX 1 ) 2 ]", "1 parentheses of the expression are not closed"),
    ],
)
def test_what_is_no_expression_is_named_with_its_place(expression, words):
    with pytest.raises(ModelError, match=words) as caught:
        evaluate(expression)
    assert "\n" not in str(caught.value)


def test_labels_are_found_again_and_no_expression_stands_twice():
    splits = load_listops(**SMALL)
    seen = set()
    for part in (splits.train, splits.validation, splits.test):
        for i in range(len(part)):
            tokens = part.sequences[i]
            assert evaluate(symbols(tokens)) == part.labels[i]
            assert 10 < len(tokens) < 60
            seen.add(tuple(tokens.tolist()))
    assert len(seen) == 420 and splits.name == "listops_10_60" and splits.classes == tuple("0123456789")
    assert splits.train.sequences.vocab_size == 16 and splits.train.sequences.limit == 64


def test_labels_of_the_tasks_own_lengths_are_found_again():
    splits = load("listops", train=100, validation=20, test=20)
    lengths = splits.train.sequences.lengths
    assert splits.name == "listops" and lengths.min() > 500 and lengths.max() < 2000
    assert splits.train.sequences.limit == 2048
    found = [evaluate(symbols(splits.train.sequences[i])) for i in range(100)]
    assert found == splits.train.labels.tolist() and len(set(found)) == 10
    assert splits.digest == GOLDEN_TASK


def test_the_same_seed_gives_the_same_bytes():
    # On any machine: another digest here is another data set.
    assert load_listops(**SMALL).digest == load_listops(**SMALL).digest == GOLDEN
    assert load_listops(**SMALL, seed=1).digest != GOLDEN


def test_a_smaller_training_part_begins_a_larger_one_and_leaves_the_test_alone():
    large, small = load_listops(**SMALL), load_listops(**{**SMALL, "train": 100})
    assert np.array_equal(large.test.sequences.values, small.test.sequences.values)
    assert np.array_equal(large.validation.labels, small.validation.labels)
    part = small.train.sequences
    assert np.array_equal(large.train.sequences.values[: len(part.values)], part.values)
    assert np.array_equal(large.train.labels[:100], small.train.labels)


def test_trees_are_drawn_as_the_task_says():
    """Counts over all trees of a few blocks, against the probabilities, within five standard deviations."""
    parameters = ListOpsParameters(0, 10**6, max_depth=3, max_args=4, operator_probability=0.25)
    roots: dict[str, int] = {}
    arguments = np.zeros(5)
    depths, n = [], 0
    for key in range(4):
        for tokens, _ in expressions(parameters, key):
            text = symbols(tokens)
            n += 1
            roots[text[0]] = roots.get(text[0], 0) + 1
            depth, deepest, own = 0, 0, 0
            for symbol in text:
                own += depth == 1 and symbol != "]"
                depth += symbol.startswith("[") - (symbol == "]")
                deepest = max(deepest, depth)
            depths.append(deepest)
            if text[0].startswith("["):
                arguments[own] += 1
    # Lists stand on the first two levels, digits alone on the third.
    assert n == 4 * 4096 and max(depths) == 2
    for operator in ("[MIN", "[MAX", "[MED", "[SM"):
        assert abs(roots[operator] - n / 16) < 5 * (n / 16) ** 0.5
    for digit in "0123456789":
        assert abs(roots[digit] - 0.075 * n) < 5 * (0.075 * n) ** 0.5
    lists = arguments.sum()
    assert arguments[:2].sum() == 0 and np.abs(arguments[2:] - lists / 3).max() < 5 * (lists / 3) ** 0.5
    # A list has no list within if none of its 2, 3 or 4 arguments is one.
    flat = lists * np.mean([0.75**k for k in (2, 3, 4)])
    assert abs(depths.count(1) - flat) < 5 * flat**0.5


def test_every_length_that_is_allowed_is_kept():
    """The same trees with other limits: what lies between the limits, and nothing else, cut short trees included."""
    wide = {t.tobytes() for t, _ in expressions(ListOpsParameters(0, 10**6, max_depth=5), 3)}
    narrow = [t for t, _ in expressions(ListOpsParameters(20, 10**6, max_depth=5), 3)]
    assert {t.tobytes() for t in narrow} == {t for t in wide if len(t) > 20} and max(map(len, narrow)) > 200


def test_the_form_of_the_files_is_kept_where_it_is_asked_for():
    written = " ".join(symbols(with_parentheses(np.array([12, 2, 6, 11, 10, 3, 6, 15, 15], dtype=np.uint8))))
    assert written == "( ( ( ( [MAX 1 ) 5 ) ( ( ( ( [MIN 9 ) 2 ) 5 ) ] ) ) ] )"
    plain, bracketed, characters = (
        load_listops(**SMALL, form=form) for form in ("tokens", "parentheses", "characters")
    )
    assert (bracketed.train.sequences.vocab_size, bracketed.train.sequences.limit) == (18, 256)
    assert (characters.train.sequences.vocab_size, characters.train.sequences.limit) == (257, 512)
    for i in range(20):
        tokens, whole = plain.train.sequences[i], bracketed.train.sequences[i]
        assert len(whole) == 3 * len(tokens) - 2 and whole[whole < 16].tolist() == tokens.tolist()
        assert evaluate(symbols(whole)) == plain.train.labels[i]
        text = bytes((characters.train.sequences[i] - 1).tolist()).decode()
        assert text.split() == symbols(whole)[: len(text.split())]
    assert len({one.digest for one in (plain, bracketed, characters)}) == 3
    assert load_listops(**SMALL, length=16).train.sequences.lengths.max() == 16


def test_what_is_not_the_task_itself_stands_in_the_name():
    few = {"train": 2, "validation": 1, "test": 1}
    named = {
        "listops": few,
        "listops_parentheses": {**few, "form": "parentheses"},
        "listops_depth12_args9_p0.3": {**few, "max_depth": 12, "max_args": 9, "operator_probability": 0.3},
        "listops_10_40_cut12": {**few, "min_length": 10, "max_length": 40, "length": 12},
    }
    for name, options in named.items():
        found = load_listops(**options)
        assert found.name == name
        assert ("are cut at 12 tokens" in found.source) == ("cut" in name)
    small = load_listops(**few, min_length=10, max_length=40)
    longer = sum(int((part.sequences.lengths > 12).sum()) for part in (small.train, small.validation, small.test))
    assert f"; {100 * longer / 4:.1f} % are cut" in load_listops(**named["listops_10_40_cut12"]).source


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"form": "bytes"}, "unknown form 'bytes'"),
        ({"seed": -1}, "seed is -1; expected a whole number from 0"),
        ({"train": 0}, "train is 0; expected a whole number of expressions of at least 1"),
        ({"max_length": 501}, "max_length is 501; expected a whole number from 502"),
        ({"min_length": "a"}, "min_length is 'a'"),
        ({"max_args": 1}, "max_args is 1; expected a whole number from 2 to 100"),
        ({"operator_probability": 0.0}, "operator_probability is 0.0; expected a number above 0"),
        ({"length": 0}, "length is 0"),
        (
            {"train": 11, "validation": 1, "test": 1, "min_length": 0, "max_length": 2},
            "gave no new expression for train",
        ),
    ],
)
def test_what_cannot_be_generated_is_said(options, words):
    with pytest.raises(ModelError, match=words) as caught:
        load_listops(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["d14", "d20", "d20s", "d20a"])
def test_published_labels_are_found_again(name):
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder or find(place := Path(folder) / "listops", f"listops_{name}_10k.tsv") is None:
        pytest.skip("ASTROMORPHIC_DATA is not set, or has no listops")
    file = find(place, f"listops_{name}_10k.tsv")
    assert file is not None
    rows = [line.split("\t") for line in Reader(place).text(file).splitlines()]
    assert len(rows) == 10_000 and all(evaluate(source) == int(label) for label, source in rows)
    # Our bracketing of the bare symbols is that of the files.
    for _, source in rows[:300] if name in ("d20s", "d20a") else ():
        bare = np.array([SYMBOLS.index(s) for s in source.split() if s not in "()"], dtype=np.uint8)
        assert symbols(with_parentheses(bare)) == source.split()
