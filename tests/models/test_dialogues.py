"""Dialogues: which files are read, that only the assistant's words are learned, fine-tuning, and the state between turns."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
import torch

from astromorphic.cli import main
from models import train
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.chat import Chat, open_chat
from models.continuation import ByteCodec, Writer
from models.data.dialogues import load_dialogues
from models.errors import ModelError
from models.result import RunResult
from models.scoring import score_run
from models.tasks import load_task
from models.tasks.dialogue import IGNORED
from models.tasks.prepare import prepare
from models.turns import Turns

SMALL = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 64, "max_position_embeddings": 96}


def moss(*turns):
    """A line of moss-003-sft-data."""
    chat = {
        f"turn_{i + 1}": {
            "Human": f"<|Human|>: {said}<eoh>\n", "Inner Thoughts": "<|Inner Thoughts|>: None<eot>\n",
            "MOSS": f"<|MOSS|>: {reply}<eom>\n",
        }
        for i, (said, reply) in enumerate(turns)
    }  # fmt: skip
    return json.dumps({"conversation_id": "1", "num_turns": len(turns), "chat": chat})


@pytest.fixture
def file(tmp_path):
    """To ping the assistant says pong, to what quux; two turns each."""
    lines = [
        moss(*(("ping ping", "pong") if (i >> k) & 1 else ("what is", "quux") for k in range(2))) for i in range(20)
    ]
    path = tmp_path / "talks.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_both_forms_of_a_file_are_read_without_their_marks_and_in_the_order_of_turns(tmp_path):
    path = tmp_path / "two.jsonl"
    long = moss(*((f"question {i}", f"answer {i}") for i in range(1, 13)))
    plain = json.dumps({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]})
    path.write_text("\n".join([long, plain, moss(("so <eoh> it is", "yes"))]))
    splits = load_dialogues(path, validation=1, test=1)
    found = {talk[0].text: talk for part in (splits.train, splits.validation, splits.test) for talk in part}
    assert [turn.text for turn in found["question 1"]][-4:] == ["question 11", "answer 11", "question 12", "answer 12"]
    assert tuple(found["hi"]) == (("user", "hi"), ("assistant", "ho"))
    assert found["so <eoh> it is"][1] == ("assistant", "yes")  # inside of a text a mark is text
    assert load_dialogues(path, validation=1, test=1).digest == splits.digest


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 3 is no JSON"),
        ('{"text": "a", "label": 1}', "line 3 holds no conversation"),
        (json.dumps({"messages": [{"role": "assistant", "content": "ho"}]}), "turn 1 is of 'assistant'; expected 'user'"),
        (json.dumps({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}), "turn 2 is of 'user'"),
        (json.dumps({"messages": [{"role": "user", "content": "a"}]}), "the assistant says nothing"),
        (json.dumps({"messages": [{"role": "user", "content": " "}]}), "turn 1 is empty"),
        (json.dumps({"chat": {"turn_1": {"Human": "<|Human|>: <eoh>", "MOSS": "b"}}}), "turn 1 is empty"),
        ("[" * 200_000, "line 3 is no JSON"),
        ("", "has 2 conversations"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_its_line(tmp_path, line, words):
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join([moss(("a", "b")), moss(("c", "d")), line]))
    with pytest.raises(ModelError, match=words):
        load_dialogues(path)


@pytest.mark.parametrize("seed", [-1, 1.5, "abc"])
def test_a_seed_that_is_none_is_refused(file, seed):
    with pytest.raises(ModelError, match=r"split_seed is .*; expected a whole number from 0"):
        load_task("dialogue", file, split_seed=seed)


def test_the_loss_is_of_what_the_assistant_says_alone(file):
    task = load_task("dialogue", file)
    ready = prepare("dialogue", "astrosnn", data=file, changes={**SMALL, "batch_size": 3}, loaded=task)
    torch.manual_seed(0)
    model = task.build(ready.config).eval()
    batch = task.batches(ready.config, ready.recipe, 0)[0]
    logits = model(input_ids=batch["input_ids"]).logits.detach().requires_grad_()
    loss = model.loss_function(logits, batch["labels"], vocab_size=256)
    (gradient,) = torch.autograd.grad(loss, logits)
    learned = batch["labels"][:, 1:] != IGNORED
    # Position t predicts token t + 1; where the user speaks or nobody, no logit matters, whatever it is.
    assert bool((gradient[:, :-1].abs().sum(-1) > 0).eq(learned).all()) and not gradient[:, -1].any()
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    other = logits.detach().clone()
    other[:, :-1][~learned] += noise[:, :-1][~learned]
    assert torch.equal(model.loss_function(other, batch["labels"], vocab_size=256), loss.detach())
    # What is learned is exactly the replies with their end marks.
    for row, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        text = bytes(labels[labels != IGNORED].tolist()).decode()
        said = [part.partition("<eom>\n")[0] for part in bytes(row.tolist()).decode().split("<|MOSS|>: ")[1:]]
        assert text == "".join(f"{one}<eom>\n" for one in said) and set(said) <= {"pong", "quux"}


@pytest.mark.parametrize("length", [7, 16, 96])
def test_blocks_predict_every_word_of_the_assistant_once(file, length):
    conversations = load_task("dialogue", file).conversations["train"]
    blocks = conversations.blocks(length)
    assert all(len(ids) <= length and labels[0] == IGNORED for ids, labels in blocks)
    assert sum((labels != IGNORED).sum() for _, labels in blocks) == conversations.n_learned
    whole = np.concatenate(
        [ids[learned] for ids, learned in zip(conversations.ids, conversations.learned, strict=True)]
    )
    assert np.array_equal(np.concatenate([labels[labels != IGNORED] for _, labels in blocks]), whole)
    assert conversations.n_bytes == conversations.n_learned  # bytes


def test_a_score_is_the_mean_over_the_assistants_tokens(file):
    task = load_task("dialogue", file)
    model = AstroSNNForCausalLM(AstroSNNConfig(**SMALL))
    with torch.no_grad():
        model.lm_head.weight.zero_()  # all bytes equally likely
    score, policy = task.score(model, "test")
    assert score.n == task.conversations["test"].n_learned == policy.tokens_scored
    assert score.loss == pytest.approx(math.log(256)) and score.bits_per_byte == pytest.approx(8.0)


def test_a_model_is_fine_tuned_talks_and_is_scored_again(file, tmp_path, capsys, monkeypatch):
    """From a checkpoint, by the command line; it learns the two replies and keeps to the form of turns."""
    base = tmp_path / "base"
    torch.manual_seed(0)
    AstroSNNForCausalLM(AstroSNNConfig(**SMALL)).save_pretrained(base)
    with pytest.raises(ModelError, match="has learned no conversations"):
        open_chat(base)
    out = tmp_path / "tuned"
    with pytest.raises(SystemExit) as stop:
        main(["train", "dialogue", "--data", str(file), "--model", "astrosnn", "--from", str(base), "--out", str(out),
              "--set", "epochs=40", "--set", "batch_size=4", "--set", "learning_rate=0.01", "--set", "evaluate_every=none",
              "--set", "reevaluated_tokens=0"])  # fmt: skip
    assert not stop.value.code
    record = RunResult.load(out / "run.json")
    assert record.started_from and record.config["max_position_embeddings"] == 96
    assert record.scores["test"].loss < 0.1 and json.loads((out / "turns.json").read_text())["user"] == "<|Human|>: "
    assert f"{record.scores['test'].bits_per_byte:.4f} bits per byte" in score_run(out)
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", io.StringIO("ping ping\n\nwhat is\nping ping\n"))
    with pytest.raises(SystemExit) as stop:
        main(["chat", str(out), "--temperature", "0", "--length", "20"])
    assert not stop.value.code and capsys.readouterr().out.split() == ["pong", "quux", "pong"]
    with pytest.raises(ModelError, match="do not fit the network to train"):
        train(
            AstroSNNConfig(**{**SMALL, "hidden_size": 16}),
            load_task("dialogue", file),
            "smoke",
            tmp_path / "x",
            start=base,
        )
    assert not (tmp_path / "x").exists() or not list((tmp_path / "x").rglob("run.json"))
    with pytest.raises(ModelError, match="whose architecture is taken as it is"):
        prepare("dialogue", "softmax", data=file, start=base)


def test_weights_of_the_checkpoint_are_those_that_training_begins_with(file, tmp_path):
    torch.manual_seed(3)
    base = AstroSNNForCausalLM(AstroSNNConfig(**SMALL))
    base.save_pretrained(tmp_path / "base")
    ready = prepare("dialogue", "astrosnn", data=file, start=tmp_path / "base",
                    changes={"steps": 1, "learning_rate": 1e-30, "batch_size": 2, "evaluate_every": 1, "weight_decay": 0.0,
                             "reevaluated_tokens": 0})  # fmt: skip
    train(ready.config, ready.task, ready.recipe, tmp_path / "run", start=tmp_path / "base", seed=5)
    after = AstroSNNForCausalLM.from_pretrained(tmp_path / "run")
    for (name, one), other in zip(base.state_dict().items(), after.state_dict().values(), strict=True):
        assert torch.allclose(one, other, rtol=0.0, atol=1e-20), name


def test_the_state_goes_on_from_turn_to_turn():
    """What was said piece by piece leaves the model where one pass over the whole conversation does."""
    torch.manual_seed(0)
    model = AstroSNNForCausalLM(AstroSNNConfig(**SMALL)).eval()
    shown = []
    chat = Chat(Writer(model, ByteCodec()), Turns(), temperature=1.0, seed=1)
    replies = [chat.reply(text, 5, shown.append) for text in ("one", "two")]
    # Never trained, it does not end a turn: the mark is put in.
    whole = b""
    codec = ByteCodec()
    for said, reply in zip(("one", "two"), replies, strict=True):
        assert len(reply) <= 5
        whole += f"<|Human|>: {said}<eoh>\n<|MOSS|>: ".encode()
        whole += b"?" * 5 + b"<eom>\n"
    assert "".join(shown) == "".join(replies) and chat.seen == len(whole)
    assert chat.state.seen == len(whole)
    again = Chat(Writer(model, codec), Turns(), temperature=1.0, seed=1)
    assert [again.reply(text, 5) for text in ("one", "two")] == replies
    # The first turn is still there: another one gives another second state.
    other = Chat(Writer(model, codec), Turns(), temperature=0.0)
    same = Chat(Writer(model, codec), Turns(), temperature=0.0)
    for one, text in ((other, "ONE"), (same, "one")):
        one.reply(text, 5)
        one.reply("two", 5)
    assert not torch.equal(other.state.layers[0][0], same.state.layers[0][0])
    with pytest.raises(ModelError, match="the turn is empty"):
        chat.reply("  ")
