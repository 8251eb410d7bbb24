"""NEST's `astrocyte_lr_1994` (Nadkarni and Jung 2003) against the engines and the limit cycles of biosim.

NEST has wheels for Python 3.12: `pip install nest-simulator`. Where it is not installed these tests are skipped.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import biosim
from biosim import Clock, Ensemble, parameter_set, run_ensemble

os.environ.setdefault("PYNEST_QUIET", "1")
nest: Any = pytest.importorskip("nest", reason="NEST is not installed: pip install nest-simulator (Python 3.12)")

S9 = parameter_set("wade2012").with_values(n_neurons=1, n_synapses=1)
# NEST's name, ours, and NEST's unit in ours: its rates are per ms.
NAMES = [
    ("Ca_tot", "c0", 1.0), ("ratio_ER_cyt", "c1", 1.0), ("rate_IP3R", "r_C", 1e3), ("rate_L", "r_L", 1e3),
    ("rate_SERCA", "v_ER", 1e3), ("Km_SERCA", "k_ER", 1.0), ("k_IP3R", "a2", 1e3), ("Kd_IP3_1", "d1", 1.0),
    ("Kd_inh", "d2", 1.0), ("Kd_IP3_2", "d3", 1.0), ("Kd_act", "d5", 1.0), ("IP3_0", "IP3_rest", 1.0),
]  # fmt: skip


def run_nest(duration: float, interval: float, **state: float) -> dict[str, np.ndarray]:
    """Calcium, h and IP3 of one astrocyte without input, sampled every `interval` s up to `duration` s, first sample at one
    interval. `state` takes the names of NEST."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nest.ResetKernel()
        nest.set_verbosity("M_ERROR")
    nest.resolution = 1.0
    astrocyte = nest.Create("astrocyte_lr_1994", params=state)
    meter = nest.Create(
        "multimeter", params={"record_from": ["Ca_astro", "h_IP3R", "IP3"], "interval": 1000 * interval}
    )
    nest.Connect(meter, astrocyte)
    # A sample is handed over one step of communication after it is taken.
    nest.Simulate(1000 * duration + 10)
    events = meter.get("events")
    wanted = np.asarray(events["times"]) <= 1000 * duration + 1e-9
    return {
        "time": np.asarray(events["times"])[wanted] / 1000,
        **{
            key: np.asarray(events[name])[wanted] for key, name in (("Ca", "Ca_astro"), ("h", "h_IP3R"), ("IP3", "IP3"))
        },
    }


def run_biosim(duration: float, interval: float, engine: str = "numba", **values: float) -> dict[str, np.ndarray]:
    parameters = S9.with_values(**values)
    outcome = run_ensemble(Ensemble(parameters, Clock(duration, record=interval), np.zeros(1)), engine)
    return {"Ca": outcome.traces["calcium"][:, 0], "h": outcome.traces["h"][:, 0], "IP3": outcome.traces["ip3"][:, 0]}


def test_the_constants_of_nest_are_those_of_wade2012():
    defaults = nest.GetDefaults("astrocyte_lr_1994")
    for theirs, ours, unit in NAMES:
        assert defaults[theirs] * unit == pytest.approx(getattr(S9, ours), rel=1e-12), theirs


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_calcium_after_50_seconds_at_constant_ip3(engine):
    """IP3 = 0.6 uM from (0.07, 0.8): 0.2788601 uM by three solvers of SciPy."""
    nested = run_nest(50.0, 1.0, IP3=0.6, IP3_0=0.6, Ca_astro=0.07, h_IP3R=0.8)
    ours = run_biosim(50.0, 1.0, engine, IP3_rest=0.6, Ca_init=0.07, h_init=0.8)
    assert ours["Ca"][-1] == pytest.approx(0.2788601, abs=1e-7)
    assert nested["time"][-1] == 50.0
    assert nested["Ca"][-1] == pytest.approx(0.2788601, abs=1e-7)


@pytest.mark.parametrize("ip3", [0.16, 0.4, 0.6, 0.9])
def test_traces_at_constant_ip3(ip3):
    """Below, inside and above the window."""
    nested = run_nest(100.0, 0.5, IP3=ip3, IP3_0=ip3, Ca_astro=0.1, h_IP3R=0.7)
    ours = run_biosim(100.0, 0.5, IP3_rest=ip3, Ca_init=0.1, h_init=0.7)
    np.testing.assert_allclose(nested["Ca"], ours["Ca"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(nested["h"], ours["h"], rtol=0, atol=1e-8)


def test_traces_while_ip3_decays():
    """IP3 relaxes from 0.7 uM to 0.16 uM with NEST's 7.142 s; the astrocyte fires and comes to rest."""
    nested = run_nest(60.0, 0.1, IP3=0.7, Ca_astro=0.1, h_IP3R=0.7)
    ours = run_biosim(60.0, 0.1, IP3_init=0.7, tau_IP3=7.142, Ca_init=0.1, h_init=0.7)
    for name in ("IP3", "Ca", "h"):
        np.testing.assert_allclose(nested[name], ours[name], rtol=0, atol=1e-8, err_msg=name)
    assert nested["Ca"].max() > 0.3 > 0.1 > nested["Ca"][-1]


@pytest.mark.parametrize("ip3", [0.4, 0.5, 0.6])
def test_limit_cycles(ip3):
    """Period and extremes of NEST's late oscillation against the return map."""
    (cycle,) = biosim.limit_cycles(ip3, S9)
    nested = run_nest(700.0, 0.01, IP3=ip3, IP3_0=ip3, Ca_astro=0.1, h_IP3R=0.7)
    late = nested["time"] > 400.0
    time, ca = nested["time"][late], nested["Ca"][late]
    level = (ca.min() + ca.max()) / 2
    up = np.flatnonzero((ca[:-1] < level) & (ca[1:] >= level))
    crossings = time[up] + (level - ca[up]) / (ca[up + 1] - ca[up]) * (time[up + 1] - time[up])
    assert np.diff(crossings).mean() == pytest.approx(cycle.period, abs=1e-4)
    assert ca.min() == pytest.approx(cycle.calcium_min, abs=1e-5)
    assert ca.max() == pytest.approx(cycle.calcium_max, abs=1e-5)


@pytest.mark.parametrize("ip3", [0.352, 0.642])
def test_no_oscillation_outside_the_window(ip3):
    rest = biosim.rest_state(ip3, S9)[0]
    nested = run_nest(2000.0, 0.5, IP3=ip3, IP3_0=ip3, Ca_astro=rest + 0.01, h_IP3R=0.65)
    late = nested["Ca"][nested["time"] > 1900.0]
    np.testing.assert_allclose(late, rest, rtol=0, atol=1e-3)
