"""The bifurcation diagram against golden values, SciPy, normal forms and simulation; folded branches; wrong input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import xarray as xr

import biosim
from biosim import ParameterError, parameter_set
from biosim.bifurcation_diagram import STABILITIES
from biosim.cycles import _closed, _turn, check_dependence, turn_by_scipy
from biosim.fixed_point_curve import HopfPoint, ip3_at_fixed_point, special_points
from biosim.lyapunov import higher_derivatives
from biosim.oscillation_windows import EDGE_KINDS
from biosim.stability import NAMES, jacobian

S9 = parameter_set("wade2012")
PSU = parameter_set("psu")
# Constants of other sources: Stimberg et al. 2018, examples 2 and 6; the last has several fixed points.
STIMBERG_2 = S9.with_values(r_L=0.1, c1=0.18, d2=1.05, d5=0.08)
STIMBERG_6 = STIMBERG_2.with_values(k_ER=0.05)
FOLDED = S9.with_values(k_ER=0.05)


@pytest.fixture(scope="module")
def diagram() -> xr.Dataset:
    return biosim.bifurcation("wade2012", np.linspace(0.3, 0.7, 41))


@pytest.fixture(scope="module")
def folded() -> xr.Dataset:
    """Across the fold where the middle and the upper fixed point are born, and the opening of the window."""
    # No cycle here is slower than 63 s; orbits that end at rest are followed for no longer than needed.
    return biosim.bifurcation(FOLDED, [0.47, 0.5, 0.5285, 0.5295, 0.55], longest=120.0)


# Fixed points -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [S9, PSU, STIMBERG_6, FOLDED], ids=lambda p: f"{p.name} {p.k_ER}")
def test_the_curve_of_fixed_points_inverts_their_search(parameters):
    """IP3 as a closed form of calcium, against all roots of the calcium balance at that IP3."""
    for ip3 in (0.1, 0.35, 0.5, 0.9, 5.0):
        points = biosim.fixed_points(ip3, parameters)
        np.testing.assert_allclose(ip3_at_fixed_point([ca for ca, _ in points], parameters), ip3, rtol=1e-9)


def test_no_fixed_point_has_calcium_below_the_leak_or_above_the_store():
    lowest = biosim.rest_state(0.0, S9)[0]
    found = ip3_at_fixed_point([0.0, 0.99 * lowest, 1.01 * lowest, 1.2, S9.c0 / (1 + S9.c1) * 1.01], S9)
    np.testing.assert_array_equal(np.isnan(found), [True, True, False, True, True])


def test_stability_of_the_fixed_points(diagram, golden):
    kinds = [STABILITIES[i] for i in diagram.stability.values[:, 0]]
    inside = (diagram.ip3 > golden["hopf_points"][0]["ip3_uM"]) & (diagram.ip3 < golden["hopf_points"][1]["ip3_uM"])
    assert set(np.array(kinds)[inside.values]) == {"unstable_focus"}
    assert set(np.array(kinds)[~inside.values]) <= {"stable_focus", "stable_node"}
    wanted = next(row for row in golden["fixed_points"] if row["ip3_uM"] == 0.5)
    one = diagram.sel(ip3=0.5, method="nearest")
    assert float(one.fixed_point_calcium[0]) == pytest.approx(wanted["ca_uM"], abs=1e-7)
    assert float(one.eigenvalue_real[0, 0]) == pytest.approx(wanted["eigenvalues"][0]["re_per_s"], abs=1e-5)
    assert abs(float(one.eigenvalue_imag[0, 0])) == pytest.approx(abs(wanted["eigenvalues"][0]["im_per_s"]), abs=1e-5)


# Hopf points ------------------------------------------------------------------------------------------------------------


def test_hopf_points_and_their_types(golden):
    hopf, folds = special_points(S9, 0.01, 5.0)
    assert folds == []
    for point, row in zip(hopf, golden["hopf_points"], strict=True):
        assert point.ip3 == pytest.approx(row["ip3_uM"], abs=1e-9)
        assert point.calcium == pytest.approx(row["ca_uM"], abs=1e-9)
        assert point.h == pytest.approx(row["h_1"], abs=1e-9)
        assert point.omega == pytest.approx(row["omega_rad_per_s"], abs=1e-8)
        assert point.period == pytest.approx(row["period_2pi_over_omega_s"], abs=1e-6)
        assert point.criticality == row["criticality"]


def test_the_curve_finds_the_hopf_points_that_the_resting_branch_has():
    for parameters in (PSU, STIMBERG_2):
        found = special_points(parameters, 0.05, 3.0)[0]
        wanted = biosim.hopf_points(parameters)
        np.testing.assert_allclose([p.ip3 for p in found], [p["ip3"] for p in wanted], rtol=1e-9)


@pytest.mark.parametrize("state", [(0.21, 0.63, 0.47), (0.05, 0.9, 0.3), (0.4, 0.55, 1.2)])
def test_higher_derivatives_are_those_of_the_jacobian(state):
    ca, h, ip3 = state
    step = 1e-4
    second, third = higher_derivatives(ca, h, ip3, S9)

    def at(x: float, y: float) -> np.ndarray:
        return jacobian(ca + x * step * ca, h + y * step * h, ip3, S9)

    width = np.array([step * ca, step * h])
    numeric = np.stack([(at(1, 0) - at(-1, 0)) / 2, (at(0, 1) - at(0, -1)) / 2], axis=-1) / width
    np.testing.assert_allclose(second, numeric, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, np.swapaxes(second, 1, 2))
    for k, (x, y) in enumerate([(1, 0), (0, 1)]):
        moved = [
            higher_derivatives(ca + s * x * width[0], h + s * y * width[1], ip3, S9)[0] / (2 * width[k])
            for s in (1, -1)
        ]
        np.testing.assert_allclose(third[..., k], moved[0] - moved[1], rtol=1e-5, atol=1e-4)


def _small_cycle(point: HopfPoint, distance: float, parameters) -> biosim.cycles.LimitCycle:
    """The cycle born at a Hopf point, `distance` (uM) on the side where it lives."""
    side = -np.sign(point.growth_slope * point.lyapunov)
    return biosim.limit_cycles(point.ip3 + side * distance, parameters)[0]


@pytest.mark.parametrize(
    ("parameters", "which", "distance"), [(S9, 0, 1e-5), (S9, 1, 1e-5), (PSU, 0, 1e-5), (PSU, 1, 1e-6)],
    ids=["wade2012 lower", "wade2012 upper", "psu lower", "psu upper"],
)  # fmt: skip
def test_the_lyapunov_coefficient_predicts_the_cycle(parameters, which, distance):
    """Normal form dA/dt = growth A + l A^3: amplitude sqrt(-growth/l), multiplier exp(-2 growth T); growth = slope mu."""
    point = special_points(parameters, 0.1, 2.0)[0][which]
    errors = []
    for mu in (distance, 4 * distance):
        cycle = _small_cycle(point, mu, parameters)
        growth = abs(point.growth_slope) * mu
        sign = 1.0 if point.criticality == "supercritical" else -1.0
        assert cycle.stable is (sign > 0)
        predicted = math.sqrt(growth / abs(point.lyapunov))
        errors.append(abs(0.5 * cycle.amplitude / predicted - 1))
        assert math.log(cycle.multiplier) == pytest.approx(-2 * sign * growth * point.period, rel=0.06)
        assert cycle.period == pytest.approx(point.period, rel=2e-3)
    assert errors[0] < 0.02
    # The next order of the normal form is proportional to the distance.
    assert 2.5 < errors[1] / errors[0] < 6


def test_amplitude_grows_as_the_square_root_of_the_distance():
    point = special_points(S9, 0.1, 0.5)[0][0]
    distances = np.geomspace(1e-6, 1e-4, 5)
    amplitudes = [_small_cycle(point, mu, S9).amplitude for mu in distances]
    slopes = np.diff(np.log(amplitudes)) / np.diff(np.log(distances))
    np.testing.assert_allclose(slopes, 0.5, atol=0.01)
    assert slopes[0] == pytest.approx(0.5, abs=1e-3)


# Limit cycles -----------------------------------------------------------------------------------------------------------


def test_limit_cycles_to_the_digits_given(golden):
    for row in golden["limit_cycles"]:
        (cycle,) = biosim.limit_cycles(row["ip3_uM"], S9)
        assert cycle.stable
        assert cycle.period == pytest.approx(row["period_s"], abs=2e-7)
        for field, key in (("calcium_min", "ca_min_uM"), ("calcium_max", "ca_max_uM"), ("h_min", "h_min_1"),
                           ("h_max", "h_max_1")):  # fmt: skip
            assert getattr(cycle, field) == pytest.approx(row[key], abs=1e-8), field
        assert cycle.calcium_mean == pytest.approx(row["ca_mean_uM"], abs=1e-7)


@pytest.mark.parametrize(
    ("parameters", "ip3", "point"), [(S9, 0.45, 0), (S9, 0.6375, 0), (FOLDED, 0.53, 2)], ids=["S9", "S9, two", "folded"]
)
def test_one_turn_is_that_of_scipy(parameters, ip3, point):
    ca, h = biosim.fixed_points(ip3, parameters)[point]
    turn = _turn(ca, h, ip3, check_dependence(parameters), 0.01, 500.0)
    for distance in (1e-3, 0.05, 0.4):
        wanted = turn_by_scipy(distance, ca, h, ip3, parameters)
        assert turn(distance)[0] - ca == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize("ip3", [0.5, 0.6375])
def test_the_multiplier_is_the_slope_of_the_return_map(ip3):
    """By the integral of the divergence over the cycle, and by differences of SciPy's return map."""
    ca, h = biosim.fixed_points(ip3, S9)[0]
    p = check_dependence(S9)
    turn = _turn(ca, h, ip3, p, 0.01, 500.0)
    for cycle, distance in zip(biosim.limit_cycles(ip3, S9), _closed(turn, ca, p), strict=True):
        assert turn_by_scipy(distance, ca, h, ip3, S9) == pytest.approx(distance, abs=1e-8)
        step = 1e-4
        ahead = [turn_by_scipy(distance + side * step, ca, h, ip3, S9) for side in (1, -1)]
        assert cycle.multiplier == pytest.approx((ahead[0] - ahead[1]) / (2 * step), rel=1e-4)


