"""lm-evaluation-harness on the same local files: task files for it, and a count by it with our adapter. Extra `eval`.

The task files hold the harness's own prompts as templates, so that what our scorer builds in Python is checked against a
second reading of the same rows.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ..continuation import Writer
from ..errors import ModelError
from .evaluation import Rate, TaskScore, encoded, task_score
from .files import Questions

# Built-in names would be looked up on the hub, and these are local files: never to be reported as the official tasks.
SUFFIX = "_local"
_ANSWER = "Answer:"

_TEMPLATES: Mapping[str, Mapping[str, Any]] = {
    "piqa": {
        "doc_to_text": f"Question: {{{{goal}}}}\n{_ANSWER}",
        "doc_to_choice": "{{[sol1, sol2]}}",
        "doc_to_target": "{{label}}",
    },
    "sciq": {
        "doc_to_text": f"{{{{support.lstrip()}}}}\nQuestion: {{{{question}}}}\n{_ANSWER}",
        "doc_to_choice": "{{[distractor1, distractor2, distractor3, correct_answer]}}",
        "doc_to_target": 3,
    },
    "winogrande": {
        # A number instead of a prompt tells the harness that the choices are the prompts.
        "doc_to_text": "{{answer|int - 1}}",
        "doc_to_choice": "{{[sentence.split('_', 1)[0] ~ option1, sentence.split('_', 1)[0] ~ option2]}}",
        "doc_to_target": "{{sentence.split('_', 1)[1].strip()}}",
    },
    "copa": {
        "doc_to_text": "{{premise.strip()[:-1]}} {{'because' if question == 'cause' else 'therefore'}}",
        "doc_to_choice": "{{[' ' ~ choice1[0]|lower ~ choice1[1:], ' ' ~ choice2[0]|lower ~ choice2[1:]]}}",
        "doc_to_target": "{{label}}",
    },
    "boolq": {
        "doc_to_text": f"{{{{passage}}}}\nQuestion: {{{{question}}}}?\n{_ANSWER}",
        "doc_to_choice": ["no", "yes"],
        "doc_to_target": "{{label}}",
    },
    # The harness cleans this one in Python; the rows are written cleaned.
    "hellaswag": {"doc_to_text": "{{query}}", "doc_to_choice": "{{choices}}", "doc_to_target": "{{label}}"},
    "logiqa": {
        "doc_to_text": (
            "Passage: {{context}}\nQuestion: {{question}}\nChoices:\nA. {{options[0]}}\nB. {{options[1]}}\nC. {{options[2]}}\n"
            f"D. {{{{options[3]}}}}\n{_ANSWER}"
        ),
        "doc_to_choice": "{{options}}",
        "doc_to_target": "{{label}}",
    },
}  # fmt: skip


def check_installed() -> None:
    """ModelError without lm-evaluation-harness."""
    if importlib.util.find_spec("lm_eval") is None:
        raise ModelError(
            "lm-evaluation-harness is not installed; run pip install 'astromorphic[eval]', or leave out --harness"
        )


def harness_version() -> str:
    """Of the installed package."""
    return metadata.version("lm_eval")


def write_tasks(loaded: Sequence[Questions], folder: Path) -> list[str]:
    """Write ``NAME_local.yaml`` and ``NAME_local.jsonl`` for each; returns the names that the harness knows them by.

    The folder is then an `include_path` of the harness. Rows are those of the local files, with labels as numbers.
    """
    from bridge.artifact import write_text

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for one in loaded:
        name = f"{one.task.name}{SUFFIX}"
        rows = [
            {"query": question.pairs[0][0], "choices": list(question.choices), "label": question.gold}
            if one.task.name == "hellaswag"
            else {**row, **({} if one.task.name in ("winogrande", "sciq") else {"label": question.gold})}
            for row, question in zip(one.rows, one.questions, strict=True)
        ]
        data = write_text(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows)).resolve()
        metrics = ["acc", "acc_norm"] if one.task.normalised else ["acc"]
        config = {
            "task": name,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {"validation": str(data)}, "cache_dir": str(folder.resolve() / "cache")},
            "validation_split": "validation",
            "output_type": "multiple_choice",
            **_TEMPLATES[one.task.name],
            "metric_list": [{"metric": each, "aggregation": "mean", "higher_is_better": True} for each in metrics],
            "metadata": {"version": 1.0},
        }
        # Every JSON text is YAML.
        write_text(folder / f"{name}.yaml", json.dumps(config, indent=2) + "\n")
        names.append(name)
    return names


def score_with_harness(
    writer: Writer, loaded: Sequence[Questions], *, limit: int | None = None, batch_size: int = 16
) -> dict[str, TaskScore]:
    """The same scores as `evaluation.score_task`, counted by lm-evaluation-harness through our adapter; no network is used."""
    check_installed()
    import lm_eval
    from lm_eval.tasks import TaskManager

    from .adapter import AstromorphicLM

    # Counted, and questions that do not fit refused, before the harness begins.
    cuts = {one.task.name: encoded(writer, one)[1] for one in loaded}
    with tempfile.TemporaryDirectory() as place:
        names = write_tasks(loaded, Path(place))
        found = lm_eval.simple_evaluate(
            model=AstromorphicLM(writer, batch_size=batch_size),
            tasks=names,
            num_fewshot=0,
            task_manager=TaskManager(include_path=place, include_defaults=False),
            bootstrap_iters=0,
            log_samples=False,
        )["results"]
    scores = {}
    for one, name in zip(loaded, names, strict=True):
        acc, norm = (_rate(found[name], metric, len(one.questions)) for metric in ("acc", "acc_norm"))
        assert acc is not None
        scores[one.task.name] = task_score(one, acc, norm, cuts[one.task.name], limit)
    return scores


def _rate(found: Mapping[str, Any], metric: str, n: int) -> Rate | None:
    value = found.get(f"{metric},none")
    if value is None:
        return None
    # With bootstrap_iters=0 the harness leaves errors out; its formula for a mean of zeros and ones is this one.
    return Rate(value=value, error=None if n < 2 else (value * (1.0 - value) / (n - 1)) ** 0.5)
