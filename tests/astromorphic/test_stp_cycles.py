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
        (("--set", "tau_pl=50,100"), ("tau_pl", "simulate once per value")),
        (("--set", "n_cycle=3"), ("did you mean 'n_cycles'",)),
        (("--engine", "brian2"), ("brian2", "no plasticity network")),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, arguments, words):
    assert call("simulate", "stp_cycles", "--out", str(tmp_path / "a.nc"), *arguments) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1 and all(word in text for word in words), text
    assert not (tmp_path / "a.nc").exists()
