"""Questions out of local JSON Lines, packed or not, in the folder `zeroshot` of the data folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from ..choices import choice
from ..data.places import data_folder
from ..data.reading import Reader, find
from ..errors import ModelError
from .tasks import TASKS, Question, Row, RowError, ZeroShotTask

FOLDER = "zeroshot"


class Questions(NamedTuple):
    """A task's questions with their rows, the file they came from and the sha256 of its unpacked content."""

    task: ZeroShotTask
    questions: tuple[Question, ...]
    rows: tuple[Row, ...]
    file: str
    digest: str


def task_names(wanted: str) -> list[str]:
    """Names with commas between, or "all"; ModelError for an unknown or repeated one."""
    if wanted.strip() == "all":
        return list(TASKS)
    names = [name.strip() for name in wanted.split(",")]
    for name in names:
        choice("zero-shot task", name, [*TASKS, "all"])
    if len(set(names)) < len(names) or (len(names) > 1 and "all" in names):
        raise ModelError(f"zero-shot tasks are {wanted!r}; name each once, or all")
    return names


def find_file(name: str, data: str | os.PathLike[str] | None = None) -> Path | None:
    """The file of a task in `zeroshot` below the data folder (see `data_folder`), or in the folder `data` itself."""
    root = data_folder(data)
    for place in (root / FOLDER, root):
        if (file := find(place, *(f"{one}.jsonl" for one in TASKS[name].files))) is not None:
            return file
    return None


def load_questions(name: str, data: str | os.PathLike[str] | None = None, limit: int | None = None) -> Questions:
    """The questions of a task, the first `limit` of them.

    Raises ModelError if the file is missing or differs from its record, and names file and line of a row that is no question.
    """
    task = TASKS[choice("zero-shot task", name, TASKS)]
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ModelError(f"limit is {limit!r}; expected a whole number of at least 1")
    file = find_file(name, data)
    if file is None:
        raise ModelError(
            f"{name}: {' or '.join(f'{one}.jsonl' for one in task.files)} is not in {data_folder(data) / FOLDER}; put it there, "
            "packed or not, in the layout of docs/zeroshot.md, or leave the task out"
        )
    text = Reader(file.parent).text(file)
    questions: list[Question] = []
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        if limit is not None and len(questions) == limit:
            break
        try:
            row: Any = json.loads(line)
            if not isinstance(row, dict):
                raise RowError(f"{line!r:.40} is no object")
            question = task.build(row)
            # JSON can spell halves of a character, which no text in UTF-8 has.
            "".join(part for pair in question.pairs for part in pair).encode("utf-8")
            questions.append(question)
        except json.JSONDecodeError as error:
            raise ModelError(f"{file}, line {number}: no JSON ({error.msg}); copy the file again") from None
        except RowError as error:
            raise ModelError(f"{file}, line {number}: {error}; see docs/zeroshot.md for the layout of {name}") from None
        except (ValueError, RecursionError) as error:
            reason = {
                RecursionError: "its values are nested too deeply",
                UnicodeEncodeError: "it holds half of a character (a surrogate)",
            }.get(type(error), "it holds a number of too many digits")
            raise ModelError(f"{file}, line {number}: {reason}; copy the file again") from None
        rows.append(row)
    if not questions:
        raise ModelError(f"{file} holds no question; copy it again")
    return Questions(task, tuple(questions), tuple(rows), file.name, hashlib.sha256(text.encode("utf-8")).hexdigest())
