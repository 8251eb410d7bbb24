"""Configuration of the astromorphic transformer, checked by name at construction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bridge.artifact import available_memory

from ..choices import did_you_mean
from ..errors import ModelError
from ..macro_config import MacroConfig
from ..macro_file import parsed_macro
from ..ops.calcium import READINGS
from ..ops.features import DISTANCES
from ..ops.random_features import RANDOM_FEATURES
from ..ops.response import make_response
from ..ops.state import PLACEMENTS
from ..settings import LARGEST_COUNT, LIBRARY_KEYS, check_choice, check_count, check_number, is_whole, shown
from .layout import Layout
from .presets import NETWORKS, PRESETS

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

FEATURE_MAPS = ("elu", *RANDOM_FEATURES)
MIXERS = ("astromorphic", "softmax", "linear", "kozachkov", "none")
NORM_PLACEMENTS = ("post", "pre")
DROPOUT_PLACEMENTS = ("branch", "residual")
POOLINGS = ("mean", "first", "last")
STEMS = ("conv", "patch", "coatnet")
SCALES = ("head_width",)

# Beyond any sensible start: features and logits overflow in the first forward pass.
_LARGEST_INIT = 1e3


class AstromorphicConfig(MacroConfig):
    """Architecture of a decoder whose attention is divided by a calcium response.

    Widths: `hidden_size` D, `num_attention_heads` h, values of width d = D/h per head, queries and keys of width
    m = `hidden_dim` per head (default D/h). The paper uses one letter for m and for 1/`hebbian_scale`; here they are
    separate settings.

    Args:
        hebbian_scale: s in H = sigma(s S), a number, "head_width" for 1/m, or None: 1/`max_position_embeddings` in the
            decoder, constant in time, so that chunks and steps agree; 1/N_valid of each row in the encoder, so that padding
            changes nothing.
        sigmoid_placement: "inside" sigma(sS) (eq. 11), "outside" s sigma(S) (eq. 18), "none" sS (Algorithm 1),
            "centred" tanh(sS/2) (ours).
        mixer: "astromorphic", or a control: "softmax", "linear" (Katharopoulos), "kozachkov" (`hebbian_scale` times
            linear), "none" (branch off).
        response: {"family": ..., "parameters": {...}}, see `models.ops.response`; None means power with alpha =
            0.25.
        calcium_reading: how activation becomes calcium g (`models.ops.calcium`): "sum_then_power" (eq. 14), or, as labelled
            readings of Algorithm 1, "power_then_sum", "scalar", "running".
        branch_gain: fixed factor on the attention branch, for gain-matched comparisons.
        learnable_gain: one factor per head, starting at 1, on top of `branch_gain`.
        branch_norm: every token's branch divided by its root mean square per head, before the gains: variants then differ in
            shape only.
        feature_map: phi: "elu" + 1 (eq. 4), or random features of exp(q . k / sqrt(d)) (`models.ops.random_features`):
            "exponential", "cosine", "truncated" (at `feature_clip`), "positive_cosine". Their weights are fixed, drawn with
            `feature_seed`, with rows orthogonal in blocks of d if `orthogonal_features`; queries and keys then have width d
            and m = `hidden_dim` is the number of features.
        position_code: W_astro of eq. 12 in the key features; `distance` (`models.ops.features.DISTANCES`) is "absnorm"
            |i-j|/(N-1), "exp" exp(-`distance_decay` |i-j|), "raw" |i-j|, "signed" (i-j)/(N-1), "clipped" min(|i-j|,
            `distance_clip`), "grid" (rows and columns of an image, both normalised), or "none": W_astro = phi(M), a code learned
            without distances.
        share_position_matrix: one M for all heads instead of one per head.
        position_matrix_std: std of M at initialisation; None means 1/sqrt(max_position_embeddings).
        position_embeddings: learned absolute position embeddings added to the input; `embedding_norm` normalises the
            sum.
        embedding_size: width of the token embedding, if it is not D: a linear layer leads from it to D (GloVe: 300);
            `train_embeddings` False freezes the embedding, not that layer.
        initializer_range: std of the embeddings at initialisation; linear layers start with std 1/sqrt(inputs), those
            of queries and keys with `query_key_init` times that (sharper features from the start).
        norm_placement: "post" as in the paper or "pre"; `second_norm` is the norm after the feed-forward block (eq.
            18 lacks it).
        dropout_placement: "branch" (each branch before it is added) or "residual" (the sum, before the norm: the paper's
            IMDB); post-norm only. stochastic_depth: probability that the last layer's branches are left out of a sample while
            training, rising linearly from 0 over the layers.
        pooling: of the classifiers: "mean" over real tokens, "first", "last". classifier_dropout: on the pooled vector.
        image_size: pixels, one number or [height, width]; patch_size: side of a patch in pixels; stem: "conv" (one 3 x 3
            convolution of `stem_channels`, default D/2, then patches), "patch" (patches of pixels) or "coatnet" (two
            convolutions and log2(patch_size) + 1 stages of `stem_depth` MBConv blocks).
        causal: False gives the literal eq. 18, one global state for all positions. It leaks the future and is not a
            language model. Classifiers are always bidirectional, whatever this says.
        macro_digest: digest of the macro parameters that the response came from, if any.

    Raises ModelError for an unknown setting, a value of another type or range, or widths that do not fit together.
    """

    model_type = "astromorphic"
    keys_to_ignore_at_inference = ["past_key_values"]  # noqa: RUF012 (the library's own declaration)

    vocab_size: int = 256
    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 128
    hidden_dim: int | None = None
    hebbian_scale: float | int | str | None = None
    sigmoid_placement: str = "centred"
    mixer: str = "astromorphic"
    response: dict | None = None
    calcium_reading: str = "sum_then_power"
    branch_gain: float | int = 1.0
    learnable_gain: bool = True
    branch_norm: bool = False
    feature_map: str = "elu"
    orthogonal_features: bool = False
    feature_seed: int = 0
    feature_clip: float | int = 10.0
    position_code: bool = True
    distance: str = "absnorm"
    distance_decay: float | int = 0.05
    distance_clip: int = 16
    share_position_matrix: bool = False
    position_matrix_std: float | int | None = None
    position_embeddings: bool = True
    embedding_norm: bool = False
    embedding_size: int | None = None
    train_embeddings: bool = True
    out_proj: bool = True
    norm_placement: str = "post"
    second_norm: bool = True
    dropout: float | int = 0.0
    dropout_placement: str = "branch"
    stochastic_depth: float | int = 0.0
    pooling: str = "mean"
    classifier_dropout: float | int = 0.0
    image_size: int | list = 32
    patch_size: int = 2
    num_channels: int = 3
    stem: str = "conv"
    stem_channels: int | None = None
    stem_depth: int = 2
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    query_key_init: float | int = 1.0
    causal: bool = True
    macro_digest: str | None = None
    use_cache: bool = True
    tie_word_embeddings: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        # The library would pass anything on, and fails where a range of labels is made from it.
        labels = kwargs.get("num_labels")
        if labels is not None and not _is_count(labels):
            raise ModelError(f"num_labels is {shown(labels)}; expected a whole number of at least 1")
        unknown = sorted(set(kwargs) - LIBRARY_KEYS)
        if unknown:
            known = self._own_fields()
            raise ModelError(
                f"{type(self).__name__} has no setting {unknown[0]!r}; {did_you_mean(unknown[0], known)}choose from "
                f"{', '.join(sorted(known))}"
            )
        if self.response is None:
            self.response = {"family": "power", "parameters": {"alpha": 0.25}}
        if self.hidden_dim is None and _is_count(self.hidden_size) and _is_count(self.num_attention_heads):
            self.hidden_dim = max(1, self.hidden_size // self.num_attention_heads)
        try:
            super().__post_init__(**kwargs)
        except AttributeError as error:  # the library looks the name of a dtype up in torch
            raise ModelError(f"dtype is {shown(self.dtype)}; expected the name of a torch dtype ({error})") from error
        # Called here, not through the library's @strict: that would wrap every message in a second error that is no ValueError.
        self.validate_architecture()

    def settings(self) -> dict[str, Any]:
        """The fields declared here, as plain JSON values; ``AstromorphicConfig(**settings)`` gives the same architecture."""
        return {name: getattr(self, name) for name in self._own_fields()} | {"num_labels": self.num_labels}

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of an image in pixels."""
        size = self.image_size
        return (size[0], size[1]) if isinstance(size, list | tuple) else (size, size)

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        height, width = self.image_shape
        return height // self.patch_size, width // self.patch_size

    @property
    def query_width(self) -> int:
        """Width of queries and keys per head: m, or d before random features."""
        return int(self.hidden_dim or self.head_width) if self.feature_map == "elu" else self.head_width

    @property
    def head_width(self) -> int:
        """d, the width of a value per head."""
        return self.hidden_size // self.num_attention_heads

    def scale_for(self, layout: Layout) -> float | None:
        """s of H = sigma(s S): `hebbian_scale`, or 1/N_max for a decoder; None means 1/N_valid, row by row (encoder)."""
        if self.hebbian_scale == "head_width":
            return 1.0 / int(self.hidden_dim or self.head_width)
        if self.hebbian_scale is not None:
            return float(self.hebbian_scale)
        return None if layout.bidirectional else 1.0 / layout.length

    def validate_architecture(self) -> None:
        """Check types, ranges and how the widths fit; ModelError names the setting, its value and what was expected."""
        for name in (
            "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
            "intermediate_size", "max_position_embeddings", "hidden_dim", "distance_clip", "patch_size", "num_channels",
            "stem_depth",
        ):  # fmt: skip
            check_count(name, getattr(self, name))
        for name in ("embedding_size", "stem_channels"):
            value = getattr(self, name)
            if value is not None and not _is_count(value):
                raise ModelError(f"{name} is {shown(value)}; expected None or a whole number of at least 1")
        if self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"hidden_size is {self.hidden_size}; expected a multiple of num_attention_heads = {self.num_attention_heads}"
            )
        for name in (
            "learnable_gain", "position_code", "position_embeddings", "embedding_norm", "out_proj", "second_norm",
            "causal", "use_cache", "tie_word_embeddings", "branch_norm", "orthogonal_features", "share_position_matrix",
            "train_embeddings",
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ModelError(f"{name} is {shown(value)}; expected True or False")
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            if value is not None and (not is_whole(value) or not 0 <= value < self.vocab_size):
                raise ModelError(
                    f"{name} is {shown(value)}; expected None or a whole number from 0 to {self.vocab_size - 1}"
                )
        if not is_whole(self.feature_seed) or not 0 <= self.feature_seed < 2**32:
            raise ModelError(
                f"feature_seed is {shown(self.feature_seed)}; expected a whole number from 0 to 4294967295"
            )
        if isinstance(self.hebbian_scale, str) and self.hebbian_scale not in SCALES:
            raise ModelError(
                f"hebbian_scale is {shown(self.hebbian_scale)}; expected a finite number above 0, None or "
                + " or ".join(map(repr, SCALES))
            )
        if self.hebbian_scale is not None and not isinstance(self.hebbian_scale, str):
            check_number("hebbian_scale", self.hebbian_scale, low=0.0, open_low=True)
        for name in ("branch_gain", "distance_decay", "layer_norm_eps", "feature_clip"):
            check_number(name, getattr(self, name), low=0.0, open_low=True)
        for name in ("initializer_range", "query_key_init", "position_matrix_std"):
            if name != "position_matrix_std" or self.position_matrix_std is not None:
                check_number(name, getattr(self, name), low=0.0, high=_LARGEST_INIT, open_low=True)
        for name in ("dropout", "stochastic_depth", "classifier_dropout"):
            check_number(name, getattr(self, name), low=0.0, high=1.0)
        for name, choices in (
            ("mixer", MIXERS),
            ("sigmoid_placement", PLACEMENTS),
            ("distance", DISTANCES),
            ("norm_placement", NORM_PLACEMENTS),
            ("calcium_reading", READINGS),
            ("feature_map", FEATURE_MAPS),
            ("dropout_placement", DROPOUT_PLACEMENTS),
            ("pooling", POOLINGS),
            ("stem", STEMS),
        ):
            check_choice(name, getattr(self, name), choices)
        if not self.causal and self.mixer != "astromorphic":
            raise ModelError(f"causal=False is the literal eq. 18 of mixer 'astromorphic'; got mixer {self.mixer!r}")
        if self.macro_digest is not None and not isinstance(self.macro_digest, str):
            raise ModelError(f"macro_digest is {shown(self.macro_digest)}; expected a hexadecimal string or None")
        if self.dropout_placement == "residual" and self.norm_placement == "pre":
            raise ModelError(
                'dropout_placement is "residual" and norm_placement "pre", which has no norm after the sum; use "branch"'
            )
        _check_image_size(self.image_size, self.patch_size)
        _check_response(self.response)
        family = self.response["family"] if self.response else "power"
        if self.feature_map == "cosine" and family != "power" and self.mixer == "astromorphic":
            raise ModelError(
                f'feature_map is "cosine", whose sums may be negative, and response {family!r} is defined from 0 on; use '
                '"positive_cosine" or the family "power"'
            )
        super().validate_architecture()

    def num_parameters(self, network: str = "causal_lm") -> int:
        """Parameters of a network of this configuration, its output layer included, without building it.

        network : "causal_lm", "sequence" or "image".
        """
        _check_network(network)
        wide = self.hidden_size
        norm = 2 * wide
        total = self.num_hidden_layers * self._layer_parameters(network)
        total += self._positions(network) * wide if self.position_embeddings else 0
        total += norm if self.embedding_norm else 0
        total += norm if self.norm_placement == "pre" else 0
        if network != "causal_lm":
            total += (wide + 1) * int(self.num_labels or 1)
        if network == "image":
            return total + self._stem_parameters()
        total += self.vocab_size * (self.embedding_size or wide)
        total += (self.embedding_size + 1) * wide if self.embedding_size is not None else 0
        return total + (self.vocab_size * wide if network == "causal_lm" and not self.tie_word_embeddings else 0)

    def _layer_parameters(self, network: str) -> int:
        wide, heads = self.hidden_size, self.num_attention_heads
        norm = 2 * wide
        layer = norm + (wide + 1) * self.intermediate_size + (self.intermediate_size + 1) * wide
        if self.second_norm or self.norm_placement == "pre":
            layer += norm
        if self.mixer != "none":
            layer += 2 * (wide + 1) * heads * self.query_width + (wide + 1) * wide
            layer += (wide + 1) * wide if self.out_proj else 0
            layer += heads if self.learnable_gain else 0
            if self._is_coded:
                matrices = 1 if self.share_position_matrix else heads
                layer += matrices * int(self.hidden_dim or self.head_width) * self._positions(network)
        return layer

    def _positions(self, network: str) -> int:
        rows, columns = self.patch_grid
        return rows * columns if network == "image" else self.max_position_embeddings

    def _stem_parameters(self) -> int:
        import torch

        from .stem import ImageStem

        with torch.device("meta"):
            return sum(p.numel() for p in ImageStem(self).parameters())

    @property
    def _is_coded(self) -> bool:
        return self.position_code and self.mixer == "astromorphic"

    def check_memory(self, copies: int = 1, network: str = "causal_lm") -> None:
        """Raise ModelError, before anything is allocated, if the weights cannot fit into this machine's memory.

        `copies` is how often each weight is held in float32: 1 to run the model, 4 to train it (weight, gradient and
        the two moments of AdamW). The matrix of distances between positions, which the position code needs, counts too.
        """
        limit = available_memory()
        parameters = self.num_parameters(network)
        weights = 4 * copies * parameters
        distances = 4 * self._positions(network) ** 2 if self._is_coded else 0
        if weights + distances > limit:
            raise ModelError(
                f"the network has {parameters:,} parameters and needs {_gib(weights + distances)} GiB "
                f"({_gib(weights)} for weights, {_gib(distances)} for distances of positions), but "
                f"{_gib(limit)} GiB of memory are free; lower hidden_size = {self.hidden_size}, num_hidden_layers = "
                f"{self.num_hidden_layers}, intermediate_size = {self.intermediate_size} or max_position_embeddings = "
                f"{self.max_position_embeddings}"
            )

    @classmethod
    def from_preset(cls, name: str, *, network: str = "causal_lm", **settings: Any) -> AstromorphicConfig:
        """The named preset ("tuned", "paper_eq11", "kozachkov", ...) with `settings` on top; ModelError as for the class.

        network : "causal_lm", "sequence" or "image", for which the same reading has other numbers: the paper's Hebbian scale
            is 1/(100 D) for WikiText-2 and 1/(500 D) for IMDB and CIFAR-10, its dropout on IMDB acts on the sum, and distances
            of images have two dimensions. The scale and the distance are settings like any other and may be given here.
        """
        _check_network(network)
        if not isinstance(name, str) or name not in PRESETS:
            raise ModelError(
                f"preset is {shown(name)}; {did_you_mean(name, PRESETS)}expected one of {', '.join(PRESETS)}"
            )
        hidden_size = settings.get("hidden_size", cls.hidden_size)
        heads = settings.get("num_attention_heads", cls.num_attention_heads)
        width = settings.get("hidden_dim")
        if width is None and _is_count(hidden_size) and _is_count(heads):
            width = max(1, hidden_size // heads)
        # Sizes that are no sizes leave the entries worked out from them open: the constructor names the fault.
        usable = _is_count(hidden_size) and _is_count(width)
        fields = {
            k: v(hidden_size, width) if callable(v) else v
            for k, v in {**PRESETS[name], **NETWORKS[network].get(name, {})}.items()
            if usable or not callable(v)
        }
        return cls(**{**fields, **settings})

    @classmethod
    def from_macro(
        cls,
        macro: str | os.PathLike[str] | MacroParameters,
        *,
        use_distance: bool = False,
        network: str = "causal_lm",
        **settings: Any,
    ) -> AstromorphicConfig:
        """The `tuned` preset with the response that was fitted to the biology, from macro.json or its parsed form.

        The config keeps the digest of the macro parameters and carries the file, which `save_pretrained` writes beside
        config.json, so that a checkpoint names the biology it was built from.

        use_distance : also take the section `distance`: positions fall off as exp(-scale |i - j|), one token for one distance
            between neighbouring synapses.
        network : as in `from_preset`.

        Raises MacroError for a file that is missing or damaged or lacks the section, ModelError for anything else that does
        not fit.
        """
        parsed = parsed_macro(macro)
        fields = _response_fields(parsed)
        if use_distance:
            given = sorted({"distance", "distance_decay"} & set(settings))
            if given:
                raise ModelError(f"use_distance is True and {given[0]} is given; give one of the two")
            fields |= {"distance": "exp", "distance_decay": float(parsed.section("distance").scale)}
        config = cls.from_preset("tuned", network=network, **{**fields, **settings})
        # A caller who names another digest in the settings says that the response is no longer the file's.
        if config.macro_digest == parsed.digest:
            config.carry(parsed)
        return config

    @classmethod
    def _own_fields(cls) -> list[str]:
        """Names of the settings declared here and in classes between, in order."""
        declared = [c for c in reversed(cls.__mro__) if issubclass(c, AstromorphicConfig)]
        return list(dict.fromkeys(n for c in declared for n in c.__annotations__ if not n.startswith("_")))

    @classmethod
    def _macro_fields(cls, macro: MacroParameters) -> dict[str, Any]:
        """The settings that come from a macro file, its digest included."""
        return _response_fields(macro)


def _response_fields(macro: MacroParameters) -> dict[str, Any]:
    spec = macro.response_function()
    response = {"family": str(spec.family), "parameters": {k: float(v) for k, v in spec.parameters.items()}}
    return {"response": response, "macro_digest": macro.digest}


def _is_count(value: object) -> bool:
    return is_whole(value) and 1 <= value <= LARGEST_COUNT  # type: ignore[operator]


def _check_response(response: object) -> None:
    if (
        not isinstance(response, dict)
        or set(response) != {"family", "parameters"}
        or not isinstance(response["family"], str)
        or not isinstance(response["parameters"], dict)
        or not all(isinstance(name, str) for name in response["parameters"])
    ):
        raise ModelError(
            f'response is {shown(response)}; expected {{"family": ..., "parameters": {{...}}}} with a name and numbers by name'
        )
    for name, value in response["parameters"].items():
        check_number(f"response {response['family']}: {name}", value, low=0.0, open_low=True)
    make_response(response["family"], response["parameters"])


def _check_network(network: object) -> None:
    check_choice("network", network, NETWORKS)


def _check_image_size(size: object, patch: int) -> None:
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(_is_count(side) for side in sides):
        raise ModelError(f"image_size is {shown(size)}; expected pixels, one whole number or [height, width]")
    if any(side % patch for side in sides):  # type: ignore[operator]
        raise ModelError(f"image_size is {shown(size)}; expected multiples of patch_size = {patch}")


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.1f}"
