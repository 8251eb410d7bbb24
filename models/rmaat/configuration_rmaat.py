"""Configuration of the recurrent memory augmented astromorphic transformer, checked by name at construction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..astromorphic.configuration_astromorphic import AstromorphicConfig
from ..choices import choice, did_you_mean
from ..errors import ModelError
from ..macro_file import parsed_macro
from ..ops.replay import BACKPROPAGATION
from .presets import NETWORKS, PRESETS
from .retention import LARGEST_DECAY, SCHEDULES

if TYPE_CHECKING:
    from bridge.artifact import MacroParameters

MEMORY_PLACEMENTS = ("front", "back", "both")
MEMORY_POSITIONS = ("one", "each", "none")
INITIAL_MEMORIES = ("learned", "zeros")
RETENTION_TOTALS = ("configured", "row")
READOUTS = ("memory", "pool")
LOSSES = ("end", "segments")
# Of the layer's other networks; here they would be silently without effect.
UNREAD = (
    "pooling", "image_size", "patch_size", "num_channels", "stem", "stem_channels", "stem_depth", "causal", "use_cache",
    "tie_word_embeddings",
)  # fmt: skip


class RMAATConfig(AstromorphicConfig):
    """Architecture of a network that reads a text in segments and carries memory tokens from one to the next.

    The layer is that of `AstromorphicConfig`, whose settings are all here; its defaults are those of RMAAT: no sigmoid, distances
    exp(-`distance_decay` |i-j|), s = 1/m. `max_position_embeddings` is the longest text, so T = `num_segments` follows from it.

    Args:
        segment_length: N_seg, tokens per segment; None means the whole text in one.
        num_memory_tokens: n_mem; 0 is a network without memory, whose segments know nothing of each other.
        memory_placement: memory tokens in "front" of the segment's tokens, at the "back", or "both": read in front, written by
            copies at the back.
        memory_positions: in the position code R memory tokens have "one" place of their own in common, "each" has its own
            (the paper's N = N_seg + n_mem), or "none": they are left out of R.
        initial_memory: m_1 is "learned" (truncated normal of `initializer_range` at the start) or "zeros".
        retention: r(t, T), see `models.rmaat.retention`: "ones", "zeros", "uniform", "geometric", "simulated", "reversed",
            "learned", "learned_shares". retention_decay: a of the closed form. retention_shares: simulated ones, from macro.json.
        retention_total: T is the "configured" number of segments, or of every "row" the number of segments that it has.
        backpropagation: how the gradient goes through memory, see `models.ops.replay`: "replay", "full", "checkpoint",
            "truncated", "replay_as_printed" (wrong, the paper's Algorithm 1). What a network computes is the same.
        readout: the classifier reads the mean of the final "memory" tokens, or "pool": the mean of all real tokens of all
            segments and that of the final memory, side by side. Memory is read before the factor r(T, T).
        loss_at: "end", or "segments": the mean over all segments that have tokens, each read out on its own.

    Raises ModelError as `AstromorphicConfig` does.
    """

    model_type = "rmaat"

    max_position_embeddings: int = 4096
    sigmoid_placement: str = "none"
    hebbian_scale: float | int | str | None = "head_width"
    learnable_gain: bool = False
    distance: str = "exp"
    position_embeddings: bool = False
    embedding_norm: bool = True
    segment_length: int | None = 512
    num_memory_tokens: int = 16
    memory_placement: str = "front"
    memory_positions: str = "one"
    initial_memory: str = "learned"
    retention: str = "geometric"
    retention_decay: float | int = 0.5
    retention_shares: list | None = None
    retention_total: str = "configured"
    backpropagation: str = "replay"
    readout: str = "pool"
    loss_at: str = "end"

    def __post_init__(self, **kwargs: Any) -> None:
        if self.segment_length is None:
            self.segment_length = self.max_position_embeddings
        super().__post_init__(**kwargs)

    @property
    def length_of_segment(self) -> int:
        """N_seg."""
        return int(self.segment_length or self.max_position_embeddings)

    @property
    def num_segments(self) -> int:
        """T of the longest text."""
        return -(-self.max_position_embeddings // self.length_of_segment)

    @property
    def memory_copies(self) -> int:
        """How often the memory tokens stand in a segment."""
        return 0 if self.num_memory_tokens == 0 else 2 if self.memory_placement == "both" else 1

    @property
    def segment_positions(self) -> int:
        """Places in the position code: those of the tokens and of the memory."""
        places = {"one": 1, "each": self.num_memory_tokens, "none": 0}[self.memory_positions]
        return self.length_of_segment + self.memory_copies * places

    @property
    def read_width(self) -> int:
        """Numbers that are read out of one text."""
        return self.hidden_size * (2 if self.readout == "pool" and self.num_memory_tokens else 1)

    def validate_architecture(self) -> None:
        """As `AstromorphicConfig`, and the settings of segments and memory."""
        for name, least in (("segment_length", 1), ("num_memory_tokens", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
                raise ModelError(f"{name} is {value!r}; expected a whole number of at least {least}")
        for name, choices in (
            ("memory_placement", MEMORY_PLACEMENTS), ("memory_positions", MEMORY_POSITIONS),
            ("initial_memory", INITIAL_MEMORIES), ("retention", SCHEDULES), ("retention_total", RETENTION_TOTALS),
            ("backpropagation", BACKPROPAGATION), ("readout", READOUTS), ("loss_at", LOSSES),
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in choices:
                raise ModelError(
                    f"{name} is {value!r}; {did_you_mean(value, choices)}expected one of {', '.join(choices)}"
                )
        decay = self.retention_decay
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay <= LARGEST_DECAY:
            raise ModelError(f"retention_decay is {decay!r}; expected a number from 0 to {LARGEST_DECAY:g}")
        self._check_shares()
        if self.readout == "memory" and not self.num_memory_tokens:
            raise ModelError('readout is "memory" and num_memory_tokens 0; take readout "pool", or some memory tokens')
        if self.distance == "grid":
            raise ModelError('distance is "grid", the rows and columns of an image; expected another for segments')
        super().validate_architecture()

    def _check_shares(self) -> None:
        shares = self.retention_shares
        if shares is None:
            if self.retention == "simulated":
                raise ModelError(
                    'retention is "simulated" and retention_shares None; make the configuration with from_macro, or take '
                    '"geometric"'
                )
            return
        numbers = isinstance(shares, list | tuple) and all(
            isinstance(s, int | float) and not isinstance(s, bool) and 0 <= s <= 1 for s in shares
        )
        if not numbers or len(shares) < 2 or not shares[0] > 0 or abs(sum(shares) - 1) > 1e-6:
            raise ModelError(
                f"retention_shares is {str(shares)[:100]}; expected at least 2 shares, none below 0, that sum to 1"
            )

    def num_parameters(self, network: str = "sequence") -> int:
        """Parameters of a network of this configuration, its output included, without building it.

        network : "sequence" or "retrieval".
        """
        choice("network", network, NETWORKS)
        wide, norm, labels = self.hidden_size, 2 * self.hidden_size, int(self.num_labels or 1)
        total = self.num_hidden_layers * self._layer_parameters(network)
        total += self.vocab_size * (self.embedding_size or wide)
        total += (self.embedding_size + 1) * wide if self.embedding_size is not None else 0
        total += self.length_of_segment * wide if self.position_embeddings else 0
        total += norm * (int(self.embedding_norm) + int(self.norm_placement == "pre"))
        total += self.num_memory_tokens * wide if self.initial_memory == "learned" else 0
        total += self.num_segments if self.retention.startswith("learned") else 0
        if network == "retrieval":
            return total + (4 * self.read_width + 1) * wide + (wide + 1) * labels
        return total + (self.read_width + 1) * labels

    def _positions(self, network: str) -> int:
        return self.segment_positions

    def check_memory(self, copies: int = 1, network: str = "sequence") -> None:
        """As `AstromorphicConfig.check_memory`."""
        super().check_memory(copies, network)

    @classmethod
    def from_preset(cls, name: str, *, network: str = "sequence", **settings: Any) -> RMAATConfig:
        """The named preset ("rmaat", "paper", "rmt", "rlt", ...) with `settings` on top; ModelError as for the class."""
        choice("network", network, NETWORKS)
        return cls(**{**PRESETS[choice("preset", name, PRESETS)], **settings})

    @classmethod
    def from_macro(
        cls,
        macro: str | os.PathLike[str] | MacroParameters,
        *,
        use_distance: bool = True,
        network: str = "sequence",
        preset: str = "rmaat",
        **settings: Any,
    ) -> RMAATConfig:
        """The preset `rmaat` with what macro.json holds of it: retention, the response, and the reach of the position code.

        preset : another one with memory; the response goes to layers that have one, the reach to those with a position code.
        Retention is "simulated" where the file has simulated shares and "geometric" with its decay where it has none. A file
        without a response leaves alpha = 0.25; one without a distance leaves `distance_decay`. The config keeps the digest and
        carries the file, as `AstromorphicConfig.from_macro`.

        Raises MacroError for a file that is missing or damaged or has no section `retention`, ModelError for anything else, a
        network without memory included.
        """
        parsed = parsed_macro(macro, needs="section")
        parsed.section("retention")
        fields = cls._macro_fields(parsed)
        asked = {**PRESETS[choice("preset", preset, PRESETS)], **settings}
        if asked.get("num_memory_tokens") == 0:
            raise ModelError(
                "num_memory_tokens is 0 and a macro file is given, whose retention scales a memory; leave one of them out"
            )
        coded = asked.get("mixer", cls.mixer) == "astromorphic"
        if not coded:
            fields.pop("response", None)
        if not use_distance or not coded or not asked.get("position_code", cls.position_code):
            fields.pop("distance_decay", None)
        config = cls.from_preset(preset, network=network, **{**fields, **settings})
        if config.macro_digest == parsed.digest:
            config.carry(parsed)
        return config

    @classmethod
    def _macro_fields(cls, macro: MacroParameters) -> dict[str, Any]:
        fields: dict[str, Any] = super()._macro_fields(macro) if macro.response is not None else {}
        fields["macro_digest"] = macro.digest
        retention, distance = macro.retention, macro.distance
        if retention is not None:
            fields["retention"] = "geometric" if retention.shares is None else "simulated"
            fields["retention_decay"] = float(retention.decay)
            fields["retention_shares"] = None if retention.shares is None else [float(s) for s in retention.shares]
        if distance is not None:
            fields["distance_decay"] = float(distance.scale)
        return fields

    def take(self, macro: MacroParameters) -> None:
        """As `AstromorphicConfig.take`; a schedule that comes from no macro file stays."""
        schedule = self.retention
        super().take(macro)
        if schedule not in ("geometric", "simulated"):
            self.retention = schedule
