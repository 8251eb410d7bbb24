"""Zero-shot tasks: the harness's prompts letter by letter, answers from one state as if read whole, and honest lines beside."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from models.astromorphic import AstromorphicConfig, AstromorphicForCausalLM
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.astrosnn.configuration_astrosnn import MIXERS
from models.continuation import ByteCodec, WordCodec, Writer
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError
from models.zeroshot.evaluation import (
    ZeroShotResult,
    chance,
    evaluate_zero_shot,
    majority,
    predictions,
    rate,
    score_task,
)
from models.zeroshot.files import find_file, load_questions, task_names
from models.zeroshot.scorer import (
    Likelihood,
    Request,
    alone,
    drawing,
    encode_pair,
    fitted,
    log_likelihoods,
    start_token,
)
from models.zeroshot.tasks import TASKS, Question

# A row of each, in the layout of its release, and what lm-evaluation-harness 0.4.13 makes of it.
ROWS = {
    "piqa": {"goal": "dry a cup", "sol1": "a towel ", "sol2": "a hammer", "label": 0},
    "sciq": {
        "support": "  Calcium flows.",
        "question": "What flows?",
        "distractor1": "iron",
        "distractor2": "gold",
        "distractor3": "lead",
        "correct_answer": "calcium",
    },
    "winogrande": {"sentence": "Ann met Bo so _ was_glad .", "option1": "Ann", "option2": "Bo", "answer": "2"},
    "copa": {
        "premise": "It rained. ",
        "choice1": "She left.",
        "choice2": "It was July.",
        "question": "effect",
        "label": 0,
    },
    "boolq": {"passage": "Ice floats.", "question": "does ice float", "answer": True},
    "hellaswag": {
        "activity_label": "Roof",
        "ctx_a": "A man sits. [header] X [title] Y",
        "ctx_b": "he Waits",
        "endings": ["a [step] b", "c", "d", "e"],
        "label": "3",
    },
    "logiqa": {"context": "P.", "question": "Q?", "options": ["w", "x", "y", "z"], "label": "b"},
}
EXPECTED = {
    "piqa": ([("Question: dry a cup\nAnswer:", " a towel "), ("Question: dry a cup\nAnswer:", " a hammer")], 0),
    "sciq": (
        [("Calcium flows.\nQuestion: What flows?\nAnswer:", f" {x}") for x in ("iron", "gold", "lead", "calcium")],
        3,
    ),
    "winogrande": ([("Ann met Bo so Ann", " was_glad ."), ("Ann met Bo so Bo", " was_glad .")], 1),
    # Two blanks: the task's own and the harness's.
    "copa": ([("It rained therefore", "  she left."), ("It rained therefore", "  it was July.")], 0),
    "boolq": ([("Ice floats.\nQuestion: does ice float?\nAnswer:", x) for x in (" no", " yes")], 1),
    "hellaswag": ([("Roof: A man sits. X. Y He waits", f" {x}") for x in ("a b", "c", "d", "e")], 3),
    "logiqa": (
        [("Passage: P.\nQuestion: Q?\nChoices:\nA. w\nB. x\nC. y\nD. z\nAnswer:", f" {x}") for x in "wxyz"],
        1,
    ),
}


def put(folder: Path, name: str, rows: list) -> Path:
    file = folder / "zeroshot" / f"{TASKS[name].files[0]}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def byte_model(positions: int = 128, preset: str = "tuned", **settings) -> AstromorphicForCausalLM:
    torch.manual_seed(0)
    size = {
        "vocab_size": 256, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": positions, "initializer_range": 0.5,
    }  # fmt: skip
    return AstromorphicForCausalLM(AstromorphicConfig.from_preset(preset, **size, **settings)).eval()


def requests_of(model, n: int, seed: int, longest: int = 12) -> list[Request]:
    """Ragged contexts, each with several ragged continuations, some of one token, and one asked twice."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        context = tuple(random.integers(0, model.config.vocab_size, random.integers(1, longest)).tolist())
        for length in random.integers(1, 8, 3):
            found.append(Request(context, tuple(random.integers(0, model.config.vocab_size, length).tolist())))
    return [*found, found[0]]


