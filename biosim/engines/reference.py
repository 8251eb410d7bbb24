"""Engine ``reference``: the equations as they are written, integrated by SciPy's DOP853 from event to event.

Deterministic cases alone (regular input with expected release, or no input). Slow and obvious: between two input spikes
the whole state follows one right-hand side; an event is a jump of the state. Glutamate release is found by root finding
(rules ``upward`` and ``continuous``) and not by the astrocyte's clock, and so are the spikes that a continuous current
causes: it is the truth that the fast engines approach.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from ..ensemble import Array, Ensemble, Outcome, Progress, SimulationError
from ..processes import depression, endocannabinoid, gchi, ip3, li_rinzel, lif, sic
from . import experiment_arrays, windows

TOLERANCE = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}

# Nothing is drawn, and units are integrated one by one.
UNITS_STAND_ALONE = True


def memory_needed(ensemble: Ensemble) -> float:
    """Bytes at the peak of `run`: every step of one unit at a time, the input spikes of the fastest, and all traces."""
    p, clock = ensemble.parameters, ensemble.clock
    per_step = 200 + 8 * 3 * (6 + 3 * p.n_neurons)
    synapses = p.n_neurons * p.n_synapses
    spikes = synapses * (1 + float(ensemble.rate.max()) * ensemble.highest_factor * clock.duration)
    x = ensemble.experiment
    if x is not None:
        spikes += 0 if x.spikes is None else x.spikes.n_spikes
        # Windows look at the synapses one by one.
        per_step += 10 * synapses
    return (
        clock.n_astro * per_step + spikes * (250 + 8 * p.n_neurons) + 2 * ensemble.trace_bytes + 1000 * ensemble.n_units
        + experiment_arrays.memory_needed(ensemble)
    )  # fmt: skip


def run(ensemble: Ensemble, *, progress: Progress | None = None) -> Outcome:
    """Simulate `ensemble` unit by unit.

    Raises
    ------
    SimulationError
        For random input or random release, and for the periodic release rules, which this engine does not have.
    """
    silent = ensemble.input != "spikes" and not ensemble.rate.any()
    if (ensemble.input == "poisson" or ensemble.release != "expected") and not silent:
        raise SimulationError(
            f"engine 'reference' is deterministic, but input is {ensemble.input!r} with release {ensemble.release!r}: "
            "use input 'regular' or 'spikes' with release 'expected', rate 0, or the engines numba or brian2"
        )
    if ensemble.parameters.calcium_noise != "none":
        raise SimulationError(
            f"engine 'reference' is deterministic, but calcium_noise = {ensemble.parameters.calcium_noise!r}: use none, or the "
            "engines numba or brian2"
        )
    if ensemble.parameters.release_rule not in ("upward", "continuous"):
        raise SimulationError(
            f"engine 'reference' has the release rules upward and continuous, not {ensemble.parameters.release_rule!r}; "
            "use the engine numba"
        )
    units = []
    if ensemble.coupling is not None:
        from .coupled_reference import Tissue

        n = ensemble.coupling.n_astrocytes
        for first in range(0, ensemble.n_units, n):
            units += Tissue(ensemble, [_Unit(ensemble, first + astrocyte) for astrocyte in range(n)]).run()
            if progress:
                progress(first + n, ensemble.n_units)
    else:
        for unit in range(ensemble.n_units):
            units.append(_Unit(ensemble, unit).run())
            if progress:
                progress(unit + 1, ensemble.n_units)

    def stack(part: int, name: str, axis: int) -> Array:
        return np.stack([unit_parts[part][name] for unit_parts in units], axis=axis)

    return Outcome(
        statistics={name: stack(0, name, 0) for name in units[0][0]},
        final={name: stack(1, name, 0) for name in units[0][1]},
        traces={name: stack(2, name, 1) for name in units[0][2]},
        notes={"solver": "scipy DOP853, rtol 1e-12, atol 1e-14"},
        windows={name: stack(3, name, 1) for name in units[0][3]},
    )


class _Unit:
    """One astrocyte with its neurons; the state vector is Ca, h, IP3, Glu, eSP, then AG and v of each neuron, then

    what is chosen of: the two components of the slow inward current (form events), the gate, and of every synapse the
    unrecovered resources w and the transmitter y; active receptors and glutamate in the cleft of the G-ChI astrocyte.
    """

    def __init__(self, ensemble: Ensemble, unit: int) -> None:
        self.e, self.unit = ensemble, unit
        self.m = ensemble.parameters.n_neurons
        self.algebraic = ensemble.parameters.esp_form == "algebraic"
        self.continuous = ensemble.parameters.release_rule == "continuous"
        self.p: dict[str, float] = {
            name: float(ensemble.values(name)[unit])
            for name in (
                "PR0", "K_AG", "tau_AG", "dAG", "IP3_rest", "tau_IP3", "r_IP3", "Ca_th", "tau_Glu", "dGlu", "r_Glu",
                "tau_eSP", "m_eSP", "tau_m", "R_m", "v_th", "t_ref", "quantum", "SIC_scale", "SIC_offset", "tau_SIC_rise",
                "tau_SIC_decay", "A_se", "tau_in", "tau_rec", "tau_f", "kappa_f", "r_IP3_y", "dIP3",
            )
        }  # fmt: skip
        self.calcium = {
            name: float(ensemble.values(name)[unit])
            for name in ("r_C", "r_L", "v_ER", "k_ER", "c0", "c1", "a2", "d1", "d2", "d3", "d5")
        }
        self.receptor = {name: float(ensemble.values(name)[unit]) for name in ("O_N", "Omega_N", "zeta", "K_KC")}
        self.production = {
            name: float(ensemble.values(name)[unit])
            for name in ("O_beta", "O_delta", "kappa_delta", "K_delta", "O_3K", "K_D", "K_3K", "Omega_5P")
        }
        self.clearance = float(ensemble.values("Omega_c")[unit])
        parameters = ensemble.parameters
        self.gchi = parameters.gchi
        averaged = parameters.n_neurons * parameters.n_synapses if parameters.cleft == "mean" else 1
        self.cleft_jump = float(ensemble.values("dY")[unit]) / averaged
        self.sic, self.driven = parameters.sic, parameters.has_current
        self.p["SIC_scale"] *= parameters.n_synapses if parameters.sic_per == "synapse" else 1
        start = ensemble.initial_state()
        self.depressing, self.gated = parameters.synapse == "depressing", parameters.gate != "none"
        self.n, self.source = parameters.n_synapses, parameters.ip3_source
        sizes = {"ag": self.m, "v": self.m, "sic": 2 * (self.sic == "events"), "gate": int(self.gated)}
        sizes |= dict.fromkeys(("w", "y"), self.m * self.n if self.depressing else 0)
        sizes |= dict.fromkeys(("gamma", "cleft"), int(self.gchi))
        self.at: dict[str, slice] = {}
        end = 5
        for name, size in sizes.items():
            self.at[name] = slice(end, end + size)
            end += size
        self.y = np.zeros(end)
        self.y[0], self.y[1], self.y[2] = start["Ca"][unit], start["h"][unit], start["IP3"][unit]
        self.above = bool(self.y[0] >= self.p["Ca_th"])
        self.last_spike = np.full(self.m, -np.inf)
        self.crossing_times: list[float] = []
        self.free = np.ones(self.m, dtype=bool)
        self.driven_spikes = np.zeros(self.m)
        self.PR0 = experiment_arrays.synapse_PR0(ensemble)[unit]
        self.failing = experiment_arrays.stuck(ensemble)[unit]
        faults = None if ensemble.experiment is None else ensemble.experiment.faults
        self.equal = ensemble.experiment is None
        self.fault_step = -1 if faults is None else faults.step(ensemble.clock)

    def inward_current(self, y: Array) -> Any:
        """Slow inward current into each neuron, pA, at the states `y` [..., states]."""
        if self.sic == "events":
            slow, fast = np.moveaxis(y[..., self.at["sic"]], -1, 0)
            return slow - fast
        if self.sic == "none":
            return 0.0
        return np.vectorize(sic.nadkarni_jung)(y[..., 0], self.p["SIC_scale"], self.p["SIC_offset"])

    def transmitter(self, y: Array) -> Array:
        """Transmitter summed over the synapses of each neuron, [..., neurons]."""
        active: Array = y[..., self.at["y"]]
        return np.asarray(active.reshape(*active.shape[:-1], self.m, self.n).sum(axis=-1))

    def rhs(self, t: float, y: Array) -> Array:
        p = self.p
        ca, h, inositol, glu, esp = y[:5]
        ag, v = y[5 : 5 + self.m], y[5 + self.m : 5 + 2 * self.m]
        dca, dh = li_rinzel.derivatives(ca, h, inositol, **self.calcium)
        production = p["r_IP3"] * ag.sum() if self.source == "ag" else 0.0
        if self.source == "glutamate":
            production = p["r_IP3_y"] * self.transmitter(y).sum()
        dip3 = ip3.relaxation(inositol, p["IP3_rest"], p["tau_IP3"], production)
        if self.gchi:
            gamma, cleft = y[self.at["gamma"]][0], y[self.at["cleft"]][0]
            dip3 = gchi.ip3_derivative(inositol, ca, gamma, **self.production)
            dgamma = gchi.receptor_derivative(gamma, cleft, ca, **self.receptor)
        dglu = -glu / p["tau_Glu"] + (p["r_Glu"] if self.continuous and self.above else 0.0)
        desp = p["m_eSP"] * dglu if self.algebraic else (-esp + p["m_eSP"] * glu) / p["tau_eSP"]
        dv = -v / p["tau_m"]
        if self.driven:
            current = self.inward_current(y) + (p["A_se"] * self.transmitter(y) if self.depressing else 0.0)
            dv = np.where(self.free, (-v + p["R_m"] * current) / p["tau_m"], 0.0)
        rates: list[Any] = [[dca, dh, dip3, dglu, desp], -ag / p["tau_AG"], dv]
        if self.sic == "events":
            slow, fast = y[self.at["sic"]]
            rates.append([-slow / p["tau_SIC_decay"], -fast / p["tau_SIC_rise"]])
        if self.gated:
            rates.append([depression.gate_derivative(y[self.at["gate"]][0], self.above, p["tau_f"], p["kappa_f"])])
        if self.depressing:
            active = y[self.at["y"]]
            rates += [(active - y[self.at["w"]]) / p["tau_rec"], -active / p["tau_in"]]
        if self.gchi:
            rates.append([dgamma, -self.clearance * cleft])
        return np.concatenate(rates)

    def run(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
        clock, n = self.e.clock, self.e.parameters.n_synapses
        arrivals = self.arrivals()
        spikes, quanta = np.zeros(self.m), np.zeros(self.m)
        quanta_in = np.zeros((clock.n_astro, self.m))
        # Spikes in each step of the astrocyte; those that a continuous current causes are added where they are found.
        self.spikes_in = spikes_in = np.zeros((clock.n_astro, self.m))
        samples: list[Array] = []
        grid: Array = np.arange(1, clock.n_astro + 1, dtype=np.float64) * clock.dt_astro
        now, next_sample = 0.0, 0
        jump_step = self.jump()
        for step in sorted({*arrivals, *([] if jump_step is None else [jump_step]), clock.n_astro * clock.ratio}):
            until = step * clock.dt
            last = next_sample
            while last < grid.size and grid[last] < until - 1e-9:
                last += 1
            samples.extend(self.advance(now, until, grid[next_sample:last]))
            next_sample, now = last, until
            if step in arrivals:
                arrived = np.zeros(self.m * n)
                np.add.at(arrived, arrivals[step], 1.0)
                fired, released = self.deliver(arrived.reshape(self.m, n), step)
                spikes_in[(step - 1) // clock.ratio] += fired
                quanta_in[(step - 1) // clock.ratio] += released
                if until > clock.settle + 1e-9:
                    spikes += fired
                    quanta += released
            if next_sample < grid.size and abs(grid[next_sample] - until) < 1e-9:
                samples.append(self.y.copy())
                next_sample += 1
            if step == jump_step:
                self.y += self.jump_of_state
        return self.summary(np.array(samples), spikes + self.driven_spikes, quanta, spikes_in, quanta_in)

    def arrivals(self) -> dict[int, list[int]]:
        """Synapses (neuron * n + synapse) that have a spike at a step."""
        found: dict[int, list[int]] = {}
        for i, row in enumerate(self.e.input_spikes(self.unit)):
            for j, train in enumerate(row):
                for step in train:
                    found.setdefault(int(step), []).append(i * self.n + j)
        return found

    def jump(self) -> int | None:
        """The neuron step after which the jump of the experiment comes; prepares the jump of the state vector."""
        x = self.e.experiment
        self.jump_of_state = np.zeros_like(self.y)
        if x is None or x.jump is None:
            return None
        where = 2 if x.jump.variable == "IP3" else 5 + x.jump.neuron
        self.jump_of_state[where] = np.broadcast_to(x.jump.size, self.e.n_units)[self.unit]
        return x.jump.step(self.e.clock) * self.e.clock.ratio

    def advance(self, start: float, end: float, at: Array) -> list[Array]:
        """Integrate to `end`; return the state at the times `at`.

        Stops at every crossing of the calcium threshold and, with a continuous current, at every spike and wherever a
        refractory time ends.
        """
        out: list[Array] = []

        def threshold(t: float, y: Array) -> float:
            return float(y[0] - self.p["Ca_th"])

        threshold.terminal = True  # type: ignore[attr-defined]
        if not (self.continuous or self.gated):
            threshold.direction = 1.0  # type: ignore[attr-defined]
        events = [threshold, *(self.voltage_event(i) for i in range(self.m if self.driven else 0))]
        while end - start > 1e-12:
            stop = end
            if self.driven:
                recovery = self.last_spike + self.p["t_ref"]
                self.free = recovery <= start + 1e-12
                stop = min(stop, *recovery[~self.free], end)
            wanted = at[(at > start + 1e-12) & (at <= stop + 1e-12)] if len(at) else at
            points = np.unique(np.append(np.minimum(wanted, stop), stop))
            solution = solve_ivp(self.rhs, (start, stop), self.y, t_eval=points, events=events, **TOLERANCE)
            if solution.status == 1:
                # SciPy keeps the wanted times before the event; the state at the event itself is in y_events.
                out.extend(np.transpose(solution.y))
                which = next(k for k, times in enumerate(solution.t_events) if len(times))
                start = float(solution.t_events[which][0])
                self.y = solution.y_events[which][0].copy()
                if which > 0:
                    # Equal neurons under a common current reach their threshold together, and one event ends the integration.
                    together = self.free & (self.y[5 + self.m : 5 + 2 * self.m] >= self.p["v_th"] - 1e-9)
                    together[which - 1] = True
                    step = math.ceil(start / self.e.clock.dt_astro - 1e-9) - 1
                    for i in np.flatnonzero(together):
                        self.fire(int(i), start)
                        self.driven_spikes[i] += start > self.e.clock.settle + 1e-9
                        self.spikes_in[min(max(step, 0), len(self.spikes_in) - 1), i] += 1.0
                    continue
                self.cross(start)
            else:
                out.extend(solution.y.T[: len(wanted)])
                self.y = solution.y[:, -1].copy()
                start = stop
        return out

    def cross(self, t: float) -> None:
        """Calcium is at the threshold at time t, on its way up or down."""
        rising = bool(self.rhs(t, self.y)[0] > 0)
        self.above = rising
        if rising:
            self.crossing_times.append(t)
        if rising and self.sic == "events":
            p = self.p
            peak = sic.event_peak(p["tau_SIC_rise"], p["tau_SIC_decay"])
            self.y[self.at["sic"]] += sic.nadkarni_jung(p["Ca_th"], p["SIC_scale"], p["SIC_offset"]) / peak
        if rising and not self.continuous:
            self.y[3] += self.p["dGlu"]
            if self.algebraic:
                self.y[4] = self.p["m_eSP"] * self.y[3]
        # Step off the root, so that the same crossing is not found again.
        self.y[0] = self.p["Ca_th"] + (1e-14 if rising else -1e-14)

    def voltage_event(self, i: int) -> Any:
        """Neuron `i` reaches its threshold under a continuous current."""

        def event(t: float, y: Array) -> float:
            return float(y[5 + self.m + i] - self.p["v_th"])

        event.terminal, event.direction = True, 1.0  # type: ignore[attr-defined]
        return event

    def fire(self, i: int, t: float) -> None:
        """Neuron `i` fires at time t: reset and jump of 2-AG."""
        self.y[5 + self.m + i] = 0.0
        self.y[5 + i] += self.p["dAG"]
        if self.source == "spikes":
            self.y[2] += self.p["dIP3"]
        self.last_spike[i] = t

    def deliver(self, arrived: Array, step: int) -> tuple[Array, Array]:
        """Input spikes `arrived` [neurons, synapses] at a step: expected release, jump of v, threshold, reset, jump of 2-AG.

        A depressing synapse gives its share of recovered resources to its transmitter instead.
        """
        p, t = self.p, step * self.e.clock.dt
        ag, v = self.y[5 : 5 + self.m], self.y[5 + self.m : 5 + 2 * self.m]
        fired, released = np.zeros(self.m), np.zeros(self.m)
        failed = self.failing if step > self.fault_step else np.zeros_like(self.failing)
        for i in range(self.m):
            gain = 1 + (endocannabinoid.dse(ag[i], p["K_AG"]) + self.y[4]) / 100
            pr = np.where(failed[i], 0.0, np.clip(self.PR0[i] * gain, 0, 1))
            if self.gated:
                pr *= 1.0 - self.y[self.at["gate"]][0]
            if self.depressing:
                rows = slice(i * self.n, (i + 1) * self.n)
                freed = arrived[i] * pr * (1.0 - self.y[self.at["w"]][rows])
                self.y[self.at["w"]][rows] += freed
                self.y[self.at["y"]][rows] += freed
                released[i] = freed.sum()
                continue
            released[i] = arrived[i].sum() * pr[0] if self.equal else (arrived[i] * pr).sum()
            if arrived[i].any() and t - self.last_spike[i] >= p["t_ref"] - 1e-9:
                v[i] += released[i] * lif.quantum_jump(p["quantum"], p["R_m"], p["tau_m"])
            if v[i] >= p["v_th"]:
                self.fire(i, t)
                fired[i] = 1.0
        if self.gchi:
            self.y[self.at["cleft"]] += self.cleft_jump * released.sum()
        return fired, released

    def summary(
        self, y: Array, spikes: Array, quanta: Array, spikes_in: Array, quanta_in: Array
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]:
        clock, p, m = self.e.clock, self.p, self.m

        # What follows from the samples needs no neighbours.
        alone = self.e if self.e.coupling is None else replace(self.e, coupling=None)
        one = alone.part(slice(self.unit, self.unit + 1))
        ends = np.arange(1, clock.n_astro + 1)
        every_pr = windows.release_probability(one, ends, y[:, None, 5 : 5 + m], y[:, None, 4])[:, 0]

        def columns(a: Array, pr: Array) -> dict[str, Array]:
            ag = a[..., 5 : 5 + m]
            extra: dict[str, Array] = {}
            if self.sic != "none":
                extra["sic"] = np.asarray(self.inward_current(a))
            if self.gated:
                extra["gate"] = a[..., self.at["gate"]][..., 0]
            if self.depressing:
                w = a[..., self.at["w"]]
                extra["transmitter"] = self.transmitter(a)
                extra["resources"] = 1.0 - w.reshape(*w.shape[:-1], m, self.n).mean(axis=-1)
            if self.gchi:
                extra["active_receptors"] = a[..., self.at["gamma"]][..., 0]
                extra["cleft_glutamate"] = a[..., self.at["cleft"]][..., 0]
            return {
                "calcium": a[..., 0], "h": a[..., 1], "ip3": a[..., 2], "glutamate": a[..., 3], "esp": a[..., 4],
                "ag": ag, "release_probability": pr, "voltage": a[..., 5 + m : 5 + 2 * m],
                **extra,
            }  # fmt: skip

        w = columns(y[clock.n_settle :], every_pr[clock.n_settle :])
        seconds = clock.n_window * clock.dt_astro
        late = [t for t in self.crossing_times if t > clock.settle]
        statistics = {
            "calcium_mean": w["calcium"].mean(),
            "calcium_sd": w["calcium"].std(),
            "calcium_min": w["calcium"].min(),
            "calcium_max": w["calcium"].max(),
            "ip3_mean": w["ip3"].mean(),
            "ag_mean": w["ag"].mean(),
            "dse_mean": p["K_AG"] * w["ag"].mean(),
            "glutamate_mean": w["glutamate"].mean(),
            "esp_mean": w["esp"].mean(),
            "release_probability_mean": w["release_probability"].mean(),
            "firing_rate": spikes.mean() / seconds,
            "release_rate": quanta.mean() / seconds,
            "crossings": float(len(late)),
            "crossing_period": (late[-1] - late[0]) / (len(late) - 1) if len(late) > 1 else np.nan,
        }
        found = windows.from_samples(
            one,
            y[:, None, 0],
            y[:, None, 2],
            y[:, None, 4],
            y[:, None, 5 : 5 + m],
            spikes_in[:, None],
            quanta_in[:, None],
        )
        every = clock.record_every
        count = clock.trace_times().size
        traces = columns(y[every - 1 :: every][:count], every_pr[every - 1 :: every][:count]) if every else {}
        final = columns(y[-1], every_pr[-1])
        return statistics, final, traces, {name: values[:, 0] for name, values in found.items()}
