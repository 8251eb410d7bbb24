"""Curves: what is refused, the reading of Datasets and published figures, and the distance of two curves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from biosim.registry import UnknownName
from bridge import Curve, CurveError, parse_source, published, published_names, response_curve, rmse

X = np.array([1.0, 2.0, 3.0, 4.0])
Y = np.array([0.1, 0.12, 0.13, 0.135])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"y": [0.1, np.nan, 0.13, 0.135]}, r"mean calcium is nan at position \(1,\)"),
        ({"x": [1.0, np.inf, 3.0, 4.0]}, r"input rate is inf at position \(1,\)"),
        ({"x": [-1.0, 2.0, 3.0, 4.0]}, "negative value -1 Hz"),
        ({"x": [1.0, 3.0, 2.0, 4.0]}, "3 is followed by 2 Hz; sort"),
        ({"x": [1.0, 2.0, 2.0, 4.0]}, "value 2 Hz twice"),
        ({"x": X[:2], "y": Y[:2]}, "2 points, expected at least 3"),
        ({"y": Y[:3]}, "mean calcium has 3 points and input rate has 4"),
        ({"sd": [0.1, 0.1]}, "sd has 2 points"),
        ({"sd": [0.1, 0.1, -0.1, 0.1]}, "sd has the negative value"),
        ({"trials": np.ones((4, 2))}, "not the mean of the trials"),
        ({"y": Y * 1e-14, "trials": np.ones((4, 2)) * 1e-14}, "not the mean of the trials"),
        ({"resting_calcium": float("nan")}, "resting calcium is nan"),
        ({"x": X[:, None]}, "expected 1 dimension"),
        ({"y": ["a", "b", "c", "d"]}, "not an array of numbers"),
        ({"y": ["1", "2", "3", "4"]}, "mean calcium is not an array of numbers .*pass floats"),
        ({"y": Y + 1j}, "mean calcium is not an array of numbers .*complex"),
        ({"y": [10**400, 1, 2, 3]}, "mean calcium is not an array of numbers .*too large"),
        ({"y": [True, False, True, True]}, "mean calcium is not an array of numbers .*bool"),
        ({"x": np.arange("2020-01", "2020-05", dtype="M8[M]")}, "input rate is not an array of numbers .*datetime"),
        ({"x": X * 1e-12}, r"input rate has the value 1e-12 Hz, expected 0 or 1e-09 to 1e\+09; check its unit"),
        ({"x": X * 1e9}, r"input rate has the value 4e\+09 Hz"),
        ({"x": 1 + X * 1e-12}, r"covers only 1\.000000000001 to 1.000000000004 Hz, equal to rounding"),
        (
            {"y": Y * 1e200},
            r"mean calcium reaches 1.35e\+199 uM, expected magnitudes from 1e-30 to 1e\+30; check its unit",
        ),
        ({"y": Y * 1e-200}, "mean calcium reaches 1.35e-201 uM"),
        ({"sd": Y * 1e200}, r"sd reaches 1.35e\+199 uM"),
        ({"resting_calcium": "0.07"}, "resting calcium is '0.07' uM, expected a finite value"),
        ({"resting_calcium": [0.07]}, r"resting calcium is \[0.07\] uM"),
        ({"resting_calcium": 1e308}, r"resting calcium is 1e\+308 uM"),
    ],
)
def test_bad_curves_are_refused_by_name(fields: dict[str, object], message: str) -> None:
    with pytest.raises(CurveError, match=message):
        Curve(**({"x": X, "y": Y} | fields))  # type: ignore[arg-type]


def test_curve_copies_and_protects_its_arrays() -> None:
    x = X.copy()
    curve = Curve(x=x, y=Y)
    x[0] = 99.0
    assert curve.x[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        curve.x[0] = 2.0


def test_spread_and_standard_error_follow_from_the_trials() -> None:
    trials = np.random.default_rng(1).normal(Y[:, None], 0.01, size=(4, 9))
    curve = Curve.from_trials(X, trials)
    np.testing.assert_allclose(curve.y, trials.mean(axis=1))
    np.testing.assert_allclose(curve.standard_error(), trials.std(axis=1, ddof=1) / 3)


def test_points_without_spread_cannot_be_weights() -> None:
    with pytest.raises(CurveError, match="no spread"):
        Curve(x=X, y=Y).standard_error()
    with pytest.raises(CurveError, match="sd is 0 at 2 Hz"):
        Curve(x=X, y=Y, sd=np.array([1.0, 0.0, 1.0, 1.0])).standard_error()
    with pytest.raises(CurveError, match="sd is 1e-200 at 4 Hz, which would be an infinite weight"):
        Curve(x=X, y=Y, sd=np.array([1.0, 1.0, 1.0, 1e-200])).standard_error()


def test_identical_trials_are_a_curve() -> None:
    """A deterministic protocol repeats itself exactly: its spread is rounding, which is no wrong magnitude."""
    curve = Curve.from_trials(X, np.repeat(Y[:, None], 3, axis=1))
    assert curve.sd is not None and np.all(curve.sd < 1e-15)


@pytest.mark.parametrize("trials", [np.full((4, 3), 1e308), [["a"] * 2] * 4, [[1.0], [1.0, 2.0]], None])
def test_bad_trials_are_refused(trials: object) -> None:
    with pytest.raises(CurveError):
        Curve.from_trials(X, trials)  # type: ignore[arg-type]
    with pytest.raises(CurveError, match="input rate is not an array of numbers"):
        Curve.from_trials("abc", np.ones((4, 2)))


def dataset(**changes: str) -> xr.Dataset:
    trials = Y[:, None] + np.array([[-0.001, 0.0, 0.001]])
    ds = xr.Dataset(
        {
            "calcium_mean": (("input_rate", "trial"), trials, {"units": "uM", "long_name": "mean calcium"}),
            "firing_rate": (("input_rate", "trial"), trials, {"units": "Hz"}),
            "calcium_rest": ((), 0.0722, {"units": "uM"}),
        },
        coords={"input_rate": ("input_rate", X, {"units": "Hz"}), "trial": np.arange(3)},
        attrs={"provenance": json.dumps({"schema": "1.0", "protocol": {"name": "fig3"}, "seed": 7})},
    )
    for name, unit in changes.items():
        ds[name].attrs["units"] = unit
    return ds


def test_response_curve_of_a_dataset() -> None:
    curve = response_curve(dataset().transpose("trial", "input_rate"))
    np.testing.assert_allclose(curve.y, Y)
    assert curve.n_trials == 3
    assert curve.resting_calcium == 0.0722
    assert curve.source == "simulation, protocol fig3"
    assert curve.provenance["seed"] == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_rate": "kHz"}, "input_rate has units 'kHz', expected 'Hz'"),
        ({"calcium_mean": "nM"}, "calcium_mean has units 'nM', expected 'uM'"),
        ({"calcium_rest": ""}, "calcium_rest has units '', expected 'uM'"),
    ],
)
def test_wrong_units_are_refused_with_both_units(changes: dict[str, str], message: str) -> None:
    with pytest.raises(CurveError, match=message):
        response_curve(dataset(**changes))


def test_other_datasets_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'calcium_mean'"):
        response_curve(dataset(), "calcium_meen")
    with pytest.raises(CurveError, match="has units 'Hz', expected 'uM'"):
        response_curve(dataset(), "firing_rate")
    with pytest.raises(CurveError, match=r"has dimensions \('trial',\), expected 'input_rate' among them"):
        response_curve(dataset().isel(input_rate=0))


def test_curve_along_any_dimension_of_any_protocol() -> None:
    """Swept parameters, neurons and protocols without trials: the dimension is named, the others are settled."""
    values = np.linspace(0.16, 1.0, 5)
    constant = xr.Dataset(
        {"calcium_mean": (("IP3_rest",), values**2, {"units": "uM"})},
        coords={"IP3_rest": ("IP3_rest", values, {"units": "uM", "long_name": "resting IP3"})},
        attrs={"provenance": json.dumps({"protocol": {"name": "constant_ip3"}})},
    )
    curve = response_curve(constant, x="IP3_rest")
    assert (curve.x_name, curve.x_unit, curve.n_trials) == ("resting IP3", "uM", 0)
    np.testing.assert_array_equal(curve.y, values**2)
    with pytest.raises(
        CurveError, match=r"has dimensions \('IP3_rest',\), expected 'input_rate' .*another x .*IP3_rest"
    ):
        response_curve(constant)

    swept = xr.concat([dataset(), dataset() * 2], dim="K_AG").assign_coords(K_AG=[-4000.0, -1000.0])
    for name in ("calcium_mean", "calcium_rest"):
        swept[name].attrs["units"] = "uM"
    swept["input_rate"].attrs["units"] = "Hz"
    with pytest.raises(
        CurveError, match=r"select one value of 'K_AG' \(-4000.0, -1000.0\), with select=.*--at K_AG=VALUE"
    ):
        response_curve(swept)
    curve = response_curve(swept, select={"K_AG": -1000})
    np.testing.assert_allclose(curve.y, 2 * Y)
    assert curve.resting_calcium == pytest.approx(2 * 0.0722) and "K_AG = -1000" in curve.source
    assert curve.provenance["select"] == {"K_AG": -1000}
    with pytest.raises(CurveError, match=r"K_AG = -999 is not in the dataset; choose from -4000.0, -1000.0"):
        response_curve(swept, select={"K_AG": -999})
    with pytest.raises(UnknownName, match="unknown dimension of calcium_mean 'k_AG': did you mean 'K_AG'"):
        response_curve(swept, select={"k_AG": -1000})


def test_other_variables_are_read_in_the_unit_that_is_named() -> None:
    curve = response_curve(dataset(), "firing_rate", y_unit="Hz")
    assert curve.y_unit == "Hz" and curve.resting_calcium is None
    unnamed = dataset()
    unnamed["input_rate"].attrs["units"] = ""
    with pytest.raises(CurveError, match="input_rate has units '', expected 'Hz'"):
        response_curve(unnamed)


def test_published_learning_curves() -> None:
    names = [name for name in published_names() if "fig4" in name]
    assert len(names) == 8
    for name in names:
        curve = published(name)
        assert (curve.x_unit, curve.y_unit, curve.x[0]) == ("1", "%", 0)
        assert "2312.10925" in curve.source and "Fig. 4" in curve.source
        np.testing.assert_array_equal(curve.x, np.round(curve.x))
    # The values that the figure shows at its last epochs.
    assert published("astromorphic_fig4_imdb_neither").y[-1] == pytest.approx(86.0, abs=0.05)
    assert published("astromorphic_fig4_imdb_nonlinearity_and_position").y[-1] == pytest.approx(88.1, abs=0.05)
    assert published("astromorphic_fig4_cifar10_nonlinearity_and_position").y[-1] == pytest.approx(97.0, abs=0.05)
    imdb, cifar = published("astromorphic_fig4_imdb_neither"), published("astromorphic_fig4_cifar10_neither")
    assert imdb.x[np.argmax(imdb.y >= 85)] == 54 and cifar.x[np.argmax(cifar.y >= 85)] == 216


def test_what_is_no_dataset_or_curve_is_refused_with_the_remedy() -> None:
    with pytest.raises(
        CurveError, match=r"expected an xarray.Dataset, found str; load it with biosim.load, or use parse"
    ):
        response_curve("fig3.nc")  # type: ignore[arg-type]
    with pytest.raises(
        CurveError, match=r"expected a Curve, found Dataset; make one with bridge.response_curve\(dataset\)"
    ):
        rmse(dataset(), Curve(x=X, y=Y))  # type: ignore[arg-type]
    with pytest.raises(CurveError, match="resting calcium is nan"):
        response_curve(dataset().assign(calcium_rest=((), np.nan, {"units": "uM"})))


def test_missing_unit_attribute_is_refused() -> None:
    ds = dataset()
    del ds["calcium_mean"].attrs["units"]
    with pytest.raises(CurveError, match="calcium_mean has units None, expected 'uM'"):
        response_curve(ds)


def test_published_figure(fig3: Curve) -> None:
    assert published_names()[0] == "astromorphic_fig3"
    assert (fig3.n_points, fig3.x[0], fig3.x[-1]) == (181, 1.0, 10.0)
    assert fig3.y[0] == 0.11513
    assert "2312.10925" in fig3.source and "assumed" in fig3.source
    with pytest.raises(UnknownName, match="did you mean 'astromorphic_fig3'"):
        published("astromorphic_fig4")


def test_distance_to_the_published_figure(fig3: Curve, seeds32: Curve) -> None:
    # Table of the ten rates as published: 0.11513, 0.12211, ... at 1..10 Hz.
    table = np.array([0.11513, 0.12211, 0.12530, 0.12754, 0.12880, 0.12982, 0.13055, 0.13083, 0.13113, 0.13245])
    np.testing.assert_allclose(np.interp(seeds32.x, fig3.x, fig3.y), table, atol=2e-5)
    assert rmse(fig3, seeds32) == pytest.approx(np.sqrt(np.mean((table - seeds32.y) ** 2)), abs=2e-5)
    assert rmse(fig3, seeds32) == rmse(seeds32, fig3) < 0.005


def test_distance_uses_the_common_range_only() -> None:
    a = Curve(x=[1.0, 2, 3, 4, 5], y=[1.0, 2, 3, 4, 5])
    assert rmse(a, Curve(x=[0.5, 1.5, 4.5], y=[9.0, 1.6, 4.6])) == pytest.approx(0.1)
    with pytest.raises(CurveError, match="fewer than two points"):
        rmse(a, Curve(x=[10.0, 11, 12], y=[1.0, 2, 3]))
    with pytest.raises(CurveError, match="units"):
        rmse(a, Curve(x=[1.0, 2, 3], y=[1.0, 2, 3], y_unit="nM"))


def test_sources_of_the_command_line(tmp_path: Path, fig3: Curve) -> None:
    assert np.array_equal(parse_source("published:astromorphic_fig3").y, fig3.y)
    with pytest.raises(UnknownName, match="choose from astromorphic_fig3"):
        parse_source("published:nothing")
    with pytest.raises(CurveError, match=r"no file .*published:astromorphic_fig3"):
        parse_source(tmp_path / "absent.nc")
    with pytest.raises(
        CurveError, match="source is 3, expected published:NAME or the path of a simulation file or table"
    ):
        parse_source(3)  # type: ignore[arg-type]


def test_a_folder_as_source_names_the_file_that_is_meant(tmp_path: Path) -> None:
    with pytest.raises(CurveError, match=r"is a folder, expected a simulation file; none \(.nc\) lies in it.*simulate"):
        parse_source(tmp_path)
    for i in range(7):
        (tmp_path / f"sweep{i}.nc").touch()
    with pytest.raises(CurveError, match=r"name one in it \(sweep0.nc, .*, sweep4.nc, \.\.\.\)"):
        parse_source(str(tmp_path))
    (tmp_path / "fig3.nc").touch()
    with pytest.raises(CurveError, match="is a folder, expected a simulation file; name the one in it, ") as caught:
        parse_source(str(tmp_path))
    assert str(caught.value).endswith(repr(str(tmp_path / "fig3.nc")))


def test_source_from_a_file(tmp_path: Path) -> None:
    import biosim

    path = biosim.save(dataset(), tmp_path / "run.nc")
    curve = parse_source(str(path))
    np.testing.assert_allclose(curve.y, Y)
    assert curve.resting_calcium == 0.0722
