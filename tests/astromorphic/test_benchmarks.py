"""The benchmarks: their rows, and that what they compare does the same work. No test looks at a time."""

from __future__ import annotations

import json

import numpy as np
import pytest

import biosim
from astromorphic import (
    benchmark_accuracy,
    benchmark_attention,
    benchmark_memory,
    benchmark_simulation,
    commands,
    workload,
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if workload.compiler() is None:
        pytest.skip("no C compiler")
    return workload.CProgram(tmp_path_factory.mktemp("c"))


def test_workload_reaches_gliotransmission():
    statistics = biosim.run_ensemble(workload.ensemble(64, 60.0), "numba", threads=1).statistics
    assert (statistics["crossings"] >= 1).all() and (statistics["glutamate_mean"] > 0.1).all()
    assert (statistics["esp_mean"] > 10.0).all()


def test_c_program_equals_the_kernel(program):
    """Same streams, hence the same spikes of every unit; calcium and the sums differ by the order of rounding alone."""
    ensemble = workload.ensemble(45, 40.0, seed=7)
    spikes, calcium = benchmark_simulation.compare_with_c(program, ensemble)
    assert spikes == 0 and calcium < 1e-12
    outcome = biosim.run_ensemble(ensemble, "numba", threads=1)
    state, sums, _ = program.run(ensemble)
    for name, values in state.items():
        ours = outcome.final[name].reshape(45)
        np.testing.assert_allclose(values, ours, rtol=1e-11, atol=1e-12, err_msg=name)
    n, s = ensemble.clock.n_window, outcome.statistics
    means = (
        "calcium_mean",
        None,
        None,
        None,
        "ip3_mean",
        "ag_mean",
        "glutamate_mean",
        "esp_mean",
        "release_probability_mean",
    )
    for row, name in enumerate(means):
        if name:
            np.testing.assert_allclose(sums[row] / n, s[name], rtol=1e-11, err_msg=name)
    for row, name in ((2, "calcium_min"), (3, "calcium_max"), (11, "crossings")):
        np.testing.assert_allclose(sums[row], s[name], rtol=1e-11, err_msg=name)


def test_brian2_by_hand_is_workload_w(tmp_path):
    """The same rate but for Brian2's order of slots: a spike's reset comes one step late and takes that step's input along.

    Two quanta make a spike and one step brings 0.05 of them, so the rate is 2.5 % lower while 2-AG is still low.
    """
    pytest.importorskip("brian2")
    by_hand = workload.BrianByHand("numpy", 1500, 2.0, tmp_path)
    try:
        by_hand.seconds()
        rate = float(by_hand.spikes.num_spikes) / (1500 * 2.25)
    finally:
        by_hand.close()
    ours = biosim.run_ensemble(workload.ensemble(3000, 2.25), "numba", threads=1).statistics["firing_rate"].mean()
    assert rate == pytest.approx(0.975 * ours, rel=0.03)


def test_a_rate_is_not_given_where_the_set_up_hides_it():
    case = benchmark_simulation._Case("x", 1000.0, lambda: (0.5, 0.9), 1)
    assert case.rate((0.5, 0.9)) == pytest.approx(1000 / 0.4)
    assert case.rate((0.5,)) == pytest.approx(2000.0)
    # A difference of noise, of either sign, is no measurement.
    assert case.rate((0.5, 0.51)) is None
    assert case.rate((0.5, 0.49)) is None


def test_without_a_compiler_the_row_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(workload, "compiler", lambda: None)
    with pytest.raises(RuntimeError, match="no C compiler"):
        workload.CProgram(tmp_path)
    row = {
        "name": "C program",
        "value": None,
        "unit": benchmark_simulation.RATE_UNIT,
        "note": "no C compiler on the path",
    }
    assert "C program" in benchmark_simulation.table([row]) and "not run: no C compiler" in benchmark_simulation.table(
        [row]
    )


def test_a_compiler_that_fails_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "false")
    with pytest.raises(RuntimeError, match="false fails"):
        workload.CProgram(tmp_path)


def test_bias_is_relative_and_paired_errors_are_smaller():
    generator = np.random.default_rng(0)
    base = generator.normal(10.0, 1.0, 4000)
    shifted = base * 1.01 + generator.normal(0.0, 1e-3, 4000)
    paired = benchmark_accuracy._relative(shifted, base, True)
    free = benchmark_accuracy._relative(shifted, base, False)
    assert paired[0] == free[0] == pytest.approx(1.0, abs=0.01)
    assert paired[1] == pytest.approx(100 * 0.01 / 10 / 4000**0.5, rel=0.1)
    assert free[1] == pytest.approx(100 * 2**0.5 / 10 / 4000**0.5, rel=0.1)


def test_release_count_has_no_bias():
    rows = benchmark_accuracy._draw_errors()
    assert len(rows) == 4 and all(abs(row["value"]) < 1e-9 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["simulation", "accuracy", "attention", "spiking", "memory"])