def test_a_finer_step_changes_nothing():
    coarse, fine = (biosim.limit_cycles(0.6375, S9, dt=dt) for dt in (0.02, 0.005))
    for one, other in zip(coarse, fine, strict=True):
        assert one.period == pytest.approx(other.period, abs=1e-6)
        assert one.calcium_max == pytest.approx(other.calcium_max, abs=1e-7)


def test_faster_calcium_gives_the_same_cycle_in_shorter_time():
    """All rates a hundredfold: the step follows, amplitudes stay, the period is a hundredth."""
    fast = S9.with_values(r_C=600.0, r_L=11.0, v_ER=90.0, a2=20.0)
    (slow_cycle,), (fast_cycle,) = (biosim.limit_cycles(0.5, p) for p in (S9, fast))
    assert fast_cycle.period == pytest.approx(slow_cycle.period / 100, rel=1e-7)
    assert fast_cycle.calcium_max == pytest.approx(slow_cycle.calcium_max, rel=1e-7)


def test_cycles_obey_the_index_theorem():
    """In random sets of constants: a stable fixed point alone has an even number of cycles around it, an unstable one an odd
    number; they alternate, and the outermost is stable, since nothing leaves the range of possible concentrations."""
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(12):
        constants = {name: float(getattr(S9, name) * math.exp(rng.uniform(-0.4, 0.4))) for name in NAMES}
        parameters = S9.with_values(**constants)
        hopf = [point.ip3 for point in special_points(parameters, 0.05, 3.0)[0]]
        for ip3 in [0.3, 0.5, *(x * f for x in hopf for f in (0.98, 1.02))]:
            points = biosim.fixed_points(ip3, parameters)
            if len(points) > 1:
                continue
            unstable = biosim.eigenvalues(*points[0], ip3, parameters).real.max() > 0
            cycles = biosim.limit_cycles(ip3, parameters)
            assert [cycle.stable for cycle in reversed(cycles)] == [i % 2 == 0 for i in range(len(cycles))]
            assert len(cycles) % 2 == int(unstable)
            counts.append(len(cycles))
    assert {0, 1, 2} <= set(counts)


