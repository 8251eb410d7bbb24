"""`astromorphic train` and `evaluate` on a user's files: one line of result, all units, one line for each fault."""

from __future__ import annotations

import json

import pytest

from astromorphic.cli import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.fixture
def films(tmp_path):
    file = tmp_path / "films.csv"
    rows = [f"{'good' if i % 2 else 'bad'} film number {i},{'pos' if i % 2 else 'neg'}" for i in range(80)]
    file.write_text("text,label\n" + "\n".join(rows) + "\n")
    return file


def test_a_table_is_learnt_and_scored_again(films, tmp_path, capsys):
    out = tmp_path / "run"
    settings = ["--set", "hidden_size=16", "--set", "epochs=3", "--set", "learning_rate=0.01", "--set", "test=0.2"]
    command = ["train", str(films), "--model", "katharopoulos", "--preset", "smoke", *settings, "--out", str(out)]
    assert call(*command) == 0
    line = capsys.readouterr().out.strip()
    assert line.count("\n") == 0 and line.startswith(f"{out}: test accuracy 100.00 % of 16, validation 100.00 % of 6;")
    assert "weights picked by validation accuracy, epoch" in line
    record = json.loads((out / "run.json").read_text())
    assert record["arm"] == "katharopoulos" and record["config"]["mixer"] == "linear"
    assert record["data"]["options"]["test"] == 0.2 and record["recipe"]["learning_rate"] == 0.01
    assert call("evaluate", str(out)) == 0
    scored = capsys.readouterr().out
    assert "accuracy     100.00 % of 16" in scored and "record       100.00 % when it was trained" in scored


def test_a_bag_of_words_is_trained_and_scored_by_the_same_commands(films, tmp_path, capsys):
    out = tmp_path / "bag"
    command = (
        "train",
        str(films),
        "--model",
        "bag_of_words",
        "--set",
        "ngrams=2",
        "--set",
        "test=0.2",
        "--out",
        str(out),
    )
    assert call(*command) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith(
        f"{out}: test accuracy 100.00 % of 16, validation 100.00 % of 6; weights picked by validation"
    )
    assert "penalty 0.001, the outermost that was tried" in line
    before = (out / "run.json").read_bytes()
    assert json.loads(before)["arm"] == "bag_of_words_bigrams"
    assert call(*command) == 0 and (out / "run.json").read_bytes() == before
    capsys.readouterr()
    assert call("evaluate", str(out)) == 0
    scored = capsys.readouterr().out
    assert "bag_of_words_bigrams, penalty 0.001" in scored and "accuracy     100.00 % of 16" in scored
    assert "record       100.00 % when it was trained" in scored
    # The networks of this task have the same splits.
    network = tmp_path / "network"
    sizes = ("--set", "hidden_size=16", "--set", "epochs=1", "--set", "test=0.2")
    assert call("train", str(films), "--preset", "smoke", *sizes, "--out", str(network)) == 0
    assert json.loads((network / "run.json").read_text())["data_digest"] == json.loads(before)["data_digest"]
    other = tmp_path / "other.csv"
    other.write_text(films.read_text().replace(",pos", ",fine"))
    capsys.readouterr()
    assert call("evaluate", str(out), "--data", str(other)) == 2
    fault = capsys.readouterr().err
    assert (
        "trained on the classes neg, pos: " in fault
        and "label 'fine' is out of range; expected one of neg, pos" in fault
    )
    for more, words in (
        (("--context", "4"), "are for language models"),
        (("--leaks",), "a classifier reads whole examples"),
    ):
        assert call("evaluate", str(out), *more) == 2
        assert words in (fault := capsys.readouterr().err) and fault.count("\n") == 1
    assert call("generate", str(out), "--prompt", "good") == 2
    assert "holds no config.json; name the folder of a saved model" in capsys.readouterr().err


