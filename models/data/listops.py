"""ListOps: nested lists of digits with an operator each, and what they come to. Made here, with the parameters of the task.

Long Range Arena (Tay et al. 2020): a node below the largest depth is an operator with probability 0.25, else a digit; an
operator has 2 to 10 arguments; length counts operators, digits and closing brackets, and lies strictly between 500 and 2000.
The trees of a block grow together, one depth after the other, so that each step is one operation on arrays. The labels come
from the tree, from the deepest level up; `listops_evaluator` finds them again from the symbols alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..choices import choice
from ..errors import ModelError
from .digest import with_digest
from .integers import IntegerStream, check_seed, stream_key
from .kinds import LabelledSequences, Splits
from .sequences import TokenSequences, check_length, cut_in_words

OPERATORS = ("[MIN", "[MAX", "[MED", "[SM")
SYMBOLS = ("<pad>", *"0123456789", *OPERATORS, "]", "(", ")")
CLASSES = tuple("0123456789")
FORMS = ("tokens", "parentheses", "characters")
SOURCE = (
    "generated here with the parameters of Long Range Arena (Tay et al. 2020) for the task of Nangia and Bowman 2018"
)
_DIGIT, _OPERATOR, _CLOSE = 1, 11, 15
# Part of what a seed means: trees of one block share their random numbers.
_BLOCK = 4096
# So many blocks without one new expression are no bad luck.
_PATIENCE = 64
_LONGEST_BY_FORM = {"tokens": 2048, "parentheses": 8192, "characters": 8192}


@dataclass(frozen=True)
class ListOpsParameters:
    """What the trees look like. Lengths are strictly between `min_length` and `max_length`, in symbols without parentheses."""

    min_length: int = 500
    max_length: int = 2000
    max_depth: int = 10
    max_args: int = 10
    operator_probability: float = 0.25

    def __post_init__(self) -> None:
        for name, low, high in (
            ("min_length", 0, 10**6), ("max_length", self.min_length + 2 if isinstance(self.min_length, int) else 2, 10**6),
            ("max_depth", 2, 64), ("max_args", 2, 100),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ModelError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
        p = self.operator_probability
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 < p <= 1:
            raise ModelError(f"operator_probability is {p!r}; expected a number above 0 and at most 1")


@dataclass(frozen=True)
class _Level:
    """Nodes of one depth, siblings together, in the order of their parents on the level above."""

    tree: NDArray[np.int64]
    # -1 for a digit, else 0 to 3
    operator: NDArray[np.int64]
    arity: NDArray[np.int64]
    digit: NDArray[np.int64]


def load_listops(
    train: int = 96_000,
    validation: int = 2_000,
    test: int = 2_000,
    seed: int = 0,
    min_length: int = 500,
    max_length: int = 2000,
    max_depth: int = 10,
    max_args: int = 10,
    operator_probability: float = 0.25,
    form: Literal["tokens", "parentheses", "characters"] = "tokens",
    length: int | None = None,
) -> Splits[LabelledSequences]:
    """Expressions, none of them twice, with their values 0 to 9; the same bytes from the same seed everywhere.

    train, validation, test : expressions in each part. Test is drawn first and does not depend on the sizes of the others;
    a smaller training part is the beginning of a larger one.
    form : "tokens", operators, digits and closing brackets, 16 numbers with padding; "parentheses" keeps the binary bracketing of
    the files as well, 18 numbers, three times as long; "characters", the bytes of the files' text. length : of each the first so
    many are read; None: 2,048 (8,192 for the other forms), or the power of two that holds all if that is less.
    What is not the task's own, parameters, form, or a length that cuts, stands in the name of the set; its source says which
    share was cut.
    Raises ModelError for sizes, lengths or a form that cannot be, and where there are not so many different expressions.
    """
    choice("form", form, FORMS)
    check_seed(seed)
    parameters = ListOpsParameters(min_length, max_length, max_depth, max_args, operator_probability)
    sizes = {"test": test, "validation": validation, "train": train}
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ModelError(f"{name} is {size!r}; expected a whole number of expressions of at least 1")
    if length is None:
        longest = (max_length - 1) * {"tokens": 1, "parentheses": 3, "characters": 8}[form]
        length = min(_LONGEST_BY_FORM[form], 2 ** int(longest - 1).bit_length())
    check_length(length)
    seen: set[bytes] = set()
    found = {name: _part(parameters, seed, name, size, form, length, seen) for name, size in sizes.items()}
    ordered = [found[name][0] for name in ("train", "validation", "test")]
    cut = sum(n for _, n in found.values())
    source = SOURCE + cut_in_words(cut, sum(sizes.values()), length)
    return with_digest(_name(parameters, form, length, cut > 0), ordered, source, CLASSES)


def _name(parameters: ListOpsParameters, form: str, length: int, cut: bool) -> str:
    """`listops` for the task's own parameters and tokens, whole; what else there is stands behind."""
    parts = [] if form == "tokens" else [form]
    ours = ListOpsParameters()
    if (parameters.min_length, parameters.max_length) != (ours.min_length, ours.max_length):
        parts.append(f"{parameters.min_length}_{parameters.max_length}")
    for short, name in (("depth", "max_depth"), ("args", "max_args"), ("p", "operator_probability")):
        if getattr(parameters, name) != getattr(ours, name):
            parts.append(f"{short}{getattr(parameters, name):g}")
    if cut:
        parts.append(f"cut{length}")
    return "_".join(["listops", *parts])


