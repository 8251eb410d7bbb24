"""The reference for coupled astrocytes: the whole state of a graph under one right-hand side, from event to event.

Nothing is split: IP3 of every astrocyte follows its own equation plus the flux through its junctions, by SciPy's DOP853.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.integrate import solve_ivp

from ..ensemble import Array, Ensemble, SimulationError

if TYPE_CHECKING:
    from .reference import _Unit

# Where calcium and IP3 stand in the state of a unit.
CALCIUM, IP3 = 0, 2


class Tissue:
    """One copy of the graph: its units, in the order of the astrocytes."""

    def __init__(self, ensemble: Ensemble, units: list[_Unit]) -> None:
        assert ensemble.coupling is not None
        if ensemble.parameters.has_current:
            raise SimulationError(
                "engine 'reference' has no coupled astrocytes with a continuous current into the neurons: use sic = none and "
                "synapse = quantum, or the engines numba or brian2"
            )
        self.e, self.units = ensemble, units
        n = ensemble.coupling.n_astrocytes
        copy = units[0].unit // n
        self.coupling = ensemble.coupling.part(slice(copy, copy + 1), ensemble.n_units // n)
        self.size = units[0].y.size

    def rhs(self, t: float, y: Array) -> Array:
        states = y.reshape(len(self.units), self.size)
        rates = np.stack([unit.rhs(t, state) for unit, state in zip(self.units, states, strict=True)])
        rates[:, IP3] += self.coupling.fluxes(states[:, IP3])
        return rates.ravel()

    def run(self) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """What `_Unit.run` returns, for every unit."""
        clock, m, n = self.e.clock, self.e.parameters.n_neurons, self.e.parameters.n_synapses
        count = len(self.units)
        arrivals = [unit.arrivals() for unit in self.units]
        spikes, quanta = np.zeros((count, m)), np.zeros((count, m))
        spikes_in, quanta_in = np.zeros((count, clock.n_astro, m)), np.zeros((count, clock.n_astro, m))
        samples: list[Array] = []
        grid: Array = np.arange(1, clock.n_astro + 1, dtype=np.float64) * clock.dt_astro
        now, next_sample = 0.0, 0
        # Each unit prepares the jump of its own state; the moment is the same for all.
        jump_steps = [unit.jump() for unit in self.units]
        jump_step = jump_steps[0]
        moments = {clock.n_astro * clock.ratio, *(step for found in arrivals for step in found)}
        for step in sorted(moments if jump_step is None else moments | {jump_step}):
            until = step * clock.dt
            last = next_sample
            while last < grid.size and grid[last] < until - 1e-9:
                last += 1
            samples.extend(self.advance(now, until, grid[next_sample:last]))
            next_sample, now = last, until
            for index, unit in enumerate(self.units):
                if step not in arrivals[index]:
                    continue
                arrived = np.zeros(m * n)
                np.add.at(arrived, arrivals[index][step], 1.0)
                fired, released = unit.deliver(arrived.reshape(m, n), step)
                spikes_in[index, (step - 1) // clock.ratio] += fired
                quanta_in[index, (step - 1) // clock.ratio] += released
                if until > clock.settle + 1e-9:
                    spikes[index] += fired
                    quanta[index] += released
            if next_sample < grid.size and abs(grid[next_sample] - until) < 1e-9:
                samples.append(np.stack([unit.y for unit in self.units]))
                next_sample += 1
            if step == jump_step:
                for unit in self.units:
                    unit.y += unit.jump_of_state
        course = np.array(samples)
        return [
            unit.summary(course[:, i], spikes[i], quanta[i], spikes_in[i], quanta_in[i])
            for i, unit in enumerate(self.units)
        ]

    def advance(self, start: float, end: float, at: Array) -> list[Array]:
        """Integrate to `end`, stopping where calcium crosses a threshold; states [units, variables] at the times `at`."""
        from .reference import TOLERANCE

        out: list[Array] = []
        events = [self.threshold(index) for index in range(len(self.units))]
        while end - start > 1e-12:
            wanted = at[(at > start + 1e-12) & (at <= end + 1e-12)] if len(at) else at
            points = np.unique(np.append(np.minimum(wanted, end), end))
            y = np.concatenate([unit.y for unit in self.units])
            solution = solve_ivp(self.rhs, (start, end), y, t_eval=points, events=events, **TOLERANCE)
            if solution.status < 0:
                raise SimulationError(
                    f"engine 'reference' cannot go on after {solution.t[-1] if solution.t.size else start:g} s "
                    f"({solution.message}): check the parameters, or use the engines numba or brian2"
                )
            crossed = solution.status == 1
            out.extend(state.reshape(-1, self.size) for state in solution.y.T[: None if crossed else len(wanted)])
            if crossed:
                which = next(k for k, times in enumerate(solution.t_events) if len(times))
                start, state = float(solution.t_events[which][0]), solution.y_events[which][0]
            else:
                which, start, state = -1, end, solution.y[:, -1]
            for unit, own in zip(self.units, state.reshape(-1, self.size), strict=True):
                unit.y = own.copy()
            if crossed:
                for index, unit in enumerate(self.units):
                    # Equal astrocytes cross together, and one event ends the integration.
                    if index == which or abs(unit.y[CALCIUM] - unit.p["Ca_th"]) < 1e-12:
                        unit.cross(start)
        return out

    def threshold(self, index: int) -> Any:
        """Calcium of astrocyte `index` reaches its threshold."""
        unit = self.units[index]

        def event(t: float, y: Array) -> float:
            return float(y[index * self.size + CALCIUM] - unit.p["Ca_th"])

        event.terminal = True  # type: ignore[attr-defined]
        event.direction = 0.0 if unit.continuous or unit.gated else 1.0  # type: ignore[attr-defined]
        return event
