"""Astrocytes coupled by gap junctions: the flux, its exchange in time, the three engines, and the independence of copies."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from biosim import Clock, Ensemble, Experiment, GapJunctions, Jump, SimulationError, parameter_set, run_ensemble
from biosim.engines import numba_coupling, numba_engine
from biosim.processes import gap_junction
from biosim.registry import UnknownName

# IP3 does nothing but relax to rest, very slowly, and pass through the junctions: what is left is the exchange.
STILL = {"tau_IP3": 1e8, "n_neurons": 1, "n_synapses": 1}


def tissue(coupling, clock, ip3=None, rate=0.0, overrides=None, **settings):
    """One copy of `coupling` whose IP3 starts at `ip3`."""
    n = coupling.n_astrocytes
    values = {"PR0": 0.9, "K_AG": -1000.0, **settings.pop("parameters", {})}
    further = {} if ip3 is None else {"IP3_init": np.asarray(ip3, dtype=float)}
    return Ensemble(
        parameter_set("wade2012").with_values(**values), clock, np.broadcast_to(np.asarray(rate, dtype=float), n).copy(),
        overrides=further | (overrides or {}), coupling=coupling, **({"input": "regular", "release": "expected"} | settings),
    )  # fmt: skip


# The flux ---------------------------------------------------------------------------------------------------------------


def published(difference, F, theta, scale):
    return -F / 2 * (1 + np.tanh((np.abs(difference) - theta) / scale)) * np.sign(difference)


def test_threshold_flux_is_the_published_one_but_for_its_jump():
    difference = np.linspace(-2, 2, 4001)
    ours = np.array([gap_junction.flux(gap_junction.THRESHOLD, d, 0.09, 0.3, 0.05) for d in difference])
    np.testing.assert_allclose(
        ours, published(difference, 0.09, 0.3, 0.05), rtol=0, atol=0.09 / (1 + np.exp(12)) * 1.001
    )
    mirrored = [-gap_junction.flux(gap_junction.THRESHOLD, -d, 0.09, 0.3, 0.05) for d in difference]
    np.testing.assert_array_equal(ours, mirrored)
    assert ours[2000] == 0.0
    # Half of F at the threshold, silent below it, all of F above it.
    at = {d: -gap_junction.flux(gap_junction.THRESHOLD, d, 0.09, 0.3, 0.05) / 0.09 for d in (0.1, 0.3, 0.6)}
    assert at[0.3] == pytest.approx(0.5, abs=1e-5) and at[0.1] < 4e-4 and at[0.6] > 0.99999


@pytest.mark.parametrize("theta", [0.0, 0.02, 0.3])
def test_steepest_slope_bounds_the_threshold_flux(theta):
    difference = np.linspace(-1, 1, 20001)
    flux = [gap_junction.flux(gap_junction.THRESHOLD, d, 2.0, theta, 0.05) for d in difference]
    steepest = np.abs(np.diff(flux) / np.diff(difference)).max()
    assert steepest == pytest.approx(gap_junction.steepest(gap_junction.THRESHOLD, 2.0, theta, 0.05), rel=0.02)


@pytest.mark.parametrize("form", ["linear", "threshold"])
def test_fluxes_are_conserved_and_follow_the_flux_of_each_junction(form):
    coupling = GapJunctions.from_edges([[0, 1], [2, 1], [3, 0]], 5, form=form, strength=[0.5, 1.5])
    ip3 = np.random.default_rng(3).uniform(0, 1, (2, 5))
    got = coupling.fluxes(ip3)
    np.testing.assert_allclose(got.sum(axis=1), 0, atol=1e-15)
    kind = gap_junction.FORMS[form]
    for copy, F in enumerate((0.5, 1.5)):

        def j(i, k, copy=copy, F=F):
            return gap_junction.flux(kind, ip3[copy, i] - ip3[copy, k], F, 0.3, 0.05)

        wanted = [j(0, 1) + j(0, 3), j(1, 0) + j(1, 2), j(2, 1), j(3, 0), 0.0]
        np.testing.assert_allclose(got[copy], wanted, rtol=1e-12, atol=1e-15)


# The exchange alone: closed forms ---------------------------------------------------------------------------------------


def test_two_astrocytes_decay_with_twice_the_strength():
    e = tissue(GapJunctions.chain(2, form="linear", strength=0.7), Clock(3.0, record=0.5), [0.5, 0.1], parameters=STILL)
    trace = run_ensemble(e).traces["ip3"]
    np.testing.assert_allclose(trace[:, 0] - trace[:, 1], 0.4 * np.exp(-2 * 0.7 * e.clock.trace_times()), rtol=1e-7)
    np.testing.assert_allclose(trace.sum(axis=1), 0.6, rtol=1e-7)


@pytest.mark.parametrize("mode", [1, 2, 5])
def test_modes_of_a_ring_decay_with_their_eigenvalues(mode):
    n, F = 10, 0.8
    wave = np.cos(2 * np.pi * mode * np.arange(n) / n)
    e = tissue(
        GapJunctions.ring(n, form="linear", strength=F), Clock(2.0, record=0.5), 0.3 + 0.1 * wave, parameters=STILL
    )
    trace = run_ensemble(e).traces["ip3"]
    decay = np.exp(-2 * F * (1 - np.cos(2 * np.pi * mode / n)) * e.clock.trace_times())
    np.testing.assert_allclose(trace, 0.3 + 0.1 * decay[:, None] * wave, rtol=0, atol=3e-8)


def test_any_graph_follows_the_exponential_of_its_laplacian():
    edges = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [1, 4]])
    coupling = GapJunctions.from_edges(edges, 6, form="linear", strength=1.3)
    laplacian = np.diag(coupling.degrees).astype(float)
    laplacian[edges[:, 0], edges[:, 1]] = laplacian[edges[:, 1], edges[:, 0]] = -1
    start = np.array([0.9, 0.1, 0.4, 0.2, 0.7, 0.5])
    got = run_ensemble(tissue(coupling, Clock(1.5), start, parameters=STILL)).final["ip3"]
    np.testing.assert_allclose(got, expm(-1.3 * 1.5 * laplacian) @ start, rtol=1e-7)
    assert got[5] == pytest.approx(0.5, rel=1e-7)


def test_threshold_exchange_against_scipy_and_its_conservation():
    coupling = GapJunctions.grid(3, 3, form="threshold", strength=0.5)
    start = np.linspace(0.1, 1.7, 9)[[4, 0, 7, 2, 8, 1, 5, 3, 6]]
    got = run_ensemble(tissue(coupling, Clock(2.0), start, parameters=STILL)).final["ip3"]
    truth = solve_ivp(lambda t, y: coupling.fluxes(y), (0, 2), start, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(got, truth, atol=2e-7)
    assert got.sum() == pytest.approx(start.sum(), rel=1e-7)


def test_threshold_form_is_silent_below_its_threshold():
    """Differences of 0.1 uM stay for 20 s, where linear coupling of the same initial slope evens them out."""
    start = [0.2, 0.3, 0.2, 0.3]
    silent = run_ensemble(tissue(GapJunctions.ring(4), Clock(20.0), start, parameters=STILL)).final["ip3"]
    even = run_ensemble(tissue(GapJunctions.ring(4, form="linear", strength=0.9), Clock(20.0), start, parameters=STILL))
    np.testing.assert_allclose(silent, start, atol=2e-3)
    np.testing.assert_allclose(even.final["ip3"], 0.25, atol=1e-9)


# Coupled units ----------------------------------------------------------------------------------------------------------


def coupled(form, clock, **values):
    """A chain of three: IP3 jumps in the first, the last one has input; nothing but the exchange limits the order."""
    fixed = {"n_neurons": 1, "n_synapses": 2, "Ca_th": 5.0}
    strength = 2.0 if form == "linear" else 0.5
    return tissue(
        GapJunctions.chain(3, form=form, strength=strength), clock, rate=[0.0, 0.0, 25.0],
        experiment=Experiment(jump=Jump("IP3", 1.0, [1.5, 0.0, 0.0])), parameters=fixed | values,
    )  # fmt: skip


@pytest.mark.parametrize("form", ["linear", "threshold"])
def test_splitting_is_of_second_order(form):
    """Against the unsplit system of the reference, over steps of 5 to 40 ms (threshold: its stability ends before 80 ms)."""
    names, steps = ("ip3", "calcium", "h"), np.array([0.005, 0.01, 0.02, 0.04])
    truth = run_ensemble(coupled(form, Clock(3.0, record=0.2)), "reference").traces
    errors = []
    for dt in steps:
        got = run_ensemble(coupled(form, Clock(3.0, record=0.2, dt=dt / 10, dt_astro=dt))).traces
        errors.append([np.abs(got[name] - truth[name]).max() for name in names])
    orders = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert ((orders > 1.85) & (orders < 2.3)).all(), (orders, errors)
    # At the default step.
    assert max(errors[1]) < 2e-5, errors[1]


@pytest.mark.parametrize(("form", "rule"), [("linear", "upward"), ("threshold", "continuous")])
def test_numba_equals_brian2(form, rule, difference):
    """The same scheme: jumps, input and release, on a graph that is no chain, in two copies."""
    strength = [2.0, 0.4] if form == "linear" else [0.5, 0.09]
    coupling = GapJunctions.from_edges([[0, 1], [1, 2], [3, 1]], form=form, strength=strength)
    parameters = parameter_set("psu").with_values(release_rule=rule, n_synapses=2, r_Glu=0.1)
    e = Ensemble(
        parameters, Clock(2.5, 0.1, record=0.1), np.array([40.0, 0, 20, 0, 0, 10, 0, 0]), input="regular", release="expected",
        coupling=coupling, overrides={"Ca_th": np.full(8, 0.12)},
        experiment=Experiment(jump=Jump("IP3", 0.2, [0, 1.0, 0, 0.3, 0.9, 0, 0, 0])),
    )  # fmt: skip
    numba = run_ensemble(e)
    assert numba.statistics["crossings"].max() >= 1
    # The copies differ, so that a mixed-up copy would be seen.
    assert np.abs(numba.final["ip3"][:4] - numba.final["ip3"][4:]).min() > 1e-3
    worst = difference(numba, run_ensemble(e, "brian2", target="numpy"))
    assert max(worst.values()) < 1e-9, sorted(worst.items(), key=lambda item: -item[1])[:3]


def test_reference_releases_glutamate_in_coupled_astrocytes(difference):
    """Crossings of the threshold in several astrocytes, two of them at the same moment by symmetry."""
    e = tissue(
        GapJunctions.chain(3, strength=0.5), Clock(6.0, record=0.5), parameters={"n_neurons": 1, "n_synapses": 2, "Ca_th": 0.2},
        experiment=Experiment(jump=Jump("IP3", 1.0, [0.0, 1.5, 0.0])),
    )  # fmt: skip
    truth, numba = run_ensemble(e, "reference"), run_ensemble(e)
    np.testing.assert_array_equal(truth.statistics["crossings"], [1, 1, 1])
    np.testing.assert_array_equal(numba.statistics["crossings"], [1, 1, 1])
    worst = difference(numba, truth)
    states = {name: value for name, value in worst.items() if name.split()[1] in ("ip3", "calcium", "h", "voltage")}
    assert max(states.values()) < 1e-4, states


def test_copies_of_the_coupled_reference_are_the_copies_of_the_ensemble():
    e = tissue(GapJunctions.chain(2, form="linear", strength=0.5), Clock(0.5), [0.4, 0.2], parameters=STILL)
    both = replace(
        e, rate=np.zeros(4), overrides={"IP3_init": np.array([0.4, 0.2, 0.9, 0.2])},
        coupling=replace(e.coupling, strength=[0.5, 1.5]),
    )  # fmt: skip
    got = run_ensemble(both, "reference").final["ip3"]
    wanted = [
        0.3 + 0.1 * np.exp(-0.5),
        0.3 - 0.1 * np.exp(-0.5),
        0.55 + 0.35 * np.exp(-1.5),
        0.55 - 0.35 * np.exp(-1.5),
    ]
    np.testing.assert_allclose(got, wanted, rtol=1e-8)


@pytest.mark.parametrize("form", ["linear", "threshold"])
def test_equal_astrocytes_on_a_ring_are_as_alone(form):
    one_synapse = {"n_neurons": 1, "n_synapses": 1}
    clock = Clock(20.0, 5.0, record=1.0)
    ring = tissue(GapJunctions.ring(5, form=form, strength=1.0), clock, rate=30.0, parameters=one_synapse)
    alone = replace(ring, coupling=None, rate=np.array([30.0]))
    together, single = run_ensemble(ring), run_ensemble(alone)
    assert together.statistics["ip3_mean"].min() > 0.165
    for group in ("statistics", "final", "traces"):
        for name, values in getattr(together, group).items():
            one = getattr(single, group)[name]
            axis = 1 if group == "traces" else 0
            for astrocyte in range(5):
                np.testing.assert_array_equal(np.take(values, [astrocyte], axis), one, err_msg=name)


@pytest.mark.slow
def test_without_strength_nothing_passes_whatever_is_done_to_the_units():
    """Every part of the experiment goes through a kernel that pauses; with F = 0 it gives the bits of one that does not."""
    from biosim import Faults, Schedule, Windows

    parameters = parameter_set("psu").with_values(n_synapses=4, calcium_noise="langevin", sic="events", gate="volman")
    experiment = Experiment(
        schedule=Schedule(np.array([0.0, 1.0]), np.array([1.0, 2.0])), jump=Jump("AG", 1.5, 0.01),
        faults=Faults(2.0, 1, share=0.5), windows=Windows.every(1.0, 4.0),
        PR0=np.random.default_rng(2).uniform(0.1, 0.9, (45, 2, 4)),
    )  # fmt: skip
    e = Ensemble(parameters, Clock(4.0, 1.0, record=0.1), np.linspace(1, 45, 45), seed=5, experiment=experiment)
    alone = run_ensemble(e)
    paused = run_ensemble(replace(e, coupling=GapJunctions.grid(3, 5, strength=0.0)))
    assert alone.windows
    for group in ("statistics", "final", "traces", "windows"):
        for name, values in getattr(alone, group).items():
            np.testing.assert_array_equal(getattr(paused, group)[name], values, err_msg=f"{group} {name}")


def test_naming_the_astrocytes_otherwise_permutes_the_result():
    edges, order = np.array([[0, 1], [1, 2], [2, 3], [1, 3]]), np.array([2, 0, 3, 1])
    start, rate = np.array([0.9, 0.2, 0.3, 0.5]), np.array([5.0, 0.0, 20.0, 10.0])
    settings = {"clock": Clock(3.0), "parameters": {"n_neurons": 1, "n_synapses": 1}}
    first = run_ensemble(tissue(GapJunctions.from_edges(edges, strength=0.5), ip3=start, rate=rate, **settings)).final
    # Astrocyte i is called order[i] now.
    start_there, rate_there = np.empty(4), np.empty(4)
    start_there[order], rate_there[order] = start, rate
    renamed = GapJunctions.from_edges(order[edges][::-1, ::-1], strength=0.5)
    second = run_ensemble(tissue(renamed, ip3=start_there, rate=rate_there, **settings)).final
    for name, values in first.items():
        np.testing.assert_allclose(second[name][order], values, rtol=1e-12, atol=1e-15, err_msg=name)


def test_all_units_of_a_copy_get_the_kernel_of_its_busiest():
    """By themselves the units below would get three kernels, whose last digits may differ."""
    probability = np.array([1e-4, 0.3, 1e-4, 1e-4, 0.02, 1e-4])
    chosen = numba_engine._terms(60, numba_coupling.of_busiest(GapJunctions.chain(3), probability))
    assert np.unique(numba_engine._terms(60, probability)).size == 3
    assert np.unique(chosen[:3]).size == np.unique(chosen[3:]).size == 1 and chosen[0] != chosen[3]


def test_a_copy_does_not_depend_on_other_copies_nor_on_threads(monkeypatch):
    """40 copies of 9 astrocytes, random input: alone, together, in parts and on two threads the same bits."""
    parameters = parameter_set("psu").with_values(n_neurons=1, n_synapses=1)
    rate = np.tile(np.linspace(0, 60, 9), 40) * np.repeat(np.linspace(0.2, 1.0, 40), 9)
    coupling = GapJunctions.grid(3, 3, form="linear", strength=np.linspace(0.0, 2.0, 40))
    jump = Experiment(jump=Jump("IP3", 0.2, np.where(np.arange(360) % 9 == 4, 1.5, 0.0)))
    e = Ensemble(parameters, Clock(1.0), rate, seed=11, coupling=coupling, experiment=jump)
    together = run_ensemble(e, threads=1)
    # Only what has no experiment is cut into parts by the engine itself.
    monkeypatch.setattr(numba_coupling, "GROUP", 50)
    cut = run_ensemble(e, threads=2)
    alone = run_ensemble(e.part(slice(17 * 9, 18 * 9)))
    assert np.ptp(together.final["ip3"].reshape(40, 9)[17]) > 0.1
    for name, values in {**together.statistics, **together.final}.items():
        other = cut.statistics.get(name, cut.final.get(name))
        one = alone.statistics.get(name, alone.final.get(name))
        np.testing.assert_array_equal(other, values, err_msg=name)
        np.testing.assert_array_equal(one, values[17 * 9 : 18 * 9], err_msg=name)


# Graphs and refusals ----------------------------------------------------------------------------------------------------


def test_constructors():
    assert GapJunctions.ring(4).edges.tolist() == [[0, 1], [1, 2], [2, 3], [3, 0]]
    assert GapJunctions.chain(3).edges.tolist() == [[0, 1], [1, 2]]
    grid = GapJunctions.grid(2, 3)
    assert sorted(grid.edges.tolist()) == [[0, 1], [0, 3], [1, 2], [1, 4], [2, 5], [3, 4], [4, 5]]
    torus = GapJunctions.grid(3, 4, periodic=True)
    assert torus.n_edges == 24 and (torus.degrees == 4).all()
    assert GapJunctions.grid(5, 5).distances([0])[24] == 8
    assert GapJunctions.from_edges([[0, 2]]).distances([0]).tolist() == [0, -1, 1]
    assert GapJunctions(1, []).n_edges == 0


def test_values_carry_their_origin():
    record = GapJunctions.ring(3).to_record()
    assert record["strength"]["value"] == [0.09] and record["strength"]["status"] == "published"
    assert "Stimberg" in record["theta"]["source"]
    changed = GapJunctions.ring(3, strength=1.0, theta=0.2).to_record()
    assert changed["strength"]["status"] == changed["theta"]["status"] == "user"
    assert changed["scale"]["status"] == "published"
    assert GapJunctions.ring(3000).to_record()["edges"]["count"] == 3000


def test_edges_of_a_file(tmp_path):
    path = tmp_path / "graph.csv"
    path.write_text("# two pairs\nfrom,to\n0,1\n 3, 2\n")
    coupling = GapJunctions.from_file(path, 6, form="linear")
    assert coupling.edges.tolist() == [[0, 1], [3, 2]] and coupling.n_astrocytes == 6
    for text, message in (
        ("a,b\n0,1\n", "has the header 'a,b'; expected from,to"),
        ("from,to\n0,x\n", "edge 1: to = 'x': expected a whole number from 0"),
        ("from,to\n0,1\n1,-2\n", "edge 2: to = '-2'"),
        ("from,to\n0,1\n1,0\n", r"edge 1 = \[1, 0\]: the same astrocytes as edge 0"),
    ):
        path.write_text(text)
        with pytest.raises(SimulationError, match=message):
            GapJunctions.from_file(path)
    with pytest.raises(SimulationError, match=r"no file .*nowhere\.csv; expected a CSV file with the header from,to"):
        GapJunctions.from_file(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GapJunctions(3, [[0, 1], [2, 2]]), r"edge 1 = \[2, 2\]: joins an astrocyte to itself"),
        (lambda: GapJunctions(3, [[0, 1], [1, 2], [1, 0]]), r"edge 2 = \[1, 0\]: the same astrocytes as edge 0"),
        (lambda: GapJunctions(3, [[0, 3]]), r"edge 0 = \[0, 3\]: there are 3 astrocytes, counted from 0; .* raise n_astrocytes"),
        (lambda: GapJunctions(3, [[-1, 2]]), r"edge 0 = \[-1, 2\]: there are 3 astrocytes"),
        (lambda: GapJunctions(3, [[0, 1.5]]), r"edge 0 = \[0.0, 1.5\]: expected whole numbers"),
        (lambda: GapJunctions(3, [0, 1]), "expected pairs of astrocytes"),
        (lambda: GapJunctions(3, "ring"), "expected numbers"),
        (lambda: GapJunctions(0, []), "n_astrocytes = 0: expected a whole number from 1"),
        (lambda: GapJunctions.from_edges([]), r"edges = \[\]: give at least one"),
        (lambda: GapJunctions.ring(3, strength=-0.5), "strength of the coupling = -0.5 uM/s: expected a finite number of at"),
        (lambda: GapJunctions.ring(3, strength=float("nan"), form="linear"), "strength of the coupling = nan 1/s"),
        (lambda: GapJunctions.ring(3, theta=-0.1), "theta of the coupling = -0.1 uM"),
        (lambda: GapJunctions.ring(3, scale=0.0), "scale of the coupling = 0 uM: expected .* at least 1e-09"),
        (lambda: GapJunctions.ring(2), "n_astrocytes = 2: a ring needs at least 3"),
        (lambda: GapJunctions.chain(1), "a chain needs at least 2"),
        (lambda: GapJunctions.grid(2, 4, periodic=True), "rows = 2: a periodic grid needs at least 3"),
        (lambda: GapJunctions.grid(1, 1), "a grid needs at least 2"),
        (lambda: GapJunctions.grid(3, 3, periodic=1), "periodic = 1: expected True or False"),
    ],
)  # fmt: skip
def test_graphs_that_are_none(make, message):
    with pytest.raises(SimulationError, match=message):
        make()


def test_an_unknown_form_is_refused_with_the_choices():
    with pytest.raises(UnknownName, match="linear"):
        GapJunctions.ring(3, form="linaer")


def test_ensembles_of_no_whole_copies_are_refused():
    parameters, clock, ring = parameter_set("wade2012"), Clock(1.0), GapJunctions.ring(4)
    with pytest.raises(SimulationError, match=r"6 units from unit 0 on with 4 coupled astrocytes: .* multiples of 4"):
        Ensemble(parameters, clock, np.zeros(6), coupling=ring)
    with pytest.raises(SimulationError, match="from unit 2 on"):
        Ensemble(parameters, clock, np.zeros(4), coupling=ring, first_unit=2)
    with pytest.raises(SimulationError, match="has 3 values: expected 1 or 2, the copies"):
        Ensemble(parameters, clock, np.zeros(8), coupling=replace(ring, strength=[0.1, 0.2, 0.3]))
    with pytest.raises(SimulationError, match="coupling = 'ring': expected GapJunctions or None"):
        Ensemble(parameters, clock, np.zeros(4), coupling="ring")
    e = Ensemble(parameters, clock, np.zeros(8), coupling=ring)
    with pytest.raises(SimulationError, match="units 2 to 5: they cut a copy of 4 coupled astrocytes"):
        e.part(slice(2, 6))
    assert e.part(slice(4, 8)).first_unit == 4


@pytest.mark.parametrize(
    ("coupling", "message"),
    [
        (GapJunctions.grid(3, 3, form="linear", strength=60.0), r"F x junctions x dt_astro is about 2.4, .* to 0.0042 s"),
        (GapJunctions.grid(3, 3, strength=3.0), r"4 junctions at astrocyte 4 .* raise scale or lower the strength"),
    ],
)  # fmt: skip
def test_coupling_too_strong_for_the_step_is_refused_with_the_remedy(coupling, message):
    with pytest.raises(SimulationError, match=message):
        tissue(coupling, Clock(1.0))
    tissue(coupling, Clock(1.0, dt=4e-4, dt_astro=4e-3))


def test_the_reference_refuses_coupled_neurons_under_a_current():
    e = tissue(GapJunctions.chain(2), Clock(0.1), parameters={"sic": "events"})
    with pytest.raises(SimulationError, match="coupled astrocytes with a continuous current"):
        run_ensemble(e, "reference")


def test_parts_of_a_large_ensemble_are_whole_copies(monkeypatch):
    coupling = GapJunctions.grid(3, 3, strength=np.linspace(0.0, 0.5, 20))
    e = tissue(GapJunctions.grid(3, 3), Clock(0.5), parameters={"n_neurons": 1, "n_synapses": 1})
    start = np.random.default_rng(5).uniform(0.2, 1.5, 180)
    e = replace(e, rate=np.full(180, 30.0), overrides={"IP3_init": start}, coupling=coupling)
    together = run_ensemble(e)
    monkeypatch.setattr(numba_engine, "PART", 50)
    for name, values in run_ensemble(e).final.items():
        np.testing.assert_array_equal(values, together.final[name], err_msg=name)


def test_memory_of_a_large_graph_is_counted():
    e = tissue(GapJunctions.grid(300, 300), Clock(0.1))
    needed = numba_engine.memory_needed(e)
    assert 90_000 * 8 * 300 > needed - numba_engine.memory_needed(replace(e, coupling=None)) > 90_000 * 8 * 110


def test_astrocytes_with_receptors_exchange_ip3_alike_in_all_engines():
    """G-ChI: IP3 is a state of the Runge-Kutta step; splitting and steps of 1 ms leave an error of second order."""
    parameters = parameter_set("stimberg2018")
    outcomes = {}
    for engine in ("numba", "brian2", "reference"):
        if engine == "brian2" and importlib.util.find_spec("brian2") is None:
            continue
        ensemble = Ensemble(
            parameters, Clock(8.0, record=1.0), np.array([2.0, 0.0, 0.0]), input="regular", release="expected",
            coupling=GapJunctions.ring(3),
        )  # fmt: skip
        options = {"target": "numpy"} if engine == "brian2" else {}
        outcomes[engine] = run_ensemble(ensemble, engine, **options)
    numba = outcomes["numba"]
    assert numba.final["ip3"][1] > 1.05 * numba.traces["ip3"][0, 1]
    assert numba.final["ip3"][1] == numba.final["ip3"][2]
    for name in ("calcium", "ip3", "active_receptors"):
        scale = np.abs(numba.traces[name]).max()
        if "brian2" in outcomes:
            np.testing.assert_allclose(outcomes["brian2"].traces[name], numba.traces[name], rtol=0, atol=1e-11 * scale)
        np.testing.assert_allclose(outcomes["reference"].traces[name], numba.traces[name], rtol=0, atol=2e-4 * scale)
