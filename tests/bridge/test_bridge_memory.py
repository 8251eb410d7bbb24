"""Time constants, retention and distance from simulations, against the closed forms of the equations behind them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

import biosim
from bridge import (
    FitError,
    MacroError,
    check_macro,
    fit_distance,
    fit_retention,
    macro_from_memory,
    measure_plasticity,
    measure_time_constants,
)


@pytest.fixture(scope="module")
def impulse() -> xr.Dataset:
    return biosim.simulate("impulse_response", sampling=0.1)


@pytest.fixture(scope="module")
def pulse() -> xr.Dataset:
    return biosim.simulate("impulse_response", stimulus="IP3", sizes=[0.4], duration=121.0)


@pytest.fixture(scope="module")
def cycles() -> xr.Dataset:
    return biosim.simulate("stp_cycles", geometry="line", n_cycles=8, dt=0.1)


def test_constants_are_those_of_the_equations(impulse: xr.Dataset, pulse: xr.Dataset) -> None:
    measured = measure_time_constants([impulse, pulse])
    p = biosim.parameter_set("wade2012")
    ca, h = biosim.rest_state(p.IP3_rest, p)
    fast, slow = sorted(-1 / np.real(biosim.eigenvalues(ca, h, p.IP3_rest, p)))
    expected = {
        "ag": (p.tau_AG, 1e-6), "ip3": (p.tau_IP3, 1e-6), "glutamate": (p.tau_Glu, 1e-6), "esp": (p.tau_eSP, 1e-6),
        "calcium": (slow, 1e-3), "calcium_exchange": (fast, 3e-3),
    }  # fmt: skip
    constants = measured.section.constants
    assert set(constants) == set(expected) and measured.skipped == {}
    for name, (value, tolerance) in expected.items():
        assert constants[name].value == pytest.approx(value, rel=tolerance), name
        assert constants[name].closed_form == pytest.approx(value, rel=1e-9)
        assert constants[name].status == "derived" and constants[name].stderr is not None
    # The nonlinearity of calcium is the one thing that is not exact, and its error says so.
    for name in ("calcium", "calcium_exchange"):
        assert abs(constants[name].value - expected[name][0]) < 2 * (constants[name].stderr or 0)
    assert "ip3 is also in a later source" in measured.notes[0]
    assert "published: NeuroCompLab" in constants["ag"].source


def test_steps_follow_from_the_membrane(impulse: xr.Dataset) -> None:
    section = measure_time_constants(impulse).section
    assert section.membrane.value == 0.06 and section.tau_n_status == "published"
    # tau_m = 60 ms is two steps of 30 ms.
    assert section.step == pytest.approx(0.03)
    assert section.tau_a()["ag"] == pytest.approx(10 / 0.03, rel=1e-6)
    assert section.ratios()["ag"] == pytest.approx(10 / 0.06, rel=1e-6)
    assert list(section.tau_a()) == ["calcium_exchange", "ip3", "ag", "calcium"]
    spectrum = section.spectrum(3, ["ip3", "ag"])
    assert spectrum == pytest.approx([7 / 0.03, math.sqrt(70) / 0.03, 10 / 0.03], rel=1e-6)
    assert section.spectrum(1, ["ag"]) == pytest.approx([10 / 0.03], rel=1e-6)
    finer = measure_time_constants(impulse, tau_n=20).section
    assert finer.tau_a()["ag"] == pytest.approx(10 / 0.003, rel=1e-6) and finer.tau_n_status == "assumed"
    with pytest.raises(MacroError, match="time constant 'esp' is not in this file; choose from calcium_exchange"):
        section.spectrum(2, ["esp"])
    with pytest.raises(MacroError, match="n_heads is 0"):
        section.spectrum(0)


def test_other_constants_are_measured_and_not_assumed() -> None:
    p = biosim.parameter_set("wade2012").with_values(tau_AG=4.0, tau_IP3=15.0)
    constants = measure_time_constants(biosim.simulate("impulse_response", p, sampling=0.2)).section.constants
    # IP3 is slower than its drive here: the roles of rise and decay are exchanged.
    assert constants["ag"].value == pytest.approx(4, rel=1e-6)
    assert constants["ip3"].value == pytest.approx(15, rel=1e-6)


def test_what_a_run_does_not_show_is_skipped_with_the_reason(impulse: xr.Dataset, pulse: xr.Dataset) -> None:
    skipped = measure_time_constants(impulse).skipped
    assert set(skipped) == {"glutamate", "esp"} and "released no glutamate; give a larger impulse" in skipped["esp"]
    skipped = measure_time_constants(pulse).skipped
    assert set(skipped) == {"ag", "calcium", "calcium_exchange"} and "needs two impulses" in skipped["calcium"]
    large = biosim.simulate("impulse_response", sizes=[0.05, 0.1], sampling=0.2)
    assert "than twice the calcium" in measure_time_constants(large).skipped["calcium"]
    single = measure_time_constants(impulse.isel(jump=[0])).skipped["calcium"]
    assert "needs two impulses, one twice the other" in single


def test_wrong_datasets_are_refused_by_name(impulse: xr.Dataset, cycles: xr.Dataset) -> None:
    with pytest.raises(MacroError, match="protocol 'stp_cycles', expected impulse_response"):
        measure_time_constants(cycles)
    with pytest.raises(MacroError, match="protocol 'impulse_response', expected stp_cycles"):
        measure_plasticity(impulse)
    with pytest.raises(MacroError, match=r"found str; load it with biosim\.load"):
        measure_time_constants(["a.nc"])  # type: ignore[list-item]
    with pytest.raises(MacroError, match="no Dataset is given"):
        measure_time_constants([])
    with pytest.raises(MacroError, match="tau_n is 0"):
        measure_time_constants(impulse, tau_n=0)
    burst = biosim.simulate("impulse_response", stimulus="burst", duration=5.0)
    with pytest.raises(MacroError, match=r"no time constant can be measured .*a burst lasts"):
        measure_time_constants(burst)
    other = biosim.simulate(
        "impulse_response", biosim.parameter_set("wade2012").with_values(tau_m=0.02), duration=30.0, sampling=0.2
    )
    with pytest.raises(MacroError, match=r"tau_m is 0\.06 s in one Dataset and 0\.02 s in another"):
        measure_time_constants([impulse, other])
    swept = biosim.simulate(biosim.protocol("stp_cycles", n_cycles=4, dt=0.1).swept("tau_pl", [50.0, 100.0]))
    with pytest.raises(MacroError, match="swept over 'tau_pl'"):
        measure_plasticity(swept)


@pytest.mark.parametrize("tau", [50.0, 100.0, 400.0])
def test_the_retention_rate_is_that_of_the_leaky_integrator(tau: float) -> None:
    parameters = biosim.PROTOCOLS["stp_cycles"]().parameters.with_values(tau_pl=tau)
    measured = measure_plasticity(biosim.simulate("stp_cycles", parameters, n_cycles=10, dt=0.1))
    retention = measured.retention
    assert retention is not None and retention.stderr is not None
    assert retention.closed_form == pytest.approx(50 / tau)
    assert abs(retention.decay - 50 / tau) < 3 * retention.stderr < 0.02 * retention.decay
    # The first cycle starts from nothing: with it the rate comes out lower.
    assert retention.decay_all_cycles is not None and retention.decay_all_cycles < retention.decay
    np.testing.assert_allclose(retention.factors(6), biosim.retention_factors(np.cumsum(retention.shares), 6))
    np.testing.assert_allclose(retention.geometric(5), biosim.geometric_retention(5, retention.decay))


def test_factors_go_on_geometrically_beyond_the_simulated_cycles(cycles: xr.Dataset) -> None:
    retention = measure_plasticity(cycles).retention
    assert retention is not None and retention.shares is not None and len(retention.shares) == 8
    long = retention.factors(16)
    assert long.sum() == pytest.approx(1) and long.shape == (16,)
    np.testing.assert_allclose(long[8:] / long[7:-1], math.exp(-retention.decay))
    truth = biosim.retention_factors(biosim.simulate("stp_cycles", n_cycles=16, dt=0.1).long_term_mean)
    np.testing.assert_allclose(long, truth, rtol=5e-3)
    for wrong in (0, 2.5, True):
        with pytest.raises(MacroError, match="expected a whole number of segments"):
            retention.factors(wrong)  # type: ignore[arg-type]


def test_the_rate_of_an_exact_geometric_curve_comes_back_with_its_error() -> None:
    t = np.arange(1, 9)
    exact = fit_retention(1 - np.exp(-0.3 * t))
    assert (exact.decay, exact.decay_all_cycles, exact.first_cycle) == pytest.approx((0.3, 0.3, 1.0), rel=1e-8)
    rng = np.random.default_rng(2)
    off = []
    for _ in range(60):
        gains = np.exp(-0.3 * t) * (1 + 0.03 * rng.standard_normal(8))
        found = fit_retention(np.cumsum(gains))
        off.append((found.decay - 0.3) / found.stderr)
    # Student's t with five degrees of freedom has the deviation 1.3; the systematic part makes it smaller.
    assert 0.3 < np.std(off) < 1.8


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ([0.1, 0.2, 0.25], r"shape \(3,\), expected at least 4"),
        ([0.1, 0.2, 0.2, 0.25], "does not rise in cycle 3"),
        ([0.1, 0.2, 0.31, 0.45], "do not shrink: not identifiable"),
        ([0.1, 0.2, np.nan, 0.3], "finite values"),
    ],
)
def test_curves_without_a_rate_are_refused(curve: list[float], message: str) -> None:
    with pytest.raises(FitError, match=message):
        fit_retention(curve)


def test_the_distance_scale_is_that_of_the_coupling(cycles: xr.Dataset) -> None:
    distance = measure_plasticity(cycles).distance
    assert distance is not None and distance.scale == pytest.approx(1, rel=1e-9) and distance.status == "assumed"
    # What follows the coupling also passes it on: it reaches further than the coupling itself.
    assert distance.response_scale == pytest.approx(0.805, abs=0.01)
    parameters = biosim.PROTOCOLS["stp_cycles"]().parameters.with_values(coupling_scale=0.4)
    other = measure_plasticity(biosim.simulate("stp_cycles", parameters, n_neurons=4, n_cycles=4, dt=0.1)).distance
    assert other is not None and other.scale == pytest.approx(0.4, rel=1e-8) and other.closed_form == 0.4


def test_geometries_that_fix_no_distance_are_skipped() -> None:
    equal = measure_plasticity(biosim.simulate("stp_cycles", geometry="equal", n_cycles=4, dt=0.1))
    assert equal.distance is None and "all synapses are at one distance" in equal.skipped["distance"]
    rows = biosim.PROTOCOLS["stp_cycles"]().parameters.with_values(coupling_norm="rows")
    alike = measure_plasticity(biosim.simulate("stp_cycles", rows, n_cycles=4, dt=0.1))
    assert alike.distance is None and "receive 1 different amounts" in alike.skipped["distance"]
    short = measure_plasticity(biosim.simulate("stp_cycles", n_cycles=2, dt=0.1))
    assert short.retention is None and short.distance is not None and "at least 4" in short.skipped["retention"]
    with pytest.raises(MacroError, match=r"retention: .*; distance: "):
        measure_plasticity(biosim.simulate("stp_cycles", geometry="equal", n_cycles=2, dt=0.1))
    # A square grid of nine has three kinds of places: enough for the coupling, not for an offset beside it.
    grid = measure_plasticity(biosim.simulate("stp_cycles", n_cycles=4, dt=0.1)).distance
    assert grid is not None and grid.scale == pytest.approx(1) and grid.response_scale is None


def test_distance_of_made_up_couplings() -> None:
    points = np.arange(12.0)[:, None]
    table = np.exp(-0.7 * np.abs(points - points.T))
    np.fill_diagonal(table, 0)
    assert fit_distance(points, 2 * table.sum(axis=1))[0] == pytest.approx(0.7, rel=1e-8)
    assert fit_distance(points, 3 + 2 * table.sum(axis=1), offset=True)[0] == pytest.approx(0.7, rel=1e-7)
    with pytest.raises(FitError, match="one point per value"):
        fit_distance(points, [1.0, 2.0])


def test_the_file_holds_what_is_needed_to_fit_again(impulse: xr.Dataset, pulse: xr.Dataset, cycles: xr.Dataset) -> None:
    macro = macro_from_memory(measure_time_constants([impulse, pulse]), measure_plasticity(cycles))
    assert macro.sections == ("time_constants", "retention", "distance")
    result = check_macro(macro)
    assert result.passed and result.unchecked == {} and len(result.values) == 6 + 3 + 2
    with pytest.raises(MacroError, match="the file has no section"):
        macro_from_memory()
    with pytest.raises(MacroError, match="constants is a Dataset"):
        macro_from_memory(impulse)  # type: ignore[arg-type]
