"""Named settings of the segment-recurrent network: ours, the paper's reading, and the baselines in the same shell.

Baselines without the position code get learned position embeddings within a segment: without either they could not tell the order
of its tokens.
"""

from __future__ import annotations

from typing import Any

_NO_CODE: dict[str, Any] = {"position_code": False, "position_embeddings": True}
_RECURRENT: dict[str, Any] = {"retention": "ones", "backpropagation": "full"}
# One segment, no memory: an ordinary transformer over the whole input.
_PLAIN: dict[str, Any] = {**_RECURRENT, "num_memory_tokens": 0, "segment_length": None, "readout": "pool"}
_LINEAR: dict[str, Any] = {
    "mixer": "linear", "response": {"family": "power", "parameters": {"alpha": 1.0}}, "hebbian_scale": 1.0,
}  # fmt: skip

PRESETS: dict[str, dict[str, Any]] = {
    "rmaat": {},
    # As printed where it is printed: N = N_seg + n_mem positions in R, and a loss at every segment (Algorithm 1).
    "paper": {"memory_positions": "each", "loss_at": "segments", "readout": "memory"},
    "rmt": {**_NO_CODE, **_RECURRENT, "mixer": "softmax"},
    "rlt": {**_NO_CODE, **_RECURRENT, **_LINEAR},
    "no_memory": {"num_memory_tokens": 0, "readout": "pool"},
    "astromorphic": _PLAIN,
    "softmax": {**_NO_CODE, **_PLAIN, "mixer": "softmax"},
    "linear": {**_NO_CODE, **_PLAIN, **_LINEAR},
    "none": {**_NO_CODE, **_PLAIN, "mixer": "none"},
}
NETWORKS = ("sequence", "retrieval")

# By the names of --model: the bare words belong to the transformer of one layer family and its controls.
MODELS: dict[str, str] = {
    "rmaat": "rmaat", "rmaat_paper": "paper", "rmt": "rmt", "rlt": "rlt", "rmaat_no_memory": "no_memory",
    "plain_astromorphic": "astromorphic", "plain_softmax": "softmax", "plain_linear": "linear", "plain_none": "none",
}  # fmt: skip
