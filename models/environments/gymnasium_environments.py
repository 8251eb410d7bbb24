"""The environments under Gymnasium's names, one episode at a time or many: ``gymnasium.make("astromorphic/MemoryChain-v0")``.

Gymnasium comes with the extra `rl`; nothing else here needs it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from . import make_environment


class ChainEnvironment(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One episode of an environment at a time. Observations ``[features]`` float32 in -1 to 1, actions 0 and 1.

    `info` of every step holds "regret", bsuite's, which is told at the end of an episode. A chain ends by itself:
    nothing is ever truncated.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own declaration)

    def __init__(self, name: str, length: int, render_mode: str | None = None, **options: Any) -> None:
        self.rules = make_environment(name, length, **options)
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1.0, 1.0, (self.rules.n_features,), np.float32)
        self.action_space = spaces.Discrete(self.rules.n_actions)
        self._generator = torch.Generator()
        self._state: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or self._state is None:
            # Gymnasium's own generator, so that an unseeded environment is not the same every time.
            self._generator.manual_seed(int(self.np_random.integers(2**63)))
        self._state, observation = self.rules.reset(1, self._generator)
        return observation[0].numpy(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        chosen = torch.tensor([int(action)])
        self._state, found = self.rules.step(self._state, chosen, self._generator)
        return found.observation[0].numpy(), float(found.reward), found.last, False, {"regret": float(found.regret)}


class ChainVectorEnvironment(VectorEnv):
    """`num_envs` episodes side by side, all equally long. As in bsuite, the step after the last one begins new episodes."""

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self, name: str, length: int, num_envs: int = 1, render_mode: str | None = None, **options: Any
    ) -> None:
        self.rules = make_environment(name, length, **options)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space = spaces.Box(-1.0, 1.0, (self.rules.n_features,), np.float32)
        self.single_action_space = spaces.Discrete(self.rules.n_actions)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generator = torch.Generator()
        self._state: Any = None
        self._over = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        one = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=one)
        if one is not None or self._state is None:
            self._generator.manual_seed(int(self.np_random.integers(2**63)))
        return self._begun(), {}

    def step(self, actions: Any) -> tuple[Any, ...]:
        ends = np.full(self.num_envs, False)
        if self._over:
            zero = np.zeros(self.num_envs, np.float32)
            return self._begun(), zero, ends, ends.copy(), {"regret": zero.copy()}
        chosen = torch.as_tensor(np.asarray(actions, np.int64))
        self._state, found = self.rules.step(self._state, chosen, self._generator)
        self._over = found.last
        return (
            found.observation.numpy(), found.reward.numpy(), np.full(self.num_envs, found.last), ends,
            {"regret": found.regret.numpy()},
        )  # fmt: skip

    def _begun(self) -> NDArray[np.float32]:
        self._state, observation = self.rules.reset(self.num_envs, self._generator)
        self._over = False
        return observation.numpy()
