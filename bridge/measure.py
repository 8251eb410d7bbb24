"""Measured response curves: from a simulation's Dataset, from a published figure, from a file."""

from __future__ import annotations

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biosim.registry import choose

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

# Far outside anything measured in Hz or uM, and inside the range where squares and tenth powers of the numbers, which the
# fits take, are still representable.
SMALLEST_RATE, LARGEST_RATE = 1e-9, 1e9
_SMALLEST, _LARGEST = 1e-30, 1e30


class CurveError(ValueError):
    """A response curve, or the data it is read from, that cannot be used."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A measured response: calcium against input rate.

    The arrays are copied and made read-only. Between-trial quantities are optional: a published curve has none.

    Parameters
    ----------
    x : input rate [n], strictly increasing, not negative, at least one value above zero; n >= 3.
    y : response, mean over trials [n].
    sd : standard deviation between trials [n], or None. Follows from `trials` if those are given.
    trials : single trials [n, n_trials], or None; their mean over trials must be `y`.
    x_name, y_name, x_unit, y_unit : what was measured.
    resting_calcium : calcium without input (uM), or None if unknown.
    source : where the curve comes from, in words. notes : what a reader has to know of it, such as a converted unit.
    provenance : record of the simulation behind it, free JSON content.

    Raises
    ------
    CurveError
        Fewer than three points, lengths that do not match, values that are not finite numbers, negative, unsorted or
        repeated rates, or magnitudes that no fit can compute with (rates outside 1e-9 to 1e9, responses outside 1e-30
        to 1e30).
    """

    x: Array
    y: Array
    sd: Array | None = None
    trials: Array | None = None
    x_name: str = "input rate"
    y_name: str = "mean calcium"
    x_unit: str = "Hz"
    y_unit: str = "uM"
    resting_calcium: float | None = None
    source: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        x = _frozen_array(self.x_name, self.x, 1)
        y = _frozen_array(self.y_name, self.y, 1)
        sd = None if self.sd is None else _frozen_array("sd", self.sd, 1)
        trials = None if self.trials is None else _frozen_array("trials", self.trials, 2)
        if len(x) < 3:
            raise CurveError(f"curve has {len(x)} points, expected at least 3; measure more input rates")
        for name, array in ((self.y_name, y), ("sd", sd), ("trials", trials)):
            if array is not None and len(array) != len(x):
                raise CurveError(
                    f"{name} has {len(array)} points and {self.x_name} has {len(x)}; give one value per rate"
                )
        if x[0] < 0 or np.any(x < 0):
            raise CurveError(
                f"{self.x_name} has the negative value {x.min():g} {self.x_unit}, expected 0 or more; correct the rates"
            )
        steps = np.diff(x)
        if np.any(steps == 0):
            repeated = x[1:][steps == 0][0]
            raise CurveError(
                f"{self.x_name} has the value {repeated:g} {self.x_unit} twice; average repeated rates or pass them "
                "as trials"
            )
        if np.any(steps < 0):
            i = int(np.argmax(steps < 0))
            raise CurveError(
                f"{self.x_name} is not increasing: {x[i]:g} is followed by {x[i + 1]:g} {self.x_unit}; sort the "
                "points by rate"
            )
        if x[-1] - x[0] <= 1e-9 * x[-1]:
            raise CurveError(
                f"{self.x_name} covers only {float(x[0])} to {float(x[-1])} {self.x_unit}, equal to rounding; measure rates "
                "further apart"
            )
        self._check_magnitudes(x, y, sd, trials)
        if sd is not None and np.any(sd < 0):
            raise CurveError(f"sd has the negative value {sd.min():g} {self.y_unit}, expected 0 or more")
        if trials is not None and not np.allclose(
            trials.mean(axis=1), y, rtol=1e-9, atol=1e-12 * np.max(np.abs(trials))
        ):
            raise CurveError(f"{self.y_name} is not the mean of the trials; use Curve.from_trials(rates, trials)")
        if trials is not None and sd is None and trials.shape[1] > 1:
            sd = _frozen_array("sd", trials.std(axis=1, ddof=1), 1)
        for name, value in (("x", x), ("y", y), ("sd", sd), ("trials", trials)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "resting_calcium", self._checked_rest())

    def _check_magnitudes(self, x: Array, y: Array, sd: Array | None, trials: Array | None) -> None:
        positive = x[x > 0]
        if positive[0] < SMALLEST_RATE or positive[-1] > LARGEST_RATE:
            wrong = positive[0] if positive[0] < SMALLEST_RATE else positive[-1]
            raise CurveError(
                f"{self.x_name} has the value {wrong:g} {self.x_unit}, expected 0 or {SMALLEST_RATE:g} to "
                f"{LARGEST_RATE:g}; check its unit"
            )
        for name, array in ((self.y_name, y), ("sd", sd), ("trials", trials)):
            largest = 0.0 if array is None else float(np.max(np.abs(array)))
            # A spread may be as small as rounding makes it; where it is a weight, standard_error() looks at it.
            if largest > _LARGEST or (name == self.y_name and 0 < largest < _SMALLEST):
                raise CurveError(
                    f"{name} reaches {largest:g} {self.y_unit}, expected magnitudes from {_SMALLEST:g} to "
                    f"{_LARGEST:g}; check its unit"
                )

    def _checked_rest(self) -> float | None:
        if self.resting_calcium is None:
            return None
        try:
            given = numbers("resting calcium", self.resting_calcium)
        except CurveError:
            given = np.empty(0)
        rest = given.item() if given.ndim == 0 else np.nan
        if not 0 <= rest <= _LARGEST:
            raise CurveError(
                f"resting calcium is {reprlib.repr(self.resting_calcium)} {self.y_unit}, expected a finite value of 0 "
                f"or more, at most {_LARGEST:g}"
            )
        return rest

    @classmethod
    def from_trials(cls, x: ArrayLike, trials: ArrayLike, **fields: Any) -> Curve:
        """Curve whose y is the mean of `trials` [n, n_trials] at rates `x` [n]; other fields and errors as in `Curve`."""
        values = _frozen_array("trials", trials, 2)
        # Large values overflow in the sum; the mean is then infinite and refused like any other.
        with np.errstate(over="ignore"):
            mean = values.mean(axis=1)
        return cls(x=x, y=mean, trials=values, **fields)  # type: ignore[arg-type]

    @property
    def n_points(self) -> int:
        return len(self.x)

    @property
    def n_trials(self) -> int:
        """Number of trials per rate; 0 if the curve has none."""
        return 0 if self.trials is None else self.trials.shape[1]

    def unit_of(self, unit: str) -> str:
        """Unit of a fitted parameter on this curve, where a family says "Hz" for that of x and "uM" for that of y."""
        return {"Hz": self.x_unit, "uM": self.y_unit}.get(unit, unit)

    def standard_error(self) -> Array:
        """Standard error of each point [n]: sd / sqrt(n_trials), or sd itself where single trials are unknown.

        Raises
        ------
        CurveError
            The curve has no spread, or a spread of zero at some rate.
        """
        if self.sd is None:
            raise CurveError("curve has no spread between trials, so points cannot be weighted; fit it unweighted")
        if np.any(self.sd < _SMALLEST):
            i = int(np.argmin(self.sd))
            raise CurveError(
                f"sd is {self.sd[i]:g} at {self.x[i]:g} {self.x_unit}, which would be an infinite weight; fit it "
                "unweighted or add trials"
            )
        return self.sd / np.sqrt(max(self.n_trials, 1))

    def with_resting_calcium(self, value: float) -> Curve:
        """The same curve with resting calcium `value` (uM)."""
        return dataclasses.replace(self, resting_calcium=value)


