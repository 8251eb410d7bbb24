"""bsuite's chains: step by step as its traces say, one seed one set of episodes, and what each task asks for and what not."""

from __future__ import annotations

import importlib.util
import sys
import types

import numpy as np
import pytest
import torch

from models.environments import ENVIRONMENTS, make_environment
from models.environments.base import Outcome
from models.environments.memory_chain import MemoryChain
from models.environments.scores import (
    BSUITE_LENGTHS,
    bsuite_score,
    episodes_to_criterion,
    is_bsuite,
    solved,
)
from models.environments.umbrella_chain import UmbrellaChain
from models.environments.umbrella_hidden import UmbrellaHidden
from models.errors import ModelError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def played(environment, policy, batch=64, seed=0):
    """(observations before each action, outcomes) with policy(time, observation) -> actions."""
    g = generator(seed)
    state, seen = environment.reset(batch, g)
    first, observations, outcomes = state, [], []
    while not outcomes or not outcomes[-1].last:
        observations.append(seen)
        state, out = environment.step(state, policy(len(outcomes), seen), g)
        outcomes.append(out)
        seen = out.observation
    return first, observations, outcomes


def zeros(_, seen):
    return torch.zeros(len(seen), dtype=torch.long)


@pytest.mark.parametrize(("length", "actions"), [(1, 2), (2, 3), (5, 6), (1500, 1501)])
def test_a_memory_episode_has_one_action_more_than_its_length(length, actions):
    assert len(played(MemoryChain(length), zeros, batch=2)[2]) == actions == MemoryChain(length).n_steps


def test_the_memory_trace_is_bsuites():
    state, observations, outcomes = played(MemoryChain(5), zeros, batch=8)
    sign = 2 * state.context[:, 0] - 1
    # Time as bsuite shows it: made before the clock goes on, so the start is seen twice and the decision falls at 1/length.
    assert [round(float(o[0, 0]), 6) for o in observations] == [1.0, 1.0, 0.8, 0.6, 0.4, 0.2]
    assert all(torch.equal(o[:, 2], sign) for o in observations[:2])
    assert all(bool((o[:, 1:] == 0).all()) for o in observations[2:])
    assert [float(o.reward.abs().sum()) for o in outcomes[:-1]] == [0.0] * 5
    right = state.context[:, 0] == 0
    last = outcomes[-1]
    assert torch.equal(last.reward, torch.where(right, 1.0, -1.0)) and torch.equal(
        last.regret, torch.where(right, 0.0, 2.0)
    )
    assert 0 < int(right.sum()) < 8 and bool((last.observation == 0).all())


def test_the_query_names_the_bit_that_is_asked_for():
    chain = MemoryChain(4, num_bits=3)
    state, observations, outcomes = played(chain, zeros, batch=256)
    assert chain.n_features == 5 and set(state.query.tolist()) == {0, 1, 2}
    assert torch.equal(observations[4][:, 1], state.query.float())
    assert all(bool((o[:, 1] == 0).all()) for o in observations[:4])
    asked = state.context[torch.arange(256), state.query]
    assert torch.equal(outcomes[-1].reward == 1.0, asked == 0)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_whole_episodes_are_the_stepped_ones(length):
    chain = MemoryChain(length, num_bits=2)
    whole = chain.episodes(16, generator(3))
    state, observations, outcomes = played(chain, zeros, batch=16, seed=3)
    assert torch.equal(whole.observations, torch.stack(observations, dim=1))
    assert torch.equal(outcomes[-1].reward == 1.0, whole.target == 0)
    assert torch.equal(whole.target.float(), state.context[torch.arange(16), state.query])


