"""The protocol calcium_wave: what its options mean, its measures, and sweeps of it, which keep copies whole."""

from __future__ import annotations

import numpy as np
import pytest

import biosim
from biosim import SimulationError, wave_measures
from biosim.storage import load
from biosim.sweeps import cut

# Small structures, which compile fast; random input off, so that nothing but the stimulus acts.
SMALL = {"n_astrocytes": 7, "topology": "chain", "stimulated": [0], "duration": 20.0}


@pytest.fixture(scope="module")
def still():
    return biosim.parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1)


@pytest.fixture(scope="module")
def wave(still):
    """Linear coupling of three strengths, two jumps, along a chain of seven."""
    return biosim.simulate("calcium_wave", still, form="linear", strengths=[0.0, 0.5, 2.0], sizes=[1.0, 2.5], **SMALL)


# Measures ---------------------------------------------------------------------------------------------------------------


def test_first_rise_is_interpolated_and_looks_after_the_start_alone():
    time = np.arange(6.0)
    falling_again = [0.0, 0.4, 0.0, 0.1, 0.5, 0.6]
    calcium = np.array([falling_again, [0.5, 0.5, 0.4, 0.4, 0.4, 0.4], [0.0, 0.0, 0.0, 0.0, 0.0, 0.3]]).T
    np.testing.assert_allclose(wave_measures.first_rise(time, calcium, 0.3, 0.0), [0.75, np.nan, 5.0])
    np.testing.assert_allclose(wave_measures.first_rise(time, calcium, 0.3, 2.0), [1.5, np.nan, 3.0])


def test_front_is_the_slope_up_to_the_first_gap():
    distance = np.array([2, 1, 0, 1, 2, 3, 5, -1])
    moment = np.array([9.0, 3.0, 1.0, 4.0, 5.0, np.nan, 2.0, 0.5])
    reached, speed = wave_measures.front(distance, moment)
    assert reached == 2 and speed == pytest.approx(0.5)
    # What is active before its turn was not reached by the front.
    assert wave_measures.front(distance, np.where(distance == 2, 2.5, moment))[0] == 1
    reached, speed = wave_measures.front(distance, np.full(8, np.nan))
    assert reached == -1 and np.isnan(speed)
    assert wave_measures.front(distance, np.where(distance == 0, 1.0, np.nan))[0] == 0


# The protocol -----------------------------------------------------------------------------------------------------------


def test_wave_dies_out_and_a_stronger_one_goes_farther(wave):
    assert wave.activation_time.dims == ("coupling_strength", "stimulus", "trial", "astrocyte")
    reach = wave.front_distance.isel(trial=0).values
    # Without coupling only the stimulated astrocyte; with it a few more, never all: nothing makes new IP3.
    assert (reach[0] == 0).all() and (wave.n_active.values[0] == 1).all()
    assert (reach[1:] > 0).all() and (reach[1:] < 6).all() and (np.diff(reach[1:], axis=1) > 0).all()
    time = wave.activation_time.isel(coupling_strength=2, stimulus=1, trial=0).values
    arrived = int(reach[2, 1]) + 1
    assert (np.diff(time[:arrived]) > 0).all() and np.isnan(time[arrived:]).all()
    assert wave.front_speed.values[2, 1, 0] == pytest.approx(np.polyfit(time[:arrived], np.arange(arrived), 1)[0])
    assert wave.distance.values.tolist() == list(range(7)) and wave.edge.shape == (6, 2)
    for name in wave.variables:
        assert {"units", "long_name"} <= set(wave[name].attrs) or name in ("edge_number", "end")


def test_jump_is_conserved_and_comes_at_its_time(wave):
    """The sum of IP3 above rest decays with tau_IP3 whatever passes between the astrocytes."""
    above = (wave.ip3 - 0.16).sum("astrocyte").isel(trial=0)
    assert above.sel(time=5.0).max() < 1e-12
    late = wave.time.values > 5.05
    for index, size in enumerate((1.0, 2.5)):
        wanted = size * np.exp(-(wave.time.values[late] - 5.0) / 7.0)
        for strength in range(3):
            np.testing.assert_allclose(
                above.isel(stimulus=index, coupling_strength=strength).values[late], wanted, rtol=1e-9
            )


def test_hold_raises_the_rest_of_the_stimulated_alone(still):
    plan = biosim.protocol("calcium_wave", still, stimulus="hold", sizes=[0.5], **{**SMALL, "stimulated": [2, 4]})
    e = plan.ensemble()
    np.testing.assert_allclose(e.values("IP3_rest"), [0.16, 0.16, 0.66, 0.16, 0.66, 0.16, 0.16])
    np.testing.assert_allclose(e.initial_state()["IP3"], 0.16)
    swept = biosim.swept(plan, "IP3_rest", [0.2, 0.3])
    assert [axis.name for axis in swept.axes][-2:] == ["IP3_rest", "astrocyte"]
    np.testing.assert_allclose(swept.ensemble().values("IP3_rest")[7:], [0.3, 0.3, 0.8, 0.3, 0.8, 0.3, 0.3])


def test_input_goes_to_the_stimulated_and_background_to_the_others(still):
    plan = biosim.protocol("calcium_wave", still, stimulus="input", sizes=[40.0], background=2.0, **SMALL)
    np.testing.assert_allclose(plan.ensemble().rate, [40.0, *[2.0] * 6])
    pulsed = biosim.protocol("calcium_wave", still, stimulus="input", sizes=[40.0], length=3.0, **SMALL)
    schedule = pulsed.experiment.schedule
    assert schedule.starts.tolist() == [0.0, 5.0, 8.0] and schedule.factors.tolist() == [0.0, 1.0, 0.0]
    jump = biosim.protocol("calcium_wave", still, background=2.0, **SMALL).ensemble()
    np.testing.assert_allclose(jump.rate, 2.0)
    np.testing.assert_allclose(jump.experiment.jump.size, [2.0, *[0.0] * 6])


