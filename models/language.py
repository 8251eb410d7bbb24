"""`evaluate_lm`: one text, one total of nats, three units, and whether the number may be called a perplexity at all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from .causality import causality_verdict, without_rounding
from .data.plain_text import count_words
from .errors import ModelError
from .evaluation import carried_piece, check_tokens, score_carried, score_tokens, summed_nats
from .ngram import KneserNey
from .result import CausalityVerdict, EvaluationPolicy, SplitScore

_NUMBERS = "these tokens are not known, only their numbers; name what made them with tokens=gpt2, neox or bytes"
NOT_A_LANGUAGE_MODEL = "not a language model"


@dataclass(frozen=True)
class EncodedText:
    """A text as token numbers ``[tokens]`` (uint8 for bytes), and its size in the other units.

    n_bytes : bytes of the text in UTF-8. n_words : words between white space (Unicode's), and one more for each line, as scores
    of WikiText by the word count them (`models.data.plain_text.count_words`); both None where only numbers are known.
    unknown : tokens that stand for a word outside the vocabulary; with any, the text cannot be got back from its tokens, and
    there are no bits per byte.
    """

    ids: NDArray[Any]
    n_bytes: int | None
    n_words: int | None
    tokenizer: str
    unknown: int = 0

    @classmethod
    def of_bytes(cls, text: bytes) -> EncodedText:
        """A text whose tokens are its bytes."""
        return cls(np.frombuffer(text, dtype=np.uint8), len(text), count_words(text), "bytes")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tokens_per_byte(self) -> float | None:
        """1 for bytes; None where the text is not known."""
        return None if self.n_bytes is None else len(self.ids) / self.n_bytes

    def tensor(self) -> Tensor:
        """int64 ``[tokens]``."""
        return torch.from_numpy(np.asarray(self.ids).astype(np.int64))


@dataclass(frozen=True)
class Reevaluation:
    """The same tokens scored twice: in one pass over each window, and each token from its prefix alone.

    nats : total over `tokens` tokens, of one pass (teacher), prefix by prefix, and step by step with the carried state
    (None for a model without a state).
    """

    tokens: int
    teacher_nats: float
    prefix_nats: float
    step_nats: float | None

    @property
    def difference(self) -> float:
        """The larger of |prefix - teacher| and |step - teacher|, nats per token; rounding error for a causal model."""
        others = [self.prefix_nats] + ([] if self.step_nats is None else [self.step_nats])
        return max(abs(nats - self.teacher_nats) for nats in others) / self.tokens


@dataclass(frozen=True)
class LanguageScore:
    """Total nats of a text under a model and what they may be called.

    Perplexities and bits per byte raise ModelError for a model that sees the future; `nats` and `nats_per_token`, which
    are then no probabilities of a text, do not.
    """

    nats: float
    text: EncodedText
    policy: EvaluationPolicy
    causal: bool
    verdict: CausalityVerdict | None
    reevaluation: Reevaluation | None

    @property
    def nats_per_token(self) -> float:
        """Total nats / tokens."""
        return self.nats / len(self.text)

    @property
    def perplexity_per_token(self) -> float:
        """exp(nats / tokens)."""
        return _exp(self._as_language_model() / len(self.text))

    @property
    def perplexity_per_word(self) -> float:
        """exp(nats / words), a line end being a word; ModelError where words are not known."""
        nats = self._as_language_model()
        if self.text.n_words is None:
            raise ModelError(f"the words of {_NUMBERS}")
        return _exp(nats / max(self.text.n_words, 1))

    @property
    def bits_per_byte(self) -> float:
        """nats / (ln 2 * bytes); ModelError also where words outside the vocabulary have lost their spelling."""
        nats = self._as_language_model()
        if self.text.unknown:
            raise ModelError(
                f"{self.text.unknown:,} of {len(self.text):,} tokens stand for words outside the vocabulary, so the text "
                "cannot be got back and has no bits per byte; use bytes or byte pairs"
            )
        if self.text.n_bytes is None:
            raise ModelError(f"the bytes of {_NUMBERS}")
        return nats / (math.log(2.0) * self.text.n_bytes)

    def _bits_in_words(self) -> str:
        if self.text.unknown:
            return f"none per byte: {self.text.unknown:,} tokens stand for words outside the vocabulary"
        if self.text.n_bytes is None:
            return "none per byte: only the numbers of the tokens are known"
        return f"{self.bits_per_byte:.4f} per byte"

    def _as_language_model(self) -> float:
        if not self.causal:
            raise ModelError(
                f"this model is {NOT_A_LANGUAGE_MODEL}: its logits depend on later tokens, so what it scores "
                f"({self.nats_per_token:.4f} nats per token, one pass) is no perplexity and no bits per byte"
            )
        return self.nats

    def record(self) -> SplitScore:
        """What a run record keeps."""
        units: dict[str, float] = {}
        if self.causal:
            units = {"perplexity_per_token": self.perplexity_per_token}
            if self.text.n_words is not None:
                units["perplexity_per_word"] = self.perplexity_per_word
            if self.text.n_bytes is not None and not self.text.unknown:
                units["bits_per_byte"] = self.bits_per_byte
            # A total beyond any text would not be a number in JSON.
            units = {name: value for name, value in units.items() if math.isfinite(value)}
        return SplitScore(
            n=len(self.text),
            loss=self.nats_per_token,
            nats=self.nats,
            words=self.text.n_words,
            bytes=self.text.n_bytes,
            **units,
        )

    def summary(self) -> str:
        """All units in words, a line each; for a model that sees the future one number, under its own heading."""
        text = self.text
        known = (
            "" if text.n_words is None or text.n_bytes is None else f", {text.n_words:,} words, {text.n_bytes:,} bytes"
        )
        lines = [
            f"scored       {len(text):,} tokens ({text.tokenizer}){known}; each once",
            (
                f"context      all tokens before each, in pieces of {self.policy.stride} with the state carried; the first token "
                "is charged log(vocabulary)"
                if self.policy.carried_state
                else f"context      {self.policy.context} tokens, stride {self.policy.stride}; the first token is charged "
                "log(vocabulary)"
            ),
        ]
        if self.causal:
            lines += [
                f"nats         {self.nats:,.2f} in all, {self.nats_per_token:.4f} per token",
                f"perplexity   {self.perplexity_per_token:.3f} per token"
                + ("" if text.n_words is None else f", {self.perplexity_per_word:.3f} per word"),
                f"bits         {self._bits_in_words()}",
            ]
        else:
            lines.append(
                f"{NOT_A_LANGUAGE_MODEL}: {self.nats_per_token:.4f} nats per token in one pass that sees the future"
            )
        if self.reevaluation is not None:
            again = self.reevaluation
            lines.append(
                f"again        {again.tokens:,} tokens, each from its prefix alone: {again.prefix_nats / again.tokens:.4f} nats "
                f"per token against {again.teacher_nats / again.tokens:.4f} in one pass; difference {again.difference:.1e}"
            )
        if self.verdict is not None:
            lines.append(
                f"causality    {self.verdict.verdict}: logits change by at most {self.verdict.max_logit_change:.1e} with later "
                f"tokens, gradient {self.verdict.max_future_gradient:.1e}, NaN {'leaks' if self.verdict.nan_leak else 'stays'}, "
                f"pass against steps {self.verdict.chunked_vs_step:.1e}"
            )
        return "\n".join(lines)


def _exp(x: float) -> float:
    return math.exp(x) if x < 700.0 else math.inf


def evaluate_lm(
    model: PreTrainedModel | KneserNey,
    text: EncodedText,
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_size: int = 32,
    reevaluate: int = 2000,
    verdict: CausalityVerdict | None = None,
    carried: bool = False,
) -> LanguageScore:
    """Score a text: total nats, perplexity per token and per word, bits per byte, re-evaluation, verdict of causality.

    context, stride : see `models.evaluation.bits_per_byte`; every token is scored once, the first charged
    log(vocabulary). reevaluate : tokens from the start of the text that are scored again, each from its prefix alone. verdict :
    of `causality_verdict` on this model, made here if not given. An n-gram model reads the tokens before one and no
    others; its re-evaluation shows it. carried : instead of windows, the state goes through the whole text in pieces of
    `context` tokens (default 1,024), so that every token has all its past, see `models.evaluation.score_carried`.

    Raises ModelError for a text, context or stride that cannot be scored with this model.
    """
    tokens = text.tensor()
    if isinstance(model, KneserNey):
        if carried:
            raise ModelError("an n-gram model has no state to carry; score it without carried=True")
        check_tokens(tokens, model.vocab_size)
        probabilities = model.token_probabilities(text.ids)
        nats = math.log(model.vocab_size) - float(np.log(probabilities).sum())
        n = min(reevaluate, len(probabilities))
        again = None
        if n:
            alone = [model.probabilities(text.ids[max(0, t - model.order) : t])[text.ids[t]] for t in range(1, n + 1)]
            again = Reevaluation(n, -float(np.log(probabilities[:n]).sum()), -float(np.log(alone).sum()), None)
        # It reads order - 1 tokens before each one, wherever that is.
        policy = EvaluationPolicy(
            bytes_scored=text.n_bytes or 0, tokens_scored=len(text), context=model.order, stride=1
        )
        return LanguageScore(nats, text, policy, True, None, again)
    verdict = verdict or causality_verdict(model)
    if carried:
        if stride is not None:
            raise ModelError(
                f"stride is {stride!r} and carried True: with the state carried every token is read once; leave it"
            )
        piece = carried_piece(1024 if context is None else context, int(model.config.vocab_size))
        nats = score_carried(model, tokens, piece=piece)
        policy = EvaluationPolicy(
            bytes_scored=text.n_bytes or 0, tokens_scored=len(text), context=len(text), stride=piece, carried_state=True
        )
        # For the tokens that are scored again.
        context = None
    else:
        nats, context, stride = score_tokens(model, tokens, context=context, stride=stride, batch_size=batch_size)
        policy = EvaluationPolicy(
            bytes_scored=text.n_bytes or 0, tokens_scored=len(text), context=context, stride=stride
        )
    again = None
    if reevaluate and len(tokens) > 1:
        again = autoregressive_reevaluation(model, tokens, reevaluate, context=context)
        policy = policy.model_copy(
            update={"reevaluated_tokens": again.tokens, "reevaluated_difference": again.difference}
        )
    return LanguageScore(nats, text, policy, verdict.verdict == "causal", verdict, again)


@torch.no_grad()
def autoregressive_reevaluation(
    model: PreTrainedModel, tokens: Tensor, n: int = 2000, *, context: int | None = None
) -> Reevaluation:
    """Score the first tokens of a text in one pass over windows, and again with every token predicted from its prefix alone.

    The windows lie side by side and hold `context` tokens (default: the model's positions); the first token of each is
    given, the others are scored, at least `n` in all if the text has as many. The second time each prefix goes through
    the model anew, so nothing after it is there to be seen; the third time the tokens are fed one by one with the state.
    A network with spikes is read in float64, as by `causality_verdict`.
    """
    limit = int(model.config.max_position_embeddings)
    length = min(context or limit, len(tokens), n + 1)
    if length < 2 or length > limit:
        raise ModelError(f"the context to score again is {length} tokens; expected 2 to {limit}")
    count = min(math.ceil(n / (length - 1)), len(tokens) // length)
    windows = tokens[: count * length].view(count, length).to(model.device)
    model = without_rounding(model)
    was_training = model.training
    model.eval()
    try:
        teacher = prefix = step = 0.0
        has_state = True
        for rows in windows.split(16):
            whole = model(input_ids=rows, use_cache=False).logits[:, :-1]
            teacher += summed_nats(whole, rows[:, 1:])
            state = None
            for t in range(1, length):
                prefix += summed_nats(model(input_ids=rows[:, :t], use_cache=False).logits[:, -1:], rows[:, t : t + 1])
                if has_state:
                    out = model(input_ids=rows[:, t - 1 : t], past_key_values=state, use_cache=True)
                    state = out.past_key_values
                    has_state = state is not None
                    step += summed_nats(out.logits[:, -1:], rows[:, t : t + 1])
    finally:
        model.train(was_training)
    return Reevaluation(count * (length - 1), teacher, prefix, step if has_state else None)
