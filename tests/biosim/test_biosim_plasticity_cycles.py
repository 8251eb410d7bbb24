"""The protocol stp_cycles: its Dataset, the long-term curve, what distance does, and the retention factors."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

import biosim
from biosim import (
    SimulationError,
    decay_per_cycle,
    geometric_retention,
    network_energy,
    network_trajectory,
    retention_factors,
    saturation_level,
    stp_cycles,
)
from biosim.plasticity import cycles, parameters
from biosim.plasticity.geometry import coupling, distances
from biosim.registry import UnknownName

RMAAT = parameters.parameter_set("rmaat")
SHORT = {"cycle": 10.0, "n_cycles": 2, "dt": 0.1}


def run(*changes, **options):
    values = dict(changes)
    return biosim.simulate("stp_cycles", RMAAT.with_values(**values) if values else None, **options)


@pytest.fixture(scope="module")
def long_run():
    return run(n_cycles=16)


# Dataset


def test_dataset_has_units_and_provenance_and_survives_a_file(tmp_path):
    dataset = run(**SHORT, record=0.5, seed=3)
    assert dict(dataset.sizes) == {"cycle": 2, "pre": 3, "post": 3, "time": 40, "neuron": 3}
    for name, variable in dataset.variables.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name
    for name in dataset.data_vars:
        assert dataset[name].attrs["symbol"], name
    assert dataset.facilitation_trace.dims == ("time", "pre", "post")
    record = biosim.provenance(dataset)
    assert record["protocol"]["cycle_s"] == 10.0 and record["protocol"]["geometry"] == "grid"
    assert record["parameters"] == json.loads(json.dumps(RMAAT.to_records()))
    assert (record["seed"], record["engine"], record["schema"]) == (3, "numba", "1.0")
    loaded = biosim.load(biosim.save(dataset, tmp_path / "cycles.nc"))
    assert loaded.identical(dataset)


def test_the_digest_tells_runs_apart():
    def digest(**options):
        return biosim.provenance(biosim.simulate("stp_cycles", **(SHORT | options)))["digest"]

    digests = [
        digest(), digest(duty=0.6), digest(geometry="line"), digest(seed=1), digest(engine="reference"), digest(record=1.0),
        digest(parameters=RMAAT.with_values(tau_pl=50)), digest(input_profile=[1, 1, 0.5]), digest(n_cycles=3),
    ]  # fmt: skip
    assert digest() == digests[0] and len(set(digests)) == len(digests)


def test_a_plan_runs_as_it_is_and_takes_no_further_options():
    plan = stp_cycles(**SHORT)
    seen = []
    first = biosim.simulate(plan, record=1.0, progress=lambda done, total: seen.append((done, total)))
    assert first.identical(run(**SHORT, record=1.0))
    assert seen == [(1, 2), (2, 2)]
    with pytest.raises(SimulationError, match="part of a Protocol object"):
        biosim.simulate(plan, duty=0.3)
    with pytest.raises(SimulationError, match=r"theta is one of .* cannot be swept"):
        biosim.swept(plan, "theta", [1.0, 2.0])
    with pytest.raises(FrozenInstanceError):
        plan.duty = 0.3


def test_traces_meet_the_values_per_cycle():
    dataset = run(**SHORT, record=0.5)
    at_end = dataset.sel(time=[10.0, 20.0])
    np.testing.assert_array_equal(at_end.long_term_trace, dataset.long_term)
    at_stimulus = dataset.sel(time=[5.0, 15.0])
    np.testing.assert_array_equal(at_stimulus.short_term_trace, dataset.short_term)
    np.testing.assert_array_equal(at_stimulus.facilitation_trace, dataset.facilitation)
    np.testing.assert_allclose(dataset.long_term_mean, dataset.long_term.mean(("pre", "post")), rtol=1e-15)


# Engines


@pytest.mark.parametrize("geometry", ["grid", "line", "equal"])
def test_the_engines_agree(geometry):
    options = {"n_cycles": 2, "record": 5.0, "geometry": geometry, "input_profile": [0.5, 1.0, 1.3]}
    fast, truth = (run(**options, engine=engine) for engine in ("numba", "reference"))
    for name in truth.data_vars:
        np.testing.assert_allclose(fast[name], truth[name], atol=2e-9, err_msg=str(name))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_any_number_of_neurons_and_a_line_of_points(n):
    options = SHORT | {"n_neurons": n, "geometry": "custom", "positions": np.linspace(0, 3, n * n)}
    fast, truth = (run(**options, engine=engine) for engine in ("numba", "reference"))
    assert fast.sizes["pre"] == n
    # Steps of 0.1 s.
    np.testing.assert_allclose(fast.long_term, truth.long_term, atol=1e-7)
    assert (float(np.ptp(fast.short_term[-1].values)) > 0.01) == (n > 1)


def test_the_fast_engine_has_order_four_over_cycles():
    """The steps fit the input's edges, so the jumps there cost no order."""
    truth = run(n_cycles=2, engine="reference")
    errors = [
        max(float(abs(run(n_cycles=2, dt=dt)[name] - truth[name]).max()) for name in ("long_term", "short_term"))
        for dt in (0.25, 0.125, 0.0625)
    ]
    order = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (order > 3.7).all() and (order < 4.6).all(), (errors, order)


