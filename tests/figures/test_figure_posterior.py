"""The posterior figure: its data and panels from a made-up posterior, and what happens without sbi."""

import numpy as np
import pytest

import bridge
from bridge.calibration import coverage_of_ranks
from figures import gallery, posterior


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    centre = np.array([0.9, 0.1, 6.0, -4000.0])
    samples = centre * (1 + 0.1 * rng.standard_normal((500, 4)))
    samples[:, 2] = 6 + 5 * (samples[:, 0] - 0.9)
    rates = np.array(posterior.RATES)
    calcium = 0.1 + 0.03 * rates / (rates + 1)
    found = bridge.Posterior(
        samples=samples,
        units=dict(zip(posterior.FREE, ("uM/s", "uM", "1/s", "%/uM"), strict=True)),
        ranges={
            name: tuple(sorted((0.5 * value, 1.5 * value))) for name, value in zip(posterior.FREE, centre, strict=True)
        },
        usual=dict(zip(posterior.FREE, centre, strict=True)),
        observation=bridge.Observation(rates, calcium, np.full(10, 1e-3), "stated", "made up"),
        method="npe",
        before=bridge.PriorCheck(1.0, 1.5, 7.0, 0.9, 500),
        after=bridge.PredictiveCheck(
            rates, calcium - 0.002, calcium, calcium + 0.002, calcium, 0.9, 1.0, 4e-4, -0.3, 3.0, 400
        ),
        settings={"posterior": {"n_simulations": 1000, "effective_draws": 800.0}},
    )
    ranks = (np.tile(np.arange(200.0)[:, None], (1, 4)) + 0.5) / 200
    return posterior.tidy(found, coverage_of_ranks(posterior.FREE, ranks, np.zeros(4)))


def test_panels_show_the_samples_the_usual_values_and_the_band(data):
    figure = posterior.draw(data)
    by_label = {(axes.get_xlabel(), axes.get_ylabel()): axes for axes in figure.axes}
    pair = by_label[(posterior._LABELS["v_ER"], posterior._LABELS["K_AG"])]
    samples = data[data.part == "sample"]
    np.testing.assert_array_equal(pair.lines[0].get_xdata(), samples.v_ER)
    np.testing.assert_array_equal(pair.lines[0].get_ydata(), samples.K_AG)
    assert (pair.lines[1].get_xdata()[0], pair.lines[1].get_ydata()[0]) == (0.9, -4000)
    assert pair.get_xlim() == pytest.approx((0.45, 1.35)) and pair.get_ylim() == pytest.approx((-6000, -2000))
    band = by_label[("input rate (Hz)", "mean calcium (nM)")]
    edges = band.collections[0].get_paths()[0].vertices[:, 1]
    curve = data[data.part == "curve"]
    assert edges.min() == pytest.approx(1e3 * curve.low_um.min()) and edges.max() == pytest.approx(
        1e3 * curve.high_um.max()
    )


def test_findings_name_the_strongest_trade(data):
    text = " ".join(posterior.findings(data))
    assert "v_ER with r_C, r = +1.00" in text and "50 % intervals hold 50%–50%" in text
    assert "v_ER, k_ER, r_C, K_AG" in text and "Weighted draws: 800 effective" in text
    blunt = data.assign(effective_draws=data.effective_draws.where(data.part != "check", 12.0))
    assert "Not weighted, too few: 12 effective" in " ".join(posterior.findings(blunt))


def test_without_sbi_the_figure_says_what_to_install_and_all_leaves_it_out(monkeypatch, tmp_path, capsys):
    from astromorphic.cli import main

    monkeypatch.setattr("bridge.neural_posterior.find_spec", lambda name: None)
    with pytest.raises(bridge.InferenceError, match=r"pip install 'astromorphic\[inference\]'") as raised:
        gallery.make("posterior", tmp_path)
    assert "\n" not in str(raised.value)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    assert "pip install 'astromorphic[inference]'" in (gallery.missing("posterior") or "")
    assert gallery.missing("alpha") is None
    monkeypatch.setattr(gallery, "FIGURES", {"posterior": "posterior"})
    with pytest.raises(SystemExit) as stop:
        main(["figures", "all", "--out", str(tmp_path)])
    assert not stop.value.code
    assert "posterior is left out" in capsys.readouterr().out


def test_the_command_without_sbi_ends_with_one_line(monkeypatch, tmp_path, capsys):
    from astromorphic.cli import main

    monkeypatch.setattr("bridge.neural_posterior.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        main(["figures", "posterior", "--out", str(tmp_path)])
    assert stop.value.code == 2
    assert "astromorphic[inference]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