# The window and what coexists in it -------------------------------------------------------------------------------------


def test_the_window_of_wade2012(diagram, golden):
    lower, upper = golden["hopf_points"]
    assert dict(diagram.sizes)["window"] == 1
    low, high = diagram.window_ip3.values[0]
    assert low == pytest.approx(lower["ip3_uM"], abs=1e-8)
    assert upper["cycle_persists_at_ip3_uM"] < high < upper["cycle_gone_at_ip3_uM"]
    assert [EDGE_KINDS[i] for i in diagram.window_edge.values[0]] == ["supercritical Hopf", "fold of cycles"]


def test_cycles_meet_at_the_fold(diagram, golden):
    """A stable cycle around an unstable one between Hopf point and fold; they approach as the square root of the distance."""
    upper = golden["hopf_points"][1]
    fold = float(diagram.window_ip3[0, 1])
    gaps = []
    for mu in (4e-6, 1e-6):
        small, wide = biosim.limit_cycles(fold - mu, S9)
        assert not small.stable and wide.stable
        gaps.append(wide.amplitude - small.amplitude)
    assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.02)
    assert biosim.limit_cycles(fold + 1e-8, S9) == []
    assert len(biosim.limit_cycles(upper["cycle_persists_at_ip3_uM"], S9)) == 2
    assert biosim.limit_cycles(upper["cycle_gone_at_ip3_uM"], S9) == []
    (alone,) = biosim.limit_cycles(upper["ip3_uM"] - 1e-4, S9)
    assert alone.stable