# What the model does


def test_more_cycles_begin_as_fewer_do(long_run):
    few = run(n_cycles=4)
    np.testing.assert_array_equal(few.long_term, long_run.long_term[:4])


def test_the_long_term_curve_saturates_geometrically(long_run):
    """After the first cycles the drive repeats, so each gain is exp(-a) times the one before."""
    gains = np.diff(long_run.long_term_mean, prepend=0)
    assert (gains > 0).all() and (np.diff(gains) < 0).all()
    np.testing.assert_allclose(gains[5:] / gains[4:-1], math.exp(-0.5), rtol=1e-8)
    # 95 % after the six cycles of the paper's Fig. 3, with tau_p^l = 2 cycles.
    level = saturation_level(long_run.long_term_mean)
    assert float(long_run.long_term_mean[5]) / level == pytest.approx(1 - math.exp(-3), abs=0.005)
    # The level is what the leak leaves of kappa(s) over all cycles to come: by quadrature over the last one.
    s = run(n_cycles=16, record=0.1).facilitation_trace.isel(time=slice(-501, None))
    kappa = np.tanh(s).mean(("pre", "post")).values * np.exp(np.linspace(-0.5, 0.0, 501))
    wanted = np.trapezoid(kappa, dx=0.1) / 100.0 / (1 - math.exp(-0.5))
    assert level == pytest.approx(wanted, rel=1e-4)


def test_constant_stimulation_ends_at_the_fixed_point_of_all_equations():
    plan = stp_cycles(RMAAT.with_values(tau_pl=20.0), cycle=50.0, n_cycles=10, duty=1.0)
    dataset = biosim.simulate(plan, record=500.0)
    net = plan.network()
    last = dataset.isel(time=-1)
    end = net.pack(last.activity_trace, last.facilitation_trace, last.short_term_trace, last.long_term_trace)
    assert np.abs(net.derivatives(end)).max() < 1e-9
    # By hand, for one synapse: s = theta theta + w_s psi(p^s), and p^l = kappa(s).
    theta = np.tanh(last.activity_trace.values)
    s = theta[0] * theta[1] + 0.3 * np.tanh(last.short_term_trace.values[0, 1])
    assert float(last.facilitation_trace[0, 1]) == pytest.approx(s, abs=1e-9)
    assert float(last.long_term_trace[0, 1]) == pytest.approx(math.tanh(s), abs=1e-9)


