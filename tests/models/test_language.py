"""One total of nats in three units, the same tokens again from their prefixes, and no perplexity for what sees the future."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.data.plain_text import count_words, wikitext_words
from models.data.vocabulary import WordVocabulary
from models.errors import ModelError
from models.evaluation import bits_per_byte, score_tokens
from models.language import EncodedText, autoregressive_reevaluation, evaluate_lm
from models.ngram import KneserNey
from models.tasks.language import LanguageTask
from models.tasks.tokens import WordTokens, make_tokens, whole_characters

TEXT = b"the cat sat on the mat\nthe dog sat on the log\n" * 6


def encoded(top: int = 31, n: int = 300) -> EncodedText:
    """Three bytes and half a word to a token, so that no two units are the same number."""
    return EncodedText(np.random.default_rng(0).integers(0, top, n), 3 * n, n // 2, "made up")


def test_units_of_a_uniform_model(tiny):
    model = tiny()
    with torch.no_grad():
        model.model.embed.weight.zero_()
    score = evaluate_lm(model, encoded(), reevaluate=50)
    assert score.nats == pytest.approx(300 * math.log(31), rel=1e-12)
    assert score.perplexity_per_token == pytest.approx(31, rel=1e-12)
    assert score.perplexity_per_word == pytest.approx(31**2, rel=1e-12)
    assert score.bits_per_byte == pytest.approx(math.log2(31) / 3, rel=1e-12)
    record = score.record()
    assert (record.n, record.words, record.bytes) == (300, 150, 900)
    assert record.bits_per_byte == score.bits_per_byte and record.loss == pytest.approx(math.log(31))


def test_bytes_are_scored_as_bits_per_byte_does(tiny, randomise):
    model = randomise(tiny())
    data = np.random.default_rng(0).integers(0, 31, 200, dtype=np.uint8)
    score = evaluate_lm(model, EncodedText.of_bytes(data.tobytes()), reevaluate=0)
    assert score.nats == bits_per_byte(model, data).nats and score.reevaluation is None


def test_words_and_line_ends_are_counted():
    assert count_words(b" = Title = \n\n a b\n") == 3 + 2 + 3
    text = WordTokens.of(TEXT).encode_text(TEXT)
    assert text.n_words == len(text.ids) == count_words(TEXT) == 84 and text.n_bytes == len(TEXT)


@pytest.mark.parametrize("text", ["a\u00a0b c\u2003d\ne", "one\x85two\x1cthree\n\n", "", "\n", "no end"])
def test_bytes_and_words_of_one_text_have_as_many_words(text):
    """Blanks of Unicode and an unfinished last line: a perplexity per word is of the same words whatever the tokens."""
    raw = text.encode()
    assert EncodedText.of_bytes(raw).n_words == count_words(raw) == len(wikitext_words(raw))
    assert count_words(b"\xff cut \xe2\x82") == 4


@pytest.mark.parametrize("preset", ["tuned", "softmax", "paper_alg1"])
def test_prefix_by_prefix_equals_one_pass_for_decoders(tiny, randomise, preset):
    model = randomise(tiny(preset=preset))
    again = autoregressive_reevaluation(model, encoded(n=200).tensor(), 90)
    assert again.tokens == 94 and again.difference < 1e-5  # two windows of 48, their first tokens given
    ids = encoded(n=200).tensor()
    by_hand = 0.0
    with torch.no_grad():
        for start in (0, 48):
            for t in range(1, 48):
                logits = model(ids[None, start : start + t]).logits[0, -1].double()
                by_hand -= float(logits.log_softmax(-1)[ids[start + t]])
    assert again.prefix_nats == pytest.approx(by_hand, rel=1e-6)
    assert again.step_nats == pytest.approx(by_hand, rel=1e-5)


def test_a_model_that_sees_the_future_gets_no_perplexity(tiny, randomise):
    score = evaluate_lm(randomise(tiny(causal=False)), encoded(), reevaluate=60)
    assert not score.causal and score.reevaluation.difference > 1e-3
    for name in ("perplexity_per_token", "perplexity_per_word", "bits_per_byte"):
        with pytest.raises(ModelError, match="not a language model: its logits depend on later tokens"):
            getattr(score, name)
    text = score.summary()
    assert "not a language model" in text and "perplexity" not in text and "per byte" not in text and "leaks" in text
    record = score.record()
    assert record.perplexity_per_token is None and record.bits_per_byte is None and record.loss > 0


def test_the_summary_states_context_stride_and_verdict(tiny, randomise):
    text = evaluate_lm(randomise(tiny()), encoded(), context=20, stride=5, reevaluate=30).summary()
    assert "context      20 tokens, stride 5; the first token is charged log(vocabulary)" in text
    assert (
        "perplexity" in text and "per byte" in text and "causality    causal" in text and "300 tokens (made up)" in text
    )


def test_n_grams_stand_under_the_same_evaluator():
    tokens = WordTokens.of(TEXT)
    text = tokens.encode_text(TEXT)
    model = KneserNey(text.ids, len(tokens), 3)
    score = evaluate_lm(model, text, reevaluate=40)
    by_hand = math.log(len(tokens)) - sum(
        math.log(model.probabilities(text.ids[:t])[text.ids[t]]) for t in range(1, len(text))
    )
    assert score.nats == pytest.approx(by_hand, rel=1e-12) and score.causal
    assert score.reevaluation.difference < 1e-12
    unigram = evaluate_lm(KneserNey(text.ids, len(tokens), 1), text)
    assert score.perplexity_per_token < 3 < unigram.perplexity_per_token < len(tokens)


def test_words_that_lose_their_spelling_have_no_bits_per_byte():
    tokens = WordTokens.of(TEXT, 6)
    assert len(tokens) == 6
    text = tokens.encode_text(b"the zebra sat\n")
    assert text.unknown == 1 and len(text) == 4
    score = evaluate_lm(KneserNey(tokens.encode_text(TEXT).ids, 6, 2), text, reevaluate=0)
    with pytest.raises(ModelError, match="1 of 4 tokens stand for words outside the vocabulary"):
        _ = score.bits_per_byte
    assert score.record().bits_per_byte is None and score.record().perplexity_per_word > 1
    assert "none per byte" in score.summary()
    # In WikiText <unk> is a word like others.
    assert tokens.encode_text(b"the <unk> sat\n").unknown == 0


def test_the_beginning_of_a_text_has_lost_what_is_lost_in_it():
    tokens = WordTokens.of(TEXT, 6)
    part = tokens.encode_text(b"the cat sat the\n" * 10 + b"zebra gnu the yak\n" * 5)
    task = LanguageTask("t", part, part, part, digest="d", source="s", tokenizer=tokens)
    assert (part.unknown, len(part)) == (int((part.ids == 1).sum()), 75)
    found = [task.beginning(part, n).unknown for n in (5, 51, 53, 54, 75)]
    assert found == [int((part.ids[:n] == 1).sum()) for n in (5, 51, 53, 54, 75)] and found[-1] == part.unknown
    # Where the text has <unk> of its own which are lost cannot be told: as many of its own share, never none.
    mixed = tokens.encode_text(b"the <unk> the <unk> zebra\n")
    assert mixed.unknown == 1 and [task.beginning(mixed, n).unknown for n in (1, 2, 4, 6)] == [0, 1, 1, 1]


def test_tokens_are_saved_and_read_again(tmp_path):
    tokens = make_tokens("words", TEXT, None)
    tokens.save(tmp_path)
    again = make_tokens("words", b"another text", None, saved=tmp_path)
    assert again.vocabulary == tokens.vocabulary == WordVocabulary.load(tmp_path / "vocabulary.json")
    assert make_tokens("bytes", TEXT, None) is None
    with pytest.raises(ModelError, match="tokens is 'letters'; expected one of bytes, words, gpt2"):
        make_tokens("letters", TEXT, None)
    with pytest.raises(ModelError, match="vocabulary is 100 and tokens 'bytes'"):
        make_tokens("bytes", TEXT, 100)


def test_characters_are_made_whole():
    raw = "aä€😀".encode()
    assert whole_characters(raw[2:-1], "x") == "€".encode()
    assert whole_characters(raw, "x") == raw
    with pytest.raises(ModelError, match="x is not UTF-8"):
        whole_characters(b"abc\xff\xfe\xfdabcdefg", "x")


@pytest.mark.parametrize(
    ("ids", "message"),
    [([3, 31], "holds the token 31 but vocab_size is 31"), ([-1, 3], "holds the token -1"), ([], "at least one token")],
)
def test_tokens_that_do_not_fit_are_named(tiny, ids, message):
    with pytest.raises(ModelError, match=message):
        score_tokens(tiny(), torch.tensor(ids, dtype=torch.int64))