def test_the_umbrella_pays_for_the_first_action_alone():
    chain = UmbrellaChain(6)
    rng = generator(9)

    def late(time, seen):
        needed = seen[:, 0].long()
        return needed if time == 0 else torch.randint(0, 2, needed.shape, generator=rng)

    state, observations, outcomes = played(chain, late, batch=512)
    assert len(outcomes) == 6 and chain.n_features == 23
    assert bool((outcomes[-1].reward == 1).all()) and float(sum(o.regret.sum() for o in outcomes)) == 0.0
    # have is a coin before the decision, and what was taken after it; need stays in sight throughout.
    assert 0.4 < float(observations[0][:, 1].mean()) < 0.6
    assert all(torch.equal(o[:, 0], state.need) for o in observations)
    assert all(torch.equal(o[:, 1], state.need) for o in observations[1:])
    assert [round(float(o[0, 2]), 6) for o in observations] == pytest.approx([1 - t / 6 for t in range(6)], abs=1e-6)
    coins = torch.stack([o.reward for o in outcomes[:-1]])
    assert set(coins.unique().tolist()) == {-1.0, 1.0} and abs(float(coins.mean())) < 4 / np.sqrt(coins.numel())
    noise = torch.stack([o[:, 3:] for o in observations])
    assert set(noise.unique().tolist()) == {0.0, 1.0} and not torch.equal(noise[0], noise[1])


@pytest.mark.parametrize("length", [1, 100, 1500])
def test_a_policy_without_memory_is_perfect_in_the_umbrella_chain_of_any_length(length):
    _, _, outcomes = played(UmbrellaChain(length), lambda t, seen: seen[:, 0].long(), batch=32)
    assert len(outcomes) == length and float(outcomes[-1].regret.sum()) == 0.0


def test_the_hidden_umbrella_shows_nothing_of_need_where_it_decides():
    chain = UmbrellaHidden(8)
    assert chain.decides_at == 4
    g = [generator(5), generator(5)]
    (one, seen), (other, _) = chain.reset(32, g[0]), chain.reset(32, g[1])
    other = other._replace(need=1 - one.need)
    assert torch.equal(seen[:, 0], 2 * one.need - 1)
    action = torch.ones(32, dtype=torch.long)
    for time in range(8):
        one, a = chain.step(one, action, g[0])
        other, b = chain.step(other, action, g[1])
        if time < 7:
            # Opposite needs, equal sights: whatever acts right here has remembered.
            assert torch.equal(a.observation, b.observation) and torch.equal(a.reward, b.reward)
        shown = a.observation[:, 1]
        assert bool((shown == (1.0 if time == 4 else 0.0)).all())
    assert torch.equal(a.reward, -b.reward)


def test_with_the_decision_at_the_start_hiding_asks_nothing_of_the_policy():
    chain = UmbrellaHidden(8, decision=0)
    _, _, outcomes = played(chain, lambda t, seen: (seen[:, 0] > 0).long(), batch=64)
    assert float(outcomes[-1].regret.sum()) == 0.0
    _, _, outcomes = played(UmbrellaHidden(8), lambda t, seen: (seen[:, 0] > 0).long(), batch=2000)
    assert 0.9 < float(outcomes[-1].regret.mean()) < 1.1


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_one_seed_gives_one_set_of_episodes(name):
    environment = make_environment(name, 12)

    def sights(seed):
        return torch.stack(played(environment, zeros, batch=8, seed=seed)[1])

    assert torch.equal(sights(1), sights(1)) and not torch.equal(sights(1), sights(2))


