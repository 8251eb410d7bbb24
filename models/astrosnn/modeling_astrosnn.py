"""AstroSNN, a decoder of astrocyte-modulated spiking units, in the conventions of Hugging Face transformers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from ..astromorphic.inputs import check_arguments, check_tokens, checked_mask, wants_hidden_states
from ..errors import ModelError
from ..ops.spike import spike
from ..pretrained import CheckpointedModel
from .configuration_astrosnn import AstroSNNConfig
from .mixers import is_spiking, make_mixer
from .state import AstroSNNState, LayerState

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

    from .forms import FormsReport

Spikes = dict[str, Tensor]

_HEAD_SHARE = 0.1
# What the loss takes, and a counter of the library's that nothing here needs.
_OF_THE_LOSS = ("num_items_in_batch", "shift_labels", "ignore_index")
_PASSED_ON = (*_OF_THE_LOSS, "cache_position")


@dataclass
class AstroSNNModelOutput(BaseModelOutputWithPast):
    """spikes : with `output_spikes`, per layer what is 0 or 1 in it, by name ("input", "mixer", "feed_forward")."""

    spikes: tuple[Spikes, ...] | None = None


@dataclass
class AstroSNNOutput(CausalLMOutputWithPast):
    """spikes : as in `AstroSNNModelOutput`, tensors ``[batch, time, model]``."""

    spikes: tuple[Spikes, ...] | None = None


class Writer(nn.Linear):
    """A linear layer whose weights start with `share` of the usual size."""

    def __init__(self, inputs: int, outputs: int, share: float, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.share = share


class AstroSNNBlock(nn.Module):
    """The mixer in its residual mode.

    residual : y = x + W_o s(LN x); z = y + MLP(LN y).    spike_in : y = x + W_o s(g(LN x)); z = y + MLP(g(LN y)).
    pure : s(x), as the equations have it: no residual path, no feed-forward part, no W_o.
    """

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__()
        self.config, self.mode = config, config.residual_mode
        self.mixer = make_mixer(config)
        self.spiking = is_spiking(config)
        if self.mode == "pure":
            return
        wide, inner = config.hidden_size, int(config.intermediate_size or 4 * config.hidden_size)
        self.mixer_norm = nn.LayerNorm(wide, eps=config.layer_norm_eps)
        # The stream keeps its size whatever the depth.
        share = (2.0 * config.num_hidden_layers) ** -0.5
        self.output = Writer(wide, wide, share) if config.out_proj else None
        self.feed_forward_norm = nn.LayerNorm(wide, eps=config.layer_norm_eps)
        self.up, self.down, self.activation = nn.Linear(wide, inner), Writer(inner, wide, share), nn.GELU()
        self.dropout = nn.Dropout(float(config.dropout))

    def mixer_input(self, x: Tensor) -> Tensor:
        """What the mixer reads: the stream itself ("pure"), normalised, or binary."""
        if self.mode == "pure":
            return x
        return self._spiked(self.mixer_norm(x)) if self.mode == "spike_in" else self.mixer_norm(x)

    def _spiked(self, x: Tensor) -> Tensor:
        return spike(x, self.config.surrogate, self.config.alpha, threshold=float(self.config.threshold))

    def forward(
        self, x: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState
    ) -> tuple[Tensor, LayerState, Spikes]:
        """``[batch, time, model]`` in and out, the layer's new state, and what was 0 or 1 on the way."""
        a = self.mixer_input(x)
        mixed = self.mixer(a, positions, mask, state)
        s = mixed.out
        spikes = {"mixer": s} if self.spiking else {}
        if self.mode == "pure":
            return s, mixed.state, spikes
        y = x + self.dropout(s if self.output is None else self.output(s))
        b = self.feed_forward_norm(y)
        if self.mode == "spike_in":
            b = self._spiked(b)
            spikes = {"input": a, **spikes, "feed_forward": b}
        return y + self.dropout(self.down(self.activation(self.up(b)))), mixed.state, spikes


class AstroSNNPreTrainedModel(CheckpointedModel):
    """What model and head share: initialisation, safe loading, and how `generate` handles the state."""

    config: AstroSNNConfig
    config_class = AstroSNNConfig
    base_model_prefix = "model"
    _is_stateful = True
    _no_split_modules = ["AstroSNNBlock"]  # noqa: RUF012 (the library's own declaration)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> Self:
        """An untrained network of the named size; see `AstroSNNConfig.from_preset`."""
        return cls(AstroSNNConfig.from_preset(name, **settings))

    @classmethod
    def from_macro(cls, macro: str | os.PathLike[str] | MacroParameters, **settings: Any) -> Self:
        """An untrained network with the time constants of macro.json; see `AstroSNNConfig.from_macro`."""
        return cls(AstroSNNConfig.from_macro(macro, **settings))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # `init` leaves parameters alone that came from a checkpoint.
        if isinstance(module, nn.Linear):
            share = module.share if isinstance(module, Writer) else 1.0
            init.normal_(module.weight, mean=0.0, std=share * module.in_features**-0.5)

    @classmethod
    def _check_fit(cls, config: Any) -> None:
        if isinstance(config, AstroSNNConfig):
            config.check_memory()


