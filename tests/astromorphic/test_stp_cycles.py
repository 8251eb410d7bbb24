"""`astromorphic simulate stp_cycles`: its own parameter set, options and parameters through --set."""

import numpy as np
import pytest

import biosim
from astromorphic.cli import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_the_command_writes_what_the_function_returns(tmp_path):
    out = tmp_path / "cycles.nc"
    settings = ("cycle=10", "n_cycles=3", "dt=0.1", "geometry=line", "tau_pl=20", "input_profile=1,0.5,1")
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert call("simulate", "stp_cycles", "--out", str(out), "--record", "1", "--seed", "4", *arguments) == 0
    written = biosim.load(out)
    parameters = biosim.PlasticityParameters  # the class that a user would look for
    assert parameters.__module__ == "biosim.plasticity.parameters"
    plan = biosim.stp_cycles(cycle=10.0, n_cycles=3, dt=0.1, geometry="line", input_profile=[1, 0.5, 1])
    assert not np.array_equal(written.long_term, plan.run().long_term)
    changed = biosim.stp_cycles(
        plan.parameters.with_values(tau_pl=20),
        cycle=10.0,
        n_cycles=3,
        dt=0.1,
        geometry="line",
        input_profile=[1, 0.5, 1],
    )
    assert written.identical(biosim.simulate(changed, record=1.0, seed=4))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--parameters", "wade2012"), ("wade2012", "rmaat")),
        (("--set", "K_AG=-1000"), ("K_AG",)),
        (("--set", "tau_pl=50,50"), ("tau_pl", "occurs twice")),
        (("--set", "tau_pl=50,-1"), ("tau_pl = -1", "expected one number in s")),
        (("--set", "theta=1,2"), ("theta", "simulate once per value")),
        (("--set", "n_cycle=3"), ("did you mean 'n_cycles'",)),
        (("--engine", "brian2"), ("brian2", "no plasticity network")),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, arguments, words):
    assert call("simulate", "stp_cycles", "--out", str(tmp_path / "a.nc"), *arguments) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and all(word in text for word in words), text
    assert not (tmp_path / "a.nc").exists()


def test_lists_make_one_network_per_combination(tmp_path):
    """Values become dimensions; each network is the one that a single run gives, to the bit."""
    out = tmp_path / "cycles.nc"
    settings = ("cycle=10", "n_cycles=3", "dt=0.1", "tau_pl=20,50,80", "drive=0.5:1:2")
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert call("simulate", "stp_cycles", "--out", str(out), "--record", "5", *arguments) == 0
    written = biosim.load(out)
    assert written.long_term.dims == ("tau_pl", "drive", "cycle", "pre", "post")
    assert written.long_term_trace.dims == ("tau_pl", "drive", "time", "pre", "post")
    assert written.tau_pl.attrs["units"] == "s" and written.tau_pl.values.tolist() == [20.0, 50.0, 80.0]
    base = biosim.stp_cycles(cycle=10.0, n_cycles=3, dt=0.1)
    for tau in (20.0, 80.0):
        for drive in (0.5, 1.0):
            changed = biosim.stp_cycles(
                base.parameters.with_values(tau_pl=tau, drive=drive), cycle=10.0, n_cycles=3, dt=0.1
            )
            alone = biosim.simulate(changed, record=5.0)
            for name in alone.data_vars:
                assert np.array_equal(written[name].sel(tau_pl=tau, drive=drive).values, alone[name].values), name
    record = biosim.provenance(written)
    assert record["protocol"]["axes"]["tau_pl"] == {"unit": "s", "values": [20.0, 50.0, 80.0]}
    assert record["parameters"]["tau_pl"]["value"] == base.parameters.tau_pl


def test_a_step_too_long_for_one_value_is_refused_before_any_work():
    with pytest.raises(biosim.SimulationError, match="dt"):
        biosim.swept(biosim.stp_cycles(), "tau_x", [0.5, 1e-4])
