"""Named settings of the architecture: the paper's readings, its controls and our own default.

Each preset is a set of config fields. `paper` rows keep the printed scale 1/(100 D) and have no output projection;
they start with an attention branch that is numerically dead, which is why `tuned` exists.
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
