"""Figures: their data, that the drawing shows the data, and the sentences of the report."""

import math

import numpy as np
import pandas as pd
import pytest

import biosim
import figures
from figures import fig3, impulse, learning, plasticity, responses, self_repair, traces
from figures.report import ArmSummary, Pair, pairs


@pytest.fixture(scope="module")
def fig3_data() -> pd.DataFrame:
    return fig3.tidy(biosim.simulate("fig3", trials=4, duration=100.0, settle=50.0, seed=1))


def test_fig3_draws_the_simulated_and_the_published_curve(fig3_data):
    figure = fig3.draw(fig3_data)
    axes = figure.axes[0]
    published, simulated = axes.lines[0], axes.containers[0].lines[0]
    assert published.get_xdata().size == 181
    np.testing.assert_allclose(np.asarray(simulated.get_ydata(), float), fig3_data.calcium_um_mean)
    assert "Hz" in axes.get_xlabel()
    assert "µM" in axes.get_ylabel()


def test_rmse_is_over_the_rates_that_both_curves_have():
    data = pd.DataFrame({"calcium_um_mean": [0.1, 0.2, 0.9], "published_calcium": [0.103, 0.196, math.nan]})
    assert fig3.rmse(data) == pytest.approx(math.sqrt((0.003**2 + 0.004**2) / 2))


def test_published_column_is_empty_outside_the_published_range():
    dataset = biosim.simulate("rate_sweep", rates=[0.5, 1.0, 20.0], trials=2, duration=2, settle=1)
    table = fig3.tidy(dataset)
    assert table.published_calcium.isna().tolist() == [True, False, True]


def test_figures_are_written_with_their_data_and_are_reproducible(tmp_path):
    first = figures.make("responses", tmp_path / "a")
    second = figures.make("responses", tmp_path / "b")
    assert [path.name for path in first] == ["responses.png", "responses.svg", "responses.csv"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_responses_meet_at_the_reference_activation():
    import bridge

    data = responses.tidy(bridge.preset("fig3_published_hyperbola"), 30.0, 60.0)
    at = [np.interp(30.0, part.activation, part.g) for _, part in data.groupby("response")]
    np.testing.assert_allclose(at, 30.0**0.25, rtol=1e-3)


def test_traces_show_release_in_psu_alone():
    data = traces.compute(quick=True, seed=0)
    peak = data.groupby("parameter_set").calcium_um.max()
    assert peak["wade2012"] < 0.3 < peak["psu"]
    assert data[data.parameter_set == "wade2012"].esp_percent.abs().max() == 0
    assert data[data.parameter_set == "psu"].esp_percent.max() > 10
    assert len(traces.draw(data).axes) == 4


def test_plasticity_draws_what_the_simulation_gave():
    runs = plasticity.simulate(quick=True)
    data = plasticity.tidy(runs)
    curve = data[data.panel == "long_term_curve"]
    np.testing.assert_allclose(curve.y, runs["grid"].long_term_mean.values[:6])
    np.testing.assert_allclose(curve.x, [50, 100, 150, 200, 250, 300])
    for total in (2, 4, 6, 8):
        factors = data[(data.panel == "retention") & (data.series == str(total))]
        np.testing.assert_allclose(factors.y, biosim.retention_factors(runs["grid"].long_term_mean, total))
        assert factors.x.tolist() == list(range(1, total + 1))
    distance = data[data.panel == "distance"].groupby("series").y
    assert distance.std()["equal"] < 1e-12 < 0.01 < distance.std()["grid"]
    figure = plasticity.draw(data)
    short, long, retention, last = figure.axes
    centre = data[(data.panel == "short_term") & (data.series == "centre")]
    np.testing.assert_allclose(np.asarray(short.lines[0].get_ydata(), float), centre.y)
    assert len(short.patches) == len(long.patches) == 6
    assert (len(retention.lines), len(last.lines)) == (8, 3)
    assert short.get_xlabel().startswith("time (s)")


def test_self_repair_shows_the_drop_the_recovery_and_the_relation():
    names = {"wade2012": "wade2012", "psu": "psu", "statistics": "psu"}
    data = self_repair.tidy(
        {
            key: biosim.simulate(
                "self_repair", name, shares=[0.4, 0.8] if key == "statistics" else [self_repair.SHARES[name]], trials=4,
                fault_time=40.0, duration=80.0, before=20.0, after=20.0,
            )
            for key, name in names.items()
        }
    )  # fmt: skip
    course = data[data.part == "course"]
    assert sorted(course.neuron.unique()) == [1, 2]
    two = course[(course.parameter_set == "wade2012") & (course.neuron == 2)].set_index("time_s").firing_rate_hz
    assert two[42.5] < two[72.5] < two[32.5:37.5].mean()
    statistics = data[data.part == "statistics"]
    assert len(statistics) == 8
    np.testing.assert_allclose(statistics.q_published, 1.03 / (statistics.z + 0.04))
    figure = self_repair.draw(data)
    (points,) = (line for line in figure.axes[3].lines if line.get_marker() == ".")
    np.testing.assert_allclose(points.get_ydata(), statistics.q)


def test_impulse_draws_the_closed_form_over_the_response():
    data = impulse.tidy(
        {
            "pulses": biosim.simulate("pulse_train", number=1, trials=2),
            "impulse": biosim.simulate("impulse_response", duration=21.0),
        }
    )
    late = data[data.part == "impulse"]
    np.testing.assert_allclose(late.ip3_um, late.ip3_closed_form_um, rtol=0, atol=1e-12)
    assert len(impulse.draw(data).axes) == 4


def test_every_figure_of_the_list_has_a_title():
    assert set(figures.titles()) == set(figures.FIGURES)
    assert all(figures.titles().values())


def _summary(arm: str, test: tuple[float, ...]) -> ArmSummary:
    return ArmSummary(arm, arm, "#000000", tuple(range(len(test))), test, test, 1, ("causal",) * len(test))


def test_pairs_compare_seed_by_seed_and_say_when_seeds_disagree():
    summaries = [_summary("fitted", (2.0, 2.2)), _summary("alpha025", (2.1, 2.1)), _summary("none", (3.0, 3.1))]
    by_name = {(pair.first, pair.second): pair for pair in pairs(summaries)}
    disagree = by_name["fitted", "alpha025"]
    assert disagree.differences == pytest.approx((-0.1, 0.1))
    assert "disagree" in disagree.sentence
    agree = by_name["fitted", "none"]
    assert agree.mean == pytest.approx(-0.95)
    assert "better than none" in agree.sentence
    assert "all 2 seeds agree on the sign, as 2 seeds do by chance once in 2" in agree.sentence


def test_one_seed_makes_no_statement_about_spread():
    assert "nothing about spread" in Pair("a", "b", (0.1,)).sentence


def test_learning_curve_has_a_line_per_seed_and_one_mean_per_arm():
    rows = [
        {"arm": arm, "seed": seed, "step": step, "tokens": step * 10, "validation_bits_per_byte": 3.0 - step + seed}
        for arm in ("fitted", "none")
        for seed in (0, 1)
        for step in (1, 2)
    ]
    axes = learning.draw(pd.DataFrame(rows)).axes[0]
    assert len(axes.lines) == 6
    np.testing.assert_allclose(axes.lines[2].get_ydata(), [2.5, 1.5])