def expect_curve(curve: object) -> Curve:
    """`curve` itself, refused with a remedy if it is anything else, such as a Dataset."""
    if isinstance(curve, Curve):
        return curve
    found = type(curve).__name__
    remedy = "response_curve(dataset)" if found == "Dataset" else "response_curve, published or parse_source"
    raise CurveError(f"expected a Curve, found {found}; make one with bridge.{remedy}")


def numbers(name: str, values: ArrayLike) -> Array:
    """A new float array of any shape. Raises CurveError, calling the values `name`, if they are not real numbers."""
    try:
        raw = np.asarray(values)
        # Dates, truth values and texts turn into numbers without a word, complex ones lose a part.
        if raw.dtype.kind not in "iufO":
            raise TypeError(f"they are of type {raw.dtype}")
        return np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CurveError(f"{name} is not an array of numbers ({error}); pass floats") from None


def _frozen_array(name: str, values: ArrayLike, ndim: int) -> Array:
    array = numbers(name, values)
    if array.ndim != ndim or array.size == 0:
        raise CurveError(f"{name} has shape {array.shape}, expected {ndim} dimension(s) and at least one value")
    if not np.all(np.isfinite(array)):
        position = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise CurveError(
            f"{name} is {array[position]} at position {position}, expected finite numbers; remove the point"
        )
    array.flags.writeable = False
    return array