class AstroSNNModel(AstroSNNPreTrainedModel):
    """Embedding and layers; returns hidden states and the state after the last token.

    Raises ModelError if the weights cannot fit into memory.
    """

    _keys_to_ignore_on_load_unexpected = [r"lm_head\."]  # noqa: RUF012 (the head of a checkpoint is none of it)

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__(config)
        if torch.empty(0).device.type != "meta":  # there, weights take no memory: parameter counts, loading
            config.check_memory()
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.dropout = nn.Dropout(float(config.dropout))
        self.layers = nn.ModuleList([AstroSNNBlock(config) for _ in range(config.num_hidden_layers)])
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.state_digest = config.state_digest()
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: AstroSNNState | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_spikes: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> AstroSNNModelOutput:
        """Hidden states ``[batch, time, model]`` from input_ids ``[batch, time]`` or inputs_embeds ``[batch, time, model]``.

        attention_mask covers these tokens or the whole sequence, with 0 for padding, which changes no state. There is no limit
        to the length. output_hidden_states : also return `hidden_states`, the input of the first layer and the output of every
        layer, the last after the final norm. return_dict : False for a plain tuple of what there is.

        Raises ModelError for tokens outside the vocabulary, a state of another batch or another model, a mask of another shape,
        output_attentions (there are none), and arguments that it does not have.
        """
        check_arguments(self, kwargs, _PASSED_ON)
        every = wants_hidden_states(self.config, output_hidden_states, output_attentions)
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("give exactly one of input_ids and inputs_embeds")
        # On a GPU the question would hold up every step of generation.
        if input_ids is not None and input_ids.device.type == "cpu":
            check_tokens(input_ids, self.config.vocab_size)
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        batch, time = x.shape[:2]
        state = past_key_values
        if state is not None:
            self._check_state(state, batch)
        seen = 0 if state is None else state.seen
        mask = checked_mask(attention_mask, batch, time, seen)
        positions, counted = _positions(state, mask, batch, time, x.device)
        x = self.dropout(x)
        layers: list[LayerState] = []
        spikes: list[Spikes] = []
        hidden: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            if every:
                hidden.append(x)
            x, new, binary = layer(x, positions, mask, None if state is None else state.layers[i])
            layers.append(new)
            spikes.append(binary)
        wanted = (self.config.use_cache and not self.training) if use_cache is None else use_cache
        after = None
        if wanted:
            after = AstroSNNState(layers, counted, seen + time, self.config.mixer, self.state_digest)
        x = self.final_norm(x)
        found = AstroSNNModelOutput(
            last_hidden_state=x,  # type: ignore[arg-type]
            past_key_values=after,  # type: ignore[arg-type]
            hidden_states=(*hidden, x) if every else None,  # type: ignore[arg-type]
            spikes=tuple(spikes) if output_spikes else None,
        )
        return found.to_tuple() if return_dict is False else found  # type: ignore[return-value]

    def verify_forms(self, input_ids: Tensor | None = None, **how: Any) -> FormsReport:
        """Whether the serial, masked and chunked forms agree in this network; see `models.astrosnn.forms.verify_forms`."""
        from .forms import verify_forms

        return verify_forms(self, input_ids, **how)

    def _check_state(self, state: AstroSNNState, batch: int) -> None:
        if not isinstance(state, AstroSNNState):
            raise TypeError(
                f"past_key_values is {type(state).__name__}; expected the AstroSNNState that this model returned"
            )
        if state.batch_size != batch:
            raise ModelError(
                f"the state has {state.batch_size} rows but the input has {batch}; give a state of the same batch"
            )
        first: Any = self.layers[0]
        wanted = first.mixer.state_shapes(state.seen)
        shapes = [[tuple(x.shape[1:]) for x in layer] for layer in state.layers if layer is not None]
        if (
            state.mixer != self.config.mixer
            or len(state.layers) != len(self.layers)
            or any(found != wanted for found in shapes)
        ):
            found = f"{len(state.layers)} layers of {state.mixer}" + (f" with {shapes[0]}" if shapes else "")
            raise ModelError(
                f"the state is of another model: it has {found}, and this one has {len(self.layers)} layers of "
                f"{self.config.mixer} with {wanted}; start from an empty state"
            )
        if state.settings and state.settings != self.state_digest:
            raise ModelError(
                "the state is of another model: its sizes are those of this one, other settings (decay, tau, sigma, "
                "residual_mode and the like) are not; start from an empty state"
            )


