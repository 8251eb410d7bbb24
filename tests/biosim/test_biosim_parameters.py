"""Parameters: complete metadata and provenance, the published tables, and one clear error for every bad value."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from biosim import ParameterError, TripartiteParameters, parameter_set, parameter_sets
from biosim.parameters import check_value, describe, quantity_names, unit_of
from biosim.registry import UnknownName

UNITS = {"1", "s", "uM", "%/uM", "1/s", "uM/s", "1/(uM s)", "GOhm", "mV", "pC", "pA"}

# The values that both sets share, as published.
SHARED = {
    "n_neurons": 2, "n_synapses": 10, "tau_AG": 10.0, "dAG": 0.8e-3, "IP3_rest": 0.16, "tau_IP3": 7.0, "r_IP3": 0.5,
    "r_C": 6.0, "r_L": 0.11, "k_ER": 0.1, "c0": 2.0, "c1": 0.185, "a2": 0.2, "d1": 0.13, "d2": 1.049, "d3": 0.9434,
    "d5": 0.08234, "Ca_th": 0.3, "tau_Glu": 0.1, "dGlu": 0.01, "r_Glu": 10.0, "esp_form": "ode", "tau_eSP": 40.0,
    "m_eSP": 55_000.0, "tau_m": 0.060, "R_m": 1.2, "v_th": 9.0, "t_ref": 0.002, "quantum": 6.65, "IP3_init": None,
}  # fmt: skip
# Processes that are off unless asked for.
OFF = {
    "sic": "none", "sic_per": "neuron", "SIC_scale": 1.4, "SIC_offset": 0.19669, "tau_SIC_rise": 0.06,
    "tau_SIC_decay": 0.6, "synapse": "quantum", "A_se": 250.0, "tau_in": 0.003, "tau_rec": 0.8, "gate": "none", "tau_f": 4.0,
    "kappa_f": 0.5, "ip3_source": "ag", "r_IP3_y": 0.5, "dIP3": 0.8e-3,
    "astrocyte": "li_rinzel", "cleft": "sum", "dY": 500.0, "Omega_c": 40.0, "O_N": 0.3, "Omega_N": 0.5, "zeta": 10.0,
    "K_KC": 0.5, "O_beta": 5.0, "O_delta": 0.2, "kappa_delta": 1.5, "K_delta": 0.3, "O_3K": 4.5, "K_D": 0.5, "K_3K": 1.0,
    "Omega_5P": 0.1,
    "calcium_noise": "none", "N_IP3R": 20.0, "noise_scale": 1.0,
}  # fmt: skip
OWN = {
    "wade2012": {
        "PR0": 0.5, "K_AG": -4000.0, "v_ER": 0.9, "release_rule": "upward", "release_period": 0.3, "Ca_init": None,
        "h_init": None,
    },
    "psu": {
        "PR0": 0.3, "K_AG": -1000.0, "v_ER": 0.8, "release_rule": "latched", "release_period": 0.301,
        "Ca_init": 0.071006, "h_init": 0.7791,
    },
    "stimberg2018": {
        "n_neurons": 1, "n_synapses": 1, "PR0": 1.0, "K_AG": 0.0, "m_eSP": 0.0, "astrocyte": "gchi", "ip3_source": "receptors",
        "v_ER": 0.9, "r_L": 0.1, "c1": 0.18, "d2": 1.05, "d5": 0.08, "Ca_th": 0.5, "release_rule": "upward",
        "release_period": 0.3, "Ca_init": None, "h_init": None,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_sets_equal_the_tables(name):
    wanted = SHARED | OFF | OWN[name]
    assert set(wanted) == set(quantity_names())
    for field, value in wanted.items():
        assert getattr(parameter_set(name), field) == value, field


def test_every_field_is_described():
    for field in fields(TripartiteParameters):
        if field.name == "provenance":
            continue
        assert field.metadata["symbol"] and field.metadata["meaning"], field.name
        assert field.metadata["unit"] in UNITS, field.name
    for name in quantity_names():
        assert unit_of(name) == describe(name)["unit"]


@pytest.mark.parametrize("name", parameter_sets())
def test_every_value_has_a_source(name):
    records = parameter_set(name).to_records()
    assert set(records) == set(quantity_names())
    for field, record in records.items():
        assert set(record) == {"value", "unit", "symbol", "source", "status"}, field
        assert len(record["source"]) > 8, field
        assert record["status"] in {"published", "derived", "assumed"}, field
    # A value no source states for this model must not be sold as published.
    if name == "wade2012":
        assert records["v_ER"]["status"] == records["release_rule"]["status"] == "assumed"


def test_with_values_marks_what_was_changed():
    base = parameter_set("wade2012")
    changed = base.with_values(K_AG=-1000, n_synapses=3)
    assert (changed.K_AG, changed.n_synapses) == (-1000.0, 3)
    assert isinstance(changed.K_AG, float)
    records = changed.to_records()
    assert {name for name, record in records.items() if record["status"] == "user"} == {"K_AG", "n_synapses"}
    assert changed.name == "wade2012 (modified)"
    assert changed.with_values(PR0=0.1).name == "wade2012 (modified)"
    assert base.K_AG == -4000.0 and base.to_records()["K_AG"]["status"] == "published"


def test_parameters_are_frozen():
    with pytest.raises(FrozenInstanceError):
        parameter_set("psu").K_AG = -1.0
    with pytest.raises(TypeError):
        parameter_set("psu").provenance["K_AG"] = None


def test_unknown_names_guess_what_was_meant():
    with pytest.raises(UnknownName, match=r"unknown parameter 'K_ag'.*did you mean 'K_AG'"):
        parameter_set("psu").with_values(K_ag=-1.0)
    with pytest.raises(
        UnknownName, match=r"unknown parameter set 'wade'.*did you mean 'wade2012'\? choose from wade2012, psu"
    ):
        parameter_set("wade")
    with pytest.raises(UnknownName, match="unknown parameter 'zzz'"):
        unit_of("zzz")
    with pytest.raises(UnknownName, match="unknown parameter 'name'"):
        parameter_set("psu").with_values(name="mine")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("K_AG", 4000.0, r"K_AG = 4000.0 %/uM: expected a finite number, at most 0"),
        ("PR0", 1.5, r"PR0 = 1.5: expected a finite number, at least 0 and at most 1"),
        ("PR0", -0.1, "at least 0"),
        ("tau_AG", 0.0, r"tau_AG = 0.0 s: expected a finite number, above 0"),
        ("tau_AG", math.nan, "tau_AG = nan s: expected a finite number"),
        ("tau_AG", math.inf, "tau_AG = inf s: expected a finite number"),
        ("K_AG", -math.inf, "K_AG = -inf"),
        ("c0", 10**400, "c0 = inf uM: expected a finite number"),
        ("n_synapses", 2.5, r"n_synapses = 2.5: expected a whole number"),
        ("n_synapses", 0, "n_synapses = 0: expected a finite number, at least 1"),
        ("n_synapses", 10_001, "at most 10000"),
        ("n_synapses", math.nan, "n_synapses = nan"),
        ("n_neurons", math.inf, "n_neurons = inf"),
        ("tau_m", "60 ms", r"tau_m = '60 ms': expected a number in s"),
        ("tau_m", None, "tau_m = None: expected a number in s"),
        ("tau_m", True, "tau_m = True: expected a number in s"),
        ("tau_m", np.True_, "expected a number in s"),
        ("tau_m", np.str_("0.06"), "expected a number in s"),
        ("tau_m", 0.06j, "expected a number in s"),
        ("tau_m", [0.06], "expected a number in s"),
        ("tau_m", np.array([0.06, 0.07]), "expected a number in s"),
        ("release_rule", "upwards", "release_rule = 'upwards': expected one of upward, latched, repeated, continuous"),
        ("release_rule", np.array(["upward", "latched"]), "expected one of"),
        ("esp_form", 3, "esp_form = 3: expected one of ode, algebraic"),
    ],
)
def test_bad_values(name, value, message):
    with pytest.raises(ParameterError, match=message) as caught:
        parameter_set("wade2012").with_values(**{name: value})
    assert "\n" not in str(caught.value)


def test_numpy_numbers_are_numbers():
    assert check_value("tau_m", np.float32(0.5)) == 0.5
    assert check_value("n_synapses", np.int64(4)) == 4
    assert type(check_value("n_synapses", 4.0)) is int
    assert check_value("Ca_init", None) is None


def test_quantities_are_refused():
    brian2 = pytest.importorskip("brian2")
    with pytest.raises(ParameterError, match="expected a plain number in s, not a quantity"):
        parameter_set("wade2012").with_values(tau_m=60 * brian2.ms)


def test_start_is_given_whole_or_not_at_all():
    with pytest.raises(ParameterError, match=r"Ca_init = 0.1 and h_init = None: give both, or None for both"):
        parameter_set("wade2012").with_values(Ca_init=0.1)
