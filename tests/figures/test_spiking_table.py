"""The table of spiking networks, from made-up records: differences to the default, rates and operations, and what is printed."""

from __future__ import annotations

import math

import pytest
from test_run_figures import folder, run

from figures import make, spiking_table
from figures.runs import RunsError
from models.astrosnn import AstroSNNConfig

SIZE = {"vocab_size": 256, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def spiking(arm, seed, bits, rates=None, task="enwik8_first_4000000", **settings):
    config = AstroSNNConfig(**SIZE, **settings).settings()
    active = None if rates is None else {
        "tokens": 100, "rates": [{"mixer": rate} for rate in rates], "silent": [0.0, 0.0], "saturated": [0.0, 0.0],
    }  # fmt: skip
    return run(task, arm, seed, scores=(bits, bits), config=config, activity=active)


@pytest.fixture
def runs(tmp_path):
    found = [spiking("amsu", seed, bits, (0.2, 0.5 + 0.1 * seed)) for seed, bits in enumerate((2.0, 2.2))]
    found += [spiking("gru", seed, bits, mixer="gru") for seed, bits in enumerate((2.3, 2.3))]
    found += [spiking("decay_exp", seed, bits, (0.3, 0.3), decay="exp") for seed, bits in enumerate((1.9, 2.1))]
    return folder(tmp_path / "runs", [*found, run("enwik8_first_4000000", "none")])


def test_arms_stand_beside_the_default_with_their_rates_and_operations(runs):
    data = spiking_table.compute(runs=runs)
    measured = data[data.source == "measured"].set_index("arm")
    # Best first; a run of another kind of network is not among them.
    assert measured.index.tolist() == ["decay_exp", "amsu", "gru"]
    assert measured.test.tolist() == pytest.approx([2.0, 2.1, 2.3])
    assert measured.difference.tolist() == pytest.approx([-0.1, 0.0, 0.2])
    # Standard deviations of two seeds are 0.1 sqrt 2, errors of the means 0.1.
    assert measured.sigmas["decay_exp"] == pytest.approx(-0.1 / math.sqrt(0.02))
    assert measured.sigmas["gru"] == pytest.approx(2.0) and math.isnan(measured.sigmas["amsu"])
    rates = measured.loc["amsu", ["firing_rate", "lowest_rate", "highest_rate"]].tolist()
    assert rates == pytest.approx([0.375, 0.2, 0.6])
    # W_o of both layers from the rates of both seeds, 0.2 + 0.55 on average; as in the formula of the energy.
    assert measured.ac["amsu"] == pytest.approx(0.75 * 16 * 16)
    macs = 2 * (4 * 16**2 + 3 * 16 * 8 + 2 * 16 + 4 * 16 + 2 * 16 * 64) + 16 * 256
    assert measured.mac["amsu"] == macs
    assert measured.nanojoules["amsu"] == pytest.approx(1e-3 * (0.9 * 0.75 * 256 + 4.6 * macs))
    assert measured.dense_nanojoules["amsu"] == pytest.approx(1e-3 * 4.6 * (macs + 2 * 256))
    assert math.isnan(measured.ac["gru"]) and math.isnan(measured.firing_rate["gru"])


def test_printed_numbers_are_marked_and_are_not_drawn(runs, tmp_path):
    data = spiking_table.compute(runs=runs)
    printed = data[data.source == "printed"].set_index("arm").test
    assert printed["AstroSNN small (88M)"] == 1.142 and printed["AstroSNN large (732M)"] == 0.987
    (ax,) = spiking_table.draw(data).axes
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["decay exp(−1/τ)", "AM-SU, σ = identity", "GRU"]
    texts = [text.get_text() for text in ax.texts]
    assert "rate 0.38" in texts[1] and "nJ" in texts[1] and "rate" not in texts[2].replace("lr", "")
    assert all(path.stat().st_size for path in make("spiking_table", tmp_path / "out", runs=runs))


def test_a_task_that_is_not_enwik8_has_no_printed_numbers_and_a_folder_without_such_runs_is_said(tmp_path):
    data = spiking_table.compute(runs=folder(tmp_path / "a", [spiking("amsu", 0, 2.0, (0.2, 0.2), task="shakespeare")]))
    assert set(data.source) == {"measured"} and math.isnan(data.sigmas[0])
    with pytest.raises(RunsError, match="holds no run of astrosnn; make some with astromorphic study enwik8_astrosnn"):
        spiking_table.compute(runs=folder(tmp_path / "b", [run("enwik8", "none")]))
