"""Configuration of the astromorphic transformer, checked by name at construction."""

from __future__ import annotations

import difflib
import math
import os
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig

from ..errors import ModelError
from ..ops.features import DISTANCES
from ..ops.response import make_response
from ..ops.state import PLACEMENTS
from .presets import PRESETS

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

MIXERS = ("astromorphic", "softmax", "linear", "kozachkov", "none")
NORM_PLACEMENTS = ("post", "pre")

# What the library itself writes into config.json or passes on, beyond the declared fields.
_LIBRARY_KEYS = frozenset(
    {
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "_name_or_path",
        "attn_implementation",
        "experts_implementation",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "torch_dtype",
        "transformers_version",
    }
)


class AstromorphicConfig(PreTrainedConfig):
    """Architecture of a decoder whose attention is divided by a calcium response.

    Widths: `hidden_size` D, `num_attention_heads` h, values of width d = D/h per head, queries and keys of width
    m = `hidden_dim` per head (default D/h). The paper uses one letter for m and for 1/`hebbian_scale`; here they are
    separate settings.

    Args:
        hebbian_scale: s in H = sigma(s S); None means 1/`max_position_embeddings`. It is constant in time, so that
            chunks and steps agree.
        sigmoid_placement: "inside" sigma(sS) (eq. 11), "outside" s sigma(S) (eq. 18), "none" sS (Algorithm 1),
            "centred" tanh(sS/2) (ours).
        mixer: "astromorphic", or a control: "softmax", "linear" (Katharopoulos), "kozachkov" (`hebbian_scale` times
            linear), "none" (branch off).
        response: {"family": "power" | "hyperbola" | "logarithm", "parameters": {...}}; None means power with alpha =
            0.25.
        branch_gain: fixed factor on the attention branch, for gain-matched comparisons.
        learnable_gain: one factor per head, starting at 1, on top of `branch_gain`.
        position_code: W_astro of eq. 12 in the key features; `distance` is "absnorm" |i-j|/(N-1) or "exp"
            exp(-`distance_decay` |i-j|).
        position_matrix_std: std of M at initialisation; None means 1/sqrt(max_position_embeddings).
        position_embeddings: learned absolute position embeddings added to the input; `embedding_norm` normalises the
            sum.
        initializer_range: std of the embeddings at initialisation; linear layers start with std 1/sqrt(inputs), those
            of queries and keys with `query_key_init` times that (sharper features from the start).
        norm_placement: "post" as in the paper or "pre"; `second_norm` is the norm after the feed-forward block (eq.
            18 lacks it).
        causal: False gives the literal eq. 18, one global state for all positions. It leaks the future and is not a
            language model.
        macro_digest: digest of the macro parameters that the response came from, if any.
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
    hebbian_scale: float | int | None = None
    sigmoid_placement: str = "centred"
    mixer: str = "astromorphic"
    response: dict | None = None
    branch_gain: float | int = 1.0
    learnable_gain: bool = True
    position_code: bool = True
    distance: str = "absnorm"
    distance_decay: float | int = 0.05
    position_matrix_std: float | int | None = None
    position_embeddings: bool = True
    embedding_norm: bool = False
    out_proj: bool = True
    norm_placement: str = "post"
    second_norm: bool = True
    dropout: float | int = 0.0
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
        unknown = sorted(set(kwargs) - _LIBRARY_KEYS)
        if unknown:
            known = _own_fields()
            nearest = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ModelError(
                f"AstromorphicConfig has no setting {unknown[0]!r}{hint} (all: {', '.join(sorted(known))})"
            )
        if self.response is None:
            self.response = {"family": "power", "parameters": {"alpha": 0.25}}
        if self.hidden_dim is None and _is_count(self.hidden_size) and _is_count(self.num_attention_heads):
            self.hidden_dim = max(1, self.hidden_size // self.num_attention_heads)
        if self.hebbian_scale is None and _is_count(self.max_position_embeddings):
            self.hebbian_scale = 1.0 / self.max_position_embeddings
        super().__post_init__(**kwargs)
        # Called here, not through the library's @strict: that would wrap every message in a second error that is no ValueError.
        self.validate_architecture()

    def settings(self) -> dict[str, Any]:
        """The fields declared here, as plain JSON values; ``AstromorphicConfig(**settings)`` gives the same architecture."""
        return {name: getattr(self, name) for name in _own_fields()}

    @property
    def head_width(self) -> int:
        """d, the width of a value per head."""
        return self.hidden_size // self.num_attention_heads

    def validate_architecture(self) -> None:
        """Check types, ranges and how the widths fit; ValueError names the setting, its value and what was expected."""
        for name in (
            "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
            "intermediate_size", "max_position_embeddings", "hidden_dim",
        ):  # fmt: skip
            value = getattr(self, name)
            if not _is_count(value):
                raise ModelError(f"{name} is {value!r}; expected a whole number of at least 1")
        if self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"hidden_size is {self.hidden_size}; expected a multiple of num_attention_heads = {self.num_attention_heads}"
            )
        for name in (
            "learnable_gain", "position_code", "position_embeddings", "embedding_norm", "out_proj", "second_norm",
            "causal", "use_cache", "tie_word_embeddings",
        ):  # fmt: skip
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ModelError(f"{name} is {value!r}; expected True or False")
        for name in (
            "hebbian_scale",
            "branch_gain",
            "distance_decay",
            "layer_norm_eps",
            "initializer_range",
            "query_key_init",
        ):
            _check_number(name, getattr(self, name), low=0.0, open_low=True)
        if self.position_matrix_std is not None:
            _check_number("position_matrix_std", self.position_matrix_std, low=0.0, open_low=True)
        _check_number("dropout", self.dropout, low=0.0, high=1.0)
        for name, choices in (
            ("mixer", MIXERS),
            ("sigmoid_placement", PLACEMENTS),
            ("distance", DISTANCES),
            ("norm_placement", NORM_PLACEMENTS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ModelError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
        if not self.causal and self.mixer != "astromorphic":
            raise ModelError(f"causal=False is the literal eq. 18 of mixer 'astromorphic'; got mixer {self.mixer!r}")
        if self.macro_digest is not None and not isinstance(self.macro_digest, str):
            raise ModelError(f"macro_digest is {self.macro_digest!r}; expected a hexadecimal string or None")
        response = self.response
        shaped = isinstance(response, dict) and set(response) == {"family", "parameters"}
        if not shaped or not isinstance(response["parameters"], dict):  # type: ignore[index]
            raise ModelError(f'response is {response!r}; expected {{"family": ..., "parameters": {{...}}}}')
        make_response(response["family"], response["parameters"])  # type: ignore[index]
        super().validate_architecture()

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> AstromorphicConfig:
        """The named preset ("tuned", "paper_eq11", "kozachkov", ...) with `settings` on top."""
        if name not in PRESETS:
            nearest = difflib.get_close_matches(name, PRESETS, n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ModelError(f"preset is {name!r}; expected one of {', '.join(PRESETS)}{hint}")
        hidden_size = settings.get("hidden_size", cls.hidden_size)
        width = settings.get("hidden_dim") or hidden_size // settings.get(
            "num_attention_heads", cls.num_attention_heads
        )
        fields = {k: v(hidden_size, width) if callable(v) else v for k, v in PRESETS[name].items()}
        return cls(**{**fields, **settings})

    @classmethod
    def from_macro(cls, macro: str | os.PathLike[str] | MacroParameters, **settings: Any) -> AstromorphicConfig:
        """The `tuned` preset with the response that was fitted to the biology, from macro.json or its parsed form.

        The digest of the macro parameters is kept in the config, so that a checkpoint names the biology it was built
        from.
        """
        from bridge.artifact import MacroParameters

        parsed = MacroParameters.load(os.fspath(macro)) if isinstance(macro, str | os.PathLike) else macro
        spec = parsed.response_function()
        response = {"family": str(spec.family), "parameters": {k: float(v) for k, v in spec.parameters.items()}}
        digest = parsed.digest
        return cls.from_preset("tuned", **{"response": response, "macro_digest": digest, **settings})


def _own_fields() -> list[str]:
    return [name for name in AstromorphicConfig.__annotations__ if not name.startswith("_")]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_number(name: str, value: object, *, low: float, high: float = math.inf, open_low: bool = False) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not low <= value < high
        or (open_low and value == low)
    ):
        span = f"above {low:g}" if open_low else f"at least {low:g}"
        ceiling = "" if high == math.inf else f" and below {high:g}"
        raise ModelError(f"{name} is {value!r}; expected a finite number {span}{ceiling}")