def test_strengths_belong_to_copies(still):
    plan = biosim.protocol("calcium_wave", still, strengths=[0.1, 0.2], sizes=[1.0, 2.0], trials=2, **SMALL)
    e = plan.ensemble()
    np.testing.assert_allclose(e.coupling.strength, np.repeat([0.1, 0.2], 4))
    np.testing.assert_allclose(e.experiment.jump.size.reshape(8, 7)[:, 0], np.tile([1, 1, 2, 2], 2))
    assert plan.sample().n_units % 7 == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topology": "grid"}, "n_astrocytes = 7 with topology = 'grid', which takes rows, columns, periodic"),
        ({"topology": "file"}, "edges = None with topology = 'file': give a CSV file"),
        ({"rows": 3}, "rows = 3 with topology = 'chain'"),
        ({"stimulated": [7]}, r"stimulated = \[7\]: there are 7 astrocytes"),
        ({"strengths": [-1.0]}, "strength of the coupling = -1 uM/s"),
        ({"sizes": [-1.0]}, r"sizes = \[-1.0\] uM"),
        ({"length": 2.0}, "length = 2.0 s with stimulus = 'jump'"),
        ({"stimulus": "hold", "at": 3.0}, "at = 3 s with stimulus = 'hold': it lasts from the start"),
        ({"stimulus": "input", "length": 2.0, "background": 1.0}, "length = 2.0 s with background = 1 Hz"),
        ({"at": 30.0}, "at = 30 s: expected less than the duration of 20 s"),
        ({"level": 0.0}, "level = 0 uM: expected a finite concentration above 0"),
    ],
)
def test_options_that_do_not_fit(still, options, message):
    with pytest.raises(SimulationError, match=message):
        biosim.protocol("calcium_wave", still, **{**SMALL, **options})


# Sweeps -----------------------------------------------------------------------------------------------------------------


def test_cut_keeps_grains_whole():
    assert cut(0, 70, 20, 7) == [(0, 21), (21, 42), (42, 70)]
    assert cut(14, 70, 1, 7) == [(k, k + 7) for k in range(14, 70, 7)]
    assert cut(0, 70, 1000, 7) == [(0, 70)]
    assert cut(0, 10, 3) == [(0, 3), (3, 6), (6, 10)]


def test_sweep_in_blocks_gives_the_numbers_of_one_run(still, wave, tmp_path):
    """Blocks of at least 10 units are of 14 here, two copies of 7."""
    plan = biosim.protocol("calcium_wave", still, form="linear", strengths=[0.0, 0.5, 2.0], sizes=[1.0, 2.5], **SMALL)
    file = biosim.sweep(plan, tmp_path / "wave.nc", block=10)
    swept = load(file)
    for name in ("activation_time", "front_speed", "ip3", "calcium", "calcium_mean", "edge"):
        np.testing.assert_array_equal(swept[name].values, wave[name].values, err_msg=name)


def test_command_line(tmp_path):
    from typer.testing import CliRunner

    from astromorphic.cli import app

    graph = tmp_path / "graph.csv"
    graph.write_text("from,to\n0,1\n1,2\n1,3\n")
    out = tmp_path / "wave.nc"
    settings = [
        "topology=file",
        f"edges={graph}",
        "form=linear",
        "stimulated=1",
        "duration=8",
        "n_neurons=1",
        "n_synapses=1",
    ]
    arguments = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(app, ["simulate", "calcium_wave", "--out", str(out), *arguments])
    assert result.exit_code == 0, result.output
    found = load(out)
    assert found.sizes["astrocyte"] == 4 and found.distance.values.tolist() == [1, 0, 1, 1]
    assert '"form": "linear"' in found.attrs["provenance"]


@pytest.mark.slow
def test_astrocytes_that_make_ip3_carry_a_wave_where_the_coupling_has_a_threshold():
    """The front runs to both ends at a steady pace with the threshold form, and ends beside its start with the linear one.

    That is the claim of Goldberg et al. 2010; Li-Rinzel astrocytes, which make no IP3, lose the front in both forms.
    """
    chain = {
        "topology": "chain",
        "n_astrocytes": 21,
        "stimulated": [10],
        "sizes": [10.0],
        "strengths": [0.3],
        "sampling": 1.0,
    }
    found = {}
    for name in ("stimberg2018_ring", "wade2012"):
        start = biosim.parameter_set(name).with_values(n_neurons=1, n_synapses=1)
        for form in ("linear", "threshold"):
            found[name, form] = biosim.simulate("calcium_wave", start, form=form, duration=250.0, **chain)
    reach = {key: int(one.front_distance.squeeze()) for key, one in found.items()}
    assert reach["stimberg2018_ring", "threshold"] == 10
    assert max(value for key, value in reach.items() if key != ("stimberg2018_ring", "threshold")) <= 4
    moments = found["stimberg2018_ring", "threshold"].activation_time.squeeze().values
    steps = np.diff(moments[12:])
    assert (steps > 0).all() and steps.std() < 0.15 * steps.mean()
    assert np.allclose(moments, moments[::-1], atol=0.2)


def test_ip3_of_a_g_chi_astrocyte_cannot_be_held():
    with pytest.raises(
        biosim.SimulationError, match=r"stimulus = 'hold' with astrocyte = 'gchi'.*use stimulus = jump or input"
    ):
        biosim.protocol("calcium_wave", "stimberg2018_ring", stimulus="hold")
