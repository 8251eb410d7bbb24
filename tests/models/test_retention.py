"""Retention factors: what a schedule has to be, the closed form, the simulation of macro.json, and rows of a batch."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from bridge.artifact import MacroParameters
from models.errors import ModelError
from models.rmaat.retention import LEARNED, SCHEDULES, Retention, retention_factors


@pytest.fixture(scope="module")
def section():
    import bridge

    return MacroParameters.load(f"{bridge.__path__[0]}/presets/simulated.json").section("retention")


def factors(schedule, total, section, decay=0.5):
    return retention_factors(schedule, total, decay=decay, shares=section.shares)


@pytest.mark.parametrize("total", [1, 2, 3, 8, 9, 16, 40])
def test_shares_are_not_negative_sum_to_one_and_fall(total, section):
    for schedule in ("geometric", "simulated", "uniform"):
        r = factors(schedule, total, section)
        assert r.shape == (total,) and bool((r >= 0).all())
        assert float(r.sum()) == pytest.approx(1.0, abs=1e-12)
        falls = r.diff() < 0 if schedule != "uniform" else r.diff() == 0
        assert bool(falls.all())
    assert torch.equal(factors("reversed", total, section), factors("simulated", total, section).flip(0))
    assert torch.equal(retention_factors("reversed", total), retention_factors("geometric", total).flip(0))
    assert torch.equal(factors("ones", total, section), torch.ones(total, dtype=torch.float64))
    assert torch.equal(factors("zeros", total, section), torch.zeros(total, dtype=torch.float64))
    assert float(factors("simulated", 1, section)) == float(factors("geometric", 1, section)) == 1.0


def test_the_closed_form_has_the_published_ratio_and_its_limits():
    # r(1, 2) = 1 / (1 + e^-a), r(t+1)/r(t) = e^-a
    r = retention_factors("geometric", 2, decay=1.0)
    assert r.tolist() == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)], rel=1e-14)
    r = retention_factors("geometric", 8, decay=0.25)
    assert (r[1:] / r[:-1]).tolist() == pytest.approx([math.exp(-0.25)] * 7, rel=1e-14)
    assert retention_factors("geometric", 5, decay=1e-12).tolist() == pytest.approx([0.2] * 5, rel=1e-10)
    first = [float(retention_factors("geometric", t)[0]) for t in range(1, 20)]
    assert all(a > b for a, b in pairwise(first))  # shifts down as T grows


def test_the_simulation_is_that_of_the_macro_file_and_near_the_closed_form(section):
    for total in (1, 2, 5, 8, 12, 16):
        ours = factors("simulated", total, section, decay=section.decay)
        assert torch.allclose(ours, torch.tensor(section.factors(total)), rtol=1e-13)
        assert torch.allclose(
            retention_factors("geometric", total, decay=section.decay),
            torch.tensor(section.geometric(total)),
            rtol=1e-12,
        )
        assert float((ours - retention_factors("geometric", total, decay=section.decay)).abs().max()) < 0.03


def test_rows_of_a_batch_hand_on_only_what_a_segment_is_there_for():
    counts = torch.tensor([4, 2, 1, 0])
    retention = Retention("geometric", 4, decay=0.5)
    fixed = retention.handed_on(counts, 4, 4, torch.float64)
    r = retention_factors("geometric", 4)
    assert fixed.tolist() == [[float(r[0]), float(r[0]), 1, 1], [float(r[1]), 1, 1, 1], [float(r[2]), 1, 1, 1]]
    rows = retention.handed_on(counts, None, 4, torch.float64)
    two = retention_factors("geometric", 2)
    assert torch.equal(rows[:, 0], r[:3]) and rows[:, 1].tolist() == [float(two[0]), 1, 1]
    assert bool((rows[:, 2:] == 1).all())
    assert retention.handed_on(counts, 4, 1, torch.float64).shape == (0, 4)


def test_learned_schedules_start_where_they_say_and_are_learned():
    free, shares = Retention("learned", 6), Retention("learned_shares", 6)
    assert torch.allclose(free(6), torch.full((6,), 0.9), atol=1e-3)
    assert torch.allclose(shares(4), torch.full((4,), 0.25))
    for retention in (free, shares):
        retention.handed_on(torch.tensor([3]), None, 3, torch.float32).prod().backward()
        assert retention.weight.grad[0] != 0
        with pytest.raises(ModelError, match=r"7 segments and retention .* was built for 6"):
            retention(7)


def test_errors_name_what_is_wrong():
    with pytest.raises(ModelError, match="unknown retention 'geometrical': did you mean 'geometric'"):
        retention_factors("geometrical", 3)
    with pytest.raises(ModelError, match="total is 0; expected a whole number"):
        retention_factors("geometric", 0)
    with pytest.raises(ModelError, match="decay is -1"):
        retention_factors("geometric", 3, decay=-1)
    with pytest.raises(ModelError, match="no simulated shares; make the configuration with from_macro"):
        retention_factors("simulated", 3)
    assert set(LEARNED) < set(SCHEDULES)
