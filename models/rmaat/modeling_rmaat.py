"""The recurrent memory augmented astromorphic transformer: a text in segments, memory tokens from one to the next.

    X_t = [m_t; tokens of segment t],  (m'_{t+1}, o_t) = layers(X_t),  m_{t+1} = r(t, T) m'_{t+1}

The layers are those of `models.astromorphic`, the same for all segments; the memory tokens' output of the top layer is the next
segment's input (arXiv 2601.00426). The gradient goes through memory as `models.ops.replay` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput, SequenceClassifierOutput
from transformers.utils.generic import can_return_tuple

from ..astromorphic.classification import classification_loss
from ..astromorphic.inputs import check_arguments, check_labels, checked_text
from ..astromorphic.layout import Layout
from ..astromorphic.modeling_astromorphic import AstromorphicBlock, AstromorphicMixer, AstromorphicPreTrainedModel
from ..choices import choice
from ..errors import ModelError
from ..ops.dropout import Dropout
from ..ops.precision import state_dtype
from ..ops.replay import BACKPROPAGATION, SegmentOutput, Watch, recurrence
from .configuration_rmaat import RMAATConfig
from .retention import Retention


@dataclass
class RMAATOutput(ModelOutput):
    """What a text leaves behind.

    memory : m' of its last segment with tokens, before the factor r(T, T), ``[batch, n_mem, model]``.
    pooled : mean of its real tokens' hidden states over all segments ``[batch, model]``, 0 without tokens; None unless
        the read-out is "pool".
    read : what the classifier reads ``[batch, read_width]``. reads : the same of every segment on its own ``[T, batch,
        read_width]``, None unless the loss is taken at all segments.
    segments : with tokens, of every row, ``[batch]``.
    """

    memory: Tensor | None = None
    pooled: Tensor | None = None
    read: Tensor | None = None
    reads: Tensor | None = None
    segments: Tensor | None = None


class _Text(NamedTuple):
    """Real tokens moved together at the front: x ``[batch, time, ...]``, how many each row has, the fewest and the most."""

    x: Tensor
    counts: Tensor
    fewest: int
    most: int


def _together(x: Tensor, mask: Tensor | None) -> _Text:
    """`x` with the real tokens of every row in front in their order, cut at the longest row: padding then changes nothing."""
    batch, time = x.shape[:2]
    if mask is None:
        return _Text(x, torch.full((batch,), time, device=x.device), time, time)
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    counts = mask.sum(1)
    fewest, most = (int(n) for n in torch.stack(torch.aminmax(counts)).tolist())
    order = order[:, : max(most, 1)]
    x = x.gather(1, order) if x.dim() == 2 else x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))
    if x.is_floating_point():  # whatever stands in the padding must not reach a gradient, where 0 * NaN is NaN
        x = x.masked_fill((torch.arange(x.shape[1], device=x.device) >= counts[:, None])[:, :, None], 0.0)
    return _Text(x, counts, fewest, most)


class RMAATPreTrainedModel(AstromorphicPreTrainedModel):
    """What the networks share: initialisation, presets, safe loading."""

    config_class = RMAATConfig
    config: RMAATConfig
    network = "sequence"
    _is_stateful = False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, RMAATModel) and module.initial_memory is not None:
            std = float(self.config.initializer_range)
            init.trunc_normal_(module.initial_memory, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, Retention) and module.weight is not None:
            init.constant_(module.weight, module.start)


class RMAATModel(RMAATPreTrainedModel):
    """Embedding, layers and memory; reads texts of any length up to T segments.

    Raises ModelError if the weights cannot fit into memory (see `RMAATConfig.check_memory`).
    """

    def __init__(self, config: RMAATConfig) -> None:
        super().__init__(config)
        if torch.empty(0).device.type != "meta":
            config.check_memory(network=self.network)
        wide, self.slots = config.hidden_size, config.num_memory_tokens
        self.in_front = self.slots if config.memory_placement in ("front", "both") else 0
        self.at_back = self.slots if config.memory_placement in ("back", "both") else 0
        layout = Layout(config.segment_positions, bidirectional=True)
        self.embed = nn.Embedding(config.vocab_size, config.embedding_size or wide)
        self.embed.weight.requires_grad_(config.train_embeddings)
        self.embed_projection = nn.Linear(config.embedding_size, wide) if config.embedding_size is not None else None
        self.embed_positions = nn.Embedding(config.length_of_segment, wide) if config.position_embeddings else None
        self.embedding_norm = nn.LayerNorm(wide, eps=config.layer_norm_eps) if config.embedding_norm else None
        self.dropout = Dropout(float(config.dropout))
        self.layers = nn.ModuleList([AstromorphicBlock(config, layout, i) for i in range(config.num_hidden_layers)])
        self.final_norm = nn.LayerNorm(wide, eps=config.layer_norm_eps) if config.norm_placement == "pre" else None
        self.initial_memory = (
            nn.Parameter(torch.empty(self.slots, wide)) if config.initial_memory == "learned" and self.slots else None
        )
        self.retention = Retention(
            config.retention,
            config.num_segments,
            decay=float(config.retention_decay),
            shares=config.retention_shares,
        )
        self.post_init()

    def start(self, batch: int) -> Tensor:
        """m_1 of every row, ``[batch, n_mem, model]``, in float32 or better."""
        weight = self.embed.weight
        if self.initial_memory is None:
            return weight.new_zeros(batch, self.slots, self.config.hidden_size, dtype=state_dtype(weight.dtype))
        return self.initial_memory.to(state_dtype(weight.dtype)).expand(batch, -1, -1)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        memory: Tensor | None = None,
        num_segments: int | None = None,
        watch_memory: Watch | None = None,
        backpropagation: str | None = None,
        **kwargs: Any,
    ) -> RMAATOutput:
        """Read input_ids ``[batch, time]`` or inputs_embeds ``[batch, time, embedding]``.

        attention_mask : ``[batch, time]``, 0 for padding, wherever it is; it changes nothing. Without one `pad_token_id`, if
            set, is padding. A row of padding alone leaves the memory it was given.
        memory : m_1 ``[batch, n_mem, model]`` in place of the network's own, e.g. the memory an earlier text has left.
        num_segments : T for this text in place of the configuration's. r(t, T) then is another for every t.
        watch_memory : as `models.ops.replay.recurrence`. backpropagation : for this text, in place of the configuration's.

        Raises ModelError for a text longer than T segments, for inputs of other shapes or values, and for arguments that there
        are not.
        """
        check_arguments(self, kwargs)
        given = self.config.backpropagation if backpropagation is None else backpropagation
        way = choice("way of backpropagation", given, BACKPROPAGATION)
        text = _together(*checked_text(self.config, input_ids, inputs_embeds, attention_mask))
        if not len(text.counts):
            raise ModelError("the batch has no rows; expected at least one text")
        first = self._first(memory, len(text.counts))
        return self._read(text, first, self._total(num_segments, text.most), watch_memory, way)

    def _first(self, memory: Tensor | None, batch: int) -> Tensor:
        own = self.start(batch)
        if memory is None:
            return own
        if memory.shape != own.shape:
            raise ModelError(f"memory is {tuple(memory.shape)}; expected {tuple(own.shape)}")
        return memory.to(own.dtype)

    def _total(self, given: int | None, most: int) -> int:
        """T, at least as many segments as the longest row has."""
        if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
            raise ModelError(f"num_segments is {given!r}; expected a whole number of at least 1")
        total, length = given or self.config.num_segments, self.config.length_of_segment
        declared = total * length if given else self.config.max_position_embeddings
        if most > declared:
            raise ModelError(
                f"the text has {most} tokens and is read up to {declared} ({total} segments of {length}); shorten it, or pass "
                f"num_segments={-(-most // length)}, with which r(t, T) is another for every t"
            )
        return total

    def _read(self, text: _Text, memory: Tensor, total: int, watch: Watch | None, way: str) -> RMAATOutput:
        n = self.config.length_of_segment
        length = max(1, -(-text.most // n))
        segments = (text.counts + n - 1).div(n, rounding_mode="floor")
        of_row = self.config.retention_total == "row"
        factors = self.retention.handed_on(segments, None if of_row else total, length, memory.dtype)
        codes = self._codes()
        parameters = [p for p in self.parameters() if p.requires_grad]
        if way.startswith("replay") and torch.is_grad_enabled() and next(self.parameters(), None) is None:
            raise ModelError(
                "the network has no parameters of its own here (a copy of nn.DataParallel?), so a replay would lose their "
                "gradients; train with torchrun (DistributedDataParallel), or set backpropagation='checkpoint'"
            )
        out = recurrence(
            _Segment(self, text, [code is not None for code in codes]),
            memory,
            [text.x[:, t * n : (t + 1) * n] for t in range(length)],
            factors=factors,
            shared=[code for code in codes if code is not None],
            parameters=parameters,
            backpropagation=way,
            watch=watch,
        )
        pooled = None
        if out.total is not None:
            pooled = out.total / text.counts.clamp_min(1).to(out.total.dtype)[:, None]
        return RMAATOutput(out.memory, pooled, self.read(out.memory, pooled), out.each, segments)  # type: ignore[arg-type]

    def read(self, memory: Tensor, pooled: Tensor | None) -> Tensor:
        """What a classifier reads, ``[batch, read_width]``."""
        parts = [] if pooled is None else [pooled]
        return torch.cat([*parts, memory.mean(1)] if self.slots else parts, dim=-1)

    def _codes(self) -> list[Tensor | None]:
        """R of a whole segment for every layer, memory tokens at their places, ``[n_mem + N_seg (+ n_mem), heads, m]``.

        It depends on parameters alone: worked out once for all segments and replays.
        """
        places = self.places(self.embed.weight.device)
        codes: list[Tensor | None] = []
        for layer in self.layers:
            mixer = layer.mixer
            whole = mixer.code_at(torch.arange(self.config.segment_positions, device=places.device)) \
                if isinstance(mixer, AstromorphicMixer) else None  # fmt: skip
            if whole is not None:
                # Memory tokens without a place get the row of zeros: their key is phi(k) alone.
                whole = torch.cat([whole, torch.zeros_like(whole[:1])])[places]
            codes.append(whole)
        return codes

    def places(self, device: torch.device | str | None = None) -> Tensor:
        """Index into the position code of every token of a whole segment; `segment_positions` stands for no place."""
        n, kind, nowhere = self.config.length_of_segment, self.config.memory_positions, self.config.segment_positions
        used, found = 0, []
        for count, is_memory in ((self.in_front, True), (n, False), (self.at_back, True)):
            if is_memory and kind == "none":
                found.append(torch.full((count,), nowhere))
            elif is_memory and kind == "one":
                found.append(torch.full((count,), used))
                used += min(count, 1)
            else:
                found.append(torch.arange(used, used + count))
                used += count
        return torch.cat(found).to(device)


class _Segment:
    """One segment as a function of t, memory, its tokens and the position codes, for `models.ops.replay`."""

    def __init__(self, model: RMAATModel, text: _Text, coded: list[bool]) -> None:
        self.model, self.counts, self.fewest, self.coded = model, text.counts, text.fewest, coded

    def __call__(self, t: int, memory: Tensor, x: Tensor, *codes: Tensor) -> SegmentOutput:
        model, config = self.model, self.model.config
        start, n = t * config.length_of_segment, x.shape[1]
        a, b = model.in_front, model.in_front + n
        real = None
        if self.fewest < start + n:
            real = torch.arange(start, start + n, device=x.device) < self.counts[:, None]
        tokens = self._embedded(x)
        slots = memory.to(tokens.dtype)
        h = torch.cat([slots[:, : model.in_front], tokens, slots[:, : model.at_back]], dim=1)
        mask = None if real is None else nn.functional.pad(real, (model.in_front, model.at_back), value=True)
        positions = self._of_these(model.places(x.device), n)
        known = iter(codes)
        for layer, coded in zip(model.layers, self.coded, strict=True):
            h, _, _ = layer(h, positions, mask, None, self._of_these(next(known), n) if coded else None)
        if model.final_norm is not None:
            h = model.final_norm(h)
        new = (h[:, b:] if model.at_back else h[:, :a]).to(memory.dtype)
        if real is not None:
            # A segment of padding alone leaves memory as it is.
            new = torch.where(real.any(1)[:, None, None], new, memory)
        total = each = None
        if config.readout == "pool":
            wide = h[:, a:b].to(state_dtype(h.dtype))
            total = (wide if real is None else wide.masked_fill(~real[:, :, None], 0.0)).sum(1)
        if config.loss_at == "segments":
            here = None if total is None else total / (n if real is None else real.sum(1, keepdim=True).clamp_min(1))
            each = model.read(new, here)
        return SegmentOutput(new, total, each)

    def _of_these(self, rows: Tensor, n: int) -> Tensor:
        """The rows of a whole segment that a segment of n tokens has."""
        whole, a = self.model.config.length_of_segment, self.model.in_front
        return rows if n == whole else torch.cat([rows[: a + n], rows[a + whole :]])

    def _embedded(self, x: Tensor) -> Tensor:
        model = self.model
        x = x.to(model.embed.weight.dtype) if x.is_floating_point() else model.embed(x)
        if model.embed_projection is not None:
            x = model.embed_projection(x)
        if model.embed_positions is not None:
            x = x + model.embed_positions.weight[: x.shape[1]]
        if model.embedding_norm is not None:
            x = model.embedding_norm(x)
        out: Tensor = model.dropout(x)
        return out


class _Classifier(RMAATPreTrainedModel):
    """Dropout and loss of the classifiers, at the end or at every segment."""

    # The library would take the loss for one that is divided by the samples of all accumulated batches.
    accepts_loss_kwargs = False

    def __init__(self, config: RMAATConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels or 1
        self.classifier_dropout = Dropout(float(config.classifier_dropout))

    def _dropped(self, read: Tensor, layer: nn.Linear) -> Tensor:
        """Dropout, and the dtype of the layer that comes next: memory and pool are float32 whatever the weights are."""
        out: Tensor = self.classifier_dropout(read)
        return out.to(layer.weight.dtype)

    def _answered(
        self,
        logits_of: Callable[[Tensor], Tensor],
        read: Tensor,
        reads: Tensor | None,
        segments: Tensor,
        labels: Tensor | None,
    ) -> SequenceClassifierOutput:
        """reads ``[T, batch, ...]`` of every segment, of which every row has its first `segments`."""
        logits, loss = logits_of(read), None
        if labels is not None and reads is None:
            loss = classification_loss(logits, labels, self.config.problem_type)
        elif labels is not None and reads is not None:
            # A row without tokens counts once, with the memory it was given.
            counted = torch.arange(len(reads), device=segments.device)[:, None] < segments.clamp_min(1)
            wanted = labels[None].expand(len(reads), *labels.shape)[counted]
            loss = classification_loss(logits_of(reads[counted]), wanted, self.config.problem_type)
        return SequenceClassifierOutput(loss=loss, logits=logits)  # type: ignore[arg-type]


class RMAATForSequenceClassification(_Classifier):
    """A linear output on the read-out of a text.

    Raises ModelError, before any work, for tokens outside the vocabulary, labels out of range, a mask of another shape, a text
    without columns or longer than T segments.
    """

    def __init__(self, config: RMAATConfig) -> None:
        super().__init__(config)
        self.model = RMAATModel(config)
        self.classifier = nn.Linear(config.read_width, self.num_labels)
        self.post_init()

    def _logits(self, read: Tensor) -> Tensor:
        out: Tensor = self.classifier(self._dropped(read, self.classifier))
        return out

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_segments: int | None = None,
        watch_memory: Watch | None = None,
        memory: Tensor | None = None,
        backpropagation: str | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits ``[batch, num_labels]``; inputs as `RMAATModel.forward`, labels as `classification_loss`."""
        check_arguments(self, kwargs)
        given = input_ids if input_ids is not None else inputs_embeds
        if labels is not None and given is not None:
            check_labels(labels, given.shape[0], self.config)
        out = self.model(
            input_ids,
            attention_mask,
            inputs_embeds,
            memory,
            num_segments,
            watch_memory,
            backpropagation,
            return_dict=True,
        )
        return self._answered(self._logits, out.read, out.reads, out.segments, labels)


