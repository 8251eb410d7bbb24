"""Measures of the response to one impulse: how high, how late, how fast it rises and decays."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .ensemble import Array
from .processes import linear

if TYPE_CHECKING:
    import xarray as xr

    from .protocols import Protocol

_MEASURES = {
    "peak": ("", "greatest {what} above the value at the impulse"),
    "peak_time": ("s", "time from the impulse to the peak of {what}"),
    "rise_time": ("s", "time from the impulse until {what} has 1 - 1/e of its peak; missing where it jumps"),
    "decay_time": ("s", "time from the peak until {what} has 1/e of it; missing where the run ends before"),
}
_TRACES = {"calcium": "calcium", "ip3": "IP3", "ag": "2-AG of the first neuron"}


def finish(dataset: xr.Dataset, protocol: Protocol, at: float) -> xr.Dataset:
    """`measure`, as the last step of a protocol."""
    return measure(dataset, at)


def measure(dataset: xr.Dataset, at: float) -> xr.Dataset:
    """Add ``calcium_peak``, ``calcium_peak_time``, ``calcium_rise_time``, ``calcium_decay_time``, and the same for ip3 and ag.

    `dataset` has traces of a run whose impulse came at `at` (s); the value at the last sample up to then is the baseline,
    so the sample at `at`, which is taken just before a jump, is one. Peaks are interpolated by a parabola through three samples.
    """
    time = dataset.time.values
    before = int(np.searchsorted(time, at + 1e-9))
    found = {}
    for name, what in _TRACES.items():
        trace = dataset[name].isel(neuron=0) if "neuron" in dataset[name].dims else dataset[name]
        dims = tuple(d for d in trace.dims if d != "time")
        values = trace.transpose("time", *dims).values
        flat = values.reshape(values.shape[0], -1)
        # With an impulse at the very start the first sample comes after it.
        base = flat[before - 1] if before else _start(dataset, name, flat)
        rows = [_measures(time[before:] - at, column) for column in (flat[before:] - base).T]
        for index, (key, (unit, text)) in enumerate(_MEASURES.items()):
            table = np.array([row[index] for row in rows]).reshape(values.shape[1:])
            attributes = {
                "units": unit or "uM", "symbol": f"{key} {dataset[name].attrs['symbol']}", "long_name": text.format(what=what)
            }  # fmt: skip
            found[f"{name}_{key}"] = (dims, table, attributes)
    return dataset.assign(found)


def _start(dataset: xr.Dataset, name: str, flat: Array) -> Array:
    rest = {"ag": 0.0, "calcium": float(np.ravel(dataset.calcium_rest.values)[0])}
    return np.full(flat.shape[1], rest[name]) if name in rest else flat[-1]


def _measures(time: Array, rise: Array) -> tuple[float, float, float, float]:
    top = int(rise.argmax())
    if not rise.size or rise[top] <= 0:
        return 0.0, math.nan, math.nan, math.nan
    peak, moment = float(rise[top]), float(time[top])
    if 0 < top < rise.size - 1:
        left, right = rise[top - 1], rise[top + 1]
        curvature = left - 2 * peak + right
        # Nothing to fit where the peak is the jump itself.
        if curvature < 0 and left > 0.5 * peak:
            shift = 0.5 * (left - right) / curvature
            moment += shift * (time[top + 1] - time[top])
            peak -= 0.25 * (left - right) * shift
    risen = (
        math.nan
        if top == 0
        else _first(np.append(0.0, time[: top + 1]), np.append(0.0, rise[: top + 1]), peak * (1 - math.exp(-1)), True)
    )
    fallen = _first(time[top:], rise[top:], peak * math.exp(-1), False)
    return peak, moment, risen, fallen - moment


def _first(time: Array, values: Array, level: float, upward: bool) -> float:
    """First time at which `values` pass `level`, interpolated; NaN where they do not."""
    beyond = np.flatnonzero(values >= level if upward else values <= level)
    if not beyond.size:
        return math.nan
    i = int(beyond[0])
    if i == 0:
        return float(time[0])
    part = (level - values[i - 1]) / (values[i] - values[i - 1])
    return float(time[i - 1] + part * (time[i] - time[i - 1]))


def ip3_after_ag_jump(time: Array, size: float, tau_AG: float, tau_IP3: float, r_IP3: float) -> Array:
    """Closed form: IP3 above rest (uM) at `time` (s) after 2-AG jumped by `size` (uM).

    size r_IP3 (exp(-t/tau_AG) - exp(-t/tau_IP3)) / (1/tau_IP3 - 1/tau_AG), for any pair of time constants.
    """
    return size * np.array([float(linear.transfer(float(t), tau_AG, tau_IP3, r_IP3)) for t in np.atleast_1d(time)])


def ip3_peak_time(tau_AG: float, tau_IP3: float) -> float:
    """When it is greatest, s: ln(tau_AG/tau_IP3) / (1/tau_IP3 - 1/tau_AG); tau where both are equal."""
    if math.isclose(tau_AG, tau_IP3, rel_tol=1e-9):
        return tau_IP3
    return math.log(tau_AG / tau_IP3) / (1 / tau_IP3 - 1 / tau_AG)
