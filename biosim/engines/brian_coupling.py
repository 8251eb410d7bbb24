"""Gap junctions in Brian2: the exchange of IP3 in half steps around each step of the astrocytes, as the Numba engine takes it.

A Synapses object holds two directed synapses for every junction. Its eight summed variables are the fluxes at the stages of
two Runge-Kutta steps of order 4, each over half a step of the slow clock: the first one ends the step before a tick, between
calcium and everything that looks at IP3, the second one begins the step after it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ensemble import Ensemble

_FLUXES = tuple(f"J{turn}" for turn in range(1, 9))

# What the group that holds IP3 needs: the state at a stage, and what each astrocyte gains there.
STATES = "stage : mmolar\n" + "".join(f"{name} : mmolar/second\n" for name in _FLUXES)

_FORMS = {
    "linear": "strength : hertz (constant)\n" + "{flux}_post = -strength*(stage_post - stage_pre)",
    "threshold": (
        "strength : mmolar/second (constant)\n"
        "{flux}_post = -strength/2*(tanh((stage_post - stage_pre - theta)/scale) + tanh((stage_post - stage_pre + theta)/scale))"
    ),
}

# Orders of the nine operations of a half step in the slot "start": between calcium (0) and its tick (1), and after monitors
# (10) and jumps (12).
_ENDING, _BEGINNING = 0.0, 20.0


def couple(
    brian: Any, ensemble: Ensemble, group: Any, state: str, calcium: Any, dt_astro: Any
) -> tuple[list[Any], dict[str, Any]]:
    """Objects for the network and names for its namespace; `state` is the variable of `group` that is IP3."""
    coupling = ensemble.coupling
    assert coupling is not None
    declared, equation = _FORMS[coupling.form].split("\n")
    model = "\n".join([declared, *(f"{equation.format(flux=name)} : mmolar/second (summed)" for name in _FLUXES)])
    junctions = brian.Synapses(group, group, model, dt=dt_astro, name="biosim_gap_junctions")
    count = coupling.copies(ensemble.n_units, ensemble.first_unit)
    first = np.arange(count)[:, None] * coupling.n_astrocytes
    a, b = (first + coupling.edges[:, 0]).ravel(), (first + coupling.edges[:, 1]).ravel()
    if a.size:
        junctions.connect(i=np.concatenate([a, b]), j=np.concatenate([b, a]))
        each = np.tile(np.repeat(coupling.strengths(count), coupling.n_edges), 2)
        uM = brian.mmolar / 1000
        junctions.strength = each * (1 / brian.second if coupling.form == "linear" else uM / brian.second)
    objects: list[Any] = [junctions] if a.size else []

    def tick(group: Any, code: str, order: float) -> None:
        name = f"{group.name}_exchange_{round(100 * order)}"
        objects.append(group.run_regularly(code, dt=dt_astro, when="start", order=order, name=name))

    for begin, step, names, weight in (
        # Nothing ends at the first tick.
        (_ENDING, 0.1, _FLUXES[:4], "int(t_in_timesteps > 0)*half"),
        (_BEGINNING, 1.0, _FLUXES[4:], "half"),
    ):
        order = [begin + step * k for k in range(1, 11)]
        stages = [state, f"{state} + half/2*{names[0]}", f"{state} + half/2*{names[1]}", f"{state} + half*{names[2]}"]
        for turn, (stage, name) in enumerate(zip(stages, names, strict=True)):
            tick(group, f"stage = {stage}", order[2 * turn])
            if a.size:
                updater = junctions.summed_updaters[f"{name}_post"]
                updater.when, updater.order = "start", order[2 * turn + 1]
        gained = f"({names[0]} + 2*{names[1]} + 2*{names[2]} + {names[3]})"
        tick(group, f"{state} = {state} + {weight}/6*{gained}", order[8])
        if begin == _BEGINNING and state == "IP3":
            tick(calcium, "IP3_start = IP3_end", order[9])
    uM = brian.mmolar / 1000
    return objects, {"half": 0.5 * dt_astro, "theta": coupling.theta * uM, "scale": coupling.scale * uM}