def test_psu_oscillates_between_two_supercritical_points():
    """v_ER = 0.8: a lower and narrower window than 0.9, and no hysteresis."""
    data = biosim.bifurcation(PSU, np.linspace(0.25, 0.6, 15))
    assert data.hopf_subcritical.values.tolist() == [0, 0]
    np.testing.assert_allclose(data.window_ip3.values[0], data.hopf_ip3.values)
    np.testing.assert_allclose(data.window_ip3.values[0], [0.33003791, 0.51777106], atol=1e-8)
    assert np.isnan(data.cycle_period.sel(cycle="unstable")).all()
    inside = (data.ip3 > 0.3301) & (data.ip3 < 0.5177)
    np.testing.assert_array_equal(np.isfinite(data.cycle_period.sel(cycle="stable")), inside)


def test_hysteresis_by_simulation(golden):
    """On the way up the cycle outlives the Hopf point to H + 0.0012; on the way down nothing oscillates there."""
    upper = golden["hopf_points"][1]
    steps = [upper["ip3_uM"] - 0.004, upper["cycle_persists_at_ip3_uM"], upper["ip3_uM"] + 0.003]
    data = biosim.hysteresis(S9, steps, settle=2500.0, window=60.0)
    amplitude = (data.calcium_max - data.calcium_min).values
    up, down = amplitude
    small, wide = biosim.limit_cycles(upper["cycle_persists_at_ip3_uM"], S9)
    assert up[1] == pytest.approx(wide.amplitude, abs=1e-4)
    assert float(data.period.sel(direction="up")[1]) == pytest.approx(wide.period, abs=1e-3)
    assert down[1] < 0.1 * small.amplitude
    assert up[2] < 0.01 and down[2] < 1e-3
    # Where the cycle is alone both ways lead to it.
    np.testing.assert_allclose(amplitude[:, 0], biosim.limit_cycles(steps[0], S9)[0].amplitude, atol=1e-5)


def test_the_staircase_of_the_reference_engine_is_the_same():
    fast, slow = (
        biosim.hysteresis(S9, [0.42, 0.45], settle=20.0, window=30.0, engine=engine)
        for engine in ("numba", "reference")
    )
    for name in ("calcium_min", "calcium_max"):
        np.testing.assert_allclose(fast[name], slow[name], atol=1e-9)
    # Crossings are interpolated between samples there, and found by their root here.
    np.testing.assert_allclose(fast.period, slow.period, atol=2e-5)


