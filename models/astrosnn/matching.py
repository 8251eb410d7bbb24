"""Networks of other settings with as many parameters as one that they are compared with."""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .configuration_astrosnn import AstroSNNConfig

# Share by which a count may miss its target: what is called equal here.
TOLERANCE = 0.05


def match_parameters(config: AstroSNNConfig, target: int) -> AstroSNNConfig:
    """`config` with about `target` parameters: the intermediate_size that comes nearest, everything else as it is.

    The block "pure" has no feed-forward part; there it is the hidden_size, in steps of two coordinates per head, since
    rotations are of pairs. Raises ModelError where the nearest count is more than 5 % off.
    """
    pure = config.residual_mode == "pure"
    name, size = ("hidden_size", _hidden_size) if pure else ("intermediate_size", _intermediate_size)
    found = _changed(config, {name: size(config, target)})
    count = found.num_parameters()
    if abs(count - target) > TOLERANCE * target:
        raise ModelError(
            f"no {name} gives mixer {config.mixer!r} in residual_mode {config.residual_mode!r} {target:,} parameters within "
            f"{100 * TOLERANCE:g} %: {getattr(found, name)} gives {count:,}; choose other sizes"
        )
    return found


def _intermediate_size(config: AstroSNNConfig, target: int) -> int:
    """The count is a straight line in it."""
    one, two = (_changed(config, {"intermediate_size": size}).num_parameters() for size in (1, 2))
    return max(1, 1 + round((target - one) / (two - one)))


def _hidden_size(config: AstroSNNConfig, target: int) -> int:
    """The count grows with it, so bisection finds the pair of multiples around the target."""
    step = 2 * config.num_attention_heads

    def count(steps: int) -> int:
        return _changed(config, {"hidden_size": steps * step}).num_parameters() if steps else 0

    low, high = 0, 1
    while count(high) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    nearer = low if low and target - count(low) < count(high) - target else high
    return step * nearer


def _changed(config: AstroSNNConfig, settings: dict[str, Any]) -> AstroSNNConfig:
    changed = AstroSNNConfig(**{**config.settings(), **settings})
    if config.macro is not None:
        changed.carry(config.macro)
    return changed
