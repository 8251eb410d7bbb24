"""Networks in segments on the tasks of long sequences: by which name, with which settings, on pairs, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import bridge
from bridge.artifact import MacroError
from models.astromorphic import AstromorphicConfig
from models.data.lra_image import load_lra_image, smaller
from models.errors import ModelError
from models.result import RunResult
from models.rmaat import RMAATConfig, RMAATForRetrieval, RMAATForSequenceClassification, memory_path_gradient
from models.scoring import open_run, score_run
from models.tasks import SEQUENCES, load_task
from models.tasks.prepare import model_names, prepare
from models.tasks.segmented import SEGMENTS, names, with_memory
from models.trainer import TaskTrainer
from models.training import run_job, train

FEW = {"train": 40, "validation": 10, "test": 12, "min_length": 5, "max_length": 30}
PAIRS = {"train": 24, "validation": 6, "test": 6, "length": 64, "records": 2}
SHORT = {"steps": 4, "evaluate_every": 2, "warmup_steps": 0}


@pytest.fixture(scope="module")
def listops():
    return load_task("listops", **FEW)


def config(listops, model="rmaat", macro=None, **changes) -> RMAATConfig:
    found = prepare("listops", model, "smoke", macro=macro, changes=changes, loaded=listops).config
    assert isinstance(found, RMAATConfig)
    return found


def test_rmaat_takes_retention_and_reach_from_the_macro_file_and_segments_from_the_task(listops):
    macro = bridge.preset("simulated")
    found = config(listops, macro=macro)
    assert found.retention == "simulated" and found.retention_shares == macro.retention.shares
    assert found.distance_decay == macro.distance.scale and found.macro_digest == macro.digest
    # 32 positions in the eight segments of the paper's Table 1.
    assert (found.max_position_embeddings, found.segment_length, found.num_segments) == (32, 4, 8)
    assert config(listops, macro=macro, distance_decay=0.1, segment_length=16).distance_decay == 0.1
    assert config(listops, segment_length=16).num_segments == 2 and config(listops).retention == "geometric"
    assert config(listops, macro=macro, retention="reversed").retention == "reversed"
    # Other attentions get the factors alone.
    recurrent = config(listops, "rlt", macro=macro)
    plain = config(listops, "rlt")
    assert recurrent.retention == "simulated" and plain.retention == "ones"
    assert (recurrent.response, recurrent.distance_decay) == (plain.response, plain.distance_decay)


def test_every_name_is_a_network_of_its_own(listops):
    assert set(SEGMENTS) == set(SEQUENCES)
    found = {name: config(listops, name) for name in names()}
    assert {name: c.mixer for name, c in found.items()} == {
        "rmaat": "astromorphic", "rmaat_paper": "astromorphic", "rmt": "softmax", "rlt": "linear",
        "rmaat_no_memory": "astromorphic", "plain_astromorphic": "astromorphic", "plain_softmax": "softmax",
        "plain_linear": "linear", "plain_none": "none",
    }  # fmt: skip
    assert with_memory() == ["rmaat", "rmaat_paper", "rmt", "rlt"]
    for name, one in found.items():
        assert one.num_segments == (1 if name.startswith("plain") else 8)
        assert (one.num_memory_tokens > 0) == (name in with_memory())
    # The layer of the same name keeps its preset and goes by another one.
    layer = prepare("listops", "rmaat_layer", "smoke", loaded=listops).config
    assert type(layer) is AstromorphicConfig and layer.distance == "exp" and layer.sigmoid_placement == "none"
    assert "rmaat_layer" in model_names() and AstromorphicConfig.from_preset("rmaat").distance == "exp"


def test_what_does_not_fit_is_one_line_before_any_work(listops, tmp_path):
    macro = bridge.preset("simulated")
    for task, model, given, changes, words in (
        ("shakespeare", "rmaat", None, {}, "reads long sequences with a label, and the task is language; .*rmaat_layer"),
        ("listops", "plain_softmax", macro, {}, "'plain_softmax', which has no memory, and a macro file is given"),
        ("listops", "rmaat", macro, {"num_memory_tokens": 0}, "num_memory_tokens is 0 and a macro file is given"),
        ("listops", "softmax", macro, {}, r"rmaat, rmaat_paper, rmt, rlt \(its retention\)"),
        ("listops", "rmaat", None, {"pooling": "last"}, "unknown setting .* 'pooling'"),
        ("listops", "rmaat", None, {"retention": "simulated"}, "retention_shares None; make the configuration with from_macro"),
        ("listops", "rmat", None, {}, "'rmat': did you mean 'rmaat'"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=words) as error:
            prepare(task, model, "smoke", macro=given, changes=changes, loaded=listops if task == "listops" else None)
        assert "\n" not in str(error.value)
    with pytest.raises(MacroError, match="retention"):
        config(listops, macro=bridge.preset("paper_alpha025"))
    ready = prepare("listops", "rmaat", "smoke", changes={**SHORT, "max_position_embeddings": 8}, loaded=listops)
    with pytest.raises(ModelError, match="max_position_embeddings is 8 and sequences of listops_5_30 have up to"):
        train(ready.config, ready.task, ready.recipe, tmp_path / "run")
    own = prepare("listops", "rmaat", "smoke", changes={"label_smoothing": 0.1, "loss_at": "segments"}, loaded=listops)
    with pytest.raises(ModelError, match=r"label_smoothing is 0\.1 and loss_at 'segments'"):
        train(own.config, own.task, own.recipe, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_loss_at_every_segment_is_what_is_trained(listops):
    batch = listops.batch("train", np.arange(6))
    recipe = prepare("listops", "rmaat", "smoke", loaded=listops).recipe
    losses = {}
    for at in ("end", "segments"):
        torch.manual_seed(0)
        network = RMAATForSequenceClassification(config(listops, loss_at=at, dropout=0.0))
        trainer = SimpleNamespace(task=listops, recipe=recipe, model=network)  # what the loss reads of a trainer
        losses[at] = float(TaskTrainer.compute_loss(trainer, network, batch).detach())  # type: ignore[arg-type]
        assert losses[at] == pytest.approx(float(network(**batch).loss.detach()), rel=1e-6)
    assert abs(losses["end"] - losses["segments"]) > 1e-4


@pytest.mark.parametrize("precision", ["no", pytest.param("bf16", marks=pytest.mark.slow)])
def test_an_interrupted_run_continues_to_the_same_weights_and_is_scored_again(listops, tmp_path, precision):
    """Replay with dropout under the training loop: random numbers of the second half are those of an uninterrupted run."""
    changes = {**SHORT, "mixed_precision": precision, "dropout": 0.2, "save_every": 2}
    ready = prepare("listops", "rmaat", "smoke", macro=bridge.preset("simulated"), changes=changes, loaded=listops)
    assert ready.config.backpropagation == "replay"
    whole = train(ready.config, ready.task, ready.recipe, tmp_path / "whole", 3, "rmaat")

    def stop(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ready.config, ready.task, ready.recipe, tmp_path / "cut", 3, "rmaat", stop)
    again = train(ready.config, ready.task, ready.recipe, tmp_path / "cut", 3, "rmaat")
    assert again.resumed_from_step == 2 and again.weights_digest == whole.weights_digest
    assert whole.config["retention_shares"] == ready.config.retention_shares and whole.config["segment_length"] == 4
    assert whole.macro_digest == ready.config.macro_digest and (tmp_path / "whole" / "macro.json").is_file()
    run = open_run(tmp_path / "whole")
    assert isinstance(run.model, RMAATForSequenceClassification) and run.same_data
    assert f"{100 * whole.scores['test'].accuracy:.2f} %" in score_run(tmp_path / "whole")


def test_pairs_are_read_by_two_towers_and_the_shorter_text_may_be_padded(tmp_path):
    ready = prepare("associative_retrieval", "rmaat", "smoke", changes={**PAIRS, **SHORT})
    result = train(ready.config, ready.task, ready.recipe, tmp_path, 0, "rmaat")
    assert result.task == "associative_retrieval" and result.config["segment_length"] == 8
    network = open_run(tmp_path).model
    assert isinstance(network, RMAATForRetrieval)
    batch = ready.task.batch("test", np.arange(4))
    batch.pop("labels")
    with torch.no_grad():
        expected = network(**batch).logits
        # One at a time, each text at its own length.
        for i in range(4):
            texts = [
                batch[f"{which}input_ids"][i][batch[f"{which}attention_mask"][i].bool()][None]
                for which in ("", "second_")
            ]
            masks = [torch.ones_like(text) for text in texts]
            alone = network(texts[0], masks[0], second_input_ids=texts[1], second_attention_mask=masks[1]).logits
            torch.testing.assert_close(alone[0], expected[i], rtol=1e-4, atol=1e-5)
    with pytest.raises(ModelError, match="tokens and no masks"):
        network(torch.ones(1, 5, dtype=torch.long), second_input_ids=torch.ones(1, 4, dtype=torch.long))
    with pytest.raises(ModelError, match="give both or neither"):
        network(
            torch.ones(1, 5, dtype=torch.long), torch.ones(1, 5), second_input_ids=torch.ones(1, 5, dtype=torch.long)
        )
    with pytest.raises(ModelError, match=r"input_ids are \(2, 5\) and second_input_ids \(1, 5\)"):
        network(torch.ones(2, 5, dtype=torch.long), second_input_ids=torch.ones(1, 5, dtype=torch.long))


def test_a_job_says_whose_settings_it_holds(listops, tmp_path):
    ready = prepare("listops", "rmt", "smoke", changes={**FEW, **SHORT})
    job = {"config": ready.config.settings(), "model_type": "rmaat", "task": "listops", "options": ready.options,
           "recipe": replace(ready.recipe, name="again"), "out_dir": str(tmp_path)}  # fmt: skip
    assert run_job(job)["config"]["num_memory_tokens"] == 16
    with pytest.raises(ModelError, match="model_type is 'bert'; expected one of astromorphic, astrosnn, rmaat"):
        run_job({**job, "model_type": "bert"})


def test_smaller_pictures_are_means_over_squares(tmp_path):
    g = np.random.default_rng(0)
    pictures = g.integers(0, 256, (3, 32, 32), dtype=np.uint8)
    small = smaller(pictures, 16)
    slow = [
        [[int(p[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean()) for j in range(16)] for i in range(16)] for p in pictures
    ]
    assert small.dtype == np.uint8 and small.tolist() == slow
    assert np.array_equal(smaller(pictures, 32), pictures)
    with pytest.raises(ModelError, match="size is 20; expected one of 32, 16, 8 pixels"):
        load_lra_image(tmp_path, size=20)


def test_a_run_with_memory_says_how_much_of_it_arrives(tmp_path):
    few = {"train": 30, "validation": 12, "test": 10, "steps": 2, "min_length": 20, "max_length": 60, "length": 64}
    changes = {**few, "segment_length": 16, "retention": "ones", "batch_size": 4}
    ready = prepare("listops", "rmaat", "smoke", macro=bridge.preset("simulated"), changes=changes)
    result = train(ready.config, ready.task, ready.recipe, tmp_path / "run", 0)
    assert RunResult.load(tmp_path / "run" / "run.json") == result
    path = result.memory_path
    assert 1 <= path.items <= 8 and len(path.start) == len(path.end) == 4 and path.start != path.end
    lengths = ready.task.sequences["validation"].lengths
    batch = ready.task.batch("validation", np.flatnonzero(lengths > 48)[:8])
    model = ready.task.load(tmp_path / "run")
    again = memory_path_gradient(model, batch["input_ids"], attention_mask=batch["attention_mask"])
    assert path.end == pytest.approx(again, rel=1e-6)
    assert all(math.isfinite(x) and x > 0 for x in path.start)
    plain = prepare("listops", "plain_softmax", "smoke", changes=few)
    assert train(plain.config, plain.task, plain.recipe, tmp_path / "plain", 0).memory_path is None