@pytest.mark.parametrize("name", TASKS)
def test_prompts_are_those_of_the_harness(name):
    question = TASKS[name].build(ROWS[name])
    pairs, gold = EXPECTED[name]
    assert [*question.pairs] == pairs and question.gold == gold and len(question.choices) == TASKS[name].answers
    if name == "winogrande":
        # The harness divides by the lengths of the sentences' heads; it reports acc alone.
        assert question.choices == ("Ann met Bo so Ann", "Ann met Bo so Bo") and not TASKS[name].normalised


def spiking(mixer: str) -> AstroSNNForCausalLM:
    torch.manual_seed(0)
    size = {"vocab_size": 31, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "chunk_size": 4}
    return AstroSNNForCausalLM(AstroSNNConfig(mixer=mixer, **size)).eval()


@pytest.mark.parametrize(
    "preset", ["tuned", "paper_alg1", "softmax", "katharopoulos", *(f"astrosnn {x}" for x in MIXERS)]
)
def test_answers_from_one_state_are_those_of_whole_texts(tiny, randomise, preset):
    kind, _, mixer = preset.partition(" ")
    model = (spiking(mixer) if kind == "astrosnn" else randomise(tiny(preset=preset))).double()
    requests = requests_of(model, 7, seed=1)
    expected = [alone(model, request) for request in requests]
    for batch_size in (1, 3, 16):
        found = log_likelihoods(model, requests, batch_size=batch_size)
        assert [one.log_probability for one in found] == pytest.approx(
            [one.log_probability for one in expected], abs=1e-9
        )
        assert [one.greedy for one in found] == [one.greedy for one in expected]
    if getattr(model, "has_spikes", False):
        return  # in single precision a spike hangs on the last digit
    model.float()
    found = log_likelihoods(model, requests, batch_size=4)
    assert [one.log_probability for one in found] == pytest.approx([one.log_probability for one in expected], abs=1e-4)


def test_in_single_precision_too_the_difference_is_rounding(tiny):
    model = tiny()
    requests = requests_of(model, 6, seed=2)
    for request, found in zip(requests, log_likelihoods(model, requests, batch_size=3), strict=True):
        assert abs(found.log_probability - alone(model, request).log_probability) < 1e-5


def test_a_greedy_answer_is_known_as_one(tiny, randomise):
    model = randomise(tiny())
    context = torch.randint(0, 31, (1, 6), generator=torch.Generator().manual_seed(0))
    answer = model.generate(context, attention_mask=torch.ones_like(context), max_new_tokens=4, do_sample=False)[0, 6:]
    likeliest = tuple(answer.tolist())
    other = (*likeliest[:-1], (likeliest[-1] + 1) % 31)
    one, two = log_likelihoods(model, [Request(tuple(context[0].tolist()), x) for x in (likeliest, other)])
    assert one.greedy and not two.greedy and one.log_probability > two.log_probability


def test_a_prompt_is_read_once_for_all_its_answers(tiny):
    model = tiny()
    read = []
    model.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    context = tuple(range(1, 21))
    log_likelihoods(model, [Request(context, tuple(range(n))) for n in (2, 4, 3, 1)])
    # 20 tokens of the prompt, then at most 3 of each answer: its last token is only predicted.
    assert read == [(1, 20), (4, 3)]


def test_a_long_prompt_loses_its_beginning_and_a_long_answer_is_refused(tiny):
    model = tiny(max_position_embeddings=16)
    long = tuple(i % 31 for i in range(40))
    # 16 positions: 12 tokens of the prompt and 4 of the 5 of the answer, the last of which is only predicted.
    assert fitted(Request(long, (1, 2, 3, 4, 5)), 16).context == long[-12:]
    requests = [Request(long, (1, 2, 3, 4, 5)), Request(long, (7,)), Request((3,), tuple(range(16)))]
    found = log_likelihoods(model, requests, batch_size=8)
    expected = [alone(model, fitted(request, 16)) for request in requests]
    for one, other in zip(found, expected, strict=True):
        assert abs(one.log_probability - other.log_probability) < 1e-5
    with pytest.raises(ModelError, match="an answer has 17 tokens and the model 16 positions"):
        log_likelihoods(model, [Request((3,), tuple(range(17)))])
    model.unlimited_positions = True
    assert fitted(Request(long, (1,)), None).context == long


