"""bsuite's scores of its memory and umbrella experiments, from how episodes went. Readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import ModelError

# google-deepmind/bsuite effafc01, experiments/{memory_len,umbrella_length}/sweep.py; both are the same.
BSUITE_LENGTHS = (*range(1, 11), 12, 14, 17, 20, 25, *range(30, 105, 10))
BSUITE_EPISODES = 10_000
# Before so many episodes a running average below the threshold is luck: ours, bsuite logs from the first episode on.
FIRST_VERDICT = 100


@dataclass(frozen=True)
class Experiment:
    """random : regret per episode (2 for a wrong one) of an agent that guesses. threshold : a setting counts as solved
    if its regret per episode, divided by `random`, is below it."""

    name: str
    threshold: float
    random: float = 1.0


# memory_len/analysis.py: (episodes - total_perfect) / 0.5 / episodes < 0.75. A wrong episode has regret 2, so the ratio
# is the regret per episode, and that of guessing is 1. umbrella_length/analysis.py: total_regret / episodes < 0.5.
EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(
    {
        "memory_chain": Experiment("memory_len", 0.75),
        "umbrella_chain": Experiment("umbrella_length", 0.5),
        # Not bsuite's; scored as the chain that it hides.
        "umbrella_hidden": Experiment("umbrella_hidden (not bsuite's)", 0.5),
    }
)


def solved(environment: str, total_regret: float, episodes: int) -> bool:
    """Whether bsuite counts a setting as solved, given its regret summed over all episodes of learning."""
    if episodes < 1:
        raise ModelError(f"{environment}: {episodes} episodes were played; a score needs at least 1")
    one = EXPERIMENTS[environment]
    return total_regret / episodes / one.random < one.threshold


def bsuite_score(environment: str, regret: Mapping[int, tuple[float, int]]) -> float:
    """The share of settings that are solved, 0 to 1. regret : length -> (regret summed over the episodes of learning, episodes).

    bsuite's number is that over its own lengths, `BSUITE_LENGTHS`, after `BSUITE_EPISODES` episodes each; other lengths
    give a number of the same kind that may not be called so.
    """
    if not regret:
        raise ModelError(f"{environment}: no length was played; a score needs at least one")
    return sum(solved(environment, *found) for found in regret.values()) / len(regret)


def is_bsuite(regret: Mapping[int, tuple[float, int]]) -> bool:
    """Whether these are bsuite's own lengths and episodes."""
    return set(regret) == set(BSUITE_LENGTHS) and all(n == BSUITE_EPISODES for _, n in regret.values())


def episodes_to_criterion(environment: str, course: Sequence[tuple[int, float]]) -> int | None:
    """The first episode by which the setting is solved; None if it never is.

    course : (episodes so far, regret summed over them), in order. As bsuite's deep-sea analysis finds a solution: the running
    average over all episodes so far falls below the threshold; here with the threshold of the environment's own score, and
    from episode 100 on.
    """
    for episodes, total in course:
        if episodes >= FIRST_VERDICT and solved(environment, total, episodes):
            return episodes
    return None
