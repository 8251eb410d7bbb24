"""run.json: canonical, strict, readable without torch; and the package imports lightly."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import MISSING, asdict

import pytest

import models
from models.recipes import RECIPES, Recipe
from models.result import CausalityVerdict, DataRecord, EvaluationPolicy, RunResult, SplitScore


@pytest.fixture
def result() -> RunResult:
    return RunResult(
        task="shakespeare", arm="fitted", seed=1, recipe={"steps": 2}, config={"hidden_size": 8}, n_parameters=10, steps=2,
        steps_per_epoch=4, tokens_per_step=64, chosen_step=2, chosen_epoch=0.5,
        learning_curve=[{"step": 2, "tokens": 128, "train_bits_per_byte": 5.0, "validation_bits_per_byte": 5.1}],
        scores={
            "validation": SplitScore(n=10, loss=3.5, nats=35.0, bytes=10, words=3, bits_per_byte=5.1),
            "test": SplitScore(n=10, loss=3.6, nats=36.0, bytes=10, words=3, bits_per_byte=5.2),
        },
        evaluation={"validation": EvaluationPolicy(bytes_scored=10, context=8, stride=4)},
        causality=CausalityVerdict(
            verdict="causal", max_logit_change=0.0, nan_leak=False, max_future_gradient=0.0, chunked_vs_step=1e-6,
            checked_positions=[0],
        ),
        data=DataRecord(source="here", tokenizer="bytes"),
        data_digest="d", weights_digest="w", wall_time_s=1.5, device="cpu", dtype="float32", versions={"torch": "2"},
    )  # fmt: skip


# A record as version 1.0 wrote it, cut to the fields that changed.
OLD = {
    "schema_version": "1.0", "task": "shakespeare", "arm": "fitted", "seed": 1, "config": {"hidden_size": 8}, "n_parameters": 10,
    "recipe": {"name": "smoke", "steps": 20, "batch_size": 4, "learning_rate": 0.01, "warmup_steps": 2}, "steps": 20,
    "tokens_per_step": 64, "validation_bits_per_byte": 4.3256823299458, "test_bits_per_byte": 4.135148916684115,
    "learning_curve": [{"step": 20, "tokens": 1280, "train_bits_per_byte": 4.2, "validation_bits_per_byte": 4.5}],
    "evaluation": {
        split: {"bytes_scored": 1024, "context": 64, "stride": 32, "first_byte": "uniform", "carried_state_max_difference": None}
        for split in ("validation", "test")
    },
    "causality": {
        "verdict": "causal", "max_logit_change": 0.0, "nan_leak": False, "max_future_gradient": 0.0, "chunked_vs_step": 1e-6,
        "checked_positions": [0],
    },
    "data_digest": "d", "weights_digest": "w", "wall_time_s": 1.5, "device": "cpu", "dtype": "float32",
    "versions": {"torch": "2"},
}  # fmt: skip


def test_records_of_version_1_are_read():
    old = RunResult.loads(json.dumps(OLD))
    assert old.schema_version == "2.2" and old.kind == "language" and old.chosen_step == 20
    assert (old.validation_bits_per_byte, old.test_bits_per_byte) == (4.3256823299458, 4.135148916684115)
    assert old.scores["test"].nats == pytest.approx(4.135148916684115 * math.log(2) * 1024, rel=1e-15)
    assert old.learning_curve[0].validation_bits_per_byte == 4.5
    assert old.learning_curve[0].validation_loss == pytest.approx(4.5 * math.log(2))
    # A run of the same recipe is recognised as the same: what recipes have learned since is at its value of then.
    assert old.recipe == asdict(RECIPES["smoke"]) | OLD["recipe"] | {
        name: field.default
        for name, field in Recipe.__dataclass_fields__.items()
        if name not in OLD["recipe"] and field.default is not MISSING
    }
    assert RunResult.loads(old.dumps()) == old
    leaking = {**OLD, "causality": {**OLD["causality"], "verdict": "leaks"}}
    with pytest.raises(ValueError, match="'fitted' is not a language model"):
        _ = RunResult.loads(json.dumps(leaking)).test_bits_per_byte


def test_numbers_that_a_run_does_not_have_are_refused(result):
    with pytest.raises(ValueError, match="test has no accuracy: task 'shakespeare' is language"):
        _ = result.test_accuracy
    scores = {split: SplitScore(n=10, loss=0.5, accuracy=0.9) for split in ("validation", "test")}
    classifier = result.model_copy(
        update={"scores": scores, "task": "imdb", "data": DataRecord(kind="text_classification", source="")}
    )
    assert classifier.test_accuracy == 0.9
    with pytest.raises(ValueError, match="task 'imdb' is no text"):
        _ = classifier.validation_bits_per_byte


def test_round_trip_is_byte_equal(result, tmp_path):
    text = result.dumps()
    assert RunResult.loads(text).dumps() == text and text.endswith("}\n")
    result.save(tmp_path / "run.json")
    assert RunResult.load(tmp_path / "run.json") == result
    assert (tmp_path / "run.json").read_text() == text


def test_faulty_records_are_named(result, tmp_path):
    content = json.loads(result.dumps())
    with pytest.raises(ValueError, match="is not JSON"):
        RunResult.loads(result.dumps()[:100])
    with pytest.raises(ValueError, match=r"schema_version '3\.0'; expected 2\.2"):
        RunResult.loads(json.dumps({**content, "schema_version": "3.0"}))
    with pytest.raises(ValueError, match="perplexity"):
        RunResult.loads(json.dumps({**content, "perplexity": 3.0}))
    with pytest.raises(ValueError, match=r"causality\.verdict"):
        RunResult.loads(json.dumps({**content, "causality": {**content["causality"], "verdict": "maybe"}}))
    with pytest.raises(ValueError, match=r"missing\.json does not exist"):
        RunResult.load(tmp_path / "missing.json")
    with pytest.raises(ValueError):
        RunResult.model_validate({**content, "wall_time_s": float("nan")})


def test_imports_are_light():
    code = (
        "import sys, models, models.result, models.recipes, models.tasks.presets, models.tasks.loading\n"
        "bad = {'torch', 'transformers', 'brian2', 'numba', 'matplotlib'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=str(models.__path__[0]) + "/..")


def test_public_names_resolve():
    assert sorted(models.__all__) == models.__all__ or set(models.__all__) == set(models._WHERE)
    for name in models.__all__:
        assert getattr(models, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'Astromorphic'"):
        models.Astromorphic  # noqa: B018