def test_short_term_processes_feed_back_on_facilitation_and_long_term_ones_on_nothing():
    with_feedback, without = run(**SHORT), run(("gain_s", 0.0), **SHORT)
    assert (with_feedback.facilitation > without.facilitation + 0.05).all()
    slow = run(("tau_pl", 20.0), ("kappa", "linear"), **SHORT)
    np.testing.assert_array_equal(slow.short_term, with_feedback.short_term)
    np.testing.assert_array_equal(slow.facilitation, with_feedback.facilitation)
    assert (slow.long_term > 1.5 * with_feedback.long_term).all()


def test_short_term_processes_fade_within_the_cycle():
    dataset = run(n_cycles=1, record=1.0)
    trace = dataset.short_term_trace.mean(("pre", "post")).values
    # The neurons stop at 25 s; facilitation outlasts them by a few seconds.
    assert 24 <= int(np.argmax(trace)) <= 29
    assert trace[-1] < 0.4 * trace.max()
    alone = run(("coupling_strength", 0.0), n_cycles=1, record=1.0).short_term_trace.mean(("pre", "post")).values
    assert alone[-1] < 0.1 * alone.max()


def test_the_energy_falls_while_the_input_is_constant():
    """The network of the protocol is the general form with other gains, so its energy falls in each half of a cycle."""
    net = stp_cycles().network()
    y = net.pack()
    for _ in range(2):
        for half in (net, replace(net, bias=np.zeros(3))):
            path = network_trajectory(half, y, 1250, 0.02, every=10)
            values = [network_energy(half, one) for one in (y, *path)]
            assert max(np.diff(values)) < 1e-12
            assert values[0] - values[-1] > 0.01
            y = path[-1]


# Distance


def test_equal_distances_give_equal_processes():
    dataset = run(geometry="equal", n_cycles=2)
    for name in ("short_term", "long_term"):
        spread = dataset[name].max(("pre", "post")) - dataset[name].min(("pre", "post"))
        assert float(spread.max()) < 1e-14


@pytest.mark.parametrize("geometry", ["grid", "line"])
def test_processes_follow_the_coupling_that_distance_leaves(geometry):
    dataset = run(geometry=geometry, n_cycles=2)
    received, short = dataset.coupling_received.values.ravel(), dataset.short_term[-1].values.ravel()
    order = np.argsort(received)
    assert (np.diff(short[order]) > -1e-12).all()
    assert short.max() - short.min() > 0.15 * short.mean()
    # Without coupling, or with one that every synapse receives alike, distance does nothing.
    for change in (("coupling_strength", 0.0), ("coupling_norm", "rows")):
        flat = run(change, geometry=geometry, n_cycles=2).short_term[-1].values
        assert np.ptp(flat) < 1e-12


def test_distances_and_coupling_by_hand():
    grid = distances("grid", 3)
    assert grid[0, 8] == pytest.approx(math.sqrt(8)) and grid[0, 5] == pytest.approx(math.sqrt(5)) and grid[4, 4] == 0
    assert distances("line", 3)[2, 7] == 5
    t = coupling(distances("line", 2), RMAAT.with_values(coupling_norm="none", coupling_scale=0.5))
    np.testing.assert_allclose(t[0], 0.5 * np.exp([-math.inf, -0.5, -1.0, -1.5]))
    for norm in ("mean", "rows"):
        t = coupling(grid, RMAAT.with_values(coupling_norm=norm))
        assert t.sum(axis=1).mean() == pytest.approx(0.5)
        assert np.allclose(t, t.T) == (norm == "mean")
    # One synapse has no neighbours, and neighbours out of reach are none.
    assert (coupling(distances("grid", 1), RMAAT) == 0).all()
    assert (coupling(1e6 * grid, RMAAT) == 0).all()


