"""Tell Gymnasium of the environments. Light: neither torch nor Gymnasium is imported before `register` is called."""

from __future__ import annotations

from ..errors import ModelError
from . import ENVIRONMENTS

# Gymnasium's name -> ours, and the length that an environment has where none is asked for (bsuite's shortest above trivial).
NAMES = {
    "astromorphic/MemoryChain-v0": "memory_chain",
    "astromorphic/UmbrellaChain-v0": "umbrella_chain",
    "astromorphic/UmbrellaHidden-v0": "umbrella_hidden",
}
DEFAULT_LENGTH = 10


def register() -> list[str]:
    """Register the environments with Gymnasium and return their names; those that are registered already stay.

    Then ``gymnasium.make(NAME, length=30)`` and ``gymnasium.make_vec(NAME, num_envs=8, length=30)``. Gymnasium from
    1.0 on looks for no environments by itself. Raises ModelError without Gymnasium.
    """
    try:
        import gymnasium
    except ImportError:
        raise ModelError("Gymnasium is not installed; pip install 'astromorphic[rl]'") from None
    home = f"{__package__}.gymnasium_environments"
    for name, ours in NAMES.items():
        assert ours in ENVIRONMENTS
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point=f"{home}:ChainEnvironment",
                vector_entry_point=f"{home}:ChainVectorEnvironment",
                kwargs={"name": ours, "length": DEFAULT_LENGTH},
            )
    return list(NAMES)
