"""Classifiers of texts and images: the bidirectional layer, pooling and one linear output; all mixers share the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput, ImageClassifierOutput, SequenceClassifierOutput

from ..errors import ModelError
from ..ops.dropout import Dropout
from .configuration_astromorphic import AstromorphicConfig
from .inputs import check_labels, check_pixels, checked_text, wants_hidden_states
from .layout import Layout
from .modeling_astromorphic import AstromorphicBlock, AstromorphicModel, AstromorphicPreTrainedModel
from .stem import ImageStem


def pool(x: Tensor, mask: Tensor | None, kind: str = "mean") -> Tensor:
    """One vector per row, ``[batch, model]`` from ``[batch, time, model]``: mean, first or last of the real tokens.

    mask ``[batch, time]``, True for real tokens. A row of nothing but padding gives 0.
    """
    if mask is None:
        return x.mean(dim=1) if kind == "mean" else x[:, 0 if kind == "first" else -1]
    # Replaced, not multiplied: 0 * NaN is NaN.
    x = x.masked_fill(~mask[:, :, None], 0.0)
    if kind == "mean":
        return x.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1).to(x.dtype)
    numbers = mask.long().cumsum(dim=1)
    wanted = 1 if kind == "first" else numbers[:, -1:].clamp_min(1)
    return (x * (mask & (numbers == wanted))[:, :, None].to(x.dtype)).sum(dim=1)


def classification_loss(logits: Tensor, labels: Tensor, problem: str | None) -> Tensor:
    """Mean loss of ``[batch, num_labels]`` in float32 or better: cross entropy in nats by default.

    labels : classes ``[batch]`` or shares of the classes ``[batch, num_labels]``; for "multi_label_classification" numbers
        from 0 to 1 (binary cross entropy), for "regression" targets (mean square).
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if problem == "regression":
        return F.mse_loss(wide, labels.to(wide.dtype).view_as(wide))
    if problem == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(wide, labels.to(wide.dtype))
    return F.cross_entropy(wide, labels.to(wide.dtype) if labels.is_floating_point() else labels.long())