def _part(
    parameters: ListOpsParameters, seed: int, split: str, size: int, form: str, length: int, seen: set[bytes]
) -> tuple[LabelledSequences, int]:
    """One part, and how many of its expressions were cut."""
    found: list[NDArray[np.uint8]] = []
    cut = 0
    labels: list[int] = []
    for tokens, label in _different(parameters, seed, split, seen):
        whole = _in_form(tokens, form)
        cut += len(whole) > length
        found.append(whole[:length])
        labels.append(label)
        if len(found) == size:
            break
    lengths = [len(one) for one in found]
    vocab_size, shift = {"tokens": (16, 0), "parentheses": (18, 0), "characters": (257, 1)}[form]
    sequences = TokenSequences.from_lengths(np.concatenate(found), lengths, vocab_size, length, shift=shift)
    return LabelledSequences(sequences, np.array(labels, dtype=np.int64)), cut


def _different(
    parameters: ListOpsParameters, seed: int, split: str, seen: set[bytes]
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Expressions that are not in `seen` yet, in the order in which they are made; ModelError if there come no more."""
    block, idle = 0, 0
    while idle < _PATIENCE:
        idle += 1
        for tokens, label in expressions(parameters, stream_key("listops", seed, split, block)):
            content = hashlib.blake2b(tokens.tobytes(), digest_size=16).digest()
            if content not in seen:
                seen.add(content)
                idle = 0
                yield tokens, label
        block += 1
    raise ModelError(
        f"{_PATIENCE * _BLOCK:,} trees gave no new expression for {split}, of more than {parameters.min_length} and less than "
        f"{parameters.max_length} symbols; ask for fewer, or widen min_length and max_length"
    )


def expressions(parameters: ListOpsParameters, key: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """The expressions of one block of trees that have an allowed length: tokens uint8 ``[symbols]`` and the value."""
    levels = _grown(parameters, IntegerStream(key))
    sizes, values = _sizes_and_values(levels)
    size = sizes[0]
    kept = (size > parameters.min_length) & (size < parameters.max_length)
    offsets = np.concatenate([[0], np.cumsum(np.where(kept, size, 0))])
    tokens = np.zeros(offsets[-1], dtype=np.uint8)
    place = offsets[:-1]
    for depth, level in enumerate(levels):
        written = kept[level.tree]
        nodes = np.flatnonzero(written)
        is_list = level.operator[nodes] >= 0
        tokens[place[nodes]] = np.where(is_list, _OPERATOR + level.operator[nodes], _DIGIT + level.digit[nodes])
        lists = nodes[is_list]
        tokens[place[lists] + sizes[depth][lists] - 1] = _CLOSE
        if depth + 1 < len(levels):
            place = _children_begin(level, place, sizes[depth + 1])
    for tree in np.flatnonzero(kept):
        yield tokens[offsets[tree] : offsets[tree + 1]], int(values[0][tree])


def _grown(parameters: ListOpsParameters, stream: IntegerStream) -> list[_Level]:
    """The levels of a block of trees. Trees that are too long already grow no further: their lists have no arguments."""
    levels: list[_Level] = []
    tree = np.arange(_BLOCK)
    so_far = np.zeros(_BLOCK, dtype=np.int64)
    for depth in range(1, parameters.max_depth + 1):
        n = len(tree)
        if depth < parameters.max_depth:
            is_list = stream.happens(parameters.operator_probability, n)
        else:
            is_list = np.zeros(n, dtype=np.bool_)
        operator = np.where(is_list, stream.below(len(OPERATORS), n), -1)
        arity = np.where(is_list, 2 + stream.below(parameters.max_args - 1, n), 0)
        digit = stream.below(10, n)
        # An operator and its bracket are two symbols; those of its arguments are counted with the next level.
        so_far += np.bincount(tree, weights=np.where(is_list, 2, 1), minlength=_BLOCK).astype(np.int64)
        waiting = np.bincount(tree, weights=arity, minlength=_BLOCK).astype(np.int64)
        arity[(so_far + waiting >= parameters.max_length)[tree]] = 0
        levels.append(_Level(tree, operator, arity, digit))
        if not arity.any():
            break
        tree = np.repeat(tree, arity)
    return levels


# Longer than any allowed length, and small enough to be added up.
_TOO_LONG = 2**32


def _sizes_and_values(levels: list[_Level]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Symbols and value of the subtree of every node, level by level; a list that was cut short is too long for all purposes."""
    sizes: list[NDArray[Any]] = []
    values: list[NDArray[Any]] = []
    for level in reversed(levels):
        is_list, grown = level.operator >= 0, level.arity > 0
        size = np.where(is_list, _TOO_LONG, 1)
        value = level.digit.copy()
        if grown.any():
            parents = np.flatnonzero(grown)
            arity = level.arity[parents]
            starts = np.cumsum(arity) - arity
            below = values[-1]
            size[parents] = 2 + np.add.reduceat(sizes[-1], starts)
            ranked = np.sort(np.repeat(np.arange(len(parents)), arity) * 10 + below) % 10
            results = np.stack(
                [
                    np.minimum.reduceat(below, starts),
                    np.maximum.reduceat(below, starts),
                    (ranked[starts + (arity - 1) // 2] + ranked[starts + arity // 2]) // 2,
                    np.add.reduceat(below, starts) % 10,
                ]
            )
            value[parents] = results[level.operator[parents], np.arange(len(parents))]
        sizes.append(size)
        values.append(value)
    return sizes[::-1], values[::-1]


def _children_begin(level: _Level, place: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each node of the next level begins: behind its parent's operator and its earlier siblings."""
    parent = np.repeat(np.arange(len(level.arity)), level.arity)
    before = np.cumsum(sizes) - sizes
    first = np.cumsum(level.arity) - level.arity
    return place[parent] + 1 + before - before[first[parent]]


def with_parentheses(tokens: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The binary bracketing of the published files: a list of n arguments opens n + 1 parentheses before its operator, and every
    argument and the closing bracket is followed by one that closes."""
    opens, closes = np.zeros(len(tokens), dtype=np.int64), np.zeros(len(tokens), dtype=np.int64)
    is_list, is_end = (tokens >= _OPERATOR) & (tokens < _CLOSE), tokens == _CLOSE
    open_lists: list[int] = []
    for i, (starts, ends) in enumerate(zip(is_list.tolist(), is_end.tolist(), strict=True)):
        if starts:
            open_lists.append(i)
            opens[i] = 1
            continue
        if ends:
            open_lists.pop()
            closes[i] = 1
        if open_lists:
            # What ends here is an argument of the list around it.
            opens[open_lists[-1]] += 1
            closes[i] += 1
    times = np.stack([opens, np.ones(len(tokens), dtype=np.int64), closes], axis=1)
    symbols = np.stack([np.full(len(tokens), 16), tokens, np.full(len(tokens), 17)], axis=1)
    return np.repeat(symbols.reshape(-1), times.reshape(-1)).astype(np.uint8)


def _in_form(tokens: NDArray[np.uint8], form: str) -> NDArray[np.uint8]:
    if form == "tokens":
        return tokens
    bracketed = with_parentheses(tokens)
    if form == "parentheses":
        return bracketed
    return np.frombuffer(" ".join(SYMBOLS[t] for t in bracketed.tolist()).encode("ascii"), dtype=np.uint8)
