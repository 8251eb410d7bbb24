"""Training in several processes that a launcher started: the steps, the curve and the weights are those of one process.

The default test starts torchrun once; the slow ones start the command line, kill it and start it again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.astromorphic import AstromorphicConfig
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.checkpoints import why_unusable
from models.errors import ModelError
from models.processes import Processes, check_alone, launched
from models.recipes import RECIPES, Recipe
from models.result import RunResult
from models.shares import WEIGHT, Shares, check_shares
from models.tasks.base import Batches
from models.training import _check_spread, _claim, run_job, train

ROOT = Path(__file__).parents[2]
RECIPE = replace(
    RECIPES["smoke"], name="test", steps=8, evaluate_every=4, save_every=4, curve_bytes=64, final_bytes=128, learning_rate=3e-3
)  # fmt: skip
SIZE = {
    "vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 16,
}  # fmt: skip
# Without spikes: a membrane at the threshold flips with the last digit, and how several processes add sets that digit.
SMOOTH = {**SIZE, "mixer": "retention"}


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    words = np.random.default_rng(0).choice(["astro", "cyte ", "calcium ", "wave "], 3000)
    file = tmp_path_factory.mktemp("text") / "words.txt"
    file.write_text("".join(words))
    return file


def job(text, out, recipe=RECIPE, config=None) -> dict:
    config = config or AstroSNNConfig(**SMOOTH)
    return {
        "config": config.settings(), "model_type": config.model_type, "task": str(text), "recipe": asdict(recipe),
        "out_dir": str(out), "seed": 3,
    }  # fmt: skip


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def launch(*arguments, processes=2, **how) -> subprocess.Popen:
    """torchrun on this machine; a port of its own choice, so that tests may run side by side."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
        *arguments,
    ]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    )


def launched_jobs(jobs, folder) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    child = launch(str(Path(__file__).with_name("launched_runs.py")), str(folder / "jobs.json"))
    _, errors = child.communicate(timeout=600)
    assert child.returncode == 0, errors[-3000:]


def assert_same_run(one: Path, several: Path, tolerance=1e-5) -> None:
    """Weights and every number of the curve, up to the order in which float32 adds."""
    here, there = (RunResult.load(folder / "run.json") for folder in (one, several))
    assert (here.steps, here.chosen_step, here.n_parameters) == (there.steps, there.chosen_step, there.n_parameters)
    assert [p.step for p in here.learning_curve] == [p.step for p in there.learning_curve]
    for a, b in zip(here.learning_curve, there.learning_curve, strict=True):
        assert (a.train_loss, a.validation_loss) == pytest.approx((b.train_loss, b.validation_loss), rel=tolerance)
    assert here.scores["test"].loss == pytest.approx(there.scores["test"].loss, rel=tolerance)
    expected, found = (load_file(folder / "model.safetensors") for folder in (one, several))
    assert expected.keys() == found.keys()
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < tolerance


def test_two_processes_and_two_shards_train_what_one_process_does(text, tmp_path):
    shards = replace(RECIPE, sharding="full")
    launched_jobs([job(text, tmp_path / "two"), job(text, tmp_path / "shards", shards)], tmp_path / "launch")
    run_job(job(text, tmp_path / "one"))
    for name in ("two", "shards"):
        assert_same_run(tmp_path / "one", tmp_path / name)
        assert sorted(p.name for p in (tmp_path / name).iterdir()) == sorted(
            p.name for p in (tmp_path / "one").iterdir()
        )
    start = AstroSNNForCausalLM(AstroSNNConfig(**SMOOTH)).state_dict()
    model = AstroSNNForCausalLM.from_pretrained(tmp_path / "shards")
    assert max(float((start[n] - x).abs().max()) for n, x in model.state_dict().items()) > 1e-2  # it has learned
    whole = 4 * model.num_parameters()
    for rank in range(2):
        held = json.loads((tmp_path / "launch" / f"rank{rank}.json").read_text())
        assert held["weights"][1] == whole and held["moments"][1] == 2 * whole
        assert 0.45 < held["weights"][0] / whole < 0.55 and 0.45 < held["moments"][0] / (2 * whole) < 0.55
    # Finished, it is returned as it is, by one process as well.
    done = RunResult.load(tmp_path / "shards" / "run.json")
    assert train(AstroSNNConfig(**SMOOTH), str(text), shards, tmp_path / "shards", 3) == done
    with pytest.raises(ModelError, match="holds a run whose recipe is sharding = 'full', not None"):
        train(AstroSNNConfig(**SMOOTH), str(text), RECIPE, tmp_path / "shards", 3)


