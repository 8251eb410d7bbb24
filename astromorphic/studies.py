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
    """preset : see `AstromorphicConfig.from_preset`. macro : a preset of `bridge` whose response is used instead."""

    name: str
    preset: str = "tuned"
    settings: Mapping[str, Any] = field(default_factory=dict)
    macro: str | None = None


@dataclass(frozen=True)
class Study:
    """title : what it asks. task, options : see `models.load_task`. figure : what `astromorphic figures` draws from the runs."""

    title: str
    task: str
    arms: tuple[Arm, ...]
    figure: str
    learning_rates: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


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
        "wikitext2": Study("WikiText-2: every mixer", "wikitext2", (*_PRESETS, _GLOBAL), "table1", (3e-4, 1e-3)),
    }
)