def test_a_pair_is_cut_as_the_harness_cuts_it():
    codec = ByteCodec()
    assert encode_pair(codec, "ab", " c") == Request((97, 98), (32, 99))
    # Blanks at the end of the prompt are part of the answer.
    assert encode_pair(codec, "ab \n", "c") == Request((97, 98), (32, 10, 99))
    assert encode_pair(codec, "", "\nc") == Request((10,), (99,))
    assert encode_pair(codec, "", "c") == Request((10,), (99,)) and start_token(codec) == 10
    words = WordCodec(WordVocabulary.from_words(["the", "wave", "<eos>"]))
    known = {word: number for number, word in enumerate(words.vocabulary.words)}
    assert encode_pair(words, "the\nwave", " the") == Request(
        (known["the"], known["<eos>"], known["wave"]), (known["the"],)
    )
    assert start_token(words) == known["<eos>"]
    with pytest.raises(ModelError, match=r"the answer ' ' has none of the model's words"):
        encode_pair(words, "the", " ")


def test_accuracies_are_those_of_the_likelihoods():
    question = Question.of("p", ("a", "abcdefgh", "ab"), 1)
    found = [Likelihood(-2.0, False), Likelihood(-8.0, False), Likelihood(-3.0, False)]
    # -2, -1 and -1.5 per character.
    assert predictions(question, found) == (0, 1)
    tie = [Likelihood(-2.0, False)] * 3
    assert predictions(Question.of("p", ("a", "b", "c"), 2), tie) == (0, 0)
    got = rate([1, 0, 0, 1, 1])
    assert got.value == 0.6 and got.error == pytest.approx(math.sqrt(0.3 / 5))
    assert rate([1]).error is None and str(rate([1, 0])) == "50.00 ± 50.00"
    questions = [Question.of("p", ("a", "b"), gold) for gold in (0, 1, 1, 1)] + [Question.of("p", tuple("abcd"), 0)]
    assert chance(questions).value == pytest.approx((4 * 0.5 + 0.25) / 5)
    assert chance(questions).error == pytest.approx(math.sqrt(4 * 0.25 + 0.1875) / 5)
    assert majority(questions).value == 0.6


def test_a_score_is_the_share_of_right_answers_counted_by_hand(tmp_path):
    model = byte_model(64)
    rows = [{**ROWS["piqa"], "goal": f"cup {i}", "sol2": "x" * (i + 1), "label": i % 2} for i in range(6)]
    put(tmp_path, "piqa", rows)
    loaded = load_questions("piqa", tmp_path)
    seen = []
    score = score_task(Writer(model, ByteCodec()), loaded, progress=lambda done, total: seen.append((done, total)))
    right = per_character = 0
    for row in rows:
        prompt = f"Question: {row['goal']}\nAnswer:".encode()
        values = []
        for solution in (row["sol1"], row["sol2"]):
            text = prompt + f" {solution}".encode()
            with torch.no_grad():
                p = model(input_ids=torch.tensor([[*text]])).logits[0].double().log_softmax(-1)
            values.append(sum(float(p[t - 1, text[t]]) for t in range(len(prompt), len(text))))
        right += int(np.argmax(values) == row["label"])
        lengths = [len(row["sol1"]), len(row["sol2"])]
        per_character += int(np.argmax([v / n for v, n in zip(values, lengths, strict=True)]) == row["label"])
    assert score.acc.value == right / 6 and score.acc_norm.value == per_character / 6
    assert seen[-1] == (12, 12) and score.truncated == 0
    assert score.majority.value == 0.5 and score.chance.value == 0.5


def test_prompts_that_lost_their_beginning_are_counted(tmp_path):
    """Prompts of 19 and 58 bytes with answers of 3 and 11, the last byte of which is only predicted."""
    rows = [{**ROWS["piqa"], "goal": goal, "sol1": "ab", "sol2": "a long one"} for goal in ("a", "b" * 40)]
    put(tmp_path, "piqa", rows)
    loaded = load_questions("piqa", tmp_path)
    found = {n: score_task(Writer(byte_model(n), ByteCodec()), loaded) for n in (16, 64, 68)}
    assert {n: score.truncated for n, score in found.items()} == {16: 4, 64: 1, 68: 0}
    assert "; 4 contexts cut at their beginning" in found[16].line("piqa") and "cut" not in found[68].line("piqa")


