"""Shared by the tests of biosim: the golden values, small ensembles, and the comparison of two outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biosim import Clock, Ensemble, Outcome, parameter_set


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Values of an independent solver (DOP853 and Radau), set S9, which are the calcium constants of wade2012."""
    return json.loads((Path(__file__).parent / "golden_li_rinzel.json").read_text())


@pytest.fixture(scope="session")
def closed(golden: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Closed forms by name."""
    return {form["name"]: form for form in golden["closed_forms"]}


@pytest.fixture(scope="session")
def relay() -> Callable[..., Ensemble]:
    """One neuron with one synapse that always releases: regular spikes at known times drive the chain below it."""

    def make(rate: float, clock: Clock, **values: Any) -> Ensemble:
        fixed = {"n_neurons": 1, "n_synapses": 1, "PR0": 1.0, "K_AG": 0.0}
        parameters = parameter_set("wade2012").with_values(**(fixed | values))
        return Ensemble(parameters, clock, np.array([rate]), input="regular", release="expected")

    return make


@pytest.fixture(scope="session")
def releasing() -> Callable[..., Ensemble]:
    """Four units that differ in rate, threshold and suppression, all driven hard enough that calcium crosses the threshold."""

    def make(rule: str, form: str, clock: Clock, **settings: Any) -> Ensemble:
        parameters = parameter_set("psu").with_values(
            release_rule=rule,
            esp_form=form,
            n_synapses=3,
            # The literal values clip PR at 1 at once; these keep it inside, where a difference would show.
            r_Glu=0.1,
            m_eSP=55_000.0 if form == "ode" else 3000.0,
        )
        return Ensemble(
            parameters,
            clock,
            np.array([0.0, 3.0, 10.0, 37.0]),
            overrides={
                "Ca_th": np.array([0.2, 0.25, 0.15, 0.3]),
                "K_AG": np.array([-1000.0, -500.0, -4000.0, -1000.0]),
                # The last two units: inside the oscillation window and five times as fast, so they cross several times.
                "IP3_rest": np.array([0.16, 0.16, 0.4, 0.4]),
                "IP3_init": np.array([0.7, 0.7, 0.4, 0.4]),
                "r_C": np.array([6.0, 6.0, 30.0, 30.0]),
                "r_L": np.array([0.11, 0.11, 0.55, 0.55]),
                "v_ER": np.array([0.8, 0.8, 4.5, 4.5]),
                "a2": np.array([0.2, 0.2, 1.0, 1.0]),
            },
            input="regular",
            **({"release": "expected"} | settings),
        )

    return make


@pytest.fixture(scope="session")
def difference() -> Callable[[Outcome, Outcome], dict[str, float]]:
    """Largest difference of each statistic, final state and trace, relative to the largest value of that quantity."""

    def compare(a: Outcome, b: Outcome) -> dict[str, float]:
        out = {}
        for group in ("statistics", "final", "traces"):
            one, other = getattr(a, group), getattr(b, group)
            assert one.keys() == other.keys()
            for name in one:
                x, y = one[name], other[name]
                assert x.shape == y.shape, f"{group} {name}: {x.shape} and {y.shape}"
                np.testing.assert_array_equal(np.isnan(x), np.isnan(y), err_msg=f"{group} {name}")
                x, y = np.nan_to_num(x), np.nan_to_num(y)
                out[f"{group} {name}"] = float(np.abs(x - y).max() / (np.abs(x).max() or 1.0))
        return out

    return compare
