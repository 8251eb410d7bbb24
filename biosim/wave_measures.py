"""What the protocol calcium_wave is asked for: when calcium rises in every astrocyte, how far and how fast the front goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .ensemble import Array
from .tissue import ASTROCYTE

if TYPE_CHECKING:
    import xarray as xr

    from .protocols import Protocol

_VARIABLES = {
    "activation_time": (
        "s",
        "t_act",
        "time from the stimulus until calcium first rises through the level; missing if never",
    ),
    "n_active": ("1", "n_act", "astrocytes whose calcium rises through the level after the stimulus"),
    "front_distance": (
        "1",
        "d_front",
        "junctions from the stimulus as far as every distance becomes active, each later than the one before",
    ),
    "front_speed": ("1/s", "v_front", "astrocytes per second that the front advances; missing without a front"),
    "distance": ("1", "d", "junctions on the shortest way from the stimulus; -1 where there is none"),
    "edge": ("1", "edge", "astrocytes that a gap junction joins"),
}


def first_rise(time: Array, calcium: Array, level: float, start: float) -> Array:
    """Time (s) from `start` to the first rise of `calcium` [times, ...] through `level` (uM), interpolated; NaN if never."""
    early, late = calcium[:-1], calcium[1:]
    rising = (early < level) & (late >= level) & (time[1:] > start + 1e-9).reshape(-1, *[1] * (calcium.ndim - 1))
    first = rising.argmax(axis=0)
    take = first[None]
    before, after = np.take_along_axis(early, take, 0)[0], np.take_along_axis(late, take, 0)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        moment = time[first] + (level - before) / (after - before) * (time[first + 1] - time[first])
    return np.where(rising.any(axis=0), moment - start, np.nan)


def front(distance: NDArray[np.int64], moment: Array) -> tuple[int, float]:
    """How far a front came (junctions) and its speed (junctions/s).

    `moment` [astrocytes] is when each became active (NaN: never), `distance` [astrocytes] its distance from the stimulus. The
    front reaches distance d when the first astrocyte there is active, and ends where that is not later than one junction
    before, as with astrocytes that become active by themselves. Its speed is the slope of the least-squares line of d over
    that time. -1 without any active stimulated astrocyte, and NaN below one junction.
    """
    arrival: list[float] = []
    for d in range(int(distance.max()) + 1):
        times = moment[distance == d]
        if not np.isfinite(times).any() or (arrival and np.nanmin(times) <= arrival[-1]):
            break
        arrival.append(float(np.nanmin(times)))
    reached = len(arrival) - 1
    if reached < 1:
        return reached, float("nan")
    t, steps = np.array(arrival), np.arange(reached + 1.0)
    return reached, float(((t - t.mean()) * (steps - steps.mean())).sum() / ((t - t.mean()) ** 2).sum())


def add(dataset: xr.Dataset, protocol: Protocol, at: float, level: float) -> xr.Dataset:
    """Add the variables above, and the junctions as ``edge`` [edge, end], to a Dataset with traces."""
    tissue = protocol.tissue
    assert tissue is not None
    calcium = dataset.calcium.transpose("time", ..., ASTROCYTE)
    dims = calcium.dims[1:]
    moment = first_rise(dataset.time.values, calcium.values, level, at)
    distance = tissue.coupling.distances(tissue.stimulated)
    found = [front(distance, row) for row in moment.reshape(-1, tissue.n_astrocytes)]
    shape = moment.shape[:-1]
    variables: dict[str, Any] = {
        "activation_time": (dims, moment),
        "n_active": (dims[:-1], np.isfinite(moment).sum(axis=-1)),
        "front_distance": (dims[:-1], np.array([reached for reached, _ in found]).reshape(shape)),
        "front_speed": (dims[:-1], np.array([speed for _, speed in found]).reshape(shape)),
        "distance": ((ASTROCYTE,), distance),
        "edge": (("edge_number", "end"), tissue.coupling.edges),
    }
    out = dataset.assign(variables)
    for name, (unit, symbol, long_name) in _VARIABLES.items():
        out[name].attrs = {"units": unit, "symbol": symbol, "long_name": long_name}
    return out