def test_the_command_writes_rows(what, tmp_path):
    text = commands.benchmark(what, True, tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    for row in rows:
        assert {"name", "value", "unit"} <= set(row) and row["name"] in text
        assert row["value"] is not None or row["note"]
    if what == "accuracy":
        # None where the few units of a quick run cannot tell; the neurons of workload W have no refractory time.
        missed = [row["name"] for row in rows if row.get("met") is False]
        assert all(name.startswith("workload W, neuron step") for name in missed), missed


def test_a_bias_is_met_only_where_its_error_leaves_no_doubt():
    verdicts = [benchmark_accuracy._verdict(*pair) for pair in ((0.05, 0.01), (-0.12, 0.02), (-0.2, 0.02), (0.01, 0.1))]
    assert verdicts == [True, None, False, None]


def test_attention_goals_are_judged_by_the_times():
    """Ratios, growth and their verdicts from made-up seconds, without a pass."""
    best = {("scaled dot product, bidirectional", 2048): 3.0, ("astromorphic, bidirectional", 2048): 0.25,
            ("scaled dot product, causal", 8192): 1.0, ("astromorphic, causal", 8192): 1.5}  # fmt: skip
    rows = []
    benchmark_attention._ratios(rows, best)
    assert [(row["value"], row["met"]) for row in rows] == [(12.0, True), (1 / 1.5, False)]
    forms = (*benchmark_attention.BIDIRECTIONAL, *benchmark_attention.CAUSAL)
    rows.clear()
    for change, met in ((0.2, False), (-0.21, False), (-0.08, True), (0.08, True)):
        rows.clear()
        best = {(form, n): n * (1.0 + change * (n == 2048)) for form in forms for n in (512, 1024, 2048)}
        benchmark_attention._flatness(rows, best, {form: [512, 1024, 2048] for form in forms})
        flat = [row for row in rows if "change of the time" in row["name"]]
        assert len(flat) == 2 and all(row["value"] == pytest.approx(100 * change) for row in flat)
        assert all(row["met"] == met for row in flat)
    assert all(row["name"] in benchmark_attention.table(rows) for row in rows)


def test_attention_forms_compute_what_their_names_say():
    """The two linear forms are plain linear attention, and no causal form sees the future."""
    import torch

    (q, k, v), _ = benchmark_attention._inputs(9)
    forms = benchmark_attention._forms()
    weights = torch.einsum("bihm,bjhm->bhij", q, k)
    for name, allowed in (("linear, bidirectional", weights), ("linear, causal", weights.tril())):
        expected = torch.einsum("bhij,bjhd->bihd", allowed / allowed.sum(-1, keepdim=True), v)
        assert torch.allclose(forms[name](q, k, v), expected, atol=1e-5)
    later = [torch.cat([x[:, :6], x[:, 6:] + 1.0], 1) for x in (q, k, v)]
    for name in forms:
        same = torch.equal(forms[name](q, k, v)[:, :6], forms[name](*later)[:, :6])
        assert same == ("causal" in name.split(", ")), name


def test_a_network_that_replays_keeps_its_memory_tokens_per_segment():
    """Bytes kept by autograd in the network that the benchmark times, 20 % above batch x n_mem x width x 4 at most."""
    kept = {(r["way"], r["segments"]): r["bytes"] for r in benchmark_memory._kept([2, 4])}
    memory = benchmark_memory.BATCH * benchmark_memory.SLOTS * benchmark_memory.WIDTH * 4
    assert memory <= (kept["replay", 4] - kept["replay", 2]) / 2 <= 1.2 * memory
    assert kept["checkpoint", 4] - kept["checkpoint", 2] <= 2 * 1.2 * memory
    assert kept["full", 4] - kept["full", 2] > 50 * memory


def test_memory_goals_are_judged_at_sixteen_segments():
    """Made-up bytes and seconds: memory 5 times below full meets its goal, 1.5 times the time does not."""
    memory = benchmark_memory.BATCH * benchmark_memory.SLOTS * benchmark_memory.WIDTH * 4
    kept = {(w, n): n * (memory if w != "full" else 9 * memory) for w in benchmark_memory.WAYS for n in (2, 16)}
    peaks = {(w, n): 10 * n if w == "full" else 2 * n for w in benchmark_memory.WAYS for n in (2, 16)}
    best = {(w, n): 1.0 if w == "full" else 1.5 for w in benchmark_memory.WAYS for n in (2, 16)}
    rows = {r["name"]: r for r in benchmark_memory._verdicts(kept, peaks, best, [2, 16])}
    growth = rows["replay, kept bytes per segment / bytes of the memory tokens"]
    assert growth["value"] == 1.0 and growth["met"]
    assert rows["peak memory, full / replay, 16 segments"]["met"]
    assert rows["peak memory, full / replay, 16 segments"]["value"] == 5.0
    assert not rows["CPU time, replay / full, 16 segments"]["met"]
