"""Per-unit coefficients of one time step, shared by the fast engines: what is exact is computed here once, in float64.

`table(ensemble)` gives an array [n_rows, n_units]; the names below are those of its rows, in order.
"""

from __future__ import annotations

import numpy as np

from ..ensemble import Array, Ensemble
from ..processes import linear, sic
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
# Rows that follow only where a process is chosen that needs one of them.
OPTIONAL_ROWS = (
    "half_step",  # dt/(2 tau_m)
    "sic_scale",  # pA per unit of ln y into a neuron
    "SIC_offset",
    "sic_event",  # pA by which both components of a transient jump
    "sic_slow_decay",  # of the two components; 1 where the current is held over a step of calcium
    "sic_fast_decay",
    "sic_slow_to_v",  # mV gained in dt per pA at its start
    "sic_fast_to_v",
    "in_decay",  # exp(-dt/tau_in)
    "rec_decay",
    "in_to_rec",  # unrecovered resources gained in dt per transmitter at its start
    "in_to_v",  # mV gained in dt per transmitter at its start
    "gate_decay",  # of the gate f below and above the threshold
    "gate_decay_above",
    "gate_level_above",
    "dIP3",
    "h_noise",  # kick of h per square root of its intensity, in a step of calcium
)
ROW = {name: index for index, name in enumerate(ROWS + OPTIONAL_ROWS)}


def table(ensemble: Ensemble) -> Array:
    """Coefficients of `ensemble`, shape [n_rows, n_units]; rows of processes that are off at the end are left out."""
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
    rows: tuple[str, ...] = ROWS
    if ensemble.parameters.has_options:
        receptors = ensemble.clock.dt_astro / value("N_IP3R")
        computed |= (
            {"half_step": 0.5 * dt / value("tau_m"), "h_noise": value("noise_scale") * np.sqrt(receptors)}
            | slow_inward_current(ensemble)
            | depression(ensemble)
        )
        rows = ROWS + OPTIONAL_ROWS
    return np.stack([computed[name] if name in computed else value(name) for name in rows])


def slow_inward_current(ensemble: Ensemble) -> dict[str, Array]:
    """Rows of the slow inward current. Its two forms differ in the rows alone: a held current neither decays nor rises."""
    p, dt, value = ensemble.parameters, ensemble.clock.dt, ensemble.values
    scale = value("SIC_scale") * (p.n_synapses if p.sic_per == "synapse" else 1)
    rise, decay = value("tau_SIC_rise"), value("tau_SIC_decay")
    gain = value("R_m") / value("tau_m")
    at_threshold = [sic.nadkarni_jung(*row) for row in zip(value("Ca_th"), scale, value("SIC_offset"), strict=True)]
    rows = {"sic_scale": scale, "sic_event": np.array(at_threshold) / sic.event_peak(rise, decay)}
    if p.sic == "events":
        return rows | {
            "sic_slow_decay": linear.decay(dt, decay),
            "sic_fast_decay": linear.decay(dt, rise),
            "sic_slow_to_v": linear.transfer(dt, decay, value("tau_m"), gain),
            "sic_fast_to_v": linear.transfer(dt, rise, value("tau_m"), gain),
        }
    one = np.ones(ensemble.n_units)
    held = {"sic_slow_to_v": value("R_m") * -np.expm1(-dt / value("tau_m")), "sic_fast_to_v": 0.0 * one}
    return rows | {"sic_slow_decay": one, "sic_fast_decay": one} | held


def depression(ensemble: Ensemble) -> dict[str, Array]:
    """Rows of the depressing synapse, of its gate, and of the IP3 that its transmitter produces."""
    dt, value = ensemble.clock.dt, ensemble.values
    tau_in, below, above = value("tau_in"), 1.0 / value("tau_f"), 1.0 / value("tau_f") + value("kappa_f")
    rows = {
        "in_decay": linear.decay(dt, tau_in),
        "rec_decay": linear.decay(dt, value("tau_rec")),
        "in_to_rec": linear.transfer(dt, tau_in, value("tau_rec"), 1.0 / value("tau_rec")),
        "in_to_v": linear.transfer(dt, tau_in, value("tau_m"), value("A_se") * value("R_m") / value("tau_m")),
        "gate_decay": np.exp(-dt * below),
        "gate_decay_above": np.exp(-dt * above),
        "gate_level_above": value("kappa_f") / above,
    }
    if ensemble.parameters.ip3_source == "glutamate":
        # In place of 2-AG: the kernel sums one or the other.
        rows["ag_to_ip3"] = linear.transfer(dt, tau_in, value("tau_IP3"), value("r_IP3_y"))
    elif ensemble.parameters.ip3_source == "spikes":
        rows["ag_to_ip3"] = np.zeros(ensemble.n_units)
    return rows


def refractory_steps(ensemble: Ensemble) -> Array:
    """Refractory time in steps, [n_units]; input that arrives at least this many steps after a spike counts.

    Whole steps where only quanta at the ends of steps fire the neurons; any number of steps with a continuous current and
    with random input, see `processes.lif`.
    """
    steps: Array = ensemble.values("t_ref") / ensemble.clock.dt
    whole = np.rint(steps)
    if ensemble.parameters.has_current or ensemble.input == "poisson":
        return np.where(np.abs(steps - whole) < 1e-9 * whole, whole, steps)
    return np.asarray(whole)
