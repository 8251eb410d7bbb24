"""The seven tasks: how a row becomes prompts and answers, exactly as lm-evaluation-harness 0.4.13 does it.

Source: the task files of EleutherAI/lm-evaluation-harness 0.4.13 (piqa 1.0, sciq 1.0, winogrande 1.0, copa 1.0, boolq 2.0,
hellaswag 1.0, logiqa 1.0). Between prompt and answer stands one blank, the harness's default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

DELIMITER = " "
Row = Mapping[str, Any]


class RowError(ValueError):
    """What is wrong with a row; the reader adds file and line."""


@dataclass(frozen=True)
class Question:
    """`pairs` of (context, continuation), one for each answer, of which the likeliest continuation is chosen.

    choices : the answers as text, whose lengths in characters normalise acc_norm. gold : number of the right one.
    """

    pairs: tuple[tuple[str, str], ...]
    choices: tuple[str, ...]
    gold: int

    @classmethod
    def of(cls, context: str, choices: tuple[str, ...], gold: int) -> Question:
        """Several answers to one prompt."""
        return cls(tuple((context, f"{DELIMITER}{choice}") for choice in choices), choices, gold)


@dataclass(frozen=True)
class ZeroShotTask:
    """A task by its name.

    files : names below the folder zeroshot, without .jsonl, the first one found is read. answers : how many; None where rows
    differ. normalised : whether the harness reports acc_norm. fixed : the right answer always stands at the same place, so
    that a majority would be no guess but the solution. note : what has to be known about the numbers.
    """

    name: str
    files: tuple[str, ...]
    build: Callable[[Row], Question]
    answers: int
    normalised: bool
    fixed: bool = False
    note: str = ""


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise RowError(f"{name} is {value!r:.40}; expected a text")
    return value


def _texts(row: Row, name: str, n: int) -> tuple[str, ...]:
    value = row.get(name)
    if not isinstance(value, list) or len(value) != n or not all(isinstance(one, str) and one for one in value):
        raise RowError(f"{name} is {value!r:.60}; expected {n} texts that are not empty")
    return tuple(value)


def _filled(row: Row, name: str) -> str:
    value = _text(row, name)
    if not value:
        raise RowError(f"{name} is empty; expected a text")
    return value


def _number(row: Row, name: str, n: int) -> int:
    """A label from 0; also as text, letter (a, b, ...) or truth value, as the releases have it."""
    value = row.get(name)
    if isinstance(value, str):
        word = value.strip().lower()
        # Longer ones are no labels, and Python reads no number of any length.
        value = int(word) if word.isdecimal() and len(word) < 10 else ord(word) - ord("a") if len(word) == 1 else value
    if not isinstance(value, int) or not 0 <= int(value) < n:
        raise RowError(f"{name} is {row.get(name)!r:.40}; expected a label from 0 to {n - 1}")
    return int(value)


def _piqa(row: Row) -> Question:
    choices = _filled(row, "sol1"), _filled(row, "sol2")
    return Question.of(f"Question: {_text(row, 'goal')}\nAnswer:", choices, _number(row, "label", 2))


def _sciq(row: Row) -> Question:
    choices = tuple(_filled(row, name) for name in ("distractor1", "distractor2", "distractor3", "correct_answer"))
    return Question.of(f"{_text(row, 'support').lstrip()}\nQuestion: {_text(row, 'question')}\nAnswer:", choices, 3)


def _winogrande(row: Row) -> Question:
    """Partial scoring (Trinh and Le 2018): the rest of the sentence is scored, once behind each name."""
    before, gap, after = _text(row, "sentence").partition("_")
    if not gap or not after.strip():
        raise RowError(f"sentence is {row['sentence']!r:.60}; expected a _ and words behind it")
    answer = _number({"answer": row.get("answer")}, "answer", 3)
    if answer == 0:
        raise RowError("answer is '0'; expected 1 or 2")
    heads = tuple(before + _filled(row, name) for name in ("option1", "option2"))
    return Question(tuple((head, DELIMITER + after.strip()) for head in heads), heads, answer - 1)


def _copa(row: Row) -> Question:
    """The harness's answers begin with a blank of their own, so that two stand in front of them."""
    if (kind := row.get("question")) not in ("cause", "effect"):
        raise RowError(f"question is {kind!r:.40}; expected cause or effect")
    connector = "because" if kind == "cause" else "therefore"
    answers = (_filled(row, name) for name in ("choice1", "choice2"))
    choices = tuple(f" {text[0].lower()}{text[1:]}" for text in answers)
    return Question.of(f"{_text(row, 'premise').strip()[:-1]} {connector}", choices, _number(row, "label", 2))


def _boolq(row: Row) -> Question:
    """`label` as in SuperGLUE, or `answer` (true, false) as in the original release."""
    gold = _number(row, "label" if "label" in row else "answer", 2)
    prompt = f"{_text(row, 'passage')}\nQuestion: {_text(row, 'question')}?\nAnswer:"
    return Question.of(prompt, ("no", "yes"), gold)


def cleaned(text: str) -> str:
    """HellaSwag's text without the marks of its WikiHow part."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _hellaswag(row: Row) -> Question:
    """The official fields ctx_a and ctx_b, or one `ctx`, in which the second part's capital cannot be put back."""
    if "ctx_a" in row:
        context = f"{_text(row, 'ctx_a')} {_text(row, 'ctx_b').capitalize()}"
    else:
        context = _text(row, "ctx")
    choices = tuple(cleaned(one) for one in _texts(row, "endings", 4))
    if not all(choices):
        raise RowError("an ending is empty without the marks in brackets")
    return Question.of(cleaned(f"{_text(row, 'activity_label')}: {context}"), choices, _number(row, "label", 4))


def _logiqa(row: Row) -> Question:
    options = _texts(row, "options", 4)
    listed = "".join(f"{letter}. {option}\n" for letter, option in zip("ABCD", options, strict=True))
    prompt = f"Passage: {_text(row, 'context')}\nQuestion: {_text(row, 'question')}\nChoices:\n{listed}Answer:"
    return Question.of(prompt, options, _number(row, "label", 4))


TASKS: Mapping[str, ZeroShotTask] = MappingProxyType(
    {
        one.name: one
        for one in (
            ZeroShotTask("piqa", ("piqa_validation", "piqa"), _piqa, 2, True),
            ZeroShotTask(
                "sciq",
                ("sciq_test", "sciq"),
                _sciq,
                4,
                True,
                fixed=True,
                note="the passage is part of the prompt and mostly holds the answer",
            ),
            ZeroShotTask("winogrande", ("winogrande_validation", "winogrande"), _winogrande, 2, False),
            ZeroShotTask("copa", ("copa_validation", "copa_dev500", "copa"), _copa, 2, False),
            ZeroShotTask("boolq", ("boolq_validation", "boolq"), _boolq, 2, False),
            ZeroShotTask("hellaswag", ("hellaswag_validation", "hellaswag"), _hellaswag, 4, True),
            ZeroShotTask("logiqa", ("logiqa_test", "logiqa"), _logiqa, 4, True),
        )
    }
)
