"""Causal tracing: noise on some tokens' embeddings, one state put back, and how much of the answer's probability comes back.

After Meng et al. 2022 (arXiv 2202.05262), the method that AstroSNN's Figure 5 names. Runs: clean; corrupted, with Gaussian noise
on the embeddings of the subject; restored, the corrupted run in which one quantity of one layer at one token has its clean value
and everything that depends on it is computed anew.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ...errors import ModelError
from ..state import AstroSNNState, LayerState
from .checks import check_row, chosen_layers

# What is put back at (layer, token t).
RESTORATIONS = {
    "hidden": "what the layer passes on at t: the stream behind its block (in mode pure its spikes); layer 0 is the embedding",
    "mixer": "what the layer's mixer gives at t: the spikes, where it spikes",
    "state": "what the layer's mixer carries from t to t + 1: for an AM-SU the astrocyte's S and the neuron's u",
}
# Numbers of one hidden state in a batch of restored runs.
_LARGEST = 2**20


class Trace(NamedTuple):
    """Probabilities of the token `answer` after the token at `position`.

    clean : of the clean run. corrupted : ``[draws]``. restored : ``[draws, layers, tokens]``, by `layers` and all tokens.
    deviation : standard deviation of the noise. restore : see `RESTORATIONS`.
    """

    answer: int
    position: int
    restore: str
    layers: tuple[int, ...]
    deviation: float
    clean: float
    corrupted: Tensor
    restored: Tensor

    def mean(self) -> Tensor:
        """Over draws, ``[layers, tokens]``."""
        return self.restored.mean(0)

    def standard_error(self) -> Tensor:
        """Of the mean over draws, ``[layers, tokens]``; NaN for a single draw."""
        return self.restored.std(0) / math.sqrt(self.restored.shape[0])


class Tracing:
    """A clean run and several corrupted ones, of which any tokens of a layer can be put back.

    model : a causal language model of ours. input_ids ``[1, time]``; subject : tokens whose embeddings get noise, counted from
    0; noise : its standard deviation over that of the embeddings of this text; draws : how many; generator : draws them;
    position : the token whose successor is asked for (default the last); answer : which (default the likeliest of the clean run).

    All runs are made in a copy in float64: in float32 rounding flips spikes, which would look like an effect.
    Raises ModelError for arguments out of range and a subject that is empty or none of the tokens.
    """

    def __init__(
        self, model: PreTrainedModel, input_ids: Tensor, subject: Sequence[int], *, generator: torch.Generator,
        noise: float = 3.0, draws: int = 10, position: int | None = None, answer: int | None = None,
    ) -> None:  # fmt: skip
        check_row(input_ids)
        self.time = int(input_ids.shape[1])
        self.position = self.time - 1 if position is None else position
        _check_arguments(self.time, subject, noise, draws, self.position, answer, int(model.config.vocab_size))
        self.model = copy.deepcopy(model).double().eval()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            ids = input_ids.to(self.model.device)
            self.embeddings = self.model.get_input_embeddings()(ids)
            self.hidden, self.mixed, self.mixer_calls = _observed(self.model, self.embeddings)
            probabilities = self._probabilities(self.embeddings)[0]
            self.answer = int(probabilities.argmax()) if answer is None else answer
            self.clean = float(probabilities[self.answer])
            spread = float(self.embeddings.std(correction=0))
            self.deviation = float(noise) * spread
            width = self.embeddings.shape[-1]
            drawn = torch.randn(draws, len(subject), width, generator=generator, dtype=torch.float64)
            self.corrupted_embeddings = self.embeddings.repeat(draws, 1, 1)
            self.corrupted_embeddings[:, list(subject)] += self.deviation * drawn.to(ids.device)
            self.corrupted = self._answers(self.corrupted_embeddings)

    @property
    def num_layers(self) -> int:
        """Layers of the model."""
        return len(self.hidden) - 1

    @torch.no_grad()
    def restored(self, restore: str, layer: int, tokens: Sequence[int]) -> Tensor:
        """The answer's probability in every corrupted run ``[draws]``, with the clean values at all these tokens of a layer.

        For "state" one token: what is carried past it includes everything before. ModelError for what the model has not.
        """
        self._check(restore, layer)
        if not tokens or not all(0 <= t < self.time for t in tokens):
            raise ModelError(f"tokens are {list(tokens)}; expected some from 0 to {self.time - 1}")
        if restore == "state":
            if len(tokens) != 1:
                raise ModelError(f"tokens are {list(tokens)}; a state is put back at one token")
            return self._with_state(layer, tokens[0])
        mask = torch.zeros(1, self.time, dtype=torch.bool)
        mask[0, list(tokens)] = True
        return self._with_values(restore, layer, mask)[:, 0]

    @torch.no_grad()
    def trace(
        self, restore: str = "hidden", layers: Sequence[int] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Trace:  # fmt: skip
        """Every token of every layer (default: all; "hidden" begins with 0, the embedding) put back alone."""
        first = 0 if restore == "hidden" else 1
        chosen = chosen_layers(layers, self.num_layers, first)
        found = []
        for done, layer in enumerate(chosen):
            self._check(restore, layer)
            if restore == "state":
                found.append(torch.stack([self._with_state(layer, t) for t in range(self.time)], dim=1))
            else:
                found.append(self._with_values(restore, layer, torch.eye(self.time, dtype=torch.bool)))
            if progress is not None:
                progress(done + 1, len(chosen))
        return Trace(
            self.answer,
            self.position,
            restore,
            chosen,
            self.deviation,
            self.clean,
            self.corrupted,
            torch.stack(found, 1),
        )

    def _check(self, restore: str, layer: int) -> None:
        if restore not in RESTORATIONS:
            raise ModelError(f"restore is {restore!r}; expected one of {', '.join(RESTORATIONS)}")
        if restore != "hidden" and self.model.config.model_type != "astrosnn":
            raise ModelError(
                f"restore is {restore!r} and the model of type {self.model.config.model_type!r}; expected 'hidden', or an "
                "astrosnn model"
            )
        chosen_layers([layer], self.num_layers, 0 if restore == "hidden" else 1)

    def _with_values(self, restore: str, layer: int, masks: Tensor) -> Tensor:
        """``[draws, sets]``: in each set the tokens of a row of `masks` ``[sets, time]`` have their clean values."""
        sets, draws = masks.shape[0], self.corrupted_embeddings.shape[0]
        clean = self.mixed[layer - 1] if restore == "mixer" else self.hidden[layer]
        put_back = masks.to(clean.device)[:, :, None]
        at_once = max(1, _LARGEST // (self.time * clean.shape[-1]))
        found = []
        # One row for every draw and set.
        for start in range(0, draws * sets, at_once):
            row = torch.arange(start, min(start + at_once, draws * sets), device=clean.device)
            embeddings, chosen = self.corrupted_embeddings[row // sets], put_back[row % sets]

            def restored(x: Tensor, chosen: Tensor = chosen) -> Tensor:
                return torch.where(chosen, clean, x)

            if restore == "hidden" and layer == 0:
                found.append(self._answers(restored(embeddings)))
                continue
            block = _layers(self.model)[layer - 1]
            module = block.mixer if restore == "mixer" else block
            with _hooks([(module, lambda _, __, out, put=restored: _with_first(out, put(out[0])))]):
                found.append(self._answers(embeddings))
        return torch.cat(found).view(draws, sets)

    def _with_state(self, layer: int, token: int) -> Tensor:
        module = _layers(self.model)[layer - 1].mixer
        a, positions = self.mixer_calls[layer - 1]
        state = module.forward(a[:, : token + 1], positions[: token + 1], None, None).state

        def carried(mixer: Any, arguments: tuple[Any, ...], out: Any) -> Any:
            later = arguments[0][:, token + 1 :]
            if not later.shape[1]:
                return out
            # Not the call itself, which would come back here.
            new = mixer.forward(later, positions[token + 1 :], None, _rows_of(state, later.shape[0]))
            return _with_first(out, torch.cat([out[0][:, : token + 1], new.out], dim=1))

        with _hooks([(module, carried)]):
            return self._answers(self.corrupted_embeddings)

    def _answers(self, embeddings: Tensor) -> Tensor:
        return self._probabilities(embeddings)[:, self.answer]

    def _probabilities(self, embeddings: Tensor) -> Tensor:
        """Of every token after `position`, ``[rows, vocabulary]``."""
        kept = torch.tensor([self.position], device=embeddings.device)
        logits = self.model(inputs_embeds=embeddings, use_cache=False, logits_to_keep=kept).logits
        return logits[:, 0].softmax(-1)


def trace(
    model: PreTrainedModel, input_ids: Tensor, subject: Sequence[int], *, generator: torch.Generator, restore: str = "hidden",
    layers: Sequence[int] | None = None, **how: Any,
) -> Trace:  # fmt: skip
    """`Tracing.trace` of one quantity; `how` as for `Tracing`."""
    return Tracing(model, input_ids, subject, generator=generator, **how).trace(restore, layers)


def _layers(model: Any) -> Any:
    return model.model.layers


def _with_first(out: Any, x: Tensor) -> Any:
    """A tuple of a layer or mixer with another output, of the same kind."""
    return type(out)(x, *out[1:]) if hasattr(out, "_fields") else (x, *out[1:])


def _rows_of(state: LayerState, rows: int) -> LayerState:
    one = AstroSNNState([state], torch.zeros(1, dtype=torch.long))
    return one.select(torch.zeros(rows, dtype=torch.long)).layers[0]


@contextlib.contextmanager
def _hooks(hooks: Sequence[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _observed(model: Any, embeddings: Tensor) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
    """Of the clean run: embedding and every layer's output, every mixer's output, and what every mixer was called with."""
    hidden, mixed, calls = [embeddings], [], []

    def of_mixer(_: nn.Module, arguments: tuple[Any, ...], out: Any) -> None:
        mixed.append(out[0])
        calls.append((arguments[0], arguments[1]))

    def of_layer(_: nn.Module, __: tuple[Any, ...], out: Any) -> None:
        hidden.append(out[0])

    hooks: list[tuple[nn.Module, Callable[..., Any]]] = [(layer, of_layer) for layer in _layers(model)]
    if model.config.model_type == "astrosnn":
        hooks += [(layer.mixer, of_mixer) for layer in _layers(model)]
    with _hooks(hooks):
        model(inputs_embeds=embeddings, use_cache=False, logits_to_keep=1)
    return hidden, mixed, calls


def _check_arguments(
    time: int, subject: Sequence[int], noise: float, draws: int, position: int, answer: int | None, vocabulary: int
) -> None:
    if not len(subject) or len(set(subject)) != len(subject) or not all(0 <= t < time for t in subject):
        raise ModelError(
            f"subject is {list(subject)!s:.60}; expected different tokens from 0 to {time - 1}, at least one"
        )
    if not 0.0 <= noise < math.inf:
        raise ModelError(f"noise is {noise!r}; expected a finite number of at least 0, in standard deviations")
    if draws < 1:
        raise ModelError(f"draws is {draws!r}; expected a whole number of at least 1")
    if not 0 <= position < time:
        raise ModelError(f"position is {position!r}; expected a token from 0 to {time - 1}")
    if answer is not None and not 0 <= answer < vocabulary:
        raise ModelError(f"answer is {answer!r}; expected a token number from 0 to {vocabulary - 1}")