class RMAATForRetrieval(_Classifier):
    """Do two texts belong together? One network reads both; a perceptron compares [u, v, u v, u - v] (Long Range Arena's towers).

    Raises ModelError as `RMAATForSequenceClassification`, and for inputs that are no pairs.
    """

    network = "retrieval"

    def __init__(self, config: RMAATConfig) -> None:
        super().__init__(config)
        self.model = RMAATModel(config)
        self.compare = nn.Linear(4 * config.read_width, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()

    def _logits(self, read: Tensor) -> Tensor:
        u, v = read[..., 0, :], read[..., 1, :]
        pair = torch.cat([u, v, u * v, u - v], dim=-1)
        hidden = nn.functional.gelu(self.compare(self._dropped(pair, self.compare)))
        out: Tensor = self.classifier(hidden)
        return out

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        backpropagation: str | None = None,
        num_segments: int | None = None,
        watch_memory: Watch | None = None,
        second_input_ids: Tensor | None = None,
        second_attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits ``[batch, num_labels]`` of input_ids ``[batch, 2, time]``; attention_mask alike, labels ``[batch]``.

        second_input_ids : the second texts ``[batch, other time]``, and input_ids then the first ones ``[batch, time]``; masks
            alike, both or neither.
        Each text has T segments of its own. With a loss at all segments, segment t of one text is compared with segment t of
        the other as far as both have tokens.
        """
        if second_input_ids is not None:
            input_ids, attention_mask = _paired(input_ids, second_input_ids, attention_mask, second_attention_mask)
        if input_ids.dim() != 3 or input_ids.shape[1] != 2:
            raise ModelError(f"input_ids are {tuple(input_ids.shape)}; expected pairs of texts [batch, 2, time]")
        if attention_mask is not None and attention_mask.shape != input_ids.shape:
            raise ModelError(f"attention_mask is {tuple(attention_mask.shape)}; expected {tuple(input_ids.shape)}")
        check_arguments(self, kwargs)
        batch = input_ids.shape[0]
        if labels is not None:
            check_labels(labels, batch, self.config)
        mask = None if attention_mask is None else attention_mask.flatten(0, 1)
        out = self.model(
            input_ids.flatten(0, 1), mask, num_segments=num_segments, watch_memory=watch_memory, backpropagation=backpropagation,
            return_dict=True,
        )  # fmt: skip
        assert out.read is not None and out.segments is not None
        reads = None if out.reads is None else out.reads.unflatten(1, (batch, 2))
        read = out.read.unflatten(0, (batch, 2))
        return self._answered(self._logits, read, reads, out.segments.view(batch, 2).amin(1), labels)


def _paired(
    first: Tensor, second: Tensor, first_mask: Tensor | None, second_mask: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Two texts ``[batch, time]`` of lengths of their own as pairs ``[batch, 2, time]``, the shorter one padded."""
    if first.dim() != 2 or second.dim() != 2 or len(first) != len(second):
        raise ModelError(
            f"input_ids are {tuple(first.shape)} and second_input_ids {tuple(second.shape)}; expected [batch, time] of one batch"
        )
    if (first_mask is None) != (second_mask is None):
        raise ModelError("one of attention_mask and second_attention_mask is given; give both or neither")
    time = max(first.shape[1], second.shape[1])

    def stacked(a: Tensor, b: Tensor) -> Tensor:
        return torch.stack([nn.functional.pad(x, (0, time - x.shape[1])) for x in (a, b)], dim=1)

    if first_mask is None or second_mask is None:
        if first.shape[1] != second.shape[1]:
            raise ModelError(
                f"texts have {first.shape[1]} and {second.shape[1]} tokens and no masks; give attention_mask and "
                "second_attention_mask"
            )
        return stacked(first, second), None
    return stacked(first, second), stacked(first_mask, second_mask)
