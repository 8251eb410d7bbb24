"""Studies: which networks are trained side by side to answer one question. `astromorphic study NAME` trains them.

An arm is an architecture preset with settings on top; the name is what run records and figures call it. Every arm is
trained at several learning rates and seeds, and tables compare each at the rate that validation picks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from models.result import MATCHED

ALPHAS = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Arm:
    """preset : see `AstromorphicConfig.from_preset`, "astrosnn", or a name of --model of the networks in segments. macro : a
    preset of `bridge` whose response (of "astrosnn" the time constants, in segments the retention) is used instead.
    """

    name: str
    preset: str = "tuned"
    settings: Mapping[str, Any] = field(default_factory=dict)
    macro: str | None = None


@dataclass(frozen=True)
class Study:
    """title : what it asks. task : see `models.load_task`. options : settings of data, model and recipe that all arms share,
    over the preset's. figure : what `astromorphic figures` draws from the runs. equal_to : the arm whose number of parameters
    all others are brought to, see `models.astrosnn.matching`.
    """

    title: str
    task: str
    arms: tuple[Arm, ...]
    figure: str
    learning_rates: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    equal_to: str | None = None


def _power(alpha: float) -> dict[str, Any]:
    return {"family": "power", "parameters": {"alpha": alpha}}


def _matched(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    """Every arm as it is, and with its branch brought to one size, so that only its shape is compared."""
    equal = tuple(Arm(a.name + MATCHED, a.preset, {**a.settings, "branch_norm": True}, a.macro) for a in arms)
    return (*arms, *equal)


_PRESETS = (
    Arm("astromorphic"),
    *(
        Arm(name, name)
        for name in ("softmax", "katharopoulos", "kozachkov", "paper_eq11", "paper_eq18", "paper_alg1", "none")
    ),
)

# Attention off and no position: the mean of one vector per word, and a linear output on it.
_BAG = Arm("bag_of_embeddings", "none", {"position_embeddings": False})

# Fig. 4's four curves, at a scale of 1/N at which the branch is alive; a learned gain would match gains by itself.
_ALIVE = {"learnable_gain": False}
_LINEAR = {**_ALIVE, "sigmoid_placement": "none", "response": _power(1.0)}
_ABLATION = _matched(
    (
        Arm("nonlinearity_and_position", settings={**_ALIVE, "sigmoid_placement": "inside"}),
        Arm("nonlinearity_only", settings={**_ALIVE, "sigmoid_placement": "inside", "position_code": False}),
        Arm("position_only", settings=_LINEAR),
        Arm("neither", settings={**_LINEAR, "position_code": False}),
    )
)

_RESPONSES = (
    *_matched(
        (
            *(Arm(f"alpha_{alpha:g}", settings={**_ALIVE, "response": _power(alpha)}) for alpha in ALPHAS),
            Arm("family_simulated", settings=_ALIVE, macro="simulated"),
            Arm("family_published", settings=_ALIVE, macro="fig3_published_hyperbola"),
        )
    ),
    Arm("none", "none"),
)

# The literal eq. 18: one global state for all positions. It sees the future; its loss stands apart.
_GLOBAL = Arm("eq18_global", settings={"sigmoid_placement": "outside", "causal": False})

# The rest of enwik8, where it is there, is not read.
_FOUR_MEGABYTES = {"n_bytes": 4_000_000}


def _grid(length: int, segments: int = 4) -> tuple[Arm, ...]:
    """{softmax, linear, astromorphic} x {whole sequence, segments alone, memory with r = 0, 1 and simulated}, and attention off.

    r = 0 hands nothing on: what is gained without it is gained by more tokens in every segment, not by memory.

    A macro file gives its retention alone: the response and the reach of the position code are the same in all arms. Gradients
    go through memory in full, which is quicker than replay where all fits, and the same.
    """
    full = {"backpropagation": "full"}
    cut = {"segment_length": length // segments, **full}
    # In the arms, not among the options: a whole sequence has no memory.
    slots = {"num_memory_tokens": 8}
    # Arms of which the macro file would change more than retention say what they have.
    own: Mapping[str, dict[str, Any]] = {"astromorphic": {"response": _power(0.25), "distance_decay": 0.05}}
    arms = [Arm("none_whole", "plain_none", full)]
    for mixer, recurrent in (("softmax", "rmt"), ("linear", "rlt"), ("astromorphic", "rmaat")):
        same = {**own.get(mixer, {}), **cut}
        alone = {"num_memory_tokens": 0, "retention": "ones"}
        arms += [
            Arm(f"{mixer}_whole", f"plain_{mixer}", {**own.get(mixer, {}), **full}),
            Arm(f"{mixer}_segments", recurrent, {**same, **alone}),
            Arm(f"{mixer}_empty", recurrent, {**same, **slots, "retention": "zeros"}),
            Arm(f"{mixer}_memory", recurrent, {**same, **slots, "retention": "ones"}),
            Arm(f"{mixer}_simulated", recurrent, {**same, **slots, "retention": "simulated"}, "simulated"),
        ]
    return tuple(arms)


# Reduced, so that a run takes about a minute of one core: width 64, one layer, four segments, and what the data say.
_SMALL: Mapping[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 128, "dropout": 0.0,
    "evaluate_every": 100, "warmup_steps": 100,
}  # fmt: skip
_SHORT_LISTOPS = {
    **_SMALL, "min_length": 20, "max_length": 201, "length": 200, "max_depth": 4, "max_args": 5, "train": 30_000,
    "validation": 1_000, "test": 2_000, "steps": 1_200, "batch_size": 32,
}  # fmt: skip
_SHORT_TEXT = {**_SMALL, "length": 512, "steps": 1_200, "batch_size": 16, "evaluate_items": 4_000}
_SMALL_IMAGE = {**_SMALL, "size": 16, "steps": 1_000, "batch_size": 32, "evaluate_items": 4_000}


def _spiking(name: str, macro: str | None = None, **settings: Any) -> Arm:
    return Arm(name, "astrosnn", settings, macro)


# One factor at a time around the default, the questions that decide most first. The serial loops of LIF and ALIF cost most.
_ASTROSNN = (
    _spiking("amsu"),
    *(_spiking(mixer, mixer=mixer) for mixer in ("softmax", "retention", "gru")),
    *(_spiking(mode, residual_mode=mode) for mode in ("spike_in", "pure")),
    *(_spiking(f"sigma_{sigma}", sigma=sigma) for sigma in ("gelu", "silu", "tanh", "relu", "sigmoid")),
    _spiking("decay_literal", decay="literal_inverse"),
    _spiking("decay_exp", decay="exp"),
    _spiking("no_astrocyte", terms="neuron"),
    _spiking("no_neuron", terms="astrocyte"),
    _spiking("no_head_norm", head_norm=False),
    _spiking("no_rope", rope_fraction=0.0),
    _spiking("rope_quarter", rope_fraction=0.25),
    # The geometric mean of 32 and 512.
    _spiking("one_tau", tau=[128.0] * 8),
    _spiking("tau_simulated", macro="simulated"),
    *(_spiking(f"alpha_{alpha:g}", alpha=alpha) for alpha in (1.0, 0.5)),
    _spiking("surrogate_as_printed", surrogate="triangle_as_printed"),
    _spiking("no_out_proj", out_proj=False),
    _spiking("heads_4", num_attention_heads=4),
    *(_spiking(mixer, mixer=mixer) for mixer in ("lif", "alif")),
)
# Two minutes of one core per run. The identity is the sigma that the others are compared with; its arms chose the default.
_ASTROSNN_SIZE = {
    "sigma": "identity",
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 512,
    "max_position_embeddings": 256, "steps": 1500, "batch_size": 8, "warmup_steps": 100, "evaluate_every": 500,
    "mixed_precision": "bf16",
}  # fmt: skip

STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        "imdb": Study("IMDB: every variant and control", "imdb", (*_PRESETS, _BAG), "table1", (3e-4, 1e-3, 3e-3)),
        "imdb_ablation": Study("IMDB: Fig. 4's four curves", "imdb", _ABLATION, "fig4", (3e-4, 1e-3, 3e-3)),
        "imdb_alpha": Study("IMDB: exponents and families", "imdb", _RESPONSES, "exponents", (1e-3,)),
        "cifar10": Study("CIFAR-10: every variant and control", "cifar10", _PRESETS, "table1", (3e-4, 1e-3)),
        "cifar10_ablation": Study("CIFAR-10: Fig. 4's four curves", "cifar10", _ABLATION, "fig4", (3e-4, 1e-3)),
        "enwik8": Study(
            "enwik8, first 4 MB as bytes: every mixer",
            "enwik8",
            (*_PRESETS, _GLOBAL),
            "table1",
            (1e-3, 3e-3),
            _FOUR_MEGABYTES,
        ),
        "enwik8_alpha": Study(
            "enwik8, first 4 MB as bytes: exponents and families",
            "enwik8",
            _RESPONSES,
            "exponents",
            (3e-3,),
            _FOUR_MEGABYTES,
        ),
        "listops_memory": Study(
            "ListOps of 20 to 200 symbols (reduced): attention x memory",
            "listops",
            _grid(200),
            "lra",
            (1e-3, 3e-3),
            _SHORT_LISTOPS,
        ),
        "lra_text_memory": Study(
            "IMDB's first 512 bytes (reduced): attention x memory",
            "lra_text",
            _grid(512),
            "lra",
            (1e-3, 3e-3),
            _SHORT_TEXT,
        ),
        "lra_image_memory": Study(
            "CIFAR-10 in grey, 16 x 16 (reduced): attention x memory",
            "lra_image",
            _grid(256),
            "lra",
            (1e-3, 3e-3),
            _SMALL_IMAGE,
        ),
        "enwik8_astrosnn": Study(
            "enwik8, first 4 MB as bytes: readings of AstroSNN and its controls, at equal parameters",
            "enwik8",
            _ASTROSNN,
            "spiking_table",
            (1e-3, 3e-3),
            {**_FOUR_MEGABYTES, **_ASTROSNN_SIZE},
            equal_to="amsu",
        ),
        "wikitext2": Study("WikiText-2: every mixer", "wikitext2", (*_PRESETS, _GLOBAL), "table1", (3e-4, 1e-3)),
    }
)