class _Classifier(AstromorphicPreTrainedModel):
    """What both classifiers share: the output layer and the loss."""

    config: AstromorphicConfig
    config_class = AstromorphicConfig
    # The library would take the loss for one that is divided by the samples of all accumulated batches.
    accepts_loss_kwargs = False

    def __init__(self, config: AstromorphicConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels or 1
        self.classifier_dropout = Dropout(float(config.classifier_dropout))
        self.classifier = nn.Linear(config.hidden_size, self.num_labels)

    def _classified(self, pooled: Tensor, labels: Tensor | None) -> tuple[Tensor | None, Tensor]:
        logits = self.classifier(self.classifier_dropout(pooled))
        loss = None if labels is None else classification_loss(logits, labels, self.config.problem_type)
        return loss, logits


class AstromorphicForSequenceClassification(_Classifier):
    """The encoder with a linear output on the mean of the real tokens (or their first or last).

    Raises ModelError, before any work, for tokens outside the vocabulary, labels out of range, a mask of another shape, a
    sequence without tokens or with more than `max_position_embeddings`.
    """

    network = "sequence"

    def __init__(self, config: AstromorphicConfig) -> None:
        super().__init__(config)
        self.model = AstromorphicModel(config, bidirectional=True)
        self.post_init()

    @torch.no_grad()
    def load_embeddings(self, vectors: Tensor) -> None:
        """Put word vectors ``[vocab_size, embedding_size]`` (GloVe, for instance) into the token embedding.

        `train_embeddings` says whether they stay as they are. Raises ModelError for another shape or values not finite.
        """
        weight = self.model.embed.weight
        if tuple(vectors.shape) != tuple(weight.shape):
            raise ModelError(
                f"vectors are {tuple(vectors.shape)}; expected {tuple(weight.shape)}: set vocab_size and embedding_size to "
                "those of the vectors"
            )
        if not bool(torch.isfinite(vectors).all()):
            raise ModelError("vectors hold NaN or infinity; read their file again")
        weight.copy_(vectors)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput:
        """Logits ``[batch, num_labels]`` of input_ids ``[batch, time]`` or inputs_embeds ``[batch, time, embedding]``.

        attention_mask ``[batch, time]``, 0 for padding, which changes nothing; without one, `pad_token_id`, if set, is
        padding. labels ``[batch]``, or ``[batch, num_labels]`` as in `classification_loss`. output_hidden_states,
        output_attentions : as for `AstromorphicModel`.
        """
        every = wants_hidden_states(self.config, output_hidden_states, output_attentions)
        given, mask = checked_text(self.config, input_ids, inputs_embeds, attention_mask)
        if labels is not None:
            check_labels(labels, given.shape[0], self.config)
        if inputs_embeds is not None and mask is not None:
            # Whatever stands in the padding must not reach a weight's gradient, where 0 * NaN is NaN.
            inputs_embeds = inputs_embeds.masked_fill(~mask[:, :, None], 0.0)
        after = self.model(
            input_ids=input_ids, inputs_embeds=inputs_embeds, attention_mask=mask, use_cache=False,
            output_hidden_states=every, output_attentions=False,
        )  # fmt: skip
        loss, logits = self._classified(pool(after.last_hidden_state, mask, self.config.pooling), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=after.hidden_states)  # type: ignore[arg-type]


class AstromorphicVisionModel(AstromorphicPreTrainedModel):
    """Stem, position embeddings and layers; positions are the patches, row by row."""

    config: AstromorphicConfig
    config_class = AstromorphicConfig
    network = "image"
    main_input_name = "pixel_values"

    def __init__(self, config: AstromorphicConfig) -> None:
        super().__init__(config)
        if torch.empty(0).device.type != "meta":
            config.check_memory(network=self.network)
        rows, columns = config.patch_grid
        layout = Layout(rows * columns, bidirectional=True, grid=(rows, columns))
        self.stem = ImageStem(config)
        self.embed_positions = nn.Embedding(layout.length, config.hidden_size) if config.position_embeddings else None
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
        pixel_values: Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Hidden states ``[batch, patches, model]`` of pixel_values ``[batch, channels, height, width]``.

        output_hidden_states, output_attentions : as for `AstromorphicModel`.
        """
        every = wants_hidden_states(self.config, output_hidden_states, output_attentions)
        check_pixels(pixel_values, self.config)
        x = self.stem(pixel_values)
        positions = torch.arange(x.shape[1], device=x.device)
        if self.embed_positions is not None:
            x = x + self.embed_positions(positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        x = self.dropout(x)
        hidden: list[Tensor] = []
        for layer in self.layers:
            if every:
                hidden.append(x)
            x, _, _ = layer(x, positions, None, None)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return BaseModelOutput(last_hidden_state=x, hidden_states=(*hidden, x) if every else None)  # type: ignore[arg-type]


class AstromorphicForImageClassification(_Classifier):
    """Stem, encoder, GELU, pooling over patches, and one linear output.

    Raises ModelError, before any work, for images of another size or kind, and labels out of range.
    """

    network = "image"
    main_input_name = "pixel_values"

    def __init__(self, config: AstromorphicConfig) -> None:
        super().__init__(config)
        self.model = AstromorphicVisionModel(config)
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> ImageClassifierOutput:
        """Logits ``[batch, num_labels]`` of pixel_values ``[batch, channels, height, width]``; labels as for texts.

        output_hidden_states, output_attentions : as for `AstromorphicModel`.
        """
        every = wants_hidden_states(self.config, output_hidden_states, output_attentions)
        check_pixels(pixel_values, self.config)
        if labels is not None:
            check_labels(labels, pixel_values.shape[0], self.config)
        after = self.model(pixel_values, output_hidden_states=every, output_attentions=False)
        loss, logits = self._classified(pool(F.gelu(after.last_hidden_state), None, self.config.pooling), labels)
        return ImageClassifierOutput(loss=loss, logits=logits, hidden_states=after.hidden_states)  # type: ignore[arg-type]
