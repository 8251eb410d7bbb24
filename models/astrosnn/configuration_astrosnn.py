"""Configuration of AstroSNN, checked by name at construction."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bridge.artifact import available_memory

from ..choices import choice, did_you_mean
from ..errors import ModelError
from ..macro_config import MacroConfig
from ..macro_file import parsed_macro
from ..ops.amsu import FORMS, SIGMAS, TERMS
from ..ops.decay import READINGS, decay, spectrum
from ..ops.kernels import BACKENDS
from ..ops.spike import SURROGATES
from ..settings import LIBRARY_KEYS, check_choice, check_count, check_number, is_whole, shown
from .presets import PRESETS

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

MIXERS = ("amsu", "lif", "alif", "gru", "retention", "softmax")
SPIKING_MIXERS = ("amsu", "lif", "alif")
RESIDUAL_MODES = ("residual", "spike_in", "pure")
_LARGEST_INIT = 1e3
# Beside the shapes, which are compared themselves. How a state is computed and trained is no part of what it means.
_OF_THE_STATE = (
    "residual_mode", "decay", "tau_n", "threshold", "head_norm", "rope_fraction", "rope_base", "vocab_size", "intermediate_size",
    "out_proj", "layer_norm_eps",
)  # fmt: skip
_OF_THE_UNIT = ("terms", "sigma", "resistance")
NETWORKS = ("causal_lm",)


class AstroSNNConfig(MacroConfig):
    """Architecture of a decoder whose mixing layers are astrocyte-modulated spiking units (AM-SU).

    What the paper leaves open is a setting here, and the default is ours (docs/astrosnn.md).

    Args:
        intermediate_size: width of the feed-forward part; None means four times `hidden_size`.
        max_position_embeddings: tokens of a training block and of a window of scoring. The network itself has no limit.
        mixer: "amsu", or a control in the same shell: "lif", "alif", "gru", "retention" (RetNet), "softmax" (rotary attention).
        residual_mode: "residual" y = x + W_o s, z = y + MLP(LN y): the stream is real and what enters W_o is binary; "spike_in":
            also what enters W_x and the feed-forward part is; "pure": only the spikes are passed on, as the equations say.
        out_proj: W_o, the fifth d x d matrix of the parameter count, with its one bias. Not in "pure".
        terms: of the AM-SU's membrane: "both", or "astrocyte" (o) or "neuron" (u) alone, to see what each does. Without the
            astrocyte there are no W_q, W_k, W_v.
        tau: time constants of the astrocyte in steps, one per head; None means 32 to 512, equal in ratio, as published.
        tau_n: time constant of the neuron in steps. decay: how both become factors per step, see `models.ops.decay`.
        resistance: R. threshold: v_th; a membrane exactly at it fires. sigma: of the input current, see `models.ops.amsu`;
            the paper leaves it open, and the default has the best validation of `astromorphic study enwik8_astrosnn`.
        surrogate, alpha: the derivative of a spike, see `models.ops.spike`.
        head_norm: every head's o by one layer norm of its width before u is added.
        rope_fraction: share of a head's coordinates of q and k that turn with the position; rope_base: as usual.
        form: "chunked" (linear in time), "masked" or "serial": the same numbers. chunk_size: tokens per chunk.
        backend: of the chunked form: "torch"; "fla", flash-linear-attention on a GPU; "auto", fla where it can be had.
        initializer_range: std of the embeddings at initialisation; linear layers start with std 1/sqrt(inputs), those that
            write into the residual stream with that over sqrt(2 layers).
        macro_digest: digest of the macro parameters that the time constants came from, if any.

    Raises ModelError for an unknown setting, a value of another type or range, or widths that do not fit together.
    """

    model_type = "astrosnn"
    keys_to_ignore_at_inference = ["past_key_values", "spikes"]  # noqa: RUF012 (the library's own declaration)

    vocab_size: int = 256
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 8
    intermediate_size: int | None = None
    max_position_embeddings: int = 1024
    mixer: str = "amsu"
    residual_mode: str = "residual"
    out_proj: bool = True
    terms: str = "both"
    tau: list | None = None
    tau_n: float | int = 2.0
    decay: str = "one_minus_inv"
    resistance: float | int = 1.0
    threshold: float | int = 0.0
    sigma: str = "gelu"
    surrogate: str = "triangle"
    alpha: float | int = 2.0
    head_norm: bool = True
    rope_fraction: float | int = 1.0
    rope_base: float | int = 10000.0
    form: str = "chunked"
    chunk_size: int = 64
    backend: str = "auto"
    dropout: float | int = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.1
    macro_digest: str | None = None
    use_cache: bool = True
    tie_word_embeddings: bool = False
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        unknown = sorted(set(kwargs) - LIBRARY_KEYS)
        if unknown:
            known = _own_fields()
            raise ModelError(
                f"AstroSNNConfig has no setting {unknown[0]!r}; {did_you_mean(unknown[0], known)}choose from "
                f"{', '.join(sorted(known))}"
            )
        if self.intermediate_size is None and is_whole(self.hidden_size):
            self.intermediate_size = 4 * self.hidden_size
        try:
            super().__post_init__(**kwargs)
        except AttributeError as error:  # the library looks the name of a dtype up in torch
            raise ModelError(f"dtype is {shown(self.dtype)}; expected the name of a torch dtype ({error})") from error
        # Called here, not through the library's @strict: that would wrap every message in a second error that is no ValueError.
        self.validate_architecture()

    def settings(self) -> dict[str, Any]:
        """The fields declared here, as plain JSON values; ``AstroSNNConfig(**settings)`` gives the same architecture."""
        return {name: getattr(self, name) for name in _own_fields()}

    def state_digest(self) -> str:
        """Digest of the settings that say what the numbers of a state mean: those of the unit and of where it stands."""
        names = (*_OF_THE_STATE, *(_OF_THE_UNIT if self.mixer == "amsu" else ()))
        values = [getattr(self, name) for name in names]
        # 2 and 2.0 are one setting.
        told = [float(x) if isinstance(x, int | float) else x for x in values]
        return hashlib.sha256(repr((told, self.time_constants)).encode()).hexdigest()[:16]

    @property
    def causal(self) -> bool:
        """Always: what evaluation asks of a language model."""
        return True

    @property
    def spiking(self) -> bool:
        """Whether what the mixer gives is 0 or 1."""
        return self.mixer in SPIKING_MIXERS

    @property
    def head_width(self) -> int:
        """d_head, the width of a head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def time_constants(self) -> list[float]:
        """tau_a in steps, one per head."""
        return [float(x) for x in self.tau] if self.tau is not None else spectrum(self.num_attention_heads)

    @property
    def decays(self) -> list[float]:
        """gamma per head: what is left of the astrocyte's state after a step."""
        return [decay(tau, self.decay) for tau in self.time_constants]

    @property
    def leak(self) -> float:
        """lambda: what is left of the neuron's state after a step."""
        return decay(float(self.tau_n), self.decay)

    def validate_architecture(self) -> None:
        """Check types, ranges and how the widths fit; ModelError names the setting, its value and what was expected."""
        for name in (
            "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
            "max_position_embeddings", "chunk_size",
        ):  # fmt: skip
            check_count(name, getattr(self, name))
        if self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"hidden_size is {self.hidden_size}; expected a multiple of num_attention_heads = {self.num_attention_heads}"
            )
        for name in ("out_proj", "head_norm", "use_cache", "tie_word_embeddings"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ModelError(f"{name} is {shown(value)}; expected True or False")
        for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            if value is not None and (not is_whole(value) or not 0 <= value < self.vocab_size):
                raise ModelError(
                    f"{name} is {shown(value)}; expected None or a whole number from 0 to {self.vocab_size - 1}"
                )
        for name, choices in (
            ("mixer", MIXERS),
            ("residual_mode", RESIDUAL_MODES),
            ("terms", TERMS),
            ("decay", READINGS),
            ("sigma", tuple(SIGMAS)),
            ("surrogate", tuple(SURROGATES)),
            ("form", FORMS),
            ("backend", BACKENDS),
        ):
            check_choice(name, getattr(self, name), choices)
        self._check_time_constants()
        for name in ("alpha", "layer_norm_eps", "rope_base"):
            check_number(name, getattr(self, name), low=0.0, open_low=True)
        check_number("initializer_range", self.initializer_range, low=0.0, high=_LARGEST_INIT, open_low=True)
        check_number("dropout", self.dropout, low=0.0, high=1.0)
        check_number("rope_fraction", self.rope_fraction, low=0.0, high=1.0, closed_high=True)
        check_number("resistance", self.resistance, low=0.0)
        check_number("threshold", self.threshold, low=-1e6, high=1e6)
        if self.macro_digest is not None and not isinstance(self.macro_digest, str):
            raise ModelError(f"macro_digest is {shown(self.macro_digest)}; expected a hexadecimal string or None")
        super().validate_architecture()

    def _check_time_constants(self) -> None:
        check_number("tau_n", self.tau_n, low=1.0)
        if self.tau is None:
            return
        if not isinstance(self.tau, list | tuple) or len(self.tau) != self.num_attention_heads:
            raise ModelError(
                f"tau is {shown(self.tau)}; expected None or {self.num_attention_heads} time constants in steps, one per head, "
                "with commas between on the command line"
            )
        for i, value in enumerate(self.tau):
            check_number(f"tau of head {i + 1}", value, low=1.0)

    def num_parameters(self) -> int:
        """Parameters of the language model, counted on the meta device."""
        import torch

        from .modeling_astrosnn import AstroSNNForCausalLM

        with torch.device("meta"):
            return sum(p.numel() for p in AstroSNNForCausalLM(self).parameters())

    def check_memory(self, copies: int = 1) -> None:
        """Raise ModelError, before anything is allocated, if the weights cannot fit into this machine's memory.

        `copies` is how often each weight is held in float32: 1 to run the model, 4 to train it with AdamW.
        """
        wide, layers = self.hidden_size, self.num_hidden_layers
        # A bound from below, quick to find: sizes that are out of reach need no exact count.
        matrices = {"amsu": 1 if self.terms == "neuron" else 4, "softmax": 3, "lif": 1, "alif": 2}.get(self.mixer, 4)
        parameters = (2 - self.tie_word_embeddings) * self.vocab_size * wide + layers * matrices * wide * wide
        if self.residual_mode != "pure":
            parameters += layers * 2 * wide * int(self.intermediate_size or 0)
        limit = available_memory()
        if 4 * copies * parameters > limit:
            raise ModelError(
                f"the network has more than {parameters:,} parameters and needs {4 * copies * parameters / 2**30:,.1f} GiB, but "
                f"{limit / 2**30:,.1f} GiB of memory are free; lower hidden_size = {wide}, num_hidden_layers = {layers} or "
                f"vocab_size = {self.vocab_size}"
            )

    @classmethod
    def from_preset(cls, name: str, *, network: str = "causal_lm", **settings: Any) -> AstroSNNConfig:
        """The named size ("tiny", "small", "base", "large", "1b5") with `settings` on top; ModelError as for the class.

        network : "causal_lm", which is all there is.
        """
        choice("network", network, NETWORKS)
        if not isinstance(name, str) or name not in PRESETS:
            raise ModelError(
                f"preset is {shown(name)}; {did_you_mean(name, PRESETS)}expected one of {', '.join(PRESETS)}"
            )
        return cls(**{**PRESETS[name], **settings})

    @classmethod
    def from_macro(
        cls,
        macro: str | os.PathLike[str] | MacroParameters,
        preset: str = "tiny",
        *,
        network: str = "causal_lm",
        **settings: Any,
    ) -> AstroSNNConfig:
        """The named size with the time constants that were measured in the biology, from macro.json or its parsed form.

        tau runs from the file's shortest to its longest constant in steps, equal in ratio, one per head, and tau_n is the
        file's. The config keeps the digest of the macro parameters and carries the file, as `AstromorphicConfig` does.
        network : as in `from_preset`.

        Raises MacroError for a file that is missing or damaged or lacks the section `time_constants`, ModelError for the rest,
        such as settings that leave nothing of the file in use.
        """
        parsed = parsed_macro(macro, needs="section")
        _check_use(settings)
        heads = settings.get("num_attention_heads", PRESETS.get(preset, {}).get("num_attention_heads", 8))
        check_count("num_attention_heads", heads)
        config = cls.from_preset(preset, network=network, **{**_constants_of(parsed, heads), **settings})
        if config.macro_digest == parsed.digest:
            config.carry(parsed)
        return config

    def _macro_fields(self, macro: MacroParameters) -> dict[str, Any]:
        return _constants_of(macro, self.num_attention_heads)


def _check_use(settings: Mapping[str, Any]) -> None:
    """ModelError if a macro file would be named by a network that has nothing of it."""
    if "macro_digest" in settings:  # says itself where its constants come from
        return
    if (mixer := settings.get("mixer", "amsu")) != "amsu":
        raise ModelError(
            f"mixer is {shown(mixer)}, which uses no time constants of the macro file; leave the file out, or take mixer 'amsu'"
        )
    if "tau" in settings and "tau_n" in settings:
        raise ModelError(
            f"tau is {shown(settings['tau'])} and tau_n {shown(settings['tau_n'])}, so that nothing of the macro file is used; "
            "leave the file out, or one of them"
        )


def _constants_of(macro: MacroParameters, heads: int) -> dict[str, Any]:
    constants = macro.section("time_constants")
    return {
        "tau": [float(x) for x in constants.spectrum(heads)],
        "tau_n": float(constants.tau_n),
        "macro_digest": macro.digest,
    }


def _own_fields() -> list[str]:
    return [name for name in AstroSNNConfig.__annotations__ if not name.startswith("_")]
