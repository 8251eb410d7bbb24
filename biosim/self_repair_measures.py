"""What the protocol self_repair is asked for: release and firing before and after synapses failed, and what theory says.

With z the part of the summed release probability that stays and q the growth of the release probability that remains:
    q = (1 + a)/(1 + a z),   a = N f PR(0) kappa,   kappa = |K_AG| dAG tau_AG / 100      (closed form, mean field)
    q = 1.03/(z + 0.04)                                                                  (published macro relation)
The first follows from f_post = N f PR(0) (1 + eSP/100)/(1 + N f PR(0) kappa) for a relay neuron: e-SP scales all release
probabilities alike and drops out while it is the same before and after and nothing is clipped at 1. At N = 80, f = 10 Hz and
PR(0) = 0.4 it is q = 1.039/(z + 0.039).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .ensemble import SimulationError

if TYPE_CHECKING:
    import xarray as xr

    from .protocols import Protocol


@dataclass(frozen=True)
class Windows:
    """The bins before and after the fault; times in s."""

    fault_time: float
    duration: float
    before: float
    after: float
    bin: float

    def __post_init__(self) -> None:
        if self.bin <= 0:
            raise SimulationError(f"bin = {self.bin:g} s: expected a length above 0")
        if self.fault_time >= self.duration:
            raise SimulationError(
                f"fault_time = {self.fault_time:g} s: expected less than the duration of {self.duration:g} s"
            )
        for name in ("fault_time", "before", "after", "duration"):
            value = getattr(self, name)
            if value <= 0 or abs(value / self.bin - round(value / self.bin)) > 1e-6:
                raise SimulationError(
                    f"{name} = {value:g} s: expected a whole multiple of bin = {self.bin:g} s above 0"
                )
        if self.before > self.fault_time:
            raise SimulationError(
                f"before = {self.before:g} s: expected at most the fault_time of {self.fault_time:g} s"
            )
        if self.fault_time + self.after > self.duration * (1 + 1e-9):
            raise SimulationError(
                f"after = {self.after:g} s: expected at most {self.duration - self.fault_time:g} s, which is left after the "
                f"fault at {self.fault_time:g} s; lengthen duration"
            )

    @property
    def indices(self) -> tuple[slice, slice]:
        fault, before, after, end = (
            round(t / self.bin) for t in (self.fault_time, self.before, self.after, self.duration)
        )
        return slice(fault - before, fault), slice(end - after, end)


def strength(rate: Any, n_synapses: Any, PR0: Any, K_AG: Any, dAG: Any, tau_AG: Any) -> Any:
    """a = N f PR(0) kappa, without unit: how much 2-AG suppresses the release that causes it; `rate` in Hz."""
    return n_synapses * rate * PR0 * (-K_AG * dAG * tau_AG / 100.0)


def closed_form(z: Any, a: Any) -> Any:
    """q = (1 + a)/(1 + a z)."""
    return (1 + a) / (1 + a * z)


def published_relation(z: Any) -> Any:
    """q = 1.03/(z + 0.04), the macro fit of the published statistics (80 synapses, 10 Hz, mean PR(0) from 0.2 to 0.6)."""
    return 1.03 / (z + 0.04)


_VARIABLES: dict[str, tuple[str, str, str]] = {
    "rate_before": ("Hz", "f_before", "firing rate before the fault"),
    "rate_early": ("Hz", "f_early", "firing rate in the first bin after the fault"),
    "rate_after": ("Hz", "f_after", "firing rate at the end"),
    "pr_before": ("1", "PR_before", "mean release probability of the healthy synapses before the fault"),
    "pr_after": ("1", "PR_after", "mean release probability of the healthy synapses at the end"),
    "esp_before": ("%", "eSP_before", "e-SP before the fault"),
    "esp_after": ("%", "eSP_after", "e-SP at the end"),
    "faulty": ("1", "n_faulty", "synapses of the faulty neuron that fail"),
    "z": ("1", "z", "summed release probability of the healthy synapses to that of all, before the fault"),
    "q": ("1", "q", "release probability of the healthy synapses after the fault to before"),
    "rate_kept": ("1", "f_after/f_before", "part of the firing rate of the faulty neuron that is kept"),
    "q_closed_form": ("1", "q_c", "(1 + a)/(1 + a z) times the ratio of 1 + eSP/100 after to before"),
    "q_published": ("1", "q_p", "published relation 1.03/(z + 0.04)"),
}


def add(dataset: xr.Dataset, protocol: Protocol, where: Windows) -> xr.Dataset:
    """Add the variables above to a Dataset with windows of `where.bin` s; rates and pr also along ``neuron``."""
    x = protocol.experiment
    assert x is not None and x.faults is not None
    names = tuple(axis.name for axis in protocol.axes)
    ensemble = protocol.ensemble(_seed(dataset))
    p = protocol.parameters
    assert ensemble.experiment is not None and ensemble.experiment.faults is not None
    shape = protocol.shape
    stuck = ensemble.experiment.faults.stuck(p.n_neurons, p.n_synapses, ensemble.n_units)[:, x.faults.neuron]
    PR0 = (
        np.broadcast_to(ensemble.values("PR0")[:, None], stuck.shape)
        if ensemble.experiment.PR0 is None
        else ensemble.experiment.PR0[:, x.faults.neuron]
    )
    late, early = where.indices[1], where.indices[0]

    def mean(name: str, part: slice) -> Any:
        return dataset[name].isel(window=part).mean("window")

    v: dict[str, Any] = {
        "rate_before": mean("window_firing_rate", early),
        "rate_early": dataset.window_firing_rate.isel(window=early.stop),
        "rate_after": mean("window_firing_rate", late),
        "pr_before": mean("window_release_probability", early),
        "pr_after": mean("window_release_probability", late),
        "esp_before": mean("window_esp_mean", early),
        "esp_after": mean("window_esp_mean", late),
    }
    count = stuck.sum(axis=1).reshape(shape)
    v["faulty"] = (names, count)
    healthy = p.n_synapses - dataset.assign(faulty=v["faulty"]).faulty
    neuron = {"neuron": x.faults.neuron}
    everyone = mean("window_release_probability_all", early).isel(neuron)
    before, after = v["pr_before"].isel(neuron), v["pr_after"].isel(neuron)
    with np.errstate(invalid="ignore", divide="ignore"):
        v["z"] = healthy * before / (p.n_synapses * everyone)
        v["q"] = (after / before).where(healthy > 0)
        v["rate_kept"] = v["rate_after"].isel(neuron) / v["rate_before"].isel(neuron)
    a = strength(
        ensemble.rate, p.n_synapses, PR0.mean(axis=1), ensemble.values("K_AG"), ensemble.values("dAG"), ensemble.values("tau_AG")
    )  # fmt: skip
    # The relation holds in terms of the release probability that e-SP has raised: it enters a before and after.
    v["a"] = (names, a.reshape(shape), {"units": "1", "symbol": "a", "long_name": "N f PR(0) kappa"})
    with_a = dataset.assign(a=v["a"]).a
    gain = (1 + v["esp_after"] / 100) / (1 + v["esp_before"] / 100)
    v["q_closed_form"] = closed_form(v["z"], with_a) * gain
    v["q_published"] = published_relation(v["z"])
    out = dataset.assign({name: v[name] for name in (*_VARIABLES, "a")})
    for name, (unit, symbol, long_name) in _VARIABLES.items():
        # Scalars that xarray carried along (the neuron that was taken) are none of the variable's own.
        out[name] = out[name].reset_coords(drop=True)
        out[name].attrs = {"units": unit, "symbol": symbol, "long_name": long_name}
    return out


def _seed(dataset: xr.Dataset) -> int:
    from .storage import provenance

    return int(provenance(dataset)["seed"])
