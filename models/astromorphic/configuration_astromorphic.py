"""Configuration of the astromorphic transformer, checked by name at construction."""

from __future__ import annotations

import difflib
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig

from bridge.artifact import available_memory

from ..errors import ModelError
from ..macro_file import content_of, for_checkpoint, parsed_macro, write_beside
from ..ops.features import DISTANCES
from ..ops.response import make_response
from ..ops.state import PLACEMENTS
from .presets import PRESETS

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

MIXERS = ("astromorphic", "softmax", "linear", "kozachkov", "none")
NORM_PLACEMENTS = ("post", "pre")

# Past these a size does not fit torch's indices, and a factor is infinite in float32.
_LARGEST_COUNT = 2**31 - 1
_LARGEST_FACTOR = 3.4028234e38
# Beyond any sensible start: features and logits overflow in the first forward pass.
_LARGEST_INIT = 1e3

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
        response: {"family": ..., "parameters": {...}}, see `models.ops.response`; None means power with alpha =
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
        try:
            super().__post_init__(**kwargs)
        except AttributeError as error:  # the library looks the name of a dtype up in torch
            raise ModelError(f"dtype is {_shown(self.dtype)}; expected the name of a torch dtype ({error})") from error
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
        """Check types, ranges and how the widths fit; ModelError names the setting, its value and what was expected."""
        for name in (
            "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
            "intermediate_size", "max_position_embeddings", "hidden_dim",
        ):  # fmt: skip
            value = getattr(self, name)
            if not _is_count(value):
                too_large = isinstance(value, int) and value > _LARGEST_COUNT
                expected = f"at most {_LARGEST_COUNT}" if too_large else "at least 1"
                raise ModelError(f"{name} is {_shown(value)}; expected a whole number of {expected}")
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
                raise ModelError(f"{name} is {_shown(value)}; expected True or False")
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            if value is not None and (not _is_whole(value) or not 0 <= value < self.vocab_size):
                raise ModelError(
                    f"{name} is {_shown(value)}; expected None or a whole number from 0 to {self.vocab_size - 1}"
                )
        for name in (
            "hebbian_scale",
            "branch_gain",
            "distance_decay",
            "layer_norm_eps",
        ):
            _check_number(name, getattr(self, name), low=0.0, open_low=True)
        for name in ("initializer_range", "query_key_init", "position_matrix_std"):
            if name != "position_matrix_std" or self.position_matrix_std is not None:
                _check_number(name, getattr(self, name), low=0.0, high=_LARGEST_INIT, open_low=True)
        _check_number("dropout", self.dropout, low=0.0, high=1.0)
        for name, choices in (
            ("mixer", MIXERS),
            ("sigmoid_placement", PLACEMENTS),
            ("distance", DISTANCES),
            ("norm_placement", NORM_PLACEMENTS),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ModelError(f"{name} is {_shown(value)}; expected one of {', '.join(choices)}")
        if not self.causal and self.mixer != "astromorphic":
            raise ModelError(f"causal=False is the literal eq. 18 of mixer 'astromorphic'; got mixer {self.mixer!r}")
        if self.macro_digest is not None and not isinstance(self.macro_digest, str):
            raise ModelError(f"macro_digest is {_shown(self.macro_digest)}; expected a hexadecimal string or None")
        _check_response(self.response)
        super().validate_architecture()

    def num_parameters(self) -> int:
        """Parameters of a decoder of this configuration (the language-model head included), without building it."""
        wide, heads = self.hidden_size, self.num_attention_heads
        features = heads * int(self.hidden_dim or self.head_width)
        norm = 2 * wide
        layer = norm + (wide + 1) * self.intermediate_size + (self.intermediate_size + 1) * wide
        if self.second_norm or self.norm_placement == "pre":
            layer += norm
        if self.mixer != "none":
            layer += 2 * (wide + 1) * features + (wide + 1) * wide
            layer += (wide + 1) * wide if self.out_proj else 0
            layer += heads if self.learnable_gain else 0
            layer += features * self.max_position_embeddings if self._is_coded else 0
        total = self.num_hidden_layers * layer + self.vocab_size * wide
        total += self.max_position_embeddings * wide if self.position_embeddings else 0
        total += norm if self.embedding_norm else 0
        total += norm if self.norm_placement == "pre" else 0
        return total + (0 if self.tie_word_embeddings else self.vocab_size * wide)

    @property
    def _is_coded(self) -> bool:
        return self.position_code and self.mixer == "astromorphic"

    def check_memory(self, copies: int = 1) -> None:
        """Raise ModelError, before anything is allocated, if the weights cannot fit into this machine's memory.

        `copies` is how often each weight is held in float32: 1 to run the model, 4 to train it (weight, gradient and
        the two moments of AdamW). The matrix of distances between positions, which the position code needs, counts too.
        """
        limit = available_memory()
        weights = 4 * copies * self.num_parameters()
        distances = 4 * self.max_position_embeddings**2 if self._is_coded else 0
        if weights + distances > limit:
            raise ModelError(
                f"the network has {self.num_parameters():,} parameters and needs {_gib(weights + distances)} GiB "
                f"({_gib(weights)} for weights, {_gib(distances)} for distances of positions), but "
                f"{_gib(limit)} GiB of memory are free; lower hidden_size = {self.hidden_size}, num_hidden_layers = "
                f"{self.num_hidden_layers}, intermediate_size = {self.intermediate_size} or max_position_embeddings = "
                f"{self.max_position_embeddings}"
            )

    @classmethod
    def from_preset(cls, name: str, **settings: Any) -> AstromorphicConfig:
        """The named preset ("tuned", "paper_eq11", "kozachkov", ...) with `settings` on top; ModelError as for the class."""
        if not isinstance(name, str) or name not in PRESETS:
            nearest = difflib.get_close_matches(name, PRESETS, n=1) if isinstance(name, str) else []
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ModelError(f"preset is {_shown(name)}; expected one of {', '.join(PRESETS)}{hint}")
        hidden_size = settings.get("hidden_size", cls.hidden_size)
        heads = settings.get("num_attention_heads", cls.num_attention_heads)
        width = settings.get("hidden_dim")
        if width is None and _is_count(hidden_size) and _is_count(heads):
            width = max(1, hidden_size // heads)
        # Sizes that are no sizes leave the entries worked out from them open: the constructor names the fault.
        usable = _is_count(hidden_size) and _is_count(width)
        fields = {
            k: v(hidden_size, width) if callable(v) else v
            for k, v in PRESETS[name].items()
            if usable or not callable(v)
        }
        return cls(**{**fields, **settings})

    @classmethod
    def from_macro(
        cls, macro: str | os.PathLike[str] | MacroParameters, *, use_distance: bool = False, **settings: Any
    ) -> AstromorphicConfig:
        """The `tuned` preset with the response that was fitted to the biology, from macro.json or its parsed form.

        The config keeps the digest of the macro parameters and carries the file, which `save_pretrained` writes beside
        config.json, so that a checkpoint names the biology it was built from.

        use_distance : also take the section `distance`: positions fall off as exp(-scale |i - j|), one token for one distance
            between neighbouring synapses.

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
        config = cls.from_preset("tuned", **{**fields, **settings})
        # A caller who names another digest in the settings says that the response is no longer the file's.
        if config.macro_digest == parsed.digest:
            config.carry(parsed)
        return config

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, path: str | os.PathLike[str], *args: Any, macro: Any = None, replace_macro: bool = False, **kwargs: Any
    ) -> Any:
        """Load config.json from a folder, and the macro file beside it.

        macro : a macro file (path or MacroParameters) that the checkpoint has to have been made with. replace_macro : take
            the response of `macro`, or of a macro.json beside config.json, although its digest is another.

        Raises ModelError where the digests differ and `replace_macro` is False, and as the class does.
        """
        loaded: Any = super().from_pretrained(path, *args, **kwargs)
        config = loaded[0] if isinstance(loaded, tuple) else loaded
        folder = Path(path, kwargs.get("subfolder") or "")
        found, other = for_checkpoint(folder, config.macro_digest, macro, replace_macro)
        if other and found is not None:
            for name, value in _response_fields(found).items():
                setattr(config, name, value)
            config.validate_architecture()
        if found is not None:
            config.carry(found)
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Write config.json, and macro.json if the response came from one, into a folder."""
        super().save_pretrained(save_directory, *args, **kwargs)
        write_beside(save_directory, self._carried)

    def to_dict(self) -> dict[str, Any]:
        """As the library does, without the macro file, which has its own place."""
        content: dict[str, Any] = super().to_dict()
        content.pop("_macro_text", None)
        return content

    @property
    def macro(self) -> MacroParameters | None:
        """The macro parameters that this configuration carries, if any."""
        from bridge.artifact import MacroParameters

        return None if self._carried is None else MacroParameters.loads(self._carried)

    @property
    def _carried(self) -> str | None:
        return self.__dict__.get("_macro_text")

    def carry(self, macro: MacroParameters) -> None:
        """Carry `macro` into checkpoints. ModelError if it is not the one that the response came from."""
        if macro.digest != self.macro_digest:
            raise ModelError(
                f"macro has digest {macro.digest[:12]}..., and the response of this configuration came from "
                f"{(self.macro_digest or 'no macro file')[:12]}; make the configuration with from_macro"
            )
        self._macro_text = content_of(macro)


def _response_fields(macro: MacroParameters) -> dict[str, Any]:
    spec = macro.response_function()
    response = {"family": str(spec.family), "parameters": {k: float(v) for k, v in spec.parameters.items()}}
    return {"response": response, "macro_digest": macro.digest}


def _own_fields() -> list[str]:
    return [name for name in AstromorphicConfig.__annotations__ if not name.startswith("_")]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return _is_whole(value) and 1 <= value <= _LARGEST_COUNT  # type: ignore[operator]


def _check_number(
    name: str, value: object, *, low: float, high: float = _LARGEST_FACTOR, open_low: bool = False
) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        # Compared, not passed to math.isfinite, which cannot take an integer beyond float; NaN fails every comparison.
        or not low <= value < high
        or (open_low and value == low)
    ):
        span = f"above {low:g}" if open_low else f"at least {low:g}"
        finite = isinstance(value, int | float) and value != math.inf
        beyond = finite and value >= _LARGEST_FACTOR  # type: ignore[operator]
        ceiling = f" and below {high:g}" if beyond or high < _LARGEST_FACTOR else ""
        raise ModelError(f"{name} is {_shown(value)}; expected a finite number {span}{ceiling}")


def _check_response(response: object) -> None:
    if (
        not isinstance(response, dict)
        or set(response) != {"family", "parameters"}
        or not isinstance(response["family"], str)
        or not isinstance(response["parameters"], dict)
        or not all(isinstance(name, str) for name in response["parameters"])
    ):
        raise ModelError(
            f'response is {_shown(response)}; expected {{"family": ..., "parameters": {{...}}}} with a name and numbers by name'
        )
    for name, value in response["parameters"].items():
        _check_number(f"response {response['family']}: {name}", value, low=0.0, open_low=True)
    make_response(response["family"], response["parameters"])


def _shown(value: object) -> str:
    """The value in an error message: on one line, cut short, and whatever Python itself refuses to print by its type."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of thousands of digits
        return f"a number of type {type(value).__name__} with too many digits to print"
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.1f}"