@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_a_run_leaves_its_ensemble_as_it_was(engine):
    """Initial states given per unit start the second run of an ensemble like the first."""
    given = {"IP3_rest": np.array([0.42]), "Ca_init": np.array([0.2]), "h_init": np.array([0.68])}
    alone = S9.with_values(n_neurons=1, n_synapses=1)
    ensemble = biosim.Ensemble(alone, biosim.Clock(5.0), np.zeros(1), overrides=given)
    first, second = (biosim.run_ensemble(ensemble, engine) for _ in range(2))
    np.testing.assert_array_equal(first.final["calcium"], second.final["calcium"])
    assert (given["Ca_init"][0], given["h_init"][0]) == (0.2, 0.68)


def test_the_window_that_a_narrow_range_cuts():
    data = biosim.bifurcation(S9, [0.4, 0.45])
    assert [EDGE_KINDS[i] for i in data.window_edge.values[0]] == ["end of the range"] * 2
    np.testing.assert_allclose(data.window_ip3.values[0], [0.4, 0.45])
    assert dict(data.sizes)["hopf"] == 0


# Several fixed points ---------------------------------------------------------------------------------------------------


def test_folds_of_the_branch_have_a_zero_eigenvalue():
    hopf, folds = special_points(FOLDED, 0.05, 3.0)
    assert len(folds) == 2 and len(hopf) == 2
    for fold in folds:
        values = biosim.eigenvalues(fold.calcium, fold.h, fold.ip3, FOLDED)
        assert np.abs(values).min() < 1e-6
        # Two fixed points on one side, none of them on the other.
        assert {len(biosim.fixed_points(fold.ip3 + d, FOLDED)) for d in (-1e-5, 1e-5)} == {1, 3}
    for point in hopf:
        values = biosim.eigenvalues(point.calcium, point.h, point.ip3, FOLDED)
        np.testing.assert_allclose(values, [-1j * point.omega, 1j * point.omega], atol=1e-7)


def test_the_folded_diagram(folded):
    kinds = [[STABILITIES[i] for i in row] for row in folded.stability.values]
    assert kinds[0] == ["stable_node", "none", "none"]
    assert [row[1] for row in kinds] == ["none", "saddle", "saddle", "saddle", "none"]
    assert kinds[2][0] == "stable_focus" and kinds[3][0] == "unstable_focus"
    assert kinds[4][0].startswith("unstable")
    # Rest and a wide oscillation coexist before the lower fixed point loses stability.
    stable = folded.cycle_calcium_max.sel(cycle="stable").values
    np.testing.assert_array_equal(np.isfinite(stable), [False, False, True, True, True])
    assert (stable[2:] > 0.9).all()
    assert EDGE_KINDS[int(folded.window_edge[0, 0])] == "homoclinic or canard"
    assert 0.528 < float(folded.window_ip3[0, 0]) < 0.5285


def test_a_wide_cycle_around_three_fixed_points_is_counted_once():
    """Found from the lowest and from the highest one, as both lie inside it."""
    points = biosim.fixed_points(0.535, FOLDED)
    assert len(points) == 3
    (cycle,) = biosim.limit_cycles(0.535, FOLDED)
    assert cycle.calcium_min < points[0][0] and points[2][0] < cycle.calcium_max


def test_simulation_agrees_with_the_folded_diagram(folded):
    """The relaxation oscillation and rest, both at IP3 = 0.5285, by the engine."""
    rest = biosim.fixed_points(0.5285, FOLDED)[0]
    data = biosim.simulate("constant_ip3", FOLDED, ip3=[0.5285, 0.55], duration=400.0, settle=200.0, record=0.01)
    cycle = biosim.limit_cycles(0.55, FOLDED)[0]
    one = data.sel(IP3_rest=0.55)
    assert float(one.calcium_max) == pytest.approx(cycle.calcium_max, abs=1e-4)
    assert float(one.crossing_period) == pytest.approx(cycle.period, abs=1e-3)
    assert float(data.sel(IP3_rest=0.5285).calcium_max) > 0.9
    at_rest = biosim.hysteresis(FOLDED, [0.5285], settle=200.0, window=50.0)
    np.testing.assert_allclose(at_rest.calcium_max, rest[0], atol=1e-4)


# The Dataset ------------------------------------------------------------------------------------------------------------