def test_custom_positions_are_the_geometry_that_they_draw():
    points = [(i, j) for i in range(3) for j in range(3)]
    custom = run(**SHORT, geometry="custom", positions=points)
    np.testing.assert_array_equal(custom.short_term, run(**SHORT).short_term)
    wide = run(**SHORT, geometry="custom", positions=[(2 * i, 2 * j) for i, j in points])
    scaled = run(("coupling_scale", 2.0), **SHORT)
    np.testing.assert_allclose(wide.short_term, scaled.short_term, rtol=1e-12)
    line = run(**SHORT, geometry="custom", positions=list(range(9)))
    np.testing.assert_array_equal(line.short_term, run(**SHORT, geometry="line").short_term)


# Retention


def test_retention_by_hand():
    """A curve 1, 1.5, 1.75, 1.875 on its way to 2: gains 1, 1/2, 1/4, 1/8."""
    curve = [1.0, 1.5, 1.75, 1.875]
    np.testing.assert_allclose(retention_factors(curve), [8 / 15, 4 / 15, 2 / 15, 1 / 15])
    np.testing.assert_allclose(retention_factors(curve, 2), [2 / 3, 1 / 3])
    np.testing.assert_allclose(retention_factors(curve, 1), [1.0])
    np.testing.assert_allclose(retention_factors(curve, 2, start=-1.0), [0.8, 0.2])
    assert saturation_level(curve) == pytest.approx(2.0)
    # The first version's rule has the same factor for a segment whatever T is, unlike the paper's Fig. 4.
    np.testing.assert_allclose(retention_factors(curve, rule="saturation"), [0.5, 0.25, 0.125, 0.0625])
    np.testing.assert_allclose(retention_factors(curve, 2, rule="saturation"), [0.5, 0.25])
    np.testing.assert_allclose(retention_factors(curve, 2, rule="saturation", saturation=4.0), [0.25, 0.125])
    np.testing.assert_allclose(geometric_retention(4, math.log(2)), [8 / 15, 4 / 15, 2 / 15, 1 / 15])


@pytest.mark.parametrize(
    ("total", "decay", "factors"),
    [
        (2, 0.25, [0.562, 0.438]),
        (4, 0.25, [0.350, 0.273, 0.212, 0.165]),
        (6, 0.5, [0.414, 0.251, 0.152, 0.092, 0.056, 0.034]),
        (8, 1.0, [0.632, 0.233, 0.086, 0.032, 0.012, 0.004, 0.0016, 0.0006]),
        (3, 0.0, [1 / 3, 1 / 3, 1 / 3]),
        (1, 2.0, [1.0]),
    ],
)
def test_closed_form_by_hand(total, decay, factors):
    np.testing.assert_allclose(geometric_retention(total, decay), factors, atol=6e-4)


@pytest.mark.parametrize(("decay", "last"), [(0.25, 0.0053), (0.5, 2.2e-4), (1.0, 1.9e-7)])
def test_closed_form_at_sixteen_segments(decay, last):
    factors = geometric_retention(16, decay)
    assert factors[-1] == pytest.approx(last, rel=0.03)
    products = {0.25: (4.1e-24, 7.8e-22), 0.5: (2.9e-33, 1.3e-29), 1.0: (5e-56, 2.6e-49)}[decay]
    assert np.prod(factors) == pytest.approx(products[0], rel=0.05)
    assert np.prod(factors[:-1]) == pytest.approx(products[1], rel=0.05)


def test_closed_form_goes_to_one_over_t():
    np.testing.assert_allclose(geometric_retention(5, 1e-12), 0.2, rtol=1e-11)
    assert geometric_retention(16, 700.0)[0] == 1.0
    assert decay_per_cycle(50.0, 100.0) == 0.5 and decay_per_cycle(50.0, 100.0, 2.0) == 1.0


