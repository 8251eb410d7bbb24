"""Spike trains from files that Neo and pynwb wrote."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

import biosim
from biosim import SpikeTrains
from biosim.spike_trains import read_spikes

TIMES = ([0.1, 0.2504], [0.15], [])
STEPS = ([100, 251], [150], [])


@pytest.fixture
def nwb(tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed: pip install 'astromorphic[spikes]'")
    file = pynwb.NWBFile(
        session_description="test",
        identifier="test",
        session_start_time=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    for times in TIMES:
        file.add_unit(spike_times=np.array(times, dtype=float))
    path = tmp_path / "trains.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as handle:
        handle.write(file)
    return path


@pytest.fixture
def nix(tmp_path):
    neo = pytest.importorskip("neo", reason="Neo is not installed: pip install 'astromorphic[spikes]'")
    pytest.importorskip("nixio", reason="nixio is not installed: pip install 'astromorphic[spikes]'")
    block, segment = neo.Block(), neo.Segment()
    block.segments.append(segment)
    for times in TIMES:
        segment.spiketrains.append(neo.SpikeTrain(1e3 * np.array(times, dtype=float), units="ms", t_stop=1000.0))
    path = tmp_path / "trains.nix"
    file = neo.NixIO(str(path), "ow")
    file.write(block)
    file.close()
    return path


@pytest.mark.parametrize("kind", ["nwb", "nix"])
def test_trains_of_a_file_become_synapses_or_neurons(kind, request):
    path = request.getfixturevalue(kind)
    one_neuron = SpikeTrains.from_times(read_spikes(path, 1), 1, 3, 1e-3)
    assert [one_neuron.train(0, j).tolist() for j in range(3)] == list(STEPS)
    three_neurons = SpikeTrains.from_times(read_spikes(path, 3), 3, 2, 1e-3)
    assert [three_neurons.train(i, 1).tolist() for i in range(3)] == list(STEPS)


@pytest.mark.parametrize("kind", ["nwb", "nix"])
def test_a_file_drives_the_simulation(kind, request):
    """With certain release every given spike arrives: 2 spikes at one neuron, 1 at the other."""
    path = request.getfixturevalue(kind)
    parameters = biosim.parameter_set("wade2012").with_values(n_neurons=3, n_synapses=1, PR0=1.0, K_AG=0.0)
    result = biosim.simulate("spikes", parameters, spikes=path, duration=1.0)
    assert float(result.release_rate.mean()) == pytest.approx(3 / 3 / 1.0)


@pytest.mark.parametrize("kind", ["nwb", "nix"])
def test_a_damaged_file_is_named(kind, request):
    path = request.getfixturevalue(kind)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(biosim.SimulationError, match=rf"trains\.{kind} cannot be read") as caught:
        read_spikes(path, 1)
    assert "\n" not in str(caught.value)
