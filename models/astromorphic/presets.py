"""Named settings of the architecture: the paper's readings, its controls and our own default.

Each preset is a set of config fields. `paper` rows keep the printed scale 1/(100 D) and have no output projection;
they start with an attention branch that is numerically dead, which is why `tuned` exists. `NETWORKS` holds what is
different for classifiers.
"""

from __future__ import annotations

from typing import Any

POWER_QUARTER = {"family": "power", "parameters": {"alpha": 0.25}}
LINEAR = {"family": "power", "parameters": {"alpha": 1.0}}

# A callable entry is worked out from the hidden size D and the width per head m.
_PAPER: dict[str, Any] = {
    "mixer": "astromorphic",
    "response": POWER_QUARTER,
    "position_code": True,
    "out_proj": False,
    "learnable_gain": False,
    "hebbian_scale": lambda hidden_size, width: 1.0 / (100.0 * hidden_size),
}
_CONTROL: dict[str, Any] = {"position_code": False, "out_proj": True, "second_norm": True, "learnable_gain": False}

PRESETS: dict[str, dict[str, Any]] = {
    "tuned": {
        "mixer": "astromorphic",
        "sigmoid_placement": "centred",
        "response": POWER_QUARTER,
        "position_code": True,
        "out_proj": True,
        "second_norm": True,
        "learnable_gain": True,
    },
    "paper_eq11": {**_PAPER, "sigmoid_placement": "inside", "second_norm": False},
    "paper_eq18": {**_PAPER, "sigmoid_placement": "outside", "second_norm": False},
    "paper_alg1": {**_PAPER, "sigmoid_placement": "none", "second_norm": True},
    "rmaat": {
        "mixer": "astromorphic",
        "sigmoid_placement": "none",
        "response": POWER_QUARTER,
        "position_code": True,
        "distance": "exp",
        "out_proj": True,
        "second_norm": True,
        "learnable_gain": False,
        "hebbian_scale": lambda hidden_size, width: 1.0 / width,
    },
    "kozachkov": {
        **_CONTROL,
        "mixer": "kozachkov",
        "sigmoid_placement": "none",
        "response": LINEAR,
        "hebbian_scale": lambda hidden_size, width: 1.0 / (100.0 * hidden_size),
    },
    # The original neuron-astrocyte transformer: softmax attention in expectation, with m fixed random neurons per head.
    "kozachkov_random_features": {
        **_CONTROL,
        "mixer": "kozachkov",
        "sigmoid_placement": "none",
        "response": LINEAR,
        "hebbian_scale": 1.0,
        "feature_map": "exponential",
        "hidden_dim": lambda hidden_size, width: 4 * width,
    },
    "katharopoulos": {
        **_CONTROL,
        "mixer": "linear",
        "sigmoid_placement": "none",
        "response": LINEAR,
        "hebbian_scale": 1.0,
    },
    "softmax": {**_CONTROL, "mixer": "softmax"},
    "none": {**_CONTROL, "mixer": "none"},
}

# The paper's scaling parameter m is 500 D in its Tables S1 (IMDB) and S2 (CIFAR-10), 100 D in S3 (WikiText-2).
_500_D: dict[str, Any] = {"hebbian_scale": lambda hidden_size, width: 1.0 / (500.0 * hidden_size)}
_PAPER_ROWS = ("paper_eq11", "paper_eq18", "paper_alg1")
_CODED_ROWS = (*_PAPER_ROWS, "tuned")

# What a preset changes for a kind of network.
NETWORKS: dict[str, dict[str, dict[str, Any]]] = {
    "causal_lm": {},
    # "Dropout after the residual and before LayerNorm" is stated for IMDB.
    "sequence": {
        **{name: {**_500_D, "dropout_placement": "residual"} for name in _PAPER_ROWS},
        "kozachkov": _500_D,
    },
    "image": {
        **{name: {"distance": "grid", **(_500_D if name in _PAPER_ROWS else {})} for name in _CODED_ROWS},
        "kozachkov": _500_D,
    },
}
