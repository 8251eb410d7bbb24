"""The astromorphic transformer decoder, in the conventions of Hugging Face transformers.

Layers work on ``[batch, time, model]``; the operators of `models.ops` on ``[batch, time, heads, dim]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from ..errors import ModelError
from ..ops.astrocyte_attention import astrocyte_attention, astrocyte_step
from ..ops.bidirectional import bidirectional
from ..ops.chunked import causal_chunked
from ..ops.dropout import Dropout
from ..ops.features import feature_map, position_code
from ..ops.precision import widen
from ..ops.random_features import draw_weights, layer_seed, random_features
from ..ops.reference import encoder
from ..ops.response import Power, make_response
from ..ops.scaling import per_valid_token, valid_tokens
from ..ops.softmax import SoftmaxState, bidirectional_softmax, causal_softmax
from ..ops.state import HebbianState, ScaledState
from ..ops.step import causal_step
from ..pretrained import CheckpointedModel
from .configuration_astromorphic import AstromorphicConfig
from .inputs import check_tokens, checked_mask, wants_hidden_states
from .layout import Layout
from .state import AstromorphicState, LayerState, PositionCode

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters


# exp(|k|^2/2) is 4e36 there, which leaves room for the sum over some tokens.
LARGEST_COSINE_KEY = 13.0


class Features(nn.Module):
    """phi: elu + 1 (eq. 4), or random features with fixed weights that are stored with the model."""

    def __init__(self, config: AstromorphicConfig, index: int = 0) -> None:
        super().__init__()
        self.index = index
        self.kind, self.clip = config.feature_map, float(config.feature_clip)
        self.shape = (config.num_attention_heads, int(config.hidden_dim or config.head_width), config.head_width)
        if self.kind != "elu":
            self.register_buffer("weight", torch.empty(self.shape))
            self.register_buffer("phase", torch.empty(self.shape[:2]))

    def forward(self, x: Tensor, shift: str = "none") -> Tensor:
        """phi(x), ``[batch, time, heads, m]``; `shift` as in `models.ops.random_features`.

        Raises ModelError where a cosine feature without a shift would be beyond float32.
        """
        if self.kind == "elu":
            return feature_map(x)
        weight, phase = self.get_buffer("weight"), self.get_buffer("phase")
        scaled = widen(x) * self.shape[2] ** -0.25
        if shift == "none" and "cosine" in self.kind and not torch.compiler.is_compiling():
            _check_norms(scaled)
        return random_features(scaled, weight, phase, kind=self.kind, clip=self.clip, shift=shift)


def _check_norms(keys: Tensor) -> None:
    """Raise ModelError where exp(|k|^2/2) of finite keys is beyond float32."""
    squares = keys.detach().square().sum(-1)
    largest = float(squares.amax()) if squares.numel() else 0.0
    if LARGEST_COSINE_KEY**2 < largest < float("inf"):
        raise ModelError(
            f"a key has norm {largest**0.5:.4g} (with its factor d^(-1/4)) and exp(|k|^2/2) is in a cosine feature; expected "
            f'at most {LARGEST_COSINE_KEY:g} with a sigmoid, a position code or a response that is not linear; use "exponential"'
        )


class AstromorphicMixer(nn.Module):
    """The attention branch of one layer; the mixers `linear` and `kozachkov` are settings of the same operator."""

    def __init__(self, config: AstromorphicConfig, layout: Layout | None = None, index: int = 0) -> None:
        super().__init__()
        self.layout, self.index = layout or Layout(config.max_position_embeddings), index
        self.heads, self.d = config.num_attention_heads, config.head_width
        self.m: int = config.hidden_dim or self.d
        self.kind, self.causal = config.mixer, config.causal and not self.layout.bidirectional
        self.branch_gain = float(config.branch_gain)
        linear = config.mixer in ("linear", "kozachkov")
        self.placement = "none" if linear else config.sigmoid_placement
        self.scale = 1.0 if config.mixer == "linear" else config.scale_for(self.layout)
        response = config.response or {}
        self.response = Power(1.0) if linear else make_response(response["family"], response["parameters"])
        self.reading = "sum_then_power" if linear else config.calcium_reading
        self.distance, self.distance_decay = config.distance, float(config.distance_decay)
        self.branch_norm = config.branch_norm
        self.query = nn.Linear(config.hidden_size, self.heads * config.query_width)
        self.key = nn.Linear(config.hidden_size, self.heads * config.query_width)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size) if config.out_proj else None
        self.gain = nn.Parameter(torch.ones(self.heads)) if config.learnable_gain else None
        coded = config.position_code and config.mixer == "astromorphic"
        if coded and config.distance == "grid" and self.layout.grid is None:
            raise ModelError('distance is "grid", the rows and columns of an image; use "absnorm" for text')
        self.distance_options: dict[str, Any] = {}
        if config.distance in ("clipped", "grid"):
            self.distance_options = {"clip": config.distance_clip, "grid": self.layout.grid}
        shape = (1 if config.share_position_matrix else self.heads, self.m, self.layout.length)
        self.position_matrix = nn.Parameter(torch.empty(shape)) if coded else None
        self.features = Features(config, index) if config.mixer != "softmax" else None
        # Keys may be rescaled together where they enter numerator and normaliser alike: no norm of theirs is then too large.
        homogeneous = self.placement == "none" and self.response == Power(1.0) and not coded
        self.estimates_softmax = homogeneous and self.features is not None and self.features.kind != "elu"

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        state: LayerState,
        known: PositionCode | Tensor | None = None,
    ) -> tuple[Tensor, LayerState, PositionCode | None]:
        """The branch ``[batch, time, model]``, the new state, and the position code for the next call if it may be kept.

        x ``[batch, time, model]``, positions ``[time]`` or ``[batch, time]``, mask ``[batch, time]`` or None. known : what an
        earlier call kept, or the code of these very tokens ``[time, heads, m]``, whatever their positions.
        """
        batch, time, _ = x.shape
        q, k, v = self.project(x)
        code: Tensor | None
        if isinstance(known, Tensor):
            code, keep = known, None
        else:
            whole, keep = self._position_code(known)
            code = None if whole is None else whole[positions]
        out, new_state = self.mix(q, k, v, code, mask, state)
        out = self.scaled(out)
        flat = out.to(x.dtype).reshape(batch, time, self.heads * self.d)
        return (flat if self.output is None else self.output(flat)), new_state, keep

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``[batch, time, heads, .]``, before the feature map."""
        shape = (*x.shape[:2], self.heads, -1)
        return self.query(x).view(shape), self.key(x).view(shape), self.value(x).view(shape)

    def feature_maps(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """phi(q), up to a factor per token that no output depends on, and phi(k)."""
        assert self.features is not None
        return self.features(q, shift="token"), self.features(k)

    def _mix_of_random_features(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, state: LayerState
    ) -> tuple[Tensor, LayerState]:
        """s phi(q) S / (phi(q) . G) with sums that carry their exponent along, in one pass and step by step alike."""
        assert self.features is not None
        features, factor = self.features, self.d**-0.25
        given = (q * factor, k * factor, v, features.get_buffer("weight"), features.get_buffer("phase"))
        settings: dict[str, Any] = {"kind": features.kind, "clip": features.clip, "mask": mask}
        past = state if isinstance(state, ScaledState) else None
        if past is not None and q.shape[1] == 1:
            out, after = astrocyte_step(*given, past, **settings)
        else:
            out, after = astrocyte_attention(*given, causal=self.causal, initial_state=past, **settings)
        if self.scale is None:
            out = out / valid_tokens(out, mask)[:, None, None, None]
        elif self.scale != 1.0:
            out = out * self.scale
        if mask is not None:
            out = out.masked_fill(~mask.bool()[:, :, None, None], 0.0)
        return out, after if self.causal else None

    def scaled(self, out: Tensor) -> Tensor:
        """The output of all heads ``[batch, time, heads, d]`` with its norm, if any, and its gains."""
        if self.branch_norm:
            # The branch may be as small as 1e-6 of the residual: the guard is far below its square.
            out = out * (out.square().mean(-1, keepdim=True) + 1e-20).rsqrt()
        out = out * self.branch_gain
        return out if self.gain is None else out * self.gain[:, None]

    def code_at(self, positions: Tensor) -> Tensor | None:
        """W_astro^T of positions ``[time]`` or ``[batch, time]``, ``[..., heads, m]``; None for a mixer without a code."""
        whole, _ = self._position_code(None)
        return None if whole is None else whole[positions]

    def _position_code(self, known: PositionCode | None) -> tuple[Tensor | None, PositionCode | None]:
        """W_astro^T ``[N_max, heads, m]``, always for all N_max positions (see `position_code`), and what may be kept of it."""
        matrix = self.position_matrix
        if matrix is None:
            return None, None
        wants_gradient = torch.is_grad_enabled() and matrix.requires_grad
        if known is not None and not wants_gradient and known.belongs_to(matrix):
            return known.code, known
        code = position_code(matrix, self.distance, decay=self.distance_decay, **self.distance_options)
        # A code that hangs in a graph must not outlive it. Taken while training, it would be out of date at once.
        return code, None if wants_gradient or self.training else PositionCode(code, matrix.detach().clone())

    def mix(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        code: Tensor | None = None,
        mask: Tensor | None = None,
        state: LayerState = None,
    ) -> tuple[Tensor, LayerState]:
        """The operator alone, ``[batch, time, heads, d]`` and the new state; q, k before the feature map, code per token."""
        if self.kind == "softmax" and self.layout.bidirectional:
            return bidirectional_softmax(q, k, v, mask=mask), None
        if self.estimates_softmax:
            return self._mix_of_random_features(q, k, v, mask, state)
        if self.kind == "softmax":
            past = state if isinstance(state, SoftmaxState) else None
            return causal_softmax(q, k, v, mask=mask, initial_state=past)
        query, key = self.feature_maps(q, k)
        settings: dict[str, Any] = {
            "response": self.response, "placement": self.placement, "code": code, "mask": mask,
            "reading": self.reading,
        }  # fmt: skip
        if self.scale is None or not self.causal:
            form: Callable[..., Tensor] = encoder
            if self.reading == "sum_then_power":  # the only one that the fast form knows
                form, _ = bidirectional, settings.pop("reading")
            if self.scale is None:
                return per_valid_token(query, key, v, form=form, **settings), None
            return form(query, key, v, scale=self.scale, **settings), None
        settings["scale"] = self.scale
        past_hebbian = state if isinstance(state, HebbianState) else None
        if past_hebbian is not None and q.shape[1] == 1:
            return causal_step(query, key, v, past_hebbian, **settings)
        return causal_chunked(query, key, v, initial_state=past_hebbian, **settings)


class AstromorphicBlock(nn.Module):
    """Y = LN(attention + X); LN(FFN(Y) + Y) (Algorithm 1), or the pre-norm order."""

    def __init__(self, config: AstromorphicConfig, layout: Layout | None = None, index: int = 0) -> None:
        super().__init__()
        self.mixer = AstromorphicMixer(config, layout, index) if config.mixer != "none" else None
        self.pre_norm = config.norm_placement == "pre"
        self.mixer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)
        normed = config.second_norm or self.pre_norm
        self.feed_forward_norm = (
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if normed else nn.Identity()
        )
        self.activation = nn.GELU()
        self.dropout = Dropout(float(config.dropout))
        self.drops_sum = config.dropout_placement == "residual"
        # 0 in the first layer, the setting in the last, which a single layer is.
        share = index / (config.num_hidden_layers - 1) if config.num_hidden_layers > 1 else 1.0
        self.left_out = float(config.stochastic_depth) * share

    def _add(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + branch, with dropout on either, and while training the branch of some samples left out."""
        if self.left_out and self.training:
            kept = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.left_out
            branch = branch * (kept / (1.0 - self.left_out)).to(branch.dtype)
        return self.dropout(x + branch) if self.drops_sum else x + self.dropout(branch)

    def _branch(
        self, x: Tensor, positions: Tensor, mask: Tensor | None, state: LayerState, known: PositionCode | Tensor | None
    ) -> tuple[Tensor, LayerState, PositionCode | None]:
        if self.mixer is None:
            return torch.zeros_like(x), None, None
        return self.mixer(x, positions, mask, state, known)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        mask: Tensor | None,
        state: LayerState,
        known: PositionCode | Tensor | None = None,
    ) -> tuple[Tensor, LayerState, PositionCode | None]:
        """``[batch, time, model]`` in and out, with the layer's new state and the position code to keep."""
        if self.pre_norm:
            branch, new_state, keep = self._branch(self.mixer_norm(x), positions, mask, state, known)
            x = self._add(x, branch)
            return self._add(x, self._feed_forward(self.feed_forward_norm(x))), new_state, keep
        branch, new_state, keep = self._branch(x, positions, mask, state, known)
        x = self.mixer_norm(self._add(x, branch))
        return self.feed_forward_norm(self._add(x, self._feed_forward(x))), new_state, keep


class AstromorphicPreTrainedModel(CheckpointedModel):
    """What all heads share: initialisation, safe loading, and how `generate` handles the state."""

    config_class = AstromorphicConfig
    network = "causal_lm"  # the kind for which presets have their numbers
    base_model_prefix = "model"
    _is_stateful = True
    _no_split_modules = ["AstromorphicBlock"]  # noqa: RUF012 (the library's own declaration)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> Self:
        """An untrained network of the named preset, with the numbers of its kind; see `AstromorphicConfig.from_preset`."""
        return cls(cls.config_class.from_preset(name, network=cls.network, **settings))

    @classmethod
    def from_macro(cls, macro: str | os.PathLike[str] | MacroParameters, **settings: Any) -> Self:
        """An untrained network with the response of macro.json; see `AstromorphicConfig.from_macro`."""
        return cls(cls.config_class.from_macro(macro, network=cls.network, **settings))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # `init` leaves parameters alone that came from a checkpoint.
        if isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
        elif isinstance(module, Features) and module.kind != "elu":
            # Every layer draws its own.
            seed = layer_seed(self.config.feature_seed, module.index)
            weight, phase = draw_weights(*module.shape, seed=seed, orthogonal=self.config.orthogonal_features)
            init.copy_(module.get_buffer("weight"), weight)
            init.copy_(module.get_buffer("phase"), phase)
        elif isinstance(module, AstromorphicMixer):
            if self.config.query_key_init != 1.0:
                for projection in (module.query, module.key):
                    init.normal_(
                        projection.weight, mean=0.0, std=self.config.query_key_init * projection.in_features**-0.5
                    )
            if module.position_matrix is not None:
                std = self.config.position_matrix_std or module.layout.length**-0.5
                init.normal_(module.position_matrix, mean=0.0, std=std)
            if module.gain is not None:
                init.ones_(module.gain)

    @classmethod
    def _check_fit(cls, config: Any) -> None:
        if isinstance(config, AstromorphicConfig):
            config.check_memory(network=cls.network)

    @classmethod
    def _loaded(cls, model: Any) -> None:
        for module in model.modules():
            embed = getattr(module, "embed", None)
            if isinstance(embed, nn.Embedding):  # the library makes new parameters while loading
                embed.weight.requires_grad_(model.config.train_embeddings)


class AstromorphicModel(AstromorphicPreTrainedModel):
    """Embeddings and layers; returns hidden states and the state after the last token.

    Raises ModelError if the weights cannot fit into memory (see `AstromorphicConfig.check_memory`).
    """

    def __init__(self, config: AstromorphicConfig, bidirectional: bool = False) -> None:
        super().__init__(config)
        if torch.empty(0).device.type != "meta":  # there, weights take no memory: parameter counts, loading
            config.check_memory(network="sequence" if bidirectional else self.network)
        self.causal = config.causal and not bidirectional
        layout = Layout(config.max_position_embeddings, bidirectional)
        self.embed = nn.Embedding(config.vocab_size, config.embedding_size or config.hidden_size)
        self.embed.weight.requires_grad_(config.train_embeddings)
        self.embed_projection = (
            nn.Linear(config.embedding_size, config.hidden_size) if config.embedding_size is not None else None
        )
        self.embed_positions = (
            nn.Embedding(config.max_position_embeddings, config.hidden_size) if config.position_embeddings else None
        )
        self.embedding_norm = (
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if config.embedding_norm else None
        )
        self.dropout = Dropout(float(config.dropout))
        self.layers = nn.ModuleList([AstromorphicBlock(config, layout, i) for i in range(config.num_hidden_layers)])
        self.final_norm = (
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if config.norm_placement == "pre" else None
        )
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: AstromorphicState | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states ``[batch, time, model]`` from input_ids ``[batch, time]`` or inputs_embeds ``[batch, time, model]``.

        attention_mask covers these tokens or the whole sequence, with 0 for padding. output_hidden_states : also return
        `hidden_states`, the input of the first layer and the output of every layer, the last after the final norm.
        Raises ModelError for output_attentions, as there are none.
        Raises ValueError if the sequence runs past `max_position_embeddings` or the state belongs to another batch.
        """
        every = wants_hidden_states(self.config, output_hidden_states, output_attentions)
        if (input_ids is None) == (inputs_embeds is None):
            raise ModelError("give exactly one of input_ids and inputs_embeds")
        # On a GPU the question would hold up every step of generation; there only the classifiers ask it.
        if input_ids is not None and input_ids.device.type == "cpu":
            check_tokens(input_ids, self.config.vocab_size)
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        if self.embed_projection is not None:
            x = self.embed_projection(x)
        batch, time = x.shape[:2]
        state = past_key_values
        if state is not None and not isinstance(state, AstromorphicState):
            raise TypeError(
                f"past_key_values is {type(state).__name__}; expected the AstromorphicState that this model returned"
            )
        if state is not None and state.batch_size != batch:
            raise ModelError(
                f"the state has {state.batch_size} rows but the input has {batch}; give a state of the same batch"
            )
        if state is not None and not self.causal and state.seen:
            raise ModelError("a model with causal=False has no state to continue from; pass the whole sequence")
        seen = 0 if state is None else state.seen
        mask = checked_mask(attention_mask, batch, time, seen)
        positions, counted = self._positions(state, mask, batch, time, x.device)
        if self.embed_positions is not None:
            x = x + self.embed_positions(positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = self.dropout(x)
        layers: list[LayerState] = []
        known = (state.codes if state is not None else None) or [None] * len(self.layers)
        codes: list[PositionCode | None] = []
        hidden: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            if every:
                hidden.append(x)
            x, new, code = layer(x, positions, mask, None if state is None else state.layers[i], known[i])
            layers.append(new)
            codes.append(code)
        if self.final_norm is not None:
            x = self.final_norm(x)
        wanted = (self.config.use_cache and not self.training) if use_cache is None else use_cache
        after = AstromorphicState(layers, counted, seen + time, codes) if wanted and self.causal else None
        return BaseModelOutputWithPast(
            last_hidden_state=x,  # type: ignore[arg-type]
            past_key_values=after,  # type: ignore[arg-type]
            hidden_states=(*hidden, x) if every else None,  # type: ignore[arg-type]
        )

    def _positions(
        self, state: AstromorphicState | None, mask: Tensor | None, batch: int, time: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Position of every token, counted over real tokens, and how many each row has seen afterwards.

        The first is ``[time]``, or ``[batch, time]`` where rows may differ; the second ``[batch]``.
        """
        limit = self.config.max_position_embeddings
        seen = 0 if state is None else state.seen
        start = torch.zeros(batch, dtype=torch.long, device=device) if state is None else state.positions
        steps = torch.arange(time, device=device)
        if mask is None:
            after = start + time
            positions = steps if state is None else start[:, None] + steps
        else:
            counts = mask.long().cumsum(dim=1)
            after = start + (counts[:, -1] if time else 0)
            positions = (start[:, None] + counts - 1).clamp_min(0)
        # The columns bound the positions, so the device is only asked when padding may have hidden some.
        if seen + time > limit and int(after.max()) > limit:
            raise ModelError(
                f"the sequence reaches {int(after.max())} tokens but max_position_embeddings is {limit}; "
                "shorten it, or train with a larger max_position_embeddings"
            )
        return positions, after


class AstromorphicForCausalLM(AstromorphicPreTrainedModel, GenerationMixin):
    """The decoder with a language-model head; works with `generate` in all modes that do not roll a state back."""

    _tied_weights_keys = {"lm_head.weight": "model.embed.weight"}  # noqa: RUF012 (the library's own declaration)

    def __init__(self, config: AstromorphicConfig) -> None:
        super().__init__(config)
        if config.tie_word_embeddings and config.embedding_size not in (None, config.hidden_size):
            raise ModelError(
                f"embedding_size is {config.embedding_size} and tie_word_embeddings True, which needs an output of width "
                f"hidden_size = {config.hidden_size}; set tie_word_embeddings=False"
            )
        self.model = AstromorphicModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: AstromorphicState | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits ``[batch, time (or logits_to_keep), vocab]``.

        With labels ``[batch, time]`` also the loss in nats per predicted token; the labels are shifted here.
        output_hidden_states, output_attentions : as for `AstromorphicModel`.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            extra = {k: v for k, v in kwargs.items() if k in ("num_items_in_batch", "shift_labels", "ignore_index")}
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **extra)
        return CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=outputs.past_key_values, hidden_states=outputs.hidden_states
        )

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
        if generation_config.use_cache is False or not self.config.causal:
            model_kwargs["use_cache"] = False
            return
        given = model_kwargs.get("past_key_values")
        if given is not None:
            given._is_user_defined = (
                True  # so that `generate` hands the new state back, as for the library's own caches
            )
            return
        rows = max(generation_config.num_beams or 1, generation_config.num_return_sequences or 1) * batch_size
        model_kwargs["past_key_values"] = AstromorphicState.empty(self.config.num_hidden_layers, rows, self.device)

    def generate(self, inputs: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        """`GenerationMixin.generate`; to continue from a non-empty state, pass `attention_mask` over the whole sequence.

        Without it the library cannot tell new tokens from the whole sequence and would cut the prompt silently, so
        this raises.
        """
        state = kwargs.get("past_key_values")
        ids = inputs if inputs is not None else kwargs.get("input_ids", kwargs.get("inputs_embeds"))
        if ids is not None and ids.dim() < 2:
            raise ModelError(f"the prompt is {tuple(ids.shape)}; expected [batch, time], so ids[None] for one text")
        if isinstance(state, AstromorphicState) and state.seen:
            mask = kwargs.get("attention_mask")
            given = 0 if ids is None else ids.shape[1]
            whole = None if mask is None else mask.shape[1]
            if whole is None or whole <= state.seen or given not in (whole, whole - state.seen):
                found = "no attention_mask" if whole is None else f"an attention_mask of {whole} columns"
                raise ModelError(
                    f"continuing from a state of {state.seen} tokens with {given} input tokens and {found}: pass the whole "
                    "sequence, or only the new tokens, together with an attention_mask over the whole sequence"
                )
        return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]