def test_a_model_that_sees_the_future_is_not_given_a_perplexity(tmp_path, capsys):
    file = tmp_path / "my.txt"
    file.write_bytes(bytes(range(97, 123)) * 60)
    out = tmp_path / "run"
    settings = [
        "--set",
        "causal=false",
        "--set",
        "max_position_embeddings=16",
        "--set",
        "steps=2",
        "--set",
        "evaluate_every=2",
    ]
    assert call("train", str(file), "--preset", "smoke", *settings, "--out", str(out)) == 0
    assert "not a language model" in (line := capsys.readouterr().out) and "per byte" not in line
    assert call("evaluate", str(out), "--split", "validation", "--reevaluate", "30") == 0
    text = capsys.readouterr().out
    assert "not a language model" in text and "perplexity" not in text and "causality    leaks" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "imdb", "--data", "nowhere", "--out", "r"), ("imdb", "astromorphic data fetch imdb")),
        (("train", "cifar10", "--data", "nowhere", "--out", "r"), ("cifar10", "astromorphic data fetch cifar10")),
        (("train", "imdb", "--model", "astromorfic", "--out", "r"), ("'astromorfic'", "did you mean 'astromorphic'")),
        (("train", "imdb", "--model", "bag_of_word", "--out", "r"), ("'bag_of_word'", "did you mean 'bag_of_words'")),
        (
            ("train", "imdb", "--model", "bag_of_words", "--seed", "3", "--out", "r"),
            ("--seed 3", "one minimum", "split_seed"),
        ),
        (("train", "imdb", "--model", "bag_of_words", "--macro", "m.json", "--out", "r"), ("--macro", "leave it out")),
        (("train", "imdb", "--model", "bag_of_words", "--set", "ngram=2", "--out", "r"), ("'ngram'", "'ngrams'")),
        (("train", "enwik8", "--model", "bag_of_words", "--out", "r"), ("'enwik8' is language", "texts with labels")),
        (("train", "hf:a b", "--out", "r"), ("'hf:a b' is no name of the hub", "hf:OWNER/NAME")),
        (("train", "hf:imdb", "--data", "d", "--out", "r"), ("give the data set once",)),
        (("train", "hub_table", "--out", "r"), ("give the file or hf:NAME",)),
        (("train", "imdb", "--preset", "papr", "--out", "r"), ("'papr'", "did you mean 'paper'")),
        (
            ("train", "shakespeare", "--set", "lerning_rate=1", "--out", "r"),
            ("lerning_rate", "did you mean 'learning_rate'"),
        ),
        (("train", "shakespeare", "--set", "learning_rate=-1", "--out", "r"), ("learning_rate is -1", "above 0")),
        (("train", "shakespeare", "--set", "select=accuracy", "--out", "r"), ("select is 'accuracy'", "classifiers")),
        (("train", "my.csv", "--out", "r"), ("'my.csv'", "no such file")),
        (("train", "text_file", "--out", "r"), ("'text_file'", "give the file")),
        (("evaluate", "nowhere"), ("nowhere", "run.json")),
        (("evaluate", "nowhere", "--split", "train"), ("'train'", "validation")),
    ],
)
def test_faults_are_one_line(arguments, words, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    captured = capfd.readouterr()
    assert captured.err.count("\n") == 1 and captured.out == "", captured.err
    for word in words:
        assert word in captured.err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_text_is_named_with_its_place(tmp_path, capfd):
    file = tmp_path / "films.csv"
    file.write_text("text,label\ngood,1\n,0\n")
    assert call("train", str(file), "--out", str(tmp_path / "run")) == 2
    assert "films.csv" in (line := capfd.readouterr().err) and "3" in line and not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    """A model of words, trained for a moment on a file of the user's."""
    folder = tmp_path_factory.mktemp("waves")
    file = folder / "my.txt"
    file.write_text("the wave runs\nan astrocyte waits\n" * 60)
    sizes = ("tokens=words", "hidden_size=16", "hidden_dim=4", "intermediate_size=16", "max_position_embeddings=12", "steps=2",
             "evaluate_every=2")  # fmt: skip
    settings = [part for size in sizes for part in ("--set", size)]
    assert call("train", str(file), "--preset", "smoke", *settings, "--out", str(folder / "run")) == 0
    return folder / "run"


def test_words_are_generated_whole_in_a_pipe_and_piece_by_piece_on_a_terminal(waves, capsys, monkeypatch):
    command = ("generate", str(waves), "--prompt", "the wave", "--length", "6", "--seed", "3")
    capsys.readouterr()
    assert call(*command) == 0
    plain = capsys.readouterr()
    words = plain.out.replace("\n", " \n ").split(" ")
    assert plain.out.startswith("the wave") and plain.err == ""
    vocabulary = json.loads((waves / "vocabulary.json").read_text())["words"]
    assert set(words) - {"", "\n"} <= set(vocabulary) - {"<pad>"}
    pieces: list[str] = []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    write = __import__("sys").stdout.write
    monkeypatch.setattr("sys.stdout.write", lambda text: pieces.append(text) or write(text))
    assert call(*command) == 0
    # The prompt, then a piece for each of the six words (or line ends), then the end of the line.
    assert "".join(pieces) == plain.out and pieces[0] == "the wave"
    assert len([p for p in pieces if p]) == 1 + 6 + 1


def test_generate_counts_in_words_and_names_those_it_does_not_know(waves, capsys):
    capsys.readouterr()
    assert call("generate", str(waves), "--prompt", "the brain wave", "--length", "2") == 0
    captured = capsys.readouterr()
    assert (
        captured.out.startswith("the <unk> wave") and captured.err == "the model does not know brain; read as <unk>\n"
    )
    assert call("generate", str(waves), "--prompt", "the wave", "--length", "11") == 2
    assert "--length 11 with a prompt of 2 words" in (line := capsys.readouterr().err) and "at most 10 words" in line
    assert call("generate", str(waves), "--prompt", " ") == 2
    assert "holds none of the model's words" in capsys.readouterr().err


def test_the_leak_tests_of_a_run_have_a_line_each_with_their_threshold(waves, capsys):
    capsys.readouterr()
    assert call("evaluate", str(waves), "--leaks", "--reevaluate", "30") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run          my.txt, astromorphic, seed 0") and lines[1] == "text         my.txt, test"
    assert [line[0] for line in lines[2:9]] == list("1234567") and all(" passed " in line for line in lines[2:9])
    for line, limit in zip(
        lines[2:9], ("1e-06", "exactly 0", "at most", "1e-04", "ln 9", "chance", "none"), strict=True
    ):
        assert limit in line, line
    assert lines[9:] == ["verdict      causal: all seven passed"]
    assert call("evaluate", str(waves), "--leaks", "--context", "4") == 2
    assert "leave them out" in capsys.readouterr().err


def test_classifiers_make_no_text_and_have_no_future(films, tmp_path, capfd):
    out = str(tmp_path / "run")
    settings = ["--set", "hidden_size=16", "--set", "epochs=1", "--set", "test=0.2"]
    assert call("train", str(films), "--preset", "smoke", *settings, "--out", out) == 0
    capfd.readouterr()
    for command, words in (
        (("generate", out, "--prompt", "good"), "holds a classifier (text_classification), which makes no text"),
        (("evaluate", out, "--leaks"), "is a run of text_classification: a classifier reads whole examples"),
    ):
        assert call(*command) == 2
        captured = capfd.readouterr()
        assert words in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_macro_preset_is_named_like_a_file(tmp_path, capsys):
    import bridge

    few = [f"--set={name}={n}" for name, n in {"train": 8, "validation": 4, "test": 4, "steps": 2}.items()]
    command = ["train", "listops", "--model", "rmaat", "--preset", "smoke", *few]
    assert call(*command, "--macro", "preset:simulated", "--out", str(tmp_path / "run")) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["macro_digest"] == bridge.preset("simulated").digest and config["retention"] == "simulated"
    capsys.readouterr()
    for wrong, message in (
        ("preset:nothing", "unknown macro preset 'nothing'"),
        (str(tmp_path / "no.json"), "no such file"),
    ):
        assert call(*command, "--macro", wrong, "--out", str(tmp_path / "other")) == 2
        errors = capsys.readouterr().err
        assert message in errors and errors.count("\n") == 1
    assert not (tmp_path / "other").exists()
