"""WikiText-103: words and bytes of the file as it is, whatever the tokens; and the state carried through a whole text."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from models.causality import causality_verdict
from models.data.detokenise import detokenised
from models.data.loading import load
from models.data.plain_text import wikitext_words
from models.data.subwords import NeoXTokenizer
from models.errors import ModelError
from models.evaluation import position_limit, score_carried
from models.language import EncodedText, evaluate_lm
from models.tasks import load_task


def test_detokenised_text_is_as_people_write_it():
    line = ' A starring @-@ role , in " The Bill " ( 2000 ) : 1 @,@ 200 or 2 @.@ 5 ° C ; he \'s " Craig " . \n'
    assert detokenised(line) == 'A starring-role, in "The Bill" (2000): 1,200 or 2.5°C; he\'s "Craig".\n'
    assert detokenised(" = = Career = = \n \n") == "== Career ==\n\n"
    # A mark that is not closed does not reach into the next line.
    assert detokenised(' " open \n " shut " \n') == '" open\n"shut"\n'


def corpus(folder: Path) -> Path:
    place = folder / "wikitext103"
    place.mkdir(parents=True)
    for part in ("valid", "test"):
        (place / f"wiki.{part}.tokens").write_text(" \n = Title = \n A starring @-@ role , once . \n \n")
    return folder


def test_a_text_is_encoded_once_detokenised_or_not(tmp_path, monkeypatch):
    read = []
    kept = EncodedText.of_bytes
    monkeypatch.setattr(EncodedText, "of_bytes", lambda text: read.append(len(text)) or kept(text))
    for detokenise in (True, False):
        read.clear()
        load_task(
            "wikitext103", corpus(tmp_path / str(detokenise)), train="absent", tokens="bytes", detokenise=detokenise
        )
        assert len(read) == 3


def test_words_and_bytes_are_those_of_the_file(tmp_path):
    data = corpus(tmp_path)
    with pytest.raises(ModelError, match=r"wiki.train.tokens is not in .*--task wikitext103"):
        load("wikitext103", folder=data)
    raw = load("wikitext103", folder=data, train="absent").test
    for tokens, detokenise in (("bytes", None), ("bytes", True), ("bytes", False)):
        task = load_task("wikitext103", data, train="absent", tokens=tokens, detokenise=detokenise)
        assert task.test.n_bytes == len(raw) and task.test.n_words == len(wikitext_words(raw)) == 14
        expected = detokenised(raw.decode()).encode() if detokenise else raw
        assert bytes(task.test.ids) == expected and task.options["detokenise"] is bool(detokenise)
    with pytest.raises(ModelError, match="was loaded without its training part"):
        from models.astromorphic import AstromorphicConfig

        task.check(AstromorphicConfig())
    with pytest.raises(ModelError, match="detokenise is True and tokens 'words'"):
        load_task("wikitext103", data, train="absent", tokens="words", detokenise=True)
    # Bytes, where the tokenizer is not there; what was taken is on record.
    task = load_task("wikitext103", data, train="absent", tokens="neox_if_there")
    assert task.options["tokens"] == "bytes" and task.tokenizer == "bytes"
    with pytest.raises(ModelError, match="astromorphic data fetch neox"):
        load_task("wikitext103", data, train="absent", tokens="neox")


@pytest.fixture
def real() -> Path:
    folder = os.environ.get("ASTROMORPHIC_DATA")
    if not folder or not (Path(folder) / "wikitext103").is_dir():
        pytest.skip("ASTROMORPHIC_DATA is not set, or has no wikitext103")
    return Path(folder)


def test_the_real_test_part_has_the_published_counts(real):
    splits = load("wikitext103", train="absent")
    assert len(splits.test) == 1_281_077 and len(splits.validation) == 1_142_309
    assert len(wikitext_words(splits.test)) == 245_569 and len(wikitext_words(splits.validation)) == 217_646
    task = load_task("wikitext103", train="absent", tokens="neox")
    assert task.test.n_words == 245_569 and task.test.n_bytes == 1_281_077 and "detokenised" in task.test.tokenizer
    # 286,228 without detokenising.
    assert len(task.test) == 275_426


def test_the_neox_tokenizer_is_checked(real, tmp_path):
    tokenizer = NeoXTokenizer.find()
    assert tokenizer.encode("Hello world, astrocytes!").tolist() == [12092, 1533, 13, 35622, 2]
    assert tokenizer.vocab_size == 50_277 and tokenizer.decode([0]) == "<|endoftext|>"
    for text in ("näıve 3 µM → 𝔸 😀\n  two", "    four blanks"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    # NFC: the characters come back, the bytes do not.
    assert tokenizer.decode(tokenizer.encode("e\u0301")) == "\u00e9"
    (tmp_path / "20B_tokenizer.json").write_text('{"a": 1}')
    with pytest.raises(ModelError, match="is no tokenizer"):
        NeoXTokenizer.find(tmp_path)


def test_a_model_of_bytes_is_scored_on_another_task(tmp_path, monkeypatch):
    """A run of one text, `--task wikitext103`: its own tokens, words and bytes of that file."""
    from models import train
    from models.astromorphic import AstromorphicConfig
    from models.recipes import Recipe
    from models.scoring import score_run

    (tmp_path / "own.txt").write_text("some text to learn\n" * 60)
    size = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16}
    config = AstromorphicConfig.from_preset("tuned", max_position_embeddings=16, **size)
    recipe = Recipe("r", steps=2, batch_size=2, learning_rate=1e-2, warmup_steps=0, evaluate_every=2, save_every=2)
    train(config, load_task(str(tmp_path / "own.txt")), recipe, tmp_path / "run", 0)
    text = score_run(tmp_path / "run", data=corpus(tmp_path / "data"), task="wikitext103", reevaluate=0)
    assert "data         wikitext103, test; other data" in text and ", 14 words, " in text and "per word" in text
    with pytest.raises(ModelError, match="imdb is text_classification; name a task of its kind"):
        score_run(tmp_path / "run", task="imdb")


@pytest.mark.parametrize("preset", ["tuned", "softmax"])
def test_the_carried_state_sees_all_the_past(tiny, randomise, preset):
    """Pieces of any length, the last one ragged: the nats of one pass over the whole text."""
    model = randomise(tiny(preset=preset, max_position_embeddings=96)).double()
    ids = torch.randint(0, 31, (90,), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        p = model(input_ids=ids[None]).logits[0].log_softmax(-1)
    expected = math.log(31) - float(p[:-1].gather(1, ids[1:, None]).sum())
    for piece in (1, 7, 89, 500):
        assert score_carried(model, ids, piece=piece) == pytest.approx(expected, rel=1e-9)
    text = EncodedText(np.asarray(ids), 90, 9, "made up")
    score = evaluate_lm(model, text, carried=True, context=13, reevaluate=20)
    assert score.nats == pytest.approx(expected, rel=1e-9)
    assert score.policy.carried_state and (score.policy.context, score.policy.stride) == (90, 13)
    assert "all tokens before each, in pieces of 13" in score.summary()


def test_a_state_is_not_carried_where_there_is_no_room_or_no_state(tiny):
    model = tiny(max_position_embeddings=16)
    ids = torch.arange(20)
    with pytest.raises(ModelError, match="the text has 20 tokens and the model 16 positions"):
        score_carried(model, ids)
    assert position_limit(model) == 16
    model.unlimited_positions = True
    assert position_limit(model) is None
    with pytest.raises(ModelError, match="hands no state on"):
        score_carried(tiny(causal=False), ids)
    with pytest.raises(ModelError, match="stride is 2 and carried True"):
        evaluate_lm(tiny(), EncodedText(np.arange(20), 20, 2, "x"), carried=True, stride=2)


def test_the_record_names_the_piece_that_was_read(monkeypatch):
    from models.astrosnn import AstroSNNConfig, AstroSNNForCausalLM

    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 8}
    model = AstroSNNForCausalLM(AstroSNNConfig(vocab_size=17, **size)).eval()
    # Room for the logits of 8 tokens.
    monkeypatch.setattr("models.evaluation.LARGEST", 8 * 17 + 1)
    verdict, read = causality_verdict(model), []
    model.model.register_forward_pre_hook(
        lambda module, args, kwargs: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    text = EncodedText(np.arange(17), None, None, "made up")
    score = evaluate_lm(model, text, carried=True, context=100, reevaluate=0, verdict=verdict)
    assert read == [8, 8] and score.policy.stride == 8 and "in pieces of 8 with" in score.summary()