def _positions(
    state: AstroSNNState | None, mask: Tensor | None, batch: int, time: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Position of every token, counted over real tokens, ``[time]`` or ``[batch, time]``, and how many each row has seen."""
    start = torch.zeros(batch, dtype=torch.long, device=device) if state is None else state.positions
    steps = torch.arange(time, device=device)
    if mask is None:
        return (steps if state is None else start[:, None] + steps), start + time
    counts = mask.long().cumsum(dim=1)
    return (start[:, None] + counts - 1).clamp_min(0), start + mask.sum(dim=1)


class AstroSNNForCausalLM(AstroSNNPreTrainedModel, GenerationMixin):
    """The decoder with a language-model head; works with `generate` in all modes that do not roll a state back."""

    _tied_weights_keys = {"lm_head.weight": "model.embed.weight"}  # noqa: RUF012 (the library's own declaration)
    # `models.evaluation.position_limit`: texts of any length can be read.
    unlimited_positions = True

    def __init__(self, config: AstroSNNConfig) -> None:
        super().__init__(config)
        self.model = AstroSNNModel(config)
        # Near the uniform distribution, so that the first loss is log(vocabulary).
        self.lm_head = Writer(config.hidden_size, config.vocab_size, _HEAD_SHARE, bias=False)
        self.post_init()

    @property
    def has_spikes(self) -> bool:
        """Whether anything in it is 0 or 1, so that its results hang on the last digit of a membrane."""
        return is_spiking(self.config) or self.config.residual_mode == "spike_in"

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: AstroSNNState | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_spikes: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> AstroSNNOutput:
        """Logits ``[batch, time (or logits_to_keep), vocab]``; with `output_spikes` also the spikes of every layer.

        With labels ``[batch, time]`` also the loss in nats per predicted token; the labels are shifted here. Other arguments as
        for `AstroSNNModel`. Raises ModelError as that does, and for labels where only some logits are kept.
        """
        check_arguments(self, kwargs, _PASSED_ON)
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise ModelError("labels and logits_to_keep are given, and the loss needs all logits; leave one of them")
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_spikes=output_spikes,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            extra = {k: v for k, v in kwargs.items() if k in _OF_THE_LOSS}
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **extra)
        found = AstroSNNOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            spikes=outputs.spikes,
        )
        return found.to_tuple() if return_dict is False else found  # type: ignore[return-value]

    def verify_forms(self, input_ids: Tensor | None = None, **how: Any) -> FormsReport:
        """Whether the serial, masked and chunked forms agree in this network; see `models.astrosnn.forms.verify_forms`."""
        return self.model.verify_forms(input_ids, **how)

    def _prepare_cache_for_generation(  # type: ignore[override]
        self,
        generation_config: Any,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Start from an empty state, so that long prompts can be read in pieces (`prefill_chunk_size`)."""
        if generation_config.use_cache is False:
            model_kwargs["use_cache"] = False
            return
        given = model_kwargs.get("past_key_values")
        if given is not None:
            given._is_user_defined = True  # so that `generate` hands the new state back
            return
        rows = max(generation_config.num_beams or 1, generation_config.num_return_sequences or 1) * batch_size
        layers = self.config.num_hidden_layers
        model_kwargs["past_key_values"] = AstroSNNState.empty(layers, rows, self.device, self.config.mixer)

    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """`GenerationMixin.generate`; to continue from a non-empty state, pass `attention_mask` over the whole sequence.

        Without it the library cannot tell new tokens from the whole sequence and would cut the prompt silently, so
        this raises. An empty prompt raises as well: there is no token to predict from.
        """
        state = kwargs.get("past_key_values")
        ids = inputs if inputs is not None else kwargs.get("input_ids", kwargs.get("inputs_embeds"))
        if ids is not None and ids.dim() < 2:
            raise ModelError(f"the prompt is {tuple(ids.shape)}; expected [batch, time], so ids[None] for one text")
        given = 0 if ids is None else ids.shape[1]
        if ids is not None and not given:
            raise ModelError("the prompt has no tokens; give at least one, such as a line end")
        if isinstance(state, AstroSNNState) and state.seen:
            mask = kwargs.get("attention_mask")
            whole = None if mask is None else mask.shape[1]
            if whole is None or whole <= state.seen or given not in (whole, whole - state.seen):
                found = "no attention_mask" if whole is None else f"an attention_mask of {whole} columns"
                raise ModelError(
                    f"continuing from a state of {state.seen} tokens with {given} input tokens and {found}: pass the whole "
                    "sequence, or only the new tokens, together with an attention_mask over the whole sequence"
                )
        return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]