class Numbered(Batches):
    """Batches of 4, 4 and 1 rows; the label of a row is its number."""

    steps_per_epoch = 3

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index):
        rows = torch.arange(4 * index, min(4 * index + 4, 9))
        return {"input_ids": rows[:, None].expand(-1, 2), "labels": rows.clone()}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_every_row_counts_once(count):
    """The weighted mean over the processes of the mean over their rows is the mean over all rows."""
    shares = [Shares(Numbered(), Processes(count, rank), language=False) for rank in range(count)]
    for i in range(3):
        whole, parts = Numbered()[i], [share[i] for share in shares]
        counted = [part["labels"] for part in parts if part[WEIGHT] > 0]
        assert torch.equal(torch.cat(counted), whole["labels"])
        mean = sum(part[WEIGHT] * part["labels"].float().mean() for part in parts) / count
        assert float(mean) == pytest.approx(float(whole["labels"].float().mean()))
    language = [Shares(Numbered(), Processes(count, rank), language=True)[2]["labels"] for rank in range(count)]
    assert sorted(int(x) for x in torch.cat(language)) == [-100] * (count - 1) + [8]


TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"MASTER_ADDR": None},
            "WORLD_SIZE is 2 and MASTER_ADDR is not set; start with torchrun --nproc-per-node 2 -m",
        ),
        ({"RANK": None}, "WORLD_SIZE is 2 and RANK is not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; expected a whole number, at least 1"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
        ({"RANK": "2"}, "RANK is '2'; expected a whole number, 0 to 1"),
    ],
)
def test_an_environment_that_no_launcher_leaves_is_refused(changes, message, text, tmp_path, monkeypatch):
    for name, value in {**TORCHRUN, **changes}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    with pytest.raises(ModelError, match=message):
        train(AstroSNNConfig(**SIZE), str(text), RECIPE, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_who_this_process_is(monkeypatch):
    assert launched() == Processes(1, 0)
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert launched() == Processes(2, 1) and not launched().first
    with pytest.raises(ModelError, match="WORLD_SIZE is 2; task memory_chain is for one process, start it without"):
        check_alone("task memory_chain")


@pytest.mark.parametrize(("task", "model"), [("memory_chain", "gru"), ("imdb", "bag_of_words")])
def test_what_is_for_one_process_says_so(task, model, tmp_path, monkeypatch, capsys):
    from astromorphic.cli import main

    for name, value in {**TORCHRUN, "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        main(["train", task, "--model", model, "--out", str(tmp_path / "run")])
    errors = capsys.readouterr().err
    assert "is for one process, start it without a launcher" in errors and errors.count("\n") == 1


@pytest.mark.parametrize(
    ("task", "model", "device", "message"),
    [
        ("shakespeare", "none", "gpu", "device is 'gpu'; expected one of cpu, cuda"),
        ("shakespeare", "none", "cuda", "device is 'cuda' and torch finds no GPU here"),
        ("memory_chain", "gru", "cuda", "--device cuda: task memory_chain is trained on the CPU; leave it out"),
        ("imdb", "bag_of_words", "cuda", "--device cuda: model bag_of_words is trained on the CPU; leave it out"),
    ],
)
def test_a_device_that_is_not_there_is_refused(task, model, device, message, tmp_path, monkeypatch, capsys):
    from astromorphic.cli import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        main(["train", task, "--model", model, "--preset", "smoke", "--device", device, "--out", str(tmp_path / "run")])
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_commands_than_training_say_what_is_wrong_in_every_process(tmp_path, monkeypatch, capsys):
    """Schedulers set these variables in every pod; only processes of one training run have a first one that speaks."""
    from astromorphic.cli import main

    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    for arguments, said in ((["simulate", "nothing"], 1), (["train", "nothing", "--out", str(tmp_path / "run")], 0)):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2 and capsys.readouterr().err.count("astromorphic: ") == said


def test_what_cannot_be_shared_is_refused(text, tmp_path):
    with pytest.raises(ModelError, match="batch_size is 4 and there are 3 processes; expected a multiple"):
        check_shares(RECIPE, Processes(3, 0))
    with pytest.raises(ModelError, match="sharding is 'full' and there is one process; start with torchrun"):
        train(AstroSNNConfig(**SIZE), str(text), replace(RECIPE, sharding="full"), tmp_path / "run")
    with pytest.raises(ModelError, match="sharding is 'half'; expected one of none, full"):
        replace(RECIPE, sharding="half")
    assert replace(RECIPE, sharding="full").changed({"sharding": "none"}) == RECIPE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["replay", "checkpoint", "full"])
def test_only_language_models_are_cut_into_shards(way):
    from models.rmaat import RMAATConfig
    from models.tasks.sequence_classification import SequenceClassificationTask

    task = object.__new__(SequenceClassificationTask)
    task.name = "listops"
    config = RMAATConfig(backpropagation=way)
    with pytest.raises(ModelError, match="sharding is 'full', which is for language models, and task 'listops' is"):
        _check_spread(replace(RECIPE, sharding="full"), task, config, Processes(2, 0))
    _check_spread(RECIPE, task, config, Processes(2, 0))
    with pytest.raises(ModelError, match="loss_at is 'segments' and there are 2 processes"):
        _check_spread(RECIPE, task, RMAATConfig(backpropagation=way, loss_at="segments"), Processes(2, 0))


def test_records_of_before_there_were_shards_are_known_again():
    assert "sharding" not in RECIPE.record() and Recipe.resolve(RECIPE.record()) == RECIPE
    shards = replace(RECIPE, sharding="full")
    assert shards.record()["sharding"] == "full" and Recipe.resolve(shards.record()) == shards


def test_a_checkpoint_has_the_random_state_of_every_process(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for name in ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth"):
        (tmp_path / name).write_bytes(b"x")
    assert why_unusable(tmp_path, 4, 1) == "rng_state.pth is missing or empty"
    assert why_unusable(tmp_path, 4, 2) == "rng_state_1.pth is missing or empty"


def command(text, out, *settings, steps=8) -> list[str]:
    sizes = {**SIZE, **{k: getattr(RECIPE, k) for k in ("curve_bytes", "final_bytes", "learning_rate")}, "steps": steps,
             "evaluate_every": 4, "save_every": 4, "warmup_steps": 2, "batch_size": 4}  # fmt: skip
    sizes.pop("vocab_size")
    given = [f"--set={name}={value}" for name, value in sizes.items()] + [f"--set={s}" for s in settings]
    return ["train", str(text), "--model", "astrosnn", "--preset", "smoke", "--out", str(out), *given]


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, from the kernel's own list."""
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            below.setdefault(parent, []).append(int(folder.name))
    found = list(below.get(pid, []))
    for child in found:
        found += below.get(child, [])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_killed_and_started_again_it_ends_the_same(text, tmp_path, sharding):
    how = ["dropout=0.1", f"sharding={sharding}"]
    whole = launch("-m", "astromorphic", *command(text, tmp_path / "whole", *how, steps=120))
    out, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors[-3000:]
    assert out.count("bits per byte") == 1  # said once
    child = launch("-m", "astromorphic", *command(text, tmp_path / "killed", *how, steps=120))
    work = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 300
    while not (work / "checkpoint-12" / "trainer_state.json").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in [child.pid, *descendants(child.pid)]:
        os.kill(pid, signal.SIGKILL)
    child.communicate()
    assert not (tmp_path / "killed" / "run.json").exists()
    with pytest.raises(ModelError, match="holds a run of 2 processes, not 1; start as many"):
        _claim(work, {}, Processes())
    for _ in range(2):  # the second time it is not repeated
        again = launch("-m", "astromorphic", *command(text, tmp_path / "killed", *how, steps=120))
        out, errors = again.communicate(timeout=600)
        assert again.returncode == 0, errors[-3000:]
        assert out.count("bits per byte") == 1
    expected, found = (RunResult.load(tmp_path / name / "run.json") for name in ("whole", "killed"))
    assert found.resumed_from_step >= 4
    assert found.weights_digest == expected.weights_digest and found.learning_curve == expected.learning_curve


@pytest.mark.slow
def test_an_error_is_said_once_and_leaves_nothing(text, tmp_path):
    child = launch("-m", "astromorphic", *command(text, tmp_path / "run", "num_attention_heads=5"))
    _, errors = child.communicate(timeout=300)
    lines = [line for line in errors.splitlines() if line.startswith("astromorphic: ")]
    assert child.returncode != 0 and len(lines) == 1 and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_networks_and_choices_that_ask_more_of_shards(text, tmp_path):
    """Tied weights, another network, weights that validation picks, an early end, mixed precision."""
    arms = {
        "tied": (AstroSNNConfig(**SMOOTH, tie_word_embeddings=True), RECIPE),
        "astromorphic": (AstromorphicConfig.from_preset("tuned", **{**SIZE, "dropout": 0.0}), RECIPE),
        # Without spikes, which flip with the last digit. At ten times the rate even so the last digit reaches the curve.
        "picked": (
            AstroSNNConfig(**SIZE, mixer="softmax"),
            replace(RECIPE, select="loss", patience=1, learning_rate=3e-2, schedule="constant", steps=40),
        ),
        "bf16": (AstroSNNConfig(**SIZE, mixer="softmax"), replace(RECIPE, mixed_precision="bf16")),
    }
    jobs = []
    for name, (config, recipe) in arms.items():
        run_job(job(text, tmp_path / f"{name}-one", recipe, config))
        jobs += [
            job(text, tmp_path / f"{name}-{sharding}", replace(recipe, sharding=sharding), config)
            for sharding in ("none", "full")
        ]
    launched_jobs(jobs, tmp_path / "launch")
    assert RunResult.load(tmp_path / "picked-one" / "run.json").steps < 40
    for name in arms:
        for sharding in ("none", "full"):
            # A product in bfloat16 is rounded to 3 digits, and otherwise in every share.
            assert_same_run(tmp_path / f"{name}-one", tmp_path / f"{name}-{sharding}", 2e-3 if name == "bf16" else 1e-4)


SMALL = ["dropout=0", "hidden_size=16", "num_attention_heads=2", "intermediate_size=24", "batch_size=4", "epochs=2"]
CLASSIFIERS = {
    "texts": ["--set=max_position_embeddings=12", "--set=num_hidden_layers=1", "--set=word_dropout=0.2"],
    "replay": ["--model=rmaat", "--set=backpropagation=replay", "--set=train=45", "--set=validation=8", "--set=test=8",
               "--set=num_hidden_layers=1", "--set=dashes=2"],
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(CLASSIFIERS))
def test_classifiers_share_batches_the_last_of_which_is_short(tmp_path, kind):
    """45 training examples in batches of 4: the last row of an epoch is for one process, and the other has none."""
    task = "pathfinder_like"
    if kind == "texts":
        rng = np.random.default_rng(0)
        lines = [f"{' '.join(rng.choice(['up', 'down', 'left'], 9))},{'ab'[i % 2]}" for i in range(56)]
        task = str(tmp_path / "texts.csv")
        Path(task).write_text("text,label\n" + "\n".join(lines) + "\n")
    settings = [*CLASSIFIERS[kind], *(f"--set={s}" for s in SMALL)]

    def arguments(out):
        return ["-m", "astromorphic", "train", task, "--preset=smoke", f"--out={tmp_path / out}", *settings]

    one = subprocess.run([sys.executable, *arguments("one")], env=environment(), capture_output=True, text=True)
    assert one.returncode == 0, one.stderr
    child = launch(*arguments("two"))
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors[-3000:]
    assert RunResult.load(tmp_path / "one" / "run.json").data.n_train % 4 == 1
    assert_same_run(tmp_path / "one", tmp_path / "two")