def test_rows_that_are_no_questions_are_named(tmp_path):
    file = put(tmp_path, "piqa", [ROWS["piqa"], {**ROWS["piqa"], "label": 2}])
    with pytest.raises(
        ModelError, match=r"piqa_validation.jsonl, line 2: label is 2; expected a label from 0 to 1; see docs"
    ):
        load_questions("piqa", tmp_path)
    assert len(load_questions("piqa", tmp_path, limit=1).questions) == 1
    file.write_text('{"goal": "x"\n')
    with pytest.raises(ModelError, match="line 1: no JSON"):
        load_questions("piqa", tmp_path)
    file.write_text("\n")
    with pytest.raises(ModelError, match="holds no question"):
        load_questions("piqa", tmp_path)
    wrong = [
        ("winogrande", {"sentence": "no gap"}, "expected a _ and words behind it"),
        ("winogrande", {"answer": "0"}, "expected 1 or 2"),
        ("copa", {"question": "why"}, "expected cause or effect"),
        ("hellaswag", {"endings": ["a", "b"]}, "expected 4 texts"),
        ("logiqa", {"label": "e"}, "expected a label from 0 to 3"),
        ("sciq", {"support": None}, "support is None; expected a text"),
    ]
    for name, change, message in wrong:
        put(tmp_path, name, [{**ROWS[name], **change}])
        with pytest.raises(ModelError, match=message):
            load_questions(name, tmp_path)
    with pytest.raises(ModelError, match=r"boolq: boolq_validation.jsonl or boolq.jsonl is not in"):
        load_questions("boolq", tmp_path)
    with pytest.raises(ModelError, match="limit is 0"):
        load_questions("piqa", tmp_path, limit=0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            '{"goal": "g", "sol1": "a", "sol2": "b", "label": "' + "1" * 5000 + '"}',
            "label is '1111.*expected a label from 0 to 1",
        ),
        ('{"goal": "g", "sol1": "a", "sol2": "b", "label": ' + "1" * 5000 + "}", "a number of too many digits"),
        ('{"goal": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"goal": "\\ud83d", "sol1": "a", "sol2": "b", "label": 0}', "half of a character"),
    ],
    ids=["label of 5,000 digits", "number of 5,000 digits", "nesting", "surrogate"],
)
def test_rows_that_break_a_reader_are_named(tmp_path, row, message):
    file = put(tmp_path, "piqa", [ROWS["piqa"]])
    file.write_text(f"{json.dumps(ROWS['piqa'])}\n{row}\n")
    with pytest.raises(ModelError, match=f"piqa_validation.jsonl, line 2: .*{message}") as raised:
        load_questions("piqa", tmp_path)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


def test_a_record_that_cannot_be_read_is_known_before_the_scoring(tmp_path, monkeypatch):
    place = tmp_path / "model"
    byte_model(128).save_pretrained(place)
    put(tmp_path, "piqa", [ROWS["piqa"]])
    evaluate_zero_shot(place, "piqa", data=tmp_path)
    record = json.loads((place / "zeroshot.json").read_text())
    monkeypatch.setattr("models.zeroshot.evaluation.log_likelihoods", lambda *x, **y: pytest.fail("scored first"))
    for wrong, message in (
        ("{", "no record of zero-shot scores"),
        (json.dumps({**record, "tasks": 3}), "no record of zero-shot scores"),
        (json.dumps({**record, "schema_version": "0.9"}), "schema_version '0.9'; expected '1.0'"),
    ):
        (place / "zeroshot.json").write_text(wrong)
        with pytest.raises(ModelError, match=message):
            evaluate_zero_shot(place, "piqa", data=tmp_path)
        assert (place / "zeroshot.json").read_text() == wrong


def test_how_tokens_are_drawn():
    assert drawing({}) == drawing({"temperature": 0.7}) == {"do_sample": False}
    assert drawing({"do_sample": True}) == {"do_sample": True}
    assert drawing({"do_sample": True, "temperature": 0.0}) == {"do_sample": False}
    assert drawing({"do_sample": True, "temperature": 2, "until": ["x"]}) == {"do_sample": True, "temperature": 2.0}
    assert drawing({"do_sample": True, "top_p": 0.5, "temperature": None}) == {"do_sample": True, "top_p": 0.5}


