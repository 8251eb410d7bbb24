"""Our language models inside lm-evaluation-harness: `AstromorphicLM`, registered there as "astromorphic". Extra `eval`.

A prompt is read once and its answers go on from copies of its state, which the harness's own model for transformers, where
ours can be used as well (see docs/zeroshot.md), does not do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ..continuation import Writer, open_writer
from ..evaluation import position_limit, score_carried
from ..surroundings import own_random_state, quiet_library
from .scorer import Request, drawing, log_likelihoods, start_token


@register_model("astromorphic")
class AstromorphicLM(TemplateLM):
    """A language model of ours with its own tokens: bytes, words, GPT-2's or GPT-NeoX's byte pairs.

    pretrained : a run folder, the folder of a saved model, or an opened `Writer`. data : the data folder with the tokenizer,
    for models of byte pairs. seed : of what is drawn with `do_sample`, anew in every call. An empty context is one start token
    (see `scorer.start_token`).
    Raises ModelError for folders without a language model or its tokens.
    """

    def __init__(
        self,
        pretrained: str | os.PathLike[str] | Writer,
        data: str | os.PathLike[str] | None = None,
        batch_size: int | str | None = 16,
        device: str | None = None,
        seed: int = 0,
        **ignored: Any,
    ) -> None:
        super().__init__()
        self.writer = pretrained if isinstance(pretrained, Writer) else open_writer(pretrained, data)
        if device is not None:
            self.writer.model.to(torch.device(device))  # type: ignore[arg-type]
        self.seed = int(seed)
        self.batch_size = int(batch_size) if batch_size not in (None, "auto") else 16

    @property
    def eot_token_id(self) -> int:
        return start_token(self.writer.codec)

    @property
    def max_length(self) -> int | None:
        """Positions of the model; None where there is no limit."""
        return position_limit(self.writer.model)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.writer.codec.encode(string)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[tuple[str, str], list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        wanted = [Request(tuple(context), tuple(continuation)) for _, context, continuation in requests]
        found = log_likelihoods(self.writer.model, wanted, batch_size=self.batch_size)
        return [(one.log_probability, one.greedy) for one in found]

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """ln p of whole texts: with the state carried through where the model has no limit, else in the harness's windows."""
        model, limit = self.writer.model, self.max_length
        found = []
        for (text,) in (request.args for request in requests):
            ids = self.tok_encode(text)
            if limit is None or len(ids) <= limit:
                # The start token itself is given and not scored.
                whole = torch.tensor([self.eot_token_id, *ids])
                found.append(math.log(model.config.vocab_size) - score_carried(model, whole))
                continue
            windows = get_rolling_token_windows(ids, self.eot_token_id, limit, 1)
            pieces = [Request(tuple(one), tuple(other)) for one, other in map(make_disjoint_window, windows)]
            scored = log_likelihoods(model, pieces, batch_size=self.batch_size)
            found.append(sum(one.log_probability for one in scored))
        return found

    @torch.no_grad()
    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """The likeliest continuation, or one drawn with `do_sample`, up to the first of the texts in `until`."""
        with own_random_state(self.seed):
            return self._generated(requests)

    def _generated(self, requests: Sequence[Instance]) -> list[str]:
        model, codec = self.writer.model, self.writer.codec
        made = []
        for context, options in (request.args for request in requests):
            until = options.get("until") or []
            stops = [until] if isinstance(until, str) else list(until)
            new = int(options.get("max_gen_toks", 256))
            ids = codec.encode(context) or [self.eot_token_id]
            if self.max_length is not None:
                new = min(new, self.max_length - 1)
                ids = ids[-(self.max_length - new) :]
            row = torch.tensor([ids], device=model.device)
            never = [*codec.never, *range(codec.size, int(model.config.vocab_size))]
            with quiet_library():
                out = model.generate(
                    row,
                    attention_mask=torch.ones_like(row),
                    max_new_tokens=new,
                    suppress_tokens=never or None,
                    **drawing(options),
                )
            read = codec.reader()
            text = "".join(read(token) for token in out[0, len(ids) :].tolist())
            ends = [text.index(stop) for stop in stops if stop and stop in text]
            made.append(text[: min(ends)] if ends else text)
        return made