def response_curve(
    dataset: xr.Dataset,
    variable: str = "calcium_mean",
    *,
    x: str = "input_rate",
    y_unit: str = "uM",
    select: Mapping[str, float] | None = None,
) -> Curve:
    """Response curve of a simulation: `variable` against the dimension `x`, trials kept.

    Parameters
    ----------
    dataset : result of any protocol with the dimension `x`, and `trial` if it has trials; other dimensions (swept
        parameters, neurons) have to be settled by `select`. `calcium_rest` (uM), if it is there, comes along.
    variable : the data variable that is read, in `y_unit`; name the unit to read one that is no calcium.
    x : the dimension, or a coordinate along one, that is the input. `input_rate` has to be in Hz; others keep the unit
        they state.
    select : dimension -> the value at which the curve is taken; it has to be one of the values of its coordinate.

    Raises
    ------
    CurveError
        Not a Dataset, missing variable or coordinate, dimensions that are left over, a selected value that is not there,
        a unit attribute that is missing or wrong, or bad values.
    UnknownName
        `variable`, `x` or a name in `select` is not in the dataset.
    """
    if not hasattr(dataset, "data_vars"):
        raise CurveError(
            f"expected an xarray.Dataset, found {type(dataset).__name__}; load it with biosim.load, or use parse_source "
            "for the name of a file"
        )
    choose("variable of the dataset", variable, map(str, dataset.data_vars))
    dataset = _selected(dataset, variable, select or {})
    data = dataset[variable]
    if x not in data.dims:
        found = ", ".join(str(name) for name in data.dims if name != "trial") or "none"
        raise CurveError(
            f"{variable} has dimensions {tuple(data.dims)}, expected {x!r} among them; run a rate protocol such as fig3 or "
            f"choose another x in Python ({found})"
        )
    left = [str(name) for name in data.dims if name not in (x, "trial")]
    if left:
        first = left[0]
        values = np.atleast_1d(dataset[first].values)
        shown_values = ", ".join(f"{value}" for value in values[:4]) + (", ..." if len(values) > 4 else "")
        raise CurveError(
            f"{variable} has dimensions {tuple(data.dims)}, expected {x!r} and 'trial' alone; select one value of {first!r} "
            f"({shown_values}), with select={{{first!r}: value}} or --at {first}=VALUE"
        )
    if x not in dataset.coords:
        raise CurveError(
            f"dataset has no coordinate {x!r}; expected the values of the input"
            + (" in Hz" if x == "input_rate" else "")
        )
    if x == "input_rate":
        _expect_unit("input_rate", dataset["input_rate"], "Hz")
    x_unit = dataset[x].attrs.get("units")
    if not isinstance(x_unit, str) or not x_unit:
        raise CurveError(f"{x} has units {x_unit!r}, expected the name of a unit; set the attribute 'units'")
    _expect_unit(variable, data, y_unit)
    rest: float | None = None
    if "calcium_rest" in dataset and y_unit == "uM":
        _expect_unit("calcium_rest", dataset["calcium_rest"], "uM")
        if dataset["calcium_rest"].ndim:
            raise CurveError(f"calcium_rest has dimensions {tuple(dataset['calcium_rest'].dims)}, expected a scalar")
        rest = dataset["calcium_rest"].item()
    provenance = _provenance(dataset)
    protocol = provenance.get("protocol")
    name = protocol.get("name") if isinstance(protocol, dict) else None
    at = "".join(f", {key} = {value:g}" for key, value in (select or {}).items())
    fields: dict[str, Any] = {
        "x_name": "input rate" if x == "input_rate" else str(dataset[x].attrs.get("long_name", x)),
        "y_name": str(data.attrs.get("long_name", variable)),
        "x_unit": x_unit,
        "y_unit": y_unit,
        "resting_calcium": rest,
        "source": (f"simulation, protocol {name}" if name else "simulation") + at,
        "provenance": provenance | ({"select": dict(select)} if select else {}),
    }
    if "trial" not in data.dims:
        return Curve(x=dataset[x].values, y=data.values, **fields)
    return Curve.from_trials(dataset[x].values, data.transpose(x, "trial").values, **fields)


