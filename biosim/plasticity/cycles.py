"""The protocol ``stp_cycles``: neurons stimulated in cycles, short-term processes that follow, long-term ones that add up.

RMAAT (arXiv 2601.00426, section 3.3 and Fig. 3): 3 x 3 neurons, 300 s in six cycles of 50 s. In each cycle all neurons
receive their input for the fraction `duty` of it and none for the rest; the paper does not say how it stimulates.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import memory
from ..checks import numbers, real, whole
from ..ensemble import LONGEST, MOST_STEPS, SHORTEST, Array, Progress, SimulationError
from ..messages import shown
from ..plan import Plan
from ..storage import MAX_BYTES, SCHEMA_VERSION
from .engines import check_finite, stepper
from .geometry import coupling, custom_points, distances
from .network import LongTerm, PlasticityNetwork
from .parameters import PlasticityParameters, parameter_set
from .retention import retention_factors

if TYPE_CHECKING:
    import xarray as xr

# Steps of one call to an engine, after which progress is told and Ctrl-C is heard.
_PIECE = 100_000

# name: (unit, symbol, long name) of what a Dataset holds, by dimensions.
_PER_CYCLE = {
    "long_term": ("1", "p^l", "long-term process at the end of the cycle"),
    "short_term": ("1", "p^s", "short-term process at the end of the cycle's stimulation"),
    "facilitation": ("1", "s", "facilitation at the end of the cycle's stimulation"),
}
_TRACES = {
    "x": ("activity_trace", "x", "activation of the neurons"),
    "s": ("facilitation_trace", "s", "facilitation"),
    "p": ("short_term_trace", "p^s", "short-term process"),
    "long_term": ("long_term_trace", "p^l", "long-term process"),
}


@dataclass(frozen=True, kw_only=True)
class StpCycles(Plan):
    """The experiment of this module; `stp_cycles` makes it and says what the fields mean.

    Raises
    ------
    SimulationError, UnknownName
        On construction, naming what is wrong.
    """

    parameters: PlasticityParameters
    n_neurons: int = 3
    cycle: float = 50.0
    n_cycles: int = 6
    duty: float = 0.5
    geometry: str = "grid"
    positions: Any = None
    input_profile: Any = None
    dt: float = 0.02
    record: float | None = None

    name = "stp_cycles"
    description = "short-term plasticity cycles and the long-term curve that they build up"

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, PlasticityParameters):
            raise SimulationError(
                f"parameters = {shown(self.parameters)}: expected a parameter set of the plasticity network, such as 'rmaat'"
            )
        n = whole("n_neurons", self.n_neurons, 1, 10_000, SimulationError)
        # Found out now and not when the work begins; the matrix itself is made there.
        if self.geometry == "custom" and self.positions is not None:
            points = custom_points(self.positions, n)
            object.__setattr__(self, "positions", tuple(tuple(float(v) for v in point) for point in points))
        else:
            distances(self.geometry, n, self.positions)
        for name in ("cycle", "dt"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        duty = real("duty", self.duty, "1", SimulationError)
        if not 0 < duty <= 1:
            raise SimulationError(f"duty = {shown(self.duty)}: expected a fraction of the cycle above 0 and at most 1")
        object.__setattr__(self, "duty", duty)
        whole("n_cycles", self.n_cycles, 1, None, SimulationError)
        memory.require(
            100.0 * float(n) ** 2 * min(self.n_cycles, 10**18), f"n_cycles = {shown(self.n_cycles)}", "lower n_cycles",
            SimulationError,
        )  # fmt: skip
        steps = _steps("cycle", self.cycle, self.dt)
        if steps * self.n_cycles > MOST_STEPS:
            raise SimulationError(
                f"n_cycles = {self.n_cycles} of {self.cycle:g} s with dt = {self.dt:g} s: more than {MOST_STEPS:.0e} steps; "
                "lower n_cycles or cycle"
            )
        _steps("duty * cycle", self.duty * self.cycle, self.dt)
        if self.record is not None:
            object.__setattr__(self, "record", _seconds("record", self.record))
            if _steps("record", self.record, self.dt) > steps * self.n_cycles:
                raise SimulationError(
                    f"record = {self.record:g} s: expected at most the whole time, {self.cycle * self.n_cycles:g} s"
                )
            size = 8 * (n + 3 * n**2) * self.n_samples
            what = f"record = {self.record:g} s makes {self.n_samples} samples of {n} neurons and {n**2} synapses"
            if size > MAX_BYTES:
                raise SimulationError(
                    f"{what}: more than {MAX_BYTES // 2**30} GiB, which no file may hold; lengthen record"
                )
            memory.require(3 * size, what, "lengthen record", SimulationError)
        profile = numbers(
            "input_profile", 1.0 if self.input_profile is None else self.input_profile, "1", SimulationError
        )
        if profile.shape not in ((), (n,)) or not (
            np.isfinite(profile).all() and np.abs(profile).max(initial=0) <= 1e9
        ):
            raise SimulationError(
                f"input_profile = {shown(self.input_profile)}: expected one finite number, or one for each of {n} neurons"
            )
        object.__setattr__(self, "input_profile", tuple(float(v) for v in np.broadcast_to(profile, (n,))))
        self._network(None).check_step(self.dt)

    @property
    def steps_per_cycle(self) -> int:
        """Steps of `dt` in a cycle."""
        return _steps("cycle", self.cycle, self.dt)

    @property
    def every(self) -> int:
        """Steps between two samples of the traces; 0 without traces."""
        return 0 if self.record is None else _steps("record", self.record, self.dt)

    @property
    def n_samples(self) -> int:
        """Samples of the traces; 0 without traces."""
        return self.steps_per_cycle * self.n_cycles // self.every if self.every else 0

    def coupling(self) -> Array:
        """T_ijkl as [N^2, N^2]."""
        points = None if self.positions is None else np.array(self.positions)
        return coupling(distances(self.geometry, self.n_neurons, points), self.parameters)

    def network(self) -> PlasticityNetwork:
        """The network of this experiment; its bias is the input during stimulation."""
        n = self.n_neurons
        return self._network(self.coupling().reshape(n, n, n, n))

    def _network(self, t: Array | None) -> PlasticityNetwork:
        p = self.parameters
        return PlasticityNetwork(
            self.n_neurons, coupling=t, bias=p.drive * np.array(self.input_profile), tau_x=p.tau_x, tau_s=p.tau_s, tau_p=p.tau_ps,
            leak_x=p.leak_x, leak_s=p.leak_s, leak_p=p.leak_ps, gain_x=p.gain_x, gain_s=p.gain_s, phi=p.theta, g=p.g,
            psi=p.psi, steepness=p.steepness, long_term=LongTerm(p.tau_pl, p.leak_pl, p.kappa),
        )  # fmt: skip

    def to_record(self) -> dict[str, Any]:
        """JSON-ready description."""
        return {
            "name": self.name,
            "description": self.description,
            "n_neurons": self.n_neurons,
            "cycle_s": self.cycle,
            "n_cycles": self.n_cycles,
            "duty": self.duty,
            "geometry": self.geometry,
            "positions": self.positions,
            "input_profile": self.input_profile,
            "dt_s": self.dt,
            "record_s": self.record,
        }

    def run(
        self,
        engine: str = "numba",
        *,
        seed: int = 0,
        record: float | None = None,
        progress: Progress | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Simulate; the network draws no random number, so `seed` is recorded and changes nothing."""
        plan = self if record is None else StpCycles(**(vars(self) | {"record": record}))
        seed = whole("seed", seed, 0, 2**63 - 1, SimulationError)
        advance = stepper(engine, options)
        network = plan.network()
        silent = np.zeros(plan.n_neurons)
        on = _steps("duty * cycle", plan.duty * plan.cycle, plan.dt)
        y = network.pack()
        step = 0
        ends, stimulated, traces = [], [], []
        for cycle in range(plan.n_cycles):
            for steps, bias in ((on, network.bias), (plan.steps_per_cycle - on, silent)):
                last = step + steps
                while step < last:
                    piece = min(_PIECE, last - step)
                    y, samples = advance(network, y, bias, step, piece, plan.dt, plan.every)
                    check_finite(y, (step + piece) * plan.dt)
                    step += piece
                    traces.append(samples)
                if bias is network.bias:
                    stimulated.append(y)
            ends.append(y)
            if progress:
                progress(cycle + 1, plan.n_cycles)
        return plan._dataset(
            network, np.array(ends), np.array(stimulated), np.concatenate(traces) if plan.every else None, engine, seed
        )

    def swept(self, name: str, values: Sequence[float]) -> Plan:
        """One network per value of the parameter `name`."""
        from .sweep_of_cycles import sweep_of

        return sweep_of(self, name, values)

    def _dataset(
        self, network: PlasticityNetwork, ends: Array, stimulated: Array, traces: Array | None, engine: str, seed: int
    ) -> xr.Dataset:
        import xarray as xr

        at_end, at_stimulus = network.unpack(ends), network.unpack(stimulated)
        synapse = ("pre", "post")
        values = {"long_term": at_end["long_term"], "short_term": at_stimulus["p"], "facilitation": at_stimulus["s"]}
        variables: dict[str, Any] = {}
        for name, array in values.items():
            unit, symbol, long_name = _PER_CYCLE[name]
            variables[name] = (("cycle", *synapse), array, _attributes(unit, symbol, long_name))
        curve = at_end["long_term"].mean(axis=(1, 2))
        variables["long_term_mean"] = (
            ("cycle",), curve, _attributes("1", "<p^l>", "long-term process at the end of the cycle, mean over synapses"),
        )  # fmt: skip
        rises = float(curve[-1]) > 0
        variables["retention"] = (
            ("cycle",), retention_factors(curve) if rises else np.full(curve.size, np.nan),
            _attributes("1", "r(t, T)", "share of the cycle in the long-term gain of all T cycles; missing without a gain"),
        )  # fmt: skip
        variables["coupling_received"] = (
            synapse, network.coupling.sum(axis=(2, 3)) if network.coupling is not None else np.zeros((1, 1)),
            _attributes("1", "sum_kl T_ijkl", "coupling that a synapse receives from all others"),
        )  # fmt: skip
        index = np.arange(self.n_neurons)
        cycles = np.arange(1, self.n_cycles + 1)
        coordinates: dict[str, Any] = {
            "cycle": ("cycle", cycles, {"units": "1", "long_name": "stimulation cycle"}),
            "cycle_end": ("cycle", cycles * self.cycle, {"units": "s", "long_name": "end of the cycle"}),
            "pre": ("pre", index, {"units": "1", "long_name": "presynaptic neuron"}),
            "post": ("post", index, {"units": "1", "long_name": "postsynaptic neuron"}),
        }
        if traces is not None:
            for name, array in network.unpack(traces).items():
                variable, symbol, long_name = _TRACES[name]
                dims = ("time", "neuron") if name == "x" else ("time", *synapse)
                variables[variable] = (dims, array, _attributes("1", symbol, long_name))
            times = np.arange(1, self.n_samples + 1) * self.every * self.dt
            coordinates["time"] = ("time", times, {"units": "s", "long_name": "time"})
            coordinates["neuron"] = ("neuron", index, {"units": "1", "long_name": "neuron"})
        return xr.Dataset(
            variables,
            coords=coordinates,
            attrs={
                "title": f"{self.name}: {self.description}",
                "Conventions": "CF-1.11",
                "provenance": self._provenance(engine, seed),
            },
        )

    def _provenance(self, engine: str, seed: int) -> str:
        from ..simulation import versions

        content = {
            "schema": SCHEMA_VERSION,
            "protocol": self.to_record(),
            "parameters": self.parameters.to_records(),
            "engine": engine,
            "seed": seed,
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        record = content | {
            "parameter_set": self.parameters.name,
            "engine_notes": {"steps": self.steps_per_cycle * self.n_cycles},
            "versions": versions(engine),
            "digest": digest,
        }
        return json.dumps(record, sort_keys=True, allow_nan=False)


def stp_cycles(
    parameters: PlasticityParameters | str = "rmaat",
    *,
    n_neurons: int = 3,
    cycle: float = 50.0,
    n_cycles: int = 6,
    duty: float = 0.5,
    geometry: str = "grid",
    positions: Any = None,
    input_profile: Any = None,
    dt: float = 0.02,
) -> StpCycles:
    """Stimulation cycles of the plasticity network: 3 x 3 neurons, six cycles of 50 s, as in Fig. 3 of RMAAT.

    Parameters
    ----------
    parameters : set of the plasticity network or its name, ``rmaat``.
    n_neurons : N, each connected to each, itself included.
    cycle : length of a cycle, s; n_cycles : number of cycles.
    duty : share of each cycle, at its start, in which the neurons receive their input.
    geometry : of the synapses: ``grid``, ``line``, ``equal`` or ``custom`` (see `geometry.distances`).
    positions : of the geometry custom: [N^2] or [N^2, D], synapse from i to j in row i N + j.
    input_profile : input of each neuron [N], relative to the parameter ``drive``; default 1 for all.
    dt : Runge-Kutta step of the engine numba, s; cycle and duty * cycle are whole multiples of it.
    """
    chosen = parameters if isinstance(parameters, PlasticityParameters) else parameter_set(parameters)
    return StpCycles(
        parameters=chosen, n_neurons=n_neurons, cycle=cycle, n_cycles=n_cycles, duty=duty, geometry=geometry,
        positions=positions, input_profile=input_profile, dt=dt,
    )  # fmt: skip


def _attributes(unit: str, symbol: str, long_name: str) -> dict[str, str]:
    return {"units": unit, "symbol": symbol, "long_name": long_name}


def _seconds(name: str, given: Any) -> float:
    seconds = real(name, given, "s", SimulationError)
    if not (math.isfinite(seconds) and SHORTEST <= seconds <= LONGEST):
        raise SimulationError(f"{name} = {shown(given)} s: expected a time from {SHORTEST} s to {LONGEST:g} s")
    return seconds


def _steps(name: str, seconds: float, dt: float) -> int:
    steps = round(seconds / dt)
    if steps < 1 or abs(seconds / dt - steps) > 1e-6 * steps:
        raise SimulationError(f"{name} = {seconds:g} s: expected a whole multiple of dt = {dt:g} s")
    return steps
