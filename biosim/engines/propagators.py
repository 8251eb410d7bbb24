"""Per-unit coefficients of one time step, shared by the fast engines: what is exact is computed here once, in float64.

`table(ensemble)` gives an array [n_rows, n_units]; the constants below name its rows.
"""

from __future__ import annotations

import numpy as np

from ..ensemble import Array, Ensemble
from ..processes import linear
from ..processes.lif import quantum_jump

ROWS = (
    "membrane_decay",  # exp(-dt/tau_m)
    "ag_decay",  # exp(-dt/tau_AG)
    "ip3_decay",  # exp(-dt/tau_IP3)
    "ag_to_ip3",  # IP3 gained in dt per 2-AG at its start
    "glu_decay",
    "esp_decay",
    "glu_to_esp",  # e-SP gained in dt per glutamate (above its steady level) at its start
    "glu_level",  # steady glutamate of continuous release, r_Glu tau_Glu
    "m_eSP",
    "jump",  # mV per quantum
    "input_probability",  # rate dt
    "PR0",
    "K_AG",
    "dAG",
    "v_th",
    "IP3_rest",
    "Ca_th",
    "dGlu",
    "release_period",
    "r_C",
    "r_L",
    "v_ER",
    "k_ER",
    "c0",
    "c1",
    "a2",
    "d1",
    "d2",
    "d3",
    "d5",
)
ROW = {name: index for index, name in enumerate(ROWS)}


def table(ensemble: Ensemble) -> Array:
    """Coefficients of `ensemble`, shape [len(ROWS), n_units]."""
    dt = ensemble.clock.dt
    value = ensemble.values
    computed = {
        "membrane_decay": linear.decay(dt, value("tau_m")),
        "ag_decay": linear.decay(dt, value("tau_AG")),
        "ip3_decay": linear.decay(dt, value("tau_IP3")),
        "ag_to_ip3": linear.transfer(dt, value("tau_AG"), value("tau_IP3"), value("r_IP3")),
        "glu_decay": linear.decay(dt, value("tau_Glu")),
        "esp_decay": linear.decay(dt, value("tau_eSP")),
        "glu_to_esp": linear.transfer(dt, value("tau_Glu"), value("tau_eSP"), value("m_eSP") / value("tau_eSP")),
        "glu_level": value("r_Glu") * value("tau_Glu"),
        "jump": quantum_jump(value("quantum"), value("R_m"), value("tau_m")),
        "input_probability": ensemble.rate * dt,
    }
    return np.stack([computed[name] if name in computed else value(name) for name in ROWS])


def refractory_steps(ensemble: Ensemble) -> Array:
    """Refractory time in whole steps, [n_units]; input that arrives at least this many steps after a spike counts."""
    steps: Array = np.rint(ensemble.values("t_ref") / ensemble.clock.dt)
    return steps
