"""Training runs: what they leave behind, that they repeat, and that interruption changes nothing. One thread, tiny models."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.utils import logging as library_logging

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from models.checkpoints import find_checkpoint, why_unusable
from models.errors import ModelError
from models.evaluation import bits_per_byte
from models.recipes import RECIPES
from models.result import RunResult
from models.tasks import load_task
from models.tasks.shakespeare import ByteText
from models.training import run_job, train

RECIPE = replace(
    RECIPES["smoke"], name="test", steps=12, evaluate_every=4, save_every=4, curve_bytes=64, final_bytes=128
)
SIZE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 16,
    "initializer_range": 0.3, "dropout": 0.1,
}  # fmt: skip


def config(**settings) -> AstromorphicConfig:
    return AstromorphicConfig.from_preset("tuned", **{**SIZE, **settings})


@pytest.fixture(scope="module")
def text() -> ByteText:
    words = np.random.default_rng(0).choice([b"astro", b"cyte ", b"calcium ", b"wave "], 1500)
    return ByteText.from_bytes("words", b"".join(words))


@pytest.fixture(scope="module")
def finished(text, tmp_path_factory) -> tuple[Path, RunResult, list]:
    out, calls = tmp_path_factory.mktemp("run"), []
    result = train(config(), "words", RECIPE, out, 3, "tuned", lambda *a: calls.append(a), data=text)
    return out, result, calls


def test_folder_holds_the_model_and_the_record_and_nothing_else(finished):
    out, result, _ = finished
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "run.json",
    ]
    assert RunResult.load(out / "run.json") == result


def test_record_is_complete_and_its_numbers_are_those_of_the_saved_model(finished, text):
    out, result, _ = finished
    model = AstromorphicForCausalLM.from_pretrained(out)
    assert result.validation_bits_per_byte == bits_per_byte(model, text.validation[:128]).bits_per_byte
    assert result.test_bits_per_byte == bits_per_byte(model, text.test[:128]).bits_per_byte
    assert result.n_parameters == model.num_parameters() and result.steps == 12 and result.tokens_per_step == 64
    assert [p.step for p in result.learning_curve] == [4, 8, 12]
    assert [p.tokens for p in result.learning_curve] == [256, 512, 768]
    assert result.causality.verdict == "causal" and result.data_digest == text.digest
    assert result.evaluation["validation"].carried_state_max_difference < 1e-4
    assert {"torch", "transformers", "python"} <= set(result.versions)
    assert AstromorphicConfig(**result.config).settings() == result.config


@pytest.mark.parametrize("preset", ["tuned", "softmax"])
def test_after_mixed_precision_the_record_is_of_the_saved_weights(text, tmp_path, preset):
    """bfloat16 has 8 bits: scored in it, a causal network's passes differ by 1e-2 from its steps, and the verdict was "leaks"."""
    recipe = replace(RECIPE, mixed_precision="bf16", learning_rate=3e-2)
    made = AstromorphicConfig.from_preset(preset, **{**SIZE, "initializer_range": 1.0})
    result = train(made, "words", recipe, tmp_path, 3, preset, data=text)
    model = AstromorphicForCausalLM.from_pretrained(tmp_path)
    assert result.test_bits_per_byte == bits_per_byte(model, text.test[:128]).bits_per_byte
    assert result.causality.verdict == "causal" and result.causality.chunked_vs_step < 1e-4


def test_it_learns(finished):
    _, result, _ = finished
    assert result.validation_bits_per_byte < result.learning_curve[0].validation_bits_per_byte < 8.0


def test_progress_is_called_every_step_with_the_latest_metrics(finished):
    _, result, calls = finished
    assert [c[0] for c in calls if not c[2]] == [1, 2, 3, 4]
    assert all(c[1] == 12 for c in calls) and calls[-1][0] == 12
    assert calls[-1][2]["validation_bits_per_byte"] == result.learning_curve[-1].validation_bits_per_byte


