"""Retention between segments and the reach of the short-term coupling, from the plasticity network's stimulation cycles.

The gain of the long-term process in cycle t, dp_t = p^l(t) - p^l(t-1), falls geometrically once the drive repeats with the
cycle: dp_t = A exp(-a t). The first cycle starts from nothing and gains less than that, so a is fitted to the later ones
and compared to gamma^l tau_cycle / tau_p^l; the closed form with all cycles in it is fitted beside it (RMAAT, arXiv
2601.00426).

The coupling that synapse i receives is b sum_j exp(-scale d_ij). Its short-term process follows it, c + b sum_j
exp(-scale' d_ij), with a scale' of its own, as it passes on what it receives and saturates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .checks import FitError
from .curves import Array
from .macro_parts import MacroError
from .macro_sections import Distance, Retention
from .macro_validation import DistanceData, RetentionData
from .measure import numbers
from .optimiser import OptimiserError, Optimum, least_squares

if TYPE_CHECKING:
    import xarray as xr

FEWEST_CYCLES = 4
_RETENTION_BIOLOGY = (
    "long-term process of the astrocyte (p^l): what each stimulation cycle adds, while the process saturates"
)
_DISTANCE_BIOLOGY = "coupling between processes of one astrocyte, by the distance of their synapses (T_ijkl)"
_PAPER = "RMAAT (arXiv 2601.00426)"


@dataclass(frozen=True, eq=False)
class MeasuredPlasticity:
    """The sections, the data behind them, and what could not be measured with the reason."""

    retention: Retention | None
    distance: Distance | None
    retention_data: RetentionData | None
    distance_data: DistanceData | None
    skipped: dict[str, str]


@dataclass(frozen=True)
class DecayPerCycle:
    """a with its standard error: from the second cycle on (`decay`), and of the closed form through all cycles.

    shares : r(t, n) of the n cycles [n]. first_cycle : gain of the first cycle over the geometric one through the others.
    misfit : greatest difference of the closed form with `decay_all_cycles` from the shares.
    """

    decay: float
    stderr: float
    decay_all_cycles: float
    stderr_all_cycles: float
    shares: Array
    first_cycle: float
    misfit: float


def fit_retention(long_term: ArrayLike) -> DecayPerCycle:
    """a from `long_term`, p^l at the end of each cycle [n], n >= 4, starting from 0 before the first.

    Raises
    ------
    FitError
        Not finite numbers in a row, too few cycles, a curve that does not rise in every cycle, or gains that do not shrink.
    """
    from biosim.plasticity.retention import geometric_retention

    curve = numbers("long-term curve", long_term)
    if curve.ndim != 1 or not np.isfinite(curve).all() or curve.size < FEWEST_CYCLES:
        raise FitError(
            f"long-term curve has shape {curve.shape}, expected at least {FEWEST_CYCLES} finite values, one per cycle; "
            f"simulate more cycles (--set n_cycles={2 * FEWEST_CYCLES})"
        )
    gains = np.diff(curve, prepend=0.0)
    if not np.all(gains > 0):
        raise FitError(f"long-term curve does not rise in cycle {int(np.argmin(gains)) + 1}, so it gains nothing there")
    if gains[-1] >= gains[1]:
        raise FitError("gains of the long-term curve do not shrink: not identifiable, give longer or more cycles")
    shares = gains / gains.sum()
    # Where the curve has saturated to rounding, the logarithm of its gains is noise; the first fall is not.
    slope = float(np.log(shares[1] / shares[2]))

    start = {"a": slope, "A": float(shares[1] * math.exp(slope))}
    found, error = _geometric(shares, 1, start)
    if shares.size > FEWEST_CYCLES:
        # The second cycle, too, still feels where the first one began.
        later, _ = _geometric(shares, 2, start)
        error = math.hypot(error, later["a"] - found["a"])

    def every(v: dict[str, float]) -> Array:
        return geometric_retention(shares.size, max(v["a"], 0.0)) - shares

    def every_slopes(v: dict[str, float]) -> Array:
        return _slope_of_closed_form(shares.size, v["a"])[:, None]

    whole, whole_error = _solved(every, every_slopes, {"a": slope})
    return DecayPerCycle(
        found["a"],
        error,
        whole["a"],
        whole_error,
        shares,
        float(shares[0] / found["A"]),
        float(np.abs(every(whole)).max()),
    )


def _geometric(shares: Array, skipped: int, start: dict[str, float]) -> tuple[dict[str, float], float]:
    """A exp(-a (t-1)) through all shares but the first `skipped`: both parameters, and the standard error of a."""
    t = np.arange(skipped, shares.size, dtype=np.float64)

    def residual(v: dict[str, float]) -> Array:
        left: Array = v["A"] * np.exp(-v["a"] * t) - shares[skipped:]
        return left

    def slopes(v: dict[str, float]) -> Array:
        factor = np.exp(-v["a"] * t)
        return np.stack([-t * v["A"] * factor, factor], axis=1)

    return _solved(residual, slopes, start)


def _slope_of_closed_form(n: int, a: float) -> Array:
    """d r(t, n) / da, from d ln r = -(t-1) + 1/(e^a - 1) - n/(e^{an} - 1), [n]."""
    from biosim.plasticity.retention import geometric_retention

    slope: Array = geometric_retention(n, a) * (-np.arange(n) + 1 / math.expm1(a) - n / math.expm1(a * n))
    return slope


def _solved(
    residual: Callable[[dict[str, float]], Array],
    jacobian: Callable[[dict[str, float]], Array],
    start: dict[str, float],
    first: str = "a",
) -> tuple[dict[str, float], float]:
    """Least squares, with the standard error of the parameter `first`."""
    try:
        found: Optimum = least_squares(residual, jacobian, start, {first: (1e-6, 700.0)})
    except OptimiserError as error:
        raise FitError(f"not identifiable: {error}") from None
    if found.covariance is None:
        raise FitError("not identifiable: the data do not tell the parameters apart")
    n = residual(found.values).size
    i = found.free.index(first)
    return found.values, math.sqrt(max(found.residual_sum, 0.0) / max(n - len(start), 1) * found.covariance[i, i])


def fit_distance(positions: ArrayLike, received: ArrayLike, *, offset: bool = False) -> tuple[float, float]:
    """scale of b sum_j exp(-scale d_ij) through `received` [n] at `positions` [n, dimensions], with its standard error.

    offset : with a constant c beside it, as in the short-term process.

    Raises
    ------
    FitError
        Synapses receive alike, or so few different amounts that they fix nothing.
    """
    points = numbers("positions", positions)
    y = numbers("coupling received", received)
    if points.ndim != 2 or y.ndim != 1 or len(points) != len(y):
        raise FitError(f"positions has shape {points.shape} and values {y.shape}, expected one point per value")
    if not (np.isfinite(points).all() and np.isfinite(y).all()):
        raise FitError("positions or values are not finite; remove those synapses")
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
    top = float(np.abs(y).max())
    different = 0 if top == 0 else np.unique(np.round(y / top, 9)).size
    needed = 4 if offset else 3
    if different < needed:
        raise FitError(
            f"not identifiable: synapses receive {different} different amounts, expected at least {needed}; simulate more "
            "neurons, or geometry = line"
        )
    y = y / top
    neighbours = float(distance[distance > 0].min())

    def kernel(scale: float) -> Array:
        table = np.exp(-scale * distance)
        np.fill_diagonal(table, 0.0)
        return table

    def model(v: dict[str, float]) -> Array:
        total: Array = v["b"] * kernel(v["scale"]).sum(axis=1) + v.get("c", 0.0)
        return total - y

    def slopes(v: dict[str, float]) -> Array:
        table = kernel(v["scale"])
        columns = [-v["b"] * (distance * table).sum(axis=1), table.sum(axis=1)]
        return np.stack(columns + [np.ones_like(y)] * offset, axis=1)

    best: tuple[float, float, float] | None = None
    for start in (0.3, 1.0, 3.0):
        sums = kernel(start / neighbours).sum(axis=1)
        columns = np.stack([sums, *([np.ones_like(y)] * offset)], axis=1)
        linear, *_ = np.linalg.lstsq(columns, y, rcond=None)
        first = {"scale": start / neighbours, "b": float(linear[0])} | ({"c": float(linear[1])} if offset else {})
        try:
            values, error = _solved(model, slopes, first, "scale")
        except FitError:
            continue
        left = float(np.sum(model(values) ** 2))
        if best is None or left < best[0]:
            best = left, values["scale"], error
    if best is None or not best[2] < 0.5 * best[1]:
        raise FitError(
            "not identifiable: the coupling does not fix its scale; simulate more neurons, or geometry = line"
        )
    return best[1], best[2]


def measure_plasticity(dataset: xr.Dataset) -> MeasuredPlasticity:
    """Retention and distance from a Dataset of the protocol ``stp_cycles``; what cannot be measured is None, with the reason.

    Raises
    ------
    MacroError
        The Dataset is of another protocol, swept over parameters, or neither can be measured (with the reasons).
    """
    record = _record(dataset)
    parameters, plan = record["parameters"], record["protocol"]
    skipped: dict[str, str] = {}
    retention = distance = data = around = None
    try:
        curve = dataset.long_term_mean.values
        found = fit_retention(curve)
        data = RetentionData(long_term=[float(v) for v in curve])
        retention = _retention(found, parameters, float(plan["cycle_s"]))
    except FitError as error:
        skipped["retention"] = str(error)
    try:
        around, distance = _distance(dataset, parameters, plan)
    except FitError as error:
        skipped["distance"] = str(error)
    if retention is None and distance is None:
        raise MacroError("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    return MeasuredPlasticity(retention, distance, data, around, skipped)


def _record(dataset: Any) -> dict[str, Any]:
    import biosim

    if not hasattr(dataset, "data_vars"):
        raise MacroError(f"expected an xarray.Dataset, found {type(dataset).__name__}; load it with biosim.load")
    record = biosim.provenance(dataset)
    name = record.get("protocol", {}).get("name")
    if name != "stp_cycles":
        raise MacroError(
            f"the Dataset is of protocol {name!r}, expected stp_cycles; simulate it with astromorphic simulate stp_cycles"
        )
    swept = [d for d in dataset.long_term_mean.dims if d != "cycle"]
    if swept:
        raise MacroError(
            f"the Dataset is swept over {swept[0]!r}; select one of its values first (--at {swept[0]}=...)"
        )
    return dict(record)


def _retention(found: DecayPerCycle, parameters: dict[str, Any], cycle: float) -> Retention:
    from biosim.plasticity.retention import decay_per_cycle

    tau, leak = parameters["tau_pl"], parameters["leak_pl"]
    return Retention(
        decay=found.decay,
        stderr=found.stderr,
        shares=[float(v) for v in found.shares],
        decay_all_cycles=found.decay_all_cycles,
        stderr_all_cycles=found.stderr_all_cycles,
        closed_form=decay_per_cycle(cycle, tau["value"], leak["value"]),
        cycle_s=cycle,
        biology=_RETENTION_BIOLOGY,
        source=f"stp_cycles, equations and protocol of {_PAPER}; tau_p^l = {tau['value']:g} s, {tau['status']}: {tau['source']}",
        # A number that rests on an assumed constant is no better known than that.
        status="assumed" if tau["status"] == "assumed" else "derived",
    )


def _distance(dataset: xr.Dataset, parameters: dict[str, Any], plan: dict[str, Any]) -> tuple[DistanceData, Distance]:
    geometry, n = plan["geometry"], int(plan["n_neurons"])
    if geometry == "equal":
        raise FitError("not identifiable: with geometry = equal all synapses are at one distance; take grid or line")
    received = dataset.coupling_received.values.ravel()
    short_term = dataset.short_term.values[-1].ravel()
    data = DistanceData(
        positions=[[float(v) for v in np.atleast_1d(point)] for point in _positions(geometry, n, plan["positions"])],
        coupling_received=[float(v) for v in received],
        short_term=[float(v) for v in short_term],
    )
    scale, error = fit_distance(data.positions, received)
    response, response_error = reach_of_response(data)
    scales = parameters["coupling_scale"]
    return data, Distance(
        scale=scale,
        stderr=error,
        response_scale=response,
        response_stderr=response_error,
        closed_form=float(scales["value"]) or None,
        geometry=f"{geometry}, {n} x {n} synapses",
        biology=_DISTANCE_BIOLOGY,
        source=f"stp_cycles of {_PAPER}; scale = {scales['value']:g}, {scales['status']}: {scales['source']}",
        status="assumed" if scales["status"] == "assumed" else "derived",
    )


def reach_of_response(data: DistanceData) -> tuple[float | None, float | None]:
    """scale' of the short-term process with its error; None for both where the geometry does not fix it."""
    try:
        return fit_distance(data.positions, data.short_term, offset=True)
    except FitError:
        return None, None


def _positions(geometry: str, n: int, custom: Any) -> Array:
    """Where the synapses lie, [n^2, dimensions], as in `biosim.plasticity.geometry`."""
    index = np.arange(n**2, dtype=np.float64)
    if geometry == "grid":
        return np.stack([index // n, index % n], axis=1)
    if geometry == "line":
        return index[:, None]
    return np.atleast_2d(np.array(custom, dtype=np.float64))