def test_names_of_tasks():
    assert task_names("piqa, copa") == ["piqa", "copa"] and task_names("all") == list(TASKS)
    with pytest.raises(ModelError, match="did you mean 'piqa'"):
        task_names("pika")
    for twice in ("piqa,piqa", "piqa,all"):
        with pytest.raises(ModelError, match="name each once"):
            task_names(twice)


def test_a_folder_is_evaluated_and_keeps_the_record(tmp_path):
    data, place = tmp_path / "data", tmp_path / "model"
    byte_model(128).save_pretrained(place)
    for name in ("piqa", "sciq"):
        put(data, name, [ROWS[name]] * 3)
    text = evaluate_zero_shot(place, "piqa", data=data)
    assert "piqa         acc " in text and "acc_norm" in text and "chance 50.00" in text and "majority 100.00" in text
    text = evaluate_zero_shot(place, "all", data=data, limit=2)
    assert "the right answer always stands last % of the first 2 questions, sciq_test.jsonl" in text
    assert "boolq        not scored: no boolq_validation.jsonl" in text
    evaluate_zero_shot(place, "sciq", data=data)
    record = ZeroShotResult.load(place / "zeroshot.json")
    # Of the same weights, scores of other tasks stay.
    assert {name: (one.n, one.limit) for name, one in record.tasks.items()} == {"piqa": (2, 2), "sciq": (3, None)}
    assert record.tasks["sciq"].majority is None and record.tokens == "byte" and record.scorer == "astromorphic"
    byte_model(64).save_pretrained(place)
    with pytest.raises(ModelError, match=r"boolq: .* is not in"):
        evaluate_zero_shot(place, "boolq", data=data)
    evaluate_zero_shot(place, "sciq", data=data)
    assert set(ZeroShotResult.load(place / "zeroshot.json").tasks) == {"sciq"}


def test_a_model_that_sees_the_future_is_not_scored(tmp_path):
    byte_model(128, causal=False).save_pretrained(tmp_path / "model")
    put(tmp_path, "piqa", [ROWS["piqa"]])
    with pytest.raises(ModelError, match="sees later tokens"):
        evaluate_zero_shot(tmp_path / "model", "piqa", data=tmp_path)
    assert not (tmp_path / "model" / "zeroshot.json").exists()


def test_the_command(tmp_path, capsys, monkeypatch):
    from astromorphic.cli import main

    monkeypatch.setenv("ASTROMORPHIC_DATA", str(tmp_path))
    byte_model(128).save_pretrained(tmp_path / "model")
    put(tmp_path, "copa", [ROWS["copa"]] * 2)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", str(tmp_path / "model"), *arguments])
        found = capsys.readouterr()
        return int(stop.value.code or 0), found.out, found.err

    status, out, _ = run("--zeroshot", "copa", "--limit", "1")
    assert status == 0 and "of the first 1 questions" in out
    assert json.loads((tmp_path / "model" / "zeroshot.json").read_text())["tasks"]["copa"]["n"] == 1
    for wrong, message in [
        (("--zeroshot", "kopa"), "did you mean 'copa'"),
        (("--zeroshot", "copa", "--leaks"), "leave out --leaks"),
        (("--zeroshot", "copa", "--split", "validation"), "leave out --leaks, --carried, --task, --split"),
        (("--zeroshot", "copa", "--reevaluate", "9"), "--stride and --reevaluate"),
        (("--limit", "3"), "name some with --zeroshot"),
    ]:
        status, _, err = run(*wrong)
        assert status == 2 and message in err and err.count("\n") == 1


COUNTS = {"piqa": 1838, "winogrande": 1267, "copa": 500, "hellaswag": 10042, "logiqa": 651}


@pytest.mark.parametrize("name", COUNTS)
def test_real_files_hold_the_known_numbers_of_questions(name):
    if not os.environ.get("ASTROMORPHIC_DATA") or find_file(name) is None:
        pytest.skip(f"ASTROMORPHIC_DATA has no {name}")
    loaded = load_questions(name)
    assert len(loaded.questions) == COUNTS[name]
    assert {len(one.choices) for one in loaded.questions} == {TASKS[name].answers}
    # Right answers stand about evenly; WinoGrande's and PIQA's are known to.
    assert majority(loaded.questions).value < (0.56 if TASKS[name].answers == 2 else 0.3)