def test_one_seed_one_result(finished, text, tmp_path):
    _, result, _ = finished
    torch.rand(7)  # the caller's own random numbers must not matter
    again = train(config(), "words", RECIPE, tmp_path / "a", 3, "tuned", data=text)
    other = train(config(), "words", RECIPE, tmp_path / "b", 4, "tuned", data=text)
    unlike = {"wall_time_s"}
    assert again.model_dump(exclude=unlike) == result.model_dump(exclude=unlike)
    assert other.weights_digest != result.weights_digest


def test_training_leaves_the_process_as_it_was(text, tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(1)
    np.random.seed(1)
    before = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    train(config(), "words", replace(RECIPE, steps=4), tmp_path, 3, data=text)
    assert torch.equal(torch.rand(3), expected[0]) and np.array_equal(np.random.rand(3), expected[1])
    assert (library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()) == before


def test_training_is_quiet(text, tmp_path, capfd):
    train(config(), "words", replace(RECIPE, steps=4), tmp_path, 3, data=text)
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_finished_run_is_returned_and_other_settings_are_refused(finished, text):
    out, result, _ = finished
    stamp = (out / "model.safetensors").stat().st_mtime_ns
    assert train(config(), "words", RECIPE, out, 3, "tuned", data=text) == result
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match="holds a run whose seed is 3, not 5; choose another folder"):
        train(config(), "words", RECIPE, out, 5, "tuned", data=text)
    with pytest.raises(ValueError, match="whose recipe is batch_size = 4, not 8"):
        train(config(), "words", replace(RECIPE, batch_size=8), out, 3, "tuned", data=text)
    with pytest.raises(ValueError, match=r"whose config is dropout = 0\.1, not 0\.0"):
        train(config(dropout=0.0), "words", RECIPE, out, 3, "tuned", data=text)


def test_a_record_without_its_weights_is_not_believed(finished, text, tmp_path):
    out, result, _ = finished
    for copy in ("lost", "other"):
        shutil.copytree(out, tmp_path / copy)
    (tmp_path / "lost" / "model.safetensors").unlink()
    again = train(config(), "words", RECIPE, tmp_path / "lost", 3, "tuned", data=text)
    assert again.weights_digest == result.weights_digest
    assert (tmp_path / "lost" / "model.safetensors").is_file()
    model = AstromorphicForCausalLM.from_pretrained(tmp_path / "other")
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1e-3
    model.save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match=r"does not hold the weights that run\.json is about"):
        train(config(), "words", RECIPE, tmp_path / "other", 3, "tuned", data=text)