def test_simulated_factors_fall_with_t_and_with_the_number_of_segments(long_run):
    """As the paper's Fig. 4 says of them; and they are near the closed form, the first below it (the network warms up)."""
    first = []
    for total in (2, 4, 6, 8, 16):
        factors = retention_factors(long_run.long_term_mean, total)
        assert factors.sum() == pytest.approx(1.0, abs=1e-12)
        assert (factors > 0).all() and (np.diff(factors) < 0).all()
        closed = geometric_retention(total, 0.5)
        assert np.abs(factors - closed).max() < 0.02 and factors[0] < closed[0]
        first.append(factors[0])
    assert (np.diff(first) < 0).all()
    np.testing.assert_allclose(long_run.retention, retention_factors(long_run.long_term_mean))


@pytest.mark.parametrize(
    ("tau", "eight", "two"),
    [
        (200.0, [0.242, 0.203, 0.158, 0.123, 0.096, 0.075, 0.058, 0.045], [0.544, 0.456]),
        (100.0, [0.380, 0.251, 0.153, 0.093, 0.056, 0.034, 0.021, 0.013], [0.602, 0.398]),
        (50.0, [0.603, 0.251, 0.093, 0.034, 0.013, 0.005, 0.002, 0.001], [0.706, 0.294]),
    ],
)
def test_factors_of_an_independent_simulation(tau, eight, two):
    """Euler, dt 0.02 s, with inputs drawn between 0.5 and 1, which are not known; here they are 0.5, 0.75 and 1."""
    curve = run(
        ("tau_pl", tau), ("coupling_norm", "rows"), n_cycles=8, input_profile=[2 / 3, 1.0, 4 / 3]
    ).long_term_mean  # fmt: skip
    np.testing.assert_allclose(retention_factors(curve, 8), eight, atol=6e-3)
    np.testing.assert_allclose(retention_factors(curve, 2), two, atol=6e-3)


# Refusals


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: retention_factors([1.0, 2.0], 3), "total = 3"),
        (lambda: retention_factors([[1.0], [2.0]]), "in a row"),
        (lambda: retention_factors([]), "curve"),
        (lambda: retention_factors([1.0, math.nan]), "finite"),
        (lambda: retention_factors(["a"]), "curve"),
        (lambda: retention_factors([0.0, 0.0]), "nothing to take fractions of"),
        (lambda: retention_factors([1.0], rule="saturation"), "at least two cycles"),
        (lambda: retention_factors([1.0, 3.0], rule="saturation"), "do not shrink"),
        (lambda: retention_factors([1.0, 1.5], start="x"), "start = 'x'"),
        (lambda: geometric_retention(0, 0.5), "total = 0"),
        (lambda: geometric_retention(2**70, 0.5), "total"),
        (lambda: geometric_retention(2, -0.1), "decay = -0.1"),
        (lambda: geometric_retention(2, math.inf), "decay = inf"),
        (lambda: decay_per_cycle(50.0, 0.0), "tau_pl = 0.0"),
    ],
)
def test_wrong_curves_are_refused(call, words):
    with pytest.raises(SimulationError, match=words):
        call()
    with pytest.raises(UnknownName, match="'cycle': did you mean 'cycles'"):
        retention_factors([1.0, 1.5], rule="cycle")


# What a person or a script gives by mistake.
WRONG = [
    "abc", "", True, [1, 2], [[1], [2, 3]], [], {}, b"1", 1j, math.nan, math.inf, -math.inf, -1, 2**70, np.array(["a"]),
    np.timedelta64(5, "s"), len, [None], [10**400], 10**400, -(10**400),
]  # fmt: skip
RIGHT = {"engine_options": ({},), "geometry": ("grid",)}
NAMES = {"parameters": ("parameter",)}


