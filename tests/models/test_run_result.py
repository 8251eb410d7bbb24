"""run.json: canonical, strict, readable without torch; and the package imports lightly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import models
from models.result import CausalityVerdict, EvaluationPolicy, RunResult


@pytest.fixture
def result() -> RunResult:
    return RunResult(
        task="shakespeare", arm="fitted", seed=1, recipe={"steps": 2}, config={"hidden_size": 8}, n_parameters=10, steps=2,
        tokens_per_step=64,
        learning_curve=[{"step": 2, "tokens": 128, "train_bits_per_byte": 5.0, "validation_bits_per_byte": 5.1}],
        validation_bits_per_byte=5.1, test_bits_per_byte=5.2,
        evaluation={"validation": EvaluationPolicy(bytes_scored=10, context=8, stride=4)},
        causality=CausalityVerdict(
            verdict="causal", max_logit_change=0.0, nan_leak=False, max_future_gradient=0.0, chunked_vs_step=1e-6,
            checked_positions=[0],
        ),
        data_digest="d", weights_digest="w", wall_time_s=1.5, device="cpu", dtype="float32", versions={"torch": "2"},
    )  # fmt: skip


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
    with pytest.raises(ValueError, match=r"schema_version '2\.0'; expected 1\.0"):
        RunResult.loads(json.dumps({**content, "schema_version": "2.0"}))
    with pytest.raises(ValueError, match="perplexity"):
        RunResult.loads(json.dumps({**content, "perplexity": 3.0}))
    with pytest.raises(ValueError, match=r"causality\.verdict"):
        RunResult.loads(json.dumps({**content, "causality": {**content["causality"], "verdict": "maybe"}}))
    with pytest.raises(ValueError, match=r"missing\.json does not exist"):
        RunResult.load(tmp_path / "missing.json")
    with pytest.raises(ValueError):
        RunResult.model_validate({**content, "test_bits_per_byte": float("nan")})


def test_imports_are_light():
    code = (
        "import sys, models, models.result, models.recipes, models.tasks\n"
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