def test_checkpoints_left_behind_by_a_finished_run_are_cleared(finished, interrupted, text, tmp_path):
    out, result, _ = finished
    shutil.copytree(out, tmp_path, dirs_exist_ok=True)
    shutil.copytree(interrupted / "checkpoints", tmp_path / "checkpoints")
    assert train(config(), "words", RECIPE, tmp_path, 3, "tuned", data=text) == result
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("settings", "seed", "message"),
    [
        ({"vocab_size": 100}, 0, "vocab_size is 100; expected at least 256"),
        ({"max_position_embeddings": 1}, 0, "max_position_embeddings is 1; expected 2 to"),
        ({"max_position_embeddings": 10**6}, 0, "max_position_embeddings is 1000000; expected 2 to"),
        ({}, -1, "seed is -1; expected a whole number from 0 to 4294967295"),
        ({}, 2**32, "seed is 4294967296"),
        ({}, True, "seed is True"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(settings, seed, message, text, tmp_path):
    with pytest.raises(ModelError, match=message):
        train(config(**settings), "words", RECIPE, tmp_path / "a" / "run", seed, data=text)
    assert list(tmp_path.iterdir()) == []


def test_operating_point_is_that_of_the_validation_text(finished, text):
    """Half a block of 16: G after 8 tokens, from the definition, and the gains of the saved weights."""
    from models.operating_point import initial_activation
    from models.ops.features import feature_map

    out, result, _ = finished
    point = result.operating_point
    assert point is not None and point.tokens == 8
    assert point.activation_start == pytest.approx(initial_activation(config(), text.validation, 8, seed=3), rel=1e-6)
    model = AstromorphicForCausalLM.from_pretrained(out).eval()
    assert point.gains == [layer.mixer.gain.tolist() for layer in model.model.layers]
    starts = np.unique(np.linspace(0, len(text.validation) - 8, 64).round().astype(int))
    keys: list[list[torch.Tensor]] = [[], []]
    for i, layer in enumerate(model.model.layers):
        layer.mixer.key.register_forward_hook(lambda _, __, k, i=i: keys[i].append(k.detach()))
    for start in starts:
        ids = torch.from_numpy(text.validation[start : start + 8].astype(np.int64))[None]
        model(input_ids=ids)
    by_hand = [sum(float(feature_map(k).sum(1).mean()) for k in layer) / len(starts) for layer in keys]
    assert point.activation_end == pytest.approx(sum(by_hand) / 2, rel=1e-5)


class Stop(Exception):
    pass


def stop_at(step):
    def progress(now, total, metrics):
        if now == step:
            raise Stop

    return progress


@pytest.mark.parametrize("step", [2, 11])
def test_interrupted_and_resumed_equals_uninterrupted(finished, text, tmp_path, step):
    _, result, _ = finished
    with pytest.raises(Stop):
        train(config(), "words", RECIPE, tmp_path, 3, "tuned", stop_at(step), data=text)
    assert not (tmp_path / "run.json").exists()
    steps = []
    resumed = train(config(), "words", RECIPE, tmp_path, 3, "tuned", lambda s, *_: steps.append(s), data=text)
    assert steps[0] == step // 4 * 4 + 1  # continued, not started again
    assert resumed.resumed_from_step == (step // 4 * 4 or None)
    unlike = {"wall_time_s", "resumed_from_step"}
    assert resumed.model_dump(exclude=unlike) == result.model_dump(exclude=unlike)


def test_training_leaves_the_callers_configuration_as_it_was(finished, text, tmp_path):
    """One object for the interrupted call, the one that goes on and the one that finds the run finished; and what is saved."""
    one, before = config(), config().settings()
    with pytest.raises(Stop):
        train(one, "words", RECIPE, tmp_path, 3, "tuned", stop_at(6), data=text)
    resumed = train(one, "words", RECIPE, tmp_path, 3, "tuned", data=text)
    unlike = {"wall_time_s", "resumed_from_step"}
    assert resumed.resumed_from_step == 4
    assert resumed.model_dump(exclude=unlike) == finished[1].model_dump(exclude=unlike)
    assert train(one, "words", RECIPE, tmp_path, 3, "tuned", data=text) == resumed
    assert one.settings() == before == AstromorphicConfig.from_pretrained(tmp_path).settings() == resumed.config


def test_changed_settings_are_not_resumed(text, tmp_path):
    with pytest.raises(Stop):
        train(config(), "words", RECIPE, tmp_path, 3, "tuned", stop_at(6), data=text)
    with pytest.raises(ValueError, match="whose recipe is batch_size = 4, not 8"):
        train(config(), "words", replace(RECIPE, batch_size=8), tmp_path, 3, "tuned", data=text)


def test_a_folder_in_use_is_refused(text, tmp_path):
    from bridge.artifact import OutputError, exclusive

    with exclusive(tmp_path), pytest.raises(OutputError, match="in use by another process"):
        train(config(), "words", RECIPE, tmp_path, 3, "tuned", data=text)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_run_that_was_stopped_at_once_is_used(finished, text, tmp_path):
    """A stop between making the folder and noting the settings."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".write-abc.tmp").write_text("{")
    again = train(config(), "words", RECIPE, tmp_path, 3, "tuned", data=text)
    assert again.weights_digest == finished[1].weights_digest
    assert not (tmp_path / "checkpoints").exists()


def test_a_claim_without_a_checkpoint_is_taken_over(text, tmp_path):
    with pytest.raises(Stop):
        train(config(), "words", RECIPE, tmp_path, 3, "tuned", stop_at(2), data=text)
    assert train(config(), "words", RECIPE, tmp_path, 4, "tuned", data=text).seed == 4


@pytest.mark.parametrize("note", [b"{", b"[1]", b"\xff"])
def test_checkpoints_with_a_damaged_note_are_refused(interrupted, text, tmp_path, note):
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "settings.json").write_bytes(note)
    with pytest.raises(ModelError, match=r"settings\.json is damaged"):
        train(config(), "words", RECIPE, tmp_path, 3, "tuned", data=text)


def test_other_versions_are_not_resumed(interrupted, text, tmp_path):
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    note = tmp_path / "checkpoints" / "settings.json"
    content = json.loads(note.read_text())
    content["versions"]["torch"] = "1.0"
    note.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"whose versions is torch = '1\.0', not"):
        train(config(), "words", RECIPE, tmp_path, 3, "tuned", data=text)


def test_the_users_own_setting_is_named_before_derived_ones(finished, text):
    out, _, _ = finished
    with pytest.raises(ModelError, match="whose config is max_position_embeddings = 16, not 12"):
        train(config(max_position_embeddings=12), "words", RECIPE, out, 3, "tuned", data=text)


def break_by_removing(name):
    return lambda folder: (folder / name).unlink()


def break_by_cutting(name):
    def cut(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return cut


FILES = ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"]


@pytest.fixture(scope="module")
def interrupted(text, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(Stop):
        train(config(), "words", RECIPE, out, 3, "tuned", stop_at(11), data=text)
    assert {p.name for p in (out / "checkpoints").iterdir()} == {"checkpoint-4", "checkpoint-8", "settings.json"}
    return out


@pytest.mark.parametrize(
    "breakage",
    [
        *(break_by_removing(n) for n in FILES),
        *(break_by_cutting(n) for n in ("model.safetensors", "optimizer.pt", "trainer_state.json")),
    ],
)
def test_partial_checkpoint_is_skipped(interrupted, tmp_path, breakage):
    work = tmp_path / "checkpoints"
    shutil.copytree(interrupted / "checkpoints", work)
    assert find_checkpoint(work) == work / "checkpoint-8"
    breakage(work / "checkpoint-8")
    assert find_checkpoint(work) == work / "checkpoint-4"
    assert (work / "checkpoint-8.broken").is_dir() and not (work / "checkpoint-8").exists()


def test_resuming_past_a_partial_checkpoint_gives_the_same_weights(interrupted, finished, text, tmp_path):
    shutil.copytree(interrupted, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "checkpoint-8" / "optimizer.pt").unlink()
    resumed = train(config(), "words", RECIPE, tmp_path, 3, "tuned", data=text)
    assert resumed.weights_digest == finished[1].weights_digest


def test_checkpoints_hold_no_arbitrary_pickle(interrupted):
    folder = interrupted / "checkpoints" / "checkpoint-8"
    assert not (folder / "training_args.bin").exists()
    assert why_unusable(folder, 8) is None
    assert why_unusable(folder, 9) == "trainer_state.json is of step 8"


def test_no_checkpoint_at_all(tmp_path):
    assert find_checkpoint(tmp_path) is None and find_checkpoint(tmp_path / "missing") is None


def test_diverging_run_is_stopped_by_name(text, tmp_path):
    wild = replace(RECIPE, learning_rate=1e18, gradient_clip=1e30)
    with pytest.raises(ModelError, match=r"the training loss is .* at step 4; lower the recipe's learning_rate"):
        train(config(norm_placement="pre"), "words", wild, tmp_path, 3, data=text)
    assert not (tmp_path / "run.json").exists()


def test_vectors_are_not_decayed(text, tmp_path):
    from models.tasks.shakespeare import language_task
    from models.trainer import BestWeights, LearningCurve, make_trainer

    model, task = AstromorphicForCausalLM(config()), language_task(text)
    curve = LearningCurve(task, RECIPE, BestWeights(tmp_path), None)
    trainer = make_trainer(model, task.batches(config(), RECIPE, 0), RECIPE, tmp_path, 0, curve, "cpu")
    decayed = set(trainer.get_decay_parameter_names(model))
    for name, parameter in model.named_parameters():
        assert (name in decayed) == (parameter.dim() >= 2)


class Messages(list):
    def put(self, item):
        self.append(item)


def test_run_job_takes_plain_arguments(tmp_path):
    job = {
        "config": config().settings(), "recipe": {**vars(RECIPE)}, "out_dir": str(tmp_path / "run"), "seed": 1, "arm": "tuned",
        "progress": (messages := Messages()),
    }  # fmt: skip
    before = torch.get_num_threads()
    record = run_job(job)
    assert torch.get_num_threads() == before
    assert RunResult.model_validate(record).arm == "tuned"
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
    assert messages[-1]["step"] == messages[-1]["total"] == 12 and messages[-1]["seed"] == 1
    with pytest.raises(ValueError, match="job has no key 'sed'"):
        run_job({"config": config(), "out_dir": tmp_path, "sed": 1})
    with pytest.raises(ValueError, match="job lacks 'out_dir'"):
        run_job({"config": config()})
    with pytest.raises(ValueError, match="recipe is 'slow'; expected one of smoke, quick, default"):
        run_job({"config": config(), "out_dir": tmp_path, "recipe": "slow"})


@pytest.mark.slow
def test_run_job_in_spawned_processes_equals_this_process(tmp_path):
    context = get_context("spawn")
    jobs = [{"config": config().settings(), "recipe": vars(RECIPE), "seed": s, "arm": "tuned"} for s in (0, 1)]
    with context.Manager() as manager, ProcessPoolExecutor(2, mp_context=context) as pool:
        queue = manager.Queue()
        futures = [
            pool.submit(run_job, {**j, "out_dir": str(tmp_path / f"p{j['seed']}"), "progress": queue}) for j in jobs
        ]
        there = [f.result() for f in futures]
        assert queue.qsize() > 0
    here = [run_job({**j, "out_dir": tmp_path / f"h{j['seed']}"}) for j in jobs]
    assert [r["weights_digest"] for r in there] == [r["weights_digest"] for r in here]


CHILD = """
import sys
from models.training import run_job
from models.astromorphic import AstromorphicConfig
import json
run_job(json.loads(sys.argv[1]))
"""


@pytest.mark.slow
def test_sigkill_and_resume_gives_the_same_weights(tmp_path):
    recipe = {**vars(RECIPE), "steps": 400, "evaluate_every": 20, "save_every": 20}
    job = {"config": config().settings(), "recipe": recipe, "seed": 5, "arm": "tuned"}
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}

    def child(out):
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, json.dumps({**job, "out_dir": str(out)})], env=environment
        )

    whole = run_job({**job, "out_dir": tmp_path / "whole"})
    kills = 0
    work = tmp_path / "killed" / "checkpoints"
    for wanted in (20, 160):
        process = child(tmp_path / "killed")
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            steps = [int(p.name.split("-")[1]) for p in work.glob("checkpoint-*") if p.name.split("-")[1].isdigit()]
            if max(steps, default=0) >= wanted:
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.wait()
    assert kills == 2 and not (tmp_path / "killed" / "run.json").exists()
    final = child(tmp_path / "killed")
    assert final.wait() == 0
    resumed = RunResult.load(tmp_path / "killed" / "run.json")
    # Continued, not begun again: that would give the same weights too.
    assert resumed.resumed_from_step >= 140  # a kill within the writing of checkpoint 160 leaves the one before
    assert resumed.weights_digest == whole["weights_digest"]
    assert resumed.model_dump(mode="json")["learning_curve"] == whole["learning_curve"]


def test_unknown_task_is_named():
    with pytest.raises(ValueError, match="task is 'shakespear'; did you mean 'shakespeare'"):
        load_task("shakespear")