def _selected(dataset: xr.Dataset, variable: str, select: Mapping[str, float]) -> xr.Dataset:
    """`dataset` at the values of its coordinates that `select` names."""
    for name, value in select.items():
        choose(f"dimension of {variable}", name, map(str, dataset[variable].dims))
        values = np.asarray(dataset[name].values)
        number = numbers(f"value of {name}", value)
        if number.ndim:
            raise CurveError(f"select has {reprlib.repr(value)} for {name}, expected one number")
        near = np.flatnonzero(np.isclose(values.astype(float), number, rtol=1e-9, atol=0))
        if not len(near):
            listed = ", ".join(f"{one}" for one in values[:8]) + (", ..." if len(values) > 8 else "")
            raise CurveError(f"{name} = {number.item():g} is not in the dataset; choose from {listed}")
        dataset = dataset.isel({name: int(near[0])})
    return dataset


def _expect_unit(name: str, variable: xr.DataArray, unit: str) -> None:
    found = variable.attrs.get("units")
    if found != unit:
        raise CurveError(f"{name} has units {found!r}, expected {unit!r}; convert it and set the attribute 'units'")


def _provenance(dataset: xr.Dataset) -> dict[str, Any]:
    text = dataset.attrs.get("provenance")
    if text is None:
        return {}
    try:
        content = json.loads(text)
    except (TypeError, ValueError) as error:
        raise CurveError(
            f"dataset attribute 'provenance' is not a JSON string ({error}); write the file again"
        ) from None
    return content if isinstance(content, dict) else {"provenance": content}


def parse_source(
    source: str | Path, variable: str = "calcium_mean", select: Mapping[str, float] | None = None
) -> Curve:
    """The curve behind a command-line source: `published:NAME`, the path of a NetCDF file of a simulation, or that of a
    CSV table (a name that ends in .csv).

    variable, select : as in `response_curve`, for simulation files alone.

    Raises
    ------
    UnknownName
        Unknown published curve or variable.
    CurveError
        The file does not exist, is a folder, or holds no usable response curve.
    """
    if not isinstance(source, str | Path):
        raise CurveError(
            f"source is {reprlib.repr(source)}, expected published:NAME or the path of a simulation file or table"
        )
    from .literature import published, published_names

    text = str(source)
    if (select or variable != "calcium_mean") and (text.startswith("published:") or text.lower().endswith(".csv")):
        raise CurveError(
            f"{text}: has one curve, and no variable or dimension to choose; leave variable and select out"
        )
    if text.startswith("published:"):
        return published(text.removeprefix("published:"))
    path = Path(source)
    if path.is_dir():
        raise CurveError(f"{text!r} is a folder, expected a simulation file; {_files_in(path)}")
    if not path.is_file():
        names = ", ".join(f"published:{name}" for name in published_names())
        raise CurveError(
            f"no file {text!r}; give the path of a simulation file (.nc), of a table (.csv) or one of {names}"
        )
    if path.suffix.lower() == ".csv":
        from .csv_curves import read_curve

        return read_curve(path)
    import biosim

    return response_curve(biosim.load(path), variable, select=select)


def _files_in(folder: Path) -> str:
    """What to name instead of a folder: the Fig. 3 file of a run if there is one, otherwise what is there."""
    if (folder / "fig3.nc").is_file():
        return f"name the one in it, {str(folder / 'fig3.nc')!r}"
    found = sorted(entry.name for entry in folder.glob("*.nc"))
    listed = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    return f"name one in it ({listed})" if found else "none (.nc) lies in it, so make one with 'astromorphic simulate'"


def rmse(curve: Curve, other: Curve) -> float:
    """Root mean square difference of two curves (in their common unit).

    The curve with more points is interpolated linearly at the rates of the other; rates outside the common range are
    left out.

    Raises
    ------
    CurveError
        Units differ, or the curves have fewer than two rates in common range.
    """
    curve, other = expect_curve(curve), expect_curve(other)
    if (curve.x_unit, curve.y_unit) != (other.x_unit, other.y_unit):
        raise CurveError(
            f"curves have units ({curve.x_unit}, {curve.y_unit}) and ({other.x_unit}, {other.y_unit}); convert one "
            "of them"
        )
    dense, sparse = (curve, other) if curve.n_points >= other.n_points else (other, curve)
    inside = (sparse.x >= dense.x[0]) & (sparse.x <= dense.x[-1])
    if inside.sum() < 2:
        raise CurveError(
            f"curves cover {dense.x[0]:g}-{dense.x[-1]:g} and {sparse.x[0]:g}-{sparse.x[-1]:g} {curve.x_unit}: "
            "fewer than two points can be compared; use curves over the same rates"
        )
    difference = np.interp(sparse.x[inside], dense.x, dense.y) - sparse.y[inside]
    return float(np.sqrt(np.mean(difference**2)))