def test_the_dataset_is_labelled_and_survives_the_disk(diagram, folded, tmp_path):
    for data in (diagram, folded, biosim.bifurcation(S9, [0.1])):
        for name, variable in data.variables.items():
            assert {"units", "long_name"} <= set(variable.attrs), name
        again = biosim.load(biosim.save(data, tmp_path / "diagram.nc"))
        xr.testing.assert_identical(again, data)
        record = biosim.provenance(again)
        assert record["protocol"]["name"] == "bifurcation"
        assert record["parameters"]["v_ER"]["value"] == 0.9


def test_the_automatic_range_reaches_past_all_events():
    data = biosim.bifurcation(PSU)
    table = biosim.bifurcation_points(data)
    assert data.ip3.min() < table.ip3_um.min() and table.ip3_um.max() < data.ip3.max()
    assert "end of the range" not in set(table.by)
    # Denser where branches are steep.
    gaps = np.diff(data.ip3)
    assert gaps.min() < 1e-6 < gaps.max()


def test_the_table_of_points(diagram):
    table = biosim.bifurcation_points(diagram)
    assert table.event.tolist() == ["supercritical Hopf", "window opens", "subcritical Hopf", "window closes"]
    assert table.by.tolist() == ["", "supercritical Hopf", "", "fold of cycles"]
    assert table.period_s[0] == table.period_s[1] == pytest.approx(12.5542895, abs=1e-6)


def test_progress_reaches_its_end():
    seen: list[tuple[int, int]] = []
    biosim.bifurcation(S9, [0.2, 0.4], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


# Wrong input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: biosim.bifurcation("wade"), "unknown parameter set 'wade': did you mean 'wade2012'"),
        (lambda: biosim.bifurcation(ip3=[]), r"ip3 = \[\]"),
        (lambda: biosim.bifurcation(ip3="0.4"), "ip3 = '0.4'"),
        (lambda: biosim.bifurcation(ip3=[0.4, -0.1]), "ip3 = -0.1 uM"),
        (lambda: biosim.bifurcation(ip3=[0.4, math.nan]), "ip3 = nan uM"),
        (lambda: biosim.bifurcation(ip3=[0.4, 0.4]), "a value occurs twice"),
        (lambda: biosim.bifurcation(ip3=[[0.4, 0.5]]), "in a plain list"),
        (lambda: biosim.bifurcation(ip3=[0.4], dt=0.5), "dt = 0.5 s: expected"),
        (lambda: biosim.bifurcation(ip3=[0.4], longest=0), "longest = 0 s"),
        (lambda: biosim.bifurcation(S9.with_values(r_C=0.0)), "r_C = 0: without release"),
        (lambda: biosim.bifurcation(S9.with_values(v_ER=0.0)), "v_ER = 0: without uptake"),
        (lambda: biosim.bifurcation(S9.with_values(r_L=0.0)), "r_L = 0: without leak"),
        (lambda: biosim.limit_cycles(-1, S9), "ip3 = -1 uM"),
        (lambda: biosim.limit_cycles(0.4, S9.with_values(r_C=1e6)), "longest = 500.0 s: more than 1e\\+07 steps"),
        (lambda: biosim.limit_cycles("a", S9), "ip3 = 'a'"),
        (lambda: biosim.limit_cycles(0.4, S9, longest=math.nan), "longest = nan s"),
        (lambda: biosim.hysteresis("wade2012", [0.4, 0.4]), "a value occurs twice"),
        (lambda: biosim.hysteresis("wade2012", [-0.4]), "IP3_rest = -0.4"),
        (lambda: biosim.hysteresis("wade2012", [0.4], settle=-1), "duration = -1"),
        (lambda: biosim.hysteresis("wade2012", [0.4], engine="nest"), "unknown engine 'nest'"),
    ],
)
def test_wrong_input_is_one_line(call, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=words) as caught:
            call()
    assert type(caught.value).__module__.startswith("biosim.")
    assert "\n" not in str(caught.value)


def test_special_points_refuse_what_the_diagram_refuses():
    with pytest.raises(ParameterError, match="r_C = 0"):
        special_points(S9.with_values(r_C=0.0), 0.1, 1.0)