@pytest.mark.parametrize("value", WRONG, ids=lambda value: biosim.messages.shown(value)[:30] or "empty")
def test_every_option_refuses_what_it_cannot_be(monkeypatch, value):
    monkeypatch.setattr(cycles, "stepper", lambda *_: pytest.fail("work began before the refusal"))
    options = ["parameters", "n_neurons", "cycle", "n_cycles", "duty", "geometry", "positions", "input_profile", "dt",
               "record", "seed", "engine", "engine_options"]  # fmt: skip
    for option in options:
        if any(value is right or (type(value) is type(right) and value == right) for right in RIGHT.get(option, ())):
            continue
        # One number for all neurons is allowed.
        if option == "input_profile" and isinstance(value, int) and value == -1 and not isinstance(value, bool):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ValueError) as caught:
                biosim.simulate("stp_cycles", **(SHORT | {option: value}))
        text = str(caught.value)
        assert type(caught.value).__module__.startswith("biosim."), (option, text)
        assert "\n" not in text and len(text) < 600 and any(name in text for name in NAMES.get(option, (option,))), text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cycle": 10.03, "dt": 0.02}, "cycle = 10.03 s: expected a whole multiple of dt"),
        ({"duty": 0.501}, r"duty \* cycle = 25.05 s: expected a whole multiple of dt"),
        ({"record": 0.03}, "record = 0.03 s: expected a whole multiple of dt"),
        ({"record": 301.0}, "record = 301 s: expected at most the whole time, 300 s"),
        ({"dt": 0.5}, "dt = 0.5 s: more than half of the shortest time constant"),
        ({"n_neurons": 10_000}, "n_neurons = 10000: the coupling of 100000000 synapses"),
        ({"n_cycles": 10**12}, "n_cycles"),
        ({"n_cycles": 10**6, "record": 0.02}, "record = 0.02 s makes"),
        ({"geometry": "custom"}, "positions = None with geometry = 'custom'"),
        ({"positions": list(range(9))}, "geometry = 'grid'"),
        ({"geometry": "custom", "positions": [1.0, 2.0]}, "expected 9 points"),
        ({"geometry": "custom", "positions": [math.nan] * 9}, "finite coordinates"),
        ({"geometry": "ring"}, "unknown geometry 'ring'"),
        ({"input_profile": [1.0, 2.0]}, "one for each of 3 neurons"),
        ({"engine": "brian2"}, "engine 'brian2' has no plasticity network"),
        ({"engine_options": {"threads": 2}}, "threads"),
        ({"parameters": "wade2012"}, "unknown parameter set 'wade2012'"),
        ({"parameters": biosim.parameter_set("wade2012")}, "parameter set"),
        ({"trials": 3}, "unknown option of protocol stp_cycles 'trials'"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, words):
    with pytest.raises(ValueError, match=words) as caught:
        biosim.simulate("stp_cycles", **options)
    assert type(caught.value).__module__.startswith("biosim.")


# Parameters


def test_every_parameter_is_described_and_none_is_sold_as_published():
    assert parameters.parameter_sets() == ("rmaat",)
    for name, record in RMAAT.to_records().items():
        assert record["symbol"] and record["unit"] in ("1", "s") and len(record["source"]) > 5, name
        assert record["status"] == "assumed", name
    times = [getattr(RMAAT, name) for name in ("tau_s", "tau_ps", "tau_pl")]
    assert 3 * times[0] < times[1] and 3 * times[1] < times[2]


def test_parameters_are_checked_and_marked():
    changed = RMAAT.with_values(tau_pl=50)
    assert (changed.tau_pl, changed.name) == (50.0, "rmaat (modified)")
    assert changed.to_records()["tau_pl"]["status"] == "user" and RMAAT.tau_pl == 100.0
    for name, value in (("tau_s", 0.0), ("leak_s", -1), ("gain_x", "a"), ("kappa", "sigmoid"), ("coupling_norm", "row"),
                        ("tau_x", math.inf), ("steepness", 0), ("drive", None)):  # fmt: skip
        with pytest.raises(biosim.ParameterError, match=f"{name} = "):
            RMAAT.with_values(**{name: value})
    with pytest.raises(UnknownName, match="did you mean 'tau_ps'"):
        RMAAT.with_values(tau_p=3.0)
    with pytest.raises(UnknownName, match="unknown parameter set 'rmat': did you mean 'rmaat'"):
        parameters.parameter_set("rmat")
