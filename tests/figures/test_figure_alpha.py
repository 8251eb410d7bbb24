"""The alpha and the sensitivity figure: their numbers against the estimators they stand for, and what they say."""

import numpy as np
import pandas as pd
import pytest

import biosim
import bridge
from figures import alpha, gallery, sensitivity


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Short runs of few trials: the same curves with more noise, and one kernel for all of them."""
    wade = biosim.parameter_set("wade2012")
    clock = {"trials": 4, "duration": 150.0, "settle": 70.0}
    wide = [1.0, 2.0, 5.0, 7.0, 8.5, 10.0, 15.0, 20.0, 50.0, 100.0]
    runs = {
        "wade2012": biosim.simulate("fig3", wade, **clock),
        "wade2012_wide": biosim.simulate("rate_sweep", wade, rates=wide, **clock),
        "few_synapses": biosim.simulate("rate_sweep", wade.with_values(K_AG=-1000.0, PR0=0.1), rates=wide, **clock),
        "psu": biosim.simulate("rate_sweep", wade.with_values(K_AG=-1000.0, v_ER=0.8), rates=wide, **clock),
        "synapses/10": biosim.simulate("fig3", wade, **clock),
    }
    for name in alpha.GAINS:
        base = biosim.protocol("fig3", wade, **clock)
        usual = float(getattr(wade, name))
        runs[f"gain/{name}"] = biosim.simulate(biosim.swept(base, name, [0.5 * usual, usual, 2 * usual]))
    return alpha.tidy(runs, n_resamples=50)


def test_the_published_curve_gives_the_numbers_of_the_reference(data):
    found = {t: alpha.alpha_of(data, "published", t) for t in alpha.TREATMENTS}
    expected = {"nls_raw": 0.0527, "loglog_raw": 0.0534, "nls_above_rest": 0.122, "loglog_above_rest": 0.1263}
    for treatment, value in expected.items():
        assert found[treatment] == pytest.approx(value, abs=6e-4)
    free = data[(data.part == "treatment") & (data.source == "published") & (data.treatment == "nls_offset")].iloc[0]
    assert free.at_limit and free.alpha == pytest.approx(1e-3)
    above = data[(data.part == "rest") & (data.treatment == "nls_above_rest")].sort_values("rest_um")
    np.testing.assert_allclose(above.alpha, [0.119, 0.122, 0.146], atol=6e-4)


def test_quarter_is_the_log_log_line_of_the_simulated_curve_above_rest(data):
    assert alpha.alpha_of(data, "wade2012", "loglog_above_rest") == pytest.approx(0.254, abs=0.02)
    assert alpha.alpha_of(data, "wade2012", "nls_above_rest") == pytest.approx(0.231, abs=0.02)
    assert alpha.alpha_of(data, "wade2012", "nls_raw") == pytest.approx(0.100, abs=0.01)


def test_the_level_for_a_quarter_gives_a_quarter(data):
    """Of the published curve it lies near 0.0925 uM for the end points, higher for all points, and far above any rest."""
    for source, treatment in (("published", "loglog_above_rest"), ("wade2012", "loglog_above_rest")):
        level = alpha.level_for(data, source, treatment)
        rows = data[(data.part == "curve") & (data.source == source)]
        curve = bridge.Curve(x=rows.input_rate_hz, y=rows.calcium_um, resting_calcium=level)
        assert bridge.estimate_alpha(curve, treatment, n_resamples=0).value == pytest.approx(0.25, abs=0.004)
    assert 0.0925 < alpha.level_for(data, "published", "loglog_above_rest") < 0.1
    assert np.isnan(alpha.level_for(data, "published", "loglog_above_rest", alpha=9.0))


def test_exponents_grow_with_the_level_and_change_with_range_and_gain(data):
    for _, rows in data[data.part == "level"].groupby(["source", "treatment"]):
        assert np.all(np.diff(rows.sort_values("rest_um").alpha.dropna()) > 0)
    ranges = data[(data.part == "range") & (data.source == "wade2012_wide") & (data.treatment == "loglog_above_rest")]
    at = ranges.set_index(["rate_low_hz", "rate_high_hz"]).alpha
    assert at[1, 10] > at[1, 20] > at[1, 50] > at[1, 100] > at[10, 100]
    gain = data[(data.part == "gain") & (data.gain == "K_AG") & (data.treatment == "nls_raw")].sort_values("factor")
    assert np.all(np.diff(gain.alpha) < 0) and gain.factor.tolist() == [0.5, 1.0, 2.0]


def test_a_range_that_a_curve_does_not_reach_is_left_out(data):
    published = data[(data.part == "range") & (data.source == "published")]
    assert published.rate_high_hz.max() == 10


def test_the_ranking_puts_the_hyperbola_or_hill_first_on_the_reproduced_curves(data):
    ranked = data[data.part == "ranking"]
    for source in ("published", "wade2012"):
        rows = ranked[ranked.source == source].set_index("family")
        assert rows.delta_aicc.idxmin() in ("hyperbola", "hill")
        assert rows.loc["power", "delta_aicc"] > 10 and rows.loc["power_above_rest", "delta_aicc"] > 10
        assert not rows.loc["power_offset", "identifiable"]
    hyperbola = ranked[(ranked.source == "published") & (ranked.family == "hyperbola")].iloc[0]
    assert hyperbola.r_squared == pytest.approx(0.9983, abs=1e-4) and hyperbola["shape"] == pytest.approx(
        0.879, abs=2e-3
    )


def test_the_sentences_hold_the_numbers(data):
    text = " ".join(alpha.findings(data))
    assert "0.053 raw, 0.126 above the rest of wade2012" in text
    assert "the sets rest at 72.2 and" in text
    assert f"{alpha.alpha_of(data, 'wade2012', 'loglog_above_rest'):.3f} as the log-log line above rest" in text
    assert "not identifiable" in text and "AICc units behind" in text


def test_alpha_draws_what_it_has(data):
    figure = alpha.draw(data)
    assert len(figure.axes) == 8
    assert [axes.get_title(loc="left")[0] for axes in figure.axes] == list("ABCDEFGH")
    curve = figure.axes[0].lines[0]
    assert curve.get_xdata().size == 181
    shown = " ".join(text.get_text() for text in figure.axes[7].texts)
    assert "Published curve: 0.053 raw" in " ".join(shown.split())
    levels = figure.axes[2].lines[0]
    np.testing.assert_allclose(np.diff(np.asarray(levels.get_ydata(), float)) > 0, True)


def test_the_plan_of_the_quick_figure_covers_every_panel(monkeypatch):
    """Without running it: protocols, rates and parameters of each simulation."""
    plans = []
    monkeypatch.setattr("biosim.simulate", lambda plan, **_: plans.append(plan) or plan, raising=False)
    seen = []
    keys = alpha.simulate(quick=True, progress=lambda done, total: seen.append((done, total)))
    assert set(keys) == {
        "wade2012", "wade2012_wide", "few_synapses", "psu", "synapses/2", "synapses/10", "gain/r_IP3", "gain/K_AG"
    }  # fmt: skip
    few = keys["few_synapses"].parameters
    assert (few.n_neurons, few.n_synapses, few.K_AG, few.v_ER, few.release_rule) == (1, 2, -1000.0, 0.8, "upward")
    assert keys["wade2012_wide"].axes[0].values[[0, -1]].tolist() == [1.0, 100.0]
    assert keys["gain/K_AG"].axes[-1].values.tolist() == [-2000.0, -4000.0, -8000.0]


@pytest.fixture(scope="module")
def indices() -> pd.DataFrame:
    found = bridge.sobol("wade2012", ["v_ER", "K_AG", "m_eSP"], n=32, duration=60.0, settle=30.0)
    return sensitivity.tidy(found)


def test_sensitivity_has_a_row_per_output_and_input_with_the_dummy(indices):
    assert set(indices.output) == {"alpha", "log_half_rate", "calcium_range"}
    assert set(indices.input) == {"v_ER", "K_AG", "m_eSP", "dummy"}
    assert len(indices) == 12 and (indices.n == 32).all()
    # Quantiles of the half-rate are in Hz.
    half = indices[indices.output == "log_half_rate"].iloc[0]
    assert 0.2 < half.q05 < half.q50 < half.q95 < 20
    assert "release glutamate" in indices.notes.iloc[0]


def test_sensitivity_draws_the_indices_and_the_noise(indices):
    figure = sensitivity.draw(indices)
    assert len(figure.axes) == 3
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0].startswith("dummy") and len(labels) == 4
    order = ["dummy", *indices.groupby("input").ST.max().drop("dummy").sort_values().index]
    for axes, output in zip(figure.axes, ("alpha", "log_half_rate", "calcium_range"), strict=True):
        rows = indices[indices.output == output].set_index("input").loc[order]
        total = axes.containers[0].lines[0]
        np.testing.assert_allclose(np.asarray(total.get_xdata(), float), rows.ST)
        assert axes.get_xlabel().startswith("share of the variance")


def test_both_are_in_the_gallery():
    assert {"alpha", "sensitivity"} <= set(gallery.FIGURES)
