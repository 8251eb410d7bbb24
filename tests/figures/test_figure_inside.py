"""The figure of a look inside: for every kind of checkpoint what makes sense, of any tokens, else one error."""

import json

import numpy as np
import pytest
import torch

from figures import inside, make
from figures.inside import InsideError
from models import AstromorphicConfig, AstromorphicForCausalLM, ModelError
from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM
from models.astrosnn.inspection.prompt import read_prompt
from models.continuation import ByteCodec, WordCodec
from models.data.vocabulary import WordVocabulary

PROMPT, SUBJECT = "a cat sat", "cat"
SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def saved(path, **settings):
    torch.manual_seed(0)
    model = AstroSNNForCausalLM(AstroSNNConfig(**{**SIZE, **settings}))
    model.save_pretrained(path)
    return path


def look(path, **how):
    return inside.compute(quick=True, **{"model": path, "prompt": PROMPT, "subject": SUBJECT, **how})


def parts(data):
    return set(data.part)


def test_all_panels_of_a_spiking_model_and_that_they_show_the_data(tmp_path):
    data = look(saved(tmp_path))
    assert parts(data) == {"token", "map", "reach", "spike", "rate", "answer", "trace"}
    tokens = data[data.part == "token"]
    assert "".join(tokens.text) == "a␣cat␣sat" and tokens[tokens.value == 1.0].token.tolist() == [2, 3, 4]
    traces = data[data.part == "trace"].set_index(["series", "layer", "token"])
    answers = data[data.part == "answer"].set_index("series").value
    assert traces.value["hidden", 2, 8] == pytest.approx(answers.clean, abs=1e-12)
    assert traces.value["state", 1, 1] == pytest.approx(answers.corrupted, abs=1e-12)
    rates = data[data.part == "rate"].groupby("layer").value.mean()
    shown = data[data.part == "spike"].groupby("layer").value.mean()
    assert rates.tolist() == pytest.approx(shown.tolist())  # all 16 neurons are shown
    figure = inside.draw(data)
    with_, without = (figure.subfigs[0].axes[i].images[0].get_array() for i in (0, 2))
    one = data[(data.part == "map") & (data.layer == 1)].set_index(["series", "token", "source"]).value
    assert with_[5, 3] == pytest.approx(one["with", 5, 3]) and without[5, 3] == pytest.approx(one["without", 5, 3])
    assert np.ma.getmaskarray(with_)[3, 5] or np.isnan(with_[3, 5])
    below = figure.subfigs[2].axes[0].images[0].get_array()
    assert below.shape == (3, 9) and below[2, 8] == pytest.approx(answers.clean)
    assert "probability" in figure._suptitle.get_text()


def test_it_is_written_whole_and_is_of_its_seed(tmp_path):
    folder = saved(tmp_path / "m")
    how = {"quick": True, "model": folder, "prompt": PROMPT, "subject": SUBJECT}
    first, second = (make("inside", tmp_path / name, **how) for name in "ab")
    assert [path.name for path in first] == ["inside.png", "inside.svg", "inside.csv"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert not look(folder, seed=1).equals(look(folder))


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"mixer": "gru"}, {"map", "spike"}),
        ({"mixer": "lif"}, {"map"}),
        ({"mixer": "softmax"}, {"spike"}),
        ({"mixer": "retention"}, {"spike"}),
        ({"residual_mode": "pure"}, set()),
    ],
)
def test_what_a_model_has_not_is_said_in_its_place(settings, missing, tmp_path):
    data = look(saved(tmp_path, **settings))
    assert set(data[data.part == "absent"].series) == missing
    assert ("map" in parts(data)) == ("map" not in missing) and ("spike" in parts(data)) == ("spike" not in missing)
    assert set(data[data.part == "trace"].series) == {"hidden", "mixer", "state"}
    said = [t.get_text() for sub in inside.draw(data).subfigs for axes in sub.axes for t in axes.texts]
    assert len(said) == len(missing)