def test_a_state_can_be_kept_and_gone_back_to():
    environment = UmbrellaChain(5)
    state, _ = environment.reset(4, generator())
    before = [x.clone() if isinstance(x, torch.Tensor) else x for x in state]
    environment.step(state, torch.ones(4, dtype=torch.long), generator())
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(state, before, strict=True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_environment("memory_chian", 3), "did you mean 'memory_chain'"),
        (lambda: make_environment("memory_chain", 0), "length is 0"),
        (lambda: make_environment("memory_chain", 3, n_distractor=1), "no option 'n_distractor'; it has num_bits"),
        (lambda: make_environment("umbrella_hidden", 3, decision=3), "decision is 3; expected a whole number from 0 to 2"),
        (lambda: MemoryChain(2).reset(0, generator()), "batch is 0"),
        (lambda: MemoryChain(2, num_bits=True), "num_bits is True"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(call, words):
    with pytest.raises(ModelError, match=words):
        call()


def test_actions_that_are_none_are_refused():
    chain = UmbrellaChain(1)
    state, _ = chain.reset(2, generator())
    for action, words in [
        (torch.tensor([0, 2]), "outside of 0 and 1"),
        (torch.tensor([0.0, 1.0]), "expected 2 whole numbers"),
        (torch.tensor([0]), "expected 2 whole numbers"),
    ]:
        with pytest.raises(ModelError, match=words):
            chain.step(state, action, generator())
    state, out = chain.step(state, torch.tensor([0, 1]), generator())
    assert out.last
    with pytest.raises(ModelError, match="ended after 1 action"):
        chain.step(state, torch.tensor([0, 1]), generator())


def test_scores_are_bsuites_formulas():
    # memory_len: (episodes - perfect)/0.5/episodes < 0.75, here by its own words; regret is 2 per imperfect episode.
    for episodes, perfect in [(10_000, 6249), (10_000, 6250), (10_000, 6251), (400, 399)]:
        theirs = (episodes - perfect) / 0.5 / episodes < 0.75
        assert solved("memory_chain", 2.0 * (episodes - perfect), episodes) is theirs
    assert solved("umbrella_chain", 4999, 10_000) and not solved("umbrella_chain", 5000, 10_000)
    assert len(BSUITE_LENGTHS) == 23 and BSUITE_LENGTHS[-1] == 100 and BSUITE_LENGTHS[9:15] == (10, 12, 14, 17, 20, 25)
    regret = {length: (0.0 if length <= 10 else 10_000.0, 10_000) for length in BSUITE_LENGTHS}
    assert bsuite_score("memory_chain", regret) == 10 / 23 and is_bsuite(regret)
    assert not is_bsuite({**regret, 1: (0.0, 500)}) and not is_bsuite({3: (0.0, 10_000)})
    with pytest.raises(ModelError, match="at least one"):
        bsuite_score("memory_chain", {})


def test_the_criterion_is_met_by_the_average_over_all_episodes_so_far():
    course = [(50, 0.0), (100, 90.0), (200, 140.0), (300, 141.0)]
    assert episodes_to_criterion("memory_chain", course) == 200
    assert episodes_to_criterion("umbrella_chain", course) == 300
    assert episodes_to_criterion("umbrella_chain", course[:3]) is None


# -- beside bsuite itself, and under Gymnasium ------------------------------------------------------------------------


def bsuites(module):
    """An environment module of bsuite, without the plotting that its packages load."""
    pytest.importorskip("dm_env", reason="bsuite is not installed (pip install bsuite)")
    if "bsuite" not in sys.modules:
        found = importlib.util.find_spec("bsuite")
        if found is None or not found.submodule_search_locations:
            pytest.skip("bsuite is not installed (pip install bsuite)")
        package = types.ModuleType("bsuite")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["bsuite"] = package
    return importlib.import_module(f"bsuite.environments.{module}")


class Told:
    """In place of bsuite's generator: hands out the numbers that ours drew, in the order in which bsuite asks."""

    def __init__(self, numbers):
        self.numbers = [int(n) for n in numbers]

    def binomial(self, n, p, size=None):
        assert (n, p) == (1, 0.5)
        if size is None:
            return self.numbers.pop(0)
        return np.array([self.numbers.pop(0) for _ in range(size)])

    def randint(self, high):
        drawn = self.numbers.pop(0)
        assert 0 <= drawn < high
        return drawn


def compare(theirs, observations, outcomes: list[Outcome], actions):
    stamp = theirs.reset()
    for seen, out, action in zip(observations, outcomes, actions, strict=True):
        np.testing.assert_allclose(stamp.observation[0], seen[0].numpy(), rtol=0, atol=1e-7)
        assert not stamp.last()
        stamp = theirs.step(int(action))
        assert stamp.reward == float(out.reward[0])
    assert stamp.last() and outcomes[-1].last
    np.testing.assert_allclose(stamp.observation[0], outcomes[-1].observation[0].numpy(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("length", [1, 2, 5, 40])
@pytest.mark.parametrize("bits", [1, 3])
def test_the_memory_chain_is_bsuites_step_by_step(length, bits):
    theirs_of = bsuites("memory_chain").MemoryChain
    for seed in range(4):
        rng = generator(seed + 100)
        actions = torch.randint(0, 2, (length + 1,), generator=rng)
        state, observations, outcomes = played(
            MemoryChain(length, bits), lambda t, s, a=actions: a[t : t + 1], batch=1, seed=seed
        )
        theirs = theirs_of(length, bits, seed=0)
        theirs._rng = Told([*state.context[0], state.query[0]])
        compare(theirs, observations, outcomes, actions)
        assert theirs.bsuite_info()["total_regret"] == float(outcomes[-1].regret[0])


@pytest.mark.parametrize("length", [1, 2, 7])
def test_the_umbrella_chain_is_bsuites_step_by_step(length):
    theirs_of = bsuites("umbrella_chain").UmbrellaChain
    for seed in range(4):
        actions = torch.randint(0, 2, (length,), generator=generator(seed + 100))
        state, observations, outcomes = played(
            UmbrellaChain(length), lambda t, s, a=actions: a[t : t + 1], batch=1, seed=seed
        )
        drawn = [state.need[0], state.have[0], *observations[0][0, 3:]]
        for out in outcomes:
            drawn += [] if out.last else [(out.reward[0] + 1) / 2]
            drawn += list(out.observation[0, 3:])
        theirs = theirs_of(length, 20, seed=0)
        theirs._rng = Told(drawn)
        compare(theirs, observations, outcomes, actions)
        assert theirs._rng.numbers == []
        assert theirs.bsuite_info()["total_regret"] == float(outcomes[-1].regret[0])


def test_gymnasium_knows_the_environments():
    gymnasium = pytest.importorskip("gymnasium", reason="Gymnasium is not installed (extra rl)")
    from gymnasium.utils.env_checker import check_env

    from models.environments.registration import NAMES, register

    assert register() == register() == list(NAMES)
    for name in NAMES:
        with gymnasium.make(name, length=5) as env:
            check_env(env.unwrapped, skip_render_check=True)
    with gymnasium.make("astromorphic/MemoryChain-v0", length=150) as env:
        observation, _ = env.reset(seed=3)
        bit, count, over = int(observation[2] > 0), 0, False
        while not over:
            observation, reward, over, cut, info = env.step(bit)
            count += 1
            assert not cut
        assert count == 151 and reward == 1.0 and info["regret"] == 0.0
        again, _ = env.reset(seed=3)
        assert int(again[2] > 0) == bit
    many = gymnasium.make_vec("astromorphic/UmbrellaChain-v0", num_envs=6, length=3)
    sight, _ = many.reset(seed=1)
    need = sight[:, 0].astype(int)
    for step in range(3):
        sight, reward, over, cut, info = many.step(need)
        assert over.all() == (step == 2) and not cut.any()
    assert (reward == 1.0).all() and (info["regret"] == 0.0).all()
    sight, reward, over, _, _ = many.step(need)
    assert (reward == 0).all() and not over.any() and (sight[:, 2] == 1.0).all()


def test_without_gymnasium_the_remedy_is_named(monkeypatch):
    from models.environments.registration import register

    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ModelError, match=r"pip install 'astromorphic\[rl\]'"):
        register()
