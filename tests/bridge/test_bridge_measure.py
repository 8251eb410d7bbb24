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
        ({"resting_calcium": float("nan")}, "resting calcium is nan"),
        ({"x": X[:, None]}, "expected 1 dimension"),
        ({"y": ["a", "b", "c", "d"]}, "not an array of numbers"),
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


def dataset(**changes: str) -> xr.Dataset:
    trials = Y[:, None] + np.array([[-0.001, 0.0, 0.001]])
    ds = xr.Dataset(
        {
            "calcium_mean": (("input_rate", "trial"), trials, {"units": "uM", "long_name": "mean calcium"}),
            "firing_rate": (("input_rate", "trial"), trials, {"units": "Hz"}),
            "calcium_rest": ((), 0.0722, {"units": "uM"}),
        },
        coords={"input_rate": ("input_rate", X, {"units": "Hz"}), "trial": np.arange(3)},
        attrs={"provenance": json.dumps({"protocol": {"name": "fig3"}, "seed": 7})},
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
    with pytest.raises(CurveError, match=r"dimensions \('input_rate',\), expected \('input_rate', 'trial'\)"):
        response_curve(dataset().mean("trial", keep_attrs=True))


def test_missing_unit_attribute_is_refused() -> None:
    ds = dataset()
    del ds["calcium_mean"].attrs["units"]
    with pytest.raises(CurveError, match="calcium_mean has units None, expected 'uM'"):
        response_curve(ds)


def test_published_figure(fig3: Curve) -> None:
    assert published_names() == ("astromorphic_fig3",)
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


def test_source_from_a_file(tmp_path: Path) -> None:
    import biosim

    path = biosim.save(dataset(), tmp_path / "run.nc")
    curve = parse_source(str(path))
    np.testing.assert_allclose(curve.y, Y)
    assert curve.resting_calcium == 0.0722