def test_heads_of_one_layer(tmp_path):
    data = look(saved(tmp_path), layer=2)
    maps = data[data.part == "map"]
    assert set(maps.layer) == {2} and set(maps["head"]) == {1, 2}
    inside.draw(data)
    with pytest.raises(ModelError, match="layer is 3; expected a whole number from 1 to 2"):
        look(tmp_path, layer=3)


def test_the_astromorphic_decoder_has_its_trace_alone(tmp_path):
    torch.manual_seed(0)
    config = AstromorphicConfig.from_preset("tuned", **SIZE, intermediate_size=32, max_position_embeddings=16)
    AstromorphicForCausalLM(config).save_pretrained(tmp_path)
    data = look(tmp_path)
    assert parts(data) == {"token", "absent", "answer", "trace"} and set(data[data.part == "trace"].series) == {
        "hidden"
    }
    inside.draw(data)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"prompt": ""}, ModelError, "the prompt is empty"),
        ({"prompt": "a", "subject": None}, ModelError, "'a' has 1 of the model's bytes"),
        ({"subject": "dog"}, ModelError, "subject 'dog' is not in the prompt"),
        ({"subject": ""}, ModelError, "subject '' is not in the prompt"),
        ({"prompt": "x" * 200, "subject": "x"}, InsideError, "has 200 bytes and the picture room for 128"),
        ({"prompt": None}, InsideError, "--model DIR"),
        ({"model": None}, InsideError, "--model DIR"),
        ({"layer": 0}, ModelError, "layer is 0"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_by_name(how, error, message, tmp_path):
    with pytest.raises(error, match=message):
        look(saved(tmp_path), **how)


# Tokens.


def test_words_are_the_subject_as_a_whole(tmp_path):
    codec = WordCodec(WordVocabulary.build(["the cat sat on mat"]))
    text = read_prompt(codec, "the cat sat on the mat", "at sa")
    assert text.labels == ("the", "cat", "sat", "on", "the", "mat") and text.subject == (1, 2)
    assert read_prompt(codec, "the cat sat on the mat", "the").subject == (0,)
    assert read_prompt(codec, "concatenate dogs sat", "cat").subject == (0,)  # unknown words are tokens, too


def test_bytes_of_a_character_are_all_of_the_subject():
    text = read_prompt(ByteCodec(), "über\nall", "ü")
    assert text.subject == (0, 1) and text.labels == ("c3", "bc", "b", "e", "r", "↵", "a", "l", "l")
    assert read_prompt(ByteCodec(), "aaaa", "aa").subject == (0, 1)
    assert read_prompt(ByteCodec(), "abc").subject == (0, 1)


def test_a_byte_pair_partly_in_the_subject_is_all_in_it():
    class Pairs:
        """Two letters a token, from the left; of an odd number the last is one alone."""

        unit, size, never = "tokens", 1000, ()

        def encode(self, text):
            return [int.from_bytes(text[i : i + 2].encode()) for i in range(0, len(text), 2)]

        def reader(self):
            return chr

    assert read_prompt(Pairs(), "aXbYcZdW", "YcZ").subject == (1, 2)


# The command.


def test_options_of_the_look_are_for_it_alone(tmp_path, capsys):
    from astromorphic.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["figures", "responses", "--out", str(tmp_path), "--prompt", "x"])
    assert stop.value.code == 2 and "--prompt is for the figure inside" in capsys.readouterr().err
    for arguments, message in (
        (["--prompt", "ab"], "--model DIR"),
        (["--model", str(tmp_path / "no"), "--prompt", "ab"], "does not exist"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["figures", "inside", "--out", str(tmp_path / "out"), *arguments])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_writes_the_figure(tmp_path, capsys):
    from astromorphic.cli import main

    folder = saved(tmp_path / "m")
    with pytest.raises(SystemExit) as stop:
        main(
            ["figures", "inside", "--quick", "--out", str(tmp_path / "out"), "--model", str(folder), "--prompt", PROMPT]
        )
    assert stop.value.code == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "out" / f"inside.{kind}") for kind in ("png", "svg", "csv")
    ]
    assert json.loads((folder / "config.json").read_text())["model_type"] == "astrosnn"
